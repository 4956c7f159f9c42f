/* SPDX-License-Identifier: MIT */
/*
 * The http check: one request and the redirects it may follow, judged by its assertions. The
 * engine starts and cancels it; the transfer engine does each hop. Parameters live with the
 * configuration, what is kept between checks hangs on the probe.
 *
 * Redirects are followed here and not by libcurl, which would carry custom headers, and with them
 * keys, to any host.
 */
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/httpparams.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/template.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <string.h>

struct http_probe {
	struct exchange exchange;
	struct url *hop; /* where a redirect has led; NULL = the configured url */
	unsigned hops;
	bool is_kept_stale; /* the kept connection ended; asks again over a fresh one */
	const char *method; /* of this hop */
	const char *body;
	struct tls_setup stranger_tls; /* for other origins: without our certificate */
};

static const struct http_params *params_of(const struct http_probe *state)
{
	return state->exchange.probe->spec->params;
}

static const struct url *hop_url(const struct http_probe *state)
{
	return state->hop ? state->hop : params_of(state)->url;
}

static bool is_at_home(const struct http_probe *state)
{
	return !state->hop || url_same_origin(state->hop, params_of(state)->url);
}

/* Goes back to what an idle probe may hold. */
static void forget_answer(struct http_probe *state)
{
	state->hop = url_free(state->hop);
	exchange_forget(&state->exchange);
}

static void end(struct http_probe *state)
{
	client_mask(&params_of(state)->client, &state->exchange.probe->result);
	forget_answer(state);
	state->exchange.probe->done(state->exchange.probe);
}

/* ---- redirects ---- */

static bool is_redirect(uint32_t status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* 303 always asks anew with GET, 301 and 302 do so for a POST, as every client does. */
static bool turns_to_get(uint32_t status, const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		return false;
	return status == 303 || (status < 303 && strcmp(method, "POST") == 0);
}

/* Why we do not go from here to `to`; NULL = we do. */
static const char *refuse_hop(const struct http_probe *state, uint32_t status, const struct url *to)
{
	const struct http_params *http = params_of(state);
	bool was_tls = http->url->is_tls || hop_url(state)->is_tls;

	if (secret_is_set(to->user) || secret_is_set(to->password))
		return "to a URL with a user name";
	if (was_tls && !to->is_tls && http->client.has_secret)
		return "from https to http while a secret is configured";
	if (url_same_origin(to, http->url))
		return NULL;
	if (http->client.target.unix_socket)
		return "from a unix socket to another origin";
	if (state->body && !turns_to_get(status, state->method))
		return "would send the body to another origin";
	return NULL;
}

static int start_hop(struct http_probe *state);

static void refuse(struct http_probe *state, const char *why)
{
	struct result *result = &state->exchange.probe->result;

	result_set(result, REASON_REDIRECT_REFUSED, "status %u: redirect %s", result->http_status,
		why);
	end(state);
}

/* start_hop, or the end of the check. */
static void begin_hop(struct http_probe *state)
{
	if (start_hop(state) == 0)
		return;
	result_set(&state->exchange.probe->result, REASON_LOCAL_MEMORY, NULL);
	end(state);
}

static void follow(struct http_probe *state, const char *location)
{
	const struct http_params *http = params_of(state);
	uint32_t status = state->exchange.probe->result.http_status;
	const char *why = "is malformed";
	struct url *to = NULL;
	int r;

	if (state->hops == http->redirects) {
		refuse(state, "after the last one allowed");
		return;
	}
	r = url_join(hop_url(state), location, 1u << URL_HTTP | 1u << URL_HTTPS, &to, &why);
	if (r == -EPROTONOSUPPORT)
		why = "to another scheme";
	if (r == 0)
		why = refuse_hop(state, status, to);
	if (r == -ENOMEM) {
		result_set(&state->exchange.probe->result, REASON_LOCAL_MEMORY, NULL);
		end(state);
		return;
	}
	if (r < 0 || why) {
		url_free(to);
		refuse(state, why);
		return;
	}
	if (turns_to_get(status, state->method)) {
		state->method = "GET";
		state->body = NULL;
	}
	url_free(state->hop);
	state->hop = to;
	state->hops++;
	begin_hop(state);
}

/* ---- the answer ---- */

/* The rules say that the answer is fine; what the operator expects must hold too. */
static void judge_more(
	const struct http_params *http, const struct observation *seen, struct result *result)
{
	if (http->expect.status.source)
		expect_judge(&http->expect, seen, result);
	else
		expect_judge_more(&http->expect, seen, result);
}

/* In a profile, errors are about all its checks, also those that name a model. */
static bool judge_rules(
	const struct http_params *http, const struct answer *answer, struct result *result)
{
	bool names_model = (http->path && template_uses(http->path, "model")) ||
			   (http->body && template_uses(http->body, "model"));

	return (http->client.is_base && !names_model ? rules_judge_unnamed : rules_judge)(
		&http->rules, &http->errors, answer, result);
}

static void judge(struct http_probe *state, struct http_transfer *transfer,
	const struct http_outcome *outcome)
{
	const struct http_params *http = params_of(state);
	struct result *result = &state->exchange.probe->result;
	const struct answer answer = exchange_answer(&state->exchange, transfer);
	struct observation seen = {
		.http_status = result->http_status,
		.header = answer.header,
		.ctx = transfer,
		.body = answer.body,
		.body_len = answer.body_len,
		.size = outcome->body_bytes,
		.latency = result->timing[TIMING_TOTAL],
		.now = loop_timers(state->exchange.probe->io->loop)->real,
		.cert_expires_at = result->cert_expires_at,
	};

	if (outcome->tls) {
		seen.tls_version = outcome->tls->version;
		seen.spki_sha256 = outcome->tls->is_seen ? outcome->tls->spki_sha256 : NULL;
	}
	result->retry_after = exchange_retry_after(&state->exchange, transfer);
	if (!judge_rules(http, &answer, result))
		expect_judge(&http->expect, &seen, result);
	else if (result->reason == REASON_OK)
		judge_more(http, &seen, result);
}

/* A 408 over a kept connection was sent while it idled and answers nothing that we asked
 * (RFC 9110, 15.5.9). Libcurl itself repeats on a fresh one when the kept one was only closed. */
static bool is_farewell(const struct http_probe *state)
{
	const struct result *result = &state->exchange.probe->result;

	return result->reused && result->http_status == 408 && !state->is_kept_stale;
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct http_probe *state = arg;
	const struct http_params *http = params_of(state);
	struct result *result = &state->exchange.probe->result;
	const char *location = NULL;

	state->exchange.transfer = NULL;
	*result = outcome->result;
	if (result->reason != REASON_OK) {
		end(state);
		return;
	}
	if (is_farewell(state)) {
		state->is_kept_stale = true;
		begin_hop(state);
		return;
	}
	if (http->redirects > 0 && is_redirect(result->http_status) &&
		!expect_has_status(&http->expect, result->http_status))
		location = http_answer_header(transfer, "Location", 0);
	if (location) {
		follow(state, location);
		return;
	}
	if (state->exchange.answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else
		judge(state, transfer, outcome);
	end(state);
}

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct http_probe *state = arg;

	sbuf_add(&state->exchange.answer, data, len);
	return HTTP_MORE;
}

/* ---- start and end ---- */

/* A check that comes seldom could never use a session before it is too old. */
static bool wants_full_handshake(const struct http_probe *state)
{
	return expect_needs_certificate(&params_of(state)->expect) ||
	       state->exchange.probe->spec->interval >= TLS_RESUME_MAX_SECONDS * USEC_PER_SEC;
}

static void fill_request(struct http_probe *state, struct http_request *request)
{
	const struct http_params *http = params_of(state);
	const char *body = !state->body && client_promises_body(state->method) ? "" : state->body;

	*request = (struct http_request){
		.method = state->method,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.reuse = http->reuse && !state->is_kept_stale ? HTTP_REUSE : HTTP_FRESH,
		.is_full_handshake_wanted = wants_full_handshake(state),
		.max_body_bytes = http->max_body_bytes,
		.is_body_cut = http->on_limit == ON_LIMIT_STATUS_ONLY,
	};
	client_request(&http->client, state->exchange.probe, hop_url(state), request);
	if (is_at_home(state))
		return;
	state->stranger_tls = http->client.target.setup;
	state->stranger_tls.identity = NULL;
	request->headers = &http_user_agent;
	request->n_headers = 1;
	request->sigv4 = NULL;
	request->tls = &state->stranger_tls;
	request->server_name = NULL;
	request->reuse = HTTP_FRESH;
}

static bool needs_body(const struct http_params *http)
{
	return expect_needs_body(&http->expect) || rules_need_body(&http->rules) ||
	       rules_need_body(&http->errors);
}

static int start_hop(struct http_probe *state)
{
	struct http_request request;
	struct http_handlers handlers = { .on_done = on_done, .arg = state };
	struct http_lane *lane = is_at_home(state) ? state->exchange.lane : NULL;

	if (needs_body(params_of(state)))
		handlers.on_data = on_data;
	sbuf_clear(&state->exchange.answer);
	fill_request(state, &request);
	return http_start(state->exchange.probe->io->httpc, lane, &request, &handlers,
		&state->exchange.transfer);
}

static void http_kind_start(struct probe *probe)
{
	const struct http_params *http = probe->spec->params;
	struct http_probe *state = exchange_open(probe, sizeof *state);

	if (state) {
		state->hops = 0;
		state->is_kept_stale = false;
		state->method = http->method;
		state->body = http->filled_body;
		if (start_hop(state) == 0)
			return;
	}
	exchange_starve(probe);
}

static void http_kind_cancel(struct probe *probe)
{
	struct http_probe *state = probe->priv;

	state->hop = url_free(state->hop);
	exchange_cancel(probe);
}

static const struct client *http_client(const void *params)
{
	const struct http_params *http = params;

	return &http->client;
}

const struct check_kind check_http = {
	.name = "http",
	.keys = http_keys,
	.params_size = sizeof(struct http_params),
	.compile = http_compile,
	.client = http_client,
	.dispose = http_dispose,
	.start = http_kind_start,
	.cancel = http_kind_cancel,
	.fini = exchange_fini,
};

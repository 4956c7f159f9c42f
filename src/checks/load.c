/* SPDX-License-Identifier: MIT */
/*
 * The load check: reads a server's own metrics and says how busy it is, whether it works at all
 * and whether it has been over its limits for too long. The engine starts and cancels it; what it
 * knows from earlier scrapes hangs on the probe.
 *
 * Metrics are often the last thing that a busy server gets round to serving, so a scrape that
 * fails says nothing bad of the target: the reason is the true one, the verdict unknown.
 */
#include "modelhealth/checks/client.h"
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/expect.h"
#include "modelhealth/core/loadwatch.h"
#include "modelhealth/core/rules.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <stdlib.h>

enum {
	KEPT_BYTES = 4096,     /* of the body, for rules and the server's own words */
	MAX_GAP_INTERVALS = 3, /* scrapes further apart do not belong together */
	BLIND_SCRAPES = 3,     /* failed in a row, before what the last good one said is dropped */
};

struct load_params {
	struct client client;
	const char *path;
	struct load_roles roles;
	struct load_limits limits;
	struct rules rules, errors;
	uint64_t max_body_bytes;
	/* filled by load_compile */
	struct url *joined;    /* owned; NULL = none */
	const struct url *url; /* what is asked */
};

struct load_probe {
	struct exchange exchange;
	struct promtext text;
	struct load_reader *reader; /* while a scrape runs */
	struct load_watch watch;
};

static const struct conf_key load_keys[] = {
	CLIENT_KEYS(struct load_params),
	ERRORS_KEY(struct load_params, errors),
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "1KiB",
		.max = "64MiB",
		.fallback = "5MiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct load_params, max_body_bytes),
		.help = "Most bytes of metrics to read; more is body_too_large." },
	{ .name = "overloaded",
		.type = CONF_SECTION,
		.section = load_limit_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct load_params, limits),
		.help = "When the server counts as overloaded: a value above its limit in every "
			"scrape for a time. That time is the hysteresis of this check: fall, rise, "
			"degraded_fall and degraded_rise are 1 where nothing sets them." },
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct load_params, path),
		.example = "/metrics",
		.help = "Where the metrics are. Unset, url itself is asked." },
	{ .name = "roles",
		.type = CONF_SECTION,
		.section = load_role_keys,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct load_params, roles),
		.help = "Which of the server's metrics say what: names, or name{label=\"value\"} "
			"for some of its series. Of several names the first that is there counts, "
			"of progress all; name and name_total are the same." },
	RULES_KEY(struct load_params, rules),
	CONF_END,
};

/* ---- configuration ---- */

/* A limit has to be passed for a time already, and a stall to last; to count results on top of
 * that would only be late. A single failed scrape, though, must not make a stall be forgotten. */
static void decide_at_once(struct conf_scope *scope, struct check_spec *spec)
{
	const struct {
		const char *key;
		uint16_t *count;
	} counts[] = {
		{ "rise", &spec->health.rise },
		{ "fall", &spec->health.fall },
		{ "degraded_rise", &spec->health.degraded_rise },
		{ "degraded_fall", &spec->health.degraded_fall },
	};

	for (size_t i = 0; i < array_size(counts); i++) {
		if (!conf_has(scope, counts[i].key))
			*counts[i].count = 1;
	}
	spec->health.unknown_after = max_of(spec->health.fall, (uint16_t)BLIND_SCRAPES);
}

static bool has_roles(const struct load_roles *roles)
{
	for (size_t role = 0; role < LOAD_ROLE_N; role++) {
		if (roles->role[role].n > 0)
			return true;
	}
	return false;
}

static int load_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct load_params *load = params;
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	int r = client_compile(&load->client, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint);

	decide_at_once(scope, spec);
	if (!has_roles(&load->roles) && !conf_is_partial(scope))
		r = conf_error(scope, conf_node(scope, "roles"),
			"roles names no metric, so a load check cannot tell anything");
	load->url = load->client.target.url;
	if (!load->path || !load->url)
		return r;
	r = conf_worse(r, (load->client.is_base ? client_url : client_url_instead)(
				  &load->client, scope, "path", load->path, model, &load->joined));
	load->url = load->joined;
	return r;
}

static void load_dispose(const void *params)
{
	const struct load_params *load = params;

	url_free(load->joined);
	client_dispose(&load->client);
}

/* ---- the answer ---- */

static const struct load_params *params_of(const struct load_probe *state)
{
	return state->exchange.probe->spec->params;
}

/* The switch that most servers have for their metrics. */
static bool is_switched_off(uint32_t status)
{
	return status == 404 || status == 405 || status == 501;
}

/* An answer that is no metrics. What the rules of this very check say comes first; that a path
 * does not exist means here that metrics are off, whatever it means to other checks. */
static void refuse(struct load_probe *state, const struct answer *answer, struct result *result)
{
	const struct load_params *load = params_of(state);
	_cleanup_(sbuf_fini) struct sbuf words = SBUF_INIT;
	enum reason reason = expect_status_reason(answer->http_status);

	if (rules_judge(&load->rules, NULL, answer, result))
		return;
	if (is_switched_off(answer->http_status))
		reason = REASON_FEATURE_OFF;
	else if (rules_judge(&load->errors, NULL, answer, result))
		return;
	rules_error_text(answer->body, answer->body_len, &words);
	result_set(result, reason, "status %u%s%s", answer->http_status, words.len > 0 ? ": " : "",
		sbuf_str(&words));
}

/* Metrics without a single one that we were told of. */
static void miss(struct load_probe *state, const struct answer *answer, struct result *result)
{
	const struct load_params *load = params_of(state);

	if (rules_judge(&load->rules, &load->errors, answer, result) && result->reason != REASON_OK)
		return;
	if (state->text.samples == 0)
		result_set(result, REASON_FEATURE_OFF, "the answer holds no metrics");
	else
		result_set(result, REASON_FEATURE_OFF,
			"none of the metrics in roles is among the %llu that the server shows",
			(unsigned long long)state->text.samples);
}

static usec_t longest_gap(const struct check_spec *spec)
{
	return MAX_GAP_INTERVALS * max_of(spec->interval, spec->down_interval);
}

static bool judge_metrics(
	struct load_probe *state, const struct answer *answer, struct result *result)
{
	const struct check_spec *spec = state->exchange.probe->spec;
	const struct timers *timers = loop_timers(state->exchange.probe->io->loop);
	const struct load_rules rules = {
		.limits = &params_of(state)->limits,
		.stall_after = spec->endpoint->stall_after,
		.gap_max = longest_gap(spec),
	};
	struct load_scrape scrape;

	load_reader_end(state->reader, &scrape);
	if (timers->paused_until > state->watch.last_at)
		load_watch_restart(&state->watch); /* the server may have worked and ended */
	if (load_watch_step(&state->watch, &rules, &scrape, timers->now, result)) {
		if (state->exchange.probe->memory)
			load_watch_keep(&state->watch, state->exchange.probe->memory);
		return true;
	}
	miss(state, answer, result);
	return false;
}

/* False when the answer is no metrics of the server. */
static bool judge(struct load_probe *state, struct http_transfer *transfer, struct result *result)
{
	const struct answer answer = exchange_answer(&state->exchange, transfer);

	result->retry_after = exchange_retry_after(&state->exchange, transfer);
	if (state->exchange.answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else if (result->http_status >= 200 && result->http_status <= 299)
		return judge_metrics(state, &answer, result);
	else
		refuse(state, &answer, result);
	return false;
}

/* ---- start and end ---- */

/* Goes back to what an idle probe may hold. */
static void forget(struct load_probe *state)
{
	promtext_end(&state->text);
	free(take_ptr(state->reader));
	exchange_forget(&state->exchange);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct load_probe *state = arg;
	struct probe *probe = state->exchange.probe;
	bool is_scraped = false;

	state->exchange.transfer = NULL;
	probe->result = outcome->result;
	promtext_end(&state->text);
	if (outcome->result.reason == REASON_OK)
		is_scraped = judge(state, transfer, &probe->result);
	if (!is_scraped && probe->result.reason != REASON_OK)
		probe->result.verdict = VERDICT_UNKNOWN;
	client_mask(&params_of(state)->client, &probe->result);
	forget(state);
	probe->done(probe);
}

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct load_probe *state = arg;
	struct sbuf *kept = &state->exchange.answer;

	sbuf_add(kept, data, min_of(len, KEPT_BYTES - kept->len));
	promtext_push(&state->text, data, len);
	return HTTP_MORE;
}

static int begin(struct load_probe *state)
{
	const struct load_params *load = params_of(state);
	const struct http_handlers handlers = {
		.on_data = on_data, .on_done = on_done, .arg = state
	};
	struct http_request request = {
		.method = "GET",
		.max_body_bytes = load->max_body_bytes,
	};

	state->reader = calloc(1, sizeof *state->reader);
	if (!state->reader)
		return -ENOMEM;
	state->reader->roles = &load->roles;
	state->text = (struct promtext){
		.on_sample = load_reader_add,
		.is_wanted = load_reader_wants,
		.ctx = state->reader,
	};
	client_request(&load->client, state->exchange.probe, load->url, &request);
	return http_start(state->exchange.probe->io->httpc, state->exchange.lane, &request,
		&handlers, &state->exchange.transfer);
}

static void load_start(struct probe *probe)
{
	bool is_new = !probe->priv;
	struct load_probe *state = exchange_open(probe, sizeof *state);

	if (state && is_new && probe->memory)
		load_watch_recall(&state->watch, probe->memory);
	if (state && begin(state) == 0)
		return;
	if (state)
		forget(state);
	exchange_starve(probe);
}

static void load_cancel(struct probe *probe)
{
	struct load_probe *state = probe->priv;

	exchange_cancel(probe);
	forget(state);
}

static const struct client *load_client(const void *params)
{
	const struct load_params *load = params;

	return &load->client;
}

const struct check_kind check_load = {
	.name = "load",
	.keys = load_keys,
	.params_size = sizeof(struct load_params),
	.remembers = true,
	.compile = load_compile,
	.client = load_client,
	.dispose = load_dispose,
	.start = load_start,
	.cancel = load_cancel,
	.fini = exchange_fini,
};

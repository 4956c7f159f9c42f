/* SPDX-License-Identifier: MIT */
/*
 * The scenario check: several requests in a row, over one or several servers, where values of one
 * answer go into the next request (embed, search, chat). The engine starts and cancels it. Each
 * step is one transfer on a connection of its own; the first that fails ends the run and gives its
 * reason, with its name in the detail.
 *
 * A captured value is text from outside. Inside a string of a JSON body it is escaped, outside it
 * goes in as the JSON that was parsed, in a path it is percent-encoded: it can change nothing but
 * its own place.
 */
#include "modelhealth/checks/scenarioparams.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/text/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CAPTURE_MAX = 256 * 1024,  /* bytes of one captured value */
	REQUEST_MAX = 1024 * 1024, /* bytes of one filled body */
	PATH_MAX_BYTES = 4096,
};

/* What a name stands for in this run. */
struct captured {
	char *json; /* as JSON */
	char *text; /* a string's own text; else as JSON */
};

struct scenario_probe {
	struct exchange exchange;
	size_t step; /* in hand */
	usec_t step_at;
	struct captured captured[SCENARIO_MAX_CAPTURES];
	size_t n_captured;
	struct sbuf body, prompt;
	struct url *url;        /* of a step whose path holds captures */
	struct result degraded; /* the first step that was worse than ok but no failure */
	bool is_degraded;
	struct rand rand; /* of what stands in front of the prompt */
	bool is_seeded;
};

static const struct scenario_params *params_of(const struct scenario_probe *state)
{
	return state->exchange.probe->spec->params;
}

static const struct scenario_step *step_of(const struct scenario_probe *state)
{
	return &params_of(state)->steps[state->step];
}

static struct result *result_of(const struct scenario_probe *state)
{
	return &state->exchange.probe->result;
}

static usec_t now_of(const struct scenario_probe *state)
{
	return loop_timers(state->exchange.probe->io->loop)->now;
}

/* Goes back to what an idle probe may hold. */
static void forget_run(struct scenario_probe *state)
{
	for (size_t i = 0; i < state->n_captured; i++) {
		free(state->captured[i].json);
		free(state->captured[i].text);
	}
	state->n_captured = 0;
	state->is_degraded = false;
	state->url = url_free(state->url);
	sbuf_fini(&state->body);
	sbuf_fini(&state->prompt);
	exchange_forget(&state->exchange);
}

/* ---- the end ---- */

static void end(struct scenario_probe *state)
{
	struct result *result = result_of(state);

	result_set_timing(result, TIMING_TOTAL, now_of(state) - state->exchange.probe->t0);
	for (size_t i = 0; i <= state->step; i++)
		client_mask(params_of(state)->steps[i].client, result);
	forget_run(state);
	state->exchange.probe->done(state->exchange.probe);
}

/* Puts the name of the step in front of the detail. */
static void name_step(const struct scenario_probe *state, struct result *result)
{
	enum verdict verdict = result->verdict;
	char detail[RESULT_DETAIL_SIZE];

	(void)snprintf(detail, sizeof detail, "%s",
		result->detail[0] != '\0' ? result->detail : reason_desc(result->reason)->text);
	result_set(result, result->reason, "step %s: %s", step_of(state)->name, detail);
	result->verdict = verdict;
}

static void note_time(struct scenario_probe *state)
{
	struct result *result = result_of(state);

	result->step_usec[state->step] =
		(uint32_t)min_of(now_of(state) - state->step_at, (usec_t)UINT32_MAX);
	result->n_steps = (uint8_t)(state->step + 1); /* at most RESULT_MAX_STEPS */
}

static void fail_step(struct scenario_probe *state)
{
	note_time(state);
	name_step(state, result_of(state));
	end(state);
}

/* ---- values of answers ---- */

/* A value with its text; false without memory. */
static bool keep(struct scenario_probe *state, const struct json *value)
{
	size_t len;
	const char *string = json_string(value, &len);
	struct captured captured = { .json = strdup(json_text(value)) };

	captured.text = captured.json ? strdup(string ? string : captured.json) : NULL;
	if (!captured.text) {
		free(captured.json);
		return false;
	}
	state->captured[state->n_captured++] = captured;
	return true;
}

static void capture_one(struct scenario_probe *state, const struct scenario_capture *capture,
	const struct json *document)
{
	struct result *result = result_of(state);
	const struct json *value = json_at(document, capture->pointer);
	const char *string;
	size_t len = 0;

	if (!value || json_kind(value) == JSON_NULL) {
		result_set(result, REASON_ASSERT_JSON, "nothing at %s to capture as %s",
			capture->pointer, capture->name);
		return;
	}
	string = json_string(value, &len);
	if (strlen(json_text(value)) > CAPTURE_MAX || (string && strlen(string) != len))
		result_set(result, REASON_ASSERT_JSON, "what is at %s %s", capture->pointer,
			string && strlen(string) != len ? "holds a NUL" : "is over 256 KiB");
	else if (!keep(state, value))
		result_set(result, REASON_LOCAL_MEMORY, NULL);
}

static void take_captures(struct scenario_probe *state)
{
	const struct scenario_step *step = step_of(state);
	struct result *result = result_of(state);
	struct json *document;
	int r;

	if (step->n_captures == 0)
		return;
	r = json_parse(sbuf_str(&state->exchange.answer), state->exchange.answer.len, &document);
	if (r < 0) {
		result_set(result, r == -ENOMEM ? REASON_LOCAL_MEMORY : REASON_JSON_INVALID, NULL);
		return;
	}
	for (size_t i = 0; i < step->n_captures && result->reason == REASON_OK; i++)
		capture_one(state, &step->captures[i], document);
	json_free(document);
}

/* ---- requests ---- */

static bool find_captured(const struct scenario_probe *state, const char *name, size_t len,
	struct captured *ret_captured)
{
	const struct scenario_params *scenario = params_of(state);

	for (size_t i = 0; i < state->n_captured; i++) {
		if (strlen(scenario->captures[i].name) != len ||
			memcmp(scenario->captures[i].name, name, len) != 0)
			continue;
		*ret_captured = state->captured[i];
		return true;
	}
	return false;
}

static void put_escaped(const char *text, struct sbuf *out)
{
	const struct template_value value = { "v", text };

	template_expand("${v}", &value, 1, TEMPLATE_JSON, out);
}

/* ${name} of a template: text points at it, len is its length with the braces. */
static void put_reference(const struct scenario_probe *state, const char *text, size_t len,
	bool is_in_string, struct sbuf *out)
{
	const struct scenario_step *step = step_of(state);
	const struct template_value prompt = { scenario_prompt_name, sbuf_str(&state->prompt) };
	_cleanup_(freep) char *reference = NULL;
	struct captured captured;

	if (find_captured(state, text + 2, len - strlen("${}"), &captured)) {
		if (is_in_string)
			put_escaped(captured.text, out);
		else
			sbuf_puts(out, captured.json);
		return;
	}
	reference = strndup(text, len);
	if (reference)
		client_expand(step->client, reference, step->model, &prompt, 1,
			is_in_string ? TEMPLATE_JSON : TEMPLATE_PLAIN, out);
	else
		out->failed = true;
}

/* Knows at each ${name} whether it stands inside a JSON string. */
static void fill_body(const struct scenario_probe *state, struct sbuf *out)
{
	const char *text = step_of(state)->body;
	bool is_in_string = false;

	while (*text) {
		size_t len = template_reference(text);

		if (strncmp(text, "$${", 3) == 0) {
			sbuf_puts(out, "${");
			text += 3;
			continue;
		}
		if (len > 0) {
			put_reference(state, text, len, is_in_string, out);
			text += len;
			continue;
		}
		if (is_in_string && text[0] == '\\' && text[1] != '\0')
			sbuf_putc(out, *text++);
		else if (*text == '"')
			is_in_string = !is_in_string;
		sbuf_putc(out, *text++);
	}
}

/* The URL of a step whose path holds captured values. False when they make none. */
static bool fill_path(struct scenario_probe *state)
{
	const struct scenario_step *step = step_of(state);
	const struct scenario_params *scenario = params_of(state);
	struct template_value values[SCENARIO_MAX_CAPTURES];
	_cleanup_(sbuf_fini) struct sbuf path = { .limit = PATH_MAX_BYTES };

	for (size_t i = 0; i < step->n_known; i++)
		values[i] = (struct template_value){ scenario->captures[i].name,
			state->captured[i].text };
	sbuf_puts(&path, step->prefix);
	client_expand(
		step->client, step->path, step->model, values, step->n_known, TEMPLATE_PATH, &path);
	state->url = url_free(state->url);
	return !path.failed && url_retarget(step->url, sbuf_str(&path), &state->url) == 0;
}

/* The step's own limits, but no more than the check has left. */
static void limit_time(const struct scenario_probe *state, struct http_request *request)
{
	const struct probe *probe = state->exchange.probe;
	usec_t spent = state->step_at - probe->t0;
	usec_t total = probe->spec->timeout.total;
	usec_t left = total > spent ? total - spent : 0;

	request->timeout = step_of(state)->timeout;
	request->timeout.total = min_of(request->timeout.total, left);
	request->begun_at = state->step_at;
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome);
static enum http_appetite on_data(void *arg, const char *data, size_t len);

static void start_step(struct scenario_probe *state)
{
	const struct scenario_step *step = step_of(state);
	const struct http_handlers handlers = {
		.on_data = on_data,
		.on_done = on_done,
		.arg = state,
	};
	struct http_request request = {
		.method = step->method,
		.is_full_handshake_wanted = true, /* lanes, and sessions with them, are not used */
		.max_body_bytes = step->max_body_bytes,
	};

	state->step_at = now_of(state);
	sbuf_clear(&state->exchange.answer);
	sbuf_clear(&state->body);
	state->body.limit = REQUEST_MAX;
	if (step->body)
		fill_body(state, &state->body);
	if (state->body.failed || (step->prefix && !fill_path(state))) {
		result_set(result_of(state), REASON_BAD_PROBE,
			"the captured values make no request: it is too long, or its path would "
			"lead elsewhere");
		fail_step(state);
		return;
	}
	client_request(step->client, state->exchange.probe, step->prefix ? state->url : step->url,
		&request);
	request.headers = step->sent;
	request.n_headers = step->n_sent;
	request.body =
		step->body || client_promises_body(step->method) ? sbuf_str(&state->body) : NULL;
	request.body_len = state->body.len;
	limit_time(state, &request);
	if (http_start(state->exchange.probe->io->httpc, NULL, &request, &handlers,
		    &state->exchange.transfer) == 0)
		return;
	result_set(result_of(state), REASON_LOCAL_MEMORY, NULL);
	fail_step(state);
}

/* ---- answers ---- */

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct scenario_probe *state = arg;

	sbuf_add(&state->exchange.answer, data, len);
	return HTTP_MORE;
}

static void judge(struct scenario_probe *state, struct http_transfer *transfer,
	const struct http_outcome *outcome)
{
	const struct scenario_step *step = step_of(state);
	struct result *result = result_of(state);
	const struct answer answer = exchange_answer(&state->exchange, transfer);
	const struct observation seen = {
		.http_status = result->http_status,
		.header = answer.header,
		.ctx = transfer,
		.body = answer.body,
		.body_len = answer.body_len,
		.size = outcome->body_bytes,
		.latency = now_of(state) - state->step_at,
		.now = loop_timers(state->exchange.probe->io->loop)->real,
		.cert_expires_at = outcome->result.cert_expires_at,
		.tls_version = outcome->tls ? outcome->tls->version : 0,
		.spki_sha256 =
			outcome->tls && outcome->tls->is_seen ? outcome->tls->spki_sha256 : NULL,
	};

	result->retry_after = exchange_retry_after(&state->exchange, transfer);
	if (!rules_judge(&step->rules, &step->errors, &answer, result))
		expect_judge(&step->expect, &seen, result);
	else if (result->reason == REASON_OK && step->is_status_expected)
		expect_judge(&step->expect, &seen, result);
	else if (result->reason == REASON_OK)
		expect_judge_more(&step->expect, &seen, result);
}

/* What is kept of a transfer's result; its spans are those of one step, not of the check. */
static void take_outcome(struct scenario_probe *state, const struct result *outcome)
{
	struct result *result = result_of(state);
	enum verdict verdict = outcome->verdict;

	result_set(
		result, outcome->reason, outcome->detail[0] != '\0' ? "%s" : NULL, outcome->detail);
	result->verdict = verdict;
	result->http_status = outcome->http_status;
	result->os_errno = outcome->os_errno;
	result->lib_err = outcome->lib_err;
	result->retry_after = outcome->retry_after;
	if (outcome->cert_expires_at > 0 &&
		(result->cert_expires_at == 0 ||
			outcome->cert_expires_at < result->cert_expires_at))
		result->cert_expires_at = outcome->cert_expires_at;
}

/* A step that is slow, say, still has an answer to go on with. */
static void note_degraded(struct scenario_probe *state)
{
	struct result *result = result_of(state);

	if (result->verdict == VERDICT_UP)
		return;
	if (!state->is_degraded) {
		name_step(state, result);
		state->degraded = *result;
		state->is_degraded = true;
	}
	result_set(result, REASON_OK, NULL);
}

static void finish_run(struct scenario_probe *state)
{
	struct result *result = result_of(state);

	if (state->is_degraded) {
		result_set(result, state->degraded.reason, "%s", state->degraded.detail);
		result->verdict = state->degraded.verdict;
		result->retry_after = state->degraded.retry_after;
	}
	end(state);
}

/* Whether we leave a model while it is at work, and may still be. */
static bool is_abandoned(const struct scenario_probe *state, struct http_transfer *transfer)
{
	static const enum reason ours[] = { REASON_TIMEOUT_HEADERS, REASON_TIMEOUT_IDLE,
		REASON_TIMEOUT_TOTAL, REASON_BODY_TOO_LARGE, REASON_HEADER_TOO_LARGE };

	if (step_of(state)->cost != SCENARIO_COST_INFERENCE || http_sent_at(transfer) == 0)
		return false;
	for (size_t i = 0; i < array_size(ours); i++) {
		if (result_of(state)->reason == ours[i])
			return true;
	}
	return false;
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct scenario_probe *state = arg;
	struct result *result = result_of(state);

	state->exchange.transfer = NULL;
	take_outcome(state, &outcome->result);
	result->is_abandoned = is_abandoned(state, transfer);
	if (result->reason == REASON_OK && state->exchange.answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	if (result->reason == REASON_OK)
		judge(state, transfer, outcome);
	if (result->verdict <= VERDICT_DEGRADED) {
		note_degraded(state);
		take_captures(state);
	}
	if (result->reason != REASON_OK) {
		fail_step(state);
		return;
	}
	note_time(state);
	if (state->step + 1 == params_of(state)->n_steps) {
		finish_run(state);
		return;
	}
	state->step++;
	start_step(state);
}

/* ---- start and end ---- */

static void scenario_start(struct probe *probe)
{
	struct scenario_probe *state = exchange_open(probe, sizeof *state);

	if (!state) {
		exchange_starve(probe);
		return;
	}
	if (!state->is_seeded)
		rand_seed(&state->rand,
			probe->spec->identity_hash ^ loop_timers(probe->io->loop)->real);
	state->is_seeded = true;
	state->step = 0;
	probe->result = (struct result){ 0 };
	sbuf_printf(&state->prompt, "%08" PRIx32 " %s", (uint32_t)rand_next(&state->rand),
		params_of(state)->prompt);
	start_step(state);
}

static void scenario_cancel(struct probe *probe)
{
	struct scenario_probe *state = probe->priv;
	const struct http_transfer *transfer = state->exchange.transfer;

	probe->result.is_abandoned = transfer && http_sent_at(transfer) > 0 &&
				     step_of(state)->cost == SCENARIO_COST_INFERENCE;
	exchange_cancel(probe);
	forget_run(state);
}

const struct check_kind check_scenario = {
	.name = "scenario",
	.keys = scenario_keys,
	.params_size = sizeof(struct scenario_params),
	.compile = scenario_compile,
	.link = scenario_link,
	.dispose = scenario_dispose,
	.start = scenario_start,
	.cancel = scenario_cancel,
	.fini = exchange_fini,
};

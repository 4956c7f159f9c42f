/* SPDX-License-Identifier: MIT */
/*
 * The canary: a real, tiny inference, read token by token and judged. The engine starts and cancels
 * it; the transfer engine brings the bytes, core/stream reads them by the dialect of the server,
 * checks/canaryjudge.c judges the answer.
 *
 * A run has up to three steps, each one transfer: look whether the model is in memory, get its
 * metadata, ask. Only the last costs the server anything. What is kept between runs hangs on the
 * probe: the input made of the metadata, the golden embedding, and that a server does not know
 * stream_options.
 *
 * A stream is alive when text comes, not when bytes come: a dying server goes on sending pings. So
 * the deadlines of the answer are kept here, and the transfer engine keeps the total one alone.
 */
#include "modelhealth/checks/canaryjudge.h"
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/infer.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEPT_BYTES = 16 * 1024,        /* of an answer, for rules and messages */
	LIST_BYTES = 1024 * 1024,      /* of a list of models, and of metadata */
	INPUT_KEPT_BYTES = 256 * 1024, /* a larger input is made anew each time */
};

enum step {
	STEP_LOOK,     /* is the model in memory? */
	STEP_DESCRIBE, /* what inputs does it take? */
	STEP_ASK,
};

struct canary_probe {
	struct exchange exchange;
	enum step step;
	struct sbuf body;  /* of the request in flight */
	struct sbuf input; /* made of the metadata; empty = not yet */
	struct stream *stream;
	enum stream_progress progress;
	struct timer deadline; /* of the next text */
	usec_t active_at;      /* bytes of the answer came last; 0 = not yet */
	double *golden;        /* the first good embedding */
	size_t n_golden;
	struct rand rand; /* of nonces */
	bool refuses_options;
};

static const struct canary_params *params_of(const struct canary_probe *state)
{
	return state->exchange.probe->spec->params;
}

static struct result *result_of(const struct canary_probe *state)
{
	return &state->exchange.probe->result;
}

static struct timers *timers_of(const struct canary_probe *state)
{
	return loop_timers(state->exchange.probe->io->loop);
}

/* Goes back to what an idle probe may hold. */
static void forget_run(struct canary_probe *state)
{
	timer_cancel(timers_of(state), &state->deadline);
	state->stream = stream_free(state->stream);
	sbuf_fini(&state->body);
	if (state->input.len > INPUT_KEPT_BYTES)
		sbuf_fini(&state->input);
	exchange_forget(&state->exchange);
}

static void end(struct canary_probe *state)
{
	client_mask(&params_of(state)->client, result_of(state));
	forget_run(state);
	state->exchange.probe->done(state->exchange.probe);
}

static bool is_success(uint32_t status)
{
	return status >= 200 && status <= 299;
}

/* ---- deadlines of the answer ---- */

static usec_t later(usec_t from, usec_t span)
{
	return span > USEC_NEVER - from ? USEC_NEVER : from + span;
}

/* When the next text must be here, and what it is called when it is not. A document shows its text
 * at its end only, so there bytes count. */
static usec_t text_deadline(const struct canary_probe *state, enum reason *ret_reason)
{
	const struct timeouts *timeout = &state->exchange.probe->spec->timeout;
	usec_t sent = http_sent_at(state->exchange.transfer);
	usec_t last = !dialect_is_stream(params_of(state)->dialect) ? state->active_at
		      : state->stream ? stream_last_token_at(state->stream)
				      : 0;

	*ret_reason = last > 0 ? REASON_TIMEOUT_IDLE : REASON_TIMEOUT_FIRST_TOKEN;
	if (last > 0)
		return later(last, timeout->idle);
	return later(sent > 0 ? sent : timers_of(state)->now, timeout->first_token);
}

static void on_deadline(struct timer *timer)
{
	struct canary_probe *state = container_of(timer, struct canary_probe, deadline);
	enum reason reason;
	usec_t at = text_deadline(state, &reason);

	if (at <= timers_of(state)->now)
		http_give_up(state->exchange.transfer, reason);
	else
		(void)timer_set(timers_of(state), timer, at); /* its slot was just freed */
}

/* After text came: the deadline may be nearer than the one that the timer waits for. */
static void note_text(struct canary_probe *state)
{
	enum reason reason;
	usec_t at = text_deadline(state, &reason);

	if (timer_is_set(&state->deadline) && at < state->deadline.at)
		(void)timer_set(timers_of(state), &state->deadline, at); /* armed: has a slot */
}

/* ---- what comes ---- */

static void keep_beginning(struct canary_probe *state, const char *data, size_t len, size_t max)
{
	struct sbuf *answer = &state->exchange.answer;

	sbuf_add(answer, data, min_of(len, max - min_of(answer->len, max)));
}

static enum http_appetite read_answer(struct canary_probe *state, const char *data, size_t len)
{
	const struct dialect *dialect = params_of(state)->dialect;
	usec_t now = timers_of(state)->now;

	if (!state->stream)
		state->stream = stream_new(dialect, http_sent_at(state->exchange.transfer));
	state->progress =
		state->stream ? stream_push(state->stream, data, len, now) : STREAM_FAILED;
	note_text(state);
	return state->progress == STREAM_MORE ? HTTP_MORE : HTTP_ENOUGH;
}

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct canary_probe *state = arg;

	state->active_at = timers_of(state)->now;
	if (state->step != STEP_ASK) {
		keep_beginning(state, data, len, LIST_BYTES);
		return HTTP_MORE;
	}
	keep_beginning(state, data, len, KEPT_BYTES);
	if (!is_success(http_answer_status(state->exchange.transfer)))
		return HTTP_MORE;
	return read_answer(state, data, len);
}

/* ---- what came ---- */

static struct canary_answer answer_of(const struct canary_probe *state)
{
	const struct golden *given = &params_of(state)->expect.embedding.golden;

	return (struct canary_answer){
		.params = params_of(state),
		.stream = state->stream,
		.golden = given->source ? given->embedding
					: (struct embedding){ state->golden, state->n_golden },
	};
}

static void keep_golden(struct canary_probe *state, const struct canary_answer *answer)
{
	struct embedding got = canary_embedding(answer);

	if (!canary_compares(params_of(state)) || answer->golden.n > 0 ||
		result_of(state)->reason != REASON_OK)
		return;
	state->golden = calloc(got.n, sizeof *state->golden);
	if (!state->golden)
		return; /* the next answer will do as well */
	memcpy(state->golden, got.values, got.n * sizeof *got.values);
	state->n_golden = got.n;
}

static void judge_refusal(struct canary_probe *state, struct http_transfer *transfer)
{
	const struct answer received = exchange_answer(&state->exchange, transfer);

	canary_judge_refusal(params_of(state), &received,
		exchange_retry_after(&state->exchange, transfer), result_of(state));
}

/* The answer to the question, when it is no refusal. */
static void judge_answer(struct canary_probe *state, struct http_transfer *transfer,
	const struct http_outcome *outcome)
{
	const struct answer received = exchange_answer(&state->exchange, transfer);
	const struct canary_answer answer = answer_of(state);
	struct result *result = result_of(state);

	if (outcome->result.reason != REASON_OK) {
		canary_judge_broken(
			&answer, &state->exchange.probe->spec->timeout, outcome, result);
	} else if (!state->stream) {
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	} else {
		canary_judge_whole(&answer, &received, result);
		keep_golden(state, &answer);
	}
}

/* Whether we left while the server was at work, and may still be. */
static bool is_abandoned(const struct canary_probe *state, enum reason ended_by)
{
	static const enum reason ours[] = { REASON_TIMEOUT_HEADERS, REASON_TIMEOUT_FIRST_TOKEN,
		REASON_TIMEOUT_IDLE, REASON_TIMEOUT_TOTAL, REASON_BODY_TOO_LARGE,
		REASON_HEADER_TOO_LARGE, REASON_LOCAL_MEMORY };
	enum reason reason = result_of(state)->reason;

	for (size_t i = 0; i < array_size(ours); i++) {
		if (ended_by == ours[i])
			return true;
	}
	return state->progress == STREAM_FAILED &&
	       (reason == REASON_JSON_INVALID || reason == REASON_BODY_TOO_LARGE ||
		       reason == REASON_PROTOCOL_ERROR || reason == REASON_LOCAL_MEMORY);
}

/* ---- the steps ---- */

static void begin_step(struct canary_probe *state, enum step step);

static void begin_question(struct canary_probe *state)
{
	bool has_input = !params_of(state)->metadata_url || state->input.len > 0;

	begin_step(state, has_input ? STEP_ASK : STEP_DESCRIBE);
}

static void on_looked(struct canary_probe *state)
{
	const struct canary_params *canary = params_of(state);
	struct result *result = result_of(state);
	_cleanup_(json_freep) struct json *page = NULL;
	struct wanted_model wanted;
	int r = json_parse(sbuf_str(&state->exchange.answer), state->exchange.answer.len, &page);

	if (r < 0) {
		result_set(result, r == -ENOMEM ? REASON_LOCAL_MEMORY : REASON_JSON_INVALID,
			"the list of loaded models is not JSON");
		end(state);
		return;
	}
	wanted_model_init(&wanted, canary->model);
	(void)model_list_find(&canary->loaded, page, &wanted, 1);
	switch (wanted.facts.state) {
	case MODEL_READY:
		begin_question(state);
		return;
	case MODEL_LOADING:
		result_set(result, REASON_LOADING, "%s is being loaded", canary->model);
		break;
	case MODEL_FAILED:
		result_set(result, REASON_SERVER_ERROR, "%s could not be loaded", canary->model);
		break;
	case MODEL_ABSENT:
	case MODEL_COLD:
		result_set(result, REASON_COLD, "%s is not in memory; not asked", canary->model);
		break;
	}
	end(state);
}

static void on_described(struct canary_probe *state)
{
	struct result *result = result_of(state);
	int r;

	sbuf_clear(&state->input);
	r = infer_zero_input(
		sbuf_str(&state->exchange.answer), state->exchange.answer.len, &state->input);
	if (r == 0) {
		begin_step(state, STEP_ASK);
		return;
	}
	sbuf_clear(&state->input);
	if (r == -ENOMEM)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else if (r == -EINVAL)
		result_set(
			result, REASON_JSON_INVALID, "the metadata does not describe the inputs");
	else
		result_set(result, REASON_BAD_PROBE,
			r == -ENODATA ? "the metadata names no inputs: give the mode a body"
				      : "the inputs are too large: give the mode a body");
	end(state);
}

/* Servers that check the members of a request refuse one that they do not know. */
static bool is_refusal_of_options(const struct canary_probe *state)
{
	uint32_t status = result_of(state)->http_status;

	return (status == 400 || status == 422) && !state->refuses_options &&
	       strstr(sbuf_str(&state->exchange.answer), "stream_options") &&
	       strstr(sbuf_str(&state->body), "stream_options");
}

static void on_answered(struct canary_probe *state, struct http_transfer *transfer,
	const struct http_outcome *outcome)
{
	struct result *result = result_of(state);
	enum reason ended_by = outcome->result.reason;

	if (is_success(result->http_status) && !state->stream)
		state->stream = stream_new(params_of(state)->dialect, http_sent_at(transfer));
	if (ended_by == REASON_OK && !is_success(result->http_status)) {
		if (is_refusal_of_options(state)) {
			state->refuses_options = true;
			begin_step(state, STEP_ASK);
			return;
		}
		sbuf_clear(&state->input); /* the model may have changed */
		judge_refusal(state, transfer);
	} else {
		judge_answer(state, transfer, outcome);
	}
	result->is_abandoned = http_sent_at(transfer) > 0 && is_abandoned(state, ended_by);
	end(state);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct canary_probe *state = arg;
	struct result *result = result_of(state);

	state->exchange.transfer = NULL;
	timer_cancel(timers_of(state), &state->deadline);
	*result = outcome->result;
	if (state->step == STEP_ASK) {
		on_answered(state, transfer, outcome);
		return;
	}
	if (result->reason == REASON_OK && is_success(result->http_status)) {
		(state->step == STEP_LOOK ? on_looked : on_described)(state);
		return;
	}
	if (result->reason == REASON_OK)
		judge_refusal(state, transfer);
	end(state);
}

/* ---- asking ---- */

static void put_escaped(struct sbuf *out, const char *text)
{
	const struct template_value value = { "text", text };

	template_expand("${text}", &value, 1, TEMPLATE_JSON, out);
}

/* The nonce stands first, so that no prefix of the prompt is in a cache. Embeddings that are
 * compared must be of the same text each time. */
static void put_prompt(struct canary_probe *state, struct sbuf *out)
{
	const struct canary_params *canary = params_of(state);
	uint32_t nonce = (uint32_t)rand_next(&state->rand);

	if (!canary_compares(canary))
		sbuf_printf(out, "%08" PRIx32 " ", nonce);
	put_escaped(out, canary->prompt);
}

static void fill_body(struct canary_probe *state)
{
	const struct canary_params *canary = params_of(state);
	_cleanup_(sbuf_fini) struct sbuf prompt = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf model = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	struct template_value values[3];

	put_prompt(state, &prompt);
	put_escaped(&model, canary->model ? canary->model : "");
	values[0] = (struct template_value){ "prompt", sbuf_str(&prompt) };
	values[1] = (struct template_value){ "max_tokens", canary->max_tokens_text };
	values[2] = (struct template_value){ "model", sbuf_str(&model) };
	client_expand(&canary->client, canary->dialect->body, NULL, values, array_size(values),
		TEMPLATE_PLAIN, &filled);
	if (state->refuses_options)
		infer_drop_member(sbuf_str(&filled), "stream_options", &state->body);
	else
		sbuf_puts(&state->body, sbuf_str(&filled));
	state->body.failed |= prompt.failed | model.failed | filled.failed;
}

static void fill_question(struct canary_probe *state, struct http_request *request)
{
	const struct canary_params *canary = params_of(state);

	request->method = canary->dialect->method;
	request->max_body_bytes = canary->max_body_bytes;
	if (canary->dialect->body) {
		fill_body(state);
		request->body = sbuf_str(&state->body);
		request->body_len = state->body.len;
	} else if (canary->metadata_url) {
		request->body = sbuf_str(&state->input);
		request->body_len = state->input.len;
	}
}

static void fill_look(struct canary_probe *state, struct http_request *request)
{
	const struct canary_params *canary = params_of(state);
	bool is_look = state->step == STEP_LOOK;

	request->method = is_look ? canary->loaded.method : "GET";
	request->max_body_bytes = LIST_BYTES;
	if (!is_look || !canary->loaded_body)
		return;
	request->body = canary->loaded_body;
	request->body_len = strlen(canary->loaded_body);
}

static int start_step(struct canary_probe *state)
{
	const struct canary_params *canary = params_of(state);
	const struct url *const urls[] = { canary->loaded_url, canary->metadata_url, canary->url };
	const struct check_spec *spec = state->exchange.probe->spec;
	struct http_request request = { .reuse = HTTP_FRESH };
	struct http_handlers handlers = { .on_data = on_data, .on_done = on_done, .arg = state };
	usec_t now = timers_of(state)->now;

	client_request(&canary->client, state->exchange.probe, urls[state->step], &request);
	request.headers = canary->sent;
	request.n_headers = canary->n_sent;
	request.is_full_handshake_wanted = spec->interval >= TLS_RESUME_MAX_SECONDS * USEC_PER_SEC;
	if (state->step == STEP_ASK) {
		fill_question(state, &request);
		request.timeout.first_byte = USEC_NEVER; /* on_deadline looks at text instead */
		request.timeout.idle = USEC_NEVER;
		if (timer_set(timers_of(state), &state->deadline,
			    later(now, spec->timeout.first_token)) < 0)
			return -ENOMEM;
	} else {
		fill_look(state, &request);
	}
	if (state->body.failed)
		return -ENOMEM;
	return http_start(state->exchange.probe->io->httpc, state->exchange.lane, &request,
		&handlers, &state->exchange.transfer);
}

static void begin_step(struct canary_probe *state, enum step step)
{
	state->step = step;
	state->progress = STREAM_MORE;
	state->active_at = 0;
	state->stream = stream_free(state->stream);
	sbuf_clear(&state->body);
	sbuf_clear(&state->exchange.answer);
	if (start_step(state) == 0)
		return;
	result_set(result_of(state), REASON_LOCAL_MEMORY, NULL);
	end(state);
}

/* ---- start and end ---- */

static struct canary_probe *open_probe(struct probe *probe)
{
	bool is_new = !probe->priv;
	struct canary_probe *state = exchange_open(probe, sizeof *state);

	if (!state || !is_new)
		return state;
	state->deadline.fn = on_deadline;
	rand_seed(&state->rand,
		hash_text(probe->spec->endpoint->name) ^ hash_text(probe->spec->name) ^ probe->t0);
	return state;
}

static void canary_kind_start(struct probe *probe)
{
	const struct canary_params *canary = probe->spec->params;
	struct canary_probe *state = open_probe(probe);

	if (!state)
		exchange_starve(probe);
	else if (canary->loaded_url)
		begin_step(state, STEP_LOOK);
	else
		begin_question(state);
}

static void canary_kind_cancel(struct probe *probe)
{
	struct canary_probe *state = probe->priv;

	probe->result.is_abandoned = state->step == STEP_ASK && state->exchange.transfer &&
				     http_sent_at(state->exchange.transfer) > 0;
	exchange_cancel(probe);
	forget_run(state);
}

static void canary_kind_fini(struct probe *probe)
{
	struct canary_probe *state = probe->priv;

	if (!state)
		return;
	sbuf_fini(&state->body);
	sbuf_fini(&state->input);
	free(state->golden);
	exchange_fini(probe);
}

static const struct client *canary_client(const void *params)
{
	const struct canary_params *canary = params;

	return &canary->client;
}

const struct check_kind check_canary = {
	.name = "canary",
	.keys = canary_keys,
	.params_size = sizeof(struct canary_params),
	.compile = canary_compile,
	.client = canary_client,
	.dispose = canary_dispose,
	.start = canary_kind_start,
	.cancel = canary_kind_cancel,
	.fini = canary_kind_fini,
};

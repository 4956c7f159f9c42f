/* SPDX-License-Identifier: MIT */
/*
 * What a canary's answer says of the server. Called by checks/canary.c when an answer has ended, by
 * itself or before its time; the bytes were read by core/stream.c as they came.
 */
#include "modelhealth/checks/canaryjudge.h"

#include "modelhealth/core/retryafter.h"

#include <inttypes.h>
#include <string.h>

/* ---- refusals ---- */

/* A status by itself: some mean that our request is wrong, and say nothing of the server. */
static enum reason refusal_reason(uint32_t status)
{
	static const uint16_t ours[] = { 400, 404, 405, 410, 422 };

	for (size_t i = 0; i < array_size(ours); i++) {
		if (ours[i] == status)
			return REASON_BAD_PROBE;
	}
	return expect_status_reason(status);
}

/* "retry-after-ms: 1500" */
static usec_t parse_milliseconds(const char *text)
{
	uint64_t milliseconds;

	if (u64_parse(text, &milliseconds) < 0)
		return 0;
	return min_of(milliseconds, RETRY_AFTER_MAX / USEC_PER_MSEC) * USEC_PER_MSEC;
}

/* Some servers say it in the body: {"error":{"details":[{"retryDelay":"34s"}]}} */
static usec_t delay_in_body(const struct answer *answer)
{
	_cleanup_(json_freep) struct json *json = NULL;
	const char *text;
	usec_t delay;
	size_t len;

	if (answer->body_len == 0 || json_parse(answer->body, answer->body_len, &json) < 0)
		return 0;
	text = json_string(json_at(json, "/error/details/*/retryDelay"), &len);
	return text && duration_parse(text, &delay) == 0 ? min_of(delay, RETRY_AFTER_MAX) : 0;
}

static usec_t wanted_delay(const struct answer *received, usec_t retry_after)
{
	const char *header = received->header(received->ctx, "retry-after-ms", 0);
	usec_t delay = header ? parse_milliseconds(header) : 0;

	if (delay == 0)
		delay = retry_after;
	return delay > 0 ? delay : delay_in_body(received);
}

void canary_judge_refusal(const struct canary_params *canary, const struct answer *received,
	usec_t retry_after, struct result *result)
{
	_cleanup_(sbuf_fini) struct sbuf words = SBUF_INIT;

	result->retry_after = wanted_delay(received, retry_after);
	if (rules_judge(&canary->rules, &canary->errors, received, result))
		return;
	rules_error_text(received->body, received->body_len, &words);
	result_set(result, refusal_reason(result->http_status), "status %" PRIu32 "%s%s",
		result->http_status, words.len > 0 ? ": " : "", sbuf_str(&words));
}

/* ---- answers ---- */

static void judge_finish(const struct canary_answer *answer, struct result *result)
{
	const struct conf_strings *wanted = &answer->params->expect.finish;
	const char *finish = stream_finish(answer->stream);

	for (size_t i = 0; i < wanted->n; i++) {
		if (finish && strcmp(finish, wanted->items[i]) == 0)
			return;
	}
	if (wanted->n > 0)
		result_set(result, REASON_WRONG_ANSWER, "finish reason %s is not expected",
			finish ? finish : "(none)");
}

static void judge_usage(const struct canary_answer *answer, struct result *result)
{
	if (answer->params->expect.is_usage_wanted && result->tokens.source != TOKENS_REPORTED)
		result_set(result, REASON_WRONG_ANSWER, "the answer tells no count of tokens");
}

static void judge_text(const struct canary_answer *answer, struct result *result)
{
	size_t len;
	const char *text = stream_text(answer->stream, &len);

	answer_text_judge(&answer->params->expect.text, text, len, result);
}

struct embedding canary_embedding(const struct canary_answer *answer)
{
	struct embedding embedding = { 0 };

	if (answer->params->dialect->embedding)
		embedding.values = stream_embedding(answer->stream, &embedding.n);
	return embedding;
}

static void judge_embedding(const struct canary_answer *answer, struct result *result)
{
	if (answer->params->dialect->embedding)
		embedding_judge(&answer->params->embedding, answer->golden,
			canary_embedding(answer), result);
}

static void judge_first_token(const struct canary_answer *answer, struct result *result)
{
	if (result_has_timing(result, TIMING_FIRST_TOKEN))
		expect_limits_judge(&answer->params->ttft, result->timing[TIMING_FIRST_TOKEN],
			"first token took", result);
}

static void judge_gaps(const struct canary_answer *answer, struct result *result)
{
	if (result->tokens.gaps > 0)
		expect_limits_judge(&answer->params->inter_token, result->tokens.gap_p95,
			"p95 between tokens", result);
}

static void judge_speed(const struct canary_answer *answer, struct result *result)
{
	const struct canary_speed *limits = &answer->params->tokens_per_second;
	double speed = result->tokens.per_second;
	bool is_down = limits->down_below.source && speed < limits->down_below.value;

	if (!(speed > 0)) /* one token has no speed */
		return;
	if (!is_down && (!limits->degraded_below.source || speed >= limits->degraded_below.value))
		return;
	result_set(result, REASON_SLOW, "%.1f tokens/s, limit %s", speed,
		is_down ? limits->down_below.source : limits->degraded_below.source);
	result->verdict = is_down ? VERDICT_DOWN : VERDICT_DEGRADED;
}

static void judge_model(const struct canary_answer *answer, struct result *result)
{
	const struct canary_params *canary = answer->params;
	const char *answered = stream_model(answer->stream);

	if (canary->is_model_checked && canary->model && answered &&
		!model_name_matches(canary->model, answered))
		result_set(result, REASON_MODEL_DRIFT, "asked %s, %s answered", canary->model,
			answered);
}

/* What the answer of a stream that came whole must be; the first that fails decides, so what takes
 * the endpoint down stands before what degrades it. */
static void judge_expectations(const struct canary_answer *answer, struct result *result)
{
	static void (*const steps[])(const struct canary_answer *, struct result *) = {
		judge_text,
		judge_finish,
		judge_usage,
		judge_embedding,
		judge_first_token,
		judge_gaps,
		judge_speed,
		judge_model,
	};

	for (size_t i = 0; i < array_size(steps) && result->reason == REASON_OK; i++)
		steps[i](answer, result);
}

void canary_judge_whole(
	const struct canary_answer *answer, const struct answer *received, struct result *result)
{
	const struct canary_params *canary = answer->params;

	stream_judge(answer->stream, result);
	if (result->reason == REASON_DEGENERATE_OUTPUT && !canary->expect.is_degenerate_refused)
		result_set(result, REASON_OK, NULL);
	if (canary->rules.n > 0 && rules_judge(&canary->rules, NULL, received, result) &&
		result->reason != REASON_OK)
		return;
	judge_expectations(answer, result);
}

/* Why a transfer ended that we ended; the address is no news. */
static void explain_timeout(const struct timeouts *timeout, size_t bytes, struct result *result)
{
	char text[DURATION_TEXT_SIZE];

	if (result->reason == REASON_TIMEOUT_FIRST_TOKEN) {
		duration_format(timeout->first_token, text);
		result_set(result, result->reason, "no text within %s, in %zu bytes of answer",
			text, bytes);
	} else if (result->reason == REASON_TIMEOUT_IDLE) {
		duration_format(timeout->idle, text);
		result_set(result, result->reason, "no text for %s after %" PRIu32 " tokens", text,
			result->tokens.completion);
	}
}

void canary_judge_broken(const struct canary_answer *answer, const struct timeouts *timeout,
	const struct http_outcome *outcome, struct result *result)
{
	const struct result *failure = &outcome->result;
	bool is_closed = failure->reason == REASON_CONN_RESET && outcome->body_bytes > 0 &&
			 dialect_is_stream(answer->params->dialect);

	if (!answer->stream) {
		explain_timeout(timeout, 0, result);
		return;
	}
	result_set(result, REASON_OK, NULL);
	stream_judge(answer->stream, result);
	if (is_closed && result->reason != REASON_OK)
		return;
	result->reason = failure->reason;
	result->verdict = failure->verdict;
	memcpy(result->detail, failure->detail, sizeof result->detail);
	explain_timeout(timeout, outcome->body_bytes, result);
}

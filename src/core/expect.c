/* SPDX-License-Identifier: MIT */
/*
 * Judges complete answers by what core/expectkeys.c compiled. Pure. Called by the checks over HTTP
 * at the end of each answer; single expectations by tcp, rules and the canary.
 */
#include "modelhealth/core/expect.h"

#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	GOT_SIZE = 64 /* of an observed value in a message */
};

/* ---- what is needed ---- */

bool expect_needs_body(const struct expect *expect)
{
	return expect->json.n > 0 || expect->body.source;
}

bool expect_needs_certificate(const struct expect *expect)
{
	return expect->cert_expires_in.degraded > 0 || expect->cert_expires_in.down > 0 ||
	       expect->spki_sha256.n > 0;
}

bool expect_needs_tls(const struct expect *expect)
{
	return expect_needs_certificate(expect) || expect->tls_version.min > 0;
}

/* ---- judging ---- */

/* Collects: the first failure that is down, else the first. */
struct judgement {
	struct result *result;
	bool is_failed;
	bool is_final; /* the rest says nothing any more */
};

static bool is_decided(const struct judgement *judgement)
{
	return judgement->is_final ||
	       (judgement->is_failed && judgement->result->verdict != VERDICT_DEGRADED);
}

/* severity takes the place of the reason's own verdict. */
static void fail(
	struct judgement *judgement, enum reason reason, enum verdict verdict, const char *detail)
{
	if (judgement->is_failed && verdict == VERDICT_DEGRADED)
		return;
	judgement->is_failed = true;
	result_set(judgement->result, reason, "%s", detail);
	judgement->result->verdict = verdict;
}

bool expect_status_lists(const struct expect_status *expected, uint32_t status)
{
	for (size_t i = 0; i < expected->n_ranges; i++) {
		if (status >= expected->ranges[i].from && status <= expected->ranges[i].to)
			return true;
	}
	return false;
}

bool expect_has_status(const struct expect *expect, uint32_t status)
{
	if (!expect->status.source)
		return status >= 200 && status <= 299;
	return expect_status_lists(&expect->status, status);
}

static const struct {
	uint32_t from, to;
	enum reason reason;
} status_reasons[] = {
	{ 401, 401, REASON_AUTH_FAILED },
	{ 403, 403, REASON_AUTH_FAILED },
	{ 407, 407, REASON_AUTH_FAILED },
	{ 429, 429, REASON_RATE_LIMITED },
	{ 500, 599, REASON_SERVER_ERROR },
};

enum reason expect_status_reason(uint32_t status)
{
	for (size_t i = 0; i < array_size(status_reasons); i++) {
		if (status >= status_reasons[i].from && status <= status_reasons[i].to)
			return status_reasons[i].reason;
	}
	return REASON_HTTP_STATUS;
}

static void judge_status(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	enum reason reason = expect_status_reason(seen->http_status);
	enum verdict verdict = reason_verdict(reason);
	char detail[2 * RESULT_DETAIL_SIZE];

	if (expect_has_status(expect, seen->http_status))
		return;
	if (verdict == VERDICT_DOWN && expect->status.source)
		verdict = expect->status.severity;
	(void)snprintf(detail, sizeof detail, "status %u, expected %s", seen->http_status,
		expect->status.source ? expect->status.source : "200-299");
	fail(judgement, reason, verdict, detail);
	judgement->is_final = true; /* an error page is not what the others were written for */
}

const char *expect_tls_version_text(uint16_t version)
{
	static const char *const texts[] = { "1.0", "1.1", "1.2", "1.3" };
	size_t i = (size_t)version - TLS_1_0; /* no such index below it */

	return i < array_size(texts) ? texts[i] : "unknown";
}

static void judge_tls_version(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	char detail[2 * RESULT_DETAIL_SIZE];

	if (seen->tls_version >= expect->tls_version.min)
		return;
	(void)snprintf(detail, sizeof detail, "TLS %s, expected at least %s",
		expect_tls_version_text(seen->tls_version),
		expect_tls_version_text(expect->tls_version.min));
	fail(judgement, REASON_ASSERT_BODY, expect->tls_version.severity, detail);
}

static void judge_pins(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	char detail[2 * RESULT_DETAIL_SIZE] = "no certificate";
	size_t len = 0;

	if (expect->spki_sha256.n == 0)
		return;
	for (size_t i = 0; seen->spki_sha256 && i < expect->spki_sha256.n; i++) {
		if (memcmp(expect->spki_sha256.items[i], seen->spki_sha256, SPKI_BYTES) == 0)
			return;
	}
	if (seen->spki_sha256)
		len = (size_t)snprintf(detail, sizeof detail, "public key has SHA-256 ");
	for (size_t i = 0; seen->spki_sha256 && i < SPKI_BYTES; i++)
		len += (size_t)snprintf(
			detail + len, sizeof detail - len, "%02x", seen->spki_sha256[i]);
	fail(judgement, REASON_ASSERT_BODY, expect->spki_sha256.severity, detail);
}

static void judge_expiry(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	const struct expect_limits *limits = &expect->cert_expires_in;
	usec_t left = seen->cert_expires_at > seen->now ? seen->cert_expires_at - seen->now : 0;
	enum verdict verdict = left < limits->down ? VERDICT_DOWN : VERDICT_DEGRADED;
	usec_t limit = left < limits->down ? limits->down : limits->degraded;
	char text[DURATION_TEXT_SIZE], limit_text[DURATION_TEXT_SIZE];
	char detail[2 * RESULT_DETAIL_SIZE];

	if (left >= limits->down && left >= limits->degraded)
		return;
	duration_format(left / USEC_PER_SEC * USEC_PER_SEC, text);
	duration_format(limit, limit_text);
	(void)snprintf(detail, sizeof detail, "certificate expires in %s, expected at least %s",
		text, limit_text);
	fail(judgement, REASON_CERT_EXPIRING, verdict, detail);
}

static void fail_value(struct judgement *judgement, enum reason reason, const char *what,
	const struct named_condition *wanted, const struct observed *got)
{
	char got_text[GOT_SIZE];
	char detail[2 * RESULT_DETAIL_SIZE];

	(void)sanitise(got_text, sizeof got_text, got ? got->text : "", got ? got->len : 0);
	(void)snprintf(detail, sizeof detail, "%s %.40s: got %s%s%s, expected %.60s", what,
		wanted->name, got ? "\"" : "", got ? got_text : "nothing", got ? "\"" : "",
		wanted->condition.source);
	fail(judgement, reason, wanted->condition.severity, detail);
}

static void judge_header_value(const struct observation *seen, const struct named_condition *wanted,
	struct judgement *judgement)
{
	struct observed got = { .kind = JSON_STRING };

	if (condition_holds_of_header(&wanted->condition, seen->header, seen->ctx, wanted->name))
		return;
	got.text = seen->header(seen->ctx, wanted->name, 0);
	got.len = got.text ? strlen(got.text) : 0;
	fail_value(judgement, REASON_ASSERT_HEADER, "header", wanted, got.text ? &got : NULL);
}

static void judge_header(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	for (size_t i = 0; i < expect->header.n && !is_decided(judgement); i++)
		judge_header_value(seen, &expect->header.items[i], judgement);
}

bool expect_text_holds(const struct expect_text *text, const char *data, size_t len)
{
	if (text->contains && !memmem(data, len, text->contains, strlen(text->contains)))
		return false;
	if (text->matches && regex_match(text->matches, data, len) != REGEX_MATCH)
		return false;
	/* a search that hits its limit has not shown that the pattern is absent */
	return !text->not_matches || regex_match(text->not_matches, data, len) == REGEX_NO_MATCH;
}

void expect_text_fail(
	const struct expect_text *text, const char *data, size_t len, struct result *result)
{
	char start[GOT_SIZE];

	(void)sanitise(start, sizeof start, data, len);
	result_set(result, REASON_ASSERT_BODY, "got \"%s\", expected %.60s", start, text->source);
	result->verdict = text->severity;
}

static void judge_body(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	struct result failure = { 0 };

	if (expect_text_holds(&expect->body, seen->body, seen->body_len))
		return;
	expect_text_fail(&expect->body, seen->body, seen->body_len, &failure);
	fail(judgement, failure.reason, failure.verdict, failure.detail);
}

static bool on_first(void *ctx, const struct json *value)
{
	struct observed *first = ctx;

	*first = condition_observe(value);
	return false;
}

static void judge_json_value(
	const struct json *json, const struct named_condition *wanted, struct judgement *judgement)
{
	struct observed first = { 0 };

	if (condition_holds_at(&wanted->condition, json, wanted->name, CONDITION_SOME))
		return;
	(void)json_find(json, wanted->name, on_first, &first);
	fail_value(judgement, REASON_ASSERT_JSON, "json", wanted, first.text ? &first : NULL);
}

/* The worst severity of the conditions: a body that is no JSON breaks them all. */
static enum verdict json_severity(const struct expect_values *values)
{
	for (size_t i = 0; i < values->n; i++) {
		if (values->items[i].condition.severity == VERDICT_DOWN)
			return VERDICT_DOWN;
	}
	return VERDICT_DEGRADED;
}

static void judge_json(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	_cleanup_(json_freep) struct json *json = NULL;
	int r;

	if (expect->json.n == 0)
		return;
	r = json_parse(seen->body, seen->body_len, &json);
	if (r == -ENOMEM) {
		fail(judgement, REASON_LOCAL_MEMORY, VERDICT_UNKNOWN, "");
		return;
	}
	if (r < 0) {
		fail(judgement, REASON_JSON_INVALID, json_severity(&expect->json),
			r == -E2BIG   ? "nested too deep"
			: r == -EFBIG ? "too many values"
				      : "body is not JSON");
		return;
	}
	for (size_t i = 0; i < expect->json.n && !is_decided(judgement); i++)
		judge_json_value(json, &expect->json.items[i], judgement);
}

static void judge_size(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	const struct expect_size *size = &expect->size;
	char detail[2 * RESULT_DETAIL_SIZE];

	if (!size->source || (seen->size >= size->min && seen->size <= size->max))
		return;
	(void)snprintf(detail, sizeof detail, "body has %llu bytes, expected %.60s",
		(unsigned long long)seen->size, size->source);
	fail(judgement, REASON_ASSERT_BODY, size->severity, detail);
}

void expect_limits_judge(
	const struct expect_limits *limits, usec_t took, const char *what, struct result *result)
{
	bool is_down = limits->down > 0 && took > limits->down;
	char text[DURATION_TEXT_SIZE], limit_text[DURATION_TEXT_SIZE];

	if (!is_down && (limits->degraded == 0 || took <= limits->degraded))
		return;
	/* nobody reads the microseconds of a second */
	duration_format(
		took < 10 * USEC_PER_MSEC ? took : took / USEC_PER_MSEC * USEC_PER_MSEC, text);
	duration_format(is_down ? limits->down : limits->degraded, limit_text);
	result_set(result, REASON_SLOW, "%s %s, limit %s", what, text, limit_text);
	result->verdict = is_down ? VERDICT_DOWN : VERDICT_DEGRADED;
}

static void judge_latency(
	const struct expect *expect, const struct observation *seen, struct judgement *judgement)
{
	struct result failure = { .reason = REASON_OK };

	expect_limits_judge(&expect->latency, seen->latency, "took", &failure);
	if (failure.reason != REASON_OK)
		fail(judgement, failure.reason, failure.verdict, failure.detail);
}

/* In the order of steps, from the first. */
static void judge_from(const struct expect *expect, const struct observation *seen, size_t first,
	struct result *result)
{
	static void (*const steps[])(
		const struct expect *, const struct observation *, struct judgement *) = {
		judge_status,
		judge_tls_version,
		judge_pins,
		judge_expiry,
		judge_header,
		judge_body,
		judge_json,
		judge_size,
		judge_latency,
	};
	struct judgement judgement = { .result = result };

	for (size_t i = first; i < array_size(steps) && !is_decided(&judgement); i++)
		steps[i](expect, seen, &judgement);
}

void expect_judge(
	const struct expect *expect, const struct observation *seen, struct result *result)
{
	judge_from(expect, seen, 0, result);
}

void expect_judge_more(
	const struct expect *expect, const struct observation *seen, struct result *result)
{
	judge_from(expect, seen, 1, result);
}

void expect_json_judge(
	const struct expect_values *json, const char *body, size_t len, struct result *result)
{
	const struct expect expect = { .json = *json };
	const struct observation seen = { .body = body, .body_len = len };
	struct judgement judgement = { .result = result };

	judge_json(&expect, &seen, &judgement);
}

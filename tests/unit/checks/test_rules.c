/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/rules.h"

#include "checked.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *one_header(void *ctx, const char *name, size_t index)
{
	return index == 0 && strcmp(name, "X-State") == 0 ? ctx : NULL;
}

/* What rules (and errors) of these lines of YAML make of an answer; "none" when none holds. */
static const char *judge(const char *lines, uint32_t status, const char *body, const char *header,
	struct result *ret_result)
{
	struct checked checked;
	struct answer answer = {
		.http_status = status,
		.header = header ? one_header : NULL,
		.body = body,
		.body_len = strlen(body),
	};
	const struct http_params *http;
	bool is_judged;
	char *value = header ? strdup(header) : NULL;

	answer.ctx = value;
	checked_http(&checked, "http://h/", lines);
	if (!checked.config)
		fail_msg("%s", sbuf_str(&checked.errors));
	http = checked_params(&checked);
	memset(ret_result, 0, sizeof *ret_result);
	is_judged = rules_judge(&http->rules, &http->errors, &answer, ret_result);
	checked_fini(&checked);
	free(value);
	return is_judged ? reason_token(ret_result->reason) : "none";
}

static void assert_judged(const char *lines, uint32_t status, const char *body, const char *reason,
	const char *detail)
{
	struct result result;

	assert_string_equal(judge(lines, status, body, NULL, &result), reason);
	assert_string_equal(result.detail, detail);
}

static void test_rules_first_that_holds_decides(void **state)
{
	static const char lines[] =
		"    rules:\n"
		"      - { status: [ 500-502, 503 ], json: { /s: loading }, reason: loading }\n"
		"      - { status: 503, reason: overloaded }\n"
		"      - { status: 200, reason: ok }\n";

	(void)state;
	assert_judged(
		lines, 503, "{\"s\":\"loading\"}", "loading", "status 503: {\"s\":\"loading\"}");
	assert_judged(lines, 503, "{\"s\":1}", "overloaded", "status 503: {\"s\":1}");
	assert_judged(lines, 503, "", "overloaded", "status 503");
	assert_judged(lines, 200, "whatever", "ok", "");
	assert_judged(lines, 404, "", "none", "");
	assert_judged(lines, 0, "", "none", "");
}

static void test_rules_of_errors_come_after_rules(void **state)
{
	static const char lines[] =
		"    rules: [ { status: 429, body: { contains: quota }, reason: "
		"quota_exhausted } ]\n"
		"    errors: [ { status: 429, reason: rate_limited } ]\n";

	(void)state;
	assert_judged(lines, 429, "your quota", "quota_exhausted", "status 429: your quota");
	assert_judged(lines, 429, "slow", "rate_limited", "status 429: slow");
}

static void test_rules_some_element_or_every(void **state)
{
	static const char some[] = "    rules: [ { json: { /m/*/ready: true }, reason: ok } ]\n";
	static const char every[] = "    rules: [ { all: { /m/*/ready: true }, reason: ok } ]\n";
	static const char absent[] =
		"    rules: [ { json: { /m: { exists: false } }, reason: loading } ]\n";

	(void)state;
	assert_judged(some, 200, "{\"m\":[{\"ready\":false},{\"ready\":true}]}", "ok", "");
	assert_judged(every, 200, "{\"m\":[{\"ready\":false},{\"ready\":true}]}", "none", "");
	assert_judged(every, 200, "{\"m\":[{\"ready\":true},{\"ready\":false}]}", "none", "");
	assert_judged(every, 200, "{\"m\":[{\"ready\":true},{\"ready\":true}]}", "ok", "");
	assert_judged(every, 200, "{\"m\":[]}", "none", "");
	assert_judged(some, 200, "no json", "none", "");
	assert_judged(absent, 200, "{\"n\":1}", "loading", "status 200: {\"n\":1}");
	assert_judged(absent, 200, "{\"m\":1}", "none", "");
	assert_judged(absent, 200, "no json", "none", "");
}

static void test_rules_body_whole_or_in_part(void **state)
{
	static const char whole[] = "    rules: [ { body: \"ok\", reason: ok } ]\n";
	static const char empty[] = "    rules: [ { status: 400, body: \"\", reason: loading } ]\n";
	static const char part[] =
		"    rules: [ { body: { starts_with: a, contains: b, matches: 'c$' }, reason: ok } ]\n";

	(void)state;
	assert_judged(whole, 200, " ok\r\n", "ok", "");
	assert_judged(whole, 200, "okay", "none", "");
	assert_judged(empty, 400, "  \n", "loading", "status 400");
	assert_judged(empty, 400, "x", "none", "");
	assert_judged(part, 200, " a b c", "ok", "");
	assert_judged(part, 200, "b a c", "none", "");
	assert_judged(part, 200, "a c", "none", "");
	assert_judged(part, 200, "a b c d", "none", "");
}

static void test_rules_see_headers(void **state)
{
	static const char lines[] =
		"    rules:\n"
		"      - { header: { X-State: draining }, reason: draining }\n"
		"      - { header: { X-State: { exists: false } }, reason: ok }\n";
	struct result result;

	(void)state;
	assert_string_equal(judge(lines, 200, "", "draining", &result), "draining");
	assert_string_equal(judge(lines, 200, "", "other", &result), "none");
	assert_string_equal(judge(lines, 200, "", NULL, &result), "ok");
}

static void test_rules_own_message_stands_for_the_servers_words(void **state)
{
	(void)state;
	assert_judged(
		"    rules: [ { status: 404, message: switched off, reason: feature_off } ]\n", 404,
		"{\"error\":\"x\"}", "feature_off", "status 404: switched off");
}

static void test_rules_reasons_bring_their_verdict(void **state)
{
	struct result result;

	(void)state;
	(void)judge("    rules: [ { reason: overloaded } ]\n", 503, "", NULL, &result);
	assert_int_equal(result.verdict, VERDICT_DEGRADED);
	(void)judge("    rules: [ { reason: auth_failed } ]\n", 401, "", NULL, &result);
	assert_int_equal(result.verdict, VERDICT_UNKNOWN);
}

static void test_rules_find_the_servers_words(void **state)
{
	static const struct {
		const char *body, *words;
	} cases[] = {
		{ "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}", "m" },
		{ "{\"error\":\"e\"}", "e" },
		{ "{\"object\":\"error\",\"message\":\"m\"}", "m" },
		{ "{\"detail\":\"d\"}", "d" },
		{ "{\"detail\":[{\"loc\":[],\"msg\":\"f\"}]}", "f" },
		{ "{\"errors\":[{\"message\":\"g\"}]}", "g" },
		{ "{\"Message\":\"aws\"}", "aws" },
		{ "{\"error\":null,\"status\":\"x\"}", "{\"error\":null,\"status\":\"x\"}" },
		{ "<html><head><title>502 Bad Gateway</title></head>", "502 Bad Gateway" },
		{ "<html>", "" },
		{ "  plain words", "plain words" },
		{ " \n", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

		rules_error_text(cases[i].body, strlen(cases[i].body), &out);
		assert_string_equal(sbuf_str(&out), cases[i].words);
	}
}

static void test_rules_mistakes_are_all_reported(void **state)
{
	struct checked checked;

	(void)state;
	checked_http(&checked, "http://h/",
		"    errors:\n"
		"      - { status: 700, reason: ok }\n"
		"      - { status: 200, reasn: ok }\n"
		"      - { reason: lodaing }\n"
		"      - { reason: internal }\n"
		"      - { json: { a: 1 }, body: { contans: x }, reason: ok }\n"
		"      - { body: { matches: '(' }, message: [ 1 ], reason: ok }\n"
		"      - nonsense\n"
		"    rules: { status: 200 }\n");
	assert_null(checked.config);
	assert_string_equal(sbuf_str(&checked.errors),
		"test.yaml:6:19: endpoints[0].errors[0].status: expected a status like 200 or a "
		"range like 200-299, got \"700\"\n"
		"test.yaml:7:9: endpoints[0].errors[1]: reason is missing: expected what the answer "
		"means\n"
		"test.yaml:7:31: endpoints[0].errors[1].reasn: unknown key (did you mean reason?)\n"
		"test.yaml:8:19: endpoints[0].errors[2].reason: expected a reason like ok, loading or "
		"server_error, got \"lodaing\" (did you mean loading?)\n"
		"test.yaml:9:19: endpoints[0].errors[3].reason: expected a reason like ok, loading or "
		"server_error, got \"internal\"\n"
		"test.yaml:10:22: endpoints[0].errors[4].json.a: this is not a JSON pointer (RFC "
		"6901), which begins with /\n"
		"test.yaml:10:44: endpoints[0].errors[4].body.contans: unknown key (did you mean "
		"contains?)\n"
		"test.yaml:11:28: endpoints[0].errors[5].body.matches: bad regular expression at "
		"character 2: missing closing parenthesis\n"
		"test.yaml:11:44: endpoints[0].errors[5].message: expected a text, got a list\n"
		"test.yaml:12:9: endpoints[0].errors[6]: expected a rule like { status: 503, reason: "
		"loading }, got \"nonsense\"\n"
		"test.yaml:13:12: endpoints[0].rules: expected a list of at most 64 rules like { "
		"status: 503, reason: loading }, got a mapping\n");
	checked_fini(&checked);
}

/* ---- in checks ---- */

/* Answers every request, or greets, with the text in arg. */
static void talk(struct peer *peer, int fd, unsigned number)
{
	char request[1024];

	(void)number;
	if (peer_read_request(peer, fd, request, sizeof request) > 0)
		peer_send(fd, peer->arg);
}

static void greet(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_send(fd, peer->arg);
}

/* One check of a type with these lines against a peer that says answer. */
static void assert_check(void (*peer_talk)(struct peer *, int, unsigned), const char *answer,
	const char *type, const char *lines, const char *reason, const char *detail)
{
	struct checked checked;
	struct runner runner;
	struct peer peer;
	char said[512], yaml[1024];

	(void)snprintf(said, sizeof said, "%s", answer);
	peer_start(&peer, peer_talk, said);
	(void)snprintf(yaml, sizeof yaml,
		"endpoints:\n  - name: a\n    type: %s\n    url: %s://127.0.0.1:%u\n%s", type, type,
		peer.port, lines);
	checked_load(&checked, yaml);
	if (!checked.config)
		fail_msg("%s", sbuf_str(&checked.errors));
	runner_open(&runner, &checked);
	assert_string_equal(runner_run(&runner), reason);
	assert_string_equal(runner.probe.result.detail, detail);
	runner_close(&runner);
	checked_fini(&checked);
	peer_stop(&peer);
}

#define HTTP       "    rules: [ { status: 503, reason: ok }, { status: 500, reason: loading } ]\n"
#define ANSWER_503 "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nwords"

static void test_rules_decide_before_the_status(void **state)
{
	(void)state;
	assert_check(talk, ANSWER_503, "http", HTTP, "ok", "");
	assert_check(talk, "HTTP/1.1 500 No\r\nContent-Length: 17\r\n\r\n{\"error\":\"wait\"}\n",
		"http", HTTP, "loading", "status 500: wait");
	assert_check(talk, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "http", HTTP,
		"http_status", "status 404, expected 200-299");
}

static void test_rules_ok_leaves_what_the_operator_expects(void **state)
{
	(void)state;
	assert_check(talk, ANSWER_503, "http", HTTP "    expect: { body: other }\n", "assert_body",
		"got \"words\", expected other");
	assert_check(talk, ANSWER_503, "http", HTTP "    expect: { status: 200 }\n", "server_error",
		"status 503, expected 200");
}

#define TCP                                                                   \
	"    rules: [ { body: { starts_with: -LOADING }, reason: loading }, " \
	"{ body: +PONG, reason: ok } ]\n"

static void test_rules_judge_a_tcp_answer(void **state)
{
	(void)state;
	assert_check(greet, "+PONG\r\n", "tcp", TCP, "ok", "");
	assert_check(greet, "-LOADING Redis is loading\r\n", "tcp", TCP, "loading",
		"-LOADING Redis is loading");
	assert_check(greet, "-ERR\r\n", "tcp", TCP "    expect: +PONG\n", "assert_body",
		"got \"-ERR\", expected +PONG");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_first_that_holds_decides),
		cmocka_unit_test(test_rules_of_errors_come_after_rules),
		cmocka_unit_test(test_rules_some_element_or_every),
		cmocka_unit_test(test_rules_body_whole_or_in_part),
		cmocka_unit_test(test_rules_see_headers),
		cmocka_unit_test(test_rules_own_message_stands_for_the_servers_words),
		cmocka_unit_test(test_rules_reasons_bring_their_verdict),
		cmocka_unit_test(test_rules_find_the_servers_words),
		cmocka_unit_test(test_rules_mistakes_are_all_reported),
		cmocka_unit_test(test_rules_decide_before_the_status),
		cmocka_unit_test(test_rules_ok_leaves_what_the_operator_expects),
		cmocka_unit_test(test_rules_judge_a_tcp_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

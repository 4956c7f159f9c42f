/* SPDX-License-Identifier: MIT */
/*
 * What the engine must know of a canary and nobody else sees: what it costs, and whether it left a
 * server at work. What answers mean is tested from outside, in tests/blackbox/test_canary.py.
 */
#include "checked.h"

#include "../io/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char modes[] =
	"    modes:\n"
	"      chat: { path: /chat, framing: sse, text: [ /t ], finish: [ /f ], error: [ /error ],\n"
	"              body: '{\"prompt\":\"${prompt}\",\"max_tokens\":${max_tokens}}' }\n"
	"      embed: { path: /embed, embedding: /e, body: '{\"input\":\"${prompt}\"}' }\n"
	"      infer: { path: /infer, require: [ /o ], body: '{\"inputs\":[]}' }\n";

static void load(struct checked *checked, uint16_t port, const char *lines)
{
	struct sbuf yaml = SBUF_INIT;

	sbuf_printf(&yaml,
		"endpoints:\n  - name: a\n    type: canary\n    url: http://127.0.0.1:%u\n%s%s",
		port, modes, lines);
	checked_load(checked, sbuf_str(&yaml));
	if (!checked->config)
		fail_msg("%s\n%s", sbuf_str(&yaml), sbuf_str(&checked->errors));
	sbuf_fini(&yaml);
}

static void test_alone_it_is_called_canary(void **state)
{
	struct checked checked;

	(void)state;
	load(&checked, 1, "    mode: chat\n");
	assert_string_equal(checked_spec(&checked)->name, "canary");
	assert_int_equal(checked_spec(&checked)->tier, TIER_CANARY);
	checked_fini(&checked);
}

/* ---- cost ---- */

static struct cost cost_of(const char *lines)
{
	struct checked checked;
	struct cost cost;

	load(&checked, 1, lines);
	cost = checked_spec(&checked)->cost;
	checked_fini(&checked);
	return cost;
}

static void test_cost_counts_prompt_and_answer(void **state)
{
	struct cost cost = cost_of("    mode: chat\n    prompt: 123456789\n    max_tokens: 100\n");

	(void)state;
	assert_true(cost.is_inference);
	assert_int_equal(cost.when, COST_ALWAYS);
	assert_int_equal(cost.tokens_a_run, 24 + 3 + 100);
	assert_int_equal(cost.tokens.count, 100000);
	assert_int_equal(cost.requests.count, 1440);
	assert_int_equal(cost_of("    mode: embed\n    prompt: 123456789\n").tokens_a_run, 24 + 3);
	assert_int_equal(cost_of("    mode: infer\n").tokens_a_run, 0);
	cost = cost_of(
		"    mode: chat\n    when: idle_or_suspicious\n    budget: { tokens: 5/1h }\n");
	assert_int_equal(cost.when, COST_IDLE_OR_SUSPICIOUS);
	assert_int_equal(cost.tokens.count, 5);
	assert_int_equal(cost.requests.count, 1440);
}

/* ---- what is left behind ---- */

static atomic_uint requests; /* read so far */

/* Plays the text up to a vertical tab, which waits for the client to leave. */
static void play(struct peer *peer, int fd, unsigned number)
{
	const char *text = peer->arg;
	char buffer[2048];
	size_t shown = min_of(strcspn(text, "\v"), sizeof buffer - 1);
	ssize_t len;

	(void)number;
	if (peer_read_request(peer, fd, buffer, sizeof buffer) == 0)
		return;
	/* closing with unread bytes would be a reset */
	do
		len = recv(fd, buffer, sizeof buffer, 0);
	while (len > 0 && buffer[len - 1] != '}');
	atomic_fetch_add(&requests, 1);
	memcpy(buffer, text, shown);
	buffer[shown] = '\0';
	(void)peer_send(fd, buffer);
	if (strchr(text, '\v'))
		peer_hang(peer, fd);
}

static void check(const char *answer, const char *reason, bool is_abandoned)
{
	struct peer peer;
	struct checked checked;
	struct runner runner;

	peer_start(&peer, play, answer);
	load(&checked, peer.port,
		"    mode: chat\n    timeout: { first_token: 100ms, idle: 100ms, total: 10s }\n");
	runner_open(&runner, &checked);
	assert_string_equal(runner_run(&runner), reason);
	assert_int_equal(runner.probe.result.is_abandoned, is_abandoned);
	runner_close(&runner);
	checked_fini(&checked);
	peer_stop(&peer);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define TOKEN   "data: {\"t\":\"word\"}\n\n"

static void test_what_we_broke_off_is_abandoned(void **state)
{
	(void)state;
	check("\v", "timeout_first_token", true);
	check(OK_HEAD ": ping\n\n\v", "timeout_first_token", true);
	check(OK_HEAD TOKEN "\v", "timeout_idle", true);
}

static void test_what_the_server_ended_is_not_abandoned(void **state)
{
	(void)state;
	check(OK_HEAD TOKEN "data: {\"f\":\"stop\"}\n\n", "ok", false);
	check(OK_HEAD TOKEN, "stream_truncated", false);
	check(OK_HEAD TOKEN "data: {\"error\":\"out\"}\n\n", "stream_error", false);
	check("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "server_error", false);
	check("", "conn_reset", false);
}

/* ---- cancelling ---- */

static void test_cancel_tells_whether_a_request_is_out(void **state)
{
	struct peer peer;
	struct checked checked;
	struct runner runner;

	(void)state;
	peer_start(&peer, play, OK_HEAD TOKEN "\v");
	load(&checked, peer.port, "    mode: chat\n");
	runner_open(&runner, &checked);
	runner_start(&runner);
	checked_spec(&checked)->kind->cancel(&runner.probe);
	assert_false(runner.probe.result.is_abandoned);
	atomic_store(&requests, 0);
	runner_start(&runner);
	for (unsigned i = 0; i < 1000 && atomic_load(&requests) == 0; i++)
		bench_loop(&runner.bench, 5 * USEC_PER_MSEC);
	assert_int_equal(atomic_load(&requests), 1);
	checked_spec(&checked)->kind->cancel(&runner.probe);
	assert_true(runner.probe.result.is_abandoned);
	assert_int_equal(runner.done, 0);
	runner_close(&runner);
	checked_fini(&checked);
	peer_stop(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone_it_is_called_canary),
		cmocka_unit_test(test_cost_counts_prompt_and_answer),
		cmocka_unit_test(test_what_we_broke_off_is_abandoned),
		cmocka_unit_test(test_what_the_server_ended_is_not_abandoned),
		cmocka_unit_test(test_cancel_tells_whether_a_request_is_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

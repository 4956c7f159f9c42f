/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/httpc.h"

#include "bench.h"
#include "modelhealth/base/clock.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct fixture {
	struct bench bench;
	struct peer peer;
	struct url *url;
	struct http_request request;
};

static void open_fixture(struct fixture *fixture, peer_script script, const void *arg)
{
	bench_open(&fixture->bench, NULL);
	peer_start(&fixture->peer, script, arg);
	fixture->request =
		bench_request(&fixture->url, "http://127.0.0.1:%u/x?y=1", fixture->peer.port);
}

static void close_fixture(struct fixture *fixture)
{
	peer_stop(&fixture->peer);
	url_free(fixture->url);
	bench_close(&fixture->bench);
}

#define assert_reason(fixture, expected) \
	assert_string_equal(             \
		reason_token(bench_run(&(fixture)->bench, &(fixture)->request)), expected)

/* Answers each request with the text in arg. */
static void answer(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	while (peer_read_request(fd, request, sizeof request) > 0)
		peer_send(fd, peer->arg);
}

/* Sends the text in arg and closes. */
static void answer_and_close(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	(void)peer_read_request(fd, request, sizeof request);
	peer_send(fd, peer->arg);
}

static void answer_and_hang(struct peer *peer, int fd, unsigned number)
{
	answer_and_close(peer, fd, number);
	peer_hang(peer, fd);
}

static void hang(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_hang(peer, fd);
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Test: yes\r\n\r\nhello"

static void test_httpc_gives_status_headers_body_and_timings(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	f.bench.wanted_header = "x-test";
	assert_reason(&f, "ok");
	assert_int_equal(f.bench.result.http_status, 200);
	assert_string_equal(sbuf_str(&f.bench.body), "hello");
	assert_string_equal(f.bench.header, "yes");
	assert_true(result_has_timing(&f.bench.result, TIMING_CONNECT));
	assert_true(result_has_timing(&f.bench.result, TIMING_FIRST_BYTE));
	assert_true(result_has_timing(&f.bench.result, TIMING_TRANSFER));
	assert_true(result_has_timing(&f.bench.result, TIMING_TOTAL));
	assert_false(result_has_timing(&f.bench.result, TIMING_DNS));
	assert_false(result_has_timing(&f.bench.result, TIMING_TLS));
	assert_false(f.bench.result.reused);
	close_fixture(&f);
}

static void test_httpc_refused(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	(void)shutdown(f.peer.listener, SHUT_RDWR);
	f.request.url = f.url;
	assert_reason(&f, "connect_refused");
	assert_int_equal(f.bench.result.os_errno, 111);
	close_fixture(&f);
}

/* Each deadline ends its own step with its own reason, within 100 ms. */
static void check_deadline(
	peer_script script, const char *text, struct timeouts timeout, const char *reason)
{
	struct fixture f;
	usec_t begun, took;

	open_fixture(&f, script, text);
	f.request.timeout = timeout;
	begun = clock_monotonic();
	assert_reason(&f, reason);
	took = clock_monotonic() - begun;
	assert_in_range(took, 200 * USEC_PER_MSEC, 300 * USEC_PER_MSEC);
	close_fixture(&f);
}

static const usec_t limit = 200 * USEC_PER_MSEC, roomy = 5 * USEC_PER_SEC;

static void test_httpc_silence_is_timeout_headers(void **state)
{
	(void)state;
	check_deadline(
		hang, NULL, (struct timeouts){ roomy, limit, roomy, roomy }, "timeout_headers");
}

static void test_httpc_stopped_body_is_timeout_idle(void **state)
{
	(void)state;
	check_deadline(answer_and_hang, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
		(struct timeouts){ roomy, roomy, limit, roomy }, "timeout_idle");
}

static void test_httpc_total_ends_a_silent_answer(void **state)
{
	(void)state;
	check_deadline(
		hang, NULL, (struct timeouts){ roomy, roomy, roomy, limit }, "timeout_total");
}

static void drip(struct peer *peer, int fd, unsigned number)
{
	const char *text = peer->arg;
	char one[2] = "";

	(void)number;
	for (; *text && !atomic_load(&peer->stopping); text++) {
		one[0] = *text;
		peer_send(fd, one);
		peer_delay(peer, 50);
	}
}

static void test_httpc_total_ends_a_dripping_header(void **state)
{
	(void)state;
	/* less than `limit` between bytes: neither first_byte nor idle may end it */
	check_deadline(drip, "HTTP/1.1 200 OK and on and on and on",
		(struct timeouts){ roomy, 150 * USEC_PER_MSEC, 150 * USEC_PER_MSEC, limit },
		"timeout_total");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_httpc_gives_status_headers_body_and_timings),
		cmocka_unit_test(test_httpc_refused),
		cmocka_unit_test(test_httpc_silence_is_timeout_headers),
		cmocka_unit_test(test_httpc_stopped_body_is_timeout_idle),
		cmocka_unit_test(test_httpc_total_ends_a_silent_answer),
		cmocka_unit_test(test_httpc_total_ends_a_dripping_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

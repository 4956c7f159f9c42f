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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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
	while (peer_read_request(peer, fd, request, sizeof request) > 0)
		peer_send(fd, peer->arg);
}

/* Sends the text in arg and closes. */
static void answer_and_close(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	(void)peer_read_request(peer, fd, request, sizeof request);
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
	check_deadline(hang, NULL,
		(struct timeouts){
			.connect = roomy, .first_byte = limit, .idle = roomy, .total = roomy },
		"timeout_headers");
}

static void test_httpc_stopped_body_is_timeout_idle(void **state)
{
	(void)state;
	check_deadline(answer_and_hang, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
		(struct timeouts){
			.connect = roomy, .first_byte = roomy, .idle = limit, .total = roomy },
		"timeout_idle");
}

static void test_httpc_total_ends_a_silent_answer(void **state)
{
	(void)state;
	check_deadline(hang, NULL,
		(struct timeouts){
			.connect = roomy, .first_byte = roomy, .idle = roomy, .total = limit },
		"timeout_total");
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
		(struct timeouts){ .connect = roomy,
			.first_byte = 150 * USEC_PER_MSEC,
			.idle = 150 * USEC_PER_MSEC,
			.total = limit },
		"timeout_total");
}

/* ---- caps ---- */

static void endless_body(struct peer *peer, int fd, unsigned number)
{
	char block[2049];

	(void)number;
	memset(block, 'x', sizeof block - 1);
	block[sizeof block - 1] = '\0';
	(void)peer_read_request(peer, fd, block, sizeof block);
	peer_send(fd, peer->arg);
	memset(block, 'x', sizeof block - 1);
	while (!atomic_load(&peer->stopping) && peer_send(fd, block))
		continue;
}

static void check_endless(const char *head)
{
	struct fixture f;

	open_fixture(&f, endless_body, head);
	assert_reason(&f, "body_too_large");
	assert_int_equal(f.bench.body.len, HTTP_MAX_BODY_BYTES);
	close_fixture(&f);
}

static void test_httpc_endless_body_ends_at_the_cap(void **state)
{
	(void)state;
	check_endless("HTTP/1.1 200 OK\r\n\r\n");
	check_endless("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n");
	check_endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
}

static void test_httpc_cut_body_can_end_well(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, endless_body, "HTTP/1.1 200 OK\r\n\r\n");
	f.request.is_body_cut = true;
	assert_reason(&f, "ok");
	assert_true(f.bench.is_body_cut);
	assert_int_equal(f.bench.result.http_status, 200);
	close_fixture(&f);
}

static void test_httpc_stops_when_enough(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer_and_hang, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello");
	f.bench.enough = 5;
	assert_reason(&f, "ok");
	close_fixture(&f);
}

static void header_flood(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	(void)peer_read_request(peer, fd, request, sizeof request);
	peer_send(fd, "HTTP/1.1 200 OK\r\n");
	while (!atomic_load(&peer->stopping) && peer_send(fd, peer->arg))
		continue;
}

static void early_hints(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	(void)peer_read_request(peer, fd, request, sizeof request);
	while (!atomic_load(&peer->stopping) && peer_send(fd, peer->arg))
		continue;
}

static void test_httpc_header_floods_end_at_the_cap(void **state)
{
	static const struct {
		peer_script script;
		const char *text;
	} floods[] = {
		{ header_flood, "X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" },
		{ header_flood, "one line that never ends and never ends and never ends" },
		{ early_hints, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" },
		{ early_hints, "HTTP/1.1 100 Continue\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(floods); i++) {
		struct fixture f;

		open_fixture(&f, floods[i].script, floods[i].text);
		assert_reason(&f, "header_too_large");
		close_fixture(&f);
	}
}

/* ---- HTTP/2 in clear ---- */

struct frames {
	const char *head; /* what comes once */
	size_t head_len;
	const char *piece; /* what comes again and again */
	size_t piece_len;
	size_t pieces; /* how often */
	bool has_end;  /* the last piece ends the stream; else they never end */
};

#define FRAMES_SETTINGS "\0\0\0\4\0\0\0\0\0"
#define FRAMES_STATUS   "\0\0\1\1\4\0\0\0\1\x88" /* 200 */

static bool send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		data += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* Reads as far as the blank line in the client's preface, then sends its frames. */
static void send_frames(struct peer *peer, int fd, unsigned number)
{
	const struct frames *frames = peer->arg;
	char preface[64], last[9 + 16384];

	(void)number;
	(void)peer_read_request(peer, fd, preface, sizeof preface);
	if (!send_all(fd, frames->head, frames->head_len))
		return;
	for (size_t i = 1; !frames->has_end || i < frames->pieces; i++) {
		if (atomic_load(&peer->stopping) || !send_all(fd, frames->piece, frames->piece_len))
			return;
	}
	memcpy(last, frames->piece, frames->piece_len);
	last[4] = 1; /* END_STREAM */
	(void)send_all(fd, last, frames->piece_len);
	peer_hang(peer, fd);
}

static void repeat(char *buf, size_t size, const char *piece, size_t len)
{
	for (size_t i = 0; i < size; i++)
		buf[i] = piece[i % len];
}

/* libcurl alone would read on until the flood ends, which it never does. */
static void test_httpc_flood_of_frames_ends_soon(void **state)
{
	static const struct {
		const char *frame;
		size_t len;
	} floods[] = {
		{ "\0\0\4\10\0\0\0\0\0\0\0\0\1", 13 }, /* WINDOW_UPDATE */
		{ "\0\0\0\0\0\0\0\0\1", 9 },           /* DATA, empty */
		{ "\0\0\10\6\0\0\0\0\0pingpong", 17 }, /* PING */
		{ FRAMES_SETTINGS, 9 },
	};

	static char piece[9 * 13 * 17 * 20];
	static const char head[] = FRAMES_SETTINGS FRAMES_STATUS;

	(void)state;
	for (size_t i = 0; i < array_size(floods); i++) {
		struct frames frames = { .head = head, .head_len = sizeof head - 1 };
		struct fixture f;

		repeat(piece, sizeof piece, floods[i].frame, floods[i].len);
		frames.piece = piece;
		frames.piece_len = sizeof piece;
		open_fixture(&f, send_frames, &frames);
		f.request.version = HTTP_2_DIRECT;
		assert_reason(&f, "protocol_error");
		assert_true(loop_stats(f.bench.loop)->turn_max < USEC_PER_SEC / 2);
		close_fixture(&f);
	}
}

/* As fast as it can, in frames of any size. */
static void test_httpc_large_body_in_frames_arrives(void **state)
{
	static const size_t sizes[] = { 1, 100, 1000, 1025, 5000, 16384 };
	static const char head[] = FRAMES_SETTINGS FRAMES_STATUS;
	static char piece[9 + 16384];

	(void)state;
	for (size_t i = 0; i < array_size(sizes); i++) {
		struct frames frames = {
			.head = head,
			.head_len = sizeof head - 1,
			.piece = piece,
			.piece_len = 9 + sizes[i],
			.pieces = (1 << 20) / sizes[i],
			.has_end = true,
		};
		struct fixture f;

		memcpy(piece, "\0\0\0\0\0\0\0\0\1", 9); /* DATA */
		piece[1] = (char)(sizes[i] >> 8);
		piece[2] = (char)(sizes[i] & 0xff);
		open_fixture(&f, send_frames, &frames);
		f.request.version = HTTP_2_DIRECT;
		f.request.max_body_bytes = 2 << 20;
		assert_reason(&f, "ok");
		assert_int_equal(f.bench.body.len, frames.pieces * sizes[i]);
		close_fixture(&f);
	}
}

/* ---- broken answers ---- */

static void test_httpc_broken_answers_have_their_reason(void **state)
{
	static const struct {
		const char *text, *reason;
	} answers[] = {
		{ "", "conn_reset" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", "conn_reset" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "conn_reset" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
			"protocol_error" },
		{ "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip", "decode_error" },
		{ "HTTP/1.1 200 OK\r\nContent-Encoding: nonsense\r\n\r\nabc", "decode_error" },
		{ "SSH-2.0-OpenSSH_9\r\n", "protocol_error" },
		{ "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "protocol_error" },
		{ "HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n", "protocol_error" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "conn_reset" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(answers); i++) {
		struct fixture f;

		open_fixture(&f, answer_and_close, answers[i].text);
		assert_reason(&f, answers[i].reason);
		close_fixture(&f);
	}
}

static void reset_midway(struct peer *peer, int fd, unsigned number)
{
	answer_and_close(peer, fd, number);
	peer_reset(fd);
}

static void test_httpc_reset_midway_is_conn_reset(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, reset_midway, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel");
	assert_reason(&f, "conn_reset");
	close_fixture(&f);
}

/* ---- requests ---- */

/* Answers with the request as body. */
static void echo(struct peer *peer, int fd, unsigned number)
{
	char request[4096];
	size_t len;

	(void)number;
	while ((len = peer_read_request(peer, fd, request, sizeof request)) > 0) {
		char head[64];
		const char *length = strstr(request, "Content-Length: ");

		if (length) {
			ssize_t got = read(fd, request + len, (size_t)atoi(length + 16));

			must(got >= 0);
			len += (size_t)got;
			request[len] = '\0';
		}
		(void)snprintf(
			head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
		peer_send(fd, head);
		peer_send(fd, request);
	}
}

static void test_httpc_sends_what_was_asked_and_no_more(void **state)
{
	char key[] = "Bearer k";
	struct http_header headers[] = { { "Authorization", secret_from(key) } };
	char expected[512];
	struct fixture f;

	(void)state;
	open_fixture(&f, echo, NULL);
	f.request.method = "PUT";
	f.request.headers = headers;
	f.request.n_headers = 1;
	f.request.body = "payload";
	f.request.body_len = 7;
	assert_reason(&f, "ok");
	(void)snprintf(expected, sizeof expected,
		"PUT /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: */*\r\n"
		"Accept-Encoding: identity\r\nAuthorization: Bearer k\r\nContent-Length: 7\r\n\r\n"
		"payload",
		f.peer.port);
	assert_string_equal(sbuf_str(&f.bench.body), expected);
	close_fixture(&f);
}

static void test_httpc_head_expects_no_body(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	f.request.method = "HEAD";
	assert_reason(&f, "ok");
	close_fixture(&f);
}

static void test_httpc_ignores_proxies_of_the_environment(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	must(setenv("http_proxy", "http://127.0.0.1:1", 1) == 0);
	must(setenv("all_proxy", "http://127.0.0.1:1", 1) == 0);
	assert_reason(&f, "ok");
	must(unsetenv("http_proxy") == 0 && unsetenv("all_proxy") == 0);
	close_fixture(&f);
}

static void test_httpc_goes_through_a_configured_proxy(void **state)
{
	struct fixture f;
	struct url *proxy;

	(void)state;
	open_fixture(&f, echo, NULL);
	url_free(f.url);
	f.request = bench_request(&f.url, "http://models.invalid:8000/x");
	(void)bench_request(&proxy, "http://user:word@127.0.0.1:%u", f.peer.port);
	f.request.proxy = proxy;
	assert_reason(&f, "ok");
	assert_non_null(
		strstr(sbuf_str(&f.bench.body), "GET http://models.invalid:8000/x HTTP/1.1"));
	assert_non_null(
		strstr(sbuf_str(&f.bench.body), "Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n"));
	url_free(proxy);
	close_fixture(&f);
}

static void test_httpc_reaches_a_unix_socket(void **state)
{
	char directory[] = "/tmp/mh-test-XXXXXX";
	char path[64];
	struct bench bench;
	struct peer peer;
	struct url *url;
	struct http_request request;

	(void)state;
	must(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/s", directory);
	bench_open(&bench, NULL);
	peer_start_unix(&peer, path, echo, NULL);
	request = bench_request(&url, "http://models.internal/x");
	request.unix_socket = path;
	assert_string_equal(reason_token(bench_run(&bench, &request)), "ok");
	assert_non_null(strstr(sbuf_str(&bench.body), "Host: models.internal\r\n"));
	peer_stop(&peer);
	must(unlink(path) == 0);
	assert_string_equal(reason_token(bench_run(&bench, &request)), "connect_refused");
	must(rmdir(directory) == 0);
	url_free(url);
	bench_close(&bench);
}

/* ---- kept connections ---- */

static void test_httpc_keeps_a_connection_only_when_asked(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	f.bench.lane = http_lane_new(f.bench.httpc);
	f.request.reuse = HTTP_REUSE;
	assert_reason(&f, "ok");
	assert_false(f.bench.result.reused);
	assert_reason(&f, "ok");
	assert_true(f.bench.result.reused);
	assert_false(result_has_timing(&f.bench.result, TIMING_CONNECT));
	assert_int_equal(atomic_load(&f.peer.connections), 1);
	close_fixture(&f);
}

static void test_httpc_fresh_means_a_new_connection_each_time(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	f.bench.lane = http_lane_new(f.bench.httpc);
	assert_reason(&f, "ok");
	assert_reason(&f, "ok");
	assert_int_equal(atomic_load(&f.peer.connections), 2);
	close_fixture(&f);
}

/* The first connection answers once, then dies when the second request comes. */
static void die_on_second_request(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)peer_read_request(peer, fd, request, sizeof request);
	peer_send(fd, peer->arg);
	if (number == 0 && peer_read_request(peer, fd, request, sizeof request) > 0)
		peer_reset(fd);
	else
		answer(peer, fd, number);
}

static void test_httpc_retries_once_when_a_kept_connection_died(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, die_on_second_request, OK_ANSWER);
	f.bench.lane = http_lane_new(f.bench.httpc);
	f.request.reuse = HTTP_REUSE;
	assert_reason(&f, "ok");
	assert_reason(&f, "ok");
	assert_false(f.bench.result.reused); /* the answer came over a new one */
	assert_int_equal(atomic_load(&f.peer.connections), 2);
	close_fixture(&f);
}

/* Every request kills its connection. */
static void answer_once_then_die(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)peer_read_request(peer, fd, request, sizeof request);
	if (number == 0) {
		peer_send(fd, peer->arg);
		(void)peer_read_request(peer, fd, request, sizeof request);
	}
	peer_reset(fd);
}

static void test_httpc_does_not_retry_twice(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer_once_then_die, OK_ANSWER);
	f.bench.lane = http_lane_new(f.bench.httpc);
	f.request.reuse = HTTP_REUSE;
	assert_reason(&f, "ok");
	assert_reason(&f, "conn_reset");
	assert_int_equal(atomic_load(&f.peer.connections), 2);
	close_fixture(&f);
}

/* Answers one request and leaves the connection open. */
static void answer_without_waiting(struct peer *peer, int fd, unsigned number)
{
	answer_and_close(peer, fd, number);
	must(dup(fd) >= 0); /* ends with the test */
}

static void test_httpc_lanes_never_share_a_connection(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, answer_without_waiting, OK_ANSWER);
	f.request.reuse = HTTP_REUSE;
	/* as many lanes as meet every shard twice, each leaving its connection open */
	for (unsigned i = 0; i < 130; i++) {
		f.bench.lane = http_lane_new(f.bench.httpc);
		assert_reason(&f, "ok");
		assert_false(f.bench.result.reused);
		f.bench.lane = http_lane_free(f.bench.lane);
	}
	assert_int_equal(atomic_load(&f.peer.connections), 130);
	close_fixture(&f);
}

/* ---- cancelling ---- */

static void check_cancel(peer_script script, const char *text, usec_t after)
{
	struct fixture f;

	open_fixture(&f, script, text);
	bench_start(&f.bench, &f.request);
	if (after > 0)
		bench_loop(&f.bench, after);
	assert_int_equal(f.bench.done, 0);
	http_cancel(f.bench.transfer);
	bench_loop(&f.bench, 20 * USEC_PER_MSEC);
	assert_int_equal(f.bench.done, 0);
	assert_int_equal(httpc_stats(f.bench.httpc)->running, 0);
	close_fixture(&f);
}

static void test_httpc_cancel_at_each_step_is_silent(void **state)
{
	(void)state;
	check_cancel(hang, NULL, 0);
	check_cancel(hang, NULL, 30 * USEC_PER_MSEC);
	check_cancel(answer_and_hang, "HTTP/1.1 200 OK\r\n", 30 * USEC_PER_MSEC);
	check_cancel(answer_and_hang, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
		30 * USEC_PER_MSEC);
}

static void test_httpc_cancel_between_end_and_done_is_silent(void **state)
{
	struct address_block everything = { .prefix = 0 };
	struct url *proxy;
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	(void)bench_request(&proxy, "http://127.0.0.1:%u", f.peer.port);
	f.request.proxy = proxy; /* a denied literal ends inside start, its call is still to come */
	f.request.deny = &everything;
	f.request.n_deny = 1;
	bench_start(&f.bench, &f.request);
	http_cancel(f.bench.transfer);
	bench_loop(&f.bench, 20 * USEC_PER_MSEC);
	assert_int_equal(f.bench.done, 0);
	url_free(proxy);
	close_fixture(&f);
}

/* ---- the deny list ---- */

static void test_httpc_denies_addresses_in_every_spelling(void **state)
{
	static const char *const spellings[] = { "127.0.0.1", "127.1", "2130706433", "0x7f000001",
		"0177.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost",
		"LOCALHOST", "a.localhost" };
	struct address_block blocks[2] = { { .prefix = 104 }, { .prefix = 128 } };
	struct address address;
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	must(address_parse("127.0.0.0", &address));
	memcpy(blocks[0].address, address.bytes, 16);
	must(address_parse("::1", &address));
	memcpy(blocks[1].address, address.bytes, 16);
	for (size_t i = 0; i < array_size(spellings); i++) {
		url_free(f.url);
		f.request = bench_request(&f.url, "http://%s:%u/", spellings[i], f.peer.port);
		f.request.deny = blocks;
		f.request.n_deny = 2;
		assert_reason(&f, "address_denied");
	}
	assert_int_equal(atomic_load(&f.peer.connections), 0);
	close_fixture(&f);
}

/* ---- our own faults ---- */

static void test_httpc_no_descriptor_left_is_local_fds(void **state)
{
	struct rlimit before, none;
	struct fixture f;

	(void)state;
	open_fixture(&f, answer, OK_ANSWER);
	assert_reason(&f, "ok");
	must(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = 3; /* everything that is open stays so */
	must(setrlimit(RLIMIT_NOFILE, &none) == 0);
	(void)bench_run(&f.bench, &f.request);
	must(setrlimit(RLIMIT_NOFILE, &before) == 0);
	assert_string_equal(reason_token(f.bench.result.reason), "local_fds");
	assert_int_equal(f.bench.result.os_errno, EMFILE);
	assert_reason(&f, "ok");
	close_fixture(&f);
}

/* ---- TCP dialogues ---- */

static void test_httpc_tcp_connect_sends_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, hang, NULL);
	f.request.method = NULL;
	f.bench.is_mute = true;
	assert_reason(&f, "ok");
	assert_true(result_has_timing(&f.bench.result, TIMING_CONNECT));
	assert_int_equal(f.bench.result.http_status, 0);
	close_fixture(&f);
}

static void test_httpc_tcp_sends_and_reads(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, peer_pong, NULL);
	f.request.method = NULL;
	f.request.body = "PING\r\n";
	f.request.body_len = 6;
	f.bench.enough = 7;
	assert_reason(&f, "ok");
	assert_string_equal(sbuf_str(&f.bench.body), "+PONG\r\n");
	close_fixture(&f);
}

static void test_httpc_tcp_silence_is_timeout_headers(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, hang, NULL);
	f.request.method = NULL;
	f.request.timeout.first_byte = limit;
	assert_reason(&f, "timeout_headers");
	close_fixture(&f);
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
		cmocka_unit_test(test_httpc_endless_body_ends_at_the_cap),
		cmocka_unit_test(test_httpc_cut_body_can_end_well),
		cmocka_unit_test(test_httpc_stops_when_enough),
		cmocka_unit_test(test_httpc_header_floods_end_at_the_cap),
		cmocka_unit_test(test_httpc_flood_of_frames_ends_soon),
		cmocka_unit_test(test_httpc_large_body_in_frames_arrives),
		cmocka_unit_test(test_httpc_broken_answers_have_their_reason),
		cmocka_unit_test(test_httpc_reset_midway_is_conn_reset),
		cmocka_unit_test(test_httpc_sends_what_was_asked_and_no_more),
		cmocka_unit_test(test_httpc_head_expects_no_body),
		cmocka_unit_test(test_httpc_ignores_proxies_of_the_environment),
		cmocka_unit_test(test_httpc_goes_through_a_configured_proxy),
		cmocka_unit_test(test_httpc_reaches_a_unix_socket),
		cmocka_unit_test(test_httpc_keeps_a_connection_only_when_asked),
		cmocka_unit_test(test_httpc_fresh_means_a_new_connection_each_time),
		cmocka_unit_test(test_httpc_retries_once_when_a_kept_connection_died),
		cmocka_unit_test(test_httpc_does_not_retry_twice),
		cmocka_unit_test(test_httpc_lanes_never_share_a_connection),
		cmocka_unit_test(test_httpc_cancel_at_each_step_is_silent),
		cmocka_unit_test(test_httpc_cancel_between_end_and_done_is_silent),
		cmocka_unit_test(test_httpc_denies_addresses_in_every_spelling),
		cmocka_unit_test(test_httpc_no_descriptor_left_is_local_fds),
		cmocka_unit_test(test_httpc_tcp_connect_sends_nothing),
		cmocka_unit_test(test_httpc_tcp_sends_and_reads),
		cmocka_unit_test(test_httpc_tcp_silence_is_timeout_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

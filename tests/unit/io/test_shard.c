/* SPDX-License-Identifier: MIT */
/*
 * What happens when libcurl's multi handle breaks, and when a socket cannot be watched. Both are
 * made to happen: the linker sends curl_multi_socket_action and loop_fd_new here (see meson.build).
 */
#include "modelhealth/io/shard.h"

#include "bench.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

CURLMcode __real_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int ready, int *running);
CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int ready, int *running);
struct loop_fd *__real_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg);
struct loop_fd *__wrap_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg);

static unsigned failures_left;

static int watch_error; /* of the next watch; 0 = none */

CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int ready, int *running)
{
	if (failures_left == 0)
		return __real_curl_multi_socket_action(multi, fd, ready, running);
	failures_left--;
	return CURLM_INTERNAL_ERROR;
}

struct loop_fd *__wrap_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg)
{
	if (watch_error == 0)
		return __real_loop_fd_new(loop, fd, events, fn, arg);
	errno = watch_error;
	watch_error = 0;
	return NULL;
}

static void answer(struct peer *peer, int fd, unsigned number)
{
	char request[4096];

	(void)number;
	while (peer_read_request(peer, fd, request, sizeof request) > 0)
		peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

static void hang(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_hang(peer, fd);
}

static void test_shard_that_breaks_is_replaced(void **state)
{
	struct http_request request;
	struct bench bench;
	struct peer peer;
	struct url *url;

	(void)state;
	bench_open(&bench, NULL);
	peer_start(&peer, answer, NULL);
	request = bench_request(&url, "http://127.0.0.1:%u/", peer.port);
	bench.lane = http_lane_new(bench.httpc);
	failures_left = 1;
	assert_string_equal(reason_token(bench_run(&bench, &request)), "internal");
	assert_int_equal(httpc_stats(bench.httpc)->rebuilds_total, 1);
	assert_string_equal(reason_token(bench_run(&bench, &request)), "ok");
	url_free(url);
	peer_stop(&peer);
	bench_close(&bench);
}

static void on_done_count(
	void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	unsigned *lost = arg;

	(void)transfer;
	assert_string_equal(reason_token(outcome->result.reason), "internal");
	assert_int_equal(outcome->result.verdict, VERDICT_UNKNOWN);
	(*lost)++;
}

/* Every transfer that was in the broken handle ends, and ends once. */
static void test_shard_that_breaks_loses_nobody(void **state)
{
	struct http_transfer *transfer;
	struct http_request request;
	struct http_lane *lane;
	struct bench bench;
	struct peer peer;
	struct url *url;
	unsigned lost = 0;
	struct http_handlers handlers = { .on_done = on_done_count, .arg = &lost };

	(void)state;
	bench_open(&bench, NULL);
	peer_start(&peer, hang, NULL);
	request = bench_request(&url, "http://127.0.0.1:%u/", peer.port);
	lane = http_lane_new(bench.httpc); /* all in the shard of one lane */
	loop_wake(bench.loop);
	request.begun_at = loop_timers(bench.loop)->now;
	for (unsigned i = 0; i < 5; i++)
		must(http_start(bench.httpc, lane, &request, &handlers, &transfer) == 0);
	bench_loop(&bench, 20 * USEC_PER_MSEC);
	assert_int_equal(lost, 0);
	failures_left = 1;
	must(http_start(bench.httpc, lane, &request, &handlers, &transfer) == 0);
	bench_loop(&bench, 50 * USEC_PER_MSEC);
	assert_int_equal(lost, 6);
	assert_int_equal(httpc_stats(bench.httpc)->running, 0);
	http_lane_free(lane);
	url_free(url);
	peer_stop(&peer);
	bench_close(&bench);
}

static void assert_unwatched(
	struct bench *bench, const struct http_request *request, int error, const char *reason)
{
	watch_error = error;
	assert_string_equal(reason_token(bench_run(bench, request)), reason);
	assert_int_equal(watch_error, 0);
	assert_int_equal(bench->result.os_errno, error);
	assert_true(bench->result.timing[TIMING_TOTAL] < USEC_PER_SEC / 2);
	assert_string_equal(reason_token(bench_run(bench, request)), "ok");
}

/* It ends at once as a fault of ours, and alone. */
static void test_transfer_that_cannot_be_watched_ends_alone(void **state)
{
	struct http_request request;
	struct bench bench;
	struct peer peer;
	struct url *url;

	(void)state;
	bench_open(&bench, NULL);
	peer_start(&peer, answer, NULL);
	request = bench_request(&url, "http://127.0.0.1:%u/", peer.port);
	assert_unwatched(&bench, &request, ENOMEM, "local_memory");
	assert_unwatched(&bench, &request, ENOSPC, "local_memory");
	assert_unwatched(&bench, &request, EEXIST, "internal");
	assert_int_equal(httpc_stats(bench.httpc)->rebuilds_total, 0);
	url_free(url);
	peer_stop(&peer);
	bench_close(&bench);
}

/* Over loopback it is connected at once, so that its first watch is its own. */
static void test_dialogue_that_cannot_be_watched_ends_alone(void **state)
{
	static const char request_text[] = "GET / HTTP/1.0\r\n\r\n";
	struct http_request request;
	struct bench bench;
	struct peer peer;
	struct url *url;

	(void)state;
	bench_open(&bench, NULL);
	bench.enough = 1;
	peer_start(&peer, answer, NULL);
	request = bench_request(&url, "http://127.0.0.1:%u/", peer.port);
	request.method = NULL;
	request.body = request_text;
	request.body_len = strlen(request_text);
	assert_unwatched(&bench, &request, ENOSPC, "local_memory");
	url_free(url);
	peer_stop(&peer);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shard_that_breaks_is_replaced),
		cmocka_unit_test(test_shard_that_breaks_loses_nobody),
		cmocka_unit_test(test_transfer_that_cannot_be_watched_ends_alone),
		cmocka_unit_test(test_dialogue_that_cannot_be_watched_ends_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

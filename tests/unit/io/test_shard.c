/* SPDX-License-Identifier: MIT */
/*
 * What happens when libcurl's multi handle breaks. It does so when a callback of ours fails, and
 * that is made to happen: the linker sends loop_fd_new here (see meson.build).
 */
#include "modelhealth/io/shard.h"

#include "bench.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

struct loop_fd *__real_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg);
struct loop_fd *__wrap_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg);

static unsigned failures_left;

struct loop_fd *__wrap_loop_fd_new(
	struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg)
{
	if (failures_left == 0)
		return __real_loop_fd_new(loop, fd, events, fn, arg);
	failures_left--;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shard_that_breaks_is_replaced),
		cmocka_unit_test(test_shard_that_breaks_loses_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

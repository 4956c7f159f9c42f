/* SPDX-License-Identifier: MIT */
/*
 * What the load and models checks do around their judgement, which has tests of its own.
 */
#include "checked.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct fixture {
	struct peer server;
	char body[512]; /* of every answer */
	struct checked checked;
	struct runner runner;
};

static void talk(struct peer *peer, int fd, unsigned number)
{
	char request[4096], head[64];

	(void)number;
	while (peer_read_request(peer, fd, request, sizeof request) > 0) {
		(void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			strlen(peer->arg));
		peer_send(fd, head);
		peer_send(fd, peer->arg);
	}
}

static void load(struct checked *checked, const char *url, const char *lines)
{
	struct sbuf yaml = SBUF_INIT;

	sbuf_printf(&yaml, "endpoints:\n  - name: a\n    url: %s\n%s", url, lines);
	assert_false(yaml.failed);
	checked_load(checked, yaml.data);
	assert_string_equal(sbuf_str(&checked->errors), "");
	sbuf_fini(&yaml);
}

static void open_fixture(struct fixture *f, const char *body, const char *lines)
{
	char url[64];

	memset(f, 0, sizeof *f);
	(void)snprintf(f->body, sizeof f->body, "%s", body);
	peer_start(&f->server, talk, f->body);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/metrics", f->server.port);
	load(&f->checked, url, lines);
	runner_open(&f->runner, &f->checked);
}

static void close_fixture(struct fixture *f)
{
	runner_close(&f->runner);
	peer_stop(&f->server);
	checked_fini(&f->checked);
}

static const char load_lines[] = "    type: load\n"
				 "    stall_after: 1s\n"
				 "    roles: { running: run, progress: done }\n";

/* Runs the check again after more than stall_after. */
static const char *run_later(struct fixture *f)
{
	bench_loop(&f->runner.bench, 1100 * USEC_PER_MSEC);
	return runner_run(&f->runner);
}

static void test_load_keeps_its_clocks_from_scrape_to_scrape(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, "run 1\ndone 5\n", load_lines);
	assert_string_equal(runner_run(&f.runner), "ok");
	assert_string_equal(run_later(&f), "stalled");
	assert_int_equal(f.runner.probe.result.load.motion, LOAD_FLAT);
	close_fixture(&f);
}

static void test_pause_of_our_own_restarts_the_clocks(void **state)
{
	struct fixture f;
	struct timers *timers;

	(void)state;
	open_fixture(&f, "run 1\ndone 5\n", load_lines);
	timers = loop_timers(f.runner.bench.loop);
	assert_string_equal(runner_run(&f.runner), "ok");
	timers->paused_until = timers->now + 1;
	assert_string_equal(run_later(&f), "ok");
	assert_int_equal(f.runner.probe.result.load.motion, LOAD_FLAT);
	assert_string_equal(run_later(&f), "stalled");
	close_fixture(&f);
}

static void test_cancelled_scrape_leaves_nothing_behind(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, "run 1\ndone 5\n", load_lines);
	for (int i = 0; i < 3; i++) {
		runner_start(&f.runner);
		assert_int_equal(f.runner.done, 0);
		f.runner.probe.spec->kind->cancel(&f.runner.probe);
	}
	assert_string_equal(runner_run(&f.runner), "ok");
	assert_true(load_has(&f.runner.probe.result.load, LOAD_RUNNING));
	close_fixture(&f);
}

static void test_cancelled_list_leaves_nothing_behind(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, "{\"data\":[{\"id\":\"m\"}]}",
		"    type: models\n"
		"    models: [ m ]\n"
		"    list: { path: /v1/models, ids: '/data/*/id' }\n");
	for (int i = 0; i < 3; i++) {
		runner_start(&f.runner);
		assert_int_equal(f.runner.done, 0);
		f.runner.probe.spec->kind->cancel(&f.runner.probe);
	}
	assert_string_equal(runner_run(&f.runner), "ok");
	close_fixture(&f);
}

static void test_load_decides_at_once_unless_told_otherwise(void **state)
{
	struct checked checked;
	const struct health_conf *health;

	(void)state;
	load(&checked, "http://a/", "    type: load\n    roles: { running: r }\n");
	health = &checked_spec(&checked)->health;
	assert_int_equal(health->rise, 1);
	assert_int_equal(health->fall, 1);
	assert_int_equal(health->degraded_rise, 1);
	assert_int_equal(health->degraded_fall, 1);
	assert_int_equal(health->unknown_after, 3);
	checked_fini(&checked);
	load(&checked, "http://a/", "    type: load\n    fall: 4\n    roles: { running: r }\n");
	health = &checked_spec(&checked)->health;
	assert_int_equal(health->rise, 1);
	assert_int_equal(health->fall, 4);
	assert_int_equal(health->unknown_after, 4);
	checked_fini(&checked);
}

static void test_tier_goes_by_name_and_then_by_kind(void **state)
{
	struct checked checked;
	const struct check_spec *checks;

	(void)state;
	load(&checked, "http://a/",
		"    type: http\n"
		"    checks:\n"
		"      engine: { kind: load, roles: { running: r } }\n"
		"      ready: { kind: models, list: { path: /m, ids: /m } }\n"
		"      page: {}\n");
	checks = checked_spec(&checked);
	assert_int_equal(checks[0].tier, TIER_LOAD);
	assert_int_equal(checks[0].interval, 15 * USEC_PER_SEC);
	assert_int_equal(checks[1].tier, TIER_READY);
	assert_int_equal(checks[2].tier, TIER_LIVE);
	checked_fini(&checked);
}

static void test_bad_lists_are_refused(void **state)
{
	static const struct {
		const char *list, *error;
	} lists[] = {
		{ "{ path: /m }", "needs path and ids" },
		{ "{ ids: /m }", "needs path and ids" },
		{ "{ path: /m, ids: data }", "expected a JSON pointer like /data/*/id" },
		{ "{ path: /m, ids: '/*/*/*/*' }", "at most 200 bytes and 3 *" },
		{ "{ path: m, ids: /m }", "expected a path that begins with one /" },
		{ "{ path: '/m/${modle}', ids: /m }", "did you mean ${model}?" },
		{ "{ path: /m, ids: /m, next: /n }", "list.next: needs next_parameter" },
		{ "{ path: /m, ids: /m, aliases: [ x ] }", "expected JSON pointers" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(lists); i++) {
		struct checked checked;
		struct sbuf yaml = SBUF_INIT;

		sbuf_printf(&yaml,
			"endpoints: [ { name: a, type: models, models: [ m ], url: http://a/, "
			"list: %s } ]\n",
			lists[i].list);
		checked_load(&checked, sbuf_str(&yaml));
		if (checked.config || !strstr(sbuf_str(&checked.errors), lists[i].error))
			fail_msg("%s: %s", lists[i].list, sbuf_str(&checked.errors));
		checked_fini(&checked);
		sbuf_fini(&yaml);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load_keeps_its_clocks_from_scrape_to_scrape),
		cmocka_unit_test(test_pause_of_our_own_restarts_the_clocks),
		cmocka_unit_test(test_cancelled_scrape_leaves_nothing_behind),
		cmocka_unit_test(test_cancelled_list_leaves_nothing_behind),
		cmocka_unit_test(test_load_decides_at_once_unless_told_otherwise),
		cmocka_unit_test(test_tier_goes_by_name_and_then_by_kind),
		cmocka_unit_test(test_bad_lists_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

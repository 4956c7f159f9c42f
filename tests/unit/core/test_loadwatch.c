/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/loadwatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAMES(...)                                                         \
	{                                                                  \
		.items = (const struct metric_name[]){ __VA_ARGS__ },      \
		.n = sizeof((const struct metric_name[]){ __VA_ARGS__ }) / \
		     sizeof(struct metric_name)                            \
	}
#define NAME(text, stem_len)                   \
	{                                      \
		.name = text, .stem = stem_len \
	}

static const struct promtext_label waiting_label[] = { { "type", "waiting" } };

static const struct load_roles
	roles = { .role = {
			  [ROLE_RUNNING] = NAMES(NAME("running", 7), NAME("old_running", 11)),
			  [ROLE_WAITING] = NAMES(NAME("waiting", 7),
				  { .name = "requests",
					  .stem = 8,
					  .labels = waiting_label,
					  .n_labels = 1 },
				  NAME("queue", 5)),
			  [ROLE_KV_USAGE] = NAMES(NAME("kv", 2)),
			  [ROLE_KV_USED] = NAMES(NAME("kv_used", 7)),
			  [ROLE_KV_CAPACITY] = NAMES(NAME("kv_max", 6)),
			  [ROLE_PROGRESS] = NAMES(NAME("tokens_total", 6), NAME("done", 4)),
			  [ROLE_GENERATION_TOKENS] = NAMES(NAME("generated_total", 9)),
			  [ROLE_TTFT] = NAMES(NAME("ttft", 4), NAME("first_ms", 8)),
		  } };

static const struct load_limits limits = {
	.waiting = { .above = 0, .lasting = 30 * USEC_PER_SEC },
	.kv_usage = { .above = 0.95, .lasting = 30 * USEC_PER_SEC },
};

static const struct load_rules rules = {
	.limits = &limits,
	.stall_after = 60 * USEC_PER_SEC,
	.gap_max = 45 * USEC_PER_SEC,
};

static struct load_scrape scrape(const char *text)
{
	struct load_reader sums = { .roles = &roles };
	struct promtext reader = {
		.on_sample = load_reader_add,
		.is_wanted = load_reader_wants,
		.ctx = &sums,
	};
	struct load_scrape result;

	promtext_push(&reader, text, strlen(text));
	promtext_end(&reader);
	load_reader_end(&sums, &result);
	return result;
}

/* One scrape after so many seconds. */
static struct result step(struct load_watch *watch, unsigned seconds, const char *text)
{
	struct load_scrape now = scrape(text);
	struct result result = { 0 };

	result_set(&result, REASON_OK, NULL);
	assert_true(load_watch_step(watch, &rules, &now, (1000 + seconds) * USEC_PER_SEC, &result));
	return result;
}

static void assert_value(const char *text, enum load_value value, double expected)
{
	struct load_watch watch = { 0 };
	struct result result = step(&watch, 0, text);

	assert_true(load_has(&result.load, value));
	if (fabs(result.load.value[value] - expected) > 1e-9)
		fail_msg("%s: expected %g, got %g", text, expected, result.load.value[value]);
}

/* ---- what a scrape says ---- */

static void test_series_of_a_name_are_added_up(void **state)
{
	(void)state;
	assert_value("running{engine=\"0\"} 2\nrunning{engine=\"1\"} 3\n", LOAD_RUNNING, 5);
	assert_value("kv{engine=\"0\"} 0.2\nkv{engine=\"1\"} 0.9\nkv{engine=\"2\"} 0.1\n",
		LOAD_KV_USAGE, 0.9);
}

static void test_old_and_new_name_are_not_counted_twice(void **state)
{
	(void)state;
	assert_value("running 2\nold_running 2\n", LOAD_RUNNING, 2);
	assert_value("old_running 4\n", LOAD_RUNNING, 4);
	assert_value("generated_total 7\ngenerated 7\n", LOAD_GENERATION_TOKENS, 7);
	assert_value("generated 9\n", LOAD_GENERATION_TOKENS, 9);
}

static void test_progress_adds_all_its_names(void **state)
{
	(void)state;
	assert_value("tokens_total 5\ndone_total 6\n", LOAD_PROGRESS, 11);
	assert_value("tokens 5\ndone 6\n", LOAD_PROGRESS, 11);
	assert_value("generated_total 3\n", LOAD_PROGRESS, 3);
}

static void test_selector_takes_its_series_only(void **state)
{
	(void)state;
	assert_value("requests{type=\"active\"} 9\nrequests{x=\"y\",type=\"waiting\"} 4\n",
		LOAD_WAITING, 4);
}

static void test_cache_usage_may_be_two_numbers(void **state)
{
	(void)state;
	assert_value("kv_used 9120\nkv_max 16384\n", LOAD_KV_USAGE, 9120.0 / 16384);
}

static void test_numbers_that_are_none_are_left_out(void **state)
{
	struct load_watch watch = { 0 };
	struct result result =
		step(&watch, 0, "running NaN\nwaiting 1\nkv +Inf\nkv_max 0\nkv_used 0\n");

	(void)state;
	assert_int_equal(result.load.seen, 1u << LOAD_WAITING);
}

static void test_other_metrics_say_nothing(void **state)
{
	struct load_watch watch = { 0 };
	struct load_scrape none = scrape("up 1\nrunning_max 5\nrunnin 5\ntokens_total_x 1\n");
	struct result result = { 0 };

	(void)state;
	assert_false(load_watch_step(&watch, &rules, &none, 1000, &result));
	assert_int_equal(watch.last_at, 0);
}

static void test_histogram_is_its_mean_between_two_scrapes(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	result = step(&watch, 0, "ttft_sum 10\nttft_count 100\nfirst_ms_sum 1\nfirst_ms_count 1\n");
	assert_false(load_has(&result.load, LOAD_TTFT));
	result = step(&watch, 15, "ttft_sum 12\nttft_count 104\n");
	assert_true(load_has(&result.load, LOAD_TTFT));
	assert_true(fabs(result.load.value[LOAD_TTFT] - 0.5) < 1e-9);
	result = step(&watch, 30, "ttft_sum 12\nttft_count 104\n");
	assert_false(load_has(&result.load, LOAD_TTFT));
	result = step(&watch, 45, "ttft_sum 1\nttft_count 1\n");
	assert_false(load_has(&result.load, LOAD_TTFT));
	result = step(&watch, 60, "first_ms_sum 100\nfirst_ms_count 1\n");
	assert_false(load_has(&result.load, LOAD_TTFT));
	result = step(&watch, 75, "first_ms_sum 600\nfirst_ms_count 3\n");
	assert_true(fabs(result.load.value[LOAD_TTFT] - 0.25) < 1e-9);
}

static void test_histogram_can_tell_the_queue(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	result = step(&watch, 0, "queue_sum 0\nqueue_count 5\n");
	assert_false(load_has(&result.load, LOAD_WAITING));
	result = step(&watch, 15, "queue_sum 20\nqueue_count 15\n");
	assert_true(fabs(result.load.value[LOAD_WAITING] - 2) < 1e-9);
	assert_true(result.load.is_full);
	result = step(&watch, 30, "queue_sum 20\nqueue_count 15\n");
	assert_true(load_has(&result.load, LOAD_WAITING));
	assert_false(result.load.is_full);
}

/* ---- motion and stalls ---- */

static void test_motion_compares_two_scrapes(void **state)
{
	struct load_watch watch = { 0 };

	(void)state;
	assert_int_equal(step(&watch, 0, "running 1\ndone 5\n").load.motion, LOAD_UNKNOWN_MOTION);
	assert_int_equal(step(&watch, 15, "running 1\ndone 6\n").load.motion, LOAD_ADVANCING);
	assert_int_equal(step(&watch, 30, "running 1\ndone 6\n").load.motion, LOAD_FLAT);
	assert_int_equal(step(&watch, 45, "running 0\ndone 6\n").load.motion, LOAD_IDLE);
	assert_int_equal(step(&watch, 60, "running 0\ndone 9\n").load.motion, LOAD_ADVANCING);
	assert_int_equal(step(&watch, 75, "running 0\ndone 2\n").load.motion, LOAD_UNKNOWN_MOTION);
	assert_int_equal(step(&watch, 90, "waiting 0\ndone 2\n").load.motion, LOAD_UNKNOWN_MOTION);
	assert_int_equal(step(&watch, 105, "waiting 3\n").load.motion, LOAD_UNKNOWN_MOTION);
}

static void test_work_without_progress_is_a_stall_after_its_time(void **state)
{
	struct load_watch watch = { 0 };
	struct result result = { 0 };

	(void)state;
	for (unsigned at = 0; at < 60; at += 15)
		assert_int_equal(step(&watch, at, "running 2\ndone 7\n").reason, REASON_OK);
	result = step(&watch, 60, "running 2\ndone 7\n");
	assert_int_equal(result.reason, REASON_STALLED);
	assert_int_equal(result.verdict, VERDICT_DOWN);
	assert_string_equal(result.detail, "2 running, no progress for 60 s");
	assert_int_equal(step(&watch, 75, "running 2\ndone 8\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 90, "running 2\ndone 8\n").reason, REASON_OK);
}

static void test_stall_counts_from_the_first_scrape_with_work(void **state)
{
	struct load_watch watch = { 0 };

	(void)state;
	for (unsigned at = 0; at <= 120; at += 15)
		(void)step(&watch, at, "running 0\ndone 7\n");
	for (unsigned at = 135; at < 195; at += 15)
		assert_int_equal(step(&watch, at, "running 1\ndone 7\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 195, "running 1\ndone 7\n").reason, REASON_STALLED);
}

static void test_queued_work_alone_can_stall(void **state)
{
	struct load_watch watch = { 0 };
	struct result result = { 0 };

	(void)state;
	for (unsigned at = 0; at <= 60; at += 30)
		result = step(&watch, at, "running 0\nwaiting 4\ndone 7\n");
	assert_int_equal(result.reason, REASON_STALLED);
	assert_true(result.load.is_full);
}

static void test_counter_reset_is_neither_progress_nor_stall(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	for (unsigned at = 0; at <= 45; at += 15)
		(void)step(&watch, at, "running 1\ndone 700\n");
	result = step(&watch, 60, "running 1\ndone 3\n");
	assert_int_equal(result.reason, REASON_OK);
	assert_int_equal(result.load.motion, LOAD_UNKNOWN_MOTION);
	for (unsigned at = 75; at < 120; at += 15)
		assert_int_equal(step(&watch, at, "running 1\ndone 3\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 120, "running 1\ndone 3\n").reason, REASON_STALLED);
}

static void test_scrapes_far_apart_prove_no_stall(void **state)
{
	struct load_watch watch = { 0 };

	(void)state;
	(void)step(&watch, 0, "running 1\nwaiting 1\ndone 7\n");
	assert_int_equal(step(&watch, 300, "running 1\nwaiting 1\ndone 7\n").reason, REASON_OK);
	assert_int_equal(
		step(&watch, 330, "running 1\nwaiting 1\ndone 7\n").reason, REASON_OVERLOADED);
}

static void test_restart_of_the_clocks_keeps_the_counters(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	(void)step(&watch, 0, "running 1\ndone 7\n");
	(void)step(&watch, 30, "running 1\ndone 7\n");
	load_watch_restart(&watch);
	result = step(&watch, 60, "running 1\ndone 7\n");
	assert_int_equal(result.reason, REASON_OK);
	assert_int_equal(result.load.motion, LOAD_FLAT);
}

/* ---- limits for a time ---- */

static void test_limit_holds_only_when_passed_in_every_scrape(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	assert_int_equal(step(&watch, 0, "waiting 87\ndone 1\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 15, "waiting 87\ndone 2\n").reason, REASON_OK);
	result = step(&watch, 30, "waiting 9\ndone 3\n");
	assert_int_equal(result.reason, REASON_OVERLOADED);
	assert_int_equal(result.verdict, VERDICT_DEGRADED);
	assert_string_equal(result.detail, "9 waiting, more than 0 for 30 s");
	assert_int_equal(step(&watch, 45, "waiting 0\ndone 4\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 60, "waiting 1\ndone 5\n").reason, REASON_OK);
	assert_int_equal(step(&watch, 75, "waiting 1\ndone 6\n").reason, REASON_OK);
}

static void test_full_cache_is_overload_after_its_time(void **state)
{
	struct load_watch watch = { 0 };
	struct result result;

	(void)state;
	assert_int_equal(step(&watch, 0, "kv 0.987\ndone 1\n").reason, REASON_OK);
	result = step(&watch, 40, "kv 0.987\ndone 2\n");
	assert_int_equal(result.reason, REASON_OVERLOADED);
	assert_string_equal(result.detail, "KV cache 98.7 % full, more than 95 % for 40 s");
}

/* As if each scrape was made by a process of its own. */
static void test_clocks_and_progress_outlive_the_process(void **state)
{
	struct load_watch watch = { 0 };
	struct memory memory = { 0 };
	struct result result;

	(void)state;
	for (unsigned seconds = 0; seconds <= 90; seconds += 15) {
		load_watch_recall(&watch, &memory);
		result = step(&watch, seconds, "running 3\ntokens_total 500\nwaiting 0\n");
		load_watch_keep(&watch, &memory);
		assert_int_equal(
			result.load.motion, seconds == 0 ? LOAD_UNKNOWN_MOTION : LOAD_FLAT);
		assert_int_equal(result.reason, seconds < 60 ? REASON_OK : REASON_STALLED);
	}
	load_watch_recall(&watch, &memory);
	result = step(&watch, 105, "running 3\ntokens_total 501\nwaiting 1\n");
	assert_int_equal(result.load.motion, LOAD_ADVANCING);
	load_watch_keep(&watch, &memory);
	load_watch_recall(&watch, &memory);
	result = step(&watch, 120, "running 3\ntokens_total 502\nwaiting 1\n");
	load_watch_keep(&watch, &memory);
	load_watch_recall(&watch, &memory);
	result = step(&watch, 140, "running 3\ntokens_total 503\nwaiting 1\n");
	assert_int_equal(result.reason, REASON_OVERLOADED); /* for more than 30 s */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_series_of_a_name_are_added_up),
		cmocka_unit_test(test_old_and_new_name_are_not_counted_twice),
		cmocka_unit_test(test_progress_adds_all_its_names),
		cmocka_unit_test(test_selector_takes_its_series_only),
		cmocka_unit_test(test_cache_usage_may_be_two_numbers),
		cmocka_unit_test(test_numbers_that_are_none_are_left_out),
		cmocka_unit_test(test_other_metrics_say_nothing),
		cmocka_unit_test(test_histogram_is_its_mean_between_two_scrapes),
		cmocka_unit_test(test_histogram_can_tell_the_queue),
		cmocka_unit_test(test_motion_compares_two_scrapes),
		cmocka_unit_test(test_work_without_progress_is_a_stall_after_its_time),
		cmocka_unit_test(test_stall_counts_from_the_first_scrape_with_work),
		cmocka_unit_test(test_queued_work_alone_can_stall),
		cmocka_unit_test(test_counter_reset_is_neither_progress_nor_stall),
		cmocka_unit_test(test_scrapes_far_apart_prove_no_stall),
		cmocka_unit_test(test_restart_of_the_clocks_keeps_the_counters),
		cmocka_unit_test(test_limit_holds_only_when_passed_in_every_scrape),
		cmocka_unit_test(test_clocks_and_progress_outlive_the_process),
		cmocka_unit_test(test_full_cache_is_overload_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

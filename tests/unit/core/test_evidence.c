/* SPDX-License-Identifier: MIT */
/*
 * What is known of a check: reasons, results, the window of the last ones.
 */
#include "modelhealth/base/rand.h"
#include "modelhealth/core/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_every_reason_has_a_token_of_its_own(void **state)
{
	(void)state;
	for (enum reason reason = 0; reason < REASON_N; reason++) {
		const struct reason_desc *desc = reason_desc(reason);

		assert_int_equal(reason_from_token(desc->token), reason);
		assert_int_equal(strspn(desc->token, "abcdefghijklmnopqrstuvwxyz0123456789_"),
			strlen(desc->token));
		assert_true(strlen(desc->text) > 10);
		assert_non_null(phase_token(desc->phase));
		assert_non_null(verdict_token(desc->verdict));
		/* what is ours is never the target's */
		if (desc->phase == PHASE_SELF)
			assert_int_equal(desc->verdict, VERDICT_UNKNOWN);
	}
	assert_int_equal(reason_from_token("nonsense"), REASON_N);
}

static void test_detail_is_one_clean_line_of_bounded_length(void **state)
{
	struct result result = { 0 };
	char flood[1000];

	(void)state;
	result_set(&result, REASON_HTTP_STATUS, "got %s", "\x1b[31mred\r\nnext\xff<b>");
	assert_string_equal(result.detail, "got [31mred next\xef\xbf\xbd<b>");
	memset(flood, 'x', sizeof flood - 1);
	flood[sizeof flood - 1] = '\0';
	result_set(&result, REASON_HTTP_STATUS, "%s", flood);
	assert_true(strlen(result.detail) < RESULT_DETAIL_SIZE);
	result_set(&result, REASON_OK, NULL);
	assert_string_equal(result.detail, "");
	assert_int_equal(result.verdict, VERDICT_UP);
}

static void push(struct window *window, enum reason reason, usec_t latency)
{
	struct result result = { .at = latency };

	result_set(&result, reason, NULL);
	result_set_timing(&result, TIMING_TOTAL, latency);
	window_push(window, &result);
}

static int compare(const void *a, const void *b)
{
	return (int)(*(const usec_t *)a - *(const usec_t *)b);
}

static void test_percentiles_match_a_sorted_copy(void **state)
{
	struct rand rand;

	(void)state;
	rand_seed(&rand, 4);
	for (unsigned round = 0; round < 200; round++) {
		struct window window = { 0 };
		usec_t all[200], got;
		unsigned n = 1 + (unsigned)rand_below(&rand, array_size(all));
		unsigned kept = min_of(n, (unsigned)WINDOW_SIZE);
		unsigned percent = 1 + (unsigned)rand_below(&rand, 100);

		for (unsigned i = 0; i < n; i++)
			push(&window, REASON_OK, all[i] = 1 + rand_below(&rand, 1000000));
		qsort(all + n - kept, kept, sizeof all[0], compare);
		assert_true(window_percentile(&window, percent, 0, &got));
		assert_int_equal(got, all[n - kept + (percent * kept + 99) / 100 - 1]);
		assert_int_equal(window_ok(&window), kept);
		window_fini(&window);
	}
}

static void test_window_counts_what_is_known_and_keeps_the_last_failures(void **state)
{
	struct window window = { 0 };
	usec_t got;

	(void)state;
	assert_false(window_percentile(&window, 50, 0, &got));
	assert_null(window_failure(&window, 0));
	for (unsigned i = 1; i <= 7; i++)
		push(&window, REASON_SERVER_ERROR, i);
	push(&window, REASON_SLOW, 50);
	push(&window, REASON_AUTH_FAILED, 60); /* shown, but says nothing of the target */
	assert_int_equal(window.n, 8);
	assert_int_equal(window_ok(&window), 1);
	assert_true(window_percentile(&window, 99, 0, &got));
	assert_int_equal(got, 50); /* a failure has no latency */
	assert_int_equal(window_failure(&window, 0)->reason, REASON_AUTH_FAILED);
	assert_int_equal(window_failure(&window, 1)->at, 7);
	assert_int_equal(window_failure(&window, 4)->at, 4);
	assert_null(window_failure(&window, 5));
	window_fini(&window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reason_has_a_token_of_its_own),
		cmocka_unit_test(test_detail_is_one_clean_line_of_bounded_length),
		cmocka_unit_test(test_percentiles_match_a_sorted_copy),
		cmocka_unit_test(test_window_counts_what_is_known_and_keeps_the_last_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

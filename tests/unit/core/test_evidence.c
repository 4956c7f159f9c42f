/* SPDX-License-Identifier: MIT */
/*
 * What is known of an endpoint: reasons, results, the window of the last ones, the verdict.
 */
#include "modelhealth/core/verdict.h"

#include "modelhealth/base/rand.h"

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

/* ---- verdict ---- */

struct case_check {
	enum tier tier;
	enum state state;
	enum reason reason; /* NEVER_CHECKED = no evidence */
};

static void test_verdict_rows(void **state)
{
	static const struct {
		struct case_check checks[3];
		bool suspended;
		enum state expected;
		int decided_by; /* -1 = nobody */
	} rows[] = {
		{ { { TIER_LIVE, STATE_UP, REASON_OK } }, false, STATE_UP, 0 },
		{ { { TIER_LIVE, STATE_UNKNOWN, REASON_NEVER_CHECKED } }, false, STATE_UNKNOWN,
			-1 },
		{ { { TIER_LIVE, STATE_DOWN, REASON_CONN_RESET } }, true, STATE_SUSPENDED, -1 },
		{ { { TIER_READY, STATE_DOWN, REASON_CONN_RESET },
			  { TIER_LIVE, STATE_UP, REASON_OK } },
			false, STATE_DOWN, 0 },
		/* the cheapest of those that agree is nearest to the cause */
		{ { { TIER_READY, STATE_DOWN, REASON_CONN_RESET },
			  { TIER_LIVE, STATE_DOWN, REASON_CONNECT_REFUSED } },
			false, STATE_DOWN, 1 },
		{ { { TIER_LIVE, STATE_UP, REASON_OK },
			  { TIER_READY, STATE_NOT_READY, REASON_LOADING },
			  { TIER_LOAD, STATE_DEGRADED, REASON_OVERLOADED } },
			false, STATE_NOT_READY, 1 },
		{ { { TIER_LIVE, STATE_UP, REASON_OK },
			  { TIER_MODELS, STATE_UNKNOWN, REASON_AUTH_FAILED } },
			false, STATE_UNKNOWN, 1 },
		{ { { TIER_LIVE, STATE_DEGRADED, REASON_SLOW },
			  { TIER_MODELS, STATE_UNKNOWN, REASON_AUTH_FAILED } },
			false, STATE_DEGRADED, 0 },
		/* one that has not spoken yet does not speak against one that has */
		{ { { TIER_LIVE, STATE_UP, REASON_OK },
			  { TIER_READY, STATE_UNKNOWN, REASON_NEVER_CHECKED } },
			false, STATE_UP, 0 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct check_spec specs[3] = { 0 };
		struct check_view views[3] = { 0 }, *pointers[3];
		struct endpoint_view endpoint = { .checks = pointers,
			.suspended = rows[i].suspended };

		for (size_t j = 0; j < 3; j++) {
			const struct case_check *check = &rows[i].checks[j];

			if (check->state == STATE_UP && check->tier == TIER_TRANSPORT)
				break;
			specs[j].tier = check->tier;
			views[j].spec = &specs[j];
			views[j].health.state = check->state;
			views[j].health.reason = check->reason;
			views[j].health.decided = check->reason != REASON_NEVER_CHECKED;
			pointers[endpoint.n_checks++] = &views[j];
		}
		verdict_decide(&endpoint);
		if (endpoint.state != rows[i].expected)
			fail_msg("row %zu: expected %s, got %s", i, state_token(rows[i].expected),
				state_token(endpoint.state));
		assert_ptr_equal(endpoint.decided_by,
			rows[i].decided_by < 0 ? NULL : pointers[rows[i].decided_by]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_reason_has_a_token_of_its_own),
		cmocka_unit_test(test_detail_is_one_clean_line_of_bounded_length),
		cmocka_unit_test(test_percentiles_match_a_sorted_copy),
		cmocka_unit_test(test_window_counts_what_is_known_and_keeps_the_last_failures),
		cmocka_unit_test(test_verdict_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

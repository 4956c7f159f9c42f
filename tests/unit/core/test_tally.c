/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_counts_by_reason_in_the_order_of_reasons(void **state)
{
	static const enum reason seen[] = { REASON_TIMEOUT_IDLE, REASON_OK, REASON_STALE, REASON_OK,
		REASON_SLOW, REASON_OK, REASON_TIMEOUT_IDLE };
	struct tally tally = { 0 };

	(void)state;
	for (size_t i = 0; i < array_size(seen); i++)
		tally_add(&tally, seen[i]);
	assert_int_equal(tally.total, array_size(seen));
	assert_int_equal(tally.n, 4);
	for (size_t i = 1; i < tally.n; i++)
		assert_true(tally.rows[i - 1].reason < tally.rows[i].reason);
	assert_int_equal(tally_count(&tally, REASON_OK), 3);
	assert_int_equal(tally_count(&tally, REASON_TIMEOUT_IDLE), 2);
	assert_int_equal(tally_count(&tally, REASON_SLOW), 1);
	assert_int_equal(tally_count(&tally, REASON_STALE), 1);
	tally_fini(&tally);
}

static void test_all_reasons_fit(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	for (unsigned i = REASON_N; i-- > 0;)
		tally_add(&tally, (enum reason)i);
	assert_int_equal(tally.n, REASON_N);
	for (unsigned i = 0; i < REASON_N; i++)
		assert_int_equal(tally_count(&tally, (enum reason)i), 1);
	tally_fini(&tally);
}

static void test_what_never_occurred_counts_nothing(void **state)
{
	struct tally tally = { 0 };

	(void)state;
	assert_int_equal(tally_count(&tally, REASON_OK), 0);
	tally_add(&tally, REASON_SLOW);
	assert_int_equal(tally_count(&tally, REASON_OK), 0);
	assert_int_equal(tally_count(&tally, REASON_STALE), 0);
	tally_fini(&tally);
	assert_int_equal(tally.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_by_reason_in_the_order_of_reasons),
		cmocka_unit_test(test_all_reasons_fit),
		cmocka_unit_test(test_what_never_occurred_counts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/base/gaps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void test_nothing_has_no_quantile(void **state)
{
	struct gaps gaps = { .n = 0 };

	(void)state;
	assert_int_equal(gaps_mean(&gaps), 0);
	assert_int_equal(gaps_quantile(&gaps, 95), 0);
}

static void test_quantiles_go_by_nearest_rank(void **state)
{
	struct gaps gaps = { .n = 0 };

	(void)state;
	for (usec_t i = 1; i <= 20; i++)
		gaps_add(&gaps, i);
	assert_int_equal(gaps_quantile(&gaps, 95), 19);
	assert_int_equal(gaps_quantile(&gaps, 100), 20);
	assert_int_equal(gaps_quantile(&gaps, 50), 10);
	assert_int_equal(gaps_quantile(&gaps, 0), 1);
	assert_int_equal(gaps_mean(&gaps), 11); /* 10.5 */
	assert_int_equal(gaps.max, 20);
}

/* What one value alone is read back as. */
static usec_t read_back(usec_t usec)
{
	struct gaps gaps = { .n = 0 };

	gaps_add(&gaps, 0);
	gaps_add(&gaps, usec);
	gaps_add(&gaps, USEC_NEVER / 4); /* so that the maximum does not bound it */
	return gaps_quantile(&gaps, 60);
}

static void test_a_quantile_is_right_to_two_percent(void **state)
{
	(void)state;
	for (usec_t usec = 0; usec < 64; usec++)
		assert_int_equal(read_back(usec), usec);
	for (usec_t usec = 64; usec < 4000 * USEC_PER_SEC; usec += usec / 17 + 1) {
		usec_t seen = read_back(usec);
		usec_t error = seen > usec ? seen - usec : usec - seen;

		if (error > usec / 60)
			fail_msg("%llu µs read back as %llu", (unsigned long long)usec,
				(unsigned long long)seen);
	}
}

static void test_no_quantile_passes_the_maximum(void **state)
{
	struct gaps gaps = { .n = 0 };

	(void)state;
	gaps_add(&gaps, 1000001);
	assert_true(gaps_quantile(&gaps, 95) <= 1000001);
	gaps_add(&gaps, USEC_NEVER / 2);
	assert_true(gaps_quantile(&gaps, 100) <= USEC_NEVER / 2);
	assert_int_equal(gaps.max, USEC_NEVER / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_has_no_quantile),
		cmocka_unit_test(test_quantiles_go_by_nearest_rank),
		cmocka_unit_test(test_a_quantile_is_right_to_two_percent),
		cmocka_unit_test(test_no_quantile_passes_the_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

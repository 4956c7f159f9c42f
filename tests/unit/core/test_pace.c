/* SPDX-License-Identifier: MIT */
/*
 * What decides when: the start grid (cadence) and the token bucket.
 */
#include "modelhealth/base/rand.h"
#include "modelhealth/core/bucket.h"
#include "modelhealth/core/cadence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const usec_t second = USEC_PER_SEC;

static struct endpoint_spec endpoint = { .name = "a" };

static struct check_spec spec_of(usec_t interval)
{
	return (struct check_spec){ .name = "live",
		.endpoint = &endpoint,
		.interval = interval,
		.fast_interval = interval / 3,
		.down_interval = 2 * interval,
		.health = { .rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 2 } };
}

static void test_anchors_spread_evenly(void **state)
{
	struct check_spec spec = spec_of(10 * second);
	unsigned tenths[10] = { 0 };
	char name[32];

	(void)state;
	endpoint.name = name;
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof name, "endpoint-%d", i);
		tenths[cadence_anchor(&spec, 0) / second]++;
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(tenths[i], 880, 1120);
	endpoint.name = "a";
}

static void test_first_start_comes_within_ten_seconds(void **state)
{
	struct check_spec spec = spec_of(3600 * second);

	(void)state;
	assert_in_range(cadence_first(&spec, 100 * second), 100 * second, 110 * second);
}

static void test_next_is_on_the_grid_and_later_than_now(void **state)
{
	struct check_spec spec = spec_of(10 * second);
	struct rand rand;

	(void)state;
	rand_seed(&rand, 1);
	for (int i = 0; i < 100000; i++) {
		usec_t anchor = rand_below(&rand, 100 * second);
		usec_t last = rand_below(&rand, 200 * second);
		usec_t now = last + rand_below(&rand, 50 * second);
		usec_t next = cadence_next(&spec, anchor, last, spec.interval, now);

		assert_true(next > now);
		assert_true(next > last + spec.interval / 2);
		assert_true(next < anchor || (next - anchor) % spec.interval == 0);
	}
}

static void test_schedule_goes_on_after_a_time_without_us(void **state)
{
	static const struct {
		unsigned interval, slot, now, start; /* seconds */
		bool is_near;
	} cases[] = {
		{ 60, 130, 100, 130, true }, /* still to come */
		{ 60, 100, 100, 100, true },
		{ 60, 100, 103, 109, true }, /* 3 late: in 6 */
		{ 60, 100, 110, 130, true },
		{ 60, 100, 112, 120, false }, /* the grid is 48 away: 48/60 of ten seconds */
		{ 60, 100, 159, 159, false },
		{ 8, 100, 104, 112, true },
		{ 8, 100, 105, 108, false }, /* shorter than ten seconds: the grid itself */
		{ 86400, 100, 43300, 43305, false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct check_spec spec = spec_of(cases[i].interval * second);
		usec_t slot = cases[i].slot * second, now = cases[i].now * second;

		assert_int_equal(cadence_resume(&spec, slot, now) / second, cases[i].start);
		assert_int_equal(cadence_is_near(&spec, slot, now), cases[i].is_near);
	}
}

static void test_fast_and_down_intervals_count_from_the_last_start(void **state)
{
	struct check_spec spec = spec_of(9 * second);

	(void)state;
	assert_int_equal(
		cadence_next(&spec, 5 * second, 14 * second, 3 * second, 14 * second), 17 * second);
	assert_int_equal(
		cadence_next(&spec, 5 * second, 14 * second, 3 * second, 18 * second), 20 * second);
	assert_int_equal(cadence_next(&spec, 5 * second, 14 * second, 18 * second, 15 * second),
		32 * second);
}

static void test_interval_follows_the_state(void **state)
{
	struct check_spec spec = spec_of(9 * second);
	struct health health;

	(void)state;
	health_init(&health, &spec.health);
	assert_int_equal(cadence_interval(&spec, &health), 9 * second);
	health.decided = true;
	health.state = STATE_UP;
	assert_int_equal(cadence_interval(&spec, &health), 9 * second);
	health.level--;
	assert_int_equal(cadence_interval(&spec, &health), 3 * second);
	health.level = 0;
	health.state = STATE_DOWN;
	assert_int_equal(cadence_interval(&spec, &health), 18 * second);
}

static void test_bucket_lets_count_through_in_any_period(void **state)
{
	struct bucket bucket = { .rate = { .count = 5, .per = 10 * second } };
	usec_t now = 1000 * second;
	unsigned taken = 0;

	(void)state;
	for (usec_t end = now + 100 * second; now < end; now += second / 10)
		taken += bucket_take(&bucket, now) ? 1 : 0;
	assert_in_range(taken, 54, 55); /* 5 at first, then 5 in each 10 s */
}

static void test_bucket_says_when_the_next_token_is_there(void **state)
{
	struct bucket bucket = { .rate = { .count = 2, .per = 10 * second } };
	usec_t now = 50 * second;

	(void)state;
	assert_true(bucket_take(&bucket, now));
	assert_true(bucket_take(&bucket, now));
	assert_false(bucket_take(&bucket, now));
	assert_int_equal(bucket_next(&bucket, now), now + 5 * second);
	assert_false(bucket_take(&bucket, now + 5 * second - 1));
	assert_true(bucket_take(&bucket, now + 5 * second));
}

static void test_bucket_without_a_rate_is_no_limit(void **state)
{
	struct bucket bucket = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(bucket_take(&bucket, 7));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anchors_spread_evenly),
		cmocka_unit_test(test_first_start_comes_within_ten_seconds),
		cmocka_unit_test(test_next_is_on_the_grid_and_later_than_now),
		cmocka_unit_test(test_schedule_goes_on_after_a_time_without_us),
		cmocka_unit_test(test_fast_and_down_intervals_count_from_the_last_start),
		cmocka_unit_test(test_interval_follows_the_state),
		cmocka_unit_test(test_bucket_lets_count_through_in_any_period),
		cmocka_unit_test(test_bucket_says_when_the_next_token_is_there),
		cmocka_unit_test(test_bucket_without_a_rate_is_no_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

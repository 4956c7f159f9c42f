/* SPDX-License-Identifier: MIT */
/* Rules of reading and writing time. */
#include "modelhealth/base/clock.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void test_known_times(void **state)
{
	static const struct {
		usec_t usec;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 999, "1970-01-01T00:00:00.000Z" },
		{ 1000, "1970-01-01T00:00:00.001Z" },
		{ 951782400ull * USEC_PER_SEC, "2000-02-29T00:00:00.000Z" },
		{ 1767323045678999ull, "2026-01-02T03:04:05.678Z" },
		{ 4294967296ull * USEC_PER_SEC, "2106-02-07T06:28:16.000Z" },
		{ 253402300799ull * USEC_PER_SEC, "9999-12-31T23:59:59.000Z" },
		{ 253402300800ull * USEC_PER_SEC, "9999-12-31T23:59:59.000Z" },
	};

	char text[CLOCK_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		clock_format(cases[i].usec, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_any_time_prints_in_full_length(void **state)
{
	char text[CLOCK_TEXT_SIZE];
	struct rand rand;

	(void)state;
	rand_seed(&rand, 3);
	for (unsigned i = 0; i < 10000; i++) {
		clock_format(rand_next(&rand) >> (i % 64), text);
		assert_int_equal(strlen(text), CLOCK_TEXT_SIZE - 1);
	}
	clock_format(UINT64_MAX, text);
	assert_memory_equal(text, "9999-12-31T23:59:59.", 20);
}

static void test_format_agrees_with_the_c_library_and_is_ordered(void **state)
{
	char text[CLOCK_TEXT_SIZE], before[CLOCK_TEXT_SIZE] = "";
	struct rand rand;
	usec_t at = 0;

	(void)state;
	rand_seed(&rand, 4);
	for (unsigned i = 0; i < 5000; i++) {
		struct tm utc = { 0 };

		at += 1000 + rand_below(&rand, 1000000 * USEC_PER_SEC);
		clock_format(at, text);
		assert_true(strcmp(before, text) < 0);
		memcpy(before, text, sizeof text);
		assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &utc));
		assert_int_equal(timegm(&utc), at / USEC_PER_SEC);
	}
}

static void test_clocks_do_not_run_backwards(void **state)
{
	usec_t monotonic = clock_monotonic(), boottime = clock_boottime();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		usec_t next_monotonic = clock_monotonic(), next_boottime = clock_boottime();

		assert_true(next_monotonic >= monotonic);
		assert_true(next_boottime >= boottime);
		monotonic = next_monotonic;
		boottime = next_boottime;
	}
	/* The year 2020 is past on any machine whose clock was ever set. */
	assert_true(clock_realtime() > 1577836800ull * USEC_PER_SEC);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_times),
		cmocka_unit_test(test_any_time_prints_in_full_length),
		cmocka_unit_test(test_format_agrees_with_the_c_library_and_is_ordered),
		cmocka_unit_test(test_clocks_do_not_run_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

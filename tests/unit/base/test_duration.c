/* SPDX-License-Identifier: MIT */
/* Rules of durations, sizes, rates and plain numbers. */
#include "modelhealth/base/duration.h"

#include "modelhealth/base/rand.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct number_case {
	const char *text;
	int result;
	uint64_t value;
};

static void check_cases(
	int (*parse)(const char *, uint64_t *), const struct number_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 12345;
		int r = parse(cases[i].text, &value);

		/* Outputs are written on success alone. */
		if (r != cases[i].result || value != (r == 0 ? cases[i].value : 12345))
			fail_msg("\"%s\": got %d, %" PRIu64, cases[i].text, r, value);
	}
}

static void test_durations(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "1us", 0, 1 },
		{ "250ms", 0, 250000 },
		{ "1s", 0, 1000000 },
		{ "007s", 0, 7000000 },
		{ "1m", 0, 60000000 },
		{ "1h", 0, 3600000000 },
		{ "1d", 0, 86400000000 },
		{ "1w", 0, 604800000000 },
		{ "1m30s", 0, 90000000 },
		{ "90s", 0, 90000000 },
		{ "1w2d3h4m5s6ms7us", 0, 788645006007 },
		{ "1h1ms", 0, 3600001000 },
		{ "1.5s", 0, 1500000 },
		{ "0.25ms", 0, 250 },
		{ "1m0.5s", 0, 60500000 },
		{ "1.9us", 0, 1 },
		{ "0.123456789w", 0, 74666665987 },
		{ "1.0000000000000000000000000000s", 0, 1000000 },
		{ "18446744073709551614us", 0, UINT64_MAX - 1 },
		{ "18446744073709551615us", -ERANGE, 0 },
		{ "18446744073709551616us", -ERANGE, 0 },
		{ "99999999999999999999999999s", -ERANGE, 0 },
		{ "30500569w", -ERANGE, 0 },
		{ "30500568w6d23h59m", -ERANGE, 0 },
	};

	(void)state;
	check_cases(duration_parse, cases, array_size(cases));
}

static void test_what_is_no_duration(void **state)
{
	static const char *const texts[] = { "", " ", "1", "00", "s", "1 s", " 1s", "1s ", "+1s",
		"-1s", "1S", "1min", "1sec", "1e3s", "0x1s", ".5s", "1.s", "1..5s", "1.5",
		"1.5m30s", "1s1m", "1s1s", "1ms1s", "1s0", "1s,", "1,5s", "inf", "nan", "\xc2\xb5s",
		"1\xc2\xb5s" };

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		usec_t value = 7;

		if (duration_parse(texts[i], &value) != -EINVAL || value != 7)
			fail_msg("\"%s\" was taken as a duration", texts[i]);
	}
}

static void test_duration_reads_back_what_it_writes(void **state)
{
	char text[DURATION_TEXT_SIZE];
	struct rand rand;

	(void)state;
	rand_seed(&rand, 11);
	for (unsigned i = 0; i < 200000; i++) {
		usec_t value = rand_next(&rand) >> (i % 64), back = 0;

		/* Round ones, as people write them, every other time. */
		if (i % 2 == 0)
			value = value / USEC_PER_SEC * USEC_PER_SEC;
		if (value == USEC_NEVER)
			continue;
		duration_format(value, text);
		if (duration_parse(text, &back) != 0 || back != value)
			fail_msg("%" PRIu64 " became \"%s\", then %" PRIu64, value, text, back);
	}
}

static void test_duration_texts(void **state)
{
	static const struct {
		usec_t usec;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1us" },
		{ 250000, "250ms" },
		{ 90 * USEC_PER_SEC, "1m30s" },
		{ 604800 * USEC_PER_SEC, "1w" },
	};

	char text[DURATION_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		duration_format(cases[i].usec, text);
		assert_string_equal(text, cases[i].text);
	}
	duration_format(USEC_NEVER, text);
	assert_true(strlen(text) < DURATION_TEXT_SIZE - 1);
}

static void test_sizes(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "1B", 0, 1 },
		{ "64KiB", 0, 65536 },
		{ "1MiB", 0, 1048576 },
		{ "2GiB", 0, 2147483648 },
		{ "1kB", 0, 1000 },
		{ "1MB", 0, 1000000 },
		{ "1GB", 0, 1000000000 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "17179869183GiB", 0, 17179869183ull << 30 },
		{ "17179869184GiB", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "KiB", -EINVAL, 0 },
		{ "1 KiB", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1kib", -EINVAL, 0 },
		{ "1K", -EINVAL, 0 },
		{ "1.5KiB", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1B1", -EINVAL, 0 },
		{ "1BB", -EINVAL, 0 },
	};

	(void)state;
	check_cases(size_parse, cases, array_size(cases));
}

static void test_size_reads_back_what_it_writes(void **state)
{
	char text[DURATION_TEXT_SIZE];
	struct rand rand;

	(void)state;
	rand_seed(&rand, 12);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t value = rand_next(&rand) >> (i % 64) << (i % 40), back = 1;

		size_format(value, text);
		if (size_parse(text, &back) != 0 || back != value)
			fail_msg("%" PRIu64 " became \"%s\", then %" PRIu64, value, text, back);
	}
	size_format(65536, text);
	assert_string_equal(text, "64KiB");
}

static void test_rates(void **state)
{
	static const struct {
		const char *text;
		int result;
		struct rate rate;
	} cases[] = {
		{ "60/1m", 0, { 60, 60 * USEC_PER_SEC } },
		{ "1/100ms", 0, { 1, 100000 } },
		{ "5/1.5s", 0, { 5, 1500000 } },
		{ "4294967295/1h20m", 0, { UINT32_MAX, 4800 * USEC_PER_SEC } },
		{ "4294967296/1d", -ERANGE, { 0, 0 } },
		{ "2/1us", -ERANGE, { 0, 0 } },
		{ "0/1m", -EINVAL, { 0, 0 } },
		{ "60/0", -EINVAL, { 0, 0 } },
		{ "60/0s", -EINVAL, { 0, 0 } },
		{ "60", -EINVAL, { 0, 0 } },
		{ "60/", -EINVAL, { 0, 0 } },
		{ "/1m", -EINVAL, { 0, 0 } },
		{ "60/m", -EINVAL, { 0, 0 } },
		{ "60/1m/1m", -EINVAL, { 0, 0 } },
		{ "60 / 1m", -EINVAL, { 0, 0 } },
		{ "-1/1m", -EINVAL, { 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct rate rate = { 0, 0 };
		int r = rate_parse(cases[i].text, &rate);

		if (r != cases[i].result || rate.count != cases[i].rate.count ||
			rate.per != cases[i].rate.per)
			fail_msg("\"%s\": got %d, %u per %" PRIu64, cases[i].text, r, rate.count,
				rate.per);
	}
}

static void test_rate_reads_back_what_it_writes(void **state)
{
	char text[DURATION_TEXT_SIZE];
	struct rand rand;

	(void)state;
	rand_seed(&rand, 13);
	for (unsigned i = 0; i < 10000; i++) {
		struct rate rate = { .per = 1 + rand_below(&rand, 604800 * USEC_PER_SEC) };
		struct rate back = { 0, 0 };

		rate.count = 1 + (uint32_t)rand_below(&rand, min_of(rate.per, UINT32_MAX));
		rate_format(rate, text);
		assert_int_equal(rate_parse(text, &back), 0);
		assert_int_equal(back.count, rate.count);
		assert_int_equal(back.per, rate.per);
	}
}

static void test_numbers(void **state)
{
	static const struct number_case cases[] = {
		{ "0", 0, 0 },
		{ "42", 0, 42 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "18446744073709551620", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
	};
	struct rand rand;
	char text[32];

	(void)state;
	check_cases(u64_parse, cases, array_size(cases));
	rand_seed(&rand, 14);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t value = rand_next(&rand) >> (i % 64), back = 0;

		(void)snprintf(text, sizeof text, "%" PRIu64, value);
		assert_int_equal(u64_parse(text, &back), 0);
		assert_int_equal(back, value);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_what_is_no_duration),
		cmocka_unit_test(test_duration_reads_back_what_it_writes),
		cmocka_unit_test(test_duration_texts),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_size_reads_back_what_it_writes),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rate_reads_back_what_it_writes),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

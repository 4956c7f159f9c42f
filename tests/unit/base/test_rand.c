/* SPDX-License-Identifier: MIT */
/* Rules of the seeded generator and the stable hash. */
#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* From the authors' reference code: xoshiro256starstar.c seeded by four calls of splitmix64.c. */
static void test_sequence_is_that_of_the_reference(void **state)
{
	static const uint64_t expected[] = { 0x15780b2e0c2ec716ull, 0x6104d9866d113a7eull,
		0xae17533239e499a1ull, 0xecb8ad4703b360a1ull };
	struct rand rand;

	(void)state;
	rand_seed(&rand, 42);
	for (size_t i = 0; i < array_size(expected); i++)
		assert_true(rand_next(&rand) == expected[i]);
}

static void test_equal_seeds_give_equal_runs(void **state)
{
	struct rand one, other;
	unsigned different = 0;

	(void)state;
	rand_seed(&one, 5);
	rand_seed(&other, 5);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(rand_next(&one) == rand_next(&other));
	rand_seed(&other, 6);
	for (unsigned i = 0; i < 1000; i++)
		different += rand_next(&one) != rand_next(&other);
	assert_int_equal(different, 1000);
}

static void test_below_stays_below(void **state)
{
	struct rand rand;

	(void)state;
	rand_seed(&rand, 1);
	assert_int_equal(rand_below(&rand, 0), 0);
	assert_int_equal(rand_below(&rand, 1), 0);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t bound = 1 + (rand_next(&rand) >> (i % 64));

		if (bound != 0)
			assert_true(rand_below(&rand, bound) < bound);
	}
}

static void test_below_is_even(void **state)
{
	unsigned counts[10] = { 0 };
	struct rand rand;

	(void)state;
	rand_seed(&rand, 2);
	for (unsigned i = 0; i < 100000; i++)
		counts[rand_below(&rand, array_size(counts))]++;
	/* 10,000 each; six standard deviations are 570. */
	for (size_t i = 0; i < array_size(counts); i++)
		assert_in_range(counts[i], 9430, 10570);
}

static void test_hash_never_changes(void **state)
{
	(void)state;
	assert_true(hash_text("") == 0xc3817c016ba4ff30ull);
	assert_true(hash_text("chat-a/live") == 0xe8a1d674492cf6f2ull);
	assert_true(hash_bytes("chat-a/live", 11, 0) == hash_text("chat-a/live"));
	assert_true(hash_bytes("chat-a/live", 11, 1) != hash_text("chat-a/live"));
	assert_true(hash_bytes("a\0b", 3, 0) != hash_bytes("a\0c", 3, 0));
}

static void test_hash_spreads_names_that_are_alike(void **state)
{
	unsigned counts[16] = { 0 };
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 16000; i++) {
		(void)snprintf(name, sizeof name, "gpu-%u", i);
		counts[hash_text(name) >> 60]++;
	}
	/* 1,000 each; six standard deviations are 184. */
	for (size_t i = 0; i < array_size(counts); i++)
		assert_in_range(counts[i], 816, 1184);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence_is_that_of_the_reference),
		cmocka_unit_test(test_equal_seeds_give_equal_runs),
		cmocka_unit_test(test_below_stays_below),
		cmocka_unit_test(test_below_is_even),
		cmocka_unit_test(test_hash_never_changes),
		cmocka_unit_test(test_hash_spreads_names_that_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

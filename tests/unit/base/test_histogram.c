/* SPDX-License-Identifier: MIT */
/* Rules of the fixed ladders of durations. */
#include "modelhealth/base/histogram.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The ladder under test: how it adds, and how it names its edges. */
struct ladder {
	void (*add)(struct histogram *, usec_t);
	const char *(*edge)(unsigned);
	usec_t first_usec;
};

static const struct ladder ladders[] = {
	{ histogram_add, histogram_edge, 10000 },
	{ histogram_add_fine, histogram_edge_fine, 100 },
};

static unsigned bucket_of(const struct ladder *ladder, usec_t usec)
{
	struct histogram histogram = { 0 };
	unsigned found = HISTOGRAM_BUCKETS;

	ladder->add(&histogram, usec);
	assert_int_equal(histogram.sum_usec, usec);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (histogram.bucket[i] == 0)
			continue;
		assert_int_equal(histogram.bucket[i], 1);
		assert_int_equal(found, HISTOGRAM_BUCKETS);
		found = i;
	}
	return found;
}

static void test_names_of_edges_are_the_edges(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(ladders); i++) {
		usec_t edge = ladders[i].first_usec;

		for (unsigned k = 0; k + 1 < HISTOGRAM_BUCKETS; k++, edge *= 2) {
			double seconds = strtod(ladders[i].edge(k), NULL);

			assert_int_equal((usec_t)(seconds * 1e6 + 0.5), edge);
		}
		assert_string_equal(ladders[i].edge(HISTOGRAM_BUCKETS - 1), "+Inf");
	}
}

static void test_an_edge_belongs_to_its_bucket(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(ladders); i++) {
		usec_t edge = ladders[i].first_usec;

		assert_int_equal(bucket_of(&ladders[i], 0), 0);
		for (unsigned k = 0; k + 1 < HISTOGRAM_BUCKETS; k++, edge *= 2) {
			assert_int_equal(bucket_of(&ladders[i], edge), k);
			assert_int_equal(bucket_of(&ladders[i], edge + 1), k + 1);
		}
		assert_int_equal(bucket_of(&ladders[i], UINT64_MAX), HISTOGRAM_BUCKETS - 1);
	}
}

static void test_nothing_is_lost(void **state)
{
	struct histogram histogram = { 0 };
	struct rand rand;
	uint64_t count = 0, sum = 0;

	(void)state;
	rand_seed(&rand, 21);
	for (unsigned i = 0; i < 10000; i++) {
		usec_t usec = rand_below(&rand, 200 * USEC_PER_SEC);

		histogram_add(&histogram, usec);
		sum += usec;
	}
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += histogram.bucket[i];
	assert_int_equal(count, 10000);
	assert_int_equal(histogram.sum_usec, sum);
}

static void test_buckets_count_beyond_32_bits(void **state)
{
	struct histogram histogram = { .bucket = { UINT32_MAX } };

	(void)state;
	histogram_add(&histogram, 0);
	assert_true(histogram.bucket[0] == (uint64_t)UINT32_MAX + 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_edges_are_the_edges),
		cmocka_unit_test(test_an_edge_belongs_to_its_bucket),
		cmocka_unit_test(test_nothing_is_lost),
		cmocka_unit_test(test_buckets_count_beyond_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

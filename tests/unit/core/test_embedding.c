/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/embedding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#define VECTOR(...)                                           \
	((struct embedding){ (const double[]){ __VA_ARGS__ }, \
		sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double) })

static const struct embedding none;

static bool is_near(double a, double b)
{
	return fabs(a - b) < 1e-12;
}

static void test_norm_is_euclidean_and_does_not_overflow(void **state)
{
	(void)state;
	assert_true(is_near(embedding_norm(VECTOR(3, -4)), 5));
	assert_true(is_near(embedding_norm(none), 0));
	assert_true(is_near(embedding_norm(VECTOR(3e200, 4e200)) / 1e200, 5));
	assert_true(isinf(embedding_norm(VECTOR(1, INFINITY))));
	assert_true(isinf(embedding_norm(VECTOR(NAN, 1))));
}

static void test_cosine_sees_direction_alone(void **state)
{
	(void)state;
	assert_true(is_near(embedding_cosine(VECTOR(1, 2), VECTOR(10, 20)), 1));
	assert_true(is_near(embedding_cosine(VECTOR(1, 2), VECTOR(-1, -2)), -1));
	assert_true(is_near(embedding_cosine(VECTOR(1, 0), VECTOR(0, 7)), 0));
	assert_true(is_near(embedding_cosine(VECTOR(0, 0), VECTOR(1, 0)), 0));
	assert_true(is_near(embedding_cosine(VECTOR(1), VECTOR(1, 0)), 0));
	assert_true(is_near(embedding_cosine(VECTOR(1e200, 0), VECTOR(1e-200, 0)), 1));
}

/* The detail, "ok" without a mismatch. */
static const char *judge(
	struct embedding_limits limits, struct embedding golden, struct embedding got)
{
	static struct result result;

	result = (struct result){ 0 };
	result_set(&result, REASON_OK, NULL);
	embedding_judge(&limits, golden, got, &result);
	if (result.reason == REASON_OK)
		return "ok";
	assert_int_equal(result.reason, REASON_EMBEDDING_MISMATCH);
	return result.detail;
}

static void test_judge_looks_at_length_norm_and_angle(void **state)
{
	const struct embedding_limits limits = { .min_norm = 1e-6, .min_cosine = 0.9 };
	const struct embedding_limits three = { .dimension = 3, .min_cosine = -1 };

	(void)state;
	assert_string_equal(judge(limits, none, VECTOR(1, 0)), "ok");
	assert_string_equal(judge(limits, VECTOR(1, 0.1), VECTOR(1, 0)), "ok");
	assert_string_equal(judge(limits, none, none), "the embedding is empty");
	assert_string_equal(judge(limits, VECTOR(1, 0), VECTOR(1)), "dimension 1, expected 2");
	assert_string_equal(judge(three, none, VECTOR(1)), "dimension 1, expected 3");
	assert_string_equal(judge(three, VECTOR(1, 0, 0), VECTOR(0, 1, 0)), "ok");
	assert_string_equal(judge(limits, none, VECTOR(0, 0)), "norm 0, expected at least 1e-06");
	assert_string_equal(
		judge(limits, none, VECTOR(1, NAN)), "norm inf, expected at least 1e-06");
	assert_string_equal(judge(limits, VECTOR(1, 0), VECTOR(0, 1)),
		"cosine 0.0000 to the golden embedding, expected at least 0.9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_norm_is_euclidean_and_does_not_overflow),
		cmocka_unit_test(test_cosine_sees_direction_alone),
		cmocka_unit_test(test_judge_looks_at_length_norm_and_angle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

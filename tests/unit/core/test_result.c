/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void test_secrets_are_masked_wherever_the_detail_holds_them(void **state)
{
	static const struct {
		const char *detail, *secret, *masked;
	} cases[] = {
		{ "bad key sk-12345", "sk-12345", "bad key ***" },
		{ "sk-12345", "sk-12345", "***" },
		{ "sk-12345 or sk-12345?", "sk-12345", "*** or ***?" },
		{ "sk-sk-12345", "sk-12345", "sk-***" },
		{ "sk-12346", "sk-12345", "sk-12346" },
		{ "cut off at sk-1", "sk-12345", "cut off at ***" },
		{ "cut off at sk-", "sk-12345", "cut off at sk-" },
		{ "a sk-123\xe2\x80\xa6, b", "sk-12345", "a ***\xe2\x80\xa6, b" },
		{ "1234", "1234", "***" },
		{ "123", "123", "123" },
		{ "nothing", "", "nothing" },
		{ "", "sk-12345", "" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct result result = { 0 };

		result_set(&result, REASON_AUTH_FAILED, "%s", cases[i].detail);
		result_mask(&result, cases[i].secret);
		assert_string_equal(result.detail, cases[i].masked);
		assert_int_equal(result.reason, REASON_AUTH_FAILED);
	}
}

static void test_a_secret_that_the_end_of_a_detail_cuts_is_masked(void **state)
{
	static const char secret[] = "a-very-long-secret-that-nobody-may-see";
	struct result result = { 0 };
	char filler[RESULT_DETAIL_SIZE];

	(void)state;
	for (size_t before = 0; before < RESULT_DETAIL_SIZE; before++) {
		memset(filler, '.', before);
		filler[before] = '\0';
		result_set(&result, REASON_AUTH_FAILED, "%s%s", filler, secret);
		result_mask(&result, secret);
		assert_null(strstr(result.detail, "a-ve"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_are_masked_wherever_the_detail_holds_them),
		cmocka_unit_test(test_a_secret_that_the_end_of_a_detail_cuts_is_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

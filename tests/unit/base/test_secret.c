/* SPDX-License-Identifier: MIT */
/* Rules of values that must not be seen. */
#include "modelhealth/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_a_secret_prints_as_stars(void **state)
{
	char text[] = "hunter2";
	struct secret secret = secret_from(text);

	(void)state;
	assert_true(secret_is_set(secret));
	assert_string_equal(secret_text(secret), "***");
	assert_string_equal(secret_expose(secret), "hunter2");
}

static void test_an_unset_secret_is_empty(void **state)
{
	struct secret unset = { 0 };
	char empty[] = "";

	(void)state;
	assert_false(secret_is_set(unset));
	assert_string_equal(secret_text(unset), "");
	assert_string_equal(secret_expose(unset), "");
	assert_false(secret_is_set(secret_from(empty)));
	secret_wipe(&unset);
	assert_null(unset.hidden);
}

static void test_wiping_overwrites_every_byte(void **state)
{
	char text[] = "hunter2";
	struct secret secret = secret_from(text);

	(void)state;
	secret_wipe(&secret);
	assert_memory_equal(text, "\0\0\0\0\0\0\0", 8);
	assert_false(secret_is_set(secret));
	assert_string_equal(secret_expose(secret), "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_secret_prints_as_stars),
		cmocka_unit_test(test_an_unset_secret_is_empty),
		cmocka_unit_test(test_wiping_overwrites_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/retryafter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_retry_after_takes_both_forms_and_no_other(void **state)
{
	/* 784111777 is Sun, 06 Nov 1994 08:49:37 GMT */
	const usec_t now = 784111777 * USEC_PER_SEC;

	static const struct {
		const char *text;
		usec_t seconds;
	} values[] = {
		{ "0", 0 },
		{ "120", 120 },
		{ "Sun, 06 Nov 1994 08:50:37 GMT", 60 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
		{ "Sun, 06 Nov 1994 08:40:37 GMT", 0 },
		{ "Sun, 06 Nov 2094 08:50:37 GMT", 86400 },
		{ "9999999", 86400 },
		{ "99999999999999999999999", 86400 },
		{ "-1", 0 },
		{ "1.5", 0 },
		{ "soon", 0 },
		{ "", 0 },
		{ "Sun, 06 Nov 1994 08:50:37 GMT and more", 0 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(values); i++)
		assert_int_equal(
			retry_after_parse(values[i].text, now), values[i].seconds * USEC_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_after_takes_both_forms_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

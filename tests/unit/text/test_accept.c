/* SPDX-License-Identifier: MIT */
#include "modelhealth/text/accept.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "text/plain; version=0.0.4; charset=utf-8";
static const char openmetrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";

static void test_quality_is_that_of_the_most_specific_range(void **state)
{
	static const struct {
		const char *accept;
		unsigned text, openmetrics;
	} cases[] = {
		{ NULL, 1000, 1000 },
		{ "", 0, 0 },
		{ "*/*", 1000, 1000 },
		{ "application/json", 0, 0 },
		/* Prometheus 2.42, 2.45 and later, 3. */
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
		  "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			500, 1000 },
		{ "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
		  "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
			300, 500 },
		{ "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
		  "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;"
		  "escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
			200, 500 },
		/* An old one, and one that scrapes text alone. */
		{ "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			500, 100 },
		{ "text/plain;version=0.0.4;q=1,*/*;q=0.1", 1000, 100 },
		/* A browser. */
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 800, 800 },
		{ "text/*", 1000, 0 },
		{ "TEXT/*;q=0.25, */*;q=0", 250, 0 },
		{ "application/*;q=0.2,application/openmetrics-text;q=0.1", 0, 100 },
		{ "*/*, text/plain; q=0", 0, 1000 },
		{ "Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.125", 0, 125 },
		{ "tex/*, text/plai, text/plainer, text/", 0, 0 },
		/* What cannot be read says nothing. */
		{ "text/plain;q=2, text/plain;q=0.12345, text/plain;q=x, text/plain;q=, */*;q=.5",
			0, 0 },
		{ ",, ;,=, ;q=1,\t*/*;q=0.001 ,", 1, 1 },
		{ "text/plain;q=1.5;version, text/*;q=1.", 1000, 0 },
	};

	(void)state;

	for (size_t i = 0; i < array_size(cases); i++) {
		unsigned got_text = accept_quality(cases[i].accept, text);
		unsigned got_openmetrics = accept_quality(cases[i].accept, openmetrics);

		if (got_text != cases[i].text || got_openmetrics != cases[i].openmetrics)
			fail_msg("%s: expected %u and %u, got %u and %u",
				cases[i].accept ? cases[i].accept : "no field", cases[i].text,
				cases[i].openmetrics, got_text, got_openmetrics);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quality_is_that_of_the_most_specific_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

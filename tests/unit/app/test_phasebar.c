/* SPDX-License-Identifier: MIT */
#include "modelhealth/app/phasebar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct endpoint_spec endpoint = { .name = "m" };
static const struct check_spec spec = { .name = "canary", .endpoint = &endpoint };

static struct check_view view_of(enum reason reason, const char *detail)
{
	struct check_view view = { .spec = &spec, .has_last = true };

	result_set(&view.last, reason, "%s", detail);
	return view;
}

static void check(const struct check_view *view, struct phasebar_style style, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	phasebar_render(view, style, &out);
	assert_string_equal(sbuf_str(&out), expected);
}

static void test_phases_stand_on_one_axis(void **state)
{
	struct check_view view = view_of(REASON_OK, "");
	struct result *result = &view.last;

	(void)state;
	result_set_timing(result, TIMING_DNS, 0);
	result_set_timing(result, TIMING_CONNECT, 100 * USEC_PER_MSEC);
	result_set_timing(result, TIMING_FIRST_BYTE, 200 * USEC_PER_MSEC);
	result_set_timing(result, TIMING_FIRST_TOKEN, 300 * USEC_PER_MSEC);
	result_set_timing(result, TIMING_TRANSFER, 700 * USEC_PER_MSEC);
	result_set_timing(result, TIMING_TOTAL, 1000 * USEC_PER_MSEC);
	result->tokens = (struct tokens){
		.source = TOKENS_REPORTED,
		.prompt = 7,
		.completion = 4,
		.gaps = 3,
		.gap_mean = 100 * USEC_PER_MSEC,
		.gap_p95 = 120 * USEC_PER_MSEC,
		.per_second = 10,
	};
	check(&view, (struct phasebar_style){ .columns = 48 },
		"\ncanary of m: ok\n"
		"  dns              0.0 ms  |\n"
		"  connect        100.0 ms  |==\n"
		"  first byte     200.0 ms  |  ====\n"
		"  first token    300.0 ms  |      ==\n"
		"  tokens         300.0 ms  |        ======\n"
		"  end           1000.0 ms  |              ......\n"
		"  4 tokens (server's count), prompt 7, 10.0/s, p95 gap 120.0 ms\n");
}

static void test_a_wait_shows_as_the_end(void **state)
{
	struct check_view view = view_of(REASON_TIMEOUT_FIRST_TOKEN, "no text within 1s");

	(void)state;
	result_set_timing(&view.last, TIMING_CONNECT, 1);
	result_set_timing(&view.last, TIMING_TOTAL, USEC_PER_SEC);
	check(&view, (struct phasebar_style){ .columns = 1 },
		"\ncanary of m: timeout_first_token, no text within 1s\n"
		"  connect          0.0 ms  |=\n"
		"  end           1000.0 ms  |............\n");
}

static void test_colours_only_on_request(void **state)
{
	struct check_view view = view_of(REASON_SERVER_ERROR, "");

	(void)state;
	result_set_timing(&view.last, TIMING_TOTAL, 0);
	check(&view, (struct phasebar_style){ .columns = 80, .is_coloured = true },
		"\ncanary of m: server_error\n"
		"  end              0.0 ms  |\033[31m\033[0m\n");
	view.has_last = false;
	check(&view, (struct phasebar_style){ .columns = 80 }, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phases_stand_on_one_axis),
		cmocka_unit_test(test_a_wait_shows_as_the_end),
		cmocka_unit_test(test_colours_only_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rules of the simulator's settings and faults. */
#include "modelhealth/app/sim/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct arena arena;
	struct script script;
	char error[128];
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	*state = fixture;
	return fixture ? script_init(&fixture->script, &fixture->arena) : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	script_fini(&fixture->script);
	arena_fini(&fixture->arena);
	free(fixture);
	return 0;
}

static int set(struct fixture *fixture, const char *key, const char *text)
{
	return script_set(&fixture->script, &fixture->arena, key, text, fixture->error,
		sizeof fixture->error);
}

static void settings_have_presets_and_take_units(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fixture->script.status, 200);
	assert_int_equal(fixture->script.ttft, 20 * USEC_PER_MSEC);
	assert_int_equal(set(fixture, "ttft", "1.5s"), 0);
	assert_int_equal(fixture->script.ttft, 1500 * USEC_PER_MSEC);
	assert_int_not_equal(set(fixture, "ttft", "5"), 0);
	assert_string_equal(fixture->error, "ttft: expected DURATION, got \"5\"");
	assert_int_not_equal(set(fixture, "tft", "5s"), 0);
}

static void headers_add_up_and_cannot_smuggle_lines(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(set(fixture, "header", "A: 1"), 0);
	assert_int_equal(set(fixture, "header", "B: 2"), 0);
	assert_string_equal(sbuf_str(&fixture->script.headers), "A: 1\r\nB: 2\r\n");
	assert_int_not_equal(set(fixture, "header", "A: 1\r\nB: 2"), 0);
	assert_int_not_equal(set(fixture, "header", "no colon"), 0);
}

static void a_schedule_is_read_word_by_word(void **state)
{
	struct fixture *fixture = *state;
	const struct fault_plan *plan = fixture->script.plans;

	assert_int_equal(set(fixture, "fault", "loading"), 0);
	assert_int_equal(plan[0].fault, FAULT_LOADING);
	assert_int_equal(plan[0].at, 0);
	assert_int_equal(plan[0].duration, USEC_NEVER);
	assert_int_equal(set(fixture, "fault", "reset for 5s at 1m every 2m"), 0);
	assert_int_equal(plan[1].fault, FAULT_RESET);
	assert_int_equal(plan[1].at, 60 * USEC_PER_SEC);
	assert_int_equal(plan[1].duration, 5 * USEC_PER_SEC);
	assert_int_equal(plan[1].every, 120 * USEC_PER_SEC);
}

static void a_schedule_that_makes_no_sense_is_refused(void **state)
{
	static const char *const texts[] = { "", "flood", "hang at", "hang at noon", "hang in 5s",
		"hang for 2m every 1m", "hang every 1m" };
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(texts); i++)
		assert_int_not_equal(set(fixture, "fault", texts[i]), 0);
	assert_int_equal(fixture->script.n_plans, 0);
}

static void a_schedule_has_a_longest_length(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < SCRIPT_MAX_PLANS; i++)
		assert_int_equal(set(fixture, "fault", "hang at 1s for 1s"), 0);
	assert_int_not_equal(set(fixture, "fault", "hang at 1s for 1s"), 0);
}

static void every_fault_has_a_name_and_a_help_line(void **state)
{
	enum fault found;

	(void)state;
	for (enum fault fault = 0; fault < FAULT_N; fault++) {
		assert_non_null(fault_table[fault].help);
		assert_true(fault_from_name(fault_table[fault].name, &found));
		assert_int_equal(found, fault);
	}
}

static void settings_must_make_sense_together(void **state)
{
	struct fixture *fixture = *state;
	struct script *script = &fixture->script;

	assert_int_not_equal(script_check(script, fixture->error, sizeof fixture->error), 0);
	assert_int_equal(set(fixture, "listen", "127.0.0.1:1"), 0);
	assert_int_equal(script_check(script, fixture->error, sizeof fixture->error), 0);
	assert_string_equal(script->name, "127.0.0.1:1");
	assert_int_equal(set(fixture, "tls_key", "k.pem"), 0);
	assert_int_not_equal(script_check(script, fixture->error, sizeof fixture->error), 0);
}

int main(void)
{
#define RULE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		RULE(settings_have_presets_and_take_units),
		RULE(headers_add_up_and_cannot_smuggle_lines),
		RULE(a_schedule_is_read_word_by_word),
		RULE(a_schedule_that_makes_no_sense_is_refused),
		RULE(a_schedule_has_a_longest_length),
		RULE(every_fault_has_a_name_and_a_help_line),
		RULE(settings_must_make_sense_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the engine says at level debug, and that it says none of it at any other. */
#include "world.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const usec_t second = USEC_PER_SEC;

/* What has been said, and the last record of an attempt. */
static struct heard {
	unsigned attempts, others;
	char message[512], other[512];
	char verdict[24], reason[24], attempt[24], duration[24];
} heard;

static void take(const struct log_record *record, const char *name, char ret_value[static 24])
{
	ret_value[0] = '\0';
	for (size_t i = 0; i < record->n_fields; i++)
		if (strcmp(record->fields[i].name, name) == 0 && record->fields[i].value)
			(void)snprintf(ret_value, 24, "%s", record->fields[i].value);
}

static void on_record(void *ctx, const struct log_record *record)
{
	(void)ctx;
	if (record->level != LOG_LEVEL_DEBUG)
		return;
	assert_string_equal(record->fields[0].name, "ENDPOINT");
	if (!record->message_id) {
		heard.others++;
		(void)snprintf(heard.other, sizeof heard.other, "%s", record->message);
		return;
	}
	assert_string_equal(record->message_id, MSG_CHECK_DONE);
	heard.attempts++;
	(void)snprintf(heard.message, sizeof heard.message, "%s", record->message);
	take(record, "VERDICT", heard.verdict);
	take(record, "REASON", heard.reason);
	take(record, "ATTEMPTS", heard.attempt);
	take(record, "DURATION_USEC", heard.duration);
}

static struct behaviour well(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .reason = REASON_OK, .latency = 5000 };
}

static struct behaviour reset(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .reason = REASON_CONN_RESET, .latency = 2 * second };
}

static int set_up(void **state)
{
	(void)state;
	heard = (struct heard){ 0 };
	log_set_sink(on_record, NULL, LOG_LEVEL_DEBUG);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL, LOG_LEVEL_INFO);
	return 0;
}

static void test_debug_tells_each_attempt_with_its_fields(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1,
		.retry = { .attempts = 1, .backoff = second, .max_backoff = second } };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, 15 * second);
	assert_int_equal(heard.attempts, world.dones);
	assert_non_null(strstr(heard.message, ": up (ok) in 5.0 ms, attempt 1; next in 10.0 s"));
	assert_string_equal(heard.verdict, "up");
	assert_string_equal(heard.reason, "ok");
	assert_string_equal(heard.attempt, "1");
	assert_string_equal(heard.duration, "5000");
	world.behave = reset;
	while (strcmp(heard.reason, "ok") == 0)
		world_run(&world, second / 10);
	assert_non_null(strstr(heard.message, ": down (conn_reset"));
	assert_non_null(strstr(heard.message, " in 2.0 s, attempt 1; tried again in "));
	while (strcmp(heard.attempt, "1") == 0)
		world_run(&world, second / 10);
	assert_string_equal(heard.verdict, "down");
	assert_non_null(strstr(heard.message, "attempt 2; next in "));
	assert_int_equal(heard.attempts, world.dones);
	assert_int_equal(heard.others, 0);
	world_fini(&world);
}

static void test_debug_tells_what_a_reload_means_for_each_check(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 2 };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE); /* the start goes without saying */
	world_apply(&world, 1, SALT_NONE);
	assert_int_equal(heard.others, 0);
	world_apply(&world, 1, SALT_INTERVALS);
	assert_non_null(strstr(heard.other, "updated"));
	assert_int_equal(heard.others, 1);
	world_apply(&world, 2, SALT_INTERVALS);
	assert_non_null(strstr(heard.other, "added"));
	assert_int_equal(heard.others, 2);
	world_apply(&world, 1, SALT_INTERVALS);
	assert_non_null(strstr(heard.other, "removed"));
	assert_int_equal(heard.others, 3);
	world_apply(&world, 1, SALT_IDENTITY);
	assert_non_null(strstr(heard.other, "begins afresh"));
	assert_int_equal(heard.others, 4);
	world_fini(&world);
}

static void test_without_debug_no_attempt_is_told(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 5 };

	(void)state;
	log_set_sink(on_record, NULL, LOG_LEVEL_INFO);
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 5, SALT_NONE);
	world_run(&world, 15 * second);
	world_apply(&world, 4, SALT_IDENTITY);
	assert_int_equal(heard.attempts + heard.others, 0);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_debug_tells_each_attempt_with_its_fields, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_debug_tells_what_a_reload_means_for_each_check, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_without_debug_no_attempt_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

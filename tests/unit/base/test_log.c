/* SPDX-License-Identifier: MIT */
/* Rules of log records on their way to the sink. */
#include "modelhealth/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	unsigned records;
	enum log_level level;
	const char *message_id;
	char message[2048];
	const struct log_field *fields;
	size_t n_fields;
};

static void on_record(void *ctx, const struct log_record *record)
{
	struct seen *seen = ctx;

	seen->records++;
	seen->level = record->level;
	seen->message_id = record->message_id;
	seen->fields = record->fields;
	seen->n_fields = record->n_fields;
	assert_true(strlen(record->message) < sizeof seen->message);
	memcpy(seen->message, record->message, strlen(record->message) + 1);
}

static int tear_down(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL, LOG_LEVEL_INFO);
	return 0;
}

static void test_without_a_sink_nothing_happens(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL, LOG_LEVEL_DEBUG);
	assert_false(log_is_wanted(LOG_LEVEL_ERR));
	log_err("nobody listens to %s", "this");
}

static void test_a_record_arrives_with_all_its_fields(void **state)
{
	static const struct log_field fields[] = {
		{ "TARGET", "a" },
		{ "REASON", NULL },
		{ "TEXT", "line\nline" },
	};
	static const struct log_record record = {
		.level = LOG_LEVEL_NOTICE,
		.message_id = "0123456789abcdef0123456789abcdef",
		.message = "a: down",
		.fields = fields,
		.n_fields = array_size(fields),
	};
	struct seen seen = { 0 };

	(void)state;
	log_set_sink(on_record, &seen, LOG_LEVEL_INFO);
	log_write(&record);
	assert_int_equal(seen.records, 1);
	assert_int_equal(seen.level, LOG_LEVEL_NOTICE);
	assert_string_equal(seen.message_id, record.message_id);
	assert_string_equal(seen.message, "a: down");
	assert_ptr_equal(seen.fields, fields);
	assert_int_equal(seen.n_fields, 3);
}

static void test_less_urgent_records_are_dropped(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	for (enum log_level limit = LOG_LEVEL_ERR; limit <= LOG_LEVEL_DEBUG; limit++) {
		log_set_sink(on_record, &seen, limit);
		for (enum log_level level = LOG_LEVEL_ERR; level <= LOG_LEVEL_DEBUG; level++) {
			seen.records = 0;
			log_printf(level, NULL, "text");
			log_write(&(struct log_record){ .level = level, .message = "text" });
			assert_int_equal(seen.records, level <= limit ? 2 : 0);
			assert_true(log_is_wanted(level) == (level <= limit));
		}
	}
}

static void test_a_long_message_is_cut(void **state)
{
	struct seen seen = { 0 };
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	log_set_sink(on_record, &seen, LOG_LEVEL_INFO);
	log_printf(LOG_LEVEL_INFO, NULL, "%s", text);
	assert_int_equal(strlen(seen.message), 1023);
	assert_memory_equal(seen.message, text, 1023);
}

static void test_levels_have_their_syslog_names(void **state)
{
	static const char *const names[] = { "err", "warning", "notice", "info", "debug" };
	static const char *const others[] = { "", "ERR", "error", "warn", "debug ", "8" };
	enum log_level level = LOG_LEVEL_ERR;

	(void)state;
	for (unsigned i = 0; i < array_size(names); i++) {
		assert_true(log_level_from_text(names[i], &level));
		assert_int_equal(level, 3 + i);
	}
	for (size_t i = 0; i < array_size(others); i++)
		assert_false(log_level_from_text(others[i], &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_without_a_sink_nothing_happens, tear_down),
		cmocka_unit_test_teardown(test_a_record_arrives_with_all_its_fields, tear_down),
		cmocka_unit_test_teardown(test_less_urgent_records_are_dropped, tear_down),
		cmocka_unit_test_teardown(test_a_long_message_is_cut, tear_down),
		cmocka_unit_test(test_levels_have_their_syslog_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

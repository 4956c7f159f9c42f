/* SPDX-License-Identifier: MIT */
/*
 * The table for curl, and state changes as log records.
 */
#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/text/sanitise.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the table ---- */

/* The n-th line of the page, cut out in place. */
static const char *line(struct sbuf *page, unsigned n)
{
	static char text[512];
	const char *at = sbuf_str(page);

	while (n-- > 0) {
		at = strchr(at, '\n');
		assert_non_null(at);
		at++;
	}
	(void)snprintf(text, sizeof text, "%.*s", (int)strcspn(at, "\n"), at);
	return text;
}

static void test_the_table_is_aligned_and_says_why(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct result result = { 0 };
	(void)state;

	world_open(&world, 3);
	result_set(&result, REASON_CONNECT_REFUSED, "192.0.2.1:8000, errno 111");
	result_set_timing(&result, TIMING_TOTAL, 1500);
	world_set_result(&world, 1, &result);
	world.views[1].flapping = true;
	world.endpoints[2].tls_verify = false;
	assert_int_equal(world_render(&world, &output_text, NULL, &page), OUTPUT_DONE);
	assert_non_null(strstr(line(&page, 0), ": 3 endpoints, 2 up, 1 down"));
	assert_string_equal(line(&page, 1), "");
	assert_string_equal(line(&page, 2),
		"NAME     STATE      REASON               SINCE    LATENCY   DETAIL");
	assert_string_equal(line(&page, 3),
		"ep-00000 up         ok                   1h0m     50ms      answered as expected");
	assert_string_equal(line(&page, 4),
		"ep-00001 down       connect_refused      1h0m     2ms       (flapping) "
		"192.0.2.1:8000, errno 111");
	assert_string_equal(line(&page, 5),
		"ep-00002 up         ok                   1h0m     50ms      (TLS unverified) "
		"answered as expected");
	sbuf_fini(&page);
	world_close(&world);
}

static void test_trouble_of_our_own_stands_above_the_table(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	world.self.offline = true;
	world.self.reload_ok = false;
	world.self.reload_error = "a.yaml:1:1: x";
	assert_int_equal(world_render(&world, &output_text, NULL, &page), OUTPUT_DONE);
	assert_non_null(strstr(line(&page, 1), "our own network is gone"));
	assert_non_null(strstr(line(&page, 2), "a.yaml:1:1: x"));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_all_endpoints_have_a_line_over_slices(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	size_t lines = 0;
	(void)state;

	world_open(&world, 777);
	assert_int_equal(world_render(&world, &output_text, NULL, &page), OUTPUT_DONE);
	for (const char *at = sbuf_str(&page); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 3 + 777);
	sbuf_fini(&page);
	world_close(&world);
}

static void test_hostile_text_stays_on_its_line_without_control_characters(void **state)
{
	(void)state;
	for (size_t i = 0; i < world_n_hostile; i++) {
		struct world world;
		struct sbuf page = SBUF_INIT;
		struct result result = { .reason = REASON_STREAM_ERROR, .verdict = VERDICT_DOWN };
		size_t lines = 0;

		world_open(&world, 1);
		(void)snprintf(result.detail, sizeof result.detail, "%s", world_hostile[i]);
		world_set_result(&world, 0, &result);
		assert_int_equal(world_render(&world, &output_text, NULL, &page), OUTPUT_DONE);
		assert_true(utf8_is_valid(sbuf_str(&page), page.len));
		for (const char *at = sbuf_str(&page); *at; at++) {
			assert_true(*at == '\n' || (unsigned char)*at >= 0x20);
			lines += *at == '\n' ? 1 : 0;
		}
		assert_int_equal(lines, 4);
		assert_null(strstr(sbuf_str(&page), "\xe2\x80\xae"));
		sbuf_fini(&page);
		world_close(&world);
	}
}

/* ---- log records ---- */

struct heard {
	unsigned n;
	enum log_level level;
	char message[512], message_id[40], fields[1024]; /* NAME=value; … */
};

static void on_record(void *ctx, const struct log_record *record)
{
	struct heard *heard = ctx;

	heard->n++;
	heard->level = record->level;
	(void)snprintf(heard->message, sizeof heard->message, "%s", record->message);
	(void)snprintf(heard->message_id, sizeof heard->message_id, "%s",
		record->message_id ? record->message_id : "");
	heard->fields[0] = '\0';
	for (size_t i = 0; i < record->n_fields; i++) {
		size_t len = strlen(heard->fields);

		if (record->fields[i].value)
			(void)snprintf(heard->fields + len, sizeof heard->fields - len, "%s=%s;",
				record->fields[i].name, record->fields[i].value);
	}
}

static struct heard tell(struct world *world, enum state from, bool is_first)
{
	struct heard heard = { 0 };
	const struct transition transition = {
		.endpoint = &world->views[0],
		.from = from,
		.to = world->views[0].state,
		.why = &world->check_views[0].last,
		.check = &world->check_views[0],
		.at = world_now,
		.lasted = 3723 * USEC_PER_SEC + 5,
		.first = is_first,
	};

	log_set_sink(on_record, &heard, LOG_LEVEL_DEBUG);
	output_journal.on_transition(&transition);
	log_set_sink(NULL, NULL, LOG_LEVEL_INFO);
	return heard;
}

static void set_reason(struct world *world, enum reason reason, const char *detail)
{
	struct result result = { 0 };

	result_set(&result, reason, "%s", detail);
	result.attempts = 2;
	world_set_result(world, 0, &result);
}

static void test_a_change_is_one_record_with_fields(void **state)
{
	static const char *const wanted[] = { "ENDPOINT=ep-00000;", "GROUP=even;", "TYPE=http;",
		"CHECK=live;", "STATE=down;", "OLD_STATE=up;", "REASON=connect_refused;",
		"DETAIL=192.0.2.1:8000;", "ATTEMPTS=2;" };
	struct world world;
	struct heard heard;
	(void)state;

	world_open(&world, 1);
	set_reason(&world, REASON_CONNECT_REFUSED, "192.0.2.1:8000");
	heard = tell(&world, STATE_UP, false);
	assert_int_equal(heard.n, 1);
	assert_string_equal(heard.message_id, MSG_STATE_CHANGED);
	assert_int_equal(heard.level, LOG_LEVEL_WARNING);
	for (size_t i = 0; i < array_size(wanted); i++)
		if (!strstr(heard.fields, wanted[i]))
			fail_msg("\"%s\" is not in \"%s\"", wanted[i], heard.fields);
	assert_non_null(strstr(heard.message, "endpoint ep-00000"));
	assert_non_null(strstr(heard.message, "connect_refused: 192.0.2.1:8000"));
	assert_non_null(strstr(heard.message, "was up for 1h2m3s"));
	world_close(&world);
}

static void test_what_is_no_news_is_not_told(void **state)
{
	struct world world;
	(void)state;

	world_open(&world, 1);
	set_reason(&world, REASON_OK, "");
	assert_int_equal(tell(&world, STATE_UNKNOWN, true).n, 0);
	assert_int_equal(tell(&world, STATE_DOWN, false).n, 1);
	set_reason(&world, REASON_NEVER_CHECKED, "");
	assert_int_equal(tell(&world, STATE_UP, false).n, 0);
	world_close(&world);
}

static void test_what_we_cannot_tell_is_never_called_down(void **state)
{
	struct world world;
	struct heard heard;
	(void)state;

	world_open(&world, 1);
	set_reason(&world, REASON_LOCAL_FDS, "");
	heard = tell(&world, STATE_UP, false);
	assert_int_equal(heard.n, 1);
	assert_non_null(strstr(heard.message, "we cannot tell"));
	assert_null(strstr(heard.message, "down"));
	world_close(&world);
}

static void test_good_news_at_the_start_is_no_news(void **state)
{
	struct world world;
	(void)state;

	world_open(&world, 1);
	assert_int_equal(tell(&world, STATE_UNKNOWN, true).n, 0);
	set_reason(&world, REASON_TIMEOUT_TOTAL, "");
	assert_int_equal(tell(&world, STATE_UNKNOWN, true).n, 1);
	world_close(&world);
}

static void test_flapping_is_said(void **state)
{
	struct world world;
	(void)state;

	world_open(&world, 1);
	set_reason(&world, REASON_TIMEOUT_TOTAL, "");
	assert_null(strstr(tell(&world, STATE_UP, false).message, "flapping"));
	world.views[0].flapping = true;
	assert_non_null(strstr(tell(&world, STATE_UP, false).message, "flapping"));
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table_is_aligned_and_says_why),
		cmocka_unit_test(test_trouble_of_our_own_stands_above_the_table),
		cmocka_unit_test(test_all_endpoints_have_a_line_over_slices),
		cmocka_unit_test(test_hostile_text_stays_on_its_line_without_control_characters),
		cmocka_unit_test(test_a_change_is_one_record_with_fields),
		cmocka_unit_test(test_what_is_no_news_is_not_told),
		cmocka_unit_test(test_what_we_cannot_tell_is_never_called_down),
		cmocka_unit_test(test_good_news_at_the_start_is_no_news),
		cmocka_unit_test(test_flapping_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

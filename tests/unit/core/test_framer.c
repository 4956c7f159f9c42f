/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/framer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Writes each event down as KIND<data> with marks: '+' data, '!' error, '?' raw, '=' document, a
 * following '~' for a cut one and 'p' for a ping. */
static enum framer_order write_down(void *ctx, const struct event *event)
{
	struct sbuf *seen = ctx;

	sbuf_putc(seen, "+!?="[event->kind]);
	if (event->is_ping)
		sbuf_putc(seen, 'p');
	if (event->is_cut)
		sbuf_putc(seen, '~');
	sbuf_putc(seen, '<');
	sbuf_add(seen, event->data, event->len);
	sbuf_putc(seen, '>');
	return event->len >= 4 && memcmp(event->data, "STOP", 4) == 0   ? FRAMER_STOP
	       : event->len >= 4 && memcmp(event->data, "<htm", 4) == 0 ? FRAMER_DOCUMENT
									: FRAMER_GO_ON;
}

/* In pieces of `step` bytes, each a copy of its own. */
static void frame(
	enum framing framing, const char *data, size_t len, size_t step, struct sbuf *seen)
{
	struct framer framer;

	framer_init(&framer, framing, write_down, seen);
	for (size_t at = 0; at < len; at += step) {
		size_t n = min_of(step, len - at);
		char *piece = malloc(n);

		assert_non_null(piece);
		memcpy(piece, data + at, n);
		assert_int_equal(framer_push(&framer, piece, n), 0);
		free(piece);
	}
	assert_int_equal(framer_end(&framer), 0);
	framer_fini(&framer);
}

static void assert_events(enum framing framing, const char *data, size_t len, const char *expected)
{
	for (size_t step = 1; step <= len + 1; step++) {
		_cleanup_(sbuf_fini) struct sbuf seen = SBUF_INIT;

		frame(framing, data, len, step, &seen);
		if (strcmp(sbuf_str(&seen), expected) != 0)
			fail_msg("\"%s\" in steps of %zu: %s, expected %s", data, step,
				sbuf_str(&seen), expected);
	}
}

#define ASSERT_SSE(data, expected)    assert_events(FRAMING_SSE, data, strlen(data), expected)
#define ASSERT_NDJSON(data, expected) assert_events(FRAMING_NDJSON, data, strlen(data), expected)

static void test_a_blank_line_ends_an_event(void **state)
{
	(void)state;
	ASSERT_SSE("data: a\n\ndata: b\n\n", "+<a>+<b>");
	ASSERT_SSE("\n\n\ndata: a\n\n\n\n", "+<a>");
	ASSERT_SSE("", "");
}

static void test_lines_end_with_lf_cr_or_crlf(void **state)
{
	(void)state;
	ASSERT_SSE("data: a\r\n\r\ndata: b\r\n\r\n", "+<a>+<b>");
	ASSERT_SSE("data: a\r\rdata: b\r\r", "+<a>+<b>");
	ASSERT_SSE("data: a\r\n\rdata: b\n\r\n", "+<a>+<b>");
	ASSERT_SSE("data: a\r\ndata: b\r\n\n", "+<a\nb>");
	ASSERT_SSE("data: a\n\r\ndata: b\r\n\r", "+<a>+<b>");
}

static void test_one_bom_is_skipped(void **state)
{
	(void)state;
	ASSERT_SSE("\xef\xbb\xbf"
		   "data: a\n\n",
		"+<a>");
	ASSERT_SSE("data: a\n\n\xef\xbb\xbf"
		   "data: b\n\n",
		"+<a>?<\xef\xbb\xbf"
		"data: b>");
	ASSERT_NDJSON("\xef\xbb\xbf"
		      "{}\n",
		"+<{}>");
}

static void test_comments_and_other_fields_are_nothing(void **state)
{
	(void)state;
	ASSERT_SSE(":\n\n: ping\n\n:data: x\n\nid: 7\nretry: 3000\nx-trace: 1\n\n", "");
	ASSERT_SSE("data: a\n: in between\nid\ndata: b\n\n", "+<a\nb>");
}

static void test_one_space_behind_the_colon_is_skipped(void **state)
{
	(void)state;
	ASSERT_SSE("data:a\n\ndata: a\n\ndata:  a\n\n", "+<a>+<a>+< a>");
	ASSERT_SSE("data: a:b\n\n", "+<a:b>");
}

static void test_several_data_lines_are_one_event(void **state)
{
	(void)state;
	ASSERT_SSE("data: {\ndata: }\n\n", "+<{\n}>");
	ASSERT_SSE("data\ndata\n\n", "+<\n>");
	ASSERT_SSE("data:\n\n", "+<>");
	ASSERT_SSE("event: x\n\n", "");
}

static void test_an_event_named_error_is_one(void **state)
{
	(void)state;
	ASSERT_SSE("event: error\ndata: a\n\ndata: b\n\n", "!<a>+<b>");
	ASSERT_SSE("data: a\nevent: error\n\n", "!<a>");
	ASSERT_SSE("event: error\n\n", "!<>");
	ASSERT_SSE("event: errors\ndata: a\n\n", "+<a>");
	ASSERT_SSE("event: delta\ndata: a\n\n", "+<a>");
}

static void test_the_field_error_is_an_error(void **state)
{
	(void)state;
	ASSERT_SSE("error: {}\n\ndata: [DONE]\n\n", "!<{}>+<[DONE]>");
	ASSERT_SSE("error: {}", "!~<{}>");
}

static void test_pings_are_marked(void **state)
{
	(void)state;
	ASSERT_SSE("event: ping\ndata: a\n\ndata: b\n\n", "+p<a>+<b>");
	ASSERT_SSE("event: heartbeat\ndata: a\n\n", "+p<a>");
}

static void test_the_last_event_needs_no_blank_line(void **state)
{
	(void)state;
	ASSERT_SSE("data: a\n\ndata: [DONE]", "+<a>+~<[DONE]>");
	ASSERT_SSE("data: a\n", "+~<a>");
	ASSERT_SSE("data: a\ndat", "+~<a>");
	ASSERT_SSE("data: a\n\nd", "+<a>");
	ASSERT_SSE("data: a\r", "+~<a>");
	ASSERT_SSE("data: a\n\neve", "+<a>");
}

static void test_text_outside_the_protocol_is_handed_over(void **state)
{
	(void)state;
	ASSERT_SSE("data: a\n\nInternal Server Error\n", "+<a>?<Internal Server Error>");
	ASSERT_SSE("Error: CUDA\n", "?<Error: CUDA>");
	ASSERT_SSE("upstream reset: x", "?<upstream reset: x>");
	ASSERT_SSE("{\"error\":1}\n", "?<{\"error\":1}>");
	ASSERT_SSE("data\xff: a\n\n", "?<data\xff: a>");
}

static void test_a_nul_is_a_byte_like_any_other(void **state)
{
	(void)state;
	for (size_t step = 1; step <= 12; step++) {
		_cleanup_(sbuf_fini) struct sbuf seen = SBUF_INIT;

		frame(FRAMING_SSE, "data: \0b\n\n\0:c\n", 13, step, &seen);
		assert_int_equal(seen.len, 11);
		assert_memory_equal(seen.data, "+<\0b>?<\0:c>", 11);
	}
}

static void test_nothing_follows_a_stop(void **state)
{
	(void)state;
	ASSERT_SSE("data: STOP\n\ndata: a\n\nraw", "+<STOP>");
	ASSERT_NDJSON("STOP\n{}\n{", "+<STOP>");
	ASSERT_SSE("data: STOP", "+~<STOP>");
}

static void test_a_page_is_handed_over_whole(void **state)
{
	(void)state;
	ASSERT_SSE("<html>\ndata: a\n\n</html>", "?<<html>>=<<html>\ndata: a\n\n</html>>");
	ASSERT_SSE("\n<html>", "?<<html>>=<<html>\n>");
	ASSERT_NDJSON("<html>\n{}\n", "+<<html>>=<<html>\n{}\n>");
	ASSERT_NDJSON("<html>", "+~<<html>>=<<html>\n>");
}

static void test_ndjson_is_one_event_a_line(void **state)
{
	(void)state;
	ASSERT_NDJSON("{}\n\n \t\n[1]\r\n{\"a\":\n", "+<{}>+<[1]>+<{\"a\":>");
	ASSERT_NDJSON("{}\n{", "+<{}>+~<{>");
}

static void test_a_document_comes_at_the_end(void **state)
{
	(void)state;
	assert_events(FRAMING_JSON, "{\n}\r\n", 5, "=<{\n}\r\n>");
	assert_events(FRAMING_ANY, "", 0, "=<>");
}

/* ---- limits ---- */

/* Pushes n bytes of 'x' behind the start; returns the first error. */
static int push_many(enum framing framing, const char *start, size_t n, size_t step)
{
	_cleanup_(sbuf_fini) struct sbuf seen = SBUF_INIT;
	struct framer framer;
	char *piece = malloc(step);
	int r;

	assert_non_null(piece);
	memset(piece, 'x', step);
	framer_init(&framer, framing, write_down, &seen);
	r = framer_push(&framer, start, strlen(start));
	for (size_t at = 0; at < n && r == 0; at += step)
		r = framer_push(&framer, piece, min_of(step, n - at));
	if (r == 0)
		r = framer_push(&framer, "\n", 1);
	assert_true(framer.line.cap + framer.data.cap <= 4 * (size_t)FRAMER_MAX_DOCUMENT);
	framer_fini(&framer);
	free(piece);
	return r;
}

static void test_a_line_of_a_megabyte_is_refused(void **state)
{
	static const size_t steps[] = { 997, 65536, FRAMER_MAX_LINE + 10 };

	(void)state;
	for (size_t i = 0; i < array_size(steps); i++) {
		size_t room = FRAMER_MAX_LINE - strlen("data: ");

		assert_int_equal(push_many(FRAMING_SSE, "data: ", room, steps[i]), 0);
		assert_int_equal(push_many(FRAMING_SSE, "data: ", room + 1, steps[i]), -EMSGSIZE);
		assert_int_equal(push_many(FRAMING_SSE, ":", FRAMER_MAX_LINE, steps[i]), -EMSGSIZE);
		assert_int_equal(
			push_many(FRAMING_NDJSON, "", FRAMER_MAX_LINE + 1, steps[i]), -EMSGSIZE);
	}
}

static void test_many_data_lines_are_not_more_than_one_line(void **state)
{
	struct framer framer;
	struct sbuf seen = SBUF_INIT;
	int r = 0;

	(void)state;
	framer_init(&framer, FRAMING_SSE, write_down, &seen);
	for (size_t i = 0; i < FRAMER_MAX_LINE / 4 + 10 && r == 0; i++)
		r = framer_push(&framer, "data: abc\n", 10);
	assert_int_equal(r, -EMSGSIZE);
	assert_int_equal(framer_push(&framer, "\n\n", 2), -EMSGSIZE);
	assert_int_equal(framer_end(&framer), -EMSGSIZE);
	assert_string_equal(sbuf_str(&seen), "");
	framer_fini(&framer);
}

static void test_a_document_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(push_many(FRAMING_JSON, "", FRAMER_MAX_DOCUMENT - 1, 65536), 0);
	assert_int_equal(push_many(FRAMING_JSON, "", FRAMER_MAX_DOCUMENT + 1, 65536), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_blank_line_ends_an_event),
		cmocka_unit_test(test_lines_end_with_lf_cr_or_crlf),
		cmocka_unit_test(test_one_bom_is_skipped),
		cmocka_unit_test(test_comments_and_other_fields_are_nothing),
		cmocka_unit_test(test_one_space_behind_the_colon_is_skipped),
		cmocka_unit_test(test_several_data_lines_are_one_event),
		cmocka_unit_test(test_an_event_named_error_is_one),
		cmocka_unit_test(test_the_field_error_is_an_error),
		cmocka_unit_test(test_pings_are_marked),
		cmocka_unit_test(test_the_last_event_needs_no_blank_line),
		cmocka_unit_test(test_text_outside_the_protocol_is_handed_over),
		cmocka_unit_test(test_a_nul_is_a_byte_like_any_other),
		cmocka_unit_test(test_nothing_follows_a_stop),
		cmocka_unit_test(test_a_page_is_handed_over_whole),
		cmocka_unit_test(test_ndjson_is_one_event_a_line),
		cmocka_unit_test(test_a_document_comes_at_the_end),
		cmocka_unit_test(test_a_line_of_a_megabyte_is_refused),
		cmocka_unit_test(test_many_data_lines_are_not_more_than_one_line),
		cmocka_unit_test(test_a_document_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

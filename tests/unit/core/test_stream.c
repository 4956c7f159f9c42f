/* SPDX-License-Identifier: MIT */
/*
 * What each dialect rule says of an answer, and what is measured. That cuts do not matter is
 * test_streamsplit.c.
 */
#include "modelhealth/core/stream.h"

#include "dialects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One event of a chat: its delta and finish reason as JSON. */
#define CHAT(delta, finish) \
	"data: {\"choices\":[{\"delta\":" delta ",\"finish_reason\":" finish "}]}\n\n"
#define TOKEN(text) CHAT("{\"content\":\"" text "\"}", "null")
#define STOP        CHAT("{}", "\"stop\"")
#define LENGTH      CHAT("{}", "\"length\"")
#define DONE        "data: [DONE]\n\n"
#define USAGE(prompt, completion)                                    \
	"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" prompt \
	",\"completion_tokens\":" completion "}}\n\n"

static struct result judge(struct stream *stream)
{
	struct result result = { .reason = REASON_OK };

	stream_judge(stream, &result);
	return result;
}

/* The whole body in one piece. */
static struct result answer_to(const struct dialect *dialect, const char *body, struct sbuf *text)
{
	struct stream *stream = stream_new(dialect, 1000);
	struct result result;
	const char *seen;
	size_t len;

	assert_non_null(stream);
	(void)stream_push(stream, body, strlen(body), 2000); /* the judgement says the same */
	result = judge(stream);
	seen = stream_text(stream, &len);
	if (text)
		sbuf_add(text, seen, len);
	assert_null(stream_free(stream));
	return result;
}

static void assert_reason(
	const char *dialect, const char *body, enum reason reason, const char *detail)
{
	struct result result = answer_to(dialect_named(dialect), body, NULL);

	if (result.reason != reason || !strstr(result.detail, detail))
		fail_msg("%s: %s: %s (%s), expected %s (%s)", dialect, body,
			reason_token(result.reason), result.detail, reason_token(reason), detail);
}

static void assert_text(const char *dialect, const char *body, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	struct result result = answer_to(dialect_named(dialect), body, &text);

	if (result.reason != REASON_OK || strcmp(sbuf_str(&text), expected) != 0)
		fail_msg("%s: %s: \"%s\", %s (%s), expected \"%s\"", dialect, body, sbuf_str(&text),
			reason_token(result.reason), result.detail, expected);
}

/* ---- the end ---- */

static void test_success_is_finish_and_sentinel(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") STOP DONE, REASON_OK, "");
	assert_reason("chat", TOKEN("a") LENGTH DONE, REASON_OK, "");
	assert_reason("chat", TOKEN("a") DONE, REASON_STREAM_TRUNCATED, "finish reason");
	assert_reason("chat", DONE, REASON_STREAM_TRUNCATED, "finish reason");
	assert_reason("chat", TOKEN("a") STOP, REASON_STREAM_TRUNCATED, "sentinel");
	assert_reason("chat", "", REASON_STREAM_TRUNCATED, "after 0 tokens");
	assert_reason("chat", ":\n\n:\n\n", REASON_STREAM_TRUNCATED, "after 0 tokens");
}

static void test_an_empty_last_chunk_is_no_finish(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") CHAT("{\"content\":\"\"}", "null") DONE,
		REASON_STREAM_TRUNCATED, "after 1 tokens");
	assert_reason("chat", TOKEN("a") CHAT("{}", "\"\"") DONE, REASON_STREAM_TRUNCATED, "");
	assert_reason("chat", TOKEN("a") CHAT("{}", "false") DONE, REASON_STREAM_TRUNCATED, "");
}

static void test_the_sentinel_needs_no_blank_line(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") STOP "data: [DONE]", REASON_OK, "");
	assert_reason("chat", TOKEN("a") STOP "data:[DONE]\n", REASON_OK, "");
	assert_reason("chat", TOKEN("a") STOP "data:   [DONE] \n\n", REASON_OK, "");
	assert_reason("chat", TOKEN("a") STOP "data: [DON", REASON_STREAM_TRUNCATED, "inside");
}

static void test_an_end_event_is_needed_where_the_api_has_one(void **state)
{
	static const char token[] =
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
		"\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n"
		"data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n";
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;

	(void)state;
	assert_reason("messages", token, REASON_STREAM_TRUNCATED, "last event");
	sbuf_printf(
		&body, "%s%s", token, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
	assert_reason("messages", sbuf_str(&body), REASON_OK, "");
}

static void test_without_finish_reason_a_token_is_needed(void **state)
{
	(void)state;
	assert_reason("triton", "data: {\"text_output\":\"a\"}\n\n", REASON_OK, "");
	assert_reason("triton", "data: {\"text_output\":\"\"}\n\n", REASON_STREAM_TRUNCATED,
		"without a token");
	assert_reason("triton", "", REASON_STREAM_TRUNCATED, "without a token");
}

static void test_progress_says_when_no_more_is_needed(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 0);

	(void)state;
	assert_int_equal(stream_push(stream, TOKEN("a"), strlen(TOKEN("a")), 1), STREAM_MORE);
	assert_false(stream_has_finish(stream));
	assert_null(stream_finish(stream));
	assert_int_equal(stream_push(stream, STOP, strlen(STOP), 1), STREAM_MORE);
	assert_true(stream_has_finish(stream));
	assert_string_equal(stream_finish(stream), "stop");
	assert_int_equal(stream_push(stream, DONE, strlen(DONE), 1), STREAM_ENDED);
	assert_int_equal(stream_push(stream, "raw\n", 4, 1), STREAM_ENDED);
	assert_int_equal(judge(stream).reason, REASON_OK);
	(void)stream_free(stream);

	stream = stream_new(dialect_named("chat"), 0);
	assert_int_equal(stream_push(stream, "event: error\n\n", 14, 1), STREAM_FAILED);
	(void)stream_free(stream);
}

/* ---- errors inside a 200 ---- */

static void test_errors_are_seen_in_all_their_forms(void **state)
{
	(void)state;
	/* measured.md no. 7: a field, an object with and without the sentinel, raw text */
	assert_reason("chat", TOKEN("a") "error: {\"code\":500,\"message\":\"oops\"}\n\n" DONE,
		REASON_STREAM_ERROR, "oops");
	assert_reason("chat", TOKEN("a") "data: {\"error\":{\"message\":\"oops\"}}\n\n" DONE,
		REASON_STREAM_ERROR, "oops");
	assert_reason(
		"chat", TOKEN("a") "data: {\"error\":\"oops\"}\n\n", REASON_STREAM_ERROR, "oops");
	assert_reason("chat", TOKEN("a") "Internal Server Error\n", REASON_STREAM_ERROR,
		"Internal Server Error");
	assert_reason("chat", TOKEN("a") "data: Internal Server Error\n\n" DONE,
		REASON_STREAM_ERROR, "Internal Server Error");
	assert_reason(
		"chat", TOKEN("a") STOP "{\"error\":\"oops\"}\n" DONE, REASON_STREAM_ERROR, "oops");
	assert_reason("ollama", "{\"response\":\"a\",\"done\":false}\n{\"error\":\"oops\"}\n",
		REASON_STREAM_ERROR, "oops");
	assert_reason("ollama", "{\"response\":\"a\",\"done\":false}\n{\"error\":\"oops\"}",
		REASON_STREAM_ERROR, "oops");
	/* the name alone, and flat objects */
	assert_reason("chat", "event: error\ndata: {\"detail\":\"oops\"}\n\n", REASON_STREAM_ERROR,
		"oops");
	assert_reason("chat", "event: error\ndata: oops\n\n", REASON_STREAM_ERROR, "oops");
	assert_reason("chat", "data: {\"object\":\"error\",\"message\":\"oops\"}\n\n" DONE,
		REASON_STREAM_ERROR, "oops");
	assert_reason("messages",
		"event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"oops\"}}\n\n",
		REASON_STREAM_ERROR, "oops");
	assert_reason("cohere",
		"data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\","
		"\"error\":\"oops\"}}\n\n",
		REASON_STREAM_ERROR, "oops");
}

static void test_an_error_overrides_success(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") STOP "data: {\"error\":\"oops\"}\n\n" DONE,
		REASON_STREAM_ERROR, "oops");
}

static void test_a_null_error_is_none(void **state)
{
	(void)state;
	assert_reason("chat",
		"data: {\"error\":null,\"choices\":[{\"delta\":{\"content\":\"a\"},"
		"\"finish_reason\":\"stop\"}]}\n\ndata: {\"error\":false}\n\n"
		"data: {\"error\":\"\"}\n\n" DONE,
		REASON_OK, "");
}

static void test_codes_say_overloaded(void **state)
{
	(void)state;
	assert_reason("chat", "data: {\"error\":{\"message\":\"full\",\"code\":503}}\n\n",
		REASON_OVERLOADED, "full");
	assert_reason("chat", "data: {\"error\":{\"message\":\"full\",\"code\":\"429\"}}\n\n",
		REASON_OVERLOADED, "full");
	assert_reason("chat", "data: {\"error\":{\"message\":\"full\",\"status_code\":529}}\n\n",
		REASON_OVERLOADED, "full");
	assert_reason(
		"chat", "data: {\"error\":\"full\",\"code\":503}\n\n", REASON_OVERLOADED, "full");
	assert_reason("chat", "data: {\"object\":\"error\",\"message\":\"full\",\"code\":503}\n\n",
		REASON_OVERLOADED, "full");
	assert_reason("chat",
		"data: {\"error\":{\"message\":\"failed: [503] The request queue is full.\"}}\n\n",
		REASON_OVERLOADED, "queue is full");
	assert_reason("chat", "[503] The request queue is full.\n", REASON_OVERLOADED, "");
	assert_reason("chat",
		"data: {\"error\":{\"message\":\"bad\",\"http_status_code\":422}}\n\n",
		REASON_STREAM_ERROR, "bad");
	assert_reason("chat", "data: {\"error\":{\"message\":\"x\",\"code\":\"rate_limit\"}}\n\n",
		REASON_STREAM_ERROR, "x");
	assert_reason("sglang",
		"data: {\"text\":\"\",\"meta_info\":{\"finish_reason\":{\"type\":\"abort\","
		"\"message\":\"The request queue is full.\",\"status_code\":503}}}\n\n" DONE,
		REASON_OVERLOADED, "queue is full");
}

static void test_a_bad_finish_reason_is_an_error(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") CHAT("{}", "\"error\"") DONE, REASON_STREAM_ERROR, "");
	assert_reason("chat", TOKEN("a") CHAT("{}", "\"Abort\"") DONE, REASON_STREAM_ERROR, "");
	assert_reason("cohere",
		"data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TIMEOUT\"}}\n\n",
		REASON_STREAM_ERROR, "TIMEOUT");
}

static void test_other_bodies_are_not_taken_for_streams(void **state)
{
	(void)state;
	assert_reason("chat",
		"{\n  \"error\": {\n    \"message\": \"oops\",\n    \"code\": 503\n  }\n}\n",
		REASON_OVERLOADED, "oops");
	assert_reason("ollama", "{\n  \"error\": \"oops\"\n}\n", REASON_STREAM_ERROR, "oops");
	assert_reason("chat", "{\"choices\":[]}", REASON_PROTOCOL_ERROR, "{\"choices\":[]}");
	assert_reason("chat", "<!doctype html>\n<title>Sign in</title>\n", REASON_JSON_INVALID,
		"doctype");
	assert_reason("ollama", "<html>", REASON_JSON_INVALID, "<html>");
	assert_reason("ollama", "Bad Gateway\n", REASON_JSON_INVALID, "Bad Gateway");
	assert_reason("chat", "Bad Gateway", REASON_STREAM_ERROR, "Bad Gateway");
	assert_reason("gemini-document", "", REASON_JSON_INVALID, "empty");
	assert_reason("gemini-document", "<html>", REASON_JSON_INVALID, "<html>");
	assert_reason("gemini-document", "{\"error\":{\"code\":503,\"message\":\"x\"}}",
		REASON_OVERLOADED, "x");
}

static void test_broken_json_in_an_event_is_refused(void **state)
{
	(void)state;
	assert_reason("chat", TOKEN("a") "data: {\"choices\":[\n\n" STOP DONE, REASON_JSON_INVALID,
		"choices");
	assert_reason(
		"chat", TOKEN("a") "data: {\"choices\":[NaN]}\n\n", REASON_JSON_INVALID, "NaN");
	assert_reason(
		"ollama", "{\"response\":\"a\",\"done\":false}\n{]\n", REASON_JSON_INVALID, "{]");
	assert_reason("chat", TOKEN("a") "data: {\"choices\":[", REASON_STREAM_TRUNCATED, "inside");
	assert_reason("ollama", "{\"respon", REASON_STREAM_TRUNCATED, "inside");
}

static void test_a_line_without_end_is_refused(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 0);
	enum stream_progress progress = stream_push(stream, "data: ", 6, 1);
	char piece[4096];
	size_t len = 0;
	struct result result;

	(void)state;
	memset(piece, 'a', sizeof piece);
	for (; progress == STREAM_MORE && len <= 2 * STREAM_MAX_LINE; len += sizeof piece)
		progress = stream_push(stream, piece, sizeof piece, 1);
	assert_int_equal(progress, STREAM_FAILED);
	assert_in_range(len, STREAM_MAX_LINE - sizeof piece, STREAM_MAX_LINE + sizeof piece);
	result = judge(stream);
	assert_int_equal(result.reason, REASON_PROTOCOL_ERROR);
	assert_non_null(strstr(result.detail, "longer than 1048576 bytes"));
	(void)stream_free(stream);
}

static void test_a_document_without_end_is_refused(void **state)
{
	struct stream *stream = stream_new(dialect_named("embeddings"), 0);
	enum stream_progress progress = STREAM_MORE;
	static char piece[1024 * 1024];

	(void)state;
	memset(piece, ' ', sizeof piece);
	for (size_t i = 0; i < 9 && progress == STREAM_MORE; i++)
		progress = stream_push(stream, piece, sizeof piece, 1);
	assert_int_equal(progress, STREAM_FAILED);
	assert_int_equal(judge(stream).reason, REASON_BODY_TOO_LARGE);
	(void)stream_free(stream);
}

static void test_a_reason_that_is_known_already_stays(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 1000);
	struct result result = { .reason = REASON_TIMEOUT_IDLE };

	(void)state;
	assert_int_equal(stream_push(stream, TOKEN("a"), strlen(TOKEN("a")), 3000), STREAM_MORE);
	stream_judge(stream, &result);
	assert_int_equal(result.reason, REASON_TIMEOUT_IDLE);
	assert_int_equal(result.tokens.completion, 1);
	assert_true(result_has_timing(&result, TIMING_FIRST_TOKEN));
	assert_int_equal(result.timing[TIMING_FIRST_TOKEN], 2000);
	(void)stream_free(stream);
}

/* ---- the text ---- */

static void test_text_is_assembled(void **state)
{
	(void)state;
	assert_text("chat",
		TOKEN("Hel") TOKEN("lo \\\"w\\\"") TOKEN("\\u00e4\\ud83d\\ude00\\n") STOP DONE,
		"Hello \"w\"\xc3\xa4\xf0\x9f\x98\x80\n");
	assert_text("chat",
		CHAT("{\"content\":null}", "null")
			CHAT("{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}", "null")
				CHAT("{\"refusal\":\"no\"}", "\"stop\"") DONE,
		"ano");
	assert_text("completion-document", "{\"content\":\"a\",\"stop\":true}", "a");
	assert_text("any", "hello", "hello");
}

static void test_reasoning_is_not_part_of_the_answer(void **state)
{
	(void)state;
	assert_text("chat",
		CHAT("{\"reasoning_content\":\"Hm\"}", "null") CHAT("{\"reasoning\":\"m\"}", "null")
			TOKEN("a") STOP DONE,
		"a");
	assert_reason(
		"chat", CHAT("{\"reasoning_content\":\"Hm\"}", "null") LENGTH DONE, REASON_OK, "");
	assert_reason(
		"chat", CHAT("{\"reasoning_content\":\"Hm\"}", "null") STOP DONE, REASON_OK, "");
}

static void test_cumulative_text_counts_its_growth(void **state)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	struct result result = answer_to(dialect_named("sglang"),
		"data: {\"text\":\"\",\"meta_info\":{\"finish_reason\":null}}\n\n"
		"data: {\"text\":\"a\",\"meta_info\":{\"finish_reason\":null}}\n\n"
		"data: {\"text\":\"a\",\"meta_info\":{\"finish_reason\":null}}\n\n"
		"data: {\"text\":\"a b\",\"meta_info\":{\"finish_reason\":null}}\n\n"
		"data: {\"text\":\"a b\",\"meta_info\":{\"finish_reason\":{\"type\":\"stop\"}}}\n\n" DONE,
		&text);

	(void)state;
	assert_int_equal(result.reason, REASON_OK);
	assert_string_equal(sbuf_str(&text), "a b");
	assert_int_equal(result.tokens.completion, 2);
	assert_int_equal(result.tokens.source, TOKENS_COUNTED);
}

static void test_a_character_split_over_tokens_is_whole(void **state)
{
	(void)state;
	assert_text("chat", TOKEN("\xf0\x9f") TOKEN("\x98\x80") STOP DONE, "\xf0\x9f\x98\x80");
	assert_text("chat", TOKEN("a\xff") TOKEN("b") STOP DONE,
		"a\xef\xbf\xbd"
		"b");
}

static void test_a_long_answer_is_kept_as_far_as_its_limit(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 0);
	static const char event[] =
		TOKEN("0123456789 ten more words, none of them the same as all");
	size_t len;

	(void)state;
	for (size_t i = 0; i < 3000; i++)
		assert_int_equal(stream_push(stream, event, strlen(event), 1 + i), STREAM_MORE);
	(void)stream_text(stream, &len);
	assert_int_equal(len, STREAM_MAX_TEXT);
	(void)stream_free(stream);
}

static void test_the_model_is_the_one_first_named(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 0);
	static const char body[] = "data: {\"model\":\"\"}\n\ndata: {\"model\":\"m-1\"}\n\n"
				   "data: {\"model\":\"m-2\"}\n\n";

	(void)state;
	assert_null(stream_model(stream));
	(void)stream_push(stream, body, strlen(body), 1); /* the model is what matters */
	assert_string_equal(stream_model(stream), "m-1");
	(void)stream_free(stream);
}

/* ---- tokens and times ---- */

static void test_the_first_token_is_the_first_event_with_text(void **state)
{
	static const char *const before[] = { ":\n\n", "data: {\"choices\":[]}\n\n",
		CHAT("{\"role\":\"assistant\",\"content\":\"\"}", "null"),
		CHAT("{\"role\":\"assistant\",\"content\":null}", "null"),
		"event: ping\ndata: {\"type\":\"ping\"}\n\n", "event: ping\ndata: 12:00\n\n",
		"data:\n\n" };
	struct stream *stream = stream_new(dialect_named("chat"), 1000);
	struct result result;
	usec_t now = 2000;

	(void)state;
	for (size_t i = 0; i < array_size(before); i++)
		assert_int_equal(
			stream_push(stream, before[i], strlen(before[i]), now++), STREAM_MORE);
	assert_int_equal(stream_last_token_at(stream), 0);
	(void)stream_push(stream, CHAT("{\"reasoning\":\"Hm\"}", "null"), /* the time matters */
		strlen(CHAT("{\"reasoning\":\"Hm\"}", "null")), 5000);
	assert_int_equal(stream_last_token_at(stream), 5000);
	(void)stream_push(stream, TOKEN("a") STOP DONE, strlen(TOKEN("a") STOP DONE), 7000);
	assert_int_equal(stream_last_token_at(stream), 7000);
	result = judge(stream);
	assert_int_equal(result.reason, REASON_OK);
	assert_int_equal(result.timing[TIMING_FIRST_TOKEN], 4000);
	assert_int_equal(result.tokens.completion, 2);
	(void)stream_free(stream);
}

static void test_gaps_are_between_tokens(void **state)
{
	struct stream *stream = stream_new(dialect_named("chat"), 0);
	struct tokens tokens;
	usec_t now = 1000000;

	(void)state;
	for (size_t i = 0; i <= 100; i++) {
		assert_int_equal(
			stream_push(stream, TOKEN("a "), strlen(TOKEN("a ")), now), STREAM_MORE);
		(void)stream_push(stream, ":\n\n", 3, now + 5); /* is no token */
		now += i < 90 ? 10000 : i < 99 ? 50000 : 200000;
	}
	tokens = judge(stream).tokens;
	assert_int_equal(tokens.gaps, 100);
	assert_int_equal(tokens.gap_mean, (90 * 10000 + 9 * 50000 + 200000) / 100);
	assert_in_range(tokens.gap_p95, 49000, 51000);
	assert_int_equal(tokens.gap_max, 200000);
	assert_int_equal(tokens.completion, 101);
	assert_true(fabs(tokens.per_second - 100 / 1.55) < 0.01);
	(void)stream_free(stream);
}

static void test_tokens_are_the_servers_own_count_if_it_has_one(void **state)
{
	struct tokens tokens =
		answer_to(dialect_named("chat"), TOKEN("a b c") STOP USAGE("7", "3") DONE, NULL)
			.tokens;

	(void)state;
	assert_int_equal(tokens.source, TOKENS_REPORTED);
	assert_int_equal(tokens.prompt, 7);
	assert_int_equal(tokens.completion, 3);
	tokens = answer_to(dialect_named("chat"), TOKEN("a") TOKEN("b") STOP DONE, NULL).tokens;
	assert_int_equal(tokens.source, TOKENS_COUNTED);
	assert_int_equal(tokens.completion, 2);
	tokens =
		answer_to(dialect_named("chat"), TOKEN("a") STOP USAGE("7", "0") DONE, NULL).tokens;
	assert_int_equal(tokens.source, TOKENS_COUNTED);
	assert_int_equal(tokens.completion, 1);
	tokens = answer_to(dialect_named("chat"), TOKEN("a") STOP USAGE("-1", "1e99") DONE, NULL)
			 .tokens;
	assert_int_equal(tokens.prompt, 0);
	assert_int_equal(tokens.completion, UINT32_MAX);
	tokens = answer_to(
		dialect_named("completion-document"), "{\"content\":\"a\",\"stop\":true}", NULL)
			 .tokens;
	assert_int_equal(tokens.source, TOKENS_NONE);
}

static void test_one_event_has_no_speed(void **state)
{
	struct result result =
		answer_to(dialect_named("chat"), TOKEN("a b c") STOP USAGE("7", "3") DONE, NULL);

	(void)state;
	assert_int_equal(result.tokens.gaps, 0);
	assert_true(result.tokens.per_second < 0.001);
}

/* ---- right answers ---- */

static void test_an_empty_answer_that_stopped_by_itself_is_degenerate(void **state)
{
	(void)state;
	assert_reason("chat", STOP DONE, REASON_DEGENERATE_OUTPUT, "without any text");
	assert_reason("chat", TOKEN(" \\n") STOP DONE, REASON_OK, ""); /* perhaps the limit */
	assert_reason(
		"chat", TOKEN(" \\n") STOP USAGE("3", "8") DONE, REASON_DEGENERATE_OUTPUT, "");
	assert_reason("chat",
		TOKEN(" ") CHAT("{\"reasoning\":\"Hm\"}", "null") STOP USAGE("3", "8") DONE,
		REASON_OK, "");
	assert_reason("triton-document", "{\"text_output\":\"\"}", REASON_DEGENERATE_OUTPUT, "");
	assert_reason("chat", LENGTH DONE, REASON_OK, "");
	assert_reason("chat", CHAT("{}", "\"tool_calls\"") DONE, REASON_OK, "");
	assert_reason("gemini-document", "{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}]}",
		REASON_OK, "");
	assert_reason("gemini-document", "{\"candidates\":[{\"finishReason\":\"STOP\"}]}",
		REASON_DEGENERATE_OUTPUT, "");
}

#define TOKENS4(text) TOKEN(text) TOKEN(text) TOKEN(text) TOKEN(text)

static void test_one_token_over_and_over_is_degenerate(void **state)
{
	(void)state;
	assert_reason("chat", TOKENS4("!") TOKENS4("!") LENGTH DONE, REASON_DEGENERATE_OUTPUT,
		"\"!\" repeated 8 times");
	assert_reason("chat", TOKENS4("!") TOKEN("!") TOKEN("!") LENGTH DONE, REASON_OK, "");
	assert_reason("chat", TOKENS4("1 ") TOKENS4("1 ") STOP DONE, REASON_OK, "");
	assert_reason("chat", TOKEN("!!!!!!!!") STOP DONE, REASON_OK, "");
	assert_reason(
		"chat", TOKEN("!!!!!!!!") STOP USAGE("3", "8") DONE, REASON_DEGENERATE_OUTPUT, "");
	assert_reason("completion-document", "{\"content\":\"!!!!!!!!\",\"stop\":true}",
		REASON_DEGENERATE_OUTPUT, "");
	assert_reason("chat",
		CHAT("{\"reasoning\":\"!!!!\"}", "null") CHAT("{\"reasoning\":\"!!!!\"}", "null")
			LENGTH USAGE("3", "8") DONE,
		REASON_DEGENERATE_OUTPUT, "");
}

static void test_required_values_must_exist(void **state)
{
	(void)state;
	assert_reason("completion-document", "{\"content\":\"a\"}", REASON_ASSERT_JSON, "/stop");
	assert_reason("completion-document", "{\"content\":\"a\",\"stop\":null}",
		REASON_ASSERT_JSON, "/stop");
	assert_reason("triton-document", "{\"text\":\"\"}", REASON_ASSERT_JSON, "/text_output");
}

static void test_a_document_needs_its_finish_reason(void **state)
{
	struct dialect dialect = *dialect_named("completion-document");

	(void)state;
	dialect.require.n = 0;
	assert_int_equal(
		answer_to(&dialect, "{\"content\":\"a\",\"stop\":true}", NULL).reason, REASON_OK);
	assert_int_equal(
		answer_to(&dialect, "{\"content\":\"a\"}", NULL).reason, REASON_ASSERT_JSON);
}

/* ---- embeddings ---- */

static void test_a_large_embedding_is_read(void **state)
{
	struct stream *stream = stream_new(dialect_named("embeddings"), 0);
	struct sbuf body = SBUF_INIT;
	const double *numbers;
	size_t n;

	(void)state;
	sbuf_puts(&body, "{\"model\":\"m\",\"data\":[{\"embedding\":[0");
	for (unsigned i = 1; i < 4096; i++)
		sbuf_printf(&body, ",%u.5e-3", i);
	sbuf_puts(&body, "]}],\"usage\":{\"prompt_tokens\":4}}");
	for (size_t at = 0; at < body.len; at += 1000)
		assert_int_equal(
			stream_push(stream, body.data + at, min_of(body.len - at, (size_t)1000), 1),
			STREAM_MORE);
	sbuf_fini(&body);
	assert_int_equal(judge(stream).reason, REASON_OK);
	numbers = stream_embedding(stream, &n);
	assert_int_equal(n, 4096);
	assert_true(numbers[0] < 0.0001 && fabs(numbers[4095] - 4.0955) < 1e-9);
	assert_string_equal(stream_model(stream), "m");
	(void)stream_free(stream);
}

static void test_an_embedding_must_be_numbers(void **state)
{
	(void)state;
	assert_reason("embeddings", "{\"data\":[]}", REASON_ASSERT_JSON,
		"no /data/0/embedding in the answer");
	assert_reason("embeddings", "{\"data\":[{\"embedding\":[]}]}", REASON_ASSERT_JSON,
		"not a list of numbers");
	assert_reason("embeddings", "{\"data\":[{\"embedding\":[1,null]}]}", REASON_ASSERT_JSON,
		"not a list of numbers");
	assert_reason("embeddings", "{\"data\":[{\"embedding\":\"AAAA\"}]}", REASON_ASSERT_JSON,
		"not a list of numbers");
	assert_reason("embeddings", "{\"data\":[{\"embedding\":[NaN]}]}", REASON_JSON_INVALID, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success_is_finish_and_sentinel),
		cmocka_unit_test(test_an_empty_last_chunk_is_no_finish),
		cmocka_unit_test(test_the_sentinel_needs_no_blank_line),
		cmocka_unit_test(test_an_end_event_is_needed_where_the_api_has_one),
		cmocka_unit_test(test_without_finish_reason_a_token_is_needed),
		cmocka_unit_test(test_progress_says_when_no_more_is_needed),
		cmocka_unit_test(test_errors_are_seen_in_all_their_forms),
		cmocka_unit_test(test_an_error_overrides_success),
		cmocka_unit_test(test_a_null_error_is_none),
		cmocka_unit_test(test_codes_say_overloaded),
		cmocka_unit_test(test_a_bad_finish_reason_is_an_error),
		cmocka_unit_test(test_other_bodies_are_not_taken_for_streams),
		cmocka_unit_test(test_broken_json_in_an_event_is_refused),
		cmocka_unit_test(test_a_line_without_end_is_refused),
		cmocka_unit_test(test_a_document_without_end_is_refused),
		cmocka_unit_test(test_a_reason_that_is_known_already_stays),
		cmocka_unit_test(test_text_is_assembled),
		cmocka_unit_test(test_reasoning_is_not_part_of_the_answer),
		cmocka_unit_test(test_cumulative_text_counts_its_growth),
		cmocka_unit_test(test_a_character_split_over_tokens_is_whole),
		cmocka_unit_test(test_a_long_answer_is_kept_as_far_as_its_limit),
		cmocka_unit_test(test_the_model_is_the_one_first_named),
		cmocka_unit_test(test_the_first_token_is_the_first_event_with_text),
		cmocka_unit_test(test_gaps_are_between_tokens),
		cmocka_unit_test(test_tokens_are_the_servers_own_count_if_it_has_one),
		cmocka_unit_test(test_one_event_has_no_speed),
		cmocka_unit_test(test_an_empty_answer_that_stopped_by_itself_is_degenerate),
		cmocka_unit_test(test_one_token_over_and_over_is_degenerate),
		cmocka_unit_test(test_required_values_must_exist),
		cmocka_unit_test(test_a_document_needs_its_finish_reason),
		cmocka_unit_test(test_a_large_embedding_is_read),
		cmocka_unit_test(test_an_embedding_must_be_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * However the bytes of a recorded answer are cut on their way, the result is the same; and of a good
 * answer that breaks off early, none is taken for complete.
 */
#include "modelhealth/core/stream.h"

#include "dialects.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A recorded answer and what it is. */
struct record {
	const char *file, *dialect;
	enum reason reason;
	const char *text;
	uint32_t tokens;
	enum token_source source;
	int spare; /* bytes at its end that it is complete without; -1 = not complete anyway */
};

static const struct record records[] = {
	{ "anthropic.messages.stream.ok", "messages", REASON_OK, "Pong", 1, TOKENS_REPORTED, 2 },
	{ "azure.chat.stream.ok", "chat", REASON_OK, "Pong", 1, TOKENS_COUNTED, 2 },
	{ "cohere.chat.stream.error", "cohere", REASON_STREAM_ERROR, "", 0, TOKENS_NONE, -1 },
	{ "cohere.chat.stream.ok", "cohere", REASON_OK, "Pong", 1, TOKENS_REPORTED, 2 },
	{ "gemini.generate.ok", "gemini-document", REASON_OK, "Pong", 1, TOKENS_REPORTED, -1 },
	{ "gemini.generate.thought_only", "gemini-document", REASON_OK, "", 0, TOKENS_NONE, -1 },
	{ "gemini.stream.ok", "gemini", REASON_OK, "Pong", 2, TOKENS_REPORTED, 2 },
	{ "generic.html_200", "chat", REASON_JSON_INVALID, "", 0, TOKENS_NONE, -1 },
	{ "generic.json_error_in_200", "chat", REASON_STREAM_ERROR, "", 0, TOKENS_NONE, -1 },
	{ "generic.sse.done_only", "chat", REASON_STREAM_TRUNCATED, "", 0, TOKENS_NONE, -1 },
	{ "generic.sse.event_error", "chat", REASON_STREAM_ERROR, "P", 1, TOKENS_COUNTED, -1 },
	{ "generic.sse.gateway_queue_full", "chat", REASON_OVERLOADED, "", 0, TOKENS_NONE, -1 },
	{ "llamacpp.chat.stream.ok", "chat", REASON_OK, "Pong", 2, TOKENS_REPORTED, 2 },
	{ "llamacpp.completion.ok", "completion-document", REASON_OK, " Pong", 1, TOKENS_REPORTED,
		-1 },
	{ "llamacpp.completion.stream.ok", "completion", REASON_OK, " Pong", 2, TOKENS_REPORTED,
		2 },
	{ "mistral.chat.stream.ok", "chat", REASON_OK, "Pong", 1, TOKENS_REPORTED, 2 },
	{ "mlserver.infer_stream.ok", "mlserver", REASON_OK, "P", 1, TOKENS_COUNTED, 2 },
	{ "ollama.generate.load_only.ok", "ollama", REASON_OK, "", 0, TOKENS_NONE, 0 },
	{ "ollama.generate.stream.error", "ollama", REASON_STREAM_ERROR, "P", 1, TOKENS_COUNTED,
		-1 },
	{ "ollama.generate.stream.ok", "ollama", REASON_OK, "Pong", 2, TOKENS_REPORTED, 1 },
	{ "openai.chat.stream.ok", "chat", REASON_OK, "Pong", 1, TOKENS_REPORTED, 2 },
	{ "openai.chat.stream.truncated", "chat", REASON_STREAM_TRUNCATED, "Po", 1, TOKENS_COUNTED,
		-1 },
	{ "openai.embeddings.ok", "embeddings", REASON_OK, "", 0, TOKENS_REPORTED, -1 },
	{ "sglang.chat.stream.queue_full", "chat", REASON_OVERLOADED, "", 0, TOKENS_NONE, -1 },
	{ "sglang.generate.stream.error", "sglang", REASON_STREAM_ERROR, "", 0, TOKENS_NONE, -1 },
	{ "sglang.generate.stream.ok", "sglang", REASON_OK, " Pong", 2, TOKENS_REPORTED, 2 },
	{ "tgi.generate_stream.error", "tgi", REASON_STREAM_ERROR, " P", 1, TOKENS_COUNTED, -1 },
	{ "tgi.generate_stream.ok", "tgi", REASON_OK, " Pong", 2, TOKENS_REPORTED, 2 },
	{ "triton.generate_stream.error", "triton", REASON_STREAM_ERROR, "P", 1, TOKENS_COUNTED,
		-1 },
	{ "vllm.chat.stream.ok", "chat", REASON_OK, "Pong", 2, TOKENS_REPORTED, 2 },
	{ "vllm.chat.stream.reasoning", "chat", REASON_OK, "", 2, TOKENS_REPORTED, 2 },
};

/* ---- reading the records ---- */

static void read_file(const char *name, struct sbuf *out)
{
	_cleanup_(sbuf_fini) struct sbuf path = SBUF_INIT;
	char piece[4096];
	FILE *file;
	size_t n;

	sbuf_printf(&path, "%s/%s.http", FIXTURES, name);
	file = fopen(sbuf_str(&path), "rbe");
	assert_non_null(file);
	while ((n = fread(piece, 1, sizeof piece, file)) > 0)
		sbuf_add(out, piece, n);
	(void)fclose(file); /* only read */
}

/* The body without its chunks. */
static void read_body(const char *name, struct sbuf *body)
{
	_cleanup_(sbuf_fini) struct sbuf raw = SBUF_INIT;
	const char *at;
	char *end;
	size_t len;

	read_file(name, &raw);
	at = strstr(sbuf_str(&raw), "\r\n\r\n");
	assert_non_null(at);
	if (!memmem(raw.data, (size_t)(at - raw.data), "chunked", 7)) {
		sbuf_puts(body, at + 4);
		return;
	}
	for (at += 4; (len = strtoul(at, &end, 16)) > 0; at = end + 2 + len + 2)
		sbuf_add(body, end + 2, len);
}

/* ---- one answer ---- */

struct outcome {
	struct result result;
	char text[256];
	char model[64];
	char finish[64];
	size_t n_embedding;
};

static void set_outcome(struct stream *stream, struct outcome *outcome)
{
	size_t len;
	const char *text;

	*outcome = (struct outcome){ .result.reason = REASON_OK };
	stream_judge(stream, &outcome->result);
	text = stream_text(stream, &len);
	assert_true(len < sizeof outcome->text);
	memcpy(outcome->text, text, len);
	(void)snprintf(outcome->model, sizeof outcome->model, "%s",
		stream_model(stream) ? stream_model(stream) : "");
	(void)snprintf(outcome->finish, sizeof outcome->finish, "%s",
		stream_finish(stream) ? stream_finish(stream) : "");
	(void)stream_embedding(stream, &outcome->n_embedding); /* its size is enough */
}

/* Pushes the bytes in pieces, of which next_piece says the length. Each piece is a copy of its
 * own, so that a sanitizer sees any read beyond it. */
static void run(const struct record *record, const char *data, size_t len,
	size_t (*next_piece)(void *ctx, size_t at, size_t len), void *ctx, struct outcome *outcome)
{
	struct stream *stream = stream_new(dialect_named(record->dialect), 1000);
	enum stream_progress progress = STREAM_MORE;

	assert_non_null(stream);
	for (size_t at = 0, n; at < len && progress == STREAM_MORE; at += n) {
		char *piece;

		n = next_piece(ctx, at, len);
		piece = malloc(n);
		assert_non_null(piece);
		memcpy(piece, data + at, n);
		progress = stream_push(stream, piece, n, 2000);
		free(piece);
	}
	set_outcome(stream, outcome);
	(void)stream_free(stream); /* always NULL */
}

static size_t whole(void *ctx, size_t at, size_t len)
{
	(void)ctx;
	return len - at;
}

static size_t one_byte(void *ctx, size_t at, size_t len)
{
	(void)ctx;
	(void)at;
	(void)len;
	return 1;
}

static size_t at_split(void *ctx, size_t at, size_t len)
{
	size_t split = *(const size_t *)ctx;

	return at == 0 ? split : len - at;
}

/* Pieces of 1 to 40 bytes, by a generator of fixed seed (xorshift). */
static size_t any_piece(void *ctx, size_t at, size_t len)
{
	uint64_t *seed = ctx;
	size_t n;

	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	n = 1 + *seed % 40;
	return min_of(n, len - at);
}

static void assert_same(const struct record *record, const char *how, const struct outcome *a,
	const struct outcome *b)
{
	if (a->result.reason == b->result.reason &&
		strcmp(a->result.detail, b->result.detail) == 0 && strcmp(a->text, b->text) == 0 &&
		strcmp(a->model, b->model) == 0 && strcmp(a->finish, b->finish) == 0 &&
		memcmp(&a->result.tokens, &b->result.tokens, sizeof a->result.tokens) == 0 &&
		a->n_embedding == b->n_embedding)
		return;
	fail_msg("%s, %s: %s (%s) \"%s\", in one piece %s (%s) \"%s\"", record->file, how,
		reason_token(b->result.reason), b->result.detail, b->text,
		reason_token(a->result.reason), a->result.detail, a->text);
}

/* ---- the rules ---- */

static void test_recorded_answers_are_what_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(records); i++) {
		_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
		const struct record *record = &records[i];
		struct outcome outcome;

		read_body(record->file, &body);
		run(record, body.data, body.len, whole, NULL, &outcome);
		if (outcome.result.reason != record->reason ||
			strcmp(outcome.text, record->text) != 0 ||
			outcome.result.tokens.completion != record->tokens ||
			outcome.result.tokens.source != record->source)
			fail_msg("%s: %s (%s) \"%s\", %u tokens of source %d", record->file,
				reason_token(outcome.result.reason), outcome.result.detail,
				outcome.text, outcome.result.tokens.completion,
				(int)outcome.result.tokens.source);
	}
}

static void check_splits(const struct record *record, const struct sbuf *body)
{
	struct outcome expected, outcome;

	run(record, body->data, body->len, whole, NULL, &expected);
	run(record, body->data, body->len, one_byte, NULL, &outcome);
	assert_same(record, "byte by byte", &expected, &outcome);
	for (size_t split = 1; split < body->len; split++) {
		run(record, body->data, body->len, at_split, &split, &outcome);
		assert_same(record, "in two pieces", &expected, &outcome);
	}
	for (uint64_t seed = 1; seed <= 50; seed++) {
		uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15);

		run(record, body->data, body->len, any_piece, &state, &outcome);
		assert_same(record, "in random pieces", &expected, &outcome);
	}
}

static void test_every_split_gives_the_same_result(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(records); i++) {
		_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;

		read_body(records[i].file, &body);
		check_splits(&records[i], &body);
	}
}

/* LF written as CRLF or CR is the same stream. */
static void test_every_line_break_gives_the_same_result(void **state)
{
	static const char *const breaks[] = { "\r\n", "\r" };

	(void)state;
	for (size_t i = 0; i < array_size(records) * array_size(breaks); i++) {
		const struct record *record = &records[i / array_size(breaks)];
		_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
		_cleanup_(sbuf_fini) struct sbuf other = SBUF_INIT;
		struct outcome expected, outcome;

		if (dialect_named(record->dialect)->framing != FRAMING_SSE)
			continue;
		read_body(record->file, &body);
		sbuf_puts(&other, "\xef\xbb\xbf");
		for (size_t k = 0; k < body.len; k++) {
			if (body.data[k] == '\n')
				sbuf_puts(&other, breaks[i % array_size(breaks)]);
			else
				sbuf_putc(&other, body.data[k]);
		}
		run(record, body.data, body.len, whole, NULL, &expected);
		run(record, other.data, other.len, whole, NULL, &outcome);
		assert_same(record, "other line breaks", &expected, &outcome);
		check_splits(record, &other);
	}
}

static void test_no_early_end_of_a_stream_is_success(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(records); i++) {
		_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
		const struct record *record = &records[i];

		if (record->reason != REASON_OK || record->spare < 0)
			continue;
		read_body(record->file, &body);
		for (size_t len = 0; len <= body.len; len++) {
			enum reason expected = len + (size_t)record->spare >= body.len
						       ? REASON_OK
						       : REASON_STREAM_TRUNCATED;
			struct outcome outcome;

			run(record, body.data, len, whole, NULL, &outcome);
			if (outcome.result.reason != expected)
				fail_msg("%s cut to %zu of %zu bytes: %s (%s)", record->file, len,
					body.len, reason_token(outcome.result.reason),
					outcome.result.detail);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_answers_are_what_they_are),
		cmocka_unit_test(test_every_split_gives_the_same_result),
		cmocka_unit_test(test_every_line_break_gives_the_same_result),
		cmocka_unit_test(test_no_early_end_of_a_stream_is_success),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

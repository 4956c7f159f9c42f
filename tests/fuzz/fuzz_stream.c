/* SPDX-License-Identifier: MIT */
/*
 * The stream reader. The first byte chooses the dialect, the second the cuts, the rest is the body.
 * However the bytes are cut the judgement is the same; an answer taken for good has its finish
 * reason; and what is handed on is well-formed and bounded.
 */
#include "modelhealth/core/stream.h"

#include "fuzz.h"

#include "modelhealth/text/sanitise.h"

#include "dialects.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "chat", "messages", "gemini", "gemini-document", "cohere",
	"sglang", "tgi", "completion", "completion-document", "ollama", "triton", "mlserver",
	"embeddings", "any" };

/* Pieces of 1 to `step` bytes by a generator of fixed seed; 0 = all at once. */
static struct stream *read_body(
	const struct dialect *dialect, const char *body, size_t len, unsigned step)
{
	struct stream *stream = stream_new(dialect, 1);
	enum stream_progress progress = STREAM_MORE;
	uint32_t seed = 1;

	must(stream);
	for (size_t at = 0, n; at < len && progress == STREAM_MORE; at += n) {
		char *piece;

		seed = seed * 1664525u + 1013904223u;
		n = step == 0 ? len : min_of(len - at, (size_t)(1 + (seed >> 16) % step));
		piece = malloc(n); /* a copy, so that a sanitizer sees any read beyond */
		must(piece);
		memcpy(piece, body + at, n);
		progress = stream_push(stream, piece, n, 2);
		free(piece);
	}
	return stream;
}

static struct result judge(struct stream *stream)
{
	struct result result = { .reason = REASON_OK };

	stream_judge(stream, &result);
	return result;
}

static void check_same(struct stream *a, struct stream *b)
{
	struct result one = judge(a), other = judge(b);
	const char *text, *other_text;
	size_t len, other_len, n, other_n;

	must(one.reason == other.reason && strcmp(one.detail, other.detail) == 0);
	must(one.tokens.completion == other.tokens.completion);
	must(one.tokens.prompt == other.tokens.prompt && one.tokens.source == other.tokens.source);
	text = stream_text(a, &len);
	other_text = stream_text(b, &other_len);
	must(len == other_len && memcmp(text, other_text, len) == 0);
	must(utf8_is_valid(text, len) && len <= 3 * (size_t)STREAM_MAX_TEXT);
	must((stream_model(a) == NULL) == (stream_model(b) == NULL));
	(void)stream_embedding(a, &n);
	(void)stream_embedding(b, &other_n);
	must(n == other_n);
}

static void check_rules(const struct dialect *dialect, struct stream *stream)
{
	struct result result = judge(stream);

	if (result.reason != REASON_OK)
		return;
	must(dialect->finish.n == 0 || dialect->framing == FRAMING_JSON ||
		stream_has_finish(stream));
	must(utf8_is_valid(result.detail, strlen(result.detail)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dialect *dialect;
	struct stream *whole, *cut;
	const char *body = (const char *)data + 2;

	if (size < 2)
		return 0;
	dialect = dialect_named(names[data[0] % array_size(names)]);
	whole = read_body(dialect, body, size - 2, 0);
	cut = read_body(dialect, body, size - 2, 1 + data[1] % 64);
	check_same(whole, cut);
	check_rules(dialect, whole);
	(void)stream_free(whole); /* always NULL */
	(void)stream_free(cut);
	return 0;
}

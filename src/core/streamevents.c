/* SPDX-License-Identifier: MIT */
/*
 * What one event of an answer says, by its dialect: a token, the finish reason, the server's count of
 * tokens, an error. Called by the framer, with the stream of core/stream.c.
 */
#include "modelhealth/core/dialect.h"
#include "modelhealth/core/textcheck.h"

#include "stream_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

enum {
	MAX_REASONING = 4096, /* enough to see that it repeats itself */
	MAX_ERROR = 64 * 1024,
	MAX_COORDINATES = 64 * 1024 /* of an embedding; the largest models have 8,192 */
};

/* ---- the dialect's pointers ---- */

static void add_list(struct stream *stream, enum slot slot, const char *const *items, size_t n)
{
	struct range *range = &stream->slots[slot];

	range->from = stream->n_pointers;
	for (size_t i = 0; i < n && i < DIALECT_MAX_POINTERS; i++)
		if (items[i] && json_pointer_is_valid(items[i]))
			stream->pointers[stream->n_pointers++] = items[i];
	range->n = stream->n_pointers - range->from;
}

void stream_set_pointers(struct stream *stream)
{
	static const char *const type = "/type", *const object = "/object";
	const struct dialect *d = stream->dialect;

	static_assert(5 * DIALECT_MAX_POINTERS + 7 <= JSON_SCAN_MAX_POINTERS, "all fit");
	add_list(stream, SLOT_TEXT, d->text.items, d->text.n);
	add_list(stream, SLOT_REASONING, d->reasoning.items, d->reasoning.n);
	add_list(stream, SLOT_FINISH, d->finish.items, d->finish.n);
	add_list(stream, SLOT_REQUIRE, d->require.items, d->require.n);
	add_list(stream, SLOT_ERROR, d->error.items, d->error.n);
	add_list(stream, SLOT_END, &d->end_pointer, 1);
	add_list(stream, SLOT_EMBEDDING, &d->embedding, 1);
	add_list(stream, SLOT_PROMPT_TOKENS, &d->prompt_tokens, 1);
	add_list(stream, SLOT_COMPLETION_TOKENS, &d->completion_tokens, 1);
	add_list(stream, SLOT_MODEL, &d->model, 1);
	add_list(stream, SLOT_TYPE, &type, 1);
	add_list(stream, SLOT_OBJECT, &object, 1);
}

static bool is_nothing(const struct json_span *span)
{
	return span->kind == JSON_NULL || (span->kind == JSON_STRING && span->len == 0) ||
	       (span->kind == JSON_BOOL && span->text[0] == 'f');
}

/* The first value of a slot at or behind pointer `from` that is not null, false or "". */
static const struct json_span *next_value(
	const struct stream *stream, enum slot slot, size_t from, size_t *ret_i)
{
	const struct range *range = &stream->slots[slot];

	for (size_t i = max_of(from, range->from); i < range->from + range->n; i++) {
		if ((stream->found >> i & 1) == 0 || is_nothing(&stream->spans[i]))
			continue;
		*ret_i = i;
		return &stream->spans[i];
	}
	return NULL;
}

static const struct json_span *value_of(const struct stream *stream, enum slot slot)
{
	size_t i;

	return next_value(stream, slot, 0, &i);
}

/* The first string of a slot that is not empty. */
static const struct json_span *string_of(const struct stream *stream, enum slot slot)
{
	const struct json_span *span;
	size_t i = 0;

	while ((span = next_value(stream, slot, i, &i)) && span->kind != JSON_STRING)
		i++;
	return span;
}

static bool span_equals(const struct json_span *span, const char *text)
{
	return span && span->len == strlen(text) && memcmp(span->text, text, span->len) == 0;
}

/* Appends what fits of text into a limited copy. */
static void copy_word(char *word, size_t size, const struct json_span *span)
{
	struct sbuf decoded = SBUF_INIT;
	size_t len;

	if (span->kind == JSON_STRING)
		json_span_decode(span, &decoded);
	else
		sbuf_puts(&decoded, span->kind == JSON_BOOL ? "true" : "value");
	len = min_of(decoded.len, size - 1);
	memcpy(word, sbuf_str(&decoded), len);
	word[len] = '\0';
	sbuf_fini(&decoded);
}

/* ---- failures ---- */

/* Keeps what went wrong; the first one counts. */
static enum framer_order fail(
	struct stream *stream, enum reason reason, const char *pointer, const struct event *event)
{
	stream->failure = reason;
	stream->failure_pointer = pointer;
	sbuf_add(&stream->error, event->data, min_of(event->len, (size_t)MAX_ERROR));
	return FRAMER_STOP;
}

static enum framer_order fail_error(
	struct stream *stream, const char *pointer, const struct event *event)
{
	return fail(stream, REASON_STREAM_ERROR, pointer, event);
}

static char first_char(const struct event *event)
{
	for (size_t i = 0; i < event->len; i++)
		if (!strchr(" \t\r\n", event->data[i]) || event->data[i] == '\0')
			return event->data[i];
	return '\0';
}

static bool looks_like_json(const struct event *event)
{
	return first_char(event) == '{' || first_char(event) == '[';
}

/* ---- what one event says ---- */

/* An event with text came. */
static void count_token(struct stream *stream)
{
	if (!dialect_is_stream(stream->dialect))
		return;
	if (stream->counted > 0)
		gaps_add(&stream->gaps, stream->now - stream->last_token_at);
	else
		stream->first_token_at = stream->now;
	stream->last_token_at = stream->now;
	stream->counted += stream->counted < UINT32_MAX;
}

static void append(struct sbuf *buf, const struct json_span *span, size_t limit)
{
	if (buf->len < limit)
		json_span_decode(span, buf);
	if (buf->len > limit) {
		buf->len = limit;
		buf->data[limit] = '\0';
	}
}

/* Returns whether it is more text than before. */
static bool take_text(struct stream *stream, const struct json_span *span)
{
	if (stream->dialect->is_cumulative) {
		if (span->len <= stream->cumulative_len)
			return false;
		stream->cumulative_len = span->len;
		sbuf_clear(&stream->text);
	}
	append(&stream->text, span, STREAM_MAX_TEXT);
	return true;
}

static void take_tokens(struct stream *stream)
{
	const struct json_span *text = string_of(stream, SLOT_TEXT);
	const struct json_span *reasoning = string_of(stream, SLOT_REASONING);

	if (reasoning)
		append(&stream->reasoning, reasoning, MAX_REASONING);
	if ((text && take_text(stream, text)) || reasoning)
		count_token(stream);
}

static void take_count(struct stream *stream, enum slot slot, struct count *count)
{
	const struct json_span *span = value_of(stream, slot);
	double number;

	if (!span || !json_span_number(span, &number) || number < 0)
		return;
	count->is_told = true;
	count->n = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static bool is_bad_finish(const struct stream *stream)
{
	static const char *const always[] = { "abort", "error" };
	const struct pointers *bad = &stream->dialect->bad_finish;

	for (size_t i = 0; i < array_size(always); i++)
		if (strcasecmp(always[i], stream->finish) == 0)
			return true;
	for (size_t i = 0; i < bad->n; i++)
		if (strcasecmp(bad->items[i], stream->finish) == 0)
			return true;
	return false;
}

static void take_required(struct stream *stream)
{
	const struct range *range = &stream->slots[SLOT_REQUIRE];

	for (size_t i = range->from; i < range->from + range->n; i++)
		if ((stream->found >> i & 1) && stream->spans[i].kind != JSON_NULL)
			stream->has_required |= UINT64_C(1) << i;
}

static void take_embedding(struct stream *stream)
{
	const struct range *range = &stream->slots[SLOT_EMBEDDING];
	const struct json_span *span = &stream->spans[range->from];
	ssize_t n;

	if (range->n == 0 || (stream->found >> range->from & 1) == 0 || stream->embedding)
		return;
	n = json_span_numbers(span, NULL, 0);
	stream->is_embedding_bad = n <= 0 || n > MAX_COORDINATES;
	if (stream->is_embedding_bad)
		return;
	stream->embedding = calloc((size_t)n, sizeof *stream->embedding);
	if (!stream->embedding) {
		stream->failure = REASON_LOCAL_MEMORY;
		return;
	}
	stream->n_embedding = (size_t)n;
	(void)json_span_numbers(span, stream->embedding, (size_t)n); /* as many again */
}

/* An event that says that it is an error; NULL = it does not. */
static const char *error_pointer(const struct stream *stream)
{
	size_t i;

	if (next_value(stream, SLOT_ERROR, 0, &i))
		return stream->pointers[i];
	if (span_equals(value_of(stream, SLOT_TYPE), "error") ||
		span_equals(value_of(stream, SLOT_OBJECT), "error"))
		return "";
	return NULL;
}

/* Returns whether the event ends the stream. */
static bool take_end(struct stream *stream)
{
	const char *wanted = stream->dialect->end_value;
	const struct json_span *span = value_of(stream, SLOT_END);

	stream->has_end = span && (!wanted || span_equals(span, wanted));
	return stream->has_end;
}

/* All that the values of an event say; the event is JSON. */
static enum framer_order take_values(struct stream *stream, const struct event *event)
{
	const char *pointer = event->kind == EVENT_ERROR ? "" : error_pointer(stream);
	const struct json_span *span;
	size_t i;

	stream->has_events = true;
	if (pointer)
		return fail_error(stream, pointer, event);
	take_tokens(stream);
	take_count(stream, SLOT_PROMPT_TOKENS, &stream->prompt);
	take_count(stream, SLOT_COMPLETION_TOKENS, &stream->completion);
	take_required(stream);
	take_embedding(stream);
	span = string_of(stream, SLOT_MODEL);
	if (span && stream->model[0] == '\0')
		copy_word(stream->model, sizeof stream->model, span);
	span = next_value(stream, SLOT_FINISH, 0, &i);
	if (span) {
		copy_word(stream->finish, sizeof stream->finish, span);
		if (is_bad_finish(stream))
			return fail_error(stream, stream->pointers[i], event);
	}
	return take_end(stream) || stream->failure != REASON_OK ? FRAMER_STOP : FRAMER_GO_ON;
}

/* An event whose data is no JSON. */
static enum framer_order take_no_json(struct stream *stream, const struct event *event)
{
	bool is_first = !stream->has_events;

	stream->has_events = true;
	if (event->kind == EVENT_ERROR)
		return fail_error(stream, "", event);
	if (stream->dialect->framing == FRAMING_NDJSON && is_first &&
		!(event->is_cut && looks_like_json(event)))
		return FRAMER_DOCUMENT;
	if (event->is_cut && looks_like_json(event)) {
		stream->is_cut = true;
		return FRAMER_GO_ON;
	}
	return looks_like_json(event) ? fail(stream, REASON_JSON_INVALID, NULL, event)
				      : fail_error(stream, "", event);
}

/* A line that is no field of SSE: an error of the server or of a proxy, or no stream at all. */
static enum framer_order take_raw(struct stream *stream, const struct event *event)
{
	if (!stream->has_events && (looks_like_json(event) || first_char(event) == '<'))
		return FRAMER_DOCUMENT;
	return fail_error(stream, "", event);
}

static enum framer_order take_document(struct stream *stream, const struct event *event)
{
	enum framing framing = (enum framing)stream->dialect->framing;
	int r = json_scan(stream->scan, event->data, event->len, &stream->found, stream->spans);
	const char *pointer = r == 0 ? error_pointer(stream) : NULL;

	if (r == 0 && (pointer || framing == FRAMING_JSON || framing == FRAMING_NDJSON))
		return take_values(stream, event);
	if (framing == FRAMING_ANY) {
		append(&stream->text, &(struct json_span){ .text = event->data, .len = event->len },
			STREAM_MAX_TEXT);
		return FRAMER_GO_ON;
	}
	if (r < 0 && framing == FRAMING_SSE && first_char(event) == '[')
		return fail_error(stream, "", event); /* "[503] The request queue is full" */
	return fail(stream, r == 0 ? REASON_PROTOCOL_ERROR : REASON_JSON_INVALID, NULL, event);
}

static bool is_blank(const struct event *event)
{
	return text_is_blank(event->data, event->len);
}

/* Behind leading blanks. */
static bool starts_with(const struct event *event, const char *text)
{
	size_t at = 0;

	while (at < event->len && event->data[at] == ' ')
		at++;
	return event->len - at >= strlen(text) && memcmp(event->data + at, text, strlen(text)) == 0;
}

enum framer_order stream_on_event(void *ctx, const struct event *event)
{
	struct stream *stream = ctx;
	const char *sentinel = stream->dialect->sentinel;
	int r;

	if (event->kind == EVENT_RAW)
		return take_raw(stream, event);
	if (event->kind == EVENT_DOCUMENT)
		return take_document(stream, event);
	if (event->kind == EVENT_DATA) {
		if (sentinel && starts_with(event, sentinel)) {
			stream->has_sentinel = true;
			return FRAMER_STOP;
		}
		/* other servers than those that need it send it too */
		if (is_blank(event) || starts_with(event, "[DONE]"))
			return FRAMER_GO_ON;
	}
	r = json_scan(stream->scan, event->data, event->len, &stream->found, stream->spans);
	if (r == 0)
		return take_values(stream, event);
	return event->is_ping ? FRAMER_GO_ON : take_no_json(stream, event);
}

/* SPDX-License-Identifier: MIT */
/*
 * A dialect over events: what is a token, what ends the answer, what is an error. Owns the text that
 * was assembled. core/framer.c cuts the bytes into events, text/jsonscan.c finds the values in
 * them, core/streamerror.c says what an error means. Called by checks/canary.c for each piece that
 * arrives.
 */
#include "modelhealth/core/stream.h"

#include "modelhealth/base/gaps.h"
#include "modelhealth/core/streamerror.h"
#include "modelhealth/core/textcheck.h"
#include "modelhealth/text/jsonscan.h"
#include "modelhealth/text/sanitise.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

enum {
	WORD_SIZE = 64,
	MODEL_SIZE = 256,
	MAX_REASONING = 4096, /* enough to see that it repeats itself */
	MAX_ERROR = 64 * 1024,
	MAX_COORDINATES = 64 * 1024 /* of an embedding; the largest models have 8,192 */
};

/* The pointers of the scan, in the order of this list. */
enum slot {
	SLOT_TEXT,
	SLOT_REASONING,
	SLOT_FINISH,
	SLOT_REQUIRE,
	SLOT_ERROR,
	SLOT_END,
	SLOT_EMBEDDING,
	SLOT_PROMPT_TOKENS,
	SLOT_COMPLETION_TOKENS,
	SLOT_MODEL,
	SLOT_TYPE,
	SLOT_OBJECT,
	SLOT_N,
};

struct range {
	size_t from, n;
};

/* The server's count of one kind of token. */
struct count {
	bool is_told;
	uint32_t n;
};

struct stream {
	const struct dialect *dialect;
	usec_t sent_at;
	usec_t now; /* of the bytes at hand */
	struct framer framer;

	struct json_scan *scan;
	const char *pointers[JSON_SCAN_MAX_POINTERS];
	size_t n_pointers;
	struct range slots[SLOT_N];
	uint64_t found; /* in the event at hand */
	struct json_span spans[JSON_SCAN_MAX_POINTERS];

	struct sbuf text, reasoning;
	size_t cumulative_len; /* of the longest text so far, as it came */
	char model[MODEL_SIZE];
	char finish[WORD_SIZE];
	uint64_t has_required; /* of SLOT_REQUIRE */
	bool is_finish_bad, has_sentinel, has_end, is_cut, has_events, is_over;
	double *embedding;
	size_t n_embedding;
	bool is_embedding_bad;

	struct count prompt, completion;
	uint32_t counted; /* events with text */
	usec_t first_token_at, last_token_at;
	struct gaps gaps;

	enum reason failure;         /* REASON_OK = none */
	const char *failure_pointer; /* of an error event; NULL = the detail is in `error` */
	struct sbuf error;
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

static void add_pointers(struct stream *stream)
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
	if (stream->dialect->framing != FRAMING_SSE && stream->dialect->framing != FRAMING_NDJSON)
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
	const struct pointers *bad = &stream->dialect->bad_finish;

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

static bool starts_with(const struct event *event, const char *text)
{
	return event->len >= strlen(text) && memcmp(event->data, text, strlen(text)) == 0;
}

static enum framer_order on_event(void *ctx, const struct event *event)
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

/* ---- life ---- */

struct stream *stream_new(const struct dialect *dialect, usec_t sent_at)
{
	struct stream *stream = calloc(1, sizeof *stream);

	if (!stream)
		return NULL;
	stream->dialect = dialect;
	stream->sent_at = sent_at;
	framer_init(&stream->framer, (enum framing)dialect->framing, on_event, stream);
	add_pointers(stream);
	stream->scan = json_scan_new(stream->pointers, stream->n_pointers);
	return stream->scan ? stream : stream_free(stream);
}

struct stream *stream_free(struct stream *stream)
{
	if (!stream)
		return NULL;
	framer_fini(&stream->framer);
	(void)json_scan_free(stream->scan); /* always NULL */
	sbuf_fini(&stream->text);
	sbuf_fini(&stream->reasoning);
	sbuf_fini(&stream->error);
	free(stream->embedding);
	free(stream);
	return NULL;
}

/* What the buffers and the framer could not take. */
static void note_limits(struct stream *stream, int r)
{
	if (stream->failure != REASON_OK)
		return;
	if (r == -ENOMEM || stream->text.failed || stream->reasoning.failed)
		stream->failure = REASON_LOCAL_MEMORY;
	else if (r == -EMSGSIZE)
		stream->failure =
			stream->framer.is_document ? REASON_BODY_TOO_LARGE : REASON_PROTOCOL_ERROR;
}

enum stream_progress stream_push(struct stream *stream, const char *data, size_t len, usec_t now)
{
	must(!stream->is_over);
	stream->now = now;
	note_limits(stream, framer_push(&stream->framer, data, len));
	if (stream->failure != REASON_OK)
		return STREAM_FAILED;
	return stream->has_sentinel || stream->has_end ? STREAM_ENDED : STREAM_MORE;
}

/* ---- what has been seen ---- */

usec_t stream_first_token_at(const struct stream *stream)
{
	return stream->first_token_at;
}

usec_t stream_last_token_at(const struct stream *stream)
{
	return stream->last_token_at;
}

const char *stream_text(const struct stream *stream, size_t *ret_len)
{
	*ret_len = stream->text.len;
	return sbuf_str(&stream->text);
}

const char *stream_model(const struct stream *stream)
{
	return stream->model[0] != '\0' ? stream->model : NULL;
}

const char *stream_finish(const struct stream *stream)
{
	return stream_has_finish(stream) ? stream->finish : NULL;
}

const double *stream_embedding(const struct stream *stream, size_t *ret_n)
{
	*ret_n = stream->n_embedding;
	return stream->embedding;
}

bool stream_has_finish(const struct stream *stream)
{
	return stream->finish[0] != '\0';
}

bool stream_has_usage(const struct stream *stream)
{
	return stream->completion.is_told || (stream->dialect->embedding && stream->prompt.is_told);
}

/* ---- the judgement ---- */

/* The server's count counts, unless it says 0 where text came. */
static void set_tokens(const struct stream *stream, struct tokens *tokens)
{
	bool is_reported =
		stream_has_usage(stream) && (stream->completion.n > 0 || stream->counted == 0);
	usec_t span = stream->last_token_at - stream->first_token_at;

	tokens->prompt = stream->prompt.n;
	tokens->completion = is_reported ? stream->completion.n : stream->counted;
	tokens->source = TOKENS_NONE;
	if (is_reported)
		tokens->source = TOKENS_REPORTED;
	else if (stream->counted > 0)
		tokens->source = TOKENS_COUNTED;
	tokens->gaps = stream->gaps.n;
	tokens->gap_mean = gaps_mean(&stream->gaps);
	tokens->gap_p95 = gaps_quantile(&stream->gaps, 95);
	tokens->gap_max = stream->gaps.max;
	tokens->per_second = 0;
	if (span > 0 && tokens->completion > 1)
		tokens->per_second = (tokens->completion - 1) * (double)USEC_PER_SEC / (double)span;
}

/* Whether a reason was set. */
static bool judge_failure(const struct stream *stream, struct result *result)
{
	const char *body = sbuf_str(&stream->error);

	if (stream->failure == REASON_OK)
		return false;
	if (stream->failure_pointer)
		stream_error_judge(&stream->dialect->stream_errors,
			&(struct stream_error){ .body = body,
				.len = stream->error.len,
				.pointer = stream->failure_pointer },
			result);
	else if (stream->failure == REASON_JSON_INVALID)
		result_set(result, stream->failure,
			stream->error.len > 0 ? "not JSON: %.100s" : "empty answer%s", body);
	else if (stream->failure == REASON_PROTOCOL_ERROR && stream->framer.error == 0)
		result_set(result, stream->failure, "no event stream but JSON: %.80s", body);
	else if (stream->failure == REASON_PROTOCOL_ERROR)
		result_set(result, stream->failure, "a line of the stream is longer than %d bytes",
			STREAM_MAX_LINE);
	else
		result_set(result, stream->failure, NULL);
	return true;
}

/* What a complete answer of a stream still lacks; NULL = nothing. */
static const char *missing_of_stream(const struct stream *stream)
{
	const struct dialect *d = stream->dialect;

	if (stream->is_cut)
		return "ends inside an event";
	if (stream->slots[SLOT_FINISH].n > 0 && !stream_has_finish(stream))
		return "ends without a finish reason";
	if (d->sentinel && !stream->has_sentinel)
		return "ends without its sentinel";
	if (stream->slots[SLOT_END].n > 0 && !stream->has_end)
		return "ends without its last event";
	if (stream->slots[SLOT_FINISH].n == 0 && stream->slots[SLOT_TEXT].n > 0 &&
		stream->counted == 0)
		return "ends without a token";
	return NULL;
}

static const char *missing_pointer(const struct stream *stream)
{
	const struct range *range = &stream->slots[SLOT_REQUIRE];

	for (size_t i = range->from; i < range->from + range->n; i++)
		if ((stream->has_required >> i & 1) == 0)
			return stream->pointers[i];
	if (stream->slots[SLOT_EMBEDDING].n > 0 && !stream->embedding)
		return stream->dialect->embedding;
	return NULL;
}

static bool judge_completeness(const struct stream *stream, struct result *result)
{
	enum framing framing = (enum framing)stream->dialect->framing;
	bool is_stream = framing == FRAMING_SSE || framing == FRAMING_NDJSON;
	const char *missing = is_stream ? missing_of_stream(stream) : NULL;

	if (missing) {
		result_set(result, REASON_STREAM_TRUNCATED, "%s, after %u tokens", missing,
			stream->counted);
		return true;
	}
	missing = missing_pointer(stream);
	if (missing && stream->is_embedding_bad)
		result_set(result, REASON_ASSERT_JSON, "%s is not a list of numbers", missing);
	else if (missing)
		result_set(result, REASON_ASSERT_JSON, "no %s in the answer", missing);
	return missing != NULL;
}

/* Whether the server says that the model itself came to its end, not to a limit. */
static bool is_ended_by_itself(const struct stream *stream)
{
	static const char *const words[] = { "stop", "end_turn", "stop_sequence", "eos",
		"eos_token", "complete", "completed" };

	for (size_t i = 0; i < array_size(words); i++)
		if (strcasecmp(stream->finish, words[i]) == 0)
			return true;
	return false;
}

/* As many tokens as the repeats need; unknown where nobody counted. */
static bool has_many_tokens(const struct stream *stream)
{
	uint32_t tokens = max_of(stream->completion.n, stream->counted);

	return tokens >= TEXTCHECK_MIN_REPEATS || (tokens == 0 && !stream->completion.is_told);
}

static void judge_text(const struct stream *stream, struct result *result)
{
	const struct sbuf *text = stream->text.len > 0 ? &stream->text : &stream->reasoning;
	const char *unit;
	size_t len, times;

	if (stream->dialect->allow_degenerate || stream->slots[SLOT_TEXT].n == 0)
		return;
	if (text_is_blank(sbuf_str(text), text->len) && is_ended_by_itself(stream))
		result_set(result, REASON_DEGENERATE_OUTPUT, "finished by itself without any text");
	else if (has_many_tokens(stream) &&
		 text_is_repetitive(sbuf_str(text), text->len, &unit, &len, &times))
		result_set(result, REASON_DEGENERATE_OUTPUT, "\"%.*s\" repeated %zu times",
			(int)len, unit, times);
}

/* Tokens may have ended inside a character; together they should be text. */
static void repair(struct sbuf *text)
{
	struct sbuf fixed = SBUF_INIT;

	if (utf8_is_valid(sbuf_str(text), text->len))
		return;
	utf8_repair(text->data, text->len, &fixed);
	if (fixed.failed) {
		sbuf_fini(&fixed);
		sbuf_clear(text);
		text->failed = true;
		return;
	}
	sbuf_fini(text);
	*text = fixed;
}

void stream_judge(struct stream *stream, struct result *result)
{
	if (!stream->is_over && stream->failure == REASON_OK)
		note_limits(stream, framer_end(&stream->framer));
	stream->is_over = true;
	repair(&stream->text);
	note_limits(stream, 0);
	set_tokens(stream, &result->tokens);
	if (stream->counted > 0)
		result_set_timing(
			result, TIMING_FIRST_TOKEN, stream->first_token_at - stream->sent_at);
	if (result->reason != REASON_OK || judge_failure(stream, result))
		return;
	if (!judge_completeness(stream, result))
		judge_text(stream, result);
}

/* SPDX-License-Identifier: MIT */
/*
 * The life of a stream and the judgement at its end. Owns the text that was assembled.
 * core/framer.c cuts the bytes into events, core/streamevents.c reads them, core/streamerror.c says
 * what an error means. Called by checks/canary.c for each piece that arrives.
 */
#include "modelhealth/core/stream.h"

#include "modelhealth/core/dialect.h"
#include "modelhealth/core/streamerror.h"
#include "modelhealth/core/textcheck.h"
#include "modelhealth/text/sanitise.h"

#include "stream_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- life ---- */

struct stream *stream_new(const struct dialect *dialect, usec_t sent_at)
{
	struct stream *stream = calloc(1, sizeof *stream);

	if (!stream)
		return NULL;
	stream->dialect = dialect;
	stream->sent_at = sent_at;
	framer_init(&stream->framer, (enum framing)dialect->framing, stream_on_event, stream);
	stream_set_pointers(stream);
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

static bool has_usage(const struct stream *stream)
{
	return stream->completion.is_told || (stream->dialect->embedding && stream->prompt.is_told);
}

/* ---- the judgement ---- */

/* The server's count counts, unless it says 0 where text came. */
static void set_tokens(const struct stream *stream, struct tokens *tokens)
{
	bool is_reported = has_usage(stream) && (stream->completion.n > 0 || stream->counted == 0);
	usec_t span = stream->last_token_at - stream->first_token_at;

	tokens->prompt = stream->prompt.n;
	tokens->completion = is_reported ? stream->completion.n : stream->counted;
	tokens->source = TOKENS_NONE;
	if (is_reported)
		tokens->source = TOKENS_REPORTED;
	else if (stream->counted > 0)
		tokens->source = TOKENS_COUNTED;
	tokens->gaps = stream->gaps.n;
	/* No gap is longer than the hour that a check may take. */
	tokens->gap_mean = (uint32_t)gaps_mean(&stream->gaps);
	tokens->gap_p95 = (uint32_t)gaps_quantile(&stream->gaps, 95);
	tokens->gap_max = (uint32_t)stream->gaps.max;
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
	if (stream->slots[SLOT_FINISH].n > 0 && !stream_has_finish(stream))
		return stream->pointers[stream->slots[SLOT_FINISH].from];
	return NULL;
}

static bool judge_completeness(const struct stream *stream, struct result *result)
{
	const char *missing = dialect_is_stream(stream->dialect) ? missing_of_stream(stream) : NULL;

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

/* Whether the server says that the model itself came to its end, not to a limit; an API without
 * finish reasons has no way to say anything else. */
static bool is_ended_by_itself(const struct stream *stream)
{
	static const char *const words[] = { "stop", "end_turn", "stop_sequence", "eos",
		"eos_token", "complete", "completed" };

	if (stream->slots[SLOT_FINISH].n == 0)
		return true;
	for (size_t i = 0; i < array_size(words); i++)
		if (strcasecmp(stream->finish, words[i]) == 0)
			return true;
	return false;
}

static bool has_many_tokens(const struct stream *stream)
{
	return max_of(stream->completion.n, stream->counted) >= TEXTCHECK_MIN_REPEATS;
}

static bool has_uncounted_tokens(const struct stream *stream)
{
	return stream->counted == 0 && !stream->completion.is_told;
}

/* White space is no answer either, but may be all of a very short one: some servers say "stop" where
 * they mean the limit. */
static bool is_empty(const struct stream *stream)
{
	const struct sbuf *text = &stream->text;
	const struct sbuf *reasoning = &stream->reasoning;

	if (!is_ended_by_itself(stream))
		return false;
	return text->len + reasoning->len == 0 ||
	       (has_many_tokens(stream) && text_is_blank(sbuf_str(text), text->len) &&
		       text_is_blank(sbuf_str(reasoning), reasoning->len));
}

static void judge_text(const struct stream *stream, struct result *result)
{
	const struct sbuf *text = stream->text.len > 0 ? &stream->text : &stream->reasoning;
	const char *unit;
	size_t len, times;

	if (stream->slots[SLOT_TEXT].n == 0)
		return;
	if (is_empty(stream))
		result_set(result, REASON_DEGENERATE_OUTPUT, "finished by itself without any text");
	else if ((has_many_tokens(stream) || has_uncounted_tokens(stream)) &&
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

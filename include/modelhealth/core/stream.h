/* SPDX-License-Identifier: MIT */
/*
 * Reads a model's answer as it comes: Server-Sent Events, NDJSON or one JSON document, cut
 * anywhere (core/framer.h). Pure: the caller hands in bytes and the time, and asks at the end what
 * it was. The same bytes give the same result however they are cut; only times differ.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/framer.h"
#include "modelhealth/core/rules.h"

enum {
	DIALECT_MAX_POINTERS = 8, /* in one list of a dialect; more are not read */
	STREAM_MAX_LINE = FRAMER_MAX_LINE,
	STREAM_MAX_TEXT = 64 * 1024, /* of the assembled answer that is kept */
};

struct pointers {
	const char *const *items; /* tried in order */
	size_t n;
};

/*
 * How one API speaks: a section of a profile's canary, `modes.<mode>`. All pointers are into the
 * JSON of one event (SSE, NDJSON) or of the document.
 */
struct dialect {
	const char *name;        /* "chat", "embeddings" … */
	const char *source;      /* as configured */
	const char *path, *body; /* templates */
	const char *method;
	uint16_t max_tokens;       /* ${max_tokens} of a check that sets none; 0 = the usual */
	int framing;               /* enum framing */
	struct pointers text;      /* of a token; the first that gives a non-empty string counts */
	struct pointers reasoning; /* the same; counts as a token but is not part of the answer */
	bool is_cumulative;        /* each text repeats all before it */
	/* of the finish reason: a value that is not null, false or ""; without one the stream ends
	 * with its bytes, and must have held at least one token */
	struct pointers finish;
	/* finish reasons that mean failure, in upper or lower case; "error" and "abort" always do */
	struct pointers bad_finish;
	const char *sentinel;                /* data that ends the stream ("[DONE]"); NULL = none */
	struct pointers require;             /* must exist and not be null (in some event) */
	const char *end_pointer, *end_value; /* the event that ends the stream; NULL = none */
	/* an event where one of them is not null, false or "" is an error, as is any whose /type or
	 * /object is "error" */
	struct pointers error;
	const char *embedding;                         /* of the numbers; NULL = a text answer */
	const char *prompt_tokens, *completion_tokens; /* of the usage; NULL = not told */
	const char *model; /* of the name of the model that answered; NULL = not told */
	/* Of an error event: status = its numeric code if it has one, json, body. Where none holds,
	 * 429, 503 and 529 are overloaded and all else is stream_error. */
	struct rules stream_errors;
};

struct stream;

/* dialect is borrowed. sent_at: monotonic, when the request went out. NULL when memory is out. */
struct stream *stream_new(const struct dialect *dialect, usec_t sent_at);
struct stream *stream_free(struct stream *stream);

enum stream_progress {
	STREAM_MORE,  /* goes on; an answer without sentinel or end event ends with its bytes */
	STREAM_ENDED, /* the sentinel or the end event came: what follows is not read */
	STREAM_FAILED, /* an error event, no protocol of ours, or no memory: what follows is not read */
};

/* Takes the next bytes, which arrived at monotonic time now. */
enum stream_progress stream_push(struct stream *stream, const char *data, size_t len, usec_t now);

/* When the first and the last event with text or reasoning came; 0 = none, as always of one
 * document. */
usec_t stream_last_token_at(const struct stream *stream);

/* What has been seen, borrowed until the next push or stream_free. */
const char *stream_text(const struct stream *stream, size_t *ret_len); /* without reasoning */
const char *stream_model(const struct stream *stream);                 /* NULL = not told */
const char *stream_finish(const struct stream *stream); /* NULL = none yet; "true" if that is all */
const double *stream_embedding(const struct stream *stream, size_t *ret_n);
bool stream_has_finish(const struct stream *stream);

/*
 * At the end of the answer, or where it broke off; nothing may be pushed after it. Fills
 * result->tokens and TIMING_FIRST_TOKEN. If the reason is OK on entry, it becomes the first that
 * applies of:
 *   protocol_error     a line beyond STREAM_MAX_LINE; a JSON document where a stream was asked for
 *   body_too_large     a document beyond FRAMER_MAX_DOCUMENT
 *   local_memory
 *   stream_error       an error event, a bad finish reason or raw text (or what stream_errors say)
 *   json_invalid       an event or a document that is not JSON, a page of HTML
 *   stream_truncated   no finish reason, no sentinel, no end event, or cut inside an event
 *   assert_json        a value is missing that the dialect requires, or a document's finish reason;
 *                      an embedding is no numbers
 *   degenerate_output  the model stopped by itself and wrote nothing, or eight tokens and more of
 *                      white space; or of as many tokens core/textcheck.h says that they repeat
 * The text is well-formed UTF-8 from here on.
 */
void stream_judge(struct stream *stream, struct result *result);

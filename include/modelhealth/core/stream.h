/* SPDX-License-Identifier: MIT */
/*
 * Reads a model's answer as it comes: Server-Sent Events, NDJSON or one JSON document, cut
 * anywhere. Pure: the caller hands in bytes and the time, and asks at the end what it was.
 *
 * SSE follows the WHATWG HTML standard, section 9.2 (LF, CR and CRLF, one BOM, comments, no space
 * after the colon, several data lines), with one addition that old llama.cpp servers need: a field
 * named `error`.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/condition.h"
#include "modelhealth/core/rules.h"

enum framing {
	FRAMING_SSE,
	FRAMING_NDJSON,
	FRAMING_JSON, /* one document, judged at its end */
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
	const char *path, *body; /* templates */
	const char *method;
	uint16_t max_tokens;       /* ${max_tokens} of a check that sets none; 0 = the usual */
	int framing;               /* enum framing */
	struct pointers text;      /* of a token; the first that gives a non-empty string counts */
	struct pointers reasoning; /* the same; counts as a token but is not part of the answer */
	bool is_cumulative;        /* each text repeats all before it */
	struct pointers finish; /* of the finish reason: a value that is neither null nor false */
	struct pointers bad_finish; /* finish reasons that mean failure ("error", "abort") */
	const char *sentinel;       /* data that ends the stream ("[DONE]"); NULL = none */
	struct pointers require;    /* must exist (in some event) */
	const char *end_pointer, *end_value; /* the event that ends the stream; NULL = none */
	struct pointers error; /* an event where one of them is not null is an error */
	const char *embedding; /* of the numbers; NULL = a text answer */
	const char *prompt_tokens, *completion_tokens; /* of the usage; NULL = not told */
	const char *model;          /* of the name of the model that answered; NULL = not told */
	struct rules stream_errors; /* of an error event: status = its numeric code, json, body */
};

enum {
	STREAM_MAX_LINE = 1024 * 1024,
	STREAM_MAX_TEXT = 64 * 1024, /* of the assembled answer that is kept */
};

struct stream;

/* dialect is borrowed. sent_at: monotonic, when the request went out. NULL when memory is out. */
struct stream *stream_new(const struct dialect *dialect, usec_t sent_at);
struct stream *stream_free(struct stream *stream);

enum stream_progress {
	STREAM_MORE,   /* goes on */
	STREAM_ENDED,  /* all that makes an answer complete has been seen: no need to wait */
	STREAM_FAILED, /* an error event, a line beyond STREAM_MAX_LINE, or no memory: stop */
};

/* Takes the next bytes, which arrived at monotonic time now. */
enum stream_progress stream_push(struct stream *stream, const char *data, size_t len, usec_t now);

/* When the first text came; 0 = not yet. The time of the last event with text. */
usec_t stream_first_token_at(const struct stream *stream);
usec_t stream_last_token_at(const struct stream *stream);

/* What has been seen, valid as long as the stream. */
const char *stream_text(const struct stream *stream, size_t *ret_len); /* without reasoning */
const char *stream_model(const struct stream *stream);                 /* NULL = not told */
const double *stream_embedding(const struct stream *stream, size_t *ret_n);
bool stream_has_finish(const struct stream *stream);
const char *stream_finish(const struct stream *stream); /* the reason told; NULL = none */

/*
 * At the end of the answer (or where it broke off): sets tokens, first-token timing and, unless
 * all is well, the reason: stream_error (or what dialect->stream_errors say), stream_truncated
 * (no finish marker, no sentinel, no end), json_invalid, degenerate_output (no text at all though
 * the server says it finished by itself, or one token repeated). result->reason is OK on entry.
 */
void stream_judge(struct stream *stream, struct result *result);

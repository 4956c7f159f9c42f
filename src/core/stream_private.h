/* SPDX-License-Identifier: MIT */
/*
 * What core/stream.c (life and judgement) and core/streamevents.c (what each event says) share.
 */
#pragma once

#include "modelhealth/base/gaps.h"
#include "modelhealth/core/stream.h"
#include "modelhealth/text/jsonscan.h"

enum {
	STREAM_WORD_SIZE = 64,
	STREAM_MODEL_SIZE = 256
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
	char model[STREAM_MODEL_SIZE];
	char finish[STREAM_WORD_SIZE];
	uint64_t has_required; /* of SLOT_REQUIRE */
	bool has_sentinel, has_end, is_cut, has_events, is_over;
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

/* Sets the pointers and slots from the dialect. */
void stream_set_pointers(struct stream *stream);

/* A framer_on_event whose ctx is the stream. */
enum framer_order stream_on_event(void *ctx, const struct event *event);

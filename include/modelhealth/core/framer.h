/* SPDX-License-Identifier: MIT */
/*
 * Cuts the bytes of a stream into events, however they were cut on their way: Server-Sent Events
 * or one JSON document per line (NDJSON).
 *
 * SSE follows the WHATWG HTML standard, section 9.2 (LF, CR and CRLF, one BOM, comments, no space
 * after the colon, several data lines), with three additions that real servers need: a field named
 * `error` (old llama.cpp) makes an error event; the last event counts without its blank line
 * (KoboldCpp); and a line that is no field is handed over instead of being ignored, since it is
 * what a dying server or a proxy writes.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

enum framing {
	FRAMING_SSE,
	FRAMING_NDJSON,
	FRAMING_JSON, /* one document, judged at its end */
	FRAMING_ANY,  /* whatever comes is the answer */
};

enum {
	FRAMER_MAX_LINE = 1024 * 1024, /* of a line, and of the data of one event */
	FRAMER_MAX_DOCUMENT = 8 * 1024 * 1024
};

enum event_kind {
	EVENT_DATA,
	EVENT_ERROR,    /* named `error`, or with the field `error` */
	EVENT_RAW,      /* a line outside the protocol */
	EVENT_DOCUMENT, /* the whole body */
};

struct event {
	enum event_kind kind;
	const char *data; /* borrowed until on_event returns; not NUL-terminated */
	size_t len;
	bool is_cut;  /* the stream ended before the event did */
	bool is_ping; /* its name says that it holds nothing */
};

enum framer_order {
	FRAMER_GO_ON,
	FRAMER_STOP,     /* hand over nothing any more */
	FRAMER_DOCUMENT, /* this was no event: hand over the body from here on, as one document */
};

typedef enum framer_order (*framer_on_event)(void *ctx, const struct event *event);

struct framer {
	enum framing framing;
	framer_on_event on_event;
	void *ctx;
	struct sbuf line; /* what came of a line that is not complete */
	struct sbuf data; /* of the event at hand; of the document */
	bool is_started;  /* the first line was seen */
	bool is_document, is_stopped;
	bool is_after_cr;                 /* a LF that follows belongs to it */
	bool has_data, is_error, is_ping; /* of the event at hand */
	int error;                        /* 0, -EMSGSIZE or -ENOMEM; sticky */
};

void framer_init(struct framer *framer, enum framing framing, framer_on_event on_event, void *ctx);
void framer_fini(struct framer *framer);

/* Takes the next bytes and calls on_event for each event that they complete. Returns 0, -EMSGSIZE
 * (a line beyond FRAMER_MAX_LINE, a document beyond FRAMER_MAX_DOCUMENT) or -ENOMEM. */
int framer_push(struct framer *framer, const char *data, size_t len);

/* The stream is over: hands over what is left. */
int framer_end(struct framer *framer);

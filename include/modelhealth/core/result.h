/* SPDX-License-Identifier: MIT */
/*
 * What one finished check says: a plain value, copied freely.
 */
#pragma once

#include "modelhealth/core/reason.h"

/* Spans of one check, each measured on its own (not from the start, but TOTAL). */
enum timing {
	TIMING_QUEUE,       /* waited for a slot here; not part of TOTAL */
	TIMING_DNS,         /* name to addresses */
	TIMING_CONNECT,     /* TCP handshake of the address that won */
	TIMING_TLS,         /* TLS handshake */
	TIMING_FIRST_BYTE,  /* request sent to first byte of the answer */
	TIMING_FIRST_TOKEN, /* request sent to the first event with text in it */
	TIMING_TRANSFER,    /* first byte to last */
	TIMING_TOTAL,       /* start to end */
	TIMING_N,
};

const char *timing_token(enum timing timing); /* "queue" … "total" */

enum {
	RESULT_DETAIL_SIZE = 120,
	RESULT_MAX_STEPS = 16,
};

/* Who counted the tokens of an answer. */
enum token_source {
	TOKENS_NONE,     /* no answer of a model */
	TOKENS_COUNTED,  /* we did: events with text */
	TOKENS_REPORTED, /* the server's own usage */
};

/* What a model's answer cost and how it came. */
struct tokens {
	enum token_source source;
	uint32_t prompt;     /* 0 = not reported */
	uint32_t completion; /* by source */
	uint32_t gaps;       /* between events with text; 0 = the next three mean nothing */
	uint32_t gap_mean, gap_p95, gap_max; /* usec */
	double per_second; /* completion tokens after the first, 0 = cannot be told */
};

/* What a server says of its own load, in our words; by bits, since none tells all. */
enum load_value {
	LOAD_RUNNING,           /* requests being worked on */
	LOAD_WAITING,           /* requests in the queue */
	LOAD_KV_USAGE,          /* of the cache for keys and values, 0 … 1 */
	LOAD_PROMPT_TOKENS,     /* counter */
	LOAD_GENERATION_TOKENS, /* counter */
	LOAD_PROGRESS,          /* counter: sum of whatever grows while work is done */
	LOAD_TTFT,              /* seconds, mean over the last two scrapes */
	LOAD_ITL,               /* seconds, mean over the last two scrapes */
	LOAD_VALUE_N,
};

const char *load_value_token(enum load_value value); /* "running" … */

/* How two scrapes in a row compare. */
enum load_motion {
	LOAD_UNKNOWN_MOTION,
	LOAD_IDLE,      /* nothing running, nothing waiting */
	LOAD_ADVANCING, /* work is being done: LOAD_PROGRESS grew */
	LOAD_FLAT,      /* has work, and LOAD_PROGRESS stands still */
};

struct server_load {
	uint32_t seen; /* bit 1u << LOAD_x: that value is known */
	double value[LOAD_VALUE_N];
	enum load_motion motion;
	bool is_full; /* something waits: another request would have to queue */
};

static inline bool load_has(const struct server_load *load, enum load_value value)
{
	return (load->seen & (1u << value)) != 0;
}

struct result {
	enum reason reason;
	enum verdict verdict; /* the reason's own, unless an assertion's severity says otherwise */
	usec_t at;            /* wall time of the end, set by the engine */
	uint32_t timed;       /* bit 1u << TIMING_x: that span happened */
	uint32_t http_status; /* 0 = none */
	uint32_t timing[TIMING_N]; /* usec; no check takes longer than an hour */
	usec_t retry_after;        /* the server asks us to wait this long; 0 = it does not */
	usec_t cert_expires_at;    /* wall time of the leaf's notAfter; 0 = no certificate seen */
	int os_errno;              /* of the failing call, 0 = none */
	int lib_err;               /* the library's code (CURLcode, ares status), 0 = none */
	uint16_t attempts;         /* tries this result took, at least 1; set by the engine */
	bool reused;               /* came over a kept connection */
	/* An inference that we broke off: the server may still be working on it. */
	bool is_abandoned;
	struct tokens tokens;
	struct server_load load;
	/* Of a scenario: how long each step took that was begun; the last one may have failed. */
	uint32_t step_usec[RESULT_MAX_STEPS];
	uint8_t n_steps;
	char detail[RESULT_DETAIL_SIZE]; /* sanitised, without secrets, may be empty */
};

/* More than fits, which only a wait for a slot can be, is cut to 71 minutes. */
static inline void result_set_timing(struct result *result, enum timing timing, usec_t usec)
{
	result->timing[timing] = (uint32_t)min_of(usec, (usec_t)UINT32_MAX);
	result->timed |= 1u << timing;
}

static inline bool result_has_timing(const struct result *result, enum timing timing)
{
	return (result->timed & (1u << timing)) != 0;
}

/* Sets reason, its verdict and a formatted detail (NULL = none), sanitised as a whole and cut to
 * size. The only way to set a reason: verdict must follow it. */
void result_set(struct result *result, enum reason reason, const char *format, ...) _printf_(3, 4);

/* Puts *** in the place of a secret that a server has repeated in what became the detail, and of the
 * beginning of one where the detail was cut. Less than four bytes are no secret. */
void result_mask(struct result *result, const char *secret);

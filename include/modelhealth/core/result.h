/* SPDX-License-Identifier: MIT */
/*
 * What one finished check says: a plain value, copied freely.
 */
#pragma once

#include "modelhealth/core/reason.h"

/* Spans of one check, each measured on its own (not from the start, but TOTAL). */
enum timing {
	TIMING_QUEUE,      /* waited for a slot here; not part of TOTAL */
	TIMING_DNS,        /* name to addresses */
	TIMING_CONNECT,    /* TCP handshake of the address that won */
	TIMING_TLS,        /* TLS handshake */
	TIMING_FIRST_BYTE, /* request sent to first byte of the answer */
	TIMING_TRANSFER,   /* first byte to last */
	TIMING_TOTAL,      /* start to end */
	TIMING_N,
};

const char *timing_token(enum timing timing); /* "queue" … "total" */

enum {
	RESULT_DETAIL_SIZE = 120
};

struct result {
	enum reason reason;
	enum verdict verdict; /* the reason's own, unless an assertion's severity says otherwise */
	usec_t at;            /* wall time of the end, set by the engine */
	uint32_t timed;       /* bit 1u << TIMING_x: that span happened */
	uint32_t http_status; /* 0 = none */
	usec_t timing[TIMING_N];
	usec_t retry_after;     /* the server asks us to wait this long; 0 = it does not */
	usec_t cert_expires_at; /* wall time of the leaf's notAfter; 0 = no certificate seen */
	int os_errno;           /* of the failing call, 0 = none */
	int lib_err;            /* the library's code (CURLcode, ares status), 0 = none */
	uint16_t attempts;      /* tries this result took, at least 1; set by the engine */
	bool reused;            /* came over a kept connection */
	char detail[RESULT_DETAIL_SIZE]; /* sanitised, without secrets, may be empty */
};

static inline void result_set_timing(struct result *result, enum timing timing, usec_t usec)
{
	result->timing[timing] = usec;
	result->timed |= 1u << timing;
}

static inline bool result_has_timing(const struct result *result, enum timing timing)
{
	return (result->timed & (1u << timing)) != 0;
}

/* Sets reason, its verdict and a formatted detail (NULL = none), sanitised as a whole and cut to
 * size. The only way to set a reason: verdict must follow it. */
void result_set(struct result *result, enum reason reason, const char *format, ...) _printf_(3, 4);

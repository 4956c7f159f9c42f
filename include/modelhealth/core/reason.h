/* SPDX-License-Identifier: MIT */
/*
 * The closed vocabulary of the product: reasons, the phase each belongs to, and verdicts.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

enum phase {
	PHASE_SCHEDULE,
	PHASE_DNS,
	PHASE_CONNECT,
	PHASE_TLS,
	PHASE_REQUEST,
	PHASE_HEADERS,
	PHASE_BODY,
	PHASE_STREAM,
	PHASE_ASSERT,
	PHASE_SERVER,
	PHASE_SELF,
	PHASE_N,
};

/* What one result says of its target, from best to worst; VERDICT_UNKNOWN says only that we could
 * not tell. */
enum verdict {
	VERDICT_UP,
	VERDICT_DEGRADED,
	VERDICT_NOT_READY,
	VERDICT_DOWN,
	VERDICT_UNKNOWN,
	VERDICT_N,
};

enum reason {
#define REASON(symbol, token, phase, verdict, transient, text, advice) REASON_##symbol,
#include "modelhealth/core/reason.def"
#undef REASON
	REASON_N,
};

struct reason_desc {
	const char *token;
	enum phase phase;
	enum verdict verdict;
	bool transient; /* worth a retry inside the same check */
	const char *text;
	const char *advice; /* what an operator does about it; keys and commands in `backticks` */
};

/* The table row; never NULL. */
const struct reason_desc *reason_desc(enum reason reason);

static inline const char *reason_token(enum reason reason)
{
	return reason_desc(reason)->token;
}

static inline enum verdict reason_verdict(enum reason reason)
{
	return reason_desc(reason)->verdict;
}

const char *phase_token(enum phase phase);
const char *verdict_token(enum verdict verdict);

/* The section REASONS of modelhealthd(8), and the tables of the operator's page. */
void reason_write_manual(struct sbuf *out);
void reason_write_markdown(struct sbuf *out);

/* The reason of a token, REASON_N when there is none. */
enum reason reason_from_token(const char *token);

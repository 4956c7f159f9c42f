/* SPDX-License-Identifier: MIT */
/*
 * What a check that talks through io/httpc keeps, and what such checks have in common: the lane
 * lives as long as the check, the transfer and the answer as long as an attempt.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/rules.h"
#include "modelhealth/io/httpc.h"

/* The first member of the kind's own state, which is probe->priv. */
struct exchange {
	struct probe *probe;
	struct http_lane *lane;
	struct http_transfer *transfer; /* NULL = idle */
	struct sbuf answer;             /* what was received, as far as the check wants to see it */
};

/* The state of a probe, zeroed and with a lane at its first use; size is that of the whole state.
 * NULL when memory is out. */
void *exchange_open(struct probe *probe, size_t size);

/* What was received, for rules to judge; valid while both are. The status is that of the result. */
struct answer exchange_answer(const struct exchange *exchange, struct http_transfer *transfer);

/* How long the header Retry-After asks us to wait; 0 = it does not. */
usec_t exchange_retry_after(const struct exchange *exchange, struct http_transfer *transfer);

/* Empties the answer. A small one keeps its memory for the next. */
void exchange_forget(struct exchange *exchange);

/* Ends an attempt that found no memory. */
void exchange_starve(struct probe *probe);

/* check_kind.cancel and check_kind.fini for kinds whose state owns nothing else. */
void exchange_cancel(struct probe *probe);
void exchange_fini(struct probe *probe);

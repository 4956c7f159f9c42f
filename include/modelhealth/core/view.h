/* SPDX-License-Identifier: MIT */
/*
 * What outputs see: the live state of every endpoint as plain data, read-only, in config order.
 * The engine owns and updates it; outputs read it between two turns and never keep pointers.
 */
#pragma once

#include "modelhealth/base/histogram.h"
#include "modelhealth/core/budget.h"
#include "modelhealth/core/evidence.h"
#include "modelhealth/core/health.h"
#include "modelhealth/core/spec.h"
#include "modelhealth/core/tally.h"
#include "modelhealth/core/window.h"

/* Of a check that asks a model. One mean gap an answer counts, not every gap. */
struct token_view {
	struct histogram first_token, inter_token;
	uint64_t prompt_total, completion_total;
};

/* Why a due check is not started. Such a slot moves no state and costs nothing. */
enum suppression {
	SUPPRESSED_NOT,
	SUPPRESSED_UNREACHABLE,  /* a cheaper check cannot reach the server */
	SUPPRESSED_NOT_READY,    /* a cheaper check says that it loads, sleeps or drains */
	SUPPRESSED_FULL,         /* its counters say that requests queue already */
	SUPPRESSED_ABANDONED,    /* it may still be computing an inference that we broke off */
	SUPPRESSED_RATE_LIMITED, /* it asked for patience (429) */
	SUPPRESSED_BUDGET,       /* the budget of tokens or requests is used up */
	SUPPRESSION_N,
};

const char *suppression_token(enum suppression suppression); /* "unreachable" …; NOT = "" */

struct check_view {
	const struct check_spec *spec;
	struct health health;
	struct window window;
	struct result last; /* valid when has_last */
	bool has_last;
	bool in_flight;
	uint16_t attempts;      /* of the running or last check */
	usec_t next_at;         /* wall time of the next planned start; 0 = none */
	uint64_t started_total; /* attempts, retries included */
	uint64_t retries_total;
	uint64_t overruns_total; /* slots that passed while a check was still in flight */
	struct trail trail;
	enum suppression suppressed; /* of the last slot; SUPPRESSED_NOT = it was started */
	uint32_t suppressed_total[SUPPRESSION_N];
	const struct spending *spending;    /* of an inference: what it has cost; NULL = is none */
	struct tally results;               /* by reason */
	struct histogram total, first_byte; /* of results that had that span */
	struct token_view *tokens;          /* owned; NULL until a model has answered */
};

struct endpoint_view {
	const struct endpoint_spec *spec;
	enum state state;
	enum reason reason;
	const struct check_view *decided_by; /* the check whose evidence decided; NULL = none */
	/* What kind of evidence decided: the tier of decided_by, or "canary" (an inference passed or
	 * failed), "counters" (the server's own), "grace" (startup_grace runs or is over), "self"
	 * (our own fault). NULL = none. */
	const char *evidence;
	struct evidence known; /* load, with its time, and what else was proved */
	usec_t since;          /* wall time */
	bool flapping;
	bool suspended;
	struct check_view **checks;
	size_t n_checks;
};

struct self_view {
	usec_t started_at;         /* wall time */
	usec_t loop_stall_max;     /* longest turn so far */
	struct histogram lateness; /* planned start to start, without waiting for slots */
	usec_t lateness_max;
	uint64_t loop_turns_total, loop_stalls_total;
	uint64_t pauses_total; /* the process stood still for more than a second */
	uint64_t log_dropped_total;
	uint64_t checks_total;      /* results settled */
	uint64_t checks_lost_total; /* kinds that never called done: our bugs */
	usec_t last_check_at;       /* wall time of the last settled result */
	unsigned in_flight;
	unsigned queued; /* due checks that wait for a slot */
	bool offline;    /* our own network is gone: states are frozen */
	bool first_round_done;
	/* configuration */
	uint64_t reloads_total, reload_failures_total;
	bool reload_ok;
	usec_t reload_at;         /* wall time of the last attempt */
	const char *reload_error; /* first error of a failed reload, NULL = none */
	/* states across processes */
	size_t state_restored; /* checks that go on where an earlier process ended */
	size_t state_dropped;  /* records that fit nothing of today, or were broken */
	uint64_t state_failures_total;
	/* status port */
	uint64_t http_requests_total, http_rejected_total;
	unsigned http_clients;
};

struct snapshot {
	usec_t now; /* wall time */
	const struct config *config;
	const struct self_view *self;
	struct endpoint_view *const *endpoints; /* in config order */
	size_t n_endpoints;
	/* by state, kept current by the engine */
	size_t n_state[STATE_N];
	uint64_t version; /* grows with every settled result and reload: the ETag */
};

struct transition {
	const struct endpoint_view *endpoint;
	enum state from, to;      /* the same only for the first reason why it is unknown */
	const struct result *why; /* NULL when no result caused it (suspend, reload) */
	const struct check_view *check;
	usec_t at;     /* wall time */
	usec_t lasted; /* time spent in `from` */
	bool first;    /* the endpoint had no state before; good news then is no news */
};

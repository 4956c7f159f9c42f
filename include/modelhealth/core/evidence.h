/* SPDX-License-Identifier: MIT */
/*
 * What the results of an endpoint's checks prove beyond the state of each: when work was last seen
 * to be done, since when a server loads, what it says of its own load. The verdict weighs these by
 * their times. Pure; all times are monotonic unless they say otherwise, 0 = never.
 */
#pragma once

#include "modelhealth/core/result.h"
#include "modelhealth/core/spec.h"

/* Of one check. A failure counts from the moment at which it was known, so that what ended later
 * proves that the server worked after it. */
struct trail {
	usec_t failing_since;     /* first of the results in a row that were not good; 0 = none */
	usec_t failing_from;      /* when the first of them was asked for, about */
	usec_t failed_at;         /* the last result that was not good */
	usec_t unreachable_since; /* first of the failures in a row to reach the server at all */
	uint16_t unreachable;     /* how many, saturating */
	bool is_not_ready;        /* said that it loads, sleeps or drains, and nothing good since */
};

/* Of an endpoint. */
struct evidence {
	usec_t first_seen;    /* by this process */
	usec_t loading_since; /* not ready since; first_seen when it was never up; 0 = it is not */
	usec_t not_ready_at;  /* the last answer that said so; what refused_is_loading makes of a
				 refused connection is none */
	usec_t canary_at;     /* an inference passed */
	usec_t canary_good_for;
	usec_t counters_at;  /* its token counters grew, and not for us alone */
	usec_t doubtful_at;  /* they grew, but an inference of ours was under way */
	usec_t load_at;      /* of `load` */
	usec_t load_seen_at; /* the same as wall time, for display */
	usec_t load_good_for;
	usec_t full_at; /* said in words that it is full: a rule of a cheap check made `overloaded` */
	usec_t full_good_for;
	struct server_load load; /* the last that was read */
	bool was_up;             /* some check but that of the load passed */
};

/* Where a server refuses connections while it loads (refused_is_loading), makes `loading` of a
 * refused one within startup_grace of the first sight (until it was up once) or of an answer that
 * said loading, asleep or draining; then true. */
bool evidence_translate(const struct evidence *evidence, const struct endpoint_spec *endpoint,
	struct result *result, usec_t now);

enum evidence_flag {
	/* An inference of ours is under way, or was broken off and may still be worked on: that the
	 * counters grew proves nothing, unless the server has more requests than that one. Where it
	 * does not tell, it is in doubt until the inference ends; without a token, it was others. */
	EVIDENCE_MAY_BE_OURS = 1u << 0,
	/* One has given tokens since the load was read before: the same, but without doubt. */
	EVIDENCE_IS_OURS = 1u << 1,
	EVIDENCE_TRANSLATED = 1u << 2, /* evidence_translate made the result */
	EVIDENCE_IS_ASKING =
		1u << 3, /* an inference of ours is under way: it may fill the server */
};

/* What a check of tier load could not find out is no failure of the server: metrics are the last
 * thing that a busy one gets round to. Makes the verdict unknown, with the reason as it is; what
 * was found out (stalled) stands. */
void evidence_excuse(const struct check_spec *spec, struct result *result);

/* Notes a settled result with a set of enum evidence_flag. */
void evidence_note(struct evidence *evidence, struct trail *trail, const struct check_spec *spec,
	const struct result *result, unsigned flags, usec_t now);

/* Whether an inference passed, or the counters grew, after `since`, and not too long ago: a proof
 * lasts until the check that gave it would itself be decided (canary: fall intervals and its
 * timeout) or has had to be renewed twice (load). */
bool evidence_canary_since(const struct evidence *evidence, usec_t since, usec_t now);
bool evidence_counters_since(const struct evidence *evidence, usec_t since, usec_t now);

/* How long what a check saw of the server's load counts. */
usec_t evidence_lifetime(const struct check_spec *spec);

/* Whether the server said in words that it is full, as evidence_counters_since does of counters. */
bool evidence_full_since(const struct evidence *evidence, usec_t since, usec_t now);

/* Whether the result is such words: of a check of tier load, or a good answer of a cheaper one. That
 * a cheaper one was refused says only that it was. */
bool evidence_is_full(const struct check_spec *spec, const struct result *result);

/* Whether `load` still says how things are. */
bool evidence_load_is_fresh(const struct evidence *evidence, usec_t now);

/* Whether the model answered this result's question, or began to. */
bool evidence_gave_tokens(const struct result *result);

/* Whether the result is a failure to reach the server at all: name, connection, TLS. */
bool evidence_is_unreachable(const struct result *result);

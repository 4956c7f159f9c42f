/* SPDX-License-Identifier: MIT */
/*
 * What scrapes in a row say of a server: whether it is idle, works, stands still, or has been over
 * its limits for too long. Pure: time is a parameter.
 */
#pragma once

#include "modelhealth/core/check.h"
#include "modelhealth/core/loadroles.h"
#include "modelhealth/core/result.h"

/* A value above this in every scrape for that long is overload. */
struct load_limit {
	double above;
	usec_t lasting;
};

struct load_limits {
	struct load_limit waiting, kv_usage;
};

extern const struct conf_key load_limit_keys[]; /* `overloaded:`, into struct load_limits */

/* The state between scrapes; zeroed at the start. */
struct load_watch {
	usec_t last_at; /* monotonic, of the last good scrape; 0 = none */
	struct load_scrape last;
	usec_t flat_since;    /* first scrape with work and the progress of now; 0 = no such */
	usec_t waiting_since; /* first scrape above the limit; 0 = below */
	usec_t kv_since;
};

struct load_rules {
	const struct load_limits *limits;
	usec_t stall_after;
	usec_t gap_max; /* good scrapes further apart than this do not belong together */
};

/* What lies before this time (our process stood still) proves nothing: the clocks start again. */
void load_watch_restart(struct load_watch *watch);

/*
 * Takes a scrape made at monotonic time now. Fills result->load, and sets stalled or overloaded
 * where they hold; the result is REASON_OK on entry. A counter that fell means that the server
 * started anew, which is neither progress nor a stall. False when the scrape holds nothing of the
 * roles; the watch stays as it is then.
 */
bool load_watch_step(struct load_watch *watch, const struct load_rules *rules,
	const struct load_scrape *scrape, usec_t now, struct result *result);

/* What must not be forgotten when the process ends, and a watch that goes on from it: where
 * progress stood, and the clocks that run. Zeros make a watch that has seen nothing. */
void load_watch_keep(const struct load_watch *watch, struct memory *ret_memory);
void load_watch_recall(struct load_watch *watch, const struct memory *memory);

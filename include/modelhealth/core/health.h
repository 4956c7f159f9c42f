/* SPDX-License-Identifier: MIT */
/*
 * From results to a state: hysteresis with rise and fall in one integer (as HAProxy's
 * check->health), and flap detection over 20 weighted samples (as Icinga 2).
 */
#pragma once

#include "modelhealth/core/result.h"

enum state {
	STATE_UP,
	STATE_DEGRADED,
	STATE_NOT_READY,
	STATE_DOWN,
	STATE_UNKNOWN,
	STATE_SUSPENDED,
	STATE_N,
};

const char *state_token(enum state state);

/* The state of a token, STATE_N when there is none. */
enum state state_from_token(const char *token);

/* What the first result after start does. */
enum health_init {
	HEALTH_INIT_FIRST_RESULT, /* decides at once */
	HEALTH_INIT_UP,           /* assumed up until `fall` failures */
	HEALTH_INIT_DOWN,         /* assumed down until `rise` successes */
};

struct health_conf {
	uint16_t rise, fall; /* results in a row that move down -> up, up -> down */
	uint16_t degraded_rise, degraded_fall; /* the same between up and degraded */
	uint16_t unknown_after; /* unknown results in a row that hide the state; 0 = fall */
	enum health_init init;
};

enum {
	FLAP_SAMPLES = 20
};

struct health {
	enum state state;
	enum reason reason; /* of the result that decided the state */
	usec_t since;       /* wall time of the last change of state; 0 = never checked */
	uint16_t level;     /* 0 … rise + fall - 1; at least rise = alive */
	uint16_t
		degraded_level; /* the same over degraded_rise and degraded_fall; alive = not degraded */
	uint16_t good, bad;    /* known results in a row, saturating */
	uint16_t unknown;      /* unknown results in a row, saturating */
	uint32_t flap_history; /* bit 0 = newest sample: this verdict differs from the one before */
	enum verdict last_known; /* verdict of the last known result */
	enum verdict last_bad;   /* verdict of the last known result that was bad */
	bool flapping;
	bool decided; /* has had a known result */
};

void health_init(struct health *health, const struct health_conf *conf);

/* Begins anew after a time without results in which the server may have become another: what was
 * bad is forgotten, so that the next result decides at once. A good state stays, and the history of
 * flapping too. */
void health_forget(struct health *health, const struct health_conf *conf);

/* Fits a state to changed rise and fall: the state stays, the streak is cut to the new size. */
void health_rescale(
	struct health *health, const struct health_conf *from, const struct health_conf *to);

enum health_event {
	HEALTH_STEADY = 0,
	HEALTH_CHANGED = 1u << 0, /* state is another */
	HEALTH_FLAPPING_STARTED = 1u << 1,
	HEALTH_FLAPPING_STOPPED = 1u << 2,
};

/*
 * Takes one result at wall time now. Unknown results move no counter of the target: the state
 * becomes unknown only when the endpoint was never known, or when unknown_after unknowns came in a row;
 * the hysteresis below is kept and speaks again with the next good result, or when failures have
 * made it say down.
 * Returns a set of enum health_event.
 */
unsigned health_step(struct health *health, const struct health_conf *conf,
	const struct result *result, usec_t now);

/* Whether a change is under way (a streak against the state): the time for fast_interval. */
bool health_is_pending(const struct health *health, const struct health_conf *conf);

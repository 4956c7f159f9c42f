/* SPDX-License-Identifier: MIT */
/*
 * The state machine of one check. Two hystereses: alive or not (`level`), and, while alive,
 * degraded or not (`degraded_level`). Each is one integer as HAProxy counts it: a failure takes
 * one off, and falling below `rise` empties it; a success adds one, and reaching `rise` fills it.
 */
#include "modelhealth/core/health.h"

#include <assert.h>
#include <string.h>

static const char *const states[] = {
	[STATE_UP] = "up",
	[STATE_DEGRADED] = "degraded",
	[STATE_NOT_READY] = "not_ready",
	[STATE_DOWN] = "down",
	[STATE_UNKNOWN] = "unknown",
	[STATE_SUSPENDED] = "suspended",
};
static_assert(array_size(states) == STATE_N, "one token per state");

/* Icinga's defaults: flapping starts above 30 % weighted changes and ends at 25 %. */
enum {
	FLAP_HIGH_PERCENT = 30,
	FLAP_LOW_PERCENT = 25
};

const char *state_token(enum state state)
{
	must(state < STATE_N);
	return states[state];
}

enum state state_from_token(const char *token)
{
	enum state state = 0;

	while (state < STATE_N && strcmp(states[state], token) != 0)
		state++;
	return state;
}

static uint16_t full(uint16_t rise, uint16_t fall)
{
	return (uint16_t)(rise + fall - 1);
}

static void step_level(uint16_t *level, uint16_t rise, uint16_t fall, bool good)
{
	if (good) {
		if (*level < full(rise, fall))
			(*level)++;
		if (*level >= rise)
			*level = full(rise, fall);
	} else {
		if (*level > 0)
			(*level)--;
		if (*level < rise)
			*level = 0;
	}
}

void health_init(struct health *health, const struct health_conf *conf)
{
	bool assumed_up = conf->init != HEALTH_INIT_DOWN;

	*health = (struct health){
		.state = STATE_UNKNOWN,
		.reason = REASON_NEVER_CHECKED,
		.level = assumed_up ? full(conf->rise, conf->fall) : 0,
		.degraded_level = full(conf->degraded_rise, conf->degraded_fall),
	};
	if (conf->init != HEALTH_INIT_FIRST_RESULT)
		health->state = assumed_up ? STATE_UP : STATE_DOWN;
}

void health_forget(struct health *health, const struct health_conf *conf)
{
	struct health old = *health;

	if (!old.decided || old.state == STATE_UP || old.state == STATE_DEGRADED)
		return;
	health_init(health, conf);
	health->flap_history = old.flap_history;
	health->flapping = old.flapping;
}

/* Alive keeps the failures that it had in a row, dead the successes. */
static uint16_t rescale(
	uint16_t level, uint16_t rise, uint16_t fall, uint16_t new_rise, uint16_t new_fall)
{
	if (level < rise)
		return min_of(level, (uint16_t)(new_rise - 1));
	return (uint16_t)(full(new_rise, new_fall) -
			  min_of(full(rise, fall) - level, new_fall - 1));
}

void health_rescale(
	struct health *health, const struct health_conf *from, const struct health_conf *to)
{
	health->level = rescale(health->level, from->rise, from->fall, to->rise, to->fall);
	health->degraded_level = rescale(health->degraded_level, from->degraded_rise,
		from->degraded_fall, to->degraded_rise, to->degraded_fall);
}

static bool is_good(enum verdict verdict)
{
	return verdict == VERDICT_UP || verdict == VERDICT_DEGRADED;
}

/* The state that the two levels and the last bad verdict stand for. */
static enum state known_state(const struct health *health, const struct health_conf *conf)
{
	if (health->level < conf->rise)
		return health->last_bad == VERDICT_NOT_READY ? STATE_NOT_READY : STATE_DOWN;
	/* A failure after a time in which we could not tell is no news of being alive. */
	if (health->state == STATE_UNKNOWN && health->bad > 0)
		return STATE_UNKNOWN;
	return health->degraded_level < conf->degraded_rise ? STATE_DEGRADED : STATE_UP;
}

static void count_up(uint16_t *counter)
{
	if (*counter < UINT16_MAX)
		(*counter)++;
}

/* Icinga's weights: the oldest of 20 samples counts 0.8, the newest 1.18. In hundredths of a
 * sample, so that nothing is rounded before it is compared. */
static unsigned flap_weight(uint32_t history)
{
	unsigned sum = 0;

	for (unsigned age = 0; age < FLAP_SAMPLES; age++)
		if (history & (1u << age))
			sum += 80 + 2 * (FLAP_SAMPLES - 1 - age);
	return sum;
}

static unsigned step_flapping(struct health *health, enum verdict verdict)
{
	bool differs = health->decided && verdict != health->last_known;
	uint32_t mask = (1u << FLAP_SAMPLES) - 1;
	unsigned weight;

	health->flap_history = ((health->flap_history << 1) | (differs ? 1u : 0u)) & mask;
	weight = flap_weight(health->flap_history);
	if (!health->flapping && weight > FLAP_HIGH_PERCENT * FLAP_SAMPLES) {
		health->flapping = true;
		return HEALTH_FLAPPING_STARTED;
	}
	if (health->flapping && weight <= FLAP_LOW_PERCENT * FLAP_SAMPLES) {
		health->flapping = false;
		return HEALTH_FLAPPING_STOPPED;
	}
	return HEALTH_STEADY;
}

static void step_levels(struct health *health, const struct health_conf *conf, enum verdict verdict)
{
	bool good = is_good(verdict);

	if (!health->decided && conf->init == HEALTH_INIT_FIRST_RESULT) {
		health->level = good ? full(conf->rise, conf->fall) : 0;
		health->degraded_level = verdict == VERDICT_DEGRADED
						 ? 0
						 : full(conf->degraded_rise, conf->degraded_fall);
		return;
	}
	step_level(&health->level, conf->rise, conf->fall, good);
	if (good)
		step_level(&health->degraded_level, conf->degraded_rise, conf->degraded_fall,
			verdict == VERDICT_UP);
}

static unsigned step_known(
	struct health *health, const struct health_conf *conf, enum verdict verdict)
{
	unsigned events = step_flapping(health, verdict);

	step_levels(health, conf, verdict);
	health->unknown = 0;
	if (is_good(verdict)) {
		count_up(&health->good);
		health->bad = 0;
	} else {
		count_up(&health->bad);
		health->good = 0;
		health->last_bad = verdict;
	}
	health->last_known = verdict;
	health->decided = true;
	return events;
}

/* A reason explains a state only when a single result like it would lead there. */
static bool explains(enum verdict verdict, enum state state)
{
	static const enum state of_verdict[] = {
		[VERDICT_UP] = STATE_UP,
		[VERDICT_DEGRADED] = STATE_DEGRADED,
		[VERDICT_NOT_READY] = STATE_NOT_READY,
		[VERDICT_DOWN] = STATE_DOWN,
		[VERDICT_UNKNOWN] = STATE_UNKNOWN,
	};

	static_assert(array_size(of_verdict) == VERDICT_N, "one state per verdict");

	return of_verdict[verdict] == state;
}

unsigned health_step(struct health *health, const struct health_conf *conf,
	const struct result *result, usec_t now)
{
	enum verdict verdict = result->verdict;
	enum state old = health->state;
	unsigned unknown_after = conf->unknown_after > 0 ? conf->unknown_after : conf->fall;
	unsigned events = HEALTH_STEADY;

	if (verdict == VERDICT_UNKNOWN) {
		count_up(&health->unknown);
		if (!health->decided || health->unknown >= unknown_after)
			health->state = STATE_UNKNOWN;
	} else {
		events = step_known(health, conf, verdict);
		health->state = known_state(health, conf);
	}
	if (health->state != old || health->since == 0) {
		health->since = now;
		health->reason = result->reason;
	}
	if (explains(verdict, health->state))
		health->reason = result->reason;
	return events | (health->state != old ? HEALTH_CHANGED : HEALTH_STEADY);
}

static bool is_between(uint16_t level, uint16_t rise, uint16_t fall)
{
	return level != 0 && level != full(rise, fall);
}

bool health_is_pending(const struct health *health, const struct health_conf *conf)
{
	if (!health->decided || (health->unknown > 0 && health->state != STATE_UNKNOWN))
		return true;
	return is_between(health->level, conf->rise, conf->fall) ||
	       (health->level >= conf->rise && is_between(health->degraded_level,
						       conf->degraded_rise, conf->degraded_fall));
}

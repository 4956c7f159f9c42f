/* SPDX-License-Identifier: MIT */
/*
 * Checks that are asked for from outside, ahead of their schedule: tier by tier, so that a dead host
 * costs no tokens. engine.c tells when one of them has ended.
 */
#include "private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const usec_t ask_interval = USEC_PER_SEC;

static int compare_endpoint_name(const void *key, const void *element)
{
	const struct endpoint *const *endpoint = element;

	return strcmp(key, (*endpoint)->view.spec->name);
}

/* The cheapest tier that waits, or TIER_N; TIER_N also while some of those asked are under way. */
static enum tier next_tier(const struct endpoint *endpoint)
{
	enum tier tier = TIER_N;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check *check = endpoint->checks[i];

		if (check->asked == ASKED_UNDER_WAY)
			return TIER_N;
		if (check->asked == ASKED_WAITING)
			tier = min_of(tier, check->view.spec->tier);
	}
	return tier;
}

/* Starts the checks of a tier that were asked for and do not run anyway. */
static void start_tier(struct engine *engine, struct endpoint *endpoint, enum tier tier)
{
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		struct check *check = endpoint->checks[i];

		if (check->asked != ASKED_WAITING || check->view.spec->tier != tier)
			continue;
		check->asked = ASKED_UNDER_WAY;
		if (check->phase == CHECK_IDLE)
			schedule_enqueue(engine, check);
	}
}

/* From cheap to dear, so that a dead host costs no tokens. What a tier does may end at once, or
 * call this again: hence the loop looks anew each time. */
static void start_asked(struct engine *engine, struct endpoint *endpoint)
{
	enum tier tier;

	while ((tier = next_tier(endpoint)) != TIER_N)
		start_tier(engine, endpoint, tier);
}

void engine_end_asked(struct engine *engine, struct check *check)
{
	if (check->asked != ASKED_UNDER_WAY)
		return;
	check->asked = ASKED_NOT;
	start_asked(engine, check->endpoint);
}

int engine_check_now(struct engine *engine, const char *endpoint_name)
{
	struct endpoint **found = NULL;
	struct endpoint *endpoint;
	usec_t now = engine->timers->now;

	if (engine->n_endpoints > 0)
		found = bsearch(endpoint_name, engine->by_name, engine->n_endpoints,
			sizeof engine->by_name[0], compare_endpoint_name);
	if (!found)
		return -ENOENT;
	endpoint = *found;
	if (endpoint->asked_at != 0 && now < endpoint->asked_at + ask_interval)
		return -EBUSY;
	endpoint->asked_at = now;
	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (endpoint->checks[i]->asked == ASKED_NOT)
			endpoint->checks[i]->asked = ASKED_WAITING;
	start_asked(engine, endpoint);
	return 0;
}

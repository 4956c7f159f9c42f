/* SPDX-License-Identifier: MIT */
/*
 * Whether monitoring moves, which is what the watchdog is told. Looks at every check, but only after
 * a time in which none was settled.
 */
#include "private.h"

/* Lateness that no load of ours explains while nothing else is settled either. */
static const usec_t overdue_slack = 10 * USEC_PER_SEC;

static usec_t time_of(const struct timer *timer)
{
	return timer_is_set(timer) ? timer->at : 0;
}

/* When a check has to move on its own; USEC_NEVER while it is another's turn to move. */
static usec_t due_at(const struct engine *engine, const struct check *check)
{
	const struct host *host = check->endpoint->host;
	const struct limits *limits = &engine->config->limits;

	switch (check->phase) {
	case CHECK_IDLE:
		return time_of(&check->slot);
	case CHECK_QUEUED:
		if (check->waits_for)
			return time_of(&check->attempt);
		if (check->is_parked || engine->self.in_flight >= limits->concurrency ||
			host->running >= host->per_host)
			return USEC_NEVER; /* those who run have deadlines */
		return max_of(time_of(&host->token), check->queued_at);
	case CHECK_DONE:
		return check->settle.is_queued ? USEC_NEVER : 0;
	case CHECK_RUNNING:
	case CHECK_BACKOFF:
		break;
	}
	return time_of(&check->attempt);
}

/* Silence alone proves nothing: a server may ask for an hour of patience, a limit may allow one
 * check a day. It is the end of progress when something should have moved and did not. */
static bool is_anything_overdue(const struct engine *engine)
{
	const struct timers *timers = engine->timers;

	for (size_t i = 0; i < engine->n_endpoints; i++) {
		const struct endpoint *endpoint = engine->endpoints[i];

		for (size_t j = 0; j < endpoint->n_checks; j++) {
			usec_t due =
				max_of(due_at(engine, endpoint->checks[j]), timers->paused_until);

			if (timers->now > due && timers->now - due > overdue_slack)
				return true;
		}
	}
	return false;
}

bool engine_is_progressing(const struct engine *engine)
{
	usec_t last = max_of(engine->settled_at, engine->applied_at);

	return engine->timers->now - last <= overdue_slack || !is_anything_overdue(engine);
}

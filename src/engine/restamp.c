/* SPDX-License-Identifier: MIT */
/*
 * The wall clock was set. Nothing is scheduled by it, but what is shown is: without this an endpoint
 * that has been up for an hour would be "up for a year" when a host learns the date after its start.
 * So all that was stamped moves with the clock, as if it had always been right; ages stay true.
 */
#include "private.h"

/* 0 = never, and stays. */
static void shift(usec_t *at, int64_t by)
{
	if (*at != 0)
		*at = by < 0 && *at <= (usec_t)-by ? 1 : *at + (usec_t)by;
}

static void shift_check(struct check_view *view, int64_t by)
{
	shift(&view->health.since, by);
	shift(&view->next_at, by);
	shift(&view->last.at, by);
	for (size_t i = 0; i < view->window.n_failures; i++)
		shift(&view->window.failures[i].at, by);
}

void engine_shift_times(struct engine *engine, int64_t by)
{
	shift(&engine->self.started_at, by);
	shift(&engine->self.last_check_at, by);
	shift(&engine->self.reload_at, by);
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		struct endpoint *endpoint = engine->endpoints[i];

		shift(&endpoint->view.since, by);
		shift(&endpoint->view.known.load_seen_at, by);
		for (size_t j = 0; j < endpoint->n_checks; j++)
			shift_check(&endpoint->checks[j]->view, by);
	}
	engine->snapshot.version++;
}

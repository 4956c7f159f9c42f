/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/verdict.h"

/* Rows of the verdict table, worst first: the first state that some check is in decides. What we
 * know to be broken outweighs what we cannot tell; what we cannot tell outweighs good news. */
static const enum state rows[] = {
	STATE_DOWN,
	STATE_NOT_READY,
	STATE_DEGRADED,
	STATE_UNKNOWN,
	STATE_UP,
};

static bool has_evidence(const struct check_view *check)
{
	return check->health.decided || check->health.since != 0;
}

/* The check in this state whose tier is cheapest: it is nearest to the cause. */
static const struct check_view *find_check(const struct endpoint_view *endpoint, enum state state)
{
	const struct check_view *found = NULL;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check_view *check = endpoint->checks[i];

		if (!has_evidence(check) || check->health.state != state)
			continue;
		if (!found || check->spec->tier < found->spec->tier)
			found = check;
	}
	return found;
}

static void decide(struct endpoint_view *endpoint, enum state state, enum reason reason,
	const struct check_view *by)
{
	endpoint->state = state;
	endpoint->reason = reason;
	endpoint->decided_by = by;
}

void verdict_decide(struct endpoint_view *endpoint)
{
	endpoint->flapping = false;
	for (size_t i = 0; i < endpoint->n_checks; i++)
		endpoint->flapping |= endpoint->checks[i]->health.flapping;
	if (endpoint->suspended) {
		decide(endpoint, STATE_SUSPENDED, REASON_OK, NULL);
		return;
	}
	for (size_t i = 0; i < array_size(rows); i++) {
		const struct check_view *check = find_check(endpoint, rows[i]);

		if (check) {
			decide(endpoint, rows[i], check->health.reason, check);
			return;
		}
	}
	/* No evidence at all: what `init` assumes, else never checked. */
	if (endpoint->n_checks > 0)
		decide(endpoint, endpoint->checks[0]->health.state, REASON_NEVER_CHECKED, NULL);
	else
		decide(endpoint, STATE_UNKNOWN, REASON_NEVER_CHECKED, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The verdict table of verdict.h. A row is a question to one check; all that weighs evidence
 * against evidence is a matter of times.
 */
#include "modelhealth/core/verdict.h"

#include <assert.h>

static const char *const suppressions[] = {
	[SUPPRESSED_NOT] = "",
	[SUPPRESSED_UNREACHABLE] = "unreachable",
	[SUPPRESSED_NOT_READY] = "not_ready",
	[SUPPRESSED_FULL] = "full",
	[SUPPRESSED_ABANDONED] = "abandoned",
	[SUPPRESSED_RATE_LIMITED] = "rate_limited",
	[SUPPRESSED_BUDGET] = "budget",
};
static_assert(array_size(suppressions) == SUPPRESSION_N, "one token per suppression");

const char *suppression_token(enum suppression suppression)
{
	must(suppression < SUPPRESSION_N);
	return suppressions[suppression];
}

/* ---- what a check says ---- */

/* A question of a row. */
typedef bool (*question_fn)(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now);

static bool has_evidence(const struct check_view *check)
{
	return check->health.decided || check->health.since != 0;
}

static bool is_one_of(enum reason reason, const enum reason *reasons, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (reasons[i] == reason)
			return true;
	return false;
}

static bool canary_since(const struct endpoint_view *endpoint, usec_t since, usec_t now)
{
	return evidence_canary_since(&endpoint->known, since, now);
}

/* Good again, and a dearer tier has proved it before `rise` could. */
static bool is_proved(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->trail.failing_since == 0 && check->spec->tier < TIER_CANARY &&
	       canary_since(endpoint, check->trail.failed_at, now);
}

/* Since when nothing that the server did counts any more. */
static usec_t failing_since(const struct check_view *check)
{
	const struct trail *trail = &check->trail;

	return trail->unreachable >= check->spec->health.fall ? trail->unreachable_since
							      : trail->failing_since;
}

/* ---- the questions ---- */

static bool is_our_fault(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	static const enum reason ours[] = {
		REASON_LOCAL_FDS,
		REASON_LOCAL_MEMORY,
		REASON_LOCAL_NETWORK,
		REASON_LOCAL_PORTS,
	};

	return check->health.state == STATE_UNKNOWN && check->spec->tier != TIER_LOAD &&
	       is_one_of(check->health.reason, ours, array_size(ours)) &&
	       !canary_since(endpoint, failing_since(check), now);
}

/* It worked for others when it was looked at last, and has not been looked at since a first
 * question of ours failed: the next look tells. */
static bool may_still_work(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	const struct evidence *known = &endpoint->known;

	return check->health.bad <= 1 && known->counters_at != 0 &&
	       known->counters_at == known->load_at && evidence_load_is_fresh(known, now);
}

/* The canary's own kind of failure that many requests before it would cause as well. */
static bool is_waiting(const struct check_view *check)
{
	static const enum reason waiting[] = {
		REASON_TIMEOUT_HEADERS,
		REASON_TIMEOUT_FIRST_TOKEN,
		REASON_TIMEOUT_TOTAL,
	};

	return is_one_of(check->health.reason, waiting, array_size(waiting));
}

static bool has_only_waited(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return is_waiting(check) &&
	       (evidence_counters_since(&endpoint->known, check->trail.failing_from, now) ||
		       may_still_work(endpoint, check, now));
}

/* The same for a server without counters that says in words that it is full. */
static bool is_in_queue(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return is_waiting(check) &&
	       evidence_full_since(&endpoint->known, check->trail.failing_from, now);
}

static bool is_canary_down(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->spec->tier == TIER_CANARY && check->health.state == STATE_DOWN &&
	       !has_only_waited(endpoint, check, now) && !is_in_queue(endpoint, check, now);
}

/* transport, live, ready, models: what the server says of itself, without its counters. */
static bool is_cheap_down(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->spec->tier < TIER_LOAD && check->health.state == STATE_DOWN &&
	       !is_proved(endpoint, check, now);
}

static bool can_be_disproved(const struct check_view *check)
{
	return check->trail.failing_since != 0 &&
	       (check->spec->tier != TIER_MODELS ||
		       reason_desc(check->health.reason)->phase != PHASE_ASSERT);
}

static bool is_busy_by_canary(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return is_cheap_down(endpoint, check, now) && can_be_disproved(check) &&
	       canary_since(endpoint, failing_since(check), now);
}

static bool is_busy_by_counters(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	if (check->health.state != STATE_DOWN)
		return false;
	if (check->spec->tier == TIER_CANARY)
		return has_only_waited(endpoint, check, now);
	return is_cheap_down(endpoint, check, now) && can_be_disproved(check) &&
	       evidence_counters_since(&endpoint->known, failing_since(check), now);
}

static bool is_not_ready(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->spec->tier != TIER_LOAD && check->health.state == STATE_NOT_READY &&
	       !is_proved(endpoint, check, now);
}

static bool is_in_grace(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return is_not_ready(endpoint, check, now) &&
	       now - endpoint->known.loading_since <= endpoint->spec->startup_grace;
}

static bool is_stalled(_unused_ const struct endpoint_view *endpoint,
	const struct check_view *check, _unused_ usec_t now)
{
	return check->spec->tier == TIER_LOAD && check->health.state == STATE_DOWN;
}

static bool is_degraded(_unused_ const struct endpoint_view *endpoint,
	const struct check_view *check, _unused_ usec_t now)
{
	return check->health.state == STATE_DEGRADED;
}

static bool cannot_tell(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->health.state == STATE_UNKNOWN && check->spec->tier != TIER_LOAD &&
	       check->health.reason != REASON_FEATURE_OFF &&
	       (check->spec->tier == TIER_CANARY ||
		       !canary_since(endpoint, failing_since(check), now));
}

static bool is_canary_up(
	const struct endpoint_view *endpoint, const struct check_view *check, usec_t now)
{
	return check->spec->tier == TIER_CANARY && check->health.state == STATE_UP &&
	       canary_since(endpoint, 0, now);
}

static bool is_up(_unused_ const struct endpoint_view *endpoint, const struct check_view *check,
	_unused_ usec_t now)
{
	return check->health.state == STATE_UP;
}

/* A failed scrape, or a feature that is off, when there is nothing better. */
static bool is_unknown(_unused_ const struct endpoint_view *endpoint,
	const struct check_view *check, _unused_ usec_t now)
{
	return check->health.state == STATE_UNKNOWN || check->health.state == STATE_NOT_READY;
}

/* ---- the table ---- */

/* REASON_N = the check's own; evidence NULL = its tier. */
static const struct row {
	question_fn holds;
	enum state state;
	enum reason reason;
	const char *evidence;
} rows[] = {
	{ is_our_fault, STATE_UNKNOWN, REASON_N, "self" },
	{ is_canary_down, STATE_DOWN, REASON_N, "canary" },
	{ is_busy_by_canary, STATE_DEGRADED, REASON_OVERLOADED, "canary" },
	{ is_busy_by_counters, STATE_DEGRADED, REASON_OVERLOADED, "counters" },
	{ is_in_grace, STATE_NOT_READY, REASON_N, "grace" },
	{ is_not_ready, STATE_DOWN, REASON_LOADING_TOO_LONG, "grace" },
	{ is_stalled, STATE_DOWN, REASON_N, "counters" },
	{ is_cheap_down, STATE_DOWN, REASON_N, NULL },
	{ is_degraded, STATE_DEGRADED, REASON_N, NULL },
	{ cannot_tell, STATE_UNKNOWN, REASON_N, NULL },
	{ is_canary_up, STATE_UP, REASON_N, "canary" },
	{ is_up, STATE_UP, REASON_N, NULL },
	{ is_unknown, STATE_UNKNOWN, REASON_N, NULL },
};

static const struct check_view *find_check(
	const struct endpoint_view *endpoint, question_fn holds, usec_t now)
{
	const struct check_view *found = NULL;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check_view *check = endpoint->checks[i];

		if (!has_evidence(check) || !holds(endpoint, check, now))
			continue;
		if (!found || check->spec->tier < found->spec->tier)
			found = check;
	}
	return found;
}

static void decide(struct endpoint_view *endpoint, enum state state, enum reason reason,
	const struct check_view *by, const char *evidence)
{
	endpoint->state = state;
	endpoint->reason = reason;
	endpoint->decided_by = by;
	endpoint->evidence = evidence;
}

static void decide_by_row(
	struct endpoint_view *endpoint, const struct row *row, const struct check_view *check)
{
	decide(endpoint, row->state, row->reason == REASON_N ? check->health.reason : row->reason,
		check, row->evidence ? row->evidence : tier_token(check->spec->tier));
}

static void look_over_checks(struct endpoint_view *endpoint)
{
	bool is_loading = false;

	endpoint->flapping = false;
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		endpoint->flapping |= endpoint->checks[i]->health.flapping;
		is_loading |= endpoint->checks[i]->trail.is_not_ready ||
			      endpoint->checks[i]->health.state == STATE_NOT_READY;
	}
	if (!is_loading)
		endpoint->known.loading_since = 0;
}

void verdict_decide(struct endpoint_view *endpoint, usec_t now)
{
	look_over_checks(endpoint);
	if (endpoint->suspended) {
		decide(endpoint, STATE_SUSPENDED, REASON_OK, NULL, NULL);
		return;
	}
	for (size_t i = 0; i < array_size(rows); i++) {
		const struct check_view *check = find_check(endpoint, rows[i].holds, now);

		if (!check)
			continue;
		decide_by_row(endpoint, &rows[i], check);
		return;
	}
	/* No evidence at all: what `init` assumes, else never checked. */
	decide(endpoint, endpoint->n_checks > 0 ? endpoint->checks[0]->health.state : STATE_UNKNOWN,
		REASON_NEVER_CHECKED, NULL, NULL);
}

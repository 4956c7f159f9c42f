/* SPDX-License-Identifier: MIT */
/*
 * What must not be asked now. The ladder: no dear check of a server that a cheaper one cannot reach
 * or that says it is not ready. First, do no harm: one inference a host at a time, none while its
 * counters show it full, none on top of one that we broke off, none that a budget or a 429 forbids.
 * A monitor that ignores these takes down what it watches.
 *
 * A server that listens but is slow or answers 5xx still gets its inference: that is what tells a
 * busy server from a dead one.
 *
 * How `fall` is reached all the same: one inference that was broken off delays the next until the
 * server's counters have shown it idle or advancing; where they show neither, the load check calls
 * it stalled. Without counters the next one waits for any answer of the server; where none comes,
 * live or ready call it down once they are not excused any more (max_echo). Where answers come, the
 * interval is kept until the check is down, and only then doubled: down after at most fall
 * intervals and one timeout.
 */
#include "private.h"

#include "modelhealth/base/messages.h"

#include <inttypes.h>

/* The longest that an inference which was broken off keeps the next one away. */
static const usec_t max_delay = 600 * USEC_PER_SEC;

/* The longest that failures of other checks are put down to it. */
static const usec_t max_echo = 60 * USEC_PER_SEC;

/* The longest wait a server may ask of us. */
static const usec_t max_retry_after = 3600 * USEC_PER_SEC;

static bool is_one_of(enum reason reason, const enum reason *reasons, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (reasons[i] == reason)
			return true;
	return false;
}

/* The server took the connection, or would have, and then was silent. */
static bool is_silence(const struct result *result)
{
	static const enum reason silence[] = {
		REASON_CONNECT_TIMEOUT,
		REASON_TIMEOUT_HEADERS,
		REASON_TIMEOUT_FIRST_TOKEN,
		REASON_TIMEOUT_IDLE,
		REASON_TIMEOUT_TOTAL,
	};

	return is_one_of(result->reason, silence, array_size(silence));
}

/* The server said something, be it good or bad. */
static bool is_answer(const struct result *result)
{
	enum phase phase = reason_desc(result->reason)->phase;

	return !is_silence(result) && !evidence_is_unreachable(result) && phase != PHASE_SELF &&
	       phase != PHASE_SCHEDULE;
}

/* ---- the ladder ---- */

/* What a cheaper check says against starting a dearer one. One round on demand is too short for
 * `fall`: then a single result speaks. */
static enum suppression objection(
	const struct engine *engine, const struct check *cheap, enum tier tier)
{
	const struct trail *trail = &cheap->view.trail;
	enum state state = cheap->view.health.state;
	bool at_once = engine->setup.on_demand_only;

	if (trail->unreachable > 0 && (at_once || state == STATE_DOWN))
		return SUPPRESSED_UNREACHABLE;
	if (tier == TIER_CANARY && trail->is_not_ready && (at_once || state == STATE_NOT_READY))
		return SUPPRESSED_NOT_READY;
	return SUPPRESSED_NOT;
}

static enum suppression look_down_the_ladder(const struct engine *engine, const struct check *check)
{
	enum tier tier = check->view.spec->tier;
	const struct endpoint *endpoint = check->endpoint;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check *other = endpoint->checks[i];
		enum suppression why;

		if (other->view.spec->tier >= tier || other->view.spec->tier == TIER_LOAD)
			continue;
		why = objection(engine, other, tier);
		if (why != SUPPRESSED_NOT)
			return why;
	}
	return SUPPRESSED_NOT;
}

/* ---- inferences ---- */

/* Whether counters tell what the server is at. */
static bool can_see_work(const struct endpoint *endpoint, usec_t now)
{
	return evidence_load_is_fresh(&endpoint->view.known, now) &&
	       endpoint->view.known.load.motion != LOAD_UNKNOWN_MOTION;
}

static bool has_cheaper(const struct check *check)
{
	for (size_t i = 0; i < check->endpoint->n_checks; i++)
		if (check->endpoint->checks[i]->view.spec->tier < check->view.spec->tier)
			return true;
	return false;
}

/* Whether the server may still be computing what we broke off: until its counters show it idle or
 * advancing, or, without counters, until it has answered anything at all. */
static bool is_haunted(const struct check *check, usec_t now)
{
	const struct host *host = check->endpoint->host;
	usec_t since = host->abandoned_at;

	return since != 0 && now - since < max_delay &&
	       (can_see_work(check->endpoint, now) ||
		       (host->echo_until != 0 && has_cheaper(check)));
}

static bool is_affordable(const struct check *check, usec_t now)
{
	const struct cost *cost = &check->view.spec->cost;
	const struct spending *spending = check->spending;

	return !spending ||
	       (budget_allows(&spending->tokens, cost->tokens, cost->tokens_a_run, now) &&
		       budget_allows(&spending->requests, cost->requests, 1, now));
}

/* The server limits who calls: a key where there is one, else us. */
static usec_t *quiet_until(const struct endpoint *endpoint)
{
	return endpoint->key ? &endpoint->key->quiet_until : &endpoint->host->quiet_until;
}

enum suppression gate_look(const struct engine *engine, const struct check *check)
{
	usec_t now = engine->timers->now;
	enum suppression why;

	/* Tries of a run that began are the same question still. */
	if (!check->is_gated || check->tries > 0)
		return SUPPRESSED_NOT;
	why = look_down_the_ladder(engine, check);
	if (why != SUPPRESSED_NOT || !is_inference(check))
		return why;
	if (*quiet_until(check->endpoint) > now)
		return SUPPRESSED_RATE_LIMITED;
	if (check->endpoint->host->full_until > now)
		return SUPPRESSED_FULL;
	if (is_haunted(check, now))
		return SUPPRESSED_ABANDONED;
	return is_affordable(check, now) ? SUPPRESSED_NOT : SUPPRESSED_BUDGET;
}

static bool is_at_ease(const struct check *check)
{
	const struct health *health = &check->view.health;

	return health->decided && health->state == STATE_UP &&
	       !health_is_pending(health, &check->view.spec->health);
}

bool gate_is_proven(const struct engine *engine, const struct check *check)
{
	const struct endpoint *endpoint = check->endpoint;

	if (check->view.spec->cost.when != COST_IDLE_OR_SUSPICIOUS || check->tries > 0 ||
		check->asked != ASKED_NOT || engine->self.offline ||
		endpoint->host->abandoned_at != 0 ||
		endpoint->view.known.load.motion != LOAD_ADVANCING ||
		!evidence_counters_since(&endpoint->view.known, 0, engine->timers->now))
		return false;
	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (!is_at_ease(endpoint->checks[i]))
			return false;
	return true;
}

/* ---- slots that come to nothing ---- */

static void tell_budget(const struct check *check)
{
	const struct spending *spending = check->spending;

	engine_log(check, LOG_LEVEL_WARNING, MSG_BUDGET_EXHAUSTED,
		"the budget of check %s is used up (%" PRIu64 " tokens, %" PRIu64
		" requests); it asks no more until the window ends",
		check->view.spec->name, spending->tokens.used, spending->requests.used);
}

/* What was bad of a server that is gone says nothing of the one that comes back. */
static void forget(struct engine *engine, struct check *check)
{
	struct health *health = &check->view.health;
	bool was_bad = health->state != STATE_UP && health->state != STATE_DEGRADED;

	health_forget(health, &check->view.spec->health);
	if (!was_bad)
		return;
	check->view.trail = (struct trail){ 0 };
	engine_judge(engine, check->endpoint, check);
}

void gate_suppress(struct engine *engine, struct check *check, enum suppression why)
{
	check->view.suppressed = why;
	check->view.suppressed_total[why]++;
	check->waited = 0;
	engine->snapshot.version++;
	engine_end_round(engine, check);
	if (why == SUPPRESSED_UNREACHABLE || why == SUPPRESSED_NOT_READY)
		forget(engine, check);
	if (why == SUPPRESSED_BUDGET && !check->spending->is_told) {
		check->spending->is_told = true;
		tell_budget(check);
	}
	engine_log(check, LOG_LEVEL_DEBUG, NULL, "check %s: not asked this time (%s)",
		check->view.spec->name, suppression_token(why));
	recall_note(engine, check);
	if (engine->setup.on_demand_only && engine->setup.on_result)
		engine->setup.on_result(engine->setup.ctx, &check->endpoint->view, &check->view);
	engine_end_asked(engine, check);
}

/* ---- what results mean for later starts ---- */

usec_t gate_patience(const struct result *result)
{
	return result->verdict == VERDICT_UP ? 0 : min_of(result->retry_after, max_retry_after);
}

bool gate_is_echo(const struct engine *engine, const struct check *check, struct result *result)
{
	if (check->endpoint->host->echo_until <= engine->timers->now ||
		check->view.spec->tier >= TIER_LOAD || result->verdict != VERDICT_DOWN ||
		!is_silence(result) || check->view.trail.failing_since != 0)
		return false; /* what failed before it has another cause */
	result_set(result, result->reason,
		"proves nothing: it follows an inference that we broke off");
	result->verdict = VERDICT_UNKNOWN;
	return true;
}

void gate_note_abandoned(struct engine *engine, const struct check *check)
{
	struct host *host = check->endpoint->host;
	usec_t now = engine->timers->now;

	host->abandoned_at = now;
	if (host->echo_until != 0)
		return; /* nothing was answered since the last one: no new excuse */
	host->echo_from = now;
	host->echo_until = now + min_of(check->view.spec->interval, max_echo);
}

void gate_fill_pace(const struct check *check, struct record_pace *pace)
{
	const struct host *host = check->endpoint->host;

	if (!is_inference(check))
		return;
	pace->quiet_until = *quiet_until(check->endpoint);
	pace->may_be_busy = host->inference == check || host->abandoned_at != 0;
}

void gate_recall(struct engine *engine, struct check *check, const struct record_pace *pace)
{
	usec_t *until = quiet_until(check->endpoint);

	if (!is_inference(check))
		return;
	*until = max_of(*until, min_of(pace->quiet_until, engine->timers->now + max_retry_after));
	if (pace->may_be_busy)
		gate_note_abandoned(engine, check);
}

/* Tokens of a run, the estimate where nobody told. */
static uint64_t tokens_of(const struct check_spec *spec, const struct result *result)
{
	uint64_t told = (uint64_t)result->tokens.prompt + result->tokens.completion;

	if (result->tokens.source == TOKENS_REPORTED)
		return told;
	if (result->http_status >= 400)
		return told; /* refused: nothing was computed */
	return max_of(told, (uint64_t)spec->cost.tokens_a_run);
}

static void spend(struct check *check, const struct result *result, usec_t now)
{
	const struct check_spec *spec = check->view.spec;
	struct spending *spending = check->spending;
	bool is_asked = result->is_abandoned || is_answer(result) || is_silence(result);
	uint64_t tokens;

	if (!spending || !is_asked || evidence_is_unreachable(result) ||
		result->reason == REASON_COLD)
		return;
	tokens = tokens_of(spec, result);
	budget_spend(&spending->tokens, spec->cost.tokens, tokens, now);
	budget_spend(&spending->requests, spec->cost.requests, 1, now);
	spending->tokens_total += tokens;
	spending->requests_total++;
	spending->is_told = false;
}

static void note_inference(struct engine *engine, struct check *check, const struct result *result)
{
	usec_t now = engine->timers->now;

	spend(check, result, now);
	if (evidence_gave_tokens(result))
		check->endpoint->host->tokens_at = now;
	if (result->is_abandoned)
		gate_note_abandoned(engine, check);
	if (gate_patience(result) > 0)
		*quiet_until(check->endpoint) =
			max_of(*quiet_until(check->endpoint), now + gate_patience(result));
}

static void note_load(struct engine *engine, const struct check *check, const struct result *result)
{
	struct host *host = check->endpoint->host;
	const struct evidence *known = &check->endpoint->view.known;
	enum load_motion motion = result->load.motion;

	if (known->load_at != engine->timers->now)
		return; /* it was not read */
	if ((motion == LOAD_IDLE || motion == LOAD_ADVANCING) && check->t0 >= host->abandoned_at)
		host->abandoned_at = 0;
}

/* The same check takes back what it said; else it grows old. */
static void note_full(struct engine *engine, const struct check *check, const struct result *result)
{
	struct host *host = check->endpoint->host;
	bool is_full = result->load.is_full || evidence_is_full(check->view.spec, result);

	if (is_full) {
		host->full_until = engine->timers->now + evidence_lifetime(check->view.spec);
		host->full_by = check;
	} else if (host->full_by == check && result->verdict != VERDICT_UNKNOWN) {
		host->full_until = 0;
	}
}

void gate_note(struct engine *engine, struct check *check, const struct result *result)
{
	struct host *host = check->endpoint->host;

	if (result->reason == REASON_SKIPPED_PROVEN)
		return;
	if (host->echo_until != 0 && check->t0 >= host->echo_from && is_answer(result))
		host->echo_until = 0;
	if (!is_inference(check))
		note_full(engine, check, result);
	if (check->view.spec->tier == TIER_LOAD)
		note_load(engine, check, result);
	if (is_inference(check))
		note_inference(engine, check, result);
}

void gate_delay(const struct engine *engine, struct check *check, const struct result *result)
{
	usec_t now = engine->timers->now;
	usec_t delay;

	if (!check->spending)
		return;
	if (!result->is_abandoned || check->view.health.state != STATE_DOWN ||
		can_see_work(check->endpoint, now)) {
		check->spending->doublings = 0;
		return;
	}
	if (check->spending->doublings < 10)
		check->spending->doublings++;
	delay = min_of(check->view.spec->interval << check->spending->doublings, max_delay);
	check->not_before = max_of(check->not_before, now + delay);
}

/* ---- news ---- */

/* The counters, and an inference that has not run for half its interval, can tell whether the server
 * is busy or dead before the cheap check has reached `fall`. */
static bool can_arbitrate(const struct engine *engine, const struct check *check)
{
	usec_t age = engine->timers->now - check->t0;

	if (check->view.started_total == 0 && !check->view.health.decided)
		return false; /* its first start is near anyway */
	return check->view.spec->tier == TIER_LOAD ||
	       (is_inference(check) && age >= check->view.spec->interval / 2);
}

static bool is_waiting_on_ladder(const struct check *check)
{
	return check->view.suppressed == SUPPRESSED_UNREACHABLE ||
	       check->view.suppressed == SUPPRESSED_NOT_READY;
}

void gate_wake(struct engine *engine, const struct check *check)
{
	const struct trail *trail = &check->view.trail;
	const struct endpoint *endpoint = check->endpoint;
	bool is_first_failure = check->view.health.bad == 1 && trail->failing_since != 0 &&
				trail->unreachable == 0 && !trail->is_not_ready;

	if (endpoint->n_checks < 2 || check->view.spec->tier >= TIER_LOAD)
		return;
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		struct check *other = endpoint->checks[i];

		if (!other->is_gated || other == check)
			continue;
		if ((is_first_failure && can_arbitrate(engine, other)) ||
			(is_waiting_on_ladder(other) && gate_look(engine, other) == SUPPRESSED_NOT))
			schedule_soon(engine, other);
	}
}

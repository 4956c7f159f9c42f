/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/evidence.h"

static bool is_good(const struct result *result)
{
	return result->verdict == VERDICT_UP || result->verdict == VERDICT_DEGRADED;
}

/* Reasons of good verdicts for which nothing was asked. */
static bool is_unasked(const struct result *result)
{
	return result->reason == REASON_SKIPPED_PROVEN || result->reason == REASON_COLD;
}

bool evidence_is_unreachable(const struct result *result)
{
	enum phase phase = reason_desc(result->reason)->phase;

	return result->verdict == VERDICT_DOWN &&
	       (phase == PHASE_DNS || phase == PHASE_CONNECT || phase == PHASE_TLS);
}

bool evidence_gave_tokens(const struct result *result)
{
	return result->tokens.completion > 0 || (is_good(result) && !is_unasked(result));
}

static bool is_within(usec_t since, usec_t span, usec_t now)
{
	return since != 0 && now - since <= span;
}

bool evidence_translate(const struct evidence *evidence, const struct endpoint_spec *endpoint,
	struct result *result, usec_t now)
{
	usec_t grace = endpoint->startup_grace;
	bool may_load = is_within(evidence->not_ready_at, grace, now) ||
			(!evidence->was_up && is_within(evidence->first_seen, grace, now));

	if (!endpoint->refused_is_loading || !may_load ||
		result->reason != REASON_CONNECT_REFUSED || result->verdict != VERDICT_DOWN)
		return false;
	result_set(result, REASON_LOADING,
		"connection refused, as this type of server does until it has loaded");
	return true;
}

void evidence_excuse(const struct check_spec *spec, struct result *result)
{
	if (spec->tier == TIER_LOAD && result->reason != REASON_STALLED &&
		(result->verdict == VERDICT_DOWN || result->verdict == VERDICT_NOT_READY))
		result->verdict = VERDICT_UNKNOWN;
}

bool evidence_is_full(const struct check_spec *spec, const struct result *result)
{
	bool is_refusal = result->http_status >= 300;

	return result->reason == REASON_OVERLOADED && result->verdict == VERDICT_DEGRADED &&
	       result->load.seen == 0 &&
	       (spec->tier == TIER_LOAD || (spec->tier < TIER_LOAD && !is_refusal));
}

static void note_trail(struct trail *trail, const struct result *result, usec_t now)
{
	if (is_good(result)) {
		*trail = (struct trail){ .failed_at = trail->failed_at };
		return;
	}
	trail->failed_at = now;
	if (trail->failing_since == 0) {
		trail->failing_since = now;
		trail->failing_from = now - min_of(result->timing[TIMING_TOTAL], now);
	}
	if (result->verdict == VERDICT_NOT_READY)
		trail->is_not_ready = true;
	if (evidence_is_unreachable(result)) {
		if (trail->unreachable == 0)
			trail->unreachable_since = now;
		if (trail->unreachable < UINT16_MAX)
			trail->unreachable++;
	} else if (result->verdict != VERDICT_UNKNOWN) {
		trail->unreachable = 0;
	}
}

static void note_not_ready(struct evidence *evidence, unsigned flags, usec_t now)
{
	if (evidence->loading_since == 0)
		evidence->loading_since = evidence->was_up ? now : evidence->first_seen;
	if (!(flags & EVIDENCE_TRANSLATED))
		evidence->not_ready_at = now;
}

enum growth {
	GROWTH_OF_OTHERS,
	GROWTH_IN_DOUBT, /* until our inference ends */
	GROWTH_OURS,
};

/* For whom the server did what its counters show. A server that computes our question and never
 * delivers the answer must not pass for a busy one. */
static enum growth whose_growth(const struct server_load *load, unsigned flags)
{
	double ours = flags & EVIDENCE_MAY_BE_OURS ? 1 : 0;

	if (!(flags & (EVIDENCE_MAY_BE_OURS | EVIDENCE_IS_OURS)))
		return GROWTH_OF_OTHERS;
	if (load_has(load, LOAD_RUNNING)) /* a value that is not known is 0 */
		return load->value[LOAD_RUNNING] + load->value[LOAD_WAITING] > ours
			       ? GROWTH_OF_OTHERS
			       : GROWTH_OURS;
	return flags & EVIDENCE_IS_OURS ? GROWTH_OURS : GROWTH_IN_DOUBT;
}

usec_t evidence_lifetime(const struct check_spec *spec)
{
	return 2 * spec->interval + spec->jitter + spec->timeout.total;
}

static void note_load(struct evidence *evidence, const struct check_spec *spec,
	const struct result *result, unsigned flags, usec_t now)
{
	if (result->load.seen == 0 && result->load.motion == LOAD_UNKNOWN_MOTION)
		return; /* not read: the last one grows old */
	evidence->load = result->load;
	evidence->load_at = now;
	evidence->load_seen_at = result->at;
	evidence->load_good_for = evidence_lifetime(spec);
	if (result->load.motion != LOAD_ADVANCING)
		return;
	switch (whose_growth(&result->load, flags)) {
	case GROWTH_OF_OTHERS:
		evidence->counters_at = now;
		break;
	case GROWTH_IN_DOUBT:
		evidence->doubtful_at = now;
		break;
	case GROWTH_OURS:
		break;
	}
}

static void note_canary(struct evidence *evidence, const struct check_spec *spec,
	const struct result *result, usec_t now)
{
	/* What we got no token of cannot have made the counters grow. */
	if (!evidence_gave_tokens(result))
		evidence->counters_at = max_of(evidence->counters_at, evidence->doubtful_at);
	evidence->doubtful_at = 0;
	if (!is_good(result) || is_unasked(result))
		return;
	evidence->canary_at = now;
	evidence->canary_good_for =
		spec->health.fall * spec->interval + spec->jitter + spec->timeout.total;
}

void evidence_note(struct evidence *evidence, struct trail *trail, const struct check_spec *spec,
	const struct result *result, unsigned flags, usec_t now)
{
	note_trail(trail, result, now);
	if (evidence_is_full(spec, result) && !(flags & EVIDENCE_IS_ASKING)) {
		evidence->full_at = now;
		evidence->full_good_for = evidence_lifetime(spec);
	}
	if (spec->tier == TIER_LOAD) {
		note_load(evidence, spec, result, flags, now);
		return;
	}
	if (result->verdict == VERDICT_NOT_READY)
		note_not_ready(evidence, flags, now);
	if (spec->tier == TIER_CANARY && result->reason != REASON_SKIPPED_PROVEN)
		note_canary(evidence, spec, result, now);
	evidence->was_up |= is_good(result);
}

bool evidence_canary_since(const struct evidence *evidence, usec_t since, usec_t now)
{
	return evidence->canary_at > since &&
	       is_within(evidence->canary_at, evidence->canary_good_for, now);
}

bool evidence_counters_since(const struct evidence *evidence, usec_t since, usec_t now)
{
	return evidence->counters_at > since &&
	       is_within(evidence->counters_at, evidence->load_good_for, now);
}

bool evidence_full_since(const struct evidence *evidence, usec_t since, usec_t now)
{
	return evidence->full_at > since &&
	       is_within(evidence->full_at, evidence->full_good_for, now);
}

bool evidence_load_is_fresh(const struct evidence *evidence, usec_t now)
{
	return is_within(evidence->load_at, evidence->load_good_for, now);
}

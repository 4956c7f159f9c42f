/* SPDX-License-Identifier: MIT */
/*
 * To and from struct record. The engine writes with it at each settled result and reads at its
 * first configuration; what it reads may be anything, so every number is looked at.
 */
#include "modelhealth/core/record.h"

#include "modelhealth/base/rand.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static_assert(sizeof(struct record) == RECORD_SIZE, "no holes: all bytes are summed");
/* Kept as numbers: a change of these is a new RECORD_VERSION. */
static_assert(STATE_UNKNOWN == 4 && STATE_N == 6, "states");
static_assert(VERDICT_UNKNOWN == 4 && VERDICT_N == 5, "verdicts");
static_assert(LOAD_FLAT == 3, "motions");
static_assert(SUPPRESSED_BUDGET == 6 && SUPPRESSION_N == 7, "suppressions");

enum endpoint_flag {
	FLAG_SUSPENDED = 1u << 0,
	FLAG_WAS_UP = 1u << 1,
	FLAG_IS_FULL = 1u << 2,
};

enum check_flag {
	FLAG_FLAPPING = 1u << 0,
	FLAG_DECIDED = 1u << 1,
	FLAG_NOT_READY = 1u << 2,
	FLAG_MAY_BE_BUSY = 1u << 3,
	SUPPRESSION_SHIFT = 4, /* above: enum suppression */
};

enum extra_flag {
	FLAG_IS_TOLD = 1u << 0,
};

/* Rise and fall of the kept levels: larger than any that can be configured. */
static const struct health_conf widest = {
	.rise = 16384,
	.fall = 16384,
	.degraded_rise = 16384,
	.degraded_fall = 16384,
};

enum {
	MAX_LEVEL = 16384 + 16384 - 1,
	MAX_DOUBLINGS = 20, /* more than the engine ever makes */
};

static const uint32_t never = UINT32_MAX;

/* ---- distances ---- */

/* Of a time that has passed; 0 is no time. */
static uint32_t ago(usec_t now, usec_t then)
{
	usec_t msec = then < now ? (now - then) / USEC_PER_MSEC : 0;

	return then == 0 ? never : (uint32_t)min_of(msec, (usec_t)never - 1);
}

static usec_t back(usec_t at, uint32_t msec)
{
	usec_t span = msec * USEC_PER_MSEC;

	if (msec == never)
		return 0;
	return at > span ? at - span : 1;
}

/* Of a time to come; 0 when it is past. */
static uint32_t ahead(usec_t now, usec_t then)
{
	usec_t msec = then > now ? (then - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;

	return (uint32_t)min_of(msec, (usec_t)UINT32_MAX);
}

static usec_t forward(usec_t at, uint32_t msec)
{
	return msec == 0 ? 0 : at + msec * USEC_PER_MSEC;
}

static uint32_t span_msec(usec_t span)
{
	return (uint32_t)min_of(span / USEC_PER_MSEC, (usec_t)UINT32_MAX);
}

/* ---- keys and sums ---- */

uint64_t record_key(
	enum record_type type, const struct endpoint_spec *endpoint, const struct check_spec *check)
{
	uint64_t key = hash_bytes(endpoint->name, strlen(endpoint->name), type);

	if (!check)
		return key;
	key = hash_bytes(check->name, strlen(check->name), key);
	key = hash_bytes(check->kind->name, strlen(check->kind->name), key);
	key = hash_bytes(endpoint->host, strlen(endpoint->host), key);
	return hash_bytes(&check->identity_hash, sizeof check->identity_hash, key);
}

static uint32_t sum_of(const struct record *record)
{
	return (uint32_t)hash_bytes(&record->type, RECORD_SIZE - offsetof(struct record, type), 0);
}

void record_seal(struct record *record)
{
	record->sum = sum_of(record);
}

bool record_is_whole(const struct record *record)
{
	return record->type != RECORD_NONE && record->type < RECORD_TYPE_N &&
	       record->sum == sum_of(record);
}

static uint32_t reason_hash(enum reason reason)
{
	return (uint32_t)hash_text(reason_token(reason));
}

/* REASON_N when no reason of this version has that hash. */
static enum reason reason_of_hash(uint32_t hash)
{
	enum reason reason = 0;

	while (reason < REASON_N && reason_hash(reason) != hash)
		reason++;
	return reason;
}

/* ---- the endpoint ---- */

void record_endpoint(struct record *ret_record, const struct endpoint_view *endpoint,
	const struct bucket *limit, usec_t now)
{
	const struct evidence *known = &endpoint->known;

	*ret_record = (struct record){
		.type = RECORD_ENDPOINT,
		.state = (uint8_t)endpoint->state,
		.flags = (uint8_t)((endpoint->suspended ? FLAG_SUSPENDED : 0) |
				   (known->was_up ? FLAG_WAS_UP : 0) |
				   (known->load.is_full ? FLAG_IS_FULL : 0)),
		.more = (uint8_t)known->load.motion,
		.at = now,
		.endpoint = {
			.since = endpoint->since,
			.host = (uint32_t)hash_text(endpoint->spec->host),
			.limit = ahead(now, limit->full_at),
			.first_seen = ago(now, known->first_seen),
			.loading_since = ago(now, known->loading_since),
			.not_ready_at = ago(now, known->not_ready_at),
			.canary_at = ago(now, known->canary_at),
			.canary_good_for = span_msec(known->canary_good_for),
			.counters_at = ago(now, known->counters_at),
			.load_at = ago(now, known->load_at),
			.load_good_for = span_msec(known->load_good_for),
			.full_at = ago(now, known->full_at),
			.full_good_for = span_msec(known->full_good_for),
		},
	};
}

/* The values of the load are not kept: they are read anew before anything looks at them. */
static void restore_evidence(
	const struct record *record, usec_t at, usec_t real, struct evidence *known)
{
	const struct record_endpoint *kept = &record->endpoint;

	*known = (struct evidence){
		.first_seen = back(at, kept->first_seen),
		.loading_since = back(at, kept->loading_since),
		.not_ready_at = back(at, kept->not_ready_at),
		.canary_at = back(at, kept->canary_at),
		.canary_good_for = kept->canary_good_for * USEC_PER_MSEC,
		.counters_at = back(at, kept->counters_at),
		.load_at = back(at, kept->load_at),
		.load_good_for = kept->load_good_for * USEC_PER_MSEC,
		.full_at = back(at, kept->full_at),
		.full_good_for = kept->full_good_for * USEC_PER_MSEC,
		.load = { .motion = record->more, .is_full = record->flags & FLAG_IS_FULL },
		.was_up = record->flags & FLAG_WAS_UP,
	};
	if (known->load_at != 0)
		known->load_seen_at = back(real, kept->load_at);
}

bool record_restore_endpoint(const struct record *record, usec_t at, usec_t real,
	struct endpoint_view *endpoint, struct bucket *limit)
{
	const struct record_endpoint *kept = &record->endpoint;

	if (record->type != RECORD_ENDPOINT || record->state >= STATE_N || record->more > LOAD_FLAT)
		return false;
	if (kept->since != 0)
		endpoint->state = record->state;
	endpoint->since = kept->since;
	endpoint->suspended = record->flags & FLAG_SUSPENDED;
	limit->full_at = forward(at, kept->limit);
	if (kept->host == (uint32_t)hash_text(endpoint->spec->host))
		restore_evidence(record, at, real, &endpoint->known);
	return true;
}

/* ---- a check ---- */

void record_check(struct record *ret_record, const struct check_view *check,
	const struct record_pace *pace, usec_t now)
{
	struct health health = check->health;
	const struct trail *trail = &check->trail;
	bool is_late = pace->slot_at < now;
	uint32_t distance = is_late ? ahead(pace->slot_at, now) : ahead(now, pace->slot_at);

	health_rescale(&health, &check->spec->health, &widest);
	distance = min_of(distance, (uint32_t)INT32_MAX);
	*ret_record = (struct record){
		.type = RECORD_CHECK,
		.state = (uint8_t)health.state,
		.flags = (uint8_t)((health.flapping ? FLAG_FLAPPING : 0) |
				   (health.decided ? FLAG_DECIDED : 0) |
				   (trail->is_not_ready ? FLAG_NOT_READY : 0) |
				   (pace->may_be_busy ? FLAG_MAY_BE_BUSY : 0) |
				   check->suppressed << SUPPRESSION_SHIFT),
		.more = (uint8_t)(health.last_known | health.last_bad << 4),
		.at = now,
		.check = {
			.since = health.since,
			.reason = reason_hash(health.reason),
			.flap_history = health.flap_history,
			.level = health.level,
			.degraded_level = health.degraded_level,
			.good = health.good,
			.bad = health.bad,
			.unknown = health.unknown,
			.unreachable = trail->unreachable,
			.failing_since = ago(now, trail->failing_since),
			.failing_from = ago(now, trail->failing_from),
			.failed_at = ago(now, trail->failed_at),
			.unreachable_since = ago(now, trail->unreachable_since),
			.slot = is_late ? -(int32_t)distance : (int32_t)distance,
			.not_before = ahead(now, pace->not_before),
			.quiet_until = ahead(now, pace->quiet_until),
		},
	};
}

/* False when no process can have written it. Of a check without evidence nothing but its flapping is
 * known; the rest is what `init` assumes today. */
static bool restore_health(
	const struct record *record, const struct health_conf *conf, struct health *health)
{
	const struct record_check *kept = &record->check;
	uint32_t history = kept->flap_history & ((1u << FLAP_SAMPLES) - 1);
	struct health known = {
		.state = record->state,
		.reason = reason_of_hash(kept->reason),
		.since = kept->since,
		.level = kept->level,
		.degraded_level = kept->degraded_level,
		.good = kept->good,
		.bad = kept->bad,
		.unknown = kept->unknown,
		.last_known = record->more & 0xf,
		.last_bad = record->more >> 4,
		.decided = record->flags & FLAG_DECIDED,
	};

	if (record->state >= STATE_SUSPENDED || known.reason == REASON_N ||
		known.last_known >= VERDICT_N || known.last_bad >= VERDICT_N ||
		known.level > MAX_LEVEL || known.degraded_level > MAX_LEVEL)
		return false;
	if (known.since != 0) {
		health_rescale(&known, &widest, conf);
		*health = known;
	}
	health->flap_history = history;
	health->flapping = record->flags & FLAG_FLAPPING;
	return true;
}

static usec_t slot_time(usec_t at, int32_t msec)
{
	usec_t span = (usec_t)(msec < 0 ? -(int64_t)msec : msec) * USEC_PER_MSEC;

	if (msec >= 0)
		return at + span;
	return at > span ? at - span : 1;
}

bool record_restore_check(const struct record *record, usec_t at, struct check_view *check,
	struct record_pace *ret_pace)
{
	const struct record_check *kept = &record->check;

	if (record->type != RECORD_CHECK || record->flags >> SUPPRESSION_SHIFT >= SUPPRESSION_N ||
		!restore_health(record, &check->spec->health, &check->health))
		return false;
	check->suppressed = record->flags >> SUPPRESSION_SHIFT;
	check->trail = (struct trail){
		.failing_since = back(at, kept->failing_since),
		.failing_from = back(at, kept->failing_from),
		.failed_at = back(at, kept->failed_at),
		.unreachable_since = back(at, kept->unreachable_since),
		.unreachable = kept->unreachable,
		.is_not_ready = record->flags & FLAG_NOT_READY,
	};
	*ret_pace = (struct record_pace){
		.slot_at = slot_time(at, kept->slot),
		.not_before = forward(at, kept->not_before),
		.quiet_until = forward(at, kept->quiet_until),
		.may_be_busy = record->flags & FLAG_MAY_BE_BUSY,
	};
	return true;
}

/* ---- what few checks have ---- */

void record_extra(struct record *ret_record, const struct check_view *check,
	const struct memory *memory, usec_t now)
{
	const struct spending *spending = check->spending;

	*ret_record = (struct record){ .type = RECORD_EXTRA, .at = now };
	ret_record->extra.tokens_from = never;
	ret_record->extra.requests_from = never;
	if (spending) {
		ret_record->flags = spending->is_told ? FLAG_IS_TOLD : 0;
		ret_record->more = (uint8_t)spending->doublings;
		ret_record->extra.tokens_from = ago(now, spending->tokens.from);
		ret_record->extra.tokens_used = spending->tokens.used;
		ret_record->extra.requests_from = ago(now, spending->requests.from);
		ret_record->extra.requests_used = spending->requests.used;
	}
	for (size_t i = 0; i < MEMORY_TIMES; i++)
		ret_record->extra.at[i] = memory ? ago(now, memory->at[i]) : never;
	for (size_t i = 0; memory && i < MEMORY_VALUES; i++)
		ret_record->extra.value[i] = memory->value[i];
}

bool record_restore_extra(
	const struct record *record, usec_t at, struct spending *spending, struct memory *memory)
{
	const struct record_extra *kept = &record->extra;

	if (record->type != RECORD_EXTRA || record->more > MAX_DOUBLINGS)
		return false;
	for (size_t i = 0; i < MEMORY_VALUES; i++)
		if (!isfinite(kept->value[i]))
			return false;
	if (spending) {
		spending->is_told = record->flags & FLAG_IS_TOLD;
		spending->doublings = record->more;
		spending->tokens = (struct budget){ .from = back(at, kept->tokens_from),
			.used = kept->tokens_used };
		spending->requests = (struct budget){ .from = back(at, kept->requests_from),
			.used = kept->requests_used };
	}
	for (size_t i = 0; memory && i < MEMORY_TIMES; i++)
		memory->at[i] = back(at, kept->at[i]);
	for (size_t i = 0; memory && i < MEMORY_VALUES; i++)
		memory->value[i] = kept->value[i];
	return true;
}

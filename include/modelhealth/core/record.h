/* SPDX-License-Identifier: MIT */
/*
 * What is kept of an endpoint and of a check so that the next process goes on where this one ended:
 * a record of fixed size that names nothing and holds no secret. Pure.
 *
 * A record is whole when its sum is right. Times that matter for a decision are kept as distances
 * from the moment of writing, in milliseconds, so that they hold on any monotonic clock; who reads
 * says when that moment was.
 *
 * RECORD_VERSION changes with the layout, and with the order of the states, verdicts and other enums
 * that are kept as numbers. Reasons are kept by the hash of their token: their order may change.
 */
#pragma once

#include "modelhealth/core/bucket.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/view.h"

enum {
	RECORD_SIZE = 80,
	RECORD_VERSION = 1,
};

enum record_type {
	RECORD_NONE, /* nothing is known yet */
	RECORD_ENDPOINT,
	RECORD_CHECK,
	RECORD_EXTRA, /* of a check: what an inference has cost, what its kind remembers */
	RECORD_TYPE_N,
};

struct record_endpoint {
	uint64_t since; /* wall time */
	uint32_t host;  /* hash: what is known of a server is not true of another */
	uint32_t limit; /* until its rate limit is full again */
	uint32_t first_seen, loading_since, not_ready_at;
	uint32_t canary_at, canary_good_for;
	uint32_t counters_at, load_at, load_good_for;
	uint32_t full_at, full_good_for;
};

struct record_check {
	uint64_t since;  /* wall time */
	uint32_t reason; /* hash of its token */
	uint32_t flap_history;
	uint16_t level, degraded_level; /* as rise and fall of 16384 would count */
	uint16_t good, bad, unknown;
	uint16_t unreachable;
	uint32_t failing_since, failing_from, failed_at, unreachable_since;
	int32_t slot; /* ahead: of the next run, or of the one that is not done */
	uint32_t not_before, quiet_until;
};

struct record_extra {
	uint32_t at[MEMORY_TIMES];
	uint32_t tokens_from, requests_from;
	uint64_t tokens_used, requests_used;
	double value[MEMORY_VALUES];
};

struct record {
	uint32_t sum; /* over all that follows */
	uint8_t type; /* enum record_type */
	uint8_t state, flags, more;
	uint64_t key; /* whose it is */
	uint64_t at;  /* monotonic time of writing */

	union {
		struct record_endpoint endpoint;
		struct record_check check;
		struct record_extra extra;
	};
};

/* Of a check: what only the engine knows. All times are monotonic. */
struct record_pace {
	usec_t slot_at;     /* 0 = it has no place in the schedule */
	usec_t not_before;  /* the server asked for patience */
	usec_t quiet_until; /* the same for all inferences with its key; 0 = it did not */
	bool may_be_busy;   /* the server may still be at an inference of ours */
};

/* Whose record: the same as long as a reload would carry the state over. */
uint64_t record_key(enum record_type type, const struct endpoint_spec *endpoint,
	const struct check_spec *check);

void record_endpoint(struct record *ret_record, const struct endpoint_view *endpoint,
	const struct bucket *limit, usec_t now);
void record_check(struct record *ret_record, const struct check_view *check,
	const struct record_pace *pace, usec_t now);

/* memory may be NULL. */
void record_extra(struct record *ret_record, const struct check_view *check,
	const struct memory *memory, usec_t now);

/* Sets the sum; after the last change. */
void record_seal(struct record *record);

/* Whether it was written to its end, and is not empty. */
bool record_is_whole(const struct record *record);

/*
 * The way back, from a whole record that was written at `at` on today's clock, into what is fresh.
 * What makes no sense changes nothing and gives false. The check's spec may have other rise and fall than when it was
 * written. real: wall time of `at`, for what is shown.
 */
bool record_restore_endpoint(const struct record *record, usec_t at, usec_t real,
	struct endpoint_view *endpoint, struct bucket *limit);
bool record_restore_check(const struct record *record, usec_t at, struct check_view *check,
	struct record_pace *ret_pace);

/* spending and memory may be NULL. */
bool record_restore_extra(
	const struct record *record, usec_t at, struct spending *spending, struct memory *memory);

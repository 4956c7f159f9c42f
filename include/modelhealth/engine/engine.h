/* SPDX-License-Identifier: MIT */
/*
 * The engine: owns every endpoint's run-time state and moves it. It takes a configuration, starts
 * checks when they are due and allowed, settles their results and tells the outputs.
 *
 * It reads no clock and touches no descriptor: time comes from struct timers, work goes to check
 * kinds. The simulation tests run it under a virtual clock.
 */
#pragma once

#include "modelhealth/base/rand.h"
#include "modelhealth/base/timer.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/ledger.h"
#include "modelhealth/core/output.h"
#include "modelhealth/core/view.h"

struct engine;

/* Memory for states that outlives the process. */
struct engine_keeper {
	/*
	 * Room for n records beside the live area of the ledger: zeros, from slot first on. What was
	 * given before may have moved and is not touched any more. 0, or -errno and nothing is kept
	 * until the next configuration. NULL = there is no such memory.
	 */
	int (*layout)(void *ctx, size_t n, struct record **ret_slots, size_t *ret_first);
	/* These n records are written, and are the states from now on. */
	void (*commit)(void *ctx, size_t first, size_t n);
	void *ctx;
};

struct engine_setup {
	struct timers *timers; /* borrowed for the engine's life */
	struct engine_keeper keeper;
	struct io *io; /* passed to probes, opaque here */
	uint64_t seed;
	bool on_demand_only; /* no schedule: checks start by engine_check_now alone */
	const struct output *const *outputs; /* NULL-terminated: who gets transitions */
	/* Every settled result, for tests and --once; on demand also every check that was suppressed
	 * (check->suppressed says why). May be NULL. */
	void (*on_result)(
		void *ctx, const struct endpoint_view *endpoint, const struct check_view *check);
	void *ctx;
};

/* 0 or -ENOMEM. */
int engine_new(const struct engine_setup *setup, struct engine **ret_engine);

/* Cancels what is in flight without results and frees everything. */
struct engine *engine_free(struct engine *engine);

/*
 * Makes config the live one (takes a reference), carrying over the state of what stayed the same.
 * The first call starts monitoring. 0 or -ENOMEM, which changes nothing.
 */
int engine_apply(struct engine *engine, struct config *config);

/* What an earlier process left. To be called before the first engine_apply, which takes up what is
 * true of its configuration; borrows the image until then. */
void engine_recall(struct engine *engine, const struct ledger_image *image);

struct engine_diff {
	size_t kept, updated, restarted, added, removed; /* checks */
};

/* What the last engine_apply did. */
const struct engine_diff *engine_last_diff(const struct engine *engine);

/* Records the outcome of a configuration load for the metrics; error NULL = it is live. */
void engine_note_reload(struct engine *engine, const char *error);

/*
 * Starts every check of the endpoint as soon as limits allow, ahead of its schedule, which goes on
 * unchanged: tier by tier from cheap to dear, and none that must not be started now. 0, -ENOENT (no such endpoint) or -EBUSY (asked again within a second).
 */
int engine_check_now(struct engine *engine, const char *endpoint_name);

/* Whether monitoring moves: some check was settled in the last ten seconds, or none is overdue by
 * more. What the watchdog is told depends on it. */
bool engine_is_progressing(const struct engine *engine);

/* Moves every time that is shown with the wall clock, which was just set by so much. */
void engine_shift_times(struct engine *engine, int64_t by);

/* Stops all timers and cancels what is in flight; no results come any more. */
void engine_stop(struct engine *engine);

/* Current until the next turn of the loop. */
const struct snapshot *engine_snapshot(struct engine *engine);

/* The self metrics, for those who measure what the engine cannot (loop, log, status port). */
struct self_view *engine_self(struct engine *engine);

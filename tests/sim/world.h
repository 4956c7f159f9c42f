/* SPDX-License-Identifier: MIT */
/*
 * A world for the engine without sockets or clocks: virtual time that jumps from timer to timer,
 * endpoints that answer by a script, and assertions at every step on what must always hold. The
 * same seed gives the same world, event for event.
 */
#pragma once

#include "modelhealth/base/rand.h"
#include "modelhealth/base/timer.h"
#include "modelhealth/core/check.h"
#include "modelhealth/engine/engine.h"

/* How an endpoint behaves just now. */
struct behaviour {
	enum reason reason;
	usec_t latency, latency_spread;
	usec_t retry_after;
	bool hangs;   /* ends by its own timeout.total */
	bool is_lost; /* never ends: a broken kind */
	bool at_once; /* ends inside its start */
	struct server_load load;
	uint32_t tokens; /* of the answer, as the server counts them */
};

struct world_conf {
	size_t n_endpoints, n_hosts;
	usec_t min_interval, max_interval;
	struct limits limits;
	struct retry retry;
	usec_t jitter;
	enum health_init init;
	const char *host_prefix;
};

struct world {
	struct timers timers;
	struct rand rand;
	struct engine *engine;
	struct world_conf conf;
	usec_t real_offset; /* wall time ahead of monotonic time; tests step it */
	uint64_t hash;      /* over all events so far */
	struct behaviour (*behave)(struct world *world, const struct check_spec *spec);
	void (*on_start)(struct world *world, const struct check_spec *spec);
	/* Changes the i-th endpoint of a configuration that is being built; may be NULL. */
	void (*shape)(struct world *world, struct endpoint_spec *endpoint, size_t i);
	void (*on_transition)(const struct transition *transition);
	bool is_strict; /* the engine's inside is compared with itself after each turn */
	uint64_t starts, dones, cancels, results, transitions;
	unsigned in_flight, in_flight_max;
	size_t configs;      /* built so far */
	struct arena *arena; /* of the configuration that is being built */
	uint64_t seed;
	struct record *slots; /* memory that outlives the engine */
	size_t n_slots;
};

/* The fields of conf that are 0 get sane values: one interval of 10 s for all, a host each. One world at a time. */
void world_init(struct world *world, const struct world_conf *conf, uint64_t seed);

/* Ends the engine and asserts that nothing is left behind. */
void world_fini(struct world *world);

enum salt {
	SALT_NONE,
	SALT_INTERVALS,
	SALT_IDENTITY
};

/* For shape: gives the endpoint one more check, like its first one but for name and tier. */
struct check_spec *world_add_check(
	struct world *world, struct endpoint_spec *endpoint, const char *name, enum tier tier);

/* Applies a configuration of the first n endpoints; a salt changes every tenth of them. */
void world_apply(struct world *world, size_t n, enum salt salt);

/* Runs virtual time forward. */
void world_run(struct world *world, usec_t span);

/* Time passes without any turn, as if the process was stopped. */
void world_pause(struct world *world, usec_t span);

/* The process is killed, and after a while the next one begins with a configuration of the first n
 * endpoints and what the memory holds. */
void world_restart(struct world *world, usec_t span, size_t n, enum salt salt);

const struct endpoint_view *world_endpoint(struct world *world, size_t i);

/* SPDX-License-Identifier: MIT */
/*
 * Where the engine and the check kinds meet. The engine owns the probe and starts it; the kind
 * fills probe->result and calls probe->done exactly once per start.
 */
#pragma once

#include "modelhealth/core/result.h"
#include "modelhealth/core/spec.h"

struct client;
struct conf_key;
struct conf_scope;
struct io;

enum {
	MEMORY_TIMES = 4,
	MEMORY_VALUES = 2,
};

/* What a kind knows from earlier runs and must not forget when the process ends. */
struct memory {
	usec_t at[MEMORY_TIMES]; /* monotonic; 0 = never */
	double value[MEMORY_VALUES];
};

struct probe {
	const struct check_spec *spec;
	struct io *io; /* the io services, opaque to the engine */
	void *priv; /* the kind's own, NULL before the first start; probes come and go, it stays */
	usec_t t0;  /* monotonic start of this attempt, set by the engine */
	/* Of a kind that remembers, else NULL: zeros, or what an earlier process left. The engine
	 * keeps what is in it at done. */
	struct memory *memory;
	struct result result;
	/* Set by the engine; the kind calls it when result is complete. The engine only queues the
	 * settlement here, so it is safe from any callback; the probe must not be touched after. */
	void (*done)(struct probe *probe);
};

struct check_kind {
	const char *name; /* as in `kind:` and `type:` */
	const struct conf_key *keys;
	size_t params_size;
	bool remembers; /* its probes have a memory */

	/* Once per load, after the keys are filled into params: checks what one key alone cannot
	 * show and prepares what can be prepared. Sets the endpoint's host, key_hash and
	 * tls_verify; its url is set from the row `url`, when that is a CONF_URL. Also runs when
	 * values are bad (conf_is_partial), which then have their defaults or are zeros, so that
	 * one load shows every mistake. Reports through the scope; 0 or -errno. */
	int (*compile)(struct conf_scope *scope, struct endpoint_spec *endpoint,
		struct check_spec *spec, void *params);

	/* Once per load, when every endpoint is built: finds the endpoints that params name. Errors
	 * as in compile. May be NULL. */
	int (*link)(struct conf_scope *scope, struct endpoint_spec *endpoint,
		struct check_spec *spec, void *params);

	/* Where the check connects and as whom, for checks of other endpoints that do the same.
	 * NULL where that is no HTTP. */
	const struct client *(*client)(const void *params);

	/* Undoes compile, and custom parsers, for what does not live in the arena. Also called when
	 * either failed half-way, or never ran: then params are zeros. May be NULL. */
	void (*dispose)(const void *params);

	/* Returns at once. Ends in exactly one done(), which may come before start returns. */
	void (*start)(struct probe *probe);

	/* Ends a started probe that is not done; afterwards no done() comes for that start. */
	void (*cancel)(struct probe *probe);

	/* Frees probe->priv; the probe is idle. May be NULL. */
	void (*fini)(struct probe *probe);
};

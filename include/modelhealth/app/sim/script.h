/* SPDX-License-Identifier: MIT */
/*
 * What one simulated server does: its settings, the faults that it can have, and when it has them.
 */
#pragma once

#include "modelhealth/base/arena.h"
#include "modelhealth/base/sbuf.h"

enum fault {
	FAULT_DEGENERATE,
	FAULT_DONE_ONLY,
	FAULT_DRIP,
	FAULT_ERROR,
	FAULT_FREEZE,
	FAULT_GARBAGE,
	FAULT_HANG,
	FAULT_LOADING,
	FAULT_NO_FINISH,
	FAULT_OVERLOAD,
	FAULT_PING,
	FAULT_QUOTA,
	FAULT_RATE_LIMIT,
	FAULT_REFUSE,
	FAULT_RESET,
	FAULT_SLOW,
	FAULT_SLOW_TOKENS,
	FAULT_STALL,
	FAULT_STREAM_ERROR,
	FAULT_TRUNCATE,
	FAULT_UNAUTHORIZED,
	FAULT_VANISH,
	FAULT_WRONG_MODEL,
	FAULT_WRONG_TEXT,
	FAULT_N
};

/* A set of faults: bit 1u << fault. */
#define FAULT_BIT(fault) (1u << (fault))

struct fault_desc {
	const char *name;
	const char *help;
	/* For faults that replace every answer. */
	int status;          /* 0 = does not replace the answer */
	const char *headers; /* complete lines */
	const char *body;
};

extern const struct fault_desc fault_table[FAULT_N];

/* False for an unknown name. */
bool fault_from_name(const char *name, enum fault *ret_fault);

/* One line of the schedule: switch the fault on at a time after the start, and off again. */
struct fault_plan {
	enum fault fault;
	usec_t at;
	usec_t duration; /* USEC_NEVER = until it is switched off by hand */
	usec_t every;    /* 0 = once */
};

enum {
	SCRIPT_MAX_PLANS = 16,
	SCRIPT_MAX_SPARED = 8,
	SCRIPT_MAX_DIMENSION = 4096, /* as of the largest models */
};

struct script {
	const char *name;
	const char *listen; /* address:port, [address]:port, 127.0.0.0/8:port or unix:/path */
	const char *model;
	const char *text; /* what chat answers, word by word, over and over */
	uint64_t status;
	const char *body;
	struct sbuf headers; /* extra header lines of the plain answer */
	usec_t delay, jitter;
	usec_t ttft, prefill, gap;
	uint64_t tokens;
	uint64_t dimension; /* of an embedding */
	uint64_t slots;     /* 0 = no limit */
	uint64_t threads;   /* connections served at once, the others wait; 0 = no limit */
	usec_t idle;        /* 0 = idle connections stay */
	const char *tls_certificate, *tls_key;
	struct fault_plan plans[SCRIPT_MAX_PLANS];
	size_t n_plans;
	const char *spared[SCRIPT_MAX_SPARED]; /* paths whose answers no fault touches */
	size_t n_spared;
};

struct script_key {
	const char *name;
	const char *value; /* what --help shows */
	const char *preset;
	const char *help;
	int (*set)(struct script *script, struct arena *arena, size_t offset, const char *text);
	size_t offset;
};

extern const struct script_key script_keys[];
extern const size_t script_keys_count;

/* Sets every key to its preset. 0 or -ENOMEM. */
int script_init(struct script *script, struct arena *arena);
void script_fini(struct script *script);

/*
 * Sets one key from text; strings are copied into the arena. Keys header and fault add, others
 * replace. 0, or -EINVAL with a sentence for the user in ret_error.
 */
int script_set(struct script *script, struct arena *arena, const char *key, const char *text,
	char *ret_error, size_t error_size);

/* Whether the settings make sense together; as script_set. */
int script_check(struct script *script, char *ret_error, size_t error_size);

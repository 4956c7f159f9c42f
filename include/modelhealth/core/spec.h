/* SPDX-License-Identifier: MIT */
/*
 * What is to be checked: the loaded configuration as plain constant data. Everything here lives
 * in the arena of its struct config and never changes after load.
 */
#pragma once

#include "modelhealth/base/arena.h"
#include "modelhealth/base/duration.h"
#include "modelhealth/base/secret.h"
#include "modelhealth/core/health.h"

struct check_kind;
struct config;

/* From cheap to dear. A failing tier suppresses the dearer ones. */
enum tier {
	TIER_TRANSPORT,
	TIER_LIVE,
	TIER_READY,
	TIER_MODELS,
	TIER_LOAD,
	TIER_CANARY,
	TIER_N,
};

const char *tier_token(enum tier tier);

struct timeouts {
	usec_t connect;     /* name, TCP and TLS together */
	usec_t first_byte;  /* from request sent */
	usec_t idle;        /* between two pieces of the answer */
	usec_t total;       /* everything, retries excluded */
	usec_t first_token; /* from request sent, of a model's answer */
};

struct retry {
	uint16_t attempts; /* extra tries after the first */
	usec_t backoff, max_backoff;
};

/* Windowed latency limit: the p-th percentile of the last `last` results. 0 = no limit. */
struct latency_limit {
	usec_t degraded, down;
	uint16_t percentile; /* 50 … 100 */
	uint16_t last;       /* results looked at */
};

/* When an inference is asked for at all. */
enum cost_when {
	COST_ALWAYS,
	COST_IDLE_OR_SUSPICIOUS, /* not while the server's own counters prove progress */
};

/* What a run of the check costs the server; set by the kind's compile. */
struct cost {
	bool is_inference; /* one at a time per host, none while the server is full */
	enum cost_when when;
	uint32_t tokens_a_run; /* estimate: prompt and answer together */
	struct rate tokens;    /* budget; count 0 = none */
	struct rate requests;
};

struct check_spec {
	const char *name; /* unique in its endpoint */
	const struct endpoint_spec *endpoint;
	const struct check_kind *kind;
	enum tier tier;
	usec_t interval, fast_interval, down_interval;
	usec_t jitter; /* most a start is moved, either way */
	struct timeouts timeout;
	struct retry retry;
	struct health_conf health;
	struct latency_limit window_latency;
	struct cost cost;
	const char *const *step_names; /* of a scenario, in order; set by the kind's compile */
	const void *params;            /* the kind's own, filled by its key table */
	uint64_t identity_hash; /* over all keys whose change needs a fresh start of the check */
	uint64_t content_hash;  /* over all keys */
};

struct label {
	const char *name, *value;
};

struct endpoint_spec {
	const struct config *config; /* that it is part of */
	const char *name;            /* unique in the configuration */
	const char *type;            /* a check kind or a profile */
	bool is_profile;             /* type is a profile: its checks ask paths below url */
	const char *const *models;   /* wanted; the first is the one that canaries ask */
	size_t n_models;
	usec_t startup_grace;    /* loading for longer is down (loading_too_long) */
	usec_t stall_after;      /* work without progress for this long is down (stalled) */
	bool refused_is_loading; /* the server opens its port when it has loaded */
	unsigned per_host;       /* checks in flight to its host; 0 = limits.per_host */
	const char *group;       /* NULL = none */
	const char *url;         /* as configured, userinfo and query redacted: for display */
	const char *host;        /* "host:port" or socket path; the unit of per-host limits */
	uint64_t key_hash;       /* of the credential; the unit of per-key limits; 0 = none */
	const struct label *labels;
	size_t n_labels;
	struct check_spec *checks;
	size_t n_checks;
	const char *const *disabled; /* names of checks of its type that are switched off */
	size_t n_disabled;
	struct rate rate; /* of this endpoint's starts; count 0 = no limit */
	bool tls_verify;  /* false is shown wherever the endpoint is shown */
	const char *file; /* where it is configured */
	unsigned line;
};

struct limits {
	unsigned concurrency;      /* checks in flight */
	unsigned per_host;         /* … for one endpoint_spec.host */
	struct rate per_host_rate; /* starts; count 0 = no limit */
	struct rate per_key_rate;
	unsigned status_clients;
	unsigned status_clients_per_source;
};

/* A value that --dump-config shows otherwise, because a secret is part of it. */
struct hidden {
	const char *value; /* the very pointer that stands in the configuration */
	const char *shown; /* the value with *** for the secret */
};

/* A block of addresses, IPv4 as v4-mapped IPv6. */
struct address_block {
	uint8_t address[16];
	uint8_t prefix; /* bits */
};

/* Something that goes with the configuration. */
struct config_end {
	void (*dispose)(void *value);
	void *value;
	struct config_end *next;
};

struct config {
	unsigned refs;
	unsigned generation; /* 1 for the first load, +1 for each reload that succeeded */
	struct arena arena;
	struct config_end *ends; /* newest first */
	unsigned n_files;        /* that it was read from, without profiles */
	const char *path;
	const char *const *listen; /* "127.0.0.1:9877", "[::1]:9877", "unix:/path" */
	size_t n_listen;
	const char *const
		*allowed_hosts; /* Host names accepted besides IP literals and localhost */
	size_t n_allowed_hosts;
	struct limits limits;
	const struct address_block *deny_addresses;
	size_t n_deny_addresses;
	const char *const *witnesses; /* endpoint names that stand for our own network */
	size_t n_witnesses;
	struct endpoint_spec *endpoints; /* in file order */
	size_t n_endpoints;
	const struct endpoint_spec **by_name; /* sorted */
	const struct hidden *hidden;          /* sorted by value */
	size_t n_hidden;
};

struct config *config_ref(struct config *config);

/* Frees at the last reference. Secrets are wiped. NULL is fine; returns NULL. */
struct config *config_unref(struct config *config);

const struct endpoint_spec *config_find(const struct config *config, const char *name);

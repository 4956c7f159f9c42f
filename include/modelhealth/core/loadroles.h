/* SPDX-License-Identifier: MIT */
/*
 * Which of a server's own metrics say what we want to know of its load: `roles:` of the load
 * check, and what one scrape says by them.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/core/promtext.h"

enum load_role {
	ROLE_RUNNING,  /* requests being worked on */
	ROLE_WAITING,  /* requests in the queue */
	ROLE_KV_USAGE, /* of the cache for keys and values, 0 … 1 */
	ROLE_KV_USED,  /* the same as two numbers */
	ROLE_KV_CAPACITY,
	ROLE_PROGRESS,          /* counters that grow while work is done */
	ROLE_PROMPT_TOKENS,     /* counter */
	ROLE_GENERATION_TOKENS, /* counter */
	ROLE_TTFT,              /* histogram */
	ROLE_ITL,               /* histogram */
	LOAD_ROLE_N,
};

enum {
	LOAD_ROLE_MAX_NAMES = 16, /* of one role */
};

struct metric_name {
	const char *name;
	size_t stem;                         /* bytes of name without _total */
	const struct promtext_label *labels; /* that a sample must carry */
	size_t n_labels;
};

/* A CONF_CUSTOM field: names in order of preference. */
struct role_names {
	const char *source; /* as configured; NULL = none */
	const struct metric_name *items;
	size_t n;
};

struct load_roles {
	struct role_names role[LOAD_ROLE_N];
};

extern const struct conf_key load_role_keys[]; /* into struct load_roles */

/* What is known of one metric while a scrape is read. */
struct metric_sum {
	bool is_seen, is_variant_seen, has_sum, has_count;
	double value;      /* of the name as configured */
	double variant;    /* of the name with or without _total */
	double sum, count; /* of a histogram */
};

/* A histogram's sum and count: only their growth means something. */
struct role_mean {
	bool is_seen;
	size_t item; /* which of the names it is of */
	double sum, count;
	double seconds; /* in one unit of sum */
};

/* What one scrape says. */
struct load_scrape {
	uint32_t seen; /* bits 1u << ROLE_x */
	double value[LOAD_ROLE_N];
	struct role_mean mean[LOAD_ROLE_N]; /* of roles without a plain value */
};

/* Adds samples up as they come: the ctx of a struct promtext. */
struct load_reader {
	const struct load_roles *roles;
	struct metric_sum sums[LOAD_ROLE_N][LOAD_ROLE_MAX_NAMES];
};

/* promtext_fn and promtext.is_wanted. */
bool load_reader_wants(void *reader, const char *name, size_t len);
void load_reader_add(void *reader, const struct promtext_sample *sample);

/*
 * The first name of a role that is there counts, so that an old and a new name of one thing are
 * not added up; of progress all count. A name's series are added up; of kv_usage the largest
 * counts. Numbers that are not finite are left out.
 */
void load_reader_end(const struct load_reader *reader, struct load_scrape *ret_scrape);

/* SPDX-License-Identifier: MIT */
/*
 * Parameters of the canary check, filled at load.
 */
#pragma once

#include "modelhealth/checks/client.h"
#include "modelhealth/core/answertext.h"
#include "modelhealth/core/dialect.h"
#include "modelhealth/core/embedding.h"
#include "modelhealth/core/modellist.h"

/* A decimal number of the configuration. */
struct decimal {
	const char *source; /* as configured; NULL = unset */
	double value;
};

struct golden {
	const char *source; /* NULL = the first good answer */
	struct embedding embedding;
};

struct canary_embedding {
	unsigned dimension; /* 0 = any */
	struct golden golden;
	struct decimal min_cosine, min_norm;
};

struct canary_expect {
	struct answer_text text;
	struct conf_strings finish; /* allowed reasons; none = any */
	bool is_degenerate_refused;
	bool is_usage_wanted;
	struct canary_embedding embedding;
};

struct canary_budget {
	struct rate requests, tokens;
};

/* Tokens a second. */
struct canary_speed {
	struct decimal degraded_below, down_below;
};

enum canary_wake {
	WAKE_NEVER,
	WAKE_ALLOWED
};

struct canary_params {
	/* filled by the key table */
	struct client client;
	const char *mode, *model, *prompt;
	const char *metadata_path; /* template */
	uint16_t max_tokens;       /* 0 = the dialect's */
	struct dialects modes;
	struct rules rules, errors;
	struct canary_expect expect;
	struct expect_limits ttft, inter_token;
	struct canary_speed tokens_per_second;
	struct canary_budget budget;
	struct model_list loaded; /* path NULL = every model is always in memory */
	int when;                 /* enum cost_when */
	int wake;                 /* enum canary_wake */
	bool is_model_checked;
	uint64_t max_body_bytes;
	/* filled by canary_compile */
	const struct dialect *dialect; /* the one of mode */
	struct url *url;
	struct url *loaded_url;   /* NULL = not to be looked up */
	struct url *metadata_url; /* NULL = the dialect has a body */
	struct http_header *sent; /* those of client and Content-Type */
	size_t n_sent;
	const char *loaded_body;     /* NULL = none */
	const char *max_tokens_text; /* of the request */
	struct embedding_limits embedding;
};

extern const struct conf_key canary_keys[];

/* As in struct check_kind. */
int canary_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params);
void canary_dispose(const void *params);

/* Whether answers are compared with an earlier one: then the question stays the same. */
bool canary_compares(const struct canary_params *canary);

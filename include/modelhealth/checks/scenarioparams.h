/* SPDX-License-Identifier: MIT */
/*
 * What a scenario does: its steps as configured and compiled. Constant after load.
 */
#pragma once

#include "modelhealth/checks/client.h"
#include "modelhealth/core/expect.h"
#include "modelhealth/core/rules.h"

enum {
	SCENARIO_MAX_STEPS = RESULT_MAX_STEPS,
	SCENARIO_MAX_CAPTURES = 16, /* of all steps together */
};

/* A value of an answer that later steps use under its name. */
struct scenario_capture {
	const char *name;
	const char *pointer;
};

struct scenario_step {
	/* filled by the key table */
	const char *name;
	const char *endpoint_name;
	struct client own; /* of a step that names no endpoint */
	const char *method, *path, *body;
	struct conf_map capture_map;
	struct expect expect;
	struct rules rules, errors;
	struct timeouts timeout;
	uint64_t max_body_bytes;
	int cost; /* enum scenario_cost */
	/* filled by scenario_compile and scenario_link */
	const struct client *client; /* its own, or that of another endpoint's check */
	const char *model;           /* what ${model} stands for; NULL = nothing */
	struct http_header *sent;    /* the client's headers and those of the body */
	size_t n_sent;
	struct url *url;    /* with captures standing for themselves */
	const char *prefix; /* of a path with captures: what stands in front of it */
	bool is_status_expected;
	const struct scenario_capture *captures;
	size_t n_captures;
	size_t n_known; /* captures of the steps before */
};

enum scenario_cost {
	SCENARIO_COST_NONE,
	SCENARIO_COST_INFERENCE,
};

struct scenario_params {
	const char *steps_source; /* as configured, secrets hidden */
	const char *prompt;
	const struct node *list; /* of the steps, between compile and link */
	struct scenario_step *steps;
	size_t n_steps;
	/* of all steps, in order; a step knows the first n_known */
	struct scenario_capture *captures;
	size_t n_captures;
};

/* The name under which a body finds the prompt. */
extern const char scenario_prompt_name[];

extern const struct conf_key scenario_keys[];

/* As in struct check_kind. */
int scenario_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params);
int scenario_link(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params);
void scenario_dispose(const void *params);

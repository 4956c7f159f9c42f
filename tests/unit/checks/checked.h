/* SPDX-License-Identifier: MIT */
/*
 * Configurations from YAML text with the real check kinds.
 */
#pragma once

#include "../io/bench.h"
#include "modelhealth/checks/httpparams.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/io/io.h"

struct checked {
	struct arena arena;
	struct config *config; /* NULL when there were errors */
	struct sbuf errors;    /* one a line */
};

void checked_load(struct checked *checked, const char *yaml);
void checked_fini(struct checked *checked);

/* One http endpoint "a" with these lines of YAML, each to be indented by four blanks. */
void checked_http(struct checked *checked, const char *url, const char *lines);

/* The first endpoint's first check. */
const struct check_spec *checked_spec(const struct checked *checked);
const struct http_params *checked_params(const struct checked *checked);

/* A check that runs on a bench. */
struct runner {
	struct bench bench;
	struct io io;
	struct probe probe;
	unsigned done;
};

void runner_open(struct runner *runner, const struct checked *checked);
void runner_close(struct runner *runner);

/* Starts the check and runs the loop until it is done; returns the reason's token. */
const char *runner_run(struct runner *runner);
void runner_start(struct runner *runner);

/* SPDX-License-Identifier: MIT */
/*
 * Configurations from trees, for tests: loads, and says what went wrong as one text.
 */
#pragma once

#include "fake_kind.h"
#include "tree.h"

struct loaded {
	struct tree tree;
	struct config *config; /* NULL when there were errors */
	struct sbuf errors;    /* one a line */
};

/* Starts with one endpoint "a" of type fake with a url; tests set more, then call loaded_build. */
void loaded_init(struct loaded *loaded);
void loaded_build(struct loaded *loaded);
void loaded_fini(struct loaded *loaded);

/* Params of the i-th endpoint's first check. */
const struct fake_params *loaded_params(const struct loaded *loaded, size_t i);

/* The i-th endpoint's first check. */
const struct check_spec *loaded_check(const struct loaded *loaded, size_t i);

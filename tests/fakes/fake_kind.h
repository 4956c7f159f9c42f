/* SPDX-License-Identifier: MIT */
/*
 * Check kinds for tests of the configuration: `fake` has a key of every type, `bare` only a url.
 * Neither can be started.
 */
#pragma once

#include "modelhealth/core/check.h"
#include "modelhealth/core/conf.h"

struct fake_expect {
	uint64_t status; /* CONF_CUSTOM: a whole number */
	usec_t latency;
};

struct fake_params {
	const char *url;
	const char *method;
	const char *body;
	struct conf_map headers;
	struct secret api_key;
	struct conf_strings models;
	uint64_t max_body;
	struct rate budget;
	struct fake_expect expect;
	int version;
	bool reuse;
	bool is_compiled;
};

/* fake and bare, then NULL. */
extern const struct check_kind *const fake_kinds[];

/* Parameters that compile has seen and dispose has not. */
extern int fake_kind_live;

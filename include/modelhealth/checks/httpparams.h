/* SPDX-License-Identifier: MIT */
/*
 * Parameters of the http check, filled at load.
 */
#pragma once

#include "modelhealth/checks/client.h"
#include "modelhealth/core/expect.h"
#include "modelhealth/core/rules.h"

enum on_limit {
	ON_LIMIT_FAIL,
	ON_LIMIT_STATUS_ONLY
};

struct http_params {
	/* filled by the key table */
	struct client client;
	const char *method;
	const char *path, *body; /* templates */
	int on_limit;            /* enum on_limit */
	uint16_t redirects;
	bool reuse;
	uint64_t max_body_bytes;
	struct rules rules, errors;
	struct expect expect;
	/* filled by http_compile */
	const struct url *url;   /* what to ask: joined, or the client's */
	struct url *joined;      /* owned; NULL = there is no path */
	const char *filled_body; /* body with its names filled; NULL = none */
};

extern const struct conf_key http_keys[];

/* As in struct check_kind. */
int http_compile(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params);
void http_dispose(const void *params);

/* SPDX-License-Identifier: MIT */
/*
 * Parameters of the http check, filled at load.
 */
#pragma once

#include "modelhealth/checks/target.h"
#include "modelhealth/core/expect.h"

enum on_limit {
	ON_LIMIT_FAIL,
	ON_LIMIT_STATUS_ONLY
};

struct http_params {
	/* filled by the key table */
	struct target target;
	const char *method, *path, *body;
	struct conf_map headers;
	struct secret api_key;
	int http_version; /* enum http_version */
	int on_limit;     /* enum on_limit */
	uint16_t redirects;
	bool reuse;
	uint64_t max_header_bytes, max_body_bytes;
	struct expect expect;
	/* filled by http_compile */
	struct http_header *sent; /* to the configured origin: the configured and the made-up */
	size_t n_sent;
	bool has_secret;
};

/* What any other origin gets. */
extern const struct http_header http_user_agent;

extern const struct conf_key http_keys[];

/* As in struct check_kind. */
int http_compile(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params);
void http_dispose(const void *params);

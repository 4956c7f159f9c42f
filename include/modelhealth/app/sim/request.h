/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 requests as the simulated servers read them: small and bounded, and no more of the
 * protocol than a probe uses.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	REQUEST_MAX_HEAD = 8 * 1024,
	REQUEST_MAX_BODY = 64 * 1024
};

/* A piece of the connection's buffer; not NUL-terminated. */
struct slice {
	const char *data;
	size_t len;
};

struct request {
	struct slice method, path, query, host, body; /* borrowed from the parsed buffer */
	bool is_head;                                 /* the answer has no body */
	bool keep_alive;
	size_t size; /* bytes of the buffer that the request took */
};

/*
 * Reads one request from the beginning of data. Returns 1 when it is complete, 0 when bytes are
 * missing, -EBADMSG (not HTTP), -E2BIG (head or body over its limit) or -ENOTSUP (a body without
 * Content-Length).
 */
int request_parse(const char *data, size_t len, struct request *ret_request);

bool slice_is(struct slice slice, const char *text);

/* The value of a query parameter, as sent; false when it is absent or does not fit. */
bool request_parameter(
	const struct request *request, const char *name, char *ret_value, size_t value_size);

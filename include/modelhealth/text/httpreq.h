/* SPDX-License-Identifier: MIT */
/*
 * Reading an HTTP/1 request, strictly: what could be understood in two ways is refused, so that no
 * proxy in front of us can see another request than we do. Bodies are only ever small and ignored.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	HTTPREQ_MAX_HEAD = 8192, /* request line and header fields */
	HTTPREQ_MAX_BODY = 4096,
	HTTPREQ_MAX_FIELDS = 64,
	HTTPREQ_MAX_PARAMS = 16
};

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
};

struct httpreq_param {
	const char *name, *value; /* decoded */
};

struct httpreq {
	enum http_method method;
	const char *path; /* decoded; begins with '/', has no "//", "." or ".." segment */
	struct httpreq_param params[HTTPREQ_MAX_PARAMS]; /* of the query, each name once */
	size_t n_params;
	const char *host; /* without port, brackets kept; NULL = none (HTTP/1.0) */
	const char *accept, *if_none_match; /* NULL = none; the last of several */
	size_t content_length;
};

/*
 * Looks at a request as it arrives. data is all that has arrived, *at what earlier calls have
 * already seen (0 at first). Returns the length of the head once it is complete, 0 while more is
 * needed, or minus the HTTP status to refuse with, as early as that is certain.
 */
int httpreq_scan(const char *data, size_t len, size_t *at);

/*
 * Takes a complete head apart, in place; it keeps owning the text, to which ret_request points.
 * Returns 0 or minus the HTTP status to refuse with.
 */
int httpreq_parse(char *head, size_t len, struct httpreq *ret_request);

/* The value of a query parameter, or NULL. */
const char *httpreq_param(const struct httpreq *request, const char *name);

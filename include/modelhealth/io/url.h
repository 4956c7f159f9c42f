/* SPDX-License-Identifier: MIT */
/*
 * URLs taken apart and checked once, by libcurl's own parser, so that what we judge (origin,
 * address) is what gets connected.
 */
#pragma once

#include "modelhealth/base/defs.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/base/secret.h"

enum url_scheme {
	URL_GRPC,  /* HTTP/2 without TLS, without asking first */
	URL_GRPCS, /* HTTP/2 over TLS */
	URL_HTTP,
	URL_HTTPS,
	URL_SOCKS5H, /* a proxy that resolves names itself */
	URL_TCP,
	URL_TLS, /* TCP with TLS on it */
	URL_SCHEME_N,
};

enum {
	URL_MAX_BYTES = 8192,
	URL_MAX_HOST = 253,
};

/* Immutable; one block of memory. */
struct url {
	enum url_scheme scheme;
	uint16_t port;
	bool is_tls;
	const char *scheme_text;
	const char *host;             /* lower case, IPv6 without brackets, IPv4 as dotted quad */
	const char *target;           /* path and query, starts with '/' */
	struct secret user, password; /* percent-decoded */
};

/*
 * Parses an absolute URL whose scheme is one of `schemes` (bits 1u << URL_x). Returns 0 and an
 * owned url, -EINVAL, -EPROTONOSUPPORT (another scheme) or -ENOMEM; for the first two *ret_error
 * says why, in words that hold nothing of the URL.
 */
int url_parse(const char *text, unsigned schemes, struct url **ret_url, const char **ret_error);

/* Appends "http:// or https://" for the bits 1u << URL_x. */
void url_scheme_names(unsigned schemes, struct sbuf *out);

/* Resolves a reference (a Location header, a path) against base; user and password of base are
 * not carried over. As url_parse. */
int url_join(const struct url *base, const char *reference, unsigned schemes, struct url **ret_url,
	const char **ret_error);

/* base, without user and password, with this path and query: for those that hold text of a peer,
 * which must not lead elsewhere. 0, -EINVAL when no URL has exactly this target (too long, or . and
 * .. among its segments) or -ENOMEM. */
int url_retarget(const struct url *base, const char *target, struct url **ret_url);

/* Wipes user and password. */
struct url *url_free(struct url *url);
void url_freep(struct url **url);

/* Same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);

/* Whether the port need not be written. */
bool url_has_default_port(const struct url *url);

/* SPDX-License-Identifier: MIT */
/*
 * `rules:` of a check: what an answer of this kind of server means. The first rule whose parts all
 * hold gives the reason. Profiles are made of them.
 *
 *   rules:
 *     - { status: 503, json: { /error/message: Loading model }, reason: loading }
 *     - { status: 400, body: "", reason: loading }
 *     - { status: 200, all: { /indexes/STAR/status/ready: true }, reason: ok }   (STAR = *)
 *
 * Parts: status (as in expect), header, json (as in expect; a pointer with * asks for some
 * element), all (the same, but every element, and at least one), body (a scalar is the whole body
 * without surrounding white space; or a mapping of starts_with, contains, matches), message (an own
 * detail instead of the server's words).
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/core/result.h"

struct rule;

/* A CONF_CUSTOM field: a list of rules. */
struct rules {
	const char *source; /* as configured; NULL = none */
	const struct rule *items;
	size_t n;
};

extern const struct conf_custom rules_custom;
void rules_dispose(const struct rules *rules);

/* An answer, whole or as far as it was read. */
struct answer {
	uint32_t http_status; /* 0 = no HTTP: then rules without status alone can hold */
	const char *(*header)(void *ctx, const char *name, size_t index); /* NULL = no headers */
	void *ctx;
	const char *body; /* NUL-terminated */
	size_t body_len;
};

/* The body is parsed as JSON once, by the first rule that needs it. */
bool rules_need_body(const struct rules *rules);

/*
 * Sets result by the first rule of `rules`, else of `errors` (NULL = none), that holds. False when
 * none does; the result stays then. The detail holds the server's own words: the error message of
 * its body in any of the known shapes, sanitised, else what was seen.
 */
bool rules_judge(const struct rules *rules, const struct rules *errors, const struct answer *answer,
	struct result *result);

/* The server's own words of an error body: /error/message, /error, /message, /detail … or "" */
void rules_error_text(const char *body, size_t len, struct sbuf *out);

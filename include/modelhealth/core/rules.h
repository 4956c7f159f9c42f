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

#include "modelhealth/core/condition.h"
#include "modelhealth/core/result.h"

struct rule;

/* A CONF_CUSTOM field: a list of rules. The configuration owns them. */
struct rules {
	const char *source; /* as configured; NULL = none */
	const struct rule *items;
	size_t n;
};

extern const struct conf_custom rules_custom;

/* A row `rules` or `errors` of a kind's table: `member` of struct `params` is the struct rules. */
#define RULES_KEY(params, member)                                                                  \
	{                                                                                          \
		.name = "rules", .type = CONF_CUSTOM, .custom = &rules_custom,                     \
		.effect = EFFECT_UPDATE, .offset = offsetof(params, member),                       \
		.example = "[ { status: 503, body: { contains: starting }, reason: loading } ]",   \
		.help = "What an answer means: a list of rules, of which the first whose parts "   \
			"all hold gives the reason. Parts are status, header and json as under "   \
			"expect, all (as json, but for every element that * stands for), body "    \
			"(the whole of it, or a mapping of starts_with, contains and matches), "   \
			"and message, a detail of your own instead of the server's words. Where "  \
			"none holds, errors and then expect decide; where the reason is ok, what " \
			"expect sets must hold too."                                               \
	}
#define ERRORS_KEY(params, member)                                                             \
	{                                                                                      \
		.name = "errors", .type = CONF_CUSTOM, .custom = &rules_custom,                \
		.effect = EFFECT_UPDATE, .offset = offsetof(params, member),                   \
		.example = "[ { status: [ 401, 403 ], reason: auth_failed } ]",                \
		.help = "More rules, tried when none of rules holds: what the errors of this " \
			"server mean, whatever the check asks."                                \
	}

/* An answer, whole or as far as it was read. */
struct answer {
	uint32_t http_status; /* 0 = no HTTP: then rules without status alone can hold */
	header_fn header;     /* NULL = no headers */
	void *ctx;
	const char *body; /* NUL-terminated */
	size_t body_len;
};

/* Whether answers must be kept: for the rules' parts, and for the server's words in the detail. */
/* As rules_judge, for a request that names no model: that by errors a model is missing then means
 * that there is no such path, so that the request was wrong (bad_probe). */
bool rules_judge_unnamed(const struct rules *rules, const struct rules *errors,
	const struct answer *answer, struct result *result);

bool rules_need_body(const struct rules *rules);

/*
 * Sets result by the first rule of `rules`, else of `errors` (NULL = none), that holds. False when
 * none does; the result stays then. The detail holds the server's own words: the error message of
 * its body in any of the known shapes, sanitised, else what was seen.
 */
bool rules_judge(const struct rules *rules, const struct rules *errors, const struct answer *answer,
	struct result *result);

/* Appends the server's own words, not sanitised: the message of a JSON body in any of the known
 * shapes (/error/message, /message, /detail …), the title of an HTML page, else the beginning of
 * the body. body is NUL-terminated. */
void rules_error_text(const char *body, size_t len, struct sbuf *out);

/* SPDX-License-Identifier: MIT */
/*
 * What one value of an answer (a header, a JSON value) must be: the right-hand side of
 * `header:` and `json:` under `expect:`.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/text/json.h"
#include "modelhealth/text/regex.h"

/* A scalar of the configuration: "5" is a string where 5 is a number. */
struct wanted {
	const char *text; /* NULL = not asked for */
	bool is_quoted;
};

enum existence {
	EXISTENCE_WANTED,
	EXISTENCE_UNWANTED
};

/* All parts that are set must hold. */
struct condition {
	const char *source;    /* as configured, as flow YAML; for dumps and messages */
	enum verdict severity; /* VERDICT_DOWN or VERDICT_DEGRADED */
	enum existence existence;
	struct wanted equals, not_equals;
	const struct wanted *in;
	size_t n_in;
	const char *contains;
	struct regex *matches, *not_matches;
	bool has_min, has_max;
	double min, max;
};

/* A value that was found. */
struct observed {
	const char *text;
	size_t len;
	enum json_kind kind; /* JSON_STRING for what is no JSON */
};

/* Reads a scalar (= equals) or a mapping of the parts. The regexes are owned: condition_dispose,
 * also after an error. 0 or -errno after reporting. */
int condition_parse(struct conf_scope *scope, const struct node *node, struct condition *condition);
void condition_dispose(const struct condition *condition);

/* Gives the index-th header of a name, NULL when there are no more. */
typedef const char *(*header_fn)(void *ctx, const char *name, size_t index);

/* Whether some header of that name satisfies the condition, or there is none, when it must not
 * exist. A header of NULL is an answer without any. */
bool condition_holds_of_header(
	const struct condition *condition, header_fn header, void *ctx, const char *name);

/* What a pointer with * must find. */
enum condition_scope {
	CONDITION_SOME, /* one value that satisfies the condition */
	CONDITION_EVERY /* at least one value, and none that does not */
};

/* Whether the condition holds of what the pointer finds; of nothing, when it must not exist. */
bool condition_holds_at(const struct condition *condition, const struct json *json,
	const char *pointer, enum condition_scope scope);

/* A JSON value as a condition sees it; text is NULL when memory is out. */
struct observed condition_observe(const struct json *value);

/* SPDX-License-Identifier: MIT */
/*
 * Reading JSON from outside, over json-c, with a depth limit, UTF-8 validation and RFC 6901
 * pointers that have one addition: the segment "*" stands for every element of an array or every
 * member of an object.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct json; /* a value; borrowed from its document unless json_parse returned it */

enum json_kind {
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

enum {
	JSON_MAX_DEPTH = 64,
	/* An array or object counts as four. A tree of so many is built and freed in half of the
	 * 100 ms that a turn of the loop may take. */
	JSON_MAX_VALUES = 200 * 1000
};

/*
 * Strict RFC 8259 (leading BOM accepted, nothing after the value but blanks). Lone surrogate escapes
 * become U+FFFD, of equal names in an object the last one counts. Returns 0 and an
 * owned document, -EINVAL (not JSON), -E2BIG (nested deeper than JSON_MAX_DEPTH), -EFBIG (more than
 * JSON_MAX_VALUES) or -ENOMEM.
 */
int json_parse(const char *text, size_t len, struct json **ret_json);
void json_free(struct json *json);
void json_freep(struct json **json);

enum json_kind json_kind(const struct json *json);

/* Calls visit for each value the pointer names, until visit returns false. Returns how many were
 * visited. The empty pointer names the document itself. */
size_t json_find(const struct json *json, const char *pointer,
	bool (*visit)(void *ctx, const struct json *value), void *ctx);

/* The first value the pointer names, or NULL. */
const struct json *json_at(const struct json *json, const char *pointer);

/* NULL / false when the value has another type. String length in ret_len (may hold NUL). Numbers are
 * finite: what is beyond a double becomes the largest one, an integer beyond 64 bits the largest
 * integer. */
const char *json_string(const struct json *json, size_t *ret_len);
bool json_number(const struct json *json, double *ret_number);
bool json_boolean(const struct json *json, bool *ret_bool);
size_t json_length(const struct json *json); /* elements or members; 0 for scalars */

/* Compact text of a value, for messages; sanitise before showing. Borrowed until json_free. */
const char *json_text(const struct json *json);

/* Whether text is a pointer: "" or starts with "/", and "~" only as "~0" or "~1". */
bool json_pointer_is_valid(const char *pointer);

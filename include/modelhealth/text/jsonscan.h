/* SPDX-License-Identifier: MIT */
/*
 * Reads a few known places of a JSON document in one pass, without building a tree: for the events
 * of a stream, of which a thousand may come each second. The whole document is checked by the
 * grammar of RFC 8259 on the way.
 *
 * Pointers are those of text/json.h; of several values that a "*" stands for the first one counts.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/text/json.h"

#include <sys/types.h>

enum {
	JSON_SCAN_MAX_POINTERS = 64,
	JSON_SCAN_MAX_SEGMENTS = 16 /* of one pointer; a longer one names nothing */
};

/* A value as it stands in the text, which it borrows. */
struct json_span {
	const char *text; /* of a string: what is between the quotes */
	size_t len;
	enum json_kind kind;
	bool has_escapes;
};

struct json_scan;

/* Copies the pointers, each of which json_pointer_is_valid() accepts; not more than
 * JSON_SCAN_MAX_POINTERS. Returns owned, NULL when memory is out. */
struct json_scan *json_scan_new(const char *const *pointers, size_t n);
struct json_scan *json_scan_free(struct json_scan *scan);

/*
 * Sets spans[i] and bit i of ret_found for each pointer i that names a value. Bytes above 0x7f are
 * taken inside strings as they are: well-formed or not. Returns 0, -EINVAL (not JSON), -ENODATA (the
 * text ends too early: with more bytes it might become JSON) or -E2BIG (nested deeper than
 * JSON_MAX_DEPTH).
 */
int json_scan(const struct json_scan *scan, const char *text, size_t len, uint64_t *ret_found,
	struct json_span *spans);

/* What there is in a document. */
struct json_extent {
	size_t depth;  /* of its nesting; 0 for a scalar */
	size_t values; /* scalars */
	size_t levels; /* arrays and objects */
};

/* Whether text is JSON at all, by the same rules and with the same errors. */
int json_check(const char *text, size_t len, struct json_extent *ret_extent);

/* Appends a string with its escapes decoded; lone surrogates become U+FFFD. */
void json_span_decode(const struct json_span *span, struct sbuf *out);

/* False when it is no number. What is beyond a double is infinite. */
bool json_span_number(const struct json_span *span, double *ret_number);

/* Reads an array of numbers into numbers[0 … n-1]. Returns how many it has, of which the first n
 * are stored, or -EINVAL when it is no array or one of its elements is no number. */
ssize_t json_span_numbers(const struct json_span *span, double *numbers, size_t n);

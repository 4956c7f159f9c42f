/* SPDX-License-Identifier: MIT */
/*
 * JSON and pointers into it. The input is a pointer, a newline and a document. What is accepted is
 * written back as text that is accepted too, and names no more values than the document has bytes.
 * The scan without a tree accepts the same and finds the same.
 */
#include "modelhealth/text/json.h"

#include "fuzz.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/text/jsonscan.h"
#include "modelhealth/text/sanitise.h"

#include <math.h>
#include <stdlib.h>

static bool on_value(void *ctx, const struct json *value)
{
	struct sbuf *seen = ctx;
	double number;
	size_t len;

	if (json_number(value, &number))
		must(isfinite(number));
	if (json_string(value, &len))
		must(json_kind(value) == JSON_STRING && json_length(value) == 0);
	sbuf_putc(seen, '.');
	return seen->len < 10000;
}

static void check_rewritten(const struct json *json)
{
	const char *text = json_text(json);
	struct json *again = NULL;

	/* json-c writes an integer that it could not hold as the largest that it can. */
	must(json_parse(text, strlen(text), &again) == 0);
	must(json_kind(again) == json_kind(json) && json_length(again) == json_length(json));
	json_free(again);
}

/* What both ways of reading name in the same words. json-c ends names at a NUL; of several values
 * that a star stands for, equal names come in another order. */
static bool is_comparable(const char *pointer, const char *document, size_t len)
{
	size_t segments = 0;

	for (const char *at = pointer; *at; at++)
		segments += *at == '/';
	return json_pointer_is_valid(pointer) && !strchr(pointer, '*') && strlen(pointer) < 200 &&
	       segments <= JSON_SCAN_MAX_SEGMENTS && !memmem(document, len, "\\u0000", 6);
}

static void check_scan(
	const char *pointer, const char *document, size_t len, const struct json *json)
{
	struct json_scan *scan = json_scan_new(&pointer, 1);
	const struct json *value = json ? json_at(json, pointer) : NULL;
	struct json_span span;
	uint64_t found = 0;
	int r;

	must(scan);
	r = json_scan(scan, document, len, &found, &span);
	(void)json_scan_free(scan); /* always NULL */
	if (!utf8_is_valid(document, len))
		return; /* which the scan leaves to its caller */
	must((r == 0) == (json != NULL));
	if (r < 0)
		return;
	must((found != 0) == (value != NULL));
	must(!value || json_kind(value) == span.kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	struct sbuf seen = SBUF_INIT;
	struct json *json = NULL;
	const char *document;
	char *pointer;
	size_t len;

	if (!newline)
		return 0;
	pointer = strndup((const char *)data, (size_t)(newline - data));
	must(pointer);
	document = (const char *)newline + 1;
	len = size - (size_t)(newline - data) - 1;
	if (json_parse(document, len, &json) == 0) {
		check_rewritten(json);
		must(json_find(json, pointer, on_value, &seen) == seen.len);
		must(seen.len <= len);
		must(seen.len == 0 || json_pointer_is_valid(pointer));
		must((json_at(json, pointer) != NULL) == (seen.len > 0));
	}
	if (is_comparable(pointer, document, len) &&
		(len < 3 || memcmp(document, "\xef\xbb\xbf", 3) != 0))
		check_scan(pointer, document, len, json);
	json_free(json);
	sbuf_fini(&seen);
	free(pointer);
	return 0;
}

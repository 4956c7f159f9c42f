/* SPDX-License-Identifier: MIT */
/*
 * JSON and pointers into it. The input is a pointer, a newline and a document. What is accepted is
 * written back as text that is accepted too, and names no more values than the document has bytes.
 */
#include "modelhealth/text/json.h"

#include "fuzz.h"

#include "modelhealth/base/sbuf.h"

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
	json_free(json);
	sbuf_fini(&seen);
	free(pointer);
	return 0;
}

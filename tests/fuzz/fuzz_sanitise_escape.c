/* SPDX-License-Identifier: MIT */
/*
 * Text from outside on its way to the outputs. The first byte is the size of the buffer. What
 * sanitise() writes is valid, bounded and on one line, and each writer keeps its format.
 */
#include "modelhealth/text/sanitise.h"

#include "fuzz.h"

#include "modelhealth/text/json.h"
#include "modelhealth/text/write.h"

#include <stdlib.h>

static void check_sanitised(const char *text, size_t len, size_t size)
{
	char *dst = malloc(size), *again = malloc(size);
	size_t n;

	must(dst && again);
	n = sanitise(dst, size, text, len);
	must(n < size && strlen(dst) == n && utf8_is_valid(dst, n));
	for (size_t i = 0; i < n; i++)
		must((unsigned char)dst[i] >= ' ' && dst[i] != '\x7f');
	must(!strstr(dst, "  ") && (n == 0 || (dst[0] != ' ' && dst[n - 1] != ' ')));
	must(sanitise(again, size, dst, n) == n && strcmp(dst, again) == 0);
	free(dst);
	free(again);
}

static void check_json(const char *text, size_t len)
{
	struct sbuf out = SBUF_INIT;
	struct jw jw = { .out = &out };
	struct json *json = NULL;
	const char *value;
	size_t value_len = 0;

	jw_array(&jw);
	jw_string_len(&jw, text, len);
	jw_array_end(&jw);
	must(json_parse(out.data, out.len, &json) == 0 && json_length(json) == 1);
	value = json_string(json_at(json, "/0"), &value_len);
	must(value);
	if (utf8_is_valid(text, len))
		must(value_len == len && (len == 0 || memcmp(value, text, len) == 0));
	json_free(json);
	sbuf_fini(&out);
}

static void check_label(const char *text)
{
	struct sbuf out = SBUF_INIT;
	size_t i = strlen("n=\"");

	prom_label(&out, "n", text);
	must(utf8_is_valid(out.data, out.len) && !strchr(out.data, '\n'));
	for (; out.data[i] != '"'; i++)
		if (out.data[i] == '\\')
			i++;
	must(i + 1 == out.len);
	sbuf_fini(&out);
}

static void check_plain(const char *text, size_t max_bytes)
{
	struct sbuf out = SBUF_INIT;

	plain_text(&out, text, max_bytes);
	must(!out.failed && out.len <= max_bytes && !strchr(sbuf_str(&out), '\n'));
	sbuf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	must(text);
	check_sanitised((const char *)data + 1, size - 1, data[0] + 1u);
	check_json((const char *)data + 1, size - 1);
	check_label(text);
	check_plain(text, data[0]);
	free(text);
	return 0;
}

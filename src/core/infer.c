/* SPDX-License-Identifier: MIT */
/*
 * Makes bodies of inference requests. Pure; the canary sends them.
 */
#include "modelhealth/core/infer.h"

#include "modelhealth/text/json.h"
#include "modelhealth/text/write.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* One walk over the inputs of a metadata document. */
struct zeros {
	struct jw jw;
	size_t inputs, elements;
	int error;
};

static const char *zero_of(const char *datatype)
{
	static const struct {
		const char *datatype, *zero;
	} zeros[] = {
		{ "BOOL", "false" },
		{ "BYTES", "\"\"" },
	};

	for (size_t i = 0; i < array_size(zeros); i++) {
		if (strcmp(zeros[i].datatype, datatype) == 0)
			return zeros[i].zero;
	}
	return "0";
}

struct shape {
	struct jw *jw;
	size_t elements;
	int error;
};

static bool on_dimension(void *ctx, const struct json *value)
{
	struct shape *shape = ctx;
	double number;

	if (!json_number(value, &number) || number > INFER_MAX_ELEMENTS) {
		shape->error = json_kind(value) == JSON_NUMBER ? -E2BIG : -EINVAL;
		return false;
	}
	if (number < 0)
		number = 1;
	jw_u64(shape->jw, (uint64_t)number); /* whole and in range */
	shape->elements *= (size_t)number;
	if (shape->elements > INFER_MAX_ELEMENTS)
		shape->error = -E2BIG;
	return shape->error == 0;
}

static int put_shape(struct zeros *zeros, const struct json *input, size_t *ret_elements)
{
	struct shape shape = { .jw = &zeros->jw, .elements = 1 };
	const struct json *dimensions = json_at(input, "/shape");

	if (!dimensions || json_kind(dimensions) != JSON_ARRAY)
		return -EINVAL;
	jw_key(&zeros->jw, "shape");
	jw_array(&zeros->jw);
	(void)json_find(dimensions, "/*", on_dimension, &shape);
	jw_array_end(&zeros->jw);
	*ret_elements = shape.elements;
	return shape.error;
}

static int put_input(struct zeros *zeros, const struct json *input)
{
	size_t len, elements = 0;
	const char *name = json_string(json_at(input, "/name"), &len);
	const char *datatype = json_string(json_at(input, "/datatype"), &len);
	int r;

	if (!name || !datatype)
		return -EINVAL;
	jw_object(&zeros->jw);
	jw_key(&zeros->jw, "name");
	jw_string(&zeros->jw, name);
	jw_key(&zeros->jw, "datatype");
	jw_string(&zeros->jw, datatype);
	r = put_shape(zeros, input, &elements);
	if (r < 0)
		return r;
	zeros->elements += elements;
	if (zeros->elements > INFER_MAX_ELEMENTS)
		return -E2BIG;
	jw_key(&zeros->jw, "data");
	jw_array(&zeros->jw);
	for (size_t i = 0; i < elements; i++)
		jw_raw(&zeros->jw, zero_of(datatype));
	jw_array_end(&zeros->jw);
	jw_object_end(&zeros->jw);
	return 0;
}

static bool on_input(void *ctx, const struct json *value)
{
	struct zeros *zeros = ctx;

	zeros->inputs++;
	zeros->error = put_input(zeros, value);
	return zeros->error == 0;
}

int infer_zero_input(const char *metadata, size_t len, struct sbuf *out)
{
	_cleanup_(json_freep) struct json *json = NULL;
	struct zeros zeros = { .jw = { .out = out } };
	int r = json_parse(metadata, len, &json);

	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	jw_object(&zeros.jw);
	jw_key(&zeros.jw, "inputs");
	jw_array(&zeros.jw);
	(void)json_find(json, "/inputs/*", on_input, &zeros);
	jw_array_end(&zeros.jw);
	jw_object_end(&zeros.jw);
	if (zeros.error < 0)
		return zeros.error;
	if (zeros.inputs == 0)
		return -ENODATA;
	return out->failed ? -ENOMEM : 0;
}

/* ---- dropping a member ---- */

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t\r\n");
}

/* The end of the string that begins at text, after its quote. */
static const char *skip_string(const char *text)
{
	for (text++; *text && *text != '"'; text++) {
		if (*text == '\\' && text[1])
			text++;
	}
	return *text ? text + 1 : text;
}

/* The end of the value that begins at text: where its own object or array goes on. */
static const char *skip_value(const char *text)
{
	unsigned depth = 0;

	while (*text) {
		if (depth == 0 && strchr(",]}", *text))
			break;
		if (*text == '"') {
			text = skip_string(text);
			continue;
		}
		if (*text == '{' || *text == '[')
			depth++;
		if (*text == '}' || *text == ']')
			depth--;
		text++;
	}
	return text;
}

static bool is_member(const char *text, const char *end, const char *name)
{
	return (size_t)(end - text) == strlen(name) + 2 &&
	       strncmp(text + 1, name, strlen(name)) == 0;
}

void infer_drop_member(const char *body, const char *name, struct sbuf *out)
{
	const char *at = skip_blanks(body);
	const char *begin, *end;

	if (*at == '{')
		at = skip_blanks(at + 1);
	while (*at == '"') {
		begin = at;
		end = skip_string(at);
		at = skip_value(skip_blanks(end));
		if (is_member(begin, end, name)) {
			const char *rest = *at == ',' ? skip_blanks(at + 1) : at;

			/* the last member takes the comma before it along */
			while (*at != ',' && begin > body &&
				(isspace((unsigned char)begin[-1]) || begin[-1] == ','))
				begin--;
			sbuf_add(out, body, (size_t)(begin - body));
			sbuf_puts(out, rest);
			return;
		}
		at = *at == ',' ? skip_blanks(at + 1) : at;
	}
	sbuf_puts(out, body);
}

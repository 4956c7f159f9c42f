/* SPDX-License-Identifier: MIT */
/*
 * json-c builds the tree. What it accepts beyond RFC 8259 even in its strict mode (NaN, Infinity,
 * single quotes, comments, control characters) is refused before by json_check.
 */
#include "modelhealth/text/json.h"

#include "modelhealth/text/jsonscan.h"
#include "modelhealth/text/sanitise.h"

#include <json-c/json.h>

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A pointer in a configuration is short; a path deeper than the document can be is useless. */
enum {
	SEGMENT_SIZE = 256
};

/* An array or object is counted so many times: json-c takes up to a microsecond and 800 bytes for
 * each, even when it is empty. */
enum {
	LEVEL_WEIGHT = 4
};

/* json-c's value for `null` is a NULL pointer; ours is this one, so that NULL can mean absent. */
struct json {
	char unused;
};

static struct json null_value;

/* Any other struct json is a json_object under another name, so that only this file knows json-c.
 * json-c has no const in its interface, although reading changes nothing that we could see. */
static struct json_object *object_of(const struct json *json)
{
	return json == &null_value ? NULL : (struct json_object *)(uintptr_t)json;
}

static struct json *json_of(struct json_object *object)
{
	return object ? (struct json *)object : &null_value;
}

static bool is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r\n", text[i], 4))
			return false;
	return true;
}

int json_parse(const char *text, size_t len, struct json **ret_json)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct json_tokener *tokener;
	struct json_object *object;
	enum json_tokener_error error;
	struct json_extent extent;
	size_t end;
	int r;

	if (len >= 3 && memcmp(text, bom, 3) == 0) {
		text += 3;
		len -= 3;
	}
	if (len > INT_MAX - 1 || !utf8_is_valid(text, len))
		return -EINVAL;
	r = json_check(text, len, &extent);
	if (r < 0)
		return r == -E2BIG ? r : -EINVAL;
	if (extent.values + LEVEL_WEIGHT * extent.levels > JSON_MAX_VALUES)
		return -EFBIG;
	/* json-c sets up every level in advance; for a small answer that would be half the cost. */
	tokener = json_tokener_new_ex((int)extent.depth + 1);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	object = json_tokener_parse_ex(tokener, text, (int)len);
	end = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) == json_tokener_continue) {
		/* A bare word or number at the end might go on: a blank says that it does not. */
		object = json_tokener_parse_ex(tokener, " ", 1);
		end = len;
	}
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (error != json_tokener_success || !is_blank(text + end, len - end)) {
		json_object_put(object);
		return error == json_tokener_error_depth ? -E2BIG : -EINVAL;
	}
	*ret_json = json_of(object);
	return 0;
}

void json_free(struct json *json)
{
	if (json)
		(void)json_object_put(object_of(json)); /* 0 or 1: whether it was the last */
}

void json_freep(struct json **json)
{
	json_free(*json);
	*json = NULL;
}

enum json_kind json_kind(const struct json *json)
{
	switch (json_object_get_type(object_of(json))) {
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_double:
	case json_type_int:
		return JSON_NUMBER;
	case json_type_string:
		return JSON_STRING;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	case json_type_null:
		break;
	}
	return JSON_NULL;
}

const char *json_string(const struct json *json, size_t *ret_len)
{
	struct json_object *object = object_of(json);

	if (json_kind(json) != JSON_STRING)
		return NULL;
	*ret_len = (size_t)json_object_get_string_len(object);
	return json_object_get_string(object);
}

bool json_number(const struct json *json, double *ret_number)
{
	double number;

	if (json_kind(json) != JSON_NUMBER)
		return false;
	number = json_object_get_double(object_of(json));
	*ret_number = max_of(-DBL_MAX, min_of(DBL_MAX, number)); /* 1e999 is infinite to strtod */
	return true;
}

bool json_boolean(const struct json *json, bool *ret_bool)
{
	if (json_kind(json) != JSON_BOOL)
		return false;
	*ret_bool = json_object_get_boolean(object_of(json)) != 0;
	return true;
}

size_t json_length(const struct json *json)
{
	if (json_kind(json) == JSON_ARRAY)
		return json_object_array_length(object_of(json));
	if (json_kind(json) == JSON_OBJECT)
		return (size_t)json_object_object_length(object_of(json));
	return 0;
}

const char *json_text(const struct json *json)
{
	return json == &null_value
		       ? "null"
		       : json_object_to_json_string_ext(object_of(json),
				 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* ---- pointers ---- */

bool json_pointer_is_valid(const char *pointer)
{
	if (pointer[0] != '\0' && pointer[0] != '/')
		return false;
	for (; *pointer; pointer++)
		if (*pointer == '~' && pointer[1] != '0' && pointer[1] != '1')
			return false;
	return true;
}

/* Reads the segment behind the slash at pointer, unescaped; returns what follows it, NULL when it
 * is too long to name anything. */
static const char *take_segment(const char *pointer, char segment[static SEGMENT_SIZE])
{
	size_t len = 0;

	for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
		if (len + 1 >= SEGMENT_SIZE)
			return NULL;
		segment[len] = *pointer;
		if (*pointer == '~')
			segment[len] = *++pointer == '1' ? '/' : '~';
		len++;
	}
	segment[len] = '\0';
	return pointer;
}

/* RFC 6901: an array index is 0 or digits without a leading zero. */
static bool array_index(const char *segment, size_t *ret_index)
{
	char *end;
	unsigned long index;

	if (segment[0] < '0' || segment[0] > '9' || (segment[0] == '0' && segment[1] != '\0'))
		return false;
	errno = 0;
	index = strtoul(segment, &end, 10);
	*ret_index = index;
	return errno == 0 && *end == '\0';
}

static struct json *child_of(struct json_object *parent, const char *segment)
{
	struct json_object *child = NULL;
	size_t index;

	if (json_object_is_type(parent, json_type_object))
		return json_object_object_get_ex(parent, segment, &child) ? json_of(child) : NULL;
	if (json_object_is_type(parent, json_type_array) && array_index(segment, &index) &&
		index < json_object_array_length(parent))
		return json_of(json_object_array_get_idx(parent, index));
	return NULL;
}

struct search {
	bool (*visit)(void *ctx, const struct json *value);
	void *ctx;
	size_t visited;
	bool stopped;
};

/* As deep as the document at most, which has JSON_MAX_DEPTH levels. */
static void find(struct search *search, struct json *at, const char *pointer)
{
	char segment[SEGMENT_SIZE];
	struct json_object *object = object_of(at);
	struct json *child;

	if (*pointer == '\0') {
		search->visited++;
		search->stopped = !search->visit(search->ctx, at);
		return;
	}
	pointer = take_segment(pointer, segment);
	if (!pointer)
		return;
	if (strcmp(segment, "*") != 0) {
		child = child_of(object, segment);
		if (child)
			find(search, child, pointer);
		return;
	}
	if (json_object_is_type(object, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(object) && !search->stopped; i++)
			find(search, json_of(json_object_array_get_idx(object, i)), pointer);
	} else if (json_object_is_type(object, json_type_object)) {
		json_object_object_foreach(object, key, value)
		{
			(void)key; /* the macro declares both */
			if (search->stopped)
				break;
			find(search, json_of(value), pointer);
		}
	}
}

size_t json_find(const struct json *json, const char *pointer,
	bool (*visit)(void *ctx, const struct json *value), void *ctx)
{
	struct search search = { .visit = visit, .ctx = ctx };

	if (json_pointer_is_valid(pointer))
		find(&search, json_of(object_of(json)), pointer);
	return search.visited;
}

static bool keep_first(void *ctx, const struct json *value)
{
	*(const struct json **)ctx = value;
	return false;
}

const struct json *json_at(const struct json *json, const char *pointer)
{
	const struct json *found = NULL;

	(void)json_find(json, pointer, keep_first, &found); /* found stays NULL without a match */
	return found;
}

/* SPDX-License-Identifier: MIT */
/*
 * Servers put their errors into a stream in many shapes; here they become a reason. Pure. Called by
 * core/stream.c once per failed answer.
 */
#include "modelhealth/core/streamerror.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/text/json.h"

#include <stdio.h>
#include <string.h>

enum {
	POINTER_SIZE = 256
};

static bool is_code(double number)
{
	return number >= 100 && number < 600;
}

/* Three digits as a string, or a number. */
static uint32_t code_of(const struct json *value)
{
	const char *text;
	double number;
	size_t len;

	if (!value)
		return 0;
	if (json_number(value, &number))
		return is_code(number) ? (uint32_t)number : 0;
	text = json_string(value, &len);
	if (!text || len != 3 || strspn(text, "0123456789") != 3)
		return 0;
	number = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
	return is_code(number) ? (uint32_t)number : 0;
}

/* The first of the members of the value at pointer that is a code. */
static uint32_t code_at(const struct json *json, const char *pointer)
{
	static const char *const names[] = { "code", "status_code", "http_status_code", "status" };
	char full[POINTER_SIZE + 32];
	uint32_t code = 0;

	for (size_t i = 0; i < array_size(names) && code == 0; i++) {
		(void)snprintf(full, sizeof full, "%s/%s", pointer, names[i]); /* it fits */
		code = code_of(json_at(json, full));
	}
	return code;
}

/* "[503]" */
static uint32_t code_in_text(const char *text, size_t len)
{
	for (size_t i = 0; i + 5 <= len; i++)
		if (text[i] == '[' && text[i + 4] == ']' && text[i + 1] >= '1' &&
			text[i + 1] <= '5' && strspn(text + i + 1, "0123456789") == 3)
			return (uint32_t)((text[i + 1] - '0') * 100 + (text[i + 2] - '0') * 10 +
					  (text[i + 3] - '0'));
	return 0;
}

/* The value that holds what the pointer names. */
static void parent_of(const char *pointer, char parent[static POINTER_SIZE])
{
	const char *slash = strrchr(pointer, '/');
	size_t len = slash ? (size_t)(slash - pointer) : 0;

	memcpy(parent, pointer, len);
	parent[len] = '\0';
}

/* The string at pointer and below it, unless there are words already. */
static void take_words(
	const struct json *json, const char *pointer, const char *below, struct sbuf *words)
{
	char full[2 * POINTER_SIZE];
	const struct json *value;
	const char *text;
	size_t len;

	(void)snprintf(full, sizeof full, "%s%s", pointer, below); /* it fits */
	value = json_at(json, full);
	text = value && words->len == 0 ? json_string(value, &len) : NULL;
	if (text)
		sbuf_add(words, text, len);
}

struct meaning {
	uint32_t code; /* 0 = none */
	struct sbuf words;
};

static void read_json(
	const struct json *json, const struct stream_error *error, struct meaning *meaning)
{
	char parent[POINTER_SIZE];
	const char *places[] = { error->pointer, parent, "/error", "" };

	parent_of(error->pointer, parent);
	for (size_t i = 0; i < array_size(places) && meaning->code == 0; i++)
		meaning->code = code_at(json, places[i]);
	take_words(json, error->pointer, "/message", &meaning->words);
	if (parent[0] != '\0') /* the message of an aborted finish reason stands beside it */
		take_words(json, parent, "/message", &meaning->words);
	take_words(json, error->pointer, "", &meaning->words);
}

static void read_error(const struct stream_error *error, struct meaning *meaning)
{
	_cleanup_(json_freep) struct json *json = NULL;

	if (strlen(error->pointer) < POINTER_SIZE &&
		json_parse(error->body, error->len, &json) == 0)
		read_json(json, error, meaning);
	if (meaning->words.len == 0)
		rules_error_text(error->body, error->len, &meaning->words);
	if (meaning->words.len == 0)
		sbuf_add(&meaning->words, error->body, min_of(error->len, (size_t)200));
	if (meaning->code == 0)
		meaning->code = code_in_text(error->body, error->len);
}

static enum reason default_reason(uint32_t code)
{
	return code == 429 || code == 503 || code == 529 ? REASON_OVERLOADED : REASON_STREAM_ERROR;
}

void stream_error_judge(
	const struct rules *rules, const struct stream_error *error, struct result *result)
{
	struct meaning meaning = { .code = 0 };
	struct answer answer = { .body = error->body, .body_len = error->len };

	read_error(error, &meaning);
	answer.http_status = meaning.code;
	if (!rules_judge(rules, NULL, &answer, result))
		result_set(result, default_reason(meaning.code), "in the stream: %s",
			sbuf_str(&meaning.words));
	sbuf_fini(&meaning.words);
}

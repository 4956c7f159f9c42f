/* SPDX-License-Identifier: MIT */
/*
 * Numbers of every kind in the key table (booleans, counts, durations, sizes) are one row each
 * here: a 64-bit value with a way to read and to print it, stored in the width of its field.
 * Called by core/confvalue.c.
 */
#include "modelhealth/core/confnumber.h"

#include "modelhealth/base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int parse_bool(const char *text, uint64_t *ret_value)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return -EINVAL;
	*ret_value = text[0] == 't';
	return 0;
}

static void format_bool(uint64_t value, char ret_text[static DURATION_TEXT_SIZE])
{
	(void)snprintf(ret_text, DURATION_TEXT_SIZE, "%s", value ? "true" : "false");
}

static void format_number(uint64_t value, char ret_text[static DURATION_TEXT_SIZE])
{
	(void)snprintf(ret_text, DURATION_TEXT_SIZE, "%llu", (unsigned long long)value);
}

struct number_type {
	size_t size; /* of the field */
	const char *noun;
	const char *like; /* how one looks */
	int (*parse)(const char *text, uint64_t *ret_value);
	void (*format)(uint64_t value, char ret_text[static DURATION_TEXT_SIZE]);
};

static const struct number_type numbers[] = {
	[CONF_BOOL] = { sizeof(bool), "true or false", "", parse_bool, format_bool },
	[CONF_U16] = { sizeof(uint16_t), "a whole number", "", u64_parse, format_number },
	[CONF_UINT] = { sizeof(unsigned), "a whole number", "", u64_parse, format_number },
	[CONF_DURATION] = { sizeof(usec_t), "a duration", " like 500ms", duration_parse,
		duration_format },
	[CONF_SIZE] = { sizeof(uint64_t), "a size", " like 64KiB", size_parse, size_format },
};

static const struct number_type *number_type(const struct conf_key *key)
{
	must(key->type < array_size(numbers));
	return &numbers[key->type];
}

static uint64_t largest(const struct number_type *type)
{
	return type->size >= sizeof(uint64_t) ? UINT64_MAX : (UINT64_C(1) << (8 * type->size)) - 1;
}

/* A bound of a row, which is ours: it parses. */
static uint64_t bound(const struct number_type *type, const char *text, uint64_t without)
{
	uint64_t value = without;

	must(!text || type->parse(text, &value) == 0);
	return value;
}

void conf_number_describe(const struct conf_key *key, struct sbuf *out)
{
	const struct number_type *type = number_type(key);

	sbuf_puts(out, type->noun);
	if (key->type == CONF_BOOL)
		return;
	if (key->max)
		sbuf_printf(out, " from %s to %s", key->min ? key->min : "0", key->max);
	else if (key->min)
		sbuf_printf(out, " of at least %s", key->min);
}

static void store(const struct number_type *type, uint64_t value, void *field)
{
	/* The value fits: it passed largest(). Little and big endian both store by type. */
	if (type->size == sizeof(bool))
		*(bool *)field = value != 0;
	else if (type->size == sizeof(uint16_t))
		*(uint16_t *)field = (uint16_t)value;
	else if (type->size == sizeof(unsigned))
		*(unsigned *)field = (unsigned)value;
	else
		*(uint64_t *)field = value;
}

static uint64_t load(const struct number_type *type, const void *field)
{
	if (type->size == sizeof(bool))
		return *(const bool *)field;
	if (type->size == sizeof(uint16_t))
		return *(const uint16_t *)field;
	if (type->size == sizeof(unsigned))
		return *(const unsigned *)field;
	return *(const uint64_t *)field;
}

/* How operators misspell units, and what they mean. */
static const struct {
	const char *written, *meant;
} unit_words[] = {
	{ "", "s" },
	{ "S", "s" },
	{ "sec", "s" },
	{ "secs", "s" },
	{ "second", "s" },
	{ "seconds", "s" },
	{ "msec", "ms" },
	{ "millis", "ms" },
	{ "M", "m" },
	{ "min", "m" },
	{ "mins", "m" },
	{ "minute", "m" },
	{ "minutes", "m" },
	{ "H", "h" },
	{ "hour", "h" },
	{ "hours", "h" },
	{ "D", "d" },
	{ "day", "d" },
	{ "days", "d" },
};

/* What a text without a valid unit probably meant; "" when nobody knows. */
static void guess_duration(const char *text, char *ret_guess, size_t size)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits + strspn(text + digits, " ");

	ret_guess[0] = '\0';
	for (size_t i = 0; digits > 0 && digits < 10 && i < array_size(unit_words); i++) {
		if (strcmp(unit, unit_words[i].written) == 0)
			(void)snprintf(ret_guess, size, " (did you mean %.*s%s?)", (int)digits,
				text, unit_words[i].meant);
	}
}

int conf_number_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	_cleanup_(sbuf_fini) struct sbuf range = SBUF_INIT;
	const struct number_type *type = number_type(key);
	char guess[40] = "";
	uint64_t value;
	int rc = type->parse(node->text, &value);

	if (rc == 0 && value >= bound(type, key->min, 0) &&
		value <= bound(type, key->max, largest(type))) {
		store(type, value, field);
		return 0;
	}
	if (rc == -EINVAL && type->like[0] != '\0') {
		if (key->type == CONF_DURATION)
			guess_duration(node->text, guess, sizeof guess);
		return conf_error(scope, node, "expected %s%s, got %s%s", type->noun, type->like,
			conf_got(scope, node), guess);
	}
	conf_number_describe(key, &range);
	return conf_error(scope, node, "expected %s, got %s%s", sbuf_str(&range),
		conf_got(scope, node),
		!key->max && (rc == -ERANGE || (rc == 0 && value > largest(type)))
			? ", which is too large"
			: "");
}

void conf_number_print(_unused_ const struct config *config, const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	char text[DURATION_TEXT_SIZE];

	number_type(key)->format(load(number_type(key), field), text);
	sbuf_puts(out, text);
}

bool conf_number_is_set(const struct conf_key *key, const void *field)
{
	return key->fallback || load(number_type(key), field) != 0;
}

uint64_t conf_number_hash(const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	return hash_bytes(field, number_type(key)->size, seed);
}

/* SPDX-License-Identifier: MIT */
/*
 * The types of the key table. Numbers of every kind are one table; texts, lists and maps are a
 * function each. Everything kept is copied into the configuration's arena.
 */
#include "modelhealth/core/confvalue.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/check.h"
#include "modelhealth/text/write.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_URL_BYTES = 2048,
	MAX_LIST_ITEMS = 256,
	MAX_MAP_PAIRS = 64,
	MAX_LABELS = 32,
	MAX_LABEL_NAME_BYTES = 64,
	MAX_LABEL_VALUE_BYTES = 256,
};

/* ---- numbers ---- */

static int parse_bool(const char *text, uint64_t *ret_value)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return -EINVAL;
	*ret_value = text[0] == 't';
	return 0;
}

static void format_bool(uint64_t value, char ret_text[static DURATION_TEXT_SIZE])
{
	(void)strncpy(ret_text, value ? "true" : "false", DURATION_TEXT_SIZE);
}

static void format_number(uint64_t value, char ret_text[static DURATION_TEXT_SIZE])
{
	(void)snprintf(ret_text, DURATION_TEXT_SIZE, "%llu", (unsigned long long)value);
}

struct number_type {
	size_t size; /* of the field; 0 = not a number */
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
	[CONF_BLOCK] = { 0 },
};

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

static void describe_range(
	const struct conf_key *key, const struct number_type *type, struct sbuf *out)
{
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

static int parse_number(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	_cleanup_(sbuf_fini) struct sbuf range = SBUF_INIT;
	const struct number_type *type = &numbers[key->type];
	char guess[40] = "";
	uint64_t value;
	int rc = type->parse(node->text, &value);

	if (rc == 0 && value >= bound(type, key->min, 0) &&
		value <= bound(type, key->max, largest(type))) {
		store(type, value, field);
		return 0;
	}
	if (rc == -EINVAL) {
		if (key->type == CONF_DURATION)
			guess_duration(node->text, guess, sizeof guess);
		return conf_error(scope, node, "expected %s%s, got %s%s", type->noun, type->like,
			conf_got(scope, node), guess);
	}
	describe_range(key, type, &range);
	return conf_error(scope, node, "expected %s, got %s%s", sbuf_str(&range),
		conf_got(scope, node), rc == -ERANGE && !key->max ? ", which is too large" : "");
}

static int parse_rate(struct conf_scope *scope, const struct node *node, void *field)
{
	struct rate rate;

	if (rate_parse(node->text, &rate) < 0)
		return conf_error(
			scope, node, "expected a rate like 60/1m, got %s", conf_got(scope, node));
	*(struct rate *)field = rate;
	return 0;
}

/* ---- words ---- */

static size_t list_choices(const char *const *choices, size_t n, struct sbuf *out)
{
	sbuf_puts(out, "one of ");
	for (size_t i = 0; i < n; i++)
		sbuf_printf(out, "%s%s", i == 0 ? "" : ", ", choices[i]);
	return n;
}

static int bad_choice(
	struct conf_scope *scope, const struct node *node, const char *const *choices, size_t n)
{
	_cleanup_(sbuf_fini) struct sbuf list = SBUF_INIT;
	const char *near = conf_did_you_mean(choices, n, node->text);

	(void)list_choices(choices, n, &list);
	return conf_error(scope, node, "expected %s; got %s%s%s%s", sbuf_str(&list),
		conf_got(scope, node), near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
}

static size_t count_choices(const struct conf_key *key)
{
	size_t n = 0;

	while (key->choices[n])
		n++;
	return n;
}

static int parse_enum(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	for (int i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], node->text) == 0) {
			*(int *)field = i;
			return 0;
		}
	}
	return bad_choice(scope, node, key->choices, count_choices(key));
}

static int parse_kind(struct conf_scope *scope, const struct node *node, void *field)
{
	const char *names[64];
	size_t n = 0;

	for (conf_kinds kind = scope->kinds; *kind && n < array_size(names); kind++) {
		names[n++] = (*kind)->name;
		if (strcmp((*kind)->name, node->text) == 0) {
			*(const char **)field = (*kind)->name;
			return 0;
		}
	}
	return bad_choice(scope, node, names, n);
}

/* ---- texts ---- */

static int remember_hidden(struct conf_scope *scope, const char *value, const char *shown)
{
	if (scope->n_hidden == scope->hidden_cap) {
		size_t cap = scope->hidden_cap == 0 ? 16 : scope->hidden_cap * 2;
		struct hidden *hidden = reallocarray(scope->hidden, cap, sizeof *hidden);

		if (!hidden)
			return -ENOMEM;
		scope->hidden = hidden;
		scope->hidden_cap = cap;
	}

	const char *copy = arena_strdup(conf_arena(scope), shown);

	if (!copy)
		return -ENOMEM;
	scope->hidden[scope->n_hidden++] = (struct hidden){ value, copy };
	return 0;
}

/* The node's text in the arena. Inherited texts are copied once, not once an endpoint. */
static int keep_text(struct conf_scope *scope, const struct node *node, const char **ret_text)
{
	size_t slot = ((uintptr_t)node / sizeof *node) % CONF_COPIES;
	struct conf_copy *copy = &scope->copies[slot];

	if (copy->node != node) {
		const char *text = arena_strdup(conf_arena(scope), node->text);

		if (!text || (node->is_secret && remember_hidden(scope, text, node->shown) < 0))
			return -ENOMEM;
		*copy = (struct conf_copy){ node, text };
	}
	*ret_text = copy->text;
	return 0;
}

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static int parse_url(struct conf_scope *scope, const struct node *node, void *field)
{
	if (has_control(node->text) || strchr(node->text, ' ') || node->text[0] == '\0')
		return conf_error(
			scope, node, "expected a URL like https://host:8000/path, without blanks");
	if (strlen(node->text) > MAX_URL_BYTES)
		return conf_error(scope, node, "expected a URL of at most %d bytes, got %zu",
			MAX_URL_BYTES, strlen(node->text));
	return keep_text(scope, node, field);
}

static int parse_secret(struct conf_scope *scope, const struct node *node, void *field)
{
	if (has_control(node->text))
		return conf_error(scope, node, "expected a secret without control characters");
	if (node->text[0] == '\0')
		return conf_error(scope, node, "expected a secret, got an empty text");

	char *text = arena_strdup(conf_arena(scope), node->text);

	if (!text)
		return -ENOMEM;
	*(struct secret *)field = secret_from(text);
	return 0;
}

int conf_parse_scalar(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	if (node->type != NODE_SCALAR || node_is_null(node)) {
		_cleanup_(sbuf_fini) struct sbuf expected = SBUF_INIT;

		conf_value_describe(key, &expected);
		return conf_error(scope, node, "expected %s, got %s", sbuf_str(&expected),
			conf_got(scope, node));
	}
	if (key->type < array_size(numbers) && numbers[key->type].size > 0)
		return parse_number(scope, key, node, field);
	switch ((int)key->type) {
	case CONF_RATE:
		return parse_rate(scope, node, field);
	case CONF_STRING:
		return keep_text(scope, node, field);
	case CONF_URL:
		return parse_url(scope, node, field);
	case CONF_SECRET:
		return parse_secret(scope, node, field);
	case CONF_ENUM:
		return parse_enum(scope, key, node, field);
	case CONF_KIND:
		return parse_kind(scope, node, field);
	}
	must(!"a scalar type");
	return -EINVAL;
}

/* ---- lists ---- */

/* A lone scalar is a list of one; nothing is an empty list. */
static int parse_list(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	const struct node *item = node->type == NODE_SEQUENCE ? node->first_child : node;
	size_t n = node->type == NODE_SEQUENCE ? node->n_children : node_is_null(node) ? 0 : 1;
	struct conf_key item_key = *key;
	int rc = 0;

	if (node->type == NODE_MAPPING)
		return conf_error(scope, node, "expected a list, got a mapping");
	if (n > MAX_LIST_ITEMS)
		return conf_error(
			scope, node, "expected at most %d items, got %zu", MAX_LIST_ITEMS, n);

	const char **items = arena_calloc(conf_arena(scope), n + 1, sizeof *items);

	if (!items)
		return -ENOMEM;
	item_key.type = CONF_STRING;
	for (size_t i = 0; i < n; i++, item = item->next) {
		int item_rc = conf_parse_scalar(scope, &item_key, item, &items[i]);

		rc = item_rc < 0 ? item_rc : rc;
	}
	if (rc < 0)
		return rc;
	*(struct conf_strings *)field = (struct conf_strings){ items, n };
	return 0;
}

int conf_value_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	if (key->type == CONF_CUSTOM)
		return scope->is_dry ? 0 : key->custom->parse(scope, node, field);
	if (key->type == CONF_STRING_LIST)
		return parse_list(scope, key, node, field);
	return conf_parse_scalar(scope, key, node, field);
}

/* ---- maps, merged over the levels ---- */

/* The members of all levels' mappings, the innermost winning; names compare by `compare`. */
static int collect(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, int (*compare)(const char *, const char *), size_t max,
	const struct node **members, size_t *ret_n)
{
	size_t n = 0;

	for (size_t level = levels->n; level-- > 0;) {
		const struct node *map = node_get(levels->node[level], key->name);

		if (!map || node_is_null(map))
			continue;
		if (map->type != NODE_MAPPING)
			return conf_error(scope, map,
				"expected a mapping of names to texts, got %s",
				conf_got(scope, map));
		for (const struct node *child = map->first_child; child; child = child->next) {
			size_t i = 0;

			while (i < n && compare(members[i]->key, child->key) != 0)
				i++;
			if (i == max)
				return conf_error(
					scope, child, "expected at most %zu entries", max);
			members[i] = child;
			n = max_of(n, i + 1);
		}
	}
	*ret_n = n;
	return 0;
}

/* Names of headers and the like whose values are keys to something. */
static bool is_secret_name(const char *name)
{
	static const char *const words[] = { "auth", "cookie", "key", "password", "secret",
		"token" };

	for (size_t i = 0; i < array_size(words); i++) {
		if (strcasestr(name, words[i]))
			return true;
	}
	return false;
}

/* A token of RFC 9110, as names of headers are. */
static bool is_token(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

static int check_pair(struct conf_scope *scope, const struct node *node)
{
	if (!is_token(node->key))
		return conf_key_error(
			scope, node, "expected a name of letters, digits and !#$%%&'*+-.^_`|~");
	if (node->is_bad)
		return -EINVAL;
	if (node->type != NODE_SCALAR || node_is_null(node))
		return conf_error(scope, node, "expected a text, got %s", conf_got(scope, node));
	if (has_control(node->text))
		return conf_error(scope, node, "expected a text without control characters");
	return 0;
}

static int merge_map(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, struct conf_map *map)
{
	const struct node *members[MAX_MAP_PAIRS];
	size_t n;
	int rc = collect(scope, key, levels, strcasecmp, array_size(members), members, &n);

	if (rc < 0)
		return rc;

	struct conf_pair *pairs = arena_calloc(conf_arena(scope), n + 1, sizeof *pairs);

	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int pair_rc = check_pair(scope, members[i]);
		char *value = arena_strdup(conf_arena(scope), members[i]->text);

		pairs[i].name = arena_strdup(conf_arena(scope), members[i]->key);
		if (!value || !pairs[i].name)
			return -ENOMEM;
		pairs[i].value = secret_from(value);
		pairs[i].is_secret = members[i]->is_secret || is_secret_name(members[i]->key);
		rc = pair_rc < 0 ? pair_rc : rc;
	}
	*map = (struct conf_map){ pairs, n };
	return rc;
}

static bool is_label_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > MAX_LABEL_NAME_BYTES || isdigit((unsigned char)name[0]))
		return false;
	return strncmp(name, "__", 2) != 0 &&
	       strspn(name, "_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
		       len;
}

static int check_label(struct conf_scope *scope, const struct node *node)
{
	if (!is_label_name(node->key))
		return conf_key_error(scope, node,
			"expected a label name of at most %d letters, digits and _, not beginning with "
			"a digit or __",
			MAX_LABEL_NAME_BYTES);
	if (node->is_bad)
		return -EINVAL;
	if (node->type != NODE_SCALAR || node_is_null(node))
		return conf_error(scope, node, "expected a text, got %s", conf_got(scope, node));
	if (node->is_secret)
		return conf_error(scope, node, "labels are public; a secret cannot stand here");
	if (has_control(node->text) || strlen(node->text) > MAX_LABEL_VALUE_BYTES)
		return conf_error(scope, node,
			"expected a text of at most %d bytes without control characters",
			MAX_LABEL_VALUE_BYTES);
	return 0;
}

struct labels {
	struct label *items;
	size_t n;
};

static int merge_labels(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, struct labels *labels)
{
	const struct node *members[MAX_LABELS];
	size_t n;
	int rc = collect(scope, key, levels, strcmp, array_size(members), members, &n);

	if (rc < 0)
		return rc;

	struct label *items = arena_calloc(conf_arena(scope), n + 1, sizeof *items);

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int label_rc = check_label(scope, members[i]);

		items[i].name = arena_strdup(conf_arena(scope), members[i]->key);
		if (!items[i].name || keep_text(scope, members[i], &items[i].value) < 0)
			return -ENOMEM;
		rc = label_rc < 0 ? label_rc : rc;
	}
	*labels = (struct labels){ items, n };
	return rc;
}

int conf_value_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field)
{
	if (key->type == CONF_LABELS)
		return merge_labels(scope, key, levels, field);
	return merge_map(scope, key, levels, field);
}

/* ---- printing ---- */

static bool is_plain(const char *text)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off" };

	if (!isalpha((unsigned char)text[0]) && text[0] != '/')
		return false;
	for (size_t i = 0; i < array_size(words); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return false;
	}
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "_./@+-")] == '\0';
}

void conf_print_string(const char *text, struct sbuf *out)
{
	struct jw jw = { .out = out };

	if (is_plain(text))
		sbuf_puts(out, text);
	else
		jw_string(&jw, text); /* every JSON string is a YAML string */
}

static int compare_hidden(const void *key, const void *element)
{
	const char *value = key;
	const struct hidden *hidden = element;

	return value < hidden->value ? -1 : value > hidden->value;
}

/* The text, or what stands for it when a secret is part of it. */
static const char *shown_text(const struct config *config, const char *text)
{
	const struct hidden *hidden = config->n_hidden == 0
					      ? NULL
					      : bsearch(text, config->hidden, config->n_hidden,
							sizeof config->hidden[0], compare_hidden);

	return hidden ? hidden->shown : text;
}

void conf_redact_url(const char *url, struct sbuf *out)
{
	const char *scheme_end = strstr(url, "://");
	const char *rest = scheme_end ? scheme_end + 3 : url;
	size_t authority = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', authority);

	sbuf_add(out, url, (size_t)(rest - url));
	if (at) {
		sbuf_puts(out, SECRET_MASK);
		rest = at;
	}

	size_t path = strcspn(rest, "?");

	sbuf_add(out, rest, path);
	if (rest[path] == '?')
		sbuf_puts(out, "?" SECRET_MASK);
}

static void print_url(const struct config *config, const char *url, struct sbuf *out)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	conf_redact_url(shown_text(config, url), &text);
	conf_print_string(sbuf_str(&text), out);
}

static void print_list(
	const struct config *config, const struct conf_strings *list, struct sbuf *out)
{
	for (size_t i = 0; i < list->n; i++) {
		sbuf_puts(out, i == 0 ? "[ " : ", ");
		conf_print_string(shown_text(config, list->items[i]), out);
	}
	sbuf_puts(out, list->n == 0 ? "[]" : " ]");
}

static void print_map(const struct conf_map *map, struct sbuf *out)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct conf_pair *pair = &map->items[i];

		sbuf_puts(out, i == 0 ? "{ " : ", ");
		conf_print_string(pair->name, out);
		sbuf_puts(out, ": ");
		conf_print_string(pair->is_secret ? SECRET_MASK : secret_expose(pair->value), out);
	}
	sbuf_puts(out, map->n == 0 ? "{}" : " }");
}

static void print_labels(const struct labels *labels, struct sbuf *out)
{
	for (size_t i = 0; i < labels->n; i++) {
		sbuf_puts(out, i == 0 ? "{ " : ", ");
		conf_print_string(labels->items[i].name, out);
		sbuf_puts(out, ": ");
		conf_print_string(labels->items[i].value, out);
	}
	sbuf_puts(out, labels->n == 0 ? "{}" : " }");
}

void conf_value_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out)
{
	char text[DURATION_TEXT_SIZE];

	if (key->type < array_size(numbers) && numbers[key->type].size > 0) {
		numbers[key->type].format(load(&numbers[key->type], field), text);
		sbuf_puts(out, text);
		return;
	}
	switch ((int)key->type) {
	case CONF_RATE:
		rate_format(*(const struct rate *)field, text);
		sbuf_puts(out, text);
		break;
	case CONF_STRING:
	case CONF_KIND:
		conf_print_string(shown_text(config, *(const char *const *)field), out);
		break;
	case CONF_URL:
		print_url(config, *(const char *const *)field, out);
		break;
	case CONF_SECRET:
		conf_print_string(secret_text(*(const struct secret *)field), out);
		break;
	case CONF_ENUM:
		sbuf_puts(out, key->choices[*(const int *)field]);
		break;
	case CONF_STRING_LIST:
		print_list(config, field, out);
		break;
	case CONF_STRING_MAP:
		print_map(field, out);
		break;
	case CONF_LABELS:
		print_labels(field, out);
		break;
	case CONF_CUSTOM:
		key->custom->print(out, field);
		break;
	}
}

bool conf_value_is_set(const struct conf_key *key, const void *field)
{
	switch ((int)key->type) {
	case CONF_BLOCK:
	case CONF_SECTION:
		return false;
	case CONF_RATE:
		return ((const struct rate *)field)->count > 0;
	case CONF_STRING:
	case CONF_KIND:
	case CONF_URL:
		return *(const char *const *)field != NULL;
	case CONF_SECRET:
		return secret_is_set(*(const struct secret *)field);
	case CONF_STRING_MAP:
		return ((const struct conf_map *)field)->n > 0;
	case CONF_LABELS:
		return ((const struct labels *)field)->n > 0;
	}
	return true;
}

/* ---- hashing ---- */

static uint64_t mix_text(const char *text, uint64_t seed)
{
	return text ? hash_bytes(text, strlen(text) + 1, seed) : hash_bytes("\1", 1, seed);
}

/* A custom value as it was written: the tree below node, from first to last. */
static uint64_t mix_tree(const struct node *node, uint64_t seed)
{
	const struct node *at = node;

	while (at) {
		seed = mix_text(at->key, mix_text(at->text, seed) + at->type + at->is_quoted);
		if (at->first_child) {
			at = at->first_child;
			continue;
		}
		while (at != node && !at->next)
			at = at->parent;
		at = at == node ? NULL : at->next;
		seed++;
	}
	return seed;
}

uint64_t conf_value_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed)
{
	seed = mix_text(key->name, seed);
	if (key->type < array_size(numbers) && numbers[key->type].size > 0)
		return hash_bytes(field, numbers[key->type].size, seed);
	switch ((int)key->type) {
	case CONF_ENUM:
		return hash_bytes(field, sizeof(int), seed);
	case CONF_RATE: {
		const struct rate *rate = field;

		seed = hash_bytes(&rate->count, sizeof rate->count, seed);
		return hash_bytes(&rate->per, sizeof rate->per, seed);
	}
	case CONF_STRING:
	case CONF_KIND:
	case CONF_URL:
		return mix_text(*(const char *const *)field, seed);
	case CONF_SECRET:
		return mix_text(secret_expose(*(const struct secret *)field), seed);
	case CONF_STRING_LIST: {
		const struct conf_strings *list = field;

		for (size_t i = 0; i < list->n; i++)
			seed = mix_text(list->items[i], seed);
		return seed + list->n;
	}
	case CONF_STRING_MAP: {
		const struct conf_map *map = field;

		for (size_t i = 0; i < map->n; i++)
			seed = mix_text(secret_expose(map->items[i].value),
				mix_text(map->items[i].name, seed));
		return seed + map->n;
	}
	case CONF_LABELS: {
		const struct labels *labels = field;

		for (size_t i = 0; i < labels->n; i++)
			seed = mix_text(
				labels->items[i].value, mix_text(labels->items[i].name, seed));
		return seed + labels->n;
	}
	case CONF_CUSTOM:
		return mix_tree(node, seed);
	}
	return seed;
}

/* ---- describing ---- */

void conf_value_describe(const struct conf_key *key, struct sbuf *out)
{
	static const char *const words[] = {
		[CONF_RATE] = "a rate like 60/1m",
		[CONF_STRING] = "a text",
		[CONF_URL] = "a URL like https://host:8000/path",
		[CONF_KIND] = "the name of a check kind",
		[CONF_SECRET] = "a secret",
		[CONF_STRING_LIST] = "a list of texts",
		[CONF_STRING_MAP] = "a mapping of names to texts",
		[CONF_LABELS] = "a mapping of names to texts",
		[CONF_SECTION] = "a mapping",
		[CONF_CUSTOM] = "a value",
		[CONF_BLOCK] = "a mapping",
	};

	if (key->type < array_size(numbers) && numbers[key->type].size > 0)
		describe_range(key, &numbers[key->type], out);
	else if (key->type == CONF_ENUM)
		(void)list_choices(key->choices, count_choices(key), out);
	else
		sbuf_puts(out, words[key->type]);
}

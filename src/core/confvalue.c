/* SPDX-License-Identifier: MIT */
/*
 * The types of the key table: one row each with its functions. Everything kept is copied into the
 * configuration's arena. core/conffill.c parses through them, core/confdump.c prints, the document
 * writers describe.
 */
#include "modelhealth/core/confvalue.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/conffill.h"
#include "modelhealth/core/conflist.h"
#include "modelhealth/core/confmemo.h"
#include "modelhealth/core/confnumber.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/core/template.h"
#include "modelhealth/text/write.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_URL_BYTES = 2048,
	MAX_KINDS = 64,
	MAX_TYPES = 512,
};

/* ---- tools for all types ---- */

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

/* from is the node's text or pattern. */
static int keep(
	struct conf_scope *scope, const struct node *node, const char *from, const char **ret_text)
{
	struct conf_copy *copy = &scope->copies[((uintptr_t)from / 8) % CONF_COPIES];

	/* Texts of table defaults are on the stack, so the place alone does not tell. */
	if (copy->from != from || strcmp(copy->text, from) != 0) {
		const char *text = arena_strdup(conf_arena(scope), from);

		if (!text || (node->is_secret && remember_hidden(scope, text, node->shown) < 0))
			return -ENOMEM;
		*copy = (struct conf_copy){ .from = from, .text = text };
	}
	*ret_text = copy->text;
	return 0;
}

int conf_keep_text(struct conf_scope *scope, const struct node *node, const char **ret_text)
{
	return keep(scope, node, node->text, ret_text);
}

static int keep_pattern(struct conf_scope *scope, const struct node *node, const char **ret_text)
{
	return keep(scope, node, node->pattern ? node->pattern : node->text, ret_text);
}

int conf_refuse_pattern(struct conf_scope *scope, const struct node *node)
{
	size_t len;
	const char *name = node->pattern ? template_unknown(node->pattern, NULL, 0, &len) : NULL;

	return name ? conf_error(scope, node,
			      "${%.*s} is not filled here; write $${ for the characters themselves",
			      (int)len, name)
		    : 0;
}

bool conf_has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

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

void conf_print_escaped(const char *text, struct sbuf *out)
{
	for (; *text; text++) {
		if (strncmp(text, "${", 2) == 0)
			sbuf_putc(out, '$');
		sbuf_putc(out, *text);
	}
}

void conf_print_text(const char *text, struct sbuf *out)
{
	_cleanup_(sbuf_fini) struct sbuf escaped = SBUF_INIT;

	conf_print_escaped(text, &escaped);
	conf_print_string(sbuf_str(&escaped), out);
	out->failed |= escaped.failed;
}

static int compare_hidden(const void *key, const void *element)
{
	const char *value = key;
	const struct hidden *hidden = element;

	return value < hidden->value ? -1 : value > hidden->value;
}

const char *conf_shown_text(const struct config *config, const char *text)
{
	const struct hidden *hidden = config->n_hidden == 0
					      ? NULL
					      : bsearch(text, config->hidden, config->n_hidden,
							sizeof config->hidden[0], compare_hidden);

	return hidden ? hidden->shown : text;
}

uint64_t conf_mix_text(const char *text, uint64_t seed)
{
	return text ? hash_bytes(text, strlen(text) + 1, seed) : hash_bytes("\1", 1, seed);
}

static bool has_pointer(_unused_ const struct conf_key *key, const void *field)
{
	return *(const char *const *)field != NULL;
}

/* ---- choices ---- */

static void list_choices(const char *const *choices, size_t n, struct sbuf *out)
{
	sbuf_puts(out, "one of ");
	for (size_t i = 0; i < n; i++)
		sbuf_printf(out, "%s%s", i == 0 ? "" : ", ", choices[i]);
}

static int bad_choice(
	struct conf_scope *scope, const struct node *node, const char *const *choices, size_t n)
{
	_cleanup_(sbuf_fini) struct sbuf list = SBUF_INIT;
	const char *near = conf_did_you_mean(choices, n, node->text);

	list_choices(choices, n, &list);
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

static int parse_kind(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	const char *names[MAX_KINDS];
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

static int parse_server_type(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	const struct profile *profile = profile_find(scope->profiles, node->text);
	const struct check_kind *kind = conf_kind_find(scope->kinds, node->text);
	const char *names[MAX_TYPES];
	size_t n = 0;

	if (kind) {
		*(const char **)field = kind->name;
		return 0;
	}
	if (profile)
		return conf_keep_text(scope, node, field);
	for (conf_kinds other = scope->kinds; *other && n < array_size(names); other++)
		names[n++] = (*other)->name;
	for (size_t i = 0; scope->profiles && i < scope->profiles->n && n < array_size(names); i++)
		names[n++] = scope->profiles->items[i].name;

	const char *near = conf_did_you_mean(names, n, node->text);

	return conf_error(scope, node,
		"no type of server is called %s%s%s%s; modelhealthd --list-types names them",
		conf_got(scope, node), near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
}

static void describe_enum(const struct conf_key *key, struct sbuf *out)
{
	list_choices(key->choices, count_choices(key), out);
}

static void print_enum(_unused_ const struct config *config, const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	sbuf_puts(out, key->choices[*(const int *)field]);
}

static uint64_t hash_enum(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	return hash_bytes(field, sizeof(int), seed);
}

/* ---- texts ---- */

static int parse_string(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	return conf_keep_text(scope, node, field);
}

static int parse_template(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	return keep_pattern(scope, node, field);
}

static void print_text(const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	conf_print_text(conf_shown_text(config, *(const char *const *)field), out);
}

static void print_string(const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	conf_print_string(conf_shown_text(config, *(const char *const *)field), out);
}

static uint64_t hash_string(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	return conf_mix_text(*(const char *const *)field, seed);
}

static int parse_url(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	if (conf_has_control(node->text) || strchr(node->text, ' ') || node->text[0] == '\0')
		return conf_error(
			scope, node, "expected a URL like https://host:8000/path, without blanks");
	if (strlen(node->text) > MAX_URL_BYTES)
		return conf_error(scope, node, "expected a URL of at most %d bytes, got %zu",
			MAX_URL_BYTES, strlen(node->text));
	return keep_pattern(scope, node, field);
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

static void print_url(const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	conf_redact_url(conf_shown_text(config, *(const char *const *)field), &text);
	conf_print_string(sbuf_str(&text), out);
}

static int parse_secret(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	if (conf_has_control(node->text))
		return conf_error(scope, node, "expected a secret without control characters");
	if (node->text[0] == '\0')
		return conf_error(scope, node, "expected a secret, got an empty text");

	char *text = arena_strdup(conf_arena(scope), node->text);

	if (!text)
		return -ENOMEM;
	*(struct secret *)field = secret_from(text);
	return 0;
}

static void print_secret(_unused_ const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	conf_print_string(secret_text(*(const struct secret *)field), out);
}

static bool is_secret_set(_unused_ const struct conf_key *key, const void *field)
{
	return secret_is_set(*(const struct secret *)field);
}

static uint64_t hash_secret(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	return conf_mix_text(secret_expose(*(const struct secret *)field), seed);
}

/* ---- rates ---- */

static int parse_rate(struct conf_scope *scope, _unused_ const struct conf_key *key,
	const struct node *node, void *field)
{
	struct rate rate;

	if (rate_parse(node->text, &rate) < 0)
		return conf_error(
			scope, node, "expected a rate like 60/1m, got %s", conf_got(scope, node));
	*(struct rate *)field = rate;
	return 0;
}

static void print_rate(_unused_ const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	char text[DURATION_TEXT_SIZE];

	rate_format(*(const struct rate *)field, text);
	sbuf_puts(out, text);
}

static bool is_rate_set(_unused_ const struct conf_key *key, const void *field)
{
	return ((const struct rate *)field)->count > 0;
}

static uint64_t hash_rate(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	const struct rate *rate = field;

	seed = hash_bytes(&rate->count, sizeof rate->count, seed);
	return hash_bytes(&rate->per, sizeof rate->per, seed);
}

/* ---- what kinds bring along ---- */

/* Dry runs make nothing that would need dispose. */
static int parse_custom(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	if (key->custom->shared_size > 0)
		return conf_memo_parse(scope, key->custom, node, field);
	return scope->mode == CONF_DRY ? 0 : key->custom->parse(scope, node, field);
}

static bool is_custom_set(const struct conf_key *key, const void *field)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	key->custom->print(&text, field);
	return text.len > 0;
}

static void print_custom(_unused_ const struct config *config, const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	key->custom->print(out, field);
}

uint64_t conf_hash_tree(const struct node *node, uint64_t seed)
{
	const struct node *at = node;

	while (at) {
		seed = conf_mix_text(
			at->key, conf_mix_text(at->text, seed) + at->type + at->is_quoted);
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

static uint64_t hash_custom(_unused_ const struct conf_key *key, const struct node *node,
	_unused_ const void *field, uint64_t seed)
{
	return conf_hash_tree(node, seed);
}

/* ---- the types ---- */

/* A value may be a reference instead of what the schema wants: ${env:X}. */
#define OR_REFERENCE(schema) "{\"anyOf\":[" schema ",{\"type\":\"string\",\"pattern\":\"[$][{]\"}]}"
#define UNITS                "([0-9]+([.][0-9]+)?(us|ms|s|m|h|d|w))+$"
#define UNITS_PATTERN        "^" UNITS "|^0$|[$][{]"
#define LABEL_NAMES          "\"propertyNames\":{\"pattern\":\"^(?!__)[A-Za-z_][A-Za-z0-9_]*$\"},"

static const struct conf_value_type types[] = {
	[CONF_BOOL] = { .parse = conf_number_parse,
		.print = conf_number_print,
		.is_set = conf_number_is_set,
		.hash = conf_number_hash,
		.describe = conf_number_describe,
		.is_scalar = true,
		.schema = OR_REFERENCE("{\"type\":\"boolean\"}") },
	[CONF_U16] = { .parse = conf_number_parse,
		.print = conf_number_print,
		.is_set = conf_number_is_set,
		.hash = conf_number_hash,
		.describe = conf_number_describe,
		.is_scalar = true },
	[CONF_UINT] = { .parse = conf_number_parse,
		.print = conf_number_print,
		.is_set = conf_number_is_set,
		.hash = conf_number_hash,
		.describe = conf_number_describe,
		.is_scalar = true },
	[CONF_DURATION] = { .parse = conf_number_parse,
		.print = conf_number_print,
		.is_set = conf_number_is_set,
		.hash = conf_number_hash,
		.describe = conf_number_describe,
		.is_scalar = true,
		/* An editor must say that 10 has no unit; 0 needs none. */
		.schema = "{\"type\":[\"string\",\"integer\"],\"pattern\":\"" UNITS_PATTERN
			  "\",\"minimum\":0,\"maximum\":0}" },
	[CONF_SIZE] = { .parse = conf_number_parse,
		.print = conf_number_print,
		.is_set = conf_number_is_set,
		.hash = conf_number_hash,
		.describe = conf_number_describe,
		.is_scalar = true,
		.schema =
			"{\"type\":[\"string\",\"integer\"],\"minimum\":0,\"pattern\":\"^[0-9]+(B|[KMG]iB|[kMG]B)?$|[$][{]\"}" },
	[CONF_RATE] = { .noun = "a rate like 60/1m",
		.parse = parse_rate,
		.print = print_rate,
		.is_set = is_rate_set,
		.hash = hash_rate,
		.is_scalar = true,
		.schema = "{\"type\":\"string\",\"pattern\":\"^[1-9][0-9]*/" UNITS "|[$][{]\"}" },
	[CONF_STRING] = { .noun = "a text",
		.parse = parse_string,
		.print = print_text,
		.is_set = has_pointer,
		.hash = hash_string,
		.is_scalar = true,
		.schema = "{\"type\":[\"string\",\"number\",\"boolean\"]}" },
	[CONF_TEMPLATE] = { .noun = "a text",
		.parse = parse_template,
		.print = print_string,
		.is_set = has_pointer,
		.hash = hash_string,
		.is_scalar = true,
		.may_hold_names = true,
		.schema = "{\"type\":[\"string\",\"number\",\"boolean\"]}" },
	[CONF_URL] = { .noun = "a URL like https://host:8000/path",
		.parse = parse_url,
		.print = print_url,
		.is_set = has_pointer,
		.hash = hash_string,
		.is_scalar = true,
		.may_hold_names = true,
		.schema = "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9]+://|[$][{]\"}" },
	[CONF_KIND] = { .noun = "a kind of check like http",
		.parse = parse_kind,
		.print = print_string,
		.is_set = has_pointer,
		.hash = hash_string,
		.is_scalar = true },
	[CONF_SERVER_TYPE] = { .noun = "a type of server like http",
		.parse = parse_server_type,
		.print = print_string,
		.is_set = has_pointer,
		.hash = hash_string,
		.is_scalar = true },
	[CONF_SECRET] = { .noun = "a secret",
		.parse = parse_secret,
		.print = print_secret,
		.is_set = is_secret_set,
		.hash = hash_secret,
		.is_scalar = true,
		.schema = "{\"type\":[\"string\",\"number\"]}" },
	[CONF_ENUM] = { .parse = parse_enum,
		.print = print_enum,
		.hash = hash_enum,
		.describe = describe_enum,
		.is_scalar = true },
	[CONF_STRING_LIST] = { .noun = "a list of texts",
		.parse = conf_list_parse,
		.print = conf_list_print,
		.hash = conf_list_hash,
		.schema =
			"{\"type\":[\"array\",\"string\",\"null\"],\"items\":{\"type\":[\"string\",\"number\"]}}" },
	[CONF_STRING_MAP] = { .noun = "a mapping of names to texts like { a: b }",
		.merge = conf_map_merge,
		.print = conf_map_print,
		.is_set = conf_map_is_set,
		.hash = conf_map_hash,
		.schema =
			"{\"type\":[\"object\",\"null\"],\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}" },
	[CONF_LABELS] = { .noun = "a mapping of names to texts like { a: b }",
		.merge = conf_labels_merge,
		.print = conf_labels_print,
		.is_set = conf_labels_is_set,
		.hash = conf_labels_hash,
		.schema =
			"{\"type\":[\"object\",\"null\"]," LABEL_NAMES
			"\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}" },
	[CONF_SECTION] = { .noun = "a mapping" },
	[CONF_CUSTOM] = { .noun = "a value",
		.parse = parse_custom,
		.print = print_custom,
		.is_set = is_custom_set,
		.hash = hash_custom },
	[CONF_BLOCK] = { .noun = "a mapping" },
};

const struct conf_value_type *conf_value_type(const struct conf_key *key)
{
	must(key->type < array_size(types));
	return &types[key->type];
}

void conf_value_describe(const struct conf_key *key, struct sbuf *out)
{
	const struct conf_value_type *type = conf_value_type(key);

	if (type->describe)
		type->describe(key, out);
	else
		sbuf_puts(out, type->noun);
}

int conf_parse_scalar(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	_cleanup_(sbuf_fini) struct sbuf expected = SBUF_INIT;
	bool is_unquoted;

	must(conf_value_type(key)->is_scalar);
	if (node->is_bad)
		return -EINVAL;
	if (node->type == NODE_SCALAR && !node_is_null(node)) {
		int rc =
			conf_value_type(key)->may_hold_names ? 0 : conf_refuse_pattern(scope, node);

		return rc < 0 ? rc : conf_value_type(key)->parse(scope, key, node, field);
	}
	conf_value_describe(key, &expected);
	/* Most likely JSON, which is YAML too. */
	is_unquoted = node->type == NODE_MAPPING &&
		      (key->type == CONF_STRING || key->type == CONF_TEMPLATE);
	return conf_error(scope, node, "expected %s, got %s%s", sbuf_str(&expected),
		conf_got(scope, node), is_unquoted ? "; put single quotes around it" : "");
}

int conf_value_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	if (conf_value_type(key)->is_scalar)
		return conf_parse_scalar(scope, key, node, field);
	return node->is_bad ? -EINVAL : conf_value_type(key)->parse(scope, key, node, field);
}

bool conf_value_is_set(const struct conf_key *key, const void *field)
{
	const struct conf_value_type *type = conf_value_type(key);

	return type->print && (!type->is_set || type->is_set(key, field));
}

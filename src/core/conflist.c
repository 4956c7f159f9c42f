/* SPDX-License-Identifier: MIT */
/*
 * Lists of texts, maps of texts and labels. Maps and labels are put together from all levels.
 * Called by core/confvalue.c.
 */
#include "modelhealth/core/conflist.h"

#include "modelhealth/core/confvalue.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_LIST_ITEMS = 256,
	MAX_MAP_PAIRS = 64,
	MAX_LABELS = 32,
	MAX_LABEL_NAME_BYTES = 64,
	MAX_LABEL_VALUE_BYTES = 256,
};

/* As in struct endpoint_spec. */
struct labels {
	struct label *items;
	size_t n;
};

/* ---- lists ---- */

int conf_list_parse(
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

void conf_list_print(const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	const struct conf_strings *list = field;

	for (size_t i = 0; i < list->n; i++) {
		sbuf_puts(out, i == 0 ? "[ " : ", ");
		conf_print_text(conf_shown_text(config, list->items[i]), out);
	}
	sbuf_puts(out, list->n == 0 ? "[]" : " ]");
}

uint64_t conf_list_hash(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	const struct conf_strings *list = field;

	for (size_t i = 0; i < list->n; i++)
		seed = conf_mix_text(list->items[i], seed);
	return seed + list->n;
}

/* ---- merging ---- */

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
				"expected a mapping of names to texts like { a: b }, got %s",
				conf_got(scope, map));
		for (const struct node *child = map->first_child; child; child = child->next) {
			size_t i = 0;

			while (i < n && compare(members[i]->key, child->key) != 0)
				i++;
			if (i < n && members[i]->parent == map)
				return conf_key_error(scope, child,
					"the same name as %s in line %u", members[i]->key,
					members[i]->key_line);
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

/* ---- maps ---- */

/* Names of headers and the like whose values are keys to something. */
bool conf_is_secret_name(const char *name)
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
	if (conf_has_control(node->text))
		return conf_error(scope, node, "expected a text without control characters");
	return conf_refuse_pattern(scope, node);
}

int conf_map_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field)
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
		pairs[i].is_secret = members[i]->is_secret || conf_is_secret_name(members[i]->key);
		rc = pair_rc < 0 ? pair_rc : rc;
	}
	*(struct conf_map *)field = (struct conf_map){ pairs, n };
	return rc;
}

void conf_map_print(_unused_ const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	const struct conf_map *map = field;

	for (size_t i = 0; i < map->n; i++) {
		const struct conf_pair *pair = &map->items[i];

		sbuf_puts(out, i == 0 ? "{ " : ", ");
		conf_print_string(pair->name, out);
		sbuf_puts(out, ": ");
		conf_print_text(pair->is_secret ? SECRET_MASK : secret_expose(pair->value), out);
	}
	sbuf_puts(out, map->n == 0 ? "{}" : " }");
}

bool conf_map_is_set(_unused_ const struct conf_key *key, const void *field)
{
	return ((const struct conf_map *)field)->n > 0;
}

uint64_t conf_map_hash(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	const struct conf_map *map = field;

	for (size_t i = 0; i < map->n; i++)
		seed = conf_mix_text(secret_expose(map->items[i].value),
			conf_mix_text(map->items[i].name, seed));
	return seed + map->n;
}

/* ---- labels ---- */

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
	if (conf_has_control(node->text) || strlen(node->text) > MAX_LABEL_VALUE_BYTES)
		return conf_error(scope, node,
			"expected a text of at most %d bytes without control characters",
			MAX_LABEL_VALUE_BYTES);
	return conf_refuse_pattern(scope, node);
}

int conf_labels_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field)
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
		if (!items[i].name || conf_keep_text(scope, members[i], &items[i].value) < 0)
			return -ENOMEM;
		rc = label_rc < 0 ? label_rc : rc;
	}
	*(struct labels *)field = (struct labels){ items, n };
	return rc;
}

void conf_labels_print(_unused_ const struct config *config, _unused_ const struct conf_key *key,
	const void *field, struct sbuf *out)
{
	const struct labels *labels = field;

	for (size_t i = 0; i < labels->n; i++) {
		sbuf_puts(out, i == 0 ? "{ " : ", ");
		conf_print_string(labels->items[i].name, out);
		sbuf_puts(out, ": ");
		conf_print_text(labels->items[i].value, out);
	}
	sbuf_puts(out, labels->n == 0 ? "{}" : " }");
}

bool conf_labels_is_set(_unused_ const struct conf_key *key, const void *field)
{
	return ((const struct labels *)field)->n > 0;
}

uint64_t conf_labels_hash(_unused_ const struct conf_key *key, _unused_ const struct node *node,
	const void *field, uint64_t seed)
{
	const struct labels *labels = field;

	for (size_t i = 0; i < labels->n; i++)
		seed = conf_mix_text(
			labels->items[i].value, conf_mix_text(labels->items[i].name, seed));
	return seed + labels->n;
}

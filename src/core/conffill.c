/* SPDX-License-Identifier: MIT */
/*
 * The engine behind the key tables: for each row, the innermost level that has the key decides.
 * core/conf.c drives it; custom parsers of kinds use conf_parse_section().
 */
#include "modelhealth/core/conffill.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/confforeign.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/confmemo.h"
#include "modelhealth/core/confvalue.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_FALLBACK_ITEMS = 8,
	MAX_KEYS = 512,  /* names that did-you-mean looks at */
	MAX_TABLES = 16, /* of one section */
	MAX_LISTED = 24, /* names that a message lists */
};

struct arena *conf_arena(struct conf_scope *scope)
{
	return &scope->config->arena;
}

int conf_at_end(struct conf_scope *scope, void (*dispose)(void *value), void *value)
{
	struct config_end *end = arena_alloc(conf_arena(scope), sizeof *end);

	if (!end) {
		dispose(value);
		return -ENOMEM;
	}
	*end = (struct config_end){ dispose, value, scope->config->ends };
	scope->config->ends = end;
	return 0;
}

const struct check_kind *conf_kind_find(conf_kinds kinds, const char *name)
{
	while (*kinds && strcmp((*kinds)->name, name) != 0)
		kinds++;
	return *kinds;
}

/* ---- levels ---- */

void conf_levels_push(struct conf_levels *levels, struct node *mapping)
{
	if (!mapping || mapping->type != NODE_MAPPING)
		return;
	must(levels->n < CONF_MAX_LEVELS);
	memmove(&levels->node[1], &levels->node[0], levels->n * sizeof levels->node[0]);
	memmove(&levels->is_common[1], &levels->is_common[0],
		levels->n * sizeof levels->is_common[0]);
	levels->node[0] = mapping;
	levels->is_common[0] = false;
	levels->n++;
}

void conf_levels_push_common(struct conf_levels *levels, struct node *mapping)
{
	size_t before = levels->n;

	conf_levels_push(levels, mapping);
	if (levels->n > before)
		levels->is_common[0] = true;
}

/* The member that a dotted key names below mapping. */
static const struct node *descend(const struct node *mapping, const char *key)
{
	char name[64];

	while (mapping) {
		size_t len = strcspn(key, ".");

		must(len < sizeof name);
		memcpy(name, key, len);
		name[len] = '\0';
		mapping = node_get(mapping, name);
		if (key[len] == '\0')
			break;
		key += len + 1;
	}
	return mapping;
}

const struct node *conf_levels_find(
	const struct conf_levels *levels, const char *key, size_t *ret_level)
{
	for (size_t i = 0; i < levels->n; i++) {
		const struct node *node = descend(levels->node[i], key);

		if (!node)
			continue;
		if (ret_level)
			*ret_level = i;
		return node;
	}
	return NULL;
}

const struct node *conf_blame(struct conf_scope *scope, const char *key)
{
	const struct node *node = conf_node(scope, key);
	const struct node *root = node;

	while (root->parent)
		root = root->parent;
	for (size_t i = 0; scope->layers && i < scope->layers->n_profiles; i++) {
		if (root == scope->layers->profiles[i])
			return scope->endpoint;
	}
	return node;
}

const struct node *conf_node(struct conf_scope *scope, const char *key)
{
	const struct node *node = conf_levels_find(&scope->levels, key, NULL);

	return node ? node : scope->endpoint;
}

bool conf_has(struct conf_scope *scope, const char *key)
{
	return conf_levels_find(&scope->levels, key, NULL) != NULL;
}

void conf_enter(struct conf_scope *scope, struct node *item, enum conf_reach reach)
{
	scope->outer = scope->levels;
	if (reach == CONF_ALONE)
		scope->levels = (struct conf_levels){ 0 };
	conf_levels_push(&scope->levels, item);
}

void conf_leave(struct conf_scope *scope)
{
	scope->levels = scope->outer;
}

int conf_fill_here(struct conf_scope *scope, const struct conf_key *table, void *base)
{
	int rc = conf_check_names(scope, &table, 1, scope->levels.node[0]);

	return conf_worse(rc, conf_fill(scope, table, &scope->levels, base));
}

int conf_resolve_path(struct conf_scope *scope, const char *key, const char **path)
{
	const char *file = conf_node(scope, key)->file;
	const char *slash = strrchr(file, '/');

	if (!*path || **path == '/' || !slash)
		return 0;
	*path = arena_printf(conf_arena(scope), "%.*s/%s", (int)(slash - file), file, *path);
	return *path ? 0 : -ENOMEM;
}

bool conf_is_partial(const struct conf_scope *scope)
{
	return scope->is_partial;
}

void conf_set_partial(struct conf_scope *scope)
{
	scope->is_partial = true;
}

const struct config *conf_config(const struct conf_scope *scope)
{
	return scope->config;
}

/* ---- defaults of the table ---- */

/* A row's default as nodes: a scalar, or a sequence of scalars when written "[ a, b ]". */
struct fallback {
	struct node node;
	struct node items[MAX_FALLBACK_ITEMS];
	char text[256];
};

static void make_scalar(struct node *node, const char *text)
{
	*node = (struct node){ .type = NODE_SCALAR, .file = "", .text = text, .shown = text };
}

static const struct node *make_fallback(struct fallback *fallback, const char *text)
{
	char *rest = fallback->text;
	size_t n = 0;

	make_scalar(&fallback->node, text);
	if (text[0] != '[')
		return &fallback->node;
	fallback->node.type = NODE_SEQUENCE;
	must(strlen(text) < sizeof fallback->text);
	(void)memcpy(fallback->text, text, strlen(text) + 1);
	while (*(rest += strspn(rest, "[], ")) != '\0') {
		size_t len = strcspn(rest, "], ");
		bool is_last = rest[len] == '\0';

		must(n < MAX_FALLBACK_ITEMS);
		rest[len] = '\0';
		make_scalar(&fallback->items[n], rest);
		fallback->items[n].parent = &fallback->node;
		if (n > 0)
			fallback->items[n - 1].next = &fallback->items[n];
		n++;
		rest += is_last ? len : len + 1;
	}
	fallback->node.first_child = n > 0 ? &fallback->items[0] : NULL;
	fallback->node.n_children = n;
	return &fallback->node;
}

/* ---- rows ---- */

static void mix(struct conf_scope *scope, const struct conf_key *key, const struct node *node,
	const void *field)
{
	struct conf_hashes *hashes = &scope->hashes;
	uint64_t shared;

	if (key->type == CONF_CUSTOM && key->custom->shared_size > 0) {
		shared = conf_memo_hash(scope, key->custom, node);
		if (key->effect == EFFECT_RESTART)
			hashes->identity = hash_bytes(&shared, sizeof shared, hashes->identity);
		hashes->content = hash_bytes(&shared, sizeof shared, hashes->content);
		return;
	}
	if (key->effect == EFFECT_RESTART)
		hashes->identity = conf_value_type(key)->hash(key, node, field, hashes->identity);
	hashes->content = conf_value_type(key)->hash(key, node, field, hashes->content);
}

static const struct conf_key *find_key(const struct conf_key *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	return table->name ? table : NULL;
}

/* The tables of a section, and where checks of several kinds inherit it, those of each that has
 * one of that name; returns how many. */
static size_t section_tables(struct conf_scope *scope, const struct conf_key *key, bool is_common,
	const struct conf_key *ret_tables[MAX_TABLES])
{
	size_t n = 0;

	ret_tables[n++] = key->section;
	for (conf_kinds kind = scope->kinds; is_common && *kind && n < MAX_TABLES; kind++) {
		const struct conf_key *same = find_key((*kind)->keys, key->name);

		if (same && same->type == CONF_SECTION && same->section != key->section)
			ret_tables[n++] = same->section;
	}
	return n;
}

static void list_keys(const struct conf_key *const *tables, size_t n_tables, struct sbuf *out)
{
	size_t n = 0;

	for (size_t i = 0; i < n_tables; i++) {
		for (const struct conf_key *key = tables[i]; key->name; key++, n++) {
			if (n < MAX_LISTED)
				sbuf_printf(out, "%s%s", n == 0 ? "" : ", ", key->name);
		}
	}
	if (n > MAX_LISTED)
		sbuf_puts(out, " … (modelhealthd.yaml(5) has them all)");
}

static const struct conf_key *main_key(const struct conf_key *table)
{
	while (table->name && !table->is_main)
		table++;
	return table->name ? table : NULL;
}

/* Says what could stand in it: that it is a mapping helps nobody who wrote "timeout: 10s". */
static int no_section(
	struct conf_scope *scope, const struct conf_key *table, const struct node *node)
{
	_cleanup_(sbuf_fini) struct sbuf list = SBUF_INIT;

	const struct conf_key *main = node->type == NODE_SCALAR ? main_key(table) : NULL;
	const char *got = conf_got(scope, node);

	list_keys(&table, 1, &list);
	if (main)
		return conf_error(scope, node,
			"expected a mapping of %s; got %s (did you mean { %s: %s }?)",
			sbuf_str(&list), got, main->name, got);
	return conf_error(scope, node, "expected a mapping of %s; got %s", sbuf_str(&list), got);
}

static int fill_section(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field)
{
	const struct conf_key *tables[MAX_TABLES];
	struct conf_levels inner = { 0 };
	int rc = 0;

	for (size_t i = levels->n; i-- > 0;) {
		struct node *node = node_get(levels->node[i], key->name);

		if (!node || node_is_null(node))
			continue;
		if (node->type != NODE_MAPPING) {
			rc = no_section(scope, key->section, node);
			continue;
		}
		rc = conf_worse(rc,
			conf_check_names(scope, tables,
				section_tables(scope, key, levels->is_common[i], tables), node));
		conf_levels_push(&inner, node);
	}
	return conf_worse(rc, conf_fill(scope, key->section, &inner, field));
}

static int missing_key(struct conf_scope *scope, const struct conf_key *key)
{
	_cleanup_(sbuf_fini) struct sbuf expected = SBUF_INIT;

	conf_value_describe(key, &expected);
	return conf_error(scope, scope->endpoint, "%s is missing: expected %s", key->name,
		sbuf_str(&expected));
}

static int take_value(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	int rc = conf_value_parse(scope, key, node, field);

	if (rc == 0)
		mix(scope, key, node, field);
	return rc;
}

/* Its own function, since the nodes take more of the stack than a level that has the key needs. */
static int take_fallback(struct conf_scope *scope, const struct conf_key *key, void *field)
{
	struct fallback fallback;

	return take_value(scope, key, make_fallback(&fallback, key->fallback), field);
}

/* What is set. A value that is bad leaves the default, so that the rest can be looked at too. */
static int take_set(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field)
{
	int rc = node->is_bad ? -EINVAL : take_value(scope, key, node, field);

	if (rc == -EINVAL && key->fallback && take_fallback(scope, key, field) == -ENOMEM)
		return -ENOMEM;
	return rc;
}

/* Adds what the levels from i on have beyond the inner ones, for customs that want it. */
static int inherit(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, size_t i, void *field)
{
	for (; i < levels->n; i++) {
		const struct node *node = node_get(levels->node[i], key->name);
		void *outer;
		int rc;

		if (!node || node->is_bad)
			continue;
		outer = arena_alloc(conf_arena(scope), key->custom->shared_size);
		rc = outer ? take_value(scope, key, node, outer) : -ENOMEM;
		if (rc == 0)
			rc = key->custom->inherit(scope, field, outer);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int fill_value(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field)
{
	const struct node *node = NULL;
	size_t i = 0;

	while (i < levels->n && !node)
		node = node_get(levels->node[i++], key->name);
	if (node) {
		int rc = take_set(scope, key, node, field);
		bool inherits = key->type == CONF_CUSTOM && key->custom->inherit;

		return rc < 0 || !inherits ? rc : inherit(scope, key, levels, i, field);
	}
	if (key->fallback)
		return take_fallback(scope, key, field);
	if (key->is_required && scope->mode == CONF_REAL)
		return missing_key(scope, key);
	return 0;
}

static bool is_kind_table(const struct conf_scope *scope, const struct conf_key *table)
{
	conf_kinds kind = scope->kinds;

	while (*kind && (*kind)->keys != table)
		kind++;
	return *kind != NULL;
}

/* Whether another kind reads a key of this name in another way. */
static bool is_ambiguous(const struct conf_scope *scope, const struct conf_key *key)
{
	for (conf_kinds kind = scope->kinds; *kind; kind++) {
		const struct conf_key *same = find_key((*kind)->keys, key->name);

		if (same && (same->type != key->type || same->section != key->section ||
				    same->custom != key->custom || same->choices != key->choices))
			return true;
	}
	return false;
}

int conf_fill(struct conf_scope *scope, const struct conf_key *table,
	const struct conf_levels *levels, void *base)
{
	bool is_dry = scope->mode == CONF_DRY && is_kind_table(scope, table);
	int result = 0;

	for (const struct conf_key *key = table; key->name; key++) {
		void *field = (char *)base + key->offset;
		int rc = 0;

		if (is_dry && is_ambiguous(scope, key))
			continue;
		if (key->type == CONF_SECTION) {
			/* Recursion over our tables, which are a few levels deep. */
			rc = fill_section(scope, key, levels, field);
		} else if (conf_value_type(key)->merge) {
			rc = conf_value_type(key)->merge(scope, key, levels, field);
			if (rc == 0)
				mix(scope, key, NULL, field);
		} else if (key->type != CONF_BLOCK) {
			rc = fill_value(scope, key, levels, field);
		}
		if (rc == -ENOMEM)
			return rc;
		result = conf_worse(result, rc);
	}
	return result;
}

int conf_parse_section(struct conf_scope *scope, const struct conf_key *table,
	const struct node *mapping, void *target)
{
	const struct conf_key section = { .name = "", .section = table };
	/* Nodes are constant to custom parsers; the levels note in them that names were checked. */
	struct node copy = *mapping;
	struct conf_levels levels = { .node = { &copy }, .n = 1 };
	int rc;

	if (mapping->type != NODE_MAPPING)
		return no_section(scope, table, mapping);
	rc = conf_check_names(scope, &section.section, 1, &copy);
	return conf_worse(rc, conf_fill(scope, table, &levels, target));
}

/* ---- unknown keys ---- */

/* Which kinds of checks have a key of that name, as text; empty for none. */
static void list_kinds(const struct conf_scope *scope, const char *name, struct sbuf *out)
{
	for (conf_kinds kind = scope->kinds; *kind; kind++) {
		if (find_key((*kind)->keys, name))
			sbuf_printf(out, "%s%s", out->len > 0 ? ", " : "", (*kind)->name);
	}
}

/* Where a key that cannot stand here and is of no kind would be at home; NULL when nowhere. */
static const char *home_of(const char *name)
{
	static const struct {
		const struct conf_key *table;
		const char *home;
	} homes[] = {
		{ conf_endpoint_keys, "an endpoint" },
		{ conf_level_keys, "an endpoint, a group or defaults" },
		{ conf_shared_keys, "an endpoint, a group or defaults" },
		{ conf_check_keys, "a check" },
		{ conf_pace_keys, "a check, an endpoint, a group or defaults" },
		{ conf_top_keys, "the top level of the main file" },
	};

	for (size_t i = 0; i < array_size(homes); i++) {
		if (find_key(homes[i].table, name))
			return homes[i].home;
	}
	return NULL;
}

static int unknown_key(struct conf_scope *scope, const struct conf_key *const *tables,
	size_t n_tables, const struct node *node)
{
	const char *names[MAX_KEYS];
	size_t n = 0;

	for (size_t i = 0; i < n_tables; i++) {
		for (const struct conf_key *key = tables[i]; key->name && n < MAX_KEYS; key++)
			names[n++] = key->name;
	}

	const char *near = conf_did_you_mean(names, n, node->key);
	const char *home = home_of(node->key);
	const char *foreign = conf_foreign(node->key);
	_cleanup_(sbuf_fini) struct sbuf list = SBUF_INIT;

	if (home)
		return conf_key_error(scope, node, "unknown key here; it belongs in %s", home);
	list_kinds(scope, node->key, &list);
	if (list.len > 0)
		return conf_key_error(scope, node,
			"unknown key here; it belongs to checks of kind %s", sbuf_str(&list));
	if (foreign)
		return conf_key_error(scope, node, "unknown key; here that is %s", foreign);
	if (near)
		return conf_key_error(scope, node, "unknown key (did you mean %s?)", near);
	list_keys(tables, n_tables, &list);
	return conf_key_error(scope, node, "unknown key; known here: %s", sbuf_str(&list));
}

int conf_check_names(struct conf_scope *scope, const struct conf_key *const *tables,
	size_t n_tables, struct node *mapping)
{
	int rc = 0;

	if (!mapping || mapping->type != NODE_MAPPING || mapping->is_known)
		return 0;
	mapping->is_known = true;
	for (const struct node *child = mapping->first_child; child; child = child->next) {
		size_t i = 0;

		if (child->is_bad)
			continue;
		while (i < n_tables && !find_key(tables[i], child->key))
			i++;
		if (i == n_tables)
			rc = unknown_key(scope, tables, n_tables, child);
	}
	return rc;
}

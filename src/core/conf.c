/* SPDX-License-Identifier: MIT */
/*
 * From parsed files to the configuration: lays defaults, group, endpoint and check over each other
 * key by key, checks what single values cannot show, and collects every error on the way.
 * io/conffile.c calls it at start and at reload.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/confcheck.h"
#include "modelhealth/core/conffill.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/conflevel.h"
#include "modelhealth/core/confmemo.h"
#include "modelhealth/core/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_NAMES = 256 /* that did-you-mean looks at */
};

/* What a load knows besides the scope. */
struct build {
	struct conf_scope scope;
	struct node *defaults;
	struct node **groups; /* sorted by key */
	size_t n_groups;
	bool has_all_names; /* every endpoint has one */
	bool is_partial;    /* a file could not be read: what is missing may stand there */
};

/* ---- defaults and groups ---- */

static int compare_key(const void *left, const void *right)
{
	const struct node *const *a = left;
	const struct node *const *b = right;

	return strcmp((*a)->key, (*b)->key);
}

static struct node *find_group(const struct build *build, const char *name)
{
	const struct node key = { .key = name };
	const struct node *key_pointer = &key;
	struct node **found = build->n_groups == 0
				      ? NULL
				      : bsearch(&key_pointer, build->groups, build->n_groups,
						sizeof build->groups[0], compare_key);

	return found ? *found : NULL;
}

static int build_levels(struct build *build, const struct node *root)
{
	struct node *defaults = node_get(root, "defaults");
	struct node *groups = node_get(root, "groups");

	if (conf_is_block(&build->scope, defaults, NODE_MAPPING)) {
		build->defaults = defaults;
		if (conf_try_level(&build->scope, defaults) < 0)
			return -ENOMEM;
	}
	if (!conf_is_block(&build->scope, groups, NODE_MAPPING))
		return 0;
	build->groups = calloc(groups->n_children + 1, sizeof build->groups[0]);
	if (!build->groups)
		return -ENOMEM;
	for (struct node *group = groups->first_child; group; group = group->next) {
		(void)conf_check_name(&build->scope, group, group->key, conf_key_error);
		build->groups[build->n_groups++] = group;
		if (conf_is_block(&build->scope, group, NODE_MAPPING) &&
			conf_try_level(&build->scope, group) < 0)
			return -ENOMEM;
	}
	qsort(build->groups, build->n_groups, sizeof build->groups[0], compare_key);
	for (size_t i = 1; i < build->n_groups; i++) {
		const struct node *before = build->groups[i - 1];

		/* Within one file it is a duplicate key, which has been said. */
		if (strcmp(before->key, build->groups[i]->key) == 0 &&
			strcmp(before->file, build->groups[i]->file) != 0)
			(void)conf_key_error(&build->scope, build->groups[i],
				"group \"%s\" is also defined in %s:%u", before->key, before->file,
				before->key_line);
	}
	return 0;
}

/* ---- one endpoint ---- */

/* The group's node, NULL without settings: a group may be a mere name that endpoints share. Only
 * what looks like a misspelt one is an error. */
static struct node *endpoint_group(struct build *build, const struct node *node, const char *name)
{
	const struct node *group_node = node_get(node, "group");
	const char *names[MAX_NAMES];
	size_t n = min_of(build->n_groups, array_size(names));
	struct node *group = name ? find_group(build, name) : NULL;

	if (group || !name || conf_check_name(&build->scope, group_node, name, conf_error) < 0 ||
		build->is_partial)
		return group;
	for (size_t i = 0; i < n; i++)
		names[i] = build->groups[i]->key;

	const char *near = conf_did_you_mean(names, n, name);

	if (near)
		(void)conf_error(&build->scope, group_node,
			"no group is called %s (did you mean %s?)",
			conf_got(&build->scope, group_node), near);
	return NULL;
}

static const char *keep_file(
	struct build *build, const char *file, const struct endpoint_spec *before)
{
	if (before && strcmp(before->file, file) == 0)
		return before->file;
	return arena_strdup(conf_arena(&build->scope), file);
}

/* Finds and checks the profile of the endpoint's type; *ret_is_usable is false when it has one that
 * is bad. 0 or -ENOMEM. */
static int open_profile(struct conf_scope *scope, struct conf_layers *layers, bool *ret_is_usable)
{
	const struct node *type = node_get(layers->own, "type");
	struct profile *profile;
	int rc = 0;

	if (!type)
		type = node_get(layers->group, "type");
	if (!type)
		type = node_get(layers->defaults, "type");
	profile = type && type->type == NODE_SCALAR && !conf_kind_find(scope->kinds, type->text)
			  ? profile_find(scope->profiles, type->text)
			  : NULL;
	if (profile)
		rc = profile_open(scope, profile);
	*ret_is_usable = !profile || profile->root;
	for (; *ret_is_usable && profile; profile = profile->base)
		layers->profiles[layers->n_profiles++] = profile->root;
	return rc;
}

/* Reads node into endpoint; before is the endpoint ahead of it, NULL for the first. Errors are
 * collected, not returned. 0 or -ENOMEM. */
static int build_endpoint(struct build *build, struct node *node, struct endpoint_spec *endpoint,
	const struct endpoint_spec *before)
{
	struct conf_scope *scope = &build->scope;
	const struct conf_levels own = { .node = { node }, .n = 1 };
	struct conf_layers layers = { .defaults = build->defaults, .own = node };
	bool is_usable;
	int rc = 0;

	scope->endpoint = node;
	scope->hashes = (struct conf_hashes){ 0 };
	endpoint->tls_verify = true;
	endpoint->config = scope->config;
	endpoint->line = node->line;
	endpoint->file = keep_file(build, node->file, before);
	if (!endpoint->file)
		return -ENOMEM;
	if (node->type != NODE_MAPPING) {
		(void)conf_error(scope, node, "expected a mapping with name and type, got %s",
			conf_got(scope, node));
		return 0;
	}

	rc = conf_fill(scope, conf_endpoint_keys, &own, endpoint);
	if (rc == -ENOMEM)
		return rc;
	if (endpoint->name)
		(void)conf_check_name(scope, node_get(node, "name"), endpoint->name, conf_error);
	layers.group = endpoint_group(build, node, endpoint->group);
	if (open_profile(scope, &layers, &is_usable) < 0)
		return -ENOMEM;
	endpoint->is_profile = layers.n_profiles > 0;
	scope->layers = &layers;
	scope->levels = (struct conf_levels){ 0 };
	for (size_t i = layers.n_profiles; i-- > 0;)
		conf_levels_push_common(&scope->levels, layers.profiles[i]);
	conf_levels_push_common(&scope->levels, layers.defaults);
	conf_levels_push_common(&scope->levels, layers.group);
	conf_levels_push_common(&scope->levels, layers.own);
	rc = conf_worse(rc, conf_fill(scope, conf_shared_keys, &scope->levels, endpoint));
	scope->is_partial = rc < 0;
	if (rc != -ENOMEM && is_usable)
		rc = conf_worse(rc, conf_build_checks(scope, &layers, endpoint));
	scope->layers = NULL;
	return rc == -ENOMEM ? rc : 0;
}

static int build_endpoints(struct build *build, const struct node *root)
{
	struct config *config = build->scope.config;
	const struct node *list = node_get(root, "endpoints");
	struct node *node;

	if (!conf_is_block(&build->scope, list, NODE_SEQUENCE))
		return 0;
	config->endpoints =
		arena_calloc(&config->arena, list->n_children, sizeof config->endpoints[0]);
	if (!config->endpoints)
		return -ENOMEM;
	for (node = list->first_child; node && !build->scope.errors->truncated; node = node->next) {
		struct endpoint_spec *endpoint = &config->endpoints[config->n_endpoints++];

		if (build_endpoint(build, node, endpoint,
			    endpoint == config->endpoints ? NULL : endpoint - 1) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- the whole ---- */

static int compare_endpoint(const void *left, const void *right)
{
	const struct endpoint_spec *const *a = left;
	const struct endpoint_spec *const *b = right;
	int order = strcmp((*a)->name, (*b)->name);

	/* Namesakes in file order, so that the later one is the error. */
	return order != 0 ? order : (*a < *b ? -1 : *a > *b);
}

static int sort_endpoints(struct build *build, const struct node *root)
{
	struct config *config = build->scope.config;
	const struct node *list = node_get(root, "endpoints");
	const struct node **nodes;
	size_t n = 0;

	config->by_name =
		arena_calloc(&config->arena, config->n_endpoints + 1, sizeof config->by_name[0]);
	nodes = calloc(config->n_endpoints + 1, sizeof *nodes);
	if (!config->by_name || !nodes) {
		free(nodes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < config->n_endpoints; i++) {
		if (config->endpoints[i].name)
			config->by_name[n++] = &config->endpoints[i];
		nodes[i] = i == 0 ? list->first_child : nodes[i - 1]->next;
	}
	build->has_all_names = n == config->n_endpoints;
	qsort(config->by_name, n, sizeof config->by_name[0], compare_endpoint);
	for (size_t i = 1; i < n; i++) {
		const struct endpoint_spec *before = config->by_name[i - 1];
		const struct endpoint_spec *endpoint = config->by_name[i];

		if (strcmp(before->name, endpoint->name) != 0)
			continue;

		const struct node *first = node_get(nodes[before - config->endpoints], "name");
		const struct node *name = node_get(nodes[endpoint - config->endpoints], "name");

		if (first->line == name->line && first->column == name->column &&
			strcmp(first->file, name->file) == 0)
			(void)conf_error(
				&build->scope, name, "this file is included more than once");
		else
			(void)conf_error(&build->scope, name,
				"\"%s\" is also the name of the endpoint in %s:%u", before->name,
				before->file, before->line);
	}
	free(nodes);
	return 0;
}

/* Whether an endpoint has a check of that name; else names of those that they have. */
static bool has_check(
	const struct config *config, const char *name, const char *names[MAX_NAMES], size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_endpoints; i++) {
		for (size_t k = 0; k < config->endpoints[i].n_checks; k++) {
			const char *known = config->endpoints[i].checks[k].name;

			if (strcmp(known, name) == 0)
				return true;
			if (n < MAX_NAMES && (n == 0 || strcmp(names[n - 1], known) != 0))
				names[n++] = known;
		}
	}
	*ret_n = n;
	return false;
}

/* Checks that defaults or a group change and no endpoint has, but nearly. */
static void check_sections(struct build *build, const struct node *level)
{
	const struct node *checks = node_get(level, "checks");
	const struct node *section =
		checks && checks->type == NODE_MAPPING ? checks->first_child : NULL;

	for (; section; section = section->next) {
		const char *names[MAX_NAMES];
		const char *near = NULL;
		size_t n;

		if (!has_check(build->scope.config, section->key, names, &n))
			near = conf_did_you_mean(names, n, section->key);
		if (near)
			(void)conf_key_error(&build->scope, section,
				"no endpoint has a check of this name (did you mean %s?)", near);
	}
}

static void check_all_sections(struct build *build)
{
	check_sections(build, build->defaults);
	for (size_t i = 0; i < build->n_groups; i++)
		check_sections(build, build->groups[i]);
}

/* Also of the operator's profiles that no endpoint uses. */
static int check_profiles(struct conf_scope *scope)
{
	struct profiles *profiles = scope->profiles;

	for (size_t i = 0; profiles && i < profiles->n; i++) {
		struct profile *profile = &profiles->items[i];

		if (!profile->text && profile_open(scope, profile) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void check_witnesses(struct build *build, const struct node *root)
{
	const struct config *config = build->scope.config;
	const struct node *list = node_get(node_get(root, "self_check"), "witnesses");
	const struct node *item = !list || list->type == NODE_SCALAR ? list : list->first_child;

	for (size_t i = 0; i < config->n_witnesses && item; i++, item = item->next) {
		if (!config_find(config, config->witnesses[i]))
			(void)conf_error(&build->scope, item, "no endpoint is called %s",
				conf_got(&build->scope, item));
	}
}

/* Only of a configuration without errors: checks may refer to any part of it. */
static int link_checks(struct conf_scope *scope)
{
	int rc = 0;

	scope->levels = (struct conf_levels){ 0 };
	for (const struct conf_link *link = scope->links; link; link = link->next)
		rc = conf_worse(rc,
			link->check->kind->link(scope, link->endpoint, link->check, link->params));
	return rc;
}

static int compare_value(const void *left, const void *right)
{
	const struct hidden *a = left;
	const struct hidden *b = right;

	return a->value < b->value ? -1 : a->value > b->value;
}

static int keep_hidden(struct conf_scope *scope)
{
	struct config *config = scope->config;
	struct hidden *hidden = arena_calloc(&config->arena, scope->n_hidden + 1, sizeof *hidden);

	if (!hidden)
		return -ENOMEM;
	if (scope->n_hidden > 0)
		memcpy(hidden, scope->hidden, scope->n_hidden * sizeof *hidden);
	qsort(hidden, scope->n_hidden, sizeof *hidden, compare_value);
	config->hidden = hidden;
	config->n_hidden = scope->n_hidden;
	return 0;
}

static int build_config(struct build *build, struct node *root)
{
	struct conf_scope *scope = &build->scope;
	const struct conf_key *top[] = { conf_top_keys };
	const struct conf_levels levels = { .node = { root }, .n = 1 };

	scope->endpoint = root;
	scope->levels = levels;
	scope->config->path = arena_strdup(conf_arena(scope), root->file);
	if (!scope->config->path)
		return -ENOMEM;
	if (root->type != NODE_MAPPING)
		return conf_error(scope, root, "expected a mapping of keys like endpoints, got %s",
			conf_got(scope, root));
	if (conf_check_names(scope, top, 1, root) == -ENOMEM ||
		conf_fill(scope, conf_top_keys, &levels, scope->config) == -ENOMEM ||
		check_profiles(scope) < 0 || build_levels(build, root) < 0 ||
		build_endpoints(build, root) < 0 || sort_endpoints(build, root) < 0 ||
		keep_hidden(scope) < 0)
		return -ENOMEM;
	if (build->has_all_names && !build->is_partial)
		check_witnesses(build, root);
	if (!build->is_partial && scope->errors->n == 0)
		check_all_sections(build);
	if (scope->errors->n == 0 && !scope->errors->truncated && link_checks(scope) == -ENOMEM)
		return -ENOMEM;
	return scope->errors->n == 0 && !scope->errors->truncated ? 0 : -EINVAL;
}

int conf_build(struct node *root, conf_kinds kinds, struct profiles *profiles,
	struct conf_errors *errors, struct config **ret_config)
{
	struct config *config = calloc(1, sizeof *config);
	struct build build = {
		.scope = { .config = config,
			.errors = errors,
			.kinds = kinds,
			.profiles = profiles },
		.is_partial = root->is_bad,
	};
	int rc;

	if (!config)
		return -ENOMEM;
	config->refs = 1;
	config->generation = 1;
	rc = build_config(&build, root);
	free(build.groups);
	free(build.scope.hidden);
	conf_memo_fini(&build.scope.memo);
	conf_errors_sort(errors);
	if (rc < 0) {
		config_unref(config);
		return rc;
	}
	*ret_config = config;
	return 0;
}

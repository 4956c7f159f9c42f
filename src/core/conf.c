/* SPDX-License-Identifier: MIT */
/*
 * From parsed files to the configuration: lays defaults, group, endpoint and check over each other
 * key by key, checks what single values cannot show, and collects every error on the way.
 * io/conffile.c calls it at start and at reload.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/conffill.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/confmemo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_NAME_BYTES = 128,
	MAX_CHECKS = 32,      /* of one endpoint */
	MAX_KIND_TABLES = 64, /* in one list of tables */
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

/* ---- names ---- */

static int check_name(struct conf_scope *scope, const struct node *node, const char *name,
	int (*report)(struct conf_scope *, const struct node *, const char *, ...))
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t len = strlen(name);

	if (node->is_secret)
		return report(scope, node, "names are public; a secret cannot stand here");
	if (len > 0 && len <= MAX_NAME_BYTES && strspn(name, letters) == len &&
		!strchr("._-", name[0]))
		return 0;
	return report(scope, node,
		"expected a name of letters, digits and . _ - that begins with a letter or digit "
		"and has at most %d bytes",
		MAX_NAME_BYTES);
}

/* Whether node is a mapping to look into; reports when it is something else but nothing. */
static bool is_block(struct conf_scope *scope, const struct node *node, enum node_type type)
{
	if (!node || node->is_bad || node_is_null(node))
		return false;
	if (node->type == type)
		return true;
	(void)conf_error(scope, node, "expected a %s, got %s",
		type == NODE_MAPPING ? "mapping" : "list", conf_got(scope, node));
	return false;
}

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

/* The tables of keys that defaults and groups may hold; returns how many. */
static size_t level_tables(conf_kinds kinds, const struct conf_key *ret_tables[MAX_KIND_TABLES])
{
	size_t n = 0;

	ret_tables[n++] = conf_shared_keys;
	ret_tables[n++] = conf_pace_keys;
	for (; *kinds && n < MAX_KIND_TABLES; kinds++)
		ret_tables[n++] = (*kinds)->keys;
	return n;
}

/* Tries the values of a level on scratch structs, so that an unused level is checked too. */
static int try_level(struct build *build, struct node *level)
{
	struct conf_scope *scope = &build->scope;
	const struct conf_levels levels = { .node = { level }, .n = 1 };
	const struct conf_key *tables[MAX_KIND_TABLES];
	struct endpoint_spec endpoint = { 0 };
	struct check_spec check = { 0 };
	int rc;

	rc = conf_check_names(scope, tables, level_tables(scope->kinds, tables), level);
	if (rc == -ENOMEM)
		return rc;
	scope->is_dry = true;
	rc = conf_fill(scope, conf_shared_keys, &levels, &endpoint);
	if (rc != -ENOMEM)
		rc = conf_fill(scope, conf_pace_keys, &levels, &check);
	for (conf_kinds kind = scope->kinds; *kind && rc != -ENOMEM; kind++) {
		void *params = arena_alloc(conf_arena(scope), (*kind)->params_size);

		rc = params ? conf_fill(scope, (*kind)->keys, &levels, params) : -ENOMEM;
	}
	scope->is_dry = false;
	return rc == -ENOMEM ? rc : 0;
}

static int build_levels(struct build *build, const struct node *root)
{
	struct node *defaults = node_get(root, "defaults");
	struct node *groups = node_get(root, "groups");

	if (is_block(&build->scope, defaults, NODE_MAPPING)) {
		build->defaults = defaults;
		if (try_level(build, defaults) < 0)
			return -ENOMEM;
	}
	if (!is_block(&build->scope, groups, NODE_MAPPING))
		return 0;
	build->groups = calloc(groups->n_children + 1, sizeof build->groups[0]);
	if (!build->groups)
		return -ENOMEM;
	for (struct node *group = groups->first_child; group; group = group->next) {
		(void)check_name(&build->scope, group, group->key, conf_key_error);
		build->groups[build->n_groups++] = group;
		if (is_block(&build->scope, group, NODE_MAPPING) && try_level(build, group) < 0)
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

/* ---- one check ---- */

/* A value beyond its limit has no meaning. One that an outer level set is cut; one that stands
 * beside the limit, or further in, is a mistake. */
static int settle_limit(struct conf_scope *scope, const char *name, usec_t *value,
	const char *limit_name, usec_t limit)
{
	size_t level = CONF_MAX_LEVELS;
	size_t limit_level = CONF_MAX_LEVELS;
	const struct node *node = conf_levels_find(&scope->levels, name, &level);
	char text[DURATION_TEXT_SIZE];

	if (*value <= limit)
		return 0;
	(void)conf_levels_find(&scope->levels, limit_name, &limit_level);
	if (!node || level > limit_level) {
		*value = limit;
		return 0;
	}
	duration_format(limit, text);
	return conf_error(scope, node, "%s is longer than %s, which is %s", conf_got(scope, node),
		limit_name, text);
}

static int settle_timeouts(struct conf_scope *scope, struct timeouts *timeout)
{
	const struct {
		const char *name;
		usec_t *value;
	} parts[] = {
		{ "timeout.connect", &timeout->connect },
		{ "timeout.first_byte", &timeout->first_byte },
		{ "timeout.first_token", &timeout->first_token },
		{ "timeout.idle", &timeout->idle },
	};

	int rc = 0;

	for (size_t i = 0; i < array_size(parts); i++)
		rc = conf_worse(rc, settle_limit(scope, parts[i].name, parts[i].value,
					    "timeout.total", timeout->total));
	return rc;
}

/* A third of interval in whole milliseconds, at least a second. */
static usec_t default_fast_interval(usec_t interval)
{
	return max_of(interval / 3 / USEC_PER_MSEC * USEC_PER_MSEC, USEC_PER_SEC);
}

/* What the values of a check say together. */
static int settle_pace(struct conf_scope *scope, struct check_spec *check)
{
	const struct latency_limit *limit = &check->window_latency;
	int rc;

	if (check->interval == 0)
		check->interval = conf_tier_interval(check->tier);
	if (check->down_interval == 0)
		check->down_interval = check->interval;
	if (check->fast_interval == 0)
		check->fast_interval = default_fast_interval(check->interval);
	check->jitter = min_of(check->jitter, check->interval / 2);
	check->retry.max_backoff = max_of(check->retry.max_backoff, check->retry.backoff);
	rc = settle_limit(
		scope, "fast_interval", &check->fast_interval, "interval", check->interval);
	rc = conf_worse(rc, settle_timeouts(scope, &check->timeout));
	if (limit->degraded > 0 && limit->down > 0 && limit->degraded >= limit->down)
		rc = conf_error(scope, conf_node(scope, "window_latency.degraded"),
			"must be less than window_latency.down");
	return rc;
}

static enum tier tier_of_name(const char *name)
{
	enum tier tier = 0;

	while (tier < TIER_N && strcmp(tier_token(tier), name) != 0)
		tier++;
	return tier;
}

/* What the check is called says more than its kind: a check "ready" may ask for the models. */
static enum tier default_tier(const struct check_spec *check)
{
	enum tier tier = tier_of_name(check->name);

	if (tier == TIER_N)
		tier = tier_of_name(check->kind->name);
	return tier == TIER_N ? TIER_LIVE : tier;
}

/* The check's kind by its own key, else by the endpoint's type. NULL after an error. */
static const struct check_kind *find_kind(
	struct conf_scope *scope, const char *type, const struct node *section)
{
	static const struct conf_key kind_key = { .name = "kind", .type = CONF_KIND };
	const struct node *node = node_get(section, "kind");

	if (node && conf_parse_scalar(scope, &kind_key, node, &type) < 0)
		return NULL;
	return type ? conf_kind_find(scope->kinds, type) : NULL;
}

static bool has_url_key(const struct conf_key *table)
{
	while (table->name && (table->type != CONF_URL || strcmp(table->name, "url") != 0))
		table++;
	return table->name != NULL;
}

/* The first check's url stands for the endpoint. */
static int set_display_url(
	struct conf_scope *scope, struct endpoint_spec *endpoint, const struct check_spec *check)
{
	const struct node *node = conf_levels_find(&scope->levels, "url", NULL);
	_cleanup_(sbuf_fini) struct sbuf url = SBUF_INIT;

	if (endpoint->url || !node || !has_url_key(check->kind->keys))
		return 0;
	conf_redact_url(node->shown, &url);
	endpoint->url = arena_strdup(conf_arena(scope), sbuf_str(&url));
	return endpoint->url && !url.failed ? 0 : -ENOMEM;
}

/* Fills one check; section is its own mapping, NULL when it has none. */
static int build_check(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct node *section, struct check_spec *check)
{
	const struct conf_levels own = { .node = { section }, .n = section ? 1 : 0 };
	void *params = arena_alloc(conf_arena(scope), max_of(check->kind->params_size, (size_t)1));
	bool is_unpaced;
	int rc = 0;

	if (!params)
		return -ENOMEM;
	check->endpoint = endpoint;
	check->params = params;
	check->tier = default_tier(check);
	scope->hashes.identity =
		hash_bytes(check->kind->name, strlen(check->kind->name), scope->hashes.identity);
	rc = conf_worse(rc, conf_fill(scope, conf_check_keys, &own, check));
	rc = conf_worse(rc, conf_fill(scope, conf_pace_keys, &scope->levels, check));
	rc = conf_worse(rc, conf_fill(scope, check->kind->keys, &scope->levels, params));
	if (rc < 0)
		return rc;
	is_unpaced = check->fast_interval == 0;
	rc = conf_worse(settle_pace(scope, check), set_display_url(scope, endpoint, check));
	if (check->kind->compile)
		rc = conf_worse(rc, check->kind->compile(scope, endpoint, check, params));
	if (is_unpaced && check->cost.is_inference)
		check->fast_interval = check->interval; /* haste would cost tokens */
	check->identity_hash = scope->hashes.identity;
	check->content_hash = hash_bytes(
		&scope->hashes.content, sizeof scope->hashes.content, scope->hashes.identity);
	return rc;
}

/* ---- one endpoint ---- */

/* Reports unknown keys of the endpoint and of its checks. Where a kind is not known, any kind's key
 * may be right. */
static int check_endpoint_names(
	struct conf_scope *scope, struct node *node, const struct endpoint_spec *endpoint)
{
	const struct conf_key *tables[1 + MAX_CHECKS + MAX_KIND_TABLES] = { conf_endpoint_keys };
	struct node *checks = node_get(node, "checks");
	size_t n_expected = checks && checks->n_children > 0 ? checks->n_children : 1;
	size_t n = 1;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check_spec *check = &endpoint->checks[i];
		const struct conf_key *own[] = { conf_check_keys, conf_pace_keys,
			check->kind->keys };

		tables[n++] = check->kind->keys;
		if (conf_check_names(scope, own, array_size(own), node_get(checks, check->name)) ==
			-ENOMEM)
			return -ENOMEM;
	}
	if (endpoint->n_checks == n_expected) {
		tables[n++] = conf_shared_keys;
		tables[n++] = conf_pace_keys;
	} else {
		n += level_tables(scope->kinds, &tables[n]);
	}
	return conf_check_names(scope, tables, n, node);
}

/* Adds the check of one section, or the only one of an endpoint without checks. */
static int add_check(struct conf_scope *scope, struct endpoint_spec *endpoint, struct node *section)
{
	struct check_spec *check = &endpoint->checks[endpoint->n_checks];
	int rc = 0;

	if (section) {
		rc = check_name(scope, section, section->key, conf_key_error);
		if (!is_block(scope, section, NODE_MAPPING) && !node_is_null(section))
			rc = -EINVAL;
	}
	check->name = section ? arena_strdup(conf_arena(scope), section->key) : "live";
	check->kind = find_kind(scope, endpoint->type, section);
	if (!check->name)
		return -ENOMEM;
	if (!check->kind)
		return -EINVAL;
	endpoint->n_checks++;
	conf_levels_push(&scope->levels, section);
	return conf_worse(build_check(scope, endpoint, section, check), rc);
}

static int build_checks(struct conf_scope *scope, struct node *node, struct endpoint_spec *endpoint)
{
	struct node *checks = node_get(node, "checks");
	struct node *section = is_block(scope, checks, NODE_MAPPING) ? checks->first_child : NULL;
	size_t n = section ? checks->n_children : 1;
	const struct conf_hashes hashes = scope->hashes;
	const struct conf_levels levels = scope->levels;
	int rc = 0;

	if (n > MAX_CHECKS)
		return conf_error(
			scope, checks, "expected at most %d checks, got %zu", MAX_CHECKS, n);
	endpoint->checks = arena_calloc(conf_arena(scope), n, sizeof endpoint->checks[0]);
	if (!endpoint->checks)
		return -ENOMEM;
	for (size_t i = 0; i < n && rc != -ENOMEM; i++) {
		scope->hashes = hashes;
		scope->levels = levels;
		rc = conf_worse(rc, add_check(scope, endpoint, section));
		section = section ? section->next : NULL;
	}
	scope->levels = levels;
	return rc;
}

/* The group's node, NULL without settings: a group may be a mere name that endpoints share. Only
 * what looks like a misspelt one is an error. */
static struct node *endpoint_group(struct build *build, const struct node *node, const char *name)
{
	const struct node *group_node = node_get(node, "group");
	const char *names[256];
	size_t n = min_of(build->n_groups, array_size(names));
	struct node *group = name ? find_group(build, name) : NULL;

	if (group || !name || check_name(&build->scope, group_node, name, conf_error) < 0 ||
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

/* Reads node into endpoint; before is the endpoint ahead of it, NULL for the first. Errors are
 * collected, not returned. 0 or -ENOMEM. */
static int build_endpoint(struct build *build, struct node *node, struct endpoint_spec *endpoint,
	const struct endpoint_spec *before)
{
	struct conf_scope *scope = &build->scope;
	const struct conf_levels own = { .node = { node }, .n = 1 };
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
		(void)check_name(scope, node_get(node, "name"), endpoint->name, conf_error);
	scope->levels = (struct conf_levels){ 0 };
	conf_levels_push(&scope->levels, build->defaults);
	conf_levels_push(&scope->levels, endpoint_group(build, node, endpoint->group));
	conf_levels_push(&scope->levels, node);
	rc = conf_worse(rc, conf_fill(scope, conf_shared_keys, &scope->levels, endpoint));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, build_checks(scope, node, endpoint));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, check_endpoint_names(scope, node, endpoint));
	return rc == -ENOMEM ? rc : 0;
}

static int build_endpoints(struct build *build, const struct node *root)
{
	struct config *config = build->scope.config;
	const struct node *list = node_get(root, "endpoints");
	struct node *node;

	if (!is_block(&build->scope, list, NODE_SEQUENCE))
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

		if (strcmp(before->name, endpoint->name) == 0)
			(void)conf_error(&build->scope,
				node_get(nodes[endpoint - config->endpoints], "name"),
				"\"%s\" is also the name of the endpoint in %s:%u", before->name,
				before->file, before->line);
	}
	free(nodes);
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
		build_levels(build, root) < 0 || build_endpoints(build, root) < 0 ||
		sort_endpoints(build, root) < 0 || keep_hidden(scope) < 0)
		return -ENOMEM;
	if (build->has_all_names && !build->is_partial)
		check_witnesses(build, root);
	return scope->errors->n == 0 && !scope->errors->truncated ? 0 : -EINVAL;
}

int conf_build(
	struct node *root, conf_kinds kinds, struct conf_errors *errors, struct config **ret_config)
{
	struct config *config = calloc(1, sizeof *config);
	struct build build = {
		.scope = { .config = config, .errors = errors, .kinds = kinds },
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

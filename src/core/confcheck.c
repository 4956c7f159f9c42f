/* SPDX-License-Identifier: MIT */
/*
 * From levels to checks: which checks an endpoint has, of what kind, and what their values have
 * become and say together. core/conf.c calls it for each endpoint.
 */
#include "modelhealth/core/confcheck.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/check.h"
#include "modelhealth/core/conffill.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/conflevel.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_CHECKS = 32 /* of one endpoint */
};

/* One endpoint in the making. */
struct work {
	struct conf_scope *scope;
	const struct conf_layers *layers;
	struct endpoint_spec *endpoint;
	const struct check_kind *kinds[MAX_CHECKS]; /* of its checks, also of those switched off */
	size_t n_kinds;
	bool has_unknown_kind;
	const char *disabled[MAX_CHECKS];
	size_t n_disabled;
};

/* What the layers say of one check. */
struct sections {
	const char *name;
	const char *like; /* the check of the profile that it is, or is like; NULL = none */
	struct node *own;
	struct conf_levels levels;
};

struct node *conf_check_section(const struct node *layer, const char *name)
{
	return node_get(node_get(layer, "checks"), name);
}

/* ---- what values say together ---- */

/* A value beyond its limit has no meaning. One that an outer level or the profile set is cut; one
 * that the operator put beside the limit, or further in, is a mistake. */
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
	if (!node || level > limit_level || conf_blame(scope, name) != node) {
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

/* ---- one check ---- */

/* A tier by this name; TIER_N without. */
static enum tier tier_called(const char *name)
{
	enum tier tier = 0;

	while (tier < TIER_N && strcmp(tier_token(tier), name) != 0)
		tier++;
	return tier;
}

/* By the name of the check, of the one in the profile that it is like, or of its kind. */
static enum tier default_tier(const struct sections *sections, const struct check_kind *kind)
{
	const char *const names[] = { sections->name, sections->like ? sections->like : "",
		kind->name };

	for (size_t i = 0; i < array_size(names); i++) {
		enum tier tier = tier_called(names[i]);

		if (tier < TIER_N)
			return tier;
	}
	return TIER_LIVE;
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

	if (endpoint->url || scope->is_partial || !node || !has_url_key(check->kind->keys))
		return 0;
	conf_redact_url(node->shown, &url);
	endpoint->url = arena_strdup(conf_arena(scope), sbuf_str(&url));
	return endpoint->url && !url.failed ? 0 : -ENOMEM;
}

static int note_link(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *check, void *params)
{
	struct conf_link *link;

	if (!check->kind->link)
		return 0;
	link = arena_alloc(conf_arena(scope), sizeof *link);
	if (!link)
		return -ENOMEM;
	*link = (struct conf_link){ scope->links, endpoint, check, params };
	scope->links = link;
	return 0;
}

/* How often, and with what patience. A value that is bad contradicts no other. */
static int build_pace(struct conf_scope *scope, struct check_spec *check)
{
	const struct conf_levels levels = scope->levels;
	int rc = conf_fill(scope, conf_pace_keys, &levels, check);

	if (rc < 0)
		scope->levels = (struct conf_levels){ 0 };
	rc = conf_worse(rc, settle_pace(scope, check));
	scope->levels = levels;
	return rc;
}

static int compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *check, void *params)
{
	const struct check_kind *kind = check->kind;

	return kind->compile ? kind->compile(scope, endpoint, check, params) : 0;
}

/* Fills one check. */
static int build_check(struct work *work, const struct sections *sections, struct check_spec *check)
{
	struct conf_scope *scope = work->scope;
	struct endpoint_spec *endpoint = work->endpoint;
	void *params = arena_alloc(conf_arena(scope), max_of(check->kind->params_size, (size_t)1));
	bool is_unpaced;
	int rc_own;
	int rc = 0;

	if (!params)
		return -ENOMEM;
	check->endpoint = endpoint;
	check->params = params;
	check->tier = default_tier(sections, check->kind);
	scope->hashes.identity =
		hash_bytes(check->kind->name, strlen(check->kind->name), scope->hashes.identity);
	rc = conf_worse(rc, conf_fill(scope, conf_check_keys, &sections->levels, check));
	rc_own = conf_fill(scope, check->kind->keys, &scope->levels, params);
	if (rc == -ENOMEM || rc_own == -ENOMEM)
		return -ENOMEM;
	scope->is_partial |= rc_own < 0;
	rc = conf_worse(rc, rc_own);
	rc = conf_worse(rc, build_pace(scope, check));
	is_unpaced = !conf_has(scope, "fast_interval");
	rc = conf_worse(rc, set_display_url(scope, endpoint, check));
	rc = conf_worse(rc, compile(scope, endpoint, check, params));
	rc = conf_worse(rc, note_link(scope, endpoint, check, params));
	if (is_unpaced && check->cost.is_inference)
		check->fast_interval = check->interval; /* haste would cost tokens */
	check->identity_hash = scope->hashes.identity;
	check->content_hash = hash_bytes(
		&scope->hashes.content, sizeof scope->hashes.content, scope->hashes.identity);
	return rc;
}

/* ---- checks of profiles ---- */

/* The index-th check of all profiles, those of the outermost first and each name once; NULL at the
 * end. */
static const char *profile_check(const struct conf_layers *layers, size_t index)
{
	for (size_t i = layers->n_profiles; i-- > 0;) {
		const struct node *checks = node_get(layers->profiles[i], "checks");
		const struct node *section = checks ? checks->first_child : NULL;

		for (; section; section = section->next) {
			size_t outer = i + 1;

			while (outer < layers->n_profiles &&
				!conf_check_section(layers->profiles[outer], section->key))
				outer++;
			if (outer == layers->n_profiles && index-- == 0)
				return section->key;
		}
	}
	return NULL;
}

static bool is_profile_check(const struct conf_layers *layers, const char *name)
{
	for (size_t i = 0; i < layers->n_profiles; i++) {
		if (conf_check_section(layers->profiles[i], name))
			return true;
	}
	return false;
}

/* Of a check of that name in the profiles; NULL without. */
static const struct check_kind *profile_kind_of(
	const struct conf_scope *scope, const struct conf_layers *layers, const char *name)
{
	const struct node *node = NULL;

	for (size_t i = 0; name && i < layers->n_profiles && !node; i++)
		node = node_get(conf_check_section(layers->profiles[i], name), "kind");
	return node ? conf_kind_find(scope->kinds, node->text) : NULL;
}

/* The only check of that kind in the profiles, NULL when there is none or more than one. */
static const char *only_check(const struct conf_scope *scope, const struct conf_layers *layers,
	const struct check_kind *kind)
{
	const char *found = NULL;
	const char *name;

	for (size_t i = 0; (name = profile_check(layers, i)) != NULL; i++) {
		if (profile_kind_of(scope, layers, name) != kind)
			continue;
		if (found)
			return NULL;
		found = name;
	}
	return found;
}

/* ---- which kind ---- */

static int missing_kind(struct work *work, const struct sections *sections)
{
	const char *names[MAX_CHECKS];
	size_t n = 0;

	while (n < array_size(names) && (names[n] = profile_check(work->layers, n)) != NULL)
		n++;

	const char *near = conf_did_you_mean(names, n, sections->name);

	/* Without a type that has been reported no kind is known. */
	if (!work->endpoint->type)
		return -EINVAL;
	return conf_key_error(work->scope, sections->own,
		"%s has no check of this name%s%s%s; a further one needs kind",
		work->endpoint->type, near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
}

/* Settles the kind and with it what the profiles say of the check. NULL after an error. */
static const struct check_kind *settle_kind(struct work *work, struct sections *sections)
{
	static const struct conf_key kind_key = { .name = "kind", .type = CONF_KIND };
	struct conf_scope *scope = work->scope;
	const struct check_kind *in_profile = profile_kind_of(scope, work->layers, sections->like);
	const struct check_kind *kind = in_profile;
	const struct node *node = conf_levels_find(&sections->levels, "kind", NULL);
	const char *name = work->endpoint->type;

	if (node && conf_parse_scalar(scope, &kind_key, node, &name) < 0)
		return NULL;
	if (node || !kind)
		kind = name ? conf_kind_find(scope->kinds, name) : NULL;
	if (!kind) {
		(void)missing_kind(work, sections);
		return NULL;
	}
	if (kind != in_profile)
		sections->like = only_check(scope, work->layers, kind);
	return kind;
}

/* ---- one check ---- */

static void push_section(struct conf_levels *levels, struct node *section)
{
	if (section)
		conf_levels_push(levels, section);
}

/* Lays what the layers say of the check over each other, without what profiles say. */
static void collect_sections(const struct conf_layers *layers, struct sections *sections)
{
	sections->levels = (struct conf_levels){ 0 };
	push_section(&sections->levels, conf_check_section(layers->defaults, sections->name));
	push_section(&sections->levels, conf_check_section(layers->group, sections->name));
	push_section(&sections->levels, sections->own);
}

/* Puts them, and those of the profiles below them, over scope->levels. */
static void lay_sections(struct work *work, struct sections *sections)
{
	const struct conf_levels without = sections->levels;

	sections->levels = (struct conf_levels){ 0 };
	for (size_t i = work->layers->n_profiles; sections->like && i-- > 0;)
		push_section(&sections->levels,
			conf_check_section(work->layers->profiles[i], sections->like));
	for (size_t i = without.n; i-- > 0;)
		push_section(&sections->levels, without.node[i]);
	for (size_t i = sections->levels.n; i-- > 0;)
		conf_levels_push(&work->scope->levels, sections->levels.node[i]);
}

/* Whether the check is made, in *ret_is_enabled. */
static int parse_enabled(
	struct conf_scope *scope, const struct conf_levels *levels, bool *ret_is_enabled)
{
	static const struct conf_key enabled_key = { .name = "enabled", .type = CONF_BOOL };
	const struct node *node = conf_levels_find(levels, "enabled", NULL);

	*ret_is_enabled = true;
	return node ? conf_parse_scalar(scope, &enabled_key, node, ret_is_enabled) : 0;
}

static int check_own(
	struct work *work, const struct sections *sections, const struct check_kind *kind)
{
	const struct conf_key *tables[] = { conf_check_keys, conf_pace_keys, kind->keys };

	return conf_check_names(work->scope, tables, array_size(tables), sections->own);
}

static int keep_name(struct work *work, const char *name, const char **ret_name)
{
	*ret_name = arena_strdup(conf_arena(work->scope), name);
	return *ret_name ? 0 : -ENOMEM;
}

/* Whether the endpoint's own section, if there is one, can be read. */
static int check_section(struct conf_scope *scope, const struct node *own)
{
	int rc = own ? conf_check_name(scope, own, own->key, conf_key_error) : 0;

	if (own && !conf_is_block(scope, own, NODE_MAPPING) && !node_is_null(own))
		rc = -EINVAL;
	return rc;
}

/* Adds the check of that name. */
static int add_check(struct work *work, const char *name, struct node *own)
{
	bool is_in_profile = is_profile_check(work->layers, name);
	struct sections sections = {
		.name = name, .own = own, .like = is_in_profile ? name : NULL
	};
	struct endpoint_spec *endpoint = work->endpoint;
	struct check_spec *check = &endpoint->checks[endpoint->n_checks];
	const struct check_kind *kind;
	bool is_enabled;
	int rc = check_section(work->scope, own);

	collect_sections(work->layers, &sections);
	kind = settle_kind(work, &sections);
	if (!kind) {
		work->has_unknown_kind = true;
		return -EINVAL;
	}
	work->kinds[work->n_kinds++] = kind;
	lay_sections(work, &sections);
	rc = conf_worse(rc, check_own(work, &sections, kind));
	rc = conf_worse(rc, parse_enabled(work->scope, &sections.levels, &is_enabled));
	if (rc == -ENOMEM)
		return rc;
	if (!is_enabled)
		return is_in_profile ? conf_worse(rc, keep_name(work, name,
							      &work->disabled[work->n_disabled++]))
				     : rc;
	if (keep_name(work, name, &check->name) < 0)
		return -ENOMEM;
	check->kind = kind;
	endpoint->n_checks++;
	return conf_worse(build_check(work, &sections, check), rc);
}

/* ---- one endpoint ---- */

/* Reports unknown keys of the endpoint. Where a kind is not known, any kind's key may be right. */
static int check_endpoint_names(struct work *work)
{
	const struct conf_key *tables[4 + MAX_CHECKS + CONF_MAX_TABLES] = { conf_endpoint_keys };
	size_t n = 1;

	for (size_t i = 0; i < work->n_kinds; i++)
		tables[n++] = work->kinds[i]->keys;
	if (work->has_unknown_kind) {
		n += conf_level_tables(work->scope->kinds, &tables[n]);
	} else {
		tables[n++] = conf_level_keys;
		tables[n++] = conf_shared_keys;
		tables[n++] = conf_pace_keys;
	}
	return conf_check_names(work->scope, tables, n, work->layers->own);
}

static int keep_disabled(struct work *work)
{
	const char **names =
		arena_calloc(conf_arena(work->scope), work->n_disabled + 1, sizeof *names);

	if (!names)
		return -ENOMEM;
	memcpy(names, work->disabled, work->n_disabled * sizeof *names);
	work->endpoint->disabled = names;
	work->endpoint->n_disabled = work->n_disabled;
	return work->endpoint->n_checks > 0 || work->has_unknown_kind
		       ? 0
		       : conf_error(work->scope, work->layers->own,
				 "every check is switched off; leave the endpoint out instead");
}

/* Adds a check with the levels and hashes of the endpoint, and leaves them as they were. */
static int add_next(struct work *work, const char *name, struct node *own)
{
	const struct conf_levels levels = work->scope->levels;
	const struct conf_hashes hashes = work->scope->hashes;
	bool is_partial = work->scope->is_partial;
	int rc = add_check(work, name, own);

	work->scope->is_partial = is_partial;
	work->scope->levels = levels;
	work->scope->hashes = hashes;
	return rc;
}

/* What the only check of an endpoint without checks is called: by the tier that its kind is for. */
static const char *only_name(const struct work *work)
{
	const char *type = work->endpoint->type;

	return type && tier_called(type) < TIER_N ? type : "live";
}

/* The checks of the profiles, then those that the endpoint adds; one of its type without any. */
static int add_checks(struct work *work, const struct node *own)
{
	struct node *section = own ? own->first_child : NULL;
	const char *name;
	int rc = 0;

	if (work->layers->n_profiles == 0 && !own)
		return add_next(work, only_name(work), NULL);
	for (size_t i = 0; rc != -ENOMEM && (name = profile_check(work->layers, i)) != NULL; i++)
		rc = conf_worse(rc, add_next(work, name, node_get(own, name)));
	for (; section && rc != -ENOMEM; section = section->next) {
		if (!is_profile_check(work->layers, section->key))
			rc = conf_worse(rc, add_next(work, section->key, section));
	}
	return rc;
}

int conf_build_checks(
	struct conf_scope *scope, const struct conf_layers *layers, struct endpoint_spec *endpoint)
{
	struct work work = { .scope = scope, .layers = layers, .endpoint = endpoint };
	const struct node *own = node_get(layers->own, "checks");
	size_t n = 0;
	int rc;

	if (!conf_is_block(scope, own, NODE_MAPPING) || own->n_children == 0)
		own = NULL;
	while (profile_check(layers, n))
		n++;
	n += own ? own->n_children : 0;
	if (n > MAX_CHECKS)
		return conf_error(scope, own ? own : layers->own,
			"expected at most %d checks, got %zu", MAX_CHECKS, n);
	endpoint->checks =
		arena_calloc(conf_arena(scope), max_of(n, (size_t)1), sizeof endpoint->checks[0]);
	if (!endpoint->checks)
		return -ENOMEM;
	rc = add_checks(&work, own);
	if (rc != -ENOMEM)
		rc = conf_worse(rc, keep_disabled(&work));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, check_endpoint_names(&work));
	if (rc != -ENOMEM && work.has_unknown_kind)
		rc = conf_worse(rc, conf_try_values(scope, layers->own, NULL));
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Tries what stands in defaults, groups and profiles on scratch structs, so that a mistake shows
 * before an endpoint inherits it. core/conf.c calls it once a level.
 */
#include "modelhealth/core/conflevel.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/conffill.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_NAME_BYTES = 128
};

/* ---- tools ---- */

int conf_check_name(struct conf_scope *scope, const struct node *node, const char *name,
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

bool conf_is_block(struct conf_scope *scope, const struct node *node, enum node_type type)
{
	if (!node || node->is_bad || node_is_null(node))
		return false;
	if (node->type == type)
		return true;
	(void)conf_error(scope, node, "expected a %s, got %s",
		type == NODE_SEQUENCE         ? "list, each item with a - in front"
		: node->type == NODE_SEQUENCE ? "mapping, names with a colon and no - in front"
					      : "mapping",
		conf_got(scope, node));
	return false;
}

size_t conf_level_tables(conf_kinds kinds, const struct conf_key *ret_tables[CONF_MAX_TABLES])
{
	size_t n = 0;

	ret_tables[n++] = conf_level_keys;
	ret_tables[n++] = conf_shared_keys;
	ret_tables[n++] = conf_pace_keys;
	for (; *kinds && n < CONF_MAX_TABLES; kinds++)
		ret_tables[n++] = (*kinds)->keys;
	return n;
}

/* ---- values ---- */

/* Tries the keys of one kind. With mode CONF_DRY what several kinds read differently is left. */
static int try_kind(struct conf_scope *scope, const struct check_kind *kind,
	const struct conf_levels *levels, enum conf_mode mode)
{
	enum conf_mode before = scope->mode;
	void *params = calloc(1, max_of(kind->params_size, (size_t)1));
	int rc = params ? 0 : -ENOMEM;

	scope->mode = mode;
	if (params)
		rc = conf_fill(scope, kind->keys, levels, params);
	if (params && kind->dispose)
		kind->dispose(params);
	scope->mode = before;
	free(params);
	return rc;
}

static int try_all_kinds(struct conf_scope *scope, const struct conf_levels *levels)
{
	int rc = 0;

	for (conf_kinds kind = scope->kinds; *kind && rc != -ENOMEM; kind++)
		rc = conf_worse(rc, try_kind(scope, *kind, levels, CONF_DRY));
	return rc;
}

static int try_pace(struct conf_scope *scope, const struct conf_levels *levels)
{
	struct check_spec check = { 0 };

	return conf_fill(scope, conf_pace_keys, levels, &check);
}

/* ---- checks of a level ---- */

/* One section of checks; kind is NULL where any may be meant. */
static int try_check(struct conf_scope *scope, struct node *section, const struct check_kind *kind)
{
	const struct conf_key *tables[CONF_MAX_TABLES + 1] = { conf_check_keys, conf_pace_keys };
	const struct conf_levels levels = { .node = { section }, .n = 1 };
	struct check_spec check = { 0 };
	size_t n = 2;
	int rc = conf_check_name(scope, section, section->key, conf_key_error);

	if (!conf_is_block(scope, section, NODE_MAPPING))
		return node_is_null(section) ? rc : -EINVAL;
	if (kind)
		tables[n++] = kind->keys;
	else
		n = conf_level_tables(scope->kinds, &tables[1]) + 1;
	rc = conf_worse(rc, conf_check_names(scope, tables, n, section));
	rc = conf_worse(rc, conf_fill(scope, conf_check_keys, &levels, &check));
	rc = conf_worse(rc, try_pace(scope, &levels));
	return conf_worse(rc,
		kind ? try_kind(scope, kind, &levels, CONF_TRIAL) : try_all_kinds(scope, &levels));
}

/* The kind that a section names, else what its profile is like, in *ret_kind; NULL without. profile
 * is NULL outside of one, where a section need not name it. 0 or -EINVAL. */
static int settle_kind(struct conf_scope *scope, const struct node *section,
	const struct profile *profile, const struct check_kind **ret_kind)
{
	static const struct conf_key kind_key = { .name = "kind", .type = CONF_KIND };
	const struct node *node =
		profile ? profile_kind(profile, section->key) : node_get(section, "kind");
	const char *name = NULL;

	*ret_kind = NULL;
	if (!node && profile && (section->type == NODE_MAPPING || node_is_null(section)))
		return conf_error(scope, section, "kind is missing: expected how to check");
	if (!node)
		return 0;
	if (conf_parse_scalar(scope, &kind_key, node, &name) < 0)
		return -EINVAL;
	*ret_kind = conf_kind_find(scope->kinds, name);
	return 0;
}

static int try_checks(
	struct conf_scope *scope, const struct node *level, const struct profile *profile)
{
	struct node *checks = node_get(level, "checks");
	int rc = 0;

	if (!checks || node_is_null(checks))
		return 0;
	if (!conf_is_block(scope, checks, NODE_MAPPING))
		return -EINVAL;
	for (struct node *section = checks->first_child; section && rc != -ENOMEM;
		section = section->next) {
		const struct check_kind *kind;
		int r = settle_kind(scope, section, profile, &kind);

		rc = conf_worse(rc, conf_worse(r, try_check(scope, section, kind)));
	}
	return rc;
}

/* ---- levels ---- */

int conf_try_values(struct conf_scope *scope, struct node *level, const struct profile *profile)
{
	const struct conf_levels levels = { .node = { level }, .is_common = { true }, .n = 1 };
	struct endpoint_spec endpoint = { 0 };
	int rc;

	scope->mode = CONF_DRY;
	rc = conf_fill(scope, conf_shared_keys, &levels, &endpoint);
	if (rc != -ENOMEM)
		rc = conf_worse(rc, try_pace(scope, &levels));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, try_all_kinds(scope, &levels));
	scope->mode = CONF_REAL;
	return rc == -ENOMEM ? rc : conf_worse(rc, try_checks(scope, level, profile));
}

int conf_try_level(struct conf_scope *scope, struct node *level)
{
	const struct conf_key *tables[CONF_MAX_TABLES];
	int rc = conf_check_names(scope, tables, conf_level_tables(scope->kinds, tables), level);

	if (rc != -ENOMEM)
		rc = conf_try_values(scope, level, NULL);
	return rc == -ENOMEM ? rc : 0;
}

int conf_try_profile(struct conf_scope *scope, const struct profile *profile)
{
	struct node *root = profile->root;
	const struct conf_levels levels = { .node = { root }, .n = 1 };
	const struct conf_key *tables[CONF_MAX_TABLES + 1] = { conf_profile_keys };
	const struct node *type = node_get(root, "type");
	const struct node *before = scope->endpoint;
	const struct conf_levels levels_before = scope->levels;
	const struct conf_hashes hashes_before = scope->hashes;
	struct profile_head head = { 0 };
	int rc = 0;

	scope->endpoint = root;
	scope->levels = levels;
	if (!conf_is_block(scope, root, NODE_MAPPING))
		rc = -EINVAL;
	if (type)
		rc = conf_key_error(scope, type, "a profile is a type and has none");
	rc = conf_worse(rc, conf_check_names(scope, tables,
				    conf_level_tables(scope->kinds, &tables[1]) + 1, root));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, conf_fill(scope, conf_profile_keys, &levels, &head));
	if (rc != -ENOMEM)
		rc = conf_worse(rc, conf_try_values(scope, root, profile));
	scope->endpoint = before;
	scope->levels = levels_before;
	scope->hashes = hashes_before;
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Levels by themselves: defaults, groups and profiles are checked whether or not an endpoint uses
 * them.
 */
#pragma once

#include "modelhealth/core/confscope.h"

struct profile;

enum {
	CONF_MAX_TABLES = 64, /* in one list of tables */
};

/* The tables of keys that defaults, groups and profiles may hold; returns how many. */
size_t conf_level_tables(conf_kinds kinds, const struct conf_key *ret_tables[CONF_MAX_TABLES]);

/* Whether node is a block of that type to look into; reports when it is something else but
 * nothing. */
bool conf_is_block(struct conf_scope *scope, const struct node *node, enum node_type type);

/* Checks names and values of defaults or of a group. 0 (errors are collected) or -ENOMEM. */
int conf_try_level(struct conf_scope *scope, struct node *level);

/* Checks the values of what stands alone: of a level, a profile (NULL for what is none), or an
 * endpoint of which the kind is not known. 0, -EINVAL or -ENOMEM. */
int conf_try_values(struct conf_scope *scope, struct node *level, const struct profile *profile);

/* The same for a profile whose base has been found. 0, -EINVAL when anything is wrong with it, or -ENOMEM. */
int conf_try_profile(struct conf_scope *scope, const struct profile *profile);

/* Whether name can be that of an endpoint, a group or a check; reports about node when not. */
int conf_check_name(struct conf_scope *scope, const struct node *node, const char *name,
	int (*report)(struct conf_scope *, const struct node *, const char *, ...));

/* SPDX-License-Identifier: MIT */
/*
 * Filling structs from levels of mappings by a key table.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* Lays mapping over the levels so far; NULL and empty ones are left out. */
void conf_levels_push(struct conf_levels *levels, struct node *mapping);

/* The same for one that checks of several kinds inherit. */
void conf_levels_push_common(struct conf_levels *levels, struct node *mapping);

/* The value of a dotted key in the innermost level that has it, NULL without. ret_level, which may
 * be NULL, counts levels from the innermost; it is written only when there is one. */
const struct node *conf_levels_find(
	const struct conf_levels *levels, const char *key, size_t *ret_level);

/*
 * Fills base from the levels by a table, defaults included, and mixes each value into the scope's
 * hashes. Returns -EINVAL when any value was bad (the others are filled all the same), -ENOMEM.
 */
int conf_fill(struct conf_scope *scope, const struct conf_key *table,
	const struct conf_levels *levels, void *base);

/* Reports members of mapping that no table names. -EINVAL when there are any. mapping may be NULL
 * or another node: then there are none. */
int conf_check_names(struct conf_scope *scope, const struct conf_key *const *tables,
	size_t n_tables, struct node *mapping);

const struct check_kind *conf_kind_find(conf_kinds kinds, const char *name);

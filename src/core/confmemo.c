/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand endpoints of one profile have its rules in common: each list is parsed, and hashed,
 * for the first of them and copied for the others. Part of one load; core/conffill.c asks.
 */
#include "modelhealth/core/confmemo.h"

#include "modelhealth/core/confvalue.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct item {
	const struct node *node;
	const struct conf_custom *custom;
	int rc;
	uint64_t hash;
	void *value; /* arena */
};

static int compare(const void *left, const void *right)
{
	const struct item *a = left;
	const struct item *b = right;

	if (a->node != b->node)
		return (uintptr_t)a->node < (uintptr_t)b->node ? -1 : 1;
	return a->custom < b->custom ? -1 : a->custom > b->custom;
}

static struct item *find(
	struct conf_scope *scope, const struct conf_custom *custom, const struct node *node)
{
	const struct item key = { .node = node, .custom = custom };
	struct item *const *found = tfind(&key, &scope->memo.root, compare);

	return found ? *found : NULL;
}

/* Parses the value and keeps it. NULL when memory is out. */
static struct item *make(
	struct conf_scope *scope, const struct conf_custom *custom, const struct node *node)
{
	struct item *item = calloc(1, sizeof *item);

	if (!item)
		return NULL;
	*item = (struct item){ .node = node, .custom = custom };
	item->value = arena_alloc(conf_arena(scope), custom->shared_size);
	if (!item->value || !tsearch(item, &scope->memo.root, compare)) {
		free(item);
		return NULL;
	}
	item->rc = custom->parse(scope, node, item->value);
	item->hash = conf_hash_tree(node, 0);
	return item;
}

/* Defaults of the tables are nodes on the stack, which others will stand in the place of. */
static bool is_lasting(const struct node *node)
{
	return node->line > 0;
}

int conf_memo_parse(struct conf_scope *scope, const struct conf_custom *custom,
	const struct node *node, void *field)
{
	struct item *item;

	if (!is_lasting(node))
		return custom->parse(scope, node, field);
	item = find(scope, custom, node);
	if (!item)
		item = make(scope, custom, node);
	if (!item)
		return -ENOMEM;
	if (item->rc == 0)
		memcpy(field, item->value, custom->shared_size);
	return item->rc;
}

uint64_t conf_memo_hash(
	struct conf_scope *scope, const struct conf_custom *custom, const struct node *node)
{
	const struct item *item = is_lasting(node) ? find(scope, custom, node) : NULL;

	return item ? item->hash : conf_hash_tree(node, 0);
}

void conf_memo_fini(struct conf_memo *memo)
{
	tdestroy(memo->root, free);
	memo->root = NULL;
}

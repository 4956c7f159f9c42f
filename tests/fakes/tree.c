/* SPDX-License-Identifier: MIT */
/*
 * Builds trees path by path.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

static struct node *new_node(struct tree *tree, struct node *parent, const char *key)
{
	struct node *node = arena_alloc(&tree->arena, sizeof *node);
	struct node **end;

	must(node);
	*node = (struct node){ .type = NODE_MAPPING,
		.file = "test.yaml",
		.line = tree->line,
		.column = 5,
		.key = key,
		.key_line = tree->line,
		.key_column = 1,
		.text = "",
		.shown = "",
		.parent = parent };
	if (!parent)
		return node;
	for (end = &parent->first_child; *end; end = &(*end)->next)
		continue;
	node->index = parent->n_children++;
	*end = node;
	return node;
}

static struct node *item(struct tree *tree, struct node *list, size_t index)
{
	struct node *node = list->first_child;

	list->type = NODE_SEQUENCE;
	for (size_t i = 0; i < index && node; i++)
		node = node->next;
	must(node || list->n_children == index);
	return node ? node : new_node(tree, list, NULL);
}

/* The node that a path names, made with all on the way. */
static struct node *make(struct tree *tree, const char *path)
{
	struct node *node = tree->root;

	tree->line++;
	while (*path) {
		size_t len = strcspn(path, ".[");

		if (len > 0) {
			char *key = arena_strndup(&tree->arena, path, len);
			struct node *child = node_get(node, key);

			node = child ? child : new_node(tree, node, key);
		}
		path += len;
		if (*path == '[') {
			node = item(tree, node, strtoul(path + 1, NULL, 10));
			path = strchr(path, ']') + 1;
		}
		path += *path == '.';
	}
	node->line = tree->line;
	node->key_line = tree->line;
	return node;
}

struct node *tree_set(struct tree *tree, const char *path, const char *text)
{
	struct node *node = make(tree, path);

	node->type = NODE_SCALAR;
	node->text = arena_strdup(&tree->arena, text);
	node->shown = node->text;
	must(node->text);
	return node;
}

struct node *tree_add(struct tree *tree, const char *path, enum node_type type)
{
	struct node *node = make(tree, path);

	node->type = type;
	return node;
}

void tree_init(struct tree *tree)
{
	*tree = (struct tree){ 0 };
	tree->root = new_node(tree, NULL, NULL);
}

void tree_fini(struct tree *tree)
{
	arena_fini(&tree->arena);
}

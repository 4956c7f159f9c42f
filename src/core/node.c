/* SPDX-License-Identifier: MIT */
/*
 * The tree of a parsed configuration file. io/yaml.c builds it, core/conf.c reads it; both forget
 * it when the configuration stands.
 */
#include "modelhealth/core/node.h"

#include <string.h>

/* Far above what io/yaml.c lets a file nest; ends a path all the same. */
enum {
	PATH_MAX_DEPTH = 64
};

bool node_is_null(const struct node *node)
{
	if (node->type != NODE_SCALAR || node->is_quoted)
		return false;
	return node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
	       strcmp(node->text, "null") == 0;
}

void node_path(const struct node *node, struct sbuf *out)
{
	const struct node *line[PATH_MAX_DEPTH];
	size_t n = 0;

	for (; node && node->parent && n < PATH_MAX_DEPTH; node = node->parent)
		line[n++] = node;
	for (size_t i = n; i-- > 0;) {
		if (!line[i]->key)
			sbuf_printf(out, "[%zu]", line[i]->index);
		else
			sbuf_printf(out, "%s%s", i == n - 1 ? "" : ".", line[i]->key);
	}
}

struct node *node_get(const struct node *mapping, const char *key)
{
	if (!mapping || mapping->type != NODE_MAPPING)
		return NULL;
	for (struct node *child = mapping->first_child; child; child = child->next) {
		/* The first letter first: strcmp alone was an eighth of a load's instructions. */
		if (child->key[0] == key[0] && strcmp(child->key, key) == 0)
			return child;
	}
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * Trees of nodes as io/yaml.c would build them, for tests of the floor below it.
 */
#pragma once

#include "modelhealth/core/node.h"

struct tree {
	struct arena arena;
	struct node *root; /* a mapping from the start */
	unsigned line;     /* of the value set last */
};

void tree_init(struct tree *tree);
void tree_fini(struct tree *tree);

/* Sets the scalar at a path like "endpoints[0].timeout.connect", making what is on the way; an
 * index is at most one past the end. Each value stands on a line of its own. */
struct node *tree_set(struct tree *tree, const char *path, const char *text);

/* As tree_set, for an empty mapping or sequence. */
struct node *tree_add(struct tree *tree, const char *path, enum node_type type);

/* SPDX-License-Identifier: MIT */
/*
 * One YAML document into a tree of nodes, within limits that hold for hostile files too. Of YAML
 * it takes mappings, sequences and scalars; anchors, aliases, tags, merge keys and further
 * documents are errors, and so are duplicate keys.
 */
#pragma once

#include "modelhealth/base/arena.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/core/node.h"

enum {
	YAML_MAX_DEPTH = 32,
	YAML_MAX_NODES = 500000,
};

/*
 * Parses text. `file` names it in messages and nodes and must live as long as the arena that the
 * tree goes to. Errors that leave the tree whole (duplicate keys, aliases …) are added and reading
 * goes on. Returns 0 and the root, which is NULL for a file without content; -EINVAL, with an error
 * added, for text that is no YAML or passes a limit; -ENOMEM.
 */
int yaml_parse(struct arena *arena, const char *file, const char *text, size_t len,
	struct conf_errors *errors, struct node **ret_root);

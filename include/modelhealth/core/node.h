/* SPDX-License-Identifier: MIT */
/*
 * A parsed configuration file as a tree that remembers where each piece stood, for messages.
 */
#pragma once

#include "modelhealth/base/arena.h"

enum node_type {
	NODE_SCALAR,
	NODE_SEQUENCE,
	NODE_MAPPING
};

struct node {
	enum node_type type;
	const char *file;
	unsigned line, column; /* from 1 */
	const char *key;       /* in a mapping; NULL in a sequence and at the root */
	unsigned key_line, key_column;
	const char *text; /* scalar, NUL-free UTF-8 */
	bool is_quoted;   /* "5" is a string where 5 is a number */
	bool is_secret;   /* came from ${file:} or ${credential:}: never shown */
	bool reported;    /* an error about it has been said; do not say it again */
	bool used;        /* some key table claimed it */
	struct node *first_child, *next;
	size_t n_children;
};

/* The member of a mapping, NULL when absent or when node is NULL or no mapping. */
struct node *node_get(const struct node *mapping, const char *key);

/* SPDX-License-Identifier: MIT */
/*
 * A parsed configuration file as a tree that remembers where each piece stood, for messages.
 */
#pragma once

#include "modelhealth/base/arena.h"
#include "modelhealth/base/sbuf.h"

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
	const char *text;  /* scalar, NUL-free UTF-8; "" for sequences and mappings */
	const char *shown; /* text with *** for each ${file:} and ${credential:}; = text without */
	const char *pattern; /* text for core/template.h; NULL = text, without any ${ */
	bool is_quoted;      /* "5" is a string where 5 is a number */
	bool is_secret; /* part of it came from ${file:} or ${credential:}: show `shown` alone */
	bool is_bad;    /* an error about it has been said: its value is of no use */
	bool is_known;  /* the names of its members have been checked */
	const struct node *parent; /* in its file; NULL at the root */
	size_t index;              /* place in parent, from 0 */
	struct node *first_child, *next;
	size_t n_children;
};

/* Whether there is no value: an empty plain scalar, ~ or null. */
bool node_is_null(const struct node *node);

/* Appends the path from the root of its file: "endpoints[3].timeout.connect"; "" at the root. */
void node_path(const struct node *node, struct sbuf *out);

/* The member of a mapping, NULL when absent or when node is NULL or no mapping. */
struct node *node_get(const struct node *mapping, const char *key);

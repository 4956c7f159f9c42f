/* SPDX-License-Identifier: MIT */
/*
 * One load of a configuration, as the conf modules share it among themselves. Kinds see it only
 * as the opaque struct conf_scope of conf.h.
 */
#pragma once

#include "modelhealth/core/conf.h"

#include <errno.h>

enum {
	CONF_MAX_PROFILES = 4, /* one like another */
	/* endpoint, group, defaults and profiles: what each says of the check, then for itself; and
	 * the item of a list that was entered */
	CONF_MAX_LEVELS = 2 * (3 + CONF_MAX_PROFILES) + 1,
	CONF_GOT_SIZE = 80, /* of a value quoted in a message */
	CONF_COPIES = 1024, /* inherited texts remembered at once, a power of two */
};

/* Mappings laid over each other, the innermost first. */
struct conf_levels {
	struct node *node[CONF_MAX_LEVELS];
	/* Checks of several kinds inherit it: its sections may hold keys of another kind. */
	bool is_common[CONF_MAX_LEVELS];
	size_t n;
};

/* What is said of an endpoint; each may be NULL. */
struct conf_layers {
	struct node
		*profiles[CONF_MAX_PROFILES]; /* that of its type first, then the one it is like */
	size_t n_profiles;
	struct node *defaults, *group, *own;
};

/* What becomes of the values that are filled in. */
enum conf_mode {
	CONF_REAL,
	CONF_TRIAL, /* thrown away: what must be there may stand elsewhere */
	CONF_DRY,   /* the same, and nothing is made that needs dispose: kinds may differ on it */
};

/* Two running hashes of effective values. */
struct conf_hashes {
	uint64_t identity; /* rows with EFFECT_RESTART */
	uint64_t content;  /* all rows */
};

struct conf_copy {
	const char *from; /* the node's text */
	const char *text; /* its copy in the arena */
};

struct conf_memo {
	void *root; /* of a tree, see core/confmemo.c */
};

/* A check that has something to link. */
struct conf_link {
	struct conf_link *next;
	struct endpoint_spec *endpoint;
	struct check_spec *check;
	void *params;
};

struct conf_scope {
	struct config *config;
	struct conf_errors *errors;
	conf_kinds kinds;
	struct profiles *profiles;        /* NULL = there are none */
	const struct conf_layers *layers; /* of the endpoint in hand, NULL without */
	struct conf_levels levels;        /* of the check or endpoint in hand */
	struct conf_levels outer;         /* those outside of the item that was entered */
	struct conf_link *links;          /* in the arena */
	const struct node *endpoint;      /* its own node */
	struct conf_hashes hashes;        /* of the check or endpoint in hand */
	enum conf_mode mode;
	bool is_partial; /* values of the check or endpoint in hand are bad */
	struct conf_memo memo;
	struct hidden *hidden;
	size_t n_hidden, hidden_cap;
	struct conf_copy copies[CONF_COPIES];
	char got[CONF_GOT_SIZE];
};

/* As conf_error, pointing at the key of a member instead of its value. */
int conf_key_error(struct conf_scope *scope, const struct node *node, const char *format, ...)
	_printf_(3, 4);

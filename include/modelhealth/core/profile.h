/* SPDX-License-Identifier: MIT */
/*
 * Profiles: what is known of a type of server, as a file of configuration (config/profiles). `type:
 * NAME` lays it under everything else that is said of an endpoint. Those in the binary are read
 * when an endpoint names them; the operator's own override them by name.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* A profile that is part of the binary. */
struct profile_text {
	const char *name;
	const char *text; /* YAML */
};

/* Made from config/profiles/NAME.yaml by the build; sorted by name, ended by NULL. */
extern const struct profile_text profile_texts[];

struct profile {
	const char *name;
	const struct profile_text *text; /* NULL = the operator's own */
	struct node *root;               /* NULL = not read yet, or bad */
	struct profile *base;            /* that it is like; NULL = none */
	bool is_read;
	bool is_checked;
};

struct profiles {
	struct profile *items; /* sorted by name */
	size_t n;
	/* Makes root of text; errors are collected. 0 or -ENOMEM. */
	int (*read)(struct profiles *profiles, struct profile *profile);
};

/* NULL without one; profiles may be NULL. */
struct profile *profile_find(const struct profiles *profiles, const char *name);

/* Reads the profile and those that it is like unless they are read, and checks them: names, values,
 * checks. A bad one has been reported and has no root. 0 or -ENOMEM. */
int profile_open(struct conf_scope *scope, struct profile *profile);

/* Where the profile, or the one nearest to it, names the kind of a check; NULL when none does. */
const struct node *profile_kind(const struct profile *profile, const char *check);

/* The text after "about:", without quotes; "" without. Its length in *ret_len. */
const char *profile_about(const char *text, size_t *ret_len);

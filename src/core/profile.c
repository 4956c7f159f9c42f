/* SPDX-License-Identifier: MIT */
/*
 * Looking profiles up, and checking them once. core/conf.c opens those that endpoints name, and all
 * that the operator wrote; io/conffile_profiles.c brings them.
 */
#include "modelhealth/core/profile.h"

#include "modelhealth/core/confcheck.h"
#include "modelhealth/core/conflevel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_NAMES = 512 /* that did-you-mean looks at */
};

static int compare_name(const void *key, const void *element)
{
	const struct profile *profile = element;

	return strcmp(key, profile->name);
}

struct profile *profile_find(const struct profiles *profiles, const char *name)
{
	if (!profiles || profiles->n == 0)
		return NULL;
	return bsearch(name, profiles->items, profiles->n, sizeof profiles->items[0], compare_name);
}

const struct node *profile_kind(const struct profile *profile, const char *check)
{
	const struct node *kind = NULL;

	for (; profile && !kind; profile = profile->base)
		kind = node_get(conf_check_section(profile->root, check), "kind");
	return kind;
}

static int read_profile(struct conf_scope *scope, struct profile *profile)
{
	if (profile->is_read)
		return 0;
	profile->is_read = true;
	return scope->profiles->read(scope->profiles, profile);
}

static int no_such_profile(struct conf_scope *scope, const struct node *like)
{
	const char *names[MAX_NAMES];
	size_t n = 0;

	for (size_t i = 0; i < scope->profiles->n && n < array_size(names); i++)
		names[n++] = scope->profiles->items[i].name;

	const char *near = conf_did_you_mean(names, n, like->text);

	return conf_error(scope, like, "no profile is called %s%s%s%s", conf_got(scope, like),
		near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* Reads the profiles that it is like, up to the last. */
static int find_bases(struct conf_scope *scope, struct profile *profile)
{
	for (size_t depth = 1; profile->root; depth++) {
		const struct node *like = node_get(profile->root, "like");
		int rc;

		if (!like || like->is_bad || like->type != NODE_SCALAR)
			return 0;
		if (depth == CONF_MAX_PROFILES)
			return conf_error(scope, like, "at most %d profiles can be like each other",
				CONF_MAX_PROFILES);
		profile->base = profile_find(scope->profiles, like->text);
		if (!profile->base)
			return no_such_profile(scope, like);
		profile = profile->base;
		rc = read_profile(scope, profile);
		if (rc < 0)
			return rc;
	}
	return -EINVAL; /* the last one is bad */
}

int profile_open(struct conf_scope *scope, struct profile *profile)
{
	struct profile *chain[CONF_MAX_PROFILES];
	int rc = read_profile(scope, profile);
	size_t n = 0;

	if (rc == 0)
		rc = find_bases(scope, profile);
	for (struct profile *at = profile; rc == 0 && at; at = at->base)
		chain[n++] = at;
	/* The outermost first: a check may leave its kind to the profile that this one is like. */
	for (; rc == 0 && n > 0; n--) {
		if (chain[n - 1]->is_checked)
			continue;
		chain[n - 1]->is_checked = true;
		rc = conf_try_profile(scope, chain[n - 1]);
		if (rc < 0)
			chain[n - 1]->root = NULL;
	}
	if (rc == -EINVAL)
		profile->root = NULL;
	return rc == -ENOMEM ? rc : 0;
}

const char *profile_about(const char *text, size_t *ret_len)
{
	static const char key[] = "about:";
	const char *line = text;
	size_t len;

	while (line && strncmp(line, key, strlen(key)) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	line = line ? line + strlen(key) : "";
	line += strspn(line, " \"'");
	len = strcspn(line, "\n");
	while (len > 0 && strchr(" \"'", line[len - 1]))
		len--;
	*ret_len = len;
	return line;
}

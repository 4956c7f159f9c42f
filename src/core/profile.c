/* SPDX-License-Identifier: MIT */
/*
 * Looking profiles up, and checking them once. core/conf.c opens those that endpoints name, and all
 * that the operator wrote; io/conffile.c brings the files.
 */
#include "modelhealth/core/profile.h"

#include "modelhealth/core/conffill.h"
#include "modelhealth/core/conflevel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int profile_open(struct conf_scope *scope, struct profile *profile)
{
	int rc = 0;

	if (!profile->is_read) {
		profile->is_read = true;
		rc = scope->profiles->read(scope->profiles, profile);
	}
	if (rc == 0 && profile->root && !profile->is_checked) {
		profile->is_checked = true;
		rc = conf_try_profile(scope, profile->root);
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

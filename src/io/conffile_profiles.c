/* SPDX-License-Identifier: MIT */
/*
 * The profiles of a load: those of the binary, and the operator's files, which go before them. The
 * text of a shipped one is read when core/conf.c first asks for it.
 */
#include "conffile_private.h"

#include "modelhealth/io/readfile.h"
#include "modelhealth/io/yaml.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file of the operator's, with its tree in the loader's arena. 0 or -ENOMEM. */
static int add_own_profile(
	struct conffile_loader *loader, const char *path, struct profile *profile)
{
	struct conf_errors *errors = loader->scope.errors;
	struct readfile content = READFILE_INIT;
	const char *file = arena_strdup(&loader->arena, path);
	const char *problem = readfile(path, CONFFILE_MAX_BYTES, &content);
	int rc = file ? 0 : -ENOMEM;

	profile->is_read = true;
	if (problem)
		(void)conf_errors_add(errors, path, 0, 0, "cannot read the file: %s", problem);
	else if (file)
		rc = yaml_parse(
			&loader->arena, file, content.data, content.len, errors, &profile->root);
	if (rc == 0 && !problem && !profile->root)
		(void)conf_errors_add(errors, path, 1, 1, "the file holds nothing");
	readfile_fini(&content);
	if (rc == 0 && profile->root)
		rc = conffile_expand(loader, profile->root);
	return rc == -ENOMEM ? rc : 0;
}

/* The name of a profile by its path, in the arena; NULL when memory is out. */
static const char *profile_name(struct conffile_loader *loader, const char *path)
{
	const char *base = strrchr(path, '/') + 1;

	return arena_strndup(&loader->arena, base, strlen(base) - strlen(".yaml"));
}

static struct profile *find_or_add(struct profiles *profiles, const char *name)
{
	for (size_t i = 0; i < profiles->n; i++) {
		if (strcmp(profiles->items[i].name, name) == 0)
			return &profiles->items[i];
	}
	return &profiles->items[profiles->n++];
}

static int add_own_profiles(struct conffile_loader *loader, char *const *paths, size_t n)
{
	struct conf_errors *errors = loader->scope.errors;

	for (size_t i = 0; i < n; i++) {
		const char *name = profile_name(loader, paths[i]);
		struct profile *profile;

		if (!name)
			return -ENOMEM;
		if (conf_kind_find(loader->scope.kinds, name)) {
			(void)conf_errors_add(errors, paths[i], 0, 0,
				"a profile cannot have the name of a kind of check");
			continue;
		}
		profile = find_or_add(&loader->profiles, name);
		*profile = (struct profile){ .name = name };
		if (add_own_profile(loader, paths[i], profile) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_profile(const void *left, const void *right)
{
	const struct profile *a = left;
	const struct profile *b = right;

	return strcmp(a->name, b->name);
}

/* Makes room for the profiles of the binary and n more, and adds those of the binary. */
static int add_shipped_profiles(struct conffile_loader *loader, size_t n)
{
	struct profiles *profiles = &loader->profiles;
	size_t n_texts = 0;

	while (profile_texts[n_texts].name)
		n_texts++;
	profiles->items = arena_calloc(&loader->arena, n_texts + n + 1, sizeof profiles->items[0]);
	if (!profiles->items)
		return -ENOMEM;
	for (size_t i = 0; i < n_texts; i++)
		profiles->items[profiles->n++] = (struct profile){
			.name = profile_texts[i].name,
			.text = &profile_texts[i],
		};
	return 0;
}

/* The tree of a profile of the binary, named by the file that is installed beside it. */
static int read_shipped(struct profiles *profiles, struct profile *profile)
{
	struct conffile_loader *loader = container_of(profiles, struct conffile_loader, profiles);
	const char *file = arena_printf(&loader->arena,
		MODELHEALTH_DATADIR "/modelhealthd/profiles/%s.yaml", profile->name);
	int rc = !file ? -ENOMEM
		       : yaml_parse(&loader->arena, file, profile->text->text,
				 strlen(profile->text->text), loader->scope.errors, &profile->root);

	if (rc == 0 && profile->root)
		rc = conffile_expand(loader, profile->root);
	return rc == -ENOMEM ? rc : 0;
}

int conffile_load_profiles(struct conffile_loader *loader, const char *directory)
{
	glob_t found = { 0 };
	char *pattern = NULL;
	int rc;

	loader->profiles.read = read_shipped;
	if (directory && asprintf(&pattern, "%s/*.yaml", directory) < 0)
		return -ENOMEM;
	rc = pattern ? glob(pattern, 0, NULL, &found) : GLOB_NOMATCH;
	free(pattern);
	if (rc == GLOB_NOSPACE)
		return -ENOMEM;
	if (rc == GLOB_ABORTED || found.gl_pathc > CONFFILE_MAX_PROFILES)
		(void)conf_errors_add(loader->scope.errors, directory, 0, 0,
			"cannot read it, or it holds more than %d profiles", CONFFILE_MAX_PROFILES);
	found.gl_pathc = min_of(found.gl_pathc, (size_t)CONFFILE_MAX_PROFILES);
	rc = add_shipped_profiles(loader, found.gl_pathc);
	if (rc == 0)
		rc = add_own_profiles(loader, found.gl_pathv, found.gl_pathc);
	globfree(&found);
	qsort(loader->profiles.items, loader->profiles.n, sizeof loader->profiles.items[0],
		compare_profile);
	return rc;
}

int conffile_list_types(const char *profiles_dir, struct conf_errors *errors, struct sbuf *out)
{
	static const struct check_kind *const no_kinds[] = { NULL };
	struct conffile_loader loader = { .scope = { .errors = errors, .kinds = no_kinds } };
	int rc = conffile_load_profiles(&loader, profiles_dir);

	for (size_t i = 0; rc == 0 && i < loader.profiles.n; i++) {
		const struct profile *profile = &loader.profiles.items[i];
		const struct node *node = node_get(profile->root, "about");
		const char *about = node ? node->text : "";
		size_t len = strlen(about);

		if (profile->text)
			about = profile_about(profile->text->text, &len);
		sbuf_printf(out, "%s\t%.*s\n", profile->name, (int)len, about);
	}
	conffile_fini(&loader);
	return rc == 0 && errors->n > 0 ? -EINVAL : rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Reads the configuration's files, merges what is included, and hands one tree and the profiles to
 * core/conf.c. The app calls it at start and at reload; the trees and every copy of a secret made
 * here are wiped before it returns.
 */
#include "conffile_private.h"

#include "modelhealth/io/readfile.h"
#include "modelhealth/io/yaml.h"

#include <sys/stat.h>

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

struct file {
	const char *path;
	dev_t device;
	ino_t inode;
	const struct file *includer; /* NULL for the main file */
};

static int load_file(struct conffile_loader *loader, const char *path, const struct file *includer,
	const struct node *include);

const char *conffile_resolve(struct conffile_loader *loader, const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (path[0] == '/' || !slash)
		return arena_strdup(&loader->arena, path);
	return arena_printf(&loader->arena, "%.*s/%s", (int)(slash - file), file, path);
}

/* ---- includes ---- */

static int compare_path(const void *left, const void *right)
{
	const char *const *a = left;
	const char *const *b = right;

	return strcmp(*a, *b);
}

/* One entry of include: a path, or a pattern that may match nothing. */
static int include_pattern(
	struct conffile_loader *loader, const struct file *file, const struct node *item)
{
	const char *pattern;
	glob_t matches;
	int rc = 0;

	loader->is_partial |= item->is_bad;
	if (item->is_bad)
		return 0;
	if (item->type != NODE_SCALAR || item->text[0] == '\0') {
		(void)conf_error(&loader->scope, item, "expected a path or a pattern");
		return 0;
	}
	pattern = conffile_resolve(loader, file->path, item->text);
	if (!pattern)
		return -ENOMEM;
	if (!strpbrk(pattern, "*?["))
		return load_file(loader, pattern, file, item);
	errno = 0;
	switch (glob(pattern, GLOB_ERR | GLOB_NOSORT, NULL, &matches)) {
	case 0:
		qsort(matches.gl_pathv, matches.gl_pathc, sizeof matches.gl_pathv[0], compare_path);
		for (size_t i = 0; i < matches.gl_pathc && rc == 0; i++)
			rc = load_file(loader, matches.gl_pathv[i], file, item);
		break;
	case GLOB_NOMATCH:
		break;
	case GLOB_NOSPACE:
		return -ENOMEM;
	default:
		(void)conf_error(&loader->scope, item, "cannot read the directory of %s: %s",
			pattern, strerror(errno));
		loader->is_partial = true;
		return 0;
	}
	globfree(&matches);
	return rc;
}

static int load_includes(
	struct conffile_loader *loader, const struct file *file, const struct node *root)
{
	const struct node *include = node_get(root, "include");
	const struct node *item = include;

	if (!include || node_is_null(include))
		return 0;
	if (include->type == NODE_MAPPING) {
		(void)conf_error(
			&loader->scope, include, "expected a list of paths, got a mapping");
		return 0;
	}
	if (include->type == NODE_SCALAR)
		return include_pattern(loader, file, include);
	for (item = include->first_child; item; item = item->next) {
		int rc = include_pattern(loader, file, item);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The main file's own list, made when it is missing. */
static int find_list(
	struct conffile_loader *loader, const char *key, enum node_type type, struct list *list)
{
	struct node *node = node_get(loader->root, key);

	if (!node) {
		node = arena_alloc(&loader->arena, sizeof *node);
		if (!node)
			return -ENOMEM;
		*node = (struct node){ .type = type,
			.file = loader->root->file,
			.key = key,
			.text = "",
			.shown = "",
			.parent = loader->root,
			.next = loader->root->first_child };
		loader->root->first_child = node;
		loader->root->n_children++;
	}
	if (node_is_null(node))
		node->type = type;
	list->node = node;
	for (struct node *child = node->first_child; child; child = child->next)
		list->last = child;
	return 0;
}

/* Moves an included file's members behind the main file's. */
static void append_list(struct conffile_loader *loader, struct list *list, struct node *from)
{
	if (!from || from->is_bad || node_is_null(from))
		return;
	if (from->type != list->node->type) {
		if (list->node->type != NODE_SCALAR)
			(void)conf_error(&loader->scope, from, "expected a %s, got %s",
				list->node->type == NODE_MAPPING ? "mapping" : "list",
				conf_got(&loader->scope, from));
		return;
	}
	if (!from->first_child)
		return;
	if (list->last)
		list->last->next = from->first_child;
	else
		list->node->first_child = from->first_child;
	for (struct node *child = from->first_child; child; child = child->next)
		list->last = child;
	list->node->n_children += from->n_children;
}

static void merge_file(struct conffile_loader *loader, struct node *root)
{
	if (root->type != NODE_MAPPING) {
		(void)conf_error(&loader->scope, root,
			"expected a mapping with groups or endpoints, got %s",
			conf_got(&loader->scope, root));
		return;
	}
	for (struct node *child = root->first_child; child; child = child->next) {
		if (strcmp(child->key, "groups") == 0)
			append_list(loader, &loader->groups, child);
		else if (strcmp(child->key, "endpoints") == 0)
			append_list(loader, &loader->endpoints, child);
		else if (strcmp(child->key, "include") != 0)
			(void)conf_key_error(&loader->scope, child,
				"an included file can hold include, groups and endpoints alone; the "
				"rest belongs in the main file");
	}
}

/* ---- files ---- */

/* Reports a file that is on the way to itself, or too deep. */
static int check_includers(
	struct conffile_loader *loader, const struct file *file, const struct node *include)
{
	unsigned depth = 1;

	for (const struct file *at = file->includer; at; at = at->includer, depth++) {
		if (at->device == file->device && at->inode == file->inode)
			return conf_error(
				&loader->scope, include, "%s includes itself", file->path);
	}
	if (depth > CONFFILE_MAX_DEPTH)
		return conf_error(&loader->scope, include, "%s is included more than %d files deep",
			file->path, CONFFILE_MAX_DEPTH);
	if (++loader->n_files > CONFFILE_MAX_FILES)
		return conf_error(&loader->scope, include, "more than %d files are included",
			CONFFILE_MAX_FILES);
	return 0;
}

static int take_tree(struct conffile_loader *loader, const struct file *file, struct node *root)
{
	int rc = conffile_expand(loader, root);

	if (rc < 0)
		return rc;
	if (file->includer) {
		merge_file(loader, root);
	} else {
		loader->root = root;
		if (root->type != NODE_MAPPING)
			return 0;
		if (find_list(loader, "groups", NODE_MAPPING, &loader->groups) < 0 ||
			find_list(loader, "endpoints", NODE_SEQUENCE, &loader->endpoints) < 0)
			return -ENOMEM;
	}
	return load_includes(loader, file, root);
}

/* The file's tree, NULL with an error when there is none. 0 or -ENOMEM. */
static int read_tree(struct conffile_loader *loader, struct file *file, const struct node *include,
	struct node **ret_root)
{
	struct readfile content = READFILE_INIT;
	const char *problem = readfile(file->path, CONFFILE_MAX_BYTES, &content);
	struct conf_errors *errors = loader->scope.errors;
	int rc = -EINVAL;

	file->device = content.device;
	file->inode = content.inode;
	if (problem && include)
		(void)conf_error(
			&loader->scope, include, "cannot read %s: %s", file->path, problem);
	else if (problem)
		(void)conf_errors_add(
			errors, file->path, 0, 0, "cannot read the file: %s", problem);
	else if (check_includers(loader, file, include) == 0)
		rc = yaml_parse(
			&loader->arena, file->path, content.data, content.len, errors, ret_root);
	readfile_fini(&content);
	if (rc == 0 && !*ret_root && !include)
		(void)conf_errors_add(errors, file->path, 1, 1,
			"the file holds nothing; an empty configuration is \"endpoints: []\"");
	loader->is_partial |= rc == -EINVAL;
	return rc == -ENOMEM ? rc : 0;
}

/* Loads a file; include is the node that names it, NULL for the main file. Errors of the file are
 * collected, not returned. 0 or -ENOMEM. Recursion ends at CONFFILE_MAX_DEPTH. */
static int load_file(struct conffile_loader *loader, const char *path, const struct file *includer,
	const struct node *include)
{
	struct file file = { .path = arena_strdup(&loader->arena, path), .includer = includer };
	struct node *root = NULL;
	int rc = file.path ? read_tree(loader, &file, include, &root) : -ENOMEM;

	return rc == 0 && root ? take_tree(loader, &file, root) : rc;
}

/* ---- the load ---- */

void conffile_fini(struct conffile_loader *loader)
{
	conf_errors_sort(loader->scope.errors);
	arena_wipe(&loader->arena);
	arena_fini(&loader->arena);
}

int conffile_load(const char *path, const char *profiles_dir, conf_kinds kinds,
	struct conf_errors *errors, struct config **ret_config)
{
	struct conffile_loader loader = { .scope = { .errors = errors, .kinds = kinds } };
	int rc = conffile_load_profiles(&loader, profiles_dir);

	if (rc == 0)
		rc = load_file(&loader, path, NULL, NULL);
	if (loader.root)
		loader.root->is_bad = loader.is_partial;
	if (rc == 0)
		rc = loader.root
			     ? conf_build(loader.root, kinds, &loader.profiles, errors, ret_config)
			     : -EINVAL;
	if (rc == 0)
		(*ret_config)->n_files = loader.n_files;
	conffile_fini(&loader);
	return rc;
}

static const char *find_socket(const struct node *listen)
{
	static const char prefix[] = "unix:";
	const struct node *item = listen;

	if (listen && listen->type == NODE_SEQUENCE)
		item = listen->first_child;
	for (; item; item = item->next) {
		if (item->type == NODE_SCALAR && strncmp(item->text, prefix, strlen(prefix)) == 0)
			return item->text + strlen(prefix);
		if (item == listen)
			break;
	}
	return NULL;
}

int conffile_admin_socket(const char *path, struct conf_errors *errors, char **ret_socket)
{
	struct conffile_loader loader = { .scope = { .errors = errors } };
	struct file file = { .path = path };
	struct node *root = NULL;
	int rc = read_tree(&loader, &file, NULL, &root);
	struct node *listen = node_get(node_get(root, "status"), "listen");
	const char *found;

	if (rc == 0 && !root)
		rc = -EINVAL;
	if (rc == 0 && listen)
		rc = conffile_expand(&loader, listen);
	if (rc == 0) {
		found = find_socket(listen);
		*ret_socket = found ? strdup(found) : NULL;
		rc = *ret_socket ? 0 : found ? -ENOMEM : -ENOENT;
	}
	conffile_fini(&loader);
	return rc;
}

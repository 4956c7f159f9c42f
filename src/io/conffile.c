/* SPDX-License-Identifier: MIT */
/*
 * Reads the configuration's files, puts secrets and environment into their scalars, merges what
 * is included, and hands one tree and the profiles to core/conf.c. The app calls it at start and at reload; the
 * trees and every copy of a secret made here are wiped before it returns.
 */
#include "modelhealth/io/conffile.h"

#include "modelhealth/core/conffill.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/core/template.h"
#include "modelhealth/io/readfile.h"
#include "modelhealth/io/yaml.h"
#include "modelhealth/text/sanitise.h"

#include <sys/stat.h>

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MAX_VALUE_BYTES = 256 * 1024, /* of one scalar after substitution */
	USUAL_SECRET_BYTES = 4096,
};

struct file {
	const char *path;
	dev_t device;
	ino_t inode;
	const struct file *includer; /* NULL for the main file */
};

struct list {
	struct node *node; /* in the main file's tree */
	struct node *last;
};

struct loader {
	struct conf_scope scope; /* for its errors */
	struct arena arena;      /* trees and paths */
	struct node *root;
	struct list groups, endpoints;
	struct profiles profiles;
	unsigned n_files;
	bool is_partial; /* something could not be read */
};

static int load_file(struct loader *loader, const char *path, const struct file *includer,
	const struct node *include);

/* The path, relative to the file that names it. NULL when memory is out. */
static const char *resolve_path(struct loader *loader, const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');

	if (path[0] == '/' || !slash)
		return arena_strdup(&loader->arena, path);
	return arena_printf(&loader->arena, "%.*s/%s", (int)(slash - file), file, path);
}

/* ---- ${...} ---- */

/* Adds a secret file's content, without its last line end; what = how errors call the file. */
static int add_file(struct loader *loader, const struct node *node, const char *what,
	const char *path, struct sbuf *out)
{
	struct readfile file = READFILE_INIT;
	const char *problem = readfile(path, CONFFILE_MAX_SECRET_BYTES, &file);
	size_t len = file.len;

	if (len > 0 && file.data[len - 1] == '\n')
		len--;
	if (len > 0 && len < file.len && file.data[len - 1] == '\r')
		len--;
	for (size_t i = 0; i < len && !problem; i++) {
		if ((unsigned char)file.data[i] < 0x20 || file.data[i] == 0x7f)
			problem = "it holds control characters or more than one line";
	}
	if (!problem && len == 0)
		problem = "it is empty";
	if (!problem && !utf8_is_valid(file.data, len))
		problem = "it is not UTF-8";
	if (!problem)
		sbuf_add(out, file.data, len);
	readfile_fini(&file);
	return problem ? conf_error(&loader->scope, node, "cannot use the %s %s: %s", what, path,
				 problem)
		       : 0;
}

static int put_env(
	struct loader *loader, const struct node *node, const char *name, struct sbuf *out)
{
	const char *value = getenv(name);

	if (!value)
		return conf_error(
			&loader->scope, node, "the environment variable %s is not set", name);
	if (!utf8_is_valid(value, strlen(value)))
		return conf_error(
			&loader->scope, node, "the environment variable %s is not UTF-8", name);
	sbuf_puts(out, value);
	return 0;
}

static int put_file(
	struct loader *loader, const struct node *node, const char *name, struct sbuf *out)
{
	const char *path = resolve_path(loader, node->file, name);

	return path ? add_file(loader, node, "file", path, out) : -ENOMEM;
}

static int put_credential(
	struct loader *loader, const struct node *node, const char *name, struct sbuf *out)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	const char *path;

	if (strchr(name, '/') || name[0] == '.' || name[0] == '\0')
		return conf_error(&loader->scope, node, "\"%s\" is no name of a credential", name);
	if (!directory)
		return conf_error(&loader->scope, node,
			"there are no credentials: CREDENTIALS_DIRECTORY is not set (systemd sets it "
			"for LoadCredential=)");
	path = arena_printf(&loader->arena, "%s/%s", directory, name);
	if (!path)
		return -ENOMEM;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return conf_error(&loader->scope, node,
			"there is no credential %s: no %s (see LoadCredential= in the unit; read "
			"when the service starts)",
			name, path);
	return add_file(loader, node, "credential", path, out);
}

static const struct source {
	const char *prefix;
	bool is_secret;
	int (*put)(
		struct loader *loader, const struct node *node, const char *name, struct sbuf *out);
} sources[] = {
	{ "credential:", true, put_credential },
	{ "env:", false, put_env },
	{ "file:", true, put_file },
};

static const struct source *find_source(const char *text)
{
	for (size_t i = 0; i < array_size(sources); i++) {
		if (strncmp(text, sources[i].prefix, strlen(sources[i].prefix)) == 0)
			return &sources[i];
	}
	return NULL;
}

/* What a scalar becomes. */
struct expansion {
	struct sbuf text, shown, pattern;
	bool is_secret;
};

/* Appends what all three have in common. */
static void add_plain(struct expansion *expansion, const char *text, size_t len)
{
	sbuf_add(&expansion->text, text, len);
	sbuf_add(&expansion->shown, text, len);
	sbuf_add(&expansion->pattern, text, len);
}

/* Appends a value from elsewhere: a ${ in it is not for us to fill. */
static void add_foreign(struct sbuf *pattern, const char *text)
{
	for (; *text; text++) {
		if (strncmp(text, "${", 2) == 0)
			sbuf_putc(pattern, '$');
		sbuf_putc(pattern, *text);
	}
}

/* Puts one reference; rest begins after "${". Returns where the text goes on, NULL on error. */
static const char *expand_one(struct loader *loader, const struct node *node, const char *rest,
	struct expansion *expansion)
{
	const struct source *source = find_source(rest);
	const char *end = strchr(rest, '}');
	size_t at = expansion->text.len;
	char *name;

	if (!source || !end) {
		(void)conf_error(&loader->scope, node,
			"expected ${env:NAME}, ${file:/path}, ${credential:name} or a lower-case "
			"${name} after \"${\"; write $${ for the characters themselves");
		return NULL;
	}
	rest += strlen(source->prefix);
	name = arena_strndup(&loader->arena, rest, (size_t)(end - rest));
	if (!name || source->put(loader, node, name, &expansion->text) < 0)
		return NULL;
	add_foreign(&expansion->pattern, sbuf_str(&expansion->text) + at);
	if (source->is_secret) {
		expansion->is_secret = true;
		sbuf_puts(&expansion->shown, SECRET_MASK);
	} else {
		sbuf_puts(&expansion->shown, sbuf_str(&expansion->text) + at);
	}
	return end + 1;
}

/* Takes what begins with a $. Returns where the text goes on, NULL on error. */
static const char *expand_dollar(struct loader *loader, const struct node *node, const char *rest,
	struct expansion *expansion)
{
	size_t len = template_reference(rest);

	if (strncmp(rest, "$${", 3) == 0) {
		sbuf_puts(&expansion->text, "${");
		sbuf_puts(&expansion->shown, "${");
		sbuf_puts(&expansion->pattern, "$${");
		return rest + 3;
	}
	if (len > 0) {
		add_plain(expansion, rest, len);
		return rest + len;
	}
	if (strncmp(rest, "${", 2) == 0)
		return expand_one(loader, node, rest + 2, expansion);
	add_plain(expansion, rest, 1);
	return rest + 1;
}

static bool expand_text(struct loader *loader, const struct node *node, struct expansion *expansion)
{
	const char *rest = node->text;

	while (rest && *rest) {
		size_t len = strcspn(rest, "$");

		add_plain(expansion, rest, len);
		rest += len;
		if (*rest)
			rest = expand_dollar(loader, node, rest, expansion);
	}
	return rest != NULL;
}

static void wipe_buffer(struct sbuf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->cap);
	sbuf_fini(buf);
}

static int expand_node(struct loader *loader, struct node *node)
{
	struct expansion expansion = {
		.text = { .limit = MAX_VALUE_BYTES },
		.shown = { .limit = MAX_VALUE_BYTES },
		.pattern = { .limit = MAX_VALUE_BYTES },
	};
	int rc = 0;

	/* Room from the start, so that growing leaves no copy of a secret behind. */
	(void)sbuf_reserve(&expansion.text, strlen(node->text) + USUAL_SECRET_BYTES);
	(void)sbuf_reserve(&expansion.pattern, strlen(node->text) + USUAL_SECRET_BYTES);
	node->is_bad = !expand_text(loader, node, &expansion);
	if (!node->is_bad &&
		(expansion.text.failed || expansion.shown.failed || expansion.pattern.failed))
		node->is_bad = conf_error(&loader->scope, node, "the value is longer than %d bytes",
				       MAX_VALUE_BYTES) < 0;
	if (!node->is_bad) {
		node->is_secret = expansion.is_secret;
		/* A secret is a text, even if it reads "null". */
		node->is_quoted = node->is_quoted || expansion.is_secret;
		node->shown = arena_strdup(&loader->arena, sbuf_str(&expansion.shown));
		node->text = arena_strdup(&loader->arena, sbuf_str(&expansion.text));
		node->pattern = node->text;
		if (expansion.pattern.len != expansion.text.len)
			node->pattern = arena_strdup(&loader->arena, sbuf_str(&expansion.pattern));
		rc = node->text && node->shown && node->pattern ? 0 : -ENOMEM;
	}
	wipe_buffer(&expansion.text);
	wipe_buffer(&expansion.pattern);
	sbuf_fini(&expansion.shown);
	return rc;
}

/* Every scalar of a file's tree, from first to last. */
static int expand_tree(struct loader *loader, struct node *root)
{
	struct node *path[YAML_MAX_DEPTH + 1];
	size_t depth = 0;
	struct node *node = root;

	while (node) {
		if (node->type == NODE_SCALAR && strchr(node->text, '$') &&
			expand_node(loader, node) < 0)
			return -ENOMEM;
		if (node->first_child) {
			path[depth++] = node;
			node = node->first_child;
			continue;
		}
		while (!node->next && depth > 0)
			node = path[--depth];
		node = depth > 0 ? node->next : NULL;
	}
	return 0;
}

/* ---- includes ---- */

static int compare_path(const void *left, const void *right)
{
	const char *const *a = left;
	const char *const *b = right;

	return strcmp(*a, *b);
}

/* One entry of include: a path, or a pattern that may match nothing. */
static int include_pattern(struct loader *loader, const struct file *file, const struct node *item)
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
	pattern = resolve_path(loader, file->path, item->text);
	if (!pattern)
		return -ENOMEM;
	if (!strpbrk(pattern, "*?["))
		return load_file(loader, pattern, file, item);
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
		(void)conf_error(&loader->scope, item, "cannot read the directory of %s", pattern);
		loader->is_partial = true;
		return 0;
	}
	globfree(&matches);
	return rc;
}

static int load_includes(struct loader *loader, const struct file *file, const struct node *root)
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
static int find_list(struct loader *loader, const char *key, enum node_type type, struct list *list)
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
static void append_list(struct loader *loader, struct list *list, struct node *from)
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

static void merge_file(struct loader *loader, struct node *root)
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
	struct loader *loader, const struct file *file, const struct node *include)
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

static int take_tree(struct loader *loader, const struct file *file, struct node *root)
{
	int rc = expand_tree(loader, root);

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
static int read_tree(struct loader *loader, struct file *file, const struct node *include,
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
static int load_file(struct loader *loader, const char *path, const struct file *includer,
	const struct node *include)
{
	struct file file = { .path = arena_strdup(&loader->arena, path), .includer = includer };
	struct node *root = NULL;
	int rc = file.path ? read_tree(loader, &file, include, &root) : -ENOMEM;

	return rc == 0 && root ? take_tree(loader, &file, root) : rc;
}

/* ---- profiles ---- */

/* A file of the operator's, with its tree in the loader's arena. 0 or -ENOMEM. */
static int add_own_profile(struct loader *loader, const char *path, struct profile *profile)
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
		rc = expand_tree(loader, profile->root);
	return rc == -ENOMEM ? rc : 0;
}

/* The name of a profile by its path, in the arena; NULL when memory is out. */
static const char *profile_name(struct loader *loader, const char *path)
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

static int add_own_profiles(struct loader *loader, char *const *paths, size_t n)
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
static int add_shipped_profiles(struct loader *loader, size_t n)
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
	struct loader *loader = container_of(profiles, struct loader, profiles);
	const char *file = arena_printf(&loader->arena,
		MODELHEALTH_DATADIR "/modelhealthd/profiles/%s.yaml", profile->name);
	int rc = !file ? -ENOMEM
		       : yaml_parse(&loader->arena, file, profile->text->text,
				 strlen(profile->text->text), loader->scope.errors, &profile->root);

	if (rc == 0 && profile->root)
		rc = expand_tree(loader, profile->root);
	return rc == -ENOMEM ? rc : 0;
}

/* Lists all profiles and reads those of the operator. 0 or -ENOMEM. */
static int load_profiles(struct loader *loader, const char *directory)
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

static void fini(struct loader *loader)
{
	conf_errors_sort(loader->scope.errors);
	arena_wipe(&loader->arena);
	arena_fini(&loader->arena);
}

int conffile_list_types(const char *profiles_dir, struct conf_errors *errors, struct sbuf *out)
{
	static const struct check_kind *const no_kinds[] = { NULL };
	struct loader loader = { .scope = { .errors = errors, .kinds = no_kinds } };
	int rc = load_profiles(&loader, profiles_dir);

	for (size_t i = 0; rc == 0 && i < loader.profiles.n; i++) {
		const struct profile *profile = &loader.profiles.items[i];
		const struct node *node = node_get(profile->root, "about");
		const char *about = node ? node->text : "";
		size_t len = strlen(about);

		if (profile->text)
			about = profile_about(profile->text->text, &len);
		sbuf_printf(out, "%s\t%.*s\n", profile->name, (int)len, about);
	}
	fini(&loader);
	return rc == 0 && errors->n > 0 ? -EINVAL : rc;
}

int conffile_load(const char *path, const char *profiles_dir, conf_kinds kinds,
	struct conf_errors *errors, struct config **ret_config)
{
	struct loader loader = { .scope = { .errors = errors, .kinds = kinds } };
	int rc = load_profiles(&loader, profiles_dir);

	if (rc == 0)
		rc = load_file(&loader, path, NULL, NULL);
	if (loader.root)
		loader.root->is_bad = loader.is_partial;
	if (rc == 0)
		rc = loader.root
			     ? conf_build(loader.root, kinds, &loader.profiles, errors, ret_config)
			     : -EINVAL;
	fini(&loader);
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
	struct loader loader = { .scope = { .errors = errors } };
	struct file file = { .path = path };
	struct node *root = NULL;
	int rc = read_tree(&loader, &file, NULL, &root);
	struct node *listen = node_get(node_get(root, "status"), "listen");
	const char *found;

	if (rc == 0 && !root)
		rc = -EINVAL;
	if (rc == 0 && listen)
		rc = expand_tree(&loader, listen);
	if (rc == 0) {
		found = find_socket(listen);
		*ret_socket = found ? strdup(found) : NULL;
		rc = *ret_socket ? 0 : found ? -ENOMEM : -ENOENT;
	}
	fini(&loader);
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Puts secrets and environment into the scalars of the configuration. Called for each tree that a
 * load has read. Secrets are copied into the loader's arena alone, which is wiped; what else held
 * one here is wiped at once.
 */
#include "conffile_private.h"

#include "modelhealth/core/template.h"
#include "modelhealth/io/readfile.h"
#include "modelhealth/io/yaml.h"
#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MAX_VALUE_BYTES = 256 * 1024, /* of one scalar after substitution */
	USUAL_SECRET_BYTES = 4096,
};

/* Adds a secret file's content, without its last line end; what = how errors call the file. */
static int add_file(struct conffile_loader *loader, const struct node *node, const char *what,
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
	struct conffile_loader *loader, const struct node *node, const char *name, struct sbuf *out)
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
	struct conffile_loader *loader, const struct node *node, const char *name, struct sbuf *out)
{
	const char *path = conffile_resolve(loader, node->file, name);

	return path ? add_file(loader, node, "file", path, out) : -ENOMEM;
}

static int put_credential(
	struct conffile_loader *loader, const struct node *node, const char *name, struct sbuf *out)
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
	int (*put)(struct conffile_loader *loader, const struct node *node, const char *name,
		struct sbuf *out);
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
static const char *expand_one(struct conffile_loader *loader, const struct node *node,
	const char *rest, struct expansion *expansion)
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
static const char *expand_dollar(struct conffile_loader *loader, const struct node *node,
	const char *rest, struct expansion *expansion)
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

static bool expand_text(
	struct conffile_loader *loader, const struct node *node, struct expansion *expansion)
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

static int expand_node(struct conffile_loader *loader, struct node *node)
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

int conffile_expand(struct conffile_loader *loader, struct node *root)
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

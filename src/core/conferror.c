/* SPDX-License-Identifier: MIT */
/*
 * Collects what is wrong with a configuration: everything, each thing once, in the order of the
 * files. The loaders add, the app prints.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/core/confscope.h"
#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_WORD = 64,        /* longer words are compared by nobody */
	MAX_TEXT_BYTES = 600, /* of one message */
	MIN_MASKED_BYTES = 4, /* shorter secrets would mask half the message */
};

void conf_errors_fini(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++) {
		free(errors->items[i].file);
		free(errors->items[i].text);
	}
	free(errors->items);
	*errors = (struct conf_errors){ 0 };
}

static bool is_same_place(
	const struct conf_error *error, const char *file, unsigned line, unsigned column)
{
	return error->line == line && error->column == column && strcmp(error->file, file) == 0;
}

static bool has_room(struct conf_errors *errors)
{
	if (errors->n == CONF_MAX_ERRORS) {
		errors->truncated = true;
		return false;
	}
	if (errors->n < errors->cap)
		return true;

	size_t cap = errors->cap == 0 ? 16 : errors->cap * 2;
	struct conf_error *items = reallocarray(errors->items, cap, sizeof *items);

	if (!items) {
		errors->truncated = true;
		return false;
	}
	errors->items = items;
	errors->cap = cap;
	return true;
}

static int add_text(struct conf_errors *errors, const char *file, unsigned line, unsigned column,
	const char *text)
{
	for (size_t i = 0; i < errors->n; i++) {
		if (is_same_place(&errors->items[i], file, line, column) &&
			strcmp(errors->items[i].text, text) == 0)
			return -EINVAL;
	}
	if (!has_room(errors))
		return -EINVAL;

	struct conf_error error = { strdup(file), line, column, strdup(text) };

	if (!error.file || !error.text) {
		free(error.file);
		free(error.text);
		errors->truncated = true;
		return -EINVAL;
	}
	errors->items[errors->n++] = error;
	return -EINVAL;
}

int conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, unsigned column,
	const char *format, ...)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	va_list args;

	va_start(args, format);
	sbuf_vprintf(&text, format, args);
	va_end(args);
	return add_text(errors, file, line, column, sbuf_str(&text));
}

static int compare_error(const void *left, const void *right)
{
	const struct conf_error *a = left;
	const struct conf_error *b = right;
	int order = strcmp(a->file, b->file);

	if (order != 0)
		return order;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return strcmp(a->text, b->text);
}

void conf_errors_sort(struct conf_errors *errors)
{
	if (errors->n > 1)
		qsort(errors->items, errors->n, sizeof errors->items[0], compare_error);
}

void conf_errors_print(const struct conf_errors *errors, struct sbuf *out)
{
	for (size_t i = 0; i < errors->n; i++) {
		const struct conf_error *error = &errors->items[i];

		if (error->line == 0)
			sbuf_printf(out, "%s: %s\n", error->file, error->text);
		else
			sbuf_printf(out, "%s:%u:%u: %s\n", error->file, error->line, error->column,
				error->text);
	}
	if (errors->truncated)
		sbuf_puts(out, "there are more errors; these are the first\n");
}

/* Puts *** for each occurrence of secret in text. */
static void mask(const char *text, const char *secret, struct sbuf *out)
{
	size_t len = strlen(secret);
	const char *hit;

	while (len >= MIN_MASKED_BYTES && (hit = strstr(text, secret)) != NULL) {
		sbuf_add(out, text, (size_t)(hit - text));
		sbuf_puts(out, SECRET_MASK);
		text = hit + len;
	}
	sbuf_puts(out, text);
}

_printf_(5, 0) static int report(struct conf_scope *scope, const struct node *node, unsigned line,
	unsigned column, const char *format, va_list args)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf masked = SBUF_INIT;
	char clean[MAX_TEXT_BYTES];

	node_path(node, &text);
	if (text.len > 0)
		sbuf_puts(&text, ": ");
	sbuf_vprintf(&text, format, args);
	mask(sbuf_str(&text), node->is_secret ? node->text : "", &masked);
	(void)sanitise(clean, sizeof clean, sbuf_str(&masked), masked.len);
	return add_text(scope->errors, node->file, line, column, clean);
}

int conf_error(struct conf_scope *scope, const struct node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int rc = report(scope, node, node->line, node->column, format, args);
	va_end(args);
	return rc;
}

int conf_key_error(struct conf_scope *scope, const struct node *node, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int rc = report(scope, node, node->key_line, node->key_column, format, args);
	va_end(args);
	return rc;
}

const char *conf_got(struct conf_scope *scope, const struct node *node)
{
	char clean[CONF_GOT_SIZE - 2];

	if (node->type != NODE_SCALAR)
		return node->type == NODE_MAPPING ? "a mapping" : "a list";
	if (node_is_null(node))
		return "nothing";
	(void)sanitise(clean, sizeof clean, node->shown, strlen(node->shown));
	(void)snprintf(scope->got, sizeof scope->got, "\"%s\"", clean);
	return scope->got;
}

/* Levenshtein's distance with swaps of neighbours as one step. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][MAX_WORD + 1];

	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i - 1) % 3];
		const size_t *two_above = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = min_of(replaced, min_of(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = min_of(row[j], two_above[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *conf_did_you_mean(const char *const *names, size_t n, const char *word)
{
	size_t len = strlen(word);
	size_t nearest = len <= 3 ? 1 : len <= 6 ? 2 : 3;
	const char *found = NULL;

	if (len == 0 || len > MAX_WORD)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t name_len = strlen(names[i]);

		if (name_len > MAX_WORD)
			continue;

		size_t distance = edit_distance(word, len, names[i], name_len);

		if (distance < nearest || (distance == nearest && !found)) {
			nearest = distance;
			found = distance < name_len ? names[i] : found;
		}
	}
	return found;
}

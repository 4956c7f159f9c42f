/* SPDX-License-Identifier: MIT */
/*
 * libyaml's events into a tree. The events come one by one, so depth and size are bounded by us
 * before libyaml can spend much (it has no limits, and nesting costs it quadratic time). Called by
 * io/conffile.c and io/conffile_profiles.c for each file.
 */
#include "modelhealth/io/yaml.h"

#include "modelhealth/text/sanitise.h"

#include <yaml.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_BAD_BYTES = 10 /* reported of one file */
};

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const char *file;
	const char *text;
	struct conf_errors *errors;
	struct node *root;
	struct node *open[YAML_MAX_DEPTH]; /* containers around the next node */
	struct node *last[YAML_MAX_DEPTH]; /* their last members so far */
	size_t depth;
	char *key; /* read, its value is next; NULL = none */
	unsigned key_line, key_column;
	bool is_key_bad;
	size_t n_nodes;
	const struct node **sorted; /* scratch for finding duplicate keys */
	size_t sorted_cap;
	bool has_document;
	bool is_done;
};

/* ---- the bytes ---- */

/* Length of the UTF-8 sequence that begins at text, 0 when it is broken. */
static size_t sequence_len(const char *text, size_t left)
{
	unsigned char first = (unsigned char)text[0];
	size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	return len <= left && (len == 1 || utf8_is_valid(text, len)) ? len : 0;
}

static bool is_control(unsigned char c)
{
	return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

/* Finds bytes that no configuration holds, each with its place. */
static int check_bytes(struct reader *reader, size_t len)
{
	const char *text = reader->text;
	unsigned line = 1;
	unsigned column = 1;
	unsigned bad = 0;

	if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
		return conf_errors_add(reader->errors, reader->file, 1, 1,
			"the file is UTF-16; write it as UTF-8");
	for (size_t i = 0; i < len && bad < MAX_BAD_BYTES;) {
		size_t step = sequence_len(text + i, len - i);

		if (step == 0 || is_control((unsigned char)text[i])) {
			(void)conf_errors_add(reader->errors, reader->file, line, column,
				step == 0 ? "byte 0x%02x is not UTF-8"
					  : "control character 0x%02x is not allowed",
				(unsigned char)text[i]);
			bad++;
		}
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
		i += max_of(step, (size_t)1);
	}
	return bad == 0 ? 0 : -EINVAL;
}

/* ---- errors ---- */

_printf_(3, 4) static int error_at(
	struct reader *reader, const yaml_mark_t *mark, const char *format, ...)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	va_list args;

	va_start(args, format);
	sbuf_vprintf(&text, format, args);
	va_end(args);
	return conf_errors_add(reader->errors, reader->file, (unsigned)mark->line + 1,
		(unsigned)mark->column + 1, "%s", sbuf_str(&text));
}

/* What usually lies behind a message of libyaml. */
static const struct {
	const char *problem, *hint;
} hints[] = {
	{ "could not find expected ':'", "a key is followed by a colon and a blank" },
	{ "did not find expected ',' or ']'", "quote ${...} inside [ ]" },
	{ "did not find expected ',' or '}'", "quote ${...} inside { }" },
	{ "did not find expected '-' indicator", "check the indentation" },
	{ "did not find expected key", "check the indentation" },
	{ "found character that cannot start any token",
		"indent with blanks, not tabs; quote a text that begins with @, ` or %" },
	{ "found unexpected end of stream", "a quote or a bracket is not closed" },
	{ "mapping values are not allowed in this context",
		"check the indentation; quote a text that contains \": \"" },
};

static int syntax_error(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	_cleanup_(sbuf_fini) struct sbuf begun = SBUF_INIT;
	yaml_mark_t mark = parser->problem_mark;
	const char *hint = NULL;

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	for (size_t i = 0; i < array_size(hints); i++) {
		if (strcmp(parser->problem, hints[i].problem) == 0)
			hint = hints[i].hint;
	}
	if (parser->error == YAML_READER_ERROR) { /* which has an offset and no mark */
		mark = (yaml_mark_t){ 0 };
		for (size_t i = 0; i < parser->problem_offset; i++)
			mark.line += reader->text[i] == '\n';
	}
	if (parser->context)
		sbuf_printf(&begun, ", %s", parser->context);
	/* A quote that is open is missed at the end of the file. */
	if (parser->context && parser->context_mark.line < mark.line)
		sbuf_printf(&begun, " that begins in line %zu", parser->context_mark.line + 1);
	(void)error_at(reader, &mark, "YAML syntax: %s%s%s%s", parser->problem, sbuf_str(&begun),
		hint ? "; " : "", hint ? hint : "");
	return -EINVAL;
}

/* ---- nodes ---- */

static struct node *add_node(struct reader *reader, enum node_type type, const yaml_mark_t *mark)
{
	struct node *parent = reader->depth > 0 ? reader->open[reader->depth - 1] : NULL;
	struct node *node = arena_alloc(reader->arena, sizeof *node);

	if (!node)
		return NULL;
	*node = (struct node){
		.type = type,
		.file = reader->file,
		.line = (unsigned)mark->line + 1,
		.column = (unsigned)mark->column + 1,
		.key = reader->key,
		.key_line = reader->key_line,
		.key_column = reader->key_column,
		.text = "",
		.shown = "",
		.parent = parent,
		.is_bad = reader->is_key_bad,
	};
	reader->key = NULL;
	reader->is_key_bad = false;
	if (!parent) {
		reader->root = node;
		return node;
	}
	node->index = parent->n_children++;
	if (node->index == 0)
		parent->first_child = node;
	else
		reader->last[reader->depth - 1]->next = node;
	reader->last[reader->depth - 1] = node;
	return node;
}

static bool expects_key(const struct reader *reader)
{
	return reader->depth > 0 && reader->open[reader->depth - 1]->type == NODE_MAPPING &&
	       !reader->key;
}

static int take_key(struct reader *reader, const yaml_event_t *event)
{
	/* libyaml's text is UTF-8 in unsigned char. */
	const char *text = (const char *)event->data.scalar.value;
	const char *problem = NULL;

	if (strlen(text) != event->data.scalar.length)
		problem = "a key cannot hold the character NUL";
	else if (text[0] == '\0')
		problem = "a key cannot be empty";
	else if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0)
		problem = "merge keys (<<) are not supported; groups and defaults share keys";
	if (problem)
		(void)error_at(reader, &event->start_mark, "%s", problem);
	reader->is_key_bad = problem != NULL;
	reader->key = arena_strdup(reader->arena, text);
	reader->key_line = (unsigned)event->start_mark.line + 1;
	reader->key_column = (unsigned)event->start_mark.column + 1;
	return reader->key ? 0 : -ENOMEM;
}

static int take_scalar(struct reader *reader, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value; /* as in take_key */
	struct node *node;

	if (expects_key(reader))
		return take_key(reader, event);
	node = add_node(reader, NODE_SCALAR, &event->start_mark);
	if (!node)
		return -ENOMEM;
	node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (strlen(text) != event->data.scalar.length)
		node->is_bad = error_at(reader, &event->start_mark,
				       "a text cannot hold the character NUL") < 0;
	node->text = arena_strndup(reader->arena, text, strlen(text));
	node->shown = node->text;
	return node->text ? 0 : -ENOMEM;
}

/* Stands for a value that is not supported; the error has been said. */
static int take_alias(struct reader *reader, const yaml_event_t *event)
{
	struct node *node;

	(void)error_at(reader, &event->start_mark,
		"aliases (*%s) are not supported; groups and defaults share keys",
		(const char *)event->data.alias.anchor);
	if (expects_key(reader)) {
		reader->key = arena_strdup(reader->arena, "*");
		return reader->key ? 0 : -ENOMEM;
	}
	node = add_node(reader, NODE_SCALAR, &event->start_mark);
	if (!node)
		return -ENOMEM;
	node->is_bad = true;
	return 0;
}

static int open_container(struct reader *reader, enum node_type type, const yaml_event_t *event)
{
	struct node *node;

	if (expects_key(reader))
		return error_at(reader, &event->start_mark, "a key must be a plain word, not a %s",
			type == NODE_MAPPING ? "mapping (quote ${...} and {...})" : "list");
	if (reader->depth == YAML_MAX_DEPTH)
		return error_at(
			reader, &event->start_mark, "nested deeper than %d levels", YAML_MAX_DEPTH);
	node = add_node(reader, type, &event->start_mark);
	if (!node)
		return -ENOMEM;
	reader->open[reader->depth] = node;
	reader->last[reader->depth] = NULL;
	reader->depth++;
	return 0;
}

static int compare_key(const void *left, const void *right)
{
	const struct node *const *a = left;
	const struct node *const *b = right;
	int order = strcmp((*a)->key, (*b)->key);

	return order != 0 ? order : ((*a)->index < (*b)->index ? -1 : 1);
}

static int find_duplicates(struct reader *reader, const struct node *mapping)
{
	size_t n = 0;

	if (mapping->n_children > reader->sorted_cap) {
		size_t cap = max_of(mapping->n_children, (size_t)64) * 2;
		const struct node **sorted =
			reallocarray(reader->sorted, cap, sizeof *reader->sorted);

		if (!sorted)
			return -ENOMEM;
		reader->sorted = sorted;
		reader->sorted_cap = cap;
	}
	for (const struct node *child = mapping->first_child; child; child = child->next)
		reader->sorted[n++] = child;
	if (n > 1)
		qsort(reader->sorted, n, sizeof *reader->sorted, compare_key);
	for (size_t i = 1; i < n; i++) {
		const struct node *node = reader->sorted[i];
		const struct node *before = reader->sorted[i - 1];
		const yaml_mark_t mark = { .line = node->key_line - 1,
			.column = node->key_column - 1 };

		if (strcmp(before->key, node->key) == 0)
			(void)error_at(reader, &mark, "duplicate key %s, also in line %u",
				node->key, before->key_line);
	}
	return 0;
}

static int close_container(struct reader *reader)
{
	const struct node *node = reader->open[--reader->depth];

	return node->type == NODE_MAPPING ? find_duplicates(reader, node) : 0;
}

static int begin_document(struct reader *reader, const yaml_event_t *event)
{
	if (reader->has_document)
		return error_at(reader, &event->start_mark,
			"a second document (---) is not supported; use include");
	reader->has_document = true;
	return 0;
}

/* ---- events ---- */

/* Anchors and tags stand on nodes of every sort; they are refused and otherwise overlooked. */
static void refuse_properties(struct reader *reader, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;

	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	}
	if (anchor)
		(void)error_at(reader, &event->start_mark,
			"anchors (&%s) are not supported; groups and defaults share keys",
			(const char *)anchor);
	if (tag)
		(void)error_at(reader, &event->start_mark, "tags (%s) are not supported",
			(const char *)tag);
}

static int take_event(struct reader *reader, const yaml_event_t *event)
{
	refuse_properties(reader, event);
	if (++reader->n_nodes > YAML_MAX_NODES)
		return error_at(reader, &event->start_mark, "more than %d values in one file",
			YAML_MAX_NODES);
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return begin_document(reader, event);
	case YAML_ALIAS_EVENT:
		return take_alias(reader, event);
	case YAML_SCALAR_EVENT:
		return take_scalar(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return open_container(reader, NODE_SEQUENCE, event);
	case YAML_MAPPING_START_EVENT:
		return open_container(reader, NODE_MAPPING, event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return close_container(reader);
	case YAML_STREAM_END_EVENT:
		reader->is_done = true;
		return 0;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return 0;
}

static int read_events(struct reader *reader)
{
	while (!reader->is_done && !reader->errors->truncated) {
		yaml_event_t event;
		int rc;

		if (!yaml_parser_parse(&reader->parser, &event))
			return syntax_error(reader);
		rc = take_event(reader, &event);
		yaml_event_delete(&event);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int yaml_parse(struct arena *arena, const char *file, const char *text, size_t len,
	struct conf_errors *errors, struct node **ret_root)
{
	size_t mark = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	struct reader reader = {
		.arena = arena, .file = file, .text = text + mark, .errors = errors
	};
	int rc = check_bytes(&reader, len - mark);

	if (rc < 0)
		return rc;
	if (!yaml_parser_initialize(&reader.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&reader.parser, (const unsigned char *)reader.text, len - mark);
	rc = read_events(&reader);
	yaml_parser_delete(&reader.parser);
	free(reader.sorted);
	if (rc < 0)
		return rc;
	*ret_root = reader.root;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The key table of a dialect and the mapping of several. Parsed at load from profiles and
 * configuration; the canary picks one.
 */
#include "modelhealth/core/dialect.h"

#include "modelhealth/core/confcustom.h"
#include "modelhealth/core/confvalue.h"
#include "modelhealth/text/json.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	MAX_DIALECTS = 32
};

static const char *const framing_choices[] = { "sse", "ndjson", "json", "any", NULL };

/* CONF_STRING_LIST writes a struct conf_strings. */
static_assert(sizeof(struct pointers) == sizeof(struct conf_strings) &&
		      offsetof(struct pointers, items) == offsetof(struct conf_strings, items) &&
		      offsetof(struct pointers, n) == offsetof(struct conf_strings, n),
	"a list of pointers is a list of texts");

static const struct conf_key end_keys[] = {
	{ .name = "equals",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, end_value),
		.example = "message_stop",
		.help = "The value that pointer has in the event that ends the stream." },
	{ .name = "pointer",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, end_pointer),
		.example = "/type",
		.help = "JSON pointer into each event." },
	CONF_END,
};

static const struct conf_key dialect_keys[] = {
	{ .name = "bad_finish",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, bad_finish),
		.example = "[ timeout ]",
		.help = "Finish reasons that mean failure, in upper or lower case; error and abort "
			"always do." },
	{ .name = "body",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, body),
		.example =
			"'{\"model\":\"${model}\",\"prompt\":\"${prompt}\",\"max_tokens\":${max_tokens}}'",
		.help = "What is sent. ${model} and ${prompt} are escaped for a JSON string; other "
			"variables are filled in as they are. Without a body, metadata makes one." },
	{ .name = "completion_tokens",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, completion_tokens),
		.example = "/usage/completion_tokens",
		.help = "JSON pointer to the server's own count of tokens in the answer." },
	{ .name = "cumulative",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, is_cumulative),
		.help = "Whether the text of each event repeats all before it." },
	{ .name = "embedding",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, embedding),
		.example = "/data/0/embedding",
		.help = "JSON pointer to the list of numbers, when the answer is an embedding." },
	{ .name = "end",
		.type = CONF_SECTION,
		.section = end_keys,
		.effect = EFFECT_RESTART,
		.offset = 0,
		.help = "The event that ends the stream." },
	{ .name = "error",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, error),
		.example = "[ /error ]",
		.help = "JSON pointers; an event where one of them is not null, false or empty is an "
			"error. So is any whose type or object is \"error\"." },
	{ .name = "finish",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, finish),
		.example = "[ /choices/0/finish_reason ]",
		.help = "JSON pointers to the finish reason: a value that is not null, false or empty. "
			"An answer without one is truncated. A stream whose API has none must hold at "
			"least one token." },
	{ .name = "framing",
		.type = CONF_ENUM,
		.fallback = "json",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, framing),
		.choices = framing_choices,
		.help = "How the answer comes: Server-Sent Events, one JSON document a line, one JSON "
			"document, or any body, which then is the text." },
	{ .name = "max_tokens",
		.type = CONF_U16,
		.min = "1",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, max_tokens),
		.example = "16",
		.help = "Value of ${max_tokens} when the check sets none." },
	{ .name = "method",
		.type = CONF_STRING,
		.fallback = "POST",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, method),
		.help = "Request method." },
	{ .name = "model",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, model),
		.example = "/model",
		.help = "JSON pointer to the name of the model that answered." },
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, path),
		.example = "/v1/completions",
		.help = "Path to ask, joined to that of url. May hold ${model} and variables." },
	{ .name = "prompt_tokens",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, prompt_tokens),
		.example = "/usage/prompt_tokens",
		.help = "JSON pointer to the server's own count of tokens in the prompt." },
	{ .name = "reasoning",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, reasoning),
		.example = "[ /choices/0/delta/reasoning_content ]",
		.help = "As text, for text that counts as tokens but is not part of the answer." },
	{ .name = "require",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, require),
		.example = "[ /outputs/0/name ]",
		.help = "JSON pointers that must exist in some event of the answer." },
	{ .name = "sentinel",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, sentinel),
		.example = "\"[DONE]\"",
		.help = "Data of the event that ends the stream." },
	{ .name = "stream_errors",
		.type = CONF_CUSTOM,
		.custom = &rules_custom,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, stream_errors),
		.example = "[ { status: [ 429, 503 ], reason: overloaded } ]",
		.help = "Rules that give the reason of an error inside the stream; status is its "
			"numeric code. When none holds, 429, 503 and 529 are overloaded and all else "
			"is stream_error." },
	{ .name = "text",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct dialect, text),
		.example = "[ /choices/0/text ]",
		.help = "JSON pointers to the text of an event; the first that gives a text that is "
			"not empty counts." },
	CONF_END,
};

/* ---- parsing ---- */

/* Keys whose values are pointers. */
static const char *const pointer_keys[] = { "completion_tokens", "embedding", "error", "finish",
	"model", "prompt_tokens", "reasoning", "require", "text" };

static int check_pointer(struct conf_scope *scope, const struct node *node)
{
	if (!node || node->type != NODE_SCALAR || node->is_bad || json_pointer_is_valid(node->text))
		return 0;
	return conf_error(scope, node,
		"expected a JSON pointer (RFC 6901), which begins with /, got %s",
		conf_got(scope, node));
}

static int check_pointers(struct conf_scope *scope, const struct node *mapping)
{
	int rc = check_pointer(scope, node_get(node_get(mapping, "end"), "pointer"));

	for (size_t i = 0; i < array_size(pointer_keys); i++) {
		const struct node *node = node_get(mapping, pointer_keys[i]);
		const struct node *item = node ? node->first_child : NULL;

		if (check_pointer(scope, node) < 0)
			rc = -EINVAL;
		for (; item; item = item->next) {
			if (check_pointer(scope, item) < 0)
				rc = -EINVAL;
		}
		if (node && node->n_children > DIALECT_MAX_POINTERS)
			rc = conf_error(
				scope, node, "expected at most %d pointers", DIALECT_MAX_POINTERS);
	}
	return rc;
}

static int check_dialect(
	struct conf_scope *scope, const struct node *mapping, const struct dialect *dialect)
{
	if (!dialect->path)
		return conf_error(scope, mapping, "path is missing: expected what to ask");
	if (!dialect->end_pointer != !dialect->end_value)
		return conf_error(
			scope, node_get(mapping, "end"), "pointer and equals need each other");
	if (dialect->text.n == 0 && !dialect->embedding && dialect->require.n == 0 &&
		dialect->framing != FRAMING_ANY)
		return conf_error(
			scope, mapping, "nothing shows an answer: set text, embedding or require");
	return check_pointers(scope, mapping);
}

static int parse_dialect(
	struct conf_scope *scope, const struct node *mapping, struct dialect *dialect)
{
	int rc = conf_parse_section(scope, dialect_keys, mapping, dialect);

	if (rc < 0)
		return rc;
	dialect->name = arena_strdup(conf_arena(scope), mapping->key);
	dialect->source = conf_source(scope, mapping);
	return dialect->name && dialect->source ? check_dialect(scope, mapping, dialect) : -ENOMEM;
}

static int parse_dialects(struct conf_scope *scope, const struct node *node, void *field)
{
	struct dialects *dialects = field;
	const struct node *member = node->first_child;
	struct dialect *items;
	int rc = 0;

	if (node->type != NODE_MAPPING || node->n_children > MAX_DIALECTS)
		return conf_error(scope, node,
			"expected a mapping of at most %d modes like chat: { path: … }, got %s",
			MAX_DIALECTS, conf_got(scope, node));
	items = arena_calloc(conf_arena(scope), node->n_children + 1, sizeof *items);
	if (!items)
		return -ENOMEM;
	dialects->items = items;
	dialects->n = node->n_children;
	for (size_t i = 0; member && rc != -ENOMEM; i++, member = member->next) {
		int r = parse_dialect(scope, member, &items[i]);

		rc = r < 0 ? r : rc;
	}
	if (rc < 0)
		dialects->n = 0; /* they are not all whole */
	return rc;
}

static void print_dialects(struct sbuf *out, const void *field)
{
	const struct dialects *dialects = field;

	for (size_t i = 0; i < dialects->n; i++) {
		sbuf_puts(out, i == 0 ? "{ " : ", ");
		conf_print_string(dialects->items[i].name, out);
		sbuf_printf(out, ": %s", dialects->items[i].source);
	}
	if (dialects->n > 0)
		sbuf_puts(out, " }");
}

static int inherit_dialects(struct conf_scope *scope, void *inner, const void *outer)
{
	struct dialects *dialects = inner;
	const struct dialects *more = outer;
	struct dialect *items =
		arena_calloc(conf_arena(scope), dialects->n + more->n + 1, sizeof *items);
	size_t n = dialects->n;

	if (!items)
		return -ENOMEM;
	if (n > 0)
		memcpy(items, dialects->items, n * sizeof *items);
	for (size_t i = 0; i < more->n; i++) {
		if (!dialects_find(dialects, more->items[i].name))
			items[n++] = more->items[i];
	}
	dialects->items = items;
	dialects->n = n;
	return 0;
}

const struct conf_custom dialects_custom = {
	.parse = parse_dialects,
	.print = print_dialects,
	.schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\"}}",
	.shared_size = sizeof(struct dialects),
	.inherit = inherit_dialects,
};

bool dialect_is_stream(const struct dialect *dialect)
{
	return dialect->framing == FRAMING_SSE || dialect->framing == FRAMING_NDJSON;
}

const struct dialect *dialects_find(const struct dialects *dialects, const char *name)
{
	for (size_t i = 0; i < dialects->n; i++) {
		if (strcmp(dialects->items[i].name, name) == 0)
			return &dialects->items[i];
	}
	return NULL;
}

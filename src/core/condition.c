/* SPDX-License-Identifier: MIT */
/*
 * Conditions on single values: parsing and evaluating. Pure. Used by core/expect.c and
 * core/rules.c.
 */
#include "modelhealth/core/condition.h"

#include "modelhealth/core/confcustom.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_IN = 64
};

/* ---- parsing ---- */

static int parse_wanted(struct conf_scope *scope, const struct node *node, struct wanted *wanted)
{
	wanted->is_quoted = node->is_quoted;
	return conf_parse_text(scope, node, &wanted->text);
}

static int parse_equals(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return parse_wanted(scope, node, &condition->equals);
}

static int parse_not_equals(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return parse_wanted(scope, node, &condition->not_equals);
}

static int parse_contains(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return conf_parse_text(scope, node, &condition->contains);
}

static int parse_matches(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return conf_parse_regex(scope, node, &condition->matches);
}

static int parse_not_matches(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return conf_parse_regex(scope, node, &condition->not_matches);
}

static int parse_bound(
	struct conf_scope *scope, const struct node *node, bool *ret_has, double *ret_bound)
{
	*ret_has = node->type == NODE_SCALAR && conf_read_number(node->text, ret_bound);
	return *ret_has ? 0
			: conf_error(
				  scope, node, "expected a number, got %s", conf_got(scope, node));
}

static int parse_min(struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return parse_bound(scope, node, &condition->has_min, &condition->min);
}

static int parse_max(struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return parse_bound(scope, node, &condition->has_max, &condition->max);
}

static int parse_exists(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	if (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0)
		return conf_error(
			scope, node, "expected true or false, got %s", conf_got(scope, node));
	condition->existence = node->text[0] == 't' ? EXISTENCE_WANTED : EXISTENCE_UNWANTED;
	return 0;
}

static int parse_in(struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	const struct node *item = node->first_child;
	struct wanted *in;
	int rc = 0;

	if (node->type != NODE_SEQUENCE || node->n_children == 0 || node->n_children > MAX_IN)
		return conf_error(scope, node, "expected a list of 1 to %d values", MAX_IN);
	in = arena_calloc(conf_arena(scope), node->n_children, sizeof *in);
	if (!in)
		return -ENOMEM;
	for (size_t i = 0; item && rc == 0; i++, item = item->next)
		rc = parse_wanted(scope, item, &in[i]);
	condition->in = in;
	condition->n_in = node->n_children;
	return rc;
}

static int parse_severity(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return conf_parse_severity(scope, node, &condition->severity);
}

static const struct {
	const char *name;
	int (*parse)(
		struct conf_scope *scope, const struct node *node, struct condition *condition);
} parts[] = {
	{ "contains", parse_contains },
	{ "equals", parse_equals },
	{ "exists", parse_exists },
	{ "in", parse_in },
	{ "matches", parse_matches },
	{ "max", parse_max },
	{ "min", parse_min },
	{ "not_equals", parse_not_equals },
	{ "not_matches", parse_not_matches },
	{ "severity", parse_severity },
};

int condition_parse(struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	const char *names[array_size(parts) + 1] = { NULL };
	int rc;

	condition->severity = VERDICT_DOWN;
	condition->source = conf_source(scope, node);
	if (!condition->source)
		return -ENOMEM;
	if (node->type == NODE_SCALAR)
		return parse_equals(scope, node, condition);
	if (node->type != NODE_MAPPING || node->n_children == 0)
		return conf_error(scope, node,
			"expected a value or a mapping like { matches: \"^v1\" }, got %s",
			conf_got(scope, node));
	for (size_t i = 0; i < array_size(parts); i++)
		names[i] = parts[i].name;
	rc = conf_check_members(scope, node, names);
	for (size_t i = 0; i < array_size(parts) && rc == 0; i++) {
		const struct node *member = node_get(node, parts[i].name);

		if (member)
			rc = parts[i].parse(scope, member, condition);
	}
	return rc;
}

void condition_dispose(const struct condition *condition)
{
	regex_free(condition->matches);
	regex_free(condition->not_matches);
}

/* ---- evaluating ---- */

static bool text_equals(const struct observed *observed, const char *text)
{
	return observed->len == strlen(text) && memcmp(observed->text, text, observed->len) == 0;
}

static bool observed_number(const struct observed *observed, double *ret_number)
{
	char text[64];

	if (observed->len >= sizeof text)
		return false;
	memcpy(text, observed->text, observed->len);
	text[observed->len] = '\0';
	return conf_read_number(text, ret_number);
}

/* A quoted value equals strings only; a plain one also numbers of the same value, and true, false
 * and null. */
static bool equals(const struct observed *observed, const struct wanted *wanted)
{
	double a, b;

	if (observed->kind != JSON_STRING && wanted->is_quoted)
		return false;
	if (observed->kind == JSON_NUMBER)
		return conf_read_number(wanted->text, &a) && observed_number(observed, &b) &&
		       !(a < b) && !(a > b);
	if (observed->kind == JSON_NULL && strcmp(wanted->text, "~") == 0)
		return true;
	return text_equals(observed, wanted->text);
}

static bool is_in(const struct observed *observed, const struct condition *condition)
{
	for (size_t i = 0; i < condition->n_in; i++) {
		if (equals(observed, &condition->in[i]))
			return true;
	}
	return false;
}

static bool is_in_bounds(const struct observed *observed, const struct condition *condition)
{
	double number;

	if (!condition->has_min && !condition->has_max)
		return true;
	return observed_number(observed, &number) &&
	       !(condition->has_min && number < condition->min) &&
	       !(condition->has_max && number > condition->max);
}

/* Whether a value that exists satisfies all parts. */
static bool holds(const struct condition *condition, const struct observed *observed)
{
	const struct condition *c = condition;

	if (c->equals.text && !equals(observed, &c->equals))
		return false;
	if (c->not_equals.text && equals(observed, &c->not_equals))
		return false;
	if (c->n_in > 0 && !is_in(observed, c))
		return false;
	if (c->contains && !memmem(observed->text, observed->len, c->contains, strlen(c->contains)))
		return false;
	if (c->matches && regex_match(c->matches, observed->text, observed->len) != REGEX_MATCH)
		return false;
	/* a search that hits its limit has not shown that the pattern is absent */
	if (c->not_matches &&
		regex_match(c->not_matches, observed->text, observed->len) != REGEX_NO_MATCH)
		return false;
	return is_in_bounds(observed, c);
}

struct observed condition_observe(const struct json *value)
{
	struct observed seen = { .kind = json_kind(value) };

	seen.text = seen.kind == JSON_STRING ? json_string(value, &seen.len) : json_text(value);
	if (seen.text && seen.kind != JSON_STRING)
		seen.len = strlen(seen.text);
	return seen;
}

bool condition_holds_of_header(
	const struct condition *condition, header_fn header, void *ctx, const char *name)
{
	bool is_unwanted = condition->existence == EXISTENCE_UNWANTED;
	struct observed got = { .kind = JSON_STRING };
	size_t i = 0;

	for (; header && (got.text = header(ctx, name, i)); i++) {
		got.len = strlen(got.text);
		if (!is_unwanted && holds(condition, &got))
			return true;
	}
	return is_unwanted && i == 0;
}

struct search {
	const struct condition *condition;
	enum condition_scope scope;
	bool holds;
};

static bool on_value(void *ctx, const struct json *value)
{
	struct search *search = ctx;
	struct observed seen = condition_observe(value);

	search->holds = seen.text && holds(search->condition, &seen);
	return search->holds == (search->scope == CONDITION_EVERY);
}

bool condition_holds_at(const struct condition *condition, const struct json *json,
	const char *pointer, enum condition_scope scope)
{
	struct search search = { .condition = condition, .scope = scope };
	size_t n = json_find(json, pointer, on_value, &search);

	return condition->existence == EXISTENCE_UNWANTED ? n == 0 : search.holds;
}

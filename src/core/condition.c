/* SPDX-License-Identifier: MIT */
/*
 * Conditions on single values: parsing and evaluating. Pure. Used by core/expect.c.
 */
#include "modelhealth/core/condition.h"

#include "modelhealth/core/conflist.h"
#include "modelhealth/core/confvalue.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_IN = 64
};

/* ---- parsing ---- */

enum openness {
	SHOW_ALL,
	HIDE_CREDENTIALS,
};

/* auth_header and auth_scheme say where a key goes, not what it is. */
static bool is_credential(const struct node *node)
{
	return node->key && conf_is_secret_name(node->key) && strncmp(node->key, "auth_", 5) != 0;
}

static void write_node(const struct node *node, enum openness openness, struct sbuf *out)
{
	const struct node *child = node->first_child;

	if (openness == HIDE_CREDENTIALS && node->type == NODE_SCALAR && is_credential(node)) {
		conf_print_string(SECRET_MASK, out);
		return;
	}
	if (openness == HIDE_CREDENTIALS && node->key && strcmp(node->key, "url") == 0) {
		conf_redact_url(node->shown, out);
		return;
	}
	if (node->type == NODE_SCALAR) {
		if (node->is_quoted || node->is_secret)
			conf_print_string(node->shown, out);
		else
			sbuf_puts(out, node->shown);
		return;
	}
	sbuf_puts(out, node->type == NODE_MAPPING ? "{" : "[");
	for (; child; child = child->next) {
		sbuf_puts(out, child == node->first_child ? " " : ", ");
		if (node->type == NODE_MAPPING) {
			conf_print_string(child->key, out);
			sbuf_puts(out, ": ");
		}
		write_node(child, openness, out); /* no deeper than the parser's limit */
	}
	sbuf_puts(out, node->type == NODE_MAPPING ? " }" : " ]");
}

const char *source_of(struct conf_scope *scope, const struct node *node)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	write_node(node, SHOW_ALL, &out);
	return out.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&out));
}

const char *conf_shown_source(struct conf_scope *scope, const struct node *node)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	write_node(node, HIDE_CREDENTIALS, &out);
	return out.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&out));
}

int severity_parse(struct conf_scope *scope, const struct node *node, enum verdict *ret_severity)
{
	*ret_severity = VERDICT_DOWN;
	if (!node || strcmp(node->text, "down") == 0)
		return 0;
	if (strcmp(node->text, "degraded") != 0)
		return conf_error(
			scope, node, "expected degraded or down, got %s", conf_got(scope, node));
	*ret_severity = VERDICT_DEGRADED;
	return 0;
}

int regex_parse(struct conf_scope *scope, const struct node *node, struct regex **ret_regex)
{
	char error[128];
	size_t offset;
	int r = conf_refuse_pattern(scope, node);

	if (node->type != NODE_SCALAR)
		return conf_error(scope, node, "expected a regular expression, got %s",
			conf_got(scope, node));
	if (r < 0)
		return r;
	r = regex_compile(node->text, ret_regex, error, sizeof error, &offset);
	if (r == 0 || r == -ENOMEM)
		return r;
	return conf_error(
		scope, node, "bad regular expression at character %zu: %s", offset + 1, error);
}

int members_check(struct conf_scope *scope, const struct node *mapping, const char *const *names)
{
	size_t n = 0;
	int rc = 0;

	while (names[n])
		n++;
	for (const struct node *member = mapping->first_child; member; member = member->next) {
		size_t i = 0;
		const char *near;

		while (i < n && strcmp(names[i], member->key) != 0)
			i++;
		if (i < n)
			continue;
		near = conf_did_you_mean(names, n, member->key);
		rc = near ? conf_error(scope, member, "unknown key (did you mean %s?)", near)
			  : conf_error(scope, member, "unknown key");
	}
	return rc;
}

int text_parse(struct conf_scope *scope, const struct node *node, const char **ret_text)
{
	if (node->type != NODE_SCALAR)
		return conf_error(scope, node, "expected a text, got %s", conf_got(scope, node));
	if (conf_refuse_pattern(scope, node) < 0)
		return -EINVAL;
	*ret_text = arena_strdup(conf_arena(scope), node->text);
	return *ret_text ? 0 : -ENOMEM;
}

static int parse_wanted(struct conf_scope *scope, const struct node *node, struct wanted *wanted)
{
	wanted->is_quoted = node->is_quoted;
	return text_parse(scope, node, &wanted->text);
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
	return text_parse(scope, node, &condition->contains);
}

static int parse_matches(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return regex_parse(scope, node, &condition->matches);
}

static int parse_not_matches(
	struct conf_scope *scope, const struct node *node, struct condition *condition)
{
	return regex_parse(scope, node, &condition->not_matches);
}

/* A finite decimal number and nothing else. */
static bool parse_number(const char *text, double *ret_number)
{
	char *end;

	if (strspn(text, "+-.0123456789eE") != strlen(text) || text[0] == '\0')
		return false;
	*ret_number = strtod(text, &end);
	return *end == '\0' && isfinite(*ret_number);
}

static int parse_bound(
	struct conf_scope *scope, const struct node *node, bool *ret_has, double *ret_bound)
{
	*ret_has = node->type == NODE_SCALAR && parse_number(node->text, ret_bound);
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
	return severity_parse(scope, node, &condition->severity);
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
	condition->source = source_of(scope, node);
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
	rc = members_check(scope, node, names);
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
	return parse_number(text, ret_number);
}

/* A quoted value equals strings only; a plain one also numbers of the same value, and true, false
 * and null. */
static bool equals(const struct observed *observed, const struct wanted *wanted)
{
	double a, b;

	if (observed->kind != JSON_STRING && wanted->is_quoted)
		return false;
	if (observed->kind == JSON_NUMBER)
		return parse_number(wanted->text, &a) && observed_number(observed, &b) &&
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

bool condition_holds(const struct condition *condition, const struct observed *observed)
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

struct search {
	const struct condition *condition;
	enum condition_scope scope;
	bool holds;
};

static bool on_value(void *ctx, const struct json *value)
{
	struct search *search = ctx;
	struct observed seen = condition_observe(value);

	search->holds = seen.text && condition_holds(search->condition, &seen);
	return search->holds == (search->scope == CONDITION_EVERY);
}

bool condition_holds_at(const struct condition *condition, const struct json *json,
	const char *pointer, enum condition_scope scope)
{
	struct search search = { .condition = condition, .scope = scope };
	size_t n = json_find(json, pointer, on_value, &search);

	return condition->existence == EXISTENCE_UNWANTED ? n == 0 : search.holds;
}

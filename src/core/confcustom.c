/* SPDX-License-Identifier: MIT */
/*
 * What the parsers and printers of CONF_CUSTOM rows share. Called by those of core and of the kinds
 * of checks, at load and when a configuration is dumped.
 */
#include "modelhealth/core/confcustom.h"

#include "modelhealth/core/conflist.h"
#include "modelhealth/core/confvalue.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what was written ---- */

enum openness {
	SHOW_ALL,
	HIDE_CREDENTIALS,
};

/* auth_header and auth_scheme say where a key goes, not what it is. */
static bool is_credential(const struct node *node)
{
	return node->key && conf_is_secret_name(node->key) && strncmp(node->key, "auth_", 5) != 0;
}

/* Whether a text that stood without quotes can do so between braces too, where a comma ends it. */
static bool is_bare_in_flow(const char *text)
{
	size_t len = strlen(text);
	bool is_marked = strchr("-?:", text[0]) && !isalnum((unsigned char)text[len > 0]);

	return len > 0 && !is_marked && !strchr(" #&*!|>'\"%@`", text[0]) &&
	       !strpbrk(text, ",[]{}\n\t") && !strstr(text, ": ") && !strstr(text, " #") &&
	       !strchr(": ", text[len - 1]);
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
		if (node->is_quoted || node->is_secret ||
			(!node_is_null(node) && !is_bare_in_flow(node->shown)))
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

const char *conf_source(struct conf_scope *scope, const struct node *node)
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

void conf_print_source(struct sbuf *out, const void *field)
{
	const char *const *source = field;

	conf_print_escaped(*source ? *source : "", out);
}

/* ---- values ---- */

int conf_parse_severity(
	struct conf_scope *scope, const struct node *node, enum verdict *ret_severity)
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

int conf_parse_regex(struct conf_scope *scope, const struct node *node, struct regex **ret_regex)
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

int conf_check_members(
	struct conf_scope *scope, const struct node *mapping, const char *const *names)
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

int conf_parse_text(struct conf_scope *scope, const struct node *node, const char **ret_text)
{
	if (node->type != NODE_SCALAR)
		return conf_error(scope, node, "expected a text, got %s", conf_got(scope, node));
	if (conf_refuse_pattern(scope, node) < 0)
		return -EINVAL;
	*ret_text = arena_strdup(conf_arena(scope), node->text);
	return *ret_text ? 0 : -ENOMEM;
}

bool conf_read_number(const char *text, double *ret_number)
{
	char *end;

	/* strtod alone would also take nan, 0x10 and blanks */
	if (strspn(text, "+-.0123456789eE") != strlen(text) || text[0] == '\0')
		return false;
	*ret_number = strtod(text, &end);
	return *end == '\0' && isfinite(*ret_number);
}

/* SPDX-License-Identifier: MIT */
/*
 * The effective configuration as YAML: what every key has become for every check, so that nobody
 * has to lay defaults, groups and endpoints over each other by hand. Secrets print as ***. It loads
 * again, but for those. `modelhealthd --dump-config` calls it.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/confvalue.h"

#include <stdlib.h>
#include <string.h>

static const void *field_of(const struct conf_key *key, const void *base)
{
	return (const char *)base + key->offset;
}

static bool has_values(const struct conf_key *table, const void *base)
{
	for (; table->name; table++) {
		if (conf_value_is_set(table, field_of(table, base)))
			return true;
		/* Recursion over our tables, which are a few levels deep. */
		if (table->type == CONF_SECTION &&
			has_values(table->section, field_of(table, base)))
			return true;
	}
	return false;
}

static void dump_table(const struct config *config, const struct conf_key *table, const void *base,
	unsigned indent, struct sbuf *out)
{
	for (const struct conf_key *key = table; key->name; key++) {
		const void *field = field_of(key, base);

		if (conf_value_is_set(key, field)) {
			sbuf_printf(out, "%*s%s: ", (int)indent, "", key->name);
			conf_value_type(key)->print(config, key, field, out);
			sbuf_putc(out, '\n');
		} else if (key->type == CONF_SECTION && has_values(key->section, field)) {
			sbuf_printf(out, "%*s%s:\n", (int)indent, "", key->name);
			dump_table(config, key->section, field, indent + 2, out);
		}
	}
}

static int compare_text(const void *left, const void *right)
{
	const char *const *a = left;
	const char *const *b = right;

	return strcmp(*a, *b);
}

/* Groups have become part of their endpoints; only their names are left. */
static void dump_groups(const struct config *config, struct sbuf *out)
{
	_cleanup_(freep) const char **groups = calloc(config->n_endpoints + 1, sizeof *groups);
	size_t n = 0;

	if (!groups) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < config->n_endpoints; i++) {
		if (config->endpoints[i].group)
			groups[n++] = config->endpoints[i].group;
	}
	qsort(groups, n, sizeof *groups, compare_text);
	sbuf_puts(out, n == 0 ? "" : "groups:\n");
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || strcmp(groups[i], groups[i - 1]) != 0)
			sbuf_printf(out, "  %s: {}\n", groups[i]);
	}
}

static void dump_check(
	const struct config *config, const struct check_spec *check, struct sbuf *out)
{
	sbuf_printf(out, "      %s:\n        kind: %s\n", check->name, check->kind->name);
	/* A profile may switch it off. */
	sbuf_puts(out, check->endpoint->is_profile ? "        enabled: true\n" : "");
	dump_table(config, conf_check_keys, check, 8, out);
	dump_table(config, conf_pace_keys, check, 8, out);
	dump_table(config, check->kind->keys, check->params, 8, out);
}

static void dump_endpoint(
	const struct config *config, const struct endpoint_spec *endpoint, struct sbuf *out)
{
	size_t start = out->len;

	dump_table(config, conf_endpoint_keys, endpoint, 4, out);
	dump_table(config, conf_shared_keys, endpoint, 4, out);
	if (!out->failed)
		out->data[start + 2] = '-'; /* the item's dash, in the indent of its first line */
	sbuf_puts(out, "    checks:\n");
	for (size_t i = 0; i < endpoint->n_checks; i++)
		dump_check(config, &endpoint->checks[i], out);
	for (size_t i = 0; i < endpoint->n_disabled; i++)
		sbuf_printf(out, "      %s: { enabled: false }\n", endpoint->disabled[i]);
}

void conf_dump(const struct config *config, struct sbuf *out)
{
	dump_table(config, conf_top_keys, config, 0, out);
	dump_groups(config, out);
	sbuf_puts(out, config->n_endpoints == 0 ? "endpoints: []\n" : "endpoints:\n");
	for (size_t i = 0; i < config->n_endpoints; i++)
		dump_endpoint(config, &config->endpoints[i], out);
}

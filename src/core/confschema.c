/* SPDX-License-Identifier: MIT */
/*
 * The key tables as JSON Schema 2020-12, with which editors complete and check while one types.
 * Run when the documents are refreshed. It is looser than the loader, which has the last word.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/confvalue.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/text/write.h"

#include <string.h>

/* What stands where a value would: ${env:X}. */
#define REFERENCE "{\"type\":\"string\",\"pattern\":\"[$][{]\"}"

static void put_bound(struct jw *jw, const char *name, const char *bound)
{
	uint64_t value;

	if (!bound)
		return;
	must(u64_parse(bound, &value) == 0);
	jw_key(jw, name);
	jw_u64(jw, value);
}

static void put_number(struct jw *jw, const struct conf_key *key)
{
	jw_key(jw, "anyOf");
	jw_array(jw);
	jw_object(jw);
	jw_key(jw, "type");
	jw_string(jw, "integer");
	put_bound(jw, "minimum", key->min ? key->min : "0");
	put_bound(jw, "maximum", key->max);
	jw_object_end(jw);
	jw_raw(jw, REFERENCE);
	jw_array_end(jw);
}

static void put_choices(struct jw *jw, const struct conf_key *key, conf_kinds kinds)
{
	jw_key(jw, "enum");
	jw_array(jw);
	if (key->type == CONF_KIND) {
		for (; *kinds; kinds++)
			jw_string(jw, (*kinds)->name);
	} else {
		for (size_t i = 0; key->choices[i]; i++)
			jw_string(jw, key->choices[i]);
	}
	jw_array_end(jw);
}

/* The members of a fragment "{…}", inside the object that is open. */
static void put_fragment(struct jw *jw, const char *fragment)
{
	sbuf_putc(jw->out, ',');
	sbuf_add(jw->out, fragment + 1, strlen(fragment) - 2);
	jw->needs_comma = true;
}

/* The operator's own profiles are types too, so any text may be right. */
static void put_types(struct jw *jw, conf_kinds kinds)
{
	jw_key(jw, "anyOf");
	jw_array(jw);
	jw_object(jw);
	jw_key(jw, "enum");
	jw_array(jw);
	for (; *kinds; kinds++)
		jw_string(jw, (*kinds)->name);
	for (const struct profile_text *profile = profile_texts; profile->name; profile++)
		jw_string(jw, profile->name);
	jw_array_end(jw);
	jw_object_end(jw);
	jw_raw(jw, "{\"type\":\"string\"}");
	jw_array_end(jw);
}

static void put_table(struct jw *jw, const struct conf_key *table, conf_kinds kinds);

static void put_section(struct jw *jw, const struct conf_key *table, conf_kinds kinds)
{
	put_fragment(jw, "{\"type\":[\"object\",\"null\"],\"additionalProperties\":false}");
	jw_key(jw, "properties");
	jw_object(jw);
	put_table(jw, table, kinds);
	jw_object_end(jw);
}

static void put_items(struct jw *jw, const struct conf_key *table, conf_kinds kinds)
{
	jw_key(jw, "items");
	jw_object(jw);
	jw_key(jw, "description");
	jw_string(jw, "One member of the list.");
	put_section(jw, table, kinds);
	jw_object_end(jw);
}

static void put_value(struct jw *jw, const struct conf_key *key, conf_kinds kinds)
{
	const char *fragment =
		key->type == CONF_CUSTOM ? key->custom->schema : conf_value_type(key)->schema;

	jw_object(jw);
	jw_key(jw, "description");
	jw_string(jw, key->help);
	if (key->type == CONF_SECTION)
		put_section(jw, key->section, kinds); /* recursion over our tables */
	else if (key->type == CONF_KIND || key->type == CONF_ENUM)
		put_choices(jw, key, kinds);
	else if (key->type == CONF_SERVER_TYPE)
		put_types(jw, kinds);
	else if (key->type == CONF_U16 || key->type == CONF_UINT)
		put_number(jw, key);
	else if (fragment)
		put_fragment(jw, fragment);
	if (key->type == CONF_CUSTOM && key->custom->items)
		put_items(jw, key->custom->items, kinds);
	jw_object_end(jw);
}

static void put_table(struct jw *jw, const struct conf_key *table, conf_kinds kinds)
{
	for (; table->name; table++) {
		if (table->type == CONF_BLOCK)
			continue;
		jw_key(jw, table->name);
		put_value(jw, table, kinds);
	}
}

static const struct conf_key *find_key(const struct conf_key *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	return table->name ? table : NULL;
}

/* The help of a row that is there. */
static const char *help_of(const struct conf_key *table, const char *name)
{
	const struct conf_key *key = find_key(table, name);

	must(key);
	return key->help;
}

/* The keys of all kinds; where several kinds share a name, any of them may be meant. */
static void put_kind_keys(struct jw *jw, conf_kinds kinds)
{
	for (conf_kinds kind = kinds; *kind; kind++) {
		for (const struct conf_key *key = (*kind)->keys; key->name; key++) {
			bool is_first = true;

			for (conf_kinds other = kinds; other < kind; other++)
				is_first = is_first && !find_key((*other)->keys, key->name);
			if (!is_first)
				continue;
			jw_key(jw, key->name);
			jw_object(jw);
			jw_key(jw, "anyOf");
			jw_array(jw);
			for (conf_kinds other = kind; *other; other++) {
				const struct conf_key *same = find_key((*other)->keys, key->name);

				if (same)
					put_value(jw, same, kinds);
			}
			jw_array_end(jw);
			jw_object_end(jw);
		}
	}
}

static void put_reference(struct jw *jw, const char *name, const char *help, const char *schema)
{
	jw_key(jw, name);
	jw_object(jw);
	jw_key(jw, "description");
	jw_string(jw, help);
	put_fragment(jw, schema);
	jw_object_end(jw);
}

/* Opens a definition of a mapping; the caller puts its properties and calls close_object. */
static void open_object(struct jw *jw, const char *name)
{
	jw_key(jw, name);
	jw_object(jw);
	jw_key(jw, "type");
	jw_raw(jw, "[\"object\",\"null\"]");
	jw_key(jw, "additionalProperties");
	jw_bool(jw, false);
	jw_key(jw, "properties");
	jw_object(jw);
}

static void close_object(struct jw *jw)
{
	jw_object_end(jw);
	jw_object_end(jw);
}

/* A key that the loader takes apart itself, as a value of this type. */
static void put_block(struct jw *jw, const char *name, enum conf_type type, conf_kinds kinds)
{
	const struct conf_key key = {
		.name = name,
		.type = type,
		.help = help_of(conf_check_keys, name),
	};

	jw_key(jw, name);
	put_value(jw, &key, kinds);
}

static void put_checks(struct jw *jw)
{
	put_reference(jw, "checks", help_of(conf_level_keys, "checks"),
		"{\"type\":[\"object\",\"null\"],\"additionalProperties\":{\"$ref\":\"#/$defs/"
		"check\"}}");
}

static void put_definitions(struct jw *jw, conf_kinds kinds)
{
	open_object(jw, "check");
	put_block(jw, "kind", CONF_KIND, kinds);
	put_block(jw, "enabled", CONF_BOOL, kinds);
	put_table(jw, conf_check_keys, kinds);
	put_table(jw, conf_pace_keys, kinds);
	put_kind_keys(jw, kinds);
	close_object(jw);
	open_object(jw, "level");
	put_checks(jw);
	put_table(jw, conf_shared_keys, kinds);
	put_table(jw, conf_pace_keys, kinds);
	put_kind_keys(jw, kinds);
	close_object(jw);
	open_object(jw, "endpoint");
	put_table(jw, conf_endpoint_keys, kinds);
	put_checks(jw);
	put_table(jw, conf_shared_keys, kinds);
	put_table(jw, conf_pace_keys, kinds);
	put_kind_keys(jw, kinds);
	close_object(jw);
}

/* The blocks of the top level that the loader takes apart itself. */
static const struct {
	const char *name, *schema;
} blocks[] = {
	{ "include", "{\"type\":[\"array\",\"string\",\"null\"],\"items\":{\"type\":\"string\"}}" },
	{ "defaults", "{\"$ref\":\"#/$defs/level\"}" },
	{ "groups", "{\"type\":[\"object\",\"null\"],\"additionalProperties\":{\"$ref\":\"#/$defs/"
		    "level\"}}" },
	{ "endpoints",
		"{\"type\":[\"array\",\"null\"],\"items\":{\"$ref\":\"#/$defs/endpoint\"}}" },
};

void conf_write_schema(conf_kinds kinds, struct sbuf *out)
{
	struct jw jw = { .out = out };

	jw_object(&jw);
	jw_key(&jw, "$schema");
	jw_string(&jw, "https://json-schema.org/draft/2020-12/schema");
	jw_key(&jw, "title");
	jw_string(&jw, "modelhealthd.yaml");
	jw_key(&jw, "type");
	jw_string(&jw, "object");
	jw_key(&jw, "additionalProperties");
	jw_bool(&jw, false);
	jw_key(&jw, "properties");
	jw_object(&jw);
	put_table(&jw, conf_top_keys, kinds);
	for (size_t i = 0; i < array_size(blocks); i++)
		put_reference(&jw, blocks[i].name, help_of(conf_top_keys, blocks[i].name),
			blocks[i].schema);
	jw_object_end(&jw);
	jw_key(&jw, "$defs");
	jw_object(&jw);
	put_definitions(&jw, kinds);
	jw_object_end(&jw);
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
}

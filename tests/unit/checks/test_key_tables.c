/* SPDX-License-Identifier: MIT */
/*
 * Rules that every row of every key table keeps, so that the parser, the example, the manual and
 * the schema can all rely on it.
 */
#include "modelhealth/core/confkeys.h"

#include "folder.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/confscope.h"
#include "modelhealth/core/confvalue.h"
#include "modelhealth/io/conffile.h"
#include "modelhealth/text/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

enum {
	MAX_DEPTH = 4
};

static const struct conf_key *const own_tables[] = { conf_top_keys, conf_endpoint_keys,
	conf_shared_keys, conf_check_keys, conf_pace_keys };

/* Calls check for each row of each table, sections included. */
static void visit(const struct conf_key *table, unsigned depth,
	void (*check)(const struct conf_key *table, const struct conf_key *key))
{
	assert_in_range(depth, 0, MAX_DEPTH);
	for (const struct conf_key *key = table; key->name; key++) {
		check(table, key);
		if (key->type == CONF_SECTION)
			visit(key->section, depth + 1, check);
	}
}

static void visit_all(void (*check)(const struct conf_key *table, const struct conf_key *key))
{
	for (size_t i = 0; i < array_size(own_tables); i++)
		visit(own_tables[i], 0, check);
	for (conf_kinds kind = check_kinds; *kind; kind++)
		visit((*kind)->keys, 0, check);
}

static void check_name(const struct conf_key *table, const struct conf_key *key)
{
	size_t len = strlen(key->name);

	if (len == 0 || len > 40 ||
		strspn(key->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != len)
		fail_msg("%s is no name of a key", key->name);
	for (const struct conf_key *other = table; other < key; other++)
		assert_string_not_equal(other->name, key->name);
}

static void test_names_are_snake_case_and_unique(void **state)
{
	(void)state;
	visit_all(check_name);
}

static void check_help(_unused_ const struct conf_key *table, const struct conf_key *key)
{
	if (!key->help || strlen(key->help) < 5 || key->help[strlen(key->help) - 1] != '.' ||
		strstr(key->help, "  ") || strpbrk(key->help, "\n\t"))
		fail_msg("%s: the help is one text that ends with a full stop", key->name);
}

static void test_help_is_a_text_of_sentences(void **state)
{
	(void)state;
	visit_all(check_help);
}

static void check_parts(_unused_ const struct conf_key *table, const struct conf_key *key)
{
	struct json *schema = NULL;

	assert_int_equal(key->type == CONF_SECTION, key->section != NULL);
	assert_int_equal(key->type == CONF_ENUM, key->choices != NULL);
	assert_int_equal(key->type == CONF_CUSTOM, key->custom != NULL);
	if (key->is_required && key->fallback)
		fail_msg("%s is required and has a default", key->name);
	if (key->type != CONF_SECTION && key->type != CONF_BLOCK && !key->fallback && !key->example)
		fail_msg("%s has neither a default nor an example", key->name);
	if (!key->custom)
		return;
	assert_non_null(key->custom->parse);
	assert_non_null(key->custom->print);
	assert_int_equal(json_parse(key->custom->schema, strlen(key->custom->schema), &schema), 0);
	assert_int_equal(json_kind(schema), JSON_OBJECT);
	json_free(schema);
}

static void test_rows_have_the_parts_of_their_type(void **state)
{
	(void)state;
	visit_all(check_parts);
}

/* Parses text as the row's value would be; the text as it is, without YAML's quotes. */
static void assert_value(const struct conf_key *key, const char *text)
{
	static struct config config;
	struct conf_errors errors = { 0 };
	struct conf_scope scope = { .config = &config, .errors = &errors, .kinds = check_kinds };
	const struct node node = {
		.type = NODE_SCALAR, .file = "row", .text = text, .shown = text, .is_quoted = true
	};
	uint64_t field[8];

	if (!text || !conf_value_type(key)->is_scalar)
		return;
	if (conf_parse_scalar(&scope, key, &node, field) < 0)
		fail_msg("%s: %s", key->name, errors.items[0].text);
	conf_errors_fini(&errors);
	arena_fini(&config.arena);
}

static void check_values(_unused_ const struct conf_key *table, const struct conf_key *key)
{
	assert_value(key, key->min);
	assert_value(key, key->max);
	assert_value(key, key->fallback);
	assert_value(key, key->example);
}

static void test_bounds_defaults_and_examples_are_values(void **state)
{
	(void)state;
	visit_all(check_values);
}

static void test_kinds_share_no_name_with_the_keys_of_all(void **state)
{
	(void)state;
	for (conf_kinds kind = check_kinds; *kind; kind++) {
		for (const struct conf_key *key = (*kind)->keys; key->name; key++) {
			for (size_t i = 0; i < array_size(own_tables); i++) {
				const struct conf_key *own = own_tables[i];

				for (; own->name; own++)
					assert_string_not_equal(own->name, key->name);
			}
		}
	}
}

static void test_schema_is_json_and_names_every_kind_s_keys(void **state)
{
	struct sbuf text = SBUF_INIT;
	struct json *schema = NULL;

	(void)state;
	conf_write_schema(check_kinds, &text);
	assert_int_equal(json_parse(text.data, text.len, &schema), 0);
	for (conf_kinds kind = check_kinds; *kind; kind++) {
		for (const struct conf_key *key = (*kind)->keys; key->name; key++) {
			static const char *const places[] = { "level", "endpoint", "check" };

			for (size_t i = 0; i < array_size(places); i++) {
				struct sbuf pointer = SBUF_INIT;

				sbuf_printf(
					&pointer, "/$defs/%s/properties/%s", places[i], key->name);
				assert_non_null(json_at(schema, sbuf_str(&pointer)));
				sbuf_fini(&pointer);
			}
		}
	}
	assert_non_null(json_at(schema, "/properties/status/properties/listen/description"));
	json_free(schema);
	sbuf_fini(&text);
}

static void test_manual_has_an_item_a_row(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	conf_write_manual(check_kinds, &text);
	assert_non_null(strstr(text.data, ".It Cm timeout.first_byte : "));
	for (const struct conf_key *key = conf_pace_keys; key->name; key++) {
		struct sbuf item = SBUF_INIT;

		sbuf_printf(&item, "\n.It Cm %s", key->name);
		assert_non_null(strstr(text.data, sbuf_str(&item)));
		sbuf_fini(&item);
	}
	sbuf_fini(&text);
}

static void test_shipped_example_loads(void **state)
{
	struct conf_errors errors = { 0 };
	struct config *config = NULL;
	struct sbuf text = SBUF_INIT;
	struct folder folder;

	(void)state;
	folder_init(&folder);
	conf_write_example(check_kinds, &text);
	if (conffile_load(folder_write(&folder, "x.yaml", sbuf_str(&text), 0644), NULL, check_kinds,
		    &errors, &config) < 0)
		fail_msg("%s", errors.items[0].text);
	assert_int_equal(config->n_listen, 2);
	config_unref(config);
	conf_errors_fini(&errors);
	sbuf_fini(&text);
	folder_fini(&folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_snake_case_and_unique),
		cmocka_unit_test(test_help_is_a_text_of_sentences),
		cmocka_unit_test(test_rows_have_the_parts_of_their_type),
		cmocka_unit_test(test_bounds_defaults_and_examples_are_values),
		cmocka_unit_test(test_kinds_share_no_name_with_the_keys_of_all),
		cmocka_unit_test(test_schema_is_json_and_names_every_kind_s_keys),
		cmocka_unit_test(test_manual_has_an_item_a_row),
		cmocka_unit_test(test_shipped_example_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/confvalue.h"

#include "fake_kind.h"
#include "loaded.h"
#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

union field {
	bool boolean;
	uint16_t u16;
	unsigned uint;
	uint64_t u64;
	struct rate rate;
	const char *text;
};

struct parsed {
	int rc;
	union field field;
	char error[200];
	struct config config;
};

/* Parses text as one value of the row. */
static void parse(struct parsed *parsed, const struct conf_key *key, const char *text)
{
	struct conf_errors errors = { 0 };
	struct conf_scope scope = {
		.config = &parsed->config, .errors = &errors, .kinds = fake_kinds
	};
	const struct node node = {
		.type = NODE_SCALAR, .file = "f", .text = text, .shown = text, .is_quoted = true
	};

	*parsed = (struct parsed){ 0 };
	parsed->rc = conf_value_parse(&scope, key, &node, &parsed->field);
	if (errors.n > 0)
		(void)snprintf(parsed->error, sizeof parsed->error, "%s", errors.items[0].text);
	conf_errors_fini(&errors);
}

static void test_numbers_keep_their_grammar_and_bounds(void **state)
{
	static const struct conf_key boolean = { .name = "b", .type = CONF_BOOL };
	static const struct conf_key u16 = { .name = "s", .type = CONF_U16 };
	static const struct conf_key uint = {
		.name = "u", .type = CONF_UINT, .min = "2", .max = "9"
	};
	static const struct conf_key duration = {
		.name = "d", .type = CONF_DURATION, .min = "1s", .max = "1h"
	};
	static const struct conf_key size = { .name = "z", .type = CONF_SIZE, .min = "1KiB" };

	static const struct {
		const struct conf_key *key;
		const char *text;
		const char *error; /* NULL = taken */
		uint64_t value;
	} cases[] = {
		{ &boolean, "true", NULL, 1 },
		{ &boolean, "false", NULL, 0 },
		{ &boolean, "True", "expected true or false, got \"True\"", 0 },
		{ &boolean, "1", "expected true or false, got \"1\"", 0 },
		{ &u16, "0", NULL, 0 },
		{ &u16, "65535", NULL, 65535 },
		{ &u16, "65536", "expected a whole number, got \"65536\", which is too large", 0 },
		{ &u16, "18446744073709551616",
			"expected a whole number, got \"18446744073709551616\", which is too "
			"large",
			0 },
		{ &u16, "-0", "expected a whole number, got \"-0\"", 0 },
		{ &u16, "1 2", "expected a whole number, got \"1 2\"", 0 },
		{ &uint, "2", NULL, 2 },
		{ &uint, "9", NULL, 9 },
		{ &uint, "1", "expected a whole number from 2 to 9, got \"1\"", 0 },
		{ &uint, "10", "expected a whole number from 2 to 9, got \"10\"", 0 },
		{ &uint, "4294967298", "expected a whole number from 2 to 9, got \"4294967298\"",
			0 },
		{ &duration, "1s", NULL, USEC_PER_SEC },
		{ &duration, "1h", NULL, 3600 * USEC_PER_SEC },
		{ &duration, "999ms", "expected a duration from 1s to 1h, got \"999ms\"", 0 },
		{ &duration, "1h1us", "expected a duration from 1s to 1h, got \"1h1us\"", 0 },
		{ &duration, "30", "expected a duration like 500ms, got \"30\" (did you mean 30s?)",
			0 },
		{ &size, "1KiB", NULL, 1024 },
		{ &size, "1023", "expected a size of at least 1KiB, got \"1023\"", 0 },
		{ &size, "1k", "expected a size like 64KiB, got \"1k\"", 0 },
	};
	struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		parse(&parsed, cases[i].key, cases[i].text);
		assert_string_equal(parsed.error, cases[i].error ? cases[i].error : "");
		if (!cases[i].error)
			assert_int_equal(parsed.field.u64, cases[i].value);
	}
}

static void test_printed_numbers_read_back(void **state)
{
	static const struct conf_key keys[] = { { .name = "u", .type = CONF_UINT },
		{ .name = "d", .type = CONF_DURATION }, { .name = "z", .type = CONF_SIZE },
		{ .name = "s", .type = CONF_U16 }, { .name = "b", .type = CONF_BOOL } };
	struct parsed parsed;
	struct rand rand;

	(void)state;
	rand_seed(&rand, 7);
	for (unsigned i = 0; i < 100000; i++) {
		const struct conf_key *key = &keys[i % array_size(keys)];
		union field field = { .u64 = rand_next(&rand) >> rand_below(&rand, 64) };
		_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

		if (key->type == CONF_BOOL)
			field.u64 &= 1;
		if (key->type == CONF_DURATION)
			field.u64 >>= 1;
		conf_value_type(key)->print(NULL, key, &field, &text);
		parse(&parsed, key, sbuf_str(&text));
		if (parsed.rc < 0)
			fail_msg("%s: %s", sbuf_str(&text), parsed.error);
		assert_int_equal(conf_value_type(key)->hash(key, NULL, &field, 1),
			conf_value_type(key)->hash(key, NULL, &parsed.field, 1));
	}
}

static void test_strings_print_as_yaml_that_reads_back(void **state)
{
	static const struct {
		const char *text, *printed;
	} cases[] = {
		{ "GET", "GET" },
		{ "/run/x.sock", "/run/x.sock" },
		{ "a-b_c.d+e@f", "a-b_c.d+e@f" },
		{ "", "\"\"" },
		{ "5", "\"5\"" },
		{ "1s", "\"1s\"" },
		{ "true", "\"true\"" },
		{ "No", "\"No\"" },
		{ "null", "\"null\"" },
		{ "a b", "\"a b\"" },
		{ "a: b", "\"a: b\"" },
		{ "#x", "\"#x\"" },
		{ "- x", "\"- x\"" },
		{ "a\"b\\", "\"a\\\"b\\\\\"" },
		{ "a\nb", "\"a\\nb\"" },
		{ "***", "\"***\"" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

		conf_print_string(cases[i].text, &text);
		assert_string_equal(sbuf_str(&text), cases[i].printed);
	}
}

static void test_inherited_texts_are_kept_once(void **state)
{
	struct loaded loaded;

	(void)state;
	loaded_init(&loaded);
	(void)tree_set(&loaded.tree, "endpoints[1].name", "b");
	(void)tree_set(&loaded.tree, "endpoints[1].type", "fake");
	(void)tree_set(&loaded.tree, "defaults.url", "http://same/");
	(void)tree_set(&loaded.tree, "endpoints[2].name", "c");
	(void)tree_set(&loaded.tree, "endpoints[2].type", "fake");
	loaded_build(&loaded);
	assert_ptr_equal(loaded_params(&loaded, 1)->url, loaded_params(&loaded, 2)->url);
	assert_string_equal(loaded_params(&loaded, 2)->url, "http://same/");
	assert_string_equal(loaded_params(&loaded, 2)->method, "GET");
	loaded_fini(&loaded);
}

static void test_lists_and_maps_are_bounded(void **state)
{
	static const struct {
		const char *head, *tail;
		unsigned fits;
	} cases[] = {
		{ "models[", "]", 256 },
		{ "headers.h", "", 64 },
		{ "labels.l", "", 32 },
		{ "checks.c", ".rise", 32 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		for (unsigned extra = 0; extra < 2; extra++) {
			struct loaded loaded;
			char path[64];

			loaded_init(&loaded);
			for (unsigned k = 0; k < cases[i].fits + extra; k++) {
				(void)snprintf(path, sizeof path, "endpoints[0].%s%u%s",
					cases[i].head, k, cases[i].tail);
				(void)tree_set(&loaded.tree, path, "1");
			}
			loaded_build(&loaded);
			assert_int_equal(loaded.config != NULL, extra == 0);
			loaded_fini(&loaded);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_keep_their_grammar_and_bounds),
		cmocka_unit_test(test_printed_numbers_read_back),
		cmocka_unit_test(test_strings_print_as_yaml_that_reads_back),
		cmocka_unit_test(test_inherited_texts_are_kept_once),
		cmocka_unit_test(test_lists_and_maps_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct parsed {
	struct arena arena;
	struct conf_errors errors;
	struct sbuf text; /* of the errors */
	struct node *root;
	int rc;
	usec_t took;
};

/* CPU time, so that a busy machine does not fail a test. */
static usec_t cpu_time(void)
{
	return (usec_t)clock() * USEC_PER_SEC / CLOCKS_PER_SEC;
}

static void parse_bytes(struct parsed *parsed, const char *text, size_t len)
{
	usec_t start = cpu_time();

	*parsed = (struct parsed){ 0 };
	parsed->rc = yaml_parse(&parsed->arena, "f", text, len, &parsed->errors, &parsed->root);
	parsed->took = cpu_time() - start;
	conf_errors_print(&parsed->errors, &parsed->text);
}

static void parse(struct parsed *parsed, const char *text)
{
	parse_bytes(parsed, text, strlen(text));
}

static void forget(struct parsed *parsed)
{
	conf_errors_fini(&parsed->errors);
	sbuf_fini(&parsed->text);
	arena_fini(&parsed->arena);
}

/* count copies of unit between head and tail. */
static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
	struct sbuf text = SBUF_INIT;

	sbuf_puts(&text, head);
	for (size_t i = 0; i < count; i++)
		sbuf_puts(&text, unit);
	sbuf_puts(&text, tail);
	return sbuf_steal(&text);
}

static void test_nodes_know_where_they_stand(void **state)
{
	struct parsed parsed;
	const struct node *list;
	const struct node *item;

	(void)state;
	parse(&parsed, "# head\nendpoints:\n  - name: a\n    port: \"5\"\nx: [ 1, y ]\n");
	assert_int_equal(parsed.rc, 0);
	list = node_get(parsed.root, "endpoints");
	assert_int_equal(list->type, NODE_SEQUENCE);
	assert_int_equal(list->key_line, 2);
	assert_int_equal(list->key_column, 1);
	item = node_get(list->first_child, "port");
	assert_string_equal(item->text, "5");
	assert_true(item->is_quoted);
	assert_int_equal(item->line, 4);
	assert_int_equal(item->column, 11);
	assert_int_equal(item->key_column, 5);
	assert_string_equal(item->file, "f");
	assert_int_equal(node_get(parsed.root, "x")->n_children, 2);
	assert_false(node_get(parsed.root, "x")->first_child->is_quoted);
	assert_int_equal(node_get(parsed.root, "x")->first_child->next->index, 1);
	forget(&parsed);
}

static void test_nothing_is_no_tree(void **state)
{
	static const char *const texts[] = { "", "\n\n", "# a comment\n", "\xef\xbb\xbf" };
	struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		parse(&parsed, texts[i]);
		assert_int_equal(parsed.rc, 0);
		assert_null(parsed.root);
		forget(&parsed);
	}
}

static void test_byte_order_mark_is_overlooked(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, "\xef\xbb\xbf"
		       "a: b\r\nc: d\r\n");
	assert_int_equal(parsed.rc, 0);
	assert_string_equal(node_get(parsed.root, "a")->text, "b");
	assert_string_equal(node_get(parsed.root, "c")->text, "d");
	forget(&parsed);
}

static void test_scalars_are_texts_and_nothing_else(void **state)
{
	static const char *const words[] = { "no", "off", "yes", "1e3", "0x10", "010", "1_000",
		"2026-01-02", ".inf", "=", "NULL", "12:30:45" };
	struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < array_size(words); i++) {
		parse(&parsed, words[i]);
		assert_int_equal(parsed.rc, 0);
		assert_string_equal(parsed.root->text, words[i]);
		forget(&parsed);
	}
}

static void test_reading_goes_on_after_what_is_not_supported(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, "a: &x 1\nb: *x\nc: !!str 2\n<<: 3\nd: 4\nd: 5\ne: \"\\0\"\n");
	assert_int_equal(parsed.rc, 0);
	assert_string_equal(sbuf_str(&parsed.text),
		"f:1:4: anchors (&x) are not supported; groups and defaults share keys\n"
		"f:2:4: aliases (*x) are not supported; groups and defaults share keys\n"
		"f:3:4: tags (tag:yaml.org,2002:str) are not supported\n"
		"f:4:1: merge keys (<<) are not supported; groups and defaults share keys\n"
		"f:7:4: a text cannot hold the character NUL\n"
		"f:6:1: duplicate key d, also in line 5\n");
	forget(&parsed);
}

/* Y1 */
static void test_billion_laughs_is_refused_at_once(void **state)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	struct parsed parsed;

	(void)state;
	sbuf_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 9; i++)
		sbuf_printf(&text,
			"a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
			i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	parse_bytes(&parsed, text.data, text.len);
	assert_non_null(strstr(sbuf_str(&parsed.text), "f:1:5: anchors"));
	assert_in_range(parsed.took, 0, 50 * USEC_PER_MSEC);
	assert_in_range(parsed.arena.used_bytes, 0, 2 * 1024 * 1024);
	forget(&parsed);
}

/* Y2 */
static void test_deep_nesting_is_refused_at_once(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
	} shapes[] = {
		{ "", "[", "" },
		{ "a: ", "[", "" },
		{ "", "{a: ", "" },
		{ "", "- ", "x" },
		{ "", "? ", "x" },
		{ "", "[{a: ", "" },
	};
	struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < array_size(shapes); i++) {
		char *text = repeat(shapes[i].head, shapes[i].unit, 100000, shapes[i].tail);

		parse(&parsed, text);
		assert_int_equal(parsed.rc, -EINVAL);
		assert_int_equal(parsed.errors.n, 1);
		if (parsed.took > 50 * USEC_PER_MSEC)
			fail_msg(
				"%s took %llu us", shapes[i].unit, (unsigned long long)parsed.took);
		forget(&parsed);
		free(text);
	}
}

static void test_nesting_has_room_for_what_is_needed(void **state)
{
	char *fits = repeat("", "[", YAML_MAX_DEPTH, "");
	char *closed = repeat(fits, "]", YAML_MAX_DEPTH, "");
	char *too_deep = repeat("[", closed, 1, "]");
	struct parsed parsed;

	(void)state;
	parse(&parsed, closed);
	assert_int_equal(parsed.rc, 0);
	forget(&parsed);
	parse(&parsed, too_deep);
	assert_int_equal(parsed.rc, -EINVAL);
	assert_string_equal(sbuf_str(&parsed.text), "f:1:33: nested deeper than 32 levels\n");
	forget(&parsed);
	free(fits);
	free(closed);
	free(too_deep);
}

/* Y3 */
static void test_sheer_size_costs_little_time(void **state)
{
	static const struct {
		const char *head, *unit, *tail;
		size_t count;
	} shapes[] = {
		{ "a: ", "x", "\n", 4 * 1024 * 1024 - 4 },
		{ "a: \"", "x", "\"\n", 4 * 1024 * 1024 - 6 },
		{ "[", "a,", "]", 499000 },
		{ "", "a: &x 1\n", "", 100000 },
		{ "# ", "x", "\n", 4 * 1024 * 1024 - 3 },
	};
	struct parsed parsed;

	(void)state;
	for (size_t i = 0; i < array_size(shapes); i++) {
		char *text =
			repeat(shapes[i].head, shapes[i].unit, shapes[i].count, shapes[i].tail);

		parse(&parsed, text);
		if (parsed.took > USEC_PER_SEC)
			fail_msg("shape %zu took %llu us", i, (unsigned long long)parsed.took);
		forget(&parsed);
		free(text);
	}
}

static void test_too_many_values_are_refused(void **state)
{
	char *text = repeat("[", "a,", YAML_MAX_NODES + 10, "]");
	struct parsed parsed;

	(void)state;
	parse(&parsed, text);
	assert_int_equal(parsed.rc, -EINVAL);
	assert_non_null(strstr(sbuf_str(&parsed.text), "more than 500000 values"));
	forget(&parsed);
	free(text);
}

static void test_many_duplicates_are_found_in_time(void **state)
{
	char *text = repeat("", "a: 1\n", 100000, "");
	struct parsed parsed;

	(void)state;
	parse(&parsed, text);
	assert_int_equal(parsed.errors.n, CONF_MAX_ERRORS);
	assert_true(parsed.errors.truncated);
	assert_in_range(parsed.took, 0, USEC_PER_SEC);
	forget(&parsed);
	free(text);
}

static void test_bytes_that_are_no_text_are_placed(void **state)
{
	static const char text[] = "a: b\nc: \xff\nd: \xc3\xa9\x07\n";
	static const char nul[] = "a: b\0c\n";
	struct parsed parsed;

	(void)state;
	parse_bytes(&parsed, text, sizeof text - 1);
	assert_int_equal(parsed.rc, -EINVAL);
	assert_string_equal(sbuf_str(&parsed.text),
		"f:2:4: byte 0xff is not UTF-8\n"
		"f:3:5: control character 0x07 is not allowed\n");
	forget(&parsed);
	parse_bytes(&parsed, nul, sizeof nul - 1);
	assert_string_equal(
		sbuf_str(&parsed.text), "f:1:5: control character 0x00 is not allowed\n");
	forget(&parsed);
}

static void test_reading_stops_when_enough_is_wrong(void **state)
{
	char *text = repeat("", "- *a\n", 100000, "");
	struct parsed parsed;

	(void)state;
	parse(&parsed, text);
	assert_true(parsed.errors.truncated);
	assert_in_range(parsed.took, 0, 200 * USEC_PER_MSEC);
	forget(&parsed);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_know_where_they_stand),
		cmocka_unit_test(test_nothing_is_no_tree),
		cmocka_unit_test(test_byte_order_mark_is_overlooked),
		cmocka_unit_test(test_scalars_are_texts_and_nothing_else),
		cmocka_unit_test(test_reading_goes_on_after_what_is_not_supported),
		cmocka_unit_test(test_billion_laughs_is_refused_at_once),
		cmocka_unit_test(test_deep_nesting_is_refused_at_once),
		cmocka_unit_test(test_nesting_has_room_for_what_is_needed),
		cmocka_unit_test(test_sheer_size_costs_little_time),
		cmocka_unit_test(test_too_many_values_are_refused),
		cmocka_unit_test(test_many_duplicates_are_found_in_time),
		cmocka_unit_test(test_bytes_that_are_no_text_are_placed),
		cmocka_unit_test(test_reading_stops_when_enough_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

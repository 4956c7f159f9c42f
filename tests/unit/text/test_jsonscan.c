/* SPDX-License-Identifier: MIT */
#include "modelhealth/text/jsonscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Scans a copy that ends with the text, so that a sanitizer sees any read beyond; the copy is
 * returned, since the spans point into it. */
static char *scan(const char *const *pointers, size_t n, const char *text, int *ret_r,
	uint64_t *ret_found, struct json_span *spans)
{
	struct json_scan *scan = json_scan_new(pointers, n);
	size_t len = strlen(text);
	char *copy = malloc(max_of(len, (size_t)1));

	assert_non_null(scan);
	assert_non_null(copy);
	memcpy(copy, text, len);
	*ret_found = 0;
	*ret_r = json_scan(scan, copy, len, ret_found, spans);
	assert_null(json_scan_free(scan));
	return copy;
}

/* What the pointer names, as it stands in the text; "-" for nothing, "E…" for an error. */
static void look(const char *text, const char *pointer, struct sbuf *out)
{
	struct json_span span;
	uint64_t found;
	int r;
	char *copy = scan(&pointer, 1, text, &r, &found, &span);

	sbuf_clear(out);
	if (r < 0)
		sbuf_puts(out, r == -EINVAL ? "EINVAL" : r == -ENODATA ? "ENODATA" : "E2BIG");
	else if (found == 1)
		sbuf_add(out, span.text, span.len);
	else
		sbuf_puts(out, "-");
	free(copy);
}

static void assert_look(const char *text, const char *pointer, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf seen = SBUF_INIT;

	look(text, pointer, &seen);
	if (strcmp(sbuf_str(&seen), expected) != 0)
		fail_msg("%s in %s: %s, expected %s", pointer, text, sbuf_str(&seen), expected);
}

static void test_a_pointer_names_its_value(void **state)
{
	static const char text[] =
		" { \"a\" : [ 1, {\"b\":\"x\"}, [] ], \"\": true, \"0\": -1.5e+3 }\n";

	(void)state;
	assert_look(text, "/a/0", "1");
	assert_look(text, "/a/1/b", "x");
	assert_look(text, "/a/1", "{\"b\":\"x\"}");
	assert_look(text, "/a/2", "[]");
	assert_look(text, "/a/3", "-");
	assert_look(text, "/a/00", "-");
	assert_look(text, "/a/-", "-");
	assert_look(text, "/a/b", "-");
	assert_look(text, "/", "true");
	assert_look(text, "/0", "-1.5e+3");
	assert_look(text, "/a/0/b", "-");
	assert_look(text, "/b", "-");
	assert_look("\"x\"", "", "x");
	assert_look("[]", "", "[]");
	assert_look("{}", "/a", "-");
}

static void test_escapes_in_names_are_decoded_on_both_sides(void **state)
{
	(void)state;
	assert_look("{\"a/b\":1}", "/a~1b", "1");
	assert_look("{\"a~b\":1}", "/a~0b", "1");
	assert_look("{\"\\u0061\\n\":1}", "/a\n", "1");
	assert_look("{\"\\u0061\":1}", "/\\u0061", "-");
}

static void test_a_star_names_the_first_that_goes_on(void **state)
{
	(void)state;
	assert_look("[{\"t\":1},{\"x\":2},{\"x\":3}]", "/*/x", "2");
	assert_look("{\"a\":{\"x\":2},\"b\":{\"x\":3}}", "/*/x", "2");
	assert_look("[[1],[2]]", "/*/*", "1");
	assert_look("[]", "/*", "-");
}

static void test_of_equal_names_the_last_one_counts(void **state)
{
	(void)state;
	assert_look("{\"a\":1,\"a\":2}", "/a", "2");
	assert_look("{\"a\":{\"b\":1},\"a\":2}", "/a/b", "-");
	assert_look("{\"a\":[1],\"a\":[]}", "/a/0", "-");
}

static void test_many_pointers_are_found_in_one_pass(void **state)
{
	static const char *const pointers[] = { "/a", "/a/b", "/a/*", "/c/0", "", "/a/b" };
	struct json_span spans[array_size(pointers)];
	uint64_t found;
	int r;
	char *copy;

	(void)state;
	copy = scan(
		pointers, array_size(pointers), "{\"a\":{\"b\":null},\"c\":[]}", &r, &found, spans);
	assert_int_equal(r, 0);
	assert_int_equal(found, 0x37);
	assert_int_equal(spans[0].kind, JSON_OBJECT);
	assert_int_equal(spans[1].kind, JSON_NULL);
	assert_int_equal(spans[5].kind, JSON_NULL);
	free(copy);
}

static void test_sixty_four_pointers_are_not_too_many(void **state)
{
	const char *pointers[JSON_SCAN_MAX_POINTERS];
	struct json_span spans[JSON_SCAN_MAX_POINTERS];
	uint64_t found;
	int r;
	char *copy;

	(void)state;
	for (size_t i = 0; i < JSON_SCAN_MAX_POINTERS; i++)
		pointers[i] = i % 2 == 0 ? "/a" : "/b";
	copy = scan(pointers, JSON_SCAN_MAX_POINTERS, "{\"a\":1}", &r, &found, spans);
	assert_int_equal(r, 0);
	assert_true(found == UINT64_C(0x5555555555555555));
	free(copy);
}

static void test_a_pointer_that_is_too_long_names_nothing(void **state)
{
	struct sbuf pointer = SBUF_INIT, text = SBUF_INIT;

	(void)state;
	for (size_t i = 0; i <= JSON_SCAN_MAX_SEGMENTS; i++) {
		sbuf_puts(&pointer, "/0");
		sbuf_puts(&text, "[");
	}
	sbuf_puts(&text, "7");
	for (size_t i = 0; i <= JSON_SCAN_MAX_SEGMENTS; i++)
		sbuf_puts(&text, "]");
	assert_look(sbuf_str(&text), sbuf_str(&pointer), "-");
	assert_look(sbuf_str(&text), sbuf_str(&pointer) + 4, "[[7]]");
	assert_look(sbuf_str(&text), sbuf_str(&pointer) + 2, "[7]");
	sbuf_fini(&pointer);
	sbuf_fini(&text);
}

static void test_what_is_not_json_is_refused(void **state)
{
	static const char *const bad[] = { "{]", "[}", "[1,]", "{\"a\":1,}", "{,}", "[,]",
		"{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}", "01", "-a", "+1", ".5", "1.a", "1e+a",
		"tru1", "nul ", "NaN", "Infinity", "[NaN]", "\"\t\"", "\"\\x\"", "\"\\u12g4\"",
		"1 2", "{} {}", "]", "[1 2]", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "//",
		"\xef\xbb\xbf{}", "<html>", "--1" };

	(void)state;
	for (size_t i = 0; i < array_size(bad); i++)
		assert_look(bad[i], "", "EINVAL");
}

static void test_every_early_end_is_told_from_an_error(void **state)
{
	static const char text[] = "{\"a\":[1.5e-7,true,\"x\\u00e4\\n\",null],\"b\":{}}";

	(void)state;
	for (size_t len = 0; len < sizeof text - 1; len++) {
		char *part = strndup(text, len);

		assert_non_null(part);
		assert_look(part, "", "ENODATA");
		free(part);
	}
	assert_look("-", "", "ENODATA");
	assert_look("1.", "", "ENODATA");
	assert_look("1e", "", "ENODATA");
	assert_look(" ", "", "ENODATA");
}

static void test_nesting_is_bounded(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	for (size_t i = 0; i < JSON_MAX_DEPTH; i++)
		sbuf_putc(&text, '[');
	assert_look(sbuf_str(&text), "", "ENODATA");
	sbuf_putc(&text, '[');
	assert_look(sbuf_str(&text), "", "E2BIG");
	sbuf_fini(&text);
}

/* ---- values ---- */

static void assert_decodes(const char *text, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	const char *pointer = "";
	struct json_span span;
	uint64_t found;
	int r;
	char *copy = scan(&pointer, 1, text, &r, &found, &span);

	assert_int_equal(r, 0);
	json_span_decode(&span, &out);
	free(copy);
	if (strcmp(sbuf_str(&out), expected) != 0)
		fail_msg("%s decodes to %s, expected %s", text, sbuf_str(&out), expected);
}

static void test_strings_are_decoded(void **state)
{
	(void)state;
	assert_decodes("\"\"", "");
	assert_decodes("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz");
	assert_decodes("\"\\u00e4\\u20AC\\uD83D\\uDE00\"", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_decodes("\"\\ud83d\"", "\xef\xbf\xbd");
	assert_decodes("\"\\ud83dx\\ude00\"", "\xef\xbf\xbdx\xef\xbf\xbd");
	assert_decodes("\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
					     "A");
	assert_decodes("\"\xf0\x9f\"", "\xf0\x9f");
}

static void test_numbers_are_read(void **state)
{
	const char *pointer = "";
	struct json_span span;
	uint64_t found;
	double number;
	int r;
	char *copy;

	(void)state;
	copy = scan(&pointer, 1, "-12.5e1", &r, &found, &span);
	assert_true(json_span_number(&span, &number));
	assert_true(number > -125.01 && number < -124.99);
	free(copy);
	copy = scan(&pointer, 1, "1e999", &r, &found, &span);
	assert_true(json_span_number(&span, &number) && isinf(number));
	free(copy);
	copy = scan(&pointer, 1, "\"1\"", &r, &found, &span);
	assert_false(json_span_number(&span, &number));
	free(copy);
}

static ssize_t read_numbers(const char *text, double *numbers, size_t n)
{
	const char *pointer = "";
	struct json_span span;
	uint64_t found;
	int r;
	char *copy = scan(&pointer, 1, text, &r, &found, &span);
	ssize_t count;

	assert_int_equal(r, 0);
	count = json_span_numbers(&span, numbers, n);
	free(copy);
	return count;
}

static void test_a_list_of_numbers_is_read_as_far_as_there_is_room(void **state)
{
	double numbers[2] = { 0, 0 };

	(void)state;
	assert_int_equal(read_numbers("[ 1 , -2.0,3e0 ]", numbers, 2), 3);
	assert_true(numbers[0] > 0.9 && numbers[1] < -1.9);
	assert_int_equal(read_numbers("[]", numbers, 2), 0);
	assert_int_equal(read_numbers("[ ]", NULL, 0), 0);
	assert_int_equal(read_numbers("[1,null]", numbers, 2), -EINVAL);
	assert_int_equal(read_numbers("[1,[2]]", numbers, 2), -EINVAL);
	assert_int_equal(read_numbers("[\"1\"]", numbers, 2), -EINVAL);
	assert_int_equal(read_numbers("{}", numbers, 2), -EINVAL);
	assert_int_equal(read_numbers("7", numbers, 2), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_pointer_names_its_value),
		cmocka_unit_test(test_escapes_in_names_are_decoded_on_both_sides),
		cmocka_unit_test(test_a_star_names_the_first_that_goes_on),
		cmocka_unit_test(test_of_equal_names_the_last_one_counts),
		cmocka_unit_test(test_many_pointers_are_found_in_one_pass),
		cmocka_unit_test(test_sixty_four_pointers_are_not_too_many),
		cmocka_unit_test(test_a_pointer_that_is_too_long_names_nothing),
		cmocka_unit_test(test_what_is_not_json_is_refused),
		cmocka_unit_test(test_every_early_end_is_told_from_an_error),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_strings_are_decoded),
		cmocka_unit_test(test_numbers_are_read),
		cmocka_unit_test(test_a_list_of_numbers_is_read_as_far_as_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

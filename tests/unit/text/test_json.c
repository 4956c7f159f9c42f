/* SPDX-License-Identifier: MIT */
/* Rules of reading JSON: exactly RFC 8259, bounded, and pointers into it. */
#include "modelhealth/text/json.h"

#include "modelhealth/base/sbuf.h"

#include <errno.h>
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct json *parse(const char *text)
{
	struct json *json = NULL;
	int r = json_parse(text, strlen(text), &json);

	if (r != 0)
		fail_msg("%s: %d", text, r);
	return json;
}

static void check_parse(const char *text, size_t len, int expected)
{
	struct json *json = NULL;
	int r = json_parse(text, len, &json);

	if (r != expected)
		fail_msg("%s: got %d, expected %d", text, r, expected);
	assert_int_equal(json != NULL, r == 0);
	json_freep(&json);
	assert_null(json);
}

static void test_json_is_accepted(void **state)
{
	static const char *const texts[] = {
		/* scalars alone */
		"null",
		"true",
		"false",
		"0",
		"-0",
		"1",
		"-1",
		"\"\"",
		"\"a\"",
		" 1 ",
		"\t\r\n1\n",
		"\xef\xbb\xbf{}",
		/* numbers */
		"[0.0]",
		"[-0.0]",
		"[1e0]",
		"[1E+2]",
		"[1e-2]",
		"[0e1]",
		"[0e+1]",
		"[-0e-1]",
		"[123.456e78]",
		"[1e999999]",
		"[-1e999999]",
		"[1e-999999]",
		"[123456789012345678901234567890]",
		"[-123456789012345678901234567890]",
		"[0.00000000000000000000000000000000000000000000000000000000000000000000001]",
		"[18446744073709551616]",
		"[-9223372036854775809]",
		/* strings */
		"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
		"[\"\\u0041\\u00e9\\u20ac\"]",
		"[\"\\ud83d\\ude00\"]",
		"[\"\\u0000\"]",
		"[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
		"[\"\x7f\"]",
		"[\"\xe2\x80\xa8\"]",
		"[\"'\"]",
		"[\"/*x*/\"]",
		"[\"//\"]",
		"[\"[[[[{{{{\"]",
		"[\"\\\\\"]",
		"[\"\\\\\\\"\"]",
		"[\"\xf4\x8f\xbf\xbf\"]",
		/* lone surrogates are grammatical escapes */
		"[\"\\ud800\"]",
		"[\"\\udc00\"]",
		"[\"\\ud800\\ud800\"]",
		"[\"\\ud800x\"]",
		"[\"\\udc00\\ud800\"]",
		/* arrays and objects */
		"[]",
		"[ ]",
		"[[]]",
		"[[],[]]",
		"[1,2]",
		"[ 1 , 2 ]",
		"[null,true,false]",
		"{}",
		"{ }",
		"{\"a\":1}",
		"{\"\":0}",
		"{\"a\":1,\"b\":2}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":{\"a\":{}}}",
		"{ \"a\" : [ { \"b\" : null } ] }",
		"{\"a\\u0000b\":1}",
	};

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++)
		check_parse(texts[i], strlen(texts[i]), 0);
}

static void test_what_is_not_json_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"\n",
		"\xef\xbb\xbf",
		("\xef\xbb\xbf\xef\xbb\xbf"
		 "1"),
		"\xff\xfe[\0]\0",
		/* words */
		"nul",
		"nulll",
		"True",
		"TRUE",
		"None",
		"undefined",
		"NaN",
		"nan",
		"Infinity",
		"-Infinity",
		"inf",
		"[NaN]",
		"[-Infinity]",
		"[-NaN]",
		"truefalse",
		"true false",
		"[truefalse]",
		"[nullnull]",
		"t",
		"[t",
		"abc",
		/* numbers */
		"01",
		"-01",
		"[00]",
		"[-012]",
		"+1",
		"[+1]",
		".5",
		"[.5]",
		"[1.]",
		"[1.e1]",
		"[-]",
		"-",
		"[--1]",
		"[1e]",
		"[1e+]",
		"[1eE2]",
		"[1.2.3]",
		"[0x10]",
		"[1_000]",
		"[1 2]",
		"[1-2]",
		"[1+2]",
		"[1a]",
		"[1true]",
		"[0e]",
		"[e1]",
		"[1,2",
		"1 2",
		"1,",
		"[\xef\xbc\x91]",
		"[-.5]",
		"[1..2]",
		"[1e1.5]",
		/* strings */
		"\"",
		"\"a",
		"[\"a]",
		"'a'",
		"['a']",
		"[\"\\x\"]",
		"[\"\\u12\"]",
		"[\"\\u12G4\"]",
		"[\"\\U0041\"]",
		"[\"\\0\"]",
		"[\"\\'\"]",
		"[\"\\\"]",
		"[\"\n\"]",
		"[\"\t\"]",
		"[\"\x01\"]",
		"[\"a\"\"b\"]",
		"[\"\\ \"]",
		"\"\\",
		"\"\\u",
		"[\"\xff\"]",
		"[\"\xc0\x80\"]",
		"[\"\xed\xa0\x80\"]",
		"[\"\xe2\x82\"]",
		"[\"\xf4\x90\x80\x80\"]",
		"[\"\\u00\\u00\"]",
		"[\"\\ud800\\u\"]",
		"[\"\\ud800\\u1\"]",
		"[\"\\ud800\\uzzzz\"]",
		/* arrays and objects */
		"[",
		"]",
		"[]]",
		"[[]",
		"[}",
		"{]",
		"[1,]",
		"[,1]",
		"[,]",
		"[1,,2]",
		"[1:2]",
		"[:]",
		"{",
		"}",
		"{}}",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{,}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\",1}",
		"{\"a\":1 \"b\":2}",
		"{\"a\"::1}",
		"{:1}",
		"{1:2}",
		"{a:1}",
		"{null:1}",
		"{'a':1}",
		"{\"a\":1,,\"b\":2}",
		"{[]:1}",
		"{} {}",
		"[] []",
		"{\"a\":1}x",
		"[1]]",
		"[1],",
		",",
		":",
		"[\"a\":1]",
		"{\"a\" \"b\"}",
		"{\"a\":1:2}",
		"[1}",
		"{\"a\":1]",
		/* comments and blanks of other languages */
		"// x\n1",
		"/* x */ 1",
		"[1 /* x */]",
		"# x\n1",
		"[1]//",
		"[1]\v",
		"\f[1]",
		"[1]\xc2\xa0",
		"[\xe2\x80\xa8]",
		"\x01",
	};

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++)
		check_parse(texts[i], strlen(texts[i]), -EINVAL);
	check_parse("[1]\0", 4, -EINVAL);
	check_parse("\0", 1, -EINVAL);
	check_parse("[\"a\0b\"]", 7, -EINVAL);
	check_parse("[1\0]", 4, -EINVAL);
}

static void test_no_prefix_of_a_document_is_one(void **state)
{
	static const char text[] = "{\"a\":[1.5e3,\"\\u20ac\xc3\xa9\",{\"b\":null},true,[]]}";

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		/* A copy of exactly that length, so that a sanitizer sees any read beyond. */
		char *part = malloc(len + 1);

		assert_non_null(part);
		memcpy(part, text, len);
		part[len] = '\0';
		check_parse(part, len, -EINVAL);
		free(part);
	}
	check_parse(text, strlen(text), 0);
}

/* depth brackets, closed again or not. */
static struct sbuf nested(char open, char close, size_t depth)
{
	struct sbuf text = SBUF_INIT;

	for (size_t i = 0; i < depth; i++)
		sbuf_puts(&text, open == '[' ? "[" : i + 1 < depth ? "{\"a\":" : "{");
	for (size_t i = 0; i < depth && close != '\0'; i++)
		sbuf_putc(&text, close);
	assert_false(text.failed);
	return text;
}

static void test_depth_is_bounded(void **state)
{
	static const struct {
		char open, close;
		size_t depth;
		int result;
	} cases[] = {
		{ '[', ']', JSON_MAX_DEPTH, 0 },
		{ '{', '}', JSON_MAX_DEPTH, 0 },
		{ '[', ']', JSON_MAX_DEPTH + 1, -E2BIG },
		{ '{', '}', JSON_MAX_DEPTH + 1, -E2BIG },
		{ '[', '\0', JSON_MAX_DEPTH, -EINVAL },
		{ '[', '\0', 1000000, -E2BIG },
		{ '{', '\0', 1000000, -E2BIG },
		{ '[', ']', 1000000, -E2BIG },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct sbuf text = nested(cases[i].open, cases[i].close, cases[i].depth);
		struct json *json = NULL;

		assert_int_equal(json_parse(text.data, text.len, &json), cases[i].result);
		json_free(json);
		sbuf_fini(&text);
	}
}

/* [piece,piece,…] with so many pieces. */
static int parse_many(const char *piece, size_t n)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	struct json *json = NULL;
	int r;

	sbuf_putc(&text, '[');
	for (size_t i = 0; i < n; i++) {
		sbuf_puts(&text, i > 0 ? "," : "");
		sbuf_puts(&text, piece);
	}
	sbuf_putc(&text, ']');
	assert_false(text.failed);
	r = json_parse(text.data, text.len, &json);
	json_free(json);
	return r;
}

static void test_number_of_values_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(parse_many("1", JSON_MAX_VALUES - 4), 0);
	assert_int_equal(parse_many("1", JSON_MAX_VALUES - 3), -EFBIG);
	assert_int_equal(parse_many("[]", JSON_MAX_VALUES / 4 - 1), 0);
	assert_int_equal(parse_many("{}", JSON_MAX_VALUES / 4), -EFBIG);
	assert_int_equal(parse_many("{\"a\":1}", JSON_MAX_VALUES / 5), -EFBIG);
	assert_int_equal(parse_many("}", JSON_MAX_VALUES), -EINVAL);
}

/* So that a busy machine does not fail the test. */
static usec_t cpu_time(void)
{
	return (usec_t)clock() * USEC_PER_SEC / CLOCKS_PER_SEC;
}

static usec_t time_of(const char *piece, const char *open, const char *close, size_t bytes)
{
	struct sbuf text = SBUF_INIT;
	usec_t best = USEC_NEVER;

	sbuf_puts(&text, open);
	for (unsigned i = 0; text.len < bytes; i++)
		if (strchr(piece, '%'))
			sbuf_printf(&text, "\"key%u\":%u,", i, i);
		else
			sbuf_puts(&text, piece);
	sbuf_puts(&text, close);
	assert_false(text.failed);
	/* The best of some: what else the machine does must not count. */
	for (unsigned i = 0; i < 7; i++) {
		usec_t start = cpu_time();
		struct json *json = NULL;

		if (json_parse(text.data, text.len, &json) != 0)
			fail_msg("%s%s%s", open, piece, close);
		json_free(json);
		best = min_of(best, cpu_time() - start);
	}
	sbuf_fini(&text);
	return best;
}

static void test_time_grows_in_proportion(void **state)
{
	static const struct {
		const char *piece, *open, *close;
	} cases[] = {
		{ "0,", "[", "0]" },
		{ "[],", "[", "0]" },
		{ "{},", "[", "0]" },
		{ "%", "{", "\"a\":0}" },
		{ "\"a\":0,", "{", "\"a\":0}" }, /* the same name again and again */
		{ "x", "\"", "\"" },
		{ "\\u20ac", "\"", "\"" },
		{ "\\\\", "\"", "\"" },
		{ "\\ud800", "\"", "\"" },
		{ "\xf0\x9f\x98\x80", "\"", "\"" },
		{ "1", "", "" },
		{ "0", "1.", "0" },
		{ " ", "", "0" },
		{ "\"\",", "[", "0]" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		usec_t small = time_of(cases[i].piece, cases[i].open, cases[i].close, 8 << 10);
		usec_t large = time_of(cases[i].piece, cases[i].open, cases[i].close, 144 << 10);

		/* 18 times the bytes: 18 if linear, some more for the caches, 324 if quadratic. */
		if (large > 130 * max_of(small, (usec_t)50))
			fail_msg("%s: 8 KiB took %lu us, 144 KiB %lu us", cases[i].piece,
				(unsigned long)small, (unsigned long)large);
	}
}

static void test_kinds_and_values(void **state)
{
	struct json *json = parse("[null,true,false,-1.5,\"x\\u0000y\",[1,2,3],{\"a\":1,\"b\":2}]");

	static const enum json_kind kinds[] = { JSON_NULL, JSON_BOOL, JSON_BOOL, JSON_NUMBER,
		JSON_STRING, JSON_ARRAY, JSON_OBJECT };

	static const size_t lengths[] = { 0, 0, 0, 0, 0, 3, 2 };
	const struct json *values[array_size(kinds)];
	const char *text;
	double number = 0;
	bool truth = false;
	size_t len = 99;

	(void)state;
	assert_int_equal(json_length(json), array_size(kinds));
	for (size_t i = 0; i < array_size(kinds); i++) {
		char pointer[] = "/0";

		pointer[1] = (char)('0' + i);
		values[i] = json_at(json, pointer);
		assert_non_null(values[i]);
		assert_int_equal(json_kind(values[i]), kinds[i]);
		assert_int_equal(json_length(values[i]), lengths[i]);
		/* Each reader takes its own kind and no other. */
		assert_int_equal(json_boolean(values[i], &truth), kinds[i] == JSON_BOOL);
		assert_int_equal(json_number(values[i], &number), kinds[i] == JSON_NUMBER);
		assert_int_equal(json_string(values[i], &len) != NULL, kinds[i] == JSON_STRING);
	}
	assert_true(json_boolean(values[1], &truth) && truth);
	assert_true(json_boolean(values[2], &truth) && !truth);
	assert_true(json_number(values[3], &number) && number < -1.4 && number > -1.6);
	text = json_string(values[4], &len);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "x\0y", 3);
	json_free(json);
}

static void test_numbers_are_finite(void **state)
{
	static const struct {
		const char *text;
		double least, most;
	} cases[] = {
		{ "1e999999", DBL_MAX, DBL_MAX },
		{ "-1e999999", -DBL_MAX, -DBL_MAX },
		{ "1e-999999", 0, 0 },
		{ "-0", 0, 0 },
		{ "1e308", 0.99e308, 1.01e308 },
		{ "9007199254740993", 9007199254740992.0, 9007199254740994.0 },
		{ "18446744073709551615", 1.8e19, 1.9e19 },
		{ "18446744073709551616", 1.8e19, 1.9e19 },
		{ "99999999999999999999999999999999", 1.8e19, 1e32 },
		{ "-99999999999999999999999999999999", -1e32, -9.2e18 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct json *json = parse(cases[i].text);
		double number = 0;

		assert_true(json_number(json, &number));
		if (!(number >= cases[i].least && number <= cases[i].most))
			fail_msg("%s: %g", cases[i].text, number);
		json_free(json);
	}
}

static void test_lone_surrogates_become_the_replacement_character(void **state)
{
	struct json *json = parse("[\"\\ud800\",\"\\udc00x\",\"\\ud83d\\ude00\"]");
	size_t len = 0;

	(void)state;
	assert_string_equal(json_string(json_at(json, "/0"), &len), "\xef\xbf\xbd");
	assert_string_equal(json_string(json_at(json, "/1"), &len), "\xef\xbf\xbdx");
	assert_string_equal(json_string(json_at(json, "/2"), &len), "\xf0\x9f\x98\x80");
	json_free(json);
}

static void test_the_last_of_equal_names_counts(void **state)
{
	struct json *json = parse("{\"a\":1,\"b\":2,\"a\":3}");

	(void)state;
	assert_int_equal(json_length(json), 2);
	assert_string_equal(json_text(json_at(json, "/a")), "3");
	json_free(json);
}

static void test_text_is_compact(void **state)
{
	struct json *json = parse(" { \"a\" : [ 1 , \"x/y\" , null ] } ");
	struct json *null = parse("null");

	(void)state;
	assert_string_equal(json_text(json), "{\"a\":[1,\"x/y\",null]}");
	assert_string_equal(json_text(json_at(json, "/a/2")), "null");
	assert_string_equal(json_text(null), "null");
	json_free(null);
	json_free(json);
	json_free(NULL);
}

/* The example document of RFC 6901, section 5. */
static const char rfc_document[] =
	"{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,"
	"\"k\\\"l\":6,\" \":7,\"m~n\":8}";

static void test_pointers_of_the_rfc(void **state)
{
	static const struct {
		const char *pointer, *value;
	} cases[] = {
		{ "/foo", "[\"bar\",\"baz\"]" },
		{ "/foo/0", "\"bar\"" },
		{ "/", "0" },
		{ "/a~1b", "1" },
		{ "/c%d", "2" },
		{ "/e^f", "3" },
		{ "/g|h", "4" },
		{ "/i\\j", "5" },
		{ "/k\"l", "6" },
		{ "/ ", "7" },
		{ "/m~0n", "8" },
	};
	struct json *json = parse(rfc_document);

	(void)state;
	assert_ptr_equal(json_at(json, ""), json);
	for (size_t i = 0; i < array_size(cases); i++) {
		const struct json *found = json_at(json, cases[i].pointer);

		assert_non_null(found);
		assert_string_equal(json_text(found), cases[i].value);
	}
	json_free(json);
}

static void test_pointers_to_nothing(void **state)
{
	static const char *const pointers[] = { "/x", "/foo/2", "/foo/-", "/foo/-1", "/foo/00",
		"/foo/01", "/foo/+1", "/foo/ 1", "/foo/1 ", "/foo/0x0", "/foo/1e0", "/foo/",
		"/foo/18446744073709551616", "/foo/99999999999999999999999", "/foo/0/0", "/foo/bar",
		"//", "/foo/0/*", "/m~01n", "foo", "#/foo", "/m~n", "/m~" };
	struct json *json = parse(rfc_document);
	char *longer = malloc(10002);

	(void)state;
	for (size_t i = 0; i < array_size(pointers); i++)
		if (json_at(json, pointers[i]))
			fail_msg("%s names something", pointers[i]);
	assert_non_null(longer);
	memset(longer, 'a', 10001);
	longer[0] = '/';
	longer[10001] = '\0';
	assert_null(json_at(json, longer));
	memset(longer, '/', 10001);
	assert_null(json_at(json, longer));
	free(longer);
	json_free(json);
}

static void test_validity_of_pointers(void **state)
{
	static const char *const valid[] = { "", "/", "/a", "/a/b", "/*", "/a~0b~1c", "//", "/~0" };
	static const char *const invalid[] = { "a", "a/b", "/~", "/~2", "/a~", "#", "/a~x", " /a" };

	(void)state;
	for (size_t i = 0; i < array_size(valid); i++)
		assert_true(json_pointer_is_valid(valid[i]));
	for (size_t i = 0; i < array_size(invalid); i++)
		assert_false(json_pointer_is_valid(invalid[i]));
}

/* What json_find visited, as text, and after how many to stop. */
struct visits {
	struct sbuf text;
	size_t stop_after;
};

static bool on_value(void *ctx, const struct json *value)
{
	struct visits *visits = ctx;

	sbuf_printf(&visits->text, "%s;", json_text(value));
	return visits->stop_after == 0 || --visits->stop_after > 0;
}

static void test_star_names_every_element_in_order(void **state)
{
	static const struct {
		const char *pointer;
		size_t stop_after, visited;
		const char *text;
	} cases[] = {
		{ "/data/*/id", 0, 3, "\"a\";\"b\";null;" },
		{ "/data/*/id", 2, 2, "\"a\";\"b\";" },
		{ "/data/*/none", 0, 0, "" },
		{ "/*/*/id", 0, 4, "\"a\";\"b\";null;7;" },
		{ "/*/*/id", 4, 4, "\"a\";\"b\";null;7;" },
		{ "/*/*/id", 1, 1, "\"a\";" },
		{ "/more/*", 0, 1, "{\"id\":7};" },
		{ "/empty/*", 0, 0, "" },
		{ "/null/*", 0, 0, "" },
		{ "/data/*/*/*", 0, 0, "" },
		{ "/null", 0, 1, "null;" },
		{ "bad", 0, 0, "" },
	};
	struct json *json = parse("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":null},7],"
				  "\"more\":{\"x\":{\"id\":7}},\"empty\":[],\"null\":null}");

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct visits visits = { .stop_after = cases[i].stop_after };
		size_t visited = json_find(json, cases[i].pointer, on_value, &visits);

		if (visited != cases[i].visited ||
			strcmp(sbuf_str(&visits.text), cases[i].text) != 0)
			fail_msg("%s: %zu %s", cases[i].pointer, visited, sbuf_str(&visits.text));
		sbuf_fini(&visits.text);
	}
	json_free(json);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_is_accepted),
		cmocka_unit_test(test_what_is_not_json_is_refused),
		cmocka_unit_test(test_no_prefix_of_a_document_is_one),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_number_of_values_is_bounded),
		cmocka_unit_test(test_time_grows_in_proportion),
		cmocka_unit_test(test_kinds_and_values),
		cmocka_unit_test(test_numbers_are_finite),
		cmocka_unit_test(test_lone_surrogates_become_the_replacement_character),
		cmocka_unit_test(test_the_last_of_equal_names_counts),
		cmocka_unit_test(test_text_is_compact),
		cmocka_unit_test(test_pointers_of_the_rfc),
		cmocka_unit_test(test_pointers_to_nothing),
		cmocka_unit_test(test_validity_of_pointers),
		cmocka_unit_test(test_star_names_every_element_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

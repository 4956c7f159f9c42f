/* SPDX-License-Identifier: MIT */
/* Rules of text from outside: what comes out is short, valid, and on one line. */
#include "modelhealth/text/sanitise.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BAD      "\xef\xbf\xbd"
#define ELLIPSIS "\xe2\x80\xa6"

static void check(const char *src, size_t len, size_t size, const char *expected)
{
	char dst[256];
	size_t n;

	memset(dst, '#', sizeof dst);
	n = sanitise(dst, size, src, len);
	assert_string_equal(dst, expected);
	assert_int_equal(n, strlen(expected));
	assert_int_equal(dst[size], '#');
}

static void test_plain_text_stays(void **state)
{
	static const char *const texts[] = { "", "a", "connection refused", "\"quoted\" <b>&amp;\\",
		"gr\xc3\xbc\xc3\x9f", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x98\x80",
		"\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80" };

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++)
		check(texts[i], strlen(texts[i]), 100, texts[i]);
}

static void test_control_characters_become_one_blank(void **state)
{
	(void)state;
	check("a\r\nb", 4, 100, "a b");
	check("a\tb\x7f"
	      "c",
		5, 100, "a b c");
	check("a \x1b[31m b", 9, 100, "a [31m b");
	check("\n\n a  b \n", 9, 100, "a b");
	check(" \n ", 3, 100, "");
	check("a\0b", 3, 100, "a b");
	check("a\xc2\x85"
	      "b\xc2\x9b"
	      "c",
		7, 100, "a b c");
}

static void test_separators_and_direction_overrides_become_a_blank(void **state)
{
	(void)state;
	check("a\xe2\x80\xa8"
	      "b\xe2\x80\xa9"
	      "c",
		9, 100, "a b c");
	check("a\xe2\x80\xae"
	      "b\xe2\x81\xa6"
	      "c\xe2\x81\xa9"
	      "d",
		13, 100, "a b c d");
	check("\xef\xbb\xbf"
	      "a\xe2\x80\x8f"
	      "b\xd8\x9c"
	      "c",
		11, 100, "a b c");
	/* Neighbours in the same blocks stay. */
	check("a\xe2\x80\xa7"
	      "b",
		5, 100,
		"a\xe2\x80\xa7"
		"b");
	check("a\xe2\x81\xaa"
	      "b",
		5, 100,
		"a\xe2\x81\xaa"
		"b");
	check("a\xc2\xa0"
	      "b",
		4, 100,
		"a\xc2\xa0"
		"b");
}

static void test_broken_utf8_becomes_the_replacement_character(void **state)
{
	static const struct {
		const char *src;
		const char *expected;
	} cases[] = {
		{ "\x80", BAD },
		{ "a\xff"
		  "b",
			"a" BAD "b" },
		{ "\xc0\x80", BAD BAD },         /* overlong NUL */
		{ "\xc1\xbf", BAD BAD },         /* overlong */
		{ "\xe0\x80\xaf", BAD BAD BAD }, /* overlong slash */
		{ "\xf0\x80\x80\xaf", BAD BAD BAD BAD },
		{ "\xed\xa0\x80", BAD BAD BAD },         /* surrogate */
		{ "\xf4\x90\x80\x80", BAD BAD BAD BAD }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", BAD BAD BAD BAD },
		{ "\xe2\x82", BAD BAD }, /* cut */
		{ "\xe2\x82"
		  "a",
			BAD BAD "a" },
		{ "\xf0\x9f\x98", BAD BAD BAD },
		{ "\xc3", BAD },
		{ "\xfe\xff", BAD BAD },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		check(cases[i].src, strlen(cases[i].src), 100, cases[i].expected);
		assert_false(utf8_is_valid(cases[i].src, strlen(cases[i].src)));
	}
}

static void test_what_does_not_fit_is_cut_between_characters(void **state)
{
	(void)state;
	check("0123456789", 10, 11, "0123456789");
	check("0123456789", 10, 10, "012345" ELLIPSIS);
	check("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", 8, 9, "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc");
	check("\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc", 8, 8, "\xc3\xbc\xc3\xbc" ELLIPSIS);
	check("0123456789", 10, 4, ELLIPSIS);
	check("0123456789", 10, 3, "01");
	check("\xc3\xbc\xc3\xbc", 4, 3, "\xc3\xbc");
	check("0123456789", 10, 1, "");
	check("\xff\xff\xff", 3, 8, BAD ELLIPSIS);
}

static void test_blanks_at_the_end_are_no_reason_to_cut(void **state)
{
	(void)state;
	check("0123 \n  ", 8, 5, "0123");
	check("0123456789 \n  ", 14, 11, "0123456789");
}

static void test_size_zero_writes_nothing(void **state)
{
	char dst = '#';

	(void)state;
	assert_int_equal(sanitise(&dst, 0, "abc", 3), 0);
	assert_int_equal(dst, '#');
}

/* The rules that hold for any bytes in a buffer of any size. */
static void check_rules(const char *src, size_t len, size_t size)
{
	char dst[80], again[80];
	size_t n;

	memset(dst, '#', sizeof dst);
	n = sanitise(dst, size, src, len);
	assert_true(n < size);
	assert_int_equal(strlen(dst), n);
	assert_int_equal(dst[size], '#');
	assert_true(utf8_is_valid(dst, n));
	assert_null(strpbrk(dst, "\r\n\t\x1b\x7f"));
	assert_null(strstr(dst, "  "));
	assert_false(n > 0 && (dst[0] == ' ' || dst[n - 1] == ' '));
	/* Clean text is a fixed point. */
	assert_int_equal(sanitise(again, size, dst, n), n);
	assert_string_equal(again, dst);
}

static void test_any_bytes_in_any_size_keep_the_rules(void **state)
{
	/* Parts of characters, whole ones and blanks, so that most inputs are interesting. */
	static const char *const parts[] = { "a", " ", "\n", "\xc3", "\xbc", "\xe2", "\x80", "\xae",
		"\xf0\x9f", "\x98\x80", "\xff", "\xed\xa0", "\xe2\x80\xa8", "\x1b[0m", ELLIPSIS,
		BAD };
	struct rand rand;

	(void)state;
	rand_seed(&rand, 41);
	for (unsigned i = 0; i < 50000; i++) {
		char src[64] = "";
		size_t len = 0;

		while (len < 40 && rand_below(&rand, 20) > 0) {
			const char *part = parts[rand_below(&rand, array_size(parts))];

			memcpy(src + len, part, strlen(part));
			len += strlen(part);
		}
		check_rules(src, len, 1 + rand_below(&rand, 70));
	}
}

static void test_every_cut_of_a_text_keeps_the_rules(void **state)
{
	static const char text[] = "a\xc3\xbc\xe6\xbc\xa2\xf0\x9f\x98\x80 b\r\n\xff\xe2\x80\xae"
				   "end";

	(void)state;
	for (size_t from = 0; from < sizeof text; from++)
		for (size_t len = 0; from + len < sizeof text; len++)
			for (size_t size = 1; size < 40; size++)
				check_rules(text + from, len, size);
}

static void test_utf8_agrees_with_the_definition(void **state)
{
	char text[4];

	(void)state;
	/* Each code point, written by the definition of RFC 3629. */
	for (uint32_t code = 1; code <= 0x1100ff; code++) {
		size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
		static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
		bool is_valid = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);

		for (size_t i = len - 1, rest = code; i < len; i--, rest >>= 6)
			text[i] = (char)(i == 0 ? lead[len] | rest : 0x80 | (rest & 0x3f));
		if (utf8_is_valid(text, len) != is_valid)
			fail_msg("U+%04X", code);
		if (len > 1)
			assert_false(utf8_is_valid(text, len - 1));
	}
	assert_true(utf8_is_valid("", 0));
	assert_false(utf8_is_valid("a\0b", 3));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text_stays),
		cmocka_unit_test(test_control_characters_become_one_blank),
		cmocka_unit_test(test_separators_and_direction_overrides_become_a_blank),
		cmocka_unit_test(test_broken_utf8_becomes_the_replacement_character),
		cmocka_unit_test(test_what_does_not_fit_is_cut_between_characters),
		cmocka_unit_test(test_blanks_at_the_end_are_no_reason_to_cut),
		cmocka_unit_test(test_size_zero_writes_nothing),
		cmocka_unit_test(test_any_bytes_in_any_size_keep_the_rules),
		cmocka_unit_test(test_every_cut_of_a_text_keeps_the_rules),
		cmocka_unit_test(test_utf8_agrees_with_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rules of regular expressions: right answers, clear errors, and an end to every match. */
#include "modelhealth/text/regex.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/sbuf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct regex *compile(const char *pattern)
{
	struct regex *regex = NULL;
	char error[128] = "";
	size_t offset = 0;

	if (regex_compile(pattern, &regex, error, sizeof error, &offset) != 0)
		fail_msg("\"%s\" at %zu: %s", pattern, offset, error);
	return regex;
}

static enum regex_result match(const char *pattern, const char *text, size_t len)
{
	struct regex *regex = compile(pattern);
	enum regex_result result = regex_match(regex, text, len);

	assert_null(regex_free(regex));
	return result;
}

static void test_matches(void **state)
{
	static const struct {
		const char *pattern, *text;
		enum regex_result result;
	} cases[] = {
		{ "ok", "all ok here", REGEX_MATCH },
		{ "^ok$", "ok", REGEX_MATCH },
		{ "^ok$", "not ok", REGEX_NO_MATCH },
		{ "", "", REGEX_MATCH },
		{ "", "text", REGEX_MATCH },
		{ "a", "", REGEX_NO_MATCH },
		{ "(?i)READY", "is ready", REGEX_MATCH },
		{ "READY", "is ready", REGEX_NO_MATCH },
		{ "\"status\":\\s*\"(ok|up)\"", "{\"status\": \"up\"}", REGEX_MATCH },
		{ "a.c", "a\nc", REGEX_NO_MATCH },
		{ "(?s)a.c", "a\nc", REGEX_MATCH },
		{ "(\\w)\\1", "hello", REGEX_MATCH },
		{ "(a)(b)(c)(d)(e)", "abcde", REGEX_MATCH },
		{ "^.$", "\xc3\xbc", REGEX_MATCH },
		{ "^\\p{Han}+$", "\xe6\xbc\xa2\xe5\xad\x97", REGEX_MATCH },
		{ "[0-9]{3,5}", "ab1234", REGEX_MATCH },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++)
		if (match(cases[i].pattern, cases[i].text, strlen(cases[i].text)) !=
			cases[i].result)
			fail_msg("\"%s\" on \"%s\"", cases[i].pattern, cases[i].text);
}

static void test_text_is_bytes_with_a_length(void **state)
{
	(void)state;
	assert_int_equal(match("b", "a\0b", 3), REGEX_MATCH);
	assert_int_equal(match("b", "a\0b", 2), REGEX_NO_MATCH);
	/* Broken UTF-8 around a match does not hide it. */
	assert_int_equal(match("ok", "\xff\xfe ok \xc3", 7), REGEX_MATCH);
	assert_int_equal(match("^.$", "\xff", 1), REGEX_NO_MATCH);
}

static void test_a_bad_pattern_names_place_and_fault(void **state)
{
	static const struct {
		const char *pattern;
		size_t offset;
	} cases[] = {
		{ "(", 1 },
		{ "abc)", 3 },
		{ "a[", 2 },
		{ "*a", 0 },
		{ "a\\", 2 },
		{ "x{2,1}", 5 },
		{ "\\C", 2 },
		{ "(?<n>a)(?<n>b)", 12 },
		{ "\xff", 0 },
		{ "(*LIMIT_MATCH=400", 17 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct regex *regex = NULL;
		char error[128] = "";
		size_t offset = 999;

		if (regex_compile(cases[i].pattern, &regex, error, sizeof error, &offset) !=
				-EINVAL ||
			regex || error[0] == '\0' || offset != cases[i].offset)
			fail_msg("\"%s\": \"%s\" at %zu", cases[i].pattern, error, offset);
	}
}

static void test_a_pattern_has_a_bounded_size(void **state)
{
	struct regex *regex = NULL;
	char *pattern = malloc(5001);
	char error[128] = "";
	size_t offset = 0;

	(void)state;
	assert_non_null(pattern);
	memset(pattern, 'a', 5000);
	pattern[5000] = '\0';
	assert_int_equal(regex_compile(pattern, &regex, error, sizeof error, &offset), -EINVAL);
	free(pattern);
	/* Neither does repetition of repetition grow without end. */
	assert_int_equal(regex_compile("((((a{99}){99}){99}){99}){99}", &regex, error, sizeof error,
				 &offset),
		-EINVAL);
	assert_true(strlen(error) > 0);
}

static void test_no_pattern_holds_the_loop(void **state)
{
	/* Each took seconds to hours without the limits. */
	static const char *const patterns[] = { "\\w+\\s\\w+", "(?=.*q)x|z", "^(a+)+[xy]$",
		"((a|a)*)*[xy]", "(.+)+[xy]", "(?:(?:a?)*)*[xy]", "[ab]{9000}[cd]", "[ab]+?[xy]",
		"(a*)*\\1[xy]", "(?<=a{200})[xy]", "(.*)(.*)(.*)(.*)(.*)[xy]", "\\X*[xy]",
		"(?:a|aa)+[xy]", "(?R)?a[xy]", "(?:[ab]*[ab]*)*[xy]" };

	enum {
		LEN = 1 << 20
	};

	char *text = malloc(LEN);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', LEN);
	for (size_t i = 0; i < array_size(patterns); i++) {
		struct regex *regex = compile(patterns[i]);
		usec_t start = clock_monotonic(), took;
		enum regex_result result = regex_match(regex, text, LEN);

		took = clock_monotonic() - start;
		/* Some 20 ms; the margin is for sanitizers and a busy machine. */
		if (result == REGEX_MATCH || took > 2 * USEC_PER_SEC)
			fail_msg("\"%s\": %d after %lu us", patterns[i], (int)result,
				(unsigned long)took);
		regex_free(regex);
	}
	free(text);
}

static void test_honest_patterns_stay_within_the_limits(void **state)
{
	static const char *const patterns[] = { "end of the text$", "(?i)END", "\\bend\\b",
		"\"count\": *[0-9]+", "(?m)^.*\"count\"", "(?s)first.*end", "(?s)^.*end",
		"(?m)^line 5000 ", "[0-9]+ [a-z]+ \\{\"count\": 7\\} end" };
	struct sbuf text = SBUF_INIT;

	(void)state;
	sbuf_puts(&text, "first ");
	for (unsigned i = 0; i < 6000; i++)
		sbuf_printf(&text, "line %u of text, much as a metrics page\n", i);
	sbuf_puts(&text, "12 times {\"count\": 7} end of the text");
	assert_true(text.len > 250000 && !text.failed);
	for (size_t i = 0; i < array_size(patterns); i++)
		if (match(patterns[i], text.data, text.len) != REGEX_MATCH)
			fail_msg("\"%s\" did not match", patterns[i]);
	sbuf_fini(&text);
}

static void test_a_regex_can_be_used_again(void **state)
{
	struct regex *regex = compile("(a+)+[xy]$");
	char text[40];

	(void)state;
	memset(text, 'a', sizeof text);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(regex_match(regex, text, sizeof text), REGEX_LIMIT);
		assert_int_equal(regex_match(regex, "aaax", 4), REGEX_MATCH);
		assert_int_equal(regex_match(regex, "b", 1), REGEX_NO_MATCH);
	}
	regex_free(regex);
	assert_null(regex_free(NULL));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),
		cmocka_unit_test(test_text_is_bytes_with_a_length),
		cmocka_unit_test(test_a_bad_pattern_names_place_and_fault),
		cmocka_unit_test(test_a_pattern_has_a_bounded_size),
		cmocka_unit_test(test_no_pattern_holds_the_loop),
		cmocka_unit_test(test_honest_patterns_stay_within_the_limits),
		cmocka_unit_test(test_a_regex_can_be_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

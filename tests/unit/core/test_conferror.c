/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/conf.h"
#include "modelhealth/core/confscope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void test_errors_print_in_order_of_place(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	(void)state;
	assert_int_equal(conf_errors_add(&errors, "b.yaml", 1, 1, "late"), -EINVAL);
	(void)conf_errors_add(&errors, "a.yaml", 10, 2, "third");
	(void)conf_errors_add(&errors, "a.yaml", 9, 7, "second");
	(void)conf_errors_add(&errors, "a.yaml", 9, 3, "first");
	(void)conf_errors_add(&errors, "a.yaml", 0, 0, "whole");
	conf_errors_sort(&errors);
	conf_errors_print(&errors, &text);
	assert_string_equal(sbuf_str(&text),
		"a.yaml: whole\na.yaml:9:3: first\na.yaml:9:7: second\n"
		"a.yaml:10:2: third\nb.yaml:1:1: late\n");
}

static void test_same_error_is_said_once(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };

	(void)state;
	(void)conf_errors_add(&errors, "a", 1, 1, "x");
	(void)conf_errors_add(&errors, "a", 1, 1, "x");
	assert_int_equal(errors.n, 1);
	(void)conf_errors_add(&errors, "a", 1, 1, "y");
	assert_int_equal(errors.n, 2);
}

static void test_errors_are_bounded_and_say_so(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	(void)state;
	for (unsigned i = 0; i < CONF_MAX_ERRORS + 50; i++)
		(void)conf_errors_add(&errors, "a", i + 1, 1, "x");
	assert_int_equal(errors.n, CONF_MAX_ERRORS);
	assert_true(errors.truncated);
	conf_errors_print(&errors, &text);
	assert_non_null(strstr(sbuf_str(&text), "there are more errors"));
}

static void test_secret_never_stands_in_a_message(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	struct conf_scope scope = { .errors = &errors };
	const struct node node = { .type = NODE_SCALAR,
		.file = "a",
		.line = 1,
		.column = 2,
		.text = "sk-topsecret",
		.shown = "***",
		.is_secret = true };

	(void)state;
	(void)conf_error(&scope, &node, "bad %s, twice %s; got %s", node.text, node.text,
		conf_got(&scope, &node));
	assert_int_equal(errors.n, 1);
	assert_string_equal(errors.items[0].text, "bad ***, twice ***; got \"***\"");
}

static void test_message_is_one_clean_line(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	struct conf_scope scope = { .errors = &errors };
	const struct node node = {
		.type = NODE_SCALAR, .file = "a", .text = "a\n\033[31mb", .shown = "a\n\033[31mb"
	};

	(void)state;
	(void)conf_error(&scope, &node, "got %s\r\nX", conf_got(&scope, &node));
	assert_null(strpbrk(errors.items[0].text, "\n\r\033"));
}

static void test_long_value_is_cut(void **state)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	struct conf_scope scope = { .errors = &errors };
	char text[5000];
	const struct node node = { .type = NODE_SCALAR, .file = "a", .text = text, .shown = text };

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_true(strlen(conf_got(&scope, &node)) < CONF_GOT_SIZE);
	(void)conf_error(&scope, &node, "%s", text);
	assert_true(strlen(errors.items[0].text) < 1000);
}

static void test_did_you_mean_finds_the_nearest(void **state)
{
	static const char *const names[] = { "connect", "first_byte", "idle", "interval", "url" };

	static const struct {
		const char *word, *near;
	} cases[] = {
		{ "conect", "connect" },
		{ "intervall", "interval" },
		{ "intreval", "interval" },
		{ "firstbyte", "first_byte" },
		{ "idel", "idle" },
		{ "ur", "url" },
		{ "Url", "url" },
		{ "total", NULL },
		{ "", NULL },
		{ "x", NULL },
		{ "something_else", NULL },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		const char *near = conf_did_you_mean(names, array_size(names), cases[i].word);

		if (cases[i].near) {
			assert_non_null(near);
			assert_string_equal(near, cases[i].near);
		} else {
			assert_null(near);
		}
	}
}

static void test_did_you_mean_overlooks_endless_words(void **state)
{
	static char word[100000];
	const char *const names[] = { "connect", word };

	(void)state;
	memset(word, 'c', sizeof word - 1);
	assert_null(conf_did_you_mean(names, array_size(names), word));
	assert_string_equal(conf_did_you_mean(names, array_size(names), "conect"), "connect");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors_print_in_order_of_place),
		cmocka_unit_test(test_same_error_is_said_once),
		cmocka_unit_test(test_errors_are_bounded_and_say_so),
		cmocka_unit_test(test_secret_never_stands_in_a_message),
		cmocka_unit_test(test_message_is_one_clean_line),
		cmocka_unit_test(test_long_value_is_cut),
		cmocka_unit_test(test_did_you_mean_finds_the_nearest),
		cmocka_unit_test(test_did_you_mean_overlooks_endless_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

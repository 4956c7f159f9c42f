/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct template_value values[] = {
	{ "model", "org/llama 3\"\\\n" },
	{ "v", "1" },
};

static void assert_expands(const char *text, enum template_escape escape, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	template_expand(text, values, array_size(values), escape, &out);
	assert_false(out.failed);
	assert_string_equal(sbuf_str(&out), expected);
}

static void test_values_are_escaped_for_their_place(void **state)
{
	(void)state;
	assert_expands("<${model}>", TEMPLATE_PLAIN, "<org/llama 3\"\\\n>");
	assert_expands("/m/${model}/${v}", TEMPLATE_PATH, "/m/org%2Fllama%203%22%5C%0A/1");
	assert_expands("{\"m\":\"${model}\",\"v\":${v}}", TEMPLATE_JSON,
		"{\"m\":\"org/llama 3\\\"\\\\\\u000a\",\"v\":1}");
}

static void test_a_name_without_a_value_stays(void **state)
{
	(void)state;
	assert_expands("${other}${v}", TEMPLATE_PLAIN, "${other}1");
}

static void test_doubled_dollar_stands_for_the_characters(void **state)
{
	size_t len;

	(void)state;
	assert_expands("$${v}${v}", TEMPLATE_PLAIN, "${v}1");
	assert_expands("$$${v}", TEMPLATE_PLAIN, "$${v}");
	assert_false(template_uses("$${v}", "v"));
	assert_null(template_unknown("$${v} $${w}", NULL, 0, &len));
}

static void test_what_is_no_name_is_text(void **state)
{
	static const char *const texts[] = { "", "$", "${", "${}", "${v", "${V}", "${1}", "${v:x}",
		"$v", "${_}", "a$", "{v}" };

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		assert_expands(texts[i], TEMPLATE_PLAIN, texts[i]);
		assert_int_equal(template_reference(texts[i]), 0);
	}
}

static void test_unknown_names_are_found(void **state)
{
	static const char *const names[] = { "model", "v" };
	const char *text = "${v}${model}${ve}${x}";
	size_t len = 0;

	(void)state;
	assert_ptr_equal(template_unknown(text, names, 2, &len), text + 14);
	assert_int_equal(len, 2);
	assert_null(template_unknown("${v} ${model}", names, 2, &len));
	assert_true(template_uses(text, "x"));
	assert_false(template_uses(text, "mode"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_are_escaped_for_their_place),
		cmocka_unit_test(test_a_name_without_a_value_stays),
		cmocka_unit_test(test_doubled_dollar_stands_for_the_characters),
		cmocka_unit_test(test_what_is_no_name_is_text),
		cmocka_unit_test(test_unknown_names_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

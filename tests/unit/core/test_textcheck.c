/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/textcheck.h"

#include "modelhealth/base/sbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static bool is_repetitive(const char *text)
{
	const char *unit;
	size_t len, times;

	return text_is_repetitive(text, strlen(text), &unit, &len, &times);
}

static void repeat(struct sbuf *out, const char *unit, size_t times)
{
	for (size_t i = 0; i < times; i++)
		sbuf_puts(out, unit);
}

static void test_one_unit_over_and_over_is_noise(void **state)
{
	(void)state;
	assert_true(is_repetitive("!!!!!!!!"));
	assert_true(is_repetitive(" the the the the the the the the"));
	assert_true(is_repetitive("Po!!!!!!!!!!!!"));
	assert_true(is_repetitive("<unk><unk><unk><unk><unk><unk><unk><unk><un"));
	assert_true(is_repetitive("\n\n\n\n\n\n\n\n\n"));
	assert_true(is_repetitive("\xe7\x9a\x84\xe7\x9a\x84\xe7\x9a\x84\xe7\x9a\x84\xe7\x9a\x84"
				  "\xe7\x9a\x84\xe7\x9a\x84\xe7\x9a\x84"));
}

static void test_what_a_sound_model_writes_is_not(void **state)
{
	(void)state;
	assert_false(is_repetitive(""));
	assert_false(is_repetitive("ready"));
	assert_false(is_repetitive("1 1 1"));
	assert_false(is_repetitive("ha ha ha ha"));
	assert_false(is_repetitive("!!!!!!!"));
	assert_false(is_repetitive("Hmmmmmmmm, let me think of it ..."));
	assert_false(is_repetitive("Well, I would say that it is ready........"));
	assert_false(is_repetitive("1000000000000"));
	assert_false(is_repetitive("1 1 1 1 1 1 1 1 1 1"));
	assert_false(is_repetitive("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"));
}

static void test_the_shortest_unit_is_named(void **state)
{
	const char *unit;
	size_t len, times;

	(void)state;
	assert_true(text_is_repetitive("abababababababababab", 20, &unit, &len, &times));
	assert_int_equal(len, 2);
	assert_int_equal(times, 10);
	assert_memory_equal(unit, "ab", 2);
}

static void test_digits_must_repeat_longer(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	repeat(&text, "0", TEXTCHECK_MIN_DIGITS - 1);
	assert_false(is_repetitive(sbuf_str(&text)));
	sbuf_putc(&text, '0');
	assert_true(is_repetitive(sbuf_str(&text)));
	sbuf_fini(&text);
}

static void test_of_a_long_text_the_end_counts(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		sbuf_printf(&text, "%u bottles of beer; ", i * i);
	assert_false(is_repetitive(sbuf_str(&text)));
	repeat(&text, " the", TEXTCHECK_MAX_TEXT / 4);
	assert_true(is_repetitive(sbuf_str(&text)));
	sbuf_fini(&text);
}

static void test_a_long_unit_is_none(void **state)
{
	struct sbuf unit = SBUF_INIT, text = SBUF_INIT;

	(void)state;
	for (unsigned i = 0; unit.len < TEXTCHECK_MAX_UNIT + 1; i++)
		sbuf_printf(&unit, "%u;", i);
	repeat(&text, sbuf_str(&unit), 20);
	assert_false(is_repetitive(sbuf_str(&text)));
	sbuf_fini(&unit);
	sbuf_fini(&text);
}

static void test_white_space_is_blank(void **state)
{
	(void)state;
	assert_true(text_is_blank("", 0));
	assert_true(text_is_blank(" \n\t\0", 4));
	assert_false(text_is_blank(" \xc3\xa4", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_unit_over_and_over_is_noise),
		cmocka_unit_test(test_what_a_sound_model_writes_is_not),
		cmocka_unit_test(test_the_shortest_unit_is_named),
		cmocka_unit_test(test_digits_must_repeat_longer),
		cmocka_unit_test(test_of_a_long_text_the_end_counts),
		cmocka_unit_test(test_a_long_unit_is_none),
		cmocka_unit_test(test_white_space_is_blank),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

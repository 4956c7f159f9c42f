/* SPDX-License-Identifier: MIT */
/* Rules of the growing buffer. */
#include "modelhealth/base/sbuf.h"

#include "modelhealth/base/rand.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_empty_buffer_reads_as_empty_text(void **state)
{
	struct sbuf buf = SBUF_INIT;

	(void)state;
	assert_string_equal(sbuf_str(&buf), "");
	sbuf_add(&buf, "", 0);
	assert_string_equal(sbuf_str(&buf), "");
	assert_false(buf.failed);
	sbuf_fini(&buf);
}

static void test_text_is_always_terminated(void **state)
{
	struct sbuf buf = SBUF_INIT;
	char expected[1001];

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		expected[i] = (char)('a' + i % 26);
		expected[i + 1] = '\0';
		sbuf_putc(&buf, expected[i]);
		assert_int_equal(buf.len, i + 1);
		assert_string_equal(sbuf_str(&buf), expected);
	}
	sbuf_fini(&buf);
}

static void test_bytes_may_hold_nul(void **state)
{
	struct sbuf buf = SBUF_INIT;

	(void)state;
	sbuf_add(&buf, "a\0b", 3);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(sbuf_str(&buf), "a\0b", 4);
	sbuf_fini(&buf);
}

static void test_text_past_the_limit_is_refused_whole(void **state)
{
	struct sbuf buf = { .limit = 5 };

	(void)state;
	sbuf_puts(&buf, "12345");
	assert_false(buf.failed);
	sbuf_puts(&buf, "6");
	assert_true(buf.failed);
	assert_string_equal(sbuf_str(&buf), "12345");
	sbuf_clear(&buf);
	sbuf_puts(&buf, "123456");
	assert_true(buf.failed);
	assert_string_equal(sbuf_str(&buf), "");
	sbuf_fini(&buf);
	assert_int_equal(buf.limit, 5);
}

static void test_after_a_failure_nothing_is_appended(void **state)
{
	struct sbuf buf = { .limit = 5 };

	(void)state;
	sbuf_puts(&buf, "123456");
	sbuf_puts(&buf, "1");
	sbuf_putc(&buf, 'x');
	sbuf_printf(&buf, "%d", 1);
	sbuf_put_u64(&buf, 1);
	assert_null(sbuf_reserve(&buf, 1));
	assert_true(buf.failed);
	assert_int_equal(buf.len, 0);
	assert_null(sbuf_steal(&buf));
	assert_false(buf.failed);
}

static void test_reserve_of_an_impossible_size_fails(void **state)
{
	struct sbuf buf = SBUF_INIT;

	(void)state;
	sbuf_puts(&buf, "x");
	assert_null(sbuf_reserve(&buf, SIZE_MAX));
	assert_true(buf.failed);
	sbuf_clear(&buf);
	assert_null(sbuf_reserve(&buf, SIZE_MAX - 1));
	assert_true(buf.failed);
	sbuf_fini(&buf);
}

static void test_reserve_gives_room_behind_the_text(void **state)
{
	struct sbuf buf = SBUF_INIT;
	char *room;

	(void)state;
	sbuf_puts(&buf, "ab");
	room = sbuf_reserve(&buf, 300);
	assert_non_null(room);
	memset(room, 'x', 300);
	assert_ptr_equal(room, buf.data + 2);
	assert_int_equal(buf.len, 2);
	sbuf_fini(&buf);
}

static void test_printf_appends(void **state)
{
	struct sbuf buf = SBUF_INIT;

	(void)state;
	sbuf_printf(&buf, "%s-%d", "a", 1);
	sbuf_printf(&buf, "%0200d", 0);
	assert_int_equal(buf.len, 203);
	assert_memory_equal(buf.data, "a-1000", 6);
	sbuf_fini(&buf);
}

static void test_printf_past_the_limit_fails(void **state)
{
	struct sbuf buf = { .limit = 3 };

	(void)state;
	sbuf_printf(&buf, "%d", 1234);
	assert_true(buf.failed);
	assert_string_equal(sbuf_str(&buf), "");
	sbuf_fini(&buf);
}

static void test_u64_prints_as_printf_does(void **state)
{
	struct sbuf buf = SBUF_INIT;
	struct rand rand;
	char expected[32];

	(void)state;
	rand_seed(&rand, 7);
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t value = rand_next(&rand) >> (i % 64);

		sbuf_clear(&buf);
		sbuf_put_u64(&buf, value);
		(void)snprintf(expected, sizeof expected, "%" PRIu64, value);
		assert_string_equal(sbuf_str(&buf), expected);
	}
	sbuf_clear(&buf);
	sbuf_put_u64(&buf, 0);
	sbuf_put_u64(&buf, UINT64_MAX);
	assert_string_equal(sbuf_str(&buf), "018446744073709551615");
	sbuf_fini(&buf);
}

static void test_seconds_have_no_trailing_zeros(void **state)
{
	static const struct {
		usec_t usec;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "0.000001" },
		{ 250000, "0.25" },
		{ 999999, "0.999999" },
		{ 1000000, "1" },
		{ 1000100, "1.0001" },
		{ 10000000, "10" },
		{ UINT64_MAX, "18446744073709.551615" },
	};
	struct sbuf buf = SBUF_INIT;

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		sbuf_clear(&buf);
		sbuf_put_seconds(&buf, cases[i].usec);
		assert_string_equal(sbuf_str(&buf), cases[i].text);
	}
	sbuf_fini(&buf);
}

static void test_clear_keeps_the_memory(void **state)
{
	struct sbuf buf = SBUF_INIT;
	const char *data;
	size_t cap;

	(void)state;
	sbuf_printf(&buf, "%01000d", 1);
	data = buf.data;
	cap = buf.cap;
	sbuf_clear(&buf);
	assert_string_equal(sbuf_str(&buf), "");
	assert_ptr_equal(buf.data, data);
	assert_int_equal(buf.cap, cap);
	sbuf_fini(&buf);
	assert_null(buf.data);
}

static void test_steal_hands_over_and_leaves_an_empty_buffer(void **state)
{
	struct sbuf buf = SBUF_INIT;
	char *text;

	(void)state;
	sbuf_puts(&buf, "mine");
	text = sbuf_steal(&buf);
	assert_string_equal(text, "mine");
	free(text);
	assert_null(buf.data);
	text = sbuf_steal(&buf);
	assert_string_equal(text, "");
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_buffer_reads_as_empty_text),
		cmocka_unit_test(test_text_is_always_terminated),
		cmocka_unit_test(test_bytes_may_hold_nul),
		cmocka_unit_test(test_text_past_the_limit_is_refused_whole),
		cmocka_unit_test(test_after_a_failure_nothing_is_appended),
		cmocka_unit_test(test_reserve_of_an_impossible_size_fails),
		cmocka_unit_test(test_reserve_gives_room_behind_the_text),
		cmocka_unit_test(test_printf_appends),
		cmocka_unit_test(test_printf_past_the_limit_fails),
		cmocka_unit_test(test_u64_prints_as_printf_does),
		cmocka_unit_test(test_seconds_have_no_trailing_zeros),
		cmocka_unit_test(test_clear_keeps_the_memory),
		cmocka_unit_test(test_steal_hands_over_and_leaves_an_empty_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rules of memory that is freed at once. */
#include "modelhealth/base/arena.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_memory_is_zeroed_aligned_and_apart(void **state)
{
	struct arena arena = ARENA_INIT;
	struct rand rand;
	unsigned char *pieces[2000];
	size_t sizes[2000];

	(void)state;
	rand_seed(&rand, 1);
	for (size_t i = 0; i < array_size(pieces); i++) {
		/* Now and then one that needs a block of its own. */
		sizes[i] = rand_below(&rand, i % 100 == 0 ? 200000 : 300);
		pieces[i] = arena_alloc(&arena, sizes[i]);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], 0);
		memset(pieces[i], (int)(i % 255 + 1), sizes[i]);
	}
	for (size_t i = 0; i < array_size(pieces); i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i % 255 + 1);
	arena_fini(&arena);
}

static void test_texts_lie_close_and_do_not_shift_what_follows(void **state)
{
	struct arena arena = ARENA_INIT;
	char *one, *other;

	(void)state;
	one = arena_strdup(&arena, "12");
	other = arena_strdup(&arena, "3");
	assert_ptr_equal(other, one + 3);
	assert_int_equal((uintptr_t)arena_alloc(&arena, 1) % alignof(max_align_t), 0);
	assert_string_equal(one, "12");
	assert_string_equal(other, "3");
	arena_fini(&arena);
}

static void test_size_zero_is_an_object_too(void **state)
{
	struct arena arena = ARENA_INIT;

	(void)state;
	assert_non_null(arena_alloc(&arena, 0));
	assert_ptr_not_equal(arena_alloc(&arena, 0), arena_alloc(&arena, 0));
	arena_fini(&arena);
}

static void test_impossible_sizes_yield_null(void **state)
{
	struct arena arena = ARENA_INIT;

	(void)state;
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
	assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
	assert_null(arena_strndup(&arena, "x", SIZE_MAX));
	assert_int_equal(arena.used_bytes, 0);
	arena_fini(&arena);
}

static void test_large_piece_does_not_waste_the_block_in_use(void **state)
{
	struct arena arena = ARENA_INIT;
	char *small, *next;

	(void)state;
	small = arena_alloc(&arena, 16);
	assert_non_null(arena_alloc(&arena, 1000000));
	next = arena_alloc(&arena, 16);
	assert_ptr_equal(next, small + 16);
	arena_fini(&arena);
}

static void test_texts_are_copied(void **state)
{
	struct arena arena = ARENA_INIT;
	char source[] = "hello";
	char *whole, *part, *printed;

	(void)state;
	whole = arena_strdup(&arena, source);
	part = arena_strndup(&arena, source, 4);
	printed = arena_printf(&arena, "%s %d", source, 42);
	memset(source, 'x', 5);
	assert_string_equal(whole, "hello");
	assert_string_equal(part, "hell");
	assert_string_equal(printed, "hello 42");
	arena_fini(&arena);
}

static void test_wipe_leaves_no_byte_of_any_block(void **state)
{
	struct arena arena = ARENA_INIT;
	char *small, *large;

	(void)state;
	small = arena_strdup(&arena, "secret");
	large = arena_alloc(&arena, 100000);
	memset(large, 's', 100000);
	arena_wipe(&arena);
	assert_memory_equal(small, "\0\0\0\0\0\0", 6);
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(large[i], 0);
	arena_fini(&arena);
}

static void test_fini_makes_it_usable_again(void **state)
{
	struct arena arena = ARENA_INIT;

	(void)state;
	assert_non_null(arena_alloc(&arena, 10));
	arena_fini(&arena);
	assert_null(arena.blocks);
	assert_int_equal(arena.used_bytes, 0);
	arena_fini(&arena);
	assert_non_null(arena_alloc(&arena, 10));
	arena_fini(&arena);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(test_texts_lie_close_and_do_not_shift_what_follows),
		cmocka_unit_test(test_size_zero_is_an_object_too),
		cmocka_unit_test(test_impossible_sizes_yield_null),
		cmocka_unit_test(test_large_piece_does_not_waste_the_block_in_use),
		cmocka_unit_test(test_texts_are_copied),
		cmocka_unit_test(test_wipe_leaves_no_byte_of_any_block),
		cmocka_unit_test(test_fini_makes_it_usable_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/node.h"

#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_path_names_keys_and_indices(void **state)
{
	_cleanup_(sbuf_fini) struct sbuf path = SBUF_INIT;
	struct tree tree;

	(void)state;
	tree_init(&tree);
	(void)tree_set(&tree, "endpoints[0].name", "a");
	node_path(tree_set(&tree, "endpoints[1].timeout.connect", "2s"), &path);
	assert_string_equal(sbuf_str(&path), "endpoints[1].timeout.connect");
	sbuf_clear(&path);
	node_path(tree.root, &path);
	assert_string_equal(sbuf_str(&path), "");
	tree_fini(&tree);
}

static void test_get_finds_members_of_mappings_alone(void **state)
{
	struct tree tree;
	struct node *value;

	(void)state;
	tree_init(&tree);
	value = tree_set(&tree, "a.b", "1");
	assert_ptr_equal(node_get(node_get(tree.root, "a"), "b"), value);
	assert_null(node_get(tree.root, "b"));
	assert_null(node_get(value, "b"));
	assert_null(node_get(NULL, "b"));
	tree_fini(&tree);
}

static void test_null_is_an_unquoted_nothing(void **state)
{
	static const struct {
		const char *text;
		bool is_quoted, is_null;
	} cases[] = {
		{ "", false, true },
		{ "~", false, true },
		{ "null", false, true },
		{ "", true, false },
		{ "null", true, false },
		{ "Null", false, false },
		{ "0", false, false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		const struct node node = {
			.type = NODE_SCALAR, .text = cases[i].text, .is_quoted = cases[i].is_quoted
		};

		assert_int_equal(node_is_null(&node), cases[i].is_null);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_names_keys_and_indices),
		cmocka_unit_test(test_get_finds_members_of_mappings_alone),
		cmocka_unit_test(test_null_is_an_unquoted_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/confaddress.h"

#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void test_block_is_an_address_with_zeros_behind_its_prefix(void **state)
{
	static const struct {
		const char *text;
		int prefix; /* -1 = refused */
	} cases[] = {
		{ "10.0.0.0/8", 96 + 8 },
		{ "192.0.2.1", 128 },
		{ "0.0.0.0/0", 96 },
		{ "::/0", 0 },
		{ "::1", 128 },
		{ "fe80::/10", 10 },
		{ "10.0.0.1/8", -1 },
		{ "10.0.0.0/33", -1 },
		{ "fe80::/129", -1 },
		{ "10.0.0.0/", -1 },
		{ "10.0.0.0/-1", -1 },
		{ "10.0.0.0/+8", -1 },
		{ "10.0.0/8", -1 },
		{ "010.0.0.0/8", -1 },
		{ "localhost", -1 },
		{ "", -1 },
		{ "fe80::1%eth0", -1 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct address_block block;
		int rc = address_block_parse(cases[i].text, &block);

		assert_int_equal(rc, cases[i].prefix < 0 ? -EINVAL : 0);
		if (rc == 0)
			assert_int_equal(block.prefix, cases[i].prefix);
	}
}

static void test_v4_blocks_are_v4_mapped(void **state)
{
	static const uint8_t mapped[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 0, 0 };
	struct address_block block;

	(void)state;
	assert_int_equal(address_block_parse("10.1.0.0/16", &block), 0);
	assert_memory_equal(block.address, mapped, sizeof mapped);
}

static void test_link_local_is_denied_by_default(void **state)
{
	struct loaded loaded;

	(void)state;
	loaded_init(&loaded);
	loaded_build(&loaded);
	assert_int_equal(loaded.config->n_deny_addresses, 3);
	loaded_fini(&loaded);
}

static void test_own_deny_list_replaces_the_default(void **state)
{
	struct loaded loaded;

	(void)state;
	loaded_init(&loaded);
	(void)tree_add(&loaded.tree, "deny_addresses", NODE_SEQUENCE);
	loaded_build(&loaded);
	assert_int_equal(loaded.config->n_deny_addresses, 0);
	loaded_fini(&loaded);
}

static void test_listener_is_a_numeric_address_or_a_socket_path(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} cases[] = {
		{ "127.0.0.1:9877", true },
		{ "0.0.0.0:0", true },
		{ "[::1]:9877", true },
		{ "[::]:65535", true },
		{ "unix:/run/x.sock", true },
		{ "localhost:9877", false },
		{ "127.0.0.1", false },
		{ "127.0.0.1:", false },
		{ "127.0.0.1:65536", false },
		{ "127.0.0.1:+1", false },
		{ "::1:9877", false },
		{ "[::1]", false },
		{ "[127.0.0.1]:1", false },
		{ "unix:relative", false },
		{ "unix:", false },
		{ ":9877", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct loaded loaded;

		loaded_init(&loaded);
		tree_set(&loaded.tree, "status.listen[0]", cases[i].text)->is_quoted = true;
		loaded_build(&loaded);
		if ((loaded.config != NULL) != cases[i].is_good)
			fail_msg("%s: %s", cases[i].text, sbuf_str(&loaded.errors));
		loaded_fini(&loaded);
	}
}

static void test_socket_path_fits_the_kernel(void **state)
{
	char text[200] = "unix:/";
	struct loaded loaded;

	(void)state;
	memset(text + 6, 'x', 150);
	loaded_init(&loaded);
	(void)tree_set(&loaded.tree, "status.listen", text);
	loaded_build(&loaded);
	assert_null(loaded.config);
	loaded_fini(&loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_is_an_address_with_zeros_behind_its_prefix),
		cmocka_unit_test(test_v4_blocks_are_v4_mapped),
		cmocka_unit_test(test_link_local_is_denied_by_default),
		cmocka_unit_test(test_own_deny_list_replaces_the_default),
		cmocka_unit_test(test_listener_is_a_numeric_address_or_a_socket_path),
		cmocka_unit_test(test_socket_path_fits_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

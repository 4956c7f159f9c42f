/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/address.h"

#include "modelhealth/core/confaddress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

static void test_address_reads_what_it_writes(void **state)
{
	static const char *const texts[] = { "127.0.0.1", "255.255.255.255", "0.0.0.0", "::1",
		"::", "fe80::1", "64:ff9b::a9fe:a9fe" };
	char text[ADDRESS_TEXT_SIZE];
	struct address address;

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++) {
		assert_true(address_parse(texts[i], &address));
		address_format(&address, text);
		assert_string_equal(text, texts[i]);
	}
}

static void test_address_refuses_what_is_none(void **state)
{
	static const char *const texts[] = { "", "127.1", "0x7f000001", "0177.0.0.1", "256.0.0.1",
		"[::1]", "fe80::1%eth0", "localhost", " 127.0.0.1", "127.0.0.1 " };
	struct address address;

	(void)state;
	for (size_t i = 0; i < array_size(texts); i++)
		assert_false(address_parse(texts[i], &address));
}

static void test_address_v4_mapped_is_ipv4(void **state)
{
	struct address plain, mapped;

	(void)state;
	assert_true(address_parse("169.254.169.254", &plain));
	assert_true(address_parse("::ffff:169.254.169.254", &mapped));
	assert_true(address_is_ipv4(&mapped));
	assert_memory_equal(&plain, &mapped, sizeof plain);
}

static void test_address_deny_list_sees_through_gateways(void **state)
{
	static const struct {
		const char *block, *address;
		bool is_denied;
	} cases[] = {
		{ "169.254.0.0/16", "169.254.169.254", true },
		{ "169.254.0.0/16", "169.255.0.1", false },
		{ "169.254.0.0/16", "::ffff:169.254.169.254", true },
		{ "169.254.0.0/16", "64:ff9b::169.254.169.254", true },
		{ "169.254.0.0/16", "64:ff9b::10.0.0.1", false },
		{ "169.254.0.0/16", "2002:a9fe:a9fe::1", true },
		{ "169.254.0.0/16", "2002:a00:1::1", false },
		{ "fe80::/10", "fe80::1", true },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
		{ "fe80::/10", "169.254.169.254", false },
		{ "10.0.0.1", "10.0.0.1", true },
		{ "10.0.0.1", "10.0.0.2", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "8.8.8.8", true },
		{ "10.0.0.0/9", "10.127.0.1", true },
		{ "10.0.0.0/9", "10.128.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct address_block block;
		struct address address;

		assert_int_equal(address_block_parse(cases[i].block, &block), 0);
		assert_true(address_parse(cases[i].address, &address));
		if (address_is_denied(&address, &block, 1) != cases[i].is_denied)
			print_error("%s in %s\n", cases[i].address, cases[i].block);
		assert_true(address_is_denied(&address, &block, 1) == cases[i].is_denied);
		assert_false(address_is_denied(&address, &block, 0));
	}
}

static void test_address_route_asks_the_routing_table(void **state)
{
	struct address loopback, reserved;

	(void)state;
	assert_true(address_parse("127.0.0.1", &loopback));
	assert_int_equal(address_route(&loopback), 0);
	assert_true(address_parse("255.255.255.255", &reserved)); /* broadcast is not for us */
	assert_true(address_route(&reserved) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_reads_what_it_writes),
		cmocka_unit_test(test_address_refuses_what_is_none),
		cmocka_unit_test(test_address_v4_mapped_is_ipv4),
		cmocka_unit_test(test_address_deny_list_sees_through_gateways),
		cmocka_unit_test(test_address_route_asks_the_routing_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

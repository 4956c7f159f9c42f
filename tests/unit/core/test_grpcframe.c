/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/grpcframe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BYTES(text) (text), sizeof(text) - 1

static void check_text(struct sbuf *out, const char *bytes, size_t len)
{
	assert_int_equal(out->len, len);
	assert_memory_equal(sbuf_str(out), bytes, len);
	sbuf_fini(out);
}

static void test_grpc_requests_are_those_of_the_protocol(void **state)
{
	struct sbuf message = SBUF_INIT;
	struct sbuf out = SBUF_INIT;

	(void)state;
	grpc_put_frame(&out, "", 0);
	check_text(&out, BYTES("\0\0\0\0\0"));

	grpc_put_string(&message, 1, "ModelService");
	grpc_put_frame(&out, message.data, message.len);
	check_text(&out, BYTES("\0\0\0\0\x0e\x0a\x0cModelService"));
	sbuf_clear(&message);

	grpc_put_string(&message, 1, "m");
	grpc_put_string(&message, 2, "");
	grpc_put_string(&message, 2, "7");
	check_text(&message, BYTES("\x0a\x01m\x12\x01"
				   "7"));
}

static void test_grpc_a_long_name_has_a_length_of_two_bytes(void **state)
{
	struct sbuf message = SBUF_INIT;
	char name[201] = "";

	(void)state;
	memset(name, 'x', 200);
	grpc_put_string(&message, 1, name);
	assert_int_equal(message.len, 3 + 200);
	assert_memory_equal(message.data, "\x0a\xc8\x01x", 4);
	sbuf_fini(&message);
}

static void test_grpc_timeout_has_at_most_eight_digits(void **state)
{
	static const struct {
		usec_t timeout;
		const char *text;
	} values[] = {
		{ 0, "0u" },
		{ 2 * USEC_PER_SEC, "2000000u" },
		{ 99999999, "99999999u" },
		{ 100 * USEC_PER_SEC, "100000m" },
		{ 86400 * USEC_PER_SEC, "86400000m" },
		{ 100000 * USEC_PER_SEC, "100000S" },
		{ USEC_NEVER, "5124095H" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(values); i++) {
		struct sbuf out = SBUF_INIT;

		grpc_put_timeout(&out, values[i].timeout);
		if (i + 1 < array_size(values))
			assert_string_equal(sbuf_str(&out), values[i].text);
		assert_true(out.len <= 9);
		sbuf_fini(&out);
	}
}

static void test_grpc_one_whole_message_and_nothing_else(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		enum grpc_framing framing;
	} bodies[] = {
		{ BYTES("\0\0\0\0\0"), GRPC_WHOLE },
		{ BYTES("\0\0\0\0\x02\x08\x01"), GRPC_WHOLE },
		{ BYTES(""), GRPC_EMPTY },
		{ BYTES("\0"), GRPC_CUT },
		{ BYTES("\0\0\0\0"), GRPC_CUT },
		{ BYTES("\0\0\0\0\x02\x08"), GRPC_CUT },
		{ BYTES("\0\xff\xff\xff\xff"), GRPC_TOO_LONG },
		{ BYTES("\0\0\x01\0\x01"), GRPC_TOO_LONG },
		{ BYTES("\0\0\x01\0\0"), GRPC_CUT },
		{ BYTES("\x01\0\0\0\x02\x08\x01"), GRPC_COMPRESSED },
		{ BYTES("\x01"), GRPC_COMPRESSED },
		{ BYTES("<html>"), GRPC_BAD_FLAG },
		{ BYTES("\0\0\0\0\0\0\0\0\0\0"), GRPC_SEVERAL },
		{ BYTES("\0\0\0\0\x02\x08\x01\0"), GRPC_SEVERAL },
	};

	(void)state;
	for (size_t i = 0; i < array_size(bodies); i++) {
		const char *message = NULL;
		size_t len = 77;

		assert_int_equal(grpc_read_frame(bodies[i].body, bodies[i].len, &message, &len),
			bodies[i].framing);
		if (bodies[i].framing == GRPC_WHOLE) {
			assert_ptr_equal(message, bodies[i].body + GRPC_PREFIX_BYTES);
			assert_int_equal(len, bodies[i].len - GRPC_PREFIX_BYTES);
			assert_null(grpc_framing_text(bodies[i].framing));
		} else {
			assert_null(message);
			assert_non_null(grpc_framing_text(bodies[i].framing));
		}
	}
}

static void test_grpc_a_field_is_found_among_others(void **state)
{
	static const struct {
		const char *message;
		size_t len;
		bool is_good;
		uint64_t value;
	} messages[] = {
		{ BYTES(""), true, 0 }, { BYTES("\x08\x01"), true, 1 },
		{ BYTES("\x08\x01\x08\x02"), true, 2 }, { BYTES("\x08\xac\x02"), true, 300 },
		{ BYTES("\x12\x03xyz\x08\x02"), true, 2 },
		{ BYTES("\x11"
			"12345678\x1d"
			"1234\x08\x03"),
			true, 3 },
		{ BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true, UINT64_MAX },
		{ BYTES("\x10\x05"), true, 0 }, { BYTES("\x08"), false, 0 },
		{ BYTES("\x08\x80"), false, 0 },
		{ BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), false, 0 },
		{ BYTES("\x0a\x01x"), false, 0 },                 /* field 1 as bytes */
		{ BYTES("\x12\xff\xff\xff\xff\x0f"), false, 0 },  /* 4 GiB of bytes */
		{ BYTES("\x13"), false, 0 },                      /* a group */
		{ BYTES("\0\x01"), false, 0 },                    /* field 0 */
		{ BYTES("\x80\x80\x80\x80\x80\x01\1"), false, 0 } /* field 2^32 */
	};

	(void)state;
	for (size_t i = 0; i < array_size(messages); i++) {
		uint64_t value = 12345;

		assert_int_equal(grpc_read_varint(messages[i].message, messages[i].len, 1, &value),
			messages[i].is_good);
		assert_int_equal(value, messages[i].is_good ? messages[i].value : 12345);
	}
}

static void test_grpc_status_is_a_plain_number(void **state)
{
	static const char *const junk[] = { "", "-1", "+1", " 0", "0 ", "0x1", "OK", "1000",
		"1.0" };
	unsigned status = 99;

	(void)state;
	for (size_t i = 0; i < array_size(junk); i++)
		assert_false(grpc_read_status(junk[i], &status));
	assert_int_equal(status, 99);
	assert_true(grpc_read_status("0", &status));
	assert_int_equal(status, GRPC_OK);
	assert_true(grpc_read_status("14", &status));
	assert_string_equal(grpc_status_token(status), "unavailable");
	assert_true(grpc_read_status("999", &status));
	assert_null(grpc_status_token(status));
}

static void test_grpc_message_is_percent_decoded_where_it_is_encoded(void **state)
{
	static const char *const messages[][2] = {
		{ "loading", "loading" },
		{ "50%25 done%21", "50% done!" },
		{ "%e2%82%AC", "\xe2\x82\xac" },
		{ "100%", "100%" },
		{ "%4", "%4" },
		{ "%zz%4", "%zz%4" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(messages); i++) {
		struct sbuf out = SBUF_INIT;

		grpc_decode_message(messages[i][0], &out);
		assert_string_equal(sbuf_str(&out), messages[i][1]);
		sbuf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grpc_requests_are_those_of_the_protocol),
		cmocka_unit_test(test_grpc_a_long_name_has_a_length_of_two_bytes),
		cmocka_unit_test(test_grpc_timeout_has_at_most_eight_digits),
		cmocka_unit_test(test_grpc_one_whole_message_and_nothing_else),
		cmocka_unit_test(test_grpc_a_field_is_found_among_others),
		cmocka_unit_test(test_grpc_status_is_a_plain_number),
		cmocka_unit_test(test_grpc_message_is_percent_decoded_where_it_is_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

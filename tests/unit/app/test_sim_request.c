/* SPDX-License-Identifier: MIT */
/* Rules of the simulator's request parser. */
#include "modelhealth/app/sim/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct request *ret_request)
{
	return request_parse(text, strlen(text), ret_request);
}

static void a_request_is_read_with_its_query_and_body(void **state)
{
	static const char text[] = "POST /a?x=1&y=22 HTTP/1.1\r\nHost: h\r\nContent-LENGTH: 3 \r\n"
				   "\r\nabcGET";
	struct request request;
	char value[8];

	(void)state;
	assert_int_equal(parse(text, &request), 1);
	assert_true(slice_is(request.method, "POST"));
	assert_true(slice_is(request.path, "/a"));
	assert_true(slice_is(request.body, "abc"));
	assert_true(request.keep_alive);
	assert_int_equal(request.size, strlen(text) - 3);
	assert_true(request_parameter(&request, "y", value, sizeof value));
	assert_string_equal(value, "22");
	assert_false(request_parameter(&request, "z", value, sizeof value));
}

static void every_cut_of_a_request_waits_for_more(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
	struct request request;

	(void)state;
	for (size_t len = 0; len < sizeof text - 1; len++)
		assert_int_equal(request_parse(text, len, &request), 0);
	assert_int_equal(request_parse(text, sizeof text - 1, &request), 1);
}

static void connection_lasts_as_version_and_header_say(void **state)
{
	static const struct {
		const char *text;
		bool keep_alive;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nconnection: Close\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true },
	};
	struct request request;

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++) {
		assert_int_equal(parse(rows[i].text, &request), 1);
		assert_int_equal(request.keep_alive, rows[i].keep_alive);
	}
}

static void bad_requests_are_told_apart(void **state)
{
	static const struct {
		const char *text;
		int error;
	} rows[] = {
		{ "\r\n\r\n", -EBADMSG },
		{ "GET /\r\n\r\n", -EBADMSG },
		{ "GET / HTTP/2.0\r\n\r\n", -EBADMSG },
		{ "\x16\x03\x01\r\n\r\n", -EBADMSG },
		{ "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", -EBADMSG },
		{ "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", -EBADMSG },
		{ "GET / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", -E2BIG },
		{ "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", -ENOTSUP },
	};
	struct request request;

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++)
		assert_int_equal(parse(rows[i].text, &request), rows[i].error);
}

static void a_head_without_end_is_refused_at_its_limit(void **state)
{
	static char text[REQUEST_MAX_HEAD + 1];
	struct request request;

	(void)state;
	memset(text, 'a', sizeof text);
	assert_int_equal(request_parse(text, sizeof text - 1, &request), 0);
	assert_int_equal(request_parse(text, sizeof text, &request), -E2BIG);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_with_its_query_and_body),
		cmocka_unit_test(every_cut_of_a_request_waits_for_more),
		cmocka_unit_test(connection_lasts_as_version_and_header_say),
		cmocka_unit_test(bad_requests_are_told_apart),
		cmocka_unit_test(a_head_without_end_is_refused_at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

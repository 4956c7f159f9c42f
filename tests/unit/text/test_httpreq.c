/* SPDX-License-Identifier: MIT */
/*
 * What a request is read as. What is refused, and with which status, stands in the tests of
 * io/httpd, where the same bytes go over a socket.
 */
#include "modelhealth/text/httpreq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct reading {
	int head_len; /* or minus a status */
	int parsed;
	char *head;
	struct httpreq request;
};

static struct reading read_request(const char *text)
{
	struct reading reading = { 0 };
	size_t at = 0;

	reading.head_len = httpreq_scan(text, strlen(text), &at);
	if (reading.head_len <= 0)
		return reading;
	reading.head = strndup(text, (size_t)reading.head_len);
	assert_non_null(reading.head);
	reading.parsed = httpreq_parse(reading.head, (size_t)reading.head_len, &reading.request);
	return reading;
}

static void test_all_parts_are_decoded_and_found(void **state)
{
	struct reading reading = read_request(
		"GET /api/v1/%65ndpoints?state=down&label=team%3Dsearch+it&empty=&bare HTTP/1.1\r\n"
		"host:\t Example.org:9877 \r\nUser-Agent: x\r\nIF-NONE-MATCH: \"a\"\r\nACCEPT: text/*;q=0.5, */*\r\n\r\n"
		"rest");
	const struct httpreq *request = &reading.request;
	(void)state;

	assert_true(reading.head_len > 0);
	assert_int_equal(reading.parsed, 0);
	assert_int_equal(request->method, HTTP_GET);
	assert_string_equal(request->path, "/api/v1/endpoints");
	assert_int_equal(request->n_params, 4);
	assert_string_equal(httpreq_param(request, "state"), "down");
	assert_string_equal(httpreq_param(request, "label"), "team=search it");
	assert_string_equal(httpreq_param(request, "empty"), "");
	assert_string_equal(httpreq_param(request, "bare"), "");
	assert_null(httpreq_param(request, "State"));
	assert_string_equal(request->host, "Example.org");
	assert_string_equal(request->if_none_match, "\"a\"");
	assert_string_equal(request->accept, "text/*;q=0.5, */*");
	assert_int_equal(request->content_length, 0);
	free(reading.head);
}

static void test_methods_and_lengths(void **state)
{
	static const struct {
		const char *text;
		enum http_method method;
		size_t content_length;
	} cases[] = {
		{ "GET / HTTP/1.0\r\n\r\n", HTTP_GET, 0 },
		{ "HEAD / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", HTTP_HEAD, 0 },
		{ "POST / HTTP/1.0\r\n\r\n", HTTP_POST, 0 },
		{ "POST / HTTP/1.0\r\nContent-Length: 4096\r\n\r\n", HTTP_POST, 4096 },
		{ "POST / HTTP/1.0\r\nContent-Length: 007\r\n\r\n", HTTP_POST, 7 },
	};

	(void)state;

	for (size_t i = 0; i < array_size(cases); i++) {
		struct reading reading = read_request(cases[i].text);

		assert_int_equal(reading.parsed, 0);
		assert_int_equal(reading.request.method, cases[i].method);
		assert_int_equal(reading.request.content_length, cases[i].content_length);
		free(reading.head);
	}
}

static void test_hosts_lose_their_port_and_keep_their_brackets(void **state)
{
	static const struct {
		const char *field, *host; /* NULL = refused */
	} cases[] = {
		{ "localhost", "localhost" },
		{ "127.0.0.1:80", "127.0.0.1" },
		{ "[::1]:80", "[::1]" },
		{ "[fe80::1]", "[fe80::1]" },
		{ "host:", "host" },
		{ "", NULL },
		{ ":80", NULL },
		{ "[::1", NULL },
		{ "[x]", NULL },
		{ "a:b", NULL },
		{ "a/b", NULL },
	};

	(void)state;

	for (size_t i = 0; i < array_size(cases); i++) {
		char text[128];
		struct reading reading;

		(void)snprintf(
			text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].field);
		reading = read_request(text);
		assert_int_equal(reading.parsed, cases[i].host ? 0 : -400);
		if (cases[i].host)
			assert_string_equal(reading.request.host, cases[i].host);
		free(reading.head);
	}
}

/* Every prefix of a good request needs more; the whole is complete, however it was cut. */
static void test_a_request_is_complete_at_its_empty_line_and_not_before(void **state)
{
	static const char text[] = "GET /a?b=c HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n";
	size_t at = 0;
	(void)state;

	for (size_t len = 0; len < strlen(text); len++)
		assert_int_equal(httpreq_scan(text, len, &at), 0);
	assert_int_equal(httpreq_scan(text, strlen(text), &at), strlen(text));
}

static void test_other_protocols_are_refused_at_their_first_line(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "\x16", -400 },
		{ "PRI * HTTP/2.0\r\n", -501 },
		{ "*1\r\n", -400 },
		{ "EHLO x\r\n", -400 },
		{ "GET / HTTP/1.1\n", -400 },
		{ "PUT / HTTP/1.1\r\n", -405 },
		{ "GET / HTTP/3.0\r\n", -505 },
	};

	(void)state;

	for (size_t i = 0; i < array_size(cases); i++)
		assert_int_equal(read_request(cases[i].text).head_len, cases[i].status);
}

static void test_sixteen_parameters_are_enough(void **state)
{
	char text[256] = "GET /?a0";
	struct reading reading;
	(void)state;

	for (unsigned n = 1; n <= HTTPREQ_MAX_PARAMS; n++) {
		char request[300];

		(void)snprintf(request, sizeof request, "%s HTTP/1.0\r\n\r\n", text);
		reading = read_request(request);
		assert_int_equal(reading.parsed, 0);
		assert_int_equal(reading.request.n_params, n);
		free(reading.head);
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "&a%u", n);
	}
	(void)snprintf(text + strlen(text), sizeof text - strlen(text), " HTTP/1.0\r\n\r\n");
	reading = read_request(text);
	assert_int_equal(reading.parsed, -414);
	free(reading.head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_parts_are_decoded_and_found),
		cmocka_unit_test(test_methods_and_lengths),
		cmocka_unit_test(test_hosts_lose_their_port_and_keep_their_brackets),
		cmocka_unit_test(test_a_request_is_complete_at_its_empty_line_and_not_before),
		cmocka_unit_test(test_other_protocols_are_refused_at_their_first_line),
		cmocka_unit_test(test_sixteen_parameters_are_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

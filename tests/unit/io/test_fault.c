/* SPDX-License-Identifier: MIT */
/* What libcurl's codes and an errno mean together. */
#include "modelhealth/io/fault.h"

#include <curl/curl.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum reason reason_of(CURLcode code, int error, const char *text)
{
	return fault_reason(&(struct fault){
		.curl_code = (int)code, .os_errno = error, .step = FAULT_REQUEST, .text = text });
}

static void test_a_host_that_lacks_something_is_no_reset(void **state)
{
	static const struct {
		int error;
		enum reason reason;
	} rows[] = {
		{ ENOBUFS, REASON_LOCAL_MEMORY },
		{ ENOMEM, REASON_LOCAL_MEMORY },
		{ EPERM, REASON_LOCAL_NETWORK },
		{ EACCES, REASON_LOCAL_NETWORK },
		{ ENETDOWN, REASON_LOCAL_NETWORK },
		{ 0, REASON_CONN_RESET },
		{ EPIPE, REASON_CONN_RESET },
		{ ECONNRESET, REASON_CONN_RESET },
		{ EHOSTUNREACH, REASON_CONN_RESET },
	};

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++) {
		assert_int_equal(reason_of(CURLE_SEND_ERROR, rows[i].error, ""), rows[i].reason);
		assert_int_equal(reason_of(CURLE_RECV_ERROR, rows[i].error, ""), rows[i].reason);
	}
}

static void test_what_the_peer_did_says_more_than_an_errno(void **state)
{
	(void)state;
	assert_int_equal(reason_of(CURLE_RECV_ERROR, ENOMEM, "Illegal or missing chunk"),
		REASON_PROTOCOL_ERROR);
	assert_int_equal(reason_of(CURLE_GOT_NOTHING, ENOMEM, ""), REASON_CONN_RESET);
}

static void test_no_connection_has_the_reason_of_its_errno(void **state)
{
	(void)state;
	assert_int_equal(
		reason_of(CURLE_COULDNT_CONNECT, ECONNREFUSED, ""), REASON_CONNECT_REFUSED);
	assert_int_equal(reason_of(CURLE_COULDNT_CONNECT, EMFILE, ""), REASON_LOCAL_FDS);
	assert_int_equal(reason_of(CURLE_COULDNT_CONNECT, EADDRNOTAVAIL, ""), REASON_LOCAL_PORTS);
	assert_int_equal(reason_of(CURLE_COULDNT_CONNECT, 0, ""), REASON_CONNECT_UNREACHABLE);
}

static void test_what_we_asked_for_in_vain_is_our_fault(void **state)
{
	(void)state;
	assert_int_equal(reason_of(CURLE_BAD_FUNCTION_ARGUMENT, 0, ""), REASON_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_host_that_lacks_something_is_no_reset),
		cmocka_unit_test(test_what_the_peer_did_says_more_than_an_errno),
		cmocka_unit_test(test_no_connection_has_the_reason_of_its_errno),
		cmocka_unit_test(test_what_we_asked_for_in_vain_is_our_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

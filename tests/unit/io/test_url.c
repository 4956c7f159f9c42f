/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static const unsigned web = 1u << URL_HTTP | 1u << URL_HTTPS;

static void test_url_is_taken_apart(void **state)
{
	static const struct {
		const char *text, *host, *target;
		uint16_t port;
		bool is_tls;
	} urls[] = {
		{ "http://models.example/v1", "models.example", "/v1", 80, false },
		{ "HTTPS://Models.Example:8443", "models.example", "/", 8443, true },
		{ "http://a/x?y=1&z#fragment", "a", "/x?y=1&z", 80, false },
		{ "http://a?q", "a", "/?q", 80, false },
		{ "http://[FE80::1]:1/", "fe80::1", "/", 1, false },
		{ "http://0x7f000001/", "127.0.0.1", "/", 80, false },
		{ "http://127.1/", "127.0.0.1", "/", 80, false },
		{ "http://0177.0.0.1/", "127.0.0.1", "/", 80, false },
		{ "http://2130706433/", "127.0.0.1", "/", 80, false },
		{ "http://%33/", "0.0.0.3", "/", 80, false },
		{ "http://%31%32%37.1:8000/", "127.0.0.1", "/", 8000, false },
		{ "http://%30x7f.1/x?y", "127.0.0.1", "/x?y", 80, false },
		{ "http:/%61%2E/", "a.", "/", 80, false },
		{ "http://a/../../b/./c", "a", "/b/c", 80, false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(urls); i++) {
		const char *error;
		struct url *url;

		assert_int_equal(url_parse(urls[i].text, web, &url, &error), 0);
		assert_string_equal(url->host, urls[i].host);
		assert_string_equal(url->target, urls[i].target);
		assert_int_equal(url->port, urls[i].port);
		assert_true(url->is_tls == urls[i].is_tls);
		url_free(url);
	}
}

static void test_url_user_and_password_are_decoded_secrets(void **state)
{
	const char *error;
	struct url *url;

	(void)state;
	assert_int_equal(url_parse("http://us%40er:p%3Ass@a/", web, &url, &error), 0);
	assert_string_equal(secret_expose(url->user), "us@er");
	assert_string_equal(secret_expose(url->password), "p:ss");
	assert_string_equal(url->host, "a");
	url_free(url);
}

static void test_url_refuses_with_words(void **state)
{
	static const struct {
		const char *text;
		int error;
	} urls[] = {
		{ "", -EINVAL },
		{ "models.example/v1", -EINVAL },
		{ "ftp://a/", -EPROTONOSUPPORT },
		{ "tcp://a:1", -EPROTONOSUPPORT },
		{ "http://", -EINVAL },
		{ "http://a:0/", -EINVAL },
		{ "http://a:65536/", -EINVAL },
		{ "http://a b/", -EINVAL },
		{ "http://a\r\nb/", -EINVAL },
		{ "http://[fe80::1%25eth0]/", -EINVAL },
		{ "http://b\xc3\xbc.example/", -EINVAL },
		{ "http://a%25b/", -EINVAL },
		{ "http://[::1/", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < array_size(urls); i++) {
		const char *error = NULL;
		struct url *url;
		int r = url_parse(urls[i].text, web, &url, &error);

		if (r != urls[i].error)
			print_error("%s\n", urls[i].text);
		assert_int_equal(r, urls[i].error);
		assert_true(error && error[0] != '\0');
	}
}

static void test_url_tcp_needs_a_port(void **state)
{
	const char *error;
	struct url *url;

	(void)state;
	assert_int_equal(url_parse("tcp://a", 1u << URL_TCP, &url, &error), -EINVAL);
	assert_string_equal(error, "needs a port, like host:8000");
	assert_int_equal(url_parse("tls://a:636", 1u << URL_TLS, &url, &error), 0);
	assert_true(url->is_tls && url->port == 636);
	url_free(url);
}

static void test_url_join_follows_references_without_the_user(void **state)
{
	static const struct {
		const char *reference, *host, *target;
		uint16_t port;
	} joins[] = {
		{ "/next", "a", "/next", 8000 },
		{ "next", "a", "/v1/next", 8000 },
		{ "?x", "a", "/v1/start?x", 8000 },
		{ "//b/next", "b", "/next", 80 },
		{ "http://a:8000/next", "a", "/next", 8000 },
		{ "https://a/", "a", "/", 443 },
		{ "/a b", "a", "/a%20b", 8000 },
		{ "../../x", "a", "/x", 8000 },
	};

	const char *error;
	struct url *base, *joined;

	(void)state;
	assert_int_equal(url_parse("http://user:word@a:8000/v1/start", web, &base, &error), 0);
	for (size_t i = 0; i < array_size(joins); i++) {
		assert_int_equal(url_join(base, joins[i].reference, web, &joined, &error), 0);
		assert_string_equal(joined->host, joins[i].host);
		assert_string_equal(joined->target, joins[i].target);
		assert_int_equal(joined->port, joins[i].port);
		assert_false(secret_is_set(joined->user) || secret_is_set(joined->password));
		url_free(joined);
	}
	url_free(base);
}

static void test_url_retarget_stays_at_the_origin(void **state)
{
	static const struct {
		const char *target;
		int result;
	} targets[] = {
		{ "/", 0 },
		{ "/v1/next?page=%2F..%2F", 0 },
		{ "//b/next", 0 }, /* a path with two slashes, not the host b */
		{ "/v1/../admin", -EINVAL },
		{ "/v1/./x", -EINVAL },
		{ "/v1/..", -EINVAL },
		{ "@b/next", -EINVAL },
		{ "/v1#x", -EINVAL },
	};

	const char *error;
	struct url *base, *url;

	(void)state;
	assert_int_equal(url_parse("http://user:word@a:8000/v1/start", web, &base, &error), 0);
	for (size_t i = 0; i < array_size(targets); i++) {
		if (url_retarget(base, targets[i].target, &url) != targets[i].result)
			fail_msg("%s", targets[i].target);
		if (targets[i].result < 0)
			continue;
		assert_string_equal(url->target, targets[i].target);
		assert_true(url_same_origin(url, base));
		assert_false(secret_is_set(url->user) || secret_is_set(url->password));
		url_free(url);
	}
	url_free(base);
}

static void test_url_same_origin_is_scheme_host_and_port(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} pairs[] = {
		{ "http://a/x", "http://A:80/y?z", true },
		{ "http://a/", "https://a/", false },
		{ "http://a/", "http://a:81/", false },
		{ "http://a/", "http://a.b/", false },
		{ "http://a:443/", "https://a/", false },
		{ "http://127.0.0.1/", "http://127.1/", true },
		{ "http://127.0.0.1/", "http://%3127.%31/", true },
	};

	(void)state;
	for (size_t i = 0; i < array_size(pairs); i++) {
		const char *error;
		struct url *a, *b;

		assert_int_equal(url_parse(pairs[i].a, web, &a, &error), 0);
		assert_int_equal(url_parse(pairs[i].b, web, &b, &error), 0);
		assert_true(url_same_origin(a, b) == pairs[i].is_same);
		url_free(a);
		url_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url_is_taken_apart),
		cmocka_unit_test(test_url_user_and_password_are_decoded_secrets),
		cmocka_unit_test(test_url_refuses_with_words),
		cmocka_unit_test(test_url_tcp_needs_a_port),
		cmocka_unit_test(test_url_join_follows_references_without_the_user),
		cmocka_unit_test(test_url_retarget_stays_at_the_origin),
		cmocka_unit_test(test_url_same_origin_is_scheme_host_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "checked.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

/* Two origins on one machine: they differ by port. */
struct fixture {
	struct peer home, other;
	char home_answer[512], other_answer[512]; /* "" = echo the request */
	struct checked checked;
	struct runner runner;
};

/* Answers with the text in arg, or with the request as body. */
static void talk(struct peer *peer, int fd, unsigned number)
{
	const char *answer = peer->arg;
	char request[4096], head[64];
	size_t len;

	(void)number;
	while ((len = peer_read_request(peer, fd, request, sizeof request)) > 0) {
		/* only the first path redirects, so that a hop back home is echoed */
		if (answer[0] != '\0' && strstr(request, " /start ")) {
			peer_send(fd, answer);
			continue;
		}
		(void)snprintf(
			head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
		peer_send(fd, head);
		peer_send(fd, request);
	}
}

static void open_fixture(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	peer_start(&f->home, talk, f->home_answer);
	peer_start(&f->other, talk, f->other_answer);
}

static void close_fixture(struct fixture *f)
{
	peer_stop(&f->home);
	peer_stop(&f->other);
}

/* Loads a check of home's /start with these lines, runs it once and returns its reason. */
static const char *run(struct fixture *f, const char *user, const char *lines)
{
	const char *reason;
	char url[128];

	(void)snprintf(url, sizeof url, "http://%s127.0.0.1:%u/start", user, f->home.port);
	checked_http(&f->checked, url, lines);
	if (!f->checked.config)
		print_error("%s", sbuf_str(&f->checked.errors));
	runner_open(&f->runner, &f->checked);
	reason = runner_run(&f->runner);
	return reason;
}

static void end_run(struct fixture *f)
{
	runner_close(&f->runner);
	checked_fini(&f->checked);
}

#define assert_run(f, user, lines, expected)                              \
	do {                                                              \
		assert_string_equal(run((f), (user), (lines)), expected); \
		end_run(f);                                               \
	} while (0)

__attribute__((format(printf, 2, 3))) static void redirect(char *answer, const char *location, ...)
{
	va_list args;
	char text[256];

	va_start(args, location);
	(void)vsnprintf(text, sizeof text, location, args);
	va_end(args);
	(void)snprintf(answer, 512,
		"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", text);
}

static void test_http_headers_key_and_user_are_sent(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_run(&f, "",
		"    api_key: marker\n"
		"    headers: { X-Custom: there }\n"
		"    expect: { body: { matches: '(?s)X-Custom: there.*Authorization: Bearer marker' } "
		"}\n",
		"ok");
	assert_run(&f, "user:p%40ss@",
		"    expect: { body: { contains: 'Authorization: Basic dXNlcjpwQHNz' } }\n", "ok");
	assert_run(
		&f, "", "    expect: { body: { contains: 'User-Agent: modelhealthd/' } }\n", "ok");
	close_fixture(&f);
}

static void test_http_path_replaces_that_of_the_url(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_run(&f, "user:word@",
		"    path: /v1/models?x=1\n"
		"    expect: { body: { matches: '(?s)^GET /v1/models.x=1 .*Basic' } }\n",
		"ok");
	close_fixture(&f);
}

static void test_http_body_and_method_are_sent(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_run(&f, "",
		"    method: POST\n    body: '{}'\n"
		"    expect: { body: { matches: '(?s)^POST .*Content-Length: 2' } }\n",
		"ok");
	close_fixture(&f);
}

static void test_http_retry_after_is_taken(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	(void)snprintf(f.home_answer, sizeof f.home_answer, "%s",
		"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(run(&f, "", ""), "rate_limited");
	assert_int_equal(f.runner.probe.result.retry_after, 7 * USEC_PER_SEC);
	assert_int_equal(f.runner.probe.result.verdict, VERDICT_DEGRADED);
	end_run(&f);
	close_fixture(&f);
}

static void test_http_redirects_are_off_by_default(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	redirect(f.home_answer, "http://127.0.0.1:%u/next", f.other.port);
	assert_run(&f, "", "", "http_status");
	assert_int_equal(atomic_load(&f.other.connections), 0);
	close_fixture(&f);
}

static void test_http_redirect_home_keeps_headers(void **state)
{
	static const char *const locations[] = { "/next", "next", "?next", "//127.0.0.1:%u/next",
		"http://127.0.0.1:%u/next" };
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (size_t i = 0; i < array_size(locations); i++) {
		char location[64];

		(void)snprintf(location, sizeof location, "%s", locations[i]);
		if (strchr(location, '%'))
			(void)snprintf(strchr(location, '%'), 16, "%u/next", f.home.port);
		redirect(f.home_answer, "%s", location);
		assert_run(&f, "",
			"    redirects: 1\n    api_key: marker\n"
			"    expect: { body: { matches: '(?s)next.*Bearer marker' } }\n",
			"ok");
	}
	close_fixture(&f);
}

/* Every way to attach a secret, and none of them reaches the other origin. */
static void test_http_redirect_elsewhere_carries_nothing(void **state)
{
	static const char *const secrets[] = {
		"    api_key: marker\n",
		"    headers: { Authorization: Bearer marker }\n",
		"    headers: { x-api-key: marker }\n",
		"    headers: { api-key: marker }\n",
		"    headers: { x-goog-api-key: marker }\n",
		"    headers: { Cookie: marker }\n",
		"    headers: { X-Anything: marker }\n",
	};
	struct fixture f;
	char lines[256];

	(void)state;
	open_fixture(&f);
	redirect(f.home_answer, "http://127.0.0.1:%u/next", f.other.port);
	for (size_t i = 0; i < array_size(secrets); i++) {
		(void)snprintf(lines, sizeof lines,
			"    redirects: 1\n%s"
			"    expect: { body: { contains: 'GET /next', not_matches: marker } }\n",
			secrets[i]);
		assert_run(&f, "", lines, "ok");
	}
	assert_run(&f, "user:marker@",
		"    redirects: 1\n"
		"    expect: { body: { contains: 'GET /next', not_matches: '(?i)authorization' } }\n",
		"ok");
	assert_int_equal(atomic_load(&f.other.connections), array_size(secrets) + 1);
	close_fixture(&f);
}

static void test_http_redirects_that_are_refused(void **state)
{
	static const char *const locations[] = { "ftp://127.0.0.1/next", "file:///etc/passwd",
		"gopher://127.0.0.1/", "data:text/plain,ok", "http://user:word@127.0.0.1/next",
		"http://127.0.0.1:80:9/next", "http://[::1/next", "http:///" };
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (size_t i = 0; i < array_size(locations); i++) {
		redirect(f.home_answer, "%s", locations[i]);
		assert_run(&f, "", "    redirects: 3\n", "redirect_refused");
	}
	assert_int_equal(atomic_load(&f.other.connections), 0);
	close_fixture(&f);
}

static void test_http_redirects_end_at_their_limit(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	redirect(f.home_answer, "http://127.0.0.1:%u/start", f.other.port);
	redirect(f.other_answer, "http://127.0.0.1:%u/start", f.home.port);
	assert_run(&f, "", "    redirects: 3\n", "redirect_refused");
	assert_int_equal(atomic_load(&f.home.connections) + atomic_load(&f.other.connections), 4);
	close_fixture(&f);
}

static void test_http_a_body_stays_at_home(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	(void)snprintf(f.home_answer, sizeof f.home_answer,
		"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:%u/next\r\n"
		"Content-Length: 0\r\nConnection: close\r\n\r\n",
		f.other.port);
	assert_run(&f, "", "    redirects: 1\n    method: POST\n    body: marker\n",
		"redirect_refused");
	assert_int_equal(atomic_load(&f.other.connections), 0);
	/* 303 asks anew without it */
	(void)memcpy(strstr(f.home_answer, "307"), "303", 3);
	assert_run(&f, "",
		"    redirects: 1\n    method: POST\n    body: marker\n"
		"    expect: { body: { contains: 'GET /next' } }\n",
		"ok");
	close_fixture(&f);
}

static void test_http_deny_list_holds_for_redirects(void **state)
{
	struct fixture f;
	char yaml[256];

	(void)state;
	open_fixture(&f);
	redirect(f.home_answer, "http://127.9.9.9:%u/next", f.other.port);
	(void)snprintf(yaml, sizeof yaml,
		"deny_addresses: [ 127.9.0.0/16 ]\n"
		"endpoints: [ { name: a, type: http, url: 'http://127.0.0.1:%u/start', "
		"redirects: 1 } ]\n",
		f.home.port);
	checked_load(&f.checked, yaml);
	runner_open(&f.runner, &f.checked);
	assert_string_equal(runner_run(&f.runner), "address_denied");
	end_run(&f);
	close_fixture(&f);
}

static void test_http_cancel_during_a_hop_is_silent(void **state)
{
	struct fixture f;
	char url[64];

	(void)state;
	open_fixture(&f);
	redirect(f.home_answer, "http://127.0.0.1:%u/next", f.other.port);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/start", f.home.port);
	checked_http(&f.checked, url, "    redirects: 1\n");
	runner_open(&f.runner, &f.checked);
	runner_start(&f.runner);
	while (atomic_load(&f.other.connections) == 0 && f.runner.done == 0)
		bench_loop(&f.runner.bench, USEC_PER_MSEC);
	if (f.runner.done == 0)
		f.runner.probe.spec->kind->cancel(&f.runner.probe);
	bench_loop(&f.runner.bench, 10 * USEC_PER_MSEC);
	assert_in_range(f.runner.done, 0, 1);
	end_run(&f);
	close_fixture(&f);
}

static void test_http_load_refuses_what_cannot_work(void **state)
{
	static const struct {
		const char *lines, *part;
	} cases[] = {
		{ "    method: 'GET /'\n", "is not a method" },
		{ "    headers: { 'A b': x }\n", "expected a name" },
		{ "    headers: { A: \"x\\r\\nB: y\" }\n", "control characters" },
		{ "    api_key: \"x\\ny\"\n", "control characters" },
		{ "    path: health\n", "expected a path" },
		{ "    path: //evil\n", "expected a path" },
		{ "    redirects: 4\n", "redirects" },
		{ "    tls: { server_name: a/b }\n", "expected a host name" },
		{ "    tls: { server_name: 'a:1' }\n", "expected a host name" },
		{ "    tls: { server_name: 'x@a' }\n", "expected a host name" },
		{ "    tls: { server_name: '' }\n", "expected a host name" },
		{ "    tls: { key_file: /k }\n", "need each other" },
		{ "    tls: { ca_file: /nonexistent }\n", "cannot load certificate authorities" },
		{ "    proxy: ftp://a:1\n",
			"proxy: expected a URL that begins with http:// or socks5h://" },
		{ "    unix_socket: relative\n", "absolute path" },
		{ "    unix_socket: /s\n    proxy: http://a:1\n", "not reached through a proxy" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct checked checked;

		checked_http(&checked, "https://a/", cases[i].lines);
		if (!strstr(sbuf_str(&checked.errors), cases[i].part))
			print_error("%s%s", cases[i].lines, sbuf_str(&checked.errors));
		assert_non_null(strstr(sbuf_str(&checked.errors), cases[i].part));
		checked_fini(&checked);
	}
}

static void test_http_load_names_host_and_key(void **state)
{
	struct checked a, b;

	(void)state;
	checked_http(&a, "http://Models.Example/x", "    api_key: one\n");
	checked_http(&b, "http://[::1]:8000/x", "    headers: { Authorization: Bearer one }\n");
	assert_string_equal(a.config->endpoints[0].host, "models.example:80");
	assert_string_equal(b.config->endpoints[0].host, "[::1]:8000");
	assert_int_not_equal(a.config->endpoints[0].key_hash, 0);
	assert_int_equal(a.config->endpoints[0].key_hash, b.config->endpoints[0].key_hash);
	checked_fini(&a);
	checked_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_headers_key_and_user_are_sent),
		cmocka_unit_test(test_http_path_replaces_that_of_the_url),
		cmocka_unit_test(test_http_body_and_method_are_sent),
		cmocka_unit_test(test_http_retry_after_is_taken),
		cmocka_unit_test(test_http_redirects_are_off_by_default),
		cmocka_unit_test(test_http_redirect_home_keeps_headers),
		cmocka_unit_test(test_http_redirect_elsewhere_carries_nothing),
		cmocka_unit_test(test_http_redirects_that_are_refused),
		cmocka_unit_test(test_http_redirects_end_at_their_limit),
		cmocka_unit_test(test_http_a_body_stays_at_home),
		cmocka_unit_test(test_http_deny_list_holds_for_redirects),
		cmocka_unit_test(test_http_cancel_during_a_hop_is_silent),
		cmocka_unit_test(test_http_load_refuses_what_cannot_work),
		cmocka_unit_test(test_http_load_names_host_and_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

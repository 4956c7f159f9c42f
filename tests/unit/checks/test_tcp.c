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
#include <unistd.h>

/* A server that greets. */
static void greet_in_pieces(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_send(fd, "220 mail.exa");
	peer_delay(peer, 20);
	peer_send(fd, "mple ESMTP\r\n");
	peer_hang(peer, fd);
}

static void close_at_once(struct peer *peer, int fd, unsigned number)
{
	(void)peer;
	(void)fd;
	(void)number;
}

static void check(peer_script script, const char *lines, const char *expected)
{
	struct checked checked;
	struct runner runner;
	struct peer peer;
	char yaml[512];

	peer_start(&peer, script, NULL);
	(void)snprintf(yaml, sizeof yaml,
		"endpoints:\n  - name: a\n    type: tcp\n    url: tcp://127.0.0.1:%u\n"
		"    timeout: { idle: 200ms, first_byte: 300ms }\n%s",
		peer.port, lines);
	checked_load(&checked, yaml);
	if (!checked.config)
		print_error("%s", sbuf_str(&checked.errors));
	runner_open(&runner, &checked);
	assert_string_equal(runner_run(&runner), expected);
	runner_close(&runner);
	checked_fini(&checked);
	peer_stop(&peer);
}

static void test_tcp_connects_and_wants_no_more(void **state)
{
	(void)state;
	check(close_at_once, "", "ok");
	check(peer_pong, "", "ok");
}

static void test_tcp_sends_and_expects(void **state)
{
	(void)state;
	check(peer_pong, "    send: \"PING\\r\\n\"\n    expect: +PONG\n", "ok");
	check(greet_in_pieces, "    expect: { matches: '^220 .*ESMTP' }\n", "ok");
}

static void test_tcp_key_has_its_own_text(void **state)
{
	(void)state;
	/* the server knows nothing but PING */
	check(peer_pong,
		"    send: x\n    send_with_key: \"P${api_key}\\r\\n\"\n    api_key: ING\n"
		"    expect: +PONG\n",
		"ok");
	check(peer_pong,
		"    send: \"PING\\r\\n\"\n    send_with_key: ${api_key}\n    expect: +PONG\n",
		"ok");
}

static void test_tcp_key_without_a_place_or_a_place_without_a_key_is_refused(void **state)
{
	static const char *const lines[] = {
		"    api_key: x\n",
		"    api_key: x\n    send_with_key: ${other}\n",
	};

	(void)state;
	for (size_t i = 0; i < array_size(lines); i++) {
		struct checked checked;
		char yaml[256];

		(void)snprintf(yaml, sizeof yaml,
			"endpoints:\n  - name: a\n    type: tcp\n    url: tcp://127.0.0.1:1\n%s",
			lines[i]);
		checked_load(&checked, yaml);
		assert_null(checked.config);
		assert_non_null(strstr(sbuf_str(&checked.errors), "key"));
		checked_fini(&checked);
	}
}

static void test_tcp_another_answer_is_assert_body(void **state)
{
	(void)state;
	check(peer_pong, "    send: \"PING\\r\\n\"\n    expect: +NOPE\n", "assert_body");
	check(greet_in_pieces, "    expect: { not_matches: ESMTP }\n", "assert_body");
}

static void test_tcp_no_answer_has_its_reason(void **state)
{
	(void)state;
	check(peer_pong, "    expect: +PONG\n", "timeout_headers");
	check(close_at_once, "    expect: +PONG\n", "assert_body");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_connects_and_wants_no_more),
		cmocka_unit_test(test_tcp_sends_and_expects),
		cmocka_unit_test(test_tcp_key_has_its_own_text),
		cmocka_unit_test(test_tcp_key_without_a_place_or_a_place_without_a_key_is_refused),
		cmocka_unit_test(test_tcp_another_answer_is_assert_body),
		cmocka_unit_test(test_tcp_no_answer_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

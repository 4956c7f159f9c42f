/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/expect.h"

#include "checked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const usec_t day = 86400 * USEC_PER_SEC;

/* Two headers of one name and one of another. */
static const char *header(void *ctx, const char *name, size_t index)
{
	static const char *const versions[] = { "v1", "v2" };

	(void)ctx;
	if (strcasecmp(name, "x-version") == 0 && index < array_size(versions))
		return versions[index];
	if (strcasecmp(name, "x-count") == 0 && index == 0)
		return "42";
	return NULL;
}

static const uint8_t key_hash[SPKI_BYTES] = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a,
	0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
	0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55 };

static struct observation observe(uint32_t status, const char *body)
{
	return (struct observation){
		.http_status = status,
		.header = header,
		.body = body,
		.body_len = strlen(body),
		.size = strlen(body),
		.latency = 100 * USEC_PER_MSEC,
		.now = 20000 * day,
		.cert_expires_at = 20010 * day,
		.tls_version = 0x0303,
		.spki_sha256 = key_hash,
	};
}

/* "ok", or "<verdict> <reason>: <detail>". */
static const char *judge_over(const char *url, const char *expect, const struct observation *seen,
	char *text, size_t size)
{
	struct result result = { 0 };
	struct checked checked;

	checked_http(&checked, url, expect);
	if (!checked.config) {
		print_error("%s\n%s", expect, sbuf_str(&checked.errors));
		fail();
	}
	result_set(&result, REASON_OK, NULL);
	expect_judge(&checked_params(&checked)->expect, seen, &result);
	if (result.reason == REASON_OK)
		(void)snprintf(text, size, "ok");
	else
		(void)snprintf(text, size, "%s %s: %s", verdict_token(result.verdict),
			reason_token(result.reason), result.detail);
	checked_fini(&checked);
	return text;
}

/* The judgement begins with `expected`. */
static void check(const char *expect, uint32_t status, const char *body, const char *expected)
{
	struct observation seen = observe(status, body);
	char text[256];

	(void)judge_over("https://a/", expect, &seen, text, sizeof text);
	if (strncmp(text, expected, strlen(expected)) != 0)
		print_error("%s over %s:\n", expect, body);
	text[strlen(expected) < sizeof text ? strlen(expected) : 0] = '\0';
	assert_string_equal(text, expected);
}

static void test_expect_status_default_and_its_reasons(void **state)
{
	(void)state;
	check("", 200, "", "ok");
	check("", 299, "", "ok");
	check("", 302, "", "down http_status: status 302, expected 200-299");
	check("", 404, "", "down http_status");
	check("", 401, "", "unknown auth_failed");
	check("", 403, "", "unknown auth_failed");
	check("", 407, "", "unknown auth_failed");
	check("", 429, "", "degraded rate_limited");
	check("", 500, "", "down server_error");
	check("", 503, "", "down server_error");
}

static void test_expect_status_forms(void **state)
{
	(void)state;
	check("    expect: { status: 404 }", 404, "", "ok");
	check("    expect: { status: [ 200, 300-302 ] }", 301, "", "ok");
	check("    expect: { status: [ 200, 300-302 ] }", 201, "", "down http_status");
	check("    expect: { status: { in: [ 200 ], severity: degraded } }", 404, "",
		"degraded http_status");
	check("    expect: { status: { in: [ 200 ], severity: degraded } }", 401, "",
		"unknown auth_failed");
}

static void test_expect_an_unexpected_status_ends_the_judgement(void **state)
{
	(void)state;
	check("    expect: { body: ready }", 429, "slow down", "degraded rate_limited");
}

static void test_expect_header_conditions(void **state)
{
	(void)state;
	check("    expect: { header: { X-Version: v2 } }", 200, "", "ok");
	check("    expect: { header: { x-version: v3 } }", 200, "",
		"down assert_header: header x-version: got \"v1\", expected v3");
	check("    expect: { header: { x-missing: v3 } }", 200, "",
		"down assert_header: header x-missing: got nothing");
	check("    expect: { header: { x-missing: { exists: false } } }", 200, "", "ok");
	check("    expect: { header: { x-version: { exists: false } } }", 200, "",
		"down assert_header");
	check("    expect: { header: { x-count: { min: 40, max: 42 } } }", 200, "", "ok");
	check("    expect: { header: { x-count: { min: 43, severity: degraded } } }", 200, "",
		"degraded assert_header");
}

static void test_expect_body_conditions(void **state)
{
	(void)state;
	check("    expect: { body: ready }", 200, "is ready now", "ok");
	check("    expect: { body: { contains: ready } }", 200, "busy",
		"down assert_body: got \"busy\", expected { contains: ready }");
	check("    expect: { body: { matches: '^is (\\w+)' } }", 200, "is ready", "ok");
	check("    expect: { body: { not_matches: '(?i)error' } }", 200, "An ERROR",
		"down assert_body");
	check("    expect: { body: { contains: x, severity: degraded } }", 200, "",
		"degraded assert_body");
}

static void test_expect_json_conditions(void **state)
{
	static const char body[] =
		"{\"status\":\"ok\",\"n\":5,\"s\":\"5\",\"t\":true,\"z\":null,\"f\":1.50,"
		"\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}],\"o\":{},\"bad\":\"x\\u0007\\n<y>\"}";

	static const struct {
		const char *condition, *judgement;
	} cases[] = {
		{ "/status: ok", "ok" },
		{ "/status: loading",
			"down assert_json: json /status: got \"ok\", expected loading" },
		{ "/nothing: ok", "down assert_json: json /nothing: got nothing, expected ok" },
		{ "/n: 5", "ok" },
		{ "/n: 5.0", "ok" },
		{ "/n: '5'", "down assert_json" }, /* a number is no string */
		{ "/s: '5'", "ok" },
		{ "/s: 5", "ok" }, /* plain text fits both */
		{ "/n: 6", "down assert_json" },
		{ "/f: 1.5", "ok" },
		{ "/t: true", "ok" },
		{ "/t: 'true'", "down assert_json" },
		{ "/z: null", "ok" },
		{ "/n: { min: 5, max: 5 }", "ok" },
		{ "/n: { max: 4.9 }", "down assert_json" },
		{ "/status: { min: 1 }", "down assert_json" },
		{ "/status: { in: [ ready, ok ] }", "ok" },
		{ "/status: { not_equals: ok }", "down assert_json" },
		{ "/status: { contains: k, matches: ^o }", "ok" },
		{ "/status: { not_matches: ^o }", "down assert_json" },
		{ "/data/*/id: b", "ok" },
		{ "/data/*/id: c", "down assert_json: json /data/*/id: got \"a\", expected c" },
		{ "/data/1/id: b", "ok" },
		{ "/o: { exists: true }", "ok" },
		{ "/o: { exists: false }", "down assert_json" },
		{ "/none: { exists: false }", "ok" },
		{ "/status: { equals: x, severity: degraded }", "degraded assert_json" },
		{ "/bad: y", "down assert_json: json /bad: got \"x <y>\", expected y" },
	};

	char expect[256];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		(void)snprintf(expect, sizeof expect, "    expect:\n      json: { %s }",
			cases[i].condition);
		check(expect, 200, body, cases[i].judgement);
	}
	check("    expect: { json: { /status: ok } }", 200, "<html>", "down json_invalid");
	check("    expect: { json: { /a: { equals: 1, severity: degraded } } }", 200, "{",
		"degraded json_invalid");
}

static void test_expect_size_and_latency(void **state)
{
	(void)state;
	check("    expect: { size: { min: 2 } }", 200, "x",
		"down assert_body: body has 1 bytes, expected { min: 2 }");
	check("    expect: { size: { min: 1, max: 1 } }", 200, "x", "ok");
	check("    expect: { size: { max: 0, severity: degraded } }", 200, "x",
		"degraded assert_body");
	check("    expect: { latency: { degraded: 100ms } }", 200, "", "ok");
	check("    expect: { latency: { degraded: 99ms } }", 200, "",
		"degraded slow: took 100ms, limit 99ms");
	check("    expect: { latency: { degraded: 50ms, down: 99ms } }", 200, "", "down slow");
}

static void test_expect_certificate(void **state)
{
	(void)state;
	check("    expect: { cert_expires_in: { degraded: 10d } }", 200, "", "ok");
	check("    expect: { cert_expires_in: { degraded: 11d } }", 200, "",
		"degraded cert_expiring: certificate expires in 1w3d, expected at least 1w4d");
	check("    expect: { cert_expires_in: { degraded: 30d, down: 11d } }", 200, "",
		"down cert_expiring");
	check("    expect: { tls_version: 1.2 }", 200, "", "ok");
	check("    expect: { tls_version: '1.3' }", 200, "",
		"down assert_body: TLS 1.2, expected at least 1.3");
	check("    expect: { tls_version: { min: 1.3, severity: degraded } }", 200, "",
		"degraded assert_body");
	check("    expect: { spki_sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= }", 200, "",
		"ok");
	check("    expect: { spki_sha256: [ sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= "
	      "] }",
		200, "", "ok");
	check("    expect: { spki_sha256: "
	      "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855 }",
		200, "", "ok");
	check("    expect: { spki_sha256: "
	      "0000000000000000000000000000000000000000000000000000000000000000 }",
		200, "", "down assert_body: public key has SHA-256 e3b0c442");
}

static void test_expect_the_worst_failure_wins(void **state)
{
	(void)state;
	check("    expect:\n"
	      "      header: { x-version: { equals: v9, severity: degraded } }\n"
	      "      body: ready",
		200, "busy", "down assert_body");
	check("    expect:\n"
	      "      header: { x-version: { equals: v9, severity: degraded } }\n"
	      "      body: { contains: ready, severity: degraded }",
		200, "busy", "degraded assert_header");
}

/* ---- what the keys refuse ---- */

static void check_error(const char *url, const char *lines, const char *part)
{
	struct checked checked;

	checked_http(&checked, url, lines);
	if (!strstr(sbuf_str(&checked.errors), part))
		print_error("%s\n%s", lines, sbuf_str(&checked.errors));
	assert_non_null(strstr(sbuf_str(&checked.errors), part));
	assert_null(checked.config);
	checked_fini(&checked);
}

static void test_expect_refuses_what_it_cannot_mean(void **state)
{
	static const struct {
		const char *line, *part;
	} cases[] = {
		{ "status: [ 999 ]", "expect.status[0]: expected a status like 200" },
		{ "status: [ 299-200 ]", "expect.status[0]" },
		{ "status: [ 2xx ]", "expect.status[0]" },
		{ "status: []", "expect.status: expected 1 to" },
		{ "status: { on: [ 200 ] }", "expect.status.on: unknown key" },
		{ "status: { in: [ 200 ], severity: bad }", "expected degraded or down" },
		{ "body: { matches: '(' }", "expect.body.matches: bad regular expression" },
		{ "body: { match: x }", "did you mean matches?" },
		{ "json: { status: ok }", "expect.json.status: this is not a JSON pointer" },
		{ "json: { /a: { min: x } }", "expect.json./a.min: expected a number" },
		{ "json: { /a: { exists: maybe } }", "expected true or false" },
		{ "header: { 'a b': x }", "this is not a header name" },
		{ "tls_version: 2", "expected 1.0, 1.1, 1.2 or 1.3" },
		{ "spki_sha256: abc", "expected a SHA-256" },
		{ "size: { min: 5x }", "expect.size.min" },
		{ "latency: { degraded: 5 }", "expect.latency.degraded" },
	};

	char lines[256];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		(void)snprintf(lines, sizeof lines, "    expect: { %s }\n", cases[i].line);
		check_error("https://a/", lines, cases[i].part);
	}
}

static void test_expect_of_a_certificate_needs_https(void **state)
{
	(void)state;
	check_error("http://a/", "    expect: { tls_version: 1.2 }\n",
		"expect.tls_version: needs an https URL");
	check_error("http://a/", "    expect: { cert_expires_in: { down: 1d } }\n",
		"expect.cert_expires_in: needs an https URL");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expect_status_default_and_its_reasons),
		cmocka_unit_test(test_expect_status_forms),
		cmocka_unit_test(test_expect_an_unexpected_status_ends_the_judgement),
		cmocka_unit_test(test_expect_header_conditions),
		cmocka_unit_test(test_expect_body_conditions),
		cmocka_unit_test(test_expect_json_conditions),
		cmocka_unit_test(test_expect_size_and_latency),
		cmocka_unit_test(test_expect_certificate),
		cmocka_unit_test(test_expect_the_worst_failure_wins),
		cmocka_unit_test(test_expect_refuses_what_it_cannot_mean),
		cmocka_unit_test(test_expect_of_a_certificate_needs_https),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

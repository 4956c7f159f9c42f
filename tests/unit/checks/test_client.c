/* SPDX-License-Identifier: MIT */
#include "modelhealth/checks/client.h"

#include "checked.h"
#include "modelhealth/core/confscope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct client *load(struct checked *checked, const char *url, const char *lines)
{
	checked_http(checked, url, lines);
	if (!checked->config)
		fail_msg("%s", sbuf_str(&checked->errors));
	return &checked_params(checked)->client;
}

/* The value of a header that is sent, "" without. */
static const char *sent(const struct client *client, const char *name)
{
	for (size_t i = 0; i < client->n_sent; i++) {
		if (strcmp(client->sent[i].name, name) == 0)
			return secret_expose(client->sent[i].value);
	}
	return "";
}

static void assert_load_fails(const char *url, const char *lines, const char *expected)
{
	struct checked checked;

	checked_http(&checked, url, lines);
	assert_null(checked.config);
	if (!strstr(sbuf_str(&checked.errors), expected))
		fail_msg("expected \"%s\" in %s", expected, sbuf_str(&checked.errors));
	checked_fini(&checked);
}

static void test_client_key_goes_where_and_how_it_is_told(void **state)
{
	static const struct {
		const char *lines, *header, *value;
	} cases[] = {
		{ "    api_key: k1\n", "Authorization", "Bearer k1" },
		{ "    api_key: k1\n    auth_header: x-api-key\n    auth_scheme: \"\"\n",
			"x-api-key", "k1" },
		{ "    api_key: k1\n    auth_scheme: Token\n", "Authorization", "Token k1" },
		{ "    api_key: k1\n    headers: { authorization: own }\n", "authorization",
			"own" },
	};
	struct checked checked;

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		const struct client *client = load(&checked, "http://h/", cases[i].lines);

		assert_string_equal(sent(client, cases[i].header), cases[i].value);
		assert_true(client->has_secret);
		assert_int_not_equal(checked.config->endpoints[0].key_hash, 0);
		assert_int_equal(client->n_sent, 2);
		checked_fini(&checked);
	}
	assert_load_fails("http://h/", "    auth_header: 'a b'\n", "expected the name of a header");
	assert_load_fails("http://h/", "    auth_scheme: 'a b'\n", "expected one word");
}

static void test_client_url_path_and_body_are_filled(void **state)
{
	struct checked checked;
	const struct http_params *http;

	(void)state;
	(void)load(&checked, "https://${host}.example.com/base",
		"    method: POST\n"
		"    models: [ 'org/m \"1\"', other ]\n"
		"    variables: { host: res1, version: 2024 }\n"
		"    path: /m/${model}?v=${version}\n"
		"    body: '{\"model\":\"${model}\",\"x\":\"$${model}\"}'\n");
	http = checked_params(&checked);
	assert_string_equal(http->url->host, "res1.example.com");
	assert_string_equal(http->url->target, "/m/org%2Fm%20%221%22?v=2024");
	assert_string_equal(
		http->filled_body, "{\"model\":\"org/m \\\"1\\\"\",\"x\":\"${model}\"}");
	assert_string_equal(checked.config->endpoints[0].host, "res1.example.com:443");
	assert_string_equal(checked.config->endpoints[0].url, "https://res1.example.com/base");
	checked_fini(&checked);
}

static void test_client_secret_in_a_url_is_not_shown(void **state)
{
	struct checked checked;

	(void)state;
	(void)load(
		&checked, "https://h/${access_key}/x", "    variables: { access_key: sesame }\n");
	assert_string_equal(checked_params(&checked)->url->target, "/sesame/x");
	assert_string_equal(checked.config->endpoints[0].url, "https://h/***/x");
	checked_fini(&checked);
}

static void test_client_names_without_a_value_are_errors(void **state)
{
	(void)state;
	assert_load_fails("http://h/", "    path: /${model}\n",
		"endpoints[0].path: path needs a model: set models: [ NAME ]");
	assert_load_fails("http://h/",
		"    path: /${deploment}\n    variables: { deployment: d }\n",
		"did you mean ${deployment}?");
	assert_load_fails("http://h/${x}", "", "endpoints[0].url: url needs a value for ${x}");
	assert_load_fails("http://h/", "    body: ${x}\n", "body needs a value for ${x}");
	assert_load_fails("http://h/", "    sigv4: aws:amz:${region}:bedrock\n",
		"sigv4 needs a value for ${region}");
}

static void test_client_port_is_another_door_of_the_same_host(void **state)
{
	struct checked checked;

	(void)state;
	(void)load(&checked, "http://[::1]:8000/a?b", "    port: 8002\n");
	assert_int_equal(checked_params(&checked)->url->port, 8002);
	assert_string_equal(checked_params(&checked)->url->host, "::1");
	assert_string_equal(checked_params(&checked)->url->target, "/a?b");
	assert_string_equal(checked.config->endpoints[0].host, "[::1]:8000");
	checked_fini(&checked);
}

/* The target of path below a base, as a profile joins it or as a kind of check does. */
static void assert_joins(bool is_base, const char *base, const char *path, const char *expected)
{
	struct conf_errors errors = { 0 };
	struct config config = { .refs = 1 };
	struct conf_scope scope = { .config = &config, .errors = &errors };
	struct client client = { .is_base = is_base };
	struct url *joined = NULL;
	const char *error;

	assert_int_equal(url_parse(base, 1u << URL_HTTP, &client.target.url, &error), 0);
	assert_int_equal(client_url(&client, &scope, "path", path, "m", &joined), 0);
	assert_string_equal(joined->target, expected);
	assert_string_equal(joined->host, "h");
	url_free(joined);
	url_free(client.target.url);
	arena_fini(&config.arena);
}

static void test_client_paths_stand_below_the_url(void **state)
{
	static const struct {
		bool is_base;
		const char *base, *path, *expected;
	} cases[] = {
		{ false, "http://h", "/v1/models", "/v1/models" },
		{ false, "http://h/", "/v1/models", "/v1/models" },
		{ false, "http://h/base/", "/v1/models", "/base/v1/models" },
		{ false, "http://h/base/v1/", "/v1/models?x=1", "/base/v1/models?x=1" },
		{ false, "http://h/v1", "/v1beta/models", "/v1/v1beta/models" },
		{ false, "http://h/v1", "/chat", "/v1/chat" },
		{ false, "http://h/v1?x=1", "/v1", "/v1" },
		{ false, "http://h/vllm", "/vllm", "/vllm/vllm" },
		{ true, "http://h/v1", "/health", "/health" },
		{ true, "http://h/gate/v1/", "/health", "/gate/health" },
		{ true, "http://h/gate/v1/", "/v1/models", "/gate/v1/models" },
		{ true, "http://h/gate", "/health", "/gate/health" },
		{ true, "http://h/a/v", "/${model}", "/a/v/m" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++)
		assert_joins(cases[i].is_base, cases[i].base, cases[i].path, cases[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_key_goes_where_and_how_it_is_told),
		cmocka_unit_test(test_client_url_path_and_body_are_filled),
		cmocka_unit_test(test_client_secret_in_a_url_is_not_shown),
		cmocka_unit_test(test_client_names_without_a_value_are_errors),
		cmocka_unit_test(test_client_port_is_another_door_of_the_same_host),
		cmocka_unit_test(test_client_paths_stand_below_the_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/conf.h"

#include "loaded.h"
#include "modelhealth/core/confkeys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static int open_loaded(void **state)
{
	static struct loaded loaded;

	loaded_init(&loaded);
	*state = &loaded;
	return 0;
}

static int close_loaded(void **state)
{
	loaded_fini(*state);
	assert_int_equal(fake_kind_live, 0);
	return 0;
}

static void assert_loads(struct loaded *loaded)
{
	loaded_build(loaded);
	if (!loaded->config)
		fail_msg("%s", sbuf_str(&loaded->errors));
}

/* Fails with these lines, no more and no less. */
static void assert_errors(struct loaded *loaded, const char *expected)
{
	loaded_build(loaded);
	assert_null(loaded->config);
	assert_string_equal(sbuf_str(&loaded->errors), expected);
}

/* A second endpoint like the first. */
static void add_endpoint(struct loaded *loaded, const char *name)
{
	(void)tree_set(&loaded->tree, "endpoints[1].name", name);
	(void)tree_set(&loaded->tree, "endpoints[1].type", "fake");
	(void)tree_set(&loaded->tree, "endpoints[1].url", "http://b/");
}

static void test_defaults_are_those_of_the_product(void **state)
{
	struct loaded *loaded = *state;
	const struct check_spec *check;

	assert_loads(loaded);
	check = loaded_check(loaded, 0);
	assert_string_equal(check->name, "live");
	assert_int_equal(check->tier, TIER_LIVE);
	assert_int_equal(check->interval, 10 * USEC_PER_SEC);
	assert_int_equal(check->fast_interval, 3333 * USEC_PER_MSEC);
	assert_int_equal(check->down_interval, 10 * USEC_PER_SEC);
	assert_int_equal(check->timeout.connect, 2 * USEC_PER_SEC);
	assert_int_equal(check->timeout.first_byte, 5 * USEC_PER_SEC);
	assert_int_equal(check->timeout.idle, 10 * USEC_PER_SEC);
	assert_int_equal(check->timeout.total, 30 * USEC_PER_SEC);
	assert_int_equal(check->health.rise, 2);
	assert_int_equal(check->health.fall, 3);
	assert_int_equal(check->health.init, HEALTH_INIT_FIRST_RESULT);
	assert_int_equal(loaded->config->limits.concurrency, 512);
	assert_int_equal(loaded->config->limits.per_host, 8);
	assert_int_equal(loaded->config->n_listen, 1);
	assert_string_equal(loaded->config->listen[0], "127.0.0.1:9877");
	assert_string_equal(loaded_params(loaded, 0)->method, "GET");
	assert_int_equal(loaded_params(loaded, 0)->expect.status, 200);
}

static void test_innermost_level_wins_key_by_key(void **state)
{
	struct loaded *loaded = *state;
	const struct check_spec *check;

	(void)tree_set(&loaded->tree, "defaults.rise", "4");
	(void)tree_set(&loaded->tree, "defaults.fall", "4");
	(void)tree_set(&loaded->tree, "defaults.interval", "40s");
	(void)tree_set(&loaded->tree, "defaults.down_interval", "44s");
	(void)tree_set(&loaded->tree, "groups.g.fall", "5");
	(void)tree_set(&loaded->tree, "groups.g.interval", "50s");
	(void)tree_set(&loaded->tree, "groups.g.down_interval", "55s");
	(void)tree_set(&loaded->tree, "endpoints[0].group", "g");
	(void)tree_set(&loaded->tree, "endpoints[0].interval", "20s");
	(void)tree_set(&loaded->tree, "endpoints[0].down_interval", "22s");
	(void)tree_set(&loaded->tree, "endpoints[0].checks.live.down_interval", "33s");
	assert_loads(loaded);
	check = loaded_check(loaded, 0);
	assert_int_equal(check->health.rise, 4);
	assert_int_equal(check->health.fall, 5);
	assert_int_equal(check->interval, 20 * USEC_PER_SEC);
	assert_int_equal(check->down_interval, 33 * USEC_PER_SEC);
}

static void test_sections_merge_over_the_levels(void **state)
{
	struct loaded *loaded = *state;
	const struct check_spec *check;

	(void)tree_set(&loaded->tree, "defaults.timeout.connect", "1s");
	(void)tree_set(&loaded->tree, "defaults.timeout.idle", "6s");
	(void)tree_set(&loaded->tree, "endpoints[0].timeout.idle", "7s");
	assert_loads(loaded);
	check = loaded_check(loaded, 0);
	assert_int_equal(check->timeout.connect, USEC_PER_SEC);
	assert_int_equal(check->timeout.idle, 7 * USEC_PER_SEC);
	assert_int_equal(check->timeout.total, 30 * USEC_PER_SEC);
}

static void test_labels_merge_and_lists_are_replaced(void **state)
{
	struct loaded *loaded = *state;
	const struct endpoint_spec *endpoint;

	(void)tree_set(&loaded->tree, "defaults.labels.team", "x");
	(void)tree_set(&loaded->tree, "defaults.labels.site", "here");
	(void)tree_set(&loaded->tree, "endpoints[0].labels.team", "y");
	(void)tree_set(&loaded->tree, "defaults.models[0]", "m1");
	(void)tree_set(&loaded->tree, "defaults.models[1]", "m2");
	(void)tree_set(&loaded->tree, "endpoints[0].models[0]", "m3");
	assert_loads(loaded);
	endpoint = &loaded->config->endpoints[0];
	assert_int_equal(endpoint->n_labels, 2);
	assert_string_equal(endpoint->labels[0].name, "team");
	assert_string_equal(endpoint->labels[0].value, "y");
	assert_string_equal(endpoint->labels[1].value, "here");
	assert_int_equal(loaded_params(loaded, 0)->models.n, 1);
	assert_string_equal(loaded_params(loaded, 0)->models.items[0], "m3");
}

static void test_headers_merge_without_case(void **state)
{
	struct loaded *loaded = *state;
	const struct conf_map *headers;

	(void)tree_set(&loaded->tree, "defaults.headers.X-Trace", "1");
	(void)tree_set(&loaded->tree, "defaults.headers.Accept", "a");
	(void)tree_set(&loaded->tree, "endpoints[0].headers.accept", "b");
	assert_loads(loaded);
	headers = &loaded_params(loaded, 0)->headers;
	assert_int_equal(headers->n, 2);
	assert_string_equal(headers->items[1].name, "accept");
	assert_string_equal(secret_expose(headers->items[1].value), "b");
}

static void test_header_names_that_carry_keys_are_secret(void **state)
{
	static const char *const names[] = { "Authorization", "Proxy-Authorization", "Cookie",
		"x-api-key", "api-key", "X-Auth-Token" };
	struct loaded *loaded = *state;
	const struct conf_map *headers;
	char path[64];

	for (size_t i = 0; i < array_size(names); i++) {
		(void)snprintf(path, sizeof path, "endpoints[0].headers.%s", names[i]);
		(void)tree_set(&loaded->tree, path, "x");
	}
	(void)tree_set(&loaded->tree, "endpoints[0].headers.Accept", "x");
	assert_loads(loaded);
	headers = &loaded_params(loaded, 0)->headers;
	for (size_t i = 0; i < array_size(names); i++)
		assert_true(headers->items[i].is_secret);
	assert_false(headers->items[array_size(names)].is_secret);
}

static void test_keys_of_a_kind_in_defaults_pass_other_kinds_by(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.method", "POST");
	(void)tree_set(&loaded->tree, "endpoints[1].name", "b");
	(void)tree_set(&loaded->tree, "endpoints[1].type", "bare");
	(void)tree_set(&loaded->tree, "endpoints[1].url", "http://b/");
	assert_loads(loaded);
	assert_string_equal(loaded_params(loaded, 0)->method, "POST");
	assert_string_equal(loaded_check(loaded, 1)->kind->name, "bare");
}

static void test_checks_have_their_own_kind_tier_and_pace(void **state)
{
	struct loaded *loaded = *state;
	const struct endpoint_spec *endpoint;

	(void)tree_add(&loaded->tree, "endpoints[0].checks.ready", NODE_MAPPING);
	(void)tree_set(&loaded->tree, "endpoints[0].checks.canary.interval", "2m");
	(void)tree_set(&loaded->tree, "endpoints[0].checks.port.kind", "bare");
	(void)tree_set(&loaded->tree, "endpoints[0].checks.deep.tier", "models");
	assert_loads(loaded);
	endpoint = &loaded->config->endpoints[0];
	assert_int_equal(endpoint->n_checks, 4);
	assert_int_equal(endpoint->checks[0].tier, TIER_READY);
	assert_int_equal(endpoint->checks[0].interval, 15 * USEC_PER_SEC);
	assert_int_equal(endpoint->checks[1].tier, TIER_CANARY);
	assert_int_equal(endpoint->checks[1].interval, 120 * USEC_PER_SEC);
	assert_string_equal(endpoint->checks[2].kind->name, "bare");
	assert_int_equal(endpoint->checks[2].tier, TIER_LIVE);
	assert_int_equal(endpoint->checks[3].tier, TIER_MODELS);
	assert_int_equal(endpoint->checks[3].interval, 60 * USEC_PER_SEC);
	assert_ptr_equal(endpoint->checks[3].endpoint, endpoint);
}

static void test_type_may_be_inherited(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.type", "bare");
	(void)tree_set(&loaded->tree, "endpoints[1].name", "b");
	(void)tree_set(&loaded->tree, "endpoints[1].url", "http://b/");
	assert_loads(loaded);
	assert_string_equal(loaded->config->endpoints[0].type, "fake");
	assert_string_equal(loaded->config->endpoints[1].type, "bare");
}

static void test_outer_timeout_is_cut_to_an_inner_total(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.timeout.first_byte", "8s");
	(void)tree_set(&loaded->tree, "endpoints[0].timeout.total", "1s");
	assert_loads(loaded);
	assert_int_equal(loaded_check(loaded, 0)->timeout.first_byte, USEC_PER_SEC);
	assert_int_equal(loaded_check(loaded, 0)->timeout.connect, USEC_PER_SEC);
}

static void test_inner_timeout_beyond_total_is_an_error(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.timeout.total", "5s");
	(void)tree_set(&loaded->tree, "endpoints[0].timeout.connect", "6s");
	assert_errors(loaded, "test.yaml:5:5: endpoints[0].timeout.connect: \"6s\" is longer than "
			      "timeout.total, which is 5s\n");
}

static void test_fast_interval_is_never_longer_than_interval(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.fast_interval", "5s");
	(void)tree_set(&loaded->tree, "endpoints[0].interval", "500ms");
	assert_loads(loaded);
	assert_int_equal(loaded_check(loaded, 0)->fast_interval, 500 * USEC_PER_MSEC);
}

static void test_fast_interval_beside_a_shorter_interval_is_an_error(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "endpoints[0].interval", "5s");
	(void)tree_set(&loaded->tree, "endpoints[0].fast_interval", "6s");
	assert_errors(loaded, "test.yaml:5:5: endpoints[0].fast_interval: \"6s\" is longer than "
			      "interval, which is 5s\n");
}

static void test_bad_inherited_value_is_said_once(void **state)
{
	struct loaded *loaded = *state;

	add_endpoint(loaded, "b");
	(void)tree_set(&loaded->tree, "defaults.interval", "5");
	assert_errors(loaded, "test.yaml:7:5: defaults.interval: expected a duration like 500ms, "
			      "got \"5\" (did you mean 5s?)\n");
}

static void test_bad_value_of_an_unused_level_is_found(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "groups.unused.rise", "0");
	(void)tree_set(&loaded->tree, "groups.unused.max_body", "2GiB");
	assert_errors(loaded,
		"test.yaml:4:5: groups.unused.rise: expected a whole number from 1 to "
		"100, got \"0\"\n"
		"test.yaml:5:5: groups.unused.max_body: expected a size from 1KiB to "
		"1MiB, got \"2GiB\"\n");
}

static void test_all_errors_come_at_once(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "endpoints[0].intervall", "5s");
	(void)tree_set(&loaded->tree, "endpoints[0].timeout.connect", "soon");
	(void)tree_set(&loaded->tree, "endpoints[0].expect.status", "ok");
	(void)tree_set(&loaded->tree, "limits.per_host", "0");
	(void)tree_set(&loaded->tree, "endpoints[1].type", "fake");
	assert_errors(loaded,
		"test.yaml:4:1: endpoints[0].intervall: unknown key (did you mean interval?)\n"
		"test.yaml:5:5: endpoints[0].timeout.connect: expected a duration like 500ms, got "
		"\"soon\"\n"
		"test.yaml:6:5: endpoints[0].expect.status: expected a status like 200, got "
		"\"ok\"\n"
		"test.yaml:7:5: limits.per_host: expected a whole number from 1 to 65536, got "
		"\"0\"\n"
		"test.yaml:8:5: endpoints[1]: name is missing: expected a text\n"
		"test.yaml:8:5: endpoints[1]: url is missing: expected a URL like "
		"https://host:8000/path\n");
}

static void test_key_in_the_wrong_place_is_told_its_home(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "defaults.name", "x");
	(void)tree_set(&loaded->tree, "endpoints[0].limits.per_host", "1");
	(void)tree_set(&loaded->tree, "endpoints[1].name", "b");
	(void)tree_set(&loaded->tree, "endpoints[1].type", "bare");
	(void)tree_set(&loaded->tree, "endpoints[1].url", "http://b/");
	(void)tree_set(&loaded->tree, "endpoints[1].body", "x");
	assert_errors(loaded,
		"test.yaml:4:1: defaults.name: unknown key here; it belongs in an endpoint\n"
		"test.yaml:5:1: endpoints[0].limits: unknown key here; it belongs in the top "
		"level of the main file\n"
		"test.yaml:9:1: endpoints[1].body: unknown key here; it belongs to checks of kind fake\n");
}

static void test_names_are_unique(void **state)
{
	struct loaded *loaded = *state;

	add_endpoint(loaded, "a");
	assert_errors(loaded, "test.yaml:4:5: endpoints[1].name: \"a\" is also the name of the "
			      "endpoint in test.yaml:1\n");
}

static void test_group_may_be_a_mere_name(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "endpoints[0].group", "search");
	assert_loads(loaded);
	assert_string_equal(loaded->config->endpoints[0].group, "search");
}

static void test_misspelt_group_and_unknown_witness_are_found(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_add(&loaded->tree, "groups.chat", NODE_MAPPING);
	(void)tree_set(&loaded->tree, "endpoints[0].group", "chta");
	(void)tree_set(&loaded->tree, "self_check.witnesses[0]", "nobody");
	assert_errors(loaded, "test.yaml:5:5: endpoints[0].group: no group is called \"chta\" (did "
			      "you mean chat?)\n"
			      "test.yaml:6:5: self_check.witnesses[0]: no endpoint is called "
			      "\"nobody\"\n");
}

static void test_missing_file_excuses_what_it_may_define(void **state)
{
	struct loaded *loaded = *state;
	struct conf_errors errors = { 0 };

	(void)tree_set(&loaded->tree, "endpoints[0].group", "elsewhere");
	(void)tree_set(&loaded->tree, "self_check.witnesses[0]", "elsewhere");
	loaded->tree.root->is_bad = true;
	(void)conf_errors_add(&errors, "x", 0, 0, "cannot be read");
	assert_true(conf_build(loaded->tree.root, fake_kinds, NULL, &errors, &loaded->config) < 0);
	assert_int_equal(errors.n, 1);
	conf_errors_fini(&errors);
}

static void test_secret_is_refused_where_it_would_be_public(void **state)
{
	struct loaded *loaded = *state;
	struct node *label = tree_set(&loaded->tree, "endpoints[0].labels.key", "hidden-text");

	label->is_secret = true;
	label->shown = "***";
	assert_errors(loaded, "test.yaml:4:5: endpoints[0].labels.key: labels are public; a secret "
			      "cannot stand here\n");
}

static void test_display_url_hides_user_and_query(void **state)
{
	static const struct {
		const char *url, *shown;
	} cases[] = {
		{ "http://a/", "http://a/" },
		{ "https://u:p@h:1/x?key=1#f", "https://***@h:1/x?***" },
		{ "https://u:p@ss@h", "https://***@h" },
		{ "https://h/a@b", "https://h/a@b" },
		{ "https://h?q", "https://h?***" },
		{ "h:1", "h:1" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		_cleanup_(sbuf_fini) struct sbuf shown = SBUF_INIT;

		conf_redact_url(cases[i].url, &shown);
		assert_string_equal(sbuf_str(&shown), cases[i].shown);
	}
}

static void test_endpoint_shows_its_redacted_url(void **state)
{
	struct loaded *loaded = *state;

	(void)tree_set(&loaded->tree, "endpoints[0].url", "http://u:p@a/?k=v");
	assert_loads(loaded);
	assert_string_equal(loaded->config->endpoints[0].url, "http://***@a/?***");
	assert_string_equal(loaded_params(loaded, 0)->url, "http://u:p@a/?k=v");
}

static void test_find_by_name(void **state)
{
	struct loaded *loaded = *state;

	add_endpoint(loaded, "0-first");
	assert_loads(loaded);
	assert_ptr_equal(config_find(loaded->config, "a"), &loaded->config->endpoints[0]);
	assert_ptr_equal(config_find(loaded->config, "0-first"), &loaded->config->endpoints[1]);
	assert_null(config_find(loaded->config, "b"));
}

/* Loads the common endpoint with one more value. */
static const struct check_spec *load_with(struct loaded *loaded, const char *path, const char *text)
{
	loaded_init(loaded);
	if (path)
		(void)tree_set(&loaded->tree, path, text);
	assert_loads(loaded);
	return loaded_check(loaded, 0);
}

static void test_hashes_tell_what_changed(void **state)
{
	static const struct {
		const char *path, *text;
		bool has_new_identity, has_new_content;
	} cases[] = {
		{ "limits.per_host", "9", false, false },
		{ "endpoints[0].interval", "10s", false, true },
		{ "endpoints[0].rise", "2", false, false }, /* as the default */
		{ "defaults.rise", "2", false, false },
		{ "endpoints[0].rise", "3", false, true },
		{ "endpoints[0].timeout.total", "29s", false, true },
		{ "endpoints[0].labels.a", "b", false, true },
		{ "endpoints[0].api_key", "k", false, true },
		{ "endpoints[0].headers.A", "b", false, true },
		{ "endpoints[0].expect.status", "201", false, true },
		{ "endpoints[0].method", "POST", true, true },
		{ "defaults.method", "POST", true, true },
		{ "endpoints[0].url", "http://b/", true, true },
		{ "endpoints[0].name", "b", true, true },
		{ "endpoints[0].type", "bare", true, true },
	};
	struct loaded base;
	const struct check_spec *before = load_with(&base, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct loaded changed;
		const struct check_spec *after = load_with(&changed, cases[i].path, cases[i].text);

		if ((after->identity_hash != before->identity_hash) != cases[i].has_new_identity ||
			(after->content_hash != before->content_hash) != cases[i].has_new_content)
			fail_msg("%s: %s", cases[i].path, cases[i].text);
		loaded_fini(&changed);
	}
	loaded_fini(&base);
}

static void test_kinds_are_disposed_of_when_the_load_fails(void **state)
{
	struct loaded *loaded = *state;

	add_endpoint(loaded, "b");
	(void)tree_set(&loaded->tree, "endpoints[1].url", "gopher://b/");
	assert_errors(loaded, "test.yaml:7:5: endpoints[1].url: expected http:// or https://\n");
	assert_int_equal(fake_kind_live, 0);
}

static void test_endpoint_is_small(void **state)
{
	struct loaded *loaded = *state;
	char path[64];
	char name[16];

	for (unsigned i = 1; i < 200; i++) {
		(void)snprintf(path, sizeof path, "endpoints[%u].name", i);
		(void)snprintf(name, sizeof name, "e%u", i);
		(void)tree_set(&loaded->tree, path, name);
		(void)snprintf(path, sizeof path, "endpoints[%u].type", i);
		(void)tree_set(&loaded->tree, path, "fake");
		(void)snprintf(path, sizeof path, "endpoints[%u].url", i);
		(void)tree_set(&loaded->tree, path, "http://127.0.0.1:8000/health");
	}
	assert_loads(loaded);
	assert_in_range(loaded->config->arena.used_bytes / 200, 1, 2048);
}

static void test_nothing_is_said_of_empty_blocks(void **state)
{
	static const char *const paths[] = { "defaults", "groups", "limits", "status", "self_check",
		"include", "endpoints[0].checks", "endpoints[0].timeout", "endpoints[0].labels" };
	struct loaded *loaded = *state;

	for (size_t i = 0; i < array_size(paths); i++)
		(void)tree_set(&loaded->tree, paths[i], "");
	assert_loads(loaded);
	assert_int_equal(loaded->config->endpoints[0].n_checks, 1);
}

static void test_tiers_have_the_product_s_intervals(void **state)
{
	(void)state;
	assert_int_equal(conf_tier_interval(TIER_LIVE), 10 * USEC_PER_SEC);
	assert_int_equal(conf_tier_interval(TIER_READY), 15 * USEC_PER_SEC);
	assert_int_equal(conf_tier_interval(TIER_CANARY), 60 * USEC_PER_SEC);
}

#define with_loaded(fn) cmocka_unit_test_setup_teardown(fn, open_loaded, close_loaded)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_loaded(test_defaults_are_those_of_the_product),
		with_loaded(test_innermost_level_wins_key_by_key),
		with_loaded(test_sections_merge_over_the_levels),
		with_loaded(test_labels_merge_and_lists_are_replaced),
		with_loaded(test_headers_merge_without_case),
		with_loaded(test_header_names_that_carry_keys_are_secret),
		with_loaded(test_keys_of_a_kind_in_defaults_pass_other_kinds_by),
		with_loaded(test_checks_have_their_own_kind_tier_and_pace),
		with_loaded(test_type_may_be_inherited),
		with_loaded(test_outer_timeout_is_cut_to_an_inner_total),
		with_loaded(test_inner_timeout_beyond_total_is_an_error),
		with_loaded(test_fast_interval_is_never_longer_than_interval),
		with_loaded(test_fast_interval_beside_a_shorter_interval_is_an_error),
		with_loaded(test_bad_inherited_value_is_said_once),
		with_loaded(test_bad_value_of_an_unused_level_is_found),
		with_loaded(test_all_errors_come_at_once),
		with_loaded(test_key_in_the_wrong_place_is_told_its_home),
		with_loaded(test_names_are_unique),
		with_loaded(test_group_may_be_a_mere_name),
		with_loaded(test_misspelt_group_and_unknown_witness_are_found),
		with_loaded(test_missing_file_excuses_what_it_may_define),
		with_loaded(test_secret_is_refused_where_it_would_be_public),
		cmocka_unit_test(test_display_url_hides_user_and_query),
		with_loaded(test_endpoint_shows_its_redacted_url),
		with_loaded(test_find_by_name),
		cmocka_unit_test(test_hashes_tell_what_changed),
		with_loaded(test_kinds_are_disposed_of_when_the_load_fails),
		with_loaded(test_endpoint_is_small),
		with_loaded(test_nothing_is_said_of_empty_blocks),
		cmocka_unit_test(test_tiers_have_the_product_s_intervals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

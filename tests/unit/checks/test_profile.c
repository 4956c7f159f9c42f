/* SPDX-License-Identifier: MIT */
/*
 * Types of servers from files to checks, with the real kinds.
 */
#include "modelhealth/core/profile.h"

#include "checked.h"
#include "folder.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/conffile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

struct fixture {
	struct folder folder;
	struct config *config;
	struct sbuf errors;
};

static int open_fixture(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ 0 };
	folder_init(&fixture.folder);
	*state = &fixture;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *fixture = *state;

	config_unref(fixture->config);
	sbuf_fini(&fixture->errors);
	folder_fini(&fixture->folder);
	return 0;
}

static void put_profile(struct fixture *fixture, const char *name, const char *text)
{
	char path[128];

	(void)snprintf(path, sizeof path, "profiles/%s.yaml", name);
	(void)folder_write(&fixture->folder, path, text, 0600);
}

static void try_load(struct fixture *fixture, const char *yaml)
{
	struct conf_errors errors = { 0 };
	const char *path = folder_write(&fixture->folder, "main.yaml", yaml, 0600);

	fixture->config = config_unref(fixture->config);
	sbuf_clear(&fixture->errors);
	(void)conffile_load(path, folder_path(&fixture->folder, "profiles"), check_kinds, &errors,
		&fixture->config);
	conf_errors_print(&errors, &fixture->errors);
	conf_errors_fini(&errors);
}

static void load(struct fixture *fixture, const char *yaml)
{
	try_load(fixture, yaml);
	if (!fixture->config)
		fail_msg("%s", sbuf_str(&fixture->errors));
}

static const struct check_spec *find_check(const struct fixture *fixture, const char *name)
{
	const struct endpoint_spec *endpoint = &fixture->config->endpoints[0];

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		if (strcmp(endpoint->checks[i].name, name) == 0)
			return &endpoint->checks[i];
	}
	return NULL;
}

static const struct check_spec *check(const struct fixture *fixture, const char *name)
{
	const struct check_spec *found = find_check(fixture, name);

	must(found);
	return found;
}

static const struct http_params *params(const struct fixture *fixture, const char *name)
{
	return check(fixture, name)->params;
}

/* An endpoint of each type, with all that any of them leaves to the operator. */
static void test_every_shipped_profile_makes_checks(void **state)
{
	struct fixture *fixture = *state;

	for (const struct profile_text *profile = profile_texts; profile->name; profile++) {
		char yaml[1024];

		(void)snprintf(yaml, sizeof yaml,
			"defaults: { variables: { resource: r, region: e, route: p, sample: s } }\n"
			"endpoints:\n  - name: a\n    type: %s\n    models: [ m ]\n"
			"    url: %s://127.0.0.1:1\n",
			profile->name, strstr(profile->text, "kind: tcp") ? "tcp" : "http");
		load(fixture, yaml);
		assert_in_range(fixture->config->endpoints[0].n_checks, 1, 16);
	}
}

static void test_shipped_profiles_are_sorted_and_say_what_they_are(void **state)
{
	(void)state;
	for (const struct profile_text *profile = profile_texts; profile->name; profile++) {
		size_t len;
		const char *about = profile_about(profile->text, &len);

		assert_in_range(len, 3, 100);
		assert_null(memchr(about, '\n', len));
		if (profile != profile_texts)
			assert_true(strcmp(profile[-1].name, profile->name) < 0);
	}
}

#define PROFILE                                                      \
	"about: mine\nrise: 11\nfall: 11\ndegraded_rise: 11\n"       \
	"checks:\n  live: { kind: http, path: /p, interval: 11s }\n" \
	"  canary-like: { kind: tcp, tier: ready, url: tcp://p:1 }\n"

static void test_levels_from_the_profile_to_the_endpoint(void **state)
{
	struct fixture *fixture = *state;
	const struct check_spec *live;

	put_profile(fixture, "mine", PROFILE);
	load(fixture,
		"defaults: { fall: 22, degraded_rise: 22, degraded_fall: 22, interval: 22s,\n"
		"  checks: { live: { down_interval: 23s, fast_interval: 2s, jitter: 2s } } }\n"
		"groups: { g: { degraded_rise: 33, interval: 33s,\n"
		"  checks: { live: { fast_interval: 3s, jitter: 3s } } } }\n"
		"endpoints:\n  - name: a\n    type: mine\n    group: g\n    url: http://h/base/v1\n"
		"    interval: 44s\n    degraded_fall: 44\n    down_interval: 44s\n"
		"    checks: { live: { jitter: 4s } }\n");
	live = check(fixture, "live");
	assert_int_equal(live->health.rise, 11);
	assert_int_equal(live->health.fall, 22);
	assert_int_equal(live->health.degraded_rise, 33);
	assert_int_equal(live->health.degraded_fall, 44);
	/* what anybody says of the check goes before what all say of all checks */
	assert_int_equal(live->interval, 11 * USEC_PER_SEC);
	assert_int_equal(live->down_interval, 23 * USEC_PER_SEC);
	assert_int_equal(live->fast_interval, 3 * USEC_PER_SEC);
	assert_int_equal(live->jitter, 4 * USEC_PER_SEC);
	assert_string_equal(params(fixture, "live")->url->target, "/base/p");
	assert_int_equal(check(fixture, "canary-like")->tier, TIER_READY);
	assert_int_equal(check(fixture, "canary-like")->interval, 44 * USEC_PER_SEC);
}

static void test_checks_are_added_changed_and_switched_off(void **state)
{
	struct fixture *fixture = *state;

	put_profile(fixture, "mine", PROFILE);
	load(fixture,
		"defaults: { checks: { canary-like: { enabled: false }, absent: { rise: 3 } } }\n"
		"endpoints:\n  - name: a\n    type: mine\n    url: http://h\n"
		"    checks: { live-b: { kind: http, interval: 5s }, docs: { kind: http, path: /d } }\n");
	assert_int_equal(fixture->config->endpoints[0].n_checks, 3);
	assert_null(find_check(fixture, "canary-like"));
	/* a further check of a kind that the profile has once is like that one */
	assert_string_equal(params(fixture, "live-b")->url->target, "/p");
	assert_int_equal(check(fixture, "live-b")->interval, 5 * USEC_PER_SEC);
	assert_string_equal(params(fixture, "docs")->url->target, "/d");
	assert_int_equal(check(fixture, "docs")->tier, TIER_LIVE);
	load(fixture, "endpoints:\n  - name: a\n    type: mine\n    url: http://h\n"
		      "    checks: { canary-like: { enabled: false }, live: { enabled: true } }\n");
	assert_int_equal(fixture->config->endpoints[0].n_checks, 1);
}

static void test_own_profiles_take_the_place_of_shipped_ones(void **state)
{
	struct fixture *fixture = *state;

	put_profile(fixture, "vllm", "about: other\nchecks: { own: { kind: http, path: /own } }\n");
	load(fixture, "endpoints: [ { name: a, type: vllm, url: 'http://h' } ]\n");
	assert_int_equal(fixture->config->endpoints[0].n_checks, 1);
	assert_string_equal(params(fixture, "own")->url->target, "/own");
}

static void test_a_profile_like_another_is_laid_over_it(void **state)
{
	struct fixture *fixture = *state;
	const struct endpoint_spec *endpoint;

	put_profile(fixture, "base",
		"about: base\nrise: 7\nfall: 7\nrefused_is_loading: true\nchecks:\n"
		"  live: { kind: http, path: /base, interval: 7s, jitter: 1s }\n"
		"  ready: { kind: http, path: /ready }\n"
		"  models: { kind: http, path: /models }\n");
	put_profile(fixture, "over",
		"about: over\nlike: base\nfall: 8\nchecks:\n"
		"  more: { kind: tcp, url: tcp://x:1 }\n"
		"  live: { path: /over }\n  models: { enabled: false }\n");
	load(fixture, "endpoints: [ { name: a, type: over, url: 'http://h', checks: { live: { "
		      "jitter: 2s } } } ]\n");
	endpoint = &fixture->config->endpoints[0];
	assert_int_equal(endpoint->n_checks, 3);
	assert_string_equal(endpoint->checks[0].name, "live");
	assert_string_equal(endpoint->checks[1].name, "ready");
	assert_string_equal(endpoint->checks[2].name, "more");
	assert_string_equal(params(fixture, "live")->url->target, "/over");
	assert_int_equal(endpoint->checks[0].interval, 7 * USEC_PER_SEC);
	assert_int_equal(endpoint->checks[0].jitter, 2 * USEC_PER_SEC);
	assert_int_equal(endpoint->checks[0].health.rise, 7);
	assert_int_equal(endpoint->checks[0].health.fall, 8);
	assert_true(endpoint->refused_is_loading);
}

static void test_what_the_operator_must_supply_is_asked_of_him(void **state)
{
	struct fixture *fixture = *state;
	const char *said;

	put_profile(fixture, "mine",
		"about: x\nurl: http://${region}.example.com\nchecks: { live: { kind: http, path: "
		"'/m/${model}' } }\n");
	try_load(fixture, "endpoints:\n  - name: a\n    type: mine\n");
	said = strrchr(sbuf_str(&fixture->errors), '/') + 1;
	assert_string_equal(said, "main.yaml:2:5: endpoints[0]: url needs a value for ${region}: "
				  "set variables: { region: … }\n");
	try_load(
		fixture, "endpoints:\n  - name: a\n    type: mine\n    variables: { region: r }\n");
	said = strrchr(sbuf_str(&fixture->errors), '/') + 1;
	assert_string_equal(said, "main.yaml:2:5: endpoints[0]: path needs a model: set models: [ "
				  "NAME ]\n");
	load(fixture,
		"endpoints:\n  - name: a\n    type: mine\n    variables: { region: r }\n    models: m\n");
	assert_string_equal(params(fixture, "live")->url->host, "r.example.com");
	assert_string_equal(params(fixture, "live")->url->target, "/m/m");
	assert_string_equal(fixture->config->endpoints[0].url, "http://r.example.com");
}

static void test_a_profile_may_not_be_called_like_a_kind(void **state)
{
	struct fixture *fixture = *state;

	put_profile(fixture, "http", "about: x\n");
	try_load(fixture, "endpoints: []\n");
	assert_null(fixture->config);
	assert_non_null(strstr(sbuf_str(&fixture->errors),
		"http.yaml: a profile cannot have the name of a kind of check\n"));
}

/* Rules are parsed and compiled once, however many endpoints have them. */
static void test_endpoints_share_what_they_inherit(void **state)
{
	struct fixture *fixture = *state;
	const struct config *config;
	const struct http_params *first, *second;

	put_profile(fixture, "mine",
		"about: x\nchecks: { live: { kind: http, path: /p, rules: [ { reason: ok } ] } }\n");
	load(fixture, "endpoints: [ { name: a, type: mine, url: 'http://a' }, { name: b, type: "
		      "mine, url: 'http://b' } ]\n");
	config = fixture->config;
	first = config->endpoints[0].checks[0].params;
	second = config->endpoints[1].checks[0].params;
	assert_ptr_equal(first->rules.items, second->rules.items);
	assert_ptr_equal(first->path, second->path);
	assert_int_not_equal(config->endpoints[0].checks[0].identity_hash,
		config->endpoints[1].checks[0].identity_hash);
}

static void test_hash_follows_the_profile(void **state)
{
	struct fixture *fixture = *state;
	uint64_t content, identity;
	const char yaml[] = "endpoints: [ { name: a, type: mine, url: 'http://a' } ]\n";

	put_profile(fixture, "mine",
		"about: x\nchecks: { live: { kind: http, rules: [ { reason: ok } ] } }\n");
	load(fixture, yaml);
	content = check(fixture, "live")->content_hash;
	identity = check(fixture, "live")->identity_hash;
	load(fixture, yaml);
	assert_true(content == check(fixture, "live")->content_hash);
	put_profile(fixture, "mine",
		"about: x\nchecks: { live: { kind: http, rules: [ { reason: loading } ] } }\n");
	load(fixture, yaml);
	assert_true(content != check(fixture, "live")->content_hash);
	assert_true(identity == check(fixture, "live")->identity_hash);
}

static void test_dump_loads_again_as_the_same(void **state)
{
	struct fixture *fixture = *state;
	struct sbuf first = SBUF_INIT;
	struct sbuf second = SBUF_INIT;

	put_profile(fixture, "mine", PROFILE "errors: [ { status: 500, reason: loading } ]\n");
	load(fixture,
		"endpoints:\n  - name: a\n    type: mine\n    url: http://h/${v}\n"
		"    variables: { v: 1 }\n    body: '${v} $${v}'\n"
		"    checks: { canary-like: { enabled: false }, x: { kind: http, path: '/${v}' } }\n");
	conf_dump(fixture->config, &first);
	load(fixture, sbuf_str(&first));
	conf_dump(fixture->config, &second);
	assert_string_equal(sbuf_str(&first), sbuf_str(&second));
	assert_int_equal(fixture->config->endpoints[0].n_checks, 2);
	assert_string_equal(params(fixture, "x")->filled_body, "1 ${v}");
	sbuf_fini(&first);
	sbuf_fini(&second);
}

static void test_types_are_listed_with_what_they_are(void **state)
{
	struct fixture *fixture = *state;
	struct conf_errors errors = { 0 };
	struct sbuf list = SBUF_INIT;

	put_profile(fixture, "vllm", "about: 'my own'\nchecks: {}\n");
	put_profile(fixture, "zzz", "about: last\n");
	assert_int_equal(
		conffile_list_types(folder_path(&fixture->folder, "profiles"), &errors, &list), 0);
	assert_non_null(strstr(sbuf_str(&list), "\nvllm\tmy own\n"));
	assert_non_null(strstr(sbuf_str(&list), "\nzzz\tlast\n"));
	assert_non_null(strstr(sbuf_str(&list), "openai\t"));
	sbuf_fini(&list);
	conf_errors_fini(&errors);
}

#define with_fixture(fn) cmocka_unit_test_setup_teardown(fn, open_fixture, close_fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(test_every_shipped_profile_makes_checks),
		cmocka_unit_test(test_shipped_profiles_are_sorted_and_say_what_they_are),
		with_fixture(test_levels_from_the_profile_to_the_endpoint),
		with_fixture(test_checks_are_added_changed_and_switched_off),
		with_fixture(test_own_profiles_take_the_place_of_shipped_ones),
		with_fixture(test_a_profile_like_another_is_laid_over_it),
		with_fixture(test_what_the_operator_must_supply_is_asked_of_him),
		with_fixture(test_a_profile_may_not_be_called_like_a_kind),
		with_fixture(test_endpoints_share_what_they_inherit),
		with_fixture(test_hash_follows_the_profile),
		with_fixture(test_dump_loads_again_as_the_same),
		with_fixture(test_types_are_listed_with_what_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

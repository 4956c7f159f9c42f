/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/modellist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

static struct json *parse(const char *text)
{
	struct json *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), &json), 0);
	return json;
}

static struct model_facts find(
	const struct model_list *list, const char *page, const char *wanted, size_t models)
{
	_cleanup_(json_freep) struct json *json = parse(page);
	struct wanted_model search;

	wanted_model_init(&search, wanted);
	assert_int_equal(model_list_find(list, json, &search, 1), models);
	return search.facts;
}

static void test_model_names_match_apart_from_what_servers_add(void **state)
{
	static const struct {
		const char *wanted, *served;
		bool is_same;
	} pairs[] = {
		{ "demo-8b", "demo-8b", true },
		{ "demo-8b", "demo-8B", false },
		{ "demo", "demo-8b", false },
		{ "gemini-flash", "models/gemini-flash", true },
		{ "models/gemini-flash", "gemini-flash", true },
		{ "llama3.2", "llama3.2:latest", true },
		{ "llama3.2:latest", "llama3.2", true },
		{ "llama3.2", "llama3.2:1b", false },
		{ "llama3.2:1b", "llama3.2", false },
		{ "demo-8b", "org/demo-8b", true },
		{ "org/demo-8b", "demo-8b", true },
		{ "a/demo-8b", "b/demo-8b", false },
		{ "demo.gguf", "/models/demo.gguf", true },
		{ "demo", "/models/demo.gguf", true },
		{ "", "", false },
		{ "x", "org/", false },
		{ "models/", "models/", true },
		{ ":latest", "", false },
	};

	const struct model_list list = { .ids = "/data/*/id" };
	char page[128];

	(void)state;
	for (size_t i = 0; i < array_size(pairs); i++) {
		(void)snprintf(page, sizeof page, "{\"data\":[{\"id\":\"%s\"}]}", pairs[i].served);
		if (model_name_matches(pairs[i].wanted, pairs[i].served) != pairs[i].is_same ||
			(find(&list, page, pairs[i].wanted, 1).state == MODEL_READY) !=
				pairs[i].is_same)
			fail_msg("\"%s\" and \"%s\"", pairs[i].wanted, pairs[i].served);
	}
}

static void test_model_is_found_with_its_own_facts(void **state)
{
	static const char page[] =
		"{\"data\":[{\"id\":\"a\",\"max_model_len\":1,\"sha\":\"x\"},"
		"{\"id\":\"b\",\"max_model_len\":8192,\"sha\":\"y\",\"v\":null}]}";
	const struct model_list list = {
		.ids = "/data/*/id",
		.context_length = "/data/*/max_model_len",
		.revision = "/data/*/sha",
		.version = "/data/*/v",
	};
	struct model_facts facts = find(&list, page, "b", 2);

	(void)state;
	assert_int_equal(facts.state, MODEL_READY);
	assert_string_equal(facts.id, "b");
	assert_string_equal(facts.context_length, "8192");
	assert_string_equal(facts.revision, "y");
	assert_string_equal(facts.version, "");
	assert_int_equal(find(&list, page, "c", 2).state, MODEL_ABSENT);
	assert_int_equal(find(&list, "{\"data\":[]}", "c", 0).state, MODEL_ABSENT);
	assert_int_equal(find(&list, "[]", "c", 0).state, MODEL_ABSENT);
}

static void test_model_list_may_be_plain_names_or_a_single_one(void **state)
{
	const struct model_list names = { .ids = "/models/*" };
	const struct model_list single = { .ids = "/model_id", .revision = "/model_sha" };
	const struct model_list top = { .ids = "/*/name" };

	(void)state;
	assert_int_equal(find(&names, "{\"models\":[\"m\",\"n\"]}", "n", 2).state, MODEL_READY);
	assert_string_equal(
		find(&single, "{\"model_id\":\"org/demo\",\"model_sha\":\"e98\"}", "demo", 1)
			.revision,
		"e98");
	assert_int_equal(find(&single, "{\"model_id\":null}", "demo", 0).state, MODEL_ABSENT);
	assert_int_equal(find(&top, "[{\"name\":\"m\"},{}]", "m", 1).state, MODEL_READY);
}

static void test_pointers_with_two_stars_share_as_far_as_they_agree(void **state)
{
	static const char page[] =
		"{\"models\":["
		"{\"key\":\"p/a\",\"max\":1,\"inst\":[]},"
		"{\"key\":\"p/b\",\"max\":2,\"inst\":[{\"id\":\"b1\",\"ctx\":10},"
		"{\"id\":\"b2\",\"ctx\":20}]}]}";
	const struct model_list inner = {
		.ids = "/models/*/inst/*/id",
		.context_length = "/models/*/inst/*/ctx",
		.version = "/models/*/max",
	};
	const struct model_list outer = {
		.ids = "/models/*/key",
		.aliases = { (const char *[]){ "/models/*/inst/*/id" }, 1 },
		.state = "/models/*/inst/0/id",
		.ready = { (const char *[]){ "*" }, 1 },
	};
	struct model_facts facts = find(&inner, page, "b2", 2);

	(void)state;
	assert_string_equal(facts.context_length, "20");
	assert_string_equal(facts.version, "2");
	assert_int_equal(find(&outer, page, "b2", 2).state, MODEL_READY);
	assert_string_equal(find(&outer, page, "b2", 2).id, "p/b");
	assert_int_equal(find(&outer, page, "b1", 2).state, MODEL_READY);
	assert_int_equal(find(&outer, page, "a", 2).state, MODEL_COLD);
	assert_int_equal(find(&outer, page, "c", 2).state, MODEL_ABSENT);
}

static void test_model_states_are_read_by_the_words_of_the_server(void **state)
{
	static const char page[] =
		"{\"data\":[{\"id\":\"a\",\"status\":{\"value\":\"loaded\"}},"
		"{\"id\":\"b\",\"status\":{\"value\":\"unloaded\",\"failed\":true}},"
		"{\"id\":\"c\",\"status\":{\"value\":\"sleeping\",\"failed\":false}},"
		"{\"id\":\"d\",\"status\":{\"value\":\"loading\"},\"why\":\"reading\"},"
		"{\"id\":\"e\",\"status\":{\"value\":\"broken\"}},{\"id\":\"f\"}]}";
	const struct model_list list = {
		.ids = "/data/*/id",
		.state = "/data/*/status/value",
		.failure = "/data/*/status/failed",
		.why = "/data/*/why",
		.ready = { (const char *[]){ "loaded" }, 1 },
		.loading = { (const char *[]){ "loading", "downloading" }, 2 },
		.cold = { (const char *[]){ "unloaded", "sleeping" }, 2 },
	};

	(void)state;
	assert_int_equal(find(&list, page, "a", 6).state, MODEL_READY);
	assert_int_equal(find(&list, page, "b", 6).state, MODEL_FAILED);
	assert_int_equal(find(&list, page, "c", 6).state, MODEL_COLD);
	assert_int_equal(find(&list, page, "d", 6).state, MODEL_LOADING);
	assert_string_equal(find(&list, page, "d", 6).why, "reading");
	assert_int_equal(find(&list, page, "e", 6).state, MODEL_FAILED);
	assert_string_equal(find(&list, page, "e", 6).state_text, "broken");
	assert_int_equal(find(&list, page, "f", 6).state, MODEL_COLD);
}

static void test_a_null_can_be_a_state(void **state)
{
	const struct model_list list = {
		.ids = "/data/*/id",
		.state = "/data/*/meta",
		.loading = { (const char *[]){ "null" }, 1 },
	};

	(void)state;
	assert_int_equal(find(&list, "{\"data\":[{\"id\":\"a\",\"meta\":null}]}", "a", 1).state,
		MODEL_LOADING);
	assert_int_equal(
		find(&list, "{\"data\":[{\"id\":\"a\",\"meta\":{\"n\":1}}]}", "a", 1).state,
		MODEL_READY);
	assert_int_equal(find(&list, "{\"data\":[{\"id\":\"a\"}]}", "a", 1).state, MODEL_READY);
}

static void test_a_ready_version_comes_before_one_that_is_not(void **state)
{
	const struct model_list list = {
		.ids = "/*/name",
		.version = "/*/version",
		.state = "/*/state",
		.ready = { (const char *[]){ "READY" }, 1 },
	};
	struct model_facts facts = find(&list,
		"[{\"name\":\"m\",\"version\":1,\"state\":\"UNAVAILABLE\"},"
		"{\"name\":\"m\",\"version\":2,\"state\":\"READY\"}]",
		"m", 2);

	(void)state;
	assert_int_equal(facts.state, MODEL_READY);
	assert_string_equal(facts.version, "2");
}

static void test_prefix_of_ids_is_taken_off(void **state)
{
	const struct model_list list = { .ids = "/m/*/name", .id_prefix = "projects/p/" };

	(void)state;
	assert_int_equal(find(&list, "{\"m\":[{\"name\":\"projects/p/x/y\"}]}", "x/y", 1).state,
		MODEL_READY);
}

/* Seconds of processor time; the least of some rounds, for a busy machine. */
static double cost_of_finding(const struct json *page, struct wanted_model *wanted, size_t n)
{
	const struct model_list list = { .ids = "/data/*/id" };
	clock_t least = 0;

	for (int round = 0; round < 5; round++) {
		clock_t begun = clock();

		assert_int_equal(model_list_find(&list, page, wanted, n), 20000);
		if (round == 0 || clock() - begun < least)
			least = clock() - begun;
	}
	return (double)least / CLOCKS_PER_SEC;
}

static void test_many_wanted_models_cost_one_walk(void **state)
{
	_cleanup_(sbuf_fini) struct sbuf page = SBUF_INIT;
	_cleanup_(json_freep) struct json *json = NULL;
	static struct wanted_model wanted[256];
	static char names[256][32];
	double one, all;

	(void)state;
	sbuf_puts(&page, "{\"data\":[");
	for (int i = 0; i < 20000; i++)
		sbuf_printf(&page, "%s{\"id\":\"model-%d\"}", i > 0 ? "," : "", i);
	sbuf_puts(&page, "]}");
	json = parse(sbuf_str(&page));
	for (int i = 0; i < 256; i++) {
		(void)snprintf(names[i], sizeof names[i], "model-%d", i * 1000);
		wanted_model_init(&wanted[i], names[i]);
	}
	one = cost_of_finding(json, wanted, 1);
	all = cost_of_finding(json, wanted, 256);
	for (int i = 0; i < 256; i++)
		assert_int_equal(wanted[i].facts.state, i < 20 ? MODEL_READY : MODEL_ABSENT);
	if (all > 20 * one)
		fail_msg("256 wanted models took %.6f s, one %.6f s", all, one);
}

static void test_names_are_listed_up_to_a_bound(void **state)
{
	_cleanup_(json_freep) struct json *page = parse(
		"{\"m\":[{\"i\":[\"a\",\"b\\u0007\"]},{\"i\":[\"c\",\"d\"]},{\"i\":[\"e\"]}]}");
	const struct model_list list = { .ids = "/m/*/i/*" };
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	(void)state;
	model_list_names(&list, page, 2, &out);
	assert_string_equal(sbuf_str(&out), "a, b …");
	sbuf_clear(&out);
	model_list_names(&list, page, 5, &out);
	assert_string_equal(sbuf_str(&out), "a, b, c, d, e");
}

static void test_cursor_names_the_next_page_or_there_is_none(void **state)
{
	static const struct {
		const char *page, *cursor;
	} pages[] = {
		{ "{\"more\":true,\"last\":\"x\"}", "x" },
		{ "{\"more\":true,\"last\":7}", "7" },
		{ "{\"more\":false,\"last\":\"x\"}", NULL },
		{ "{\"more\":null,\"last\":\"x\"}", NULL },
		{ "{\"last\":\"x\"}", NULL },
		{ "{\"more\":true,\"last\":\"\"}", NULL },
		{ "{\"more\":true,\"last\":null}", NULL },
		{ "{\"more\":true,\"last\":{}}", NULL },
		{ "{\"more\":true}", NULL },
	};
	const struct model_list list = { .ids = "/i", .more = "/more", .next = "/last" };
	const struct model_list plain = { .ids = "/i", .next = "/last" };
	const struct model_list none = { .ids = "/i" };
	_cleanup_(sbuf_fini) struct sbuf cursor = SBUF_INIT;

	(void)state;
	for (size_t i = 0; i < array_size(pages); i++) {
		_cleanup_(json_freep) struct json *page = parse(pages[i].page);

		assert_int_equal(model_list_next(&list, page, &cursor), pages[i].cursor != NULL);
		if (pages[i].cursor)
			assert_string_equal(sbuf_str(&cursor), pages[i].cursor);
		assert_false(model_list_next(&none, page, &cursor));
	}
	_cleanup_(json_freep) struct json *page = parse("{\"last\":\"y\"}");

	assert_true(model_list_next(&plain, page, &cursor));
	assert_string_equal(sbuf_str(&cursor), "y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model_names_match_apart_from_what_servers_add),
		cmocka_unit_test(test_model_is_found_with_its_own_facts),
		cmocka_unit_test(test_model_list_may_be_plain_names_or_a_single_one),
		cmocka_unit_test(test_pointers_with_two_stars_share_as_far_as_they_agree),
		cmocka_unit_test(test_model_states_are_read_by_the_words_of_the_server),
		cmocka_unit_test(test_a_null_can_be_a_state),
		cmocka_unit_test(test_a_ready_version_comes_before_one_that_is_not),
		cmocka_unit_test(test_prefix_of_ids_is_taken_off),
		cmocka_unit_test(test_many_wanted_models_cost_one_walk),
		cmocka_unit_test(test_names_are_listed_up_to_a_bound),
		cmocka_unit_test(test_cursor_names_the_next_page_or_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

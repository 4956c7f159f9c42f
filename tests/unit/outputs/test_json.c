/* SPDX-License-Identifier: MIT */
#include "modelhealth/text/json.h"
#include "modelhealth/text/sanitise.h"
#include "world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct json *render(
	const struct world *world, const struct output *output, const struct output_query *query)
{
	struct sbuf out = SBUF_INIT;
	struct json *json = NULL;

	assert_int_equal(world_render(world, output, query, &out), OUTPUT_DONE);
	if (json_parse(out.data, out.len, &json) < 0)
		fail_msg("no JSON: %s", sbuf_str(&out));
	assert_true(utf8_is_valid(out.data, out.len));
	sbuf_fini(&out);
	return json;
}

static const char *text_at(const struct json *json, const char *pointer)
{
	const struct json *value = json_at(json, pointer);
	size_t len;

	if (!value)
		fail_msg("nothing at %s", pointer);
	return json_string(value, &len);
}

static double number_at(const struct json *json, const char *pointer)
{
	const struct json *value = json_at(json, pointer);
	double number = 0;

	if (!value || !json_number(value, &number))
		fail_msg("no number at %s", pointer);
	return number;
}

static void assert_number(const struct json *json, const char *pointer, double wanted)
{
	double got = number_at(json, pointer);

	if (got < wanted - 1e-9 || got > wanted + 1e-9)
		fail_msg("%s: expected %g, got %g", pointer, wanted, got);
}

/* As it stands in the document. */
static void assert_text(const struct json *json, const char *pointer, const char *wanted)
{
	const struct json *value = json_at(json, pointer);

	if (!value)
		fail_msg("nothing at %s", pointer);
	assert_string_equal(json_text(value), wanted);
}

static struct result refused(void)
{
	struct result result = { 0 };

	result_set(&result, REASON_CONNECT_REFUSED, "192.0.2.1:8000, errno 111");
	result.at = world_now - USEC_PER_SEC;
	result.attempts = 2;
	result_set_timing(&result, TIMING_QUEUE, 0);
	result_set_timing(&result, TIMING_DNS, 250);
	result_set_timing(&result, TIMING_TOTAL, 1500);
	return result;
}

static void test_an_endpoint_has_the_fields_that_are_api(void **state)
{
	struct world world;
	struct result result = refused();
	struct json *json;
	(void)state;

	world_open(&world, 3);
	world_set_result(&world, 1, &result);
	world.check_views[1].health.bad = 3;
	world.check_views[1].attempts = 2;
	world.check_views[1].retries_total = 4;
	world.check_views[1].suppressed = SUPPRESSED_FULL;
	world.check_views[1].suppressed_total[SUPPRESSED_FULL] = 7;
	world.check_views[1].spending =
		&(struct spending){ .tokens_total = 90, .requests_total = 2 };
	world.views[1].evidence = "live";
	json = render(&world, &output_endpoint, &(struct output_query){ .name = "ep-00001" });
	assert_number(json, "/schema", 1);
	assert_string_equal(text_at(json, "/name"), "ep-00001");
	assert_string_equal(text_at(json, "/type"), "http");
	assert_text(json, "/group", "null");
	assert_string_equal(text_at(json, "/labels/team"), "search");
	assert_string_equal(text_at(json, "/state"), "down");
	assert_string_equal(text_at(json, "/reason"), "connect_refused");
	assert_string_equal(text_at(json, "/detail"), "192.0.2.1:8000, errno 111");
	assert_string_equal(text_at(json, "/since"), "2026-01-02T02:04:05.678Z");
	assert_string_equal(text_at(json, "/evidence"), "live");
	assert_string_equal(text_at(json, "/decided_by"), "live");
	assert_string_equal(text_at(json, "/checks/0/suppressed"), "full");
	assert_number(json, "/checks/0/suppressed_total/full", 7);
	assert_number(json, "/checks/0/spent/tokens_total", 90);
	assert_number(json, "/checks/0/spent/requests_total", 2);
	assert_text(json, "/flapping", "false");
	assert_string_equal(text_at(json, "/checks/0/name"), "live");
	assert_string_equal(text_at(json, "/checks/0/tier"), "live");
	assert_string_equal(text_at(json, "/checks/0/kind"), "http");
	assert_string_equal(text_at(json, "/checks/0/state"), "down");
	assert_string_equal(text_at(json, "/checks/0/reason"), "connect_refused");
	assert_number(json, "/checks/0/streak/good", 3);
	assert_number(json, "/checks/0/streak/bad", 3);
	assert_number(json, "/checks/0/streak/rise", 2);
	assert_number(json, "/checks/0/streak/fall", 3);
	assert_number(json, "/checks/0/interval_seconds", 10);
	assert_string_equal(text_at(json, "/checks/0/next_check"), "2026-01-02T03:04:13.678Z");
	assert_number(json, "/checks/0/attempts", 2);
	assert_number(json, "/checks/0/retries_total", 4);
	assert_string_equal(text_at(json, "/checks/0/last/at"), "2026-01-02T03:04:04.678Z");
	assert_string_equal(text_at(json, "/checks/0/last/verdict"), "down");
	assert_string_equal(text_at(json, "/checks/0/last/reason"), "connect_refused");
	assert_text(json, "/checks/0/last/http_status", "null");
	assert_number(json, "/checks/0/last/timings/dns_seconds", 0.00025);
	assert_number(json, "/checks/0/last/timings/total_seconds", 0.0015);
	assert_text(json, "/checks/0/last/reused", "false");
	assert_number(json, "/checks/0/window/checks", 4);
	assert_number(json, "/checks/0/window/ok", 3);
	assert_number(json, "/checks/0/window/latency_seconds/p50", 0.05);
	assert_number(json, "/checks/0/window/latency_seconds/p95", 0.05);
	assert_number(json, "/checks/0/window/latency_seconds/p99", 0.05);
	assert_string_equal(text_at(json, "/checks/0/last_failures/0/reason"), "connect_refused");
	json_free(json);
	world_close(&world);
}

static void test_spans_that_did_not_happen_are_absent(void **state)
{
	struct world world;
	struct result result = refused();
	struct json *json;
	(void)state;

	world_open(&world, 1);
	world_set_result(&world, 0, &result);
	json = render(&world, &output_endpoint, &(struct output_query){ .name = "ep-00000" });
	assert_int_equal(json_length(json_at(json, "/checks/0/last/timings")), 3);
	assert_null(json_at(json, "/checks/0/last/timings/connect_seconds"));
	assert_null(json_at(json, "/checks/0/last/timings/tls_seconds"));
	json_free(json);
	world_close(&world);
}

static void test_what_a_model_s_answer_cost_is_there_when_it_answered(void **state)
{
	struct world world;
	struct json *json;
	struct result *last;
	(void)state;

	world_open(&world, 1);
	last = &world.check_views[0].last;
	json = render(&world, &output_endpoint, &(struct output_query){ .name = "ep-00000" });
	assert_null(json_at(json, "/checks/0/last/tokens"));
	assert_null(json_at(json, "/checks/0/last/load"));
	json_free(json);
	last->tokens = (struct tokens){
		.source = TOKENS_REPORTED,
		.prompt = 12,
		.completion = 8,
		.gaps = 7,
		.gap_mean = 20 * USEC_PER_MSEC,
		.gap_max = 45 * USEC_PER_MSEC,
		.per_second = 48.5,
	};
	last->load.seen = 1u << LOAD_WAITING | 1u << LOAD_ITL | 1u << LOAD_PROGRESS;
	last->load.value[LOAD_PROGRESS] = 123456789012;
	last->load.value[LOAD_WAITING] = 2;
	last->load.value[LOAD_ITL] = (double)NAN;
	last->load.is_full = true;
	json = render(&world, &output_endpoint, &(struct output_query){ .name = "ep-00000" });
	assert_string_equal(text_at(json, "/checks/0/last/tokens/source"), "reported");
	assert_number(json, "/checks/0/last/tokens/completion", 8);
	assert_number(json, "/checks/0/last/tokens/inter_token_mean_seconds", 0.02);
	assert_number(json, "/checks/0/last/tokens/inter_token_max_seconds", 0.045);
	assert_number(json, "/checks/0/last/tokens/per_second", 48.5);
	assert_number(json, "/checks/0/last/load/waiting", 2);
	assert_number(json, "/checks/0/last/load/progress_total", 123456789012);
	assert_text(json, "/checks/0/last/load/full", "true");
	/* JSON has no NaN. */
	assert_null(json_at(json, "/checks/0/last/load/inter_token_seconds"));
	json_free(json);
	world_close(&world);
}

static void test_an_endpoint_never_checked_has_nulls(void **state)
{
	struct world world;
	struct json *json;
	(void)state;

	world_open(&world, 1);
	window_fini(&world.check_views[0].window);
	world.check_views[0].has_last = false;
	world.check_views[0].next_at = 0;
	world.views[0].since = 0;
	world.views[0].decided_by = NULL;
	world.views[0].reason = REASON_NEVER_CHECKED;
	json = render(&world, &output_endpoint, &(struct output_query){ .name = "ep-00000" });
	assert_text(json, "/since", "null");
	assert_text(json, "/checks/0/last", "null");
	assert_text(json, "/checks/0/next_check", "null");
	assert_text(json, "/checks/0/window/latency_seconds/p50", "null");
	assert_string_equal(text_at(json, "/detail"), "not checked yet");
	json_free(json);
	world_close(&world);
}

static void test_an_unknown_name_is_not_found(void **state)
{
	struct world world;
	struct sbuf out = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	assert_int_equal(world_render(&world, &output_endpoint,
				 &(struct output_query){ .name = "nobody" }, &out),
		OUTPUT_NOT_FOUND);
	sbuf_fini(&out);
	world_close(&world);
}

static void test_the_list_is_whole_and_in_order_over_slices(void **state)
{
	struct world world;
	struct json *json;
	char pointer[64];
	(void)state;

	world_open(&world, 1000);
	json = render(&world, &output_endpoints, NULL);
	assert_number(json, "/schema", 1);
	assert_string_equal(text_at(json, "/generated_at"), "2026-01-02T03:04:05.678Z");
	assert_int_equal(json_length(json_at(json, "/endpoints")), 1000);
	for (unsigned i = 0; i < 1000; i += 111) {
		(void)snprintf(pointer, sizeof pointer, "/endpoints/%u/name", i);
		assert_string_equal(text_at(json, pointer), world.names[i]);
	}
	json_free(json);
	world_close(&world);
}

static void test_filters_choose_and_an_impossible_one_is_an_error(void **state)
{
	static const struct {
		struct output_query query;
		size_t n;
	} cases[] = {
		{ { .state = "down" }, 1 },
		{ { .state = "up" }, 99 },
		{ { .group = "even" }, 50 },
		{ { .group = "even", .state = "down" }, 1 },
		{ { .group = "odd" }, 0 },
		{ { .label = "team=search" }, 100 },
		{ { .label = "team=" }, 0 },
		{ { .label = "tea=search" }, 0 },
	};
	static const struct output_query bad[] = { { .state = "dead" }, { .label = "team" } };
	struct world world;
	struct result result = refused();
	(void)state;

	world_open(&world, 100);
	world_set_result(&world, 98, &result);
	for (size_t i = 0; i < array_size(cases); i++) {
		struct json *json = render(&world, &output_endpoints, &cases[i].query);

		assert_int_equal(json_length(json_at(json, "/endpoints")), cases[i].n);
		json_free(json);
	}
	for (size_t i = 0; i < array_size(bad); i++) {
		struct sbuf out = SBUF_INIT;

		assert_int_equal(
			world_render(&world, &output_endpoints, &bad[i], &out), OUTPUT_BAD_QUERY);
		sbuf_fini(&out);
	}
	world_close(&world);
}

static void test_totals_add_up(void **state)
{
	struct world world;
	struct result result = refused();
	struct json *json;
	(void)state;

	world_open(&world, 10);
	world_set_result(&world, 0, &result);
	world.self.reload_ok = false;
	world.self.reload_error = "a.yaml:1:1: \"bad\"";
	json = render(&world, &output_status, NULL);
	assert_number(json, "/endpoints/total", 10);
	assert_number(json, "/endpoints/up", 9);
	assert_number(json, "/endpoints/down", 1);
	assert_number(json, "/endpoints/suspended", 0);
	assert_number(json, "/config/generation", 1);
	assert_string_equal(text_at(json, "/config/last_reload_error"), "a.yaml:1:1: \"bad\"");
	json_free(json);
	world_close(&world);
}

static void test_hostile_text_comes_back_as_one_string(void **state)
{
	struct world world;
	(void)state;

	for (size_t i = 0; i < world_n_hostile; i++) {
		const struct label label = { "team", world_hostile[i] };
		struct result result = refused();
		char wanted[256];
		struct json *json;

		world_open(&world, 1);
		(void)snprintf(result.detail, sizeof result.detail, "%s", world_hostile[i]);
		world_set_result(&world, 0, &result);
		world.endpoints[0].labels = &label;
		world.endpoints[0].group = world_hostile[i];
		json = render(
			&world, &output_endpoint, &(struct output_query){ .name = "ep-00000" });
		if (utf8_is_valid(world_hostile[i], strlen(world_hostile[i])))
			(void)snprintf(wanted, sizeof wanted, "%s", world_hostile[i]);
		else
			(void)sanitise(
				wanted, sizeof wanted, world_hostile[i], strlen(world_hostile[i]));
		assert_string_equal(text_at(json, "/detail"), wanted);
		assert_string_equal(text_at(json, "/group"), wanted);
		assert_string_equal(text_at(json, "/labels/team"), wanted);
		json_free(json);
		world_close(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_endpoint_has_the_fields_that_are_api),
		cmocka_unit_test(test_spans_that_did_not_happen_are_absent),
		cmocka_unit_test(test_what_a_model_s_answer_cost_is_there_when_it_answered),
		cmocka_unit_test(test_an_endpoint_never_checked_has_nulls),
		cmocka_unit_test(test_an_unknown_name_is_not_found),
		cmocka_unit_test(test_the_list_is_whole_and_in_order_over_slices),
		cmocka_unit_test(test_filters_choose_and_an_impossible_one_is_an_error),
		cmocka_unit_test(test_totals_add_up),
		cmocka_unit_test(test_hostile_text_comes_back_as_one_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

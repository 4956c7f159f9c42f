/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "modelhealth/core/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

const usec_t world_now = 1767323045678000;

static const struct check_kind http_kind = { .name = "http" };
static const struct label labels[] = { { "team", "search" } };

const char *const world_hostile[] = {
	"<script>alert(1)</script>",
	"\"}],\"x\":[{\"",
	"'; DROP TABLE--",
	"back\\slash \\n \\u0000",
	"line\nbreak\r\nEND 1\n# TYPE forged counter\nforged 1",
	"\x1b[31mred\x1b[0m \x1b]0;title\x07",
	"rtl \xe2\x80\xae override",
	"line separator \xe2\x80\xa8 here",
	"%s%n%x%999999999s",
	"invalid \xff\xfe utf-8 \xc3",
	"tab\there nul-ish \x01\x02\x7f",
	("\xc2\x9b"
	 "31m C1 control"),
	"surrogate \xed\xa0\x80",
	"]]>&amp;</td>",
	"=cmd|' /C calc'!A0",
	"{endpoint=\"x\"} 1",
};
const size_t world_n_hostile = array_size(world_hostile);

static struct result good_result(void)
{
	struct result result = { 0 };

	result_set(&result, REASON_OK, NULL);
	result.at = world_now - 2 * USEC_PER_SEC;
	result.http_status = 200;
	result.attempts = 1;
	result.cert_expires_at = world_now + 86400 * USEC_PER_SEC;
	result_set_timing(&result, TIMING_QUEUE, 0);
	result_set_timing(&result, TIMING_CONNECT, USEC_PER_MSEC);
	result_set_timing(&result, TIMING_FIRST_BYTE, 40 * USEC_PER_MSEC);
	result_set_timing(&result, TIMING_TRANSFER, 9 * USEC_PER_MSEC);
	result_set_timing(&result, TIMING_TOTAL, 50 * USEC_PER_MSEC);
	return result;
}

static void fill_check(struct world *world, size_t i)
{
	struct check_spec *spec = &world->checks[i];
	struct check_view *view = &world->check_views[i];
	struct result result = good_result();

	*spec = (struct check_spec){
		.name = "live",
		.endpoint = &world->endpoints[i],
		.kind = &http_kind,
		.tier = TIER_LIVE,
		.interval = 10 * USEC_PER_SEC,
		.health = { .rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 3 },
	};
	view->spec = spec;
	health_init(&view->health, &spec->health);
	view->attempts = 1;
	view->next_at = world_now + 8 * USEC_PER_SEC;
	for (unsigned k = 0; k < 3; k++) {
		(void)health_step(&view->health, &spec->health, &result, world_now);
		window_push(&view->window, &result);
		tally_add(&view->results, REASON_OK);
		view->started_total++;
		histogram_add(&view->total, result.timing[TIMING_TOTAL]);
		histogram_add(&view->first_byte, result.timing[TIMING_FIRST_BYTE]);
	}
	view->last = result;
	view->has_last = true;
}

static void fill_endpoint(struct world *world, size_t i)
{
	(void)snprintf(world->names[i], sizeof world->names[i], "ep-%05zu", i);
	world->endpoints[i] = (struct endpoint_spec){
		.name = world->names[i],
		.type = "http",
		.group = i % 2 == 0 ? "even" : NULL,
		.url = "http://192.0.2.1:8000/health",
		.labels = labels,
		.n_labels = 1,
		.checks = &world->checks[i],
		.n_checks = 1,
		.tls_verify = true,
	};
	fill_check(world, i);
	world->check_pointers[i] = &world->check_views[i];
	world->views[i] = (struct endpoint_view){
		.spec = &world->endpoints[i],
		.state = STATE_UP,
		.reason = REASON_OK,
		.decided_by = &world->check_views[i],
		.since = world_now - 3600 * USEC_PER_SEC,
		.checks = &world->check_pointers[i],
		.n_checks = 1,
	};
	world->view_pointers[i] = &world->views[i];
}

void world_open(struct world *world, size_t n)
{
	*world = (struct world){ 0 };
	world->endpoints = calloc(n + 1, sizeof *world->endpoints);
	world->checks = calloc(n + 1, sizeof *world->checks);
	world->check_views = calloc(n + 1, sizeof *world->check_views);
	world->check_pointers = calloc(n + 1, sizeof *world->check_pointers);
	world->views = calloc(n + 1, sizeof *world->views);
	world->view_pointers = calloc(n + 1, sizeof *world->view_pointers);
	world->names = calloc(n + 1, sizeof *world->names);
	assert_true(world->endpoints && world->checks && world->check_views &&
		    world->check_pointers && world->views && world->view_pointers && world->names);
	for (size_t i = 0; i < n; i++)
		fill_endpoint(world, i);
	world->config = (struct config){ .refs = 1, .generation = 1 };
	world->self = (struct self_view){
		.started_at = world_now - 7200 * USEC_PER_SEC,
		.reload_ok = true,
		.checks_total = 3 * n,
		.first_round_done = true,
	};
	histogram_add_fine(&world->self.lateness, 300);
	world->snapshot = (struct snapshot){
		.now = world_now,
		.config = &world->config,
		.self = &world->self,
		.endpoints = world->view_pointers,
		.n_endpoints = n,
	};
	world->snapshot.n_state[STATE_UP] = n;
}

void world_close(struct world *world)
{
	for (size_t i = 0; i < world->snapshot.n_endpoints; i++) {
		window_fini(&world->check_views[i].window);
		tally_fini(&world->check_views[i].results);
	}
	free(world->endpoints);
	free(world->checks);
	free(world->check_views);
	free(world->check_pointers);
	free(world->views);
	free(world->view_pointers);
	free(world->names);
}

void world_set_result(struct world *world, size_t i, const struct result *result)
{
	static const enum state states[] = {
		[VERDICT_UP] = STATE_UP,
		[VERDICT_DEGRADED] = STATE_DEGRADED,
		[VERDICT_NOT_READY] = STATE_NOT_READY,
		[VERDICT_DOWN] = STATE_DOWN,
		[VERDICT_UNKNOWN] = STATE_UNKNOWN,
	};
	struct check_view *check = &world->check_views[i];
	struct endpoint_view *view = &world->views[i];

	check->last = *result;
	tally_add(&check->results, result->reason);
	window_push(&check->window, result);
	check->health.state = states[result->verdict];
	check->health.reason = result->reason;
	world->snapshot.n_state[view->state]--;
	view->state = check->health.state;
	view->reason = result->reason;
	world->snapshot.n_state[view->state]++;
}

enum output_progress world_render(const struct world *world, const struct output *output,
	const struct output_query *query, struct sbuf *out)
{
	static const struct output_query nothing = { 0 };
	enum output_progress progress;
	size_t cursor = 0;
	size_t rounds = 0;

	do {
		assert_true(rounds++ < 1000000);
		progress = output->render(&world->snapshot, query ? query : &nothing, out, &cursor);
	} while (progress == OUTPUT_MORE);
	assert_false(out->failed);
	return progress;
}

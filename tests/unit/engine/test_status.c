/* SPDX-License-Identifier: MIT */
/*
 * The routes of the status port over real sockets, with an engine whose checks always succeed.
 */
#include "modelhealth/engine/status.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/text/json.h"
#include "rawclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const char tcp[] = "127.0.0.1:0";

struct fixture {
	struct loop *loop;
	struct engine *engine;
	struct status *status;
	uint16_t port;
	char folder[32], socket[48];
	unsigned n_configs;
	unsigned n_reloads;
	const char *reload_error; /* NULL = it succeeds */
};

/* ---- the engine's side ---- */

static void start(struct probe *probe)
{
	result_set(&probe->result, REASON_OK, NULL);
	probe->result.http_status = 200;
	result_set_timing(&probe->result, TIMING_TOTAL, USEC_PER_MSEC);
	probe->done(probe);
}

static void cancel(struct probe *probe)
{
	(void)probe;
}

static const struct check_kind instant = { .name = "instant", .start = start, .cancel = cancel };

static void fill_endpoint(struct config *config, size_t i)
{
	struct endpoint_spec *endpoint = &config->endpoints[i];
	struct check_spec *check = arena_alloc(&config->arena, sizeof *check);

	assert_non_null(check);
	*check = (struct check_spec){
		.name = "live",
		.endpoint = endpoint,
		.kind = &instant,
		.interval = 10 * USEC_PER_SEC,
		.fast_interval = 10 * USEC_PER_SEC,
		.down_interval = 10 * USEC_PER_SEC,
		.timeout = { .total = USEC_PER_SEC },
		.health = { .rise = 1, .fall = 1, .degraded_rise = 1, .degraded_fall = 1 },
		.identity_hash = 1,
		.content_hash = 1,
	};
	*endpoint = (struct endpoint_spec){
		.name = arena_printf(&config->arena, "e%04zu", i),
		.type = "instant",
		.host = "127.0.0.1:1",
		.url = "http://127.0.0.1:1/",
		.checks = check,
		.n_checks = 1,
		.tls_verify = true,
	};
	config->by_name[i] = endpoint;
}

static struct config *make_config(
	struct fixture *fixture, size_t n, const char *const *listen, size_t n_listen)
{
	struct config *config = calloc(1, sizeof *config);

	assert_non_null(config);
	*config = (struct config){
		.refs = 1,
		.generation = ++fixture->n_configs,
		.listen = listen,
		.n_listen = n_listen,
		.limits = { .concurrency = 64,
			.per_host = 64,
			.status_clients = 64,
			.status_clients_per_source = 64 },
		.n_endpoints = n,
	};
	config->endpoints = arena_calloc(&config->arena, n, sizeof *config->endpoints);
	config->by_name = arena_calloc(&config->arena, n, sizeof(struct endpoint_spec *));
	for (size_t i = 0; i < n; i++)
		fill_endpoint(config, i);
	return config;
}

static void apply(struct fixture *fixture, size_t n)
{
	const char *const listen[] = { tcp, fixture->socket };
	struct config *config = make_config(fixture, n, listen, array_size(listen));
	char error[200];

	assert_int_equal(engine_apply(fixture->engine, config), 0);
	assert_int_equal(status_listen(fixture->status, config, error, sizeof error), 0);
	config_unref(config);
}

static bool on_reload(void *ctx)
{
	struct fixture *fixture = ctx;

	fixture->n_reloads++;
	status_reloaded(fixture->status, fixture->reload_error);
	return true;
}

static int open_fixture(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	assert_non_null(fixture);
	(void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/test_status.XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	(void)snprintf(fixture->socket, sizeof fixture->socket, "unix:%s/socket", fixture->folder);
	assert_int_equal(loop_new(&fixture->loop), 0);
	assert_int_equal(engine_new(&(struct engine_setup){ .timers = loop_timers(fixture->loop),
					    .seed = 1 },
				 &fixture->engine),
		0);
	assert_int_equal(status_new(&(struct status_setup){ .loop = fixture->loop,
					    .engine = fixture->engine,
					    .reload = on_reload,
					    .ctx = fixture },
				 &fixture->status),
		0);
	apply(fixture, 3);
	fixture->port = status_port(fixture->status, tcp);
	*state = fixture;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *fixture = *state;

	status_free(fixture->status);
	engine_free(fixture->engine);
	loop_free(fixture->loop);
	assert_int_equal(rmdir(fixture->folder), 0);
	free(fixture);
	return 0;
}

/* ---- the client's side ---- */

/* Sends "METHOD path" and further header lines; the answer stays in client. */
static unsigned ask(struct fixture *fixture, struct raw_client *client, bool is_local,
	const char *what, const char *more)
{
	char request[512];

	(void)snprintf(
		request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", what, more);
	if (is_local)
		raw_open_unix(client, fixture->loop, fixture->socket + strlen("unix:"), request);
	else
		raw_open(client, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(client, 5 * USEC_PER_SEC);
	assert_true(client->closed);
	return raw_status(client);
}

/* The status alone. */
static unsigned status_of(struct fixture *fixture, bool is_local, const char *what)
{
	struct raw_client client;
	unsigned status = ask(fixture, &client, is_local, what, "");

	raw_close(&client);
	return status;
}

/* Without waiting for the schedule, which spreads it over an interval. */
static void run_first_round(struct fixture *fixture)
{
	const struct snapshot *snapshot = engine_snapshot(fixture->engine);

	for (size_t i = 0; i < snapshot->n_endpoints; i++)
		assert_int_equal(
			engine_check_now(fixture->engine, snapshot->endpoints[i]->spec->name), 0);
	for (unsigned i = 0; i < 1000 && !engine_self(fixture->engine)->first_round_done; i++)
		raw_run(fixture->loop, USEC_PER_MSEC);
	assert_true(engine_self(fixture->engine)->first_round_done);
}

/* ---- tests ---- */

static void test_every_path_has_its_answer(void **state)
{
	static const struct {
		const char *what;
		unsigned over_tcp, locally;
	} cases[] = {
		{ "GET /", 200, 200 },
		{ "HEAD /", 200, 200 },
		{ "GET /healthz", 200, 200 },
		{ "GET /-/healthy?x=y", 200, 200 },
		{ "GET /metrics", 200, 200 },
		{ "GET /api/v1/status", 200, 200 },
		{ "GET /api/v1/endpoints", 200, 200 },
		{ "GET /api/v1/endpoints?state=up", 200, 200 },
		{ "GET /api/v1/endpoints?state=dead", 400, 400 },
		{ "GET /api/v1/endpoints?label=team", 400, 400 },
		{ "GET /api/v1/endpoints?stat=up", 400, 400 },
		{ "GET /?state=up&group=chat&label=a=b", 200, 200 },
		{ "GET /?target=e0001", 400, 400 },
		{ "GET /metrics?group=chat", 400, 400 },
		{ "GET /api/v1/status?state=up", 400, 400 },
		{ "GET /api/v1/endpoints/e0001?module=live", 400, 400 },
		{ "GET /api/v1/endpoints/e0001", 200, 200 },
		{ "GET /api/v1/endpoints/nobody", 404, 404 },
		{ "GET /api/v1/endpoints/e0001/x", 404, 404 },
		{ "GET /api/v1", 404, 404 },
		{ "GET /metrics.txt", 404, 404 },
		{ "GET /metrics/", 404, 404 },
		{ "GET /api/v1/endpoints/", 404, 404 },
		{ "GET /api/v1/endpoints/e0001/", 404, 404 },
		{ "GET //", 400, 400 },
		{ "GET /metrics//", 400, 400 },
		{ "GET /probe", 400, 400 },
		{ "GET /probe?target=nobody&module=live", 404, 404 },
		{ "POST /metrics", 405, 405 },
		{ "POST /", 405, 405 },
		{ "GET /-/reload", 405, 405 },
		{ "GET /api/v1/endpoints/e0001/check", 405, 405 },
		{ "POST /-/reload", 403, 200 },
		{ "POST /api/v1/endpoints/e0001/check", 403, 202 },
		{ "POST /api/v1/endpoints/nobody/check", 403, 404 },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		unsigned over_tcp = status_of(fixture, false, cases[i].what);
		unsigned locally = status_of(fixture, true, cases[i].what);

		if (over_tcp != cases[i].over_tcp || locally != cases[i].locally)
			fail_msg("%s: got %u over TCP and %u locally", cases[i].what, over_tcp,
				locally);
	}
	assert_int_equal(fixture->n_reloads, 1);
}

static void test_ready_only_after_the_first_round(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(status_of(fixture, false, "GET /readyz"), 503);
	run_first_round(fixture);
	assert_int_equal(status_of(fixture, false, "GET /readyz"), 200);
	assert_int_equal(status_of(fixture, false, "GET /-/ready"), 200);
}

static void test_probe_shows_a_finished_check(void **state)
{
	struct fixture *fixture = *state;

	run_first_round(fixture);
	assert_int_equal(status_of(fixture, false, "GET /probe?target=e0000&module=live"), 200);
}

static void test_a_refused_reload_tells_what_is_wrong(void **state)
{
	struct fixture *fixture = *state;
	struct raw_client client;
	struct json *json;
	size_t len;

	fixture->reload_error = "a.yaml:3:5: \"x\" is wrong\na.yaml:4:1: so is \"y\"\n";
	assert_int_equal(ask(fixture, &client, true, "POST /-/reload", ""), 422);
	assert_int_equal(json_parse(raw_body(&client), strlen(raw_body(&client)), &json), 0);
	assert_string_equal(json_string(json_at(json, "/detail"), &len), fixture->reload_error);
	json_free(json);
	raw_close(&client);
}

static void test_an_endpoint_is_checked_on_demand_at_most_once_a_second(void **state)
{
	struct fixture *fixture = *state;
	const struct check_view *check = engine_snapshot(fixture->engine)->endpoints[2]->checks[0];
	uint64_t before = check->started_total;

	assert_int_equal(status_of(fixture, true, "POST /api/v1/endpoints/e0002/check"), 202);
	assert_int_equal(check->started_total, before + 1);
	assert_int_equal(status_of(fixture, true, "POST /api/v1/endpoints/e0002/check"), 429);
	assert_int_equal(check->started_total, before + 1);
}

static void test_an_unchanged_answer_is_not_sent_again(void **state)
{
	struct fixture *fixture = *state;
	struct raw_client client;
	char etag[128], field[160];
	const char *at;

	run_first_round(fixture);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/status", ""), 200);
	at = strstr(sbuf_str(&client.answer), "\r\nETag: ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "\r\nETag: %127[^\r]", etag), 1);
	raw_close(&client);
	(void)snprintf(field, sizeof field, "If-None-Match: \"other\", %s\r\n", etag);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/status", field), 304);
	assert_string_equal(raw_body(&client), "");
	raw_close(&client);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/endpoints", field), 304);
	raw_close(&client);
	assert_int_equal(ask(fixture, &client, false, "GET /", "If-None-Match: *\r\n"), 200);
	raw_close(&client);
	assert_int_equal(
		ask(fixture, &client, false, "GET /api/v1/status", "If-None-Match: *\r\n"), 304);
	raw_close(&client);
	/* What does not exist has no version. */
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/endpoints/nobody", field), 404);
	raw_close(&client);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/endpoints?state=x", field), 400);
	raw_close(&client);
	/* A configuration later it is another. */
	apply(fixture, 4);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/status", field), 200);
	raw_close(&client);
}

static void test_metrics_come_in_the_format_that_the_client_prefers(void **state)
{
	static const char text[] = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
	static const char openmetrics[] =
		"\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";

	static const struct {
		const char *field, *type;
	} cases[] = {
		{ "", text },
		{ "Accept: */*\r\n", text },
		{ "Accept: application/json\r\n", text }, /* better than nothing */
		{ "Accept: application/openmetrics-text;version=1.0.0;q=0.5,application/"
		  "openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
			openmetrics },
		{ "Accept: application/openmetrics-text;q=0.3,text/plain;q=0.3\r\n", text },
		{ "Accept: application/openmetrics-text; version=1.0.0; q=0.31,text/plain;q=0.3\r\n",
			openmetrics },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		struct raw_client client;

		assert_int_equal(ask(fixture, &client, false, "GET /metrics", cases[i].field), 200);
		if (!strstr(sbuf_str(&client.answer), cases[i].type))
			fail_msg("%s: not%s", cases[i].field, cases[i].type);
		assert_non_null(strstr(sbuf_str(&client.answer), "\r\nVary: Accept\r\n"));
		raw_close(&client);
	}
}

/* Changes the configuration as soon as the request has arrived. */
struct changer {
	struct timer timer;
	struct fixture *fixture;
};

static void on_change(struct timer *timer)
{
	struct changer *changer = container_of(timer, struct changer, timer);
	struct fixture *fixture = changer->fixture;
	struct timers *timers = loop_timers(fixture->loop);

	(void)engine_snapshot(fixture->engine);
	if (engine_self(fixture->engine)->http_clients == 0) {
		assert_int_equal(timer_set(timers, timer, timers->now + 100), 0);
		return;
	}
	apply(fixture, 5);
}

static void test_a_list_over_a_reload_is_of_one_configuration(void **state)
{
	struct fixture *fixture = *state;
	struct changer changer = { .timer = { .fn = on_change }, .fixture = fixture };
	struct timers *timers = loop_timers(fixture->loop);
	struct raw_client client;
	struct json *json;

	apply(fixture, 3000);
	assert_int_equal(timer_set(timers, &changer.timer, timers->now), 0);
	assert_int_equal(ask(fixture, &client, false, "GET /api/v1/endpoints", ""), 200);
	timer_cancel(timers, &changer.timer);
	assert_int_equal(json_parse(raw_body(&client), strlen(raw_body(&client)), &json), 0);
	assert_int_equal(json_length(json_at(json, "/endpoints")), 5);
	json_free(json);
	raw_close(&client);
}

static void test_an_address_that_cannot_be_bound_is_named_and_nothing_changes(void **state)
{
	struct fixture *fixture = *state;
	static const char *const listen[] = { tcp, "192.0.2.1:1" };
	struct config *config = make_config(fixture, 1, listen, array_size(listen));
	char error[200] = "";

	assert_true(status_listen(fixture->status, config, error, sizeof error) < 0);
	assert_non_null(strstr(error, "192.0.2.1:1"));
	assert_int_equal(status_of(fixture, true, "GET /healthz"), 200);
	assert_int_equal(status_of(fixture, false, "GET /healthz"), 200);
	config_unref(config);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_path_has_its_answer),
		TEST(test_ready_only_after_the_first_round),
		TEST(test_probe_shows_a_finished_check),
		TEST(test_a_refused_reload_tells_what_is_wrong),
		TEST(test_an_endpoint_is_checked_on_demand_at_most_once_a_second),
		TEST(test_an_unchanged_answer_is_not_sent_again),
		TEST(test_metrics_come_in_the_format_that_the_client_prefers),
		TEST(test_a_list_over_a_reload_is_of_one_configuration),
		TEST(test_an_address_that_cannot_be_bound_is_named_and_nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

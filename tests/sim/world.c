/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What the fake kind keeps per check. */
struct fake {
	struct probe *probe;
	struct timer end;
	struct task done; /* kinds end in a task of their own, as transfers do */
	enum reason reason;
	struct behaviour behaviour;
	bool running;
};

static struct world *the_world; /* check kinds and outputs have no context of their own */

static void note(uint64_t what, const struct endpoint_spec *endpoint)
{
	uint64_t event[] = { the_world->timers.now, what, hash_text(endpoint->name) };

	the_world->hash = hash_bytes(event, sizeof event, the_world->hash);
}

/* Kinds break off what hangs; then an inference is abandoned. A scrape that failed cannot tell. */
static void fill(struct result *result, const struct fake *fake)
{
	const struct check_spec *spec = fake->probe->spec;

	result_set(result, fake->reason, NULL);
	result->retry_after = fake->behaviour.retry_after;
	result->is_abandoned = spec->cost.is_inference && fake->reason == REASON_TIMEOUT_TOTAL;
	if (spec->tier == TIER_LOAD && result->verdict == VERDICT_DOWN &&
		fake->reason != REASON_STALLED)
		result->verdict = VERDICT_UNKNOWN;
	else if (spec->tier == TIER_LOAD)
		result->load = fake->behaviour.load;
	if (fake->reason == REASON_OK && fake->behaviour.tokens > 0)
		result->tokens = (struct tokens){ .source = TOKENS_REPORTED,
			.completion = fake->behaviour.tokens };
}

static void on_done(struct task *task)
{
	struct fake *fake = container_of(task, struct fake, done);

	assert_true(fake->running);
	fake->running = false;
	the_world->in_flight--;
	the_world->dones++;
	fill(&fake->probe->result, fake);
	note(fake->reason, fake->probe->spec->endpoint);
	fake->probe->done(fake->probe);
}

static void on_end(struct timer *timer)
{
	struct fake *fake = container_of(timer, struct fake, end);

	task_defer(&the_world->timers, &fake->done);
}

static struct fake *fake_of(struct probe *probe)
{
	struct fake *fake = probe->priv;

	if (!fake) {
		fake = calloc(1, sizeof *fake);
		assert_non_null(fake);
		fake->end.fn = on_end;
		fake->done.fn = on_done;
		probe->priv = fake;
	}
	fake->probe = probe;
	return fake;
}

static void fake_start(struct probe *probe)
{
	struct fake *fake = fake_of(probe);
	struct behaviour behaviour = the_world->behave(the_world, probe->spec);
	usec_t latency =
		behaviour.latency + rand_below(&the_world->rand, behaviour.latency_spread + 1);

	assert_false(fake->running); /* never two in flight for one check */
	fake->running = true;
	the_world->starts++;
	the_world->in_flight++;
	the_world->in_flight_max = max_of(the_world->in_flight_max, the_world->in_flight);
	if (the_world->on_start)
		the_world->on_start(the_world, probe->spec);
	fake->reason = behaviour.reason;
	fake->behaviour = behaviour;
	if (behaviour.hangs || latency > probe->spec->timeout.total) {
		fake->reason = REASON_TIMEOUT_TOTAL;
		latency = probe->spec->timeout.total;
	}
	note(REASON_N, probe->spec->endpoint);
	if (behaviour.at_once)
		on_done(&fake->done);
	if (behaviour.at_once || behaviour.is_lost)
		return;
	assert_int_equal(
		timer_set(&the_world->timers, &fake->end, the_world->timers.now + latency), 0);
}

static void fake_cancel(struct probe *probe)
{
	struct fake *fake = probe->priv;

	assert_true(fake->running);
	fake->running = false;
	the_world->in_flight--;
	the_world->cancels++;
	timer_cancel(&the_world->timers, &fake->end);
	task_cancel(&the_world->timers, &fake->done);
}

static void fake_fini(struct probe *probe)
{
	struct fake *fake = probe->priv;

	assert_false(fake->running);
	free(fake);
	probe->priv = NULL;
}

static const struct check_kind fake_kind = {
	.name = "fake",
	.start = fake_start,
	.cancel = fake_cancel,
	.fini = fake_fini,
};

static void on_result(
	void *ctx, const struct endpoint_view *endpoint, const struct check_view *check)
{
	struct world *world = ctx;

	(void)endpoint;
	world->results++;
	assert_true(check->has_last);
	assert_in_range(check->last.attempts, check->last.reason != REASON_SKIPPED_PROVEN,
		check->spec->retry.attempts + 1);
	assert_int_equal(check->last.at, world->timers.real);
}

static void on_transition(const struct transition *transition)
{
	/* that it is unknown is told once more when there is a reason */
	assert_true(transition->from != transition->to || transition->to == STATE_UNKNOWN);
	the_world->transitions++;
	if (the_world->on_transition)
		the_world->on_transition(transition);
	note(1000 + transition->to, transition->endpoint->spec);
}

static const struct output watcher = { .name = "watcher", .on_transition = on_transition };
static const struct output *const watchers[] = { &watcher, NULL };

/* Memory as io/keeper.c gives it, but for the service manager; it moves each time. */
static int lay_out(void *ctx, size_t n, struct record **ret_slots, size_t *ret_first)
{
	struct world *world = ctx;
	size_t first = world->slots ? ledger_free_area(world->slots, n) : LEDGER_FIRST;
	size_t n_slots = max_of(first + n, world->n_slots);
	struct record *slots = calloc(n_slots, sizeof *slots);

	assert_non_null(slots);
	if (world->slots)
		memcpy(slots, world->slots, world->n_slots * sizeof *slots);
	else
		ledger_format(slots);
	memset(slots + first, 0, n * sizeof *slots);
	free(world->slots);
	world->slots = slots;
	world->n_slots = n_slots;
	*ret_slots = slots;
	*ret_first = first;
	return 0;
}

static void commit(void *ctx, size_t first, size_t n)
{
	struct world *world = ctx;

	ledger_commit(world->slots, first, n);
}

static void begin_engine(struct world *world)
{
	struct engine_setup setup = {
		.timers = &world->timers,
		.keeper = { .layout = lay_out, .commit = commit, .ctx = world },
		.seed = world->seed++,
		.outputs = watchers,
		.on_result = on_result,
		.ctx = world,
	};

	assert_int_equal(engine_new(&setup, &world->engine), 0);
}

static void end_engine(struct world *world)
{
	engine_stop(world->engine);
	assert_int_equal(world->in_flight, 0);
	assert_int_equal(world->starts, world->dones + world->cancels);
	world->engine = engine_free(world->engine);
	assert_int_equal(world->timers.n, 0);
	assert_false(tasks_pending(&world->timers));
}

void world_init(struct world *world, const struct world_conf *conf, uint64_t seed)
{
	*world = (struct world){
		.conf = *conf, .real_offset = 1700000000 * USEC_PER_SEC, .seed = seed
	};
	the_world = world;
	if (world->conf.limits.concurrency == 0)
		world->conf.limits.concurrency = 512;
	if (world->conf.limits.per_host == 0)
		world->conf.limits.per_host = 8;
	if (world->conf.min_interval == 0)
		world->conf.min_interval = 10 * USEC_PER_SEC;
	if (world->conf.max_interval == 0)
		world->conf.max_interval = world->conf.min_interval;
	if (world->conf.n_hosts == 0)
		world->conf.n_hosts = conf->n_endpoints;
	if (!world->conf.host_prefix)
		world->conf.host_prefix = "127.0.0.";
	timers_init(&world->timers);
	world->timers.now = 3600 * USEC_PER_SEC;
	world->timers.real = world->timers.now + world->real_offset;
	rand_seed(&world->rand, seed ^ 0x5eed);
	begin_engine(world);
}

void world_fini(struct world *world)
{
	end_engine(world);
	timers_fini(&world->timers);
	free(world->slots);
}

static void fill_check(
	const struct world *world, struct endpoint_spec *endpoint, size_t i, enum salt salt)
{
	struct check_spec *check = endpoint->checks;
	usec_t range = world->conf.max_interval - world->conf.min_interval;
	usec_t interval = world->conf.min_interval +
			  hash_bytes(&i, sizeof i, 1) % (range + 1) / USEC_PER_SEC * USEC_PER_SEC;
	bool changes = i % 10 == 0;

	if (salt == SALT_INTERVALS && changes)
		interval *= 2;
	*check = (struct check_spec){
		.name = "live",
		.endpoint = endpoint,
		.kind = &fake_kind,
		.tier = TIER_LIVE,
		.interval = interval,
		.fast_interval = max_of(interval / 3, USEC_PER_SEC),
		.down_interval = interval,
		.jitter = world->conf.jitter,
		.timeout = { .total = 5 * USEC_PER_SEC },
		.retry = world->conf.retry,
		.health = { .rise = 2,
			.fall = 3,
			.degraded_rise = 2,
			.degraded_fall = 2,
			.init = world->conf.init },
		.identity_hash = salt == SALT_IDENTITY && changes ? world->configs + 2 : 1,
		.content_hash = interval,
	};
}

struct check_spec *world_add_check(
	struct world *world, struct endpoint_spec *endpoint, const char *name, enum tier tier)
{
	size_t n = endpoint->n_checks;
	struct check_spec *checks = arena_calloc(world->arena, n + 1, sizeof *checks);

	assert_non_null(checks);
	memcpy(checks, endpoint->checks, n * sizeof *checks);
	checks[n] = checks[0];
	checks[n].name = name;
	checks[n].tier = tier;
	checks[n].cost.is_inference = tier == TIER_CANARY;
	endpoint->checks = checks;
	endpoint->n_checks = n + 1;
	return &checks[n];
}

static int compare_specs(const void *a, const void *b)
{
	const struct endpoint_spec *const *left = a;
	const struct endpoint_spec *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static struct config *build(struct world *world, size_t n, enum salt salt)
{
	struct config *config = calloc(1, sizeof *config);

	assert_non_null(config);
	world->arena = &config->arena;
	config->refs = 1;
	config->generation = (unsigned)++world->configs;
	config->limits = world->conf.limits;
	config->n_endpoints = n;
	config->endpoints = arena_calloc(&config->arena, n, sizeof *config->endpoints);
	config->by_name = arena_calloc(&config->arena, n, sizeof(struct endpoint_spec *));
	for (size_t i = 0; i < n; i++) {
		struct endpoint_spec *endpoint = &config->endpoints[i];

		endpoint->name = arena_printf(&config->arena, "endpoint-%zu", i);
		endpoint->host = arena_printf(&config->arena, "%s%zu:80", world->conf.host_prefix,
			i % world->conf.n_hosts);
		endpoint->checks = arena_alloc(&config->arena, sizeof *endpoint->checks);
		endpoint->n_checks = 1;
		fill_check(world, endpoint, i, salt);
		if (world->shape)
			world->shape(world, endpoint, i);
		config->by_name[i] = endpoint;
	}
	qsort(config->by_name, n, sizeof(struct endpoint_spec *), compare_specs);
	return config;
}

static void examine(struct world *world);

void world_apply(struct world *world, size_t n, enum salt salt)
{
	struct config *config = build(world, n, salt);

	assert_int_equal(engine_apply(world->engine, config), 0);
	config_unref(config);
	if (world->is_strict)
		examine(world);
}

/* That of an endpoint whose load has not been read twice: its slot is armed, as every one is. */
static bool awaits_counters(const struct check *check)
{
	const struct endpoint *endpoint = check->endpoint;

	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (endpoint->checks[i]->view.spec->tier == TIER_LOAD &&
			endpoint->checks[i]->view.window.n < 2)
			return true;
	return false;
}

/* Every check that waits has something that will wake it. */
static void examine_check(const struct engine *engine, const struct check *check)
{
	const struct host *host = check->endpoint->host;
	const struct limits *limits = &engine->config->limits;

	switch (check->phase) {
	case CHECK_IDLE:
		break;
	case CHECK_QUEUED:
		if (check->waits_for)
			assert_true(timer_is_set(&check->attempt));
		else if (check->is_parked)
			assert_true(host->inference || awaits_counters(check));
		else
			assert_true(engine->self.in_flight >= limits->concurrency ||
				    host->running >= host->per_host || timer_is_set(&host->token));
		break;
	case CHECK_RUNNING:
	case CHECK_BACKOFF:
		assert_true(timer_is_set(&check->attempt));
		break;
	case CHECK_DONE:
		assert_true(check->settle.is_queued);
		break;
	}
	assert_true(timer_is_set(&check->slot));
}

/* One inference at a time, and it is the one on the books. */
static unsigned examine_host(const struct engine *engine, const struct host *host)
{
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		const struct endpoint *endpoint = engine->endpoints[i];

		for (size_t j = 0; endpoint->host == host && j < endpoint->n_checks; j++) {
			const struct check *check = endpoint->checks[j];

			if (is_inference(check) &&
				(check->phase == CHECK_RUNNING || check->phase == CHECK_DONE))
				assert_ptr_equal(host->inference, check);
		}
	}
	return host->running;
}

/* What must hold between two turns, whatever happened. */
static void examine(struct world *world)
{
	const struct engine *engine = world->engine;
	const struct snapshot *snapshot = engine_snapshot(world->engine);
	size_t n_state[STATE_N] = { 0 };
	unsigned in_phase[CHECK_BACKOFF + 1] = { 0 };
	unsigned running = 0;

	assert_true(engine_is_progressing(engine));
	for (size_t i = 0; i < snapshot->n_endpoints; i++) {
		const struct endpoint *endpoint = engine->endpoints[i];

		n_state[endpoint->view.state]++;
		for (size_t j = 0; j < endpoint->n_checks; j++) {
			assert_ptr_equal(endpoint->checks[j]->endpoint, endpoint);
			in_phase[endpoint->checks[j]->phase]++;
			examine_check(engine, endpoint->checks[j]);
		}
	}
	assert_memory_equal(n_state, snapshot->n_state, sizeof n_state);
	for (size_t i = 0; i < engine->n_hosts; i++)
		running += examine_host(engine, engine->hosts[i]);
	assert_int_equal(snapshot->self->queued, in_phase[CHECK_QUEUED]);
	assert_int_equal(snapshot->self->in_flight, in_phase[CHECK_RUNNING] + in_phase[CHECK_DONE]);
	assert_int_equal(snapshot->self->in_flight, running);
	assert_int_equal(world->in_flight, in_phase[CHECK_RUNNING]);
}

void world_run(struct world *world, usec_t span)
{
	struct timers *timers = &world->timers;
	usec_t end = timers->now + span;

	while (timers_next(timers) <= end) {
		timers->now = max_of(timers->now, timers_next(timers));
		timers->real = timers->now + world->real_offset;
		(void)timers_run(timers, 64);
		do
			(void)tasks_run(timers, 256);
		while (tasks_pending(timers));
		if (world->is_strict)
			examine(world);
	}
	timers->now = end;
	timers->real = end + world->real_offset;
}

void world_pause(struct world *world, usec_t span)
{
	world->timers.now += span;
	world->timers.real = world->timers.now + world->real_offset;
	world->timers.paused_until = world->timers.now;
	world->timers.paused_for = span;
}

void world_restart(struct world *world, usec_t span, size_t n, enum salt salt)
{
	struct timers *timers = &world->timers;
	struct ledger_image image;
	const char *problem;

	end_engine(world);
	timers->now += span;
	timers->real = timers->now + world->real_offset;
	timers->paused_until = 0; /* another process */
	assert_int_equal(ledger_read(world->slots, world->n_slots * sizeof *world->slots,
				 LEDGER_MEMORY, timers->now, timers->real, &image, &problem),
		0);
	assert_int_equal(image.n_broken, 0);
	begin_engine(world);
	engine_recall(world->engine, &image);
	world_apply(world, n, salt);
	ledger_image_fini(&image);
}

const struct endpoint_view *world_endpoint(struct world *world, size_t i)
{
	const struct snapshot *snapshot = engine_snapshot(world->engine);

	assert_true(i < snapshot->n_endpoints);
	return snapshot->endpoints[i];
}

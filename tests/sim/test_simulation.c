/* SPDX-License-Identifier: MIT */
/*
 * The engine under virtual time: what must hold over hours, weeks and storms. Each case runs in
 * well under a second of real time, the week in a few.
 */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const usec_t second = USEC_PER_SEC;
static const usec_t hour = 3600 * USEC_PER_SEC;
static const usec_t day = 24 * 3600 * USEC_PER_SEC;

static struct behaviour well(struct world *world, const struct check_spec *spec)
{
	(void)spec;
	return (struct behaviour){ .reason = REASON_OK,
		.latency = 5000,
		.latency_spread = rand_below(&world->rand, 100000) };
}

static struct behaviour refused(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .reason = REASON_CONNECT_REFUSED, .latency = 300 };
}

static struct behaviour unreachable(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .reason = REASON_CONNECT_TIMEOUT, .latency = 2 * second };
}

static struct behaviour hanging(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .hangs = true };
}

static struct behaviour lost(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .is_lost = true };
}

/* Every endpoint has good and bad hours of its own, some never answer, some flap. */
static struct behaviour mixed(struct world *world, const struct check_spec *spec)
{
	uint64_t hash = hash_text(spec->endpoint->name);
	uint64_t phase = (world->timers.now / hour + hash % 7) % 7;

	if (hash % 50 == 0)
		return hanging(world, spec);
	if (hash % 20 == 1)
		return (struct behaviour){
			.reason = rand_below(&world->rand, 2) ? REASON_OK : REASON_SERVER_ERROR,
			.latency = 20000
		};
	if (phase == 0)
		return refused(world, spec);
	if (phase == 1)
		return (struct behaviour){ .reason = REASON_LOCAL_FDS, .latency = 100 };
	return well(world, spec);
}

static const struct world_conf week = {
	.n_endpoints = 1000,
	.n_hosts = 300,
	.min_interval = 60 * 1000000ull,
	.max_interval = 600 * 1000000ull,
	.retry = { .attempts = 1, .backoff = 250000, .max_backoff = 2000000 },
};

static uint64_t run_week(uint64_t seed, usec_t span)
{
	struct world world;
	uint64_t hash;

	world_init(&world, &week, seed);
	world.behave = mixed;
	world_apply(&world, 1000, SALT_NONE);
	for (usec_t at = 0; at < span; at += day / 4) {
		world_run(&world, day / 4);
		/* Life goes on around it: reloads, and a wall clock that steps. */
		world_apply(&world, 900 + at / (day / 4) % 100, SALT_INTERVALS);
		world.real_offset += at % (2 * day) == 0 ? hour : -hour;
		world_apply(&world, 1000, SALT_NONE);
	}
	assert_true(engine_self(world.engine)->checks_lost_total == 0);
	assert_true(world.in_flight_max <= world.conf.limits.concurrency);
	assert_true(world.results > 1000 * (span / week.max_interval) * 9 / 10);
	assert_true(world.transitions > 1000);
	hash = world.hash;
	world_fini(&world);
	return hash;
}

static void test_week_of_a_thousand_checks_keeps_every_promise(void **state)
{
	(void)state;
	(void)run_week(1, 7 * day);
}

static void test_same_seed_same_events_other_seed_other_events(void **state)
{
	uint64_t first = run_week(7, day);

	(void)state;
	assert_true(run_week(7, day) == first);
	assert_true(run_week(8, day) != first);
}

/* ---- pace ---- */

static usec_t last_start, first_start;
static uint64_t irregular;

static void on_start_regular(struct world *world, const struct check_spec *spec)
{
	usec_t now = world->timers.now;

	if (last_start != 0 && now - last_start != spec->interval)
		irregular++;
	if (first_start == 0)
		first_start = now;
	last_start = now;
}

static void test_starts_do_not_drift_in_a_day(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1 };

	(void)state;
	last_start = first_start = 0;
	irregular = 0;
	world_init(&world, &conf, 3);
	world.behave = well;
	world.on_start = on_start_regular;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, day);
	assert_int_equal(irregular, 0);
	assert_int_equal((last_start - first_start) % (10 * second), 0);
	assert_in_range(world.starts, 8639, 8641);
	world_fini(&world);
}

static usec_t grid_start;

static void on_start_near_the_grid(struct world *world, const struct check_spec *spec)
{
	usec_t offset;

	if (grid_start == 0)
		grid_start = world->timers.now;
	offset = (world->timers.now + 5 * second - grid_start) % (10 * second);
	/* the first start may itself have been moved by a second, hence twice */
	assert_in_range(offset, 5 * second - 2 * spec->jitter, 5 * second + 2 * spec->jitter);
}

static void test_jitter_moves_starts_and_not_the_grid(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1, .jitter = second };

	(void)state;
	grid_start = 0;
	world_init(&world, &conf, 3);
	world.behave = well;
	world.on_start = on_start_near_the_grid;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, day);
	assert_in_range(world.starts, 8638, 8642);
	world_fini(&world);
}

static void test_a_check_longer_than_its_interval_never_overlaps_and_is_counted(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1, .min_interval = second };
	const struct check_view *check;

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = hanging; /* 5 s each, at an interval of 1 s */
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, hour);
	check = world_endpoint(&world, 0)->checks[0];
	assert_int_equal(world.in_flight_max, 1);
	assert_in_range(world.starts, 590, 720);
	assert_true(check->overruns_total + check->started_total >= 3590);
	world_fini(&world);
}

static unsigned starts_per_second[20];
static usec_t peak_from;

static void on_start_count(struct world *world, const struct check_spec *spec)
{
	usec_t at = (world->timers.now - peak_from) / second;

	(void)spec;
	if (at < array_size(starts_per_second))
		starts_per_second[at]++;
}

static unsigned peak(void)
{
	unsigned most = 0;

	for (size_t i = 0; i < array_size(starts_per_second); i++)
		most = max_of(most, starts_per_second[i]);
	return most;
}

static void count_from(const struct world *world)
{
	peak_from = world->timers.now;
	memset(starts_per_second, 0, sizeof starts_per_second);
}

static const struct world_conf many = { .n_endpoints = 10000,
	.min_interval = 10 * 1000000ull,
	.max_interval = 10 * 1000000ull,
	.limits = { .concurrency = 10000, .per_host = 8 } };

static void test_start_of_ten_thousand_is_spread(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &many, 3);
	world.behave = well;
	world.on_start = on_start_count;
	count_from(&world);
	world_apply(&world, 10000, SALT_NONE);
	world_run(&world, 20 * second);
	assert_true(peak() <= 1200); /* 1.2 times 10,000 / 10 s */
	assert_true(engine_self(world.engine)->first_round_done);
	world_fini(&world);
}

static void test_no_burst_after_a_pause(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &many, 3);
	world.behave = well;
	world_apply(&world, 10000, SALT_NONE);
	world_run(&world, 60 * second);
	world.on_start = on_start_count;
	world_pause(&world, 30 * second);
	count_from(&world);
	world_run(&world, 20 * second);
	assert_true(peak() <= 2400); /* twice the steady rate, and chance */
	for (usec_t span = second; span < 8 * second; span += second) {
		world_pause(&world, span);
		count_from(&world);
		world_run(&world, 20 * second);
		assert_true(peak() <= 2400);
	}
	world_fini(&world);
}

/* C5: 1.5 times the pace, and the chance of the grid: its fullest second has 1066. */
static void test_no_burst_after_a_restart_and_nobody_waits_for_long(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &many, 3);
	world.behave = well;
	world_apply(&world, 10000, SALT_NONE);
	world_run(&world, 60 * second);
	world.on_start = on_start_count;
	for (usec_t span = second / 2; span < 5 * second; span += second / 2) {
		uint64_t before;

		world_restart(&world, span, 10000, SALT_NONE);
		assert_true(engine_self(world.engine)->first_round_done);
		count_from(&world);
		before = world.starts;
		world_run(&world, 10 * second);
		assert_true(peak() <= 1500 + 150);
		assert_true(world.starts - before >= 10000); /* what was missed is made up for */
		world_run(&world, 10 * second);
	}
	/* longer: all within ten seconds, as at the first start */
	for (usec_t span = 11 * second; span <= 2 * hour; span *= 5) {
		world_restart(&world, span, 10000, SALT_NONE);
		assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 10000);
		count_from(&world);
		world_run(&world, 20 * second);
		assert_true(peak() <= 1500 + 150);
	}
	world_fini(&world);
}

/* What a restart must not move. */
struct kept_view {
	enum state state;
	enum reason reason;
	usec_t since;
	struct health health;
};

static void test_a_restart_moves_no_state_and_tells_nothing(void **state)
{
	static struct kept_view kept[1000];
	struct world world;

	(void)state;
	world_init(&world, &week, 4);
	world.behave = mixed;
	world_apply(&world, 1000, SALT_NONE);
	for (unsigned round = 0; round < 40; round++) {
		uint64_t told;

		world_run(&world, hour / 2 + round * second);
		for (size_t i = 0; i < 1000; i++) {
			const struct endpoint_view *view = world_endpoint(&world, i);

			kept[i] = (struct kept_view){ view->state, view->reason, view->since,
				view->checks[0]->health };
		}
		told = world.transitions;
		world.real_offset += round % 2 == 0 ? hour : -hour; /* wall time steps */
		world_restart(&world, round * second, 1000, SALT_NONE);
		for (size_t i = 0; i < 1000; i++) {
			const struct endpoint_view *view = world_endpoint(&world, i);

			assert_int_equal(view->state, kept[i].state);
			assert_int_equal(view->reason, kept[i].reason);
			assert_int_equal(view->since, kept[i].since);
			assert_memory_equal(
				&view->checks[0]->health, &kept[i].health, sizeof kept[i].health);
		}
		assert_int_equal(world.transitions, told);
		assert_int_equal(engine_self(world.engine)->state_restored, 1000);
		assert_int_equal(engine_self(world.engine)->state_dropped, 0);
	}
	world_fini(&world);
}

static void test_a_restart_with_another_configuration_is_like_a_reload(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &week, 4);
	world.behave = well;
	world_apply(&world, 1000, SALT_NONE);
	world_run(&world, hour);
	world_restart(&world, second, 1000, SALT_IDENTITY); /* of every tenth */
	assert_int_equal(engine_self(world.engine)->state_restored, 900);
	assert_int_equal(engine_self(world.engine)->state_dropped, 200);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 900);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UNKNOWN], 100);
	world_run(&world, hour);
	world_restart(&world, second, 500, SALT_IDENTITY); /* each time another identity */
	assert_int_equal(engine_self(world.engine)->state_restored, 450);
	assert_int_equal(engine_self(world.engine)->state_dropped, 2 * 550);
	world_run(&world, hour);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 500);
	world_fini(&world);
}

static void test_two_failures_before_a_restart_and_one_after_are_three(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1 };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, 30 * second);
	world.behave = refused;
	while (world_endpoint(&world, 0)->checks[0]->health.bad < 2)
		world_run(&world, second / 2);
	assert_int_equal(world_endpoint(&world, 0)->state, STATE_UP);
	world_restart(&world, second, 1, SALT_NONE);
	assert_int_equal(world_endpoint(&world, 0)->state, STATE_UP);
	world_run(&world, 5 * second); /* the fast interval goes on too */
	assert_int_equal(world_endpoint(&world, 0)->state, STATE_DOWN);
	assert_int_equal(engine_self(world.engine)->checks_total, 1);
	world_fini(&world);
}

static void test_a_pause_of_ours_takes_no_target_down(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 50, .min_interval = 2 * second };
	uint32_t n_stale = 0;

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 50, SALT_NONE);
	world_run(&world, 20 * second);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 50);
	world.behave = hanging; /* what a stopped process makes of a check under way */
	world_run(&world, second);
	world_pause(&world, 30 * second);
	world.behave = well;
	world_run(&world, 20 * second);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 50);
	assert_int_equal(world.transitions, 50);
	/* What was under way is told as what it is, and as nothing else. */
	for (size_t i = 0; i < 50; i++) {
		const struct tally *results = &world_endpoint(&world, i)->checks[0]->results;

		n_stale += tally_count(results, REASON_STALE);
		assert_int_equal(results->total,
			tally_count(results, REASON_OK) + tally_count(results, REASON_STALE));
	}
	assert_true(n_stale > 0);
	world_fini(&world);
}

/* ---- states ---- */

static void test_endpoint_starts_in_the_state_that_init_assumes(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1, .init = HEALTH_INIT_UP };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE);
	assert_int_equal(world_endpoint(&world, 0)->state, STATE_UP);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 1);
	world_run(&world, 30 * second);
	assert_int_equal(world.transitions, 0); /* it was right to assume so */
	world_fini(&world);
}

static void test_down_after_fall_failures_and_up_after_rise(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1 };
	const struct endpoint_view *endpoint;

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, 30 * second);
	endpoint = world_endpoint(&world, 0);
	assert_int_equal(endpoint->state, STATE_UP);
	world.behave = refused;
	while (endpoint->checks[0]->health.bad == 0)
		world_run(&world, second / 10);
	assert_int_equal(endpoint->state, STATE_UP); /* soft: 1 of 3 */
	/* fast_interval = 3.3 s while it is pending: fall = 3 is reached with two more */
	world_run(&world, 6 * second);
	assert_int_equal(endpoint->state, STATE_UP);
	world_run(&world, second);
	assert_int_equal(endpoint->state, STATE_DOWN);
	assert_int_equal(endpoint->reason, REASON_CONNECT_REFUSED);
	world.behave = well;
	world_run(&world, 20 * second);
	assert_int_equal(endpoint->state, STATE_UP);
	world_fini(&world);
}

static void test_our_own_faults_are_unknown_and_cost_nothing(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 20 };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = mixed;
	world_apply(&world, 20, SALT_NONE);
	world_run(&world, day);
	for (size_t i = 0; i < 20; i++) {
		const struct check_view *check = world_endpoint(&world, i)->checks[0];

		assert_true(check->window.n <= WINDOW_SIZE);
		if (check->last.reason == REASON_LOCAL_FDS)
			assert_int_not_equal(check->health.state, STATE_DOWN);
	}
	world_fini(&world);
}

static void test_lost_network_of_ours_freezes_states(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 100, .n_hosts = 20, .host_prefix = "10.0.0." };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 100, SALT_NONE);
	world_run(&world, 60 * second);
	world.behave = unreachable;
	world_run(&world, 600 * second);
	assert_true(engine_self(world.engine)->offline);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 100);
	world.behave = well;
	world_run(&world, 11 * second);
	assert_false(engine_self(world.engine)->offline);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 100);
	world_fini(&world);
}

/* ---- limits ---- */

static void test_limits_hold_and_nobody_starves(void **state)
{
	struct world world;
	struct world_conf conf = {
		.n_endpoints = 200, .n_hosts = 4, .limits = { .concurrency = 6, .per_host = 2 }
	};

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = unreachable; /* 2 s each: 6 at a time cannot serve 20 a second */
	world_apply(&world, 200, SALT_NONE);
	world_run(&world, hour);
	assert_int_equal(world.in_flight_max, 6);
	for (size_t i = 0; i < 200; i++)
		/* the fair share is 54 starts in the hour */
		assert_in_range(world_endpoint(&world, i)->checks[0]->started_total, 40, 70);
	world_fini(&world);
}

static void test_rate_limit_per_host_holds(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 60,
		.n_hosts = 1,
		.limits = {
			.concurrency = 512, .per_host = 100, .per_host_rate = { 60, 60000000 } } };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 60, SALT_NONE);
	world_run(&world, hour);
	assert_in_range(world.starts, 3600, 3660);
	world_fini(&world);
}

static void test_retries_are_counted_and_stay_in_their_slot(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 10,
		.retry = { .attempts = 2, .backoff = 250000, .max_backoff = 2000000 } };
	const struct check_view *check;

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = refused;
	world_apply(&world, 10, SALT_NONE);
	world_run(&world, hour);
	check = world_endpoint(&world, 0)->checks[0];
	assert_int_equal(check->last.attempts, 3);
	assert_int_equal(check->overruns_total, 0);
	assert_in_range(check->retries_total, 710, 730);
	world_fini(&world);
}

/* ---- reload ---- */

static void test_reload_keeps_state_schedule_and_attempts_of_what_stays(void **state)
{
	struct world world;
	const struct engine_diff *diff;
	uint64_t cancels;

	(void)state;
	world_init(&world, &many, 3);
	world.behave = well;
	world_apply(&world, 1000, SALT_NONE);
	world_run(&world, 30 * second);
	cancels = world.cancels;
	world_apply(&world, 1000, SALT_NONE);
	diff = engine_last_diff(world.engine);
	assert_int_equal(diff->kept, 1000);
	assert_int_equal(world.cancels, cancels);
	world_apply(&world, 1000, SALT_INTERVALS);
	assert_int_equal(diff->updated, 100);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 1000);
	world_apply(&world, 900, SALT_IDENTITY);
	assert_int_equal(diff->restarted, 90);
	assert_int_equal(diff->removed, 100);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 810);
	world_run(&world, 30 * second);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 900);
	world_fini(&world);
}

static void test_reload_storm_loses_nothing(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &many, 5);
	world.behave = mixed;
	world_apply(&world, 500, SALT_NONE);
	for (unsigned i = 0; i < 500; i++) {
		world_run(&world, rand_below(&world.rand, 300000));
		world_apply(&world, 300 + rand_below(&world.rand, 200), i % 3);
	}
	world_apply(&world, 500, SALT_NONE);
	world_run(&world, 30 * second);
	assert_int_equal(engine_self(world.engine)->checks_lost_total, 0);
	world_fini(&world);
}

static void test_check_now_starts_at_once_and_leaves_the_schedule(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1, .min_interval = hour };
	usec_t next_at;

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, 20 * second);
	next_at = world_endpoint(&world, 0)->checks[0]->next_at;
	assert_int_equal(engine_check_now(world.engine, "nobody"), -ENOENT);
	assert_int_equal(engine_check_now(world.engine, "endpoint-0"), 0);
	assert_int_equal(engine_check_now(world.engine, "endpoint-0"), -EBUSY);
	world_run(&world, second);
	assert_int_equal(world.results, 2);
	assert_int_equal(world_endpoint(&world, 0)->checks[0]->next_at, next_at);
	world_fini(&world);
}

/* ---- rate limits that are shared, or not ---- */

static usec_t started_at[64];
static unsigned starts_of[64];

static size_t index_of(const struct check_spec *spec)
{
	return strtoul(spec->endpoint->name + strlen("endpoint-"), NULL, 10);
}

static void on_start_per_endpoint(struct world *world, const struct check_spec *spec)
{
	starts_of[index_of(spec)]++;
	started_at[index_of(spec)] = world->timers.now;
}

static void limit_the_first(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	(void)world;
	if (i == 0)
		endpoint->rate = (struct rate){ 1, hour };
}

static void test_rate_of_one_endpoint_holds_up_no_other_of_its_host(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 5, .n_hosts = 1 };

	(void)state;
	memset(starts_of, 0, sizeof starts_of);
	world_init(&world, &conf, 3);
	world.behave = well;
	world.shape = limit_the_first;
	world.on_start = on_start_per_endpoint;
	world.is_strict = true;
	world_apply(&world, 5, SALT_NONE);
	world_run(&world, hour - 10 * second);
	assert_int_equal(starts_of[0], 1);
	for (size_t i = 1; i < 5; i++)
		assert_in_range(starts_of[i], 357, 361);
	world_run(&world, hour);
	assert_int_equal(starts_of[0], 2);
	world_fini(&world);
}

static void share_a_key(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	(void)world;
	(void)i;
	endpoint->key_hash = 77;
}

static void test_a_key_is_shared_fairly_between_hosts(void **state)
{
	struct world world;
	struct world_conf conf = {
		.n_endpoints = 20, .n_hosts = 4, .limits = { .per_key_rate = { 30, 60000000 } }
	}; /* for 120 that are due */

	(void)state;
	memset(starts_of, 0, sizeof starts_of);
	world_init(&world, &conf, 3);
	world.behave = well;
	world.shape = share_a_key;
	world.on_start = on_start_per_endpoint;
	world.is_strict = true;
	world_apply(&world, 20, SALT_NONE);
	world_run(&world, hour);
	assert_in_range(world.starts, 1795, 1830);
	for (size_t i = 0; i < 20; i++)
		assert_in_range(starts_of[i], 85, 95); /* the fair share is 90 */
	world_fini(&world);
}

static void test_limits_that_a_reload_lifts_hold_back_no_more(void **state)
{
	struct world world;
	struct world_conf conf = {
		.n_endpoints = 10, .n_hosts = 1, .limits = { .per_host_rate = { 1, 3600000000 } }
	};

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world.is_strict = true;
	world_apply(&world, 10, SALT_NONE);
	world_run(&world, 60 * second);
	assert_int_equal(world.starts, 1);
	world.conf.limits.per_host_rate = (struct rate){ 600, 60 * second };
	world_apply(&world, 10, SALT_NONE);
	world_run(&world, 2 * second);
	assert_in_range(world.starts, 10, 13); /* those that waited */
	world_fini(&world);
}

/* ---- patience that servers ask for ---- */

static struct behaviour busy(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){
		.reason = REASON_RATE_LIMITED, .latency = 1000, .retry_after = hour
	};
}

static struct behaviour overloaded(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){
		.reason = REASON_SERVER_ERROR, .latency = 1000, .retry_after = 2 * second
	};
}

static usec_t shortest_gap, previous_start;

static void on_start_gap(struct world *world, const struct check_spec *spec)
{
	(void)spec;
	if (previous_start != 0)
		shortest_gap = min_of(shortest_gap, world->timers.now - previous_start);
	previous_start = world->timers.now;
}

static void test_retry_after_is_respected_and_is_no_standstill(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1, .jitter = second };

	(void)state;
	shortest_gap = USEC_NEVER;
	previous_start = 0;
	world_init(&world, &conf, 3);
	world.behave = busy;
	world.on_start = on_start_gap;
	world_apply(&world, 1, SALT_NONE);
	for (unsigned i = 0; i < 5 * 360; i++) {
		world_run(&world, 10 * second);
		assert_true(engine_is_progressing(world.engine)); /* else the watchdog bites */
		if (i % 100 == 99)
			world_apply(&world, 1, i % 200 == 99 ? SALT_INTERVALS : SALT_NONE);
	}
	assert_int_equal(world.starts, 5);
	assert_true(shortest_gap >= hour);
	world_fini(&world);
}

static void test_retries_wait_as_long_as_the_server_asks(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 1,
		.retry = { .attempts = 2, .backoff = 1000, .max_backoff = 1000 } };

	(void)state;
	shortest_gap = USEC_NEVER;
	previous_start = 0;
	world_init(&world, &conf, 3);
	world.behave = overloaded;
	world.on_start = on_start_gap;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, hour);
	assert_in_range(shortest_gap, 2 * second, 3 * second);
	assert_in_range(world.starts, 3 * 355, 3 * 361);
	world_fini(&world);
}

/* ---- a clock that is set ---- */

static usec_t lasted;

static void on_transition_lasted(const struct transition *transition)
{
	lasted = transition->lasted;
}

static void set_clock(struct world *world, int64_t by)
{
	world->real_offset += (usec_t)by;
	world->timers.real += (usec_t)by;
	engine_shift_times(world->engine, by);
}

static void test_a_clock_that_is_set_changes_no_age_and_no_pace(void **state)
{
	const struct endpoint_view *view;
	struct world world;
	struct world_conf conf = { .n_endpoints = 1 };
	const int64_t year = 365 * (int64_t)day;
	unsigned starts;

	(void)state;
	world_init(&world, &conf, 3);
	world.real_offset = 30 * 365 * day;
	world.behave = well;
	world.on_transition = on_transition_lasted;
	world_apply(&world, 1, SALT_NONE);
	world_run(&world, 1000 * second);
	starts = world.starts;
	set_clock(&world, year);
	world_run(&world, 1000 * second);
	set_clock(&world, -3 * year);
	world_run(&world, 1000 * second);
	assert_in_range(world.starts, starts + 199, starts + 201);
	view = engine_snapshot(world.engine)->endpoints[0];
	assert_in_range(world.timers.real - view->since, 2985 * second, 3000 * second);
	assert_in_range(world.timers.real - view->checks[0]->last.at, 0, 11 * second);
	world.behave = refused;
	world_run(&world, 100 * second);
	assert_in_range(lasted, 3000 * second, 3100 * second);
	/* Before 1970 there is no time to show; it is not taken for "never". */
	set_clock(&world, -40 * year);
	assert_int_equal(engine_snapshot(world.engine)->endpoints[0]->since, 1);
	world_fini(&world);
}

/* ---- the watchdog ---- */

static void test_lost_timers_are_no_progress(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 10 };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = well;
	world_apply(&world, 10, SALT_NONE);
	world_run(&world, 60 * second);
	assert_true(engine_is_progressing(world.engine));
	timers_fini(&world.timers); /* as if the scheduler alone was frozen */
	world.timers.now = 3600 * second + 60 * second;
	assert_true(engine_is_progressing(world.engine)); /* something was settled of late */
	world.timers.now += 20 * second;
	assert_false(engine_is_progressing(world.engine));
	world_fini(&world);
}

static void test_a_kind_that_never_ends_is_cancelled_and_counted(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 2 };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = lost;
	world.is_strict = true;
	world_apply(&world, 2, SALT_NONE);
	world_run(&world, 60 * second);
	assert_in_range(engine_self(world.engine)->checks_lost_total, 8, 14);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UNKNOWN], 2);
	world_fini(&world);
}

/* ---- our own network ---- */

static const struct world_conf abroad = { .n_endpoints = 8,
	.n_hosts = 4,
	.min_interval = 10 * 1000000ull,
	.max_interval = 10 * 1000000ull,
	.host_prefix = "10.0.0." };

/* Six endpoints that were well, none of which can be reached any more. */
static void lose_network(struct world *world)
{
	world_init(world, &abroad, 3);
	world->behave = well;
	world_apply(world, 6, SALT_NONE);
	world_run(world, 60 * second);
	world->behave = unreachable;
	world_run(world, 60 * second);
	assert_true(engine_self(world->engine)->offline);
}

static void test_a_reload_while_offline_neither_thaws_nor_repeats(void **state)
{
	struct world world;

	(void)state;
	lose_network(&world);
	world.conf.n_hosts = 8; /* new hosts, which nobody has failed to reach yet */
	world_apply(&world, 8, SALT_IDENTITY);
	for (unsigned i = 0; i < 600; i++) {
		world_run(&world, second / 10);
		assert_true(engine_self(world.engine)->offline);
	}
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_DOWN], 0);
	world.behave = well;
	world_run(&world, 11 * second);
	assert_false(engine_self(world.engine)->offline);
	world_fini(&world);
}

/* What was under way in it says nothing of the network either. */
static void test_a_pause_while_offline_thaws_nothing(void **state)
{
	struct world world;

	(void)state;
	lose_network(&world);
	for (unsigned i = 0; i < 20; i++) {
		while (world.in_flight == 0)
			world_run(&world, second / 10);
		world_pause(&world, 30 * second);
		for (unsigned k = 0; k < 150; k++) {
			world_run(&world, second / 10);
			assert_true(engine_self(world.engine)->offline);
		}
	}
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_UP], 6);
	world_fini(&world);
}

static void test_a_reload_that_leaves_too_few_hosts_thaws(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, &abroad, 3);
	world.behave = well;
	world_apply(&world, 8, SALT_NONE);
	world_run(&world, 60 * second);
	world.behave = unreachable;
	world_run(&world, 60 * second);
	assert_true(engine_self(world.engine)->offline);
	world_apply(&world, 2, SALT_NONE);
	world_run(&world, 60 * second);
	assert_false(engine_self(world.engine)->offline);
	assert_int_equal(engine_snapshot(world.engine)->n_state[STATE_DOWN], 2);
	world_fini(&world);
}

/* ---- pauses ---- */

static struct behaviour slowly(struct world *world, const struct check_spec *spec)
{
	(void)world;
	(void)spec;
	return (struct behaviour){ .reason = REASON_OK, .latency = 4 * second };
}

static void test_a_pause_is_no_latency_and_no_bug(void **state)
{
	struct world world;
	struct world_conf conf = { .n_endpoints = 50, .min_interval = 5 * second };

	(void)state;
	world_init(&world, &conf, 3);
	world.behave = slowly;
	world.is_strict = true;
	world_apply(&world, 50, SALT_NONE);
	for (unsigned i = 0; i < 20; i++) {
		world_run(&world, 20 * second);
		world_pause(&world, 60 * second);
	}
	world_run(&world, 20 * second);
	assert_int_equal(engine_self(world.engine)->checks_lost_total, 0);
	for (size_t i = 0; i < 50; i++) {
		const struct check_view *check = world_endpoint(&world, i)->checks[0];
		usec_t slowest;

		assert_int_equal(check->health.state, STATE_UP);
		assert_true(window_percentile(&check->window, 100, 0, &slowest));
		assert_int_equal(slowest, 4 * second);
	}
	world_fini(&world);
}

/* ---- chaos ---- */

enum {
	CHAOS_ENDPOINTS = 40
};

static struct {
	bool is_network_lost;
	bool is_seen[CHAOS_ENDPOINTS], has_moved[CHAOS_ENDPOINTS];
	enum state state[CHAOS_ENDPOINTS];
	usec_t since[CHAOS_ENDPOINTS];
} chaos;

static struct behaviour chaotic(struct world *world, const struct check_spec *spec)
{
	static const enum reason reasons[] = { REASON_OK, REASON_OK, REASON_OK, REASON_OK,
		REASON_SLOW, REASON_LOADING, REASON_CONNECT_REFUSED, REASON_CONNECT_TIMEOUT,
		REASON_SERVER_ERROR, REASON_LOCAL_FDS, REASON_AUTH_FAILED, REASON_RATE_LIMITED };

	uint64_t dice = rand_below(&world->rand, 100);

	if (chaos.is_network_lost)
		return unreachable(world, spec);
	return (struct behaviour){
		.reason = reasons[rand_below(&world->rand, array_size(reasons))],
		.latency = rand_below(&world->rand, 3 * second),
		.retry_after = dice < 10 ? rand_below(&world->rand, 120 * second) : 0,
		.hangs = dice >= 10 && dice < 13,
		.is_lost = dice == 13,
		.at_once = dice >= 20 && dice < 40,
		.load = { .seen = 1,
			.motion = (enum load_motion)rand_below(&world->rand, 4),
			.is_full = dice < 20 },
		.tokens = 5,
	};
}

static bool chance(struct world *world, unsigned percent)
{
	return rand_below(&world->rand, 100) < percent;
}

static void add_tiers(struct world *world, struct endpoint_spec *endpoint)
{
	endpoint->startup_grace = 60 * second;
	endpoint->refused_is_loading = chance(world, 50);
	endpoint->per_host = chance(world, 20) ? 1 : 0;
	if (chance(world, 50))
		world_add_check(world, endpoint, "ready", TIER_READY);
	if (chance(world, 50))
		world_add_check(world, endpoint, "load", TIER_LOAD);
	if (chance(world, 70))
		world_add_check(world, endpoint, "canary", TIER_CANARY)->cost.when =
			(enum cost_when)rand_below(&world->rand, 2);
	if (chance(world, 30))
		world_add_check(world, endpoint, "canary-b", TIER_CANARY)->cost.requests =
			(struct rate){ 5, 600 * second };
}

static void shape_anyhow(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	struct check_spec *check = endpoint->checks;

	if (chance(world, 10))
		check->identity_hash = rand_below(&world->rand, 3);
	if (chance(world, 20))
		check->interval = (1 + rand_below(&world->rand, 30)) * second;
	if (chance(world, 20))
		check->down_interval = (1 + rand_below(&world->rand, 30)) * second;
	if (chance(world, 10))
		check->health.fall = (uint16_t)(1 + rand_below(&world->rand, 5));
	if (chance(world, 10))
		check->health.init = (enum health_init)rand_below(&world->rand, 3);
	if (chance(world, 10))
		endpoint->rate =
			(struct rate){ (unsigned)rand_below(&world->rand, 5), 60 * second };
	if (chance(world, 30))
		add_tiers(world, endpoint);
	if (chance(world, 10)) /* as if only its host had changed */
		endpoint->host = i % 2 == 0 ? "10.1.1.1:80" : "127.0.0.1:80";
	endpoint->key_hash = i % 3;
	check->content_hash = check->identity_hash ^ check->interval;
}

static void apply_anyhow(struct world *world)
{
	struct limits *limits = &world->conf.limits;
	size_t n = rand_below(&world->rand, CHAOS_ENDPOINTS + 1);

	limits->concurrency = 1 + (unsigned)rand_below(&world->rand, 20);
	limits->per_host = 1 + (unsigned)rand_below(&world->rand, 4);
	limits->per_host_rate =
		(struct rate){ chance(world, 30) ? 1 + (unsigned)rand_below(&world->rand, 60) : 0,
			60 * second };
	limits->per_key_rate =
		(struct rate){ chance(world, 30) ? 1 + (unsigned)rand_below(&world->rand, 60) : 0,
			60 * second };
	for (size_t i = n; i < CHAOS_ENDPOINTS; i++)
		chaos.is_seen[i] = false;
	world_apply(world, n, SALT_NONE);
}

static void on_chaos_transition(const struct transition *transition)
{
	size_t i = index_of(transition->endpoint->spec->checks);

	if (chaos.is_seen[i])
		assert_int_equal(transition->from, chaos.state[i]);
	chaos.is_seen[i] = true;
	chaos.has_moved[i] = true;
	chaos.state[i] = transition->to;
}

static void examine_times(struct world *world)
{
	const struct snapshot *snapshot = engine_snapshot(world->engine);

	for (size_t i = 0; i < snapshot->n_endpoints; i++) {
		const struct endpoint_view *endpoint = snapshot->endpoints[i];

		if (chaos.is_seen[i])
			assert_int_equal(endpoint->state, chaos.state[i]);
		if (chaos.is_seen[i] && !chaos.has_moved[i])
			assert_int_equal(endpoint->since, chaos.since[i]);
		chaos.since[i] = endpoint->since;
		chaos.has_moved[i] = false;
	}
}

static void step_the_clock(struct world *world)
{
	usec_t step = rand_below(&world->rand, 10 * hour);

	world->real_offset += chance(world, 50) ? -step : step;
}

/* Whose checks all ask something else now has no state any more. */
static void restart_anyhow(struct world *world)
{
	size_t n = engine_snapshot(world->engine)->n_endpoints;

	world_restart(world, rand_below(&world->rand, 40 * second), n, SALT_NONE);
	for (size_t i = 0; i < n; i++)
		chaos.is_seen[i] &= world_endpoint(world, i)->since != 0;
}

static void one_thing(struct world *world)
{
	char name[32];

	switch (rand_below(&world->rand, 13)) {
	case 0:
	case 1:
		apply_anyhow(world);
		break;
	case 2:
		world_pause(world, rand_below(&world->rand, 40 * second));
		break;
	case 3:
		step_the_clock(world);
		break;
	case 4:
		chaos.is_network_lost = !chaos.is_network_lost;
		break;
	case 5:
	case 6:
		(void)snprintf(name, sizeof name, "endpoint-%u",
			(unsigned)rand_below(&world->rand, CHAOS_ENDPOINTS));
		(void)engine_check_now(world->engine, name); /* it may be gone, or asked before */
		break;
	case 7:
		restart_anyhow(world);
		break;
	default:
		world_run(world, rand_below(&world->rand, 20 * second));
		break;
	}
}

static void test_chaos_breaks_nothing(void **state)
{
	struct world_conf conf = { .n_endpoints = CHAOS_ENDPOINTS,
		.n_hosts = 9,
		.min_interval = second,
		.max_interval = 30 * second,
		.jitter = second / 2,
		.host_prefix = "10.0.0.",
		.retry = { .attempts = 2, .backoff = 250000, .max_backoff = 2000000 } };

	(void)state;
	for (uint64_t seed = 1; seed <= 500; seed++) {
		struct world world;

		memset(&chaos, 0, sizeof chaos);
		world_init(&world, &conf, seed);
		world.behave = chaotic;
		world.shape = shape_anyhow;
		world.on_transition = on_chaos_transition;
		world.is_strict = true;
		apply_anyhow(&world);
		for (unsigned i = 0; i < 300; i++) {
			one_thing(&world);
			examine_times(&world);
		}
		world_fini(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_week_of_a_thousand_checks_keeps_every_promise),
		cmocka_unit_test(test_same_seed_same_events_other_seed_other_events),
		cmocka_unit_test(test_starts_do_not_drift_in_a_day),
		cmocka_unit_test(test_jitter_moves_starts_and_not_the_grid),
		cmocka_unit_test(
			test_a_check_longer_than_its_interval_never_overlaps_and_is_counted),
		cmocka_unit_test(test_start_of_ten_thousand_is_spread),
		cmocka_unit_test(test_no_burst_after_a_pause),
		cmocka_unit_test(test_no_burst_after_a_restart_and_nobody_waits_for_long),
		cmocka_unit_test(test_a_restart_moves_no_state_and_tells_nothing),
		cmocka_unit_test(test_a_restart_with_another_configuration_is_like_a_reload),
		cmocka_unit_test(test_two_failures_before_a_restart_and_one_after_are_three),
		cmocka_unit_test(test_a_pause_of_ours_takes_no_target_down),
		cmocka_unit_test(test_endpoint_starts_in_the_state_that_init_assumes),
		cmocka_unit_test(test_down_after_fall_failures_and_up_after_rise),
		cmocka_unit_test(test_our_own_faults_are_unknown_and_cost_nothing),
		cmocka_unit_test(test_lost_network_of_ours_freezes_states),
		cmocka_unit_test(test_limits_hold_and_nobody_starves),
		cmocka_unit_test(test_rate_limit_per_host_holds),
		cmocka_unit_test(test_retries_are_counted_and_stay_in_their_slot),
		cmocka_unit_test(test_reload_keeps_state_schedule_and_attempts_of_what_stays),
		cmocka_unit_test(test_reload_storm_loses_nothing),
		cmocka_unit_test(test_check_now_starts_at_once_and_leaves_the_schedule),
		cmocka_unit_test(test_rate_of_one_endpoint_holds_up_no_other_of_its_host),
		cmocka_unit_test(test_a_key_is_shared_fairly_between_hosts),
		cmocka_unit_test(test_limits_that_a_reload_lifts_hold_back_no_more),
		cmocka_unit_test(test_retry_after_is_respected_and_is_no_standstill),
		cmocka_unit_test(test_retries_wait_as_long_as_the_server_asks),
		cmocka_unit_test(test_a_clock_that_is_set_changes_no_age_and_no_pace),
		cmocka_unit_test(test_lost_timers_are_no_progress),
		cmocka_unit_test(test_a_kind_that_never_ends_is_cancelled_and_counted),
		cmocka_unit_test(test_a_reload_while_offline_neither_thaws_nor_repeats),
		cmocka_unit_test(test_a_pause_while_offline_thaws_nothing),
		cmocka_unit_test(test_a_reload_that_leaves_too_few_hosts_thaws),
		cmocka_unit_test(test_a_pause_is_no_latency_and_no_bug),
		cmocka_unit_test(test_chaos_breaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

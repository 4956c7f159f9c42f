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
	struct world_conf conf = {
		.n_endpoints = 1, .min_interval = 10 * second, .max_interval = 10 * second
	};

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
	struct world_conf conf = { .n_endpoints = 1,
		.min_interval = 10 * second,
		.max_interval = 10 * second,
		.jitter = second };

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
	struct world_conf conf = {
		.n_endpoints = 1, .min_interval = second, .max_interval = second
	};
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
	world_fini(&world);
}

static void test_a_pause_of_ours_takes_no_target_down(void **state)
{
	struct world world;
	struct world_conf conf = {
		.n_endpoints = 50, .min_interval = 2 * second, .max_interval = 2 * second
	};

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
	world_fini(&world);
}

/* ---- states ---- */

static void test_down_after_fall_failures_and_up_after_rise(void **state)
{
	struct world world;
	struct world_conf conf = {
		.n_endpoints = 1, .min_interval = 10 * second, .max_interval = 10 * second
	};
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
	struct world_conf conf = {
		.n_endpoints = 20, .min_interval = 10 * second, .max_interval = 10 * second
	};

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
	struct world_conf conf = { .n_endpoints = 100,
		.n_hosts = 20,
		.min_interval = 10 * second,
		.max_interval = 10 * second,
		.host_prefix = "10.0.0." };

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
	struct world_conf conf = { .n_endpoints = 200,
		.n_hosts = 4,
		.min_interval = 10 * second,
		.max_interval = 10 * second,
		.limits = { .concurrency = 6, .per_host = 2 } };

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
		.min_interval = 10 * second,
		.max_interval = 10 * second,
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
		.min_interval = 10 * second,
		.max_interval = 10 * second,
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
	struct world_conf conf = { .n_endpoints = 1, .min_interval = hour, .max_interval = hour };
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
		cmocka_unit_test(test_a_pause_of_ours_takes_no_target_down),
		cmocka_unit_test(test_down_after_fall_failures_and_up_after_rise),
		cmocka_unit_test(test_our_own_faults_are_unknown_and_cost_nothing),
		cmocka_unit_test(test_lost_network_of_ours_freezes_states),
		cmocka_unit_test(test_limits_hold_and_nobody_starves),
		cmocka_unit_test(test_rate_limit_per_host_holds),
		cmocka_unit_test(test_retries_are_counted_and_stay_in_their_slot),
		cmocka_unit_test(test_reload_keeps_state_schedule_and_attempts_of_what_stays),
		cmocka_unit_test(test_reload_storm_loses_nothing),
		cmocka_unit_test(test_check_now_starts_at_once_and_leaves_the_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

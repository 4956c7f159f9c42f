/* SPDX-License-Identifier: MIT */
/*
 * A model server with all its tiers under virtual time: what state its moods lead to and how soon,
 * and that watching it does no harm.
 */
#include "world.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"

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

/* What the server is like. Each mood answers each tier. */
enum mood {
	WELL,
	IDLE,
	BUSY,    /* health and inferences time out in the queue, tokens flow */
	FULL,    /* the same, and says that requests wait */
	TAKEN,   /* all is fine, but others have every slot: inferences time out in the queue */
	HUNG,    /* "200 but dead": health is fine, no token comes, counters stand still */
	LIAR,    /* health is fine, the answer is wrong */
	FROZEN,  /* takes connections, says nothing */
	GONE,    /* refuses connections */
	LOADING, /* says so */
	LIMITED, /* 429 with an hour of patience for inferences */
	MOODS,
};

static const struct answer {
	enum reason cheap, load, canary;
	enum load_motion motion;
	bool is_full;
} moods[MOODS] = {
	[WELL] = { REASON_OK, REASON_OK, REASON_OK, LOAD_ADVANCING, false },
	[IDLE] = { REASON_OK, REASON_OK, REASON_OK, LOAD_IDLE, false },
	[BUSY] = { REASON_TIMEOUT_HEADERS, REASON_OK, REASON_TIMEOUT_TOTAL, LOAD_ADVANCING, false },
	[FULL] = { REASON_TIMEOUT_HEADERS, REASON_OK, REASON_TIMEOUT_TOTAL, LOAD_ADVANCING, true },
	[TAKEN] = { REASON_OK, REASON_OK, REASON_TIMEOUT_TOTAL, LOAD_ADVANCING, false },
	[HUNG] = { REASON_OK, REASON_OK, REASON_TIMEOUT_TOTAL, LOAD_FLAT, false },
	[LIAR] = { REASON_OK, REASON_OK, REASON_WRONG_ANSWER, LOAD_IDLE, false },
	[FROZEN] = { REASON_TIMEOUT_HEADERS, REASON_TIMEOUT_HEADERS, REASON_TIMEOUT_TOTAL, 0,
		false },
	[GONE] = { REASON_CONNECT_REFUSED, REASON_CONNECT_REFUSED, REASON_CONNECT_REFUSED, 0,
		false },
	[LOADING] = { REASON_LOADING, REASON_LOADING, REASON_LOADING, 0, false },
	[LIMITED] = { REASON_OK, REASON_OK, REASON_RATE_LIMITED, LOAD_IDLE, false },
};

enum {
	SERVERS = 8,
	LIVE = 0,
	READY = 1,
	LOAD = 2,
	CANARY = 3,
};

static enum mood mood;
static unsigned inferences;    /* started */
static usec_t inference_at;    /* the last */
static usec_t shortest_gap;    /* between two */
static bool has_no_load;       /* shape: servers without counters */
static enum cost_when when;    /* shape */
static struct rate budget;     /* shape: requests */
static usec_t canary_interval; /* shape */
static usec_t timeout_total;   /* of canaries */

static struct behaviour behave(struct world *world, const struct check_spec *spec)
{
	const struct answer *answer = &moods[mood];
	enum reason reason = answer->cheap;
	struct behaviour behaviour = { .latency = 20000, .tokens = 8 };

	(void)world;
	if (spec->tier == TIER_LOAD)
		reason = answer->load;
	if (spec->tier == TIER_CANARY)
		reason = answer->canary;
	behaviour.reason = reason;
	behaviour.hangs = reason == REASON_TIMEOUT_TOTAL;
	if (reason == REASON_TIMEOUT_HEADERS)
		behaviour.latency = 5 * second;
	if (reason == REASON_RATE_LIMITED)
		behaviour.retry_after = hour;
	behaviour.load = (struct server_load){
		.seen = 1u << LOAD_RUNNING,
		.value = { [LOAD_RUNNING] = answer->motion == LOAD_IDLE ? 0 : 5 },
		.motion = answer->motion,
		.is_full = answer->is_full,
	};
	return behaviour;
}

static void on_start(struct world *world, const struct check_spec *spec)
{
	usec_t now = world->timers.now;

	if (!spec->cost.is_inference)
		return;
	inferences++;
	if (inference_at != 0)
		shortest_gap = min_of(shortest_gap, now - inference_at);
	inference_at = now;
}

static void shape(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	struct check_spec *check;

	(void)i;
	endpoint->startup_grace = 300 * second;
	endpoint->checks[0].timeout.total = 6 * second;
	(void)world_add_check(world, endpoint, "ready", TIER_READY);
	if (!has_no_load) {
		check = world_add_check(world, endpoint, "load", TIER_LOAD);
		check->interval = check->down_interval = 15 * second;
	}
	check = world_add_check(world, endpoint, "canary", TIER_CANARY);
	check->interval = check->down_interval = check->fast_interval = canary_interval;
	check->timeout.total = timeout_total;
	check->cost.when = when;
	check->cost.requests = budget;
	check->cost.tokens_a_run = 30;
}

static int reset(void **state)
{
	(void)state;
	has_no_load = false;
	when = COST_ALWAYS;
	budget = (struct rate){ 0 };
	canary_interval = 60 * second;
	timeout_total = 20 * second;
	return 0;
}

static void begin(struct world *world, enum mood first)
{
	static const struct world_conf conf = { .n_endpoints = SERVERS };

	mood = first;
	inferences = 0;
	inference_at = 0;
	shortest_gap = USEC_NEVER;
	world_init(world, &conf, 11);
	world->behave = behave;
	world->on_start = on_start;
	world->shape = shape;
	world->is_strict = true;
	world_apply(world, 1, SALT_NONE);
}

/* Runs in steps while the condition holds, for a day at most. */
#define run_while(condition, step)                                       \
	do {                                                             \
		for (usec_t left_ = day; (condition); left_ -= (step)) { \
			assert_true(left_ > (step));                     \
			world_run(&world, step);                         \
		}                                                        \
	} while (0)

static const struct endpoint_view *server(struct world *world)
{
	return world_endpoint(world, 0);
}

/* How long until the server is in that state, at most `most`. */
static usec_t time_until(struct world *world, enum state wanted, usec_t most)
{
	usec_t waited = 0;

	while (server(world)->state != wanted && waited < most) {
		world_run(world, second / 10);
		waited += second / 10;
	}
	if (server(world)->state != wanted)
		fail_msg("expected %s within %llu s, is %s (%s)", state_token(wanted),
			(unsigned long long)(most / second), state_token(server(world)->state),
			reason_token(server(world)->reason));
	return waited;
}

/* ---- moods and states ---- */

static void test_each_mood_has_its_state_within_its_time(void **state)
{
	static const struct {
		enum mood mood;
		enum state state;
		enum reason reason;
		const char *evidence;
		unsigned within; /* seconds: fall x interval + timeout of the tier that tells */
	} rows[] = {
		{ IDLE, STATE_UP, REASON_OK, "canary", 30 },
		{ BUSY, STATE_DEGRADED, REASON_OVERLOADED, "counters", 3 * 10 + 6 },
		{ FULL, STATE_DEGRADED, REASON_OVERLOADED, "counters", 3 * 10 + 6 },
		{ LIAR, STATE_DOWN, REASON_WRONG_ANSWER, "canary", 3 * 60 + 20 },
		{ GONE, STATE_DOWN, REASON_CONNECT_REFUSED, "live", 3 * 10 + 6 },
		{ FROZEN, STATE_DOWN, REASON_TIMEOUT_HEADERS, "live", 3 * 10 + 6 },
		{ LOADING, STATE_NOT_READY, REASON_LOADING, "grace", 3 * 10 + 6 },
		{ LIMITED, STATE_DEGRADED, REASON_RATE_LIMITED, "canary", 24 * 3600 },
	};

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++) {
		struct world world;

		begin(&world, WELL);
		world_run(&world, 300 * second + i * 7 * second);
		assert_int_equal(server(&world)->state, STATE_UP);
		mood = rows[i].mood;
		(void)time_until(&world, rows[i].state, rows[i].within * second);
		if (mood != LIMITED)
			world_run(&world, 200 * second);
		if (server(&world)->reason != rows[i].reason ||
			strcmp(server(&world)->evidence, rows[i].evidence) != 0)
			fail_msg("mood %d: %s by %s", rows[i].mood,
				reason_token(server(&world)->reason), server(&world)->evidence);
		assert_int_equal(server(&world)->state, rows[i].state);
		mood = WELL;
		(void)time_until(&world, STATE_UP, 3 * hour); /* 429 asked for one */
		world_fini(&world);
	}
}

static void test_hung_behind_a_fine_health_page_is_down_in_time(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		struct world world;

		has_no_load = true;
		begin(&world, WELL);
		world_run(&world, 200 * second + i * 3 * second);
		mood = HUNG;
		(void)time_until(&world, STATE_DOWN, 3 * 60 * second + 20 * second);
		assert_string_equal(server(&world)->evidence, "canary");
		world_fini(&world);
	}
}

static void test_a_busy_server_is_never_down(void **state)
{
	static const enum mood busy[] = { BUSY, FULL };

	(void)state;
	for (size_t i = 0; i < 2 * 20; i++) {
		struct world world;

		begin(&world, i % 3 == 0 ? IDLE : WELL);
		world_run(&world, 60 * second + i * second);
		mood = busy[i % 2];
		for (unsigned n = 0; n < 3600; n++) {
			world_run(&world, second);
			assert_int_not_equal(server(&world)->state, STATE_DOWN);
		}
		assert_int_equal(server(&world)->state, STATE_DEGRADED);
		world_fini(&world);
	}
}

static void test_loading_for_too_long_is_down(void **state)
{
	struct world world;

	(void)state;
	begin(&world, LOADING);
	world_run(&world, 290 * second);
	assert_int_equal(server(&world)->state, STATE_NOT_READY);
	assert_in_range(inferences, 0, 1); /* the one that was due before ready had been asked */
	(void)time_until(&world, STATE_DOWN, 21 * second);
	assert_int_equal(server(&world)->reason, REASON_LOADING_TOO_LONG);
	world_fini(&world);
}

/* ---- the ladder ---- */

static void test_a_dead_host_costs_nothing_and_a_live_one_is_asked_at_once(void **state)
{
	struct world world;
	const struct check_view *canary;
	unsigned before;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = GONE;
	(void)time_until(&world, STATE_DOWN, 36 * second);
	before = inferences;
	canary = server(&world)->checks[CANARY];
	world_run(&world, hour);
	assert_int_equal(inferences, before);
	assert_int_equal(canary->suppressed, SUPPRESSED_UNREACHABLE);
	assert_in_range(canary->suppressed_total[SUPPRESSED_UNREACHABLE], 59, 62);
	mood = WELL;
	run_while(server(&world)->checks[LIVE]->health.good == 0, second / 10);
	world_run(&world, second + second / 5);
	assert_int_equal(inferences, before + 1);
	assert_int_equal(server(&world)->state, STATE_UP); /* proved before `rise` */
	world_fini(&world);
}

static void test_a_silent_server_is_still_asked_whether_it_is_dead(void **state)
{
	struct world world;
	unsigned before;

	(void)state;
	has_no_load = true;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = FROZEN;
	before = inferences;
	(void)time_until(&world, STATE_DOWN, 36 * second);
	world_run(&world, 60 * second);
	assert_true(inferences > before);
	world_fini(&world);
}

/* ---- harm ---- */

static void test_what_was_full_before_us_gets_no_inference(void **state)
{
	struct world world;

	(void)state;
	begin(&world, FULL);
	world_run(&world, hour);
	assert_int_equal(inferences, 0);
	mood = WELL;
	world_run(&world, 80 * second);
	assert_int_equal(inferences, 1);
	world_fini(&world);
}

static void test_what_was_busy_before_us_is_never_down(void **state)
{
	struct world world;

	(void)state;
	timeout_total = 4 * second; /* the first question fails before the next look at the load */
	begin(&world, TAKEN);
	for (unsigned n = 0; n < 3600; n++) {
		world_run(&world, second);
		assert_int_not_equal(server(&world)->state, STATE_DOWN);
	}
	assert_int_equal(server(&world)->state, STATE_DEGRADED);
	assert_true(inferences > 10);
	world_fini(&world);
}

static void test_a_full_server_gets_no_inference(void **state)
{
	struct world world;
	unsigned before;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = FULL;
	run_while(server(&world)->known.load.is_full == false, second / 10);
	before = inferences;
	world_run(&world, hour);
	assert_int_equal(inferences, before);
	assert_in_range(server(&world)->checks[CANARY]->suppressed_total[SUPPRESSED_FULL], 58, 62);
	mood = WELL;
	world_run(&world, 80 * second);
	assert_int_equal(inferences, before + 1);
	world_fini(&world);
}

static void test_no_inference_on_top_of_one_that_was_broken_off(void **state)
{
	struct world world;
	const struct check_view *canary;
	unsigned before;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	before = inferences;
	canary = server(&world)->checks[CANARY];
	mood = HUNG;
	run_while(!canary->last.is_abandoned, second);
	assert_int_equal(inferences, before + 1);
	world_run(&world, 500 * second);
	assert_int_equal(inferences, before + 1); /* flat: it is still at it */
	assert_true(canary->suppressed_total[SUPPRESSED_ABANDONED] >= 7);
	mood = IDLE;
	world_run(&world, 80 * second);
	assert_in_range(inferences, before + 2, before + 3); /* seen idle */
	world_fini(&world);
}

static void test_inferences_that_are_broken_off_again_and_again_come_seldom(void **state)
{
	struct world world;
	unsigned before;

	(void)state;
	has_no_load = true;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = HUNG;
	before = inferences;
	(void)time_until(&world, STATE_DOWN, 200 * second);
	assert_in_range(inferences, before + 3, before + 4); /* `fall` is reached as ever */
	world_run(&world, 6 * hour);
	before = inferences;
	shortest_gap = USEC_NEVER;
	world_run(&world, 6 * hour);
	assert_in_range(inferences - before, 30, 36);
	assert_true(shortest_gap >= 600 * second);
	mood = WELL;
	(void)time_until(&world, STATE_UP, 700 * second + 2 * 60 * second);
	world_fini(&world);
}

static void test_silence_after_our_own_broken_off_inference_proves_nothing(void **state)
{
	struct world world;
	const struct check_view *live;

	(void)state;
	has_no_load = true;
	timeout_total = 5 * second;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	live = server(&world)->checks[LIVE];
	mood = HUNG;
	run_while(!server(&world)->checks[READY + 1]->last.is_abandoned, second / 10);
	mood = FROZEN;
	run_while(live->last.reason != REASON_TIMEOUT_HEADERS, second / 10);
	assert_int_equal(live->last.verdict, VERDICT_UNKNOWN);
	assert_int_equal(live->health.bad, 0);
	world_run(&world, 40 * second);
	assert_int_equal(live->health.state, STATE_UP);
	/* not for ever */
	world_run(&world, 120 * second);
	assert_int_equal(live->health.state, STATE_DOWN);
	world_fini(&world);
}

static void test_silence_that_began_before_is_no_effect_of_ours(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct world world;

		has_no_load = true;
		begin(&world, WELL);
		world_run(&world, 300 * second + i * second);
		mood = FROZEN;
		/* wherever its inference stands: 20 s to be broken off, 5 s a silent check */
		(void)time_until(&world, STATE_DOWN, 3 * 10 * second + 6 * second);
		world_fini(&world);
	}
}

static struct behaviour slow_inference(struct world *world, const struct check_spec *spec)
{
	struct behaviour behaviour = behave(world, spec);

	if (spec->cost.is_inference)
		behaviour.latency = 4 * second;
	return behaviour;
}

static void two_canaries(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	struct check_spec *check;

	shape(world, endpoint, i);
	check = world_add_check(world, endpoint, "canary-b", TIER_CANARY);
	*check = (struct check_spec){ .name = "canary-b",
		.endpoint = check->endpoint,
		.kind = check->kind,
		.tier = TIER_CANARY,
		.interval = 60 * second,
		.fast_interval = 60 * second,
		.down_interval = 60 * second,
		.timeout = { .total = 20 * second },
		.health = check->health,
		.cost = { .is_inference = true } };
	endpoint->host = "127.0.0.1:80"; /* all on one server */
}

static void test_one_inference_a_host_and_everyone_has_a_turn(void **state)
{
	struct world world;

	(void)state;
	begin(&world, IDLE);
	world.shape = two_canaries;
	world.behave = slow_inference;
	world_apply(&world, 4, SALT_NONE);
	inferences = 0;
	shortest_gap = USEC_NEVER;
	inference_at = 0;
	world_run(&world, hour);
	assert_true(shortest_gap >= 4 * second); /* the next begins when one has ended */
	assert_in_range(inferences, 8 * 57, 8 * 61);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = CANARY; j <= CANARY + 1; j++)
			assert_in_range(
				world_endpoint(&world, i)->checks[j]->started_total, 57, 61);
	world_fini(&world);
}

static void one_at_a_time(struct world *world, struct endpoint_spec *endpoint, size_t i)
{
	two_canaries(world, endpoint, i);
	endpoint->per_host = i == 1 ? 1 : 0; /* the strictest endpoint of a host */
}

static void test_per_host_of_an_endpoint_holds_for_its_host(void **state)
{
	struct world world;

	(void)state;
	begin(&world, IDLE);
	world.shape = one_at_a_time;
	world_apply(&world, 2, SALT_NONE);
	world_run(&world, 60 * second);
	world.in_flight_max = 0;
	world_run(&world, hour);
	assert_int_equal(world.in_flight_max, 1);
	world_fini(&world);
}

static void test_patience_asked_of_an_inference_holds_for_all_of_its_key(void **state)
{
	struct world world;
	uint64_t live;

	(void)state;
	begin(&world, IDLE);
	world.shape = two_canaries;
	world_apply(&world, 4, SALT_NONE);
	world_run(&world, 300 * second);
	mood = LIMITED;
	inferences = 0;
	world_run(&world, 10 * second); /* somebody is told to wait an hour */
	run_while(inferences == 0, second);
	live = world_endpoint(&world, 0)->checks[LIVE]->started_total;
	world_run(&world, hour - 60 * second);
	assert_int_equal(inferences, 1);
	assert_true(world_endpoint(&world, 0)->checks[LIVE]->started_total > live + 300);
	world_run(&world, 130 * second);
	assert_in_range(inferences, 2, 2); /* asked again, told again */
	world_fini(&world);
}

/* ---- cost ---- */

static unsigned budget_messages;

static void count_messages(void *ctx, const struct log_record *record)
{
	(void)ctx;
	if (record->message_id && strcmp(record->message_id, MSG_BUDGET_EXHAUSTED) == 0)
		budget_messages++;
}

static void test_budget_holds_each_day_and_is_told_once_a_day(void **state)
{
	struct world world;

	(void)state;
	budget_messages = 0;
	log_set_sink(count_messages, NULL, LOG_LEVEL_WARNING);
	budget = (struct rate){ 100, 24 * 3600 * 1000000ull };
	begin(&world, IDLE);
	for (unsigned i = 1; i <= 5; i++) {
		world_run(&world, day);
		/* a window begins with the first inference after the last one */
		assert_in_range(inferences, 100 * i, 100 * i + 1);
		assert_int_equal(budget_messages, i);
		assert_int_equal(server(&world)->state, STATE_UP);
	}
	assert_int_equal(server(&world)->checks[CANARY]->spending->requests_total, inferences);
	assert_int_equal(server(&world)->checks[CANARY]->spending->tokens_total, 8 * inferences);
	log_set_sink(NULL, NULL, LOG_LEVEL_WARNING);
	world_fini(&world);
}

static void test_what_counters_prove_is_not_asked(void **state)
{
	struct world world;
	const struct check_view *canary;

	(void)state;
	when = COST_IDLE_OR_SUSPICIOUS;
	begin(&world, WELL);
	world_run(&world, hour);
	canary = server(&world)->checks[CANARY];
	assert_in_range(inferences, 1, 3);
	assert_true(tally_count(&canary->results, REASON_SKIPPED_PROVEN) > 55);
	assert_int_equal(server(&world)->state, STATE_UP);
	mood = IDLE; /* nothing moves: ask */
	inferences = 0;
	world_run(&world, 600 * second);
	assert_in_range(inferences, 9, 11);
	mood = LIAR;
	(void)time_until(&world, STATE_DOWN, 3 * 60 * second + 20 * second);
	mood = WELL; /* suspicious: ask though they move */
	inferences = 0;
	(void)time_until(&world, STATE_UP, 3 * 60 * second);
	assert_in_range(inferences, 2, 3);
	world_fini(&world);
}

/* ---- restarts ---- */

/* In each mood, at any time: nothing is told, and states come when they would have come anyway. */
static void test_restarts_in_any_mood_tell_nothing(void **state)
{
	(void)state;
	for (enum mood first = 0; first < MOODS; first++) {
		struct world world;

		begin(&world, WELL);
		world_run(&world, 300 * second);
		mood = first;
		for (unsigned i = 0; i < 60; i++) {
			enum state before;
			uint64_t told;
			usec_t since;

			world_run(&world, 23 * second);
			before = server(&world)->state;
			since = server(&world)->since;
			told = world.transitions;
			world_restart(&world, i * second / 4, 1, SALT_NONE);
			assert_int_equal(world.transitions, told);
			assert_int_equal(server(&world)->state, before);
			assert_int_equal(server(&world)->since, since);
		}
		world_fini(&world);
	}
}

static void test_a_restart_begins_no_new_grace(void **state)
{
	struct world world;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = LOADING;
	(void)time_until(&world, STATE_NOT_READY, 40 * second);
	for (unsigned i = 0; i < 5; i++) {
		world_run(&world, 40 * second);
		world_restart(&world, 10 * second, 1, SALT_NONE);
		assert_int_equal(server(&world)->state, STATE_NOT_READY);
	}
	(void)time_until(&world, STATE_DOWN, 60 * second);
	assert_int_equal(server(&world)->reason, REASON_LOADING_TOO_LONG);
	world_fini(&world);
}

/* The server may still compute what the process before had asked. */
static void test_no_inference_on_top_of_one_that_a_restart_broke_off(void **state)
{
	struct world world;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = HUNG;
	inferences = 0;
	run_while(inferences == 0, second / 10);
	world_restart(&world, second, 1, SALT_NONE);
	world_run(&world, 60 * second); /* its counters stand still */
	assert_int_equal(inferences, 1);
	mood = IDLE;
	world_run(&world, 60 * second);
	assert_true(inferences > 1);
	world_fini(&world);
}

static void test_budgets_and_patience_survive_restarts(void **state)
{
	struct world world;

	(void)state;
	budget_messages = 0;
	log_set_sink(count_messages, NULL, LOG_LEVEL_WARNING);
	budget = (struct rate){ 100, 24 * 3600 * 1000000ull };
	begin(&world, IDLE);
	for (unsigned i = 1; i <= 3; i++) {
		for (unsigned part = 0; part < 12; part++) {
			world_run(&world, 2 * hour - second);
			world_restart(&world, second, 1, SALT_NONE);
		}
		assert_in_range(inferences, 100 * i, 100 * i + 1);
		assert_int_equal(budget_messages, i);
	}
	log_set_sink(NULL, NULL, LOG_LEVEL_WARNING);
	budget = (struct rate){ 0 };
	world_fini(&world);

	begin(&world, LIMITED); /* an hour of patience */
	world_run(&world, 300 * second);
	inferences = 0;
	for (unsigned i = 0; i < 5; i++) {
		world_restart(&world, 60 * second, 1, SALT_NONE);
		world_run(&world, 500 * second);
	}
	assert_int_equal(inferences, 0);
	world_fini(&world);
}

/* ---- asked for, and reload ---- */

static void test_asked_for_goes_from_cheap_to_dear_and_stops_at_a_dead_host(void **state)
{
	struct world world;
	unsigned before;

	(void)state;
	begin(&world, WELL);
	world_run(&world, 300 * second);
	mood = GONE;
	(void)time_until(&world, STATE_DOWN, 36 * second);
	before = inferences;
	assert_int_equal(engine_check_now(world.engine, "endpoint-0"), 0);
	world_run(&world, 5 * second);
	assert_int_equal(inferences, before);
	mood = WELL;
	assert_int_equal(engine_check_now(world.engine, "endpoint-0"), 0);
	world_run(&world, 5 * second);
	assert_true(inferences > before);
	world_fini(&world);
}

static void test_reload_keeps_what_was_proved(void **state)
{
	struct world world;
	usec_t first_seen, canary_at, spent;

	(void)state;
	budget = (struct rate){ 1000, 24 * 3600 * 1000000ull };
	begin(&world, IDLE);
	world_run(&world, 300 * second);
	first_seen = server(&world)->known.first_seen;
	canary_at = server(&world)->known.canary_at;
	spent = server(&world)->checks[CANARY]->spending->requests.used;
	assert_true(spent > 0);
	world_apply(&world, 3, SALT_NONE);
	assert_int_equal(server(&world)->known.first_seen, first_seen);
	assert_int_equal(server(&world)->known.canary_at, canary_at);
	assert_int_equal(server(&world)->checks[CANARY]->spending->requests.used, spent);
	assert_int_equal(server(&world)->state, STATE_UP);
	assert_true(world_endpoint(&world, 2)->known.first_seen > first_seen);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_mood_has_its_state_within_its_time, reset),
		cmocka_unit_test_setup(test_hung_behind_a_fine_health_page_is_down_in_time, reset),
		cmocka_unit_test_setup(test_a_busy_server_is_never_down, reset),
		cmocka_unit_test_setup(test_loading_for_too_long_is_down, reset),
		cmocka_unit_test_setup(
			test_a_dead_host_costs_nothing_and_a_live_one_is_asked_at_once, reset),
		cmocka_unit_test_setup(
			test_a_silent_server_is_still_asked_whether_it_is_dead, reset),
		cmocka_unit_test_setup(test_what_was_full_before_us_gets_no_inference, reset),
		cmocka_unit_test_setup(test_what_was_busy_before_us_is_never_down, reset),
		cmocka_unit_test_setup(test_a_full_server_gets_no_inference, reset),
		cmocka_unit_test_setup(test_no_inference_on_top_of_one_that_was_broken_off, reset),
		cmocka_unit_test_setup(
			test_inferences_that_are_broken_off_again_and_again_come_seldom, reset),
		cmocka_unit_test_setup(
			test_silence_after_our_own_broken_off_inference_proves_nothing, reset),
		cmocka_unit_test_setup(test_silence_that_began_before_is_no_effect_of_ours, reset),
		cmocka_unit_test_setup(test_one_inference_a_host_and_everyone_has_a_turn, reset),
		cmocka_unit_test_setup(test_per_host_of_an_endpoint_holds_for_its_host, reset),
		cmocka_unit_test_setup(
			test_patience_asked_of_an_inference_holds_for_all_of_its_key, reset),
		cmocka_unit_test_setup(test_budget_holds_each_day_and_is_told_once_a_day, reset),
		cmocka_unit_test_setup(test_what_counters_prove_is_not_asked, reset),
		cmocka_unit_test_setup(
			test_asked_for_goes_from_cheap_to_dear_and_stops_at_a_dead_host, reset),
		cmocka_unit_test_setup(test_reload_keeps_what_was_proved, reset),
		cmocka_unit_test_setup(test_restarts_in_any_mood_tell_nothing, reset),
		cmocka_unit_test_setup(test_a_restart_begins_no_new_grace, reset),
		cmocka_unit_test_setup(
			test_no_inference_on_top_of_one_that_a_restart_broke_off, reset),
		cmocka_unit_test_setup(test_budgets_and_patience_survive_restarts, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

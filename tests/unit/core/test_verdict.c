/* SPDX-License-Identifier: MIT */
/*
 * The verdict table: every combination of what five tiers can say with every age of proof, against
 * the table written down a second time in the plainest way; and evidence noted in every order.
 */
#include "modelhealth/core/verdict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const usec_t second = USEC_PER_SEC;
static const usec_t now = 100000 * 1000000ull;

enum {
	LIVE,
	READY,
	MODELS,
	LOAD,
	CANARY,
	TIERS,
};

static const enum tier tiers[TIERS] = {
	[LIVE] = TIER_LIVE,
	[READY] = TIER_READY,
	[MODELS] = TIER_MODELS,
	[LOAD] = TIER_LOAD,
	[CANARY] = TIER_CANARY,
};

/* What a check can say. */
enum says {
	NOTHING,
	GOOD,
	LIMITED,
	LOADS,
	SILENT, /* down, and only slow */
	WRONG,  /* down, by what it answered */
	NO_KEY,
	NO_FDS,
	OFF,
	SAYS,
};

static const struct {
	enum state state;
	enum reason reason;
} words[SAYS] = {
	[NOTHING] = { STATE_UNKNOWN, REASON_NEVER_CHECKED },
	[GOOD] = { STATE_UP, REASON_OK },
	[LIMITED] = { STATE_DEGRADED, REASON_OVERLOADED },
	[LOADS] = { STATE_NOT_READY, REASON_LOADING },
	[SILENT] = { STATE_DOWN, REASON_TIMEOUT_HEADERS },
	[WRONG] = { STATE_DOWN, REASON_MODEL_MISSING },
	[NO_KEY] = { STATE_UNKNOWN, REASON_AUTH_FAILED },
	[NO_FDS] = { STATE_UNKNOWN, REASON_LOCAL_FDS },
	[OFF] = { STATE_UNKNOWN, REASON_FEATURE_OFF },
};

struct site {
	struct endpoint_spec spec;
	struct check_spec specs[TIERS];
	struct check_view views[TIERS], *pointers[TIERS];
	struct endpoint_view endpoint;
};

static void site_init(struct site *site)
{
	*site = (struct site){ .spec = { .startup_grace = 300 * second } };
	site->endpoint = (struct endpoint_view){
		.spec = &site->spec, .checks = site->pointers, .n_checks = TIERS
	};
	for (size_t i = 0; i < TIERS; i++) {
		site->specs[i] = (struct check_spec){ .tier = tiers[i],
			.endpoint = &site->spec,
			.interval = 10 * second,
			.timeout = { .total = 5 * second },
			.health = {
				.rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 2 } };
		site->views[i].spec = &site->specs[i];
		health_init(&site->views[i].health, &site->specs[i].health);
		site->pointers[i] = &site->views[i];
	}
}

/* Failures began 100 s ago. */
static const usec_t began = 99900 * 1000000ull;

static void say(struct site *site, size_t i, enum says what)
{
	struct check_view *view = &site->views[i];
	bool is_bad = what != NOTHING && what != GOOD && what != LIMITED;

	view->health.state = words[what].state;
	view->health.reason = words[what].reason;
	view->health.decided = what != NOTHING;
	view->trail = (struct trail){ .failing_since = is_bad ? began : 0,
		.failing_from = is_bad ? began : 0,
		.failed_at = is_bad ? now - second : 0,
		.is_not_ready = what == LOADS };
}

struct facts {
	bool has_canary, has_counters, in_grace;
};

struct expected {
	enum state state;
	const char *evidence;
};

static bool is_down(enum says what)
{
	return what == SILENT || what == WRONG;
}

/* The first of the cheap tiers that says `what`, or is down at all for SAYS; TIERS = none. */
static bool any_cheap(const enum says said[TIERS], enum says what)
{
	return said[LIVE] == what || said[READY] == what || said[MODELS] == what;
}

/* The table of verdict.h once more. */
static struct expected expect(const enum says said[TIERS], struct facts facts)
{
	static const char *const names[TIERS] = { "live", "ready", "models", "load", "canary" };
	bool is_excused = said[CANARY] == SILENT && facts.has_counters;
	bool is_slow = is_down(said[LIVE]) || is_down(said[READY]) || said[MODELS] == SILENT;
	size_t i;

	if ((any_cheap(said, NO_FDS) || said[CANARY] == NO_FDS) && !facts.has_canary)
		return (struct expected){ STATE_UNKNOWN, "self" };
	if (is_down(said[CANARY]) && !is_excused)
		return (struct expected){ STATE_DOWN, "canary" };
	if (is_slow && facts.has_canary)
		return (struct expected){ STATE_DEGRADED, "canary" };
	if ((is_slow && facts.has_counters) || is_excused)
		return (struct expected){ STATE_DEGRADED, "counters" };
	if (any_cheap(said, LOADS) || said[CANARY] == LOADS)
		return (struct expected){ facts.in_grace ? STATE_NOT_READY : STATE_DOWN, "grace" };
	if (is_down(said[LOAD]))
		return (struct expected){ STATE_DOWN, "counters" };
	for (i = LIVE; i <= MODELS; i++)
		if (is_down(said[i]))
			return (struct expected){ STATE_DOWN, names[i] };
	for (i = 0; i < TIERS; i++)
		if (said[i] == LIMITED)
			return (struct expected){ STATE_DEGRADED, names[i] };
	for (i = 0; i < TIERS; i++)
		if (i != LOAD && said[i] == NO_KEY && (i == CANARY || !facts.has_canary))
			return (struct expected){ STATE_UNKNOWN, names[i] };
	if (said[CANARY] == NO_FDS)
		return (struct expected){ STATE_UNKNOWN, "canary" };
	if (said[CANARY] == GOOD && facts.has_canary)
		return (struct expected){ STATE_UP, "canary" };
	for (i = 0; i < TIERS; i++)
		if (said[i] == GOOD)
			return (struct expected){ STATE_UP, names[i] };
	for (i = 0; i < TIERS; i++)
		if (said[i] != NOTHING)
			return (struct expected){ STATE_UNKNOWN, names[i] };
	return (struct expected){ STATE_UNKNOWN, NULL };
}

static void know(struct site *site, struct facts facts)
{
	site->endpoint.known = (struct evidence){
		.loading_since = facts.in_grace ? now - 200 * second : now - 400 * second,
		.canary_at = facts.has_canary ? now - 5 * second : began - second,
		.canary_good_for = 35 * second,
		.counters_at = facts.has_counters ? now - 5 * second : now - 90 * second,
		.load_good_for = 60 * second, /* one that is too old proves nothing */
	};
}

static void assert_verdict(const struct site *site, const enum says said[TIERS], struct facts facts)
{
	struct expected expected = expect(said, facts);
	const char *evidence = site->endpoint.evidence;
	bool is_same = evidence == expected.evidence ||
		       (evidence && expected.evidence && strcmp(evidence, expected.evidence) == 0);

	if (site->endpoint.state == expected.state && is_same)
		return;
	for (size_t i = 0; i < TIERS; i++)
		print_error("%s: %s\n", tier_token(tiers[i]), reason_token(words[said[i]].reason));
	fail_msg("canary %d counters %d grace %d: expected %s by %s, got %s by %s",
		facts.has_canary, facts.has_counters, facts.in_grace, state_token(expected.state),
		expected.evidence ? expected.evidence : "nothing",
		state_token(site->endpoint.state), evidence ? evidence : "nothing");
}

/* Turns the order of the checks, so that none is right by where it stands. */
static void turn(struct site *site)
{
	struct check_view *first = site->pointers[0];

	memmove(site->pointers, site->pointers + 1, (TIERS - 1) * sizeof site->pointers[0]);
	site->pointers[TIERS - 1] = first;
}

static void test_verdict_of_every_combination_is_that_of_the_table(void **state)
{
	struct site site;
	unsigned n = 1;

	(void)state;
	site_init(&site);
	for (size_t i = 0; i < TIERS; i++)
		n *= SAYS;
	for (unsigned combination = 0; combination < n; combination++) {
		enum says said[TIERS];
		unsigned rest = combination;

		for (size_t i = 0; i < TIERS; i++) {
			said[i] = rest % SAYS;
			rest /= SAYS;
			say(&site, i, said[i]);
		}
		for (unsigned bits = 0; bits < 8; bits++) {
			struct facts facts = { bits & 1, bits & 2, bits & 4 };

			know(&site, facts);
			verdict_decide(&site.endpoint, now);
			assert_verdict(&site, said, facts);
			turn(&site);
		}
	}
}

/* ---- the times ---- */

static void feed(struct site *site, size_t i, enum reason reason, usec_t at)
{
	struct result result = { .at = at };
	struct check_view *view = &site->views[i];

	result_set(&result, reason, NULL);
	if (i == LOAD)
		result.load = (struct server_load){ .seen = 1u << LOAD_RUNNING,
			.motion = reason == REASON_OK ? LOAD_ADVANCING : LOAD_FLAT };
	(void)health_step(&view->health, &site->specs[i].health, &result, at);
	evidence_note(&site->endpoint.known, &view->trail, view->spec, &result, 0, at);
	verdict_decide(&site->endpoint, at);
}

static void feed_all(struct site *site, size_t i, enum reason reason, usec_t at, unsigned times)
{
	for (unsigned n = 0; n < times; n++)
		feed(site, i, reason, at + n * second);
}

static void test_proof_before_the_failure_proves_nothing_proof_after_it_does(void **state)
{
	static const size_t cheap[] = { LIVE, READY };

	(void)state;
	for (size_t i = 0; i < array_size(cheap); i++) {
		struct site site;

		site_init(&site);
		feed(&site, cheap[i], REASON_OK, now);
		feed(&site, CANARY, REASON_OK, now + second);
		assert_int_equal(site.endpoint.state, STATE_UP);
		feed_all(&site, cheap[i], REASON_TIMEOUT_HEADERS, now + 2 * second, 3);
		assert_int_equal(site.endpoint.state, STATE_DOWN);
		feed(&site, CANARY, REASON_OK, now + 6 * second);
		assert_int_equal(site.endpoint.state, STATE_DEGRADED);
		assert_int_equal(site.endpoint.reason, REASON_OVERLOADED);
		assert_ptr_equal(site.endpoint.decided_by, &site.views[cheap[i]]);
		/* no newer proof: it was busy, now it is dead */
		feed(&site, cheap[i], REASON_TIMEOUT_HEADERS, now + 42 * second);
		assert_int_equal(site.endpoint.state, STATE_DOWN);
	}
}

static void test_counters_that_may_have_grown_for_us_prove_nothing(void **state)
{
	struct site site;
	struct result result = { 0 };
	struct trail *trail;

	(void)state;
	site_init(&site);
	trail = &site.views[LOAD].trail;
	feed(&site, CANARY, REASON_OK, now - 200 * second);
	feed_all(&site, LIVE, REASON_TIMEOUT_HEADERS, now, 3);
	result_set(&result, REASON_OK, NULL);
	result.load = (struct server_load){ .seen = 1u << LOAD_PROGRESS, .motion = LOAD_ADVANCING };
	evidence_note(&site.endpoint.known, trail, &site.specs[LOAD], &result, EVIDENCE_MAY_BE_OURS,
		now + 4 * second);
	verdict_decide(&site.endpoint, now + 4 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
	/* our inference ends without a token: then they grew for others */
	feed(&site, CANARY, REASON_TIMEOUT_FIRST_TOKEN, now + 5 * second);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED);
	assert_string_equal(site.endpoint.evidence, "counters");
}

static void test_whose_work_the_counters_show_is_told_by_the_requests(void **state)
{
	static const struct {
		unsigned flags;
		double running, waiting;
		bool is_proof;
	} cases[] = {
		{ 0, 0, 0, true }, /* short requests of others, or those who have left */
		{ EVIDENCE_MAY_BE_OURS, 0, 0, false },
		{ EVIDENCE_MAY_BE_OURS, 1, 0, false },
		{ EVIDENCE_MAY_BE_OURS, 1, 1, true },
		{ EVIDENCE_IS_OURS, 0, 0, false },
		{ EVIDENCE_IS_OURS, 1, 0, true },
		{ EVIDENCE_IS_OURS | EVIDENCE_MAY_BE_OURS, 1, 0, false },
		{ EVIDENCE_IS_OURS | EVIDENCE_MAY_BE_OURS, 2, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct site site;
		struct result result = { 0 };

		site_init(&site);
		result_set(&result, REASON_OK, NULL);
		result.load = (struct server_load){
			.seen = 1u << LOAD_RUNNING | 1u << LOAD_WAITING,
			.value = { [LOAD_RUNNING] = cases[i].running,
				[LOAD_WAITING] = cases[i].waiting },
			.motion = LOAD_ADVANCING,
		};
		evidence_note(&site.endpoint.known, &site.views[LOAD].trail, &site.specs[LOAD],
			&result, cases[i].flags, now);
		/* an end without a token changes nothing */
		feed(&site, CANARY, REASON_TIMEOUT_FIRST_TOKEN, now + second);
		assert_int_equal(evidence_counters_since(&site.endpoint.known, 0, now + second),
			cases[i].is_proof);
	}
}

static void test_a_first_inference_that_waits_behind_others_is_no_death(void **state)
{
	struct site site;
	struct result result = { 0 };

	(void)state;
	site_init(&site);
	feed(&site, LOAD, REASON_OK, now + 10 * second);
	result_set(&result, REASON_TIMEOUT_FIRST_TOKEN, NULL);
	result_set_timing(&result, TIMING_TOTAL, 20 * second);
	(void)health_step(&site.views[CANARY].health, &site.specs[CANARY].health, &result, now);
	evidence_note(&site.endpoint.known, &site.views[CANARY].trail, &site.specs[CANARY], &result,
		0, now + 20 * second);
	verdict_decide(&site.endpoint, now + 20 * second);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED);
	assert_string_equal(site.endpoint.evidence, "counters");
}

static void test_a_server_that_says_it_is_full_is_not_dead_for_making_us_wait(void **state)
{
	struct site site;

	(void)state;
	site_init(&site);
	feed(&site, LIVE, REASON_OK, now);
	feed_all(&site, CANARY, REASON_TIMEOUT_FIRST_TOKEN, now + second, 3);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
	feed_all(&site, READY, REASON_OVERLOADED, now + 4 * second, 2);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED);
	assert_ptr_equal(site.endpoint.decided_by, &site.views[READY]);
	/* words grow old: twice the interval and the timeout */
	verdict_decide(&site.endpoint, now + 5 * second + 25 * second);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED);
	verdict_decide(&site.endpoint, now + 5 * second + 26 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
	/* and excuse no wrong answer */
	feed(&site, CANARY, REASON_WRONG_ANSWER, now + 40 * second);
	feed(&site, READY, REASON_OVERLOADED, now + 41 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
}

static void test_words_of_being_full_are_no_refusal_and_not_our_own_doing(void **state)
{
	static const struct {
		size_t check;
		uint32_t http_status;
		unsigned flags;
		bool is_word;
	} cases[] = {
		{ LIVE, 200, 0, true },
		{ LIVE, 503, 0, false },
		{ LIVE, 200, EVIDENCE_IS_ASKING, false },
		{ LOAD, 503, 0, true },
		{ CANARY, 503, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct result result = { .http_status = cases[i].http_status };
		struct site site;

		site_init(&site);
		result_set(&result, REASON_OVERLOADED, NULL);
		evidence_note(&site.endpoint.known, &site.views[cases[i].check].trail,
			&site.specs[cases[i].check], &result, cases[i].flags, now);
		assert_int_equal(
			evidence_full_since(&site.endpoint.known, 0, now), cases[i].is_word);
	}
}

static void test_what_load_could_not_find_out_is_unknown(void **state)
{
	static const struct {
		size_t check;
		enum reason reason;
		enum verdict verdict;
	} cases[] = {
		{ LOAD, REASON_TIMEOUT_HEADERS, VERDICT_UNKNOWN },
		{ LOAD, REASON_LOADING, VERDICT_UNKNOWN },
		{ LOAD, REASON_STALLED, VERDICT_DOWN },
		{ LOAD, REASON_OVERLOADED, VERDICT_DEGRADED },
		{ READY, REASON_TIMEOUT_HEADERS, VERDICT_DOWN },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct result result = { 0 };
		struct site site;

		site_init(&site);
		result_set(&result, cases[i].reason, NULL);
		evidence_excuse(&site.specs[cases[i].check], &result);
		assert_int_equal(result.verdict, cases[i].verdict);
		assert_int_equal(result.reason, cases[i].reason);
	}
}

static void test_a_dead_port_outweighs_what_was_proved_before_it_died(void **state)
{
	struct site site;

	(void)state;
	site_init(&site);
	feed_all(&site, LIVE, REASON_SERVER_ERROR, now, 3);
	feed(&site, CANARY, REASON_OK, now + 3 * second);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED);
	feed_all(&site, LIVE, REASON_CONNECT_REFUSED, now + 4 * second, 2);
	assert_int_equal(site.endpoint.state, STATE_DEGRADED); /* fall is 3 */
	feed(&site, LIVE, REASON_CONNECT_REFUSED, now + 6 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
}

static void test_an_inference_proves_a_cheap_check_that_comes_back(void **state)
{
	struct site site;

	(void)state;
	site_init(&site);
	feed_all(&site, LIVE, REASON_CONNECT_REFUSED, now, 3);
	feed(&site, LIVE, REASON_OK, now + 4 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN); /* rise is 2 */
	feed(&site, CANARY, REASON_OK, now + 5 * second);
	assert_int_equal(site.endpoint.state, STATE_UP);
	assert_string_equal(site.endpoint.evidence, "canary");
}

static void test_loading_is_not_ready_until_grace_is_over_and_begins_anew(void **state)
{
	struct site site;
	usec_t grace = 300 * second;

	(void)state;
	site_init(&site);
	site.endpoint.known.first_seen = now;
	feed(&site, LIVE, REASON_OK, now + second);
	feed(&site, READY, REASON_LOADING, now + 2 * second);
	assert_int_equal(site.endpoint.state, STATE_NOT_READY);
	assert_string_equal(site.endpoint.evidence, "grace");
	feed(&site, LIVE, REASON_OK, now + grace); /* alive is no end of loading */
	feed(&site, READY, REASON_LOADING, now + grace + 2 * second);
	assert_int_equal(site.endpoint.state, STATE_NOT_READY);
	feed(&site, READY, REASON_LOADING, now + grace + 3 * second);
	assert_int_equal(site.endpoint.state, STATE_DOWN);
	assert_int_equal(site.endpoint.reason, REASON_LOADING_TOO_LONG);
	feed_all(&site, READY, REASON_OK, now + grace + 4 * second, 2);
	assert_int_equal(site.endpoint.state, STATE_UP);
	feed_all(&site, READY, REASON_DRAINING, now + 2 * grace, 3);
	assert_int_equal(site.endpoint.state, STATE_NOT_READY);
	assert_int_equal(site.endpoint.reason, REASON_DRAINING);
}

static enum reason translated(struct site *site, enum reason reason, usec_t at)
{
	struct result result = { 0 };

	result_set(&result, reason, NULL);
	(void)evidence_translate(&site->endpoint.known, &site->spec, &result, at);
	return result.reason;
}

static void test_refused_is_loading_only_where_and_while_it_can_be(void **state)
{
	struct site site;
	usec_t grace = 300 * second;

	(void)state;
	site_init(&site);
	site.endpoint.known.first_seen = now;
	assert_int_equal(translated(&site, REASON_CONNECT_REFUSED, now), REASON_CONNECT_REFUSED);
	site.spec.refused_is_loading = true;
	assert_int_equal(translated(&site, REASON_CONNECT_REFUSED, now + grace), REASON_LOADING);
	assert_int_equal(translated(&site, REASON_CONNECT_TIMEOUT, now), REASON_CONNECT_TIMEOUT);
	assert_int_equal(
		translated(&site, REASON_CONNECT_REFUSED, now + grace + 1), REASON_CONNECT_REFUSED);
	/* it was up: what is refused now is a crash */
	feed(&site, LIVE, REASON_OK, now + second);
	assert_int_equal(translated(&site, REASON_CONNECT_REFUSED, now + 2 * second),
		REASON_CONNECT_REFUSED);
	/* it said that it drains: what is refused now is a restart */
	feed(&site, LIVE, REASON_DRAINING, now + 3 * second);
	assert_int_equal(
		translated(&site, REASON_CONNECT_REFUSED, now + 4 * second), REASON_LOADING);
	assert_int_equal(translated(&site, REASON_CONNECT_REFUSED, now + 4 * second + grace),
		REASON_CONNECT_REFUSED);
}

static void test_what_was_bad_is_forgotten_and_what_was_good_stays(void **state)
{
	struct site site;
	struct health *health;

	(void)state;
	site_init(&site);
	health = &site.views[CANARY].health;
	feed(&site, CANARY, REASON_OK, now);
	health_forget(health, &site.specs[CANARY].health);
	assert_int_equal(health->state, STATE_UP);
	feed_all(&site, CANARY, REASON_WRONG_ANSWER, now + second, 3);
	assert_int_equal(health->state, STATE_DOWN);
	health_forget(health, &site.specs[CANARY].health);
	assert_false(health->decided);
	feed(&site, CANARY, REASON_OK, now + 9 * second);
	assert_int_equal(health->state, STATE_UP);
}

static void test_suspended_is_said_before_all_else(void **state)
{
	struct site site;

	(void)state;
	site_init(&site);
	site.endpoint.suspended = true;
	feed(&site, CANARY, REASON_WRONG_ANSWER, now);
	assert_int_equal(site.endpoint.state, STATE_SUSPENDED);
	assert_null(site.endpoint.decided_by);
}

/* ---- budgets ---- */

static void test_budget_is_full_again_after_its_window(void **state)
{
	const struct rate day = { 100, 86400 * 1000000ull };
	struct budget budget = { 0 };

	(void)state;
	assert_true(budget_allows(&budget, (struct rate){ 0 }, 1u << 30, now));
	assert_true(budget_allows(&budget, day, 60, now));
	budget_spend(&budget, day, 60, now);
	assert_true(budget_allows(&budget, day, 40, now + 1));
	assert_false(budget_allows(&budget, day, 41, now + 1));
	budget_spend(&budget, day, 70, now + 1); /* the estimate was too low */
	assert_false(budget_allows(&budget, day, 0, now + 2));
	assert_false(budget_allows(&budget, day, 1, now + day.per - 1));
	assert_true(budget_allows(&budget, day, 41, now + day.per));
	assert_int_equal(budget_used(&budget, day, now + day.per), 0);
	budget_spend(&budget, day, 5, now + day.per);
	assert_int_equal(budget_used(&budget, day, now + day.per), 5);
	/* one run may be dearer than the whole budget: then one a window */
	assert_true(budget_allows(&(struct budget){ 0 }, day, 500, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_of_every_combination_is_that_of_the_table),
		cmocka_unit_test(test_proof_before_the_failure_proves_nothing_proof_after_it_does),
		cmocka_unit_test(test_counters_that_may_have_grown_for_us_prove_nothing),
		cmocka_unit_test(test_whose_work_the_counters_show_is_told_by_the_requests),
		cmocka_unit_test(test_a_first_inference_that_waits_behind_others_is_no_death),
		cmocka_unit_test(test_a_server_that_says_it_is_full_is_not_dead_for_making_us_wait),
		cmocka_unit_test(test_words_of_being_full_are_no_refusal_and_not_our_own_doing),
		cmocka_unit_test(test_what_load_could_not_find_out_is_unknown),
		cmocka_unit_test(test_a_dead_port_outweighs_what_was_proved_before_it_died),
		cmocka_unit_test(test_an_inference_proves_a_cheap_check_that_comes_back),
		cmocka_unit_test(test_loading_is_not_ready_until_grace_is_over_and_begins_anew),
		cmocka_unit_test(test_refused_is_loading_only_where_and_while_it_can_be),
		cmocka_unit_test(test_what_was_bad_is_forgotten_and_what_was_good_stays),
		cmocka_unit_test(test_suspended_is_said_before_all_else),
		cmocka_unit_test(test_budget_is_full_again_after_its_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

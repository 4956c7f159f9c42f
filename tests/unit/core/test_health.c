/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/health.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct health_conf conf = {
	.rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 2
};

static usec_t now;

/* Feeds results given as letters: + ok, - refused, s slow, l loading, u unknown. Returns the
 * events of the last one. */
static unsigned feed(struct health *health, const struct health_conf *with, const char *letters)
{
	static const struct {
		char letter;
		enum reason reason;
	} reasons[] = {
		{ '+', REASON_OK },
		{ '-', REASON_CONNECT_REFUSED },
		{ 's', REASON_SLOW },
		{ 'l', REASON_LOADING },
		{ 'u', REASON_LOCAL_FDS },
	};

	unsigned events = 0;

	for (; *letters; letters++) {
		struct result result = { 0 };

		for (size_t i = 0; i < array_size(reasons); i++)
			if (reasons[i].letter == *letters)
				result_set(&result, reasons[i].reason, NULL);
		events = health_step(health, with, &result, ++now);
	}
	return events;
}

static enum state state_after(const char *letters)
{
	struct health health;

	health_init(&health, &conf);
	(void)feed(&health, &conf, letters);
	return health.state;
}

static void test_states_follow_the_letters(void **state)
{
	static const struct {
		const char *letters;
		enum state expected;
	} rows[] = {
		{ "", STATE_UNKNOWN }, { "+", STATE_UP }, /* the first result decides */
		{ "-", STATE_DOWN }, { "s", STATE_DEGRADED }, { "l", STATE_NOT_READY },
		{ "u", STATE_UNKNOWN }, { "+--", STATE_UP }, { "+---", STATE_DOWN },
		{ "+--+--", STATE_UP }, /* a success in between starts the count again */
		{ "-+", STATE_DOWN }, { "-++", STATE_UP }, { "-+-+", STATE_DOWN },
		{ "+s", STATE_UP }, { "+ss", STATE_DEGRADED }, { "+ss+", STATE_DEGRADED },
		{ "+ss++", STATE_UP }, { "+lll", STATE_NOT_READY },
		{ "+---l", STATE_NOT_READY }, /* dead or loading: the newer word counts */
		{ "+lll-", STATE_DOWN }, { "+uu", STATE_UP }, { "+uuu", STATE_UNKNOWN },
		{ "+uuu+", STATE_UP },     /* what was known before still counts */
		{ "+--uuu-", STATE_DOWN }, /* and so do the failures before */
		{ "+--u-", STATE_DOWN }, { "-uuu", STATE_UNKNOWN }, { "-uuu-", STATE_DOWN },
		{ "+uuu-", STATE_UNKNOWN },
		{ "+uuu--", STATE_UNKNOWN }, /* a failure is no good news */
		{ "+uuu---", STATE_DOWN }, { "+uuu-+", STATE_UP }, { "u-", STATE_DOWN },
		{ "l+", STATE_NOT_READY },
		{ "+lll+", STATE_NOT_READY }, /* coming back is not going down */
		{ "l++", STATE_UP }, { "-l+-", STATE_DOWN }, { "s---", STATE_DOWN },
		{ "s---s+", STATE_DEGRADED }, /* alive again, and not yet proven fast */
	};

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++)
		if (state_after(rows[i].letters) != rows[i].expected)
			fail_msg("\"%s\": expected %s, got %s", rows[i].letters,
				state_token(rows[i].expected),
				state_token(state_after(rows[i].letters)));
}

static void test_unknown_never_counts(void **state)
{
	struct health health, before;

	(void)state;
	health_init(&health, &conf);
	(void)feed(&health, &conf, "+-");
	before = health;
	(void)feed(&health, &conf, "uuuuuuuuuu");
	assert_int_equal(health.level, before.level);
	assert_int_equal(health.bad, before.bad);
	assert_int_equal(health.flap_history, before.flap_history);
}

static void test_unknown_may_need_more_results_than_down(void **state)
{
	const struct health_conf quick = { .rise = 1, .fall = 1, .unknown_after = 3 };
	struct health health;

	(void)state;
	health_init(&health, &quick);
	(void)feed(&health, &quick, "+-");
	assert_int_equal(health.state, STATE_DOWN);
	(void)feed(&health, &quick, "uu");
	assert_int_equal(health.state, STATE_DOWN);
	(void)feed(&health, &quick, "u");
	assert_int_equal(health.state, STATE_UNKNOWN);
	(void)feed(&health, &quick, "+");
	assert_int_equal(health.state, STATE_UP);
}

static void test_change_is_told_once_with_its_time_and_reason(void **state)
{
	struct health health;
	usec_t since;

	(void)state;
	health_init(&health, &conf);
	assert_int_equal(feed(&health, &conf, "+"), HEALTH_CHANGED);
	since = now;
	assert_int_equal(feed(&health, &conf, "+++"), HEALTH_STEADY);
	assert_int_equal(health.since, since);
	assert_int_equal(feed(&health, &conf, "---") & HEALTH_CHANGED, HEALTH_CHANGED);
	assert_int_equal(health.since, now);
	assert_int_equal(health.reason, REASON_CONNECT_REFUSED);
}

static void test_reason_of_a_lasting_state_is_the_latest_one(void **state)
{
	struct health health;
	struct result result = { 0 };

	(void)state;
	health_init(&health, &conf);
	(void)feed(&health, &conf, "-");
	result_set(&result, REASON_TIMEOUT_HEADERS, NULL);
	(void)health_step(&health, &conf, &result, ++now);
	assert_int_equal(health.state, STATE_DOWN);
	assert_int_equal(health.reason, REASON_TIMEOUT_HEADERS);
	(void)feed(&health, &conf, "+"); /* one success does not explain down */
	assert_int_equal(health.reason, REASON_TIMEOUT_HEADERS);
}

static void test_severity_of_a_result_outranks_its_reason(void **state)
{
	struct health health;
	struct result result = { 0 };

	(void)state;
	health_init(&health, &conf);
	result_set(&result, REASON_ASSERT_JSON, NULL);
	result.verdict = VERDICT_DEGRADED;
	(void)health_step(&health, &conf, &result, ++now);
	assert_int_equal(health.state, STATE_DEGRADED);
	assert_int_equal(health.reason, REASON_ASSERT_JSON);
}

static void test_assumed_states_wait_for_full_streaks(void **state)
{
	struct health_conf up = conf, down = conf;
	struct health health;

	(void)state;
	up.init = HEALTH_INIT_UP;
	down.init = HEALTH_INIT_DOWN;
	health_init(&health, &up);
	assert_int_equal(health.state, STATE_UP);
	(void)feed(&health, &up, "--");
	assert_int_equal(health.state, STATE_UP);
	(void)feed(&health, &up, "-");
	assert_int_equal(health.state, STATE_DOWN);
	health_init(&health, &down);
	assert_int_equal(health.state, STATE_DOWN);
	(void)feed(&health, &down, "+");
	assert_int_equal(health.state, STATE_DOWN);
	(void)feed(&health, &down, "+");
	assert_int_equal(health.state, STATE_UP);
}

static void test_flapping_starts_above_30_percent_and_ends_at_25(void **state)
{
	struct health health;
	unsigned events = 0;

	(void)state;
	health_init(&health, &conf);
	for (int i = 0; i < 8; i++)
		events |= feed(&health, &conf, i % 2 == 0 ? "+" : "-");
	assert_true(events & HEALTH_FLAPPING_STARTED);
	assert_true(health.flapping);
	assert_int_equal(health.state, STATE_UP); /* fall was never reached */
	for (events = 0; !(events & HEALTH_FLAPPING_STOPPED);)
		events = feed(&health, &conf, "+");
	assert_false(health.flapping);
	assert_true(feed(&health, &conf, "++++") == HEALTH_STEADY);
}

/* Icinga 2, Checkable::UpdateFlappingStatus(), in hundredths instead of floating point. */
static bool icinga_flaps(bool samples[FLAP_SAMPLES], size_t *index, bool differs, bool flaps)
{
	unsigned changes = 0;

	samples[*index] = differs;
	*index = (*index + 1) % FLAP_SAMPLES;
	for (unsigned i = 0; i < FLAP_SAMPLES; i++)
		if (samples[(*index + i) % FLAP_SAMPLES])
			changes += 80 + 2 * i;
	return changes > (flaps ? 25 : 30) * FLAP_SAMPLES;
}

static void test_flapping_is_what_icinga_calls_flapping(void **state)
{
	bool samples[FLAP_SAMPLES] = { false };
	bool flaps = false, was_good = true;
	size_t index = 1; /* the first result differs from nothing */
	struct health health;
	struct rand rand;

	(void)state;
	rand_seed(&rand, 4);
	health_init(&health, &conf);
	(void)feed(&health, &conf, "+");
	for (unsigned i = 0; i < 100000; i++) {
		bool is_good = rand_below(&rand, 5) == 0 ? !was_good : was_good;

		(void)feed(&health, &conf, is_good ? "+" : "-");
		flaps = icinga_flaps(samples, &index, is_good != was_good, flaps);
		assert_int_equal(health.flapping, flaps);
		was_good = is_good;
	}
}

static void test_pending_means_a_streak_against_the_state(void **state)
{
	static const struct {
		const char *letters;
		bool expected;
	} rows[] = { { "", true }, { "+", false }, { "+-", true }, { "+-+", false },
		{ "+---", false }, { "+---+", true }, { "+s", true }, { "+u", true },
		{ "+uuu", false }, { "-", false } };
	struct health health;

	(void)state;
	for (size_t i = 0; i < array_size(rows); i++) {
		health_init(&health, &conf);
		(void)feed(&health, &conf, rows[i].letters);
		if (health_is_pending(&health, &conf) != rows[i].expected)
			fail_msg("\"%s\": expected pending %d", rows[i].letters, rows[i].expected);
	}
}

static void test_rescale_keeps_the_state_and_the_streak(void **state)
{
	struct health_conf wide = { .rise = 5, .fall = 9, .degraded_rise = 2, .degraded_fall = 2 };
	struct health_conf tight = { .rise = 1, .fall = 1, .degraded_rise = 1, .degraded_fall = 1 };
	struct health health;

	(void)state;
	health_init(&health, &conf);
	(void)feed(&health, &conf, "+--");
	health_rescale(&health, &conf, &wide);
	(void)feed(&health, &wide, "------");
	assert_int_equal(health.state, STATE_UP); /* 2 + 6 of 9 */
	(void)feed(&health, &wide, "-");
	assert_int_equal(health.state, STATE_DOWN);
	health_rescale(&health, &wide, &tight);
	(void)feed(&health, &tight, "+");
	assert_int_equal(health.state, STATE_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states_follow_the_letters),
		cmocka_unit_test(test_unknown_never_counts),
		cmocka_unit_test(test_unknown_may_need_more_results_than_down),
		cmocka_unit_test(test_change_is_told_once_with_its_time_and_reason),
		cmocka_unit_test(test_reason_of_a_lasting_state_is_the_latest_one),
		cmocka_unit_test(test_severity_of_a_result_outranks_its_reason),
		cmocka_unit_test(test_assumed_states_wait_for_full_streaks),
		cmocka_unit_test(test_flapping_starts_above_30_percent_and_ends_at_25),
		cmocka_unit_test(test_flapping_is_what_icinga_calls_flapping),
		cmocka_unit_test(test_pending_means_a_streak_against_the_state),
		cmocka_unit_test(test_rescale_keeps_the_state_and_the_streak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

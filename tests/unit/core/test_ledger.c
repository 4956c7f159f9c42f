/* SPDX-License-Identifier: MIT */
/*
 * States that outlive their process: the records, and the memory and the file that hold them.
 */
#include "modelhealth/base/clock.h"
#include "modelhealth/base/rand.h"
#include "modelhealth/core/ledger.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const usec_t second = USEC_PER_SEC;
static const usec_t now = 500 * 86400 * USEC_PER_SEC + 123456;
static const usec_t real = 1700000000 * USEC_PER_SEC;

static const struct check_kind kind = { .name = "http" };
static struct check_spec spec = {
	.name = "live",
	.kind = &kind,
	.interval = 10 * 1000000,
	.health = { .rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 2 },
};
static const struct endpoint_spec endpoint_spec = {
	.name = "a", .host = "h:1", .checks = &spec, .n_checks = 1
};

/* ---- records ---- */

static void step(struct check_view *check, struct rand *rand)
{
	static const enum reason reasons[] = { REASON_OK, REASON_OK, REASON_SLOW,
		REASON_SERVER_ERROR, REASON_LOADING, REASON_LOCAL_FDS };
	struct result result = { 0 };

	result_set(&result, reasons[rand_below(rand, array_size(reasons))], NULL);
	(void)health_step(&check->health, &check->spec->health, &result,
		real + rand_below(rand, 1000) * second);
}

static void test_state_of_a_check_comes_back_as_it_was(void **state)
{
	struct rand rand;

	(void)state;
	rand_seed(&rand, 1);
	for (unsigned i = 0; i < 3000; i++) {
		struct check_view was = { .spec = &spec }, is = { .spec = &spec };
		struct record_pace pace = { .slot_at = now + rand_below(&rand, 9) * second }, back;
		struct record record;

		spec.health.rise = (uint16_t)(1 + rand_below(&rand, 5));
		spec.health.fall = (uint16_t)(1 + rand_below(&rand, 5));
		health_init(&was.health, &spec.health);
		for (uint64_t n = 1 + rand_below(&rand, 40); n > 0; n--)
			step(&was, &rand);
		record_check(&record, &was, &pace, now);
		assert_true(record_restore_check(&record, now, &is, &back));
		assert_memory_equal(&is.health, &was.health, sizeof is.health);
		assert_int_equal(back.slot_at, pace.slot_at);
	}
	spec.health = (struct health_conf){
		.rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 2
	};
}

static void test_streak_fits_a_rise_and_fall_that_changed_meanwhile(void **state)
{
	struct check_view was = { .spec = &spec }, is;
	struct check_spec other = spec;
	struct record_pace pace = { .slot_at = now };
	struct result failure = { 0 };
	struct record record;

	(void)state;
	health_init(&was.health, &spec.health);
	was.health =
		(struct health){ .level = 4, .degraded_level = 3, .decided = true, .since = real };
	result_set(&failure, REASON_SERVER_ERROR, NULL);
	(void)health_step(&was.health, &spec.health, &failure, real);
	(void)health_step(&was.health, &spec.health, &failure, real);
	assert_int_equal(was.health.state, STATE_UP); /* two of three */
	other.health.fall = 5;
	is = (struct check_view){ .spec = &other };
	record_check(&record, &was, &pace, now);
	assert_true(record_restore_check(&record, now, &is, &pace));
	for (unsigned more = 0; more < 2; more++) {
		assert_int_equal(is.health.state, STATE_UP);
		(void)health_step(&is.health, &other.health, &failure, real);
	}
	assert_int_equal(is.health.state, STATE_UP); /* four of five */
	(void)health_step(&is.health, &other.health, &failure, real);
	assert_int_equal(is.health.state, STATE_DOWN);
}

static void test_times_keep_their_distances_on_another_clock(void **state)
{
	struct check_view was = { .spec = &spec }, is = { .spec = &spec };
	struct record_pace pace = { .slot_at = now + 7 * second, .not_before = now + 9 * second };
	const usec_t at = now - 100 * second; /* then, on the clock of today */
	struct record_pace back;
	struct record record;

	(void)state;
	was.health = (struct health){ .level = 4, .degraded_level = 3, .since = real };
	was.trail = (struct trail){ .failing_since = now - 30 * second,
		.failing_from = now - 31 * second,
		.failed_at = now - 1,
		.unreachable = 3,
		.is_not_ready = true };
	record_check(&record, &was, &pace, now);
	assert_true(record_restore_check(&record, at, &is, &back));
	assert_int_equal(is.trail.failing_since, at - 30 * second);
	assert_int_equal(is.trail.failing_from, at - 31 * second);
	assert_int_equal(is.trail.failed_at, at);
	assert_int_equal(is.trail.unreachable_since, 0);
	assert_int_equal(is.trail.unreachable, 3);
	assert_true(is.trail.is_not_ready);
	assert_int_equal(back.slot_at, at + 7 * second);
	assert_int_equal(back.not_before, at + 9 * second);
	assert_int_equal(back.quiet_until, 0);
	/* the slot of a run that was under way lies behind */
	pace.slot_at = now - 3 * second;
	record_check(&record, &was, &pace, now);
	assert_true(record_restore_check(&record, at, &is, &back));
	assert_int_equal(back.slot_at, at - 3 * second);
}

static void test_what_is_known_of_an_endpoint_comes_back(void **state)
{
	struct endpoint_view was = { .spec = &endpoint_spec,
		.state = STATE_DEGRADED,
		.since = real - 5,
		.suspended = true };
	struct endpoint_view is = { .spec = &endpoint_spec };
	struct bucket limit = { .full_at = now + 3 * second }, back = { 0 };
	struct endpoint_spec moved = endpoint_spec;
	struct record record;

	(void)state;
	was.known = (struct evidence){ .first_seen = now - 3600 * second,
		.canary_at = now - 20 * second,
		.canary_good_for = 90 * second,
		.counters_at = now - 10 * second,
		.load_at = now - 10 * second,
		.load_good_for = 31 * second,
		.load = { .motion = LOAD_ADVANCING, .is_full = true },
		.was_up = true };
	record_endpoint(&record, &was, &limit, now);
	assert_true(record_restore_endpoint(&record, now, real, &is, &back));
	assert_int_equal(is.state, STATE_DEGRADED);
	assert_int_equal(is.since, real - 5);
	assert_true(is.suspended);
	assert_int_equal(back.full_at, limit.full_at);
	is.known.load_seen_at = 0;
	assert_memory_equal(&is.known, &was.known, sizeof is.known);
	/* of another server nothing is known but that its endpoint had a state */
	moved.host = "other:1";
	is = (struct endpoint_view){ .spec = &moved, .known = { .first_seen = 7 } };
	assert_true(record_restore_endpoint(&record, now, real, &is, &back));
	assert_int_equal(is.known.first_seen, 7);
	assert_int_equal(is.known.canary_at, 0);
	assert_int_equal(is.state, STATE_DEGRADED);
}

static void test_budget_that_began_before_the_boot_ends_when_it_should(void **state)
{
	const struct rate rate = { .count = 10, .per = 86400 * USEC_PER_SEC };
	struct spending was = { .tokens = { .from = now - 80000 * second, .used = 10 },
		.is_told = true,
		.doublings = 3 };
	struct spending is = { 0 };
	struct memory memory = { .at = { now, 0, now - second }, .value = { 1, 12345.5 } }, back;
	struct check_view check = { .spec = &spec, .spending = &was };
	/* Today's clock as a kernel shows it ten seconds after its boot. */
	const usec_t today = CLOCK_HEAD_START + 10 * USEC_PER_SEC;
	struct record record;

	(void)state;
	record_extra(&record, &check, &memory, now);
	assert_true(record_restore_extra(&record, today, &is, &back));
	assert_true(is.is_told);
	assert_int_equal(is.doublings, 3);
	assert_false(budget_allows(&is.tokens, rate, 1, today + 6399 * second));
	assert_true(budget_allows(&is.tokens, rate, 1, today + 6401 * second));
	assert_int_equal(is.requests.from, 0);
	assert_int_equal(back.at[0], today);
	assert_int_equal(back.at[1], 0);
	assert_int_equal(back.at[2], today - second);
	assert_memory_equal(back.value, memory.value, sizeof back.value);
}

static void test_nonsense_is_refused(void **state)
{
	struct check_view check = { .spec = &spec }, untouched;
	struct record_pace pace = { .slot_at = now };
	struct record good, bad;

	(void)state;
	check.health = (struct health){ .level = 4, .degraded_level = 3, .since = real };
	record_check(&good, &check, &pace, now);
	check.health.since = 77;
	untouched = check;
	for (unsigned i = 0; i < 6; i++) { /* one wrong thing each */
		bad = good;
		bad.type = i == 0 ? RECORD_EXTRA : bad.type;
		bad.state = i == 1 ? STATE_SUSPENDED : bad.state;
		bad.more = i == 2 ? 0xff : bad.more;
		bad.check.reason = i == 3 ? 1 : bad.check.reason;
		bad.check.level = i == 4 ? UINT16_MAX : bad.check.level;
		bad.flags = i == 5 ? 0xf0 : bad.flags;
		assert_false(record_restore_check(&bad, now, &check, &pace));
		assert_memory_equal(&check, &untouched, sizeof check);
	}
	assert_true(record_restore_check(&good, now, &check, &pace));
}

static void test_check_without_evidence_keeps_its_place_and_begins_as_today(void **state)
{
	struct check_view was = { .spec = &spec, .suppressed = SUPPRESSED_NOT_READY }, is;
	struct record_pace pace = { .slot_at = now + second }, back;
	struct check_spec assumed = spec;
	struct health fresh;
	struct record record;

	(void)state;
	health_init(&was.health, &spec.health);
	was.health.flap_history = 5;
	record_check(&record, &was, &pace, now);
	assumed.health.init = HEALTH_INIT_DOWN;
	health_init(&fresh, &assumed.health);
	is = (struct check_view){ .spec = &assumed, .health = fresh };
	assert_true(record_restore_check(&record, now, &is, &back));
	fresh.flap_history = 5;
	assert_memory_equal(&is.health, &fresh, sizeof fresh);
	assert_int_equal(is.suppressed, SUPPRESSED_NOT_READY);
	assert_int_equal(back.slot_at, pace.slot_at);
}

static void test_keys_tell_apart_what_a_reload_would(void **state)
{
	const uint64_t key = record_key(RECORD_CHECK, &endpoint_spec, &spec);
	struct endpoint_spec moved = endpoint_spec;
	struct check_spec asks = spec, named = spec, slower = spec;

	(void)state;
	moved.host = "h:2";
	asks.identity_hash = 7;
	named.name = "ready";
	slower.interval *= 2;
	assert_int_not_equal(record_key(RECORD_EXTRA, &endpoint_spec, &spec), key);
	assert_int_not_equal(record_key(RECORD_CHECK, &moved, &spec), key);
	assert_int_not_equal(record_key(RECORD_CHECK, &endpoint_spec, &asks), key);
	assert_int_not_equal(record_key(RECORD_CHECK, &endpoint_spec, &named), key);
	assert_int_equal(record_key(RECORD_CHECK, &endpoint_spec, &slower), key);
}

/* ---- memory ---- */

enum {
	N = 5,
	SLOTS = LEDGER_FIRST + N
};

/* A record that says `value` of the i-th key. */
static struct record make(uint64_t i, uint64_t value)
{
	return (struct record){ .type = RECORD_CHECK, .key = i * 1000, .at = now - value };
}

static void fill(struct record slots[static SLOTS], uint64_t value)
{
	memset(slots, 0, SLOTS * sizeof *slots);
	ledger_format(slots);
	for (size_t i = 0; i < N; i++) {
		struct record record = make(i + 1, value);

		ledger_put(slots, &slots[LEDGER_FIRST + i], &record);
	}
	ledger_commit(slots, LEDGER_FIRST, N);
}

static int read_memory(const struct record *slots, struct ledger_image *ret_image)
{
	const char *problem;

	return ledger_read(
		slots, SLOTS * sizeof *slots, LEDGER_MEMORY, now, real, ret_image, &problem);
}

/* Killed after any byte of the copy to the one place or to the other: no record is missing, and
 * the one in hand is as it was or as it was to be. */
static void test_killed_at_any_byte_of_a_write_no_record_is_lost(void **state)
{
	struct record before[SLOTS], after[SLOTS], torn[SLOTS];
	struct record fresh = make(3, 2);
	const size_t slot = LEDGER_FIRST + 2;

	(void)state;
	fill(before, 1);
	memcpy(after, before, sizeof after);
	ledger_put(after, &after[slot], &fresh);
	for (size_t byte = 0; byte <= 2 * RECORD_SIZE; byte++) {
		struct ledger_image image;
		const struct record *found;
		size_t first = min_of(byte, (size_t)RECORD_SIZE);

		memcpy(torn, before, sizeof torn);
		memcpy(&torn[LEDGER_REDO], &after[LEDGER_REDO], first);
		memcpy(&torn[slot], &after[slot], byte - first);
		assert_int_equal(read_memory(torn, &image), 0);
		assert_int_equal(image.n, N);
		assert_int_equal(image.n_broken, 0);
		found = ledger_find(&image, 3000);
		assert_non_null(found);
		assert_true(found->at == now - 1 || found->at == now - 2);
		assert_true(byte > 0 || found->at == now - 1);
		assert_true(byte < RECORD_SIZE || found->at == now - 2);
		ledger_image_fini(&image);
	}
}

static void test_broken_record_costs_itself_alone(void **state)
{
	struct record slots[SLOTS];
	struct ledger_image image;

	(void)state;
	for (size_t bit = 0; bit < RECORD_SIZE * 8; bit++) {
		fill(slots, 1);
		((uint8_t *)&slots[LEDGER_FIRST + 1])[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(read_memory(slots, &image), 0);
		assert_int_equal(image.n, N - 1);
		assert_int_equal(image.n_broken, 1);
		assert_null(ledger_find(&image, 2000));
		ledger_image_fini(&image);
	}
}

static void test_new_area_never_touches_the_live_one(void **state)
{
	struct record slots[LEDGER_FIRST];
	size_t first = 0, n = 0, most = 0;
	struct rand rand;

	(void)state;
	rand_seed(&rand, 5);
	memset(slots, 0, sizeof slots);
	ledger_format(slots);
	for (unsigned i = 0; i < 10000; i++) {
		size_t wanted = rand_below(&rand, 1000);
		size_t at = ledger_free_area(slots, wanted);

		assert_true(at >= LEDGER_FIRST);
		assert_true(n == 0 || at + wanted <= first || at >= first + n);
		ledger_commit(slots, at, wanted);
		first = at;
		n = wanted;
		most = max_of(most, at + wanted);
	}
	assert_true(most < 3 * 1000);
}

/* ---- the file ---- */

static int read_file(const void *bytes, size_t len, usec_t at, struct ledger_image *ret_image)
{
	const char *problem = NULL;
	int r = ledger_read(bytes, len, LEDGER_FILE, now, at, ret_image, &problem);

	assert_int_equal(r == -EBADMSG, problem != NULL);
	return r;
}

static void test_file_holds_what_the_memory_held(void **state)
{
	struct record slots[SLOTS], *packed;
	struct ledger_image image;
	size_t len;

	(void)state;
	fill(slots, 1);
	slots[LEDGER_FIRST + 4] = (struct record){ 0 }; /* nothing was known of it */
	packed = ledger_pack(slots, now, real, &len);
	assert_non_null(packed);
	assert_int_equal(len, (SLOTS - 1) * RECORD_SIZE);
	assert_int_equal(read_file(packed, len, real, &image), 0);
	assert_int_equal(image.n, N - 1);
	assert_int_equal(image.n_broken, 0);
	for (uint64_t i = 1; i < N; i++)
		assert_int_equal(ledger_find(&image, i * 1000)->at, now - 1);
	ledger_image_fini(&image);
	free(packed);
}

/* C3: every length, and every bit. */
static void test_damage_of_a_file_is_seen_whatever_it_is(void **state)
{
	struct record slots[SLOTS], *packed;
	struct ledger_image image;
	uint8_t *copy;
	size_t len;

	(void)state;
	fill(slots, 1);
	packed = ledger_pack(slots, now, real, &len);
	assert_non_null(packed);
	for (size_t cut = 0; cut < len; cut++) {
		copy = malloc(
			cut + 1); /* exactly as long, so that a sanitizer sees any read beyond */
		assert_non_null(copy);
		memcpy(copy, packed, cut);
		assert_int_equal(read_file(copy, cut, real, &image), -EBADMSG);
		free(copy);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		((uint8_t *)packed)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(read_file(packed, len, real, &image), -EBADMSG);
		((uint8_t *)packed)[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(read_file(packed, len, real, &image), 0);
	ledger_image_fini(&image);
	free(packed);
}

static void test_wall_clock_tells_how_long_nothing_ran_and_is_not_trusted_with_more(void **state)
{
	static const struct {
		usec_t stepped, age; /* seconds of the wall clock; of a record that was 1 us old */
		bool is_back;
	} cases[] = {
		{ 60, 60, false },
		{ 0, 0, false },
		{ 3600, 0, true },
		{ 400ull * 86400, 365ull * 86400, false },
		{ 50ull * 365 * 86400, 0, true },
	};
	struct record slots[SLOTS], *packed;
	size_t len;

	(void)state;
	fill(slots, 1);
	/* another boot: its clock is far from ours */
	packed = ledger_pack(slots, now, real, &len);
	assert_non_null(packed);
	for (size_t i = 0; i < array_size(cases); i++) {
		usec_t step = cases[i].stepped * second;
		struct ledger_image image;

		assert_int_equal(read_file(packed, len,
					 cases[i].is_back ? real - step : real + step, &image),
			0);
		assert_int_equal(
			now - ledger_time(&image, &image.records[0]), cases[i].age * second + 1);
		assert_int_equal(ledger_age(&image, now), cases[i].age * second + 1);
		ledger_image_fini(&image);
	}
	free(packed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state_of_a_check_comes_back_as_it_was),
		cmocka_unit_test(test_streak_fits_a_rise_and_fall_that_changed_meanwhile),
		cmocka_unit_test(test_times_keep_their_distances_on_another_clock),
		cmocka_unit_test(test_what_is_known_of_an_endpoint_comes_back),
		cmocka_unit_test(test_budget_that_began_before_the_boot_ends_when_it_should),
		cmocka_unit_test(test_nonsense_is_refused),
		cmocka_unit_test(test_check_without_evidence_keeps_its_place_and_begins_as_today),
		cmocka_unit_test(test_keys_tell_apart_what_a_reload_would),
		cmocka_unit_test(test_killed_at_any_byte_of_a_write_no_record_is_lost),
		cmocka_unit_test(test_broken_record_costs_itself_alone),
		cmocka_unit_test(test_new_area_never_touches_the_live_one),
		cmocka_unit_test(test_file_holds_what_the_memory_held),
		cmocka_unit_test(test_damage_of_a_file_is_seen_whatever_it_is),
		cmocka_unit_test(
			test_wall_clock_tells_how_long_nothing_ran_and_is_not_trusted_with_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * What outlives the process. Each settled result writes the records of its check and its endpoint
 * into memory that the keeper brings: no system call, so that nothing is lost at whatever instant we
 * are killed. The next process reads them when it applies its first configuration: what that says
 * of a check must be what was said before, as in a reload, or the check begins afresh.
 *
 * Nothing is judged anew for the time in between: a state is what it was when it was written, until
 * a result of today says otherwise. So a restart tells no transition of its own.
 */
#include "private.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/core/verdict.h"

#include <string.h>

static bool has_extra(const struct check *check)
{
	return check->spending || check->memory;
}

/* ---- reading ---- */

void engine_recall(struct engine *engine, const struct ledger_image *image)
{
	engine->image = image;
	engine->self.state_dropped = image->n + image->n_broken;
}

static const struct record *find(const struct engine *engine, enum record_type type,
	const struct endpoint_spec *endpoint, const struct check_spec *check)
{
	return ledger_find(engine->image, record_key(type, endpoint, check));
}

static void recall_extra(struct engine *engine, struct check *check)
{
	const struct record *record =
		find(engine, RECORD_EXTRA, check->endpoint->view.spec, check->view.spec);

	if (record && record_restore_extra(record, ledger_time(engine->image, record),
			      check->spending, check->memory))
		engine->self.state_dropped--;
}

static bool recall_check(struct engine *engine, struct check *check)
{
	const struct record *record =
		find(engine, RECORD_CHECK, check->endpoint->view.spec, check->view.spec);
	usec_t at = record ? ledger_time(engine->image, record) : 0;
	struct record_pace pace;

	if (!record || !record_restore_check(record, at, &check->view, &pace))
		return false;
	check->slot_at = pace.slot_at;
	check->not_before = pace.not_before;
	check->t0 = at; /* about */
	gate_recall(engine, check, &pace);
	if (has_extra(check))
		recall_extra(engine, check);
	engine->self.state_dropped--;
	engine->self.state_restored++;
	return true;
}

/* Its state as of then; what was true then must not become another for the mere time in between. */
static void compare(struct endpoint *endpoint, usec_t at)
{
	enum state was = endpoint->view.state;

	verdict_decide(&endpoint->view, at);
	endpoint->is_at_odds = endpoint->view.state != was;
	endpoint->view.state = was;
}

bool recall_endpoint(struct engine *engine, struct endpoint *endpoint)
{
	const struct timers *timers = engine->timers;
	struct endpoint_view *view = &endpoint->view;
	struct bucket *limit = &endpoint->limit.bucket;
	const struct record *record =
		engine->image ? find(engine, RECORD_ENDPOINT, view->spec, NULL) : NULL;
	size_t n = 0;
	usec_t at, age;

	if (!record)
		return false;
	at = ledger_time(engine->image, record);
	for (size_t i = 0; i < endpoint->n_checks; i++)
		n += recall_check(engine, endpoint->checks[i]) ? 1 : 0;
	age = min_of(timers->now - at, timers->real);
	/* A state without a check that it came from says nothing. */
	if (n == 0 || !record_restore_endpoint(record, at, timers->real - age, view, limit))
		return false;
	bucket_change(limit, view->spec->rate, timers->now);
	engine->self.state_dropped--;
	if (view->since == 0)
		return false; /* nothing was known of it yet */
	compare(endpoint, at);
	return true;
}

/* ---- writing ---- */

static void put(struct engine *engine, size_t slot, uint64_t key, struct record *record)
{
	record->key = key;
	ledger_put(engine->slots, &engine->slots[slot], record);
}

static void note_endpoint(struct engine *engine, const struct endpoint *endpoint)
{
	const struct endpoint_view *view = &endpoint->view;
	struct record record;

	record_endpoint(&record, view, &endpoint->limit.bucket, engine->timers->now);
	put(engine, endpoint->kept_at, record_key(RECORD_ENDPOINT, view->spec, NULL), &record);
}

static void note_check(struct engine *engine, const struct check *check)
{
	const struct endpoint_spec *endpoint = check->endpoint->view.spec;
	const struct check_spec *spec = check->view.spec;
	usec_t now = engine->timers->now;
	struct record_pace pace = { .not_before = check->not_before };
	struct record record;

	/* What is under way when we end is to be done again. */
	pace.slot_at = check->phase == CHECK_IDLE ? check->slot_at : check->planned;
	gate_fill_pace(check, &pace);
	record_check(&record, &check->view, &pace, now);
	put(engine, check->kept_at, record_key(RECORD_CHECK, endpoint, spec), &record);
	if (!has_extra(check))
		return;
	record_extra(&record, &check->view, check->memory, now);
	put(engine, check->kept_at + 1, record_key(RECORD_EXTRA, endpoint, spec), &record);
}

void recall_note(struct engine *engine, const struct check *check)
{
	if (!engine->slots)
		return;
	note_check(engine, check);
	note_endpoint(engine, check->endpoint);
}

/* Slots of one endpoint: its own, its checks', and those of what few of them have. */
static size_t count_slots(const struct endpoint *endpoint)
{
	size_t n = 1 + endpoint->n_checks;

	for (size_t i = 0; i < endpoint->n_checks; i++)
		n += has_extra(endpoint->checks[i]) ? 1 : 0;
	return n;
}

static size_t place_endpoint(struct engine *engine, struct endpoint *endpoint, size_t slot)
{
	endpoint->kept_at = (uint32_t)slot++;
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		struct check *check = endpoint->checks[i];

		check->kept_at = (uint32_t)slot;
		slot += has_extra(check) ? 2 : 1;
		note_check(engine, check);
	}
	note_endpoint(engine, endpoint);
	return slot;
}

/* The records of before stay what counts until all of the new ones are written. */
void recall_layout(struct engine *engine)
{
	const struct engine_keeper *keeper = &engine->setup.keeper;
	size_t n = 0, first, slot;
	int r;

	engine->image = NULL;
	engine->slots = NULL;
	if (!keeper->layout)
		return;
	for (size_t i = 0; i < engine->n_endpoints; i++)
		n += count_slots(engine->endpoints[i]);
	r = keeper->layout(keeper->ctx, n, &engine->slots, &first);
	if (r < 0) {
		engine->self.state_failures_total++;
		log_printf(LOG_LEVEL_WARNING, MSG_STATE_NOT_KEPT,
			"no memory for the states of %zu endpoints (%s); after a restart all of "
			"them begin afresh, unless a reload before finds room",
			engine->n_endpoints, strerror(-r));
		return;
	}
	slot = first;
	for (size_t i = 0; i < engine->n_endpoints; i++)
		slot = place_endpoint(engine, engine->endpoints[i], slot);
	keeper->commit(keeper->ctx, first, n);
}

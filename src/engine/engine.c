/* SPDX-License-Identifier: MIT */
/*
 * The life of a check, in the order in which it happens:
 *
 *   slot timer -> in line -> start -> (the kind works) -> done -> settle
 *                    ^                                             |
 *                    +------------- backoff <----- transient? -----+
 *
 * A kind's done() only queues the settling, so the engine never runs inside a callback of a
 * library and may free, start or cancel whatever it wants.
 */
#include "private.h"

#include "modelhealth/base/messages.h"
#include "modelhealth/core/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A kind that is still not done this long after its own deadline never will be. */
static const usec_t net_slack = USEC_PER_SEC;

int engine_new(const struct engine_setup *setup, struct engine **ret_engine)
{
	struct engine *engine = calloc(1, sizeof *engine);

	if (!engine)
		return -ENOMEM;
	engine->setup = *setup;
	engine->timers = setup->timers;
	engine->self.started_at = setup->timers->real;
	engine->self.reload_ok = true;
	rand_seed(&engine->rand, setup->seed);
	TAILQ_INIT(&engine->ready);
	*ret_engine = engine;
	return 0;
}

void engine_stop(struct engine *engine)
{
	engine->stopped = true;
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		struct endpoint *endpoint = engine->endpoints[i];

		for (size_t j = 0; j < endpoint->n_checks; j++) {
			engine_abandon(engine, endpoint->checks[j]);
			timer_cancel(engine->timers, &endpoint->checks[j]->slot);
			endpoint->checks[j]->view.next_at = 0;
		}
	}
}

void engine_log(const struct check *check, enum log_level level, const char *message_id,
	const char *format, ...)
{
	const struct check_spec *spec = check->view.spec;
	_cleanup_(sbuf_fini) struct sbuf message = { .limit = 512 };
	va_list args;

	if (!log_is_wanted(level))
		return;
	sbuf_printf(&message, "endpoint %s: ", spec->endpoint->name);
	va_start(args, format);
	sbuf_vprintf(&message, format, args);
	va_end(args);
	log_write(&(struct log_record){
		.level = level,
		.message_id = message_id,
		.message = sbuf_str(&message),
		.fields =
			(const struct log_field[]){
				{ "ENDPOINT", spec->endpoint->name },
				{ "CHECK", spec->name },
			},
		.n_fields = 2,
	});
}

/* ---- one attempt ---- */

static void on_probe_done(struct probe *probe);

int engine_reserve_flights(struct engine *engine, size_t n)
{
	for (; engine->n_flights < n; engine->n_flights++) {
		struct flight *flight = calloc(1, sizeof *flight);

		if (!flight)
			return -ENOMEM;
		flight->probe.io = engine->setup.io;
		flight->probe.done = on_probe_done;
		SLIST_INSERT_HEAD(&engine->idle_flights, flight, idle_link);
	}
	return 0;
}

static struct flight *take_flight(struct engine *engine, struct check *check)
{
	struct flight *flight = SLIST_FIRST(&engine->idle_flights);

	must(flight); /* there are as many as slots */
	SLIST_REMOVE_HEAD(&engine->idle_flights, idle_link);
	flight->check = check;
	flight->probe.spec = check->view.spec;
	flight->probe.priv = check->priv;
	flight->probe.memory = check->memory;
	flight->probe.t0 = check->t0;
	flight->probe.result =
		(struct result){ .reason = REASON_INTERNAL, .verdict = VERDICT_UNKNOWN };
	return flight;
}

static void give_flight_back(struct engine *engine, struct check *check)
{
	struct flight *flight = take_ptr(check->flight);

	check->priv = flight->probe.priv;
	SLIST_INSERT_HEAD(&engine->idle_flights, flight, idle_link);
}

void engine_fini_probe(struct engine *engine, struct check *check)
{
	struct probe probe = {
		.spec = check->view.spec,
		.io = engine->setup.io,
		.priv = take_ptr(check->priv),
	};

	if (probe.priv && probe.spec->kind->fini)
		probe.spec->kind->fini(&probe);
}

void engine_start_attempt(struct engine *engine, struct check *check)
{
	const struct check_spec *spec = check->view.spec;

	check->phase = CHECK_RUNNING;
	check->tries++;
	check->view.in_flight = true;
	check->view.attempts = (uint16_t)check->tries;
	check->view.started_total++;
	check->running_config = config_ref(engine->config);
	check->view.suppressed = SUPPRESSED_NOT;
	check->t0 = engine->timers->now;
	check->flight = take_flight(engine, check);
	must(timer_set(engine->timers, &check->attempt,
		     check->t0 + spec->timeout.total + net_slack) == 0);
	if (is_inference(check))
		recall_note(engine, check); /* the server may be at it when we are gone */
	spec->kind->start(&check->flight->probe);
}

static void on_probe_done(struct probe *probe)
{
	struct check *check = container_of(probe, struct flight, probe)->check;

	must(check->magic == CHECK_MAGIC);
	must(check->phase == CHECK_RUNNING);
	check->phase = CHECK_DONE;
	timer_cancel(check_engine(check)->timers, &check->attempt);
	task_defer(check_engine(check)->timers, &check->settle);
}

/* Common end of an attempt, with or without a result: it gives its slot back. */
static void end_attempt(struct engine *engine, struct check *check)
{
	give_flight_back(engine, check);
	check->running_config = config_unref(check->running_config);
	check->phase = CHECK_IDLE;
	schedule_release(engine, check);
}

static void end_run(struct check *check)
{
	check->tries = 0;
	check->waited = 0;
	check->view.in_flight = false;
}

void engine_abandon(struct engine *engine, struct check *check)
{
	switch (check->phase) {
	case CHECK_IDLE:
		break;
	case CHECK_QUEUED:
		schedule_dequeue(engine, check);
		break;
	case CHECK_RUNNING:
		check->flight->probe.spec->kind->cancel(&check->flight->probe);
		timer_cancel(engine->timers, &check->attempt);
		if (is_inference(check))
			gate_note_abandoned(engine, check);
		end_attempt(engine, check);
		break;
	case CHECK_DONE:
		task_cancel(engine->timers, &check->settle);
		end_attempt(engine, check);
		break;
	case CHECK_BACKOFF:
		timer_cancel(engine->timers, &check->attempt);
		check->phase = CHECK_IDLE;
		break;
	}
	end_run(check);
	check->asked = ASKED_NOT;
}

/* The net under a kind that broke its promise to end: our bug, said loudly, not the target's. */
static void settle_lost(struct engine *engine, struct check *check)
{
	struct probe *probe = &check->flight->probe;
	const struct check_spec *spec = probe->spec;

	engine->self.checks_lost_total++;
	engine_log(check, LOG_LEVEL_ERR, MSG_CHECK_LOST,
		"bug: check %s did not end by its own deadline; cancelled and counted as unknown",
		spec->name);
	spec->kind->cancel(probe);
	result_set(&probe->result, REASON_INTERNAL, "check did not end by its deadline");
	probe->result.is_abandoned = is_inference(check);
	on_probe_done(probe);
}

/* When the deadline passed while this process stood still, the kind hears of it only now. */
static void on_net(struct engine *engine, struct check *check)
{
	const struct timers *timers = engine->timers;

	if (check->attempt.at <= timers->paused_until)
		must(timer_set(engine->timers, &check->attempt, timers->now + net_slack) == 0);
	else
		settle_lost(engine, check);
}

void engine_on_attempt_timer(struct timer *timer)
{
	struct check *check = container_of(timer, struct check, attempt);
	struct engine *engine = check_engine(check);

	must(check->magic == CHECK_MAGIC);
	if (check->phase == CHECK_QUEUED) {
		schedule_on_turn(engine, check);
	} else if (check->phase == CHECK_RUNNING) {
		on_net(engine, check);
	} else {
		must(check->phase == CHECK_BACKOFF);
		check->phase = CHECK_IDLE;
		schedule_enqueue(engine, check);
	}
}

/* ---- settling ---- */

/* Exponential with full jitter and a cap. */
static usec_t backoff(struct engine *engine, const struct retry *retry, unsigned tries)
{
	unsigned doublings = min_of(tries - 1, 20u);
	usec_t ceiling = min_of(retry->backoff << doublings, retry->max_backoff);

	return rand_below(&engine->rand, ceiling + 1);
}

/* An inference that reached its server is not repeated: the server may still be at it, and if it is
 * busy, one more makes it busier. */
static bool may_be_repeated(const struct check *check, const struct result *result)
{
	return reason_desc(result->reason)->transient &&
	       (!is_inference(check) || evidence_is_unreachable(result));
}

/* Another try, if the reason deserves one and it still belongs to this slot. */
static bool retry(struct engine *engine, struct check *check, const struct result *result)
{
	const struct retry *conf = &check->view.spec->retry;
	usec_t at;

	if (!may_be_repeated(check, result) || check->tries > conf->attempts)
		return false;
	at = engine->timers->now +
	     max_of(backoff(engine, conf, check->tries), gate_patience(result));
	if (timer_is_set(&check->slot) && at >= check->slot.at)
		return false;
	check->phase = CHECK_BACKOFF;
	check->view.retries_total++;
	must(timer_set(engine->timers, &check->attempt, at) == 0);
	return true;
}

/* What was timed while this process stood still says nothing about the target: no deadline and no
 * latency. A good answer is one all the same. */
static bool excuse_pause(
	const struct engine *engine, const struct check *check, struct result *result)
{
	if (check->t0 >= engine->timers->paused_until)
		return false;
	result->timed = 0;
	if (result->verdict != VERDICT_UP && result->verdict != VERDICT_UNKNOWN)
		result_set(result, REASON_STALE, "modelhealthd itself was paused (%s)",
			reason_token(result->reason));
	return true;
}

/* A good answer can still be one too many slow ones. The result itself counts in its window. */
static void judge_window(struct check *check, struct result *result)
{
	const struct latency_limit *limit = &check->view.spec->window_latency;
	enum verdict verdict;
	usec_t latency;

	if (result->verdict != VERDICT_UP || limit->percentile == 0)
		return;
	if (!window_percentile(&check->view.window, limit->percentile, limit->last, &latency))
		return;
	if (limit->down != 0 && latency > limit->down)
		verdict = VERDICT_DOWN;
	else if (limit->degraded != 0 && latency > limit->degraded)
		verdict = VERDICT_DEGRADED;
	else
		return;
	result_set(result, REASON_SLOW, "p%u of the last results is %.3f s", limit->percentile,
		(double)latency / USEC_PER_SEC);
	result->verdict = verdict;
}

/* Few checks ask a model, so that the others do not carry its numbers. Without memory they are not
 * kept; the next answer tries again. */
static void record_tokens(struct check_view *view, const struct result *result)
{
	const struct tokens *tokens = &result->tokens;

	if (tokens->source == TOKENS_NONE)
		return;
	if (!view->tokens)
		view->tokens = calloc(1, sizeof *view->tokens);
	if (!view->tokens)
		return;
	view->tokens->prompt_total += tokens->prompt;
	view->tokens->completion_total += tokens->completion;
	if (result_has_timing(result, TIMING_FIRST_TOKEN))
		histogram_add(&view->tokens->first_token, result->timing[TIMING_FIRST_TOKEN]);
	if (tokens->gaps > 0)
		histogram_add(&view->tokens->inter_token, tokens->gap_mean);
}

static void record(struct check *check, const struct result *result)
{
	struct check_view *view = &check->view;

	view->last = *result;
	view->has_last = true;
	tally_add(&view->results, result->reason);
	if (result_has_timing(result, TIMING_TOTAL))
		histogram_add(&view->total, result->timing[TIMING_TOTAL]);
	if (result_has_timing(result, TIMING_FIRST_BYTE))
		histogram_add(&view->first_byte, result->timing[TIMING_FIRST_BYTE]);
	record_tokens(view, result);
}

static void tell_flapping(const struct check *check, unsigned events)
{
	const char *name = check->view.spec->name;

	if (events & HEALTH_FLAPPING_STARTED)
		engine_log(check, LOG_LEVEL_NOTICE, MSG_FLAPPING_STARTED,
			"check %s keeps changing its answer (flapping); its alerts are held until "
			"it settles",
			name);
	if (events & HEALTH_FLAPPING_STOPPED)
		engine_log(check, LOG_LEVEL_NOTICE, MSG_FLAPPING_STOPPED,
			"check %s has settled; no longer flapping", name);
}

void engine_end_round(struct engine *engine, struct check *check)
{
	if (!check->is_in_round)
		return;
	check->is_in_round = false;
	if (--engine->rounds_open == 0)
		engine->self.first_round_done = true;
}

/* Whether a result must not move any state; it is marked as what it is. */
static bool is_no_evidence(struct engine *engine, struct check *check, struct result *result)
{
	if (result->reason == REASON_SKIPPED_PROVEN)
		return false; /* nobody answered, but nobody was asked */
	if (!guard_note(engine, check, result))
		return gate_is_echo(engine, check, result);
	/* Once we are sure, it is shown as our own fault. */
	if (engine->self.offline) {
		result->reason = REASON_LOCAL_NETWORK;
		result->verdict = reason_verdict(result->reason);
	}
	return true;
}

/* Moves the check's state and what is known of the endpoint; returns a set of enum health_event. */
static unsigned weigh(struct engine *engine, struct check *check, struct result *result)
{
	struct endpoint_view *endpoint = &check->endpoint->view;
	const struct host *host = check->endpoint->host;
	usec_t now = engine->timers->now;
	unsigned flags = 0;
	unsigned events;

	if (evidence_translate(&endpoint->known, endpoint->spec, result, now))
		flags |= EVIDENCE_TRANSLATED;
	evidence_excuse(check->view.spec, result);
	if (host->inference)
		flags |= EVIDENCE_IS_ASKING;
	if (host->inference || host->abandoned_at != 0)
		flags |= EVIDENCE_MAY_BE_OURS;
	if (host->tokens_at > endpoint->known.load_at)
		flags |= EVIDENCE_IS_OURS;
	window_push(&check->view.window, result);
	judge_window(check, result);
	events = health_step(
		&check->view.health, &check->view.spec->health, result, engine->timers->real);
	evidence_note(&endpoint->known, &check->view.trail, check->view.spec, result, flags, now);
	return events;
}

static void complete(struct engine *engine, struct check *check, struct result *result)
{
	unsigned events = HEALTH_STEADY;
	usec_t now = engine->timers->real;

	result->at = now;
	result_set_timing(result, TIMING_QUEUE, check->waited);
	engine_end_round(engine, check);
	if (is_no_evidence(engine, check, result))
		window_push(&check->view.window, result);
	else
		events = weigh(engine, check, result);
	gate_note(engine, check, result);
	record(check, result);
	engine->self.checks_total++;
	engine->self.last_check_at = now;
	engine->settled_at = engine->timers->now;
	engine->snapshot.version++;
	tell_flapping(check, events);
	engine_judge(engine, check->endpoint, check);
	gate_wake(engine, check);
}

static void tell_result(const struct engine *engine, const struct check *check)
{
	trace_result(engine, check);
	if (engine->setup.on_result)
		engine->setup.on_result(engine->setup.ctx, &check->endpoint->view, &check->view);
}

void engine_skip(struct engine *engine, struct check *check)
{
	struct result result = { 0 };

	result_set(&result, REASON_SKIPPED_PROVEN,
		"not asked: the server's own counters show that it produces tokens");
	complete(engine, check, &result);
	end_run(check);
	recall_note(engine, check);
	tell_result(engine, check);
	engine_end_asked(engine, check);
}

void engine_on_settle(struct task *task)
{
	struct check *check = container_of(task, struct check, settle);
	struct engine *engine = check_engine(check);
	struct result result;

	must(check->magic == CHECK_MAGIC);
	must(check->phase == CHECK_DONE);
	result = check->flight->probe.result;
	result.attempts = (uint16_t)check->tries;
	end_attempt(engine, check);
	if (!excuse_pause(engine, check, &result) && !result_has_timing(&result, TIMING_TOTAL))
		result_set_timing(&result, TIMING_TOTAL, engine->timers->now - check->t0);
	if (retry(engine, check, &result)) {
		trace_retry(engine, check, &result);
	} else {
		complete(engine, check, &result);
		end_run(check);
		check->not_before = engine->timers->now + gate_patience(&result);
		gate_delay(engine, check, &result);
		schedule_next(engine, check);
		recall_note(engine, check);
		tell_result(engine, check);
		engine_end_asked(engine, check);
	}
	schedule_pump(engine);
}

/* ---- the endpoint ---- */

static void tell_transition(const struct engine *engine, const struct transition *transition)
{
	const struct output *const *outputs = engine->setup.outputs;

	for (; outputs && *outputs; outputs++)
		if ((*outputs)->on_transition)
			(*outputs)->on_transition(transition);
}

/* The first evidence may say what was assumed. But why we cannot tell, as with a key that is refused
 * from the start, nobody knew before. */
static bool is_news(const struct endpoint_view *view, enum state from, enum reason before)
{
	return view->state != from ||
	       (view->state == STATE_UNKNOWN && before == REASON_NEVER_CHECKED &&
		       view->reason != REASON_NEVER_CHECKED);
}

void engine_judge(struct engine *engine, struct endpoint *endpoint, const struct check *check)
{
	struct endpoint_view *view = &endpoint->view;
	enum state from = view->state;
	enum reason before = view->reason;
	usec_t since = view->since;
	usec_t at = engine->timers->real;
	const struct check_view *by;
	struct transition transition;

	verdict_decide(view, engine->timers->now);
	engine->snapshot.n_state[from]--;
	engine->snapshot.n_state[view->state]++;
	if (view->state != from || since == 0)
		view->since = at;
	if (!is_news(view, from, before))
		return;
	by = check && view->decided_by ? view->decided_by : NULL;
	transition = (struct transition){
		.endpoint = view,
		.from = from,
		.to = view->state,
		.why = by && by->has_last ? &by->last : NULL,
		.check = by,
		.at = at,
		.lasted = since != 0 && at > since ? at - since : 0,
		.first = since == 0,
	};
	tell_transition(engine, &transition);
}

/* ---- for others to see ---- */

void engine_note_reload(struct engine *engine, const char *error)
{
	struct self_view *self = &engine->self;

	self->reloads_total++;
	self->reload_ok = !error;
	self->reload_at = engine->timers->real;
	self->reload_failures_total += error ? 1 : 0;
	free(engine->reload_error);
	engine->reload_error = error ? strdup(error) : NULL;
	self->reload_error = engine->reload_error;
	engine->snapshot.version++;
}

const struct snapshot *engine_snapshot(struct engine *engine)
{
	engine->snapshot.now = engine->timers->real;
	return &engine->snapshot;
}

struct self_view *engine_self(struct engine *engine)
{
	return &engine->self;
}

const struct engine_diff *engine_last_diff(const struct engine *engine)
{
	return &engine->diff;
}

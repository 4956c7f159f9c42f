/* SPDX-License-Identifier: MIT */
/*
 * When checks start. A slot timer per check keeps a grid that never drifts. A due check waits in
 * its host's line; hosts with something to start form a ring that is served round robin, one check
 * a turn, so that one slow host cannot keep the others waiting. A check starts when the global,
 * the host's and the rate limits all agree.
 */
#include "private.h"

#include "modelhealth/core/cadence.h"

/* A slot that fires this much late means that the process was stopped or starved. What piled up is
 * spread over as much time as was lost, instead of starting at once. */
static const usec_t pile_up = USEC_PER_SEC;

/* Over how much time that is spread which news of a server sets off. */
static const usec_t soon = USEC_PER_SEC;

static void arm(struct engine *engine, struct check *check, usec_t at)
{
	/* Capacity was reserved by engine_apply. */
	must(timer_set(engine->timers, &check->slot, at) == 0);
	check->view.next_at = engine->timers->real + (at - engine->timers->now);
}

/* Jitter moves the start, never the grid: what is planned next counts from `planned`. */
static void arm_slot(struct engine *engine, struct check *check, usec_t planned)
{
	const struct timers *timers = engine->timers;
	usec_t jitter = check->view.spec->jitter;
	usec_t earliest = planned - min_of(planned, jitter);
	usec_t at = max_of(earliest + rand_below(&engine->rand, 2 * jitter + 1), timers->now);

	check->slot_at = planned;
	check->is_spread = false;
	arm(engine, check, at);
}

static void schedule_first(struct engine *engine, struct check *check)
{
	usec_t now = engine->timers->now;

	check->anchor = cadence_anchor(check->view.spec, now);
	check->planned = cadence_first(check->view.spec, now);
	if (!engine->setup.on_demand_only)
		arm_slot(engine, check, check->planned);
}

/* Whether an earlier process left it a slot that makes sense with the intervals of today. */
static bool has_slot(const struct engine *engine, const struct check *check)
{
	const struct check_spec *spec = check->view.spec;
	usec_t latest = engine->timers->now + max_of(spec->interval, spec->down_interval);

	return check->slot_at != 0 &&
	       check->slot_at <= max_of(latest, check->not_before + spec->jitter);
}

bool schedule_begin(struct engine *engine, struct check *check)
{
	usec_t now = engine->timers->now;

	if (engine->setup.on_demand_only || !has_slot(engine, check)) {
		schedule_first(engine, check);
		return false;
	}
	check->anchor = check->planned = check->slot_at;
	arm_slot(engine, check, cadence_resume(check->view.spec, check->anchor, now));
	return cadence_is_near(check->view.spec, check->anchor, now);
}

void schedule_next(struct engine *engine, struct check *check)
{
	const struct check_spec *spec = check->view.spec;
	usec_t interval = cadence_interval(spec, &check->view.health);
	usec_t at =
		cadence_next(spec, check->anchor, check->planned, interval, engine->timers->now);

	if (engine->setup.on_demand_only)
		return;
	if (at < check->not_before)
		at = check->not_before + spec->jitter;
	arm_slot(engine, check, at);
}

void schedule_changed(struct engine *engine, struct check *check)
{
	check->anchor = cadence_anchor(check->view.spec, check->planned);
	/* Its first start is near whatever the interval; moved by each reload it might never come. */
	if (check->phase == CHECK_IDLE && check->view.started_total > 0)
		schedule_next(engine, check);
}

static bool deserves_urgency(const struct check *check)
{
	const struct health *health = &check->view.health;

	return !health->decided ||
	       (health->level < check->view.spec->health.rise && health->good > 0);
}

static void make_ready(struct engine *engine, struct host *host)
{
	if (host->is_ready)
		return;
	TAILQ_INSERT_TAIL(&engine->ready, host, ready_link);
	host->is_ready = true;
}

static void make_unready(struct engine *engine, struct host *host)
{
	if (!host->is_ready)
		return;
	TAILQ_REMOVE(&engine->ready, host, ready_link);
	host->is_ready = false;
}

static bool has_waiting(const struct host *host)
{
	return !TAILQ_EMPTY(&host->urgent) || !TAILQ_EMPTY(&host->normal);
}

static struct check_queue *line_of(const struct check *check)
{
	struct host *host = check->endpoint->host;

	return check->is_urgent ? &host->urgent : &host->normal;
}

/* Lines are in the order of age: who comes new is last at once, who comes back from waiting for a
 * token is among the first. */
static void enter_line(struct engine *engine, struct check *check)
{
	struct check_queue *line = line_of(check);
	struct check *last = TAILQ_LAST(line, check_queue);
	struct check *other = TAILQ_FIRST(line);

	if (!last || last->queued_at <= check->queued_at) {
		TAILQ_INSERT_TAIL(line, check, queue_link);
	} else {
		while (other->queued_at <= check->queued_at)
			other = TAILQ_NEXT(other, queue_link);
		TAILQ_INSERT_BEFORE(other, check, queue_link);
	}
	make_ready(engine, check->endpoint->host);
}

static void park(struct check *check)
{
	struct host *host = check->endpoint->host;

	TAILQ_REMOVE(line_of(check), check, queue_link);
	TAILQ_INSERT_TAIL(&host->parked, check, queue_link);
	check->is_parked = true;
}

/* All of them: whom another gate stops must not stop those behind him. */
static void unpark(struct engine *engine, struct host *host)
{
	struct check *check;

	while ((check = TAILQ_FIRST(&host->parked))) {
		TAILQ_REMOVE(&host->parked, check, queue_link);
		check->is_parked = false;
		enter_line(engine, check);
	}
}

static void stop_waiting(struct engine *engine, struct check *check)
{
	timer_cancel(engine->timers, &check->attempt);
	check->waits_for->waiting--;
	check->waits_for = NULL;
}

void schedule_enqueue(struct engine *engine, struct check *check)
{
	must(check->phase == CHECK_IDLE);
	check->phase = CHECK_QUEUED;
	check->queued_at = engine->timers->now;
	check->is_urgent = deserves_urgency(check);
	check->had_turn = false;
	engine->self.queued++;
	enter_line(engine, check);
	schedule_pump(engine);
}

void schedule_dequeue(struct engine *engine, struct check *check)
{
	must(check->phase == CHECK_QUEUED);
	if (check->waits_for)
		stop_waiting(engine, check);
	else
		TAILQ_REMOVE(check->is_parked ? &check->endpoint->host->parked : line_of(check),
			check, queue_link);
	check->is_parked = false;
	engine->self.queued--;
	check->waited += engine->timers->now - check->queued_at;
	check->phase = CHECK_IDLE;
}

/* What inferences wait for has happened: another one ended, or counters were read. */
static void note_end(struct engine *engine, struct check *check)
{
	if (is_inference(check) || check->view.spec->tier == TIER_LOAD)
		unpark(engine, check->endpoint->host);
}

void schedule_release(struct engine *engine, struct check *check)
{
	struct host *host = check->endpoint->host;

	host->running--;
	engine->self.in_flight--;
	if (host->inference == check)
		host->inference = NULL;
	note_end(engine, check);
	if (has_waiting(host))
		make_ready(engine, host);
}

/* Urgent checks have a head start of one interval, no more: under overload both lines move. */
static struct check *head_of_line(const struct host *host)
{
	struct check *urgent = TAILQ_FIRST(&host->urgent);
	struct check *normal = TAILQ_FIRST(&host->normal);

	if (!urgent || !normal)
		return urgent ? urgent : normal;
	return urgent->queued_at > normal->queued_at + normal->view.spec->interval ? normal
										   : urgent;
}

static bool holds(const struct limit *limit, const struct check *check, usec_t now)
{
	if (bucket_next(&limit->bucket, now) > now)
		return true;
	return limit->waiting > 0 && !check->had_turn;
}

/* The limit of its endpoint or key that the check has to wait for; NULL = none. */
static struct limit *limit_of(const struct check *check, usec_t now)
{
	struct endpoint *endpoint = check->endpoint;

	if (holds(&endpoint->limit, check, now))
		return &endpoint->limit;
	return endpoint->key && holds(&endpoint->key->limit, check, now) ? &endpoint->key->limit
									 : NULL;
}

/* Everyone gets the time of a token of his own, in the order in which they came; who had his turn
 * and found the token gone stays first. */
static void wait_for(struct engine *engine, struct check *check, struct limit *limit)
{
	unsigned ahead = check->had_turn ? 0 : limit->waiting;

	TAILQ_REMOVE(line_of(check), check, queue_link);
	check->waits_for = limit;
	limit->waiting++;
	must(timer_set(engine->timers, &check->attempt,
		     bucket_after(&limit->bucket, engine->timers->now, ahead)) == 0);
}

void schedule_on_turn(struct engine *engine, struct check *check)
{
	stop_waiting(engine, check);
	check->had_turn = true;
	enter_line(engine, check);
	schedule_pump(engine);
}

static void take_tokens(const struct engine *engine, struct check *check)
{
	usec_t now = engine->timers->now;
	struct endpoint *endpoint = check->endpoint;

	must(bucket_take(&endpoint->limit.bucket, now));
	must(bucket_take(&endpoint->host->bucket, now));
	must(!endpoint->key || bucket_take(&endpoint->key->limit.bucket, now));
}

static void start(struct engine *engine, struct check *check)
{
	schedule_dequeue(engine, check);
	take_tokens(engine, check);
	check->endpoint->host->running++;
	if (is_inference(check))
		check->endpoint->host->inference = check;
	engine->self.in_flight++;
	engine_start_attempt(engine, check);
}

/* Whether the counters of the server have yet to be read for the first time, or for a second to
 * compare: it may be full, and only they can tell. They are read at once, and never waited for
 * twice. Without a schedule they come by themselves or never. */
static bool awaits_counters(struct engine *engine, const struct check *check)
{
	const struct endpoint *endpoint = check->endpoint;
	const struct evidence *known = &endpoint->view.known;

	for (size_t i = 0; i < endpoint->n_checks; i++) {
		struct check *load = endpoint->checks[i];
		uint32_t n = load->view.results.total;

		if (load->view.spec->tier != TIER_LOAD || n > 1 ||
			(n == 1 &&
				(known->load_at == 0 || known->load.motion != LOAD_UNKNOWN_MOTION)))
			continue;
		schedule_soon(engine, load);
		if (load->phase != CHECK_IDLE || timer_is_set(&load->slot))
			return true;
	}
	return false;
}

/* Lets the gates look at a check that is about to start; true = that was it. */
static bool is_held(struct engine *engine, struct check *check)
{
	enum suppression why = gate_look(engine, check);

	if (why != SUPPRESSED_NOT) {
		schedule_dequeue(engine, check);
		gate_suppress(engine, check, why);
		note_end(engine, check);
	} else if (gate_is_proven(engine, check)) {
		schedule_dequeue(engine, check);
		engine_skip(engine, check);
	} else if (is_inference(check) &&
		   (check->endpoint->host->inference ||
			   (check->tries == 0 && awaits_counters(engine, check)))) {
		park(check);
	} else {
		return false;
	}
	return true;
}

/* Starts the host's next check, or sends it to wait for its token; false takes the host out of the
 * ring until a slot, a token of its own or another check brings it back. */
static bool serve(struct engine *engine, struct host *host)
{
	struct check *check = head_of_line(host);
	usec_t now = engine->timers->now;
	usec_t at = bucket_next(&host->bucket, now);
	struct limit *limit;

	if (!check || host->running >= host->per_host)
		return false;
	if (check->is_gated && is_held(engine, check))
		return true;
	if (at > now) {
		must(timer_set(engine->timers, &host->token, at) == 0);
		return false;
	}
	limit = limit_of(check, now);
	if (limit)
		wait_for(engine, check, limit);
	else
		start(engine, check);
	return true;
}

void schedule_pump(struct engine *engine)
{
	struct host *host;

	/* A kind may finish inside its start; what that frees is served by the loop below. */
	if (engine->pumping || engine->stopped)
		return;
	engine->pumping = true;
	while (engine->self.in_flight < engine->config->limits.concurrency &&
		(host = TAILQ_FIRST(&engine->ready))) {
		make_unready(engine, host);
		if (serve(engine, host))
			make_ready(engine, host);
	}
	engine->pumping = false;
}

void schedule_recall(struct engine *engine)
{
	for (size_t i = 0; i < engine->n_hosts; i++)
		unpark(engine, engine->hosts[i]);
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		struct endpoint *endpoint = engine->endpoints[i];

		for (size_t j = 0; j < endpoint->n_checks; j++) {
			struct check *check = endpoint->checks[j];

			if (!check->waits_for)
				continue;
			stop_waiting(engine, check);
			enter_line(engine, check);
		}
	}
}

void schedule_review(struct engine *engine)
{
	for (size_t i = 0; i < engine->n_hosts; i++) {
		timer_cancel(engine->timers, &engine->hosts[i]->token);
		if (has_waiting(engine->hosts[i]))
			make_ready(engine, engine->hosts[i]);
	}
	schedule_pump(engine);
}

void schedule_on_token(struct timer *timer)
{
	struct host *host = container_of(timer, struct host, token);

	make_ready(host->engine, host);
	schedule_pump(host->engine);
}

/* Over how much time a slot that passed should be spread; 0 = it may start at once. After a pause
 * all take the same time, for then they are as dense as they would have been. */
static usec_t spread_of(const struct engine *engine, const struct check *check, usec_t late)
{
	usec_t span = late > pile_up ? late : 0;

	if (check->is_spread)
		return 0; /* once: who is always late would never start */
	if (engine->timers->now - late <= engine->timers->paused_until)
		span = max_of(span, engine->timers->paused_for);
	return min_of(span, check->view.spec->interval);
}

static void note_lateness(struct engine *engine, usec_t late)
{
	histogram_add_fine(&engine->self.lateness, late);
	engine->self.lateness_max = max_of(engine->self.lateness_max, late);
}

void schedule_soon(struct engine *engine, struct check *check)
{
	usec_t at = engine->timers->now + rand_below(&engine->rand, soon);

	if (check->phase != CHECK_IDLE || !timer_is_set(&check->slot) || check->slot.at <= at ||
		at < check->not_before)
		return;
	check->slot_at = at;
	arm(engine, check, at);
}

void schedule_on_slot(struct timer *timer)
{
	struct check *check = container_of(timer, struct check, slot);
	struct engine *engine = check_engine(check);
	usec_t now = engine->timers->now;
	usec_t late = now - timer->at;
	usec_t span = spread_of(engine, check, late);

	must(check->magic == CHECK_MAGIC);
	note_lateness(engine, late);
	if (span > 0) {
		check->view.overruns_total++;
		check->is_spread = true;
		arm(engine, check, now + rand_below(&engine->rand, span));
		return;
	}
	if (check->phase != CHECK_IDLE) {
		check->view.overruns_total++;
		arm_slot(engine, check,
			cadence_next(check->view.spec, check->anchor, check->slot_at,
				check->view.spec->interval, now));
		return;
	}
	check->planned = check->slot_at;
	schedule_next(engine, check);
	schedule_enqueue(engine, check);
}

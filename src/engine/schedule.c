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

/* Jitter moves the start, never the grid: what is planned next counts from `planned`. */
static void arm_slot(struct engine *engine, struct check *check, usec_t planned)
{
	const struct timers *timers = engine->timers;
	usec_t jitter = check->view.spec->jitter;
	usec_t earliest = planned - min_of(planned, jitter);
	usec_t at = max_of(earliest + rand_below(&engine->rand, 2 * jitter + 1), timers->now);

	check->slot_at = planned;
	/* Capacity was reserved by engine_apply. */
	must(timer_set(engine->timers, &check->slot, at) == 0);
	check->view.next_at = timers->real + (at - timers->now);
}

void schedule_first(struct engine *engine, struct check *check)
{
	usec_t now = engine->timers->now;

	check->anchor = cadence_anchor(check->view.spec, now);
	check->planned = cadence_first(check->view.spec, now);
	if (engine->setup.on_demand_only)
		check->slot_at = USEC_NEVER; /* retries have all the time they want */
	else
		arm_slot(engine, check, check->planned);
}

void schedule_next(struct engine *engine, struct check *check)
{
	const struct check_spec *spec = check->view.spec;
	usec_t interval = cadence_interval(spec, &check->view.health);

	if (engine->setup.on_demand_only)
		return;
	arm_slot(engine, check,
		cadence_next(spec, check->anchor, check->planned, interval, engine->timers->now));
}

void schedule_changed(struct engine *engine, struct check *check)
{
	check->anchor = cadence_anchor(check->view.spec, check->planned);
	if (check->phase == CHECK_IDLE)
		schedule_next(engine, check);
}

void schedule_not_before(struct engine *engine, struct check *check, usec_t at)
{
	if (check->slot_at < at && !engine->setup.on_demand_only)
		arm_slot(engine, check, at);
}

static bool deserves_urgency(const struct check *check)
{
	const struct health *health = &check->view.health;

	return !health->decided || (health->state == STATE_DOWN && health->good > 0);
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

void schedule_enqueue(struct engine *engine, struct check *check)
{
	struct host *host = check->endpoint->host;

	must(check->phase == CHECK_IDLE);
	check->phase = CHECK_QUEUED;
	check->queued_at = engine->timers->now;
	check->is_urgent = deserves_urgency(check);
	if (check->is_urgent)
		TAILQ_INSERT_TAIL(&host->urgent, check, queue_link);
	else
		TAILQ_INSERT_TAIL(&host->normal, check, queue_link);
	engine->self.queued++;
	make_ready(engine, host);
	schedule_pump(engine);
}

void schedule_dequeue(struct engine *engine, struct check *check)
{
	struct host *host = check->endpoint->host;

	must(check->phase == CHECK_QUEUED);
	if (check->is_urgent)
		TAILQ_REMOVE(&host->urgent, check, queue_link);
	else
		TAILQ_REMOVE(&host->normal, check, queue_link);
	engine->self.queued--;
	check->waited += engine->timers->now - check->queued_at;
	check->phase = CHECK_IDLE;
}

void schedule_release(struct engine *engine, struct check *check)
{
	struct host *host = check->endpoint->host;

	host->running--;
	engine->self.in_flight--;
	if (!TAILQ_EMPTY(&host->urgent) || !TAILQ_EMPTY(&host->normal))
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

/* When every rate limit has a token for the check; at most now when all have one. */
static usec_t tokens_at(const struct engine *engine, const struct check *check)
{
	usec_t now = engine->timers->now;
	const struct endpoint *endpoint = check->endpoint;
	usec_t at = bucket_next(&endpoint->bucket, now);

	at = max_of(at, bucket_next(&endpoint->host->bucket, now));
	return endpoint->key ? max_of(at, bucket_next(&endpoint->key->bucket, now)) : at;
}

static void take_tokens(const struct engine *engine, struct check *check)
{
	usec_t now = engine->timers->now;
	struct endpoint *endpoint = check->endpoint;

	must(bucket_take(&endpoint->bucket, now));
	must(bucket_take(&endpoint->host->bucket, now));
	must(!endpoint->key || bucket_take(&endpoint->key->bucket, now));
}

static void start(struct engine *engine, struct check *check)
{
	schedule_dequeue(engine, check);
	take_tokens(engine, check);
	check->endpoint->host->running++;
	engine->self.in_flight++;
	engine_start_attempt(engine, check);
}

/* Starts the host's next check if it may; false takes the host out of the ring until a slot, a
 * token or a new check brings it back. */
static bool serve(struct engine *engine, struct host *host)
{
	struct check *check = head_of_line(host);
	usec_t at;

	if (!check || host->running >= engine->config->limits.per_host)
		return false;
	at = tokens_at(engine, check);
	if (at > engine->timers->now) {
		must(timer_set(engine->timers, &host->token, at) == 0);
		return false;
	}
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

void schedule_on_token(struct timer *timer)
{
	struct host *host = container_of(timer, struct host, token);

	make_ready(host->engine, host);
	schedule_pump(host->engine);
}

static void note_lateness(struct engine *engine, usec_t late)
{
	histogram_add_fine(&engine->self.lateness, late);
	engine->self.lateness_max = max_of(engine->self.lateness_max, late);
}

void schedule_on_slot(struct timer *timer)
{
	struct check *check = container_of(timer, struct check, slot);
	struct engine *engine = check_engine(check);
	usec_t now = engine->timers->now;
	usec_t late = now - timer->at;

	must(check->magic == CHECK_MAGIC);
	note_lateness(engine, late);
	if (late > pile_up) {
		check->view.overruns_total++;
		must(timer_set(engine->timers, timer,
			     now + rand_below(&engine->rand,
					   min_of(late, check->view.spec->interval))) == 0);
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

/* SPDX-License-Identifier: MIT */
/*
 * From one configuration to the next. First everything new is allocated, which may fail and then
 * changes nothing; then it is put in place, which cannot fail. A check lives on when its endpoint
 * and its own name are still there and it still asks the same thing (identity_hash): it keeps its
 * state, its schedule and even the attempt that is under way.
 */
#include "private.h"

#include "modelhealth/core/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Timers of others share the heap with ours: those of an attempt under way, and all the rest (the
 * status port, the resolver). */
enum {
	KIND_TIMERS = 2,
	FOREIGN_TIMERS = 4096
};

/* What will be live. Owned by apply until it is put in place. */
struct plan {
	struct config *config;
	struct endpoint **endpoints, **by_name;
	struct endpoint **old; /* of endpoints, by index: the one of that name so far, or NULL */
	struct endpoint_view **views;
	size_t n_endpoints;
	struct host **hosts;
	size_t n_hosts;
	struct key *keys;
	size_t n_keys;
	size_t n_checks;
};

/* ---- life and death of the parts ---- */

static struct check *check_free(struct engine *engine, struct check *check)
{
	if (!check)
		return NULL;
	engine_abandon(engine, check);
	timer_cancel(engine->timers, &check->slot);
	engine_fini_probe(engine, check);
	window_fini(&check->view.window);
	check->magic = 0;
	tally_fini(&check->view.results);
	free(check->view.tokens);
	free(check->spending);
	free(check->memory);
	free(check);
	return NULL;
}

/* Of one that never started: nothing to undo. */
static void check_drop(struct check *check)
{
	if (check) {
		free(check->spending);
		free(check->memory);
	}
	free(check);
}

static struct check *check_new(const struct check_spec *spec)
{
	struct check *check = calloc(1, sizeof *check);

	if (!check)
		return NULL;
	if (spec->cost.is_inference)
		check->spending = calloc(1, sizeof *check->spending);
	if (spec->kind->remembers)
		check->memory = calloc(1, sizeof *check->memory);
	if ((spec->cost.is_inference && !check->spending) ||
		(spec->kind->remembers && !check->memory)) {
		check_drop(check);
		return NULL;
	}
	check->view.spending = check->spending;
	check->magic = CHECK_MAGIC;
	check->view.spec = spec;
	check->slot.fn = schedule_on_slot;
	check->attempt.fn = engine_on_attempt_timer;
	check->settle.fn = engine_on_settle;
	health_init(&check->view.health, &spec->health);
	return check;
}

/* Frees the frame only; checks are freed or handed over by the caller. */
static void endpoint_free(struct endpoint *endpoint)
{
	if (!endpoint)
		return;
	free(endpoint->checks);
	free(endpoint->check_views);
	free(endpoint);
}

static struct endpoint *endpoint_new(const struct endpoint_spec *spec, usec_t now)
{
	struct endpoint *endpoint = calloc(1, sizeof *endpoint);

	if (!endpoint)
		return NULL;
	endpoint->n_checks = spec->n_checks;
	endpoint->checks = calloc(max_of(spec->n_checks, (size_t)1), sizeof(struct check *));
	endpoint->check_views =
		calloc(max_of(spec->n_checks, (size_t)1), sizeof(struct check_view *));
	if (!endpoint->checks || !endpoint->check_views) {
		endpoint_free(endpoint);
		return NULL;
	}
	endpoint->view = (struct endpoint_view){
		.spec = spec,
		.state = STATE_UNKNOWN,
		.reason = REASON_NEVER_CHECKED,
		.checks = endpoint->check_views,
		.n_checks = spec->n_checks,
		.known = { .first_seen = now },
	};
	endpoint->limit.bucket.rate = spec->rate;
	return endpoint;
}

static struct host *host_new(struct engine *engine, const char *name)
{
	struct host *host = calloc(1, sizeof *host);

	if (!host)
		return NULL;
	host->name = name;
	host->engine = engine;
	host->token.fn = schedule_on_token;
	TAILQ_INIT(&host->urgent);
	TAILQ_INIT(&host->normal);
	TAILQ_INIT(&host->parked);
	return host;
}

static void host_free(struct engine *engine, struct host *host)
{
	timer_cancel(engine->timers, &host->token);
	if (host->is_ready)
		TAILQ_REMOVE(&engine->ready, host, ready_link);
	free(host);
}

/* ---- looking things up ---- */

static int compare_endpoints(const void *a, const void *b)
{
	const struct endpoint *const *left = a;
	const struct endpoint *const *right = b;

	return strcmp((*left)->view.spec->name, (*right)->view.spec->name);
}

static int compare_hosts(const void *a, const void *b)
{
	const struct host *const *left = a;
	const struct host *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static int compare_names(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return strcmp(*left, *right);
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *left = a;
	const struct key *right = b;

	return (left->hash > right->hash) - (left->hash < right->hash);
}

static struct check *old_check(const struct endpoint *old, const struct check_spec *spec)
{
	for (size_t i = 0; old && i < old->n_checks; i++)
		if (strcmp(old->checks[i]->view.spec->name, spec->name) == 0)
			return old->checks[i];
	return NULL;
}

static struct host *find_host(struct host **hosts, size_t n, const char *name)
{
	struct host wanted = { .name = name };
	struct host *key = &wanted;
	struct host **found =
		n == 0 ? NULL : bsearch(&key, hosts, n, sizeof(struct host *), compare_hosts);

	return found ? *found : NULL;
}

static struct key *find_key(struct key *keys, size_t n, uint64_t hash)
{
	struct key wanted = { .hash = hash };

	return n == 0 ? NULL : bsearch(&wanted, keys, n, sizeof wanted, compare_keys);
}

static bool lives_on(const struct check *old, const struct check_spec *spec)
{
	return old && old->view.spec->identity_hash == spec->identity_hash &&
	       old->view.spec->kind == spec->kind &&
	       strcmp(old->view.spec->endpoint->host, spec->endpoint->host) == 0;
}

/* ---- planning: allocate all that is new ---- */

static int plan_endpoints(struct engine *engine, struct plan *plan)
{
	for (size_t i = 0; i < plan->config->n_endpoints; i++) {
		plan->endpoints[i] = endpoint_new(&plan->config->endpoints[i], engine->timers->now);
		if (!plan->endpoints[i])
			return -ENOMEM;
		plan->views[i] = &plan->endpoints[i]->view;
		plan->n_endpoints = i + 1;
	}
	for (size_t i = 0; i < plan->n_endpoints; i++)
		plan->by_name[i] =
			plan->endpoints[plan->config->by_name[i] - plan->config->endpoints];
	return 0;
}

/* Both are sorted by name, so one walk over both finds them all. */
static void match_endpoints(const struct engine *engine, struct plan *plan)
{
	size_t k = 0;

	for (size_t i = 0; i < plan->n_endpoints; i++) {
		struct endpoint *const *wanted = &plan->by_name[i];
		int order = -1;

		while (k < engine->n_endpoints &&
			(order = compare_endpoints(&engine->by_name[k], wanted)) < 0)
			k++;
		if (k < engine->n_endpoints && order == 0)
			plan->old[(*wanted)->view.spec - plan->config->endpoints] =
				engine->by_name[k];
	}
}

static int plan_checks(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_endpoints; i++) {
		struct endpoint *endpoint = plan->endpoints[i];
		const struct endpoint_spec *spec = endpoint->view.spec;

		for (size_t j = 0; j < spec->n_checks; j++) {
			if (lives_on(old_check(plan->old[i], &spec->checks[j]), &spec->checks[j]))
				continue; /* taken over when the plan is put in place */
			endpoint->checks[j] = check_new(&spec->checks[j]);
			if (!endpoint->checks[j])
				return -ENOMEM;
		}
		plan->n_checks += spec->n_checks;
	}
	return 0;
}

static int plan_hosts(struct engine *engine, struct plan *plan)
{
	size_t n = plan->n_endpoints, k = 0;
	_cleanup_(freep) const char **names = calloc(max_of(n, (size_t)1), sizeof *names);

	plan->hosts = calloc(max_of(n, (size_t)1), sizeof(struct host *));
	if (!names || !plan->hosts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		names[i] = plan->config->endpoints[i].host;
	qsort(names, n, sizeof *names, compare_names);
	for (size_t i = 0; i < n; i++) {
		struct host *host = NULL;
		int order = -1;

		if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
			continue;
		while (k < engine->n_hosts &&
			(order = strcmp(engine->hosts[k]->name, names[i])) < 0)
			k++;
		if (k < engine->n_hosts && order == 0)
			host = engine->hosts[k];
		else
			host = host_new(engine, names[i]);
		if (!host)
			return -ENOMEM;
		plan->hosts[plan->n_hosts++] = host;
	}
	return 0;
}

static int plan_keys(const struct engine *engine, struct plan *plan)
{
	size_t n = plan->n_endpoints;
	size_t used = 0;

	plan->keys = calloc(max_of(n, (size_t)1), sizeof *plan->keys);
	if (!plan->keys)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (plan->config->endpoints[i].key_hash != 0)
			plan->keys[used++].hash = plan->config->endpoints[i].key_hash;
	qsort(plan->keys, used, sizeof *plan->keys, compare_keys);
	for (size_t i = 0; i < used; i++) {
		const struct key *old = find_key(engine->keys, engine->n_keys, plan->keys[i].hash);

		if (plan->n_keys > 0 && plan->keys[plan->n_keys - 1].hash == plan->keys[i].hash)
			continue;
		plan->keys[plan->n_keys].hash = plan->keys[i].hash;
		if (old) {
			plan->keys[plan->n_keys].limit.bucket = old->limit.bucket;
			plan->keys[plan->n_keys].quiet_until = old->quiet_until;
		}
		bucket_change(&plan->keys[plan->n_keys++].limit.bucket,
			plan->config->limits.per_key_rate, engine->timers->now);
	}
	return 0;
}

static int plan_make(struct engine *engine, struct plan *plan)
{
	size_t in_flight;
	size_t n = max_of(plan->config->n_endpoints, (size_t)1);
	int r;

	plan->endpoints = calloc(n, sizeof(struct endpoint *));
	plan->old = calloc(n, sizeof(struct endpoint *));
	plan->by_name = calloc(n, sizeof(struct endpoint *));
	plan->views = calloc(n, sizeof(struct endpoint_view *));
	if (!plan->endpoints || !plan->old || !plan->by_name || !plan->views)
		return -ENOMEM;
	r = plan_endpoints(engine, plan);
	if (r < 0)
		return r;
	match_endpoints(engine, plan);
	r = plan_checks(plan);
	if (r == 0)
		r = plan_hosts(engine, plan);
	if (r == 0)
		r = plan_keys(engine, plan);
	if (r < 0)
		return r;
	in_flight = min_of((size_t)plan->config->limits.concurrency, plan->n_checks);
	r = engine_reserve_flights(engine, in_flight);
	if (r < 0)
		return r;
	return timers_reserve(engine->timers,
		2 * plan->n_checks + plan->n_hosts + KIND_TIMERS * in_flight + FOREIGN_TIMERS);
}

static void plan_drop(struct engine *engine, struct plan *plan)
{
	for (size_t i = 0; i < plan->n_endpoints; i++) {
		for (size_t j = 0; j < plan->endpoints[i]->n_checks; j++)
			check_drop(plan->endpoints[i]->checks[j]);
		endpoint_free(plan->endpoints[i]);
	}
	for (size_t i = 0; i < plan->n_hosts; i++)
		if (!find_host(engine->hosts, engine->n_hosts, plan->hosts[i]->name))
			free(plan->hosts[i]);
	free(plan->endpoints);
	free(plan->old);
	free(plan->by_name);
	free(plan->views);
	free(plan->hosts);
	free(plan->keys);
}

/* ---- putting the plan in place: nothing below can fail ---- */

/* A check alone that is no inference passes no gates: ten thousand of them should not pay. */
static bool is_gated(const struct endpoint *endpoint, const struct check_spec *spec)
{
	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (endpoint->view.spec->checks[i].tier < spec->tier)
			return true;
	return spec->cost.is_inference;
}

/* At the start all are new: that goes without saying. */
static void tell_change(const struct engine *engine, const struct check *check, const char *change)
{
	if (engine->config)
		engine_log(check, LOG_LEVEL_DEBUG, NULL, "check %s: %s", check->view.spec->name,
			change);
}

static void take_over(struct engine *engine, struct check *check, const struct check_spec *spec)
{
	const struct check_spec *old = check->view.spec;
	bool changed = old->content_hash != spec->content_hash;
	bool new_pace = old->interval != spec->interval ||
			old->fast_interval != spec->fast_interval ||
			old->down_interval != spec->down_interval;

	check->kept = true;
	check->view.spec = spec;
	if (changed) {
		engine->diff.updated++;
		tell_change(engine, check, "updated; its state and its schedule go on");
	} else {
		engine->diff.kept++;
	}
	if (memcmp(&old->health, &spec->health, sizeof old->health) != 0)
		health_rescale(&check->view.health, &old->health, &spec->health);
	if (new_pace)
		schedule_changed(engine, check);
}

static void install_endpoint(struct engine *engine, const struct plan *plan, size_t i)
{
	struct endpoint *endpoint = plan->endpoints[i], *old = plan->old[i];
	const struct endpoint_spec *spec = endpoint->view.spec;
	bool same_host = old && strcmp(old->view.spec->host, spec->host) == 0;

	endpoint->host = same_host ? old->host : find_host(plan->hosts, plan->n_hosts, spec->host);
	endpoint->key = find_key(plan->keys, plan->n_keys, spec->key_hash);
	if (old) {
		endpoint->view.state = old->view.state;
		endpoint->view.reason = old->view.reason;
		endpoint->view.since = old->view.since;
		endpoint->view.suspended = old->view.suspended;
		if (same_host)
			endpoint->view.known = old->view.known;
		endpoint->asked_at = old->asked_at;
		endpoint->limit.bucket = old->limit.bucket;
		bucket_change(&endpoint->limit.bucket, spec->rate, engine->timers->now);
	}
	for (size_t j = 0; j < endpoint->n_checks; j++) {
		struct check *kept = old_check(old, &spec->checks[j]);

		if (!endpoint->checks[j]) {
			must(kept);
			take_over(engine, kept, &spec->checks[j]);
			endpoint->checks[j] = kept;
		} else if (kept) {
			engine->diff.restarted++;
			tell_change(engine, endpoint->checks[j],
				"asks something else now and begins afresh");
		} else {
			engine->diff.added++;
			tell_change(engine, endpoint->checks[j], "added");
		}
		endpoint->checks[j]->endpoint = endpoint;
		endpoint->checks[j]->is_gated = is_gated(endpoint, &spec->checks[j]);
		endpoint->check_views[j] = &endpoint->checks[j]->view;
	}
}

static bool is_gone(const struct plan *plan, const struct endpoint *old, const struct check *check)
{
	struct endpoint **found = plan->n_endpoints == 0
					  ? NULL
					  : bsearch(&old, plan->by_name, plan->n_endpoints,
						    sizeof(struct endpoint *), compare_endpoints);

	if (!found)
		return true;
	for (size_t i = 0; i < (*found)->n_checks; i++)
		if (strcmp((*found)->view.spec->checks[i].name, check->view.spec->name) == 0)
			return false;
	return true;
}

/* What the new configuration has no place for ends here, whatever it was doing. */
static void retire_old(struct engine *engine, const struct plan *plan)
{
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		struct endpoint *old = engine->endpoints[i];

		for (size_t j = 0; j < old->n_checks; j++) {
			if (old->checks[j]->kept)
				continue;
			if (is_gone(plan, old, old->checks[j])) {
				engine->diff.removed++;
				tell_change(engine, old->checks[j], "removed");
			}
			check_free(engine, old->checks[j]);
		}
		endpoint_free(old);
	}
}

static void retire_hosts(struct engine *engine, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_hosts; i++)
		plan->hosts[i]->kept = true;
	for (size_t i = 0; i < engine->n_hosts; i++)
		if (!engine->hosts[i]->kept)
			host_free(engine, engine->hosts[i]);
	for (size_t i = 0; i < plan->n_hosts; i++)
		plan->hosts[i]->kept = false;
}

static void limit_hosts(const struct engine *engine, struct plan *plan)
{
	for (size_t i = 0; i < plan->n_hosts; i++) {
		plan->hosts[i]->per_host = 0;
		bucket_change(&plan->hosts[i]->bucket, plan->config->limits.per_host_rate,
			engine->timers->now);
	}
	for (size_t i = 0; i < plan->n_endpoints; i++) {
		const struct endpoint_spec *spec = plan->endpoints[i]->view.spec;
		struct host *host = plan->endpoints[i]->host;

		host->name = spec->host;
		/* Of several endpoints on one server the strictest knows it best. */
		if (spec->per_host != 0 && (host->per_host == 0 || spec->per_host < host->per_host))
			host->per_host = spec->per_host;
	}
	for (size_t i = 0; i < plan->n_hosts; i++)
		if (plan->hosts[i]->per_host == 0)
			plan->hosts[i]->per_host = plan->config->limits.per_host;
}

/* What an earlier process knew of late needs no first round. */
static void begin_check(struct engine *engine, struct check *check)
{
	if (!check->kept)
		check->is_in_round =
			!schedule_begin(engine, check) || check->view.health.since == 0;
	engine->rounds_open += check->is_in_round ? 1 : 0;
	check->kept = false;
}

/* Starts what is new and gives every endpoint the verdict of the checks that it has now. */
static void begin(struct engine *engine)
{
	engine->rounds_open = 0;
	memset(engine->snapshot.n_state, 0, sizeof engine->snapshot.n_state);
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		struct endpoint *endpoint = engine->endpoints[i];

		if (endpoint->view.since == 0 && !recall_endpoint(engine, endpoint))
			verdict_decide(
				&endpoint->view, engine->timers->now); /* what `init` assumes */
		engine->snapshot.n_state[endpoint->view.state]++;
		for (size_t j = 0; j < endpoint->n_checks; j++)
			begin_check(engine, endpoint->checks[j]);
	}
	for (size_t i = 0; i < engine->n_endpoints; i++)
		if (engine->endpoints[i]->view.since != 0 &&
			(!engine->image || engine->endpoints[i]->is_at_odds))
			engine_judge(engine, engine->endpoints[i], NULL);
	if (engine->rounds_open == 0)
		engine->self.first_round_done = true;
	engine->applied_at = engine->timers->now;
}

static void install(struct engine *engine, struct plan *plan)
{
	struct config *old_config = engine->config;

	engine->diff = (struct engine_diff){ 0 };
	schedule_recall(engine);
	for (size_t i = 0; i < plan->n_endpoints; i++)
		install_endpoint(engine, plan, i);
	retire_old(engine, plan);
	retire_hosts(engine, plan);
	limit_hosts(engine, plan);
	free(plan->old);
	free(engine->endpoints);
	free(engine->by_name);
	free(engine->endpoint_views);
	free(engine->hosts);
	free(engine->keys);
	engine->endpoints = plan->endpoints;
	engine->by_name = plan->by_name;
	engine->endpoint_views = plan->views;
	engine->n_endpoints = plan->n_endpoints;
	engine->hosts = plan->hosts;
	engine->n_hosts = plan->n_hosts;
	engine->keys = plan->keys;
	engine->n_keys = plan->n_keys;
	engine->config = config_ref(plan->config);
	engine->snapshot.config = engine->config;
	engine->snapshot.self = &engine->self;
	engine->snapshot.endpoints = engine->endpoint_views;
	engine->snapshot.n_endpoints = engine->n_endpoints;
	engine->snapshot.version++;
	guard_classify(engine);
	begin(engine);
	recall_layout(engine);
	config_unref(old_config);
	schedule_review(engine);
}

int engine_apply(struct engine *engine, struct config *config)
{
	struct plan plan = { .config = config };
	int r = plan_make(engine, &plan);

	if (r < 0) {
		plan_drop(engine, &plan);
		return r;
	}
	install(engine, &plan);
	return 0;
}

struct engine *engine_free(struct engine *engine)
{
	struct flight *flight;

	if (!engine)
		return NULL;
	engine->stopped = true;
	for (size_t i = 0; i < engine->n_endpoints; i++) {
		for (size_t j = 0; j < engine->endpoints[i]->n_checks; j++)
			check_free(engine, engine->endpoints[i]->checks[j]);
		endpoint_free(engine->endpoints[i]);
	}
	for (size_t i = 0; i < engine->n_hosts; i++)
		host_free(engine, engine->hosts[i]);
	free(engine->endpoints);
	free(engine->by_name);
	free(engine->endpoint_views);
	free(engine->hosts);
	free(engine->keys);
	while ((flight = SLIST_FIRST(&engine->idle_flights))) {
		SLIST_REMOVE_HEAD(&engine->idle_flights, idle_link);
		free(flight);
	}
	free(engine->reload_error);
	config_unref(engine->config);
	free(engine);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * Is it them, or is it us? When every host that can speak for our network fails to be reached at
 * once, the fault is most likely here: states freeze, one message says so, and the first host that
 * answers again ends it. Hosts on loopback say nothing of the network, unless the configuration
 * names them as witnesses; with witnesses, only they are asked.
 */
#include "private.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"

#include <string.h>

/*
 * Until all have failed, who fails first must not be called down for it: the last step down waits
 * until some host has answered a check that began after the failures did, or until all have failed.
 */

/* Fewer hosts than this may well all be down; only chosen witnesses speak with fewer. */
enum {
	GUARD_MIN_HOSTS = 3
};

static bool is_loopback(const char *host)
{
	static const char *const prefixes[] = { "127.", "localhost", "[::1]", "/" };

	for (size_t i = 0; i < array_size(prefixes); i++)
		if (strncmp(host, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static bool is_witness(const struct config *config, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < config->n_witnesses; i++)
		if (strcmp(config->witnesses[i], endpoint->view.spec->name) == 0)
			return true;
	return false;
}

static bool can_tell(const struct engine *engine)
{
	size_t needed = engine->config->n_witnesses > 0 ? 1 : GUARD_MIN_HOSTS;

	return engine->n_counting >= needed;
}

static void thaw(struct engine *engine)
{
	engine->self.offline = false;
	engine->online_since = engine->timers->now;
}

void guard_classify(struct engine *engine)
{
	bool by_witness = engine->config->n_witnesses > 0;

	engine->n_counting = 0;
	engine->n_unreachable = 0;
	for (size_t i = 0; i < engine->n_hosts; i++)
		engine->hosts[i]->counts = !by_witness && !is_loopback(engine->hosts[i]->name);
	if (by_witness)
		for (size_t i = 0; i < engine->n_endpoints; i++)
			if (is_witness(engine->config, engine->endpoints[i]))
				engine->endpoints[i]->host->counts = true;
	for (size_t i = 0; i < engine->n_hosts; i++) {
		if (!engine->hosts[i]->counts)
			continue;
		engine->n_counting++;
		engine->n_unreachable += engine->hosts[i]->unreachable ? 1 : 0;
	}
	if (!engine->self.offline || can_tell(engine))
		return;
	thaw(engine); /* nobody is left whose answer could end it */
	log_printf(LOG_LEVEL_NOTICE, MSG_SELF_ONLINE,
		"the new configuration has too few hosts to tell whether our own network is there; "
		"states move again");
}

/* Failures that a lost network of ours would cause as well. A refused connection is an answer. */
static bool is_network_failure(enum reason reason)
{
	static const enum reason failures[] = {
		REASON_DNS_FAILED,
		REASON_DNS_TIMEOUT,
		REASON_CONNECT_TIMEOUT,
		REASON_CONNECT_UNREACHABLE,
		REASON_LOCAL_NETWORK,
	};

	for (size_t i = 0; i < array_size(failures); i++)
		if (reason == failures[i])
			return true;
	return false;
}

/* Reasons that say nothing about reaching the host. */
static bool is_silent(enum reason reason)
{
	return (reason_verdict(reason) == VERDICT_UNKNOWN &&
		       reason_desc(reason)->phase == PHASE_SELF &&
		       reason != REASON_LOCAL_NETWORK) ||
	       reason == REASON_ADDRESS_DENIED;
}

static void tell_offline(const struct engine *engine)
{
	log_printf(LOG_LEVEL_ERR, MSG_SELF_OFFLINE,
		"our own network seems to be gone: %zu of %zu hosts cannot be reached at once; all "
		"states are frozen until one answers",
		engine->n_unreachable, engine->n_counting);
}

static void tell_online(const struct host *host)
{
	log_printf(LOG_LEVEL_NOTICE, MSG_SELF_ONLINE,
		"our own network is back: %s answered; states move again", host->name);
}

static void count_host(struct engine *engine, struct check *check, bool failed)
{
	struct host *host = check->endpoint->host;

	if (!host->counts)
		return;
	if (!failed) {
		engine->answered_t0 = max_of(engine->answered_t0, check->t0);
		host->answered_at = engine->timers->now;
	} else if (check->t0 < host->answered_at) {
		return; /* a timeout that began earlier says nothing of now */
	}
	if (failed == host->unreachable)
		return;
	host->unreachable = failed;
	if (failed)
		engine->n_unreachable++;
	else
		engine->n_unreachable--;
}

/* Only an answer ends it. That a reload brought hosts which have not failed yet proves nothing. */
static void decide(struct engine *engine, const struct host *host, bool failed)
{
	if (engine->self.offline && host->counts && !failed) {
		thaw(engine);
		tell_online(host);
	} else if (!engine->self.offline && can_tell(engine) &&
		   engine->n_unreachable == engine->n_counting) {
		engine->self.offline = true;
		tell_offline(engine);
	}
}

/* Whether one more failure would end in down. */
static bool is_at_the_edge(const struct check *check)
{
	const struct health *health = &check->view.health;

	return !health->decided || health->level == check->view.spec->health.rise;
}

bool guard_note(struct engine *engine, struct check *check, const struct result *result)
{
	struct host *host = check->endpoint->host;
	bool failed = is_network_failure(result->reason);

	if (engine->setup.on_demand_only)
		return false; /* one round is no time to wait for what others see */
	if (is_silent(result->reason))
		return engine->self.offline;
	count_host(engine, check, failed);
	if (!failed)
		check->failing_since = 0;
	else if (check->failing_since <= engine->online_since)
		check->failing_since = check->t0;
	decide(engine, host, failed);
	if (!failed)
		return false;
	/* Also what began before our network was back. */
	if (engine->self.offline || check->t0 < engine->online_since)
		return true;
	return can_tell(engine) && host->counts && is_at_the_edge(check) &&
	       engine->answered_t0 < check->failing_since;
}

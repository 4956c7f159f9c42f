/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/spec.h"

#include "modelhealth/core/check.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const tiers[] = {
	[TIER_TRANSPORT] = "transport",
	[TIER_LIVE] = "live",
	[TIER_READY] = "ready",
	[TIER_MODELS] = "models",
	[TIER_LOAD] = "load",
	[TIER_CANARY] = "canary",
};
static_assert(array_size(tiers) == TIER_N, "one token per tier");

const char *tier_token(enum tier tier)
{
	must(tier < TIER_N);
	return tiers[tier];
}

struct config *config_ref(struct config *config)
{
	config->refs++;
	return config;
}

static void dispose_checks(const struct endpoint_spec *endpoint)
{
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check_spec *check = &endpoint->checks[i];

		if (check->kind->dispose && check->params)
			check->kind->dispose(check->params);
	}
}

struct config *config_unref(struct config *config)
{
	if (!config || --config->refs > 0)
		return NULL;
	for (size_t i = 0; i < config->n_endpoints; i++)
		dispose_checks(&config->endpoints[i]);
	for (const struct config_end *end = config->ends; end; end = end->next)
		end->dispose(end->value);
	arena_wipe(&config->arena);
	arena_fini(&config->arena);
	free(config);
	return NULL;
}

static int compare_name(const void *key, const void *element)
{
	const struct endpoint_spec *const *endpoint = element;

	return strcmp(key, (*endpoint)->name);
}

const struct endpoint_spec *config_find(const struct config *config, const char *name)
{
	const struct endpoint_spec **found =
		config->n_endpoints == 0 ? NULL
					 : bsearch(name, config->by_name, config->n_endpoints,
						   sizeof config->by_name[0], compare_name);

	return found ? *found : NULL;
}

/* SPDX-License-Identifier: MIT */
#include "private.h"

#include <string.h>

const char *const filter_params[] = { "group", "label", "state", NULL };

bool filter_is_valid(const struct output_query *query)
{
	if (query->state && state_from_token(query->state) == STATE_N)
		return false;
	return !query->label || strchr(query->label, '=');
}

static bool has_label(const struct endpoint_spec *spec, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = (size_t)(equals - text);

	for (size_t i = 0; i < spec->n_labels; i++) {
		const struct label *label = &spec->labels[i];

		if (strlen(label->name) == len && memcmp(label->name, text, len) == 0)
			return strcmp(label->value, equals + 1) == 0;
	}
	return false;
}

bool filter_matches(const struct output_query *query, const struct endpoint_view *endpoint)
{
	const struct endpoint_spec *spec = endpoint->spec;

	if (query->state && strcmp(query->state, state_token(endpoint->state)) != 0)
		return false;
	if (query->group && (!spec->group || strcmp(query->group, spec->group) != 0))
		return false;
	return !query->label || has_label(spec, query->label);
}

const struct endpoint_view *find_endpoint(const struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->n_endpoints; i++)
		if (strcmp(snapshot->endpoints[i]->spec->name, name) == 0)
			return snapshot->endpoints[i];
	return NULL;
}

const struct check_view *find_check(const struct endpoint_view *endpoint, const char *name)
{
	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (strcmp(endpoint->checks[i]->spec->name, name) == 0)
			return endpoint->checks[i];
	return NULL;
}

const struct result *deciding_result(const struct endpoint_view *endpoint)
{
	if (endpoint->decided_by && endpoint->decided_by->has_last)
		return &endpoint->decided_by->last;
	for (size_t i = 0; i < endpoint->n_checks; i++)
		if (endpoint->checks[i]->has_last)
			return &endpoint->checks[i]->last;
	return NULL;
}

const char *why_text(const struct endpoint_view *endpoint)
{
	const struct result *result = deciding_result(endpoint);

	if (result && result->reason == endpoint->reason && result->detail[0] != '\0')
		return result->detail;
	return reason_desc(endpoint->reason)->text;
}

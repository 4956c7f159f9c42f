/* SPDX-License-Identifier: MIT */
/*
 * What several outputs share: filters, and the one line that says why an endpoint is as it is.
 */
#pragma once

#include "modelhealth/outputs/outputs.h"

/* The parameters that filter. */
extern const char *const filter_params[];

/* Whether the filters of a query can match anything at all; else OUTPUT_BAD_QUERY is the answer. */
bool filter_is_valid(const struct output_query *query);
bool filter_matches(const struct output_query *query, const struct endpoint_view *endpoint);

/* The endpoint of that name in the snapshot, or NULL. */
const struct endpoint_view *find_endpoint(const struct snapshot *snapshot, const char *name);
const struct check_view *find_check(const struct endpoint_view *endpoint, const char *name);

/* The result that an endpoint's state rests on: of the deciding check, or of any; NULL = none. */
const struct result *deciding_result(const struct endpoint_view *endpoint);

/* Why, in words: the detail of the deciding result, or what its reason means. Never NULL. */
const char *why_text(const struct endpoint_view *endpoint);

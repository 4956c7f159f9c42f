/* SPDX-License-Identifier: MIT */
/*
 * The key tables of everything that is not a check kind's own. Each ends with a row without name.
 */
#pragma once

#include "modelhealth/core/conf.h"

extern const struct conf_key conf_top_keys[];      /* into struct config */
extern const struct conf_key conf_endpoint_keys[]; /* of one endpoint alone: struct endpoint_spec */
extern const struct conf_key conf_level_keys[];    /* of endpoints, groups, defaults, profiles */
extern const struct conf_key conf_profile_keys[];  /* of a profile alone: struct profile_head */
extern const struct conf_key conf_shared_keys[];   /* struct endpoint_spec; inherited */
extern const struct conf_key conf_check_keys[];    /* of one check alone: struct check_spec */
extern const struct conf_key conf_pace_keys[];     /* struct check_spec; inherited */
extern const struct conf_key conf_timeout_keys[];  /* the section timeout: struct timeouts */

struct profile_head {
	const char *about, *like;
};

/* Interval of checks that set none, by tier. */
usec_t conf_tier_interval(enum tier tier);

/* SPDX-License-Identifier: MIT */
/*
 * The Retry-After header (RFC 9110).
 */
#pragma once

#include "modelhealth/base/defs.h"

/* Longer wishes are cut to this: a check that never comes back helps nobody. */
#define RETRY_AFTER_MAX (24 * 3600 * USEC_PER_SEC)

/* How long to wait from now (wall time): seconds or an HTTP date; 0 for a date that has passed and
 * for anything that is neither. */
usec_t retry_after_parse(const char *text, usec_t now);

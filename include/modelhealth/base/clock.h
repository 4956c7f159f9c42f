/* SPDX-License-Identifier: MIT */
/*
 * The clocks. Only the io and app floors call these; below, `now` is a parameter.
 */
#pragma once

#include "modelhealth/base/defs.h"

/* The kernel's monotonic clock begins at 0 when the machine boots; ours is ahead of it by a year and
 * more, so that times before the boot can be told on it. The same in each process of one boot. */
#define CLOCK_HEAD_START (400 * 86400 * USEC_PER_SEC)

usec_t clock_monotonic(void);
usec_t clock_realtime(void); /* since the Unix epoch */
usec_t clock_boottime(void); /* as monotonic, and runs on while the machine is suspended */

/* The same moment as the kernel and other programs tell it; 0 for what was before the boot. */
static inline usec_t clock_kernel(usec_t monotonic)
{
	return monotonic > CLOCK_HEAD_START ? monotonic - CLOCK_HEAD_START : 0;
}

enum {
	CLOCK_TEXT_SIZE = sizeof "2026-01-02T03:04:05.678Z"
};

/* RFC 3339 in UTC with milliseconds; the years 1970 to 9999, later times print as 9999. */
void clock_format(usec_t realtime, char ret_text[static CLOCK_TEXT_SIZE]);

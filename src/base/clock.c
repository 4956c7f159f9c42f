/* SPDX-License-Identifier: MIT */
/*
 * Reads the three clocks, and writes a time as people and JSON read it.
 */
#include "modelhealth/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* 9999-12-31T23:59:59Z, the last second with a four-digit year. */
static const usec_t last_second = 253402300799ull;

static usec_t read_clock(clockid_t id)
{
	struct timespec now;

	must(clock_gettime(id, &now) == 0);
	return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

usec_t clock_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC) + CLOCK_HEAD_START;
}

usec_t clock_realtime(void)
{
	return read_clock(CLOCK_REALTIME);
}

usec_t clock_boottime(void)
{
	return read_clock(CLOCK_BOOTTIME) + CLOCK_HEAD_START;
}

void clock_format(usec_t realtime, char ret_text[static CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)min_of(realtime / USEC_PER_SEC, last_second);
	unsigned msec = (unsigned)(realtime / USEC_PER_MSEC % 1000);
	char date[CLOCK_TEXT_SIZE];
	struct tm utc;

	must(gmtime_r(&seconds, &utc));
	must(strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc) == 19);
	(void)snprintf(ret_text, CLOCK_TEXT_SIZE, "%.19s.%03uZ", date, msec); /* always fits */
}

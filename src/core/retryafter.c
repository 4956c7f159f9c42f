/* SPDX-License-Identifier: MIT */
/*
 * Reads Retry-After in both of its forms. Pure; used by the http check.
 */
#include "modelhealth/core/retryafter.h"

#include "modelhealth/base/duration.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* IMF-fixdate, the one form that RFC 9110 lets servers send. */
static bool parse_date(const char *text, usec_t *ret_date)
{
	struct tm parts = { 0 };
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
	time_t seconds = end && *end == '\0' ? timegm(&parts) : -1;

	if (seconds < 0)
		return false;
	*ret_date = (usec_t)seconds * USEC_PER_SEC;
	return true;
}

usec_t retry_after_parse(const char *text, usec_t now)
{
	uint64_t seconds;
	usec_t date;
	int r = u64_parse(text, &seconds);

	if (r == -ERANGE)
		return RETRY_AFTER_MAX;
	if (r == 0)
		return min_of(seconds, RETRY_AFTER_MAX / USEC_PER_SEC) * USEC_PER_SEC;
	if (!parse_date(text, &date) || date <= now)
		return 0;
	return min_of(date - now, RETRY_AFTER_MAX);
}

/* SPDX-License-Identifier: MIT */
/*
 * What an error means that a server sends inside a 200.
 */
#pragma once

#include "modelhealth/core/result.h"
#include "modelhealth/core/rules.h"

struct stream_error {
	const char *body; /* the event, NUL-terminated: JSON or plain text */
	size_t len;
	const char
		*pointer; /* what in it was the error: of an error, of a finish reason; "" = all */
};

/*
 * Sets result by the first of `rules` that holds, with the error's numeric code as status; by
 * default overloaded for the codes 429, 503 and 529, else stream_error. The code is that of the
 * error object or of the event (code, status_code, http_status_code, status; a number or digits),
 * else one in brackets in its text: "[503] The request queue is full". The detail is the server's
 * own words.
 */
void stream_error_judge(
	const struct rules *rules, const struct stream_error *error, struct result *result);

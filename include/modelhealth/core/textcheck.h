/* SPDX-License-Identifier: MIT */
/*
 * Whether an answer is the noise of a broken model. Only what no sound model writes is called that:
 * false alarms are worse, so most wrong answers are left to `expect.text`.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	TEXTCHECK_MIN_REPEATS = 8,
	TEXTCHECK_MIN_DIGITS = 32, /* for a unit of digits and blanks: numbers may be long */
	TEXTCHECK_MAX_UNIT = 64,   /* bytes */
	TEXTCHECK_MAX_TEXT = 4096, /* of a longer text, its end is looked at */
};

/*
 * Whether a unit of at most TEXTCHECK_MAX_UNIT bytes is repeated at the end of the text at least
 * TEXTCHECK_MIN_REPEATS times, one right after the other, and makes up at least three quarters of
 * it: "!!!!!!!!", " the the the the the the the the". The unit and how often it came are returned
 * for the message.
 */
bool text_is_repetitive(const char *text, size_t len, const char **ret_unit, size_t *ret_unit_len,
	size_t *ret_times);

/* Nothing but white space and control characters. */
bool text_is_blank(const char *text, size_t len);

/* SPDX-License-Identifier: MIT */
/*
 * Looks for a short period at the end of a text. Pure. Called by core/stream.c.
 */
#include "modelhealth/core/textcheck.h"

#include <string.h>

/* How many bytes at the end of the text have the period. */
static size_t periodic_end(const char *text, size_t len, size_t period)
{
	size_t at = len - period;

	while (at > 0 && text[at - 1] == text[at - 1 + period])
		at--;
	return len - at;
}

static bool is_number_like(const char *unit, size_t len)
{
	bool has_digit = false;

	for (size_t i = 0; i < len; i++) {
		if (!memchr("0123456789 \t\r\n.,", unit[i], 16))
			return false;
		has_digit |= unit[i] >= '0' && unit[i] <= '9';
	}
	return has_digit;
}

bool text_is_repetitive(const char *text, size_t len, const char **ret_unit, size_t *ret_unit_len,
	size_t *ret_times)
{
	if (len > TEXTCHECK_MAX_TEXT) {
		text += len - TEXTCHECK_MAX_TEXT;
		len = TEXTCHECK_MAX_TEXT;
	}
	for (size_t period = 1; period <= TEXTCHECK_MAX_UNIT; period++) {
		size_t covered, least;

		if (period * TEXTCHECK_MIN_REPEATS > len)
			break;
		least = is_number_like(text + len - period, period) ? TEXTCHECK_MIN_DIGITS
								    : TEXTCHECK_MIN_REPEATS;
		covered = periodic_end(text, len, period);
		if (covered / period < least || covered < len - len / 4)
			continue;
		*ret_unit = text + len - period;
		*ret_unit_len = period;
		*ret_times = covered / period;
		return true;
	}
	return false;
}

bool text_is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] > ' ')
			return false;
	return true;
}

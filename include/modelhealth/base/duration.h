/* SPDX-License-Identifier: MIT */
/*
 * The units of the configuration: durations "1m30s", sizes "64KiB", rates "60/1m".
 */
#pragma once

#include "modelhealth/base/defs.h"

/*
 * Grammar: one or more of <number><unit>, units us ms s m h d w in falling order and each at most
 * once, number = digits with an optional fraction on the last part ("1.5s"). A bare number has no
 * meaning, except "0". Returns 0, -EINVAL (not a duration) or -ERANGE (does not fit usec_t).
 */
int duration_parse(const char *text, usec_t *ret_usec);

enum {
	DURATION_TEXT_SIZE = 40
};

/* In whole parts, as duration_parse reads it back to the same value: "1m30s", "250ms", "0". */
void duration_format(usec_t usec, char ret_text[static DURATION_TEXT_SIZE]);

/* <digits>[B|KiB|MiB|GiB|kB|MB|GB]; no unit = bytes. 0, -EINVAL or -ERANGE. */
int size_parse(const char *text, uint64_t *ret_bytes);
void size_format(uint64_t bytes, char ret_text[static DURATION_TEXT_SIZE]);

/* "60/1m": count per duration, both above zero. */
struct rate {
	uint32_t count;
	usec_t per;
};

int rate_parse(const char *text, struct rate *ret_rate);
void rate_format(struct rate rate, char ret_text[static DURATION_TEXT_SIZE]);

/* Plain decimal without sign, blanks or leading '+'. 0, -EINVAL or -ERANGE. */
int u64_parse(const char *text, uint64_t *ret_value);

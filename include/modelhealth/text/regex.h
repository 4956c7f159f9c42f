/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions over PCRE2, with match and depth limits, so that no pattern and no text can
 * hold the loop.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct regex;

enum regex_result {
	REGEX_NO_MATCH,
	REGEX_MATCH,
	REGEX_LIMIT /* gave up: too much work, or no memory; neither a match nor none */
};

/*
 * Compiles. On a bad pattern returns -EINVAL with PCRE2's message and the offset of the error;
 * -ENOMEM otherwise. Invalid UTF-8 in a subject is matched, not an error.
 */
int regex_compile(const char *pattern, struct regex **ret_regex, char *ret_error, size_t error_size,
	size_t *ret_offset);
enum regex_result regex_match(const struct regex *regex, const char *text, size_t len);
struct regex *regex_free(struct regex *regex);

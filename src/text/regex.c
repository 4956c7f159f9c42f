/* SPDX-License-Identifier: MIT */
/*
 * PCRE2 without its JIT compiler, which would need writable and executable memory, and with limits
 * on steps, depth and memory per match, so that no pattern can hold the loop for long.
 */
#include "modelhealth/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>

enum {
	MATCH_STEPS = 100000, /* some milliseconds */
	MATCH_DEPTH = 1000,
	MATCH_HEAP_KIB = 1024,
	PATTERN_LENGTH = 4096,
};

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *context;
};

struct regex *regex_free(struct regex *regex)
{
	if (!regex)
		return NULL;
	pcre2_match_context_free(regex->context);
	pcre2_match_data_free(regex->match);
	pcre2_code_free(regex->code);
	free(regex);
	return NULL;
}

static pcre2_code *compile(const char *pattern, int *ret_error, size_t *ret_offset)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	pcre2_code *code;

	if (!context) {
		*ret_error = PCRE2_ERROR_NOMEMORY;
		return NULL;
	}
	(void)pcre2_set_max_pattern_length(context, PATTERN_LENGTH); /* never fails */
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
		PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, ret_error,
		ret_offset, context);
	pcre2_compile_context_free(context);
	return code;
}

int regex_compile(const char *pattern, struct regex **ret_regex, char *ret_error, size_t error_size,
	size_t *ret_offset)
{
	struct regex *regex = calloc(1, sizeof *regex);
	int error = 0;

	if (!regex)
		return -ENOMEM;
	*ret_offset = 0;
	regex->code = compile(pattern, &error, ret_offset);
	if (!regex->code) {
		(void)pcre2_get_error_message(error, (PCRE2_UCHAR *)ret_error, error_size);
		regex_free(regex);
		return error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
	}
	/* Nobody asks for groups: room for the whole match is enough. */
	regex->match = pcre2_match_data_create(1, NULL);
	regex->context = pcre2_match_context_create(NULL);
	if (!regex->match || !regex->context) {
		regex_free(regex);
		return -ENOMEM;
	}
	(void)pcre2_set_match_limit(regex->context, MATCH_STEPS); /* these never fail */
	(void)pcre2_set_depth_limit(regex->context, MATCH_DEPTH);
	(void)pcre2_set_heap_limit(regex->context, MATCH_HEAP_KIB);
	*ret_regex = regex;
	return 0;
}

enum regex_result regex_match(const struct regex *regex, const char *text, size_t len)
{
	int r = pcre2_match(regex->code, (PCRE2_SPTR)text, len, 0, 0, regex->match, regex->context);

	if (r >= 0)
		return REGEX_MATCH;
	return r == PCRE2_ERROR_NOMATCH ? REGEX_NO_MATCH : REGEX_LIMIT;
}

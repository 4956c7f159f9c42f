/* SPDX-License-Identifier: MIT */
/*
 * PCRE2 without its JIT compiler, which would need writable and executable memory, and with limits
 * on work, depth and memory per match, so that no pattern can hold the loop for long.
 *
 * PCRE2's own match limit is not enough: it counts backtracking points, and starts from zero at each
 * position of the text. The harmless \w+\s\w+ has none, yet took 1.9 s on 64 KiB and 34 s on 256 KiB
 * of one word. So each item of a pattern is compiled with a callout before it, and these add up how
 * far the match has moved.
 */
#include "modelhealth/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MATCH_WORK = 20000000, /* characters looked at, about; some 20 ms */
	MATCH_STEPS = 1000000,
	MATCH_DEPTH = 10000,
	MATCH_HEAP_KIB = 1024,
	PATTERN_LENGTH = 4096,
	CALLOUT_WORK = 16, /* a callout costs as much as so many characters */
};

struct regex {
	pcre2_code *code;
	size_t item_work; /* most that one item can cost without moving on */
};

struct effort {
	size_t item_work;
	size_t at; /* where the last callout was */
	size_t work;
};

struct regex *regex_free(struct regex *regex)
{
	if (!regex)
		return NULL;
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
		PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT,
		ret_error, ret_offset, context);
	pcre2_compile_context_free(context);
	return code;
}

/* Called before each item: ends the match when it has cost too much. */
static int on_item(pcre2_callout_block *block, void *data)
{
	struct effort *effort = data;
	size_t at = block->current_position;

	effort->work += effort->item_work + (at > effort->at ? at - effort->at : effort->at - at);
	effort->at = at;
	return effort->work > MATCH_WORK ? PCRE2_ERROR_MATCHLIMIT : 0;
}

/* The largest repeat count in braces: x{500} may look at 500 characters and still not move on. */
static size_t largest_repeat(const char *pattern)
{
	size_t largest = 0;

	for (const char *brace = strchr(pattern, '{'); brace; brace = strchr(brace + 1, '{')) {
		unsigned long least = strtoul(brace + 1, NULL, 10); /* 0 if it is no number */

		largest = max_of(largest, (size_t)least);
	}
	return largest;
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
		/* 10.42 points behind the end of "(*LIMIT_MATCH=1". */
		*ret_offset = min_of(*ret_offset, strlen(pattern));
		(void)pcre2_get_error_message(error, (PCRE2_UCHAR *)ret_error, error_size);
		regex_free(regex);
		return error == PCRE2_ERROR_NOMEMORY ? -ENOMEM : -EINVAL;
	}
	regex->item_work = CALLOUT_WORK + largest_repeat(pattern);
	*ret_regex = regex;
	return 0;
}

static pcre2_match_context *new_context(struct effort *effort)
{
	pcre2_match_context *context = pcre2_match_context_create(NULL);

	if (!context)
		return NULL;
	(void)pcre2_set_match_limit(context, MATCH_STEPS); /* these never fail */
	(void)pcre2_set_depth_limit(context, MATCH_DEPTH);
	(void)pcre2_set_heap_limit(context, MATCH_HEAP_KIB);
	(void)pcre2_set_callout(context, on_item, effort);
	return context;
}

/* What a match needs is made anew for each: PCRE2 keeps at least 20 KiB with it, which would be 45 MB
 * more for 10,000 expressions, and making it costs less than 1 us. */
enum regex_result regex_match(const struct regex *regex, const char *text, size_t len)
{
	struct effort effort = { .item_work = regex->item_work };
	pcre2_match_context *context = new_context(&effort);
	/* Nobody asks for groups: room for the whole match is enough. */
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	int r = PCRE2_ERROR_NOMEMORY;

	if (context && match)
		r = pcre2_match(regex->code, (PCRE2_SPTR)text, len, 0, 0, match, context);
	pcre2_match_data_free(match);
	pcre2_match_context_free(context);
	if (r >= 0)
		return REGEX_MATCH;
	return r == PCRE2_ERROR_NOMATCH ? REGEX_NO_MATCH : REGEX_LIMIT;
}

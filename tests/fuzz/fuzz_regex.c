/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions. The input is a pattern, a newline and a text; any answer will do, as long as
 * it comes soon: libFuzzer's time limit is the rule.
 */
#include "modelhealth/text/regex.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	struct regex *regex = NULL;
	char error[128];
	size_t offset;
	char *pattern;

	if (!newline)
		return 0;
	pattern = strndup((const char *)data, (size_t)(newline - data));
	must(pattern);
	if (regex_compile(pattern, &regex, error, sizeof error, &offset) == 0)
		(void)regex_match(
			regex, (const char *)newline + 1, size - (size_t)(newline - data) - 1);
	else
		must(strlen(error) < sizeof error && offset <= strlen(pattern));
	regex_free(regex);
	free(pattern);
	return 0;
}

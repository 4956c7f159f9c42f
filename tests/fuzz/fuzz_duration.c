/* SPDX-License-Identifier: MIT */
/*
 * Durations, sizes, rates and numbers: what is accepted is written back as text that reads as the
 * same value.
 */
#include "modelhealth/base/duration.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_number(
	const char *text, int (*parse)(const char *, uint64_t *), void (*format)(uint64_t, char *))
{
	char written[DURATION_TEXT_SIZE];
	uint64_t value, back;

	if (parse(text, &value) != 0)
		return;
	format(value, written);
	must(parse(written, &back) == 0 && back == value);
}

static void check_rate(const char *text)
{
	char written[DURATION_TEXT_SIZE], per[DURATION_TEXT_SIZE];
	struct rate rate, back;

	if (rate_parse(text, &rate) != 0)
		return;
	must(rate.count > 0 && rate.per > 0);
	rate_format(rate, written);
	duration_format(rate.per, per);
	/* A period of 29 characters and more would be cut. */
	must(strlen(per) > 28 || (rate_parse(written, &back) == 0 && back.count == rate.count &&
					 back.per == rate.per));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	uint64_t value;

	must(text);
	check_number(text, duration_parse, duration_format);
	check_number(text, size_parse, size_format);
	check_rate(text);
	(void)u64_parse(text, &value); /* any answer will do, as long as it ends */
	free(text);
	return 0;
}

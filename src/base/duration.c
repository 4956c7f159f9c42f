/* SPDX-License-Identifier: MIT */
/*
 * Reads and writes the numbers with units that the configuration holds. The loader and the dump of
 * the configuration call it.
 */
#include "modelhealth/base/duration.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first: a duration names them in this order. */
static const struct unit durations[] = {
	{ "w", 7 * 24 * 3600 * USEC_PER_SEC },
	{ "d", 24 * 3600 * USEC_PER_SEC },
	{ "h", 3600 * USEC_PER_SEC },
	{ "m", 60 * USEC_PER_SEC },
	{ "s", USEC_PER_SEC },
	{ "ms", USEC_PER_MSEC },
	{ "us", 1 },
};

static const struct unit sizes[] = {
	{ "GiB", 1ull << 30 },
	{ "GB", 1000000000 },
	{ "MiB", 1ull << 20 },
	{ "MB", 1000000 },
	{ "KiB", 1ull << 10 },
	{ "kB", 1000 },
	{ "B", 1 },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits at *text and moves it behind them. */
static int take_number(const char **text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!is_digit(**text))
		return -EINVAL;
	for (; is_digit(**text); (*text)++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(**text - '0'), &value))
			return -ERANGE;
	*ret_value = value;
	return 0;
}

/* Reads ".5" as a share of factor; what is smaller than one is cut. Digits behind the twelfth are
 * too small to matter even for weeks. */
static int take_fraction(const char **text, uint64_t factor, uint64_t *ret_value)
{
	uint64_t numerator = 0, denominator = 1;

	(*text)++;
	if (!is_digit(**text))
		return -EINVAL;
	for (; is_digit(**text); (*text)++) {
		if (denominator == 1000000000000ull)
			continue;
		numerator = numerator * 10 + (uint64_t)(**text - '0');
		denominator *= 10;
	}
	*ret_value = (uint64_t)((unsigned __int128)factor * numerator / denominator);
	return 0;
}

/* The unit that starts at text, searched from `from`; "ms" is not "m". */
static size_t find_unit(const struct unit *units, size_t n, size_t from, const char *text)
{
	size_t len = 0;

	while (text[len] != '\0' && !is_digit(text[len]))
		len++;
	while (from < n &&
		(strlen(units[from].name) != len || strncmp(units[from].name, text, len) != 0))
		from++;
	return from;
}

/* One <number><unit>; *at is the first unit that may still come, and moves behind this one. */
static int take_part(const char **text, size_t *at, uint64_t *ret_value)
{
	uint64_t whole, fraction = 0;
	const char *point;
	int r = take_number(text, &whole);

	if (r < 0)
		return r;
	point = *text;
	if (*point == '.')
		for ((*text)++; is_digit(**text);)
			(*text)++;
	*at = find_unit(durations, array_size(durations), *at, *text);
	if (*at == array_size(durations))
		return -EINVAL;
	*text += strlen(durations[*at].name);
	if (*point == '.') {
		if (**text != '\0')
			return -EINVAL; /* only the last part may have a fraction */
		r = take_fraction(&point, durations[*at].factor, &fraction);
		if (r < 0)
			return r;
	}
	if (__builtin_mul_overflow(whole, durations[*at].factor, &whole) ||
		__builtin_add_overflow(whole, fraction, ret_value))
		return -ERANGE;
	(*at)++;
	return 0;
}

int duration_parse(const char *text, usec_t *ret_usec)
{
	usec_t sum = 0;
	size_t at = 0;

	if (strcmp(text, "0") == 0) {
		*ret_usec = 0;
		return 0;
	}
	do {
		uint64_t part;
		int r = take_part(&text, &at, &part);

		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, part, &sum) || sum == USEC_NEVER)
			return -ERANGE;
	} while (*text != '\0');
	*ret_usec = sum;
	return 0;
}

void duration_format(usec_t usec, char ret_text[static DURATION_TEXT_SIZE])
{
	size_t len = 0;

	if (usec == 0) {
		(void)snprintf(ret_text, DURATION_TEXT_SIZE, "0"); /* fits */
		return;
	}
	for (size_t i = 0; i < array_size(durations); i++) {
		uint64_t count = usec / durations[i].factor;

		if (count == 0)
			continue;
		usec %= durations[i].factor;
		/* The largest value has 30 characters. */
		len += (size_t)snprintf(ret_text + len, DURATION_TEXT_SIZE - len, "%llu%s",
			(unsigned long long)count, durations[i].name);
	}
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t value;
	size_t unit;
	int r = take_number(&text, &value);

	if (r < 0)
		return r;
	if (*text != '\0') {
		unit = find_unit(sizes, array_size(sizes), 0, text);
		if (unit == array_size(sizes) || text[strlen(sizes[unit].name)] != '\0')
			return -EINVAL;
		if (__builtin_mul_overflow(value, sizes[unit].factor, &value))
			return -ERANGE;
	}
	*ret_bytes = value;
	return 0;
}

void size_format(uint64_t bytes, char ret_text[static DURATION_TEXT_SIZE])
{
	static const char *const binary[] = { "B", "KiB", "MiB", "GiB" };
	size_t unit = 0;

	while (unit + 1 < array_size(binary) && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	(void)snprintf(ret_text, DURATION_TEXT_SIZE, "%llu%s", (unsigned long long)bytes,
		binary[unit]); /* fits */
}

int rate_parse(const char *text, struct rate *ret_rate)
{
	uint64_t count;
	usec_t per;
	int r = take_number(&text, &count);

	if (r < 0)
		return r;
	if (*text != '/')
		return -EINVAL;
	r = duration_parse(text + 1, &per);
	if (r < 0)
		return r;
	if (count == 0 || per == 0)
		return -EINVAL;
	if (count > UINT32_MAX || count > per)
		return -ERANGE;
	*ret_rate = (struct rate){ .count = (uint32_t)count, .per = per };
	return 0;
}

void rate_format(struct rate rate, char ret_text[static DURATION_TEXT_SIZE])
{
	char per[DURATION_TEXT_SIZE];

	duration_format(rate.per, per);
	/* Cut only for periods of many parts, which no one writes. */
	(void)snprintf(ret_text, DURATION_TEXT_SIZE, "%u/%.28s", rate.count, per);
}

int u64_parse(const char *text, uint64_t *ret_value)
{
	uint64_t value;
	int r = take_number(&text, &value);

	if (r < 0)
		return r;
	if (*text != '\0')
		return -EINVAL;
	*ret_value = value;
	return 0;
}

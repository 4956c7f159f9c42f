/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/result.h"

#include "modelhealth/base/secret.h"
#include "modelhealth/text/sanitise.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	MIN_SECRET = 4
};

static const char *const timings[] = {
	[TIMING_QUEUE] = "queue",
	[TIMING_DNS] = "dns",
	[TIMING_CONNECT] = "connect",
	[TIMING_TLS] = "tls",
	[TIMING_FIRST_BYTE] = "first_byte",
	[TIMING_FIRST_TOKEN] = "first_token",
	[TIMING_TRANSFER] = "transfer",
	[TIMING_TOTAL] = "total",
};
static_assert(array_size(timings) == TIMING_N, "one token per timing");

static const char *const load_values[] = {
	[LOAD_RUNNING] = "running",
	[LOAD_WAITING] = "waiting",
	[LOAD_KV_USAGE] = "kv_usage",
	[LOAD_PROMPT_TOKENS] = "prompt_tokens",
	[LOAD_GENERATION_TOKENS] = "generation_tokens",
	[LOAD_PROGRESS] = "progress",
	[LOAD_TTFT] = "ttft",
	[LOAD_ITL] = "itl",
};
static_assert(array_size(load_values) == LOAD_VALUE_N, "one token per value");

const char *load_value_token(enum load_value value)
{
	must(value < LOAD_VALUE_N);
	return load_values[value];
}

const char *timing_token(enum timing timing)
{
	must(timing < TIMING_N);
	return timings[timing];
}

void result_set(struct result *result, enum reason reason, const char *format, ...)
{
	char text[4 * RESULT_DETAIL_SIZE];
	va_list args;

	result->reason = reason;
	result->verdict = reason_verdict(reason);
	result->detail[0] = '\0';
	if (!format)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args); /* cut is fine: a detail is short */
	va_end(args);
	(void)sanitise(result->detail, sizeof result->detail, text, strlen(text));
}

/* How many bytes at text are those of the secret, if it ends there or the text was cut there. */
static size_t secret_length(const char *text, const char *secret)
{
	static const char ellipsis[] = "\xe2\x80\xa6"; /* U+2026, where sanitise() cuts */
	size_t len = 0;

	while (secret[len] != '\0' && text[len] == secret[len])
		len++;
	return len >= MIN_SECRET && (secret[len] == '\0' || text[len] == '\0' ||
					    strncmp(text + len, ellipsis, strlen(ellipsis)) == 0)
		       ? len
		       : 0;
}

void result_mask(struct result *result, const char *secret)
{
	static const char mask[] = SECRET_MASK;
	const size_t mask_len = sizeof mask - 1;

	static_assert(sizeof mask - 1 < MIN_SECRET, "the detail does not grow");
	for (char *at = result->detail; *at != '\0'; at++) {
		size_t len = secret_length(at, secret);

		if (len == 0)
			continue;
		memmove(at + mask_len, at + len, strlen(at + len) + 1);
		memcpy(at, mask, mask_len);
		at += mask_len - 1;
	}
}

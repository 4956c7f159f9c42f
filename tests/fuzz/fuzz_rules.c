/* SPDX-License-Identifier: MIT */
/*
 * Rules against an answer. The input's first line is the inside of a rule, the second a status, the
 * rest the body. Whatever comes, the judgement is the same each time, and its detail can be shown.
 */
#include "fuzz.h"
#include "httpcheck.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/checks/httpparams.h"

#include <string.h>

static bool judge(const struct config *config, uint32_t status, const char *body, size_t len,
	struct result *ret_result)
{
	const struct http_params *http = http_params_of(config);
	const struct answer answer = { .http_status = status, .body = body, .body_len = len };

	*ret_result = (struct result){ 0 };
	return rules_judge(&http->rules, &http->errors, &answer, ret_result);
}

static uint32_t read_status(const char *text, size_t len)
{
	uint32_t status = 0;

	for (size_t i = 0; i < len && i < 3 && text[i] >= '0' && text[i] <= '9'; i++)
		status = status * 10 + (uint32_t)(text[i] - '0');
	return status;
}

static void check(const struct config *config, const char *text, size_t size)
{
	const char *newline = memchr(text, '\n', size);
	size_t used = newline ? (size_t)(newline - text) + 1 : size;
	uint32_t status = read_status(text, used);
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	struct result first, second;
	bool is_judged;

	sbuf_add(&body, text + used, size - used); /* ends with NUL */
	is_judged = judge(config, status, sbuf_str(&body), body.len, &first);
	must(is_judged == judge(config, status, sbuf_str(&body), body.len, &second));
	must(is_judged || first.detail[0] == '\0');
	must(first.verdict == reason_verdict(first.reason));
	must_agree(&first, &second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *answer;
	size_t len;
	struct config *config = http_config(
		"endpoints: [ { name: a, type: http, url: 'http://a/', rules: [ { ", data, size,
		" } ], errors: [ { status: 500-599, reason: server_error } ] } ]\n", &answer, &len);

	if (config)
		check(config, answer, len);
	config_unref(config);
	return 0;
}

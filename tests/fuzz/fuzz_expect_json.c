/* SPDX-License-Identifier: MIT */
/*
 * JSON assertions against a body. The input's first line is the inside of an `expect: json:`
 * mapping, the rest the body. Whatever comes, the judgement is one of three, always the same, and
 * its detail can be shown.
 */
#include "fuzz.h"
#include "httpcheck.h"

#include "modelhealth/checks/httpparams.h"

static const char *no_header(void *ctx, const char *name, size_t index)
{
	(void)ctx;
	(void)name;
	(void)index;
	return NULL;
}

static struct result judge(const struct config *config, const char *body, size_t len)
{
	struct observation seen = {
		.http_status = 200,
		.header = no_header,
		.body = body,
		.body_len = len,
		.size = len,
	};
	struct result result = { 0 };

	result_set(&result, REASON_OK, NULL);
	expect_judge(&http_params_of(config)->expect, &seen, &result);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body;
	size_t len;
	struct config *config = http_config(
		"endpoints: [ { name: a, type: http, url: 'http://a/', expect: { json: { ", data,
		size, " } } } ]\n", &body, &len);
	struct result first, second;

	if (!config)
		return 0;
	/* a first line that closes the mapping may ask for more than JSON */
	first = judge(config, body, len);
	second = judge(config, body, len);
	must_agree(&first, &second);
	config_unref(config);
	return 0;
}

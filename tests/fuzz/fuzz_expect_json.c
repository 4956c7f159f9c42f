/* SPDX-License-Identifier: MIT */
/*
 * JSON assertions against a body. The input's first line is the inside of an `expect: json:`
 * mapping, the rest the body. Whatever comes, the judgement is one of three, always the same, and
 * its detail can be shown.
 */
#include "fuzz.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/checks/httpparams.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/yaml.h"
#include "modelhealth/text/sanitise.h"

#include <string.h>

static struct config *load(const char *conditions, size_t len)
{
	_cleanup_(sbuf_fini) struct sbuf yaml = SBUF_INIT;
	struct conf_errors errors = { 0 };
	struct config *config = NULL;
	struct node *root = NULL;
	struct arena arena = ARENA_INIT;

	sbuf_puts(&yaml, "endpoints: [ { name: a, type: http, url: 'http://a/', "
			 "expect: { json: { ");
	sbuf_add(&yaml, conditions, len);
	sbuf_puts(&yaml, " } } } ]\n");
	if (yaml_parse(&arena, "fuzz.yaml", yaml.data, yaml.len, &errors, &root) == 0)
		(void)conf_build(root, check_kinds, NULL, &errors, &config);
	must((config != NULL) == (errors.n == 0));
	conf_errors_fini(&errors);
	arena_fini(&arena);
	return config;
}

static const char *no_header(void *ctx, const char *name, size_t index)
{
	(void)ctx;
	(void)name;
	(void)index;
	return NULL;
}

static struct result judge(const struct config *config, const char *body, size_t len)
{
	const struct http_params *http = config->endpoints[0].checks[0].params;
	struct observation seen = {
		.http_status = 200,
		.header = no_header,
		.body = body,
		.body_len = len,
		.size = len,
	};
	struct result result = { 0 };

	result_set(&result, REASON_OK, NULL);
	expect_judge(&http->expect, &seen, &result);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
	struct config *config = newline ? load(text, (size_t)(newline - text)) : NULL;
	struct result first, second;
	size_t len;

	if (!config || config->n_endpoints != 1 || config->endpoints[0].n_checks != 1 ||
		config->endpoints[0].checks[0].kind != &check_http) {
		config_unref(config);
		return 0;
	}
	len = size - (size_t)(newline - text) - 1;
	first = judge(config, newline + 1, len);
	second = judge(config, newline + 1, len);
	/* a first line that closes the mapping may ask for more than JSON */
	must(first.reason < REASON_N && first.verdict < VERDICT_N);
	must(first.reason == second.reason && strcmp(first.detail, second.detail) == 0);
	must(utf8_is_valid(first.detail, strlen(first.detail)));
	for (const char *c = first.detail; *c; c++)
		must((unsigned char)*c >= ' ' && *c != 0x7f);
	config_unref(config);
	return 0;
}

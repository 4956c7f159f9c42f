/* SPDX-License-Identifier: MIT */
/*
 * Rules against an answer. The input's first line is the inside of a rule, the second a status, the
 * rest the body. Whatever comes, the judgement is the same each time, and its detail can be shown.
 */
#include "fuzz.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/checks/httpparams.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/yaml.h"
#include "modelhealth/text/sanitise.h"

#include <string.h>

static struct config *load(const char *parts, size_t len)
{
	_cleanup_(sbuf_fini) struct sbuf yaml = SBUF_INIT;
	struct conf_errors errors = { 0 };
	struct config *config = NULL;
	struct node *root = NULL;
	struct arena arena = ARENA_INIT;

	sbuf_puts(&yaml, "endpoints: [ { name: a, type: http, url: 'http://a/', rules: [ { ");
	sbuf_add(&yaml, parts, len);
	sbuf_puts(&yaml, " } ], errors: [ { status: 500-599, reason: server_error } ] } ]\n");
	if (yaml_parse(&arena, "fuzz.yaml", yaml.data, yaml.len, &errors, &root) == 0)
		(void)conf_build(root, check_kinds, NULL, &errors, &config);
	must((config != NULL) == (errors.n == 0));
	conf_errors_fini(&errors);
	arena_fini(&arena);
	return config;
}

static bool judge(const struct config *config, uint32_t status, const char *body, size_t len,
	struct result *ret_result)
{
	const struct http_params *http = config->endpoints[0].checks[0].params;
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
	must(first.reason < REASON_N && first.verdict == reason_verdict(first.reason));
	must(first.reason == second.reason && strcmp(first.detail, second.detail) == 0);
	must(utf8_is_valid(first.detail, strlen(first.detail)));
	for (const char *c = first.detail; *c; c++)
		must((unsigned char)*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
	struct config *config = newline ? load(text, (size_t)(newline - text)) : NULL;

	if (config && config->n_endpoints == 1 && config->endpoints[0].n_checks == 1 &&
		config->endpoints[0].checks[0].kind == &check_http)
		check(config, newline + 1, size - (size_t)(newline - text) - 1);
	config_unref(config);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What fuzz_expect_json.c and fuzz_rules.c share.
 */
#include "httpcheck.h"

#include "modelhealth/base/sbuf.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/yaml.h"
#include "modelhealth/text/sanitise.h"

#include <string.h>

static struct config *load(const struct sbuf *yaml)
{
	struct conf_errors errors = { 0 };
	struct config *config = NULL;
	struct node *root = NULL;
	struct arena arena = ARENA_INIT;

	if (yaml_parse(&arena, "fuzz.yaml", yaml->data, yaml->len, &errors, &root) == 0)
		(void)conf_build(root, check_kinds, NULL, &errors, &config);
	must((config != NULL) == (errors.n == 0));
	conf_errors_fini(&errors);
	arena_fini(&arena);
	return config;
}

struct config *http_config(const char *before, const uint8_t *data, size_t size, const char *after,
	const char **ret_rest, size_t *ret_len)
{
	_cleanup_(sbuf_fini) struct sbuf yaml = SBUF_INIT;
	const char *text = (const char *)data;
	const char *newline = size > 0 ? memchr(text, '\n', size) : NULL;
	struct config *config;

	if (!newline)
		return NULL;
	sbuf_puts(&yaml, before);
	sbuf_add(&yaml, text, (size_t)(newline - text));
	sbuf_puts(&yaml, after);
	*ret_rest = newline + 1;
	*ret_len = size - (size_t)(newline + 1 - text);
	config = load(&yaml);
	if (config && config->n_endpoints == 1 && config->endpoints[0].n_checks == 1 &&
		config->endpoints[0].checks[0].kind == &check_http)
		return config;
	return config_unref(config);
}

const struct http_params *http_params_of(const struct config *config)
{
	return config->endpoints[0].checks[0].params;
}

void must_agree(const struct result *first, const struct result *second)
{
	must(first->reason < REASON_N && first->verdict < VERDICT_N);
	must(first->reason == second->reason && strcmp(first->detail, second->detail) == 0);
	must(utf8_is_valid(first->detail, strlen(first->detail)));
	for (const char *c = first->detail; *c; c++)
		must((unsigned char)*c >= ' ' && *c != 0x7f);
}

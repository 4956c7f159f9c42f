/* SPDX-License-Identifier: MIT */
/*
 * The kinds that tests of the configuration are written against, so that they do not change with
 * the real ones.
 */
#include "fake_kind.h"

#include "modelhealth/base/rand.h"

#include <string.h>

int fake_kind_live;

static int parse_status(struct conf_scope *scope, const struct node *node, void *field)
{
	if (u64_parse(node->text, field) < 0)
		return conf_error(
			scope, node, "expected a status like 200, got %s", conf_got(scope, node));
	return 0;
}

static void print_status(struct sbuf *out, const void *field)
{
	sbuf_put_u64(out, *(const uint64_t *)field);
}

static const struct conf_custom status = { parse_status, print_status, "{\"type\":\"integer\"}" };

static const char *const versions[] = { "auto", "1.1", "2", NULL };

/* clang-format off */
static const struct conf_key expect_keys[] = {
	{ .name = "status", .type = CONF_CUSTOM, .custom = &status, .fallback = "200",
	  .offset = offsetof(struct fake_expect, status), .help = "Expected status." },
	{ .name = "latency", .example = "1s", .type = CONF_DURATION, .offset = offsetof(struct fake_expect, latency),
	  .help = "Most time." },
	CONF_END,
};

#define FIELD(member) .offset = offsetof(struct fake_params, member)

static const struct conf_key fake_keys[] = {
	{ .name = "url", .type = CONF_URL, .is_required = true, FIELD(url), .effect = EFFECT_RESTART,
	  .example = "http://10.0.0.5:8000", .help = "What to ask." },
	{ .name = "method", .type = CONF_STRING, .fallback = "GET", FIELD(method), .effect = EFFECT_RESTART,
	  .help = "Method." },
	{ .name = "body", .example = "hello", .type = CONF_STRING, FIELD(body), .help = "Body." },
	{ .name = "headers", .example = "{ X-A: b }", .type = CONF_STRING_MAP, FIELD(headers), .help = "Headers." },
	{ .name = "api_key", .example = "sk-123", .type = CONF_SECRET, FIELD(api_key), .help = "Key." },
	{ .name = "models", .example = "[ m1, m2 ]", .type = CONF_STRING_LIST, FIELD(models), .help = "Models." },
	{ .name = "max_body", .type = CONF_SIZE, .min = "1KiB", .max = "1MiB", .fallback = "64KiB",
	  FIELD(max_body), .help = "Most bytes." },
	{ .name = "budget", .example = "5/1m", .type = CONF_RATE, FIELD(budget), .help = "Budget." },
	{ .name = "expect", .type = CONF_SECTION, .section = expect_keys, FIELD(expect), .help = "Expected." },
	{ .name = "version", .type = CONF_ENUM, .choices = versions, .fallback = "auto", FIELD(version),
	  .help = "Version." },
	{ .name = "reuse", .type = CONF_BOOL, .fallback = "false", FIELD(reuse), .help = "Keep connections." },
	CONF_END,
};

static const struct conf_key bare_keys[] = {
	{ .name = "url", .type = CONF_URL, .is_required = true, .offset = 0, .example = "http://10.0.0.5",
	  .help = "What to ask." },
	CONF_END,
};

/* clang-format on */

static int compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	_unused_ struct check_spec *spec, void *data)
{
	struct fake_params *params = data;

	fake_kind_live++;
	params->is_compiled = true;
	if (!params->url)
		return -EINVAL; /* which has been said */
	if (strncmp(params->url, "http", 4) != 0)
		return conf_error(scope, conf_node(scope, "url"), "expected http:// or https://");
	endpoint->host = params->url;
	endpoint->key_hash =
		secret_is_set(params->api_key) ? hash_text(secret_expose(params->api_key)) : 0;
	return 0;
}

static void dispose(const void *data)
{
	const struct fake_params *params = data;

	if (params->is_compiled)
		fake_kind_live--;
}

static const struct check_kind fake = {
	.name = "fake",
	.keys = fake_keys,
	.params_size = sizeof(struct fake_params),
	.compile = compile,
	.dispose = dispose,
};

static const struct check_kind bare = {
	.name = "bare",
	.keys = bare_keys,
	.params_size = sizeof(const char *),
};

const struct check_kind *const fake_kinds[] = { &fake, &bare, NULL };

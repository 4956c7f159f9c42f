/* SPDX-License-Identifier: MIT */
/*
 * The http check's configuration: its key table and what the keys compile to. The parameters are
 * part of the configuration and constant after load.
 */
#include "modelhealth/checks/httpparams.h"

#include "modelhealth/core/expectkeys.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const on_limit_choices[] = { "fail", "status_only", NULL };

const struct conf_key http_keys[] = {
	{ .name = "body",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, body),
		.example = "'{\"ping\": true}'",
		.help = "Request body. ${model} and the variables in it are filled, in a JSON body "
			"with the escapes of a JSON string. Set Content-Type under headers." },
	ERRORS_KEY(struct http_params, errors),
	{ .name = "expect",
		.type = CONF_SECTION,
		.section = expect_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, expect),
		.help = "What a good answer looks like." },
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "0",
		.max = "16MiB",
		.fallback = "64KiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, max_body_bytes),
		.help = "Most bytes of a body to read, counted after decoding." },
	{ .name = "method",
		.type = CONF_STRING,
		.fallback = "GET",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, method),
		.help = "Request method." },
	{ .name = "on_limit",
		.type = CONF_ENUM,
		.fallback = "fail",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, on_limit),
		.choices = on_limit_choices,
		.help = "What a body over max_body_bytes means: body_too_large, or with status_only "
			"reading stops there and status and headers decide." },
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, path),
		.example = "/health",
		.help = "Asks this path instead of that of url; for several checks of one endpoint. "
			"Where type is a server like vllm it is joined to url. ${model} and the "
			"variables in it are filled." },
	{ .name = "redirects",
		.type = CONF_U16,
		.min = "0",
		.max = "3",
		.fallback = "0",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, redirects),
		.help = "Most redirects to follow. Headers, keys and the client certificate go to "
			"the origin of url only. Refused are other schemes, a body to another "
			"origin, and https to http while a secret is configured." },
	{ .name = "reuse",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, reuse),
		.help = "Keeps the connection between checks. Cheaper, but a listener that is gone "
			"is noticed only when the connection breaks; results over a kept connection "
			"are marked." },
	RULES_KEY(struct http_params, rules),
	CLIENT_KEYS(struct http_params),
	CONF_END,
};

/* RFC 9110 token. Headers are checked by the loader. */
static bool is_token(const char *text)
{
	if (text[0] == '\0')
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text))
			return false;
	}
	return true;
}

/* Any token is a method, but no server knows one like "get": methods have a case. */
static int check_method(const struct http_params *http, struct conf_scope *scope)
{
	static const char *const known[] = { "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST",
		"PUT" };
	const char *near = NULL;

	for (size_t i = 0; i < array_size(known); i++) {
		if (strcasecmp(http->method, known[i]) == 0 && strcmp(http->method, known[i]) != 0)
			near = known[i];
	}
	if (is_token(http->method) && !near)
		return 0;
	return conf_error(scope, conf_node(scope, "method"), "\"%s\" is not a method%s%s%s",
		http->method, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static bool is_json(const char *body)
{
	return body[strspn(body, " \t\r\n")] == '{' || body[strspn(body, " \t\r\n")] == '[';
}

static int fill_body(struct http_params *http, struct conf_scope *scope, const char *model)
{
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	int r;

	http->filled_body = http->body;
	if (!http->body || !strstr(http->body, "${"))
		return 0;
	r = client_check_names(&http->client, scope, "body", http->body, model, NULL, 0);
	if (r < 0)
		return r;
	client_expand(&http->client, http->body, model, NULL, 0,
		is_json(http->body) ? TEMPLATE_JSON : TEMPLATE_PLAIN, &filled);
	http->filled_body =
		filled.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&filled));
	return http->filled_body ? 0 : -ENOMEM;
}

static int join_path(struct http_params *http, struct conf_scope *scope, const char *model)
{
	int (*join)(const struct client *, struct conf_scope *, const char *, const char *,
		const char *, struct url **) =
		http->client.is_base ? client_url : client_url_instead;
	int r = http->path ? join(&http->client, scope, "path", http->path, model, &http->joined)
			   : 0;

	http->url = http->path ? http->joined : http->client.target.url;
	return r;
}

static int check_expect(const struct http_params *http, struct conf_scope *scope)
{
	static const char *const keys[] = { "expect.cert_expires_in", "expect.spki_sha256",
		"expect.tls_version" };
	const struct node *fallback = conf_node(scope, "expect");

	if (!expect_needs_tls(&http->expect) || http->client.target.url->is_tls)
		return 0;
	for (size_t i = 0; i < array_size(keys); i++) {
		const struct node *node = conf_node(scope, keys[i]);

		if (node->key && strcmp(node->key, strchr(keys[i], '.') + 1) == 0)
			return conf_error(scope, node, "needs an https URL");
	}
	return conf_error(scope, fallback, "what is expected of a certificate needs an https URL");
}

int http_compile(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params)
{
	struct http_params *http = params;
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	int r = check_method(http, scope);

	(void)spec;
	http->client.target.may_turn_to_tls = http->redirects > 0;
	r = conf_worse(r,
		client_compile(&http->client, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint));
	r = conf_worse(r, fill_body(http, scope, model));
	r = conf_worse(r, expect_check(scope, &http->expect));
	if (!http->client.target.url)
		return r;
	r = conf_worse(r, check_expect(http, scope));
	return conf_worse(r, join_path(http, scope, model));
}

void http_dispose(const void *params)
{
	const struct http_params *http = params;

	expect_dispose(&http->expect);
	url_free(http->joined);
	client_dispose(&http->client);
}

/* SPDX-License-Identifier: MIT */
/*
 * The http check's configuration: its key table and what the keys compile to. The parameters are
 * part of the configuration and constant after load.
 */
#include "modelhealth/checks/httpparams.h"

#include "modelhealth/base/rand.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char user_agent[] = "modelhealthd/" MODELHEALTH_VERSION;

const struct http_header http_user_agent = { "User-Agent", { user_agent } };

static const char *const on_limit_choices[] = { "fail", "status_only", NULL };
static const char *const version_choices[] = { "auto", "1.1", "2", "2-direct", NULL };

const struct conf_key http_keys[] = {
	{ .name = "api_key",
		.type = CONF_SECRET,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, api_key),
		.example = "${credential:chat-key}",
		.help = "Sent as Authorization: Bearer, to the origin of url and nowhere else." },
	{ .name = "body",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, body),
		.example = "'{\"ping\": true}'",
		.help = "Request body, sent as it is. Set Content-Type under headers." },
	{ .name = "expect",
		.type = CONF_SECTION,
		.section = expect_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, expect),
		.help = "What a good answer looks like." },
	{ .name = "headers",
		.type = CONF_STRING_MAP,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, headers),
		.example = "{ Accept: application/json }",
		.help = "Request headers; they go to the origin of url and nowhere else." },
	{ .name = "http_version",
		.type = CONF_ENUM,
		.fallback = "auto",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, http_version),
		.choices = version_choices,
		.help = "auto takes HTTP/2 when TLS offers it, else 1.1. With 2 an answer in HTTP/1 "
			"is a protocol_error; 2-direct speaks HTTP/2 without TLS and without asking. "
			"Ask for HTTP/2 over http:// only of servers that you trust: without TLS a "
			"flood of HTTP/2 frames can delay other checks by seconds." },
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "0",
		.max = "16MiB",
		.fallback = "64KiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, max_body_bytes),
		.help = "Most bytes of a body to read, counted after decoding." },
	{ .name = "max_header_bytes",
		.type = CONF_SIZE,
		.min = "1KiB",
		.max = "256KiB",
		.fallback = "32KiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct http_params, max_header_bytes),
		.help = "Most bytes of response headers to read." },
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
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, path),
		.example = "/health",
		.help = "Asks this path instead of that of url; for several checks of one endpoint." },
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
	TARGET_KEYS(struct http_params),
	{ .name = "reuse",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, reuse),
		.help = "Keeps the connection between checks. Cheaper, but a listener that is gone "
			"is noticed only when the connection breaks; results over a kept connection "
			"are marked." },
	{ .name = "url",
		.type = CONF_URL,
		.is_required = true,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct http_params, target.url_text),
		.example = "https://models.example.com/healthz",
		.help = "What to ask: http:// or https://. User and password in it are sent as "
			"Basic authorization and never shown." },
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

static bool has_header(const struct http_params *http, const char *name)
{
	for (size_t i = 0; i < http->n_sent; i++) {
		if (strcasecmp(http->sent[i].name, name) == 0)
			return true;
	}
	return false;
}

static int add_header(struct http_params *http, const char *name, char *value)
{
	if (!value)
		return -ENOMEM;
	http->sent[http->n_sent++] = (struct http_header){ name, secret_from(value) };
	return 0;
}

/* RFC 4648 with padding, into arena memory. */
static char *base64(struct arena *arena, const char *text, size_t len)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(arena, (len + 2) / 3 * 4 + 1);
	char *end = out;

	for (size_t i = 0; out && i < len; i += 3) {
		size_t n = min_of(len - i, (size_t)3);
		uint32_t bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < n ? (unsigned char)text[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*end++ = k <= n ? letters[bits >> (18 - 6 * k) & 63] : '=';
	}
	return out;
}

static char *basic_value(struct arena *arena, const struct url *url)
{
	char *pair = arena_printf(
		arena, "%s:%s", secret_expose(url->user), secret_expose(url->password));
	char *encoded = pair ? base64(arena, pair, strlen(pair)) : NULL;
	char *value = encoded ? arena_printf(arena, "Basic %s", encoded) : NULL;

	if (pair)
		explicit_bzero(pair, strlen(pair));
	if (encoded)
		explicit_bzero(encoded, strlen(encoded));
	return value;
}

enum {
	MADE_UP_HEADERS = 3
};

/* All headers of a request to the configured origin; what is configured wins. */
static int build_headers(struct http_params *http, struct arena *arena)
{
	const struct url *url = http->target.url;
	int r = 0;

	http->sent = arena_calloc(arena, http->headers.n + MADE_UP_HEADERS, sizeof *http->sent);
	if (!http->sent)
		return -ENOMEM;
	for (size_t i = 0; i < http->headers.n; i++)
		http->sent[http->n_sent++] = (struct http_header){
			http->headers.items[i].name,
			http->headers.items[i].value,
		};
	if (secret_is_set(http->api_key) && !has_header(http, "Authorization"))
		r = add_header(http, "Authorization",
			arena_printf(arena, "Bearer %s", secret_expose(http->api_key)));
	if (r == 0 && secret_is_set(url->user) && !has_header(http, "Authorization"))
		r = add_header(http, "Authorization", basic_value(arena, url));
	if (r == 0 && !has_header(http, "User-Agent"))
		r = add_header(http, http_user_agent.name,
			arena_strdup(arena, secret_expose(http_user_agent.value)));
	return r;
}

/* The credential, so that limits per key see one key at several endpoints. */
static uint64_t hash_key(const struct http_params *http)
{
	for (size_t i = 0; i < http->n_sent; i++) {
		if (strcasecmp(http->sent[i].name, "Authorization") == 0)
			return hash_text(secret_expose(http->sent[i].value));
	}
	for (size_t i = 0; i < http->headers.n; i++) {
		if (http->headers.items[i].is_secret)
			return hash_text(secret_expose(http->headers.items[i].value));
	}
	return 0;
}

/* Replaces the path of url. User and password are in the headers by now. */
static int join_path(struct http_params *http, struct conf_scope *scope)
{
	struct url *base = http->target.url;
	struct url *joined;
	const char *error;
	int r;

	if (!http->path)
		return 0;
	if (http->path[0] != '/' || http->path[1] == '/')
		return conf_error(
			scope, conf_node(scope, "path"), "expected a path that begins with one /");
	r = url_join(base, http->path, 1u << base->scheme, &joined, &error);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return conf_error(scope, conf_node(scope, "path"), "the URL %s", error);
	http->target.url = joined;
	url_free(base);
	return 0;
}

static int check_expect(const struct http_params *http, struct conf_scope *scope)
{
	static const char *const keys[] = { "expect.cert_expires_in", "expect.spki_sha256",
		"expect.tls_version" };
	const struct node *fallback = conf_node(scope, "expect");

	if (!expect_needs_tls(&http->expect) || http->target.url->is_tls)
		return 0;
	for (size_t i = 0; i < array_size(keys); i++) {
		const struct node *node = conf_node(scope, keys[i]);

		if (node->key && strcmp(node->key, strchr(keys[i], '.') + 1) == 0)
			return conf_error(scope, node, "needs an https URL");
	}
	return conf_error(scope, fallback, "what is expected of a certificate needs an https URL");
}

/* Whether a redirect could give something away. */
static bool find_secret(const struct http_params *http)
{
	for (size_t i = 0; i < http->headers.n; i++) {
		if (http->headers.items[i].is_secret)
			return true;
	}
	return secret_is_set(http->api_key) || secret_is_set(http->target.url->user) ||
	       http->target.identity;
}

int http_compile(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params)
{
	struct http_params *http = params;
	int r;

	(void)spec;
	if (!is_token(http->method))
		return conf_error(
			scope, conf_node(scope, "method"), "\"%s\" is not a method", http->method);
	http->target.may_turn_to_tls = http->redirects > 0;
	r = target_compile(&http->target, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint);
	if (r == 0)
		r = check_expect(http, scope);
	if (r == 0)
		r = build_headers(http, conf_arena(scope));
	if (r < 0)
		return r;
	http->has_secret = find_secret(http);
	endpoint->key_hash = hash_key(http);
	return join_path(http, scope);
}

void http_dispose(const void *params)
{
	const struct http_params *http = params;

	for (size_t i = http->headers.n; i < http->n_sent; i++)
		secret_wipe(&http->sent[i].value);
	expect_dispose(&http->expect);
	target_dispose(&http->target);
}

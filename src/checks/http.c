/* SPDX-License-Identifier: MIT */
/*
 * The http check: one request, judged by its status. The engine starts and cancels it; the
 * transfer engine does the rest. Parameters live with the configuration, what is kept between
 * checks hangs on the probe.
 */
#include "modelhealth/base/rand.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/checks/target.h"
#include "modelhealth/io/io.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum on_limit {
	ON_LIMIT_FAIL,
	ON_LIMIT_STATUS_ONLY
};

static const char *const on_limit_choices[] = { "fail", "status_only", NULL };
static const char *const version_choices[] = { "auto", "1.1", "2", "2-direct", NULL };

struct http_params {
	/* filled by the key table */
	struct target target;
	const char *method, *path, *body;
	struct conf_map headers;
	struct secret api_key;
	int http_version; /* enum http_version */
	int on_limit;
	bool reuse;
	uint64_t max_header_bytes, max_body_bytes;
	/* filled by compile */
	struct http_header *sent; /* configured and made up */
	size_t n_sent;
};

struct http_probe {
	struct probe *probe;
	struct http_lane *lane;
	struct http_transfer *transfer; /* NULL = idle */
};

static const struct conf_key http_keys[] = {
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
			"is a protocol_error; 2-direct speaks HTTP/2 without TLS and without asking." },
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

/* ---- load ---- */

/* RFC 9110 token: a method or a header name. */
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

/* Nothing that could end the line and begin another header. */
static bool is_header_value(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static int check_headers(const struct http_params *http, struct conf_scope *scope)
{
	for (size_t i = 0; i < http->headers.n; i++) {
		const struct conf_pair *header = &http->headers.items[i];

		if (!is_token(header->name))
			return conf_error(scope, conf_node(scope, "headers"),
				"\"%s\" is not a header name", header->name);
		if (!is_header_value(secret_expose(header->value)))
			return conf_error(scope, conf_node(scope, "headers"),
				"the value of %s has a line break or control character",
				header->name);
	}
	if (!is_header_value(secret_expose(http->api_key)))
		return conf_error(scope, conf_node(scope, "api_key"),
			"the key has a line break or control character");
	return 0;
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
		r = add_header(http, "User-Agent",
			arena_strdup(arena, "modelhealthd/" MODELHEALTH_VERSION));
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

static int http_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct http_params *http = params;
	int r;

	(void)spec;
	if (!is_token(http->method))
		return conf_error(
			scope, conf_node(scope, "method"), "\"%s\" is not a method", http->method);
	r = check_headers(http, scope);
	if (r == 0)
		r = target_compile(
			&http->target, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint);
	if (r == 0)
		r = build_headers(http, conf_arena(scope));
	if (r == 0)
		r = join_path(http, scope);
	if (r == 0)
		endpoint->key_hash = hash_key(http);
	return r;
}

static void http_dispose(const void *params)
{
	const struct http_params *http = params;

	for (size_t i = http->headers.n; i < http->n_sent; i++)
		secret_wipe(&http->sent[i].value);
	target_dispose(&http->target);
}

/* ---- run ---- */

/* What a status says when it is not an expected one. */
static const struct {
	uint32_t from, to;
	enum reason reason;
} status_reasons[] = {
	{ 401, 401, REASON_AUTH_FAILED },
	{ 403, 403, REASON_AUTH_FAILED },
	{ 407, 407, REASON_AUTH_FAILED },
	{ 429, 429, REASON_RATE_LIMITED },
	{ 500, 599, REASON_SERVER_ERROR },
};

static enum reason reason_of_status(uint32_t status)
{
	for (size_t i = 0; i < array_size(status_reasons); i++) {
		if (status >= status_reasons[i].from && status <= status_reasons[i].to)
			return status_reasons[i].reason;
	}
	return REASON_HTTP_STATUS;
}

static void judge(struct result *result)
{
	if (result->reason != REASON_OK)
		return;
	if (result->http_status < 200 || result->http_status > 299)
		result_set(result, reason_of_status(result->http_status), "status %u",
			result->http_status);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct http_probe *state = arg;

	(void)transfer;
	state->transfer = NULL;
	state->probe->result = outcome->result;
	judge(&state->probe->result);
	state->probe->done(state->probe);
}

static struct http_probe *prepare(struct probe *probe)
{
	struct http_probe *state = probe->priv;

	if (state)
		return state;
	state = calloc(1, sizeof *state);
	if (!state)
		return NULL;
	state->probe = probe;
	state->lane = http_lane_new(probe->io->httpc);
	if (!state->lane) {
		free(state);
		return NULL;
	}
	probe->priv = state;
	return state;
}

static void http_probe_start(struct probe *probe)
{
	const struct http_params *http = probe->spec->params;
	struct http_probe *state = prepare(probe);
	struct http_request request = {
		.method = http->method,
		.headers = http->sent,
		.n_headers = http->n_sent,
		.body = http->body,
		.body_len = http->body ? strlen(http->body) : 0,
		.version = (enum http_version)http->http_version,
		.reuse = http->reuse ? HTTP_REUSE : HTTP_FRESH,
		.max_header_bytes = http->max_header_bytes,
		.max_body_bytes = http->max_body_bytes,
		.is_body_cut = http->on_limit == ON_LIMIT_STATUS_ONLY,
	};
	struct http_handlers handlers = { .on_done = on_done, .arg = state };

	target_request(&http->target, probe, &request);
	if (state && http_start(probe->io->httpc, state->lane, &request, &handlers,
			     &state->transfer) == 0)
		return;
	result_set(&probe->result, REASON_LOCAL_MEMORY, NULL);
	probe->done(probe);
}

static void http_probe_cancel(struct probe *probe)
{
	struct http_probe *state = probe->priv;

	http_cancel(take_ptr(state->transfer));
}

static void http_probe_fini(struct probe *probe)
{
	struct http_probe *state = probe->priv;

	if (!state)
		return;
	http_lane_free(state->lane);
	free(state);
	probe->priv = NULL;
}

const struct check_kind check_http = {
	.name = "http",
	.keys = http_keys,
	.params_size = sizeof(struct http_params),
	.compile = http_compile,
	.dispose = http_dispose,
	.start = http_probe_start,
	.cancel = http_probe_cancel,
	.fini = http_probe_fini,
};

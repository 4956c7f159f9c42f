/* SPDX-License-Identifier: MIT */
/*
 * The half of a configuration that all HTTP check kinds share: headers, credentials, and the URLs
 * made of templates. Part of the kinds' params; constant after load.
 */
#include "modelhealth/checks/client.h"

#include "modelhealth/base/rand.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	MADE_UP_HEADERS = 4,
	MAX_NAMES = 80, /* that a template can use: variables and what a kind adds */
};

static char user_agent[] = "modelhealthd/" MODELHEALTH_VERSION;

static const char session_token_header[] = "X-Amz-Security-Token";

const struct http_header http_user_agent = { "User-Agent", { user_agent } };
const char *const client_version_choices[] = { "auto", "1.1", "2", "2-direct", NULL };

/* ---- templates ---- */

/* Nothing of a secret in a message or on a page. */
static const char *shown_value(const struct conf_pair *pair)
{
	return pair->is_secret ? SECRET_MASK : secret_expose(pair->value);
}

static const char *exposed_value(const struct conf_pair *pair)
{
	return secret_expose(pair->value);
}

static void expand(const struct client *client, const char *text, const char *model,
	const struct template_value *more, size_t n_more, enum template_escape escape,
	const char *(*value_of)(const struct conf_pair *pair), struct sbuf *out)
{
	struct template_value values[MAX_NAMES];
	size_t n = 0;

	must(1 + client->variables.n + n_more <= array_size(values));
	for (size_t i = 0; i < n_more; i++)
		values[n++] = more[i];
	if (model)
		values[n++] = (struct template_value){ "model", model };
	for (size_t i = 0; i < client->variables.n; i++) {
		const struct conf_pair *pair = &client->variables.items[i];

		values[n++] = (struct template_value){ pair->name, value_of(pair) };
	}
	template_expand(text, values, n, escape, out);
}

void client_expand(const struct client *client, const char *text, const char *model,
	const struct template_value *more, size_t n, enum template_escape escape, struct sbuf *out)
{
	expand(client, text, model, more, n, escape, exposed_value, out);
}

int client_check_names(const struct client *client, struct conf_scope *scope, const char *key,
	const char *text, const char *model, const char *const *more, size_t n)
{
	const char *names[MAX_NAMES] = { "model" };
	size_t n_names = 1;
	size_t len;

	must(1 + client->variables.n + n <= array_size(names));
	for (size_t i = 0; i < n; i++)
		names[n_names++] = more[i];
	for (size_t i = 0; i < client->variables.n; i++)
		names[n_names++] = client->variables.items[i].name;
	if (!model && template_uses(text, "model") && !conf_is_partial(scope))
		return conf_error(scope, conf_blame(scope, key),
			"%s needs a model: set models: [ NAME ]", key);

	const char *unknown = template_unknown(text, names, n_names, &len);

	if (!unknown)
		return 0;
	if (conf_is_partial(scope))
		return -EINVAL;

	_cleanup_(freep) char *name = strndup(unknown, len);
	const char *near = name ? conf_did_you_mean(names, n_names, name) : NULL;

	if (!name)
		return -ENOMEM;
	return conf_error(scope, conf_blame(scope, key),
		"%s needs a value for ${%s}: set variables: { %s: … }%s%s%s", key, name, name,
		near ? " (did you mean ${" : "", near ? near : "", near ? "}?)" : "");
}

/* ---- headers ---- */

static bool has_header(const struct client *client, const char *name)
{
	for (size_t i = 0; i < client->n_sent; i++) {
		if (strcasecmp(client->sent[i].name, name) == 0)
			return true;
	}
	return false;
}

static int add_header(struct client *client, const char *name, char *value)
{
	if (!value)
		return -ENOMEM;
	client->sent[client->n_sent++] = (struct http_header){ name, secret_from(value) };
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

static char *key_value(struct arena *arena, const struct client *client)
{
	return arena_printf(arena, "%s%s%s", client->auth_scheme,
		client->auth_scheme[0] != '\0' ? " " : "", secret_expose(client->api_key));
}

/* All headers of a request to the configured origin; what is configured wins. */
static int build_headers(struct client *client, struct arena *arena)
{
	const struct url *url = client->target.url;
	int r = 0;

	client->sent =
		arena_calloc(arena, client->headers.n + MADE_UP_HEADERS, sizeof *client->sent);
	if (!client->sent)
		return -ENOMEM;
	for (size_t i = 0; i < client->headers.n; i++)
		client->sent[client->n_sent++] = (struct http_header){
			client->headers.items[i].name,
			client->headers.items[i].value,
		};
	if (secret_is_set(client->api_key) && !has_header(client, client->auth_header))
		r = add_header(client, client->auth_header, key_value(arena, client));
	if (r == 0 && secret_is_set(url->user) && !has_header(client, "Authorization"))
		r = add_header(client, "Authorization", basic_value(arena, url));
	if (r == 0 && secret_is_set(client->session_token))
		r = add_header(client, session_token_header,
			arena_strdup(arena, secret_expose(client->session_token)));
	if (r == 0 && !has_header(client, "User-Agent"))
		client->sent[client->n_sent++] = http_user_agent;
	return r;
}

static const struct http_header *find_sent(const struct client *client, const char *name)
{
	for (size_t i = 0; i < client->n_sent; i++) {
		if (strcasecmp(client->sent[i].name, name) == 0)
			return &client->sent[i];
	}
	return NULL;
}

/* The credential, so that limits per key see one key at several endpoints. */
static uint64_t hash_key(const struct client *client)
{
	const struct http_header *header = find_sent(client, client->auth_header);

	if (!header)
		header = find_sent(client, "Authorization");
	if (header)
		return hash_text(secret_expose(header->value));
	if (client->signature.scope)
		return hash_text(secret_expose(client->access_key));
	for (size_t i = 0; i < client->headers.n; i++) {
		if (client->headers.items[i].is_secret)
			return hash_text(secret_expose(client->headers.items[i].value));
	}
	return secret_is_set(client->target.url->user)
		       ? hash_text(secret_expose(client->target.url->user))
		       : 0;
}

static bool holds_secret(const struct conf_map *map)
{
	for (size_t i = 0; i < map->n; i++) {
		if (map->items[i].is_secret)
			return true;
	}
	return false;
}

static void mask_map(const struct conf_map *map, struct result *result)
{
	for (size_t i = 0; i < map->n; i++) {
		if (map->items[i].is_secret)
			result_mask(result, secret_expose(map->items[i].value));
	}
}

/* A secret as it is configured, and behind the scheme in front of it ("Bearer …"). */
static void mask_with_scheme(struct secret secret, struct result *result)
{
	const char *blank = strchr(secret_expose(secret), ' ');

	result_mask(result, secret_expose(secret));
	if (blank)
		result_mask(result, blank + 1);
}

void client_mask(const struct client *client, struct result *result)
{
	const struct url *url = client->target.url;

	if (result->detail[0] == '\0' || !client->has_secret)
		return;
	for (size_t i = 0; i < client->n_sent; i++) {
		/* what was made up here, and what came from elsewhere than the file */
		if (i >= client->headers.n ? client->sent[i].name != http_user_agent.name
					   : client->headers.items[i].is_secret)
			mask_with_scheme(client->sent[i].value, result);
	}
	mask_map(&client->variables, result);
	result_mask(result, secret_expose(client->secret_key));
	result_mask(result, secret_expose(url->password));
}

/* Whether a redirect could give something away. */
static bool find_secret(const struct client *client)
{
	return holds_secret(&client->headers) || holds_secret(&client->variables) ||
	       secret_is_set(client->api_key) || secret_is_set(client->secret_key) ||
	       secret_is_set(client->target.url->user) || client->target.identity;
}

static bool is_header_name(const char *name)
{
	return name[0] != '\0' && strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
					       "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(name);
}

static int check_auth(const struct client *client, struct conf_scope *scope)
{
	int r = 0;

	if (!is_header_name(client->auth_header))
		r = conf_error(
			scope, conf_node(scope, "auth_header"), "expected the name of a header");
	for (const char *at = client->auth_scheme; *at; at++) {
		if (!isgraph((unsigned char)*at))
			return conf_error(scope, conf_node(scope, "auth_scheme"),
				"expected one word, or an empty text");
	}
	return r;
}

/* What says where the request ends is written by the one who writes the request. */
static int check_headers(const struct client *client, struct conf_scope *scope)
{
	static const char *const ours[] = { "Content-Length", "Transfer-Encoding" };
	int r = 0;

	for (size_t i = 0; i < client->headers.n; i++) {
		const char *name = client->headers.items[i].name;

		for (size_t k = 0; k < array_size(ours); k++) {
			char key[sizeof "headers.Transfer-Encoding"];

			if (strcasecmp(name, ours[k]) != 0)
				continue;
			(void)snprintf(key, sizeof key, "headers.%s", name);
			r = conf_error(scope, conf_node(scope, key),
				"is made from the body; leave it out");
		}
	}
	return r;
}

/* ---- templates of the configuration ---- */

static bool has_names(const char *text)
{
	return text && strstr(text, "${");
}

/* A filled template in the arena; one without names is itself. */
static int fill(const struct client *client, struct conf_scope *scope, const char *key,
	const char *text, const char *model, enum template_escape escape, const char **ret_text)
{
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	int r;

	*ret_text = text;
	if (!has_names(text))
		return 0;
	r = client_check_names(client, scope, key, text, model, NULL, 0);
	if (r < 0)
		return r;
	client_expand(client, text, model, NULL, 0, escape, &filled);
	*ret_text = filled.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&filled));
	return *ret_text ? 0 : -ENOMEM;
}

/* ---- signatures ---- */

/* "aws:amz:us-east-1:bedrock": with less than these four, libcurl would guess from the host. */
static bool is_scope(const char *text)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

	for (unsigned parts = 1;; parts++) {
		size_t len = strspn(text, letters);

		if (len == 0)
			return false;
		text += len;
		if (*text == '\0')
			return parts == 4;
		if (*text++ != ':')
			return false;
	}
}

/* Only with a key of its own: a profile names the scope, the operator may have an api_key. */
static int set_signature(
	struct client *client, struct conf_scope *scope, const struct endpoint_spec *endpoint)
{
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	const char *filled;
	int r;

	if (secret_is_set(client->access_key) != secret_is_set(client->secret_key) &&
		!conf_is_partial(scope))
		return conf_error(scope,
			conf_node(scope,
				secret_is_set(client->access_key) ? "access_key" : "secret_key"),
			"access_key and secret_key need each other");
	if (!client->sigv4)
		return 0;
	r = fill(client, scope, "sigv4", client->sigv4, model, TEMPLATE_PLAIN, &filled);
	if (r < 0)
		return r;
	if (!is_scope(filled))
		return conf_error(scope, conf_node(scope, "sigv4"),
			"expected provider, region and service like aws:amz:us-east-1:bedrock");
	if (!secret_is_set(client->access_key))
		return 0;
	if (has_header(client, "Authorization"))
		return conf_error(scope, conf_node(scope, "access_key"),
			"requests are either signed or carry a key in Authorization, not both");
	client->signature = (struct sigv4){ filled, client->access_key, client->secret_key };
	return 0;
}

/* ---- URLs ---- */

/* The url of an endpoint whose names are filled, for display. */
static int show_url(
	const struct client *client, struct conf_scope *scope, struct endpoint_spec *endpoint)
{
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf shown = SBUF_INIT;

	expand(client, client->target.url_text, endpoint->n_models > 0 ? endpoint->models[0] : NULL,
		NULL, 0, TEMPLATE_PATH, shown_value, &filled);
	conf_redact_url(sbuf_str(&filled), &shown);
	endpoint->url = filled.failed || shown.failed
				? NULL
				: arena_strdup(conf_arena(scope), sbuf_str(&shown));
	return endpoint->url ? 0 : -ENOMEM;
}

static int fill_url(struct client *client, struct conf_scope *scope, struct endpoint_spec *endpoint)
{
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	int r;

	if (!has_names(client->target.url_text))
		return 0;
	r = fill(client, scope, "url", client->target.url_text, model, TEMPLATE_PATH,
		&client->target.url_filled);
	return r < 0 ? r : show_url(client, scope, endpoint);
}

/* base with this port and this path and query. */
static int replace(struct conf_scope *scope, const char *key, const struct url *base, uint16_t port,
	const char *target, struct url **ret_url)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	bool is_ipv6 = strchr(base->host, ':') != NULL;
	const char *error;
	int r;

	sbuf_printf(&text, "%s://%s%s%s:%u%s", base->scheme_text, is_ipv6 ? "[" : "", base->host,
		is_ipv6 ? "]" : "", port, target);
	r = text.failed ? -ENOMEM : url_parse(text.data, 1u << base->scheme, ret_url, &error);
	return r == 0 || r == -ENOMEM
		       ? r
		       : conf_error(scope, conf_node(scope, key), "the URL %s", error);
}

static int replace_port(struct client *client, struct conf_scope *scope)
{
	struct url *base = client->target.url;
	struct url *moved;
	int r;

	if (client->port == 0)
		return 0;
	r = replace(scope, "port", base, client->port, base->target, &moved);
	if (r < 0)
		return r;
	client->target.url = moved;
	url_free(base);
	return 0;
}

int client_compile(struct client *client, unsigned schemes, struct conf_scope *scope,
	struct endpoint_spec *endpoint)
{
	int r = check_auth(client, scope);
	int r_url = fill_url(client, scope, endpoint);

	r = conf_worse(r, check_headers(client, scope));
	client->is_base = endpoint->is_profile;
	if (r_url == 0)
		r_url = target_compile(&client->target, schemes, scope, endpoint);
	r = conf_worse(r, r_url);
	if (r == 0)
		r = build_headers(client, conf_arena(scope));
	if (r == 0)
		r = set_signature(client, scope, endpoint);
	if (r < 0)
		return r;
	client->has_secret = find_secret(client);
	endpoint->key_hash = hash_key(client);
	return replace_port(client, scope);
}

void client_dispose(const struct client *client)
{
	for (size_t i = client->headers.n; i < client->n_sent; i++) {
		if (client->sent[i].name != http_user_agent.name)
			secret_wipe(&client->sent[i].value);
	}
	target_dispose(&client->target);
}

/* Whether a segment of a path, which ends at a slash or at the end, is a version like v1beta. */
static bool is_version(const char *segment, size_t len)
{
	return len >= 2 && segment[0] == 'v' && isdigit((unsigned char)segment[1]);
}

/* How much of base to keep: not its query, not a slash at its end, not the version that path
 * repeats or, when it is the base of a profile, that paths bring along. */
static size_t base_length(const struct client *client, const char *base, const char *path)
{
	size_t len = strcspn(base, "?");
	size_t segment;
	size_t start;

	while (len > 0 && base[len - 1] == '/')
		len--;
	start = len;
	while (start > 0 && base[start - 1] != '/')
		start--;
	segment = len - start;
	if (start == 0 || !is_version(base + start, segment))
		return len;
	if (!client->is_base && (strncmp(path + 1, base + start, segment) != 0 ||
					strcspn(path + 1, "/?") != segment))
		return len;
	return start - 1;
}

static int check_path(struct conf_scope *scope, const char *key, const char *path)
{
	if (path[0] != '/' || path[1] == '/')
		return conf_error(
			scope, conf_node(scope, key), "expected a path that begins with one /");
	if (strpbrk(path, " \t\r\n"))
		return conf_error(scope, conf_node(scope, key),
			"expected a path without blanks, which are written %%20");
	return 0;
}

int client_url_instead(const struct client *client, struct conf_scope *scope, const char *key,
	const char *path, const char *model, struct url **ret_url)
{
	const struct url *base = client->target.url;
	int r = check_path(scope, key, path);

	if (r == 0)
		r = fill(client, scope, key, path, model, TEMPLATE_PATH, &path);
	return r < 0 ? r : replace(scope, key, base, base->port, path, ret_url);
}

int client_url(const struct client *client, struct conf_scope *scope, const char *key,
	const char *path, const char *model, struct url **ret_url)
{
	const struct url *base = client->target.url;
	_cleanup_(sbuf_fini) struct sbuf joined = SBUF_INIT;
	int r = check_path(scope, key, path);

	if (r == 0)
		r = fill(client, scope, key, path, model, TEMPLATE_PATH, &path);
	if (r < 0)
		return r;
	sbuf_add(&joined, base->target, base_length(client, base->target, path));
	sbuf_puts(&joined, path);
	return joined.failed ? -ENOMEM
			     : replace(scope, key, base, base->port, joined.data, ret_url);
}

bool client_promises_body(const char *method)
{
	return strcmp(method, "PATCH") == 0 || strcmp(method, "POST") == 0 ||
	       strcmp(method, "PUT") == 0;
}

void client_request(const struct client *client, const struct probe *probe, const struct url *url,
	struct http_request *request)
{
	target_request(&client->target, probe, request);
	request->url = url;
	request->headers = client->sent;
	request->n_headers = client->n_sent;
	request->version = (enum http_version)client->http_version;
	request->sigv4 = client->signature.scope ? &client->signature : NULL;
	request->max_header_bytes = client->max_header_bytes;
}

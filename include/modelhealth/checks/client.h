/* SPDX-License-Identifier: MIT */
/*
 * Who we are to an HTTP server and where it is: the keys that all HTTP check kinds share (http,
 * models, load, canary, scenario), what they compile to, and the part of a request they fill.
 */
#pragma once

#include "modelhealth/checks/target.h"
#include "modelhealth/core/template.h"

struct client {
	/* filled by the key table (CLIENT_KEYS) */
	struct target target;
	struct conf_map headers;
	struct conf_map variables; /* `variables:` fills ${name} in paths and bodies */
	struct secret api_key;
	const char *auth_header; /* header that carries api_key: Authorization */
	const char *auth_scheme; /* word before it: Bearer; "" = none */
	const char *sigv4;       /* template "aws:amz:${region}:bedrock"; NULL = none */
	struct secret access_key, secret_key, session_token; /* for sigv4 */
	uint16_t port;                                       /* instead of url's; 0 = url's */
	int http_version;                                    /* enum http_version */
	uint64_t max_header_bytes;                           /* of the response */
	/* filled by client_compile */
	struct sigv4 signature;   /* scope NULL = requests are not signed */
	struct http_header *sent; /* to the configured origin: the configured and the made-up */
	size_t n_sent;
	bool has_secret;
	bool is_base; /* the endpoint's type is a profile: paths stand below url */
};

extern const char *const client_version_choices[];

/* What any other origin gets. */
extern const struct http_header http_user_agent;

/* The rows of a kind's table; `params` has a struct client `client`. */
#define CLIENT_KEYS(params) CLIENT_KEYS_WITH(params, client, true)

/* The same where url may be missing. */
#define CLIENT_KEYS_WITH(params, member, is_url_required)                                            \
	{ .name = "access_key",                                                                      \
		.type = CONF_SECRET,                                                                 \
		.effect = EFFECT_RESTART,                                                            \
		.offset = offsetof(params, member.access_key),                                       \
		.example = "${credential:aws-access-key}",                                           \
		.help = "Id of the key that signs requests; see sigv4." },                           \
		{ .name = "api_key",                                                                 \
			.type = CONF_SECRET,                                                         \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.api_key),                                  \
			.example = "${credential:chat-key}",                                         \
			.help = "Sent to the origin of url and nowhere else, in auth_header after "  \
				"auth_scheme." },                                                    \
		{ .name = "auth_header",                                                             \
			.type = CONF_STRING,                                                         \
			.fallback = "Authorization",                                                 \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.auth_header),                              \
			.help = "Header that carries api_key." },                                    \
		{ .name = "auth_scheme",                                                             \
			.type = CONF_STRING,                                                         \
			.fallback = "Bearer",                                                        \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.auth_scheme),                              \
			.help = "Word before api_key in auth_header; an empty text for none." },     \
		{ .name = "headers",                                                                 \
			.type = CONF_STRING_MAP,                                                     \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.headers),                                  \
			.example = "{ Accept: application/json }",                                   \
			.help = "Request headers; they go to the origin of url and nowhere else." }, \
		{ .name = "http_version",                                                            \
			.type = CONF_ENUM,                                                           \
			.fallback = "auto",                                                          \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.http_version),                             \
			.choices = client_version_choices,                                           \
			.help = "auto takes HTTP/2 when TLS offers it and the request has no body, " \
				"else 1.1. With 2 an answer in HTTP/1 is a protocol_error; "         \
				"2-direct speaks HTTP/2 without TLS and without asking." },          \
		{ .name = "max_header_bytes",                                                        \
			.type = CONF_SIZE,                                                           \
			.min = "1KiB",                                                               \
			.max = "256KiB",                                                             \
			.fallback = "32KiB",                                                         \
			.effect = EFFECT_UPDATE,                                                     \
			.offset = offsetof(params, member.max_header_bytes),                         \
			.help = "Most bytes of response headers to read." },                         \
		{ .name = "port",                                                                    \
			.type = CONF_U16,                                                            \
			.min = "1",                                                                  \
			.max = "65535",                                                              \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.port),                                     \
			.example = "8002",                                                           \
			.help = "Asks this port instead of that of url, where a server shows its "   \
				"health or metrics elsewhere." },                                    \
		TARGET_KEYS(params, member.target),                                                  \
		{ .name = "secret_key",                                                              \
			.type = CONF_SECRET,                                                         \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.secret_key),                               \
			.example = "${credential:aws-secret-key}",                                   \
			.help = "The secret of access_key. It is never sent." },                     \
		{ .name = "session_token",                                                           \
			.type = CONF_SECRET,                                                         \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.session_token),                            \
			.example = "${file:/run/aws/session-token}",                                 \
			.help = "Sent as X-Amz-Security-Token with signed requests: keys that "      \
				"expire come with one." },                                           \
		{ .name = "sigv4",                                                                   \
			.type = CONF_TEMPLATE,                                                       \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.sigv4),                                    \
			.example = "aws:amz:${region}:bedrock",                                      \
			.help = "Signs requests with AWS Signature Version 4 for this provider, "    \
				"region and service, once access_key and secret_key are set. The "   \
				"server compares the time of the signature with its clock, so a "    \
				"wrong clock here ends in auth_failed." },                           \
		{ .name = "url",                                                                     \
			.type = CONF_URL,                                                            \
			.is_required = is_url_required,                                              \
			.effect = EFFECT_RESTART,                                                    \
			.offset = offsetof(params, member.target.url_text),                          \
			.example = "https://models.example.com/healthz",                             \
			.help = "What to ask: http:// or https://. User and password in it are "     \
				"sent as Basic authorization and never shown. Where type is a "      \
				"server like vllm it is the base that the paths of its checks are "  \
				"joined to." },                                                      \
	{                                                                                            \
		.name = "variables", .type = CONF_STRING_MAP, .effect = EFFECT_RESTART,              \
		.offset = offsetof(params, member.variables),                                        \
		.example = "{ deployment: chat, api_version: 2024-10-21 }",                          \
		.help = "What ${name} stands for in url, paths and bodies. ${model} is the first "   \
			"of models."                                                                 \
	}

/* As target_compile; also headers, key_hash of the endpoint, port. The endpoint's host stays that
 * of url. */
int client_compile(struct client *client, unsigned schemes, struct conf_scope *scope,
	struct endpoint_spec *endpoint);
void client_dispose(const struct client *client);

/*
 * The URL of a path template: ${model} and the variables filled and percent-encoded, joined to the
 * path of url (http://h/base + /v1/models = http://h/base/v1/models; a /v1 that both have stands
 * once, and a /v1 at the end of url is left out in front of a profile's paths, which bring their
 * own). key names the configuration key for messages; model NULL = there is none. An owned url in
 * *ret_url; its user and password are empty, they are among the headers.
 */
int client_url(const struct client *client, struct conf_scope *scope, const char *key,
	const char *path, const char *model, struct url **ret_url);

/* The same, but path takes the place of url's. */
int client_url_instead(const struct client *client, struct conf_scope *scope, const char *key,
	const char *path, const char *model, struct url **ret_url);

/*
 * Reports names in a template that are neither "model" (which needs `model`), nor a variable, nor
 * one of the n more. key names the configuration key. 0 or -EINVAL.
 */
int client_check_names(const struct client *client, struct conf_scope *scope, const char *key,
	const char *text, const char *model, const char *const *more, size_t n);

/* Appends a template with ${model}, the variables and the n more values filled. */
void client_expand(const struct client *client, const char *text, const char *model,
	const struct template_value *more, size_t n, enum template_escape escape, struct sbuf *out);

/* Puts *** in the place of the client's secrets in the detail: servers repeat the key that they do not
 * accept. To be called once the detail stands. */
void client_mask(const struct client *client, struct result *result);

/* Whether servers wait for a body after this method, or answer 411, unless they are told that there
 * is none: then a request without one has an empty one (RFC 9110, 8.6). */
bool client_promises_body(const char *method);

/* Fills where to, as whom and how long; the caller adds method, body and caps. url is borrowed. */
void client_request(const struct client *client, const struct probe *probe, const struct url *url,
	struct http_request *request);

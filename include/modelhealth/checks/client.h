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
	uint16_t port;           /* instead of url's; 0 = url's */
	int http_version;        /* enum http_version */
	uint64_t max_header_bytes;
	/* filled by client_compile */
	struct http_header *sent; /* to the configured origin: the configured and the made-up */
	size_t n_sent;
	bool has_secret;
};

/* As target_compile; also headers, key_hash of the endpoint, port. */
int client_compile(struct client *client, unsigned schemes, struct conf_scope *scope,
	struct endpoint_spec *endpoint);
void client_dispose(const struct client *client);

/*
 * The URL of a path template: ${model} and the variables filled and percent-encoded, joined to the
 * path of url (http://h/base + /v1/models = http://h/base/v1/models; a /v1 that both have stands
 * once). key names the configuration key for messages. An owned url in *ret_url.
 */
int client_url(const struct client *client, struct conf_scope *scope, const char *key,
	const char *path, const char *model, struct url **ret_url);

/* Fills where to, as whom and how long; the caller adds method, body and caps. url is borrowed. */
void client_request(const struct client *client, const struct probe *probe, const struct url *url,
	struct http_request *request);

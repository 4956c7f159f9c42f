/* SPDX-License-Identifier: MIT */
/*
 * Where a check connects and as whom: the keys that http and tcp share, and what they compile to.
 */
#pragma once

#include "modelhealth/core/check.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/io/httpc.h"

struct target_tls {
	bool verify;
	const char *ca_file, *cert_file, *key_file, *server_name;
};

struct target {
	/* filled by the key table */
	const char *url_text, *proxy_text, *unix_socket;
	struct target_tls tls;
	/* set by the kind before target_compile */
	bool may_turn_to_tls;   /* a plain URL may lead to a TLS one */
	const char *url_filled; /* url_text with its names filled; NULL = there are none */
	/* filled by target_compile */
	struct url *url, *proxy;
	struct tls_setup setup;
	struct tls_trust *trust;
	struct tls_identity *identity;
};

extern const struct conf_key target_tls_keys[];

/* The rows of a kind's table; `member` of struct `params` is the struct target. */
#define TARGET_KEYS(params, member)                                                                 \
	{ .name = "proxy",                                                                          \
		.type = CONF_URL,                                                                   \
		.effect = EFFECT_RESTART,                                                           \
		.offset = offsetof(params, member.proxy_text),                                      \
		.example = "http://proxy.internal:3128",                                            \
		.help = "Goes through this HTTP or SOCKS proxy (http:// or socks5h://). Proxies "   \
			"named by the environment are never used. The proxy resolves the name, so " \
			"deny_addresses holds only for its own address and for one in url, and "    \
			"it must itself refuse what it shall not reach." },                         \
		{ .name = "tls",                                                                    \
			.type = CONF_SECTION,                                                       \
			.effect = EFFECT_RESTART,                                                   \
			.offset = offsetof(params, member.tls),                                     \
			.section = target_tls_keys,                                                 \
			.help = "How the server is verified and who we are to it." },               \
	{                                                                                           \
		.name = "unix_socket", .type = CONF_STRING, .effect = EFFECT_RESTART,               \
		.offset = offsetof(params, member.unix_socket), .example = "/run/vllm/api.sock",    \
		.help = "Connects to this socket; host and port of url then only name "             \
			"the server to itself."                                                     \
	}

/*
 * Parses and loads what the keys name and sets the endpoint's host and tls_verify. schemes: bits
 * 1u << URL_x that the url may have. 0, or -EINVAL / -ENOMEM after reporting.
 */
int target_compile(struct target *target, unsigned schemes, struct conf_scope *scope,
	struct endpoint_spec *endpoint);

void target_dispose(const struct target *target);

/* Fills the part of a request that says where to and how long. */
void target_request(
	const struct target *target, const struct probe *probe, struct http_request *request);

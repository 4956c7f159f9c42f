/* SPDX-License-Identifier: MIT */
/*
 * The connecting half of a check's configuration: url, tls, proxy, unix socket. Owned by the
 * params of the http and tcp checks.
 */
#include "modelhealth/checks/target.h"

#include "modelhealth/base/sbuf.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

const struct conf_key target_tls_keys[] = {
	{ .name = "ca_file",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct target_tls, ca_file),
		.example = "/etc/ssl/private-ca.pem",
		.help = "PEM file with the certificate authorities to trust; the system's when "
			"unset. Read at load and reload. The paths of tls are relative to the "
			"directory of this file." },
	{ .name = "cert_file",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct target_tls, cert_file),
		.example = "/etc/modelhealthd/client.pem",
		.help = "PEM file with our client certificate and its chain; needs key_file." },
	{ .name = "key_file",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct target_tls, key_file),
		.example = "/etc/modelhealthd/client.key",
		.help = "PEM file with the key of cert_file, without a passphrase." },
	{ .name = "server_name",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct target_tls, server_name),
		.example = "models.example.com",
		.help = "Name to ask for (SNI) and to verify in the certificate, when it is not the "
			"host of url." },
	{ .name = "verify",
		.type = CONF_BOOL,
		.fallback = "true",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct target_tls, verify),
		.is_main = true,
		.help = "Whether the certificate must be valid. Switching it off is shown wherever "
			"the endpoint is shown. A fresh connection resumes a TLS session that was "
			"verified at most five minutes ago; asserting cert_expires_in or "
			"spki_sha256 makes each check look at the certificate itself." },
	CONF_END,
};

static int parse_url(struct conf_scope *scope, const char *key, const char *text, unsigned schemes,
	struct url **ret_url)
{
	const char *error;
	int r = url_parse(text, schemes, ret_url, &error);

	if (r == -ENOMEM)
		return r;
	if (r == -EPROTONOSUPPORT || (r < 0 && !strstr(text, "://"))) {
		_cleanup_(sbuf_fini) struct sbuf names = SBUF_INIT;

		url_scheme_names(schemes, &names);
		return conf_error(scope, conf_node(scope, key),
			"expected a URL that begins with %s", sbuf_str(&names));
	}
	return r < 0 ? conf_error(scope, conf_node(scope, key), "the URL %s", error) : 0;
}

/* It becomes the host of the URL that libcurl sees, so nothing else may hide in it. */
static int check_server_name(const struct target *target, struct conf_scope *scope)
{
	_cleanup_(url_freep) struct url *url = NULL;
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	const char *name = target->tls.server_name;
	const char *error;
	int r;

	if (!name)
		return 0;
	sbuf_printf(&text, "https://%s/", name);
	r = text.failed ? -ENOMEM : url_parse(text.data, 1u << URL_HTTPS, &url, &error);
	if (r == 0 && strcasecmp(url->host, name) == 0)
		return 0;
	return r == -ENOMEM ? r
			    : conf_error(scope, conf_node(scope, "tls.server_name"),
				      "expected a host name or IPv4 address");
}

static int load_trust(struct target *target, struct conf_scope *scope)
{
	int r;

	if (!target->tls.verify)
		return 0;
	r = tls_trust_new(target->tls.ca_file, &target->trust);
	if (r == 0 || r == -ENOMEM)
		return r;
	return conf_error(scope, conf_node(scope, "tls.ca_file"),
		"cannot load certificate authorities from %s: %s",
		target->tls.ca_file ? target->tls.ca_file : "the system's bundle",
		r == -EBADMSG ? "there is no PEM certificate in it" : strerrordesc_np(-r));
}

static int load_identity(struct target *target, struct conf_scope *scope)
{
	const struct target_tls *tls = &target->tls;
	int r;

	if (!tls->cert_file && !tls->key_file)
		return 0;
	if ((!tls->cert_file || !tls->key_file) && conf_is_partial(scope))
		return -EINVAL;
	if (!tls->cert_file || !tls->key_file)
		return conf_error(scope,
			conf_node(scope, tls->cert_file ? "tls.cert_file" : "tls.key_file"),
			"cert_file and key_file need each other");
	r = tls_identity_new(tls->cert_file, tls->key_file, &target->identity);
	if (r == 0 || r == -ENOMEM)
		return r;
	return conf_error(scope, conf_node(scope, "tls.cert_file"), "cannot load %s and %s: %s",
		tls->cert_file, tls->key_file,
		r == -EBADMSG ? "not PEM, or key and certificate do not match"
			      : strerrordesc_np(-r));
}

static int check_unix_socket(const struct target *target, struct conf_scope *scope)
{
	const struct sockaddr_un *address = NULL;

	if (!target->unix_socket)
		return 0;
	if (target->unix_socket[0] != '/')
		return conf_error(
			scope, conf_node(scope, "unix_socket"), "expected an absolute path");
	if (strlen(target->unix_socket) >= sizeof address->sun_path)
		return conf_error(scope, conf_node(scope, "unix_socket"),
			"a socket path has at most %zu bytes", sizeof address->sun_path - 1);
	if (target->proxy_text)
		return conf_error(scope, conf_node(scope, "unix_socket"),
			"a unix socket is not reached through a proxy");
	return 0;
}

static int set_host(
	const struct target *target, struct conf_scope *scope, struct endpoint_spec *endpoint)
{
	bool is_ipv6 = strchr(target->url->host, ':') != NULL;

	endpoint->host = target->unix_socket ? target->unix_socket
					     : arena_printf(conf_arena(scope), "%s%s%s:%u",
						       is_ipv6 ? "[" : "", target->url->host,
						       is_ipv6 ? "]" : "", target->url->port);
	return endpoint->host ? 0 : -ENOMEM;
}

static int resolve_paths(struct target_tls *tls, struct conf_scope *scope)
{
	int r = conf_resolve_path(scope, "tls.ca_file", &tls->ca_file);

	if (r == 0)
		r = conf_resolve_path(scope, "tls.cert_file", &tls->cert_file);
	return r < 0 ? r : conf_resolve_path(scope, "tls.key_file", &tls->key_file);
}

/* All that is wrong with how to get there. */
static int compile_way(struct target *target, struct conf_scope *scope)
{
	bool is_tls = target->url && target->url->is_tls;
	int r = check_unix_socket(target, scope);

	if (resolve_paths(&target->tls, scope) < 0)
		return -ENOMEM;
	if (target->proxy_text)
		r = conf_worse(r, parse_url(scope, "proxy", target->proxy_text,
					  1u << URL_HTTP | 1u << URL_SOCKS5H, &target->proxy));
	if (is_tls || target->may_turn_to_tls)
		r = conf_worse(r, load_trust(target, scope));
	if (is_tls)
		r = conf_worse(r, check_server_name(target, scope));
	if (is_tls)
		r = conf_worse(r, load_identity(target, scope));
	return r;
}

int target_compile(struct target *target, unsigned schemes, struct conf_scope *scope,
	struct endpoint_spec *endpoint)
{
	const char *text = target->url_filled ? target->url_filled : target->url_text;
	int r = text ? parse_url(scope, "url", text, schemes, &target->url) : -EINVAL;

	r = conf_worse(r, compile_way(target, scope));
	if (r < 0)
		return r;
	target->setup = (struct tls_setup){
		.is_verified = target->tls.verify,
		.trust = target->trust,
		.identity = target->identity,
	};
	if (target->url->is_tls && !target->tls.verify)
		endpoint->tls_verify = false;
	return set_host(target, scope, endpoint);
}

void target_dispose(const struct target *target)
{
	url_free(target->url);
	url_free(target->proxy);
	tls_trust_unref(target->trust);
	tls_identity_free(target->identity);
}

void target_request(
	const struct target *target, const struct probe *probe, struct http_request *request)
{
	const struct config *config = probe->spec->endpoint->config;

	must(config); /* without it there is no deny list */
	request->url = target->url;
	request->proxy = target->proxy;
	request->unix_socket = target->unix_socket;
	request->server_name = target->url->is_tls ? target->tls.server_name : NULL;
	request->tls = &target->setup;
	request->deny = config->deny_addresses;
	request->n_deny = config->n_deny_addresses;
	request->timeout = probe->spec->timeout;
	request->begun_at = probe->t0;
}

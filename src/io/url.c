/* SPDX-License-Identifier: MIT */
/*
 * A thin layer over libcurl's URL parser: which schemes we know, what we refuse, and one value
 * with everything in it. The checks hold what they configure, redirects make short-lived ones.
 */
#include "modelhealth/io/url.h"

#include <curl/curl.h>

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint16_t port; /* 0 = must be written */
	bool is_tls;
} schemes_known[] = {
	[URL_GRPC] = { "grpc", 80, false },
	[URL_GRPCS] = { "grpcs", 443, true },
	[URL_HTTP] = { "http", 80, false },
	[URL_HTTPS] = { "https", 443, true },
	[URL_SOCKS5H] = { "socks5h", 1080, false },
	[URL_TCP] = { "tcp", 0, false },
	[URL_TLS] = { "tls", 0, true },
};

static_assert(array_size(schemes_known) == URL_SCHEME_N, "one row per scheme");

static const char bad_port[] =
	"has no usable port: a number from 1 to 65535 (an IPv6 address stands in [ and ])";

/* Parts as libcurl hands them out; each is freed by curl_free. */
struct parts {
	char *scheme, *host, *port, *path, *query, *user, *password, *zone;
};

static void curlu_freep(CURLU **handle)
{
	curl_url_cleanup(*handle);
}

static void parts_fini(struct parts *parts)
{
	char *all[] = { parts->scheme, parts->host, parts->port, parts->path, parts->query,
		parts->user, parts->password, parts->zone };

	if (parts->password)
		explicit_bzero(parts->password, strlen(parts->password));
	for (size_t i = 0; i < array_size(all); i++)
		curl_free(all[i]);
}

/* A part that may be missing is NULL then; only a lack of memory is an error. */
static bool get_part(CURLU *handle, CURLUPart part, unsigned flags, char **ret_text)
{
	return curl_url_get(handle, part, ret_text, flags) != CURLUE_OUT_OF_MEMORY;
}

static bool get_parts(CURLU *handle, struct parts *parts)
{
	return get_part(handle, CURLUPART_SCHEME, 0, &parts->scheme) &&
	       get_part(handle, CURLUPART_HOST, 0, &parts->host) &&
	       get_part(handle, CURLUPART_PORT, 0, &parts->port) &&
	       get_part(handle, CURLUPART_PATH, 0, &parts->path) &&
	       get_part(handle, CURLUPART_QUERY, 0, &parts->query) &&
	       get_part(handle, CURLUPART_USER, CURLU_URLDECODE, &parts->user) &&
	       get_part(handle, CURLUPART_PASSWORD, CURLU_URLDECODE, &parts->password) &&
	       get_part(handle, CURLUPART_ZONEID, 0, &parts->zone);
}

/* Strips the brackets of IPv6 and lowers the case, in place. Only what a name server could know:
 * above all no '%', which libcurl would decode once more when it reads the URL that we write. */
static bool normalise_host(char *host)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
	static const char ipv6[] = "abcdef0123456789.:";
	size_t len = strlen(host);
	bool is_ipv6 = len > 1 && host[0] == '[' && host[len - 1] == ']';

	if (is_ipv6) {
		memmove(host, host + 1, len - 2);
		len -= 2;
		host[len] = '\0';
	}
	for (size_t i = 0; i < len; i++)
		host[i] = (char)tolower((unsigned char)host[i]);
	return len > 0 && len <= URL_MAX_HOST && strspn(host, is_ipv6 ? ipv6 : letters) == len;
}

/* libcurl sees an IPv4 address (127.1, 0x7f000001) only in what stands there plainly: "%31" it
 * decodes to a name "1", which it would take for 0.0.0.1 in the URL that we write. So the name is
 * read once more, as we write it. False only without memory. */
static bool settle_host(CURLU *handle, char **host)
{
	char text[URL_MAX_HOST + 16];
	char *settled = NULL;

	(void)snprintf(text, sizeof text, "http://%s/", *host);
	if (curl_url_set(handle, CURLUPART_URL, text, 0) != CURLUE_OK ||
		curl_url_get(handle, CURLUPART_HOST, &settled, 0) != CURLUE_OK)
		return false;
	curl_free(*host);
	*host = settled;
	return true;
}

static int find_scheme(const struct parts *parts, unsigned schemes, enum url_scheme *ret_scheme)
{
	for (enum url_scheme scheme = 0; scheme < URL_SCHEME_N; scheme++) {
		if ((schemes & (1u << scheme)) != 0 &&
			strcmp(parts->scheme, schemes_known[scheme].name) == 0) {
			*ret_scheme = scheme;
			return 0;
		}
	}
	return -EPROTONOSUPPORT;
}

static char *put(char **end, const char *text)
{
	char *begin = *end;

	*end = stpcpy(begin, text) + 1;
	return begin;
}

static struct url *assemble(const struct parts *parts, enum url_scheme scheme, uint16_t port)
{
	const char *query = parts->query ? parts->query : "";
	const char *user = parts->user ? parts->user : "";
	const char *password = parts->password ? parts->password : "";
	size_t text_size = strlen(parts->host) + strlen(parts->path) + strlen(query) +
			   strlen(user) + strlen(password) + 6;
	struct url *url = calloc(1, sizeof *url + text_size);
	char *end;

	if (!url)
		return NULL;
	end = (char *)(url + 1);
	url->scheme = scheme;
	url->scheme_text = schemes_known[scheme].name;
	url->is_tls = schemes_known[scheme].is_tls;
	url->port = port;
	url->host = put(&end, parts->host);
	url->user = secret_from(put(&end, user));
	url->password = secret_from(put(&end, password));
	url->target = end;
	end = stpcpy(end, parts->path);
	if (query[0] != '\0') {
		*end++ = '?';
		(void)stpcpy(end, query);
	}
	return url;
}

static int take_apart(CURLU *handle, unsigned schemes, struct url **ret_url, const char **ret_error)
{
	_cleanup_(parts_fini) struct parts parts = { 0 };
	enum url_scheme scheme;
	unsigned long port;

	if (!get_parts(handle, &parts))
		return -ENOMEM;
	*ret_error = "has no scheme";
	if (!parts.scheme)
		return -EINVAL;
	*ret_error = "has another scheme than this check speaks";
	if (find_scheme(&parts, schemes, &scheme) < 0)
		return -EPROTONOSUPPORT;
	*ret_error = "has an IPv6 zone, which is not supported";
	if (parts.zone)
		return -EINVAL;
	*ret_error = "has no usable host (write an international name as xn--…)";
	if (!parts.host || !normalise_host(parts.host))
		return -EINVAL;
	if (!strchr(parts.host, ':') && !settle_host(handle, &parts.host))
		return -ENOMEM;
	*ret_error = parts.port ? bad_port : "needs a port, like host:8000";
	port = parts.port ? strtoul(parts.port, NULL, 10) : schemes_known[scheme].port;
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	*ret_url = assemble(&parts, scheme, (uint16_t)port);
	return *ret_url ? 0 : -ENOMEM;
}

/* "http:///x", which libcurl would take for a host x. */
static bool lacks_host(const char *text)
{
	static const char marks[] = ":///";

	return strncmp(text + strcspn(text, ":/?#"), marks, strlen(marks)) == 0;
}

/* What libcurl finds wrong, in words that say what to write instead. */
static const char *error_of(CURLUcode code)
{
	static const struct {
		CURLUcode code;
		const char *words;
	} errors[] = {
		{ CURLUE_BAD_HOSTNAME, "has no usable host, or an @ in its password (write %40)" },
		{ CURLUE_BAD_IPV6, "has no usable IPv6 address between [ and ]" },
		{ CURLUE_BAD_PORT_NUMBER, bad_port },
		{ CURLUE_NO_HOST, "has no host" },
	};

	for (size_t i = 0; i < array_size(errors); i++) {
		if (errors[i].code == code)
			return errors[i].words;
	}
	return "is malformed";
}

static int set_url(CURLU *handle, const char *text, unsigned flags, const char **ret_error)
{
	CURLUcode code;

	*ret_error = "is longer than 8 KiB";
	if (strlen(text) > URL_MAX_BYTES)
		return -EINVAL;
	*ret_error = "has no host";
	if (lacks_host(text))
		return -EINVAL;
	code = curl_url_set(handle, CURLUPART_URL, text, flags | CURLU_NON_SUPPORT_SCHEME);
	if (code == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	*ret_error = error_of(code);
	return code == CURLUE_OK ? 0 : -EINVAL;
}

void url_scheme_names(unsigned schemes, struct sbuf *out)
{
	for (size_t i = 0; i < array_size(schemes_known); i++) {
		if (schemes & 1u << i)
			sbuf_printf(
				out, "%s%s://", out->len > 0 ? " or " : "", schemes_known[i].name);
	}
}

int url_parse(const char *text, unsigned schemes, struct url **ret_url, const char **ret_error)
{
	_cleanup_(curlu_freep) CURLU *handle = curl_url();
	int r;

	if (!handle)
		return -ENOMEM;
	r = set_url(handle, text, 0, ret_error);
	return r < 0 ? r : take_apart(handle, schemes, ret_url, ret_error);
}

/* base with another target, and without user and password, so that nothing inherits them. */
static void write_url(const struct url *base, const char *target, struct sbuf *out)
{
	bool is_ipv6 = strchr(base->host, ':') != NULL;

	sbuf_printf(out, "%s://%s%s%s:%u%s", base->scheme_text, is_ipv6 ? "[" : "", base->host,
		is_ipv6 ? "]" : "", base->port, target);
}

int url_join(const struct url *base, const char *reference, unsigned schemes, struct url **ret_url,
	const char **ret_error)
{
	_cleanup_(curlu_freep) CURLU *handle = curl_url();
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	int r;

	write_url(base, base->target, &text);
	if (!handle || text.failed)
		return -ENOMEM;
	r = set_url(handle, sbuf_str(&text), 0, ret_error);
	if (r == 0)
		r = set_url(handle, reference, CURLU_URLENCODE, ret_error);
	return r < 0 ? r : take_apart(handle, schemes, ret_url, ret_error);
}

int url_retarget(const struct url *base, const char *target, struct url **ret_url)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;
	struct url *url = NULL;
	const char *error;
	int r;

	write_url(base, target, &text);
	r = text.failed ? -ENOMEM : url_parse(sbuf_str(&text), 1u << base->scheme, &url, &error);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	if (strcmp(url->target, target) != 0) {
		url_free(url);
		return -EINVAL;
	}
	*ret_url = url;
	return 0;
}

struct url *url_free(struct url *url)
{
	if (!url)
		return NULL;
	secret_wipe(&url->user);
	secret_wipe(&url->password);
	free(url);
	return NULL;
}

void url_freep(struct url **url)
{
	*url = url_free(*url);
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->scheme == b->scheme && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool url_has_default_port(const struct url *url)
{
	return url->port == schemes_known[url->scheme].port;
}

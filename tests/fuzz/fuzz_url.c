/* SPDX-License-Identifier: MIT */
/*
 * URLs and references. The input is a URL, a newline and a reference. What is accepted can stand in
 * a request line and a Host header, and names the same origin when it is written out again: what we
 * judge is what gets connected. A reference never inherits the user.
 */
#include "modelhealth/io/url.h"

#include "fuzz.h"

#include "modelhealth/base/sbuf.h"

#include <stdlib.h>

static const unsigned web = 1u << URL_HTTP | 1u << URL_HTTPS;
static const unsigned all = (1u << URL_SCHEME_N) - 1;

static void check_parts(const struct url *url, unsigned schemes)
{
	must((schemes & 1u << url->scheme) != 0 && url->port > 0);
	must(url->host[0] != '\0' && strlen(url->host) <= URL_MAX_HOST);
	for (const char *c = url->host; *c; c++)
		must(*c > ' ' && *c < 0x7f && !strchr("/?#@[]\\", *c) && !(*c >= 'A' && *c <= 'Z'));
	must(url->target[0] == '/');
	for (const char *c = url->target; *c; c++)
		must((unsigned char)*c > ' ' && *c != 0x7f && *c != '#');
	must(url_same_origin(url, url));
}

/* Written out by its parts it is the same URL. */
static void check_rewritten(const struct url *url)
{
	bool is_ipv6 = strchr(url->host, ':') != NULL;
	struct sbuf text = SBUF_INIT;
	struct url *again = NULL;
	const char *error;

	sbuf_printf(&text, "%s://%s%s%s:%u%s", url->scheme_text, is_ipv6 ? "[" : "", url->host,
		is_ipv6 ? "]" : "", url->port, url->target);
	if (text.len <= URL_MAX_BYTES) {
		must(url_parse(sbuf_str(&text), all, &again, &error) == 0);
		must(url_same_origin(url, again) && strcmp(url->target, again->target) == 0);
	}
	url_free(again);
	sbuf_fini(&text);
}

static void check_reference(const struct url *base, const char *reference)
{
	struct url *joined = NULL;
	const char *error = NULL;

	if (url_join(base, reference, web, &joined, &error) == 0) {
		check_parts(joined, web);
		must(url_same_origin(base, joined) == url_same_origin(joined, base));
		must(strchr(reference, '@') || !secret_is_set(joined->user));
	} else {
		must(error);
	}
	url_free(joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
	struct url *url = NULL;
	const char *error = NULL;
	char *text, *reference;

	if (!newline)
		return 0;
	text = strndup((const char *)data, (size_t)(newline - data));
	reference = strndup((const char *)newline + 1, size - (size_t)(newline - data) - 1);
	must(text && reference);
	if (url_parse(text, all, &url, &error) == 0) {
		check_parts(url, all);
		check_rewritten(url);
		check_reference(url, reference);
	} else {
		must(error);
	}
	url_free(url);
	free(text);
	free(reference);
	return 0;
}

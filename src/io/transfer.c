/* SPDX-License-Identifier: MIT */
/*
 * One transfer towards libcurl: the options of its easy handle, and the callbacks that libcurl
 * makes while it runs. Callbacks only note; what follows is decided outside of libcurl.
 */
#include "transfer.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* libcurl's own deadlines are a net below ours. The one for connecting also decides how long each
 * of several addresses gets, so it stays close. */
static const usec_t connect_net = 20 * USEC_PER_MSEC;
static const usec_t total_net = USEC_PER_SEC;

/* ---- inside libcurl: only note, never act ---- */

/* Libcurl's resolver joins a thread when it is given up, which stops the loop for as long as the
 * name server is silent. It must never run: every name is an alias that we resolved. */
static int resolver_guard(void *resolver_state, void *reserved, void *arg)
{
	struct http_transfer *transfer = arg;

	(void)resolver_state;
	(void)reserved;
	transfer->is_stopped = true;
	result_set(&transfer->outcome.result, REASON_INTERNAL, "libcurl asked for a name");
	return 1;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *sockaddr)
{
	struct http_transfer *transfer = arg;
	struct address address;
	int fd;

	(void)purpose;
	transfer->opened++;
	transfer_expect_next(transfer); /* connect() may fail at once, and nobody would tell */
	if (address_from_sockaddr(&sockaddr->addr, &address) &&
		address_is_denied(&address, transfer->request.deny, transfer->request.n_deny)) {
		transfer->denied++;
		return CURL_SOCKET_BAD;
	}
	fd = socket(sockaddr->family, sockaddr->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		sockaddr->protocol);
	if (fd < 0)
		transfer->socket_errno = errno;
	return fd;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ssl_ctx, void *arg)
{
	struct http_transfer *transfer = arg;
	bool may_resume = !transfer->request.is_full_handshake_wanted && transfer->lane;
	usec_t real = loop_timers(transfer->httpc->loop)->real;

	(void)easy;
	return tls_prepare(ssl_ctx, transfer->request.tls, transfer->peer, may_resume,
		       now_of(transfer), real) == 0
		       ? CURLE_OK
		       : CURLE_OUT_OF_MEMORY;
}

/* A kept connection proved the server with a certificate that may end meanwhile. */
static bool is_expired(const struct http_transfer *transfer)
{
	const struct tls_facts *facts = tls_peer_facts(transfer->peer);

	return transfer->request.tls->is_verified && facts->is_seen &&
	       facts->cert_expires_at <= loop_timers(transfer->httpc->loop)->real;
}

/* What a line of libcurl's log says after one of its beginnings; NULL when it begins otherwise. Other
 * lines may hold keys and are not looked at. */
static const char *after_mark(const char *line, size_t len, const char *mark)
{
	size_t mark_len = strlen(mark);

	return len > mark_len && memcmp(line, mark, mark_len) == 0 ? line + mark_len : NULL;
}

static void note_goaway(struct http_outcome *outcome, const char *rest, size_t len)
{
	unsigned error, last_stream;
	char text[64];

	(void)snprintf(text, sizeof text, "%.*s", (int)min_of(len, sizeof text - 1), rest);
	if (sscanf(text, "%u, last_stream=%u", &error, &last_stream) != 2)
		return;
	outcome->is_going_away = true;
	/* A fresh connection has one stream, number 1. */
	outcome->cut = last_stream == 0 ? HTTP_CUT_GOAWAY : HTTP_CUT_NONE;
	outcome->cut_error = error;
}

/* libcurl tells of a GOAWAY, and of a refused stream that it means to repeat, only in its log. */
static int on_log(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
	static const char *const goaways[] = { "received GOAWAY, error=",
		"recveived GOAWAY, error=" }; /* so in 7.88 */
	struct http_transfer *transfer = arg;
	struct http_outcome *outcome = &transfer->outcome;

	(void)easy;
	if (type != CURLINFO_TEXT)
		return 0;
	for (size_t i = 0; i < array_size(goaways); i++) {
		const char *rest = after_mark(data, size, goaways[i]);

		if (rest)
			note_goaway(outcome, rest, size - strlen(goaways[i]));
	}
	if (after_mark(data, size, "REFUSED_STREAM") && outcome->cut == HTTP_CUT_NONE) {
		outcome->cut = HTTP_CUT_STREAM;
		outcome->cut_error = HTTP2_REFUSED_STREAM;
	}
	return 0;
}

/* A check asks once; libcurl would repeat a refused request five times. What a kept connection
 * said before it died is no answer, though. */
static bool is_refused(struct http_transfer *transfer)
{
	if (transfer->request.reuse == HTTP_REUSE)
		transfer->outcome.cut = HTTP_CUT_NONE;
	return transfer->outcome.cut != HTTP_CUT_NONE;
}

/* The connection stands, the request goes out next. */
static int on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct http_transfer *transfer = arg;
	struct curl_tlssessioninfo *session = NULL;

	(void)remote_ip;
	(void)local_ip;
	(void)remote_port;
	(void)local_port;
	if (is_refused(transfer))
		return CURL_PREREQFUNC_ABORT;
	transfer_enter_step(transfer, STEP_REQUEST);
	if (!transfer->peer)
		return CURL_PREREQFUNC_OK;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_TLS_SSL_PTR, &session) == CURLE_OK &&
		session && session->internals)
		tls_observe(session->internals, transfer->peer, now_of(transfer));
	if (!is_expired(transfer))
		return CURL_PREREQFUNC_OK;
	transfer->is_stopped = true;
	result_set(&transfer->outcome.result, REASON_TLS_EXPIRED, NULL);
	return CURL_PREREQFUNC_ABORT;
}

void transfer_note_bytes(struct http_transfer *transfer)
{
	if (transfer->step == STEP_REQUEST)
		transfer_enter_step(transfer, STEP_ANSWER);
	transfer->active_at = now_of(transfer);
	transfer->barren_bytes = 0;
}

static bool is_empty_line(const char *line, size_t len)
{
	return (len == 1 && line[0] == '\n') || (len == 2 && memcmp(line, "\r\n", 2) == 0);
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;

	transfer_note_bytes(transfer);
	transfer->header_bytes += size * n;
	/* Trailers come here too, but end nothing and begin nothing. */
	if (is_empty_line(data, size * n))
		transfer->is_head_whole = true;
	else if (size * n > 5 && memcmp(data, "HTTP/", 5) == 0)
		transfer->is_head_whole = false;
	if (transfer->header_bytes <= transfer->request.max_header_bytes)
		return size * n;
	transfer->is_stopped = true;
	result_set(&transfer->outcome.result, REASON_HEADER_TOO_LARGE,
		"more than %zu bytes of headers", transfer->request.max_header_bytes);
	return 0;
}

/* Counts a piece of the body and hands it out. False = take no more. */
bool transfer_take_body(struct http_transfer *transfer, const char *data, size_t len)
{
	struct http_outcome *outcome = &transfer->outcome;
	size_t room = transfer->request.max_body_bytes - outcome->body_bytes;
	size_t taken = min_of(len, room);

	outcome->body_bytes += taken;
	if (transfer->handlers.on_data && taken > 0 &&
		transfer->handlers.on_data(transfer->handlers.arg, data, taken) == HTTP_ENOUGH) {
		transfer->is_stopped = true;
		result_set(&outcome->result, REASON_OK, NULL);
		return false;
	}
	if (taken == len)
		return true;
	outcome->is_body_cut = true;
	transfer->is_stopped = true;
	if (transfer->request.is_body_cut)
		result_set(&outcome->result, REASON_OK, NULL);
	else
		result_set(&outcome->result, REASON_BODY_TOO_LARGE, "more than %zu bytes of body",
			transfer->request.max_body_bytes);
	return false;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;

	transfer_note_bytes(transfer);
	return transfer_take_body(transfer, data, size * n) ? size * n : 0;
}

/* ---- setting up the easy handle ---- */

/* Appends to a list; false when memory is out, the list stays as it was. */
static bool append(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (longer)
		*list = longer;
	return longer != NULL;
}

static bool append_header(struct http_transfer *transfer, const char *name, const char *value)
{
	_cleanup_(sbuf_fini) struct sbuf line = SBUF_INIT;
	bool ok;

	/* "Name;" is libcurl's way to send a header without a value. */
	sbuf_puts(&line, name);
	sbuf_puts(&line, value[0] != '\0' ? ": " : ";");
	sbuf_puts(&line, value);
	ok = !line.failed && append(&transfer->headers, line.data);
	if (line.data)
		explicit_bzero(line.data, line.len);
	return ok;
}

static bool has_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->n_headers; i++) {
		if (strcasecmp(request->headers[i].name, name) == 0)
			return true;
	}
	return false;
}

/* With a TLS name of its own, the URL carries that name and Host the real one. */
static bool append_host_header(struct http_transfer *transfer)
{
	const struct url *url = transfer->request.url;
	char host[URL_MAX_HOST + 16];
	bool is_ipv6 = strchr(url->host, ':') != NULL;

	if (!transfer->request.server_name || has_header(&transfer->request, "Host"))
		return true;
	(void)snprintf(
		host, sizeof host, "%s%s%s", is_ipv6 ? "[" : "", url->host, is_ipv6 ? "]" : "");
	if (!url_has_default_port(url))
		(void)snprintf(host + strlen(host), sizeof host - strlen(host), ":%u", url->port);
	return append_header(transfer, "Host", host);
}

static bool build_headers(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;

	for (size_t i = 0; i < request->n_headers; i++) {
		if (!append_header(transfer, request->headers[i].name,
			    secret_expose(request->headers[i].value)))
			return false;
	}
	/* A monitor asks what a client would: no waiting for 100 Continue, no form type. Libcurl
	 * signs these lines although it does not send them, so a signed request does without. */
	if (request->body && !request->sigv4 && !append(&transfer->headers, "Expect:"))
		return false;
	if (request->body && !request->sigv4 && !has_header(request, "Content-Type") &&
		!append(&transfer->headers, "Content-Type:"))
		return false;
	return append_host_header(transfer);
}

/* A name or address as URLs want it. Built piece by piece, as all that each check builds: printf
 * costs several times as much. */
static void put_host(struct sbuf *text, const char *host)
{
	bool is_ipv6 = strchr(host, ':') != NULL;

	if (is_ipv6)
		sbuf_putc(text, '[');
	sbuf_puts(text, host);
	if (is_ipv6)
		sbuf_putc(text, ']');
}

/*
 * Amazon signs the path as it is sent and then percent-encoded once more, S3 alone as it is sent
 * (botocore, SigV4Auth._normalize_url_path). libcurl 7.88 signs the path of its URL, so that gets
 * what is to be signed, and CURLOPT_REQUEST_TARGET what is to be sent.
 */
static void put_signed_target(struct sbuf *text, const struct sigv4 *sigv4, const char *target)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~/";
	size_t path_len = strcspn(target, "?");
	const char *service = strrchr(sigv4->scope, ':');
	bool is_s3 = service && strcmp(service, ":s3") == 0;

	for (size_t i = 0; i < path_len; i++) {
		if (is_s3 || strchr(plain, target[i]))
			sbuf_putc(text, target[i]);
		else
			sbuf_printf(text, "%%%02X", (unsigned)(unsigned char)target[i]);
	}
	sbuf_puts(text, target + path_len);
}

static void build_url(struct http_transfer *transfer)
{
	const struct url *url = transfer->request.url;
	const char *host =
		transfer->request.server_name ? transfer->request.server_name : url->host;
	struct sbuf *text = &transfer->url;

	sbuf_clear(text);
	sbuf_puts(text, url->is_tls ? "https://" : "http://");
	put_host(text, host);
	sbuf_putc(text, ':');
	sbuf_put_u64(text, url->port);
	if (is_dialogue(transfer))
		sbuf_putc(text, '/');
	else if (transfer->request.sigv4)
		put_signed_target(text, transfer->request.sigv4, url->target);
	else
		sbuf_puts(text, url->target);
}

/* "alias:port:10.0.0.7,[fd00::7]" */
static bool append_addresses(struct http_transfer *transfer)
{
	_cleanup_(sbuf_fini) struct sbuf entry = SBUF_INIT;
	char text[ADDRESS_TEXT_SIZE];

	sbuf_puts(&entry, transfer->alias_name);
	sbuf_putc(&entry, ':');
	sbuf_put_u64(&entry, dialled(transfer)->port);
	for (size_t i = 0; i < transfer->n_addresses; i++) {
		sbuf_putc(&entry, i == 0 ? ':' : ',');
		address_format(&transfer->addresses[i], text);
		put_host(&entry, text);
	}
	return !entry.failed && append(&transfer->resolve, entry.data);
}

bool transfer_append_removal(struct curl_slist **list, const char *alias, uint16_t port)
{
	char text[ALIAS_SIZE + 8];

	(void)snprintf(text, sizeof text, "-%s:%u", alias, port);
	return append(list, text);
}

/* A fresh transfer borrows the first free alias of its shard. */
static int take_free_alias(struct http_transfer *transfer)
{
	struct home *home = transfer->home;
	struct alias *more;
	size_t i = 0;

	while (i < home->n_aliases && home->aliases[i].is_used)
		i++;
	if (i == home->n_aliases) {
		more = reallocarray(home->aliases, i + 1, sizeof *more);
		if (!more)
			return -ENOMEM;
		home->aliases = more;
		home->aliases[home->n_aliases++] = (struct alias){ 0 };
	}
	home->aliases[i].is_used = true;
	transfer->alias = i;
	transfer->has_alias = true;
	(void)snprintf(transfer->alias_name, ALIAS_SIZE, "f%zu", i);
	return 0;
}

/* Enters the addresses under the alias. libcurl replaces an entry of the same port itself; one of
 * another port would stay for good, so it is taken out. */
static bool build_resolve(struct http_transfer *transfer)
{
	struct home *home = transfer->home;
	uint16_t port = dialled(transfer)->port;
	struct alias *alias;

	if (transfer->lane)
		(void)stpcpy(transfer->alias_name, transfer->lane->name);
	else if (take_free_alias(transfer) < 0)
		return false;
	if (transfer->request.unix_socket)
		return true;
	alias = transfer->lane ? &transfer->lane->alias : &home->aliases[transfer->alias];
	transfer->resolve = take_ptr(home->stale);
	if (alias->port != 0 && alias->port != port &&
		!transfer_append_removal(&transfer->resolve, transfer->alias_name, alias->port))
		return false;
	alias->port = port;
	return append_addresses(transfer);
}

/* Where the connection really goes: the alias, unless a proxy is in between. Through a proxy only a
 * TLS name of its own needs help: the tunnel must lead to the URL's host. */
static bool build_connect_to(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	char text[URL_MAX_HOST + 16];
	const char *to = transfer->alias_name;
	bool is_ipv6;

	if (request->proxy && !request->server_name)
		return true;
	if (request->proxy)
		to = request->url->host;
	is_ipv6 = strchr(to, ':') != NULL;
	(void)snprintf(text, sizeof text, "::%s%s%s:%u", is_ipv6 ? "[" : "", to, is_ipv6 ? "]" : "",
		request->url->port);
	return append(&transfer->connect_to, text);
}

/* Over HTTP/2 libcurl 7.88 drops an answer that comes together with the reset of its stream, by which
 * a server stops the rest of a request that it has answered already (RFC 9113, 8.1; HAProxy does with
 * its 429). So it is not asked to negotiate HTTP/2 for a request with a body. */
static enum http_version version_of(const struct http_request *request)
{
	return request->version == HTTP_AUTO && request->body_len > 0 ? HTTP_1_1 : request->version;
}

static long curl_version_of(enum http_version version)
{
	static const long versions[] = {
		[HTTP_AUTO] = CURL_HTTP_VERSION_2TLS,
		[HTTP_1_1] = CURL_HTTP_VERSION_1_1,
		[HTTP_2] = CURL_HTTP_VERSION_2_0,
		[HTTP_2_DIRECT] = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
	};

	return versions[version];
}

/*
 * Only options whose values libcurl copies (strings) can fail, and only for lack of memory; `ok`
 * gathers that. The rest takes any value.
 */
static bool set(CURL *easy, CURLoption option, const char *text)
{
	return curl_easy_setopt(easy, option, text) == CURLE_OK;
}

/* libcurl takes its read buffer anew for each transfer. Answers are small, and a piece of this size
 * comes from malloc's per-thread cache instead of the heap's end: 16 KiB cost some 5 % of a check.
 *
 * HTTP/2 needs more room than what libcurl 7.88 reads from the socket at once (32 KiB). Of a frame
 * that does not fit it keeps the rest until something else can be read, and after the last frame of
 * a body that never comes. */
enum {
	READ_PIECE = 1024,
	READ_PIECE_HTTP_2 = 33 * 1024,
};

static bool may_be_http_2(const struct http_request *request)
{
	enum http_version version = version_of(request);

	return version == HTTP_AUTO ? request->url->is_tls : version != HTTP_1_1;
}

static void set_always(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
		may_be_http_2(&transfer->request) ? (long)READ_PIECE_HTTP_2 : (long)READ_PIECE);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(
		easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L); /* never pruned, never stale */
	(void)curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, resolver_guard);
	(void)curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	(void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_RESOLVE, transfer->resolve);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer->connect_to);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static void set_timeouts(struct http_transfer *transfer)
{
	usec_t now = now_of(transfer);
	usec_t total = transfer_total_deadline(transfer);
	usec_t connect = min_of(transfer_step_deadline(transfer), total);

	connect = (connect > now ? connect - now : 0) + connect_net;
	total = (total > now ? total - now : 0) + total_net;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS,
		(long)min_of(connect / USEC_PER_MSEC, (usec_t)INT32_MAX));
	(void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS,
		(long)min_of(total / USEC_PER_MSEC, (usec_t)INT32_MAX));
}

/* Debian's CAPATH makes libcurl parse all authorities at each connection (19 ms); we give every
 * SSL_CTX one store that is parsed once. libcurl's own cache of stores must be off: after our
 * callback it would take the first store that it saw for those of all later connections, and so
 * verify an endpoint against the authorities of another. */
static bool set_tls(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;
	const struct tls_setup *tls = transfer->request.tls;

	if (!transfer->request.url->is_tls)
		return true;
	must(tls);
	if (transfer->lane && !transfer->lane->peer)
		transfer->lane->peer = tls_peer_new();
	transfer->peer = transfer->lane ? tls_peer_ref(transfer->lane->peer) : tls_peer_new();
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->is_verified ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->is_verified ? 2L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* tls_peer keeps it */
	(void)curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);
	return transfer->peer && set(easy, CURLOPT_CAINFO, NULL) && set(easy, CURLOPT_CAPATH, NULL);
}

static bool set_proxy(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;
	const struct url *proxy = transfer->request.proxy;
	char text[ALIAS_SIZE + 24];

	if (!proxy)
		return set(easy, CURLOPT_PROXY, ""); /* not even from the environment */
	(void)snprintf(text, sizeof text, "%s://%s:%u", proxy->scheme_text, transfer->alias_name,
		proxy->port);
	return set(easy, CURLOPT_PROXY, text) && set(easy, CURLOPT_NOPROXY, "") &&
	       (!secret_is_set(proxy->user) ||
		       (set(easy, CURLOPT_PROXYUSERNAME, secret_expose(proxy->user)) &&
			       set(easy, CURLOPT_PROXYPASSWORD, secret_expose(proxy->password))));
}

static bool set_method(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;
	const struct http_request *request = &transfer->request;

	if (is_dialogue(transfer))
		return curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK;
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, curl_version_of(version_of(request)));
	if (strcmp(request->method, "HEAD") == 0) {
		(void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return true;
	}
	if (request->body) {
		(void)curl_easy_setopt(
			easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	}
	return strcmp(request->method, "GET") == 0 && !request->body
		       ? true
		       : set(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static bool set_signature(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;
	const struct sigv4 *sigv4 = transfer->request.sigv4;

	return !sigv4 || (set(easy, CURLOPT_AWS_SIGV4, sigv4->scope) &&
				 set(easy, CURLOPT_USERNAME, secret_expose(sigv4->access_key)) &&
				 set(easy, CURLOPT_PASSWORD, secret_expose(sigv4->secret_key)) &&
				 set(easy, CURLOPT_REQUEST_TARGET, transfer->request.url->target));
}

/* Only a request that asks for HTTP/2 can be cut in its ways; see on_log. */
static void set_log(struct http_transfer *transfer)
{
	if (transfer->request.version != HTTP_2 && transfer->request.version != HTTP_2_DIRECT)
		return;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_VERBOSE, 1L);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_DEBUGFUNCTION, on_log);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_DEBUGDATA, transfer);
}

static void set_connection(struct http_transfer *transfer)
{
	if (transfer->request.reuse == HTTP_REUSE || is_dialogue(transfer))
		return;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* False when memory is out. */
bool transfer_set_up(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	build_url(transfer);
	if (transfer->url.failed || !build_headers(transfer) || !build_resolve(transfer) ||
		!build_connect_to(transfer))
		return false;
	set_always(transfer);
	set_timeouts(transfer);
	set_connection(transfer);
	set_log(transfer);
	return set(easy, CURLOPT_URL, transfer->url.data) &&
	       set(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       set(easy, CURLOPT_ACCEPT_ENCODING, "identity") && set_proxy(transfer) &&
	       set_tls(transfer) && set_method(transfer) && set_signature(transfer) &&
	       (!transfer->request.unix_socket ||
		       set(easy, CURLOPT_UNIX_SOCKET_PATH, transfer->request.unix_socket));
}

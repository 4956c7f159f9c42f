/* SPDX-License-Identifier: MIT */
/*
 * From libcurl's codes to our reasons. Pure; called by the transfer engine when a transfer ends.
 */
#include "modelhealth/io/fault.h"

#include "modelhealth/io/tls.h"

#include <curl/curl.h>

#include <errno.h>
#include <string.h>

/*
 * One row per code that can reach us. A code without a row is `internal`: we asked for something
 * that libcurl refuses, which is our bug and must not count against the target. Codes that mean
 * different things at different moments have refine() below look at the rest of the fault.
 */
static const struct {
	CURLcode code;
	enum reason reason;
} rows[] = {
	{ CURLE_OK, REASON_OK },
	{ CURLE_UNSUPPORTED_PROTOCOL, REASON_PROTOCOL_ERROR }, /* an HTTP/0.9 answer */
	{ CURLE_COULDNT_RESOLVE_PROXY, REASON_INTERNAL },      /* we resolve; see resolver_guard */
	{ CURLE_COULDNT_RESOLVE_HOST, REASON_INTERNAL },
	{ CURLE_COULDNT_CONNECT, REASON_CONNECT_UNREACHABLE }, /* refined by errno */
	{ CURLE_WEIRD_SERVER_REPLY, REASON_PROTOCOL_ERROR }, { CURLE_HTTP2, REASON_PROTOCOL_ERROR },
	{ CURLE_PARTIAL_FILE, REASON_CONN_RESET },    /* closed before Content-Length was reached */
	{ CURLE_WRITE_ERROR, REASON_DECODE_ERROR },   /* bytes after the end of an encoded body */
	{ CURLE_OUT_OF_MEMORY, REASON_LOCAL_MEMORY }, /* also one header line over 100 KB */
	{ CURLE_OPERATION_TIMEDOUT, REASON_TIMEOUT_TOTAL },
	{ CURLE_SSL_CONNECT_ERROR, REASON_TLS_FAILED }, { CURLE_GOT_NOTHING, REASON_CONN_RESET },
	{ CURLE_SEND_ERROR, REASON_CONN_RESET },
	{ CURLE_RECV_ERROR, REASON_CONN_RESET }, /* also chunks, alerts, proxies */
	{ CURLE_SSL_CERTPROBLEM, REASON_TLS_FAILED }, { CURLE_SSL_CIPHER, REASON_TLS_FAILED },
	{ CURLE_PEER_FAILED_VERIFICATION, REASON_TLS_VERIFY_FAILED }, /* or expired */
	{ CURLE_BAD_CONTENT_ENCODING, REASON_DECODE_ERROR },
	{ CURLE_USE_SSL_FAILED, REASON_TLS_FAILED },
	{ CURLE_SSL_SHUTDOWN_FAILED, REASON_CONN_RESET },
	{ CURLE_HTTP2_STREAM, REASON_PROTOCOL_ERROR },
	{ CURLE_SSL_CLIENTCERT, REASON_TLS_FAILED }, /* the server wants a certificate */
	{ CURLE_PROXY, REASON_CONNECT_UNREACHABLE }, /* SOCKS says no */
};

/*
 * An errno of socket(), connect(), send() or epoll_ctl(). ENETUNREACH is not here: it may come from
 * our routing table or from a router on the way, and only the caller can ask which.
 */
static const struct {
	int error;
	enum reason reason;
} errno_rows[] = {
	{ EACCES, REASON_LOCAL_NETWORK }, /* a local firewall rule */
	{ EADDRNOTAVAIL, REASON_LOCAL_PORTS },
	{ EAFNOSUPPORT, REASON_LOCAL_NETWORK },
	{ ECONNREFUSED, REASON_CONNECT_REFUSED },
	{ ECONNRESET, REASON_CONN_RESET },
	{ EHOSTDOWN, REASON_CONNECT_UNREACHABLE },
	{ EHOSTUNREACH, REASON_CONNECT_UNREACHABLE },
	{ EMFILE, REASON_LOCAL_FDS },
	{ ENETDOWN, REASON_LOCAL_NETWORK },
	{ ENFILE, REASON_LOCAL_FDS },
	{ ENOBUFS, REASON_LOCAL_MEMORY },
	{ ENOENT, REASON_CONNECT_REFUSED }, /* no such unix socket */
	{ ENOMEM, REASON_LOCAL_MEMORY },
	{ ENOSPC, REASON_LOCAL_MEMORY }, /* of the kernel for epoll: fs.epoll.max_user_watches */
	{ EPERM, REASON_LOCAL_NETWORK },
	{ EPIPE, REASON_CONN_RESET },
	{ ETIMEDOUT, REASON_CONNECT_TIMEOUT },
};

enum reason fault_reason_of_errno(int error)
{
	for (size_t i = 0; i < array_size(errno_rows); i++) {
		if (errno_rows[i].error == error)
			return errno_rows[i].reason;
	}
	return REASON_N;
}

/* Of a transfer under way, whose errno says more only when this host is at fault. */
static enum reason unless_ours(const struct fault *fault, enum reason reason)
{
	enum reason of_errno = fault_reason_of_errno(fault->os_errno);

	return of_errno != REASON_N && reason_desc(of_errno)->verdict == VERDICT_UNKNOWN ? of_errno
											 : reason;
}

static bool text_has(const struct fault *fault, const char *part)
{
	return strstr(fault->text, part) != NULL;
}

/* libcurl 7.88 has one code for all that goes wrong while receiving. */
static enum reason refine_receive(const struct fault *fault)
{
	if (fault->proxy_status == 407)
		return REASON_AUTH_FAILED;
	if (fault->proxy_status >= 300)
		return REASON_CONNECT_UNREACHABLE;
	if (text_has(fault, "chunk") || text_has(fault, "nghttp2_session_mem_recv()"))
		return REASON_PROTOCOL_ERROR;
	if (text_has(fault, "Too large response headers"))
		return REASON_HEADER_TOO_LARGE;
	/* An alert, or bytes that are no TLS. A server that wants a client certificate says so
	 * only after the handshake of TLS 1.3. A missing close_notify is just a lost connection. */
	if (text_has(fault, "SSL routines") && !text_has(fault, "unexpected eof"))
		return REASON_TLS_FAILED;
	return unless_ours(fault, REASON_CONN_RESET);
}

static enum reason refine_timeout(const struct fault *fault)
{
	return fault->step == FAULT_NAME      ? REASON_DNS_TIMEOUT
	       : fault->step == FAULT_CONNECT ? REASON_CONNECT_TIMEOUT
					      : REASON_TIMEOUT_TOTAL;
}

static enum reason refine(const struct fault *fault, enum reason reason)
{
	enum reason of_errno = fault_reason_of_errno(fault->os_errno);

	switch (fault->curl_code) {
	case CURLE_COULDNT_CONNECT:
		return of_errno != REASON_N ? of_errno : reason;
	case CURLE_OPERATION_TIMEDOUT:
		return refine_timeout(fault);
	case CURLE_OUT_OF_MEMORY:
		return fault->step == FAULT_ANSWER ? REASON_HEADER_TOO_LARGE : reason;
	case CURLE_PEER_FAILED_VERIFICATION:
		return tls_error_is_expiry(fault->verify_error) ? REASON_TLS_EXPIRED : reason;
	case CURLE_RECV_ERROR:
		return refine_receive(fault);
	case CURLE_SEND_ERROR:
		return unless_ours(fault, reason);
	case CURLE_SSL_CONNECT_ERROR:
		/* libcurl puts the errno into words only */
		return text_has(fault, strerror(ECONNRESET)) ? REASON_CONN_RESET : reason;
	default:
		return reason;
	}
}

enum reason fault_reason(const struct fault *fault)
{
	for (size_t i = 0; i < array_size(rows); i++) {
		if ((int)rows[i].code == fault->curl_code)
			return refine(fault, rows[i].reason);
	}
	return REASON_INTERNAL;
}

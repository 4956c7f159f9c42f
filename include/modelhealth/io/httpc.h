/* SPDX-License-Identifier: MIT */
/*
 * The transfer engine: one HTTP request or one TCP dialogue, start to end, with its own deadlines,
 * caps and reasons. It never follows a redirect and never judges a status; that is the caller's.
 */
#pragma once

#include "modelhealth/core/result.h"
#include "modelhealth/core/spec.h"
#include "modelhealth/io/tls.h"
#include "modelhealth/io/url.h"

struct dns;
struct httpc;
struct http_lane;
struct http_transfer;
struct loop;

enum http_version {
	HTTP_AUTO,     /* HTTP/2 when TLS negotiates it and there is no body, else HTTP/1.1 */
	HTTP_1_1,      /* nothing else */
	HTTP_2,        /* HTTP/2 or protocol_error; over TLS by ALPN, in clear by Upgrade */
	HTTP_2_DIRECT, /* HTTP/2 in clear without asking first (prior knowledge) */
};

enum http_reuse {
	HTTP_FRESH, /* a new connection, closed at the end */
	HTTP_REUSE, /* the lane's kept connection when it still lives; kept at the end */
};

/* What a data callback wants. */
enum http_appetite {
	HTTP_MORE,
	HTTP_ENOUGH, /* stop here; the transfer ends well */
};

struct http_header {
	const char *name;
	struct secret value;
};

/* A request that proves its sender as Amazon's services want it (signature version 4). */
struct sigv4 {
	const char *scope; /* "aws:amz:REGION:SERVICE" */
	struct secret access_key, secret_key;
};

/* Everything is borrowed until the transfer is done or cancelled. */
struct http_request {
	const char *method; /* NULL = no HTTP: connect, send body, hand out what comes */
	const struct url *url;
	const struct http_header *headers;
	size_t n_headers;
	const char *body; /* NULL = none */
	size_t body_len;
	enum http_version version;
	enum http_reuse reuse;         /* needs a lane */
	const struct sigv4 *sigv4;     /* NULL = not signed */
	const struct tls_setup *tls;   /* for https and tls URLs */
	bool is_full_handshake_wanted; /* neither resume a TLS session nor keep one */
	const char *server_name;       /* TLS name to send and verify; NULL = the URL's host */
	const char *unix_socket;       /* connect here instead; NULL = to the URL's host */
	const struct url *proxy;       /* http or socks5h; NULL = none */
	const struct address_block *deny;
	size_t n_deny;
	struct timeouts timeout;
	usec_t begun_at;         /* monotonic: total counts from here */
	size_t max_header_bytes; /* of all responses together, 1xx too */
	size_t max_body_bytes;   /* decoded */
	bool is_body_cut;        /* at max_body_bytes stop and end well */
};

enum {
	HTTP_MAX_HEADER_BYTES = 32 * 1024,
	HTTP_MAX_BODY_BYTES = 64 * 1024,
};

/* HTTP/2: how a server takes back a request instead of answering it. */
enum http_cut {
	HTTP_CUT_NONE,
	HTTP_CUT_STREAM, /* RST_STREAM */
	HTTP_CUT_GOAWAY, /* it closes the connection and has not looked at the request */
};

/* Codes of RFC 9113, 7. */
enum {
	HTTP2_NO_ERROR = 0x0,
	HTTP2_REFUSED_STREAM = 0x7,
	HTTP2_CANCEL = 0x8,
	HTTP2_ENHANCE_YOUR_CALM = 0xb,
	HTTP2_INADEQUATE_SECURITY = 0xc,
};

struct http_outcome {
	/* reason OK = a complete (or wanted part of an) answer; timings, http_status, errno,
	 * lib_err, cert_expires_at, reused and, for failures, detail are filled. */
	struct result result;
	const struct tls_facts *tls; /* NULL without TLS; borrowed for the call */
	size_t body_bytes;           /* decoded bytes received */
	bool is_body_cut;            /* there was more */
	enum http_cut cut;
	uint32_t cut_error; /* HTTP/2 error code that came with it */
	/* A GOAWAY came. libcurl 7.88 may then lose what comes after the first piece of the body. */
	bool is_going_away;
};

struct http_handlers {
	/* A piece of the decoded body (or of the TCP answer). Runs inside libcurl: it may neither
	 * start nor cancel a transfer. NULL = the body is counted and dropped. */
	enum http_appetite (*on_data)(void *arg, const char *data, size_t len);
	/* Exactly once per start, from the loop, never inside http_start, never after http_cancel.
	 * The transfer is gone when it returns; it may start another. */
	void (*on_done)(
		void *arg, struct http_transfer *transfer, const struct http_outcome *outcome);
	void *arg;
};

/* Both are borrowed. 0 or -errno. */
int httpc_new(struct loop *loop, struct dns *dns, struct httpc **ret_httpc);

/* No transfer and no lane may be left. */
struct httpc *httpc_free(struct httpc *httpc);

/* 0 and a transfer that will be done or must be cancelled, or -ENOMEM. */
int http_start(struct httpc *httpc, struct http_lane *lane, const struct http_request *request,
	const struct http_handlers *handlers, struct http_transfer **ret_transfer);

/* Frees the transfer without a call. Not from on_data. */
void http_cancel(struct http_transfer *transfer);

/* Ends a running transfer with this reason, which says that we waited long enough; on_done follows.
 * Nothing when it has ended already. Not from on_data. */
void http_give_up(struct http_transfer *transfer, enum reason reason);

/* Monotonic, when the connection stood and the request began to go out; 0 = not yet. */
usec_t http_sent_at(const struct http_transfer *transfer);

/* In on_data: the status of the answer. */
uint32_t http_answer_status(const struct http_transfer *transfer);

/* In on_done: the index-th response header of that name (without case) in the final response, or
 * NULL. Borrowed until on_done returns. */
const char *http_answer_header(struct http_transfer *transfer, const char *name, size_t index);

/* The same of the fields that came after the body. */
const char *http_answer_trailer(struct http_transfer *transfer, const char *name, size_t index);

/*
 * What one check keeps between its transfers: the kept connection and the TLS session. Lanes never
 * share either, so no credential ever meets another's connection. One transfer at a time.
 */
struct http_lane *http_lane_new(struct httpc *httpc);
struct http_lane *http_lane_free(struct http_lane *lane);

/* Descriptors that it holds while nothing runs; fewer under a low limit on open files. */
unsigned httpc_held_fds(const struct httpc *httpc);

struct httpc_stats {
	uint64_t rebuilds_total; /* of a libcurl multi handle after an error of its own */
	unsigned running;
};

const struct httpc_stats *httpc_stats(struct httpc *httpc);

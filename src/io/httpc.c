/* SPDX-License-Identifier: MIT */
/*
 * The transfer engine. Owns the shards (libcurl multi handles), the pool of transfers (each with
 * an easy handle) and the lanes. The check kinds call it; it calls the resolver.
 *
 * A transfer goes name -> connect -> request -> answer. Each step has its own absolute deadline
 * and one timer serves them all: it is set to the nearest and looks anew when it fires. Whatever
 * ends a transfer calls finish() once, which takes the easy handle out of libcurl and leaves the
 * owner's callback to a deferred task.
 *
 * libcurl gets addresses, never names. Each connection is made to an alias ("f3:8000") that
 * CURLOPT_RESOLVE fills, under CURLOPT_CONNECT_TO, so that Host and SNI stay what they are. A
 * fresh transfer takes a free alias of its shard, a lane has one of its own: libcurl compares
 * aliases when it looks for a kept connection, so lanes can never meet.
 */
#include "modelhealth/io/httpc.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/dns.h"
#include "modelhealth/io/fault.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/shard.h"

#include <curl/curl.h>

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	MAX_SHARDS =
		64, /* performance.md: 10,000 kept connections cost 81 us a check so, not 333 */
	FDS_OF_SHARD = 2, /* libcurl's pair of sockets to wake a multi handle */
	ALIAS_SIZE = 24,
	READ_SIZE = 4096,
};

/* libcurl's own deadlines are a net below ours. The one for connecting also decides how long each
 * of several addresses gets, so it stays close. */
static const usec_t connect_net = 20 * USEC_PER_MSEC;
static const usec_t total_net = USEC_PER_SEC;

/* What an alias of a shard stands for in libcurl's name cache, so that it can be taken out. */
struct alias {
	uint16_t port; /* under which it was last entered; 0 = never */
	bool is_used;
};

struct home {
	struct shard *shard;
	struct alias *aliases; /* of fresh transfers */
	size_t n_aliases;
	struct curl_slist *stale; /* entries to remove with the next transfer: "-alias:port" */
};

struct httpc {
	struct loop *loop;
	struct dns *dns;
	struct shard_handlers shard_handlers;
	struct home homes[MAX_SHARDS];
	unsigned n_homes;
	unsigned next_home;
	uint64_t next_lane;
	TAILQ_HEAD(transfer_list, http_transfer) pool;
	struct httpc_stats stats;
};

struct http_lane {
	struct httpc *httpc;
	struct home *home;
	struct tls_peer *peer; /* NULL until TLS is used */
	struct alias alias;
	char name[ALIAS_SIZE];
};

enum step {
	STEP_NAME,
	STEP_CONNECT,
	STEP_REQUEST, /* connected */
	STEP_ANSWER,  /* the first byte is here */
	STEP_DONE,
};

struct http_transfer {
	struct httpc *httpc;
	struct home *home;
	struct http_lane *lane; /* NULL = none */
	CURL *easy;
	struct http_request request;
	struct http_handlers handlers;
	struct http_outcome outcome;

	enum step step;
	bool is_inside;     /* the easy handle is in its shard */
	bool is_stopped;    /* a callback of ours decided; outcome.result says what */
	bool is_head_whole; /* the empty line after the headers has come */
	usec_t begun_at, connected_at, answer_at;
	usec_t active_at; /* bytes came last */
	usec_t dns_time;
	struct timer deadline;
	struct task done;
	struct dns_query query;

	struct address addresses[DNS_MAX_ADDRESSES];
	size_t n_addresses;
	size_t alias; /* index in home->aliases */
	bool has_alias;
	char alias_name[ALIAS_SIZE];
	int socket_errno; /* why a socket could not be opened here */
	unsigned opened, denied;

	struct tls_peer *peer; /* NULL without TLS */
	size_t header_bytes;
	size_t sent_bytes; /* of a TCP dialogue */
	struct loop_fd *watch;
	struct sbuf url;
	struct curl_slist *headers, *resolve, *connect_to;
	char error[CURL_ERROR_SIZE];
	TAILQ_ENTRY(http_transfer) link; /* in the pool */
};

static usec_t now_of(const struct http_transfer *transfer)
{
	return loop_timers(transfer->httpc->loop)->now;
}

static bool is_dialogue(const struct http_transfer *transfer)
{
	return !transfer->request.method;
}

static const struct url *dialled(const struct http_transfer *transfer)
{
	return transfer->request.proxy ? transfer->request.proxy : transfer->request.url;
}

/* ---- the pool ---- */

static void transfer_destroy(struct http_transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	sbuf_fini(&transfer->url);
	free(transfer);
}

static struct http_transfer *transfer_take(struct httpc *httpc)
{
	struct http_transfer *transfer = TAILQ_FIRST(&httpc->pool);

	if (transfer) {
		TAILQ_REMOVE(&httpc->pool, transfer, link);
		httpc->stats.idle_handles--;
		return transfer;
	}
	transfer = calloc(1, sizeof *transfer);
	if (!transfer)
		return NULL;
	transfer->httpc = httpc;
	transfer->easy = curl_easy_init();
	if (!transfer->easy) {
		free(transfer);
		return NULL;
	}
	return transfer;
}

/* Request headers hold keys; their copies are wiped before they go back to malloc. */
static void free_wiped(struct curl_slist **list)
{
	for (struct curl_slist *entry = *list; entry; entry = entry->next)
		explicit_bzero(entry->data, strlen(entry->data));
	curl_slist_free_all(*list);
	*list = NULL;
}

static void transfer_release(struct http_transfer *transfer)
{
	struct httpc *httpc = transfer->httpc;
	CURL *easy = transfer->easy;
	struct sbuf url = transfer->url;

	must(!transfer->is_inside && !transfer->watch && !transfer->query.name);
	if (transfer->has_alias)
		transfer->home->aliases[transfer->alias].is_used = false;
	curl_easy_reset(easy);
	free_wiped(&transfer->headers);
	curl_slist_free_all(transfer->resolve);
	curl_slist_free_all(transfer->connect_to);
	tls_peer_unref(transfer->peer);
	sbuf_clear(&url);
	*transfer = (struct http_transfer){ .httpc = httpc, .easy = easy, .url = url };
	TAILQ_INSERT_HEAD(&httpc->pool, transfer, link);
	httpc->stats.idle_handles++;
	httpc->stats.running--;
}

/* ---- the end of a transfer ---- */

static usec_t easy_time(const struct http_transfer *transfer, CURLINFO info)
{
	curl_off_t usec = 0;

	(void)curl_easy_getinfo(transfer->easy, info, &usec); /* 0 = did not happen */
	return usec > 0 ? (usec_t)usec : 0;
}

static long easy_number(const struct http_transfer *transfer, CURLINFO info)
{
	long number = 0;

	(void)curl_easy_getinfo(transfer->easy, info, &number);
	return number;
}

/* libcurl counts each time from its start; a span is the difference of neighbours. Its own time of
 * the first byte is of no use: with a larger body it is that of the first byte sent. */
static void take_spans(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;
	usec_t name = easy_time(transfer, CURLINFO_NAMELOOKUP_TIME_T);
	usec_t connect = easy_time(transfer, CURLINFO_CONNECT_TIME_T);
	usec_t tls = easy_time(transfer, CURLINFO_APPCONNECT_TIME_T);

	if (connect > 0 && !result->reused)
		result_set_timing(result, TIMING_CONNECT, connect - min_of(name, connect));
	if (tls > 0 && !result->reused)
		result_set_timing(result, TIMING_TLS, tls - min_of(connect, tls));
	if (transfer->step != STEP_ANSWER)
		return;
	result_set_timing(result, TIMING_FIRST_BYTE, transfer->answer_at - transfer->connected_at);
	if (result->reason == REASON_OK)
		result_set_timing(result, TIMING_TRANSFER, now_of(transfer) - transfer->answer_at);
}

static void take_facts(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;

	if (transfer->dns_time != USEC_NEVER)
		result_set_timing(result, TIMING_DNS, transfer->dns_time);
	if (transfer->step > STEP_NAME) {
		result->reused = transfer->step > STEP_CONNECT &&
				 easy_number(transfer, CURLINFO_NUM_CONNECTS) == 0;
		take_spans(transfer);
	}
	if (!is_dialogue(transfer))
		result->http_status = (uint32_t)easy_number(transfer, CURLINFO_RESPONSE_CODE);
	result_set_timing(result, TIMING_TOTAL, clock_monotonic() - transfer->request.begun_at);
	if (transfer->peer) {
		transfer->outcome.tls = tls_peer_facts(transfer->peer);
		result->cert_expires_at = transfer->outcome.tls->cert_expires_at;
	}
}

static void leave_libcurl(struct http_transfer *transfer)
{
	timer_cancel(loop_timers(transfer->httpc->loop), &transfer->deadline);
	dns_cancel(transfer->httpc->dns, &transfer->query);
	transfer->watch = loop_fd_free(transfer->watch);
	if (transfer->is_inside)
		shard_remove(transfer->home->shard, transfer->easy);
	transfer->is_inside = false;
}

/* The one way to end: the reason and detail are in outcome.result. */
static void finish(struct http_transfer *transfer)
{
	must(transfer->step != STEP_DONE);
	take_facts(transfer);
	leave_libcurl(transfer);
	transfer->step = STEP_DONE;
	task_defer(loop_timers(transfer->httpc->loop), &transfer->done);
}

static void on_done_task(struct task *task)
{
	struct http_transfer *transfer = container_of(task, struct http_transfer, done);

	transfer->handlers.on_done(transfer->handlers.arg, transfer, &transfer->outcome);
	transfer_release(transfer);
}

/* "10.0.0.7:8000 (and 2 more)", for messages. */
static const char *dialled_text(const struct http_transfer *transfer, char *text, size_t size)
{
	char address[ADDRESS_TEXT_SIZE] = "";
	bool is_ipv6 = false;

	if (transfer->request.unix_socket)
		return transfer->request.unix_socket;
	if (transfer->n_addresses == 0)
		return dialled(transfer)->host;
	is_ipv6 = !address_is_ipv4(&transfer->addresses[0]);
	address_format(&transfer->addresses[0], address);
	(void)snprintf(text, size, "%s%s%s:%u", is_ipv6 ? "[" : "", address, is_ipv6 ? "]" : "",
		dialled(transfer)->port);
	if (transfer->n_addresses > 1)
		(void)snprintf(text + strlen(text), size - strlen(text), " (and %zu more)",
			transfer->n_addresses - 1);
	return text;
}

static void finish_with(struct http_transfer *transfer, enum reason reason, int error)
{
	char text[ADDRESS_TEXT_SIZE + 32];
	const char *where = dialled_text(transfer, text, sizeof text);
	struct result *result = &transfer->outcome.result;

	result->os_errno = error;
	if (error != 0)
		result_set(result, reason, "%s: %s", where, strerrordesc_np(error));
	else
		result_set(result, reason, "%s", where);
	finish(transfer);
}

/* ---- deadlines ---- */

/* A byte of the answer may be here although no header line is complete yet. With a body to send,
 * libcurl may mean the first byte sent, so it is not asked then. */
static bool has_first_byte(const struct http_transfer *transfer)
{
	return transfer->step == STEP_ANSWER ||
	       (!transfer->request.body && easy_time(transfer, CURLINFO_STARTTRANSFER_TIME_T) > 0);
}

static usec_t later(usec_t from, usec_t span)
{
	return span > USEC_NEVER - from ? USEC_NEVER : from + span;
}

static usec_t step_deadline(const struct http_transfer *transfer)
{
	const struct timeouts *timeout = &transfer->request.timeout;

	switch (transfer->step) {
	case STEP_NAME:
	case STEP_CONNECT:
		return later(transfer->begun_at, timeout->connect);
	case STEP_REQUEST:
		return later(transfer->connected_at, timeout->first_byte);
	case STEP_ANSWER:
		return later(transfer->active_at, timeout->idle);
	case STEP_DONE:
		break;
	}
	return USEC_NEVER;
}

static usec_t total_deadline(const struct http_transfer *transfer)
{
	return later(transfer->request.begun_at, transfer->request.timeout.total);
}

static void arm_deadline(struct http_transfer *transfer)
{
	usec_t at = min_of(step_deadline(transfer), total_deadline(transfer));

	/* Cannot fail: the slot was reserved by the first call, in http_start. */
	(void)timer_set(loop_timers(transfer->httpc->loop), &transfer->deadline, at);
}

static enum reason reason_of_deadline(const struct http_transfer *transfer, bool is_total)
{
	if (transfer->step == STEP_NAME)
		return REASON_DNS_TIMEOUT;
	if (transfer->step == STEP_CONNECT)
		return REASON_CONNECT_TIMEOUT;
	if (is_total)
		return REASON_TIMEOUT_TOTAL;
	return transfer->step == STEP_REQUEST ? REASON_TIMEOUT_HEADERS : REASON_TIMEOUT_IDLE;
}

static void give_up(struct http_transfer *transfer, enum reason reason)
{
	char text[ADDRESS_TEXT_SIZE + 32];

	result_set(&transfer->outcome.result, reason, "%s: gave up after %llu ms",
		dialled_text(transfer, text, sizeof text),
		(unsigned long long)((now_of(transfer) - transfer->request.begun_at) /
				     USEC_PER_MSEC));
	finish(transfer);
}

static void on_deadline(struct timer *timer)
{
	struct http_transfer *transfer = container_of(timer, struct http_transfer, deadline);
	usec_t now = now_of(transfer);
	bool is_total = total_deadline(transfer) <= now;

	if (transfer->step == STEP_REQUEST && has_first_byte(transfer)) {
		transfer->step = STEP_ANSWER; /* active_at is that of the socket */
		transfer->answer_at = transfer->active_at;
	}
	if (is_total || step_deadline(transfer) <= now)
		give_up(transfer, reason_of_deadline(transfer, is_total));
	else
		arm_deadline(transfer);
}

static void enter_step(struct http_transfer *transfer, enum step step)
{
	transfer->step = step;
	transfer->active_at = now_of(transfer);
	if (step == STEP_REQUEST)
		transfer->connected_at = transfer->active_at;
	if (step == STEP_ANSWER)
		transfer->answer_at = transfer->active_at;
	arm_deadline(transfer);
}

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

	(void)easy;
	return tls_prepare(ssl_ctx, transfer->request.tls, transfer->peer, may_resume,
		       now_of(transfer)) == 0
		       ? CURLE_OK
		       : CURLE_OUT_OF_MEMORY;
}

/* A resumed session proves the server, but with the certificate of the full handshake. */
static bool is_expired(const struct http_transfer *transfer)
{
	const struct tls_facts *facts = tls_peer_facts(transfer->peer);

	return transfer->request.tls->is_verified && facts->is_seen &&
	       facts->cert_expires_at <= loop_timers(transfer->httpc->loop)->real;
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
	enter_step(transfer, STEP_REQUEST);
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

static void note_bytes(struct http_transfer *transfer)
{
	if (transfer->step == STEP_REQUEST)
		enter_step(transfer, STEP_ANSWER);
	transfer->active_at = now_of(transfer);
}

static bool is_empty_line(const char *line, size_t len)
{
	return (len == 1 && line[0] == '\n') || (len == 2 && memcmp(line, "\r\n", 2) == 0);
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *transfer = arg;

	note_bytes(transfer);
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
static bool take_body(struct http_transfer *transfer, const char *data, size_t len)
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

	note_bytes(transfer);
	return take_body(transfer, data, size * n) ? size * n : 0;
}

/* ---- results of libcurl ---- */

static enum reason connect_reason(struct http_transfer *transfer, int error)
{
	enum reason reason;

	if (transfer->denied > 0 && transfer->denied == transfer->opened)
		return REASON_ADDRESS_DENIED;
	if (error == ENETUNREACH && transfer->n_addresses > 0 &&
		address_route(&transfer->addresses[0]) < 0)
		return REASON_LOCAL_NETWORK; /* our routing table, not a router on the way */
	reason = fault_reason_of_errno(error);
	return reason != REASON_N ? reason : REASON_CONNECT_UNREACHABLE;
}

static void finish_connect_failure(struct http_transfer *transfer)
{
	int error = transfer->socket_errno;

	if (error == 0)
		error = (int)easy_number(transfer, CURLINFO_OS_ERRNO);
	finish_with(transfer, connect_reason(transfer, error), error);
}

static void finish_failure(struct http_transfer *transfer, CURLcode code)
{
	int verify_error = transfer->peer ? tls_peer_facts(transfer->peer)->verify_error : 0;
	struct fault fault = {
		.curl_code = (int)code,
		.os_errno = (int)easy_number(transfer, CURLINFO_OS_ERRNO),
		.verify_error = verify_error,
		.proxy_status = easy_number(transfer, CURLINFO_HTTP_CONNECTCODE),
		.step = transfer->step == STEP_CONNECT ? FAULT_CONNECT
			: has_first_byte(transfer)     ? FAULT_ANSWER
						       : FAULT_REQUEST,
		.text = transfer->error,
	};
	const char *text = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);

	transfer->outcome.result.os_errno = fault.os_errno;
	if (code == CURLE_PEER_FAILED_VERIFICATION && verify_error != 0)
		text = tls_error_text(verify_error);
	result_set(&transfer->outcome.result, fault_reason(&fault), "%s", text);
	finish(transfer);
}

static bool has_wanted_version(const struct http_transfer *transfer)
{
	long version = easy_number(transfer, CURLINFO_HTTP_VERSION);

	return (transfer->request.version != HTTP_2 &&
		       transfer->request.version != HTTP_2_DIRECT) ||
	       version == CURL_HTTP_VERSION_2_0;
}

static void finish_answer(struct http_transfer *transfer)
{
	struct result *result = &transfer->outcome.result;
	long status = easy_number(transfer, CURLINFO_RESPONSE_CODE);

	if (status < 200 || status > 599)
		result_set(result, REASON_PROTOCOL_ERROR, "status %03ld is not an HTTP status",
			status);
	else if (!transfer->is_head_whole) /* to libcurl 7.88 that is an empty answer */
		result_set(result, REASON_CONN_RESET, "closed in the middle of the headers");
	else if (!has_wanted_version(transfer))
		result_set(result, REASON_PROTOCOL_ERROR,
			"answered with HTTP/1 although http_version asks for HTTP/2");
	else
		result_set(result, REASON_OK, NULL);
	finish(transfer);
}

static void start_dialogue(struct http_transfer *transfer);

static void on_message(void *arg, CURL *easy, CURLcode code)
{
	struct http_transfer *transfer = NULL;

	(void)arg;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	if (!transfer->is_stopped)
		transfer->outcome.result.lib_err = (int)code;
	if (transfer->is_stopped)
		finish(transfer);
	else if (code == CURLE_COULDNT_CONNECT)
		finish_connect_failure(transfer);
	else if (code != CURLE_OK)
		finish_failure(transfer, code);
	else if (is_dialogue(transfer))
		start_dialogue(transfer);
	else
		finish_answer(transfer);
}

static void on_readable(void *arg, CURL *easy)
{
	struct http_transfer *transfer = NULL;

	(void)arg;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	transfer->active_at = now_of(transfer);
}

static void on_lost(void *arg, CURL *easy)
{
	struct http_transfer *transfer = NULL;

	(void)arg;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	transfer->is_inside = false;
	finish_with(transfer, REASON_INTERNAL, 0);
}

/* ---- TCP dialogues, after libcurl has connected ---- */

static void finish_dialogue(struct http_transfer *transfer, enum reason reason)
{
	if (reason == REASON_OK) {
		result_set(&transfer->outcome.result, REASON_OK, NULL);
		finish(transfer);
		return;
	}
	finish_with(transfer, reason, 0);
}

static void watch_dialogue(struct http_transfer *transfer, int fd, unsigned events);

/* Reads what is there. */
static void dialogue_read(struct http_transfer *transfer, int fd)
{
	char data[READ_SIZE];
	size_t len;
	CURLcode code;

	while ((code = curl_easy_recv(transfer->easy, data, sizeof data, &len)) == CURLE_OK &&
		len > 0) {
		note_bytes(transfer);
		if (!take_body(transfer, data, len)) {
			finish(transfer);
			return;
		}
	}
	transfer->outcome.result.lib_err = code == CURLE_AGAIN ? 0 : (int)code;
	if (code == CURLE_AGAIN)
		watch_dialogue(transfer, fd, LOOP_READ);
	else
		finish_dialogue(transfer, code == CURLE_OK ? REASON_OK : REASON_CONN_RESET);
}

static void dialogue_step(struct http_transfer *transfer, int fd)
{
	size_t left = transfer->request.body_len - transfer->sent_bytes;
	CURLcode code = CURLE_OK;
	size_t sent;

	while (left > 0) {
		code = curl_easy_send(
			transfer->easy, transfer->request.body + transfer->sent_bytes, left, &sent);
		if (code != CURLE_OK)
			break;
		transfer->sent_bytes += sent;
		left -= sent;
		if (left == 0)
			enter_step(transfer, STEP_REQUEST); /* first_byte counts from here */
	}
	if (code == CURLE_AGAIN)
		watch_dialogue(transfer, fd, LOOP_READ | LOOP_WRITE);
	else if (code != CURLE_OK)
		finish_dialogue(transfer, REASON_CONN_RESET);
	else if (!transfer->handlers.on_data)
		finish_dialogue(transfer, REASON_OK);
	else
		dialogue_read(transfer, fd);
}

static void on_dialogue_fd(void *arg, int fd, unsigned ready)
{
	(void)ready;
	dialogue_step(arg, fd);
}

static void watch_dialogue(struct http_transfer *transfer, int fd, unsigned events)
{
	int r = 0;

	if (transfer->watch)
		r = loop_fd_set(transfer->watch, events);
	else
		transfer->watch =
			loop_fd_new(transfer->httpc->loop, fd, events, on_dialogue_fd, transfer);
	if (r < 0 || !transfer->watch)
		finish_with(transfer, REASON_LOCAL_MEMORY, ENOMEM);
}

static void start_dialogue(struct http_transfer *transfer)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	(void)curl_easy_getinfo(transfer->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD)
		finish_with(transfer, REASON_CONN_RESET, 0);
	else
		dialogue_step(transfer, fd);
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
	/* A monitor asks what a client would: no waiting for 100 Continue, no form type. */
	if (request->body && !append(&transfer->headers, "Expect:"))
		return false;
	if (request->body && !has_header(request, "Content-Type") &&
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
	sbuf_puts(text, is_dialogue(transfer) ? "/" : url->target);
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

static bool append_removal(struct curl_slist **list, const char *alias, uint16_t port)
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
		!append_removal(&transfer->resolve, transfer->alias_name, alias->port))
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

static void set_always(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

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
	usec_t total = total_deadline(transfer);
	usec_t connect = min_of(step_deadline(transfer), total);

	connect = (connect > now ? connect - now : 0) + connect_net;
	total = (total > now ? total - now : 0) + total_net;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS,
		(long)min_of(connect / USEC_PER_MSEC, (usec_t)INT32_MAX));
	(void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS,
		(long)min_of(total / USEC_PER_MSEC, (usec_t)INT32_MAX));
}

/* Debian's CAPATH makes libcurl parse all authorities at each connection (19 ms); we give every
 * SSL_CTX one store that is parsed once. */
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
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, curl_version_of(request->version));
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

static void set_connection(struct http_transfer *transfer)
{
	if (transfer->request.reuse == HTTP_REUSE || is_dialogue(transfer))
		return;
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FRESH_CONNECT, 1L);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* False when memory is out. */
static bool set_up(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	build_url(transfer);
	if (transfer->url.failed || !build_headers(transfer) || !build_resolve(transfer) ||
		!build_connect_to(transfer))
		return false;
	set_always(transfer);
	set_timeouts(transfer);
	set_connection(transfer);
	return set(easy, CURLOPT_URL, transfer->url.data) &&
	       set(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
	       set(easy, CURLOPT_ACCEPT_ENCODING, "identity") && set_proxy(transfer) &&
	       set_tls(transfer) && set_method(transfer) &&
	       (!transfer->request.unix_socket ||
		       set(easy, CURLOPT_UNIX_SOCKET_PATH, transfer->request.unix_socket));
}

/* ---- the beginning of a transfer ---- */

/* Leaves out a family without a route as long as the other has one, so that the error of a
 * missing IPv6 never hides what the server said on IPv4. */
static void drop_unroutable(struct http_transfer *transfer)
{
	struct address *addresses = transfer->addresses;
	const struct address *first[2] = { NULL, NULL }; /* by is_ipv4 */
	bool has_route[2];
	size_t n = 0;

	for (size_t i = transfer->n_addresses; i-- > 0;)
		first[address_is_ipv4(&addresses[i])] = &addresses[i];
	if (!first[0] || !first[1])
		return;
	has_route[0] = address_route(first[0]) == 0;
	has_route[1] = address_route(first[1]) == 0;
	if (has_route[0] == has_route[1])
		return;
	for (size_t i = 0; i < transfer->n_addresses; i++) {
		if (has_route[address_is_ipv4(&addresses[i])])
			addresses[n++] = addresses[i];
	}
	transfer->n_addresses = n;
}

static void connect_now(struct http_transfer *transfer)
{
	enter_step(transfer, STEP_CONNECT);
	drop_unroutable(transfer);
	if (!set_up(transfer) || shard_add(transfer->home->shard, transfer->easy) < 0) {
		finish_with(transfer, REASON_LOCAL_MEMORY, ENOMEM);
		return;
	}
	transfer->is_inside = true;
}

static void take_answer(struct http_transfer *transfer, const struct dns_answer *answer)
{
	if (answer->reason != REASON_OK) {
		transfer->outcome.result.lib_err = answer->ares_status;
		transfer->outcome.result.os_errno = answer->os_errno;
		result_set(
			&transfer->outcome.result, answer->reason, "%s", dialled(transfer)->host);
		finish(transfer);
		return;
	}
	memcpy(transfer->addresses, answer->addresses, answer->n * sizeof answer->addresses[0]);
	transfer->n_addresses = answer->n;
	connect_now(transfer);
}

static void on_resolved(struct dns_query *query, const struct dns_answer *answer)
{
	struct http_transfer *transfer = container_of(query, struct http_transfer, query);

	transfer->dns_time = now_of(transfer) - transfer->begun_at;
	take_answer(transfer, answer);
}

/* Through a proxy nobody here sees the final address, so at least a literal one is looked at. */
static bool is_denied_literal(const struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	struct address address;

	return request->proxy && address_parse(request->url->host, &address) &&
	       address_is_denied(&address, request->deny, request->n_deny);
}

static void begin(struct http_transfer *transfer)
{
	const struct dns_answer *answer;
	const char *host = dialled(transfer)->host;
	struct address literal;

	if (is_denied_literal(transfer)) {
		finish_with(transfer, REASON_ADDRESS_DENIED, 0);
		return;
	}
	if (transfer->request.unix_socket) {
		connect_now(transfer);
		return;
	}
	if (!dns_resolve(transfer->httpc->dns, host, &transfer->query, &answer))
		return;
	if (!address_parse(host, &literal))
		transfer->dns_time = 0; /* known already */
	take_answer(transfer, answer);
}

static struct home *choose_home(struct httpc *httpc)
{
	return &httpc->homes[httpc->next_home++ % httpc->n_homes];
}

int http_start(struct httpc *httpc, struct http_lane *lane, const struct http_request *request,
	const struct http_handlers *handlers, struct http_transfer **ret_transfer)
{
	struct http_transfer *transfer = transfer_take(httpc);
	struct timers *timers = loop_timers(httpc->loop);

	must(request->reuse == HTTP_FRESH || lane);
	if (!transfer)
		return -ENOMEM;
	httpc->stats.running++;
	transfer->home = lane ? lane->home : choose_home(httpc);
	transfer->lane = lane;
	transfer->request = *request;
	transfer->handlers = *handlers;
	transfer->outcome.result.reason = REASON_INTERNAL; /* until finish */
	transfer->begun_at = timers->now;
	transfer->dns_time = USEC_NEVER;
	transfer->deadline.fn = on_deadline;
	transfer->done.fn = on_done_task;
	transfer->query.fn = on_resolved;
	if (timer_set(timers, &transfer->deadline, timers->now) < 0) {
		transfer_release(transfer);
		return -ENOMEM;
	}
	httpc->stats.transfers_total++;
	enter_step(transfer, STEP_NAME);
	*ret_transfer = transfer;
	begin(transfer);
	return 0;
}

void http_cancel(struct http_transfer *transfer)
{
	must(!shard_is_inside(transfer->home->shard));
	task_cancel(loop_timers(transfer->httpc->loop), &transfer->done);
	leave_libcurl(transfer);
	transfer_release(transfer);
}

const char *http_answer_header(struct http_transfer *transfer, const char *name, size_t index)
{
	struct curl_header *header;

	return curl_easy_header(transfer->easy, name, index, CURLH_HEADER, -1, &header) == CURLHE_OK
		       ? header->value
		       : NULL;
}

/* ---- lanes ---- */

struct http_lane *http_lane_new(struct httpc *httpc)
{
	struct http_lane *lane = calloc(1, sizeof *lane);

	if (!lane)
		return NULL;
	lane->httpc = httpc;
	lane->home = choose_home(httpc);
	(void)snprintf(lane->name, sizeof lane->name, "l%" PRIu64, httpc->next_lane++);
	return lane;
}

struct http_lane *http_lane_free(struct http_lane *lane)
{
	if (!lane)
		return NULL;
	if (lane->alias.port != 0) /* out of memory: the entry stays, a few bytes */
		(void)append_removal(&lane->home->stale, lane->name, lane->alias.port);
	tls_peer_unref(lane->peer);
	free(lane);
	return NULL;
}

/* ---- the engine ---- */

/* No more than an eighth of the descriptors we may have go to the shards themselves. */
static unsigned count_shards(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	return (unsigned)max_of(
		min_of(limit.rlim_cur / 8 / FDS_OF_SHARD, (rlim_t)MAX_SHARDS), (rlim_t)1);
}

int httpc_new(struct loop *loop, struct dns *dns, struct httpc **ret_httpc)
{
	struct httpc *httpc;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	httpc = calloc(1, sizeof *httpc);
	if (!httpc) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	httpc->loop = loop;
	httpc->dns = dns;
	httpc->shard_handlers = (struct shard_handlers){
		.on_message = on_message,
		.on_readable = on_readable,
		.on_lost = on_lost,
		.arg = httpc,
	};
	TAILQ_INIT(&httpc->pool);
	httpc->n_homes = count_shards();
	for (size_t i = 0; i < httpc->n_homes; i++) {
		httpc->homes[i].shard = shard_new(loop, &httpc->shard_handlers);
		if (!httpc->homes[i].shard) {
			httpc_free(httpc);
			return -ENOMEM;
		}
	}
	*ret_httpc = httpc;
	return 0;
}

struct httpc *httpc_free(struct httpc *httpc)
{
	struct http_transfer *transfer;

	if (!httpc)
		return NULL;
	must(httpc->stats.running == 0);
	while ((transfer = TAILQ_FIRST(&httpc->pool))) {
		TAILQ_REMOVE(&httpc->pool, transfer, link);
		transfer_destroy(transfer);
	}
	for (size_t i = 0; i < httpc->n_homes; i++) {
		shard_free(httpc->homes[i].shard);
		curl_slist_free_all(httpc->homes[i].stale);
		free(httpc->homes[i].aliases);
	}
	free(httpc);
	curl_global_cleanup();
	return NULL;
}

unsigned httpc_held_fds(const struct httpc *httpc)
{
	return httpc->n_homes * FDS_OF_SHARD;
}

const struct httpc_stats *httpc_stats(struct httpc *httpc)
{
	httpc->stats.rebuilds_total = 0;
	for (size_t i = 0; i < httpc->n_homes; i++)
		httpc->stats.rebuilds_total += shard_rebuilds(httpc->homes[i].shard);
	return &httpc->stats;
}

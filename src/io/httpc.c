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

#include "tlsrest.h"
#include "transfer.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/io/fault.h"
#include "modelhealth/io/ration.h"

#include <curl/curl.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	READ_SIZE = 4096,
	/* A handshake with all its certificates is a tenth of it. */
	MAX_BARREN_BYTES = 1024 * 1024,
};

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

usec_t transfer_step_deadline(const struct http_transfer *transfer)
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

usec_t transfer_total_deadline(const struct http_transfer *transfer)
{
	return later(transfer->request.begun_at, transfer->request.timeout.total);
}

static void arm_deadline(struct http_transfer *transfer)
{
	usec_t at = min_of(transfer_step_deadline(transfer), transfer_total_deadline(transfer));

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
	bool is_total = transfer_total_deadline(transfer) <= now;

	if (transfer->step == STEP_REQUEST && has_first_byte(transfer)) {
		transfer->step = STEP_ANSWER; /* active_at is that of the socket */
		transfer->answer_at = transfer->active_at;
	}
	if (is_total || transfer_step_deadline(transfer) <= now)
		give_up(transfer, reason_of_deadline(transfer, is_total));
	else
		arm_deadline(transfer);
}

void transfer_enter_step(struct http_transfer *transfer, enum step step)
{
	transfer->step = step;
	transfer->active_at = now_of(transfer);
	if (step == STEP_REQUEST)
		transfer->connected_at = transfer->active_at;
	if (step == STEP_ANSWER)
		transfer->answer_at = transfer->active_at;
	arm_deadline(transfer);
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

/* libcurl says what the server sent in its words only: "... (err 8)". */
static void note_reset(struct http_transfer *transfer, CURLcode code)
{
	static const char mark[] = "(err ";
	const char *number = strstr(transfer->error, mark);

	if (code != CURLE_HTTP2_STREAM || !number)
		return;
	transfer->outcome.cut = HTTP_CUT_STREAM;
	transfer->outcome.cut_error = (uint32_t)strtoul(number + strlen(mark), NULL, 10);
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
	note_reset(transfer, code);
	/* libcurl looks at OpenSSL's first error only, which may come from deep inside. */
	if (code == CURLE_SSL_CONNECT_ERROR && verify_error != 0)
		fault.curl_code = CURLE_PEER_FAILED_VERIFICATION;
	if (fault.curl_code == CURLE_PEER_FAILED_VERIFICATION && verify_error != 0)
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

static bool is_flooding(const struct http_transfer *transfer)
{
	return transfer->barren_bytes > MAX_BARREN_BYTES;
}

static void finish_cut(struct http_transfer *transfer)
{
	const struct http_outcome *outcome = &transfer->outcome;

	result_set(&transfer->outcome.result, REASON_CONN_RESET,
		outcome->cut == HTTP_CUT_GOAWAY
			? "the server closes the connection (GOAWAY, error %u)"
			: "the server refused the request (RST_STREAM, error %u)",
		outcome->cut_error);
	finish(transfer);
}

/* What floods is not kept for the next time. */
static void finish_flood(struct http_transfer *transfer)
{
	(void)curl_easy_setopt(transfer->easy, CURLOPT_FORBID_REUSE, 1L); /* cannot fail */
	result_set(&transfer->outcome.result, REASON_PROTOCOL_ERROR,
		"a flood that is neither header nor body");
	finish(transfer);
}

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
	else if (code != CURLE_OK && transfer->outcome.cut != HTTP_CUT_NONE)
		finish_cut(transfer);
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

static void on_read(void *arg, CURL *easy, size_t bytes)
{
	struct http_transfer *transfer = NULL;

	(void)arg;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	transfer->barren_bytes += bytes;
	if (is_flooding(transfer) && transfer->step != STEP_DONE)
		finish_flood(transfer);
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

/* Reads what is there. CURLE_WRITE_ERROR when no more is wanted, as libcurl says it itself. */
static CURLcode dialogue_take(struct http_transfer *transfer)
{
	char data[READ_SIZE];
	CURLcode code;
	size_t len;

	ration_begin();
	while ((code = curl_easy_recv(transfer->easy, data, sizeof data, &len)) == CURLE_OK &&
		len > 0) {
		transfer_note_bytes(transfer);
		if (!transfer_take_body(transfer, data, len)) {
			code = CURLE_WRITE_ERROR;
			break;
		}
	}
	transfer->barren_bytes += ration_end();
	return code;
}

static void dialogue_read(struct http_transfer *transfer, int fd)
{
	CURLcode code = dialogue_take(transfer);

	if (code == CURLE_WRITE_ERROR) {
		finish(transfer);
		return;
	}
	transfer->outcome.result.lib_err = code == CURLE_AGAIN ? 0 : (int)code;
	if (is_flooding(transfer))
		finish_flood(transfer);
	else if (code == CURLE_AGAIN)
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
			transfer_enter_step(
				transfer, STEP_REQUEST); /* first_byte counts from here */
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
	transfer_enter_step(transfer, STEP_CONNECT);
	drop_unroutable(transfer);
	if (!transfer_set_up(transfer) || shard_add(transfer->home->shard, transfer->easy) < 0) {
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
	transfer_enter_step(transfer, STEP_NAME);
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

void http_give_up(struct http_transfer *transfer, enum reason reason)
{
	must(!shard_is_inside(transfer->home->shard));
	if (transfer->step != STEP_DONE)
		give_up(transfer, reason);
}

usec_t http_sent_at(const struct http_transfer *transfer)
{
	return transfer->connected_at;
}

uint32_t http_answer_status(const struct http_transfer *transfer)
{
	return (uint32_t)easy_number(transfer, CURLINFO_RESPONSE_CODE);
}

static const char *answer_field(
	struct http_transfer *transfer, const char *name, size_t index, unsigned origin)
{
	struct curl_header *header;

	return curl_easy_header(transfer->easy, name, index, origin, -1, &header) == CURLHE_OK
		       ? header->value
		       : NULL;
}

const char *http_answer_header(struct http_transfer *transfer, const char *name, size_t index)
{
	return answer_field(transfer, name, index, CURLH_HEADER);
}

const char *http_answer_trailer(struct http_transfer *transfer, const char *name, size_t index)
{
	return answer_field(transfer, name, index, CURLH_TRAILER);
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
		(void)transfer_append_removal(&lane->home->stale, lane->name, lane->alias.port);
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
		.on_read = on_read,
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
	tlsrest_clear();
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

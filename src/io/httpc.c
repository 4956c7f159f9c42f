/* SPDX-License-Identifier: MIT */
/*
 * The transfer engine. Owns the shards (libcurl multi handles), the pool of transfers (each with
 * an easy handle) and the lanes. The check kinds call it; it calls the resolver.
 *
 * A transfer goes name -> connect -> request -> answer. Each step has its own absolute deadline
 * and one timer serves them all: it is set to the nearest and looks anew when it fires. Whatever
 * ends a transfer calls transfer_finish() once, which takes the easy handle out of libcurl and
 * leaves the owner's callback to a deferred task.
 *
 * libcurl gets addresses, never names. Each connection is made to an alias ("f3:8000") that
 * CURLOPT_RESOLVE fills, under CURLOPT_CONNECT_TO, so that Host and SNI stay what they are. A
 * fresh transfer takes a free alias of its shard, a lane has one of its own: libcurl compares
 * aliases when it looks for a kept connection, so lanes can never meet.
 */
#include "modelhealth/io/httpc.h"

#include "tlsrest.h"
#include "transfer.h"

#include <curl/curl.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

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
	httpc->stats.running--;
}

static void on_done_task(struct task *task)
{
	struct http_transfer *transfer = container_of(task, struct http_transfer, done);

	transfer->handlers.on_done(transfer->handlers.arg, transfer, &transfer->outcome);
	transfer_release(transfer);
}

/* ---- deadlines ---- */

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

static void on_deadline(struct timer *timer)
{
	struct http_transfer *transfer = container_of(timer, struct http_transfer, deadline);
	usec_t now = now_of(transfer);
	bool is_total = transfer_total_deadline(transfer) <= now;

	if (transfer->step == STEP_REQUEST && transfer_has_first_byte(transfer)) {
		transfer->step = STEP_ANSWER; /* active_at is that of the socket */
		transfer->answer_at = transfer->active_at;
	}
	if (is_total || transfer_step_deadline(transfer) <= now)
		transfer_give_up(transfer, reason_of_deadline(transfer, is_total));
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

/* ---- what comes up inside libcurl and must wait until it is left ---- */

/*
 * When an address fails, libcurl 7.88 prepares the next one of that family, but connects only when
 * one of its timers happens to fire: five refusals took 1.6 of two seconds. So it is made to go on.
 */
static void on_afterwards(struct task *task)
{
	struct http_transfer *transfer = container_of(task, struct http_transfer, afterwards);

	if (transfer->watch_errno != 0)
		transfer_fail_here(transfer, transfer->watch_errno);
	else if (transfer->step == STEP_CONNECT)
		shard_hurry(transfer->home->shard, transfer->easy);
}

void transfer_expect_next(struct http_transfer *transfer)
{
	if (transfer->opened < transfer->n_addresses)
		task_defer(loop_timers(transfer->httpc->loop), &transfer->afterwards);
}

/* ---- what libcurl tells through its shard ---- */

static struct http_transfer *transfer_of(CURL *easy)
{
	struct http_transfer *transfer = NULL;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	return transfer;
}

static void on_message(void *arg, CURL *easy, CURLcode code)
{
	(void)arg;
	transfer_conclude(transfer_of(easy), code);
}

static void on_readable(void *arg, CURL *easy)
{
	struct http_transfer *transfer = transfer_of(easy);

	(void)arg;
	transfer->active_at = now_of(transfer);
}

static void on_read(void *arg, CURL *easy, size_t bytes)
{
	struct http_transfer *transfer = transfer_of(easy);

	(void)arg;
	transfer->barren_bytes += bytes;
	if (transfer->step != STEP_DONE)
		(void)transfer_refuse_flood(transfer);
}

static void on_left(void *arg, CURL *easy)
{
	(void)arg;
	transfer_expect_next(transfer_of(easy));
}

static void on_unwatched(void *arg, CURL *easy, int error)
{
	struct http_transfer *transfer = transfer_of(easy);

	(void)arg;
	transfer->watch_errno = error;
	task_defer(loop_timers(transfer->httpc->loop), &transfer->afterwards);
}

static void on_lost(void *arg, CURL *easy)
{
	struct http_transfer *transfer = transfer_of(easy);

	(void)arg;
	transfer->is_inside = false;
	transfer_finish_with(transfer, REASON_INTERNAL, 0);
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
		transfer_finish_with(transfer, REASON_LOCAL_MEMORY, ENOMEM);
		return;
	}
	transfer->is_inside = true;
}

static void take_answer(struct http_transfer *transfer, const struct dns_answer *answer)
{
	if (answer->reason != REASON_OK) {
		transfer->outcome.result.lib_err = answer->ares_status;
		transfer_finish_with(transfer, answer->reason, answer->os_errno);
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
		result_set(&transfer->outcome.result, REASON_ADDRESS_DENIED, "%s",
			transfer->request.url->host);
		transfer_finish(transfer);
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
	transfer->afterwards.fn = on_afterwards;
	transfer->query.fn = on_resolved;
	if (timer_set(timers, &transfer->deadline, timers->now) < 0) {
		transfer_release(transfer);
		return -ENOMEM;
	}
	transfer_enter_step(transfer, STEP_NAME);
	*ret_transfer = transfer;
	begin(transfer);
	return 0;
}

void http_cancel(struct http_transfer *transfer)
{
	must(!shard_is_inside(transfer->home->shard));
	task_cancel(loop_timers(transfer->httpc->loop), &transfer->done);
	transfer_leave_libcurl(transfer);
	transfer_release(transfer);
}

void http_give_up(struct http_transfer *transfer, enum reason reason)
{
	must(!shard_is_inside(transfer->home->shard));
	if (transfer->step != STEP_DONE)
		transfer_give_up(transfer, reason);
}

usec_t http_sent_at(const struct http_transfer *transfer)
{
	return transfer->connected_at;
}

uint32_t http_answer_status(const struct http_transfer *transfer)
{
	return (uint32_t)transfer_number(transfer, CURLINFO_RESPONSE_CODE);
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
		.on_left = on_left,
		.on_unwatched = on_unwatched,
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

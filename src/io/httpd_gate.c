/* SPDX-License-Identifier: MIT */
/*
 * The gate before evhttp. From a connection's first byte on, its data comes here, where one request
 * is read strictly, bounded in bytes and time. evhttp then gets a request to answer: always the
 * same harmless one. Refusals take the same way, so that all answers are alike.
 */
#include "httpd_private.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static const usec_t request_deadline = 10 * USEC_PER_SEC;
static const usec_t linger_deadline = USEC_PER_SEC;

enum {
	MAX_ARRIVING = HTTPREQ_MAX_HEAD + HTTPREQ_MAX_BODY,
	/* An answer of which this much more is made, or taken by the client, gets another deadline.
	 * It is more than the kernel takes for a client that reads nothing, hence the small
	 * buffer. */
	ADVANCE_AT_LEAST = 1024 * 1024,
	SEND_BUFFER = 256 * 1024,
	LINGER_BYTES = 1024 * 1024
};

/* What evhttp reads in place of any request. */
static const char harmless[] = "GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n";

/* ---- beginning and end ---- */

static void on_deadline(struct timer *timer);
static void on_task(struct task *task);

void gate_prepare(struct httpd *server)
{
	struct httpd_request *request = calloc(1, sizeof *request);

	if (!request)
		return;
	request->server = server;
	request->out.limit = MAX_ANSWER;
	request->deadline.fn = on_deadline;
	request->task.fn = on_task;
	request->bev = bufferevent_socket_new(
		loop_event_base(server->setup.loop), -1, BEV_OPT_CLOSE_ON_FREE);
	if (request->bev)
		server->prepared = request;
	else
		gate_free(request);
}

struct httpd_request *gate_free(struct httpd_request *request)
{
	if (!request)
		return NULL;
	if (request->bev)
		bufferevent_decref(request->bev);
	if (request->body)
		evbuffer_free(request->body);
	sbuf_fini(&request->out);
	free(request->head);
	free(request);
	return NULL;
}

static unsigned *client_counter(struct httpd_request *request)
{
	return request->listener->socket.is_unix ? &request->server->n_local
						 : &request->server->n_tcp;
}

struct httpd_request *gate_find_lingering(const struct httpd *server, bool is_unix)
{
	struct httpd_request *request;

	TAILQ_FOREACH (request, &server->requests, link)
		if (request->phase == LINGERING && request->listener->socket.is_unix == is_unix)
			return request;
	return NULL;
}

void gate_release(struct httpd_request *request)
{
	struct httpd *server = request->server;

	httpd_end_job(request);
	timer_cancel(server->timers, &request->deadline);
	task_cancel(server->timers, &request->task);
	TAILQ_REMOVE(&server->requests, request, link);
	(*client_counter(request))--;
	if (--request->listener->n_requests == 0 && !request->listener->bound)
		task_defer(server->timers, &server->sweep);
	gate_free(request);
	listeners_update(server);
}

void gate_drop(struct httpd_request *request)
{
	switch (request->phase) {
	case ARRIVING:
		/* Put evhttp back in charge and tell it that the client has left. */
		bufferevent_setcb(request->bev, request->evhttp_read, request->evhttp_write,
			request->evhttp_event, request->evhttp_arg);
		request->evhttp_event(
			request->bev, BEV_EVENT_READING | BEV_EVENT_EOF, request->evhttp_arg);
		gate_release(request);
		break;
	case WAITING:
	case RENDERING:
	case SENDING:
		evhttp_connection_free(request->connection); /* calls on_connection_closed */
		break;
	case NEW:
	case LINGERING:
	case GONE:
		gate_release(request);
		break;
	}
}

void gate_set_deadline(struct httpd_request *request, usec_t after)
{
	struct timers *timers = request->server->timers;

	/* Room for all clients was reserved; should it be used up, be strict. */
	if (timer_set(timers, &request->deadline, timers->now + after) < 0)
		(void)shutdown(bufferevent_getfd(request->bev), SHUT_RDWR);
}

/* ---- while it arrives ---- */

/* Gives evhttp the harmless request to answer; gate_on_evhttp takes over from there. */
static void hand_over(struct httpd_request *request)
{
	struct evbuffer *input = bufferevent_get_input(request->bev);

	request->phase = WAITING;
	(void)evbuffer_drain(input, evbuffer_get_length(input));
	bufferevent_setcb(request->bev, request->evhttp_read, request->evhttp_write,
		request->evhttp_event, request->evhttp_arg);
	if (evbuffer_prepend(input, harmless, strlen(harmless)) == 0)
		request->evhttp_read(request->bev, request->evhttp_arg);
	if (request->connection)
		return;
	/* Out of memory. evhttp notices the end of the connection if it still has it. */
	(void)shutdown(bufferevent_getfd(request->bev), SHUT_RDWR);
	gate_release(request);
}

static void refuse(struct httpd_request *request, unsigned status)
{
	request->server->stats.rejected_total++;
	request->refusal = status;
	hand_over(request);
}

static bool is_allowed_host(const struct httpd_request *request)
{
	const char *host = request->parsed.host;
	struct in_addr address;

	/* A page in a browser cannot speak to a unix socket, whatever names it resolves. */
	if (!host || request->listener->socket.is_unix)
		return true;
	if (host[0] == '[' || inet_pton(AF_INET, host, &address) == 1 ||
		strcasecmp(host, "localhost") == 0)
		return true;
	for (char **allowed = request->server->hosts; allowed && *allowed; allowed++)
		if (strcasecmp(host, *allowed) == 0)
			return true;
	return false;
}

/* Reads the head once it is complete. 1 = read, 0 = more is needed, or minus a status. */
static int read_head(struct httpd_request *request)
{
	struct evbuffer *input = bufferevent_get_input(request->bev);
	size_t len = min_of(evbuffer_get_length(input), (size_t)HTTPREQ_MAX_HEAD);
	const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)len);
	int r;

	if (!data)
		return len == 0 ? 0 : -503;
	r = httpreq_scan(data, len, &request->scanned);
	if (r <= 0)
		return r;
	request->head_len = (size_t)r;
	request->head = strndup(data, request->head_len);
	if (!request->head)
		return -503;
	r = httpreq_parse(request->head, request->head_len, &request->parsed);
	if (r < 0)
		return r;
	return is_allowed_host(request) ? 1 : -421;
}

static void on_arriving(struct bufferevent *bev, void *arg)
{
	struct httpd_request *request = arg;

	loop_wake(request->server->setup.loop);
	if (!request->head) {
		int r = read_head(request);

		if (r < 0)
			refuse(request, (unsigned)-r);
		if (r <= 0)
			return;
	}
	if (evbuffer_get_length(bufferevent_get_input(bev)) >=
		request->head_len + request->parsed.content_length)
		hand_over(request);
}

static void on_arriving_event(struct bufferevent *bev, short what, void *arg)
{
	struct httpd_request *request = arg;

	(void)what;
	loop_wake(request->server->setup.loop);
	if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
		request->server->stats.rejected_total++;
	gate_drop(request);
}

/* ---- letting clients in ---- */

/* IPv4 as it is, IPv6 by its /64: that much one customer usually holds. */
static void note_source(struct httpd_request *request)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof peer;

	if (getpeername(bufferevent_getfd(request->bev), (struct sockaddr *)&peer, &len) < 0)
		return; /* it has left already */
	if (peer.ss_family == AF_INET) {
		request->source[0] = 4;
		memcpy(request->source + 1, &((struct sockaddr_in *)&peer)->sin_addr, 4);
	} else if (peer.ss_family == AF_INET6) {
		request->source[0] = 6;
		memcpy(request->source + 1, &((struct sockaddr_in6 *)&peer)->sin6_addr, 8);
	}
}

static bool is_one_too_many(const struct httpd_request *request)
{
	const struct httpd_request *other;
	unsigned n = 0;

	if (request->listener->socket.is_unix)
		return false;
	TAILQ_FOREACH (other, &request->server->requests, link)
		if (!other->listener->socket.is_unix && other->phase != NEW &&
			memcmp(other->source, request->source, SOURCE_SIZE) == 0)
			n++;
	return n >= request->server->clients_per_source_max;
}

/* A turn fills the buffer. libevent's own limit, 16 KiB a turn, would make megabytes of metrics take
 * minutes while checks keep the turns long. */
static void size_send_buffer(struct httpd_request *request)
{
	const int size = SEND_BUFFER;

	/* Left at its default, only the deadline of a client that does not read gets longer. */
	(void)setsockopt(
		bufferevent_getfd(request->bev), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	/* The kernel makes twice as much of it. Cannot fail. */
	(void)bufferevent_set_max_single_write(request->bev, 2 * SEND_BUFFER);
}

/* Puts the gate between a new client and evhttp, before anything can have been read. */
static void admit(struct httpd_request *request)
{
	bufferevent_getcb(request->bev, &request->evhttp_read, &request->evhttp_write,
		&request->evhttp_event, &request->evhttp_arg);
	if (!request->evhttp_arg || bufferevent_getfd(request->bev) < 0) {
		gate_release(request); /* evhttp ran out of memory and has let go */
		return;
	}
	note_source(request);
	if (is_one_too_many(request)) {
		request->phase = ARRIVING;
		refuse(request, 503);
		return;
	}
	request->phase = ARRIVING;
	size_send_buffer(request);
	bufferevent_setwatermark(request->bev, EV_READ, 0, MAX_ARRIVING);
	bufferevent_setcb(request->bev, on_arriving, NULL, on_arriving_event, request);
	gate_set_deadline(request, request_deadline);
	/* evhttp has enabled it, but did not look whether the kernel can watch one more. */
	if (bufferevent_enable(request->bev, EV_READ) < 0)
		gate_drop(request);
}

/* Activated by gate_on_bufferevent, so it runs before the loop polls again. */
void gate_on_admit(evutil_socket_t fd, short what, void *arg)
{
	struct httpd *server = arg;
	struct httpd_request *request = TAILQ_FIRST(&server->requests);

	(void)fd;
	(void)what;
	loop_wake(server->setup.loop);
	while (request) {
		struct httpd_request *next = TAILQ_NEXT(request, link);

		if (request->phase == NEW)
			admit(request);
		request = next;
	}
	server->n_new = 0;
	listeners_update(server);
}

/* evhttp asks for the bufferevent of a client that it has just accepted. */
struct bufferevent *gate_on_bufferevent(struct event_base *base, void *arg)
{
	struct listener *listener = arg;
	struct httpd *server = listener->server;
	struct httpd_request *request = take_ptr(server->prepared);

	(void)base;
	loop_wake(server->setup.loop);
	must(request);
	listeners_make_room(listener);
	request->listener = listener;
	listener->n_requests++;
	server->n_new++;
	(*client_counter(request))++;
	TAILQ_INSERT_TAIL(&server->requests, request, link);
	bufferevent_incref(request->bev); /* evhttp gets the other one */
	event_active(server->admit, EV_TIMEOUT, 0);
	gate_prepare(server);
	if (!server->prepared)
		listeners_pause(server);
	else
		listeners_update(server);
	return request->bev;
}

/* ---- between evhttp and on_request ---- */

/* evhttp closes the connection, after the answer or because it broke. */
static void on_connection_closed(struct evhttp_connection *connection, void *arg)
{
	struct httpd_request *request = arg;
	bool all_sent = request->phase == SENDING &&
			evbuffer_get_length(bufferevent_get_output(request->bev)) == 0;

	(void)connection;
	httpd_end_job(request);
	request->connection = NULL;
	request->evhttp_request = NULL;
	request->phase = all_sent ? LINGERING : GONE;
	task_defer(request->server->timers, &request->task);
}

/* evhttp has read the harmless request. */
void gate_on_evhttp(struct evhttp_request *evhttp_request, void *arg)
{
	const struct listener *listener = arg;
	struct evhttp_connection *connection = evhttp_request_get_connection(evhttp_request);
	const struct bufferevent *bev = evhttp_connection_get_bufferevent(connection);
	struct httpd_request *request;

	loop_wake(listener->server->setup.loop);
	TAILQ_FOREACH (request, &listener->server->requests, link)
		if (request->bev == bev)
			break;
	must(request && request->phase == WAITING);
	request->evhttp_request = evhttp_request;
	request->connection = connection;
	evhttp_connection_set_closecb(connection, on_connection_closed, request);
	task_defer(request->server->timers, &request->task);
}

static void on_lingering(struct bufferevent *bev, void *arg)
{
	struct httpd_request *request = arg;
	struct evbuffer *input = bufferevent_get_input(bev);

	loop_wake(request->server->setup.loop);
	request->drained += evbuffer_get_length(input);
	(void)evbuffer_drain(input, evbuffer_get_length(input));
	if (request->drained > LINGER_BYTES)
		gate_release(request);
}

static void on_lingering_event(struct bufferevent *bev, short what, void *arg)
{
	struct httpd_request *request = arg;

	(void)bev;
	(void)what;
	loop_wake(request->server->setup.loop);
	gate_release(request);
}

/* Closing at once would reset the connection if the client is still sending, and a reset can
 * destroy our answer before it is read. */
static void linger(struct httpd_request *request)
{
	bufferevent_setcb(request->bev, on_lingering, NULL, on_lingering_event, request);
	gate_set_deadline(request, linger_deadline);
	/* Both only touch epoll; should that fail, the deadline ends it. */
	(void)bufferevent_disable(request->bev, EV_WRITE);
	(void)bufferevent_enable(request->bev, EV_READ);
	listeners_update(request->server);
}

static void ask(struct httpd_request *request)
{
	struct httpd *server = request->server;

	if (request->refusal != 0) {
		httpd_refuse(request);
		return;
	}
	server->stats.requests_total++;
	server->setup.on_request(server->setup.ctx, request);
	must(request->phase != WAITING);
}

static void on_task(struct task *task)
{
	struct httpd_request *request = container_of(task, struct httpd_request, task);

	switch (request->phase) {
	case WAITING:
		ask(request);
		break;
	case LINGERING:
		linger(request);
		break;
	case GONE:
		gate_release(request);
		break;
	case NEW:
	case ARRIVING:
	case RENDERING:
	case SENDING:
		must(!"a task in a phase that defers none");
	}
}

/* Whether enough has happened since the last deadline. */
static bool has_advanced(struct httpd_request *request)
{
	size_t rendered, unsent;

	if (request->phase == RENDERING) {
		rendered = httpd_rendered(request);
		if (rendered < request->rendered + ADVANCE_AT_LEAST ||
			!httpd_is_being_made(request))
			return false;
		request->rendered = rendered;
		return true;
	}
	if (request->phase != SENDING || httpd_is_short_of_memory(request->server))
		return false;
	unsent = evbuffer_get_length(bufferevent_get_output(request->bev));
	if (unsent + ADVANCE_AT_LEAST > request->unsent)
		return false;
	request->unsent = unsent;
	return true;
}

static void on_deadline(struct timer *timer)
{
	struct httpd_request *request = container_of(timer, struct httpd_request, deadline);

	if (request->phase == ARRIVING && request->scanned > 0) {
		refuse(request, 408);
		return;
	}
	if (has_advanced(request))
		gate_set_deadline(request, SEND_DEADLINE_SECONDS * USEC_PER_SEC);
	else if (request->phase == RENDERING)
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"the answer was not ready in time");
	else
		gate_drop(request);
}

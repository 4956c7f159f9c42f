/* SPDX-License-Identifier: MIT */
/*
 * evhttp with a gate before it. evhttp accepts, answers and closes; what clients send never reaches
 * its lenient parser. From its first byte on, a connection's data goes to the gate here, which
 * reads one request strictly (text/httpreq.c), bounded in bytes and time. Only then evhttp gets a
 * request to answer: always the same harmless one. Refusals take the same way, so that all answers
 * are alike.
 *
 *   accept -> ARRIVING -> WAITING -> (RENDERING) -> SENDING -> LINGERING -> gone
 *             gate reads  on_request  slices         evhttp     the client reads our last bytes
 *
 * A request owns one reference of its bufferevent, so it outlives evhttp's connection and can let
 * the client finish. The app owns the server; engine/status.c answers the requests.
 */
#include "modelhealth/io/httpd.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/io/listen.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/text/write.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static const usec_t request_deadline = 10 * USEC_PER_SEC;
static const usec_t send_deadline = 10 * USEC_PER_SEC;
static const usec_t wait_deadline = 60 * USEC_PER_SEC; /* for what takes its time here */
static const usec_t linger_deadline = USEC_PER_SEC;
static const usec_t exhausted_pause = USEC_PER_SEC;
static const usec_t render_slice = USEC_PER_MSEC;

enum {
	MAX_LOCAL_CLIENTS = 64, /* over unix sockets, apart from TCP: operators always get in */
	MAX_ARRIVING = HTTPREQ_MAX_HEAD + HTTPREQ_MAX_BODY,
	/* A client that takes this much per deadline gets another one. More than the kernel takes for
	 * a client that reads nothing, hence the small buffer. */
	SEND_AT_LEAST = 1024 * 1024,
	SEND_BUFFER = 128 * 1024,
	LINGER_BYTES = 1024 * 1024,
	RESERVED_TIMERS = 512,       /* one a client, and ours */
	MAX_HELD = 64 * 1024 * 1024, /* of answers rendered or being sent: one at a time then */
	MAX_ANSWER = 512 * 1024 * 1024,
	SOURCE_SIZE = 16
};

/* What evhttp reads in place of any request. */
static const char harmless[] = "GET / HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n";

enum phase {
	NEW,      /* accepted in this turn, not yet looked at */
	ARRIVING, /* the gate reads */
	WAITING,  /* evhttp has it, on_request is due */
	RENDERING,
	SENDING,
	LINGERING, /* evhttp is done with it, the client may still be reading */
	GONE,      /* evhttp has dropped it */
};

TAILQ_HEAD(request_list, httpd_request);
TAILQ_HEAD(listener_list, listener);

struct listener {
	struct httpd *server;
	char *address; /* as configured; NULL = adopted */
	struct listen_socket socket;
	struct evhttp *http;
	struct evhttp_bound_socket *bound; /* NULL once it stopped listening */
	struct evconnlistener *acceptor;
	unsigned n_requests;
	bool kept, is_new; /* during httpd_listen */
	TAILQ_ENTRY(listener) link;
};

struct httpd_request {
	struct httpd *server;
	struct listener *listener; /* NULL until it is accepted */
	struct bufferevent *bev;   /* one reference is ours */
	enum phase phase;
	uint8_t source[SOURCE_SIZE];

	/* ARRIVING: evhttp's callbacks, put aside */
	bufferevent_data_cb evhttp_read, evhttp_write;
	bufferevent_event_cb evhttp_event;
	void *evhttp_arg;
	size_t scanned, head_len;
	char *head; /* what parsed points into; NULL until complete */
	struct httpreq parsed;
	unsigned refusal; /* the status the gate answers with; 0 = none */

	struct evhttp_request *evhttp_request;
	struct evhttp_connection *connection;
	struct httpd_job *job;
	struct sbuf out;       /* the slice being rendered */
	struct evbuffer *body; /* the slices before it; NULL = none */
	size_t held;           /* of server->held */
	size_t unsent;
	size_t drained;
	struct timer deadline;
	struct task task;
	TAILQ_ENTRY(httpd_request) link;
	TAILQ_ENTRY(httpd_request) job_link;
};

struct httpd {
	LIST_ENTRY(httpd) link;
	struct httpd_setup setup;
	struct timers *timers;
	char **hosts; /* ended by NULL; NULL = none */
	unsigned clients_max, clients_per_source_max;
	struct listener_list listeners;
	struct request_list requests;
	struct request_list jobs;
	unsigned n_jobs;
	struct httpd_request *prepared; /* for the next client; without it nothing is accepted */
	struct event *admit;
	struct timer render, resume;
	struct task sweep; /* frees listeners that stopped and have no clients left */
	int spare_fd;      /* given up to accept and close one client when descriptors are out */
	bool exhausted;
	unsigned n_tcp, n_local;
	size_t held;
	struct httpd_stats stats;
};

static LIST_HEAD(, httpd) servers = LIST_HEAD_INITIALIZER(servers);

/* ---- statuses ---- */

static const struct {
	unsigned status;
	const char *title;
	const char *detail; /* of the gate's own refusals */
} statuses[] = {
	{ 200, "OK", NULL },
	{ 202, "Accepted", NULL },
	{ 304, "Not Modified", NULL },
	{ 400, "Bad Request", "the request is malformed or ambiguous" },
	{ 403, "Forbidden", NULL },
	{ 404, "Not Found", NULL },
	{ 405, "Method Not Allowed", "only GET, HEAD and, for some paths, POST" },
	{ 408, "Request Timeout", "the request was not complete in 10 seconds" },
	{ 413, "Content Too Large", "no request here needs a body" },
	{ 414, "URI Too Long", "the request line passes 8 KiB, or the query 16 parameters" },
	{ 417, "Expectation Failed", "Expect is not supported" },
	{ 421, "Misdirected Request",
		"Host is neither an IP address nor localhost nor in status.allowed_hosts" },
	{ 422, "Unprocessable Content", NULL },
	{ 429, "Too Many Requests", NULL },
	{ 431, "Request Header Fields Too Large", "header fields pass 8 KiB or 64 lines" },
	{ 500, "Internal Server Error", NULL },
	{ 501, "Not Implemented", "method or transfer coding is not supported" },
	{ 503, "Service Unavailable", "too many clients at once; try again" },
	{ 505, "HTTP Version Not Supported", "only HTTP/1.0 and HTTP/1.1" },
};

static size_t find_status(unsigned status)
{
	for (size_t i = 0; i < array_size(statuses); i++)
		if (statuses[i].status == status)
			return i;
	must(!"a status without a row");
	return 0;
}

/* ---- accepting or not ---- */

static bool may_accept(const struct httpd *server, const struct listener *listener)
{
	if (server->exhausted || !server->prepared)
		return false;
	return listener->socket.is_unix ? server->n_local < MAX_LOCAL_CLIENTS
					: server->n_tcp < server->clients_max;
}

static void update_accepting(struct httpd *server)
{
	struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link) {
		if (!listener->bound)
			continue;
		/* Failing to enable is as failing to accept: the pause will end. */
		if (may_accept(server, listener))
			(void)evconnlistener_enable(listener->acceptor);
		else
			(void)evconnlistener_disable(listener->acceptor);
	}
}

static struct httpd_request *request_free(struct httpd_request *request)
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

static void on_deadline(struct timer *timer);
static void on_task(struct task *task);

static void prepare_request(struct httpd *server)
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
		request_free(request);
}

static void pause_accepting(struct httpd *server)
{
	server->exhausted = true;
	update_accepting(server);
	/* Reserved in httpd_new, so it cannot fail. */
	(void)timer_set(server->timers, &server->resume, server->timers->now + exhausted_pause);
}

static void on_resume(struct timer *timer)
{
	struct httpd *server = container_of(timer, struct httpd, resume);

	server->exhausted = false;
	if (!server->prepared)
		prepare_request(server);
	if (!server->prepared)
		pause_accepting(server);
	update_accepting(server);
}

/* libevent hands the error callback of a listener evhttp's argument instead of ours. */
static struct httpd *find_server(const struct evconnlistener *acceptor)
{
	struct httpd *server;
	struct listener *listener;

	LIST_FOREACH (server, &servers, link)
		TAILQ_FOREACH (listener, &server->listeners, link)
			if (listener->acceptor == acceptor)
				return server;
	must(!"a listener without a server");
	return NULL;
}

/* Out of descriptors: without a pause, libevent would try again at once, for ever. The spare one
 * lets the waiting client know now instead of leaving it in the queue. */
static void on_accept_error(struct evconnlistener *acceptor, void *arg)
{
	int error = errno;
	struct httpd *server = find_server(acceptor);

	(void)arg;
	loop_wake(server->setup.loop);
	if (server->spare_fd >= 0) {
		int client;

		(void)close(server->spare_fd);
		client = accept4(
			evconnlistener_get_fd(acceptor), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client >= 0)
			(void)close(client);
	}
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pause_accepting(server);
	if (server->setup.on_exhausted)
		server->setup.on_exhausted(server->setup.ctx, error);
}

/* ---- the end of a request ---- */

static unsigned *client_counter(struct httpd_request *request)
{
	return request->listener->socket.is_unix ? &request->server->n_local
						 : &request->server->n_tcp;
}

static void end_job(struct httpd_request *request)
{
	struct httpd_job *job = take_ptr(request->job);

	if (!job)
		return;
	if (job->step)
		TAILQ_REMOVE(&request->server->jobs, request, job_link);
	request->server->n_jobs--;
	job->end(job);
}

/* evhttp has let go of it, or never knew it. */
static void release(struct httpd_request *request)
{
	struct httpd *server = request->server;

	end_job(request);
	timer_cancel(server->timers, &request->deadline);
	task_cancel(server->timers, &request->task);
	TAILQ_REMOVE(&server->requests, request, link);
	(*client_counter(request))--;
	if (--request->listener->n_requests == 0 && !request->listener->bound)
		task_defer(server->timers, &server->sweep);
	server->held -= request->held;
	request_free(request);
	update_accepting(server);
}

/* Closes without an answer. The request is gone afterwards, or will be in this turn. */
static void drop(struct httpd_request *request)
{
	switch (request->phase) {
	case ARRIVING:
		/* Put evhttp back in charge and tell it that the client has left. */
		bufferevent_setcb(request->bev, request->evhttp_read, request->evhttp_write,
			request->evhttp_event, request->evhttp_arg);
		request->evhttp_event(
			request->bev, BEV_EVENT_READING | BEV_EVENT_EOF, request->evhttp_arg);
		release(request);
		break;
	case WAITING:
	case RENDERING:
	case SENDING:
		evhttp_connection_free(request->connection); /* calls on_connection_closed */
		break;
	case NEW:
	case LINGERING:
	case GONE:
		release(request);
		break;
	}
}

static void set_deadline(struct httpd_request *request, usec_t after)
{
	struct timers *timers = request->server->timers;

	/* Room for all clients was reserved; should it be used up, be strict. */
	if (timer_set(timers, &request->deadline, timers->now + after) < 0)
		(void)shutdown(bufferevent_getfd(request->bev), SHUT_RDWR);
}

/* ---- the gate ---- */

/* Gives evhttp the harmless request to answer; on_evhttp takes over from there. */
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
	release(request);
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
	drop(request);
}

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

static void limit_send_buffer(struct httpd_request *request)
{
	const int size = SEND_BUFFER;

	/* Left at its default, only the deadline of a client that does not read gets longer. */
	(void)setsockopt(
		bufferevent_getfd(request->bev), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Puts the gate between a new client and evhttp, before anything can have been read. */
static void admit(struct httpd_request *request)
{
	bufferevent_getcb(request->bev, &request->evhttp_read, &request->evhttp_write,
		&request->evhttp_event, &request->evhttp_arg);
	if (!request->evhttp_arg || bufferevent_getfd(request->bev) < 0) {
		release(request); /* evhttp ran out of memory and has let go */
		return;
	}
	note_source(request);
	if (is_one_too_many(request)) {
		request->phase = ARRIVING;
		refuse(request, 503);
		return;
	}
	request->phase = ARRIVING;
	limit_send_buffer(request);
	bufferevent_setwatermark(request->bev, EV_READ, 0, MAX_ARRIVING);
	bufferevent_setcb(request->bev, on_arriving, NULL, on_arriving_event, request);
	set_deadline(request, request_deadline);
}

/* Activated by on_bufferevent, so it runs before the loop polls again. */
static void on_admit(evutil_socket_t fd, short what, void *arg)
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
	update_accepting(server);
}

/* evhttp asks for the bufferevent of a client that it has just accepted. */
static struct bufferevent *on_bufferevent(struct event_base *base, void *arg)
{
	struct listener *listener = arg;
	struct httpd *server = listener->server;
	struct httpd_request *request = take_ptr(server->prepared);

	(void)base;
	loop_wake(server->setup.loop);
	must(request);
	request->listener = listener;
	listener->n_requests++;
	(*client_counter(request))++;
	TAILQ_INSERT_TAIL(&server->requests, request, link);
	bufferevent_incref(request->bev); /* evhttp gets the other one */
	event_active(server->admit, EV_TIMEOUT, 0);
	prepare_request(server);
	if (!server->prepared)
		pause_accepting(server);
	else
		update_accepting(server);
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
	end_job(request);
	request->connection = NULL;
	request->evhttp_request = NULL;
	request->phase = all_sent ? LINGERING : GONE;
	task_defer(request->server->timers, &request->task);
}

/* evhttp has read the harmless request. */
static void on_evhttp(struct evhttp_request *evhttp_request, void *arg)
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
		release(request);
}

static void on_lingering_event(struct bufferevent *bev, short what, void *arg)
{
	struct httpd_request *request = arg;

	(void)bev;
	(void)what;
	loop_wake(request->server->setup.loop);
	release(request);
}

/* Closing at once would reset the connection if the client is still sending, and a reset can
 * destroy our answer before it is read. */
static void linger(struct httpd_request *request)
{
	request->server->held -= request->held;
	request->held = 0;
	bufferevent_setcb(request->bev, on_lingering, NULL, on_lingering_event, request);
	set_deadline(request, linger_deadline);
	/* Both only touch epoll; should that fail, the deadline ends it. */
	(void)bufferevent_disable(request->bev, EV_WRITE);
	(void)bufferevent_enable(request->bev, EV_READ);
}

static void ask(struct httpd_request *request)
{
	struct httpd *server = request->server;

	if (request->refusal != 0) {
		struct httpd_reply reply = { .status = request->refusal };

		if (reply.status == 405)
			reply.allow = "GET, HEAD, POST";
		if (reply.status == 503)
			reply.retry_after = 1;
		httpd_problem_with(request, &reply, statuses[find_status(reply.status)].detail);
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
		release(request);
		break;
	case NEW:
	case ARRIVING:
	case RENDERING:
	case SENDING:
		must(!"a task in a phase that defers none");
	}
}

static void on_deadline(struct timer *timer)
{
	struct httpd_request *request = container_of(timer, struct httpd_request, deadline);
	size_t unsent;

	if (request->phase == ARRIVING && request->scanned > 0) {
		refuse(request, 408);
		return;
	}
	unsent = evbuffer_get_length(bufferevent_get_output(request->bev));
	if (request->phase == SENDING && unsent + SEND_AT_LEAST <= request->unsent) {
		request->unsent = unsent;
		set_deadline(request, send_deadline);
		return;
	}
	drop(request);
}

/* ---- answering ---- */

const struct httpreq *httpd_request_head(const struct httpd_request *request)
{
	return &request->parsed;
}

bool httpd_request_is_local(const struct httpd_request *request)
{
	return request->listener->socket.is_unix;
}

static void free_body(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

static void add_fields(
	struct httpd_request *request, const struct httpd_reply *reply, size_t content_length)
{
	char length[24], retry[24];

	const struct {
		const char *name, *value;
	} fields[] = {
		{ "Content-Type", reply->mime },
		{ "Content-Length", reply->status == 304 ? NULL : length },
		{ "Cache-Control", reply->etag ? "no-cache" : "no-store" },
		{ "Content-Security-Policy", "default-src 'none'" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "ETag", reply->etag },
		{ "Allow", reply->allow },
		{ "Retry-After", reply->retry_after > 0 ? retry : NULL },
		{ "Connection", "close" },
	};
	struct evkeyvalq *output = evhttp_request_get_output_headers(request->evhttp_request);

	(void)snprintf(length, sizeof length, "%zu", content_length);
	(void)snprintf(retry, sizeof retry, "%u", reply->retry_after);
	for (size_t i = 0; i < array_size(fields); i++)
		if (fields[i].value)
			/* A field that is lost for want of memory closes the connection late. */
			(void)evhttp_add_header(output, fields[i].name, fields[i].value);
}

/* The slices so far, and body (taken) at their end. NULL = out of memory. */
static struct evbuffer *whole_body(struct httpd_request *request, struct sbuf *body)
{
	struct evbuffer *buffer = take_ptr(request->body);
	size_t len = body ? body->len : 0;
	bool failed = body && body->failed;
	char *text = body ? sbuf_steal(body) : NULL;

	if (!buffer)
		buffer = evbuffer_new();
	if (!text || len == 0) {
		free(text);
		failed |= body && !text;
	} else if (!buffer || evbuffer_add_reference(buffer, text, len, free_body, text) < 0) {
		free(text);
		failed = true;
	}
	if (!failed || !buffer)
		return buffer;
	evbuffer_free(buffer);
	return NULL;
}

static void send_answer(
	struct httpd_request *request, const struct httpd_reply *reply, struct evbuffer *body)
{
	size_t len = evbuffer_get_length(body);

	add_fields(request, reply, len);
	if (request->parsed.method == HTTP_HEAD)
		(void)evbuffer_drain(body, len);
	request->phase = SENDING;
	evhttp_send_reply(request->evhttp_request, (int)reply->status,
		statuses[find_status(reply->status)].title, body);
	evbuffer_free(body);
	/* evhttp wants to see the client leave; but one that has only shut down its sending side
	 * still waits for the answer. The deadline catches those who are really gone. */
	(void)bufferevent_disable(request->bev, EV_READ);
	sbuf_fini(&request->out);
	request->unsent = evbuffer_get_length(bufferevent_get_output(request->bev));
	request->server->held += request->unsent - request->held;
	request->held = request->unsent;
	set_deadline(request, send_deadline);
	end_job(request);
}

void httpd_reply(struct httpd_request *request, const struct httpd_reply *reply, struct sbuf *body)
{
	struct evbuffer *whole;

	must(request->phase == WAITING || request->phase == RENDERING);
	whole = whole_body(request, body);
	if (whole)
		send_answer(request, reply, whole);
	else
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"not enough memory for the answer");
}

static void write_problem(struct sbuf *out, unsigned status, const char *detail)
{
	struct jw jw = { .out = out };

	jw_object(&jw);
	jw_key(&jw, "type");
	jw_string(&jw, "about:blank");
	jw_key(&jw, "title");
	jw_string(&jw, statuses[find_status(status)].title);
	jw_key(&jw, "status");
	jw_u64(&jw, status);
	if (detail) {
		jw_key(&jw, "detail");
		jw_string(&jw, detail);
	}
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
}

void httpd_problem_with(
	struct httpd_request *request, const struct httpd_reply *reply, const char *detail)
{
	struct httpd_reply problem = *reply;
	struct sbuf text = SBUF_INIT;
	struct evbuffer *body;

	must(request->phase == WAITING || request->phase == RENDERING);
	httpd_restart(request);
	problem.mime = "application/problem+json";
	write_problem(&text, problem.status, detail);
	body = whole_body(request, &text);
	if (body)
		send_answer(request, &problem, body);
	else
		drop(request); /* not even memory for this */
}

void httpd_problem(struct httpd_request *request, unsigned status, const char *detail)
{
	httpd_problem_with(request, &(struct httpd_reply){ .status = status }, detail);
}

/* ---- rendering over several turns ---- */

void httpd_restart(struct httpd_request *request)
{
	if (request->body)
		(void)evbuffer_drain(request->body, evbuffer_get_length(request->body));
	sbuf_clear(&request->out);
}

/* Puts a slice to the ones before it, so that the next begins with an empty buffer: growing one
 * buffer to 40 MB would copy it again and again, in turns that must be short. */
static void keep_slice(struct httpd_request *request)
{
	struct sbuf *out = &request->out;

	if (!request->body)
		request->body = evbuffer_new();
	if (!request->body || evbuffer_get_length(request->body) > MAX_ANSWER ||
		evbuffer_add(request->body, sbuf_str(out), out->len) < 0)
		out->failed = true;
	if (!out->failed)
		sbuf_clear(out);
}

static void step_job(struct httpd *server, struct httpd_request *request)
{
	request->job->step(request->job, request, &request->out);
	if (request->phase != RENDERING)
		return;
	keep_slice(request);
	if (request->out.failed) {
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"not enough memory for the answer");
		return;
	}
	server->held -= request->held;
	request->held = evbuffer_get_length(request->body) + request->out.cap;
	server->held += request->held;
	/* Round robin, so that a small answer need not wait for a large one; unless memory is
	 * short, then one after the other. */
	if (server->held < MAX_HELD) {
		TAILQ_REMOVE(&server->jobs, request, job_link);
		TAILQ_INSERT_TAIL(&server->jobs, request, job_link);
	}
}

static void on_render(struct timer *timer)
{
	struct httpd *server = container_of(timer, struct httpd, render);
	usec_t began = clock_monotonic();

	while (!TAILQ_EMPTY(&server->jobs)) {
		step_job(server, TAILQ_FIRST(&server->jobs));
		if (clock_monotonic() - began < render_slice)
			continue;
		/* Not in this turn any more: descriptors and checks first. Reserved. */
		if (!TAILQ_EMPTY(&server->jobs))
			(void)timer_set(server->timers, timer, server->timers->now + 1);
		return;
	}
}

/* Takes the job and the request, or ends both. */
static bool take_job(struct httpd_request *request, struct httpd_job *job)
{
	struct httpd *server = request->server;

	must(request->phase == WAITING);
	if (server->n_jobs >= HTTPD_MAX_JOBS || server->held >= MAX_HELD) {
		job->end(job);
		httpd_problem_with(request,
			&(struct httpd_reply){ .status = 503, .retry_after = 1 },
			"too many answers are being made or sent; try again");
		server->stats.rejected_total++;
		return false;
	}
	request->phase = RENDERING;
	request->job = job;
	server->n_jobs++;
	return true;
}

void httpd_defer(struct httpd_request *request, struct httpd_job *job)
{
	struct httpd *server = request->server;

	if (!take_job(request, job))
		return;
	TAILQ_INSERT_TAIL(&server->jobs, request, job_link);
	set_deadline(request, send_deadline);
	if (!timer_is_set(&server->render))
		(void)timer_set(server->timers, &server->render, server->timers->now + 1);
}

void httpd_wait(struct httpd_request *request, struct httpd_job *job)
{
	if (take_job(request, job))
		set_deadline(request, wait_deadline);
}

/* ---- listeners ---- */

/* Stops listening; the clients it has are still served. */
static void listener_stop(struct listener *listener)
{
	if (!listener->bound)
		return;
	if (listener->address)
		listen_remove_file(listener->address, &listener->socket);
	evhttp_del_accept_socket(listener->http, take_ptr(listener->bound)); /* closes the fd */
	listener->acceptor = NULL;
	if (listener->n_requests == 0)
		task_defer(listener->server->timers, &listener->server->sweep);
}

static struct listener *listener_free(struct listener *listener)
{
	if (!listener)
		return NULL;
	if (listener->http)
		evhttp_free(listener->http);
	free(listener->address);
	free(listener);
	return NULL;
}

static void on_sweep(struct task *task)
{
	struct httpd *server = container_of(task, struct httpd, sweep);
	struct listener *listener = TAILQ_FIRST(&server->listeners);

	while (listener) {
		struct listener *next = TAILQ_NEXT(listener, link);

		if (!listener->bound && listener->n_requests == 0) {
			TAILQ_REMOVE(&server->listeners, listener, link);
			listener_free(listener);
		}
		listener = next;
	}
}

/* Gives a listening socket to an evhttp of its own. Takes socket->fd. 0 or -ENOMEM. */
static int listener_add(struct httpd *server, const char *address,
	const struct listen_socket *socket, struct listener **ret_listener)
{
	struct event_base *base = loop_event_base(server->setup.loop);
	struct listener *listener = calloc(1, sizeof *listener);
	_cleanup_(closep) int fd = socket->fd;

	if (!listener)
		return -ENOMEM;
	listener->server = server;
	listener->socket = *socket;
	listener->address = address ? strdup(address) : NULL;
	listener->http = evhttp_new(base);
	if ((address && !listener->address) || !listener->http)
		goto fail;
	listener->acceptor = evconnlistener_new(
		base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener->acceptor)
		goto fail;
	fd = -1;
	evconnlistener_set_error_cb(listener->acceptor, on_accept_error);
	evhttp_set_bevcb(listener->http, on_bufferevent, listener);
	evhttp_set_gencb(listener->http, on_evhttp, listener);
	evhttp_set_max_headers_size(listener->http, sizeof harmless);
	evhttp_set_max_body_size(listener->http, 0);
	evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET);
	listener->bound = evhttp_bind_listener(listener->http, listener->acceptor);
	if (!listener->bound) {
		evconnlistener_free(listener->acceptor);
		goto fail;
	}
	TAILQ_INSERT_TAIL(&server->listeners, listener, link);
	update_accepting(server);
	*ret_listener = listener;
	return 0;
fail:
	listener_free(listener);
	return -ENOMEM;
}

static struct listener *find_listener(const struct httpd *server, const char *address)
{
	struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link)
		if (listener->bound && listener->address && strcmp(listener->address, address) == 0)
			return listener;
	return NULL;
}

static int keep_or_open(struct httpd *server, const char *address)
{
	struct listener *listener = find_listener(server, address);
	struct listen_socket socket;
	int r;

	if (listener) {
		listener->kept = true;
		return 0;
	}
	r = listen_open(address, &socket);
	if (r < 0)
		return r;
	r = listener_add(server, address, &socket, &listener);
	if (r < 0)
		listen_remove_file(address, &socket);
	else
		listener->is_new = true;
	return r;
}

int httpd_listen(
	struct httpd *server, const char *const *addresses, size_t n, const char **ret_failed)
{
	struct listener *listener;
	int r = 0;

	TAILQ_FOREACH (listener, &server->listeners, link) {
		listener->kept = !listener->address;
		listener->is_new = false;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		r = i < HTTPD_MAX_LISTENERS ? keep_or_open(server, addresses[i]) : -E2BIG;
		if (r < 0)
			*ret_failed = addresses[i];
	}
	/* Stopping only defers their end, so the list stays as it is. */
	TAILQ_FOREACH (listener, &server->listeners, link)
		if (r < 0 ? listener->is_new : !listener->kept && !listener->is_new)
			listener_stop(listener);
	return r;
}

int httpd_adopt(struct httpd *server, int fd)
{
	struct listen_socket socket = { .fd = fd };
	struct sockaddr_storage address = { 0 };
	struct listener *listener;
	socklen_t len = sizeof address;

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
		evutil_make_socket_nonblocking(fd) < 0) {
		int r = -errno;

		closep(&fd);
		return r;
	}
	socket.is_unix = address.ss_family == AF_UNIX;
	return listener_add(server, NULL, &socket, &listener);
}

bool httpd_is_listening(const struct httpd *server, const char *address)
{
	return find_listener(server, address) != NULL;
}

uint16_t httpd_port(const struct httpd *server, const char *address)
{
	const struct listener *listener = find_listener(server, address);
	struct sockaddr_storage bound = { 0 };
	socklen_t len = sizeof bound;

	if (!listener || getsockname(listener->socket.fd, (struct sockaddr *)&bound, &len) < 0)
		return 0;
	if (bound.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&bound)->sin_port);
	if (bound.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&bound)->sin6_port);
	return 0;
}

/* ---- the server ---- */

static char **free_hosts(char **hosts)
{
	for (char **host = hosts; host && *host; host++)
		free(*host);
	free(hosts);
	return NULL;
}

int httpd_new(const struct httpd_setup *setup, struct httpd **ret_server)
{
	struct httpd *server = calloc(1, sizeof *server);

	if (!server)
		return -ENOMEM;
	server->setup = *setup;
	server->timers = loop_timers(setup->loop);
	server->clients_max = 256;
	server->clients_per_source_max = 32;
	TAILQ_INIT(&server->listeners);
	TAILQ_INIT(&server->requests);
	TAILQ_INIT(&server->jobs);
	server->render.fn = on_render;
	server->resume.fn = on_resume;
	server->sweep.fn = on_sweep;
	LIST_INSERT_HEAD(&servers, server, link);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	server->admit = event_new(loop_event_base(setup->loop), -1, 0, on_admit, server);
	prepare_request(server);
	if (!server->admit || !server->prepared ||
		timers_reserve(server->timers, server->timers->n + RESERVED_TIMERS) < 0) {
		httpd_free(server);
		return -ENOMEM;
	}
	*ret_server = server;
	return 0;
}

struct httpd *httpd_free(struct httpd *server)
{
	struct listener *listener;

	if (!server)
		return NULL;
	/* evhttp lets go of every request; what is left is ours. */
	TAILQ_FOREACH (listener, &server->listeners, link) {
		if (listener->bound && listener->address)
			listen_remove_file(listener->address, &listener->socket);
		listener->bound = NULL;
		evhttp_free(take_ptr(listener->http));
	}
	while (!TAILQ_EMPTY(&server->requests))
		release(TAILQ_FIRST(&server->requests));
	while ((listener = TAILQ_FIRST(&server->listeners))) {
		TAILQ_REMOVE(&server->listeners, listener, link);
		listener_free(listener);
	}
	task_cancel(server->timers, &server->sweep);
	timer_cancel(server->timers, &server->render);
	timer_cancel(server->timers, &server->resume);
	request_free(server->prepared);
	if (server->admit)
		event_free(server->admit);
	closep(&server->spare_fd);
	free_hosts(server->hosts);
	LIST_REMOVE(server, link);
	free(server);
	return NULL;
}

int httpd_set_limits(struct httpd *server, const struct httpd_limits *limits)
{
	char **hosts = calloc(limits->n_hosts + 1, sizeof *hosts);

	if (!hosts)
		return -ENOMEM;
	for (size_t i = 0; i < limits->n_hosts; i++) {
		hosts[i] = strdup(limits->hosts[i]);
		if (!hosts[i]) {
			free_hosts(hosts);
			return -ENOMEM;
		}
	}
	free_hosts(server->hosts);
	server->hosts = hosts;
	server->clients_max = limits->clients;
	server->clients_per_source_max = limits->clients_per_source;
	update_accepting(server);
	return 0;
}

const struct httpd_stats *httpd_stats(struct httpd *server)
{
	server->stats.clients = server->n_tcp + server->n_local;
	return &server->stats;
}

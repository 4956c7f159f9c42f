/* SPDX-License-Identifier: MIT */
/*
 * Listeners of the HTTP server: each has an evhttp of its own, so that a connection is known by
 * where it came in. Accepting pauses at the limit of clients and when descriptors run out.
 */
#include "httpd_private.h"

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const usec_t exhausted_pause = USEC_PER_SEC;

enum {
	MAX_LOCAL_CLIENTS = 64, /* over unix sockets, apart from TCP: operators always get in */
	/* Accepted in one turn. The others of a crowd wait in the kernel's queue, where a crash of
	 * ours does not touch them; and the turn stays short. */
	MAX_NEW_CLIENTS = 8,
	MAX_HEADERS = 64 /* just more than the harmless request of the gate */
};

static LIST_HEAD(, httpd) servers = LIST_HEAD_INITIALIZER(servers);

/* ---- accepting or not ---- */

static bool is_full(const struct httpd *server, bool is_unix)
{
	if (is_unix)
		return server->n_local >= min_of((unsigned)MAX_LOCAL_CLIENTS, server->clients_max);
	return server->n_tcp >= server->clients_max;
}

static bool may_accept(const struct httpd *server, const struct listener *listener)
{
	bool is_unix = listener->socket.is_unix;

	if (server->exhausted || server->draining || !server->prepared ||
		server->n_new >= MAX_NEW_CLIENTS)
		return false;
	return !is_full(server, is_unix) || gate_find_lingering(server, is_unix);
}

void listeners_make_room(const struct listener *listener)
{
	struct httpd *server = listener->server;
	bool is_unix = listener->socket.is_unix;
	struct httpd_request *oldest =
		is_full(server, is_unix) ? gate_find_lingering(server, is_unix) : NULL;

	if (oldest)
		gate_release(oldest);
}

void listeners_update(struct httpd *server)
{
	struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link) {
		if (!listener->bound)
			continue;
		if (!may_accept(server, listener))
			(void)evconnlistener_disable(listener->acceptor);
		else if (evconnlistener_enable(listener->acceptor) < 0)
			listeners_pause(server); /* as when accepting fails */
	}
}

void listeners_pause(struct httpd *server)
{
	server->exhausted = true;
	listeners_update(server);
	/* Reserved in httpd_new, so it cannot fail. */
	(void)timer_set(server->timers, &server->resume, server->timers->now + exhausted_pause);
}

static void on_resume(struct timer *timer)
{
	struct httpd *server = container_of(timer, struct httpd, resume);

	server->exhausted = false;
	if (!server->prepared)
		gate_prepare(server);
	if (!server->prepared)
		listeners_pause(server);
	listeners_update(server);
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
	listeners_pause(server);
	if (server->setup.on_exhausted)
		server->setup.on_exhausted(server->setup.ctx, error);
}

/* ---- one listener ---- */

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
	evhttp_set_bevcb(listener->http, gate_on_bufferevent, listener);
	evhttp_set_gencb(listener->http, gate_on_evhttp, listener);
	evhttp_set_max_headers_size(listener->http, MAX_HEADERS);
	evhttp_set_max_body_size(listener->http, 0);
	evhttp_set_allowed_methods(listener->http, EVHTTP_REQ_GET);
	listener->bound = evhttp_bind_listener(listener->http, listener->acceptor);
	if (!listener->bound) {
		evconnlistener_free(listener->acceptor);
		goto fail;
	}
	TAILQ_INSERT_TAIL(&server->listeners, listener, link);
	listeners_update(server);
	*ret_listener = listener;
	return 0;
fail:
	listener_free(listener);
	return -ENOMEM;
}

/* ---- all of them ---- */

static bool serves(const struct listener *listener, const char *address)
{
	return listener->address ? strcmp(listener->address, address) == 0
				 : listen_covers(listener->socket.fd, address);
}

static struct listener *find_listener(const struct httpd *server, const char *address)
{
	struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link)
		if (listener->bound && serves(listener, address))
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

void httpd_drain(struct httpd *server)
{
	struct listener *listener;

	server->draining = true;
	/* Stopping only defers their end, so the list stays as it is. */
	TAILQ_FOREACH (listener, &server->listeners, link)
		if (listener->address)
			listener_stop(listener);
	listeners_update(server);
}

bool httpd_is_listening(const struct httpd *server, const char *address)
{
	return find_listener(server, address) != NULL;
}

int httpd_adopted_at_port(const struct httpd *server, const char *address)
{
	const struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link)
		if (!listener->address && listen_shares_port(listener->socket.fd, address))
			return listener->socket.fd;
	return -1;
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

void listeners_init(struct httpd *server)
{
	TAILQ_INIT(&server->listeners);
	server->resume.fn = on_resume;
	server->sweep.fn = on_sweep;
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	LIST_INSERT_HEAD(&servers, server, link);
}

void listeners_close(struct httpd *server)
{
	struct listener *listener;

	TAILQ_FOREACH (listener, &server->listeners, link) {
		if (listener->bound && listener->address)
			listen_remove_file(listener->address, &listener->socket);
		listener->bound = NULL;
		evhttp_free(take_ptr(listener->http));
	}
}

void listeners_fini(struct httpd *server)
{
	struct listener *listener;

	while ((listener = TAILQ_FIRST(&server->listeners))) {
		TAILQ_REMOVE(&server->listeners, listener, link);
		listener_free(listener);
	}
	task_cancel(server->timers, &server->sweep);
	timer_cancel(server->timers, &server->resume);
	closep(&server->spare_fd);
	LIST_REMOVE(server, link);
}

/* SPDX-License-Identifier: MIT */
/*
 * A simulated server at work: accepts, reads requests, sends answers at the pace of the script,
 * and does the harm of those faults that concern the listener or the way an answer is sent. Owns
 * its descriptors and connections; what answers say is in answer.c, chat.c and control.c.
 *
 * Functions on a connection may close it at any point: they mark it CLOSED, and whoever entered
 * from the loop frees it on the way out.
 */
#include "modelhealth/app/sim/server.h"

#include "modelhealth/app/sim/answer.h"
#include "modelhealth/app/sim/listener.h"
#include "modelhealth/base/duration.h"
#include "modelhealth/base/log.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/tlsd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPTS_PER_EVENT = 64,
	READ_SIZE = 16 * 1024,
	DRIP_BYTES = 16
};

static const usec_t drip_interval = 200 * USEC_PER_MSEC;
static const usec_t slow_delay = 3 * USEC_PER_SEC;
static const usec_t retry_interval = 100 * USEC_PER_MSEC;

/* Faults that take the listener away in one form or another. */
static const unsigned listener_faults = FAULT_BIT(FAULT_REFUSE) | FAULT_BIT(FAULT_VANISH);

struct connection {
	struct exchange exchange;
	int fd;
	struct tlsd_stream *tls;
	struct loop_fd *watch;

	enum {
		READING, /* waits for a complete request */
		DELAYED, /* the answer is ready and waits for its time */
		SENDING,
		HELD, /* silent for ever */
		CLOSED
	} phase;
	struct timer timer; /* idle time, delay, or the next piece, by phase */
	struct timer drip;
	usec_t due; /* when the next piece is planned, so that gaps do not drift */
	struct sbuf in;
	size_t sent;       /* bytes of exchange.out */
	bool is_abandoned; /* the client has left, and this server has not noticed */
	TAILQ_ENTRY(connection) link;
};

static struct timers *timers_of(const struct server *server)
{
	return loop_timers(server->sim->loop);
}

static struct connection *connection_of(struct exchange *exchange)
{
	return container_of(exchange, struct connection, exchange);
}

/* Whether every thread is busy with a connection. */
static bool is_full(const struct server *server)
{
	return server->script->threads > 0 && server->n_connections >= server->script->threads;
}

static void connection_free(struct connection *connection)
{
	struct server *server = connection->exchange.server;

	if (is_full(server) && server->watch && server->filler < 0)
		(void)loop_fd_set(server->watch, LOOP_READ);

	chat_end(&connection->exchange);
	timer_cancel(timers_of(server), &connection->timer);
	timer_cancel(timers_of(server), &connection->drip);
	(void)loop_fd_free(connection->watch);
	(void)tlsd_stream_free(connection->tls);
	(void)close(connection->fd);
	sbuf_fini(&connection->in);
	sbuf_fini(&connection->exchange.out);
	TAILQ_REMOVE(&server->connections, connection, link);
	server->n_connections--;
	free(connection);
}

static void set_timer(struct connection *connection, struct timer *timer, usec_t at)
{
	if (timer_set(timers_of(connection->exchange.server), timer, at) < 0)
		connection->phase = CLOSED;
}

/* ---- bytes out ---- */

static ssize_t send_some(struct connection *connection, const char *data, size_t len)
{
	ssize_t n;

	if (connection->tls)
		return tlsd_write(connection->tls, data, len);
	n = send(connection->fd, data, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static bool is_dripping(const struct connection *connection)
{
	return exchange_has_fault(&connection->exchange, FAULT_DRIP);
}

static void flush(struct connection *connection)
{
	struct sbuf *out = &connection->exchange.out;
	ssize_t n;

	while (connection->sent < out->len) {
		size_t len = out->len - connection->sent;

		if (timer_is_set(&connection->drip))
			return;
		if (is_dripping(connection))
			len = min_of(len, (size_t)DRIP_BYTES);
		n = send_some(connection, out->data + connection->sent, len);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			connection->phase = CLOSED;
			return;
		}
		connection->sent += (size_t)n;
		if (is_dripping(connection))
			set_timer(connection, &connection->drip,
				timers_of(connection->exchange.server)->now + drip_interval);
	}
	connection->sent = 0;
	sbuf_clear(out);
}

/* A close that the peer sees as RST. */
static void reset(struct connection *connection)
{
	static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	connection->phase = CLOSED;
}

static void finish(struct connection *connection)
{
	struct exchange *exchange = &connection->exchange;

	switch (exchange->end) {
	case END_HOLD:
		connection->phase = HELD; /* a chat stays on the books until the client leaves */
		return;
	case END_RESET:
		reset(connection);
		return;
	case END_CLOSE:
		connection->phase = CLOSED;
		return;
	case END_KEEP:
		chat_end(exchange);
		connection->phase = exchange->request.keep_alive ? READING : CLOSED;
		return;
	}
}

static void pump(struct connection *connection)
{
	flush(connection);
	if (connection->phase == SENDING && connection->exchange.out.len == 0 &&
		!connection->exchange.next)
		finish(connection);
}

static void plan_piece(struct connection *connection, usec_t wait)
{
	if (wait == USEC_NEVER)
		return;
	connection->due += wait;
	set_timer(connection, &connection->timer, connection->due);
}

static void start_sending(struct connection *connection)
{
	connection->phase = SENDING;
	connection->due = timers_of(connection->exchange.server)->now;
	if (connection->exchange.next)
		plan_piece(connection, connection->exchange.wait);
	pump(connection);
}

/* Keeps the first half of the body and forgets the rest, if a fault says so. Streams, which are
 * never whole, do this for themselves. */
static void cut_answer(struct exchange *exchange)
{
	bool freezes = exchange_has_fault(exchange, FAULT_FREEZE);
	bool truncates = exchange_has_fault(exchange, FAULT_TRUNCATE);

	if (exchange->body_at == 0 || !(freezes || truncates))
		return;
	exchange->out.len = exchange->body_at + (exchange->out.len - exchange->body_at) / 2;
	exchange->end = freezes ? END_HOLD : END_CLOSE;
}

static void send_piece(struct connection *connection)
{
	struct exchange *exchange = &connection->exchange;
	usec_t wait = exchange->next(exchange);

	if (wait == USEC_NEVER) {
		exchange->next = NULL;
		cut_answer(exchange);
	} else {
		plan_piece(connection, wait);
	}
	pump(connection);
}

void exchange_go(struct exchange *exchange)
{
	struct connection *connection = connection_of(exchange);

	if (connection->phase != SENDING)
		return; /* start_sending will see the wait */
	connection->due = timers_of(exchange->server)->now;
	plan_piece(connection, exchange->wait);
}

/* ---- requests in ---- */

/* Fills the exchange with what the faults say, or with the real answer. */
static void answer_or_fail(struct exchange *exchange)
{
	unsigned faults = exchange->is_spared ? 0 : exchange->server->faults;

	if (faults & (FAULT_BIT(FAULT_HANG) | FAULT_BIT(FAULT_VANISH))) {
		exchange->end = END_HOLD;
		return;
	}
	if (faults & FAULT_BIT(FAULT_RESET)) {
		exchange->end = END_RESET;
		return;
	}
	if (faults & FAULT_BIT(FAULT_GARBAGE)) {
		sbuf_add(&exchange->out,
			"\x16\x03\x01\x02\r\n\x7f"
			"ELF garbage\r\n\r\n",
			22);
		exchange->end = END_CLOSE;
		return;
	}
	for (enum fault fault = 0; fault < FAULT_N; fault++) {
		const struct fault_desc *desc = &fault_table[fault];

		if (desc->status == 0 || !(faults & FAULT_BIT(fault)))
			continue;
		answer_write(exchange, (uint64_t)desc->status, desc->headers, "application/json",
			(struct slice){ desc->body, strlen(desc->body) });
		return;
	}
	answer_request(exchange);
	cut_answer(exchange);
}

static usec_t delay_of(const struct exchange *exchange)
{
	const struct server *server = exchange->server;
	const struct script *script = server->script;

	return script->delay +
	       (script->jitter > 0 ? rand_below(&server->sim->rand, script->jitter) : 0) +
	       (exchange_has_fault(exchange, FAULT_SLOW) ? slow_delay : 0);
}

static bool is_spared(const struct script *script, struct slice path)
{
	for (size_t i = 0; i < script->n_spared; i++)
		if (slice_is(path, script->spared[i]))
			return true;
	return false;
}

static void begin_exchange(struct connection *connection)
{
	struct exchange *exchange = &connection->exchange;
	struct server *server = exchange->server;
	struct sbuf *in = &connection->in;
	usec_t delay;

	timer_cancel(timers_of(server), &connection->timer);
	server->requests_total++;
	exchange->end = END_KEEP;
	exchange->next = NULL;
	exchange->wait = 0;
	exchange->body_at = 0;
	exchange->chat = (struct chat){ 0 };
	exchange->is_spared = is_spared(server->script, exchange->request.path);
	answer_or_fail(exchange);
	in->len -= exchange->request.size;
	memmove(in->data, in->data + exchange->request.size, in->len);
	delay = delay_of(exchange);
	if (delay == 0) {
		start_sending(connection);
		return;
	}
	connection->phase = DELAYED;
	set_timer(connection, &connection->timer, timers_of(server)->now + delay);
}

static void refuse_request(struct connection *connection, int error)
{
	static const struct {
		int error;
		uint64_t status;
		const char *body;
	} rows[] = {
		{ -E2BIG, 413, "{\"error\":\"request too large\"}" },
		{ -EBADMSG, 400, "{\"error\":\"not an HTTP/1.1 request\"}" },
		{ -ENOTSUP, 501, "{\"error\":\"a request body needs Content-Length\"}" },
	};
	struct exchange *exchange = &connection->exchange;

	exchange->request = (struct request){ 0 };
	for (size_t i = 0; i < array_size(rows); i++)
		if (rows[i].error == error)
			answer_json(exchange, rows[i].status, rows[i].body);
	exchange->end = END_CLOSE;
	start_sending(connection);
}

/* Answers what has arrived completely. */
static void advance(struct connection *connection)
{
	struct exchange *exchange = &connection->exchange;
	usec_t idle = exchange->server->script->idle;

	while (connection->phase == READING) {
		int r = request_parse(connection->in.data, connection->in.len, &exchange->request);

		if (r < 0)
			refuse_request(connection, r);
		else if (r > 0)
			begin_exchange(connection);
		else
			break;
	}
	if (connection->phase == READING && idle > 0)
		set_timer(connection, &connection->timer, timers_of(exchange->server)->now + idle);
}

static ssize_t receive_some(struct connection *connection, char *data, size_t size)
{
	ssize_t n;

	if (connection->tls)
		return tlsd_read(connection->tls, data, size);
	n = recv(connection->fd, data, size, 0);
	return n < 0 ? -errno : n;
}

static bool has_room(const struct connection *connection)
{
	return connection->in.len < REQUEST_MAX_HEAD + REQUEST_MAX_BODY;
}

/* A server with few threads asks nobody who waits for a slot whether he is still there: the request
 * keeps its thread and its place, and is begun when its turn comes. */
static void lose_client(struct connection *connection)
{
	const struct exchange *exchange = &connection->exchange;

	if (exchange->server->script->threads > 0 && exchange->chat.phase == CHAT_WAITING)
		connection->is_abandoned = true;
	else
		connection->phase = CLOSED;
}

static void receive(struct connection *connection)
{
	char data[READ_SIZE];
	ssize_t n;

	while (has_room(connection)) {
		n = receive_some(connection, data, sizeof data);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			lose_client(connection);
			return;
		}
		sbuf_add(&connection->in, data, (size_t)n);
		if (connection->in.failed) {
			connection->phase = CLOSED;
			return;
		}
		/* A TLS session may hold more; a socket that gave less than asked does not. */
		if (!connection->tls && (size_t)n < sizeof data)
			return;
	}
}

/* ---- entries from the loop ---- */

/* The end of every entry: frees a closed connection, or watches for what it waits for. */
static void leave(struct connection *connection)
{
	/* An answer that is written but still delayed must not be waited for: the socket is always
	 * ready for it. */
	bool wants_write = connection->phase == SENDING && connection->exchange.out.len > 0 &&
			   !timer_is_set(&connection->drip);
	bool wants_read = has_room(connection) && !connection->is_abandoned;
	unsigned events = wants_read ? LOOP_READ : 0u;

	if (connection->tls && tlsd_wants_write(connection->tls))
		wants_write = true;
	if (connection->phase == CLOSED ||
		loop_fd_set(connection->watch, events | (wants_write ? LOOP_WRITE : 0u)) < 0)
		connection_free(connection);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct connection *connection = arg;

	(void)fd;
	if ((ready & LOOP_WRITE) && connection->phase == SENDING)
		pump(connection);
	if (connection->phase != CLOSED && !connection->is_abandoned)
		receive(connection);
	advance(connection);
	leave(connection);
}

static void on_timer(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, timer);

	switch (connection->phase) {
	case READING:
		connection->phase = CLOSED; /* idle for too long */
		break;
	case DELAYED:
		start_sending(connection);
		break;
	case SENDING:
		send_piece(connection);
		break;
	case HELD:
	case CLOSED:
		break;
	}
	advance(connection);
	leave(connection);
}

static void on_drip(struct timer *timer)
{
	struct connection *connection = container_of(timer, struct connection, drip);

	pump(connection);
	advance(connection);
	leave(connection);
}

static void connection_new(struct server *server, int fd)
{
	struct connection *connection = calloc(1, sizeof *connection);

	if (!connection) {
		(void)close(fd);
		return;
	}
	*connection = (struct connection){
		.exchange.server = server,
		.fd = fd,
		.timer.fn = on_timer,
		.drip.fn = on_drip,
		.watch = loop_fd_new(server->sim->loop, fd, LOOP_READ, on_ready, connection),
		.tls = server->tlsd ? tlsd_stream_new(server->tlsd, fd) : NULL,
	};
	TAILQ_INSERT_TAIL(&server->connections, connection, link);
	server->n_connections++;
	server->accepted_total++;
	if (!connection->watch || (server->tlsd && !connection->tls))
		connection_free(connection);
}

static void on_accept(void *arg, int fd, unsigned ready)
{
	struct server *server = arg;
	struct sockaddr_storage peer;
	socklen_t len;

	(void)ready;
	for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
		int client;

		if (is_full(server)) {
			(void)loop_fd_set(server->watch, 0);
			return;
		}
		len = sizeof peer;
		client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0 && listener_accepts(&peer)) {
			connection_new(server, client);
			continue;
		}
		if (client >= 0) {
			(void)close(client);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The listener stays readable; look again when others have finished. */
			(void)loop_fd_set(server->watch, 0);
			(void)timer_set(timers_of(server), &server->retry,
				timers_of(server)->now + retry_interval);
		}
		return;
	}
}

/* ---- the listener ---- */

static void unlisten(struct server *server)
{
	server->watch = loop_fd_free(server->watch);
	closep(&server->fd);
	closep(&server->filler);
	server->fd = -1;
	server->filler = -1;
}

static int listen_again(struct server *server, char *ret_error, size_t error_size)
{
	int r = listener_open(server->script->listen, &server->fd, ret_error, error_size);

	if (r < 0)
		return r;
	server->watch = loop_fd_new(server->sim->loop, server->fd, LOOP_READ, on_accept, server);
	if (server->watch)
		return 0;
	unlisten(server);
	(void)snprintf(ret_error, error_size, "out of memory");
	return -ENOMEM;
}

static int block(struct server *server)
{
	if (server->filler < 0)
		server->filler = listener_block(server->fd);
	return server->filler < 0 ? server->filler : loop_fd_set(server->watch, 0);
}

static int unblock(struct server *server)
{
	int r = server->filler < 0 ? 0 : listener_unblock(server->fd);

	closep(&server->filler);
	server->filler = -1;
	return r < 0 ? r : loop_fd_set(server->watch, LOOP_READ);
}

/* Makes the listener what the faults say; tries again later if the system does not let it. */
static void settle_listener(struct server *server)
{
	char error[128] = "";
	int r = 0;

	if (server_has_fault(server, FAULT_REFUSE)) {
		unlisten(server);
		return;
	}
	if (server->fd < 0)
		r = listen_again(server, error, sizeof error);
	if (r == 0) {
		r = server_has_fault(server, FAULT_VANISH) ? block(server) : unblock(server);
		(void)snprintf(error, sizeof error, "%s", strerror(-r));
	}
	if (r == 0)
		return;
	log_warning("server %s: %s; trying again", server->script->name, error);
	(void)timer_set(timers_of(server), &server->retry, timers_of(server)->now + retry_interval);
}

static void on_retry(struct timer *timer)
{
	settle_listener(container_of(timer, struct server, retry));
}

/* ---- faults ---- */

bool server_has_fault(const struct server *server, enum fault fault)
{
	return server->faults & FAULT_BIT(fault);
}

bool exchange_has_fault(const struct exchange *exchange, enum fault fault)
{
	return !exchange->is_spared && server_has_fault(exchange->server, fault);
}

const char *server_model(const struct server *server)
{
	return server_has_fault(server, FAULT_WRONG_MODEL) ? "another-model"
							   : server->script->model;
}

static void close_connections(struct server *server)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&server->connections)))
		connection_free(connection);
}

void server_fault_on(struct server *server, enum fault fault, usec_t duration)
{
	char text[DURATION_TEXT_SIZE] = "good";

	server->faults |= FAULT_BIT(fault);
	timer_cancel(timers_of(server), &server->switches[fault].timer);
	if (duration != USEC_NEVER) {
		duration_format(duration, text);
		(void)timer_set(timers_of(server), &server->switches[fault].timer,
			timers_of(server)->now + duration);
	}
	log_info("server %s: %s begins, for %s", server->script->name, fault_table[fault].name,
		text);
	if (FAULT_BIT(fault) & listener_faults)
		settle_listener(server);
	if (fault == FAULT_REFUSE)
		close_connections(server);
}

void server_fault_off(struct server *server, enum fault fault)
{
	if (!server_has_fault(server, fault))
		return;
	server->faults &= ~FAULT_BIT(fault);
	timer_cancel(timers_of(server), &server->switches[fault].timer);
	log_info("server %s: %s ends", server->script->name, fault_table[fault].name);
	if (FAULT_BIT(fault) & listener_faults)
		settle_listener(server);
}

static void on_switch_off(struct timer *timer)
{
	struct fault_switch *off = container_of(timer, struct fault_switch, timer);

	server_fault_off(off->server, off->fault);
}

static void on_plan(struct timer *timer)
{
	struct plan_run *run = container_of(timer, struct plan_run, timer);

	server_fault_on(run->server, run->plan->fault, run->plan->duration);
	if (run->plan->every > 0)
		(void)timer_set(timers_of(run->server), timer, timer->at + run->plan->every);
}

/* ---- life ---- */

int server_init(struct server *server, struct sim *sim, const struct script *script,
	char *ret_error, size_t error_size)
{
	*server = (struct server){
		.sim = sim,
		.script = script,
		.fd = -1,
		.filler = -1,
		.retry.fn = on_retry,
	};
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->chats.waiting);
	for (enum fault fault = 0; fault < FAULT_N; fault++)
		server->switches[fault] =
			(struct fault_switch){ { .fn = on_switch_off }, server, fault };
	if (!script->tls_certificate)
		return 0;
	return tlsd_new(
		script->tls_certificate, script->tls_key, &server->tlsd, ret_error, error_size);
}

int server_start(struct server *server, char *ret_error, size_t error_size)
{
	const struct script *script = server->script;
	int r = listen_again(server, ret_error, error_size);

	if (r < 0)
		return r;
	for (size_t i = 0; i < script->n_plans; i++) {
		struct plan_run *run = &server->plans[i];

		*run = (struct plan_run){ { .fn = on_plan }, server, &script->plans[i] };
		r = timer_set(timers_of(server), &run->timer,
			timers_of(server)->now + script->plans[i].at);
		if (r < 0)
			return r;
	}
	return 0;
}

void server_fini(struct server *server)
{
	close_connections(server);
	for (enum fault fault = 0; fault < FAULT_N; fault++)
		timer_cancel(timers_of(server), &server->switches[fault].timer);
	for (size_t i = 0; i < SCRIPT_MAX_PLANS; i++)
		timer_cancel(timers_of(server), &server->plans[i].timer);
	timer_cancel(timers_of(server), &server->retry);
	unlisten(server);
	server->tlsd = tlsd_free(server->tlsd);
}

/* SPDX-License-Identifier: MIT */
/*
 * A client's connection to a simulated server: reads requests, sends answers at the pace of the
 * script, and does the harm of those faults that concern the way an answer is sent. Made by
 * server.c for each client; what answers say is in answer.c, chat.c, embed.c and control.c.
 *
 * Functions on a connection may close it at any point: they mark it CLOSED, and whoever entered
 * from the loop frees it on the way out.
 */
#include "modelhealth/app/sim/connection.h"

#include "modelhealth/app/sim/answer.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/tlsd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_SIZE = 16 * 1024,
	DRIP_BYTES = 16
};

static const usec_t drip_interval = 200 * USEC_PER_MSEC;
static const usec_t slow_delay = 3 * USEC_PER_SEC;

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

static struct timers *timers_of(const struct connection *connection)
{
	return loop_timers(connection->exchange.server->sim->loop);
}

static struct connection *connection_of(struct exchange *exchange)
{
	return container_of(exchange, struct connection, exchange);
}

static void connection_free(struct connection *connection)
{
	struct server *server = connection->exchange.server;

	server_make_room(server);
	chat_end(&connection->exchange);
	timer_cancel(timers_of(connection), &connection->timer);
	timer_cancel(timers_of(connection), &connection->drip);
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
	if (timer_set(timers_of(connection), timer, at) < 0)
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
				timers_of(connection)->now + drip_interval);
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
	connection->due = timers_of(connection)->now;
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
	connection->due = timers_of(connection)->now;
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

	timer_cancel(timers_of(connection), &connection->timer);
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
	set_timer(connection, &connection->timer, timers_of(connection)->now + delay);
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
		set_timer(connection, &connection->timer, timers_of(connection)->now + idle);
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

void connection_new(struct server *server, int fd)
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

void connections_close(struct server *server)
{
	struct connection *connection;

	while ((connection = TAILQ_FIRST(&server->connections)))
		connection_free(connection);
}

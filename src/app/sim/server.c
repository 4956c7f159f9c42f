/* SPDX-License-Identifier: MIT */
/*
 * A simulated server: its listener, which faults are on and for how long, and its life. Owns its
 * descriptors; who was accepted is served by connection.c.
 */
#include "modelhealth/app/sim/server.h"

#include "modelhealth/app/sim/connection.h"
#include "modelhealth/app/sim/listener.h"
#include "modelhealth/base/duration.h"
#include "modelhealth/base/log.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/tlsd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ACCEPTS_PER_EVENT = 64
};

static const usec_t retry_interval = 100 * USEC_PER_MSEC;

/* Faults that take the listener away in one form or another. */
static const unsigned listener_faults = FAULT_BIT(FAULT_REFUSE) | FAULT_BIT(FAULT_VANISH);

static struct timers *timers_of(const struct server *server)
{
	return loop_timers(server->sim->loop);
}

/* ---- the listener ---- */

/* Whether every thread is busy with a connection. */
static bool is_full(const struct server *server)
{
	return server->script->threads > 0 && server->n_connections >= server->script->threads;
}

void server_make_room(struct server *server)
{
	if (is_full(server) && server->watch && server->filler < 0)
		(void)loop_fd_set(server->watch, LOOP_READ);
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
		connections_close(server);
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
	connections_close(server);
	for (enum fault fault = 0; fault < FAULT_N; fault++)
		timer_cancel(timers_of(server), &server->switches[fault].timer);
	for (size_t i = 0; i < SCRIPT_MAX_PLANS; i++)
		timer_cancel(timers_of(server), &server->plans[i].timer);
	timer_cancel(timers_of(server), &server->retry);
	unlisten(server);
	server->tlsd = tlsd_free(server->tlsd);
}

/* SPDX-License-Identifier: MIT */
/*
 * One simulated server: a listener, its connections, and the faults that are on at the moment.
 */
#pragma once

#include "modelhealth/app/sim/chat.h"
#include "modelhealth/app/sim/request.h"
#include "modelhealth/app/sim/script.h"
#include "modelhealth/base/rand.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/base/timer.h"

#include <stdio.h>

struct loop;
struct server;
struct tlsd;

/* All servers of this process. */
struct sim {
	struct loop *loop;
	struct rand rand;
	struct server *servers;
	size_t n_servers;
	FILE *chats; /* borrowed: where finished chats are told, or NULL */
};

struct fault_switch {
	struct timer timer; /* when it goes off */
	struct server *server;
	enum fault fault;
};

struct plan_run {
	struct timer timer; /* when it begins, next time */
	struct server *server;
	const struct fault_plan *plan;
};

struct server {
	struct sim *sim;
	const struct script *script;
	bool is_control;
	struct tlsd *tlsd;
	int fd; /* -1 while it refuses */
	struct loop_fd *watch;
	struct timer retry; /* listen or accept again, after running out of something */
	int filler;         /* our own connection that keeps the backlog full, or -1 */
	TAILQ_HEAD(, connection) connections;
	unsigned faults; /* FAULT_BIT of each that is on */
	struct fault_switch switches[FAULT_N];
	struct plan_run plans[SCRIPT_MAX_PLANS];
	struct chat_stats chats;
	uint64_t n_connections, accepted_total, requests_total;
};

/* How an answer ends. */
enum exchange_end {
	END_KEEP,  /* as the request asked: keep-alive or close */
	END_CLOSE, /* close, whatever was asked */
	END_HOLD,  /* stay silent until the client gives up */
	END_RESET, /* RST */
};

/* One request and its answer. */
struct exchange {
	struct server *server;
	struct request request; /* its slices are valid only while the answer begins */
	struct sbuf out;        /* what is ready to be sent */
	bool is_spared;         /* no fault concerns it */
	size_t body_at;         /* where the body begins in out, while out is whole */
	enum exchange_end end;
	/* Set by answers that come in pieces: appends the next piece and returns the time until the
	 * one after it, or USEC_NEVER when the answer is complete. */
	usec_t (*next)(struct exchange *exchange);
	usec_t wait; /* until the first call of next; USEC_NEVER = somebody calls exchange_go */
	struct chat chat;
};

/* Prepares; server_start makes it listen. The script must outlive the server. 0 or -errno with a
 * sentence for the user in ret_error. */
int server_init(struct server *server, struct sim *sim, const struct script *script,
	char *ret_error, size_t error_size);
int server_start(struct server *server, char *ret_error, size_t error_size);
void server_fini(struct server *server);

/* Switches a fault on for a time (USEC_NEVER: until told) or off. */
void server_fault_on(struct server *server, enum fault fault, usec_t duration);
void server_fault_off(struct server *server, enum fault fault);
bool server_has_fault(const struct server *server, enum fault fault);

/* As server_has_fault, but never for a request that faults spare. */
bool exchange_has_fault(const struct exchange *exchange, enum fault fault);

/* The model that is loaded at the moment. */
const char *server_model(const struct server *server);

/* To be called before a connection goes: accepts again when it held the last of the threads. */
void server_make_room(struct server *server);

/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server's own structs, shared by its files:
 *   httpd_listen.c  listeners, and when to accept
 *   httpd_gate.c    a request from its first byte to on_request, and to its end
 *   httpd.c         answers, answers in slices, life
 */
#pragma once

#include "modelhealth/io/httpd.h"
#include "modelhealth/io/listen.h"
#include "modelhealth/io/loop.h"

#include <event2/bufferevent.h>

struct evbuffer;
struct evconnlistener;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evhttp_request;
struct event;

enum {
	SEND_DEADLINE_SECONDS = 10,
	MAX_ANSWER = 512 * 1024 * 1024,
	SOURCE_SIZE = 16
};

enum phase {
	NEW,      /* accepted in this turn, not yet looked at */
	ARRIVING, /* the gate reads */
	WAITING,  /* evhttp has it, on_request is due */
	RENDERING,
	SENDING,
	LINGERING, /* evhttp is done with it, the client may still be reading; gives way to others */
	GONE,      /* evhttp has dropped it */
};

TAILQ_HEAD(request_list, httpd_request);
TAILQ_HEAD(listener_list, listener);

struct listener {
	struct httpd *server;
	char *address; /* as configured; NULL = adopted: never closed before the end */
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
	struct sbuf out;         /* the slice being rendered */
	struct evbuffer *body;   /* the slices before it; NULL = none */
	size_t rendered, unsent; /* at the last deadline */
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
	bool exhausted, draining;
	unsigned n_tcp, n_local;
	unsigned n_new; /* in phase NEW: accepted in this turn */
	struct httpd_stats stats;
};

/* ---- httpd_listen.c ---- */

void listeners_init(struct httpd *server);

/* Lets evhttp go of every connection; what is left of the requests is the caller's. */
void listeners_close(struct httpd *server);

/* Frees them, once they have no requests any more. */
void listeners_fini(struct httpd *server);

/* Accepts or not, as counts and limits now say. */
void listeners_update(struct httpd *server);

/* A client has come in: the oldest of those who have had their answer goes, if they take all places. */
void listeners_make_room(const struct listener *listener);

/* Accepts nothing for a second. */
void listeners_pause(struct httpd *server);

/* ---- httpd_gate.c ---- */

/* Makes server->prepared; it stays NULL when memory is out. */
void gate_prepare(struct httpd *server);

struct httpd_request *gate_free(struct httpd_request *request);

/* Ends a request that evhttp has let go of, or never knew. */
void gate_release(struct httpd_request *request);

/* The oldest client that has had its answer and has not left, NULL = none. */
struct httpd_request *gate_find_lingering(const struct httpd *server, bool is_unix);

/* Closes without an answer. The request is gone afterwards, or will be in this turn. */
void gate_drop(struct httpd_request *request);

void gate_set_deadline(struct httpd_request *request, usec_t after);

/* Callbacks of evhttp with a struct listener, and of server->admit. */
struct bufferevent *gate_on_bufferevent(struct event_base *base, void *arg);
void gate_on_evhttp(struct evhttp_request *evhttp_request, void *arg);
void gate_on_admit(evutil_socket_t fd, short what, void *arg);

/* ---- httpd.c ---- */

/* Answers a request that the gate has refused. */
void httpd_refuse(struct httpd_request *request);

/* How much of the answer has been made and not yet sent. */
size_t httpd_rendered(const struct httpd_request *request);

/* It is not waiting for the memory of other answers. */
bool httpd_is_being_made(const struct httpd_request *request);

/* Answers to slow clients are in the way of others. */
bool httpd_is_short_of_memory(const struct httpd *server);

/* Calls the job's end(), if there is a job. */
void httpd_end_job(struct httpd_request *request);

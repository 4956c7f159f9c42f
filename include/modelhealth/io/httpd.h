/* SPDX-License-Identifier: MIT */
/*
 * A small, guarded HTTP server over evhttp: one request per connection, read strictly, answered
 * whole, with a deadline on everything and a bound on everything.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/text/httpreq.h"

struct httpd;
struct httpd_request; /* lives until it is answered or its client is gone */
struct loop;

enum {
	HTTPD_MAX_LISTENERS = 16,
	HTTPD_MAX_JOBS = 64 /* answers being rendered; one more is refused with 503 */
};

struct httpd_setup {
	struct loop *loop; /* borrowed for the server's life */

	/* One request, already known to be well-formed and for one of our hosts. Runs outside of
	 * libevent's callbacks. Must call exactly one of httpd_reply, httpd_problem, httpd_defer. */
	void (*on_request)(void *ctx, struct httpd_request *request);

	/* Accepting stops for a second because the process is out of descriptors. May be NULL. */
	void (*on_exhausted)(void *ctx, int error);
	void *ctx;
};

struct httpd_limits {
	unsigned clients;            /* over TCP, at once; then accepting pauses */
	unsigned clients_per_source; /* of one address (IPv6: one /64); then 503 */
	const char *const *hosts;    /* names accepted besides IP literals and localhost; copied */
	size_t n_hosts;
};

struct httpd_stats {
	uint64_t requests_total; /* that reached on_request */
	uint64_t rejected_total; /* refused before that: malformed, too slow, too many */
	unsigned clients;        /* connections now */
};

/* 0 or -errno. Listens nowhere yet. */
int httpd_new(const struct httpd_setup *setup, struct httpd **ret_server);

/* Closes every listener and connection; removes our unix sockets. Not from on_request. */
struct httpd *httpd_free(struct httpd *server);

/* 0 or -ENOMEM, which changes nothing. */
int httpd_set_limits(struct httpd *server, const struct httpd_limits *limits);

/*
 * Makes the server listen on exactly these addresses: "127.0.0.1:9877", "[::1]:9877" (port 0: any
 * free one) or "unix:/path". Addresses it already listens on stay as they are; the others' requests
 * in progress are still answered. On an error (-errno, -EINVAL for an address we cannot read)
 * nothing changes and *ret_failed names the address. A unix socket gets mode 0660; one left behind
 * by a process that is gone is replaced.
 */
int httpd_listen(
	struct httpd *server, const char *const *addresses, size_t n, const char **ret_failed);

/* Serves a socket that already listens, for as long as the server lives, whatever httpd_listen is
 * told; where it is asked for an address that this socket covers, it opens no other. The socket's
 * file is its owner's. Takes fd. 0 or -errno. */
int httpd_adopt(struct httpd *server, int fd);

/* Accepts no more clients; httpd_stats says how many are left. Who connects to an adopted socket
 * waits there for the owner's next process, other listeners close. Not to be undone. */
void httpd_drain(struct httpd *server);

bool httpd_is_listening(const struct httpd *server, const char *address);

/* An adopted socket that has the port of address, -1 = none: why that may be in use. */
int httpd_adopted_at_port(const struct httpd *server, const char *address);

/* The TCP port behind an address that was listened on; 0 for unix or none. */
uint16_t httpd_port(const struct httpd *server, const char *address);

const struct httpd_stats *httpd_stats(struct httpd *server);

/* ---- answering ---- */

/* Borrowed until the request is answered. */
const struct httpreq *httpd_request_head(const struct httpd_request *request);

/* Whether it came over a unix socket, where only those come that the file's mode lets in. */
bool httpd_request_is_local(const struct httpd_request *request);

struct httpd_reply {
	unsigned status;
	const char *mime;
	const char *etag;     /* with its quotes; NULL = none */
	const char *vary;     /* NULL = none */
	const char *allow;    /* NULL = none */
	unsigned retry_after; /* seconds; 0 = none */
};

/* Answers with body (taken over; NULL = empty). Out of memory, or body->failed, becomes 503. */
void httpd_reply(struct httpd_request *request, const struct httpd_reply *reply, struct sbuf *body);

/* Answers with an RFC 9457 problem. detail may hold text from outside; NULL = none. */
void httpd_problem(struct httpd_request *request, unsigned status, const char *detail);

/* The same with further header fields; reply->mime is ignored. */
void httpd_problem_with(
	struct httpd_request *request, const struct httpd_reply *reply, const char *detail);

/* An answer that takes more than one turn of the loop. Owned by whoever defers it. */
struct httpd_job {
	/* The next slice, appended to out, which is empty. Calls httpd_reply or httpd_problem when done; must not
	 * touch the job after that, since end() has run. */
	void (*step)(struct httpd_job *job, struct httpd_request *request, struct sbuf *out);
	/* The answer is given or nobody waits for it any more; frees the job. */
	void (*end)(struct httpd_job *job);
};

/* Lets step() run in coming turns, after the checks that are due. Takes the job also when it
 * refuses it with 503 because too much is being rendered or sent already. */
void httpd_defer(struct httpd_request *request, struct httpd_job *job);

/* Keeps the request until its owner answers it with httpd_reply or httpd_problem, from anywhere in
 * the loop, within a minute. job->step is NULL; job->end says when the request is over, also when
 * its client gave up. Refuses as httpd_defer does. */
void httpd_wait(struct httpd_request *request, struct httpd_job *job);

/* Forgets the slices so far: the answer begins anew. */
void httpd_restart(struct httpd_request *request);

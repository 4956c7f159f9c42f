/* SPDX-License-Identifier: MIT */
/*
 * One transfer from the inside, shared by the files of the transfer engine:
 *   httpc.c        the pool, steps and deadlines, lanes
 *   transfer.c     what libcurl is told about a transfer and what it tells us on the way
 *   transfer_end.c how a transfer ends and what that means
 *   dialogue.c     what comes after the connection when it is not HTTP
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/dns.h"
#include "modelhealth/io/httpc.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/shard.h"

enum {
	MAX_SHARDS =
		64, /* performance.md: 10,000 kept connections cost 81 us a check so, not 333 */
	FDS_OF_SHARD = 2, /* libcurl's pair of sockets to wake a multi handle */
	ALIAS_SIZE = 24,
};

/* What an alias of a shard stands for in libcurl's name cache, so that it can be taken out. */
struct alias {
	uint16_t port; /* under which it was last entered; 0 = never */
	bool is_used;
};

struct home {
	struct shard *shard;
	struct alias *aliases; /* of fresh transfers */
	size_t n_aliases;
	struct curl_slist *stale; /* entries to remove with the next transfer: "-alias:port" */
};

struct httpc {
	struct loop *loop;
	struct dns *dns;
	struct shard_handlers shard_handlers;
	struct home homes[MAX_SHARDS];
	unsigned n_homes;
	unsigned next_home;
	uint64_t next_lane;
	TAILQ_HEAD(transfer_list, http_transfer) pool;
	struct httpc_stats stats;
};

struct http_lane {
	struct httpc *httpc;
	struct home *home;
	struct tls_peer *peer; /* NULL until TLS is used */
	struct alias alias;
	char name[ALIAS_SIZE];
};

enum step {
	STEP_NAME,
	STEP_CONNECT,
	STEP_REQUEST, /* connected */
	STEP_ANSWER,  /* the first byte is here */
	STEP_DONE,
};

struct http_transfer {
	struct httpc *httpc;
	struct home *home;
	struct http_lane *lane; /* NULL = none */
	CURL *easy;
	struct http_request request;
	struct http_handlers handlers;
	struct http_outcome outcome;

	enum step step;
	bool is_inside;     /* the easy handle is in its shard */
	bool is_stopped;    /* a callback of ours decided; outcome.result says what */
	bool is_head_whole; /* the empty line after the headers has come */
	usec_t begun_at, connected_at, answer_at;
	usec_t active_at; /* bytes came last */
	usec_t dns_time;
	struct timer deadline;
	struct task done;
	struct dns_query query;

	struct address addresses[DNS_MAX_ADDRESSES];
	size_t n_addresses;
	size_t alias; /* index in home->aliases */
	bool has_alias;
	char alias_name[ALIAS_SIZE];
	int socket_errno; /* why a socket could not be opened here */
	int watch_errno;  /* why one could not be watched; 0 = all are */
	unsigned opened, denied;
	struct task afterwards;

	struct tls_peer *peer; /* NULL without TLS */
	size_t header_bytes;
	size_t barren_bytes; /* read since the last header or body, about */
	size_t sent_bytes;   /* of a TCP dialogue */
	struct loop_fd *watch;
	struct sbuf url;
	struct curl_slist *headers, *resolve, *connect_to;
	char error[CURL_ERROR_SIZE];
	TAILQ_ENTRY(http_transfer) link; /* in the pool */
};

static inline usec_t now_of(const struct http_transfer *transfer)
{
	return loop_timers(transfer->httpc->loop)->now;
}

static inline bool is_dialogue(const struct http_transfer *transfer)
{
	return !transfer->request.method;
}

static inline const struct url *dialled(const struct http_transfer *transfer)
{
	return transfer->request.proxy ? transfer->request.proxy : transfer->request.url;
}

static inline usec_t transfer_time(const struct http_transfer *transfer, CURLINFO info)
{
	curl_off_t usec = 0;

	(void)curl_easy_getinfo(transfer->easy, info, &usec); /* 0 = did not happen */
	return usec > 0 ? (usec_t)usec : 0;
}

static inline long transfer_number(const struct http_transfer *transfer, CURLINFO info)
{
	long number = 0;

	(void)curl_easy_getinfo(transfer->easy, info, &number);
	return number;
}

/* ---- httpc.c ---- */

/* Goes on to the next step: from now on its deadline counts. */
void transfer_enter_step(struct http_transfer *transfer, enum step step);

/* An address may just have failed: libcurl is to try the next, should there be one. From inside. */
void transfer_expect_next(struct http_transfer *transfer);

/* Monotonic; USEC_NEVER when there is none. */
usec_t transfer_step_deadline(const struct http_transfer *transfer);
usec_t transfer_total_deadline(const struct http_transfer *transfer);

/* ---- transfer.c ---- */

/* Tells the easy handle everything about the transfer. False when memory is out. */
bool transfer_set_up(struct http_transfer *transfer);

/* Bytes of the answer have come. */
void transfer_note_bytes(struct http_transfer *transfer);

/* Counts a piece of the body and hands it out. False = take no more: outcome.result says why. */
bool transfer_take_body(struct http_transfer *transfer, const char *data, size_t len);

/* Adds "-alias:port", which takes an entry out of libcurl's name cache. False without memory. */
bool transfer_append_removal(struct curl_slist **list, const char *alias, uint16_t port);

/* ---- transfer_end.c ---- */

/* The one way to end: the reason and detail are in outcome.result. The owner hears of it later in
 * this turn. */
void transfer_finish(struct http_transfer *transfer);

/* The same with that reason; the detail says where, and what error (errno) means if not 0. */
void transfer_finish_with(struct http_transfer *transfer, enum reason reason, int error);

/* The same with what an errno of our own means, which says nothing of the peer. */
void transfer_fail_here(struct http_transfer *transfer, int error);

/* The same with what an error of libcurl means. */
void transfer_fail(struct http_transfer *transfer, CURLcode code);

/* The same after a deadline. */
void transfer_give_up(struct http_transfer *transfer, enum reason reason);

/* libcurl is through: the end, unless it only connected for a dialogue. */
void transfer_conclude(struct http_transfer *transfer, CURLcode code);

/* Ends it and says true when too many bytes came that are neither header nor body. */
bool transfer_refuse_flood(struct http_transfer *transfer);

/* Nothing of libcurl's, the resolver's or the loop's calls back any more. */
void transfer_leave_libcurl(struct http_transfer *transfer);

/* Whether a byte of the answer has come. */
bool transfer_has_first_byte(const struct http_transfer *transfer);

/* ---- dialogue.c ---- */

/* Sends the body and hands out what comes, until the owner has enough or the peer ends it. */
void dialogue_start(struct http_transfer *transfer);

/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses on the loop, over c-ares: both families, /etc/hosts, one query for all who
 * wait for the same name, a bounded cache that keeps to the records' time to live.
 */
#pragma once

#include <sys/queue.h>

#include "modelhealth/core/reason.h"
#include "modelhealth/io/address.h"

struct dns;
struct dns_name;
struct loop;

enum {
	DNS_MAX_ADDRESSES = 16
}; /* of one name; a list of thousands is cut */

struct dns_answer {
	enum reason reason; /* REASON_OK, or why there are no addresses */
	int ares_status;    /* for the log; 0 = success */
	int os_errno;       /* when our own sockets failed */
	size_t n;
	struct address addresses[DNS_MAX_ADDRESSES]; /* in the order in which to try them */
};

/* One who waits for an answer; embedded in its owner, zeroed before the first use. */
struct dns_query {
	/* Set once by the owner. Runs from the loop, outside all other callbacks; the answer is
	 * borrowed for the call. */
	void (*fn)(struct dns_query *query, const struct dns_answer *answer);
	struct dns_name *name; /* being waited for; NULL = idle */
	TAILQ_ENTRY(dns_query) link;
};

struct dns_options {
	const char *servers;     /* "127.0.0.1:5353,…" instead of resolv.conf's; NULL = those */
	const char *resolv_conf; /* NULL = /etc/resolv.conf; read again when it changes */
	usec_t timeout;          /* of one try at one server; 0 = 900 ms */
	unsigned max_names;      /* kept; 0 = DNS_MAX_NAMES */
};

struct dns_stats {
	uint64_t queries_total;  /* sent to name servers or looked up in /etc/hosts */
	uint64_t rebuilds_total; /* for a changed resolv.conf */
	size_t names;            /* held now */
};

/* options may be NULL. The loop is borrowed. 0 or -errno. */
int dns_new(struct loop *loop, const struct dns_options *options, struct dns **ret_dns);

/* Nobody may be waiting any more. */
struct dns *dns_free(struct dns *dns);

/*
 * The addresses of a host name or IP literal. Returns true with the answer at once when it is
 * known (literal, localhost, cache), borrowed until the next call of this module. Otherwise the
 * query waits, false is returned, and fn runs exactly once unless the query is cancelled. How long
 * to wait is up to the caller.
 */
bool dns_resolve(struct dns *dns, const char *host, struct dns_query *query,
	const struct dns_answer **ret_answer);

/* Ends the wait without a call. An idle query is fine. */
void dns_cancel(struct dns *dns, struct dns_query *query);

const struct dns_stats *dns_stats(const struct dns *dns);

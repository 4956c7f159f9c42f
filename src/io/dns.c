/* SPDX-License-Identifier: MIT */
/*
 * The resolver: owns the c-ares channel, its descriptors and the cache of names. The transfer
 * engine asks it before each connection and hands libcurl addresses only, because libcurl's own
 * resolver blocks the loop when a name server is silent.
 *
 * c-ares calls back from inside our calls, so an answer is only noted there and delivered by a
 * deferred task. A query whose waiters have all gone runs on: c-ares cannot cancel a single one,
 * its own limits end it soon, and the answer still feeds the cache.
 */
#include "modelhealth/io/dns.h"

#include "modelhealth/base/log.h"
#include "modelhealth/base/rand.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/loop.h"

#include <ares.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	BUCKETS = 1024,
	DNS_MAX_NAMES = 8192,
	DNS_TRIES = 2, /* of each server; the second waits twice as long */
};

/* So short that the third of three name servers is asked within the default timeout.connect of two
 * seconds, when the two before it are dead. One that is merely slow has 2.7 seconds. */
static const usec_t try_timeout = 900 * USEC_PER_MSEC;
static const usec_t ttl_min = 1 * USEC_PER_SEC; /* also of records with a TTL of 0 */
static const usec_t ttl_max = 300 * USEC_PER_SEC;
static const usec_t ttl_not_found = 2 * USEC_PER_SEC;
static const usec_t ttl_failed = 1 * USEC_PER_SEC;
static const usec_t resolv_conf_interval = 2 * USEC_PER_SEC;

struct dns_name {
	struct dns *dns;
	struct dns_answer answer;
	usec_t expires_at;     /* of answer; 0 = there is none */
	uint64_t heard_before; /* dns->heard_total when it was asked */
	bool is_asked;         /* c-ares works on it */
	bool is_ready;         /* on the list of those to deliver */
	TAILQ_HEAD(query_list, dns_query) waiting;
	TAILQ_ENTRY(dns_name) ready_link;
	TAILQ_ENTRY(dns_name) age_link; /* least recently used first */
	struct dns_name *next;          /* in its bucket */
	char host[];
};

TAILQ_HEAD(name_list, dns_name);

struct watched_fd {
	int fd;
	struct loop_fd *watch;
	TAILQ_ENTRY(watched_fd) link;
};

struct dns {
	struct loop *loop;
	struct dns_options options;
	ares_channel channel;
	TAILQ_HEAD(fd_list, watched_fd) fds;
	struct timer timer;
	struct task deliver;
	struct name_list ready, by_age;
	struct dns_name *buckets[BUCKETS];
	struct dns_answer immediate; /* for literals and localhost */
	struct stat resolv_conf;     /* as last read */
	usec_t resolv_conf_at;       /* when last looked at */
	int socket_errno;            /* why our last socket could not be opened; 0 = it could */
	uint64_t heard_total;        /* datagrams and pieces from name servers */
	bool is_closing, is_rebuilding;
	struct dns_stats stats;
};

static usec_t now_of(const struct dns *dns)
{
	return loop_timers(dns->loop)->now;
}

/* ---- names ---- */

static struct dns_name **bucket_of(struct dns *dns, const char *host)
{
	return &dns->buckets[hash_text(host) % BUCKETS];
}

static struct dns_name *name_find(struct dns *dns, const char *host)
{
	struct dns_name *name = *bucket_of(dns, host);

	while (name && strcmp(name->host, host) != 0)
		name = name->next;
	return name;
}

static void name_forget(struct dns *dns, struct dns_name *name)
{
	struct dns_name **link = bucket_of(dns, name->host);

	while (*link != name)
		link = &(*link)->next;
	*link = name->next;
	TAILQ_REMOVE(&dns->by_age, name, age_link);
	dns->stats.names--;
	free(name);
}

static bool name_is_busy(const struct dns_name *name)
{
	return name->is_asked || name->is_ready || !TAILQ_EMPTY(&name->waiting);
}

/* Keeps the cache in its bound; names in use stay, their number is bounded by the checks. */
static void evict_oldest(struct dns *dns)
{
	struct dns_name *name = TAILQ_FIRST(&dns->by_age);
	struct dns_name *next;

	for (; name && dns->stats.names >= dns->options.max_names; name = next) {
		next = TAILQ_NEXT(name, age_link);
		if (!name_is_busy(name))
			name_forget(dns, name);
	}
}

static struct dns_name *name_add(struct dns *dns, const char *host)
{
	size_t size = strlen(host) + 1;
	struct dns_name **bucket = bucket_of(dns, host);
	struct dns_name *name;

	evict_oldest(dns);
	name = calloc(1, sizeof *name + size);
	if (!name)
		return NULL;
	name->dns = dns;
	memcpy(name->host, host, size);
	TAILQ_INIT(&name->waiting);
	name->next = *bucket;
	*bucket = name;
	TAILQ_INSERT_TAIL(&dns->by_age, name, age_link);
	dns->stats.names++;
	return name;
}

/* ---- answers ---- */

static void on_deliver(struct task *task)
{
	struct dns *dns = container_of(task, struct dns, deliver);
	struct dns_name *name;
	struct dns_query *query;

	while ((name = TAILQ_FIRST(&dns->ready))) {
		while ((query = TAILQ_FIRST(&name->waiting))) {
			TAILQ_REMOVE(&name->waiting, query, link);
			query->name = NULL;
			query->fn(query, &name->answer);
		}
		TAILQ_REMOVE(&dns->ready, name, ready_link);
		name->is_ready = false;
	}
}

static void answer_is_ready(struct dns_name *name)
{
	struct dns *dns = name->dns;

	if (!name->is_ready) {
		name->is_ready = true;
		TAILQ_INSERT_TAIL(&dns->ready, name, ready_link);
	}
	task_defer(loop_timers(dns->loop), &dns->deliver);
}

/*
 * ARES_ECONNREFUSED means that none of the name servers could be reached at all. That tells of
 * our own network, not of the target, hence local_network; a name server that is silent
 * (ARES_ETIMEOUT) may be so for this one name. But c-ares 1.18 says the same when every server
 * answered SERVFAIL, NOTIMP or REFUSED; then something was heard since the question.
 */
static const struct {
	int status;
	enum reason reason;
} status_reasons[] = {
	{ ARES_SUCCESS, REASON_OK },
	{ ARES_EBADNAME, REASON_DNS_NOT_FOUND },
	{ ARES_ECONNREFUSED, REASON_LOCAL_NETWORK },
	{ ARES_ENODATA, REASON_DNS_NOT_FOUND },
	{ ARES_ENOMEM, REASON_LOCAL_MEMORY },
	{ ARES_ENONAME, REASON_DNS_NOT_FOUND },
	{ ARES_ENOTFOUND, REASON_DNS_NOT_FOUND },
	{ ARES_ETIMEOUT, REASON_DNS_TIMEOUT },
};

static enum reason reason_of_status(const struct dns_name *name, int status)
{
	const struct dns *dns = name->dns;

	if (status == ARES_ECONNREFUSED && dns->heard_total != name->heard_before)
		return REASON_DNS_FAILED;
	if (status == ARES_ECONNREFUSED && dns->socket_errno != 0)
		return dns->socket_errno == EMFILE || dns->socket_errno == ENFILE
			       ? REASON_LOCAL_FDS
			       : REASON_LOCAL_MEMORY;
	for (size_t i = 0; i < array_size(status_reasons); i++) {
		if (status_reasons[i].status == status)
			return status_reasons[i].reason;
	}
	return REASON_DNS_FAILED;
}

static usec_t ttl_of(enum reason reason, const struct ares_addrinfo *list)
{
	usec_t ttl = ttl_max;

	if (reason == REASON_DNS_NOT_FOUND)
		return ttl_not_found;
	if (reason != REASON_OK)
		return ttl_failed;
	for (const struct ares_addrinfo_node *node = list->nodes; node; node = node->ai_next)
		ttl = min_of(ttl, (usec_t)max_of(node->ai_ttl, 0) * USEC_PER_SEC);
	for (const struct ares_addrinfo_cname *cname = list->cnames; cname; cname = cname->next)
		ttl = min_of(ttl, (usec_t)max_of(cname->ttl, 0) * USEC_PER_SEC);
	return max_of(ttl, ttl_min);
}

/* Takes the families in turns, IPv6 first (RFC 8305), each in the order of the name server, so
 * that a cut list still has both. */
static void take_addresses(struct dns_answer *answer, const struct ares_addrinfo *list)
{
	const struct ares_addrinfo_node *next[2] = { list->nodes, list->nodes };
	static const int family[2] = { AF_INET6, AF_INET };

	answer->n = 0;
	for (unsigned turn = 0; (next[0] || next[1]) && answer->n < DNS_MAX_ADDRESSES; turn ^= 1) {
		while (next[turn] && next[turn]->ai_family != family[turn])
			next[turn] = next[turn]->ai_next;
		if (!next[turn])
			continue;
		if (address_from_sockaddr(next[turn]->ai_addr, &answer->addresses[answer->n]))
			answer->n++;
		next[turn] = next[turn]->ai_next;
	}
}

/* With --log-level debug: what a name server, or /etc/hosts, said; answers of our cache say no more. */
static void trace_answer(const struct dns_name *name)
{
	const struct dns_answer *answer = &name->answer;
	_cleanup_(sbuf_fini) struct sbuf found = SBUF_INIT;
	char text[ADDRESS_TEXT_SIZE];

	if (!log_is_wanted(LOG_LEVEL_DEBUG))
		return;
	for (size_t i = 0; i < answer->n; i++) {
		address_format(&answer->addresses[i], text);
		sbuf_printf(&found, " %s", text);
	}
	log_printf(LOG_LEVEL_DEBUG, NULL, "name %s: %s%s, kept for %.1f s", name->host,
		reason_token(answer->reason), sbuf_str(&found),
		(double)(name->expires_at - now_of(name->dns)) / USEC_PER_SEC);
}

static void on_ares_answer(void *arg, int status, int timeouts, struct ares_addrinfo *list)
{
	struct dns_name *name = arg;
	struct dns *dns = name->dns;

	(void)timeouts;
	if (dns->is_closing || dns->is_rebuilding)
		return; /* dns_free frees the name; rebuild asks again */
	name->is_asked = false;
	name->answer = (struct dns_answer){
		.reason = reason_of_status(name, status),
		.ares_status = status,
		.os_errno = status == ARES_ECONNREFUSED ? dns->socket_errno : 0,
	};
	if (status == ARES_SUCCESS)
		take_addresses(&name->answer, list);
	if (status == ARES_SUCCESS && name->answer.n == 0)
		name->answer.reason = REASON_DNS_NOT_FOUND;
	name->expires_at = now_of(dns) + ttl_of(name->answer.reason, list);
	if (list)
		ares_freeaddrinfo(list);
	trace_answer(name);
	answer_is_ready(name);
}

/* ---- the channel ---- */

static void arm_timer(struct dns *dns)
{
	struct timeval wait;

	if (!ares_timeout(dns->channel, NULL, &wait)) {
		timer_cancel(loop_timers(dns->loop), &dns->timer);
		return;
	}
	/* Without memory for the timer, the owners' deadlines still end the queries. */
	(void)timer_set(loop_timers(dns->loop), &dns->timer,
		now_of(dns) + (usec_t)wait.tv_sec * USEC_PER_SEC + (usec_t)wait.tv_usec);
}

static void process(struct dns *dns, int read_fd, int write_fd)
{
	ares_process_fd(dns->channel, read_fd, write_fd);
	arm_timer(dns);
}

static void on_timer(struct timer *timer)
{
	process(container_of(timer, struct dns, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_fd(void *arg, int fd, unsigned ready)
{
	process(arg, (ready & LOOP_READ) ? fd : ARES_SOCKET_BAD,
		(ready & LOOP_WRITE) ? fd : ARES_SOCKET_BAD);
}

static struct watched_fd *find_fd(struct dns *dns, int fd)
{
	struct watched_fd *watched;

	TAILQ_FOREACH (watched, &dns->fds, link) {
		if (watched->fd == fd)
			break;
	}
	must(watched); /* each is watched from when it is opened to when it is closed */
	return watched;
}

/* 0 or -errno. */
static int watch(struct dns *dns, int fd)
{
	struct watched_fd *watched = calloc(1, sizeof *watched);

	if (!watched)
		return -ENOMEM;
	watched->fd = fd;
	watched->watch = loop_fd_new(dns->loop, fd, LOOP_READ, on_fd, dns);
	if (!watched->watch) {
		int r = -errno;

		free(watched);
		return r;
	}
	TAILQ_INSERT_TAIL(&dns->fds, watched, link);
	return 0;
}

static void unwatch(struct dns *dns, int fd)
{
	struct watched_fd *watched = find_fd(dns, fd);

	TAILQ_REMOVE(&dns->fds, watched, link);
	loop_fd_free(watched->watch);
	free(watched);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	unsigned events = (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);

	/* None is the word before closing. A lost event ends in a timeout. */
	if (events != 0)
		(void)loop_fd_set(find_fd(arg, fd)->watch, events);
}

/* Our own socket calls, because only they tell that it was us who had no descriptor left. A socket
 * is watched from the beginning: c-ares asks nobody whether that worked. */

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	struct dns *dns = arg;
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	int r = fd < 0 ? -errno : watch(dns, fd);

	dns->socket_errno = r < 0 && r != -EAFNOSUPPORT ? -r : 0;
	if (r == 0)
		return fd;
	closep(&fd);
	return ARES_SOCKET_BAD;
}

static int close_socket(ares_socket_t fd, void *arg)
{
	unwatch(arg, fd);
	return close(fd);
}

static int connect_socket(
	ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len, void *arg)
{
	(void)arg;
	return connect(fd, address, len);
}

static ares_ssize_t receive(ares_socket_t fd, void *data, size_t size, int flags,
	struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
	struct dns *dns = arg;
	ares_ssize_t n = recvfrom(fd, data, size, flags, from, from_len);

	dns->heard_total += n > 0 ? 1 : 0;
	return n;
}

static ares_ssize_t send_vector(ares_socket_t fd, const struct iovec *vector, int n, void *arg)
{
	struct msghdr message = {
		/* sendmsg does not write through it; its type only cannot say so */
		.msg_iov = (struct iovec *)(uintptr_t)vector,
		.msg_iovlen = (size_t)n,
	};

	(void)arg;
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct ares_socket_functions socket_functions = {
	.asocket = open_socket,
	.aclose = close_socket,
	.aconnect = connect_socket,
	.arecvfrom = receive,
	.asendv = send_vector,
};

static int open_channel(struct dns *dns)
{
	struct ares_options options = {
		.timeout = (int)(dns->options.timeout / USEC_PER_MSEC),
		.tries = DNS_TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = dns,
		/* only read; the type cannot say so */
		.resolvconf_path = (char *)(uintptr_t)dns->options.resolv_conf,
	};
	int status = ares_init_options(&dns->channel, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);

	if (status == ARES_SUCCESS && dns->options.servers) {
		status = ares_set_servers_ports_csv(dns->channel, dns->options.servers);
		if (status != ARES_SUCCESS)
			ares_destroy(dns->channel);
	}
	if (status != ARES_SUCCESS) {
		dns->channel = NULL;
		return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
	}
	ares_set_socket_functions(dns->channel, &socket_functions, dns);
	return 0;
}

/* Both families and no sorting by c-ares, which opens a socket for each of maybe 4,000 addresses;
 * who connects leaves out families without a route. */
static void ask(struct dns_name *name)
{
	struct dns *dns = name->dns;
	struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = ARES_AI_NOSORT,
	};

	name->is_asked = true;
	name->heard_before = dns->heard_total;
	dns->stats.queries_total++;
	ares_getaddrinfo(dns->channel, name->host, NULL, &hints, on_ares_answer, name);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A new channel with the new settings; what was being asked is asked again. A file that cannot be
 * used leaves the old channel in place. */
static void rebuild(struct dns *dns)
{
	ares_channel old = dns->channel;
	struct dns_name *name;

	if (open_channel(dns) < 0) {
		dns->channel = old;
		return;
	}
	dns->is_rebuilding = true;
	ares_destroy(old);
	dns->is_rebuilding = false;
	dns->stats.rebuilds_total++;
	TAILQ_FOREACH (name, &dns->by_age, age_link) {
		name->expires_at = 0;
		if (name->is_asked)
			ask(name);
	}
}

static void reread_resolv_conf(struct dns *dns)
{
	struct stat found;

	if (now_of(dns) < dns->resolv_conf_at + resolv_conf_interval)
		return;
	dns->resolv_conf_at = now_of(dns);
	if (stat(dns->options.resolv_conf, &found) < 0 || same_file(&found, &dns->resolv_conf))
		return;
	dns->resolv_conf = found;
	rebuild(dns);
}

/* ---- the interface ---- */

int dns_new(struct loop *loop, const struct dns_options *options, struct dns **ret_dns)
{
	struct dns *dns;
	int r;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	dns = calloc(1, sizeof *dns);
	if (!dns) {
		ares_library_cleanup();
		return -ENOMEM;
	}
	dns->loop = loop;
	if (options)
		dns->options = *options;
	if (!dns->options.resolv_conf)
		dns->options.resolv_conf = "/etc/resolv.conf";
	if (dns->options.timeout == 0)
		dns->options.timeout = try_timeout;
	if (dns->options.max_names == 0)
		dns->options.max_names = DNS_MAX_NAMES;
	dns->timer.fn = on_timer;
	dns->deliver.fn = on_deliver;
	TAILQ_INIT(&dns->fds);
	TAILQ_INIT(&dns->ready);
	TAILQ_INIT(&dns->by_age);
	dns->resolv_conf_at = now_of(dns);
	(void)stat(dns->options.resolv_conf, &dns->resolv_conf); /* may appear later */
	r = open_channel(dns);
	if (r < 0) {
		dns_free(dns);
		return r;
	}
	*ret_dns = dns;
	return 0;
}

struct dns *dns_free(struct dns *dns)
{
	struct dns_name *name;

	if (!dns)
		return NULL;
	dns->is_closing = true;
	if (dns->channel)
		ares_destroy(dns->channel);
	timer_cancel(loop_timers(dns->loop), &dns->timer);
	task_cancel(loop_timers(dns->loop), &dns->deliver);
	while ((name = TAILQ_FIRST(&dns->by_age))) {
		must(TAILQ_EMPTY(&name->waiting));
		name_forget(dns, name);
	}
	free(dns);
	ares_library_cleanup();
	return NULL;
}

/* RFC 6761: these names never leave the machine. */
static bool is_localhost(const char *host)
{
	static const char suffix[] = ".localhost";
	size_t len = strlen(host);

	return strcasecmp(host, suffix + 1) == 0 ||
	       (len > sizeof suffix - 1 &&
		       strcasecmp(host + len - (sizeof suffix - 1), suffix) == 0);
}

static bool resolve_at_once(struct dns *dns, const char *host)
{
	dns->immediate = (struct dns_answer){ .reason = REASON_OK, .n = 1 };
	if (address_parse(host, &dns->immediate.addresses[0]))
		return true;
	if (!is_localhost(host))
		return false;
	must(address_parse("::1", &dns->immediate.addresses[0]));
	must(address_parse("127.0.0.1", &dns->immediate.addresses[1]));
	dns->immediate.n = 2;
	return true;
}

bool dns_resolve(struct dns *dns, const char *host, struct dns_query *query,
	const struct dns_answer **ret_answer)
{
	struct dns_name *name;

	must(!query->name);
	if (resolve_at_once(dns, host)) {
		*ret_answer = &dns->immediate;
		return true;
	}
	if (!dns->options.servers)
		reread_resolv_conf(dns);
	name = name_find(dns, host);
	if (name && name->expires_at > now_of(dns)) {
		TAILQ_REMOVE(&dns->by_age, name, age_link);
		TAILQ_INSERT_TAIL(&dns->by_age, name, age_link);
		*ret_answer = &name->answer;
		return true;
	}
	if (!name)
		name = name_add(dns, host);
	if (!name) {
		dns->immediate = (struct dns_answer){ .reason = REASON_LOCAL_MEMORY };
		*ret_answer = &dns->immediate;
		return true;
	}
	query->name = name;
	TAILQ_INSERT_TAIL(&name->waiting, query, link);
	if (!name->is_asked) {
		ask(name);
		arm_timer(dns);
	}
	return false;
}

void dns_cancel(struct dns *dns, struct dns_query *query)
{
	(void)dns;
	if (!query->name)
		return;
	TAILQ_REMOVE(&query->name->waiting, query, link);
	query->name = NULL;
}

const struct dns_stats *dns_stats(const struct dns *dns)
{
	return &dns->stats;
}

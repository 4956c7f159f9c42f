/* SPDX-License-Identifier: MIT */
/*
 * libcurl's multi_socket interface on our loop: owns the multi handle, the watches of its sockets
 * and its one timer. The transfer engine owns the easy handles and adds them here.
 *
 * libcurl refuses to be called from its own callbacks and asks for work with a timeout of 0, so
 * that request becomes a deferred task. The timer is set and cleared by libcurl's word alone:
 * deleting it when the last transfer is done loses transfers that were added meanwhile.
 */
#include "modelhealth/io/shard.h"

#include "modelhealth/io/loop.h"
#include "modelhealth/io/ration.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

/* One descriptor that libcurl waits for. */
struct sock {
	struct shard *shard;
	struct loop_fd *watch;
	CURL *easy; /* who uses it; we never multiplex */
	TAILQ_ENTRY(sock) link;
};

TAILQ_HEAD(sock_list, sock);

struct shard {
	struct loop *loop;
	const struct shard_handlers *handlers;
	CURLM *multi;
	struct timer timer;
	struct task kick; /* libcurl wants to be called at once */
	struct sock_list socks;
	CURL **members; /* the easy handles inside, for a rebuild */
	size_t n_members, cap_members;
	unsigned rebuilds;
	bool is_inside;
};

/* Kept connections per multi handle. Lanes bound them, this only lifts libcurl's own bound of
 * four times the transfers in flight, which would close kept connections of quiet moments. */
static const long max_kept = 65536;

static struct sock *sock_free(struct shard *shard, struct sock *sock)
{
	TAILQ_REMOVE(&shard->socks, sock, link);
	loop_fd_free(sock->watch);
	free(sock);
	return NULL;
}

static void rebuild(struct shard *shard);

/* Hands out what ended. The message dies with remove_handle, so it is copied first. */
static void drain(struct shard *shard)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(shard->multi, &left))) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;

		if (message->msg == CURLMSG_DONE)
			shard->handlers->on_message(shard->handlers->arg, easy, code);
	}
}

/* Returns how many bytes libcurl read. */
static size_t act(struct shard *shard, curl_socket_t fd, int ready)
{
	int running;
	CURLMcode code;
	size_t eaten;

	shard->is_inside = true;
	ration_begin();
	code = curl_multi_socket_action(shard->multi, fd, ready, &running);
	eaten = ration_end();
	shard->is_inside = false;
	if (code != CURLM_OK)
		rebuild(shard);
	else
		drain(shard);
	return eaten;
}

static void on_timer(struct timer *timer)
{
	act(container_of(timer, struct shard, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(struct task *task)
{
	act(container_of(task, struct shard, kick), CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct shard *shard = arg;
	struct timers *timers = loop_timers(shard->loop);
	bool is_due = timeout_ms == 0;

	(void)multi;
	if (timeout_ms <= 0)
		timer_cancel(timers, &shard->timer);
	else /* without memory for the timer libcurl is called early and asks again */
		is_due = timer_set(timers, &shard->timer,
				 timers->now + (usec_t)timeout_ms * USEC_PER_MSEC) < 0;
	if (is_due)
		task_defer(timers, &shard->kick);
	return 0;
}

static void on_socket_ready(void *arg, int fd, unsigned ready)
{
	struct sock *sock = arg;
	struct shard *shard = sock->shard;
	CURL *easy = sock->easy;
	size_t eaten;

	if (ready & LOOP_READ)
		shard->handlers->on_readable(shard->handlers->arg, easy);
	/* sock may be gone after this; the easy handle may have ended, but is there until the turn's
	 * deferred tasks */
	eaten = act(shard, fd,
		((ready & LOOP_READ) ? CURL_CSELECT_IN : 0) |
			((ready & LOOP_WRITE) ? CURL_CSELECT_OUT : 0));
	shard->handlers->on_read(shard->handlers->arg, easy, eaten);
}

/* NULL with errno. */
static struct sock *sock_new(struct shard *shard, curl_socket_t fd, unsigned events)
{
	struct sock *sock = calloc(1, sizeof *sock);

	if (!sock)
		return NULL;
	sock->shard = shard;
	sock->watch = loop_fd_new(shard->loop, fd, events, on_socket_ready, sock);
	if (!sock->watch) {
		free(sock);
		return NULL;
	}
	TAILQ_INSERT_HEAD(&shard->socks, sock, link);
	(void)curl_multi_assign(shard->multi, fd, sock); /* fd is known: libcurl just named it */
	return sock;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
	struct shard *shard = arg;
	struct sock *sock = sock_arg;
	unsigned events = ((what & CURL_POLL_IN) ? LOOP_READ : 0u) |
			  ((what & CURL_POLL_OUT) ? LOOP_WRITE : 0u);
	int r = 0;

	if (what == CURL_POLL_REMOVE) {
		if (sock) {
			shard->handlers->on_left(shard->handlers->arg, sock->easy);
			sock_free(shard, sock);
		}
		(void)curl_multi_assign(shard->multi, fd, NULL);
		return 0;
	}
	if (sock)
		r = loop_fd_set(sock->watch, events);
	else if (!(sock = sock_new(shard, fd, events)))
		r = -errno;
	if (sock)
		sock->easy = easy;
	/* To libcurl that would be the end of all transfers. */
	if (r < 0)
		shard->handlers->on_unwatched(shard->handlers->arg, easy, -r);
	return 0;
}

static CURLM *open_multi(struct shard *shard)
{
	CURLM *multi = curl_multi_init();

	if (!multi)
		return NULL;
	/* None of these can fail with these arguments. */
	(void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	(void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard);
	(void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	(void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard);
	(void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	(void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, max_kept);
	return multi;
}

static void close_multi(struct shard *shard)
{
	struct timers *timers = loop_timers(shard->loop);

	ration_begin(); /* closing TLS reads */
	if (shard->multi)
		(void)curl_multi_cleanup(shard->multi);
	(void)ration_end();
	shard->multi = NULL;
	while (!TAILQ_EMPTY(&shard->socks))
		sock_free(shard, TAILQ_FIRST(&shard->socks));
	timer_cancel(timers, &shard->timer);
	task_cancel(timers, &shard->kick);
}

/* After an error of socket_action nothing inside can be trusted to go on. */
static void rebuild(struct shard *shard)
{
	CURLM *fresh;

	shard->rebuilds++;
	while (shard->n_members > 0) {
		CURL *easy = shard->members[shard->n_members - 1];

		shard_remove(shard, easy);
		shard->handlers->on_lost(shard->handlers->arg, easy);
	}
	fresh = open_multi(shard);
	if (!fresh)
		return; /* the old one is empty again, which is the next best */
	close_multi(shard);
	shard->multi = fresh;
}

struct shard *shard_new(struct loop *loop, const struct shard_handlers *handlers)
{
	struct shard *shard = calloc(1, sizeof *shard);

	if (!shard)
		return NULL;
	shard->loop = loop;
	shard->handlers = handlers;
	shard->timer.fn = on_timer;
	shard->kick.fn = on_kick;
	TAILQ_INIT(&shard->socks);
	shard->multi = open_multi(shard);
	if (!shard->multi)
		return shard_free(shard);
	return shard;
}

struct shard *shard_free(struct shard *shard)
{
	if (!shard)
		return NULL;
	must(shard->n_members == 0);
	close_multi(shard);
	free(shard->members);
	free(shard);
	return NULL;
}

static int reserve_member(struct shard *shard)
{
	size_t cap = shard->cap_members ? 2 * shard->cap_members : 16;
	CURL **members;

	if (shard->n_members < shard->cap_members)
		return 0;
	members = reallocarray(shard->members, cap, sizeof *members);
	if (!members)
		return -ENOMEM;
	shard->members = members;
	shard->cap_members = cap;
	return 0;
}

int shard_add(struct shard *shard, CURL *easy)
{
	CURLMcode code;

	must(!shard->is_inside);
	if (reserve_member(shard) < 0)
		return -ENOMEM;
	shard->is_inside = true;
	code = curl_multi_add_handle(shard->multi, easy);
	shard->is_inside = false;
	if (code != CURLM_OK)
		return -ENOMEM;
	shard->members[shard->n_members++] = easy;
	return 0;
}

void shard_remove(struct shard *shard, CURL *easy)
{
	must(!shard->is_inside);
	shard->is_inside = true;
	ration_begin(); /* closing TLS reads */
	/* Fails only for a handle that is not inside. It takes back the handle's sockets first, a
	 * kept one too, so no sock is left with it. */
	(void)curl_multi_remove_handle(shard->multi, easy);
	(void)ration_end();
	shard->is_inside = false;
	for (size_t i = 0; i < shard->n_members; i++) {
		if (shard->members[i] != easy)
			continue;
		shard->members[i] = shard->members[--shard->n_members];
		return;
	}
}

void shard_hurry(struct shard *shard, CURL *easy)
{
	must(!shard->is_inside);
	shard->is_inside = true;
	/* There is no call for it, but what goes on after a pause is looked at. Both fail only as long
	 * as there is no connection at all. */
	(void)curl_easy_pause(easy, CURLPAUSE_RECV);
	(void)curl_easy_pause(easy, CURLPAUSE_CONT);
	shard->is_inside = false;
}

bool shard_is_inside(const struct shard *shard)
{
	return shard->is_inside;
}

unsigned shard_rebuilds(const struct shard *shard)
{
	return shard->rebuilds;
}

/* SPDX-License-Identifier: MIT */
/*
 * The test server's thread. Blocking calls are fine here: every wait also watches the wake pipe.
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* True when fd is ready before the peer is stopped and before msec are over (-1 = no limit). */
static bool wait_for(struct peer *peer, int fd, short events, int msec)
{
	struct pollfd fds[2] = {
		{ .fd = peer->wake[0], .events = POLLIN },
		{ .fd = fd, .events = events },
	};

	return poll(fds, fd < 0 ? 1 : 2, msec) > 0 && fds[0].revents == 0;
}

static void *serve(void *arg)
{
	struct peer *peer = arg;

	while (wait_for(peer, peer->listener, POLLIN, -1)) {
		int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		peer->script(peer, fd, atomic_fetch_add(&peer->connections, 1));
		(void)close(fd);
	}
	return NULL;
}

static void start(struct peer *peer, peer_script script, const void *arg)
{
	pthread_t thread;

	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon does; OpenSSL writes without a flag */
	peer->script = script;
	peer->arg = arg;
	must(pipe(peer->wake) == 0);
	must(pthread_create(&thread, NULL, serve, peer) == 0);
	peer->thread = thread;
}

void peer_start(struct peer *peer, peer_script script, const void *arg)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof address;

	memset(peer, 0, sizeof *peer);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(peer->listener, (struct sockaddr *)&address, len) == 0);
	must(listen(peer->listener, 128) == 0);
	must(getsockname(peer->listener, (struct sockaddr *)&address, &len) == 0);
	peer->port = ntohs(address.sin_port);
	start(peer, script, arg);
}

void peer_start_unix(struct peer *peer, const char *path, peer_script script, const void *arg)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memset(peer, 0, sizeof *peer);
	must(strlen(path) < sizeof address.sun_path);
	(void)stpcpy(address.sun_path, path);
	peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(peer->listener, (struct sockaddr *)&address, sizeof address) == 0);
	must(listen(peer->listener, 128) == 0);
	start(peer, script, arg);
}

void peer_stop(struct peer *peer)
{
	atomic_store(&peer->stopping, true);
	must(write(peer->wake[1], "x", 1) == 1);
	must(pthread_join(peer->thread, NULL) == 0);
	(void)close(peer->listener);
	(void)close(peer->wake[0]);
	(void)close(peer->wake[1]);
}

size_t peer_read_request(struct peer *peer, int fd, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	while (len < size - 1) {
		if (!wait_for(peer, fd, POLLIN, -1) || read(fd, text + len, 1) != 1)
			return 0;
		text[++len] = '\0';
		if (len >= 4 && strcmp(text + len - 4, "\r\n\r\n") == 0)
			return len;
	}
	return len;
}

bool peer_send(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t sent = send(fd, text, left, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		text += sent;
		left -= (size_t)sent;
	}
	return true;
}

void peer_hang(struct peer *peer, int fd)
{
	char byte;

	while (wait_for(peer, fd, POLLIN, -1) && read(fd, &byte, 1) > 0)
		continue;
}

void peer_delay(struct peer *peer, int msec)
{
	(void)wait_for(peer, -1, 0, msec);
}

void peer_reset(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
}

void peer_pong(struct peer *peer, int fd, unsigned number)
{
	char request[16];

	(void)number;
	if (read(fd, request, sizeof request) == 6 && memcmp(request, "PING\r\n", 6) == 0)
		peer_send(fd, "+PONG\r\n");
	peer_hang(peer, fd);
}

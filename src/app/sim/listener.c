/* SPDX-License-Identifier: MIT */
/*
 * Opens the sockets that simulated servers listen on. The servers own them.
 *
 * Ten thousand addresses cost one descriptor: a socket on the wildcard address that is bound to
 * the loopback device gets the connections to all of 127.0.0.0/8 and none from the network.
 */
#include "modelhealth/app/sim/listener.h"

#include "modelhealth/base/duration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	BACKLOG = 4096 /* what the kernel allows by default */
};

static const char *const all_loopback = "127.0.0.0/8";

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};

	socklen_t len;
	bool is_all; /* every address of 127.0.0.0/8 */
};

static bool is_loopback_v4(struct in_addr address)
{
	return ntohl(address.s_addr) >> 24 == 127;
}

static int parse_unix(const char *path, struct address *ret_address)
{
	struct address address = { .un.sun_family = AF_UNIX, .len = sizeof address.un };

	if (strlen(path) >= sizeof address.un.sun_path)
		return -EINVAL;
	(void)snprintf(address.un.sun_path, sizeof address.un.sun_path, "%s", path);
	*ret_address = address;
	return 0;
}

static int parse_inet(const char *host, uint16_t port, struct address *ret_address)
{
	struct address address = { 0 };

	if (strcmp(host, all_loopback) == 0 ||
		inet_pton(AF_INET, host, &address.in.sin_addr) == 1) {
		address.is_all = strcmp(host, all_loopback) == 0;
		address.in.sin_family = AF_INET;
		address.in.sin_port = htons(port);
		address.len = sizeof address.in;
		if (!address.is_all && !is_loopback_v4(address.in.sin_addr))
			return -EINVAL;
	} else {
		if (inet_pton(AF_INET6, host, &address.in6.sin6_addr) != 1 ||
			!IN6_IS_ADDR_LOOPBACK(&address.in6.sin6_addr))
			return -EINVAL;
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_port = htons(port);
		address.len = sizeof address.in6;
	}
	*ret_address = address;
	return 0;
}

static int parse_address(const char *text, struct address *ret_address)
{
	const char *colon = strrchr(text, ':');
	bool is_bracketed = text[0] == '[' && colon && colon[-1] == ']';
	char host[64];
	size_t host_len;
	uint64_t port;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, ret_address);
	if (!colon || u64_parse(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
		return -EINVAL;
	host_len = (size_t)(colon - text) - (is_bracketed ? 2 : 0);
	if (host_len >= sizeof host)
		return -EINVAL;
	memcpy(host, text + (is_bracketed ? 1 : 0), host_len);
	host[host_len] = '\0';
	return parse_inet(host, (uint16_t)port, ret_address);
}

static int bind_and_listen(int fd, const struct address *address)
{
	static const int on = 1;
	struct stat status;

	if (address->any.sa_family == AF_UNIX) {
		const char *path = address->un.sun_path;

		if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
			(void)unlink(path); /* bind says it if this failed */
	} else {
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
			return -errno;
		/* Inherited by accepted sockets: tokens leave when they are written. */
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
			return -errno;
	}
	if (address->is_all && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") < 0)
		return -errno;
	if (bind(fd, &address->any, address->len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

int listener_open(const char *text, int *ret_fd, char *ret_error, size_t error_size)
{
	struct address address;
	int fd;
	int r;

	if (parse_address(text, &address) < 0) {
		(void)snprintf(ret_error, error_size,
			"expected a loopback address and port such as 127.0.0.1:9101, got \"%s\"",
			text);
		return -EINVAL;
	}
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : bind_and_listen(fd, &address);
	if (r < 0) {
		(void)snprintf(
			ret_error, error_size, "cannot listen on %s: %s", text, strerror(-r));
		closep(&fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

bool listener_accepts(const struct sockaddr_storage *peer)
{
	const struct sockaddr_in *in = (const void *)peer;

	return peer->ss_family != AF_INET || is_loopback_v4(in->sin_addr);
}

int listener_block(int fd)
{
	struct sockaddr_storage own = { 0 };
	struct sockaddr_in *in = (void *)&own;
	socklen_t len = sizeof own;
	int filler;

	if (getsockname(fd, (struct sockaddr *)&own, &len) < 0)
		return -errno;
	if (own.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	filler = socket(own.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (filler < 0)
		return -errno;
	/* A backlog of zero has room for one. If a client took it first, ours just keeps trying. */
	if (listen(fd, 0) < 0 || (connect(filler, (struct sockaddr *)&own, len) < 0 &&
					 errno != EINPROGRESS && errno != EAGAIN)) {
		int r = -errno;

		(void)close(filler);
		return r;
	}
	return filler;
}

int listener_unblock(int fd)
{
	return listen(fd, BACKLOG) < 0 ? -errno : 0;
}

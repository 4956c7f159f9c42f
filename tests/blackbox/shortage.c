/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the daemon by tests: while the file $SHORTAGE_FILE exists, the call $SHORTAGE_CALL
 * of checks of port $SHORTAGE_PORT fails with the errno $SHORTAGE_ERRNO, as on a host that lacks
 * something. epoll_ctl does so for questions to name servers and for clients of that port too.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_short(const char *call)
{
	const char *file = getenv("SHORTAGE_FILE"), *failing = getenv("SHORTAGE_CALL");

	return file && failing && strcmp(call, failing) == 0 && access(file, F_OK) == 0;
}

static int number(const char *variable)
{
	const char *text = getenv(variable);

	return text ? (int)strtol(text, NULL, 10) : 0;
}

static int fail(void)
{
	errno = number("SHORTAGE_ERRNO");
	return -1;
}

static bool is_watched(const struct sockaddr_in *address)
{
	return address->sin_family == AF_INET &&
	       ntohs(address->sin_port) == number("SHORTAGE_PORT");
}

/* Whether fd is a connection of a check. */
static bool is_ours(int fd)
{
	struct sockaddr_in peer = { 0 };
	socklen_t len = sizeof peer;

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && is_watched(&peer);
}

/* Whether fd is a socket of that port of our own. */
static bool is_at_port(int fd)
{
	struct sockaddr_in own = { 0 };
	socklen_t len = sizeof own;

	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && is_watched(&own);
}

/* Only name servers are asked over datagrams of this family. */
static bool is_question(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_INET &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int) = (int (*)(int, int, int))(intptr_t)next("socket");

	return domain == AF_INET && is_short("socket") ? fail() : real(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t) =
		(int (*)(int, const struct sockaddr *, socklen_t))(intptr_t)next("connect");

	if (is_watched((const struct sockaddr_in *)(const void *)address) && is_short("connect"))
		return fail();
	return real(fd, address, len);
}

/* How a connection that was under way ended. */
int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	int (*real)(int, int, int, void *, socklen_t *) =
		(int (*)(int, int, int, void *, socklen_t *))(intptr_t)next("getsockopt");
	int r = real(fd, level, option, value, len);

	if (r == 0 && option == SO_ERROR && is_short("so_error"))
		*(int *)value = number("SHORTAGE_ERRNO");
	return r;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) =
		(ssize_t(*)(int, const void *, size_t, int))(intptr_t)next("send");

	return is_short("send") && is_ours(fd) ? fail() : real(fd, data, len, flags);
}

/* Only a descriptor that is new to it needs memory of the kernel's. */
int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	int (*real)(int, int, int, struct epoll_event *) =
		(int (*)(int, int, int, struct epoll_event *))(intptr_t)next("epoll_ctl");

	if (operation == EPOLL_CTL_ADD && is_short("epoll_ctl") &&
		(is_ours(fd) || is_at_port(fd) || is_question(fd)))
		return fail();
	return real(epoll_fd, operation, fd, event);
}

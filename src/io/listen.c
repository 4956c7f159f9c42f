/* SPDX-License-Identifier: MIT */
/*
 * A unix socket is bound under a temporary name, given its mode and only then renamed to its place:
 * there is no moment in which it has the wrong mode or in which a stale one is gone and ours is not
 * there yet.
 */
#include "modelhealth/io/listen.h"

#include "modelhealth/base/duration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	/* What the kernel allows by default. When it is full, a client's next try is a second away. */
	BACKLOG = 4096
};

static const char *unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static int fill_unix(const char *path, const char *suffix, struct sockaddr_un *ret_address)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len = snprintf(address.sun_path, sizeof address.sun_path, "%s%s", path, suffix);

	if (path[0] != '/')
		return -EINVAL;
	if (len < 0 || (size_t)len >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	*ret_address = address;
	return 0;
}

/* Whether the place is free: nothing there, or a socket that nobody serves. 0 or -errno. */
static int check_stale(const char *path, const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	return errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
}

static int publish_unix(int fd, const struct sockaddr_un *temporary, const char *path,
	struct listen_socket *ret_socket)
{
	struct stat st;

	if (chmod(temporary->sun_path, 0660) < 0 || listen(fd, BACKLOG) < 0 ||
		rename(temporary->sun_path, path) < 0 || lstat(path, &st) < 0) {
		int r = -errno;

		(void)unlink(temporary->sun_path); /* ours, and useless now */
		return r;
	}
	*ret_socket = (struct listen_socket){
		.fd = fd, .is_unix = true, .dev = st.st_dev, .ino = st.st_ino
	};
	return 0;
}

static int open_unix(const char *path, struct listen_socket *ret_socket)
{
	_cleanup_(closep) int fd = -1;
	struct sockaddr_un address, temporary;
	int r = fill_unix(path, "", &address);

	if (r == 0)
		r = fill_unix(path, "~", &temporary);
	if (r == 0)
		r = check_stale(path, &address);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(temporary.sun_path); /* left behind by a start that was interrupted */
	if (bind(fd, (const struct sockaddr *)&temporary, sizeof temporary) < 0)
		return -errno;
	r = publish_unix(fd, &temporary, path, ret_socket);
	if (r == 0)
		fd = -1;
	return r;
}

/* "1.2.3.4:port" or "[::1]:port". */
static int parse_tcp(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN];
	uint64_t port;

	if (len == 0 || len >= sizeof host || u64_parse(colon + 1, &port) < 0 || port > UINT16_MAX)
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	*ret_address = (struct sockaddr_storage){ 0 };
	if (host[0] == '[' && host[len - 1] == ']') {
		struct sockaddr_in6 *address = (struct sockaddr_in6 *)ret_address;

		host[len - 1] = '\0';
		address->sin6_family = AF_INET6;
		address->sin6_port = htons((uint16_t)port);
		*ret_len = sizeof *address;
		return inet_pton(AF_INET6, host + 1, &address->sin6_addr) == 1 ? 0 : -EINVAL;
	}
	struct sockaddr_in *address = (struct sockaddr_in *)ret_address;

	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t)port);
	*ret_len = sizeof *address;
	return inet_pton(AF_INET, host, &address->sin_addr) == 1 ? 0 : -EINVAL;
}

static int open_tcp(const char *text, struct listen_socket *ret_socket)
{
	_cleanup_(closep) int fd = -1;
	struct sockaddr_storage address;
	const int on = 1;
	socklen_t len;
	int r = parse_tcp(text, &address, &len);

	if (r < 0)
		return r;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
		return -errno;
	/* So that 0.0.0.0 and [::] can be listened on side by side. */
	if (address.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_socket = (struct listen_socket){ .fd = fd };
	fd = -1;
	return 0;
}

int listen_open(const char *address, struct listen_socket *ret_socket)
{
	const char *path = unix_path(address);

	return path ? open_unix(path, ret_socket) : open_tcp(address, ret_socket);
}

void listen_remove_file(const char *address, const struct listen_socket *socket)
{
	const char *path = unix_path(address);
	struct stat st;

	if (socket->is_unix && path && lstat(path, &st) == 0 && st.st_dev == socket->dev &&
		st.st_ino == socket->ino)
		(void)unlink(path); /* gone already is as good */
}

void listen_close(const char *address, struct listen_socket *socket)
{
	listen_remove_file(address, socket);
	closep(&socket->fd);
	socket->fd = -1;
}

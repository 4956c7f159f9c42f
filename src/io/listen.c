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

/* ---- sockets that somebody else opened ---- */

static bool is_wildcard(const struct sockaddr_storage *address)
{
	static const struct in6_addr any = IN6ADDR_ANY_INIT;

	if (address->ss_family == AF_INET)
		return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
	return memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr, &any, sizeof any) == 0;
}

static in_port_t port_of(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
					     : ((const struct sockaddr_in6 *)address)->sin6_port;
}

/* [::] takes IPv4 too unless it was told not to. */
static bool takes_both(int fd)
{
	int v6only = 1;
	socklen_t len = sizeof v6only;

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && v6only == 0;
}

/* Whether a bound socket has the port of text, which is read on the way. */
static bool has_port_of(
	const struct sockaddr_storage *bound, const char *text, struct sockaddr_storage *ret_wanted)
{
	socklen_t len;

	return (bound->ss_family == AF_INET || bound->ss_family == AF_INET6) &&
	       parse_tcp(text, ret_wanted, &len) == 0 && port_of(bound) == port_of(ret_wanted);
}

static bool covers_tcp(int fd, const struct sockaddr_storage *bound, const char *text)
{
	struct sockaddr_storage wanted;

	if (!has_port_of(bound, text, &wanted))
		return false;
	if (is_wildcard(bound))
		return bound->ss_family == wanted.ss_family ||
		       (bound->ss_family == AF_INET6 && takes_both(fd));
	if (bound->ss_family != wanted.ss_family)
		return false;
	if (bound->ss_family == AF_INET)
		return ((const struct sockaddr_in *)bound)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)&wanted)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)bound)->sin6_addr,
		       &((const struct sockaddr_in6 *)&wanted)->sin6_addr,
		       sizeof(struct in6_addr)) == 0;
}

/* Zeroed beforehand, so that the path of a unix socket ends with a NUL. */
static bool read_bound(int fd, struct sockaddr_storage *ret_bound)
{
	socklen_t len = sizeof *ret_bound - 1;

	*ret_bound = (struct sockaddr_storage){ 0 };
	return getsockname(fd, (struct sockaddr *)ret_bound, &len) == 0;
}

bool listen_covers(int fd, const char *address)
{
	const char *path = unix_path(address);
	struct sockaddr_storage bound;

	if (!read_bound(fd, &bound))
		return false;
	if (path)
		return bound.ss_family == AF_UNIX &&
		       strcmp(((const struct sockaddr_un *)&bound)->sun_path, path) == 0;
	return covers_tcp(fd, &bound, address);
}

bool listen_shares_port(int fd, const char *address)
{
	struct sockaddr_storage bound, wanted;

	return read_bound(fd, &bound) && has_port_of(&bound, address, &wanted);
}

void listen_describe(int fd, char ret_text[static LISTEN_TEXT_SIZE])
{
	struct sockaddr_storage bound;
	char host[INET6_ADDRSTRLEN];
	const void *in = &((const struct sockaddr_in *)&bound)->sin_addr;
	const void *in6 = &((const struct sockaddr_in6 *)&bound)->sin6_addr;

	if (!read_bound(fd, &bound))
		bound.ss_family = AF_UNSPEC;
	if (bound.ss_family == AF_INET && inet_ntop(AF_INET, in, host, sizeof host))
		(void)snprintf(ret_text, LISTEN_TEXT_SIZE, "%s:%u", host, ntohs(port_of(&bound)));
	else if (bound.ss_family == AF_INET6 && inet_ntop(AF_INET6, in6, host, sizeof host))
		(void)snprintf(ret_text, LISTEN_TEXT_SIZE, "[%s]:%u", host, ntohs(port_of(&bound)));
	else if (bound.ss_family == AF_UNIX)
		(void)snprintf(ret_text, LISTEN_TEXT_SIZE, "unix:%s",
			((const struct sockaddr_un *)&bound)->sun_path);
	else
		(void)snprintf(ret_text, LISTEN_TEXT_SIZE, "another address");
}

/* SPDX-License-Identifier: MIT */
/*
 * Opening sockets that listen, from an address as configured.
 */
#pragma once

#include <sys/types.h>

#include "modelhealth/base/defs.h"

enum {
	LISTEN_TEXT_SIZE = 136 /* "unix:" and the longest name of a socket */
};

struct listen_socket {
	int fd;
	bool is_unix;
	/* Of the socket file, so that only our own is ever removed. */
	dev_t dev;
	ino_t ino;
};

/*
 * Opens "127.0.0.1:9877", "[::1]:9877" (port 0: any free one) or "unix:/path" (mode 0660). A unix
 * socket that nobody serves any more is replaced at once; one that is served is -EADDRINUSE, and
 * what is no socket -EEXIST. -EINVAL for other texts, -ENAMETOOLONG, or -errno of the call.
 */
int listen_open(const char *address, struct listen_socket *ret_socket);

/* Removes the file of a socket that is closed elsewhere, when it is still ours. */
void listen_remove_file(const char *address, const struct listen_socket *socket);

/* Whether fd, which somebody else opened, is bound where listen_open would open address, or takes
 * all that arrives there: the wildcard of its family, or of both. */
bool listen_covers(int fd, const char *address);

/* Whether fd has the TCP port of address, so that the two may stand in each other's way. */
bool listen_shares_port(int fd, const char *address);

/* Where fd is bound, as it would be configured; "another address" for other families. */
void listen_describe(int fd, char ret_text[static LISTEN_TEXT_SIZE]);

/* SPDX-License-Identifier: MIT */
/*
 * Opening sockets that listen, from an address as configured.
 */
#pragma once

#include <sys/types.h>

#include "modelhealth/base/defs.h"

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

/* Closes it and removes its file when that is still ours. */
void listen_close(const char *address, struct listen_socket *socket);

/* The same without closing, for an fd that somebody else closes. */
void listen_remove_file(const char *address, const struct listen_socket *socket);

/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that the service manager hands to a new process (sd_listen_fds(3)): sockets that
 * listen already, and what the process before us had stored. Read once, at start.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	INHERITED_MAX = 64 /* more are closed */
};

struct inherited_fd {
	int fd;     /* close-on-exec; -1 = somebody took it */
	char *name; /* owned; of the unit file or as it was stored */
};

struct inherited {
	struct inherited_fd item[INHERITED_MAX];
	size_t n;
};

/* Takes what $LISTEN_FDS and $LISTEN_FDNAMES say, if they are meant for this process, and removes
 * them from the environment. Nothing handed over is no error: n is 0. */
void inherited_open(struct inherited *inherited);

/* Hands over the next descriptor of that name, -1 without one. */
int inherited_take(struct inherited *inherited, const char *name);

/* Hands over the next stream socket that listens, whatever its name; -1 without one. */
int inherited_take_listener(struct inherited *inherited);

/* Closes what nobody took. */
void inherited_close(struct inherited *inherited);

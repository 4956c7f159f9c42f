/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets of the simulator. It never listens beyond this machine.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct sockaddr_storage;

/*
 * Opens a non-blocking listener on address:port, [address]:port, unix:/path (an old socket there
 * is replaced), or 127.0.0.0/8:port, which is one socket for all loopback addresses. Addresses
 * beyond loopback are refused. 0 and an owned descriptor, or -errno with a sentence for the user.
 */
int listener_open(const char *text, int *ret_fd, char *ret_error, size_t error_size);

/* Whether a peer that connected may talk to us. */
bool listener_accepts(const struct sockaddr_storage *peer);

/*
 * Makes the kernel drop further connection requests, as if the host were gone: the backlog shrinks
 * to one and a connection of our own fills it. Returns that connection, to be closed by the caller
 * before listener_unblock, or -errno.
 */
int listener_block(int fd);
int listener_unblock(int fd);

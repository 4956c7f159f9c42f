/* SPDX-License-Identifier: MIT */
/*
 * A server for tests: one thread on a free loopback port that runs a script for each connection,
 * one after the other. Scripts read requests and write what they like.
 */
#pragma once

#include <stdatomic.h>

#include "modelhealth/base/defs.h"

struct peer;

/* Serves one connection; returning closes it. number counts connections from 0. */
typedef void (*peer_script)(struct peer *peer, int fd, unsigned number);

struct peer {
	peer_script script;
	const void *arg; /* the script's own */
	int listener, wake[2];
	uint16_t port;
	unsigned long thread;
	atomic_uint connections; /* accepted so far */
	atomic_bool stopping;
};

void peer_start(struct peer *peer, peer_script script, const void *arg);
/* On an AF_UNIX path instead. */
void peer_start_unix(struct peer *peer, const char *path, peer_script script, const void *arg);
void peer_stop(struct peer *peer);

/* Reads up to and including the blank line after the request headers; returns its length, 0 at the
 * end of the connection or of the peer. The text is terminated. */
size_t peer_read_request(struct peer *peer, int fd, char *text, size_t size);

/* False when the other side is gone. */
bool peer_send(int fd, const char *text);

/* Waits until the other side closes or the peer is stopped. */
void peer_hang(struct peer *peer, int fd);

/* Waits for msec, less when the peer is stopped: a server that is slow on purpose. */
void peer_delay(struct peer *peer, int msec);

/* Makes the close of fd a reset. */
void peer_reset(int fd);

/* A script: answers PING as Redis does, then hangs. */
void peer_pong(struct peer *peer, int fd, unsigned number);

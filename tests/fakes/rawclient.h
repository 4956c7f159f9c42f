/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client that sends exactly the bytes it is told to and keeps what comes back, in the same
 * loop as the server.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/loop.h"

struct raw_client {
	struct loop *loop;
	int fd;
	struct loop_fd *watch;
	const char *request; /* borrowed; len may grow, then call raw_resume */
	size_t len, sent;
	struct sbuf answer;
	bool closed;      /* by the server */
	bool never_reads; /* set after opening */
};

/* Runs the loop for so long, or until a client is closed. */
void raw_run(struct loop *loop, usec_t span);

/* Connects from 127.0.0.<source>. */
void raw_open(struct raw_client *client, struct loop *loop, uint16_t port, unsigned source,
	const char *request, size_t len);
void raw_open_unix(
	struct raw_client *client, struct loop *loop, const char *path, const char *request);

/* Sends what has come to len. */
void raw_resume(struct raw_client *client);

/* Runs until the server has closed, at most so long. */
void raw_finish(struct raw_client *client, usec_t at_most);
void raw_close(struct raw_client *client);

/* Of the answer so far; 0 and "" when there is none. */
unsigned raw_status(const struct raw_client *client);
const char *raw_body(const struct raw_client *client);

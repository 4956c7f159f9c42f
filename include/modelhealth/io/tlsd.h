/* SPDX-License-Identifier: MIT */
/*
 * The server side of TLS over a non-blocking socket that the caller watches: for the simulator,
 * so that TLS checks have something to talk to.
 */
#pragma once

#include "modelhealth/base/defs.h"

#include <sys/types.h>

struct tlsd;
struct tlsd_stream;

/*
 * Loads a certificate chain and its key (PEM files). 0, or -EINVAL with the reason in ret_error,
 * or -ENOMEM.
 */
int tlsd_new(const char *certificate_file, const char *key_file, struct tlsd **ret_tlsd,
	char *ret_error, size_t error_size);
struct tlsd *tlsd_free(struct tlsd *tlsd);

/* Starts a session on an accepted socket; borrows fd until tlsd_stream_free. NULL without memory. */
struct tlsd_stream *tlsd_stream_new(struct tlsd *tlsd, int fd);
struct tlsd_stream *tlsd_stream_free(struct tlsd_stream *stream);

/* As read(2) and write(2); the handshake happens on the way. 0 = the peer ended the session,
 * -EAGAIN = try when the socket is ready again, -EPROTO = broken. */
ssize_t tlsd_read(struct tlsd_stream *stream, char *data, size_t size);
ssize_t tlsd_write(struct tlsd_stream *stream, const char *data, size_t len);

/* Whether the last -EAGAIN waits for room to write instead of bytes to read. */
bool tlsd_wants_write(const struct tlsd_stream *stream);

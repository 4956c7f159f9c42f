/* SPDX-License-Identifier: MIT */
/*
 * The bytes of gRPC: frames of length and message, the little of protobuf that a health check
 * needs, and the fields in which a server says how a call went. Pure; every reader is bounded by
 * the length that it is given.
 */
#pragma once

#include "modelhealth/base/duration.h"
#include "modelhealth/base/sbuf.h"

enum {
	GRPC_PREFIX_BYTES = 5,       /* a flag and a length of 32 bits */
	GRPC_MAX_MESSAGE = 64 << 10, /* a longer one is refused when its length is seen */
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_STATUS_N = 17,
};

/* "unavailable"; NULL when there is no such code. */
const char *grpc_status_token(unsigned status);

/* ---- writing a request ---- */

/* Appends a string field of a message; an empty one is left out, as proto3 does. field: 1 … 15. */
void grpc_put_string(struct sbuf *message, unsigned field, const char *text);

/* Appends the frame of a whole message. */
void grpc_put_frame(struct sbuf *out, const char *message, size_t len);

/* Appends a value for grpc-timeout: at most eight digits and a unit. */
void grpc_put_timeout(struct sbuf *out, usec_t timeout);

/* ---- reading an answer ---- */

enum grpc_framing {
	GRPC_WHOLE,      /* exactly one message */
	GRPC_EMPTY,      /* no message at all */
	GRPC_CUT,        /* a beginning of one */
	GRPC_TOO_LONG,   /* its length says more than GRPC_MAX_MESSAGE */
	GRPC_COMPRESSED, /* although we accept no encoding */
	GRPC_BAD_FLAG,   /* neither compressed nor not */
	GRPC_SEVERAL,    /* more than one message: no answer to a unary call */
};

/* What a framing means, in words; NULL for GRPC_WHOLE. */
const char *grpc_framing_text(enum grpc_framing framing);

/* Looks at the body of an answer, or at what there is of it. ret_message and ret_len are written
 * for GRPC_WHOLE and point into body. */
enum grpc_framing grpc_read_frame(
	const char *body, size_t len, const char **ret_message, size_t *ret_len);

/* The varint in a field of a message; the last one counts, 0 when there is none. False when the
 * bytes are no message, or the field has another type. */
bool grpc_read_varint(const char *message, size_t len, unsigned field, uint64_t *ret_value);

/* A grpc-status: 0 … 16, or any other number below 1000 that a later version may add. False for
 * anything else. */
bool grpc_read_status(const char *text, unsigned *ret_status);

/* Appends a grpc-message with %XX decoded; what is no such code stays. Not sanitised. */
void grpc_decode_message(const char *text, struct sbuf *out);

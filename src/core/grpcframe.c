/* SPDX-License-Identifier: MIT */
/*
 * The bytes of gRPC, as grpc's PROTOCOL-HTTP2 and protobuf's encoding define them. Called by the
 * grpc check; owns nothing.
 */
#include "modelhealth/core/grpcframe.h"

#include <assert.h>
#include <ctype.h>

static const char *const status_tokens[] = {
	"ok",
	"cancelled",
	"unknown",
	"invalid_argument",
	"deadline_exceeded",
	"not_found",
	"already_exists",
	"permission_denied",
	"resource_exhausted",
	"failed_precondition",
	"aborted",
	"out_of_range",
	"unimplemented",
	"internal",
	"unavailable",
	"data_loss",
	"unauthenticated",
};
static_assert(array_size(status_tokens) == GRPC_STATUS_N, "one token per status");

const char *grpc_status_token(unsigned status)
{
	return status < GRPC_STATUS_N ? status_tokens[status] : NULL;
}

/* ---- protobuf ---- */

/* How a field's value is laid out: the low three bits of its tag. */
enum wire {
	WIRE_VARINT = 0,
	WIRE_64 = 1,
	WIRE_BYTES = 2,
	WIRE_32 = 5,
};

enum {
	VARINT_MAX_BYTES = 10,
	VARINT_BITS = 7,
	MAX_FIELD = (1 << 29) - 1,
};

static void put_varint(struct sbuf *out, uint64_t value)
{
	for (; value > 0x7f; value >>= VARINT_BITS)
		sbuf_putc(out, (char)(value | 0x80)); /* the low byte is meant */
	sbuf_putc(out, (char)value);
}

void grpc_put_string(struct sbuf *message, unsigned field, const char *text)
{
	size_t len = strlen(text);

	if (len == 0)
		return;
	put_varint(message, field << 3 | WIRE_BYTES);
	put_varint(message, len);
	sbuf_add(message, text, len);
}

/* A message that is being read: what is left of it. */
struct reader {
	const unsigned char *at;
	size_t left;
};

static bool read_varint(struct reader *reader, uint64_t *ret_value)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_MAX_BYTES && reader->left > 0; i++) {
		unsigned char byte = *reader->at;

		reader->at++;
		reader->left--;
		value |= (uint64_t)(byte & 0x7f) << (VARINT_BITS * i); /* bits over 64 go away */
		if (byte <= 0x7f) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool skip(struct reader *reader, uint64_t len)
{
	if (len > reader->left)
		return false;
	reader->at += len;
	reader->left -= (size_t)len;
	return true;
}

static bool skip_value(struct reader *reader, enum wire wire)
{
	uint64_t len;

	switch (wire) {
	case WIRE_VARINT:
		return read_varint(reader, &len);
	case WIRE_64:
		return skip(reader, 8);
	case WIRE_BYTES:
		return read_varint(reader, &len) && skip(reader, len);
	case WIRE_32:
		return skip(reader, 4);
	}
	return false;
}

bool grpc_read_varint(const char *message, size_t len, unsigned field, uint64_t *ret_value)
{
	struct reader reader = { (const unsigned char *)message, len };
	uint64_t value = 0;
	uint64_t tag;

	while (reader.left > 0) {
		if (!read_varint(&reader, &tag) || tag >> 3 == 0 || tag >> 3 > MAX_FIELD)
			return false;
		if (tag >> 3 != field) {
			if (!skip_value(&reader, (enum wire)(tag & 7)))
				return false;
		} else if ((tag & 7) != WIRE_VARINT || !read_varint(&reader, &value)) {
			return false;
		}
	}
	*ret_value = value;
	return true;
}

/* ---- frames ---- */

void grpc_put_frame(struct sbuf *out, const char *message, size_t len)
{
	const char prefix[GRPC_PREFIX_BYTES] = { 0, (char)(len >> 24), (char)(len >> 16),
		(char)(len >> 8), (char)len };

	sbuf_add(out, prefix, sizeof prefix);
	sbuf_add(out, message, len);
}

static uint32_t big_endian(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

enum grpc_framing grpc_read_frame(
	const char *body, size_t len, const char **ret_message, size_t *ret_len)
{
	const unsigned char *bytes = (const unsigned char *)body;
	uint32_t message_len;

	if (len == 0)
		return GRPC_EMPTY;
	if (bytes[0] > 1)
		return GRPC_BAD_FLAG;
	if (bytes[0] == 1)
		return GRPC_COMPRESSED;
	if (len < GRPC_PREFIX_BYTES)
		return GRPC_CUT;
	message_len = big_endian(bytes + 1);
	if (message_len > GRPC_MAX_MESSAGE)
		return GRPC_TOO_LONG;
	if (message_len > len - GRPC_PREFIX_BYTES)
		return GRPC_CUT;
	if (message_len < len - GRPC_PREFIX_BYTES)
		return GRPC_SEVERAL;
	*ret_message = body + GRPC_PREFIX_BYTES;
	*ret_len = message_len;
	return GRPC_WHOLE;
}

const char *grpc_framing_text(enum grpc_framing framing)
{
	static const char *const texts[] = {
		[GRPC_WHOLE] = NULL,
		[GRPC_EMPTY] = "no message",
		[GRPC_CUT] = "a message that is cut off",
		[GRPC_TOO_LONG] = "a message longer than 64 KiB",
		[GRPC_COMPRESSED] = "a compressed message although no encoding was accepted",
		[GRPC_BAD_FLAG] = "bytes that are no gRPC frame",
		[GRPC_SEVERAL] = "more than one message",
	};
	static_assert(array_size(texts) == GRPC_SEVERAL + 1, "one text per framing");

	return texts[framing];
}

/* ---- fields of the HTTP/2 answer ---- */

void grpc_put_timeout(struct sbuf *out, usec_t timeout)
{
	static const struct {
		usec_t unit;
		char letter;
	} units[] = {
		{ 1, 'u' },
		{ USEC_PER_MSEC, 'm' },
		{ USEC_PER_SEC, 'S' },
		{ 60 * USEC_PER_SEC, 'M' },
		{ 3600 * USEC_PER_SEC, 'H' },
	};

	const usec_t most = 99999999;
	size_t i = 0;

	while (i + 1 < array_size(units) && timeout / units[i].unit > most)
		i++;
	sbuf_put_u64(out, min_of(timeout / units[i].unit, most));
	sbuf_putc(out, units[i].letter);
}

bool grpc_read_status(const char *text, unsigned *ret_status)
{
	unsigned status = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
		return false;
	for (size_t i = 0; i < len; i++)
		status = status * 10 + (unsigned)(text[i] - '0');
	*ret_status = status;
	return true;
}

static unsigned hex_digit(char c)
{
	return isdigit((unsigned char)c) ? (unsigned)(c - '0')
					 : (unsigned)(tolower((unsigned char)c) - 'a') + 10;
}

void grpc_decode_message(const char *text, struct sbuf *out)
{
	for (; *text; text++) {
		if (text[0] == '%' && isxdigit((unsigned char)text[1]) &&
			isxdigit((unsigned char)text[2])) {
			sbuf_putc(out, (char)(hex_digit(text[1]) << 4 | hex_digit(text[2])));
			text += 2;
		} else {
			sbuf_putc(out, text[0]);
		}
	}
}

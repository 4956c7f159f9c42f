/* SPDX-License-Identifier: MIT */
/*
 * The body of a gRPC answer, and the same bytes as a message and as a grpc-message. What is whole
 * lies inside the body and reads back as it is written; a beginning of an answer never looks like
 * a complete other one.
 */
#include "modelhealth/core/grpcframe.h"

#include "fuzz.h"

#include <stdlib.h>

static void check_rewritten(const char *body, size_t len, const char *message, size_t message_len)
{
	struct sbuf again = SBUF_INIT;

	must(message == body + GRPC_PREFIX_BYTES && message_len + GRPC_PREFIX_BYTES == len);
	grpc_put_frame(&again, message, message_len);
	must(again.len == len && memcmp(again.data, body, len) == 0);
	sbuf_fini(&again);
}

static void check_beginnings(const char *body, size_t len, enum grpc_framing whole)
{
	const char *message;
	size_t message_len;

	for (size_t i = 0; i < len && i < 64; i++) {
		enum grpc_framing framing = grpc_read_frame(body, i, &message, &message_len);

		if (whole == GRPC_WHOLE)
			must(framing == GRPC_EMPTY || framing == GRPC_CUT);
	}
}

static void check_text(const char *body, size_t len)
{
	char *text = strndup(body, len);
	struct sbuf out = SBUF_INIT;
	unsigned status;

	must(text);
	grpc_decode_message(text, &out);
	must(out.failed || out.len <= strlen(text));
	if (grpc_read_status(text, &status))
		must(status < 1000);
	sbuf_fini(&out);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;
	const char *message = NULL;
	size_t len = 0;
	uint64_t value = 0;
	enum grpc_framing framing = grpc_read_frame(body, size, &message, &len);

	if (framing == GRPC_WHOLE) {
		check_rewritten(body, size, message, len);
		(void)grpc_read_varint(message, len, 1, &value);
	} else {
		must(!message && grpc_framing_text(framing));
	}
	(void)grpc_read_varint(body, size, 1, &value);
	check_beginnings(body, size, framing);
	check_text(body, size);
	return 0;
}

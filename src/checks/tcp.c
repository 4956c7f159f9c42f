/* SPDX-License-Identifier: MIT */
/*
 * The tcp check: connects, with TLS when the URL says tls://, and when configured sends a text and
 * waits for an answer (Redis PING, an SMTP banner). The engine starts and cancels it.
 */
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/checks/target.h"
#include "modelhealth/core/expect.h"
#include "modelhealth/io/io.h"

#include <string.h>

enum {
	ANSWER_MAX = 4096, /* bytes looked at for `expect` */
};

struct tcp_params {
	struct target target;
	const char *send;
	struct expect_text expect;
};

static const struct conf_key tcp_keys[] = {
	{ .name = "expect",
		.type = CONF_CUSTOM,
		.custom = &expect_text_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct tcp_params, expect),
		.example = "\"+PONG\"",
		.help = "What the first 4 KiB of the answer contain, or a mapping of contains, "
			"matches and not_matches (regular expressions) with an optional severity." },
	TARGET_KEYS(struct tcp_params, target),
	{ .name = "send",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, send),
		.example = "\"PING\\r\\n\"",
		.help = "Text to send after connecting." },
	{ .name = "url",
		.type = CONF_URL,
		.is_required = true,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, target.url_text),
		.example = "tcp://10.0.0.5:6379",
		.help = "Where to connect: tcp://host:port, or tls://host:port for TLS." },
	CONF_END,
};

static int tcp_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct tcp_params *tcp = params;

	(void)spec;
	return target_compile(&tcp->target, 1u << URL_TCP | 1u << URL_TLS, scope, endpoint);
}

static void tcp_dispose(const void *params)
{
	const struct tcp_params *tcp = params;

	expect_text_dispose(&tcp->expect);
	target_dispose(&tcp->target);
}

static const struct expect_text *expected_by(const struct exchange *state)
{
	const struct tcp_params *tcp = state->probe->spec->params;

	return &tcp->expect;
}

/* Reads on until the answer is what it should be; what must not come can still come. */
static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct exchange *state = arg;
	const struct expect_text *expect = expected_by(state);

	sbuf_add(&state->answer, data, len);
	return !expect->not_matches &&
			       expect_text_holds(expect, state->answer.data, state->answer.len)
		       ? HTTP_ENOUGH
		       : HTTP_MORE;
}

/* An answer that came but is not the expected one says more than the deadline that ended the
 * wait for the rest of it. */
static void judge(struct exchange *state, struct result *result)
{
	const struct expect_text *expect = expected_by(state);
	bool is_waited_out =
		result->reason == REASON_TIMEOUT_IDLE || result->reason == REASON_TIMEOUT_TOTAL;

	if (!expect->source || (result->reason != REASON_OK && !is_waited_out))
		return;
	if (is_waited_out && state->answer.len == 0)
		return;
	if (state->answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else if (!expect_text_holds(expect, sbuf_str(&state->answer), state->answer.len))
		expect_text_fail(expect, sbuf_str(&state->answer), state->answer.len, result);
	else if (is_waited_out)
		result_set(result, REASON_OK, NULL);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct exchange *state = arg;

	(void)transfer;
	state->transfer = NULL;
	state->probe->result = outcome->result;
	judge(state, &state->probe->result);
	exchange_forget(state);
	state->probe->done(state->probe);
}

static void tcp_start(struct probe *probe)
{
	const struct tcp_params *tcp = probe->spec->params;
	struct exchange *state = exchange_open(probe, sizeof *state);
	struct http_request request = {
		.body = tcp->send,
		.body_len = tcp->send ? strlen(tcp->send) : 0,
		.is_full_handshake_wanted =
			probe->spec->interval >= TLS_RESUME_MAX_SECONDS * USEC_PER_SEC,
		.max_header_bytes = HTTP_MAX_HEADER_BYTES,
		.max_body_bytes = ANSWER_MAX,
		.is_body_cut = true,
	};
	struct http_handlers handlers = { .on_done = on_done, .arg = state };

	if (tcp->expect.source)
		handlers.on_data = on_data;
	target_request(&tcp->target, probe, &request);
	if (state && http_start(probe->io->httpc, state->lane, &request, &handlers,
			     &state->transfer) == 0)
		return;
	exchange_starve(probe);
}

const struct check_kind check_tcp = {
	.name = "tcp",
	.keys = tcp_keys,
	.params_size = sizeof(struct tcp_params),
	.compile = tcp_compile,
	.dispose = tcp_dispose,
	.start = tcp_start,
	.cancel = exchange_cancel,
	.fini = exchange_fini,
};

/* SPDX-License-Identifier: MIT */
/*
 * The tcp check: connects, with TLS when the URL says tls://, and when configured sends a text and
 * waits for an answer (Redis PING, an SMTP banner). The engine starts and cancels it.
 */
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/checks/target.h"
#include "modelhealth/core/expectkeys.h"
#include "modelhealth/core/rules.h"
#include "modelhealth/core/template.h"
#include "modelhealth/io/io.h"

#include <errno.h>
#include <string.h>

enum {
	ANSWER_MAX = 4096, /* bytes looked at for `expect` */
};

struct tcp_params {
	struct target target;
	const char *send, *send_with_key;
	struct secret api_key;
	struct secret sent_with_key; /* filled by tcp_compile */
	struct rules rules;
	struct expect_text expect;
};

static const struct conf_key tcp_keys[] = {
	{ .name = "api_key",
		.type = CONF_SECRET,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, api_key),
		.example = "${credential:redis-password}",
		.help = "Goes into send_with_key and nowhere else." },
	{ .name = "expect",
		.type = CONF_CUSTOM,
		.custom = &expect_text_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct tcp_params, expect),
		.example = "\"+PONG\"",
		.help = "What the first 4 KiB of the answer contain, or a mapping of contains, "
			"matches and not_matches (regular expressions) with an optional severity." },
	RULES_KEY(struct tcp_params, rules),
	TARGET_KEYS(struct tcp_params, target),
	{ .name = "send",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, send),
		.example = "\"PING\\r\\n\"",
		.help = "Text to send after connecting." },
	{ .name = "send_with_key",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, send_with_key),
		.example = "'AUTH \"${api_key}\"'",
		.help = "Sent instead of send where there is an api_key, which ${api_key} stands for: "
			"as the inside of a string in double quotes, with a backslash before quotes "
			"and backslashes." },
	{ .name = "url",
		.type = CONF_URL,
		.is_required = true,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct tcp_params, target.url_text),
		.example = "tcp://10.0.0.5:6379",
		.help = "Where to connect: tcp://host:port, or tls://host:port for TLS." },
	CONF_END,
};

static int fill_key(struct tcp_params *tcp, struct conf_scope *scope)
{
	static const char *const names[] = { "api_key" };
	const struct template_value value = { "api_key", secret_expose(tcp->api_key) };
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	const char *unknown;
	size_t len;

	if (!tcp->send_with_key) {
		return secret_is_set(tcp->api_key) && !conf_is_partial(scope)
			       ? conf_error(scope, conf_node(scope, "api_key"),
					 "this check has no send_with_key to put it in")
			       : 0;
	}
	unknown = template_unknown(tcp->send_with_key, names, array_size(names), &len);
	if (unknown)
		return conf_error(scope, conf_node(scope, "send_with_key"),
			"unknown name ${%.*s}; known here: api_key", (int)len, unknown);
	if (!secret_is_set(tcp->api_key))
		return 0;
	template_expand(tcp->send_with_key, &value, 1, TEMPLATE_JSON, &filled);
	tcp->sent_with_key = secret_from(arena_strdup(conf_arena(scope), sbuf_str(&filled)));
	if (filled.data)
		explicit_bzero(filled.data, filled.len);
	return filled.failed || !secret_is_set(tcp->sent_with_key) ? -ENOMEM : 0;
}

static int check_url(const struct tcp_params *tcp, struct conf_scope *scope)
{
	const struct url *url = tcp->target.url;

	if (!url || (strcmp(url->target, "/") == 0 && !secret_is_set(url->user)))
		return 0;
	return conf_error(scope, conf_node(scope, "url"),
		"expected host and port alone, like tcp://host:port");
}

static int tcp_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct tcp_params *tcp = params;
	int r = fill_key(tcp, scope);

	(void)spec;
	r = conf_worse(
		r, target_compile(&tcp->target, 1u << URL_TCP | 1u << URL_TLS, scope, endpoint));
	return conf_worse(r, check_url(tcp, scope));
}

static void tcp_dispose(const void *params)
{
	const struct tcp_params *tcp = params;
	struct secret sent = tcp->sent_with_key;

	secret_wipe(&sent);
	expect_text_dispose(&tcp->expect);
	target_dispose(&tcp->target);
}

static bool wants_answer(const struct tcp_params *tcp)
{
	return tcp->expect.source || rules_need_body(&tcp->rules);
}

static const struct tcp_params *params_of(const struct exchange *state)
{
	return state->probe->spec->params;
}

static struct answer answer_of(const struct exchange *state)
{
	return (struct answer){ .body = sbuf_str(&state->answer), .body_len = state->answer.len };
}

/* Whether nothing that may still come can change the verdict. */
static bool is_decided(const struct exchange *state)
{
	const struct tcp_params *tcp = params_of(state);
	const struct answer answer = answer_of(state);
	struct result result = { 0 };

	if (state->answer.failed || tcp->expect.not_matches)
		return false;
	/* A rule may hold of half a line that another is about. */
	if (tcp->rules.n > 0)
		return answer.body[answer.body_len - 1] == '\n' &&
		       rules_judge(&tcp->rules, NULL, &answer, &result);
	return expect_text_holds(&tcp->expect, answer.body, answer.body_len);
}

/* Reads on until the answer is what it should be; what must not come can still come. */
static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct exchange *state = arg;

	sbuf_add(&state->answer, data, len);
	return len > 0 && is_decided(state) ? HTTP_ENOUGH : HTTP_MORE;
}

static void judge_answer(struct exchange *state, struct result *result)
{
	const struct tcp_params *tcp = params_of(state);
	const struct answer answer = answer_of(state);
	bool is_judged = rules_judge(&tcp->rules, NULL, &answer, result);

	if (is_judged && result->reason != REASON_OK)
		return;
	if (!expect_text_holds(&tcp->expect, answer.body, answer.body_len))
		expect_text_fail(&tcp->expect, answer.body, answer.body_len, result);
	else if (is_judged || tcp->expect.source)
		result_set(result, REASON_OK, NULL);
}

/* An answer that came but is not the expected one says more than the deadline that ended the
 * wait for the rest of it. */
static void judge(struct exchange *state, struct result *result)
{
	bool is_waited_out =
		result->reason == REASON_TIMEOUT_IDLE || result->reason == REASON_TIMEOUT_TOTAL;

	if (!wants_answer(params_of(state)) || (result->reason != REASON_OK && !is_waited_out))
		return;
	if (is_waited_out && state->answer.len == 0)
		return;
	if (state->answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else
		judge_answer(state, result);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct exchange *state = arg;

	(void)transfer;
	state->transfer = NULL;
	state->probe->result = outcome->result;
	judge(state, &state->probe->result);
	result_mask(&state->probe->result, secret_expose(params_of(state)->api_key));
	exchange_forget(state);
	state->probe->done(state->probe);
}

static void tcp_start(struct probe *probe)
{
	const struct tcp_params *tcp = probe->spec->params;
	struct exchange *state = exchange_open(probe, sizeof *state);
	const char *sent =
		secret_is_set(tcp->sent_with_key) ? secret_expose(tcp->sent_with_key) : tcp->send;
	struct http_request request = {
		.body = sent,
		.body_len = sent ? strlen(sent) : 0,
		.is_full_handshake_wanted =
			probe->spec->interval >= TLS_RESUME_MAX_SECONDS * USEC_PER_SEC,
		.max_header_bytes = HTTP_MAX_HEADER_BYTES,
		.max_body_bytes = ANSWER_MAX,
		.is_body_cut = true,
	};
	struct http_handlers handlers = { .on_done = on_done, .arg = state };

	if (wants_answer(tcp))
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

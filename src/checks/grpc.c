/* SPDX-License-Identifier: MIT */
/*
 * The grpc check: one unary call over HTTP/2, to the standard health service, to the inference
 * service of KServe v2 (Triton), or to any method. The engine starts and cancels it. What a server
 * may say, from a health state to a GOAWAY, is one word of a table; the table gives its reason,
 * and `reasons:` changes that.
 */
#include "modelhealth/checks/client.h"
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/grpcframe.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What a server can say. The first GRPC_STATUS_N are the codes of gRPC. */
enum {
	WORD_SERVING = GRPC_STATUS_N,
	WORD_NOT_SERVING,
	WORD_HEALTH_UNKNOWN,
	WORD_SERVICE_UNKNOWN,
	WORD_GOAWAY,
	WORD_N,
};

/* The states after the codes; those have their tokens from core/grpcframe. */
static const char *const state_tokens[] = {
	[WORD_SERVING - GRPC_STATUS_N] = "serving",
	[WORD_NOT_SERVING - GRPC_STATUS_N] = "not_serving",
	[WORD_HEALTH_UNKNOWN - GRPC_STATUS_N] = "health_unknown",
	[WORD_SERVICE_UNKNOWN - GRPC_STATUS_N] = "service_unknown",
	[WORD_GOAWAY - GRPC_STATUS_N] = "goaway",
};
static_assert(array_size(state_tokens) == WORD_N - GRPC_STATUS_N, "one token per state");

/* What a word means unless `reasons:` says otherwise. Of the codes, those that are not here are
 * grpc_status. */
static const struct {
	unsigned word;
	enum reason reason;
} default_reasons[] = {
	{ GRPC_OK, REASON_OK },
	{ 3, REASON_BAD_PROBE },     /* invalid_argument */
	{ 5, REASON_MODEL_MISSING }, /* not_found */
	{ GRPC_PERMISSION_DENIED, REASON_AUTH_FAILED },
	{ GRPC_RESOURCE_EXHAUSTED, REASON_OVERLOADED },
	{ GRPC_UNIMPLEMENTED, REASON_FEATURE_OFF },
	{ GRPC_UNAUTHENTICATED, REASON_AUTH_FAILED },
	{ WORD_SERVING, REASON_OK },
	{ WORD_NOT_SERVING, REASON_GRPC_NOT_SERVING },
	{ WORD_HEALTH_UNKNOWN, REASON_GRPC_NOT_SERVING },
	{ WORD_SERVICE_UNKNOWN, REASON_MODEL_MISSING },
	{ WORD_GOAWAY, REASON_DRAINING },
};

enum method {
	METHOD_HEALTH,
	METHOD_MODEL_READY,
	METHOD_SERVER_LIVE,
	METHOD_SERVER_READY,
	METHOD_N,
};

static const char *const method_choices[] = {
	[METHOD_HEALTH] = "health",
	[METHOD_MODEL_READY] = "model_ready",
	[METHOD_SERVER_LIVE] = "server_live",
	[METHOD_SERVER_READY] = "server_ready",
	[METHOD_N] = NULL,
};

static const char *const method_paths[METHOD_N] = {
	[METHOD_HEALTH] = "/grpc.health.v1.Health/Check",
	[METHOD_MODEL_READY] = "/inference.GRPCInferenceService/ModelReady",
	[METHOD_SERVER_LIVE] = "/inference.GRPCInferenceService/ServerLive",
	[METHOD_SERVER_READY] = "/inference.GRPCInferenceService/ServerReady",
};

struct grpc_params {
	struct client client;
	const char *call, *service, *model, *model_version;
	int method; /* enum method */
	struct conf_map reason_words;
	/* filled by grpc_compile */
	struct url *url;
	struct http_header *sent; /* the client's headers and those of gRPC */
	size_t n_sent;
	const char *body;
	size_t body_len;
	enum reason reasons[WORD_N];
};

static const struct conf_key grpc_keys[] = {
	{ .name = "call",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct grpc_params, call),
		.example = "/vllm.Engine/HealthCheck",
		.help = "Calls this method with an empty message instead of those that method "
			"names; only the status of the call counts then." },
	CLIENT_KEYS(struct grpc_params),
	{ .name = "method",
		.type = CONF_ENUM,
		.fallback = "health",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct grpc_params, method),
		.choices = method_choices,
		.help = "health asks grpc.health.v1.Health/Check; the others ask the inference "
			"service of KServe v2, which Triton has too." },
	{ .name = "model",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct grpc_params, model),
		.example = "resnet50",
		.help = "Model that model_ready asks for; unset, the first of models." },
	{ .name = "model_version",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct grpc_params, model_version),
		.example = "\"3\"",
		.help = "Version that model_ready asks for; unset, the server chooses." },
	{ .name = "reasons",
		.type = CONF_STRING_MAP,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct grpc_params, reason_words),
		.example = "{ not_serving: loading, unimplemented: ok }",
		.help = "What an answer means: a reason for serving, not_serving (also a model or "
			"server that is not ready), health_unknown, service_unknown, goaway, or "
			"for a status of gRPC by its name, like unavailable." },
	{ .name = "service",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct grpc_params, service),
		.example = "ModelService",
		.help = "Service whose health is asked for; unset, that of the whole server." },
	CONF_END,
};

/* ---- loading ---- */

static const char *word_token(unsigned word)
{
	return word < GRPC_STATUS_N ? grpc_status_token(word) : state_tokens[word - GRPC_STATUS_N];
}

static int set_reason(
	struct grpc_params *grpc, struct conf_scope *scope, const char *name, const char *token)
{
	const char *words[WORD_N];
	enum reason reason = reason_from_token(token);
	const char *near;
	unsigned word = 0;

	for (unsigned i = 0; i < WORD_N; i++)
		words[i] = word_token(i);
	while (word < WORD_N && strcasecmp(words[word], name) != 0)
		word++;
	if (word == WORD_N) {
		near = conf_did_you_mean(words, WORD_N, name);
		return conf_error(scope, conf_node(scope, "reasons"),
			"a server cannot say \"%s\"%s%s%s", name, near ? " (did you mean " : "",
			near ? near : "", near ? "?)" : "");
	}
	if (reason == REASON_N)
		return conf_error(scope, conf_node(scope, "reasons"), "%s: \"%s\" is not a reason",
			name, token);
	grpc->reasons[word] = reason;
	return 0;
}

static int fill_reasons(struct grpc_params *grpc, struct conf_scope *scope)
{
	int r = 0;

	for (unsigned i = 0; i < WORD_N; i++)
		grpc->reasons[i] = REASON_GRPC_STATUS;
	for (size_t i = 0; i < array_size(default_reasons); i++)
		grpc->reasons[default_reasons[i].word] = default_reasons[i].reason;
	for (size_t i = 0; i < grpc->reason_words.n; i++) {
		const struct conf_pair *pair = &grpc->reason_words.items[i];

		r = conf_worse(r, set_reason(grpc, scope, pair->name, secret_expose(pair->value)));
	}
	return r;
}

/* The message that the method wants. */
static int put_message(const struct grpc_params *grpc, struct conf_scope *scope, const char *model,
	struct sbuf *message)
{
	_cleanup_(sbuf_fini) struct sbuf service = SBUF_INIT;
	const char *wanted = grpc->model ? grpc->model : model;
	int r;

	if (grpc->call)
		return 0;
	if (grpc->method == METHOD_MODEL_READY) {
		if (!wanted && conf_is_partial(scope))
			return -EINVAL;
		if (!wanted)
			return conf_error(scope, conf_node(scope, "method"),
				"model_ready needs a model: set model or models");
		grpc_put_string(message, 1, wanted);
		if (grpc->model_version)
			grpc_put_string(message, 2, grpc->model_version);
		return 0;
	}
	if (grpc->method != METHOD_HEALTH || !grpc->service)
		return 0;
	r = client_check_names(&grpc->client, scope, "service", grpc->service, model, NULL, 0);
	if (r < 0)
		return r;
	client_expand(&grpc->client, grpc->service, model, NULL, 0, TEMPLATE_PLAIN, &service);
	if (service.failed)
		return -ENOMEM;
	grpc_put_string(message, 1, sbuf_str(&service));
	return 0;
}

static int fill_body(struct grpc_params *grpc, struct conf_scope *scope, const char *model)
{
	_cleanup_(sbuf_fini) struct sbuf message = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf frame = SBUF_INIT;
	char *body;
	int r = put_message(grpc, scope, model, &message);

	if (r < 0)
		return r;
	grpc_put_frame(&frame, sbuf_str(&message), message.len);
	if (message.failed || frame.failed)
		return -ENOMEM;
	body = arena_alloc(conf_arena(scope), frame.len);
	if (!body)
		return -ENOMEM;
	memcpy(body, frame.data, frame.len);
	grpc->body = body;
	grpc->body_len = frame.len;
	return 0;
}

/* Those of the client, and after them those that make a request a call. The server gives a call up
 * when we do. */
static int fill_headers(
	struct grpc_params *grpc, struct conf_scope *scope, const struct check_spec *spec)
{
	static char content_type[] = "application/grpc", trailers[] = "trailers";
	const struct client *client = &grpc->client;
	_cleanup_(sbuf_fini) struct sbuf timeout = SBUF_INIT;
	char *timeout_text;

	grpc_put_timeout(&timeout, spec->timeout.total);
	timeout_text = timeout.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&timeout));
	const struct http_header own[] = {
		{ "Content-Type", secret_from(content_type) },
		{ "TE", secret_from(trailers) },
		{ "grpc-timeout", secret_from(timeout_text) },
	};

	grpc->sent = arena_calloc(
		conf_arena(scope), client->n_sent + array_size(own), sizeof *grpc->sent);
	if (!grpc->sent || !timeout_text)
		return -ENOMEM;
	memcpy(grpc->sent, client->sent, client->n_sent * sizeof *grpc->sent);
	memcpy(grpc->sent + client->n_sent, own, sizeof own);
	grpc->n_sent = client->n_sent + array_size(own);
	return 0;
}

static int check_headers(const struct grpc_params *grpc, struct conf_scope *scope)
{
	static const char *const ours[] = { "content-type", "te", "grpc-timeout" };
	const struct conf_map *headers = &grpc->client.headers;

	if (grpc->client.http_version == HTTP_1_1)
		return conf_error(scope, conf_node(scope, "http_version"), "gRPC needs HTTP/2");
	for (size_t i = 0; i < headers->n; i++) {
		for (size_t k = 0; k < array_size(ours); k++) {
			if (strcasecmp(headers->items[i].name, ours[k]) == 0)
				return conf_error(scope, conf_node(scope, "headers"),
					"a gRPC call sets %s itself", ours[k]);
		}
	}
	return 0;
}

static int grpc_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	static const unsigned schemes =
		1u << URL_GRPC | 1u << URL_GRPCS | 1u << URL_HTTP | 1u << URL_HTTPS;
	struct grpc_params *grpc = params;
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	int r = fill_reasons(grpc, scope);

	r = conf_worse(r, check_headers(grpc, scope));
	r = conf_worse(r, client_compile(&grpc->client, schemes, scope, endpoint));
	r = conf_worse(r, fill_body(grpc, scope, model));
	r = conf_worse(r, fill_headers(grpc, scope, spec));
	return !grpc->client.target.url
		       ? r
		       : conf_worse(r, client_url_instead(&grpc->client, scope, "call",
					       grpc->call ? grpc->call : method_paths[grpc->method],
					       model, &grpc->url));
}

static void grpc_dispose(const void *params)
{
	const struct grpc_params *grpc = params;

	url_free(grpc->url);
	client_dispose(&grpc->client);
}

/* ---- the answer ---- */

static const struct grpc_params *params_of(const struct exchange *state)
{
	return state->probe->spec->params;
}

/* Reads on only as long as this can become one whole message. */
static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct exchange *state = arg;
	const char *message;
	size_t message_len;
	enum grpc_framing framing;

	sbuf_add(&state->answer, data, len);
	framing = grpc_read_frame(
		sbuf_str(&state->answer), state->answer.len, &message, &message_len);
	return framing == GRPC_WHOLE || framing == GRPC_CUT || framing == GRPC_EMPTY ? HTTP_MORE
										     : HTTP_ENOUGH;
}

/* A call that failed, or a stream that was reset in a way that stands for the same. */
static void judge_status(
	const struct grpc_params *grpc, unsigned status, const char *message, struct result *result)
{
	_cleanup_(sbuf_fini) struct sbuf words = SBUF_INIT;
	const char *token = grpc_status_token(status);

	if (message)
		grpc_decode_message(message, &words);
	result_set(result, token ? grpc->reasons[status] : REASON_GRPC_STATUS, "%s (%u)%s%s",
		token ? token : "status", status, words.len > 0 ? ": " : "", sbuf_str(&words));
}

/* What the codes of HTTP/2 stand for (grpc PROTOCOL-HTTP2, Errors); internal else. */
static unsigned status_of_reset(uint32_t error)
{
	static const struct {
		uint32_t error;
		unsigned status;
	} rows[] = {
		{ HTTP2_REFUSED_STREAM, GRPC_UNAVAILABLE },
		{ HTTP2_CANCEL, GRPC_CANCELLED },
		{ HTTP2_ENHANCE_YOUR_CALM, GRPC_RESOURCE_EXHAUSTED },
		{ HTTP2_INADEQUATE_SECURITY, GRPC_PERMISSION_DENIED },
	};

	for (size_t i = 0; i < array_size(rows); i++) {
		if (rows[i].error == error)
			return rows[i].status;
	}
	return GRPC_INTERNAL;
}

static void judge_goaway(const struct grpc_params *grpc, struct result *result)
{
	result_set(
		result, grpc->reasons[WORD_GOAWAY], "the server sends its clients away (GOAWAY)");
}

/* No answer: the transfer's own reason holds unless the server took the call back. */
static void judge_failure(
	const struct grpc_params *grpc, const struct http_outcome *outcome, struct result *result)
{
	bool is_goaway = outcome->cut == HTTP_CUT_GOAWAY;
	unsigned status = status_of_reset(outcome->cut_error);
	char text[64];

	if (outcome->cut == HTTP_CUT_NONE)
		return;
	if (is_goaway && outcome->cut_error == HTTP2_NO_ERROR) {
		judge_goaway(grpc, result);
		return;
	}
	(void)snprintf(text, sizeof text, "%s, HTTP/2 error %u",
		is_goaway ? "GOAWAY" : "stream reset", outcome->cut_error);
	if (is_goaway && status == GRPC_INTERNAL)
		status = GRPC_UNAVAILABLE;
	judge_status(grpc, status, text, result);
}

/* An answer of something in front of the server, or of no gRPC server at all. */
static void judge_http(struct http_transfer *transfer, struct result *result)
{
	const char *type = http_answer_header(transfer, "content-type", 0);
	uint32_t status = result->http_status;
	enum reason reason = REASON_HTTP_STATUS;

	if (status == 200) {
		result_set(result, REASON_PROTOCOL_ERROR, "no grpc-status in the answer (%s)",
			type ? type : "no content-type");
		return;
	}
	if (status == 401 || status == 403 || status == 407)
		reason = REASON_AUTH_FAILED;
	else if (status == 404)
		reason = REASON_FEATURE_OFF;
	else if (status == 429)
		reason = REASON_RATE_LIMITED;
	else if (status >= 500)
		reason = REASON_SERVER_ERROR;
	result_set(result, reason, "HTTP status %u and no grpc-status", status);
}

static void judge_state(const struct grpc_params *grpc, uint64_t value, struct result *result)
{
	static const unsigned words[] = { WORD_HEALTH_UNKNOWN, WORD_SERVING, WORD_NOT_SERVING,
		WORD_SERVICE_UNKNOWN };
	unsigned word;

	if (grpc->method == METHOD_HEALTH)
		word = value < array_size(words) ? words[value] : WORD_NOT_SERVING;
	else
		word = value != 0 ? WORD_SERVING : WORD_NOT_SERVING;
	if (word == WORD_SERVING)
		result_set(result, grpc->reasons[word], NULL);
	else if (grpc->method != METHOD_HEALTH)
		result_set(result, grpc->reasons[word], "%s: false", method_choices[grpc->method]);
	else if (value < array_size(words))
		result_set(result, grpc->reasons[word], "%s", word_token(word));
	else
		result_set(result, grpc->reasons[word], "health state %llu, which nobody knows",
			(unsigned long long)value);
}

/* The call went well; what did it say? */
static void judge_message(const struct exchange *state, struct result *result)
{
	const struct grpc_params *grpc = params_of(state);
	const char *message;
	size_t len;
	uint64_t value;
	enum grpc_framing framing =
		grpc_read_frame(sbuf_str(&state->answer), state->answer.len, &message, &len);

	if (framing != GRPC_WHOLE)
		result_set(result, REASON_PROTOCOL_ERROR, "%s", grpc_framing_text(framing));
	else if (grpc->call)
		result_set(result, grpc->reasons[GRPC_OK], NULL);
	else if (!grpc_read_varint(message, len, 1, &value))
		result_set(result, REASON_PROTOCOL_ERROR, "not the message that %s answers with",
			method_choices[grpc->method]);
	else
		judge_state(grpc, value, result);
}

/* The status comes after the message, or in the headers of an answer without one. */
static void judge(const struct exchange *state, struct http_transfer *transfer,
	const struct http_outcome *outcome, struct result *result)
{
	const struct grpc_params *grpc = params_of(state);
	const char *text = http_answer_trailer(transfer, "grpc-status", 0);
	const char *words = http_answer_trailer(transfer, "grpc-message", 0);
	const char *message;
	size_t len;
	unsigned status;
	enum grpc_framing framing =
		grpc_read_frame(sbuf_str(&state->answer), state->answer.len, &message, &len);

	if (!text) {
		text = http_answer_header(transfer, "grpc-status", 0);
		words = http_answer_header(transfer, "grpc-message", 0);
	}
	if (!text && outcome->is_going_away)
		judge_goaway(grpc, result);
	else if (!text && result->http_status == 200 && framing != GRPC_WHOLE &&
		 framing != GRPC_EMPTY)
		result_set(result, REASON_PROTOCOL_ERROR, "%s", grpc_framing_text(framing));
	else if (!text)
		judge_http(transfer, result);
	else if (!grpc_read_status(text, &status))
		result_set(result, REASON_PROTOCOL_ERROR, "grpc-status \"%s\" is no number", text);
	else if (status != GRPC_OK)
		judge_status(grpc, status, words, result);
	else
		judge_message(state, result);
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct exchange *state = arg;
	struct result *result = &state->probe->result;

	state->transfer = NULL;
	*result = outcome->result;
	if (result->reason != REASON_OK)
		judge_failure(params_of(state), outcome, result);
	else if (state->answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else
		judge(state, transfer, outcome, result);
	client_mask(&params_of(state)->client, result);
	exchange_forget(state);
	state->probe->done(state->probe);
}

/* ---- start and end ---- */

static void grpc_start(struct probe *probe)
{
	const struct grpc_params *grpc = probe->spec->params;
	struct exchange *state = exchange_open(probe, sizeof *state);
	struct http_handlers handlers = { .on_data = on_data, .on_done = on_done, .arg = state };
	struct http_request request = {
		.method = "POST",
		.body = grpc->body,
		.body_len = grpc->body_len,
		.is_full_handshake_wanted =
			probe->spec->interval >= TLS_RESUME_MAX_SECONDS * USEC_PER_SEC,
		.max_body_bytes = GRPC_PREFIX_BYTES + GRPC_MAX_MESSAGE + 1,
	};

	if (state) {
		client_request(&grpc->client, probe, grpc->url, &request);
		request.headers = grpc->sent;
		request.n_headers = grpc->n_sent;
		request.version = grpc->url->is_tls ? HTTP_2 : HTTP_2_DIRECT;
		if (http_start(probe->io->httpc, state->lane, &request, &handlers,
			    &state->transfer) == 0)
			return;
	}
	exchange_starve(probe);
}

const struct check_kind check_grpc = {
	.name = "grpc",
	.keys = grpc_keys,
	.params_size = sizeof(struct grpc_params),
	.compile = grpc_compile,
	.dispose = grpc_dispose,
	.start = grpc_start,
	.cancel = exchange_cancel,
	.fini = exchange_fini,
};

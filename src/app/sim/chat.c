/* SPDX-License-Identifier: MIT */
/*
 * The chat of a simulated model server: admission to a slot, then tokens at the pace of the
 * script, as one JSON object or as server-sent events. Called by answer.c for each chat request,
 * by connection.c when the next token is due, and by embed.c for what embeddings share.
 */
#include "modelhealth/app/sim/chat.h"

#include "modelhealth/app/sim/answer.h"
#include "modelhealth/app/sim/connection.h"
#include "modelhealth/base/clock.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/text/json.h"
#include "modelhealth/text/write.h"

#include <stdio.h>
#include <string.h>

enum {
	BYTES_PER_TOKEN = 4 /* the usual rule of thumb for prompts */
};

static const usec_t slow_gap = 500 * USEC_PER_MSEC;
static const usec_t ping_gap = 200 * USEC_PER_MSEC;

static const char *const stream_head = "HTTP/1.1 200 OK\r\n"
				       "Content-Type: text/event-stream; charset=utf-8\r\n"
				       "Transfer-Encoding: chunked\r\n";

static const char *const stream_error =
	"{\"error\":{\"message\":\"EngineCore encountered an issue\","
	"\"type\":\"InternalServerError\",\"code\":500}}";

/* ---- the words ---- */

/* What a chat answers at the moment. */
static const char *text_of(const struct exchange *exchange)
{
	if (exchange_has_fault(exchange, FAULT_DEGENERATE))
		return "!";
	if (exchange_has_fault(exchange, FAULT_WRONG_TEXT))
		return "Colourless green ideas sleep furiously.";
	return exchange->server->script->text;
}

static usec_t gap_of(const struct exchange *exchange)
{
	usec_t gap = exchange->server->script->gap;

	return exchange_has_fault(exchange, FAULT_SLOW_TOKENS) ? max_of(gap, slow_gap) : gap;
}

/* The index-th word of the text with a blank before it unless it is the first; the text repeats. */
static void put_token(struct sbuf *out, const char *text, uint64_t index)
{
	const char *word = text;

	for (uint64_t i = 0; i < index; i++) {
		word += strcspn(word, " ");
		word += strspn(word, " ");
		if (*word == '\0')
			word = text;
	}
	if (index > 0)
		sbuf_putc(out, ' ');
	sbuf_add(out, word, strcspn(word, " "));
}

/* ---- JSON shared by both forms ---- */

static void put_opening(struct jw *jw, struct exchange *exchange, const char *object)
{
	char id[40];

	(void)snprintf(id, sizeof id, "chatcmpl-sim-%lu", exchange->server->requests_total);
	jw_object(jw);
	jw_key(jw, "id");
	jw_string(jw, id);
	jw_key(jw, "object");
	jw_string(jw, object);
	jw_key(jw, "created");
	jw_u64(jw, loop_timers(exchange->server->sim->loop)->real / USEC_PER_SEC);
	jw_key(jw, "model");
	jw_string(jw, server_model(exchange->server));
}

void chat_put_usage(struct jw *jw, const struct chat *chat)
{
	jw_key(jw, "usage");
	jw_object(jw);
	jw_key(jw, "prompt_tokens");
	jw_u64(jw, chat->prompt_tokens);
	jw_key(jw, "completion_tokens");
	jw_u64(jw, chat->tokens);
	jw_key(jw, "total_tokens");
	jw_u64(jw, chat->prompt_tokens + chat->tokens);
	jw_object_end(jw);
}

/* ---- one JSON object ---- */

static const char *finish_reason(const struct exchange *exchange)
{
	return exchange_has_fault(exchange, FAULT_NO_FINISH) ? NULL : exchange->chat.finish_reason;
}

static void put_choice(struct jw *jw, struct exchange *exchange)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	for (uint64_t i = 0; i < exchange->chat.tokens; i++)
		put_token(&text, text_of(exchange), i);
	jw_object(jw);
	jw_key(jw, "index");
	jw_u64(jw, 0);
	jw_key(jw, "message");
	jw_object(jw);
	jw_key(jw, "role");
	jw_string(jw, "assistant");
	jw_key(jw, "content");
	jw_string(jw, sbuf_str(&text));
	jw_object_end(jw);
	jw_key(jw, "finish_reason");
	jw_string(jw, finish_reason(exchange));
	jw_object_end(jw);
}

static void put_completion(struct exchange *exchange, struct sbuf *body)
{
	struct jw jw = { .out = body };

	put_opening(&jw, exchange, "chat.completion");
	jw_key(&jw, "choices");
	jw_array(&jw);
	if (!exchange_has_fault(exchange, FAULT_DONE_ONLY))
		put_choice(&jw, exchange);
	jw_array_end(&jw);
	chat_put_usage(&jw, &exchange->chat);
	jw_object_end(&jw);
}

/* Not by the time of the turn, which may be long: what we tell is what others are measured by. */
static void count_token(struct exchange *exchange)
{
	struct chat_stats *stats = &exchange->server->chats;
	struct chat *chat = &exchange->chat;
	usec_t now = clock_monotonic();

	if (chat->sent == 0) {
		stats->prompt_tokens_total += chat->prompt_tokens; /* its prefill has ended */
		chat->first_at = now;
		histogram_add(&stats->first_token, now - chat->asked_at);
	} else {
		chat->gap_max = max_of(chat->gap_max, now - chat->last_at);
	}
	chat->last_at = now;
	chat->sent++;
	stats->generation_tokens_total++;
}

/* One line for whoever compares his own times with ours. */
static void tell_chat(FILE *file, const struct chat *chat)
{
	_cleanup_(sbuf_fini) struct sbuf line = SBUF_INIT;
	struct jw jw = { .out = &line };

	jw_object(&jw);
	jw_key(&jw, "host");
	jw_string(&jw, chat->host);
	jw_key(&jw, "asked_at");
	jw_seconds(&jw, clock_kernel(chat->asked_at));
	jw_key(&jw, "first_at");
	jw_seconds(&jw, clock_kernel(chat->first_at));
	jw_key(&jw, "last_at");
	jw_seconds(&jw, clock_kernel(chat->last_at));
	jw_key(&jw, "gap_max");
	jw_seconds(&jw, chat->gap_max);
	jw_key(&jw, "tokens");
	jw_u64(&jw, chat->sent);
	jw_object_end(&jw);
	fprintf(file, "%s\n", sbuf_str(&line));
}

void chat_finish(struct exchange *exchange)
{
	struct chat_stats *stats = &exchange->server->chats;
	FILE *file = exchange->server->sim->chats;

	if (file && exchange->chat.sent > 0)
		tell_chat(file, &exchange->chat);
	if (strcmp(exchange->chat.finish_reason, "stop") == 0)
		stats->stop_total++;
	else
		stats->length_total++;
}

/* Whether the engine stands, so that nothing comes any more and the chat keeps its slot. */
bool chat_has_stalled(struct exchange *exchange)
{
	if (!exchange_has_fault(exchange, FAULT_STALL))
		return false;
	exchange->end = END_HOLD;
	return true;
}

/* Generates in silence and answers with the last token. */
static usec_t next_silent(struct exchange *exchange)
{
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;

	if (chat_has_stalled(exchange))
		return USEC_NEVER;
	count_token(exchange);
	if (exchange->chat.sent < exchange->chat.tokens)
		return gap_of(exchange);
	put_completion(exchange, &body);
	answer_json(exchange, 200, sbuf_str(&body));
	chat_finish(exchange);
	return USEC_NEVER;
}

/* ---- server-sent events ---- */

/* One event, which is one HTTP chunk. */
static void put_event(struct sbuf *out, const char *data)
{
	static const char *const frame = "data: %s\n\n";
	size_t len = strlen(frame) - strlen("%s") + strlen(data);

	sbuf_printf(out, "%zx\r\ndata: %s\n\n\r\n", len, data);
}

static void put_last_chunk(struct sbuf *out)
{
	sbuf_puts(out, "0\r\n\r\n");
}

/* The part of the answer that one event carries; role with the first, reason with the last. */
static void put_delta(
	struct exchange *exchange, const char *role, const char *text, const char *finish_reason)
{
	_cleanup_(sbuf_fini) struct sbuf data = SBUF_INIT;
	struct jw jw = { .out = &data };

	put_opening(&jw, exchange, "chat.completion.chunk");
	jw_key(&jw, "choices");
	jw_array(&jw);
	jw_object(&jw);
	jw_key(&jw, "index");
	jw_u64(&jw, 0);
	jw_key(&jw, "delta");
	jw_object(&jw);
	if (role) {
		jw_key(&jw, "role");
		jw_string(&jw, role);
	}
	jw_key(&jw, "content");
	jw_string(&jw, text);
	jw_object_end(&jw);
	jw_key(&jw, "finish_reason");
	jw_string(&jw, finish_reason);
	jw_object_end(&jw);
	jw_array_end(&jw);
	jw_object_end(&jw);
	put_event(&exchange->out, sbuf_str(&data));
}

static void put_usage_event(struct exchange *exchange)
{
	_cleanup_(sbuf_fini) struct sbuf data = SBUF_INIT;
	struct jw jw = { .out = &data };

	put_opening(&jw, exchange, "chat.completion.chunk");
	jw_key(&jw, "choices");
	jw_array(&jw);
	jw_array_end(&jw);
	chat_put_usage(&jw, &exchange->chat);
	jw_object_end(&jw);
	put_event(&exchange->out, sbuf_str(&data));
}

/* What the faults do to a stream that is half way through; false without such a fault. */
static bool fail_half_way(struct exchange *exchange)
{
	if (exchange->chat.sent < exchange->chat.tokens / 2)
		return false;
	if (exchange_has_fault(exchange, FAULT_FREEZE)) {
		exchange->end = END_HOLD;
		return true;
	}
	if (exchange_has_fault(exchange, FAULT_TRUNCATE)) {
		exchange->end = END_CLOSE;
		return true;
	}
	if (exchange_has_fault(exchange, FAULT_STREAM_ERROR)) {
		put_event(&exchange->out, stream_error);
		put_event(&exchange->out, "[DONE]");
		put_last_chunk(&exchange->out);
		return true;
	}
	return false;
}

/* The end of a stream, whole or not. */
static usec_t end_events(struct exchange *exchange)
{
	if (exchange->chat.wants_usage && !exchange_has_fault(exchange, FAULT_DONE_ONLY))
		put_usage_event(exchange);
	put_event(&exchange->out, "[DONE]");
	put_last_chunk(&exchange->out);
	chat_finish(exchange);
	return USEC_NEVER;
}

static void put_ping(struct sbuf *out)
{
	sbuf_puts(out, "3\r\n:\n\n\r\n");
}

static void put_next_token(struct exchange *exchange, bool is_last)
{
	_cleanup_(sbuf_fini) struct sbuf token = SBUF_INIT;

	put_token(&token, text_of(exchange), exchange->chat.sent);
	count_token(exchange);
	put_delta(exchange, NULL, sbuf_str(&token), is_last ? finish_reason(exchange) : NULL);
}

static usec_t next_event(struct exchange *exchange)
{
	struct chat *chat = &exchange->chat;
	bool is_last = chat->sent + 1 == chat->tokens;

	if (chat_has_stalled(exchange) || fail_half_way(exchange))
		return USEC_NEVER;
	if (exchange_has_fault(exchange, FAULT_DONE_ONLY))
		return end_events(exchange);
	if (!chat->is_open)
		put_delta(exchange, "assistant", "", NULL);
	chat->is_open = true;
	if (exchange_has_fault(exchange, FAULT_PING)) {
		put_ping(&exchange->out);
		return ping_gap;
	}
	put_next_token(exchange, is_last);
	if (!is_last)
		return gap_of(exchange);
	if (!exchange_has_fault(exchange, FAULT_NO_FINISH))
		return end_events(exchange);
	put_last_chunk(&exchange->out);
	return USEC_NEVER;
}

/* ---- admission ---- */

static void run(struct exchange *exchange)
{
	const struct script *script = exchange->server->script;
	struct chat_stats *stats = &exchange->server->chats;

	exchange->chat.phase = CHAT_RUNNING;
	exchange->wait = script->ttft + script->prefill * exchange->chat.prompt_tokens;
	stats->n_running++;
}

void chat_admit(struct exchange *exchange)
{
	struct chat_stats *stats = &exchange->server->chats;
	uint64_t slots = exchange->server->script->slots;
	struct slice host = exchange->request.host;

	exchange->chat.asked_at = clock_monotonic();
	exchange->chat.prompt_tokens = 1 + exchange->request.body.len / BYTES_PER_TOKEN;
	(void)snprintf(exchange->chat.host, sizeof exchange->chat.host, "%.*s", (int)host.len,
		host.len > 0 ? host.data : "");

	stats->asked_total++;
	if (slots == 0 || stats->n_running < slots) {
		run(exchange);
		return;
	}
	exchange->chat.phase = CHAT_WAITING;
	exchange->wait = USEC_NEVER;
	stats->n_waiting++;
	stats->most_waiting = max_of(stats->most_waiting, stats->n_waiting);
	TAILQ_INSERT_TAIL(&stats->waiting, &exchange->chat, link);
}

void chat_end(struct exchange *exchange)
{
	struct chat_stats *stats = &exchange->server->chats;
	struct chat *chat = &exchange->chat;
	struct chat *first = TAILQ_FIRST(&stats->waiting);

	if (chat->phase == CHAT_WAITING) {
		TAILQ_REMOVE(&stats->waiting, chat, link);
		stats->n_waiting--;
	} else if (chat->phase == CHAT_RUNNING) {
		stats->n_running--;
		if (first) {
			struct exchange *next = container_of(first, struct exchange, chat);

			TAILQ_REMOVE(&stats->waiting, first, link);
			stats->n_waiting--;
			run(next);
			exchange_go(next);
		}
	}
	chat->phase = CHAT_NONE;
	sbuf_fini(&chat->later);
}

/* ---- the request ---- */

static bool is_true(const struct json *document, const char *pointer)
{
	const struct json *value = json_at(document, pointer);
	bool result = false;

	return value && json_boolean(value, &result) && result;
}

/* The smaller of the script's length and what the request allows; 0 tokens still gives one. */
static void set_length(struct chat *chat, const struct script *script, const struct json *document)
{
	const struct json *limit = json_at(document, "/max_completion_tokens");
	double number;

	if (!limit)
		limit = json_at(document, "/max_tokens");
	chat->tokens = script->tokens;
	chat->finish_reason = "stop";
	if (!limit || !json_number(limit, &number) || number >= (double)script->tokens)
		return;
	chat->tokens = number < 1 ? 1 : (uint64_t)number;
	chat->finish_reason = "length";
}

static bool is_model(const struct json *model, const char *expected)
{
	size_t len;
	const char *text = model ? json_string(model, &len) : NULL;

	return text && slice_is((struct slice){ text, len }, expected);
}

static void begin(struct exchange *exchange, const struct json *document)
{
	struct chat *chat = &exchange->chat;

	chat->is_stream = is_true(document, "/stream");
	chat->wants_usage = is_true(document, "/stream_options/include_usage");
	set_length(chat, exchange->server->script, document);
	exchange->next = chat->is_stream ? next_event : next_silent;
	if (chat->is_stream) {
		sbuf_puts(&exchange->out, stream_head);
		if (!exchange->request.keep_alive)
			sbuf_puts(&exchange->out, "Connection: close\r\n");
		sbuf_puts(&exchange->out, "\r\n");
	}
	chat_admit(exchange);
}

struct json *chat_read(struct exchange *exchange)
{
	struct slice body = exchange->request.body;
	_cleanup_(json_freep) struct json *document = NULL;

	if (json_parse(body.data, body.len, &document) < 0)
		answer_json(exchange, 400,
			"{\"error\":{\"message\":\"the body is not JSON\","
			"\"type\":\"BadRequestError\",\"code\":400}}");
	else if (!is_model(json_at(document, "/model"), server_model(exchange->server)))
		answer_json(exchange, 404,
			"{\"error\":{\"message\":\"The model does not exist.\","
			"\"type\":\"NotFoundError\",\"param\":\"model\",\"code\":404}}");
	else
		return take_ptr(document);
	return NULL;
}

void chat_answer(struct exchange *exchange)
{
	_cleanup_(json_freep) struct json *document = chat_read(exchange);

	if (document)
		begin(exchange, document);
}

/* SPDX-License-Identifier: MIT */
/*
 * What a simulated server answers apart from chat: the plain answer of its script, the list of
 * models and the counters, in the words of vLLM. Called by connection.c for each request.
 */
#include "modelhealth/app/sim/answer.h"

#include "modelhealth/app/sim/chat.h"
#include "modelhealth/app/sim/control.h"
#include "modelhealth/app/sim/embed.h"
#include "modelhealth/text/write.h"

#include <string.h>

/* When we say our models were made: any fixed time will do. */
static const uint64_t model_created = 1763700000;

/* Without a limit of slots, as many chats as vLLM runs at once by default count as full. */
static const uint64_t default_slots = 256;

static const char *reason_phrase(uint64_t status)
{
	static const struct {
		uint64_t status;
		const char *phrase;
	} rows[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 404, "Not Found" },
		{ 413, "Content Too Large" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < array_size(rows); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Simulated";
}

void answer_write(struct exchange *exchange, uint64_t status, const char *headers,
	const char *content_type, struct slice body)
{
	struct sbuf *out = &exchange->out;

	sbuf_puts(out, "HTTP/1.1 ");
	sbuf_put_u64(out, status);
	sbuf_putc(out, ' ');
	sbuf_puts(out, reason_phrase(status));
	sbuf_puts(out, "\r\nContent-Type: ");
	sbuf_puts(out, content_type);
	sbuf_puts(out, "\r\nContent-Length: ");
	sbuf_put_u64(out, body.len);
	sbuf_puts(out, "\r\n");
	if (!exchange->request.keep_alive)
		sbuf_puts(out, "Connection: close\r\n");
	if (headers)
		sbuf_puts(out, headers);
	sbuf_puts(out, "\r\n");
	exchange->body_at = out->len;
	if (!exchange->request.is_head)
		sbuf_add(out, body.data, body.len);
}

void answer_json(struct exchange *exchange, uint64_t status, const char *body)
{
	answer_write(
		exchange, status, NULL, "application/json", (struct slice){ body, strlen(body) });
}

static void answer_plain(struct exchange *exchange)
{
	const struct script *script = exchange->server->script;

	answer_write(exchange, script->status, sbuf_str(&script->headers), "application/json",
		(struct slice){ script->body, strlen(script->body) });
}

static void answer_models(struct exchange *exchange)
{
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	struct jw jw = { .out = &body };

	jw_object(&jw);
	jw_key(&jw, "object");
	jw_string(&jw, "list");
	jw_key(&jw, "data");
	jw_array(&jw);
	jw_object(&jw);
	jw_key(&jw, "id");
	jw_string(&jw, server_model(exchange->server));
	jw_key(&jw, "object");
	jw_string(&jw, "model");
	jw_key(&jw, "created");
	jw_u64(&jw, model_created);
	jw_key(&jw, "owned_by");
	jw_string(&jw, "modelhealth-sim");
	jw_key(&jw, "max_model_len");
	jw_u64(&jw, 8192);
	jw_object_end(&jw);
	jw_array_end(&jw);
	jw_object_end(&jw);
	answer_json(exchange, 200, sbuf_str(&body));
}

/* ---- /metrics ---- */

static void put_sample(struct sbuf *out, const char *name, const char *model, const char *label,
	const char *label_value)
{
	sbuf_puts(out, name);
	sbuf_putc(out, '{');
	prom_label(out, "model_name", model);
	if (label) {
		sbuf_putc(out, ',');
		prom_label(out, label, label_value);
	}
	sbuf_puts(out, "} ");
}

static void put_u64(struct sbuf *out, const char *name, const char *type, const char *help,
	const char *model, uint64_t value)
{
	prom_family(out, name, type, help);
	put_sample(out, name, model, NULL, NULL);
	sbuf_put_u64(out, value);
	sbuf_putc(out, '\n');
}

static void put_finished(struct sbuf *out, const char *model, const struct chat_stats *chats)
{
	static const char *const name = "vllm:request_success_total";

	prom_family(out, name, "counter", "Count of successfully processed requests.");
	put_sample(out, name, model, "finished_reason", "stop");
	sbuf_printf(out, "%lu\n", chats->stop_total);
	put_sample(out, name, model, "finished_reason", "length");
	sbuf_printf(out, "%lu\n", chats->length_total);
}

static void put_first_token(struct sbuf *out, const char *model, const struct histogram *histogram)
{
	static const char *const name = "vllm:time_to_first_token_seconds";
	uint64_t count = 0;

	prom_family(out, name, "histogram", "Histogram of time to first token in seconds.");
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		count += histogram->bucket[i];
		put_sample(out, "vllm:time_to_first_token_seconds_bucket", model, "le",
			histogram_edge(i));
		sbuf_put_u64(out, count);
		sbuf_putc(out, '\n');
	}
	put_sample(out, "vllm:time_to_first_token_seconds_sum", model, NULL, NULL);
	sbuf_put_seconds(out, histogram->sum_usec);
	sbuf_putc(out, '\n');
	put_sample(out, "vllm:time_to_first_token_seconds_count", model, NULL, NULL);
	sbuf_put_u64(out, count);
	sbuf_putc(out, '\n');
}

static void answer_metrics(struct exchange *exchange)
{
	const struct server *server = exchange->server;
	const struct chat_stats *chats = &server->chats;
	const char *model = server_model(server);
	uint64_t slots = server->script->slots > 0 ? server->script->slots : default_slots;
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;

	put_u64(&body, "vllm:num_requests_running", "gauge", "Number of requests running.", model,
		chats->n_running);
	put_u64(&body, "vllm:num_requests_waiting", "gauge", "Number of requests waiting.", model,
		chats->n_waiting);
	prom_family(&body, "vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means full.");
	put_sample(&body, "vllm:kv_cache_usage_perc", model, NULL, NULL);
	sbuf_printf(&body, "%.3f\n", (double)min_of(chats->n_running, slots) / (double)slots);
	put_u64(&body, "vllm:prompt_tokens_total", "counter", "Number of prefill tokens processed.",
		model, chats->prompt_tokens_total);
	put_u64(&body, "vllm:generation_tokens_total", "counter",
		"Number of generation tokens processed.", model, chats->generation_tokens_total);
	put_finished(&body, model, chats);
	put_first_token(&body, model, &chats->first_token);
	answer_write(exchange, 200, NULL, "text/plain; version=0.0.4; charset=utf-8",
		(struct slice){ sbuf_str(&body), body.len });
}

/* ---- paths ---- */

struct route {
	const char *method, *path;
	void (*answer)(struct exchange *exchange);
};

static const struct route model_routes[] = {
	{ "GET", "/metrics", answer_metrics },
	{ "GET", "/v1/models", answer_models },
	{ "POST", "/v1/chat/completions", chat_answer },
	{ "POST", "/v1/embeddings", embed_answer },
};

static const struct route control_routes[] = {
	{ "GET", "/_sim", control_show },
	{ "POST", "/_sim/fault", control_fault },
};

static bool try_routes(struct exchange *exchange, const struct route *routes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!slice_is(exchange->request.path, routes[i].path) ||
			!slice_is(exchange->request.method, routes[i].method))
			continue;
		routes[i].answer(exchange);
		return true;
	}
	return false;
}

void answer_request(struct exchange *exchange)
{
	if (exchange->server->is_control) {
		if (!try_routes(exchange, control_routes, array_size(control_routes)))
			answer_json(exchange, 404,
				"{\"error\":\"try GET /_sim or POST /_sim/fault\"}\n");
		return;
	}
	if (!try_routes(exchange, model_routes, array_size(model_routes)))
		answer_plain(exchange);
}

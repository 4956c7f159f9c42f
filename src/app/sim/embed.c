/* SPDX-License-Identifier: MIT */
/*
 * The embeddings of a simulated server. Each word of a text is a direction, and a text is the sum of
 * its words, so that one word more turns the result only a little, as with a real model. Called by
 * answer.c for each request and by connection.c when the answer is due.
 */
#include "modelhealth/app/sim/embed.h"

#include "modelhealth/app/sim/answer.h"
#include "modelhealth/text/json.h"
#include "modelhealth/text/write.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_INPUTS = 16
};

/* Another seed is another model. */
static const uint64_t right_seed = 1, wrong_seed = 2;

static void add_word(double *vector, size_t dimension, const char *word, size_t len, uint64_t seed)
{
	struct rand rand;

	rand_seed(&rand, hash_bytes(word, len, seed));
	for (size_t i = 0; i < dimension; i++)
		vector[i] += (double)rand_below(&rand, 2001) / 1000 - 1; /* -1 to 1 */
}

static void add_text(double *vector, size_t dimension, const char *text, size_t len, uint64_t seed)
{
	size_t at = 0;

	while (at < len) {
		size_t begin = at;

		while (at < len && text[at] != ' ')
			at++;
		if (at > begin)
			add_word(vector, dimension, text + begin, at - begin, seed);
		at++;
	}
}

static void put_vector(struct jw *jw, const double *vector, size_t dimension)
{
	double norm = 0;
	char number[32];

	for (size_t i = 0; i < dimension; i++)
		norm += vector[i] * vector[i];
	norm = norm > 0 ? sqrt(norm) : 1;
	jw_array(jw);
	for (size_t i = 0; i < dimension; i++) {
		(void)snprintf(number, sizeof number, "%.7g", vector[i] / norm); /* fits */
		jw_raw(jw, number);
	}
	jw_array_end(jw);
}

/* One element of data; the vector of no text is zero. */
static int put_embedding(
	struct jw *jw, const struct exchange *exchange, size_t index, const struct json *input)
{
	size_t dimension = exchange->server->script->dimension;
	bool is_wrong = exchange_has_fault(exchange, FAULT_WRONG_TEXT);
	size_t len = 0;
	const char *text = json_string(input, &len);
	double *vector = calloc(dimension, sizeof *vector);

	if (!vector)
		return -ENOMEM;
	if (text && !exchange_has_fault(exchange, FAULT_DEGENERATE))
		add_text(vector, dimension, text, len, is_wrong ? wrong_seed : right_seed);
	jw_object(jw);
	jw_key(jw, "object");
	jw_string(jw, "embedding");
	jw_key(jw, "index");
	jw_u64(jw, index);
	jw_key(jw, "embedding");
	put_vector(jw, vector, dimension);
	jw_object_end(jw);
	free(vector);
	return 0;
}

/* input is one text or a list of them. */
static int put_data(struct jw *jw, const struct exchange *exchange, const struct json *document)
{
	const struct json *input = json_at(document, "/input");
	int r = 0;

	jw_key(jw, "data");
	jw_array(jw);
	if (input && json_kind(input) == JSON_STRING)
		r = put_embedding(jw, exchange, 0, input);
	for (size_t i = 0; r == 0 && i < MAX_INPUTS; i++) {
		char pointer[32];

		(void)snprintf(pointer, sizeof pointer, "/input/%zu", i); /* fits */
		input = json_at(document, pointer);
		if (!input)
			break;
		r = put_embedding(jw, exchange, i, input);
	}
	jw_array_end(jw);
	return r;
}

static int put_body(struct exchange *exchange, const struct json *document)
{
	struct jw jw = { .out = &exchange->chat.later };
	int r;

	jw_object(&jw);
	jw_key(&jw, "object");
	jw_string(&jw, "list");
	r = put_data(&jw, exchange, document);
	jw_key(&jw, "model");
	jw_string(&jw, server_model(exchange->server));
	chat_put_usage(&jw, &exchange->chat);
	jw_object_end(&jw);
	return exchange->chat.later.failed ? -ENOMEM : r;
}

static usec_t next(struct exchange *exchange)
{
	if (!chat_has_stalled(exchange)) {
		exchange->server->chats.prompt_tokens_total += exchange->chat.prompt_tokens;
		answer_json(exchange, 200, sbuf_str(&exchange->chat.later));
		chat_finish(exchange);
	}
	return USEC_NEVER;
}

void embed_answer(struct exchange *exchange)
{
	_cleanup_(json_freep) struct json *document = chat_read(exchange);

	if (!document)
		return;
	exchange->chat.finish_reason = "stop";
	exchange->next = next;
	chat_admit(exchange);
	if (put_body(exchange, document) < 0)
		exchange->end = END_CLOSE;
}

/* SPDX-License-Identifier: MIT */
/*
 * OpenAI-style inference as the simulated servers speak it: chats as JSON or server-sent events
 * and embeddings, with the pace of the script, a limit of slots, and counters that really advance.
 */
#pragma once

#include "modelhealth/base/histogram.h"
#include "modelhealth/base/sbuf.h"

#include <sys/queue.h>

struct exchange;
struct json;
struct jw;
struct script;

enum {
	CHAT_HOST_SIZE = 64
};

TAILQ_HEAD(chat_queue, chat);

/* What a server counts about its chats; /metrics shows it. */
struct chat_stats {
	struct chat_queue waiting;
	uint64_t n_running, n_waiting;
	uint64_t most_waiting, asked_total;
	uint64_t prompt_tokens_total, generation_tokens_total;
	uint64_t stop_total, length_total; /* finished chats, by reason */
	struct histogram first_token;
};

/* One chat or embedding, from the request to the last token or the end of the connection. */
struct chat {
	enum {
		CHAT_NONE,
		CHAT_WAITING,
		CHAT_RUNNING
	} phase;

	bool is_stream, wants_usage;
	bool is_open; /* the role has been sent */
	uint64_t tokens, sent, prompt_tokens;
	const char *finish_reason;
	/* as asked, and as the clock was when the bytes were handed to the kernel */
	usec_t asked_at, first_at, last_at, gap_max;
	char host[CHAT_HOST_SIZE]; /* as the client calls us */
	struct sbuf later;         /* an answer that is ready before its time */
	TAILQ_ENTRY(chat) link;    /* in the queue, while waiting */
};

/* Answers POST /v1/chat/completions. */
void chat_answer(struct exchange *exchange);

/*
 * What chats share with embeddings. chat_read gives the JSON of the request, owned by the caller,
 * or answers that it is wrong and gives NULL. chat_admit counts it and gives it a slot or a place
 * in the queue; ->next is called at its turn and the time to the first token later.
 * chat_has_stalled: the engine stands, and ->next has nothing more to do. chat_finish counts
 * a whole answer.
 */
struct json *chat_read(struct exchange *exchange);
void chat_admit(struct exchange *exchange);
bool chat_has_stalled(struct exchange *exchange);
void chat_finish(struct exchange *exchange);
void chat_put_usage(struct jw *jw, const struct chat *chat);

/* Takes a chat that finished, or whose connection died, off the books; the next one waiting gets
 * the slot. Does nothing for an exchange that is no chat. */
void chat_end(struct exchange *exchange);

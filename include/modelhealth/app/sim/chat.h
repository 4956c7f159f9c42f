/* SPDX-License-Identifier: MIT */
/*
 * OpenAI-style chat as the simulated servers speak it: JSON or server-sent events, with the pace
 * of the script, a limit of slots, and counters that really advance.
 */
#pragma once

#include "modelhealth/base/histogram.h"
#include "modelhealth/base/sbuf.h"

#include <sys/queue.h>

struct exchange;
struct script;

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

/* One chat, from the request to the last token or the end of the connection. */
struct chat {
	enum {
		CHAT_NONE,
		CHAT_WAITING,
		CHAT_RUNNING
	} phase;

	bool is_stream, wants_usage;
	uint64_t tokens, sent, prompt_tokens;
	const char *finish_reason;
	usec_t asked_at;
	TAILQ_ENTRY(chat) link; /* in the queue, while waiting */
};

/* Answers POST /v1/chat/completions. */
void chat_answer(struct exchange *exchange);

/* Takes a chat that finished, or whose connection died, off the books; the next one waiting gets
 * the slot. Does nothing for an exchange that is no chat. */
void chat_end(struct exchange *exchange);

/* SPDX-License-Identifier: MIT */
/*
 * The judgement of a canary, apart from the run that brings the answer.
 */
#pragma once

#include "modelhealth/checks/canaryparams.h"
#include "modelhealth/core/stream.h"
#include "modelhealth/io/httpc.h"

/* An answer of the model, as far as it came. */
struct canary_answer {
	const struct canary_params *params;
	struct stream *stream;   /* NULL = nothing of it could be read */
	struct embedding golden; /* what an embedding is compared with; empty = nothing yet */
};

/* The embedding that was answered; empty when there is none. Borrowed from the stream. */
struct embedding canary_embedding(const struct canary_answer *answer);

/* A status that is no success, in any step: what it means, and how long the server wants to be left
 * alone. retry_after: what the header of that name asks for. */
void canary_judge_refusal(const struct canary_params *canary, const struct answer *received,
	usec_t retry_after, struct result *result);

/* An answer that came to its end; there is a stream. received: the same for rules. */
void canary_judge_whole(
	const struct canary_answer *answer, const struct answer *received, struct result *result);

/* An answer that broke off: what came of it still tells how fast it was. A stream that was closed
 * is judged by what it lacks. The result is that of the outcome. */
void canary_judge_broken(const struct canary_answer *answer, const struct timeouts *timeout,
	const struct http_outcome *outcome, struct result *result);

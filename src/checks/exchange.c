/* SPDX-License-Identifier: MIT */
/*
 * Shared by the check kinds that talk through io/httpc; each kind's file starts the transfers and
 * judges the answers.
 */
#include "modelhealth/checks/exchange.h"

#include "modelhealth/core/retryafter.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"

#include <stdlib.h>

/* Most answers are small, and the same check will get the same one again; a large one must not
 * stay for each of thousands of checks. */
enum {
	ANSWER_KEPT = 4096
};

void *exchange_open(struct probe *probe, size_t size)
{
	struct exchange *exchange = probe->priv;

	if (exchange) {
		exchange->probe = probe;
		return exchange;
	}
	exchange = calloc(1, size);
	if (!exchange)
		return NULL;
	exchange->probe = probe;
	exchange->lane = http_lane_new(probe->io->httpc);
	if (!exchange->lane) {
		free(exchange);
		return NULL;
	}
	probe->priv = exchange;
	return exchange;
}

/* How rules and expectations ask for a header of the answer. */
static const char *find_header(void *transfer, const char *name, size_t index)
{
	return http_answer_header(transfer, name, index);
}

struct answer exchange_answer(const struct exchange *exchange, struct http_transfer *transfer)
{
	return (struct answer){
		.http_status = exchange->probe->result.http_status,
		.header = find_header,
		.ctx = transfer,
		.body = sbuf_str(&exchange->answer),
		.body_len = exchange->answer.len,
	};
}

usec_t exchange_retry_after(const struct exchange *exchange, struct http_transfer *transfer)
{
	const char *header = http_answer_header(transfer, "Retry-After", 0);

	return header ? retry_after_parse(header, loop_timers(exchange->probe->io->loop)->real) : 0;
}

void exchange_forget(struct exchange *exchange)
{
	if (exchange->answer.cap > ANSWER_KEPT)
		sbuf_fini(&exchange->answer);
	sbuf_clear(&exchange->answer);
}

void exchange_starve(struct probe *probe)
{
	result_set(&probe->result, REASON_LOCAL_MEMORY, NULL);
	probe->done(probe);
}

void exchange_cancel(struct probe *probe)
{
	struct exchange *exchange = probe->priv;

	http_cancel(take_ptr(exchange->transfer));
	exchange_forget(exchange);
}

void exchange_fini(struct probe *probe)
{
	struct exchange *exchange = probe->priv;

	if (!exchange)
		return;
	http_lane_free(exchange->lane);
	sbuf_fini(&exchange->answer);
	free(exchange);
	probe->priv = NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * What reading a stream costs: tokens a second of one core, by dialect and by how the bytes are
 * cut. Without the network, which tests/bench/run measures. Run by `meson test --benchmark`.
 */
#include "modelhealth/core/stream.h"

#include "dialects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One token as each API sends it, some two hundred bytes. */
static const struct sample {
	const char *dialect;
	const char *event;
} samples[] = {
	{ "chat",
		"data: {\"id\":\"chatcmpl-8b2a41f6c0de\",\"object\":\"chat.completion.chunk\","
		"\"created\":1763700000,\"model\":\"demo-8b\",\"choices\":[{\"index\":0,\"delta\":"
		"{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n" },
	{ "messages", "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
		      "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token\"}}\n\n" },
	{ "ollama", "{\"model\":\"llama3.2:1b\",\"created_at\":\"2026-11-21T07:00:00.123456Z\","
		    "\"response\":\" token\",\"done\":false}\n" },
};

static const struct cut {
	const char *name;
	size_t len; /* 0 = of one event */
} cuts[] = { { "one event a read", 0 }, { "16 KiB reads", 16384 }, { "byte by byte", 1 } };

static double cpu_seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void repeat(const char *event, size_t n, struct sbuf *out)
{
	for (size_t i = 0; i < n; i++)
		sbuf_puts(out, event);
	must(!out->failed);
}

/* Tokens per second of CPU. */
static double measure(const struct sample *sample, const struct cut *cut, size_t tokens)
{
	struct sbuf body = SBUF_INIT;
	struct stream *stream = stream_new(dialect_named(sample->dialect), 0);
	size_t step = cut->len > 0 ? cut->len : strlen(sample->event);
	struct result result = { .reason = REASON_OK };
	usec_t now = 1;
	double seconds;

	must(stream);
	repeat(sample->event, tokens, &body);
	seconds = cpu_seconds();
	for (size_t at = 0; at < body.len; at += step)
		must(stream_push(stream, body.data + at, min_of(step, body.len - at), now++) ==
			STREAM_MORE);
	seconds = cpu_seconds() - seconds;
	stream_judge(stream, &result);
	must(result.tokens.completion == tokens);
	(void)stream_free(stream); /* always NULL */
	sbuf_fini(&body);
	return (double)tokens / seconds;
}

/* Whole answers of 16 tokens, with all that a stream needs before and after. */
static double measure_short(const struct sample *sample, size_t answers)
{
	struct sbuf body = SBUF_INIT;
	double seconds;

	repeat(sample->event, 16, &body);
	seconds = cpu_seconds();
	for (size_t i = 0; i < answers; i++) {
		struct stream *stream = stream_new(dialect_named(sample->dialect), 0);
		struct result result = { .reason = REASON_OK };

		must(stream && stream_push(stream, body.data, body.len, 1) == STREAM_MORE);
		stream_judge(stream, &result);
		must(result.tokens.completion == 16);
		(void)stream_free(stream); /* always NULL */
	}
	seconds = cpu_seconds() - seconds;
	sbuf_fini(&body);
	return seconds / (double)answers;
}

int main(int argc, char **argv)
{
	size_t tokens = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;

	printf("%-10s %-18s %12s %18s\n", "dialect", "cut", "tokens/s", "us/1000 tokens");
	for (size_t i = 0; i < array_size(samples) * array_size(cuts); i++) {
		const struct sample *sample = &samples[i / array_size(cuts)];
		const struct cut *cut = &cuts[i % array_size(cuts)];
		double rate = measure(sample, cut, tokens);

		printf("%-10s %-18s %12.0f %18.1f\n", sample->dialect, cut->name, rate, 1e9 / rate);
	}
	for (size_t i = 0; i < array_size(samples); i++)
		printf("%-10s a whole answer of 16 tokens takes %.1f us\n", samples[i].dialect,
			measure_short(&samples[i], tokens / 16 + 1) * 1e6);
	return 0;
}

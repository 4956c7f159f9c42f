/* SPDX-License-Identifier: MIT */
/*
 * The phase bar of --once NAME: the spans of one inference below each other on one time axis. Pure;
 * once.c prints it.
 */
#include "modelhealth/app/phasebar.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	MIN_COLUMNS = 40,
	MAX_COLUMNS = 120,
	MARGIN = 28, /* of a line in front of its bar */
};

/* A span on the axis. */
struct span {
	const char *name;
	usec_t from, took;
	usec_t shown; /* in figures */
	char mark;
};

enum {
	MAX_SPANS = 7
};

struct spans {
	struct span items[MAX_SPANS];
	size_t n;
	usec_t end; /* of the last one */
};

static void add_span(struct spans *spans, const char *name, usec_t took)
{
	spans->items[spans->n++] = (struct span){ name, spans->end, took, took, '=' };
	spans->end += took;
}

static void add_timing(
	struct spans *spans, const char *name, const struct result *result, enum timing timing)
{
	if (result_has_timing(result, timing))
		add_span(spans, name, result->timing[timing]);
}

static usec_t timing_of(const struct result *result, enum timing timing)
{
	return result_has_timing(result, timing) ? result->timing[timing] : 0;
}

/* From the request to the last byte. */
static usec_t answer_time(const struct result *result)
{
	return timing_of(result, TIMING_FIRST_BYTE) + timing_of(result, TIMING_TRANSFER);
}

/* What a run did before it asked: it looked whether the model is in memory. */
static usec_t time_before(const struct result *result)
{
	usec_t known = timing_of(result, TIMING_DNS) + timing_of(result, TIMING_CONNECT) +
		       timing_of(result, TIMING_TLS) + answer_time(result);
	usec_t total = timing_of(result, TIMING_TOTAL);

	return result_has_timing(result, TIMING_TRANSFER) && total > known ? total - known : 0;
}

/* First byte and first token are counted from the request; on the axis each begins where the one
 * before it ended. The end holds what is no phase of its own: the tail of a good answer, the wait of
 * a bad one. */
static void collect(const struct result *result, struct spans *spans)
{
	usec_t first_byte = timing_of(result, TIMING_FIRST_BYTE);
	usec_t first_token = timing_of(result, TIMING_FIRST_TOKEN);
	usec_t total = timing_of(result, TIMING_TOTAL);

	spans->end = time_before(result);
	add_timing(spans, "dns", result, TIMING_DNS);
	add_timing(spans, "connect", result, TIMING_CONNECT);
	add_timing(spans, "tls", result, TIMING_TLS);
	add_timing(spans, "first byte", result, TIMING_FIRST_BYTE);
	if (result_has_timing(result, TIMING_FIRST_TOKEN)) {
		add_span(spans, "first token", first_token - min_of(first_byte, first_token));
		spans->items[spans->n - 1].shown = first_token;
	}
	if (result->tokens.gaps > 0)
		add_span(spans, "tokens", (usec_t)result->tokens.gap_mean * result->tokens.gaps);
	add_span(spans, "end", total > spans->end ? total - spans->end : 0);
	spans->items[spans->n - 1].shown = total;
	spans->items[spans->n - 1].mark = '.';
}

static void put_milliseconds(struct sbuf *out, usec_t took)
{
	sbuf_printf(out, "%6" PRIu64 ".%" PRIu64 " ms", took / USEC_PER_MSEC,
		took % USEC_PER_MSEC / 100);
}

static void put_repeated(struct sbuf *out, char c, usec_t n)
{
	while (n-- > 0)
		sbuf_putc(out, c);
}

/* A span that is not nothing shows at least one mark. */
static void put_bar(struct sbuf *out, const struct span *span, usec_t axis, unsigned columns)
{
	usec_t begin = axis > 0 ? span->from * columns / axis : 0;
	usec_t end = axis > 0 ? (span->from + span->took) * columns / axis : 0;

	begin = min_of(begin, (usec_t)columns - 1);
	end = min_of(max_of(end, begin + 1), (usec_t)columns);
	if (span->took == 0)
		return;
	put_repeated(out, ' ', begin);
	put_repeated(out, span->mark, end - begin);
}

static const char *colour_of(enum verdict verdict)
{
	static const char *const colours[] = {
		[VERDICT_UP] = "\033[32m",
		[VERDICT_DEGRADED] = "\033[33m",
		[VERDICT_NOT_READY] = "\033[33m",
		[VERDICT_DOWN] = "\033[31m",
		[VERDICT_UNKNOWN] = "\033[35m",
	};

	return colours[verdict];
}

static void put_span(struct sbuf *out, const struct span *span, usec_t axis,
	const struct result *result, struct phasebar_style style)
{
	sbuf_printf(out, "  %-12s", span->name);
	put_milliseconds(out, span->shown);
	sbuf_puts(out, "  |");
	if (style.is_coloured)
		sbuf_puts(out, colour_of(result->verdict));
	put_bar(out, span, axis, style.columns - MARGIN);
	if (style.is_coloured)
		sbuf_puts(out, "\033[0m");
	sbuf_putc(out, '\n');
}

static void put_tokens(struct sbuf *out, const struct tokens *tokens)
{
	if (tokens->source == TOKENS_NONE)
		return;
	sbuf_printf(out, "  %" PRIu32 " tokens (%s)", tokens->completion,
		tokens->source == TOKENS_REPORTED ? "server's count" : "counted here");
	if (tokens->prompt > 0)
		sbuf_printf(out, ", prompt %" PRIu32, tokens->prompt);
	if (tokens->per_second > 0)
		sbuf_printf(out, ", %.1f/s", tokens->per_second);
	if (tokens->gaps > 0)
		sbuf_printf(out, ", p95 gap %.1f ms", (double)tokens->gap_p95 / USEC_PER_MSEC);
	sbuf_putc(out, '\n');
}

void phasebar_render(const struct check_view *check, struct phasebar_style style, struct sbuf *out)
{
	const struct result *result = &check->last;
	struct spans spans = { 0 };
	usec_t axis;

	if (!check->has_last)
		return;
	style.columns = max_of(min_of(style.columns, (unsigned)MAX_COLUMNS), (unsigned)MIN_COLUMNS);
	collect(result, &spans);
	axis = spans.end;
	sbuf_printf(out, "\n%s of %s: %s", check->spec->name, check->spec->endpoint->name,
		reason_token(result->reason));
	if (result->detail[0] != '\0')
		sbuf_printf(out, ", %s", result->detail);
	sbuf_putc(out, '\n');
	for (size_t i = 0; i < spans.n; i++)
		put_span(out, &spans.items[i], axis, result, style);
	put_tokens(out, &result->tokens);
}

/* SPDX-License-Identifier: MIT */
/*
 * The page for curl: a line of totals, then a table with one endpoint a line. What comes from
 * outside stands in the last column, sanitised.
 */
#include "private.h"

#include "modelhealth/text/write.h"

#include <string.h>

enum {
	TEXT_SLICE = 64,
	NAME_MIN = 8,
	NAME_MAX = 40, /* longer names push their line to the right, no other */
	STATE_WIDTH = 10,
	REASON_WIDTH = 20,
	SINCE_WIDTH = 8,
	LATENCY_WIDTH = 9,
	DETAIL_MAX = 160,
	WIDTH_UNIT = 64 /* of the cursor; above NAME_MAX */
};

/* Fills a column up to its width, with at least one blank to the next. */
static void pad(struct sbuf *out, size_t from, size_t width)
{
	do
		sbuf_putc(out, ' ');
	while (!out->failed && out->len - from <= width);
}

static void put_column(struct sbuf *out, const char *text, size_t width)
{
	size_t from = out->len;

	plain_text(out, text, 256);
	pad(out, from, width);
}

/* The two largest units of a span, as people say it: "3d4h". */
static void put_age(struct sbuf *out, usec_t usec)
{
	static const struct {
		usec_t length;
		char unit;
	} units[] = {
		{ 86400 * USEC_PER_SEC, 'd' },
		{ 3600 * USEC_PER_SEC, 'h' },
		{ 60 * USEC_PER_SEC, 'm' },
		{ USEC_PER_SEC, 's' },
	};

	size_t i = 0;

	while (i + 1 < array_size(units) && usec < units[i].length)
		i++;
	sbuf_put_u64(out, usec / units[i].length);
	sbuf_putc(out, units[i].unit);
	if (i + 1 < array_size(units)) {
		sbuf_put_u64(out, usec % units[i].length / units[i + 1].length);
		sbuf_putc(out, units[i + 1].unit);
	}
}

/* Below ten seconds in milliseconds, then in seconds. */
static void put_latency(struct sbuf *out, usec_t usec)
{
	if (usec < 10 * USEC_PER_SEC) {
		sbuf_put_u64(out, (usec + USEC_PER_MSEC / 2) / USEC_PER_MSEC);
		sbuf_puts(out, "ms");
	} else {
		sbuf_put_u64(out, usec / USEC_PER_SEC);
		sbuf_putc(out, 's');
	}
}

/* ---- the head ---- */

static size_t name_width(const struct snapshot *snapshot)
{
	size_t width = NAME_MIN;

	for (size_t i = 0; i < snapshot->n_endpoints; i++)
		width = max_of(width, strlen(snapshot->endpoints[i]->spec->name));
	return min_of(width, (size_t)NAME_MAX);
}

static void put_totals(struct sbuf *out, const struct snapshot *snapshot)
{
	const struct self_view *self = snapshot->self;

	sbuf_puts(out, "modelhealthd " MODELHEALTH_VERSION ": ");
	sbuf_put_u64(out, snapshot->n_endpoints);
	sbuf_puts(out, snapshot->n_endpoints == 1 ? " endpoint" : " endpoints");
	for (unsigned i = 0; i < STATE_N; i++) {
		if (snapshot->n_state[i] == 0)
			continue;
		sbuf_puts(out, ", ");
		sbuf_put_u64(out, snapshot->n_state[i]);
		sbuf_putc(out, ' ');
		sbuf_puts(out, state_token(i));
	}
	sbuf_putc(out, '\n');
	if (self->offline)
		sbuf_puts(out, "our own network is gone: states are frozen\n");
	if (!self->reload_ok) {
		sbuf_puts(out, "last reload failed, the old configuration is live: ");
		plain_text(out, self->reload_error ? self->reload_error : "", 512);
		sbuf_putc(out, '\n');
	}
	sbuf_putc(out, '\n');
}

static void put_head(struct sbuf *out, const struct snapshot *snapshot, size_t width)
{
	put_totals(out, snapshot);
	put_column(out, "NAME", width);
	put_column(out, "STATE", STATE_WIDTH);
	put_column(out, "REASON", REASON_WIDTH);
	put_column(out, "SINCE", SINCE_WIDTH);
	put_column(out, "LATENCY", LATENCY_WIDTH);
	sbuf_puts(out, "DETAIL\n");
}

/* ---- the lines ---- */

static void put_line(
	struct sbuf *out, const struct endpoint_view *endpoint, usec_t now, size_t width)
{
	const struct result *result = deciding_result(endpoint);
	size_t from;

	put_column(out, endpoint->spec->name, width);
	put_column(out, state_token(endpoint->state), STATE_WIDTH);
	put_column(out, reason_token(endpoint->reason), REASON_WIDTH);
	from = out->len;
	if (endpoint->since != 0)
		put_age(out, now > endpoint->since ? now - endpoint->since : 0);
	else
		sbuf_putc(out, '-');
	pad(out, from, SINCE_WIDTH);
	from = out->len;
	if (result && result_has_timing(result, TIMING_TOTAL))
		put_latency(out, result->timing[TIMING_TOTAL]);
	else
		sbuf_putc(out, '-');
	pad(out, from, LATENCY_WIDTH);
	if (endpoint->flapping)
		sbuf_puts(out, "(flapping) ");
	if (!endpoint->spec->tls_verify)
		sbuf_puts(out, "(TLS unverified) ");
	if (endpoint->state != STATE_UP && endpoint->decided_by && endpoint->n_checks > 1)
		sbuf_printf(out, "%s: ", endpoint->decided_by->spec->name);
	plain_text(out, why_text(endpoint), DETAIL_MAX);
	sbuf_putc(out, '\n');
}

/* The cursor: the next endpoint in the upper bits, the width of the first column below. */
static enum output_progress render_text(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	size_t i = *cursor / WIDTH_UNIT;
	size_t width = *cursor % WIDTH_UNIT;
	size_t end = min_of(i + TEXT_SLICE, snapshot->n_endpoints);

	if (!filter_is_valid(query))
		return OUTPUT_BAD_QUERY;
	if (*cursor == 0) {
		width = name_width(snapshot);
		put_head(out, snapshot, width);
	}
	for (; i < end; i++)
		if (filter_matches(query, snapshot->endpoints[i]))
			put_line(out, snapshot->endpoints[i], snapshot->now, width);
	*cursor = i * WIDTH_UNIT + width;
	return i < snapshot->n_endpoints ? OUTPUT_MORE : OUTPUT_DONE;
}

const struct output output_text = {
	.name = "text",
	.path = "/",
	.mime = "text/plain; charset=utf-8",
	.params = filter_params,
	.render = render_text,
};

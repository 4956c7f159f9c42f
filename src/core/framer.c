/* SPDX-License-Identifier: MIT */
/*
 * Bytes to events. Whole lines are read where they lie in the caller's buffer; only what a piece
 * leaves over is copied. Owns those two buffers. Called by core/stream.c.
 */
#include "modelhealth/core/framer.h"

#include <errno.h>
#include <string.h>

void framer_init(struct framer *framer, enum framing framing, framer_on_event on_event, void *ctx)
{
	*framer = (struct framer){
		.framing = framing,
		.on_event = on_event,
		.ctx = ctx,
		.is_document = framing == FRAMING_JSON || framing == FRAMING_ANY,
	};
}

void framer_fini(struct framer *framer)
{
	sbuf_fini(&framer->line);
	sbuf_fini(&framer->data);
}

/* Appends within a limit; what is wrong goes to framer->error. */
static void keep(
	struct framer *framer, struct sbuf *buf, const char *data, size_t len, size_t limit)
{
	if (len > limit || buf->len > limit - len)
		framer->error = -EMSGSIZE;
	else
		sbuf_add(buf, data, len);
	if (buf->failed)
		framer->error = -ENOMEM;
}

static void keep_document(struct framer *framer, const char *data, size_t len)
{
	keep(framer, &framer->data, data, len, FRAMER_MAX_DOCUMENT);
}

static void deliver(struct framer *framer, const struct event *event)
{
	switch (framer->on_event(framer->ctx, event)) {
	case FRAMER_GO_ON:
		break;
	case FRAMER_STOP:
		framer->is_stopped = true;
		break;
	case FRAMER_DOCUMENT:
		framer->is_document = true;
		sbuf_clear(&framer->data);
		keep_document(framer, event->data, event->len);
		keep_document(framer, "\n", 1);
		break;
	}
}

/* ---- Server-Sent Events ---- */

/* The end of an event: a blank line, or the end of the stream. */
static void dispatch(struct framer *framer, bool is_cut)
{
	struct event event = {
		.kind = framer->is_error ? EVENT_ERROR : EVENT_DATA,
		.data = sbuf_str(&framer->data),
		.len = framer->data.len,
		.is_cut = is_cut,
		.is_ping = framer->is_ping,
	};
	bool is_whole = framer->has_data || framer->is_error;

	framer->has_data = framer->is_error = framer->is_ping = false;
	if (is_whole)
		deliver(framer, &event);
	if (!framer->is_document)
		sbuf_clear(&framer->data);
}

static void on_data(struct framer *framer, const char *value, size_t len)
{
	if (framer->has_data)
		keep(framer, &framer->data, "\n", 1, FRAMER_MAX_LINE);
	keep(framer, &framer->data, value, len, FRAMER_MAX_LINE);
	framer->has_data = true;
}

static void on_error(struct framer *framer, const char *value, size_t len)
{
	on_data(framer, value, len);
	framer->is_error = true;
}

static bool is_name(const char *value, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(value, name, len) == 0;
}

static void on_event_name(struct framer *framer, const char *value, size_t len)
{
	framer->is_error = is_name(value, len, "error");
	framer->is_ping = is_name(value, len, "ping") || is_name(value, len, "heartbeat") ||
			  is_name(value, len, "keep-alive") || is_name(value, len, "keepalive");
}

/* Reconnecting is not for us. */
static void ignore(struct framer *framer, const char *value, size_t len)
{
	(void)framer;
	(void)value;
	(void)len;
}

static const struct {
	const char *name;
	void (*take)(struct framer *framer, const char *value, size_t len);
} fields[] = {
	{ "data", on_data },
	{ "error", on_error },
	{ "event", on_event_name },
	{ "id", ignore },
	{ "retry", ignore },
};

/* An extension that the standard lets us ignore, unlike "Internal Server Error" or "Error: …". */
static bool is_extension(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", name[i]) || name[i] == '\0')
			return false;
	return len > 0;
}

/* What the end of the stream left of a field's name. */
static bool is_begun_field(const char *line, size_t len)
{
	for (size_t i = 0; i < array_size(fields); i++)
		if (strncmp(fields[i].name, line, len) == 0)
			return true;
	return false;
}

static void take_sse_line(struct framer *framer, const char *line, size_t len, bool is_cut)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : len;
	const char *value = line + min_of(name_len + 1, len);

	if (len == 0) {
		dispatch(framer, false);
		return;
	}
	if (name_len == 0)
		return; /* a comment */
	if (value < line + len && *value == ' ')
		value++;
	for (size_t i = 0; i < array_size(fields); i++) {
		if (is_name(line, name_len, fields[i].name)) {
			fields[i].take(framer, value, (size_t)(line + len - value));
			return;
		}
	}
	if (is_cut && is_begun_field(line, len))
		return;
	if (!colon || !is_extension(line, name_len))
		deliver(framer, &(struct event){ .kind = EVENT_RAW, .data = line, .len = len });
}

/* ---- lines ---- */

static void take_ndjson_line(struct framer *framer, const char *line, size_t len, bool is_cut)
{
	size_t blanks = 0;

	while (blanks < len && (line[blanks] == ' ' || line[blanks] == '\t'))
		blanks++;
	if (blanks == len)
		return;
	deliver(framer,
		&(struct event){ .kind = EVENT_DATA, .data = line, .len = len, .is_cut = is_cut });
}

static void take_line(struct framer *framer, const char *line, size_t len, bool is_cut)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (!framer->is_started && len >= 3 && memcmp(line, bom, 3) == 0) {
		line += 3;
		len -= 3;
	}
	framer->is_started = true;
	if (framer->framing == FRAMING_SSE)
		take_sse_line(framer, line, len, is_cut);
	else
		take_ndjson_line(framer, line, len, is_cut);
}

/* A line ends at the end of data[0 … len-1], behind what framer->line holds of it. */
static void finish_line(struct framer *framer, const char *data, size_t len)
{
	if (framer->line.len == 0 && len <= FRAMER_MAX_LINE) {
		take_line(framer, data, len, false);
		return;
	}
	keep(framer, &framer->line, data, len, FRAMER_MAX_LINE);
	if (framer->error < 0)
		return;
	take_line(framer, framer->line.data, framer->line.len, false);
	sbuf_clear(&framer->line);
}

/* The next line break in data, with its position kept, so that each byte is looked at once. */
static const char *next_break(const char **position, char c, const char *data, const char *end)
{
	if (*position < data) {
		*position = memchr(data, c, (size_t)(end - data));
		if (!*position)
			*position = end;
	}
	return *position;
}

/* Takes the lines that data completes; returns where the rest begins. */
static const char *take_lines(struct framer *framer, const char *data, const char *end)
{
	const char *lf = NULL, *cr = NULL;
	const char *stop;

	while (data < end && framer->error == 0 && !framer->is_stopped && !framer->is_document) {
		if (framer->is_after_cr && *data == '\n') {
			framer->is_after_cr = false;
			data++;
			continue;
		}
		framer->is_after_cr = false;
		stop = min_of(next_break(&lf, '\n', data, end), next_break(&cr, '\r', data, end));
		if (stop == end)
			break;
		finish_line(framer, data, (size_t)(stop - data));
		framer->is_after_cr = *stop == '\r';
		data = stop + 1;
	}
	return data;
}

int framer_push(struct framer *framer, const char *data, size_t len)
{
	const char *end = data + len;

	if (!framer->is_document)
		data = take_lines(framer, data, end);
	if (framer->error < 0 || framer->is_stopped || data == end)
		return framer->error;
	if (framer->is_document)
		keep_document(framer, data, (size_t)(end - data));
	else
		keep(framer, &framer->line, data, (size_t)(end - data), FRAMER_MAX_LINE);
	return framer->error;
}

int framer_end(struct framer *framer)
{
	if (framer->error == 0 && framer->line.len > 0 && !framer->is_document &&
		!framer->is_stopped) {
		take_line(framer, framer->line.data, framer->line.len, true);
		sbuf_clear(&framer->line);
	}
	if (framer->error < 0 || framer->is_stopped)
		return framer->error;
	if (!framer->is_document) {
		dispatch(framer, true);
		if (!framer->is_document)
			return framer->error;
	}
	framer->is_stopped = true;
	if (framer->error == 0)
		(void)framer->on_event(framer->ctx, /* the last one: no order can follow */
			&(struct event){ .kind = EVENT_DOCUMENT,
				.data = sbuf_str(&framer->data),
				.len = framer->data.len });
	return framer->error;
}

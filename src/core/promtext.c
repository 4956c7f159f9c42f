/* SPDX-License-Identifier: MIT */
/*
 * The reader of metrics. A scrape may have megabytes and comes in pieces; so a line is copied, and
 * taken apart in that copy, only when its name is wanted. Used by the load check, and for the
 * selectors of its configuration, which have the same grammar.
 *
 * What may follow a value (a timestamp, an exemplar) is not looked at, and neither are comments:
 * no type or help changes what a number means to us.
 */
#include "modelhealth/core/promtext.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' ||
	       c == ':';
}

static char *skip_blanks(char *at)
{
	while (is_blank(*at))
		at++;
	return at;
}

static char *skip_name(char *at)
{
	if (is_digit(*at))
		return at;
	while (is_name_char(*at))
		at++;
	return at;
}

/* ---- numbers ---- */

/* NaN and infinity as every client library writes them. */
static bool read_word(const char *text, double *ret_value)
{
	double sign = *text == '-' ? -1 : 1;

	if (*text == '+' || *text == '-')
		text++;
	if (strcasecmp(text, "NaN") == 0)
		*ret_value = (double)NAN;
	else if (strcasecmp(text, "Inf") == 0 || strcasecmp(text, "Infinity") == 0)
		*ret_value = sign * (double)INFINITY;
	else
		return false;
	return true;
}

/* The whole text is a number. strtod alone would also take a hexadecimal one. */
static bool read_number(const char *text, double *ret_value)
{
	char *end;

	if (text[strspn(text, "0123456789.eE+-")] != '\0')
		return read_word(text, ret_value);
	*ret_value = strtod(text, &end);
	return end != text && *end == '\0';
}

/* ---- one line ---- */

/* Unescapes the quoted text at `at` in place; returns what follows its closing quote, NULL when
 * there is none. An unknown escape stands for itself. */
static char *read_quoted(char *at, const char **ret_text)
{
	char *to = ++at;

	*ret_text = to;
	for (; *at != '"'; at++) {
		if (*at == '\0')
			return NULL;
		if (*at == '\\' && at[1] != '\0' && strchr("\\\"n", at[1])) {
			at++;
			*to++ = *at == 'n' ? '\n' : *at;
			continue;
		}
		*to++ = *at;
	}
	*to = '\0';
	return at + 1;
}

/* One label; Prometheus 3 writes a metric's name that is no plain word as a quoted text without a
 * value among them. Returns what follows, NULL when it is none. */
static char *read_label(char *at, struct promtext_sample *sample, struct promtext_label *labels)
{
	struct promtext_label *label = &labels[sample->n_labels];
	char *name_end = NULL;

	if (*at == '"') {
		at = read_quoted(at, &label->name);
		if (!at || label->name[0] == '\0')
			return NULL;
	} else {
		label->name = at;
		name_end = skip_name(at);
		if (name_end == at)
			return NULL;
		at = name_end;
	}
	at = skip_blanks(at);
	if (*at != '=') {
		if (name_end || sample->name)
			return NULL;
		sample->name = label->name;
		return at;
	}
	if (name_end)
		*name_end = '\0';
	at = skip_blanks(at + 1);
	if (*at != '"')
		return NULL;
	at = read_quoted(at, &label->value);
	sample->n_labels++;
	return at;
}

/* All labels, from the opening brace on; returns what follows the closing one. */
static char *read_labels(char *at, struct promtext_sample *sample, struct promtext_label *labels)
{
	at = skip_blanks(at + 1);
	while (*at != '}') {
		if (sample->n_labels == PROMTEXT_MAX_LABELS)
			return NULL;
		at = read_label(at, sample, labels);
		if (!at)
			return NULL;
		at = skip_blanks(at);
		if (*at == ',')
			at = skip_blanks(at + 1);
		else if (*at != '}')
			return NULL;
	}
	return at + 1;
}

/* Takes a line apart in place. False when it is no sample. */
static bool read_sample(char *at, struct promtext_sample *sample, struct promtext_label *labels)
{
	char *name_end = skip_name(at);
	char *value;

	if (name_end > at)
		sample->name = at;
	at = skip_blanks(name_end);
	if (*at == '{') {
		at = read_labels(at, sample, labels);
		if (!at)
			return false;
	} else if (at == name_end) {
		return false;
	}
	*name_end = '\0';
	value = skip_blanks(at);
	at = value;
	while (*at != '\0' && !is_blank(*at))
		at++;
	if (*at != '\0') {
		*at = '\0';
		at = skip_blanks(at + 1);
	}
	return sample->name && read_number(value, &sample->value) &&
	       (*at == '\0' || *at == '#' || *at == '-' || *at == '+' || is_digit(*at));
}

/* ---- lines ---- */

/* Whether the line, without blanks before it, is worth copying; counts it when it is not. A name
 * in quotes is known only when it has been read. */
static bool is_worth_reading(struct promtext *reader, const char *line, size_t len)
{
	size_t name = 0;

	if (len == 0 || line[0] == '#')
		return false;
	while (name < len && is_name_char(line[name]))
		name++;
	if (!reader->is_wanted || name == 0 || reader->is_wanted(reader->ctx, line, name))
		return true;
	reader->samples++;
	return false;
}

/* Reads the line that is in reader->line. */
static void read_line(struct promtext *reader)
{
	struct promtext_label labels[PROMTEXT_MAX_LABELS];
	struct promtext_sample sample = { .labels = labels };
	struct sbuf *line = &reader->line;

	if (line->failed || memchr(line->data, '\0', line->len) ||
		!read_sample(line->data, &sample, labels)) {
		reader->bad_lines++;
		return;
	}
	reader->samples++;
	if (!reader->is_wanted || reader->is_wanted(reader->ctx, sample.name, strlen(sample.name)))
		reader->on_sample(reader->ctx, &sample);
}

/* A whole line, wherever it lies; it may be reader->line itself. */
static void take_line(struct promtext *reader, const char *line, size_t len)
{
	bool is_kept = line == reader->line.data;
	size_t skip = 0;

	if (len > PROMTEXT_MAX_LINE) {
		reader->bad_lines++;
		return;
	}
	while (skip < len && is_blank(line[skip]))
		skip++;
	if (!is_worth_reading(reader, line + skip, len - skip))
		return;
	if (is_kept) {
		memmove(reader->line.data, line + skip, len - skip + 1);
		reader->line.len = len - skip;
	} else {
		sbuf_clear(&reader->line);
		sbuf_add(&reader->line, line + skip, len - skip);
	}
	read_line(reader);
}

/* Ends the line that has been kept from earlier pieces. */
static void take_kept_line(struct promtext *reader)
{
	if (reader->is_too_long || reader->line.failed)
		reader->bad_lines++;
	else if (reader->line.len > 0)
		take_line(reader, reader->line.data, reader->line.len);
	reader->is_too_long = false;
	sbuf_clear(&reader->line);
}

static void keep(struct promtext *reader, const char *data, size_t len)
{
	if (reader->is_too_long)
		return;
	if (len > PROMTEXT_MAX_LINE - reader->line.len) {
		reader->is_too_long = true;
		sbuf_clear(&reader->line);
		return;
	}
	sbuf_add(&reader->line, data, len);
}

void promtext_push(struct promtext *reader, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t n = newline ? (size_t)(newline - data) : len;
		bool is_whole =
			reader->line.len == 0 && !reader->line.failed && !reader->is_too_long;

		if (newline && is_whole) {
			take_line(reader, data, n);
			sbuf_clear(&reader->line);
		} else {
			keep(reader, data, n);
			if (newline)
				take_kept_line(reader);
		}
		n += newline ? 1 : 0;
		data += n;
		len -= n;
	}
}

void promtext_end(struct promtext *reader)
{
	take_kept_line(reader);
	sbuf_fini(&reader->line);
}

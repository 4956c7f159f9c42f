/* SPDX-License-Identifier: MIT */
/*
 * Escaping for each output format. Outputs and log sinks own the buffer; the writers only append.
 */
#include "modelhealth/text/write.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/text/sanitise.h"

#include <ctype.h>
#include <string.h>

/* ---- JSON ---- */

static void begin_value(struct jw *jw)
{
	if (jw->needs_comma)
		sbuf_putc(jw->out, ',');
	jw->needs_comma = true;
}

static void open_scope(struct jw *jw, char bracket)
{
	begin_value(jw);
	sbuf_putc(jw->out, bracket);
	jw->needs_comma = false;
}

static void close_scope(struct jw *jw, char bracket)
{
	sbuf_putc(jw->out, bracket);
	jw->needs_comma = true;
}

void jw_object(struct jw *jw)
{
	open_scope(jw, '{');
}

void jw_object_end(struct jw *jw)
{
	close_scope(jw, '}');
}

void jw_array(struct jw *jw)
{
	open_scope(jw, '[');
}

void jw_array_end(struct jw *jw)
{
	close_scope(jw, ']');
}

static void put_escaped_byte(struct sbuf *out, unsigned char c)
{
	static const struct {
		char plain, escaped;
	} pairs[] = { { '"', '"' }, { '\\', '\\' }, { '\b', 'b' }, { '\f', 'f' }, { '\n', 'n' },
		{ '\r', 'r' }, { '\t', 't' } };

	for (size_t i = 0; i < array_size(pairs); i++) {
		if (c == (unsigned char)pairs[i].plain) {
			sbuf_putc(out, '\\');
			sbuf_putc(out, pairs[i].escaped);
			return;
		}
	}
	sbuf_printf(out, "\\u%04x", c);
}

/* Bytes that stand for themselves; '<' and '&' are escaped so that JSON inside a page is safe. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && c != '<' && c != '>' && c != '&';
}

static void put_quoted(struct sbuf *out, const char *text, size_t len)
{
	size_t from = 0;

	sbuf_putc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (is_plain((unsigned char)text[i]))
			continue;
		sbuf_add(out, text + from, i - from);
		put_escaped_byte(out, (unsigned char)text[i]);
		from = i + 1;
	}
	sbuf_add(out, text + from, len - from);
	sbuf_putc(out, '"');
}

void jw_string_len(struct jw *jw, const char *text, size_t len)
{
	char clean[512]; /* what is not UTF-8 is shown, not kept: a cut does no harm */

	begin_value(jw);
	if (utf8_is_valid(text, len))
		put_quoted(jw->out, text, len);
	else
		put_quoted(jw->out, clean, sanitise(clean, sizeof clean, text, len));
}

void jw_string(struct jw *jw, const char *text)
{
	if (text)
		jw_string_len(jw, text, strlen(text));
	else
		jw_null(jw);
}

void jw_key(struct jw *jw, const char *key)
{
	jw_string(jw, key);
	sbuf_putc(jw->out, ':');
	jw->needs_comma = false;
}

void jw_raw(struct jw *jw, const char *json_text)
{
	begin_value(jw);
	sbuf_puts(jw->out, json_text);
}

void jw_u64(struct jw *jw, uint64_t value)
{
	begin_value(jw);
	sbuf_put_u64(jw->out, value);
}

void jw_bool(struct jw *jw, bool value)
{
	jw_raw(jw, value ? "true" : "false");
}

void jw_null(struct jw *jw)
{
	jw_raw(jw, "null");
}

void jw_seconds(struct jw *jw, usec_t usec)
{
	begin_value(jw);
	sbuf_put_seconds(jw->out, usec);
}

void jw_time(struct jw *jw, usec_t realtime)
{
	char text[CLOCK_TEXT_SIZE];

	if (realtime == 0) {
		jw_null(jw);
		return;
	}
	clock_format(realtime, text);
	jw_string(jw, text);
}

/* ---- Prometheus ---- */

void prom_label(struct sbuf *out, const char *name, const char *value)
{
	char clean[512];
	size_t from = 0, len;

	if (!utf8_is_valid(value, strlen(value))) {
		(void)sanitise(clean, sizeof clean, value, strlen(value));
		value = clean;
	}
	len = strlen(value);
	sbuf_puts(out, name);
	sbuf_add(out, "=\"", 2);
	for (size_t i = 0; i < len; i++) {
		if (value[i] != '\\' && value[i] != '"' && value[i] != '\n')
			continue;
		sbuf_add(out, value + from, i - from);
		sbuf_putc(out, '\\');
		sbuf_putc(out, value[i] == '\n' ? 'n' : value[i]);
		from = i + 1;
	}
	sbuf_add(out, value + from, len - from);
	sbuf_putc(out, '"');
}

void prom_family(struct sbuf *out, const char *name, const char *type, const char *help)
{
	sbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void openmetrics_family(struct sbuf *out, const char *name, const char *type, const char *help)
{
	static const char suffix[] = "_total";
	size_t len = strlen(name);

	if (strcmp(type, "counter") == 0) {
		must(len > strlen(suffix));
		len -= strlen(suffix);
		must(strcmp(name + len, suffix) == 0);
	}
	sbuf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help, (int)len, name,
		type);
}

/* ---- manual pages ---- */

void mdoc_argument(struct sbuf *out, const char *text)
{
	sbuf_putc(out, '"');
	for (; *text; text++) {
		if (*text == '"')
			sbuf_puts(out, "\\(dq");
		else
			sbuf_add(out, *text == '\\' ? "\\e" : text, *text == '\\' ? 2 : 1);
	}
	sbuf_putc(out, '"');
}

/* Writes " (`word`)." as a line of its own, with the delimiters as mdoc wants them: apart. Returns
 * what follows; NULL when the text is not of that form. */
static const char *mdoc_word(struct sbuf *out, const char *text)
{
	const char *word = text + strspn(text, " (");
	const char *end = *word == '`' ? strchr(word + 1, '`') : NULL;
	_cleanup_(sbuf_fini) struct sbuf inner = SBUF_INIT;

	if (!end)
		return NULL;
	sbuf_add(&inner, word + 1, (size_t)(end - word - 1));
	sbuf_puts(out, word[-1] == '(' ? "\n.Cm ( " : "\n.Cm ");
	mdoc_argument(out, sbuf_str(&inner));
	out->failed |= inner.failed;
	for (end++; *end && strchr(".,:;)", *end); end++)
		sbuf_printf(out, " %c", *end);
	if (*end != ' ' || end[strspn(end, " (")] == '`')
		return end;
	sbuf_putc(out, '\n');
	return end + 1;
}

void mdoc_text(struct sbuf *out, const char *text)
{
	if (text[0] == '.' || text[0] == '\'')
		sbuf_puts(out, "\\&");
	while (*text) {
		const char *after = *text == ' ' ? mdoc_word(out, text) : NULL;

		if (after) {
			text = after;
		} else if (*text == '\\') {
			sbuf_puts(out, "\\e");
			text++;
		} else if (strncmp(text, ". ", 2) == 0 && isupper((unsigned char)text[2])) {
			sbuf_puts(out, ".\n");
			text += 2;
		} else {
			sbuf_putc(out, *text++);
		}
	}
}

/* ---- plain ---- */

void plain_text(struct sbuf *out, const char *text, size_t max_bytes)
{
	char clean[1024];

	sbuf_add(out, clean,
		sanitise(clean, min_of(sizeof clean - 1, max_bytes) + 1, text, strlen(text)));
}

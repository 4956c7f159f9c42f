/* SPDX-License-Identifier: MIT */
/*
 * Texts with ${name} in them. Check kinds look for names that nobody defines at load and fill the
 * rest for each request. Pure.
 */
#include "modelhealth/core/template.h"

#include <ctype.h>

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

size_t template_reference(const char *text)
{
	size_t len;

	if (strncmp(text, "${", 2) != 0 || !islower((unsigned char)text[2]))
		return 0;
	len = strspn(text + 2, name_letters);
	return text[2 + len] == '}' ? 2 + len + 1 : 0;
}

/* The next reference at or after text, NULL without; escaped ones are passed over. */
static const char *next_reference(const char *text)
{
	for (text = strchr(text, '$'); text; text = strchr(text + 1, '$')) {
		if (strncmp(text, "$${", 3) == 0)
			text += 2;
		else if (template_reference(text) > 0)
			break;
	}
	return text;
}

static bool is_name(const char *name, size_t len, const char *candidate)
{
	return strlen(candidate) == len && memcmp(name, candidate, len) == 0;
}

const char *template_unknown(const char *text, const char *const *names, size_t n, size_t *ret_len)
{
	for (text = next_reference(text); text; text = next_reference(text + 1)) {
		size_t len = template_reference(text) - strlen("${}");
		size_t i = 0;

		while (i < n && !is_name(text + 2, len, names[i]))
			i++;
		if (i < n)
			continue;
		*ret_len = len;
		return text + 2;
	}
	return NULL;
}

bool template_uses(const char *text, const char *name)
{
	for (text = next_reference(text); text; text = next_reference(text + 1)) {
		if (is_name(text + 2, template_reference(text) - strlen("${}"), name))
			return true;
	}
	return false;
}

/* RFC 3986 unreserved characters alone stay, and the * of a masked secret. */
static void put_path(const char *text, struct sbuf *out)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~*", *text))
			sbuf_putc(out, *text);
		else
			sbuf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static void put_json(const char *text, struct sbuf *out)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20) {
			sbuf_printf(out, "\\u%04x", (unsigned)(unsigned char)*text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			sbuf_putc(out, '\\');
		sbuf_putc(out, *text);
	}
}

static void put_value(const char *text, enum template_escape escape, struct sbuf *out)
{
	switch (escape) {
	case TEMPLATE_PLAIN:
		sbuf_puts(out, text);
		break;
	case TEMPLATE_PATH:
		put_path(text, out);
		break;
	case TEMPLATE_JSON:
		put_json(text, out);
		break;
	}
}

void template_expand(const char *text, const struct template_value *values, size_t n,
	enum template_escape escape, struct sbuf *out)
{
	while (*text) {
		size_t plain = strcspn(text, "$");
		size_t len = template_reference(text + plain);
		size_t i = 0;

		sbuf_add(out, text, plain);
		text += plain;
		if (strncmp(text, "$${", 3) == 0) {
			sbuf_puts(out, "${");
			text += 3;
			continue;
		}
		while (len > 0 && i < n && !is_name(text + 2, len - strlen("${}"), values[i].name))
			i++;
		if (len > 0 && i < n) {
			put_value(values[i].text, escape, out);
			text += len;
		} else if (*text) {
			sbuf_putc(out, *text++);
		}
	}
}

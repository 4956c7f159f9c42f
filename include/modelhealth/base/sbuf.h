/* SPDX-License-Identifier: MIT */
/*
 * A growing byte buffer that is always NUL-terminated. Appending never fails loudly: the first
 * allocation failure or overrun of the limit sets `failed`, later appends do nothing, and the
 * owner checks once at the end.
 */
#pragma once

#include <stdarg.h>
#include <string.h>

#include "modelhealth/base/defs.h"

struct sbuf {
	char *data;   /* NULL until the first append */
	size_t len;   /* bytes, without the final NUL */
	size_t cap;   /* bytes allocated */
	size_t limit; /* most bytes of text to hold; 0 = no limit of its own */
	bool failed;  /* an append was lost */
};

#define SBUF_INIT \
	{         \
	}

/* Appends len bytes. Text that would pass the limit is not appended at all and sets failed. */
void sbuf_add(struct sbuf *buf, const char *data, size_t len);

static inline void sbuf_puts(struct sbuf *buf, const char *text)
{
	sbuf_add(buf, text, strlen(text));
}

void sbuf_putc(struct sbuf *buf, char c);
void sbuf_printf(struct sbuf *buf, const char *format, ...) _printf_(2, 3);
void sbuf_vprintf(struct sbuf *buf, const char *format, va_list args) _printf_(2, 0);

/* Appends an unsigned number in decimal; much cheaper than printf, for the metrics page. */
void sbuf_put_u64(struct sbuf *buf, uint64_t value);

/* Appends microseconds as seconds with up to six decimals, trailing zeros removed ("0.25"). */
void sbuf_put_seconds(struct sbuf *buf, usec_t usec);

/* Makes room for len more bytes; returns where they go, or NULL (and sets failed). */
char *sbuf_reserve(struct sbuf *buf, size_t len);

/* The text so far, never NULL; borrowed until the next append. */
const char *sbuf_str(const struct sbuf *buf);

/* Empties the buffer and keeps its memory; clears failed. */
void sbuf_clear(struct sbuf *buf);

/* Hands the text over to the caller, who frees it; NULL when failed. Leaves an empty buffer. */
char *sbuf_steal(struct sbuf *buf);

void sbuf_fini(struct sbuf *buf);

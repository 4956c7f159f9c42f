/* SPDX-License-Identifier: MIT */
/*
 * Grows by half, so that building a text of n bytes copies O(n). Owned by whoever builds the text;
 * the status port keeps its buffers between requests.
 */
#include "modelhealth/base/sbuf.h"

#include <stdio.h>
#include <stdlib.h>

/* Makes room for len more bytes and the NUL. */
static bool grow(struct sbuf *buf, size_t len)
{
	size_t need, cap;
	char *data;

	if (buf->failed)
		return false;
	if (__builtin_add_overflow(buf->len, len, &need) || need >= PTRDIFF_MAX ||
		(buf->limit != 0 && need > buf->limit)) {
		buf->failed = true;
		return false;
	}
	if (need < buf->cap)
		return true;
	cap = max_of(need + 1, max_of(buf->cap + buf->cap / 2, (size_t)64));
	data = realloc(buf->data, cap);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->cap = cap;
	return true;
}

char *sbuf_reserve(struct sbuf *buf, size_t len)
{
	return grow(buf, len) ? buf->data + buf->len : NULL;
}

void sbuf_add(struct sbuf *buf, const char *data, size_t len)
{
	if (!grow(buf, len))
		return;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void sbuf_putc(struct sbuf *buf, char c)
{
	sbuf_add(buf, &c, 1);
}

void sbuf_vprintf(struct sbuf *buf, const char *format, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0 || !grow(buf, (size_t)len)) {
		buf->failed = true;
		return;
	}
	(void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args); /* len is known */
	buf->len += (size_t)len;
}

void sbuf_printf(struct sbuf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	sbuf_vprintf(buf, format, args);
	va_end(args);
}

void sbuf_put_u64(struct sbuf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	sbuf_add(buf, digits + at, sizeof digits - at);
}

void sbuf_put_seconds(struct sbuf *buf, usec_t usec)
{
	uint64_t rest = usec % USEC_PER_SEC;
	char decimals[7] = ".000000";
	size_t len = sizeof decimals;

	sbuf_put_u64(buf, usec / USEC_PER_SEC);
	if (rest == 0)
		return;
	for (size_t i = 6; i > 0; i--, rest /= 10)
		decimals[i] = (char)('0' + rest % 10);
	while (decimals[len - 1] == '0')
		len--;
	sbuf_add(buf, decimals, len);
}

const char *sbuf_str(const struct sbuf *buf)
{
	return buf->data ? buf->data : "";
}

void sbuf_clear(struct sbuf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

char *sbuf_steal(struct sbuf *buf)
{
	char *text = NULL;

	if (!buf->failed && grow(buf, 0)) {
		buf->data[buf->len] = '\0';
		text = take_ptr(buf->data);
	}
	sbuf_fini(buf);
	return text;
}

void sbuf_fini(struct sbuf *buf)
{
	free(buf->data);
	*buf = (struct sbuf){ .limit = buf->limit };
}

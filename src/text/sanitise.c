/* SPDX-License-Identifier: MIT */
/*
 * Decodes UTF-8 by the table of RFC 3629 and copies what is safe to show. Everything that comes from
 * a peer passes here before it is kept, logged or shown.
 */
#include "modelhealth/text/sanitise.h"

#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
static const char ellipsis[] = "\xe2\x80\xa6";    /* U+2026 */

/* Length of the well-formed sequence at text (RFC 3629, table 3-7 of Unicode), 0 if there is none;
 * the code point in ret_code. */
static size_t decode(const unsigned char *text, size_t len, uint32_t *ret_code)
{
	static const struct {
		unsigned char from, to; /* first byte */
		unsigned char second_from, second_to;
		unsigned char extra, mask;
	} forms[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 1, 0x1f },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 2, 0x0f },
		{ 0xe1, 0xec, 0x80, 0xbf, 2, 0x0f },
		{ 0xed, 0xed, 0x80, 0x9f, 2, 0x0f },
		{ 0xee, 0xef, 0x80, 0xbf, 2, 0x0f },
		{ 0xf0, 0xf0, 0x90, 0xbf, 3, 0x07 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 3, 0x07 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 3, 0x07 },
	};

	if (text[0] < 0x80) {
		*ret_code = text[0];
		return 1;
	}
	for (size_t i = 0; i < array_size(forms); i++) {
		if (text[0] < forms[i].from || text[0] > forms[i].to)
			continue;
		if (len <= forms[i].extra || text[1] < forms[i].second_from ||
			text[1] > forms[i].second_to)
			return 0;
		*ret_code = text[0] & forms[i].mask;
		for (size_t k = 1; k <= forms[i].extra; k++) {
			if ((text[k] & 0xc0) != 0x80)
				return 0;
			*ret_code = (*ret_code << 6) | (text[k] & 0x3fu);
		}
		return forms[i].extra + 1u;
	}
	return 0;
}

/* Characters that move the cursor, end the line or turn the reading direction. */
static bool is_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) || /* C0, DEL, C1 */
	       code == 0x2028 || code == 0x2029 ||              /* line, paragraph separator */
	       code == 0x200e || code == 0x200f || code == 0x061c ||
	       (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || /* directional marks and overrides */
	       code == 0xfeff;
}

bool utf8_is_valid(const char *text, size_t len)
{
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t code;

	for (size_t i = 0, n; i < len; i += n) {
		n = decode(bytes + i, len - i, &code);
		if (n == 0 || code == 0)
			return false;
	}
	return true;
}

void utf8_repair(const char *text, size_t len, struct sbuf *out)
{
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t code;

	for (size_t i = 0, n; i < len; i += max_of(n, (size_t)1)) {
		n = decode(bytes + i, len - i, &code);
		if (n == 0 || code == 0)
			sbuf_puts(out, replacement);
		else
			sbuf_add(out, text + i, n);
	}
}

size_t sanitise(char *dst, size_t dst_size, const char *src, size_t src_len)
{
	const unsigned char *bytes = (const unsigned char *)src;
	size_t out = 0;
	size_t cut = 0;   /* where the ellipsis goes if the rest does not fit */
	size_t blank = 0; /* 1 = a blank is due before the next character */

	if (dst_size == 0)
		return 0;
	for (size_t i = 0, n; i < src_len; i += max_of(n, (size_t)1)) {
		uint32_t code = 0;
		const char *piece;
		size_t len;

		n = decode(bytes + i, src_len - i, &code);
		piece = n == 0 ? replacement : src + i;
		len = n == 0 ? sizeof replacement - 1 : n;
		if (n > 0 && (is_unsafe(code) || code == ' ')) {
			blank = out > 0 ? 1 : 0;
			continue;
		}
		if (out + blank + len >= dst_size) {
			if (dst_size < sizeof ellipsis)
				break;
			memcpy(dst + cut, ellipsis, sizeof ellipsis);
			return cut + sizeof ellipsis - 1;
		}
		if (blank > 0)
			dst[out++] = ' ';
		blank = 0;
		memcpy(dst + out, piece, len);
		out += len;
		if (out + sizeof ellipsis <= dst_size)
			cut = out;
	}
	dst[out] = '\0';
	return out;
}

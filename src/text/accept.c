/* SPDX-License-Identifier: MIT */
/*
 * Content negotiation, as far as Prometheus and browsers need it. engine/status.c asks for each
 * media type that a path can be answered in.
 */
#include "modelhealth/text/accept.h"

#include <string.h>
#include <strings.h>

/* A part of a field, not ended by NUL. */
struct piece {
	const char *text;
	size_t len;
};

/* "type/subtype; version=1.0.0; q=0.5" */
struct range {
	struct piece type, version; /* version.len 0 = none */
	unsigned quality;
};

/* What stands before the next separator, without the blanks around it; rest moves behind that. */
static struct piece next_piece(struct piece *rest, char separator)
{
	const char *end = memchr(rest->text, separator, rest->len);
	struct piece piece = { rest->text, end ? (size_t)(end - rest->text) : rest->len };
	size_t taken = piece.len + (end ? 1 : 0);

	*rest = (struct piece){ rest->text + taken, rest->len - taken };
	for (; piece.len > 0 && strchr(" \t", piece.text[0]); piece.text++)
		piece.len--;
	while (piece.len > 0 && strchr(" \t", piece.text[piece.len - 1]))
		piece.len--;
	return piece;
}

static bool same(struct piece a, struct piece b)
{
	return a.len == b.len && strncasecmp(a.text, b.text, a.len) == 0;
}

static bool equals(struct piece piece, const char *text)
{
	return same(piece, (struct piece){ text, strlen(text) });
}

/* "1", "0.75": one digit and up to three more. False for anything else. */
static bool read_quality(struct piece text, unsigned *ret_quality)
{
	unsigned quality = 0, unit = ACCEPT_WHOLLY;

	if (text.len == 0 || text.len > strlen("0.000") || (text.len > 1 && text.text[1] != '.'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (i == 1)
			continue;
		if (text.text[i] < '0' || text.text[i] > '9')
			return false;
		quality += (unsigned)(text.text[i] - '0') * unit;
		unit /= 10;
	}
	if (quality > ACCEPT_WHOLLY)
		return false;
	*ret_quality = quality;
	return true;
}

static bool read_range(struct piece text, struct range *ret_range)
{
	struct range range = { .type = next_piece(&text, ';'), .quality = ACCEPT_WHOLLY };

	while (text.len > 0) {
		struct piece value = next_piece(&text, ';');
		struct piece name = next_piece(&value, '=');

		if (equals(name, "version"))
			range.version = value;
		else if (equals(name, "q") && !read_quality(value, &range.quality))
			return false;
	}
	*ret_range = range;
	return true;
}

/* How closely a range fits what we have; 0 = not at all. */
static unsigned fit(const struct range *range, const struct range *ours)
{
	struct piece type = range->type;

	if (equals(type, "*/*"))
		return 1;
	if (type.len > 2 && memcmp(type.text + type.len - 2, "/*", 2) == 0) {
		type.len--; /* the slash stays */
		return same(type,
			       (struct piece){ ours->type.text, min_of(type.len, ours->type.len) })
			       ? 2
			       : 0;
	}
	if (!same(type, ours->type))
		return 0;
	if (range->version.len == 0)
		return 3;
	return same(range->version, ours->version) ? 4 : 0;
}

unsigned accept_quality(const char *accept, const char *mime)
{
	struct piece rest = { accept, accept ? strlen(accept) : 0 };
	unsigned best_fit = 0, quality = accept ? 0 : ACCEPT_WHOLLY;
	struct range ours;

	must(read_range((struct piece){ mime, strlen(mime) }, &ours));
	while (rest.len > 0) {
		struct range range;
		unsigned this_fit;

		if (!read_range(next_piece(&rest, ','), &range))
			continue;
		this_fit = fit(&range, &ours);
		if (this_fit > best_fit) {
			best_fit = this_fit;
			quality = range.quality;
		}
	}
	return quality;
}

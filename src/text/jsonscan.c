/* SPDX-License-Identifier: MIT */
/*
 * One loop over the text with a stack of the open arrays and objects; nothing is allocated and
 * nothing is copied. Which pointers can still match below a value is a set of bits, so that a part
 * that no pointer names costs only its grammar. Called by core/stream.c for every event.
 */
#include "modelhealth/text/jsonscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum {
	NAME_BUCKETS = 16,
	NAME_SIZE = 256, /* a longer name of the document is none of ours */
	NUMBER_SIZE = 64
};

/* One step of a pointer. */
struct segment {
	const char *name; /* unescaped; NULL = "*" */
	size_t len;
	size_t index; /* of an array; SIZE_MAX = no index */
};

struct json_scan {
	size_t n;
	uint64_t ends[JSON_SCAN_MAX_SEGMENTS + 1]; /* pointers with that many segments */
	uint64_t starred;                          /* pointers with a "*" */
	/* by depth and by bucket_of() its next name: the pointers that a member can be for */
	uint64_t bucket[JSON_SCAN_MAX_SEGMENTS][NAME_BUCKETS];
	struct segment (*segments)[JSON_SCAN_MAX_SEGMENTS]; /* by pointer */
	char *names;
};

/* ---- pointers ---- */

static unsigned bucket_of(const char *name, size_t len)
{
	return len == 0 ? 0 : ((unsigned char)name[0] + (unsigned)len) % NAME_BUCKETS;
}

/* RFC 6901: 0, or digits that do not start with one. */
static size_t index_of(const char *name, size_t len)
{
	size_t index = 0;

	if (len == 0 || len > 9 || (name[0] == '0' && len > 1))
		return SIZE_MAX;
	for (size_t i = 0; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return SIZE_MAX;
		index = index * 10 + (size_t)(name[i] - '0');
	}
	return index;
}

/* Reads the segment behind the slash at pointer into names; returns what follows it. */
static const char *take_segment(const char *pointer, char **names, struct segment *segment)
{
	char *out = *names;

	segment->name = out;
	for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
		*out = *pointer;
		if (*pointer == '~')
			*out = *++pointer == '1' ? '/' : '~';
		out++;
	}
	segment->len = (size_t)(out - segment->name);
	segment->index = index_of(segment->name, segment->len);
	*names = out;
	if (segment->len == 1 && segment->name[0] == '*')
		segment->name = NULL;
	return pointer;
}

static void add_segment(
	struct json_scan *scan, size_t depth, const struct segment *segment, uint64_t bit)
{
	if (segment->name) {
		scan->bucket[depth][bucket_of(segment->name, segment->len)] |= bit;
		return;
	}
	scan->starred |= bit;
	for (size_t i = 0; i < NAME_BUCKETS; i++)
		scan->bucket[depth][i] |= bit;
}

static void add_pointer(struct json_scan *scan, const char *pointer, char **names)
{
	struct segment *segments = scan->segments[scan->n];
	uint64_t bit = UINT64_C(1) << scan->n++;
	size_t depth = 0;

	while (*pointer != '\0' && depth < JSON_SCAN_MAX_SEGMENTS) {
		pointer = take_segment(pointer, names, &segments[depth]);
		add_segment(scan, depth, &segments[depth], bit);
		depth++;
	}
	if (*pointer == '\0')
		scan->ends[depth] |= bit;
}

struct json_scan *json_scan_new(const char *const *pointers, size_t n)
{
	struct json_scan *scan = calloc(1, sizeof *scan);
	size_t size = 1;
	char *names;

	must(n <= JSON_SCAN_MAX_POINTERS);
	for (size_t i = 0; i < n; i++)
		size += strlen(pointers[i]);
	if (!scan)
		return NULL;
	scan->segments = calloc(max_of(n, (size_t)1), sizeof *scan->segments);
	scan->names = malloc(size);
	if (!scan->segments || !scan->names)
		return json_scan_free(scan);
	names = scan->names;
	for (size_t i = 0; i < n; i++)
		add_pointer(scan, pointers[i], &names);
	return scan;
}

struct json_scan *json_scan_free(struct json_scan *scan)
{
	if (scan) {
		free(scan->segments);
		free(scan->names);
	}
	free(scan);
	return NULL;
}

/* ---- tokens ---- */

struct cursor {
	const char *at, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void skip_blanks(struct cursor *c)
{
	while (c->at < c->end &&
		(*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
		c->at++;
}

/* What stands for itself inside a string. */
static bool is_plain(char c)
{
	return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

/* Over the escape at the cursor. */
static int skip_escape(struct cursor *c)
{
	size_t left = (size_t)(c->end - c->at);

	if (left < 2)
		return -ENODATA;
	if (c->at[1] != 'u') {
		if (c->at[1] == '\0' || !strchr("\"\\/bfnrt", c->at[1]))
			return -EINVAL;
		c->at += 2;
		return 0;
	}
	for (size_t i = 2; i < 6; i++) {
		if (i >= left)
			return -ENODATA;
		if (c->at[i] == '\0' || !strchr("0123456789abcdefABCDEF", c->at[i]))
			return -EINVAL;
	}
	c->at += 6;
	return 0;
}

/* Over the string whose opening quote is at the cursor. */
static int scan_string(struct cursor *c, struct json_span *span)
{
	int r = 0;

	*span = (struct json_span){ .text = ++c->at, .kind = JSON_STRING };
	while (r == 0) {
		while (c->at < c->end && is_plain(*c->at))
			c->at++;
		if (c->at == c->end)
			return -ENODATA;
		if (*c->at == '"')
			break;
		if (*c->at != '\\')
			return -EINVAL;
		span->has_escapes = true;
		r = skip_escape(c);
	}
	span->len = (size_t)(c->at - span->text);
	c->at++;
	return r;
}

/* At least one digit. */
static int skip_digits(struct cursor *c)
{
	if (c->at == c->end)
		return -ENODATA;
	if (!is_digit(*c->at))
		return -EINVAL;
	while (c->at < c->end && is_digit(*c->at))
		c->at++;
	return 0;
}

static int scan_number(struct cursor *c, struct json_span *span)
{
	int r = 0;

	*span = (struct json_span){ .text = c->at, .kind = JSON_NUMBER };
	if (*c->at == '-')
		c->at++;
	if (c->at < c->end && *c->at == '0')
		c->at++;
	else
		r = skip_digits(c);
	if (r == 0 && c->at < c->end && *c->at == '.') {
		c->at++;
		r = skip_digits(c);
	}
	if (r == 0 && c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
		c->at++;
		if (c->at < c->end && (*c->at == '+' || *c->at == '-'))
			c->at++;
		r = skip_digits(c);
	}
	span->len = (size_t)(c->at - span->text);
	return r;
}

static int scan_word(struct cursor *c, struct json_span *span)
{
	static const struct {
		const char *text;
		enum json_kind kind;
	} words[] = { { "true", JSON_BOOL }, { "false", JSON_BOOL }, { "null", JSON_NULL } };

	size_t left = (size_t)(c->end - c->at);

	for (size_t i = 0; i < array_size(words); i++) {
		size_t len = strlen(words[i].text);

		if (memcmp(c->at, words[i].text, min_of(left, len)) != 0)
			continue;
		*span = (struct json_span){ .text = c->at, .len = len, .kind = words[i].kind };
		c->at += len;
		return left < len ? -ENODATA : 0;
	}
	return -EINVAL;
}

static int scan_scalar(struct cursor *c, struct json_span *span)
{
	if (*c->at == '"')
		return scan_string(c, span);
	if (*c->at == '-' || is_digit(*c->at))
		return scan_number(c, span);
	return scan_word(c, span);
}

/* ---- the walk ---- */

/* An array or object that is open. */
struct level {
	const char *from;
	uint64_t below; /* pointers that can name something in it */
	uint64_t named; /* pointers that name it */
	size_t index;   /* of the element at hand, in an array */
	bool is_array;
};

struct walk {
	const struct json_scan *scan;
	struct cursor cursor;
	size_t depth;
	struct json_extent extent;
	struct level levels[JSON_MAX_DEPTH];
	uint64_t active; /* pointers that lead to the value at hand */
	uint64_t found;
	struct json_span *spans;
};

static void record(struct walk *walk, uint64_t named, const struct json_span *span)
{
	named &= ~(walk->found & walk->scan->starred);
	walk->found |= named;
	for (; named != 0; named &= named - 1)
		walk->spans[__builtin_ctzll(named)] = *span;
}

static uint64_t named_here(const struct walk *walk)
{
	return walk->depth <= JSON_SCAN_MAX_SEGMENTS ? walk->active & walk->scan->ends[walk->depth]
						     : 0;
}

/* Of the pointers below a level, those that name the element `index`. */
static uint64_t step_index(const struct walk *walk, uint64_t below, size_t index)
{
	size_t depth = walk->depth - 1;
	uint64_t active = 0;

	for (; below != 0; below &= below - 1) {
		unsigned i = (unsigned)__builtin_ctzll(below);
		const struct segment *segment = &walk->scan->segments[i][depth];

		if (!segment->name || segment->index == index)
			active |= UINT64_C(1) << i;
	}
	return active;
}

/* Of the pointers below a level, those that name the member. */
static uint64_t step_name(const struct walk *walk, uint64_t below, const char *name, size_t len)
{
	size_t depth = walk->depth - 1;
	uint64_t active = 0;

	if (below == 0)
		return 0;
	below &= walk->scan->bucket[depth][bucket_of(name, len)];
	for (; below != 0; below &= below - 1) {
		unsigned i = (unsigned)__builtin_ctzll(below);
		const struct segment *segment = &walk->scan->segments[i][depth];

		if (!segment->name ||
			(segment->len == len && memcmp(segment->name, name, len) == 0))
			active |= UINT64_C(1) << i;
	}
	return active;
}

static uint64_t step_span(const struct walk *walk, uint64_t below, const struct json_span *name)
{
	_cleanup_(sbuf_fini) struct sbuf decoded = { .limit = NAME_SIZE };

	if (!name->has_escapes)
		return step_name(walk, below, name->text, name->len);
	json_span_decode(name, &decoded);
	return decoded.failed ? 0 : step_name(walk, below, sbuf_str(&decoded), decoded.len);
}

/* The name of a member and its colon. */
static int read_name(struct walk *walk, const struct level *level)
{
	struct cursor *c = &walk->cursor;
	struct json_span name;
	int r;

	skip_blanks(c);
	if (c->at == c->end)
		return -ENODATA;
	r = *c->at == '"' ? scan_string(c, &name) : -EINVAL;
	if (r < 0)
		return r;
	skip_blanks(c);
	if (c->at == c->end)
		return -ENODATA;
	if (*c->at++ != ':')
		return -EINVAL;
	walk->active = step_span(walk, level->below, &name);
	walk->found &= ~(walk->active & ~walk->scan->starred); /* a name that was there before */
	return 0;
}

enum step {
	STEP_VALUE, /* a value comes next */
	STEP_AFTER, /* a value is complete */
};

static int open_level(struct walk *walk)
{
	struct cursor *c = &walk->cursor;
	struct level *level = &walk->levels[walk->depth];
	bool is_array = *c->at == '[';

	if (walk->depth == JSON_MAX_DEPTH)
		return -E2BIG;
	*level = (struct level){ .from = c->at++, .named = named_here(walk), .is_array = is_array };
	level->below = walk->depth < JSON_SCAN_MAX_SEGMENTS ? walk->active & ~level->named : 0;
	walk->depth++;
	walk->extent.depth = max_of(walk->extent.depth, walk->depth);
	walk->extent.levels++;
	skip_blanks(c);
	if (c->at == c->end)
		return -ENODATA;
	if (*c->at == (is_array ? ']' : '}'))
		return STEP_AFTER; /* which closes it */
	walk->active = is_array ? step_index(walk, level->below, 0) : 0;
	return is_array ? STEP_VALUE : read_name(walk, level);
}

static int read_value(struct walk *walk)
{
	struct json_span span;
	int r;

	skip_blanks(&walk->cursor);
	if (walk->cursor.at == walk->cursor.end)
		return -ENODATA;
	if (*walk->cursor.at == '{' || *walk->cursor.at == '[')
		return open_level(walk);
	r = scan_scalar(&walk->cursor, &span);
	if (r < 0)
		return r;
	walk->extent.values++;
	record(walk, named_here(walk), &span);
	return STEP_AFTER;
}

/* A comma or the end of the innermost level. */
static int read_after(struct walk *walk)
{
	struct level *level = &walk->levels[walk->depth - 1];
	struct cursor *c = &walk->cursor;
	struct json_span span = { .text = level->from };

	skip_blanks(c);
	if (c->at == c->end)
		return -ENODATA;
	if (*c->at == ',') {
		c->at++;
		if (!level->is_array)
			return read_name(walk, level);
		walk->active = step_index(walk, level->below, ++level->index);
		return STEP_VALUE;
	}
	if (*c->at++ != (level->is_array ? ']' : '}'))
		return -EINVAL;
	span.kind = level->is_array ? JSON_ARRAY : JSON_OBJECT;
	span.len = (size_t)(c->at - span.text);
	walk->depth--;
	record(walk, level->named, &span);
	return STEP_AFTER;
}

/* Over the whole text; the caller has set scan and spans. */
static int walk_text(struct walk *walk, const char *text, size_t len)
{
	int step = STEP_VALUE;

	walk->cursor = (struct cursor){ text, text + len };
	walk->depth = 0;
	walk->extent = (struct json_extent){ 0 };
	walk->active = walk->scan->n == 0 ? 0 : UINT64_MAX >> (64 - walk->scan->n);
	walk->found = 0;
	while (step >= 0 && (step == STEP_VALUE || walk->depth > 0))
		step = step == STEP_VALUE ? read_value(walk) : read_after(walk);
	if (step < 0)
		return step;
	skip_blanks(&walk->cursor);
	return walk->cursor.at == walk->cursor.end ? 0 : -EINVAL;
}

int json_scan(const struct json_scan *scan, const char *text, size_t len, uint64_t *ret_found,
	struct json_span *spans)
{
	struct walk walk; /* not set as a whole: of its many levels few are ever used */
	int r;

	walk.scan = scan;
	walk.spans = spans;
	r = walk_text(&walk, text, len);
	if (r == 0)
		*ret_found = walk.found;
	return r;
}

int json_check(const char *text, size_t len, struct json_extent *ret_extent)
{
	static const struct json_scan nothing;
	struct walk walk; /* see json_scan */
	int r;

	walk.scan = &nothing;
	r = walk_text(&walk, text, len);
	if (r == 0)
		*ret_extent = walk.extent;
	return r;
}

/* ---- values ---- */

static uint32_t hex4(const char *text)
{
	uint32_t code = 0;

	for (size_t i = 0; i < 4; i++) {
		char c = text[i];
		uint32_t digit =
			is_digit(c) ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10);

		code = code * 16 + digit;
	}
	return code;
}

static void put_code(uint32_t code, struct sbuf *out)
{
	char bytes[4];
	size_t len;

	if (code < 0x80) {
		bytes[0] = (char)code;
		len = 1;
	} else if (code < 0x800) {
		bytes[0] = (char)(0xc0 | (code >> 6));
		len = 2;
	} else if (code < 0x10000) {
		bytes[0] = (char)(0xe0 | (code >> 12));
		len = 3;
	} else {
		bytes[0] = (char)(0xf0 | (code >> 18));
		len = 4;
	}
	for (size_t i = len - 1; i > 0; i--, code >>= 6)
		bytes[i] = (char)(0x80 | (code & 0x3f));
	sbuf_add(out, bytes, len);
}

/* The \u escape at text, with its second half if it has one; returns what follows. */
static const char *decode_unicode(const char *text, const char *end, struct sbuf *out)
{
	uint32_t code = hex4(text + 2);
	uint32_t low;

	text += 6;
	if (code >= 0xd800 && code <= 0xdbff && end - text >= 6 && text[0] == '\\' &&
		text[1] == 'u') {
		low = hex4(text + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			put_code(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), out);
			return text + 6;
		}
	}
	put_code(code >= 0xd800 && code <= 0xdfff ? 0xfffd : code, out);
	return text;
}

void json_span_decode(const struct json_span *span, struct sbuf *out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	const char *end = span->text + span->len;
	const char *text = span->text;

	if (!span->has_escapes) {
		sbuf_add(out, text, span->len);
		return;
	}
	while (text < end) {
		const char *escape = memchr(text, '\\', (size_t)(end - text));
		const char *stop = escape ? escape : end;

		sbuf_add(out, text, (size_t)(stop - text));
		text = stop;
		if (!escape)
			break;
		if (text[1] == 'u') {
			text = decode_unicode(text, end, out);
			continue;
		}
		sbuf_putc(out, values[strchr(names, text[1]) - names]);
		text += 2;
	}
}

bool json_span_number(const struct json_span *span, double *ret_number)
{
	char text[NUMBER_SIZE];

	if (span->kind != JSON_NUMBER)
		return false;
	/* strtod() needs an end; digits beyond are far below a double's precision, but for an
	 * integer of that length, which no server sends as a count or a coordinate. */
	if (span->len >= sizeof text)
		return false;
	memcpy(text, span->text, span->len);
	text[span->len] = '\0';
	*ret_number = strtod(text, NULL);
	return true;
}

ssize_t json_span_numbers(const struct json_span *span, double *numbers, size_t n)
{
	struct cursor c = { span->text + 1, span->text + span->len - 1 };
	struct json_span item;
	double number;
	size_t count = 0;

	if (span->kind != JSON_ARRAY)
		return -EINVAL;
	for (skip_blanks(&c); c.at < c.end; skip_blanks(&c)) {
		if (scan_scalar(&c, &item) < 0 || !json_span_number(&item, &number))
			return -EINVAL;
		if (count < n)
			numbers[count] = number;
		count++;
		skip_blanks(&c);
		if (c.at < c.end)
			c.at++; /* the comma: the array was read before */
	}
	return (ssize_t)count;
}

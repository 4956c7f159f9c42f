/* SPDX-License-Identifier: MIT */
/*
 * Metrics text: however it is cut into pieces, the same samples come out, and a filter on names
 * takes away nothing but the samples of other names.
 */
#include "modelhealth/core/promtext.h"

#include "fuzz.h"

struct seen {
	struct sbuf text;
	uint64_t samples, bad_lines;
};

static void add_sample(void *ctx, const struct promtext_sample *sample)
{
	struct sbuf *text = ctx;

	must(sample->name && sample->n_labels <= PROMTEXT_MAX_LABELS);
	sbuf_puts(text, sample->name);
	for (size_t i = 0; i < sample->n_labels; i++) {
		sbuf_printf(text, " %s", sample->labels[i].name);
		sbuf_printf(text, "=%s", sample->labels[i].value);
	}
	sbuf_printf(text, " %a\n", sample->value);
}

static bool is_any(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	(void)name;
	return len > 0;
}

static bool is_none(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	(void)name;
	(void)len;
	return false;
}

/* Reads the text in two pieces, or in pieces of one byte (cut == SIZE_MAX). */
static struct seen read_cut(const char *data, size_t len, size_t cut,
	bool (*is_wanted)(void *ctx, const char *name, size_t len))
{
	struct seen seen = { .text = SBUF_INIT };
	struct promtext reader = {
		.on_sample = add_sample, .is_wanted = is_wanted, .ctx = &seen.text
	};

	if (cut == SIZE_MAX) {
		for (size_t i = 0; i < len; i++)
			promtext_push(&reader, data + i, 1);
	} else {
		promtext_push(&reader, data, cut);
		promtext_push(&reader, data + cut, len - cut);
	}
	promtext_end(&reader);
	seen.samples = reader.samples;
	seen.bad_lines = reader.bad_lines;
	return seen;
}

static void check_same(const struct seen *whole, struct seen cut)
{
	must(cut.samples == whole->samples && cut.bad_lines == whole->bad_lines);
	must(cut.text.len == whole->text.len);
	must(memcmp(sbuf_str(&cut.text), sbuf_str(&whole->text), cut.text.len) == 0);
	sbuf_fini(&cut.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct seen whole = read_cut(text, size, 0, NULL);
	struct seen none = read_cut(text, size, 0, is_none);
	size_t step = size > 4096 ? size / 64 : 1;

	check_same(&whole, read_cut(text, size, SIZE_MAX, NULL));
	check_same(&whole, read_cut(text, size, SIZE_MAX, is_any));
	for (size_t cut = 0; cut <= size; cut += step)
		check_same(&whole, read_cut(text, size, cut, NULL));
	must(none.text.len == 0);
	sbuf_fini(&none.text);
	sbuf_fini(&whole.text);
	return 0;
}

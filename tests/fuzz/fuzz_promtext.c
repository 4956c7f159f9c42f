/* SPDX-License-Identifier: MIT */
/*
 * Metrics text: however it is cut into pieces, the same samples come out, and a filter on names
 * takes away nothing but the samples of other names.
 */
#include "modelhealth/base/rand.h"
#include "modelhealth/core/promtext.h"

#include "fuzz.h"

struct seen {
	uint64_t hash, given; /* of all that came out */
	uint64_t samples, bad_lines;
};

static void mix(struct seen *seen, const char *text)
{
	seen->hash = hash_bytes(text, strlen(text) + 1, seen->hash);
}

static void add_sample(void *ctx, const struct promtext_sample *sample)
{
	struct seen *seen = ctx;

	must(sample->name && sample->n_labels <= PROMTEXT_MAX_LABELS);
	mix(seen, sample->name);
	for (size_t i = 0; i < sample->n_labels; i++) {
		mix(seen, sample->labels[i].name);
		mix(seen, sample->labels[i].value);
	}
	seen->hash = hash_bytes(&sample->value, sizeof sample->value, seen->hash);
	seen->given++;
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
	struct seen seen = { 0 };
	struct promtext reader = { .on_sample = add_sample, .is_wanted = is_wanted, .ctx = &seen };

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
	must(memcmp(whole, &cut, sizeof cut) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct seen whole = read_cut(text, size, 0, NULL);
	size_t step = size / 16 + 1; /* test_promtext cuts what is recorded of servers everywhere */

	check_same(&whole, read_cut(text, size, SIZE_MAX, NULL));
	check_same(&whole, read_cut(text, size, SIZE_MAX, is_any));
	for (size_t cut = 0; cut <= size; cut += step)
		check_same(&whole, read_cut(text, size, cut, NULL));
	must(read_cut(text, size, 0, is_none).given == 0);
	return 0;
}

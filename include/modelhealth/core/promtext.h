/* SPDX-License-Identifier: MIT */
/*
 * Reads the Prometheus text format (and the part of OpenMetrics that looks the same) as it comes,
 * cut anywhere, keeping no more than one line.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

enum {
	PROMTEXT_MAX_LINE = 64 * 1024, /* a longer one is skipped and counted as bad */
	PROMTEXT_MAX_LABELS = 64,      /* a line with more is bad */
};

struct promtext_label {
	const char *name;
	const char *value; /* unescaped */
};

struct promtext_sample {
	const char *name; /* may begin with a colon */
	const struct promtext_label *labels;
	size_t n_labels;
	double value; /* may be NaN or infinite */
};

/* The sample is borrowed for the call. */
typedef void (*promtext_fn)(void *ctx, const struct promtext_sample *sample);

struct promtext {
	promtext_fn on_sample;
	/* Whether samples of that name are worth reading; NULL = all are. The lines of others are
	 * counted and not looked at any further. */
	bool (*is_wanted)(void *ctx, const char *name, size_t len);
	void *ctx;
	struct sbuf line; /* as far as it came; taken apart in place */
	bool is_too_long; /* the rest of the line in hand is skipped */
	uint64_t samples, bad_lines;
};

/* Zeroed but for the functions and ctx. Takes the next bytes; on_sample runs for each whole
 * sample. A line that memory is lacking for counts as bad. */
void promtext_push(struct promtext *reader, const char *data, size_t len);

/* The last line may lack its newline. Frees; the counts stay, and a new text may begin. */
void promtext_end(struct promtext *reader);

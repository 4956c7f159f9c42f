/* SPDX-License-Identifier: MIT */
/*
 * Counts of durations in the bucket edges that OpenTelemetry names for gen_ai client operations:
 * 10 ms doubled thirteen times (0.01 s … 81.92 s) and infinity. All our histograms share them.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	HISTOGRAM_BUCKETS = 15
}; /* the last one is +Inf */

struct histogram {
	/* Not cumulative. 64 bits: a busy instance would pass 2^32 turns within weeks. */
	uint64_t bucket[HISTOGRAM_BUCKETS];
	uint64_t sum_usec;
};

void histogram_add(struct histogram *histogram, usec_t usec);

/* Upper edge of a bucket as Prometheus prints it ("0.01" … "81.92", "+Inf"). */
const char *histogram_edge(unsigned bucket);

/* The same ladder a hundred times finer (0.1 ms … 819.2 ms), for our own lateness. sum_usec is in
 * microseconds either way. */
void histogram_add_fine(struct histogram *histogram, usec_t usec);
const char *histogram_edge_fine(unsigned bucket);

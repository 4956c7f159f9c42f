/* SPDX-License-Identifier: MIT */
/*
 * Counts durations on a fixed ladder. The engine and the loop own the counts, the metrics page
 * prints them.
 */
#include "modelhealth/base/histogram.h"

static const char *const edges[HISTOGRAM_BUCKETS] = { "0.01", "0.02", "0.04", "0.08", "0.16",
	"0.32", "0.64", "1.28", "2.56", "5.12", "10.24", "20.48", "40.96", "81.92", "+Inf" };
static const char *const fine_edges[HISTOGRAM_BUCKETS] = { "0.0001", "0.0002", "0.0004", "0.0008",
	"0.0016", "0.0032", "0.0064", "0.0128", "0.0256", "0.0512", "0.1024", "0.2048", "0.4096",
	"0.8192", "+Inf" };

static void add(struct histogram *histogram, usec_t usec, usec_t edge)
{
	unsigned bucket = 0;

	while (bucket < HISTOGRAM_BUCKETS - 1 && usec > edge) {
		bucket++;
		edge *= 2;
	}
	histogram->bucket[bucket]++;
	histogram->sum_usec += usec;
}

void histogram_add(struct histogram *histogram, usec_t usec)
{
	add(histogram, usec, 10 * USEC_PER_MSEC);
}

void histogram_add_fine(struct histogram *histogram, usec_t usec)
{
	add(histogram, usec, USEC_PER_MSEC / 10);
}

const char *histogram_edge(unsigned bucket)
{
	must(bucket < HISTOGRAM_BUCKETS);
	return edges[bucket];
}

const char *histogram_edge_fine(unsigned bucket)
{
	must(bucket < HISTOGRAM_BUCKETS);
	return fine_edges[bucket];
}

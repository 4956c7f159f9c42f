/* SPDX-License-Identifier: MIT */
/*
 * The last results of one check, bounded: outcomes and latencies for percentiles.
 */
#pragma once

#include "modelhealth/core/result.h"

enum {
	WINDOW_SIZE = 60,
	WINDOW_FAILURES = 5
};

struct window {
	uint32_t latency_usec[WINDOW_SIZE]; /* UINT32_MAX = no latency (failed before an answer) */
	uint64_t ok_bits;                   /* bit i: slot i was up or degraded */
	uint16_t n, next;
	struct result *failures; /* the last ones, a ring once there are WINDOW_FAILURES */
	uint16_t n_failures, next_failure;
};

void window_push(struct window *window, const struct result *result);
void window_fini(struct window *window);

unsigned window_ok(const struct window *window);

/* The latency that `percent` of the last n results did not pass (nearest rank); last 0 = all.
 * False without a sample. */
bool window_percentile(
	const struct window *window, unsigned percent, unsigned last, usec_t *ret_usec);

/* The i-th newest failure, 0 = newest; NULL past the end. */
const struct result *window_failure(const struct window *window, unsigned i);

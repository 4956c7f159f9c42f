/* SPDX-License-Identifier: MIT */
/*
 * Mean, maximum and quantiles of any number of short durations in bounded memory, for the times
 * between the tokens of one answer. Buckets are as wide as 1/32 of what they count, so a quantile is
 * right to 1.6 %.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	GAPS_STEPS = 32,                         /* buckets from one power of two to the next */
	GAPS_BUCKETS = GAPS_STEPS * (32 - 5 + 1) /* up to 2^32 µs, which is more than an hour */
};

struct gaps {
	uint32_t bucket[GAPS_BUCKETS];
	uint32_t n;
	usec_t sum, max;
};

void gaps_add(struct gaps *gaps, usec_t usec);

/* 0 when there are none. */
usec_t gaps_mean(const struct gaps *gaps);

/* The duration that `percent` of all do not pass. */
usec_t gaps_quantile(const struct gaps *gaps, unsigned percent);

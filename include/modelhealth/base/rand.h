/* SPDX-License-Identifier: MIT */
/*
 * One seeded generator for every random choice, so that a run can be replayed, and the stable
 * hash that spreads endpoints over time. Neither is for secrets.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct rand {
	uint64_t state[4]; /* xoshiro256** by Blackman and Vigna, seeded by splitmix64 */
};

void rand_seed(struct rand *rand, uint64_t seed);
uint64_t rand_next(struct rand *rand);

/* Uniform in [0, bound); 0 for bound 0. */
uint64_t rand_below(struct rand *rand, uint64_t bound);

/* The same bytes give the same 64 well-mixed bits on every machine and in every version. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);
uint64_t hash_text(const char *text);

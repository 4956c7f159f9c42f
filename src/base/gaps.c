/* SPDX-License-Identifier: MIT */
/*
 * A histogram whose buckets grow with the value: exact below GAPS_STEPS microseconds, then
 * GAPS_STEPS buckets from one power of two to the next. Owned by whoever measures.
 */
#include "modelhealth/base/gaps.h"

static unsigned bucket_of(usec_t usec)
{
	unsigned shift;

	usec = min_of(usec, (usec_t)UINT32_MAX);
	if (usec < GAPS_STEPS)
		return (unsigned)usec;
	shift = 63u - (unsigned)__builtin_clzll(usec) - 5u;
	return GAPS_STEPS * shift + (unsigned)(usec >> shift);
}

/* The middle of a bucket. */
static usec_t middle_of(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * GAPS_STEPS)
		return bucket;
	shift = bucket / GAPS_STEPS - 1;
	return ((usec_t)(bucket - GAPS_STEPS * shift) << shift) + ((usec_t)1 << (shift - 1));
}

void gaps_add(struct gaps *gaps, usec_t usec)
{
	if (gaps->n == UINT32_MAX)
		return;
	gaps->bucket[bucket_of(usec)]++;
	gaps->n++;
	gaps->sum += usec;
	gaps->max = max_of(gaps->max, usec);
}

usec_t gaps_mean(const struct gaps *gaps)
{
	return gaps->n == 0 ? 0 : (gaps->sum + gaps->n / 2) / gaps->n;
}

usec_t gaps_quantile(const struct gaps *gaps, unsigned percent)
{
	/* by nearest rank: of 20 gaps the 19th is p95 */
	uint64_t rank = ((uint64_t)gaps->n * percent + 99) / 100;
	uint64_t seen = 0;

	for (unsigned i = 0; i < GAPS_BUCKETS; i++) {
		seen += gaps->bucket[i];
		if (seen > 0 && seen >= rank)
			return min_of(middle_of(i), gaps->max);
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/window.h"

#include <assert.h>
#include <stdlib.h>

static_assert(WINDOW_SIZE <= 64, "one bit per slot");

static void keep_failure(struct window *window, const struct result *result)
{
	/* Most endpoints never fail, and when all do at once each has failed but once: the ring grows
	 * with the failures. Without memory a failure is still counted, only its detail is not kept. */
	if (window->n_failures < WINDOW_FAILURES) {
		struct result *failures =
			reallocarray(window->failures, window->n_failures + 1u, sizeof *failures);

		if (!failures)
			return;
		window->failures = failures;
		window->next_failure = window->n_failures++;
	}
	window->failures[window->next_failure] = *result;
	window->next_failure = (uint16_t)((window->next_failure + 1) % WINDOW_FAILURES);
}

void window_push(struct window *window, const struct result *result)
{
	enum verdict verdict = result->verdict;
	bool good = verdict == VERDICT_UP || verdict == VERDICT_DEGRADED;
	uint64_t bit;

	if (!good)
		keep_failure(window, result);
	if (verdict == VERDICT_UNKNOWN)
		return; /* says nothing of the target */
	bit = 1ull << window->next;
	window->ok_bits = good ? window->ok_bits | bit : window->ok_bits & ~bit;
	window->latency_usec[window->next] = UINT32_MAX;
	if (good && result_has_timing(result, TIMING_TOTAL))
		window->latency_usec[window->next] =
			(uint32_t)min_of(result->timing[TIMING_TOTAL], (usec_t)UINT32_MAX - 1);
	window->next = (uint16_t)((window->next + 1) % WINDOW_SIZE);
	if (window->n < WINDOW_SIZE)
		window->n++;
}

void window_fini(struct window *window)
{
	free(window->failures);
	*window = (struct window){ 0 };
}

unsigned window_ok(const struct window *window)
{
	return (unsigned)__builtin_popcountll(window->ok_bits);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

bool window_percentile(
	const struct window *window, unsigned percent, unsigned last, usec_t *ret_usec)
{
	uint32_t sorted[WINDOW_SIZE];
	unsigned samples = 0;
	unsigned look = last == 0 || last > window->n ? window->n : last;
	unsigned rank;

	for (unsigned age = 1; age <= look; age++) {
		uint32_t latency =
			window->latency_usec[(window->next + WINDOW_SIZE - age) % WINDOW_SIZE];

		if (latency != UINT32_MAX)
			sorted[samples++] = latency;
	}
	if (samples == 0)
		return false;
	qsort(sorted, samples, sizeof sorted[0], compare_u32);
	rank = (percent * samples + 99) / 100;
	*ret_usec = sorted[max_of(rank, 1u) - 1];
	return true;
}

const struct result *window_failure(const struct window *window, unsigned i)
{
	if (i >= window->n_failures)
		return NULL;
	return &window->failures[(window->next_failure + 2 * WINDOW_FAILURES - 1 - i) %
				 WINDOW_FAILURES];
}

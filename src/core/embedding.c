/* SPDX-License-Identifier: MIT */
/*
 * The arithmetic of embeddings. Pure. The canary keeps the golden vector and asks here.
 */
#include "modelhealth/core/embedding.h"

#include <math.h>

double embedding_norm(struct embedding embedding)
{
	double norm = 0;

	/* hypot neither overflows nor loses what is small */
	for (size_t i = 0; i < embedding.n; i++)
		norm = isfinite(embedding.values[i]) ? hypot(norm, embedding.values[i]) : INFINITY;
	return norm;
}

double embedding_cosine(struct embedding a, struct embedding b)
{
	double norm_a = embedding_norm(a);
	double norm_b = embedding_norm(b);
	double cosine = 0;

	if (a.n != b.n || !isnormal(norm_a) || !isnormal(norm_b))
		return 0;
	for (size_t i = 0; i < a.n; i++)
		cosine += (a.values[i] / norm_a) * (b.values[i] / norm_b);
	return cosine;
}

static bool has_wanted_length(const struct embedding_limits *limits, struct embedding golden,
	struct embedding got, struct result *result)
{
	size_t wanted = limits->dimension > 0 ? limits->dimension : golden.n;

	if (got.n > 0 && (wanted == 0 || got.n == wanted))
		return true;
	if (wanted == 0)
		result_set(result, REASON_EMBEDDING_MISMATCH, "the embedding is empty");
	else
		result_set(result, REASON_EMBEDDING_MISMATCH, "dimension %zu, expected %zu", got.n,
			wanted);
	return false;
}

void embedding_judge(const struct embedding_limits *limits, struct embedding golden,
	struct embedding got, struct result *result)
{
	double norm = embedding_norm(got);
	double cosine;

	if (!has_wanted_length(limits, golden, got, result))
		return;
	if (!isfinite(norm) || norm < limits->min_norm) {
		result_set(result, REASON_EMBEDDING_MISMATCH, "norm %g, expected at least %g", norm,
			limits->min_norm);
		return;
	}
	if (golden.n != got.n || limits->min_cosine < 0)
		return;
	cosine = embedding_cosine(golden, got);
	if (cosine < limits->min_cosine)
		result_set(result, REASON_EMBEDDING_MISMATCH,
			"cosine %.4f to the golden embedding, expected at least %g", cosine,
			limits->min_cosine);
}

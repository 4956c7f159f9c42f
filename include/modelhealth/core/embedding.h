/* SPDX-License-Identifier: MIT */
/*
 * What an embedding must be: the right length, not all zeros, and close to the vector that the
 * same text gave before.
 */
#pragma once

#include "modelhealth/core/result.h"

struct embedding {
	const double *values;
	size_t n; /* 0 = none */
};

struct embedding_limits {
	size_t dimension;  /* 0 = any, but that of the golden one */
	double min_norm;   /* Euclidean */
	double min_cosine; /* to the golden one; negative = do not compare */
};

/* Euclidean length; 0 for no values, infinite when a value is not finite. */
double embedding_norm(struct embedding embedding);

/* Of the angle between two of the same length; 0 when one of them has no direction. */
double embedding_cosine(struct embedding a, struct embedding b);

/* Sets embedding_mismatch unless all is well; golden may be empty. */
void embedding_judge(const struct embedding_limits *limits, struct embedding golden,
	struct embedding got, struct result *result);

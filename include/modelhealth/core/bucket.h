/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: at most `count` starts in any `per`, evenly refilled, full at first.
 */
#pragma once

#include "modelhealth/base/duration.h"

struct bucket {
	struct rate rate; /* count 0 = no limit */
	usec_t full_at;   /* when the bucket will be full again: all it needs to remember */
};

/* Takes one token if there is one. */
bool bucket_take(struct bucket *bucket, usec_t now);

/* When the next token is there; now when one is there already. */
usec_t bucket_next(const struct bucket *bucket, usec_t now);

/* The same for who has `ahead` others before him. */
usec_t bucket_after(const struct bucket *bucket, usec_t now, unsigned ahead);

/* Goes on at another rate. What the old one has used up does not hold back longer than the new one
 * would. */
void bucket_change(struct bucket *bucket, struct rate rate, usec_t now);

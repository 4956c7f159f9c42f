/* SPDX-License-Identifier: MIT */
/*
 * Kept as one time (the "generic cell rate algorithm" of ATM traffic control): each token moves
 * full_at forward by per/count; a token is there while full_at is less than one `per` away.
 */
#include "modelhealth/core/bucket.h"

static usec_t token_time(const struct bucket *bucket)
{
	return bucket->rate.per / bucket->rate.count;
}

usec_t bucket_after(const struct bucket *bucket, usec_t now, unsigned ahead)
{
	usec_t after_take;

	if (bucket->rate.count == 0)
		return now;
	after_take = max_of(bucket->full_at, now) + (ahead + (usec_t)1) * token_time(bucket);
	return after_take <= now + bucket->rate.per ? now : after_take - bucket->rate.per;
}

usec_t bucket_next(const struct bucket *bucket, usec_t now)
{
	return bucket_after(bucket, now, 0);
}

void bucket_change(struct bucket *bucket, struct rate rate, usec_t now)
{
	bucket->rate = rate;
	if (rate.count != 0)
		bucket->full_at = min_of(bucket->full_at, now + rate.per);
}

bool bucket_take(struct bucket *bucket, usec_t now)
{
	if (bucket_next(bucket, now) > now)
		return false;
	if (bucket->rate.count != 0)
		bucket->full_at = max_of(bucket->full_at, now) + token_time(bucket);
	return true;
}

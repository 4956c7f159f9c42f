/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/cadence.h"

#include "modelhealth/base/rand.h"

static uint64_t share_hash(const struct check_spec *spec)
{
	return hash_text(spec->endpoint->name) ^ (hash_text(spec->name) * 3);
}

/* hash/2^64 of span, without the bias and the overflow of a plain multiplication. */
static usec_t share_of(uint64_t hash, usec_t span)
{
	return (usec_t)(((unsigned __int128)hash * span) >> 64);
}

usec_t cadence_anchor(const struct check_spec *spec, usec_t now)
{
	return now + share_of(share_hash(spec), spec->interval);
}

usec_t cadence_first(const struct check_spec *spec, usec_t now)
{
	usec_t spread = min_of(spec->interval, CADENCE_FIRST_SPREAD_SEC * USEC_PER_SEC);

	return now + share_of(share_hash(spec), spread);
}

usec_t cadence_interval(const struct check_spec *spec, const struct health *health)
{
	if (health->decided && health_is_pending(health, &spec->health))
		return spec->fast_interval;
	return health->state == STATE_DOWN ? spec->down_interval : spec->interval;
}

/* The first of base + k * step, k >= 0, that is later than after. */
static usec_t first_after(usec_t base, usec_t step, usec_t after)
{
	if (base > after)
		return base;
	return base + ((after - base) / step + 1) * step;
}

usec_t cadence_next(
	const struct check_spec *spec, usec_t anchor, usec_t last, usec_t interval, usec_t now)
{
	if (interval != spec->interval)
		return first_after(last + interval, interval, now);
	/* Half an interval of distance at least, when coming back to the grid from elsewhere. */
	return first_after(anchor, interval, max_of(now, last + interval / 2));
}

bool cadence_is_near(const struct check_spec *spec, usec_t slot, usec_t now)
{
	return now <= slot + min_of(spec->interval / 2, CADENCE_FIRST_SPREAD_SEC * USEC_PER_SEC);
}

usec_t cadence_resume(const struct check_spec *spec, usec_t slot, usec_t now)
{
	usec_t spread = min_of(spec->interval, CADENCE_FIRST_SPREAD_SEC * USEC_PER_SEC);
	usec_t wait;

	if (slot >= now)
		return slot;
	if (cadence_is_near(spec, slot, now))
		return now + 2 * (now - slot);
	wait = first_after(slot, spec->interval, now) - now;
	return now + (usec_t)((unsigned __int128)wait * spread / spec->interval);
}

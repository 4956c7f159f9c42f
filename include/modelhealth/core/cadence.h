/* SPDX-License-Identifier: MIT */
/*
 * When a check starts next. All times are monotonic; planned times form a grid that never drifts:
 * anchor, anchor + interval, anchor + 2 * interval …
 */
#pragma once

#include "modelhealth/core/health.h"
#include "modelhealth/core/spec.h"

/* First checks after start come within this time, whatever the interval. */
enum {
	CADENCE_FIRST_SPREAD_SEC = 10
};

/* Where the grid of a check lies: `now` plus a share of the interval that depends on nothing but
 * the names, so that endpoints spread evenly and stay apart. */
usec_t cadence_anchor(const struct check_spec *spec, usec_t now);

/* The first start: within min(interval, 10 s) of now, spread in the same proportion. */
usec_t cadence_first(const struct check_spec *spec, usec_t now);

/* The interval that the check's state asks for: fast while a change is pending, its own pace
 * while down. */
usec_t cadence_interval(const struct check_spec *spec, const struct health *health);

/*
 * The next planned start after the one planned at `last`, always later than now. The normal
 * interval returns to the grid; fast and down intervals count from `last`.
 */
usec_t cadence_next(
	const struct check_spec *spec, usec_t anchor, usec_t last, usec_t interval, usec_t now);

/* Whether a slot that passed while no process ran is so near that its check only goes on late: by ten
 * seconds or half of its interval. After more than that it begins again. */
bool cadence_is_near(const struct check_spec *spec, usec_t slot, usec_t now);

/*
 * When a check starts that an earlier process had planned for `slot`; its grid stays. What is near
 * starts twice as late as it is late already: at half the pace at which it would have come, on top
 * of what comes by itself. After more than that all come in the order of the grid, within ten
 * seconds.
 */
usec_t cadence_resume(const struct check_spec *spec, usec_t slot, usec_t now);

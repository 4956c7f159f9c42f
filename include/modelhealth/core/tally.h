/* SPDX-License-Identifier: MIT */
/*
 * How often each reason has occurred. Of the many that there are, a check sees three or four in its
 * life: only those take memory.
 */
#pragma once

#include "modelhealth/core/reason.h"

struct tally_row {
	enum reason reason;
	uint32_t count;
};

struct tally {
	struct tally_row *rows; /* in the order of enum reason */
	uint32_t n;
	uint32_t total; /* also what memory was missing for */
};

/* Without memory for a reason that is new, only the total counts it. */
void tally_add(struct tally *tally, enum reason reason);

/* 0 for one that never occurred. */
uint32_t tally_count(const struct tally *tally, enum reason reason);

void tally_fini(struct tally *tally);

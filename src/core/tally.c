/* SPDX-License-Identifier: MIT */
/*
 * A short sorted list of counts. Each check has one; the engine adds, the outputs read.
 */
#include "modelhealth/core/tally.h"

#include <stdlib.h>
#include <string.h>

/* Where the reason stands, or would stand. */
static uint32_t place_of(const struct tally *tally, enum reason reason)
{
	uint32_t i = 0;

	while (i < tally->n && tally->rows[i].reason < reason)
		i++;
	return i;
}

static bool is_at(const struct tally *tally, uint32_t i, enum reason reason)
{
	return i < tally->n && tally->rows[i].reason == reason;
}

void tally_add(struct tally *tally, enum reason reason)
{
	uint32_t i = place_of(tally, reason);
	struct tally_row *rows;

	tally->total++;
	if (is_at(tally, i, reason)) {
		tally->rows[i].count++;
		return;
	}
	rows = reallocarray(tally->rows, tally->n + 1, sizeof *rows);
	if (!rows)
		return;
	memmove(&rows[i + 1], &rows[i], (tally->n - i) * sizeof *rows);
	rows[i] = (struct tally_row){ .reason = reason, .count = 1 };
	tally->rows = rows;
	tally->n++;
}

uint32_t tally_count(const struct tally *tally, enum reason reason)
{
	uint32_t i = place_of(tally, reason);

	return is_at(tally, i, reason) ? tally->rows[i].count : 0;
}

void tally_fini(struct tally *tally)
{
	free(tally->rows);
	*tally = (struct tally){ 0 };
}

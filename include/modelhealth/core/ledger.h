/* SPDX-License-Identifier: MIT */
/*
 * A table of records in memory that outlives the process, so built that it can be read whatever the
 * instant at which the process was killed. Pure: io/keeper.c brings the memory and the file.
 *
 *   slot 0   header: what this is, and where the live area lies
 *   slot 1   the record that was written last, once more
 *   slot 2…  areas of records; a new one is filled beside the live one, and becomes it by one store
 *
 * A record goes to slot 1 first and then to its place: of these two, one is always whole.
 * The file is the same with the live area alone, and with a sum over all of it.
 */
#pragma once

#include "modelhealth/core/record.h"

enum {
	LEDGER_REDO = 1,
	LEDGER_FIRST = 2,
	LEDGER_MAX_SLOTS = 1 << 21, /* 160 MiB: several times what any configuration can need */
};

/* Writes the header of an empty ledger. */
void ledger_format(struct record *slots);

/* The first slot of an area for n records that does not touch the live one. */
size_t ledger_free_area(const struct record *slots, size_t n);

/* Makes an area the live one. */
void ledger_commit(struct record *slots, size_t first, size_t n);

/* Seals the record and writes it to its slot. */
void ledger_put(struct record *slots, struct record *to, struct record *record);

/* What was read. */
struct ledger_image {
	struct record *records; /* owned, whole, sorted by key */
	size_t n;
	size_t n_broken; /* records that were not whole */
	/* The moment `then` on the writer's monotonic clock is `now` on ours. */
	usec_t then, now;
};

enum ledger_source {
	LEDGER_MEMORY, /* written by a process of this very boot, up to now */
	LEDGER_FILE,
};

/*
 * Reads any bytes. now and real are those of the reader. Returns 0, -ENOMEM, or -EBADMSG with why
 * it is no ledger of this version, as a phrase ("it is cut short"). The image needs
 * ledger_image_fini in any case.
 */
int ledger_read(const void *bytes, size_t len, enum ledger_source source, usec_t now, usec_t real,
	struct ledger_image *ret_image, const char **ret_problem);

void ledger_image_fini(struct ledger_image *image);

/* The record of that key; NULL without. */
const struct record *ledger_find(const struct ledger_image *image, uint64_t key);

/* When a record was written, on our monotonic clock; never later than now. */
usec_t ledger_time(const struct ledger_image *image, const struct record *record);

/* How long ago the newest record was written. */
usec_t ledger_age(const struct ledger_image *image, usec_t now);

/* The file for the live area as it is at monotonic time now, wall time real: owned, NULL without
 * memory; its length in bytes. */
struct record *ledger_pack(const struct record *slots, usec_t now, usec_t real, size_t *ret_bytes);

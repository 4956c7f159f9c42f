/* SPDX-License-Identifier: MIT */
/*
 * Where states live when their process does not: in memory that the service manager keeps (a memfd
 * given to it once), and, from a clean end to the next start, in a file. What stands in them is the
 * matter of core/ledger.
 */
#pragma once

#include "modelhealth/core/ledger.h"
#include "modelhealth/io/inherited.h"
#include "modelhealth/io/notify.h"

struct keeper;

struct keeper_setup {
	struct inherited *inherited;
	struct notify *notify; /* lives as long as the keeper */
	const char *directory; /* of the file; NULL = none */
	usec_t now, real;      /* monotonic and wall time of the start */
};

/* How to find what was left. */
struct keeper_found {
	const struct ledger_image *image; /* the keeper's, until keeper_forget; NULL = nothing */
	const char *source;               /* of the image, as a phrase */
	char problem[512]; /* what cannot be used, why, and what became of it; "" = all well */
};

/* 0 or -errno; then states are not kept. Reads a file: at start only. */
int keeper_new(const struct keeper_setup *setup, struct keeper **ret_keeper,
	struct keeper_found *ret_found);

/* The ledger's memory stays with the service manager. */
struct keeper *keeper_free(struct keeper *keeper);

/* What was found is now in the ledger: removes the file, so that nobody takes it for what is true
 * later. 0 or -errno; also when it is plain already that keeper_save will fail, so that it is known
 * before it is too late. */
int keeper_forget(struct keeper *keeper);

/* Room for n records, see struct engine_keeper. ctx is the keeper. */
int keeper_layout(void *ctx, size_t n, struct record **ret_slots, size_t *ret_first);

/* These n records are the states from now on; gives the memory of those before back. */
void keeper_commit(void *ctx, size_t first, size_t n);

/* Writes the file anew or leaves the old one: at the end. 0 or -errno. Without a directory it does
 * nothing, nor without states in the memory: then those of the file are the last. A process that could
 * not begin writes what the one before left in the memory, which its failure takes away. */
int keeper_save(const struct keeper *keeper, usec_t now, usec_t real);

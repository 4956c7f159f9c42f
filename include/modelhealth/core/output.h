/* SPDX-License-Identifier: MIT */
/*
 * Where the engine and the outputs meet. Outputs that answer requests render from the snapshot in
 * slices; outputs that tell events get them as they happen.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/view.h"

/* What was asked for; every text is already decoded, checked and bounded. NULL = not given. */
struct output_query {
	const char *name;                  /* path segment */
	const char *state, *group, *label; /* filters of the list; label is "key=value" */
	const char *target, *module;
};

enum output_progress {
	OUTPUT_DONE,      /* complete */
	OUTPUT_MORE,      /* call again with the same cursor */
	OUTPUT_NOT_FOUND, /* no such name */
	OUTPUT_BAD_QUERY, /* a filter value that cannot be */
};

struct output {
	const char *name;
	const char *path; /* exact, or with one "{name}" segment; NULL = not on the status port */
	const char *mime; /* tells outputs with the same path apart: the client's Accept chooses */
	const char *const *params; /* of the query, those it takes, ended by NULL; NULL = none */

	/*
	 * Appends the next piece to out and moves *cursor, which starts at 0. A piece is small, so
	 * that no turn of the loop is long. The snapshot may change between pieces, but not its
	 * configuration: then rendering starts over.
	 */
	enum output_progress (*render)(const struct snapshot *snapshot,
		const struct output_query *query, struct sbuf *out, size_t *cursor);

	void (*on_transition)(const struct transition *transition);
};

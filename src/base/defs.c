/* SPDX-License-Identifier: MIT */
/*
 * What stands behind the helpers of defs.h: the end of a broken invariant, and two cleanups.
 */
#include "modelhealth/base/defs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void must_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "modelhealthd: bug: %s does not hold at %s:%d\n", cond, file, line);
	abort();
}

void freep(void *pointer_to_pointer)
{
	void **pointer = pointer_to_pointer;

	free(*pointer);
	*pointer = NULL;
}

void closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing to do about an error at this point */
	*fd = -1;
}

/* SPDX-License-Identifier: MIT */
/*
 * The Accept field of a request: which of our media types a client wants.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	ACCEPT_WHOLLY = 1000
};

/*
 * How much a client wants mime, one of ours like "text/plain; version=0.0.4; charset=utf-8": from 0,
 * not at all, to ACCEPT_WHOLLY, which is also the answer to no field (accept NULL). Of the ranges
 * in the field the most specific one that fits decides. One with a version fits that version alone;
 * other parameters make no difference. A range that cannot be read is passed over.
 */
unsigned accept_quality(const char *accept, const char *mime);

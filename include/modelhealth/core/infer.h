/* SPDX-License-Identifier: MIT */
/*
 * Bodies of inference requests that are made here: a valid input of zeros out of a model's
 * metadata (Open Inference Protocol, "KServe v2"), and a request without one of its members.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

enum {
	INFER_MAX_ELEMENTS = 1024 * 1024, /* of all inputs together */
};

/*
 * Appends {"inputs":[…]} for the metadata: each open dimension is 1, numbers are 0, booleans false
 * and BYTES one empty string each. 0, -EINVAL (no JSON, or an input without name, shape or
 * datatype), -ENODATA (it names no inputs), -E2BIG (more than INFER_MAX_ELEMENTS) or -ENOMEM.
 */
int infer_zero_input(const char *metadata, size_t len, struct sbuf *out);

/* Appends body, a JSON object, without the member of that name; all of it when it has none. */
void infer_drop_member(const char *body, const char *name, struct sbuf *out);

/* SPDX-License-Identifier: MIT */
/*
 * Dialects of real APIs, for the tests of the stream reader.
 */
#pragma once

#include "modelhealth/core/stream.h"

/* NULL when there is none of that name. */
const struct dialect *dialect_named(const char *name);

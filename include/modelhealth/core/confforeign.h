/* SPDX-License-Identifier: MIT */
/*
 * Keys that other monitors have.
 */
#pragma once

#include "modelhealth/base/defs.h"

/* What the key of another monitor is called here, as one would write it; NULL when nobody has it. */
const char *conf_foreign(const char *key);

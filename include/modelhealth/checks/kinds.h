/* SPDX-License-Identifier: MIT */
/*
 * The check kinds. A new kind is one file and one row in kinds.c.
 */
#pragma once

#include "modelhealth/core/check.h"

/* Alphabetical, ended by NULL. */
extern const struct check_kind *const check_kinds[];

extern const struct check_kind check_canary;
extern const struct check_kind check_grpc;
extern const struct check_kind check_http;
extern const struct check_kind check_load;
extern const struct check_kind check_models;
extern const struct check_kind check_scenario;
extern const struct check_kind check_tcp;

/* SPDX-License-Identifier: MIT */
/*
 * The table of outputs. A new output is one file that defines one of these, and one row.
 */
#pragma once

#include "modelhealth/core/output.h"

extern const struct output output_endpoint;         /* /api/v1/endpoints/{name} */
extern const struct output output_endpoints;        /* /api/v1/endpoints */
extern const struct output output_journal;          /* state changes as log records */
extern const struct output output_probe;            /* /probe, as blackbox_exporter */
extern const struct output output_prom;             /* /metrics */
extern const struct output output_prom_openmetrics; /* the same for those who prefer it */
extern const struct output output_status;           /* /api/v1/status */
extern const struct output output_text;             /* /, a table for curl */

/* Alphabetical by name, ended by NULL. Of those with one path the client's Accept chooses; the first
 * is for who does not care. */
extern const struct output *const outputs[];

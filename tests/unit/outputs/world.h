/* SPDX-License-Identifier: MIT */
/*
 * A snapshot made by hand, for outputs to render.
 */
#pragma once

#include "modelhealth/outputs/outputs.h"

struct world {
	struct snapshot snapshot;
	struct self_view self;
	struct config config;
	struct endpoint_spec *endpoints;
	struct check_spec *checks; /* one per endpoint, named "live" */
	struct check_view *check_views;
	struct check_view **check_pointers;
	struct endpoint_view *views;
	struct endpoint_view **view_pointers;
	char (*names)[24];
};

/* 2026-01-02T03:04:05.678Z */
extern const usec_t world_now;

/* n endpoints "ep-00000" …, all up for an hour, with three results of 50 ms each. */
void world_open(struct world *world, size_t n);
void world_close(struct world *world);

/* Gives an endpoint's check another last result and derives its state from it. */
void world_set_result(struct world *world, size_t i, const struct result *result);

/* Renders to the end; out gets everything. Fails the test when it does not end. */
enum output_progress world_render(const struct world *world, const struct output *output,
	const struct output_query *query, struct sbuf *out);

/* Strings that hurt displays: markup, control characters, quotes, format directives. */
extern const char *const world_hostile[];
extern const size_t world_n_hostile;

/* SPDX-License-Identifier: MIT */
/*
 * One inference on a terminal: what it did when, a line a phase.
 */
#pragma once

#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/view.h"

struct phasebar_style {
	unsigned columns; /* of the terminal */
	bool is_coloured;
};

/* Appends the last result of a check; nothing without one. */
void phasebar_render(const struct check_view *check, struct phasebar_style style, struct sbuf *out);

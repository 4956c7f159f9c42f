/* SPDX-License-Identifier: MIT */
/*
 * `modes:` of a canary: the dialects that a kind of server speaks, by name.
 */
#pragma once

#include "modelhealth/core/stream.h"

/* A CONF_CUSTOM field: a mapping of names to dialects. Outer levels add those that inner ones do
 * not name. The configuration owns them. */
struct dialects {
	const struct dialect *items;
	size_t n;
};

extern const struct conf_custom dialects_custom;

/* Whether text shows as it is made, and not at the end of a document. */
bool dialect_is_stream(const struct dialect *dialect);

const struct dialect *dialects_find(const struct dialects *dialects, const char *name);

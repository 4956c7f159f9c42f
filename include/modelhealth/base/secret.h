/* SPDX-License-Identifier: MIT */
/*
 * A value that must not be seen: keys, passwords, webhook addresses. Only secret_expose() yields
 * it, so that a search for that word finds every place a secret leaves its box.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct secret {
	char *hidden; /* never read directly */
};

#define SECRET_MASK "***"

/* Takes an allocated, NUL-terminated text; the caller keeps owning its memory (an arena, usually)
 * and calls secret_wipe before that goes. */
static inline struct secret secret_from(char *text)
{
	return (struct secret){ text };
}

static inline bool secret_is_set(struct secret secret)
{
	return secret.hidden != NULL && secret.hidden[0] != '\0';
}

/* The text itself, for the one place that sends it; "" when unset. */
static inline const char *secret_expose(struct secret secret)
{
	return secret.hidden ? secret.hidden : "";
}

/* What every output prints. */
static inline const char *secret_text(struct secret secret)
{
	return secret_is_set(secret) ? SECRET_MASK : "";
}

/* Overwrites the bytes so that the compiler cannot leave it out. */
void secret_wipe(struct secret *secret);

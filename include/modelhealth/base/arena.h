/* SPDX-License-Identifier: MIT */
/*
 * Memory that is allocated piece by piece and freed at once: a loaded configuration lives in one.
 */
#pragma once

#include "modelhealth/base/defs.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used_bytes;          /* handed out, for statistics */
};

#define ARENA_INIT \
	{          \
	}

/* Zeroed, aligned for any type, valid until arena_fini; NULL when memory is out. */
void *arena_alloc(struct arena *arena, size_t size);

/* As arena_alloc for count * size, NULL also when the product overflows. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* Copy of the first len bytes of text, NUL-terminated. */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...) _printf_(2, 3);

/* Overwrites all that was handed out, so that secrets in it are gone; before arena_fini. */
void arena_wipe(struct arena *arena);

void arena_fini(struct arena *arena);

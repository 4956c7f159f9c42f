/* SPDX-License-Identifier: MIT */
/*
 * Blocks of zeroed memory in a list. The configuration owns one arena a load; nothing in it is freed
 * by itself.
 */
#include "modelhealth/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Above malloc's threshold, so that each block is mapped on its own: pages that are not used cost
 * nothing, and a freed configuration leaves no holes. */
enum {
	BLOCK_SIZE = 256 * 1024
};

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

static struct arena_block *add_block(struct arena *arena, size_t size)
{
	struct arena_block *block = calloc(1, sizeof *block + size);

	if (!block)
		return NULL;
	block->size = size;
	/* A block of its own for something large goes behind the one that still has room. */
	if (arena->blocks && size > BLOCK_SIZE) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}
	return block;
}

static size_t round_up(size_t n, size_t align)
{
	return (n + align - 1) / align * align;
}

static void *take(struct arena *arena, size_t size, size_t align)
{
	struct arena_block *block = arena->blocks;
	size_t at;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = max_of(size, (size_t)1);
	at = block ? round_up(block->used, align) : 0;
	if (!block || at > block->size || block->size - at < size) {
		block = add_block(arena, max_of(size, (size_t)BLOCK_SIZE));
		at = 0;
	}
	if (!block)
		return NULL;
	arena->used_bytes += at + size - block->used;
	block->used = at + size;
	return block->data + at;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return take(arena, size, alignof(max_align_t));
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(arena, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	/* Texts are most of what a configuration holds, and stand anywhere. */
	char *copy = len < SIZE_MAX ? take(arena, len + 1, 1) : NULL;

	return copy ? memcpy(copy, text, len) : NULL; /* arena memory is zeroed: terminated */
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = len < 0 ? NULL : take(arena, (size_t)len + 1, 1);
	if (!text)
		return NULL;
	va_start(args, format);
	(void)vsnprintf(text, (size_t)len + 1, format, args); /* its length is known */
	va_end(args);
	return text;
}

void arena_wipe(struct arena *arena)
{
	for (struct arena_block *block = arena->blocks; block; block = block->next)
		explicit_bzero(block->data, block->used);
}

void arena_fini(struct arena *arena)
{
	struct arena_block *next;

	for (struct arena_block *block = arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	*arena = (struct arena)ARENA_INIT;
}

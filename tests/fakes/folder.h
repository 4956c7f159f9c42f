/* SPDX-License-Identifier: MIT */
/*
 * A private directory for one test.
 */
#pragma once

#include <sys/types.h>

struct folder {
	char path[64];
};

void folder_init(struct folder *folder);

/* Writes a file (and the directories that name holds) with a mode; returns its path, valid until
 * the second next call. */
const char *folder_write(struct folder *folder, const char *name, const char *text, mode_t mode);
const char *folder_write_bytes(
	struct folder *folder, const char *name, const void *data, size_t len, mode_t mode);

/* A path in the folder, valid until the second next call. */
const char *folder_path(const struct folder *folder, const char *name);

/* Removes it with all that it holds. */
void folder_fini(struct folder *folder);

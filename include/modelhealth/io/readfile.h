/* SPDX-License-Identifier: MIT */
/*
 * Whole files into memory, for what operators hand us: bounded, regular, not writable by others.
 * Blocks: at start and at reload only.
 */
#pragma once

#include "modelhealth/base/defs.h"

#include <sys/types.h>

struct readfile {
	char *data; /* owned, NUL-terminated; NULL = nothing read */
	size_t len;
	dev_t device; /* with inode: which file it was */
	ino_t inode;
};

#define READFILE_INIT \
	{             \
	}

/*
 * Reads path into ret_file, which begins as READFILE_INIT and always needs readfile_fini. Symbolic
 * links are followed, since conf.d directories are made of them; everything is judged on the file
 * that was opened. Returns NULL, or why not, as a phrase for a message ("it is larger than 64KiB",
 * "No such file or directory"), valid until the next call.
 */
const char *readfile(const char *path, size_t max_bytes, struct readfile *ret_file);

/* Wipes and frees. */
void readfile_fini(struct readfile *file);

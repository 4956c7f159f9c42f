/* SPDX-License-Identifier: MIT */
/*
 * Files for tests, gone with their test.
 */
#include "folder.h"

#include "modelhealth/base/defs.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void folder_init(struct folder *folder)
{
	(void)snprintf(folder->path, sizeof folder->path, "/tmp/modelhealth-test-XXXXXX");
	must(mkdtemp(folder->path));
}

const char *folder_path(const struct folder *folder, const char *name)
{
	static char paths[2][512];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	(void)snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
	return path;
}

const char *folder_write_bytes(
	struct folder *folder, const char *name, const void *data, size_t len, mode_t mode)
{
	const char *path = folder_path(folder, name);
	const char *slash = strchr(name, '/');
	char directory[512];

	for (; slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(directory, sizeof directory, "%s/%.*s", folder->path,
			(int)(slash - name), name);
		(void)mkdir(directory, 0700);
	}

	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len && fchmod(fd, mode) == 0);
	return path;
}

const char *folder_write(struct folder *folder, const char *name, const char *text, mode_t mode)
{
	return folder_write_bytes(folder, name, text, strlen(text), mode);
}

static int on_entry(const char *path, _unused_ const struct stat *stat, _unused_ int type,
	_unused_ struct FTW *place)
{
	return remove(path);
}

void folder_fini(struct folder *folder)
{
	must(nftw(folder->path, on_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

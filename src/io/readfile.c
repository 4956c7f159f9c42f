/* SPDX-License-Identifier: MIT */
/*
 * Reads a configuration or secret file once, through one descriptor: what is judged is what is
 * read. Called by the three files of io/conffile.
 */
#include "modelhealth/io/readfile.h"

#include "modelhealth/base/duration.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char problem_text[96];
static const char changed[] = "it changed while it was read; try again";

static const char *too_large(size_t max_bytes)
{
	char size[DURATION_TEXT_SIZE];

	size_format(max_bytes, size);
	(void)snprintf(problem_text, sizeof problem_text, "it is larger than %s", size);
	return problem_text;
}

static const char *system_problem(int error)
{
	return strerror_r(error, problem_text, sizeof problem_text);
}

/* Why a file is not one to trust; NULL when it is. */
static const char *judge(const struct stat *stat, size_t max_bytes)
{
	if (S_ISDIR(stat->st_mode))
		return "it is a directory";
	if (!S_ISREG(stat->st_mode))
		return "it is not a regular file";
	if (stat->st_mode & (S_IWGRP | S_IWOTH))
		return "its group or others may write it (chmod go-w)";
	if ((uint64_t)stat->st_size > max_bytes)
		return too_large(max_bytes);
	return NULL;
}

/* Reads to the end. One byte more than fstat promised is too much: the file grew meanwhile. */
static const char *read_all(int fd, size_t expected, struct readfile *file)
{
	size_t room = expected + 1;

	file->data = malloc(room + 1);
	if (!file->data)
		return system_problem(ENOMEM);
	for (;;) {
		ssize_t got = read(fd, file->data + file->len, room - file->len);

		if (got < 0 && errno != EINTR)
			return system_problem(errno);
		file->len += (size_t)max_of(got, (ssize_t)0);
		file->data[file->len] = '\0';
		if (got == 0)
			return NULL;
		if (file->len > expected)
			return changed;
	}
}

static bool is_unchanged(const struct stat *before, const struct stat *after)
{
	return before->st_size == after->st_size &&
	       before->st_mtim.tv_sec == after->st_mtim.tv_sec &&
	       before->st_mtim.tv_nsec == after->st_mtim.tv_nsec;
}

const char *readfile(const char *path, size_t max_bytes, struct readfile *ret_file)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat before;
	struct stat after;
	const char *problem;

	if (fd < 0 || fstat(fd, &before) < 0)
		return system_problem(errno);
	problem = judge(&before, max_bytes);
	if (problem)
		return problem;
	ret_file->device = before.st_dev;
	ret_file->inode = before.st_ino;
	problem = read_all(fd, (size_t)before.st_size, ret_file);
	if (problem)
		return problem;
	if (fstat(fd, &after) < 0)
		return system_problem(errno);
	return is_unchanged(&before, &after) ? NULL : changed;
}

void readfile_fini(struct readfile *file)
{
	if (file->data)
		explicit_bzero(file->data, file->len);
	free(file->data);
	*file = (struct readfile){ 0 };
}

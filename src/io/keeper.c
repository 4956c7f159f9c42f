/* SPDX-License-Identifier: MIT */
/*
 * The memfd is given to the service manager once and comes back with each start, until the service
 * is stopped. It grows with the configuration and never shrinks; what it does not use is given back
 * page by page. The file exists only while nothing runs: it is removed when its states are live.
 *
 * Owned by app/daemon.c; the engine writes into the memory through ledger_put alone.
 */
#include "modelhealth/io/keeper.h"

#include "modelhealth/io/readfile.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char stored_name[] = "state";
static const char file_name[] = "state";

struct keeper {
	int fd;
	struct record *slots; /* mapped */
	size_t n_slots;
	char *path; /* of the file; NULL = none */
	struct ledger_image image;
	bool has_states; /* the memory, of this process or of the one before */
	bool has_file;   /* that is to be forgotten */
};

/* ---- memory ---- */

static int map(struct keeper *keeper, size_t n_slots)
{
	size_t bytes = n_slots * RECORD_SIZE;
	void *slots = keeper->slots ? mremap(keeper->slots, keeper->n_slots * RECORD_SIZE, bytes,
					      MREMAP_MAYMOVE)
				    : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
					      keeper->fd, 0);

	if (slots == MAP_FAILED)
		return -errno;
	keeper->slots = slots;
	keeper->n_slots = n_slots;
	return 0;
}

/* Pages that are there already cannot be missing when a record is written. */
static int grow(struct keeper *keeper, size_t n_slots)
{
	if (n_slots > LEDGER_MAX_SLOTS)
		return -EFBIG;
	if (fallocate(keeper->fd, 0, 0, (off_t)(n_slots * RECORD_SIZE)) < 0)
		return -errno;
	return n_slots > keeper->n_slots ? map(keeper, n_slots) : 0;
}

static int open_memory(struct keeper *keeper)
{
	int r;

	keeper->fd = memfd_create("modelhealthd-state", MFD_CLOEXEC);
	if (keeper->fd < 0)
		return -errno;
	r = grow(keeper, LEDGER_FIRST);
	if (r == 0)
		ledger_format(keeper->slots);
	return r;
}

/* Takes what the service manager kept as our memory; NULL, or why that cannot be. */
static const char *adopt_memory(struct keeper *keeper, int fd)
{
	struct stat stat;

	keeper->fd = fd;
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode))
		return "it is no memory";
	if (stat.st_size > (off_t)LEDGER_MAX_SLOTS * RECORD_SIZE)
		return "it is too large";
	if (stat.st_size < LEDGER_FIRST * RECORD_SIZE)
		return "it is cut short";
	return map(keeper, (size_t)stat.st_size / RECORD_SIZE) == 0 ? NULL : strerror(errno);
}

static void drop_memory(struct keeper *keeper)
{
	if (keeper->slots)
		(void)munmap(keeper->slots, keeper->n_slots * RECORD_SIZE); /* whole and ours */
	keeper->slots = NULL;
	keeper->n_slots = 0;
	closep(&keeper->fd);
	keeper->fd = -1;
}

/* Gives the whole pages of some slots back; they read as zeros then. That they stay is no harm. */
static void punch(const struct keeper *keeper, size_t first, size_t end)
{
	const off_t page = sysconf(_SC_PAGESIZE);
	off_t from = ((off_t)(first * RECORD_SIZE) + page - 1) / page * page;
	off_t to = (off_t)(end * RECORD_SIZE) / page * page;

	if (from < to)
		(void)fallocate(
			keeper->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from);
}

int keeper_layout(void *ctx, size_t n, struct record **ret_slots, size_t *ret_first)
{
	struct keeper *keeper = ctx;
	size_t first = ledger_free_area(keeper->slots, n);
	int r = grow(keeper, first + n);

	if (r < 0) {
		/* What stands there grows old from now on: better none than that. */
		ledger_format(keeper->slots);
		keeper->has_states = false;
		return r;
	}
	memset(keeper->slots + first, 0, n * RECORD_SIZE);
	*ret_slots = keeper->slots;
	*ret_first = first;
	return 0;
}

void keeper_commit(void *ctx, size_t first, size_t n)
{
	struct keeper *keeper = ctx;

	ledger_commit(keeper->slots, first, n);
	keeper->has_states = true;
	punch(keeper, LEDGER_FIRST, first);
	punch(keeper, first + n, keeper->n_slots);
}

/* ---- the file ---- */

/* Moves a file out of the way that nobody will ever be able to use; it may help to find out why. */
static void set_aside(
	const struct keeper *keeper, const char *problem, usec_t real, struct keeper_found *found)
{
	_cleanup_(freep) char *aside = NULL;
	int r = 0;

	if (asprintf(&aside, "%s.corrupt.%" PRIu64, keeper->path, real / USEC_PER_SEC) < 0)
		aside = NULL;
	if (!aside)
		r = -ENOMEM;
	else if (rename(keeper->path, aside) < 0)
		r = -errno;
	(void)snprintf(found->problem, sizeof found->problem, "%s cannot be used: %s; %s%s",
		keeper->path, problem,
		r == 0 ? "it is now " : "it cannot be set aside: ", r == 0 ? aside : strerror(-r));
}

static bool has_file(const struct keeper *keeper)
{
	return keeper->path && (access(keeper->path, F_OK) == 0 || errno != ENOENT);
}

static void read_file(
	struct keeper *keeper, const struct keeper_setup *setup, struct keeper_found *found)
{
	_cleanup_(readfile_fini) struct readfile file = READFILE_INIT;
	const char *problem = readfile(keeper->path, LEDGER_MAX_SLOTS * (size_t)RECORD_SIZE, &file);

	if (!problem && ledger_read(file.data, file.len, LEDGER_FILE, setup->now, setup->real,
				&keeper->image, &problem) == -ENOMEM)
		problem = strerror(ENOMEM);
	if (problem) {
		set_aside(keeper, problem, setup->real, found);
		return;
	}
	keeper->has_file = true;
	found->image = &keeper->image;
	found->source = "the state directory";
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *from = data;

	while (len > 0) {
		ssize_t n = write(fd, from, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		from += max_of(n, (ssize_t)0);
		len -= (size_t)max_of(n, (ssize_t)0);
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Makes a rename last. */
static int sync_directory(const struct keeper *keeper)
{
	_cleanup_(freep) char *path = strdup(keeper->path);
	_cleanup_(closep) int fd = -1;

	if (!path)
		return -ENOMEM;
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace_file(const struct keeper *keeper, const void *data, size_t len)
{
	_cleanup_(freep) char *temporary = NULL;
	_cleanup_(closep) int fd = -1;
	int r;

	if (asprintf(&temporary, "%s.new", keeper->path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : write_all(fd, data, len);
	if (r == 0 && rename(temporary, keeper->path) < 0)
		r = -errno;
	if (r < 0 && fd >= 0)
		(void)unlink(temporary); /* of no use to anybody */
	return r == 0 ? sync_directory(keeper) : r;
}

int keeper_save(const struct keeper *keeper, usec_t now, usec_t real)
{
	_cleanup_(freep) struct record *packed = NULL;
	size_t len;

	if (!keeper->path || !keeper->has_states)
		return 0;
	packed = ledger_pack(keeper->slots, now, real, &len);
	return packed ? replace_file(keeper, packed, len) : -ENOMEM;
}

static int look_at_directory(const struct keeper *keeper)
{
	_cleanup_(freep) char *path = strdup(keeper->path);

	if (!path)
		return -ENOMEM;
	return access(dirname(path), W_OK | X_OK) < 0 ? -errno : 0;
}

int keeper_forget(struct keeper *keeper)
{
	bool is_there = keeper->has_file;

	ledger_image_fini(&keeper->image);
	keeper->has_file = false;
	if (is_there && unlink(keeper->path) < 0)
		return -errno;
	return keeper->path ? look_at_directory(keeper) : 0;
}

/* ---- life ---- */

/* False: there is nothing in the memory, or no memory at all. */
static bool read_memory(
	struct keeper *keeper, const struct keeper_setup *setup, int fd, struct keeper_found *found)
{
	const char *problem = adopt_memory(keeper, fd);
	int r;

	if (problem) {
		drop_memory(keeper);
		notify_send(setup->notify, "FDSTOREREMOVE=1\nFDNAME=%s", stored_name);
	} else {
		r = ledger_read(keeper->slots, keeper->n_slots * RECORD_SIZE, LEDGER_MEMORY,
			setup->now, setup->real, &keeper->image, &problem);
		if (r == -ENOMEM)
			problem = strerror(ENOMEM);
		if (r < 0)
			ledger_format(keeper->slots);
	}
	if (problem)
		(void)snprintf(found->problem, sizeof found->problem,
			"what the service manager kept cannot be used: %s", problem);
	found->source = "the service manager";
	keeper->has_states = keeper->image.n > 0;
	found->image = keeper->has_states ? &keeper->image : NULL;
	return keeper->has_states;
}

int keeper_new(const struct keeper_setup *setup, struct keeper **ret_keeper,
	struct keeper_found *ret_found)
{
	struct keeper *keeper = calloc(1, sizeof *keeper);
	int fd = inherited_take(setup->inherited, stored_name);
	int r = 0;

	*ret_found = (struct keeper_found){ 0 };
	if (!keeper) {
		closep(&fd);
		return -ENOMEM;
	}
	keeper->fd = -1;
	if (setup->directory && asprintf(&keeper->path, "%s/%s", setup->directory, file_name) < 0) {
		keeper->path = NULL;
		r = -ENOMEM;
	}
	if (fd >= 0 && read_memory(keeper, setup, fd, ret_found))
		keeper->has_file = has_file(keeper); /* not newer */
	else if (has_file(keeper))
		read_file(keeper, setup, ret_found);
	if (r == 0 && !keeper->slots) {
		r = open_memory(keeper);
		if (r == 0)
			notify_store(setup->notify, keeper->fd, stored_name);
	}
	if (r < 0) {
		keeper_free(keeper);
		ret_found->image = NULL;
		return r;
	}
	*ret_keeper = keeper;
	return 0;
}

struct keeper *keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return NULL;
	drop_memory(keeper);
	ledger_image_fini(&keeper->image);
	free(keeper->path);
	free(keeper);
	return NULL;
}

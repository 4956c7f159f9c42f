/* SPDX-License-Identifier: MIT */
/*
 * One thread for each load, which shares nothing with the loop while it runs: it writes its own
 * struct load and then one eventfd. The loop joins it before it looks.
 */
#include "modelhealth/io/loader.h"

#include "modelhealth/io/conffile.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct loader {
	struct loop_fd *watch;
	int finished_fd; /* an eventfd */
	const char *path, *profiles_dir;
	conf_kinds kinds;
	loader_done_fn done;
	void *ctx;
	bool is_running;
	pthread_t thread;
	/* the thread's until it is joined */
	int error;
	struct conf_errors errors;
	struct config *config;
};

static void *load(void *arg)
{
	struct loader *loader = arg;

	loader->error = conffile_load(loader->path, loader->profiles_dir, loader->kinds,
		&loader->errors, &loader->config);
	must(eventfd_write(loader->finished_fd, 1) == 0);
	return NULL;
}

static void join(struct loader *loader)
{
	must(pthread_join(loader->thread, NULL) == 0);
	loader->is_running = false;
}

static void on_finished(void *arg, int fd, unsigned ready)
{
	struct loader *loader = arg;
	struct conf_errors errors;
	eventfd_t count;

	(void)ready;
	if (eventfd_read(fd, &count) < 0)
		return;
	join(loader);
	errors = loader->errors;
	loader->errors = (struct conf_errors){ 0 };
	loader->done(loader->ctx, loader->error, &errors, take_ptr(loader->config));
	conf_errors_fini(&errors);
}

int loader_new(struct loop *loop, const char *path, const char *profiles_dir, conf_kinds kinds,
	loader_done_fn done, void *ctx, struct loader **ret_loader)
{
	struct loader *loader = calloc(1, sizeof *loader);
	int r = -ENOMEM;

	if (!loader)
		return r;
	*loader = (struct loader){ .path = path,
		.profiles_dir = profiles_dir,
		.kinds = kinds,
		.done = done,
		.ctx = ctx,
		.finished_fd = -1 };
	loader->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loader->finished_fd < 0)
		r = -errno;
	else
		loader->watch =
			loop_fd_new(loop, loader->finished_fd, LOOP_READ, on_finished, loader);
	if (!loader->watch) {
		loader_free(loader);
		return r;
	}
	*ret_loader = loader;
	return 0;
}

struct loader *loader_free(struct loader *loader)
{
	if (!loader)
		return NULL;
	if (loader->is_running)
		join(loader);
	conf_errors_fini(&loader->errors);
	config_unref(loader->config);
	loop_fd_free(loader->watch);
	closep(&loader->finished_fd);
	free(loader);
	return NULL;
}

/* All signals belong to the loop. */
static int start_thread(struct loader *loader)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all); /* cannot fail */
	r = pthread_sigmask(SIG_BLOCK, &all, &before);
	if (r != 0)
		return -r;
	r = pthread_create(&loader->thread, NULL, load, loader);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return -r;
}

int loader_start(struct loader *loader)
{
	int r;

	if (loader->is_running)
		return -EBUSY;
	r = start_thread(loader);
	loader->is_running = r == 0;
	return r;
}

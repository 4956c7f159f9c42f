/* SPDX-License-Identifier: MIT */
/*
 * Loads a configuration beside the loop: reading files blocks, and thousands of endpoints take
 * tens of milliseconds to parse. A thread does it and hands the finished configuration over.
 */
#pragma once

#include "modelhealth/core/conf.h"

struct loader;
struct loop;

/* In the loop: 0 and a configuration with one reference, which the callee takes; or -errno with
 * the errors, borrowed for the call. */
typedef void (*loader_done_fn)(
	void *ctx, int error, const struct conf_errors *errors, struct config *config);

/* As conffile_load; all are borrowed. 0 or -errno. */
int loader_new(struct loop *loop, const char *path, const char *profiles_dir, conf_kinds kinds,
	loader_done_fn done, void *ctx, struct loader **ret_loader);

/* Waits for a load under way and drops what it brings. */
struct loader *loader_free(struct loader *loader);

/* Starts a load; done runs exactly once. 0, -EBUSY while one is under way, or -errno. */
int loader_start(struct loader *loader);

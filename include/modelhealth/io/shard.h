/* SPDX-License-Identifier: MIT */
/*
 * One libcurl multi handle on our loop. The engine keeps many of them, because libcurl's own lists
 * (kept connections, names) cost time in proportion to their length.
 */
#pragma once

#include <curl/curl.h>

#include "modelhealth/base/defs.h"

struct loop;
struct shard;

struct shard_handlers {
	/* libcurl ended a transfer. Outside libcurl: the easy handle may be removed. */
	void (*on_message)(void *arg, CURL *easy, CURLcode code);
	/* Bytes may have come for it. Outside libcurl. */
	void (*on_readable)(void *arg, CURL *easy);
	/* So many bytes were read for it, headers and body among them or not; it may have ended by
	 * them. Outside libcurl. */
	void (*on_read)(void *arg, CURL *easy, size_t bytes);
	/* libcurl waits no longer for a socket of it: one that failed, or the last. Inside libcurl. */
	void (*on_left)(void *arg, CURL *easy);
	/* A socket of it cannot be watched, so it will not end by itself. Inside libcurl. */
	void (*on_unwatched)(void *arg, CURL *easy, int error);
	/* The multi handle broke and was replaced: nothing that was in it will ever end. Called
	 * once per lost handle, which is already removed. */
	void (*on_lost)(void *arg, CURL *easy);
	void *arg;
};

/* handlers and loop are borrowed. NULL when memory is out. */
struct shard *shard_new(struct loop *loop, const struct shard_handlers *handlers);

/* All easy handles are removed. Closes what is kept. */
struct shard *shard_free(struct shard *shard);

/* 0 or -ENOMEM. Not from inside libcurl's callbacks, as shard_remove. */
int shard_add(struct shard *shard, CURL *easy);
void shard_remove(struct shard *shard, CURL *easy);

/* Has libcurl look at a transfer at once, whatever it waits for. Not from inside its callbacks. */
void shard_hurry(struct shard *shard, CURL *easy);

/* Whether libcurl is running one of our callbacks now. */
bool shard_is_inside(const struct shard *shard);

/* Times the multi handle was replaced. */
unsigned shard_rebuilds(const struct shard *shard);

/* SPDX-License-Identifier: MIT */
/*
 * The event loop: libevent for file descriptors and signals, our own timers driven by one timerfd,
 * and a deferred-task list. One turn: collect events, run their callbacks, fire due timers, run
 * deferred tasks. Every turn is timed.
 */
#pragma once

#include "modelhealth/base/timer.h"

struct event_base;
struct loop;
struct loop_fd;

enum {
	LOOP_READ = 1u << 0,
	LOOP_WRITE = 1u << 1,
};

/* Starts are aligned to this grid so that neighbours share one wake-up. It bounds our own
 * contribution to lateness. At 1,000 checks a second a grid of 1 ms costs a tenth more CPU. */
enum {
	LOOP_GRID_USEC = 2000
};

struct loop_stats {
	uint64_t turns_total;
	uint64_t stalls_total; /* turns longer than 100 ms */
	usec_t turn_max;       /* longest time between two polls */
};

/* 0 or -errno. */
int loop_new(struct loop **ret_loop);
struct loop *loop_free(struct loop *loop);

/* Runs until loop_stop. 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Timers and deferred tasks of this loop; ->now and ->real are those of the current turn. */
struct timers *loop_timers(struct loop *loop);

/*
 * Watches fd; fn runs with what is ready (LOOP_READ | LOOP_WRITE) until loop_fd_free. Borrows fd:
 * free the watch before closing it. NULL with errno when memory or the kernel's limit of watches is
 * out. Level-triggered.
 */
typedef void (*loop_fd_fn)(void *arg, int fd, unsigned ready);
struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg);
/* 0 or -errno; then it watches what it did before. */
int loop_fd_set(struct loop_fd *watch, unsigned events);
struct loop_fd *loop_fd_free(struct loop_fd *watch);

/* Calls fn in the loop for each arrival of a signal; the watch lives as long as the loop. */
int loop_signal(
	struct loop *loop, int signal_number, void (*fn)(void *arg, int signal_number), void *arg);

/* Reads the clocks anew and marks the beginning of a turn. For code that libevent calls without
 * passing through loop_fd or loop_signal: io/httpd.c. */
void loop_wake(struct loop *loop);

const struct loop_stats *loop_stats(const struct loop *loop);

/* Called after a turn that took longer than 100 ms, with its length. */
void loop_on_stall(struct loop *loop, void (*fn)(void *arg, usec_t turn), void *arg);

/* Called as soon as somebody has set the wall clock by more than a second; ->real is the new time,
 * and no other callback runs meanwhile. */
void loop_on_step(struct loop *loop, void (*fn)(void *arg, int64_t by), void *arg);

/* For evhttp in io/httpd.c only. */
struct event_base *loop_event_base(struct loop *loop);

/* SPDX-License-Identifier: MIT */
/*
 * Time as data: a heap of one-shot timers and a list of deferred tasks, with the two clock
 * readings of the current turn. It reads no clock itself. The event loop drives it in the daemon,
 * a plain for loop drives it in the simulation tests; whoever uses timers cannot tell which.
 *
 * A turn is: set `now` and `real`, run what is due, run what was deferred, sleep until
 * timers_next(). Timers due at the same time fire in the order in which they were set.
 */
#pragma once

#include <sys/queue.h>

#include "modelhealth/base/defs.h"

struct timer {
	void (*fn)(struct timer *timer); /* set once by the owner, before timer_set */
	usec_t at;                       /* monotonic */
	uint64_t sequence;               /* breaks ties */
	size_t slot;                     /* 1 + index in the heap; 0 = not armed */
};

struct task {
	void (*fn)(struct task *task); /* set once by the owner, before task_defer */
	TAILQ_ENTRY(task) link;
	bool is_queued;
};

/* The time stands beside the pointer, so that sorting touches only the heap itself. */
struct timer_slot {
	usec_t at;
	struct timer *timer;
};

struct timers {
	usec_t now;  /* monotonic time of this turn */
	usec_t real; /* wall time of this turn, for display only */
	/* When the last long pause of this process ended (suspended, stopped, starved); 0 = none.
	 * What was under way then has been timed by a clock that stood still. */
	usec_t paused_until;
	usec_t paused_for; /* how long it lasted */
	struct timer_slot *heap;
	size_t n, cap;
	uint64_t sequence;
	TAILQ_HEAD(task_list, task) tasks;
};

void timers_init(struct timers *timers);

/* Forgets every timer and task without running them; their memory belongs to their owners. */
void timers_fini(struct timers *timers);

/*
 * Makes sure that capacity timers can be armed at once without allocating. Owners of many timers
 * call it at load, so that timer_set cannot fail later. 0 or -ENOMEM.
 */
int timers_reserve(struct timers *timers, size_t capacity);

/* Arms or re-arms. With the capacity reserved it cannot fail; otherwise 0 or -ENOMEM. */
int timer_set(struct timers *timers, struct timer *timer, usec_t at);
void timer_cancel(struct timers *timers, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->slot != 0;
}

/* When the earliest timer is due, USEC_NEVER without one. */
usec_t timers_next(const struct timers *timers);

/* Fires timers that are due at ->now, at most max; returns how many. */
unsigned timers_run(struct timers *timers, unsigned max);

/* Queues fn to run later in this turn, after all callbacks; queueing twice runs it once. */
void task_defer(struct timers *timers, struct task *task);
void task_cancel(struct timers *timers, struct task *task);

/* Runs deferred tasks, at most max, including those that tasks defer; returns how many. */
unsigned tasks_run(struct timers *timers, unsigned max);

static inline bool tasks_pending(const struct timers *timers)
{
	return !TAILQ_EMPTY(&timers->tasks);
}

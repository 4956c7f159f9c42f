/* SPDX-License-Identifier: MIT */
/*
 * A heap in which each node has four children: half as deep as a binary one, and the four lie in
 * one cache line. Each timer knows its slot, so that moving and cancelling need no search.
 */
#include "modelhealth/base/timer.h"

#include <errno.h>
#include <stdlib.h>

void timers_init(struct timers *timers)
{
	*timers = (struct timers){ 0 };
	TAILQ_INIT(&timers->tasks);
}

void timers_fini(struct timers *timers)
{
	struct task *task;

	for (size_t i = 0; i < timers->n; i++)
		timers->heap[i].timer->slot = 0;
	while ((task = TAILQ_FIRST(&timers->tasks)))
		task_cancel(timers, task);
	free(timers->heap);
	timers_init(timers);
}

int timers_reserve(struct timers *timers, size_t capacity)
{
	struct timer_slot *heap;

	if (capacity <= timers->cap)
		return 0;
	heap = reallocarray(timers->heap, capacity, sizeof(struct timer_slot));
	if (!heap)
		return -ENOMEM;
	timers->heap = heap;
	timers->cap = capacity;
	return 0;
}

enum {
	ARITY = 4
};

static bool is_earlier(const struct timer_slot *a, const struct timer_slot *b)
{
	return a->at != b->at ? a->at < b->at : a->timer->sequence < b->timer->sequence;
}

static void put(struct timers *timers, size_t i, struct timer_slot slot)
{
	timers->heap[i] = slot;
	slot.timer->slot = i + 1;
}

static void sift_up(struct timers *timers, size_t i, struct timer_slot slot)
{
	while (i > 0 && is_earlier(&slot, &timers->heap[(i - 1) / ARITY])) {
		put(timers, i, timers->heap[(i - 1) / ARITY]);
		i = (i - 1) / ARITY;
	}
	put(timers, i, slot);
}

static size_t earliest_child(const struct timers *timers, size_t i)
{
	size_t first = ARITY * i + 1;
	size_t end = min_of(first + ARITY, timers->n);
	size_t earliest = first;

	for (size_t child = first + 1; child < end; child++)
		if (is_earlier(&timers->heap[child], &timers->heap[earliest]))
			earliest = child;
	return earliest;
}

static void sift_down(struct timers *timers, size_t i, struct timer_slot slot)
{
	while (ARITY * i + 1 < timers->n) {
		size_t child = earliest_child(timers, i);

		if (!is_earlier(&timers->heap[child], &slot))
			break;
		put(timers, i, timers->heap[child]);
		i = child;
	}
	put(timers, i, slot);
}

/* Finds the place of a timer that belongs somewhere at or around i. */
static void settle(struct timers *timers, size_t i, struct timer_slot slot)
{
	if (i > 0 && is_earlier(&slot, &timers->heap[(i - 1) / ARITY]))
		sift_up(timers, i, slot);
	else
		sift_down(timers, i, slot);
}

int timer_set(struct timers *timers, struct timer *timer, usec_t at)
{
	int r;

	if (timer->slot == 0) {
		if (timers->n == timers->cap) {
			r = timers_reserve(timers, timers->cap + timers->cap / 2 + 16);
			if (r < 0)
				return r;
		}
		timer->slot = ++timers->n;
	}
	timer->at = at;
	timer->sequence = timers->sequence++;
	settle(timers, timer->slot - 1, (struct timer_slot){ at, timer });
	return 0;
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
	size_t i = timer->slot - 1;
	struct timer_slot last;

	if (timer->slot == 0)
		return;
	timer->slot = 0;
	last = timers->heap[--timers->n];
	if (last.timer != timer)
		settle(timers, i, last);
}

usec_t timers_next(const struct timers *timers)
{
	return timers->n > 0 ? timers->heap[0].at : USEC_NEVER;
}

unsigned timers_run(struct timers *timers, unsigned max)
{
	unsigned fired = 0;

	while (fired < max && timers_next(timers) <= timers->now) {
		struct timer *timer = timers->heap[0].timer;

		timer_cancel(timers, timer);
		fired++;
		timer->fn(timer);
	}
	return fired;
}

void task_defer(struct timers *timers, struct task *task)
{
	if (task->is_queued)
		return;
	TAILQ_INSERT_TAIL(&timers->tasks, task, link);
	task->is_queued = true;
}

void task_cancel(struct timers *timers, struct task *task)
{
	if (!task->is_queued)
		return;
	TAILQ_REMOVE(&timers->tasks, task, link);
	task->is_queued = false;
}

unsigned tasks_run(struct timers *timers, unsigned max)
{
	struct task *task;
	unsigned ran = 0;

	while (ran < max && (task = TAILQ_FIRST(&timers->tasks))) {
		task_cancel(timers, task);
		ran++;
		task->fn(task);
	}
	return ran;
}

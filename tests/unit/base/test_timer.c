/* SPDX-License-Identifier: MIT */
/* Rules of timers and deferred tasks. */
#include "modelhealth/base/timer.h"

#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	N_TIMERS = 500
};

/* A timer that writes itself down when it fires. */
struct item {
	struct timer timer;
	struct task task;
	struct fixture *fixture;
	struct item *other;
	unsigned id;
};

struct fixture {
	struct timers timers;
	struct item items[N_TIMERS];
	unsigned fired[4 * N_TIMERS];
	unsigned n_fired;
};

static void note(struct item *item)
{
	assert_true(item->fixture->n_fired < array_size(item->fixture->fired));
	item->fixture->fired[item->fixture->n_fired++] = item->id;
}

static void on_timer(struct timer *timer)
{
	note(container_of(timer, struct item, timer));
}

static void on_task(struct task *task)
{
	note(container_of(task, struct item, task));
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	if (!fixture)
		return -1;
	timers_init(&fixture->timers);
	for (unsigned i = 0; i < N_TIMERS; i++)
		fixture->items[i] = (struct item){
			.fixture = fixture, .id = i, .timer.fn = on_timer, .task.fn = on_task
		};
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	timers_fini(&fixture->timers);
	free(fixture);
	return 0;
}

static void set(struct fixture *fixture, unsigned i, usec_t at)
{
	assert_int_equal(timer_set(&fixture->timers, &fixture->items[i].timer, at), 0);
}

static void check_heap(const struct timers *timers)
{
	for (size_t i = 0; i < timers->n; i++) {
		assert_int_equal(timers->heap[i].timer->slot, i + 1);
		assert_int_equal(timers->heap[i].at, timers->heap[i].timer->at);
		assert_true(timers->heap[0].at <= timers->heap[i].at);
	}
}

static void test_no_timer_is_never_due(void **state)
{
	struct fixture *fixture = *state;

	fixture->timers.now = USEC_NEVER - 1;
	assert_true(timers_next(&fixture->timers) == USEC_NEVER);
	assert_int_equal(timers_run(&fixture->timers, 10), 0);
}

static void test_fires_when_due_and_not_before(void **state)
{
	struct fixture *fixture = *state;

	set(fixture, 0, 100);
	fixture->timers.now = 99;
	assert_int_equal(timers_run(&fixture->timers, 10), 0);
	assert_true(timer_is_set(&fixture->items[0].timer));
	fixture->timers.now = 100;
	assert_int_equal(timers_run(&fixture->timers, 10), 1);
	assert_false(timer_is_set(&fixture->items[0].timer));
	assert_int_equal(timers_run(&fixture->timers, 10), 0);
}

static void test_equal_times_fire_in_the_order_they_were_set(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < N_TIMERS; i++)
		set(fixture, (i * 7) % N_TIMERS, 100);
	fixture->timers.now = 100;
	assert_int_equal(timers_run(&fixture->timers, N_TIMERS), N_TIMERS);
	for (unsigned i = 0; i < N_TIMERS; i++)
		assert_int_equal(fixture->fired[i], (i * 7) % N_TIMERS);
}

static void test_setting_again_moves_it_and_to_the_end_of_its_time(void **state)
{
	struct fixture *fixture = *state;

	set(fixture, 0, 50);
	set(fixture, 1, 100);
	set(fixture, 2, 100);
	set(fixture, 1, 100);
	set(fixture, 0, 100);
	assert_int_equal(fixture->timers.n, 3);
	fixture->timers.now = 100;
	assert_int_equal(timers_run(&fixture->timers, 10), 3);
	assert_int_equal(fixture->fired[0], 2);
	assert_int_equal(fixture->fired[1], 1);
	assert_int_equal(fixture->fired[2], 0);
}

static void test_a_cancelled_timer_does_not_fire(void **state)
{
	struct fixture *fixture = *state;

	set(fixture, 0, 10);
	set(fixture, 1, 20);
	timer_cancel(&fixture->timers, &fixture->items[0].timer);
	timer_cancel(&fixture->timers, &fixture->items[0].timer);
	assert_true(timers_next(&fixture->timers) == 20);
	fixture->timers.now = 100;
	assert_int_equal(timers_run(&fixture->timers, 10), 1);
	assert_int_equal(fixture->fired[0], 1);
}

static void test_at_most_max_fire_in_one_run(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 10; i++)
		set(fixture, i, i);
	fixture->timers.now = 100;
	assert_int_equal(timers_run(&fixture->timers, 4), 4);
	assert_int_equal(timers_run(&fixture->timers, 4), 4);
	assert_int_equal(timers_run(&fixture->timers, 4), 2);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(fixture->fired[i], i);
}

static void on_timer_rearm(struct timer *timer)
{
	struct item *item = container_of(timer, struct item, timer);

	note(item);
	assert_false(timer_is_set(timer));
	set(item->fixture, item->id, item->fixture->timers.now);
}

static void test_a_timer_that_rearms_itself_cannot_hold_the_turn(void **state)
{
	struct fixture *fixture = *state;

	fixture->items[0].timer.fn = on_timer_rearm;
	set(fixture, 0, 0);
	set(fixture, 1, 0);
	assert_int_equal(timers_run(&fixture->timers, 100), 100);
	/* The other one had its turn between. */
	assert_int_equal(fixture->fired[0], 0);
	assert_int_equal(fixture->fired[1], 1);
}

static void on_timer_cancel_other(struct timer *timer)
{
	struct item *item = container_of(timer, struct item, timer);

	note(item);
	timer_cancel(&item->fixture->timers, &item->other->timer);
}

static void test_a_timer_may_cancel_another_that_is_due(void **state)
{
	struct fixture *fixture = *state;

	fixture->items[0].timer.fn = on_timer_cancel_other;
	fixture->items[0].other = &fixture->items[1];
	set(fixture, 0, 1);
	set(fixture, 1, 2);
	set(fixture, 2, 3);
	fixture->timers.now = 10;
	assert_int_equal(timers_run(&fixture->timers, 10), 2);
	assert_int_equal(fixture->fired[1], 2);
}

static void test_with_capacity_reserved_arming_does_not_move_the_heap(void **state)
{
	struct fixture *fixture = *state;
	struct timer_slot *heap;

	assert_int_equal(timers_reserve(&fixture->timers, N_TIMERS), 0);
	heap = fixture->timers.heap;
	for (unsigned i = 0; i < N_TIMERS; i++)
		set(fixture, i, N_TIMERS - i);
	assert_ptr_equal(fixture->timers.heap, heap);
	assert_int_equal(timers_reserve(&fixture->timers, 1), 0);
	assert_int_equal(fixture->timers.cap, N_TIMERS);
}

/* The next in order by a plain search: what the heap must agree with. */
static struct timer *earliest(struct fixture *fixture)
{
	struct timer *found = NULL;

	for (unsigned i = 0; i < N_TIMERS; i++) {
		struct timer *timer = &fixture->items[i].timer;

		if (!timer_is_set(timer))
			continue;
		if (!found || timer->at < found->at ||
			(timer->at == found->at && timer->sequence < found->sequence))
			found = timer;
	}
	return found;
}

static void test_random_use_agrees_with_a_plain_search(void **state)
{
	struct fixture *fixture = *state;
	struct timers *timers = &fixture->timers;
	struct rand rand;

	rand_seed(&rand, 31);
	for (unsigned step = 0; step < 20000; step++) {
		struct item *item = &fixture->items[rand_below(&rand, N_TIMERS)];
		uint64_t what = rand_below(&rand, 10);

		if (what < 5) {
			set(fixture, item->id, timers->now + rand_below(&rand, 100));
		} else if (what < 7) {
			timer_cancel(timers, &item->timer);
			assert_false(timer_is_set(&item->timer));
		} else {
			struct timer *next = earliest(fixture);

			assert_true(timers_next(timers) == (next ? next->at : USEC_NEVER));
			timers->now += rand_below(&rand, 3);
			fixture->n_fired = 0;
			if (timers_run(timers, 1) == 1)
				assert_ptr_equal(&fixture->items[fixture->fired[0]].timer, next);
			else
				assert_true(!next || next->at > timers->now);
		}
		if (step % 100 == 0)
			check_heap(timers);
	}
}

static void test_fini_forgets_without_running(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 10; i++) {
		set(fixture, i, 0);
		task_defer(&fixture->timers, &fixture->items[i].task);
	}
	timers_fini(&fixture->timers);
	assert_int_equal(fixture->n_fired, 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_false(timer_is_set(&fixture->items[i].timer));
		assert_false(fixture->items[i].task.is_queued);
	}
}

static void test_tasks_run_once_in_order(void **state)
{
	struct fixture *fixture = *state;

	task_defer(&fixture->timers, &fixture->items[2].task);
	task_defer(&fixture->timers, &fixture->items[1].task);
	task_defer(&fixture->timers, &fixture->items[2].task);
	assert_true(tasks_pending(&fixture->timers));
	assert_int_equal(tasks_run(&fixture->timers, 10), 2);
	assert_int_equal(fixture->fired[0], 2);
	assert_int_equal(fixture->fired[1], 1);
	assert_false(tasks_pending(&fixture->timers));
}

static void test_a_cancelled_task_does_not_run(void **state)
{
	struct fixture *fixture = *state;

	task_cancel(&fixture->timers, &fixture->items[0].task);
	task_defer(&fixture->timers, &fixture->items[0].task);
	task_defer(&fixture->timers, &fixture->items[1].task);
	task_cancel(&fixture->timers, &fixture->items[0].task);
	assert_int_equal(tasks_run(&fixture->timers, 10), 1);
	assert_int_equal(fixture->fired[0], 1);
}

static void on_task_again(struct task *task)
{
	struct item *item = container_of(task, struct item, task);

	note(item);
	task_defer(&item->fixture->timers, task);
}

static void test_a_task_that_defers_itself_cannot_hold_the_turn(void **state)
{
	struct fixture *fixture = *state;

	fixture->items[0].task.fn = on_task_again;
	task_defer(&fixture->timers, &fixture->items[0].task);
	assert_int_equal(tasks_run(&fixture->timers, 100), 100);
	assert_true(tasks_pending(&fixture->timers));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_no_timer_is_never_due),
		TEST(test_fires_when_due_and_not_before),
		TEST(test_equal_times_fire_in_the_order_they_were_set),
		TEST(test_setting_again_moves_it_and_to_the_end_of_its_time),
		TEST(test_a_cancelled_timer_does_not_fire),
		TEST(test_at_most_max_fire_in_one_run),
		TEST(test_a_timer_that_rearms_itself_cannot_hold_the_turn),
		TEST(test_a_timer_may_cancel_another_that_is_due),
		TEST(test_with_capacity_reserved_arming_does_not_move_the_heap),
		TEST(test_random_use_agrees_with_a_plain_search),
		TEST(test_fini_forgets_without_running),
		TEST(test_tasks_run_once_in_order),
		TEST(test_a_cancelled_task_does_not_run),
		TEST(test_a_task_that_defers_itself_cannot_hold_the_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

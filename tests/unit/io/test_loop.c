/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/loop.h"

#include "modelhealth/base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* One loop and what its callbacks saw. */
struct fixture {
	struct loop *loop;
	struct timer timer, limit;
	struct task task;
	usec_t fired_at;
	unsigned reads, signals;
	usec_t stall;
};

static struct fixture *the_fixture;

static void on_limit(struct timer *timer)
{
	(void)timer;
	fail_msg("nothing ended the loop within its time");
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ 0 };
	the_fixture = &fixture;
	assert_int_equal(loop_new(&fixture.loop), 0);
	fixture.limit.fn = on_limit;
	assert_int_equal(timer_set(loop_timers(fixture.loop), &fixture.limit,
				 clock_monotonic() + 10 * USEC_PER_SEC),
		0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	fixture->loop = loop_free(fixture->loop);
	return 0;
}

static void on_timer(struct timer *timer)
{
	(void)timer;
	the_fixture->fired_at = clock_monotonic();
	loop_stop(the_fixture->loop);
}

static void test_timer_fires_at_its_time_and_not_before(void **state)
{
	struct fixture *fixture = *state;
	usec_t at = clock_monotonic() + 30 * USEC_PER_MSEC;

	fixture->timer.fn = on_timer;
	assert_int_equal(timer_set(loop_timers(fixture->loop), &fixture->timer, at), 0);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_true(fixture->fired_at >= at);
}

static void on_readable(void *arg, int fd, unsigned ready)
{
	struct fixture *fixture = arg;
	char byte;

	assert_true(ready & LOOP_READ);
	assert_int_equal(read(fd, &byte, 1), 1);
	if (++fixture->reads == 3)
		loop_stop(fixture->loop);
}

static void test_descriptor_is_level_triggered(void **state)
{
	struct fixture *fixture = *state;
	struct loop_fd *watch;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	watch = loop_fd_new(fixture->loop, pair[0], LOOP_READ, on_readable, fixture);
	assert_non_null(watch);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_int_equal(fixture->reads, 3);
	loop_fd_free(watch);
	close(pair[0]);
	close(pair[1]);
}

static void on_writable(void *arg, int fd, unsigned ready)
{
	struct fixture *fixture = arg;

	(void)fd;
	assert_int_equal(ready, LOOP_WRITE);
	loop_stop(fixture->loop);
}

static void test_watch_follows_what_it_is_set_to(void **state)
{
	struct fixture *fixture = *state;
	struct loop_fd *watch;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[1], "abc", 3), 3);
	watch = loop_fd_new(fixture->loop, pair[0], LOOP_READ, on_writable, fixture);
	assert_int_equal(loop_fd_set(watch, 0), 0);
	assert_int_equal(loop_fd_set(watch, LOOP_WRITE), 0);
	assert_int_equal(loop_run(fixture->loop), 0);
	loop_fd_free(watch);
	close(pair[0]);
	close(pair[1]);
}

static void on_task(struct task *task)
{
	if (loop_stats(the_fixture->loop)->turns_total < 2)
		task_defer(loop_timers(the_fixture->loop), task);
	else
		loop_stop(the_fixture->loop);
}

static void test_tasks_that_defer_themselves_do_not_stop_the_loop(void **state)
{
	struct fixture *fixture = *state;

	fixture->task.fn = on_task;
	task_defer(loop_timers(fixture->loop), &fixture->task);
	assert_int_equal(loop_run(fixture->loop), 0); /* or the limit ends it */
}

static void on_user_signal(void *arg, int signal_number)
{
	struct fixture *fixture = arg;

	assert_int_equal(signal_number, SIGUSR1);
	fixture->signals++;
	loop_stop(fixture->loop);
}

static void test_signals_arrive_in_the_loop(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(loop_signal(fixture->loop, SIGUSR1, on_user_signal, fixture), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_int_equal(fixture->signals, 1);
}

static void on_stall(void *arg, usec_t turn)
{
	((struct fixture *)arg)->stall = turn;
}

static void on_slow(struct timer *timer)
{
	usec_t until = clock_monotonic() + 120 * USEC_PER_MSEC;

	(void)timer;
	while (clock_monotonic() < until)
		;
	loop_stop(the_fixture->loop);
}

static void on_very_slow(struct timer *timer)
{
	usec_t until = clock_monotonic() + USEC_PER_SEC + 10 * USEC_PER_MSEC;

	(void)timer;
	while (clock_monotonic() < until)
		;
	loop_stop(the_fixture->loop);
}

static void test_a_process_that_stood_still_in_a_turn_was_paused(void **state)
{
	struct fixture *fixture = *state;
	struct timers *timers = loop_timers(fixture->loop);

	fixture->timer.fn = on_very_slow;
	assert_int_equal(timer_set(timers, &fixture->timer, clock_monotonic()), 0);
	assert_int_equal(timers->paused_until, 0);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_int_equal(timers->paused_until, timers->now);
}

static void test_long_turn_is_told(void **state)
{
	struct fixture *fixture = *state;

	loop_on_stall(fixture->loop, on_stall, fixture);
	fixture->timer.fn = on_slow;
	assert_int_equal(
		timer_set(loop_timers(fixture->loop), &fixture->timer, clock_monotonic()), 0);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_true(fixture->stall >= 120 * USEC_PER_MSEC);
	assert_true(loop_stats(fixture->loop)->turn_max >= fixture->stall);
	assert_int_equal(loop_stats(fixture->loop)->stalls_total, 1);
}

enum {
	CROWD = 100
};

static void on_slow_crowd(void *arg, int fd, unsigned ready)
{
	struct fixture *fixture = arg;
	usec_t end = clock_monotonic() + 2 * USEC_PER_MSEC;

	(void)fd;
	(void)ready;
	fixture->reads++;
	while (clock_monotonic() < end)
		;
}

static void on_timer_in_crowd(struct timer *timer)
{
	(void)timer;
	loop_stop(the_fixture->loop);
}

static void test_a_crowd_of_descriptors_does_not_hold_up_a_timer(void **state)
{
	struct fixture *fixture = *state;
	struct loop_fd *watches[CROWD];
	int fds[CROWD];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	for (size_t i = 0; i < CROWD; i++) {
		fds[i] = dup(pair[0]);
		watches[i] = loop_fd_new(fixture->loop, fds[i], LOOP_WRITE, on_slow_crowd, fixture);
		assert_non_null(watches[i]);
	}
	fixture->timer.fn = on_timer_in_crowd;
	assert_int_equal(timer_set(loop_timers(fixture->loop), &fixture->timer,
				 clock_monotonic() + USEC_PER_MSEC),
		0);
	assert_int_equal(loop_run(fixture->loop), 0);
	assert_true(fixture->reads < CROWD);
	for (size_t i = 0; i < CROWD; i++) {
		loop_fd_free(watches[i]);
		close(fds[i]);
	}
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_timer_fires_at_its_time_and_not_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_descriptor_is_level_triggered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_watch_follows_what_it_is_set_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_tasks_that_defer_themselves_do_not_stop_the_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_signals_arrive_in_the_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_process_that_stood_still_in_a_turn_was_paused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_turn_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_a_crowd_of_descriptors_does_not_hold_up_a_timer, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Descriptors from the service manager. Each test plays it: puts descriptors at 3 and on, says so in
 * the environment, and looks at what can be taken.
 */
#include "modelhealth/io/inherited.h"

#include "modelhealth/io/listen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* The numbers are the protocol's; whatever the test framework has there comes back in the end. */
enum {
	FIRST = 3,
	MAX_FDS = 80
};

struct fixture {
	int saved[MAX_FDS];
	int n;
	struct inherited inherited;
};

static int open_fixture(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);

	assert_non_null(fixture);
	for (int i = 0; i < MAX_FDS; i++)
		fixture->saved[i] = fcntl(FIRST + i, F_DUPFD_CLOEXEC, FIRST + MAX_FDS);
	*state = fixture;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < MAX_FDS; i++) {
		if (fixture->saved[i] < 0) {
			(void)close(FIRST + i);
			continue;
		}
		assert_int_equal(dup2(fixture->saved[i], FIRST + i), FIRST + i);
		(void)close(fixture->saved[i]);
	}
	free(fixture);
	return 0;
}

/* Gives fd, one from far(), which moves to the next number of the protocol. */
static void give(struct fixture *fixture, int fd)
{
	int to = FIRST + fixture->n++;

	assert_int_equal(dup2(fd, to), to);
	(void)close(fd);
}

/* Far away from the numbers of the protocol. */
static int far(int fd)
{
	int moved = fcntl(fd, F_DUPFD, FIRST + MAX_FDS);

	assert_true(moved >= 0);
	(void)close(fd);
	return moved;
}

static int open_listener(void)
{
	struct listen_socket socket;

	assert_int_equal(listen_open("127.0.0.1:0", &socket), 0);
	return far(socket.fd);
}

static int open_memory(const char *content)
{
	int fd = far(memfd_create("test", 0));

	assert_int_equal(pwrite(fd, content, 1, 0), 1);
	return fd;
}

static void hand_over(struct fixture *fixture, const char *names, pid_t to)
{
	char number[24];

	(void)snprintf(number, sizeof number, "%d", to);
	(void)setenv("LISTEN_PID", number, true);
	(void)snprintf(number, sizeof number, "%d", fixture->n);
	(void)setenv("LISTEN_FDS", number, true);
	if (names)
		(void)setenv("LISTEN_FDNAMES", names, true);
	else
		(void)unsetenv("LISTEN_FDNAMES");
	inherited_open(&fixture->inherited);
}

static void test_without_a_manager_there_is_nothing(void **state)
{
	struct fixture *fixture = *state;

	(void)unsetenv("LISTEN_FDS");
	inherited_open(&fixture->inherited);
	assert_int_equal(fixture->inherited.n, 0);
	assert_int_equal(inherited_take(&fixture->inherited, "state"), -1);
	assert_int_equal(inherited_take_listener(&fixture->inherited), -1);
	inherited_close(&fixture->inherited);
}

static void test_what_is_for_another_process_stays_untouched(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, open_listener());
	hand_over(fixture, NULL, getpid() + 1);
	assert_int_equal(fixture->inherited.n, 0);
}

static void test_each_is_taken_once_by_its_name(void **state)
{
	struct fixture *fixture = *state;
	char content;

	give(fixture, open_memory("a"));
	give(fixture, open_memory("b"));
	hand_over(fixture, "other:state", getpid());
	assert_int_equal(inherited_take(&fixture->inherited, "stat"), -1);
	assert_int_equal(inherited_take(&fixture->inherited, "state"), FIRST + 1);
	assert_int_equal(pread(FIRST + 1, &content, 1, 0), 1);
	assert_int_equal(content, 'b');
	assert_int_equal(inherited_take(&fixture->inherited, "state"), -1);
	inherited_close(&fixture->inherited);
	assert_int_equal(fcntl(FIRST, F_GETFD), -1);
	assert_int_equal(fcntl(FIRST + 1, F_GETFD), FD_CLOEXEC);
}

static void test_only_stream_sockets_that_listen_are_listeners(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, open_memory("a"));
	give(fixture, far(socket(AF_INET, SOCK_STREAM, 0)));
	give(fixture, far(socket(AF_UNIX, SOCK_DGRAM, 0)));
	give(fixture, open_listener());
	give(fixture, open_listener());
	hand_over(fixture, NULL, getpid());
	assert_int_equal(inherited_take_listener(&fixture->inherited), FIRST + 3);
	assert_int_equal(inherited_take_listener(&fixture->inherited), FIRST + 4);
	assert_int_equal(inherited_take_listener(&fixture->inherited), -1);
	inherited_close(&fixture->inherited);
}

static void test_the_environment_says_it_once(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, open_listener());
	hand_over(fixture, "status", getpid());
	assert_int_equal(fixture->inherited.n, 1);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDNAMES"));
	inherited_close(&fixture->inherited);
}

static void test_more_than_there_is_room_for_are_closed(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < INHERITED_MAX + 2; i++)
		give(fixture, open_memory("x"));
	hand_over(fixture, NULL, getpid());
	assert_int_equal(fixture->inherited.n, INHERITED_MAX);
	assert_int_equal(fcntl(FIRST + INHERITED_MAX + 1, F_GETFD), -1);
	inherited_close(&fixture->inherited);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_a_manager_there_is_nothing),
		TEST(test_what_is_for_another_process_stays_untouched),
		TEST(test_each_is_taken_once_by_its_name),
		TEST(test_only_stream_sockets_that_listen_are_listeners),
		TEST(test_the_environment_says_it_once),
		TEST(test_more_than_there_is_room_for_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

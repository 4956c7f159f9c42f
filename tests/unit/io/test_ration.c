/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/ration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static char buf[2 * RATION_BYTES];

/* A socket with more than a ration to read. */
static int open_full(int *ret_other)
{
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	must(send(ends[1], buf, RATION_BYTES + 1000, 0) == RATION_BYTES + 1000);
	*ret_other = ends[1];
	return ends[0];
}

static void test_ration_is_all_that_is_there_to_read(void **state)
{
	_cleanup_(closep) int other = -1;
	_cleanup_(closep) int fd = open_full(&other);

	(void)state;
	ration_begin();
	assert_int_equal(recv(fd, buf, 100, 0), 100);
	assert_int_equal(recv(fd, buf, sizeof buf, 0), RATION_BYTES - 100);
	errno = 0;
	assert_int_equal(recv(fd, buf, sizeof buf, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ration_end(), RATION_BYTES);

	ration_begin();
	assert_int_equal(recv(fd, buf, sizeof buf, 0), 1000);
	assert_int_equal(ration_end(), 1000);
}

static void test_ration_bounds_nobody_outside_of_it(void **state)
{
	_cleanup_(closep) int other = -1;
	_cleanup_(closep) int fd = open_full(&other);

	(void)state;
	ration_begin();
	assert_int_equal(ration_end(), 0);
	assert_int_equal(recv(fd, buf, sizeof buf, 0), RATION_BYTES + 1000);
}

static void test_ration_counts_only_what_is_taken(void **state)
{
	_cleanup_(closep) int other = -1;
	_cleanup_(closep) int fd = open_full(&other);

	(void)state;
	ration_begin();
	assert_int_equal(recv(fd, buf, 10, MSG_PEEK), 10);
	assert_int_equal(recv(fd, buf, 10, 0), 10);
	assert_int_equal(recv(-1, buf, 10, 0), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(ration_end(), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ration_is_all_that_is_there_to_read),
		cmocka_unit_test(test_ration_bounds_nobody_outside_of_it),
		cmocka_unit_test(test_ration_counts_only_what_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rules of the small helpers that every file uses. */
#include "modelhealth/base/defs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_freep_frees_and_forgets(void **state)
{
	char *text = malloc(10);

	(void)state;
	freep(&text);
	assert_null(text);
	freep(&text);
	assert_null(text);
}

static void test_take_ptr_hands_over(void **state)
{
	char *kept;

	(void)state;
	{
		_cleanup_(freep) char *text = malloc(10);

		kept = take_ptr(text);
		assert_null(text);
	}
	assert_non_null(kept);
	free(kept);
}

static void test_closep_closes_once(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int copy = fd;

	(void)state;
	assert_true(fd >= 0);
	closep(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	closep(&fd);
	assert_int_equal(fd, -1);
}

static void test_container_of_finds_the_owner(void **state)
{
	struct owner {
		int first;
		int member;
	} owner = { 0 };

	(void)state;
	assert_ptr_equal(container_of(&owner.member, struct owner, member), &owner);
}

static void test_must_ends_the_program_when_it_does_not_hold(void **state)
{
	int status = 0;
	pid_t child;

	(void)state;
	must(1 + 1 == 2);
	child = fork();
	if (child == 0) {
		(void)close(STDERR_FILENO); /* its last words are of no interest here */
		must(1 + 1 == 3);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_freep_frees_and_forgets),
		cmocka_unit_test(test_take_ptr_hands_over),
		cmocka_unit_test(test_closep_closes_once),
		cmocka_unit_test(test_container_of_finds_the_owner),
		cmocka_unit_test(test_must_ends_the_program_when_it_does_not_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

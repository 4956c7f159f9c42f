/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/readfile.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include <string.h>
#include <unistd.h>

static int open_folder(void **state)
{
	static struct folder folder;

	folder_init(&folder);
	*state = &folder;
	return 0;
}

static int close_folder(void **state)
{
	folder_fini(*state);
	return 0;
}

/* Reads and expects this problem, NULL for none. */
static void assert_problem(const char *path, size_t max_bytes, const char *expected)
{
	struct readfile file = READFILE_INIT;
	const char *problem = readfile(path, max_bytes, &file);

	if (!expected)
		assert_null(problem);
	else if (!problem)
		fail_msg("no problem with %s", path);
	else
		assert_string_equal(problem, expected);
	readfile_fini(&file);
	assert_null(file.data);
}

static void test_content_is_read_whole(void **state)
{
	struct readfile file = READFILE_INIT;
	const char *path = folder_write_bytes(*state, "a", "x\0y\n", 4, 0644);

	assert_null(readfile(path, 4, &file));
	assert_int_equal(file.len, 4);
	assert_memory_equal(file.data, "x\0y\n", 5);
	readfile_fini(&file);
	assert_problem(folder_write(*state, "empty", "", 0600), 10, NULL);
}

static void test_size_is_bounded(void **state)
{
	assert_problem(folder_write(*state, "a", "12345", 0600), 5, NULL);
	assert_problem(folder_write(*state, "a", "12345", 0600), 4, "it is larger than 4B");
}

static void test_file_that_others_may_write_is_refused(void **state)
{
	static const mode_t modes[] = { 0620, 0602, 0666, 0777 };

	for (size_t i = 0; i < array_size(modes); i++)
		assert_problem(folder_write(*state, "a", "x", modes[i]), 10,
			"its group or others may write it (chmod go-w)");
	assert_problem(folder_write(*state, "a", "x", 0644), 10, NULL);
}

static void test_only_regular_files_are_read_and_none_is_waited_for(void **state)
{
	const char *fifo = folder_path(*state, "fifo");

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_problem(fifo, 10, "it is not a regular file");
	assert_problem("/dev/zero", 10, "it is not a regular file");
	assert_problem("/dev/null", 10, "it is not a regular file");
	assert_problem(folder_path(*state, "."), 10, "it is a directory");
	assert_problem(folder_path(*state, "missing"), 10, "No such file or directory");
}

static void test_link_is_judged_by_what_it_leads_to(void **state)
{
	const char *link = folder_path(*state, "link");

	(void)folder_write(*state, "real", "x", 0600);
	assert_int_equal(symlink("real", link), 0);
	assert_problem(link, 10, NULL);
	(void)folder_write(*state, "real", "x", 0666);
	assert_problem(
		folder_path(*state, "link"), 10, "its group or others may write it (chmod go-w)");
	assert_int_equal(symlink("loop", folder_path(*state, "loop")), 0);
	assert_problem(folder_path(*state, "loop"), 10, "Too many levels of symbolic links");
}

static void test_file_that_grows_under_our_eyes_is_refused(void **state)
{
	struct readfile file = READFILE_INIT;

	(void)state;
	/* The kernel gives a size of 0 for this one, and then content. */
	assert_string_equal(readfile("/proc/self/status", 65536, &file),
		"it changed while it was read; try again");
	readfile_fini(&file);
}

#define with_folder(fn) cmocka_unit_test_setup_teardown(fn, open_folder, close_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_folder(test_content_is_read_whole),
		with_folder(test_size_is_bounded),
		with_folder(test_file_that_others_may_write_is_refused),
		with_folder(test_only_regular_files_are_read_and_none_is_waited_for),
		with_folder(test_link_is_judged_by_what_it_leads_to),
		with_folder(test_file_that_grows_under_our_eyes_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

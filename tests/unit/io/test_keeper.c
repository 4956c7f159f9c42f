/* SPDX-License-Identifier: MIT */
/*
 * The memory and the file that outlive the process. What damage to them does is tested with the
 * daemon itself, in tests/blackbox/test_state.py.
 */
#include "modelhealth/io/keeper.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <unistd.h>

static const usec_t now = 1000 * USEC_PER_SEC;

/* One process after another, with what the service manager hands on. */
struct fixture {
	struct folder folder;
	struct notify notify;
	struct keeper *keeper;
	struct keeper_found found;
	int stored; /* -1 = nothing yet */
};

static struct keeper_setup setup_of(struct fixture *fixture, struct inherited *inherited)
{
	return (struct keeper_setup){
		.inherited = inherited,
		.notify = &fixture->notify,
		.directory = fixture->folder.path,
		.now = now,
		.real = now,
	};
}

static void begin(struct fixture *fixture)
{
	struct inherited inherited = { 0 };
	const struct keeper_setup setup = setup_of(fixture, &inherited);

	if (fixture->stored >= 0)
		inherited.item[inherited.n++] =
			(struct inherited_fd){ dup(fixture->stored), strdup("state") };
	assert_int_equal(keeper_new(&setup, &fixture->keeper, &fixture->found), 0);
	assert_string_equal(fixture->found.problem, "");
	if (fixture->stored < 0)
		fixture->stored = dup(fixture->notify.owed_fd); /* nobody took it: the test does */
	inherited_close(&inherited);
}

static void end(struct fixture *fixture)
{
	fixture->keeper = keeper_free(fixture->keeper);
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ .notify = { .fd = -1, .owed_fd = -1 }, .stored = -1 };
	folder_init(&fixture.folder);
	begin(&fixture);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	end(fixture);
	close(fixture->stored);
	folder_fini(&fixture->folder);
	return 0;
}

/* Makes n records live, with keys from 1 on. */
static void write_records(struct fixture *fixture, size_t n)
{
	struct record *slots;
	size_t first;

	assert_int_equal(keeper_layout(fixture->keeper, n, &slots, &first), 0);
	for (size_t i = 0; i < n; i++) {
		struct record record = { .type = RECORD_CHECK, .key = i + 1, .at = now };

		assert_int_equal(slots[first + i].type, RECORD_NONE);
		ledger_put(slots, &slots[first + i], &record);
	}
	keeper_commit(fixture->keeper, first, n);
}

static size_t found_records(const struct fixture *fixture)
{
	return fixture->found.image ? fixture->found.image->n : 0;
}

static void test_memory_grows_and_shrinks_and_the_next_process_finds_it(void **state)
{
	static const size_t sizes[] = { 3, 20000, 7, 20000, 1, 500 };
	struct fixture *fixture = *state;

	assert_int_equal(found_records(fixture), 0);
	for (size_t i = 0; i < array_size(sizes); i++) {
		struct stat stat;

		write_records(fixture, sizes[i]);
		assert_int_equal(fstat(fixture->stored, &stat), 0);
		/* pages that are not used go back: a page and a bit at each end stay */
		assert_in_range((size_t)stat.st_blocks * 512, sizes[i] * RECORD_SIZE,
			sizes[i] * RECORD_SIZE + 4 * 4096);
		end(fixture);
		begin(fixture);
		assert_int_equal(found_records(fixture), sizes[i]);
		assert_string_equal(fixture->found.source, "the service manager");
		assert_int_equal(fixture->found.image->n_broken, 0);
		assert_int_equal(keeper_forget(fixture->keeper), 0);
	}
}

static void test_without_room_there_is_no_state_rather_than_an_old_one(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit before, tight;
	struct record *slots;
	size_t first;

	write_records(fixture, 10);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	tight = (struct rlimit){ .rlim_cur = 4096, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(keeper_layout(fixture->keeper, 1000, &slots, &first), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	end(fixture);
	begin(fixture);
	assert_int_equal(found_records(fixture), 0);
	write_records(fixture, 1000);
	assert_int_equal(keeper_layout(fixture->keeper, SIZE_MAX / 200, &slots, &first), -EFBIG);
}

static void test_file_is_read_once_and_only_without_memory(void **state)
{
	struct fixture *fixture = *state;
	const char *path = folder_path(&fixture->folder, "state");

	write_records(fixture, 10);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(keeper_save(fixture->keeper, now, now), 0);
		assert_int_equal(access(path, F_OK), 0);
		end(fixture);
		if (round == 0) {
			close(fixture->stored);
			fixture->stored = -1; /* it was a stop */
		}
		begin(fixture);
		assert_int_equal(found_records(fixture), 10);
		assert_string_equal(fixture->found.source,
			round == 0 ? "the state directory" : "the service manager");
		assert_int_equal(access(path, F_OK), 0); /* until its states are live */
		write_records(fixture, 10);
		assert_int_equal(keeper_forget(fixture->keeper), 0);
		assert_int_equal(access(path, F_OK), -1);
	}
}

static void test_without_memory_nothing_is_found(void **state)
{
	struct fixture *fixture = *state;
	struct inherited inherited = { 0 };
	const struct keeper_setup setup = setup_of(fixture, &inherited);
	struct keeper *keeper = NULL;
	struct rlimit before, tight;

	write_records(fixture, 10);
	assert_int_equal(keeper_save(fixture->keeper, now, now), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	tight = (struct rlimit){ .rlim_cur = 1, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(keeper_new(&setup, &keeper, &fixture->found), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, SIG_DFL);
	assert_null(keeper);
	assert_null(fixture->found.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_memory_grows_and_shrinks_and_the_next_process_finds_it, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			test_without_room_there_is_no_state_rather_than_an_old_one, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			test_file_is_read_once_and_only_without_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_without_memory_nothing_is_found, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

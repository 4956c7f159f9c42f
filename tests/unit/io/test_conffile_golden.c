/* SPDX-License-Identifier: MIT */
/*
 * Every .yaml of tests/data/conf is wrong, and each has beside it what must be said of it; some have
 * a .profile, which is then the operator's profile "own". With
 * MODELHEALTH_UPDATE_GOLDEN set, the texts are written anew instead: look at the difference.
 */
#include "modelhealth/io/conffile.h"

#include "fake_kind.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_BYTES = 65536
};

static char *read_text(const char *directory, const char *name, const char *ending, size_t *ret_len)
{
	static char text[2][MAX_BYTES];
	static unsigned turn;
	char *into = text[turn++ % 2];
	char path[1024];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s%s", directory, name, ending);
	file = fopen(path, "re");
	if (!file)
		fail_msg("cannot open %s", path);
	*ret_len = fread(into, 1, MAX_BYTES - 1, file);
	into[*ret_len] = '\0';
	(void)fclose(file);
	return into;
}

static void write_text(const char *directory, const char *name, const char *text)
{
	char path[1024];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s.txt", directory, name);
	file = fopen(path, "we");
	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* The operator's profile that stands beside the file, if there is one. */
static void write_profile(const char *directory, const char *name, struct folder *folder)
{
	char path[1024];
	size_t len;
	const char *text;

	(void)snprintf(path, sizeof path, "%s/%s.profile", directory, name);
	if (access(path, R_OK) < 0)
		return;
	text = read_text(directory, name, ".profile", &len);
	(void)folder_write_bytes(folder, "profiles/own.yaml", text, len, 0600);
}

/* What is said of the file, loaded by its bare name from a directory of its own. */
static void load(const char *directory, const char *name, struct sbuf *ret_text)
{
	struct conf_errors errors = { 0 };
	struct config *config = NULL;
	struct folder folder;
	char file[300];
	size_t len;
	const char *text = read_text(directory, name, ".yaml", &len);
	clock_t start; /* CPU time, so that a busy machine does not fail the test */

	folder_init(&folder);
	(void)snprintf(file, sizeof file, "%s.yaml", name);
	(void)folder_write_bytes(&folder, file, text, len, 0600);
	(void)folder_write(&folder, "secret", "hidden-text\n", 0600);
	write_profile(directory, name, &folder);
	assert_int_equal(chdir(folder.path), 0);
	start = clock();
	if (conffile_load(file, "profiles", fake_kinds, &errors, &config) == 0)
		fail_msg("%s loads", name);
	assert_in_range(clock() - start, 0, CLOCKS_PER_SEC);
	assert_int_equal(fake_kind_live, 0);
	conf_errors_print(&errors, ret_text);
	conf_errors_fini(&errors);
	folder_fini(&folder);
}

static void check(const char *directory, const char *name)
{
	_cleanup_(sbuf_fini) struct sbuf found = SBUF_INIT;
	size_t len;

	load(directory, name, &found);
	if (getenv("MODELHEALTH_UPDATE_GOLDEN"))
		write_text(directory, name, sbuf_str(&found));

	const char *expected = read_text(directory, name, ".txt", &len);

	if (strcmp(expected, sbuf_str(&found)) != 0)
		fail_msg("%s.yaml\nexpected:\n%sgot:\n%s", name, expected, sbuf_str(&found));
	assert_null(strstr(sbuf_str(&found), "hidden-text"));
}

static void test_wrong_files_are_told_what_is_wrong(void **state)
{
	const char *directory = *state;
	DIR *listing = opendir(directory);
	const struct dirent *entry;
	unsigned n = 0;

	assert_non_null(listing);
	while ((entry = readdir(listing)) != NULL) {
		char name[256];
		size_t len = strlen(entry->d_name);

		if (len <= 5 || strcmp(entry->d_name + len - 5, ".yaml") != 0)
			continue;
		(void)snprintf(name, sizeof name, "%.*s", (int)(len - 5), entry->d_name);
		check(directory, name);
		n++;
	}
	assert_int_equal(closedir(listing), 0);
	assert_in_range(n, 100, 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_wrong_files_are_told_what_is_wrong, argv[1]),
	};

	if (argc != 2)
		return 2;
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

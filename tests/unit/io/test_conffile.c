/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/conffile.h"

#include "fake_kind.h"
#include "folder.h"
#include "modelhealth/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARKER "m4rk3r-0f-4-s3cr3t"

struct fixture {
	struct folder folder;
	struct config *config;
	struct sbuf errors; /* one a line */
	struct sbuf dump;
};

static int open_fixture(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ 0 };
	folder_init(&fixture.folder);
	*state = &fixture;
	return 0;
}

static void unload(struct fixture *fixture)
{
	fixture->config = config_unref(fixture->config);
	sbuf_clear(&fixture->errors);
	sbuf_clear(&fixture->dump);
	assert_int_equal(fake_kind_live, 0);
}

static int close_fixture(void **state)
{
	struct fixture *fixture = *state;

	unload(fixture);
	sbuf_fini(&fixture->errors);
	sbuf_fini(&fixture->dump);
	folder_fini(&fixture->folder);
	return 0;
}

static void put(struct fixture *fixture, const char *name, const char *text)
{
	(void)folder_write(&fixture->folder, name, text, 0600);
}

static void load_path(struct fixture *fixture, const char *path)
{
	struct conf_errors errors = { 0 };
	int rc;

	unload(fixture);
	rc = conffile_load(path, folder_path(&fixture->folder, "profiles"), fake_kinds, &errors,
		&fixture->config);
	assert_true(rc == 0 || rc == -EINVAL);
	assert_int_equal(rc == 0, errors.n == 0);
	conf_errors_print(&errors, &fixture->errors);
	conf_errors_fini(&errors);
	if (fixture->config)
		conf_dump(fixture->config, &fixture->dump);
}

/* Writes and loads the main file. */
static void load(struct fixture *fixture, const char *text)
{
	put(fixture, "main.yaml", text);
	load_path(fixture, folder_path(&fixture->folder, "main.yaml"));
}

static void assert_loads(struct fixture *fixture, const char *text)
{
	load(fixture, text);
	if (!fixture->config)
		fail_msg("%s", sbuf_str(&fixture->errors));
}

static void assert_error(struct fixture *fixture, const char *text, const char *needle)
{
	load(fixture, text);
	assert_null(fixture->config);
	if (!strstr(sbuf_str(&fixture->errors), needle))
		fail_msg("no \"%s\" in\n%s", needle, sbuf_str(&fixture->errors));
}

static const struct fake_params *params(const struct fixture *fixture, size_t i)
{
	return fixture->config->endpoints[i].checks[0].params;
}

#define ENDPOINT "endpoints:\n  - name: a\n    type: fake\n    url: http://a/\n"

/* ---- includes ---- */

static void test_included_groups_and_endpoints_are_merged_in_sorted_order(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "conf.d/2.yaml",
		"endpoints:\n  - { name: c, type: fake, url: 'http://c/', group: g }\n");
	put(fixture, "conf.d/1.yaml",
		"groups: { g: { rise: 7 } }\nendpoints:\n  - { name: b, type: fake, url: 'http://b/' }\n");
	put(fixture, "conf.d/3.txt", "nonsense");
	put(fixture, "conf.d/.4.yaml", "nonsense");
	assert_loads(fixture, "include: [ conf.d/*.yaml ]\ndefaults: { fall: 9 }\n" ENDPOINT);
	assert_int_equal(fixture->config->n_endpoints, 3);
	assert_string_equal(fixture->config->endpoints[0].name, "a");
	assert_string_equal(fixture->config->endpoints[1].name, "b");
	assert_string_equal(fixture->config->endpoints[2].name, "c");
	assert_int_equal(fixture->config->endpoints[2].checks[0].health.rise, 7);
	assert_int_equal(fixture->config->endpoints[2].checks[0].health.fall, 9);
	assert_non_null(strstr(fixture->config->endpoints[2].file, "/conf.d/2.yaml"));
	assert_int_equal(fixture->config->endpoints[2].line, 2);
}

static void test_main_file_may_hold_includes_alone(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "e.yaml", ENDPOINT);
	assert_loads(fixture, "include: e.yaml\nendpoints:\ngroups:\n");
	assert_int_equal(fixture->config->n_endpoints, 1);
	assert_loads(fixture, "include: [ \"e.yaml\" ]\n");
	assert_int_equal(fixture->config->n_endpoints, 1);
}

static void test_included_file_may_be_empty(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "e.yaml", "# nothing yet\n");
	assert_loads(fixture, "include: e.yaml\n" ENDPOINT);
}

static void test_errors_of_all_files_come_at_once(void **state)
{
	struct fixture *fixture = *state;
	const char *errors;

	put(fixture, "d/a.yaml",
		"endpoints:\n  - { name: b, type: fake, url: 'http://b/', rise: 0 }\n");
	put(fixture, "d/b.yaml", "endpoints: [\n");
	put(fixture, "d/c.yaml",
		"defaults: { rise: 2 }\nendpoints:\n  - { name: b, type: fake, url: 'http://b/' }\n");
	load(fixture, "include: [ d/*.yaml ]\nnonsense: 1\ngroups: { from_a: {} }\n" ENDPOINT
		      "    group: from_b\n");
	errors = sbuf_str(&fixture->errors);
	assert_null(fixture->config);
	assert_non_null(strstr(errors, "d/a.yaml:2:52: endpoints[0].rise: expected"));
	assert_non_null(strstr(errors, "d/b.yaml:2:1: YAML syntax"));
	assert_non_null(strstr(errors, "d/c.yaml:1:1: defaults: an included file can hold"));
	assert_non_null(strstr(errors, "d/c.yaml:3:13: endpoints[0].name: \"b\" is also"));
	assert_non_null(strstr(errors, "main.yaml:2:1: nonsense"));
	assert_null(strstr(errors, "from_b"));
}

static void test_include_loops_and_depth_are_refused(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "a.yaml", "include: b.yaml\n");
	put(fixture, "b.yaml", "include: a.yaml\n");
	assert_error(fixture, "include: a.yaml\n", "a.yaml includes itself");
	assert_error(fixture, "include: '*.yaml'\n", "main.yaml includes itself");
	put(fixture, "1.yaml", "include: 2.yaml\n");
	put(fixture, "2.yaml", "include: 3.yaml\n");
	put(fixture, "3.yaml", ENDPOINT);
	assert_loads(fixture, "include: 1.yaml\n");
	put(fixture, "3.yaml", "include: 4.yaml\n");
	put(fixture, "4.yaml", ENDPOINT);
	assert_error(fixture, "include: 1.yaml\n", "3.yaml:1:10: include: ");
	assert_error(fixture, "include: 1.yaml\n", "is included more than 4 files deep");
}

static void test_loop_through_a_link_is_found(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(symlink("main.yaml", folder_path(&fixture->folder, "link.yaml")), 0);
	assert_error(fixture, "include: link.yaml\n", "link.yaml includes itself");
}

static void test_linked_folders_are_followed(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "data/e.yaml", ENDPOINT);
	assert_int_equal(symlink("data", folder_path(&fixture->folder, "conf.d")), 0);
	assert_loads(fixture, "include: conf.d/*.yaml\n");
	assert_int_equal(fixture->config->n_endpoints, 1);
}

static void test_untrusted_and_missing_includes_are_refused(void **state)
{
	struct fixture *fixture = *state;

	(void)folder_write(&fixture->folder, "open.yaml", ENDPOINT, 0666);
	assert_error(fixture, "include: open.yaml\n", "its group or others may write it");
	assert_error(fixture, "include: absent.yaml\n", "No such file");
	assert_error(fixture, "include: absent/*.yaml\n", "cannot read the directory");
	assert_int_equal(mkfifo(folder_path(&fixture->folder, "fifo.yaml"), 0600), 0);
	assert_error(fixture, "include: fifo.yaml\n", "not a regular file");
	assert_int_equal(mkdir(folder_path(&fixture->folder, "empty"), 0700), 0);
	assert_loads(fixture, "include: empty/*.yaml\n" ENDPOINT);
}

static void test_main_file_is_judged_like_any_other(void **state)
{
	struct fixture *fixture = *state;
	char *large = calloc(1, CONFFILE_MAX_BYTES + 2);

	load_path(fixture, "/dev/zero");
	assert_string_equal(sbuf_str(&fixture->errors),
		"/dev/zero: cannot read the file: it is not a regular file\n");
	load_path(fixture, "/nonexistent/x.yaml");
	assert_non_null(strstr(sbuf_str(&fixture->errors), "No such file"));
	assert_non_null(large);
	memset(large, '#', CONFFILE_MAX_BYTES + 1);
	assert_error(fixture, large, "it is larger than 4MiB");
	free(large);
}

/* ---- references ---- */

static void test_references_are_replaced_inside_values(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "key", "k1\n");
	assert_int_equal(setenv("MH_TEST_HOST", "h9", 1), 0);
	assert_loads(fixture,
		"defaults: { rise: \"${env:MH_TEST_RISE}\" }\n"
		"endpoints:\n  - name: a\n    type: fake\n    url: http://${env:MH_TEST_HOST}:1/\n"
		"    api_key: ${file:key}\n    body: a$b $${env:X} $ ${env:MH_TEST_HOST}$\n");
	assert_string_equal(params(fixture, 0)->url, "http://h9:1/");
	assert_string_equal(secret_expose(params(fixture, 0)->api_key), "k1");
	assert_string_equal(params(fixture, 0)->body, "a$b ${env:X} $ h9$");
	assert_int_equal(fixture->config->endpoints[0].checks[0].health.rise, 6);
}

static void test_credentials_come_from_their_directory(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "credentials/chat-key", MARKER);
	assert_int_equal(
		setenv("CREDENTIALS_DIRECTORY", folder_path(&fixture->folder, "credentials"), 1),
		0);
	assert_loads(fixture, ENDPOINT "    api_key: ${credential:chat-key}\n");
	assert_string_equal(secret_expose(params(fixture, 0)->api_key), MARKER);
	assert_error(fixture, ENDPOINT "    api_key: ${credential:chat}\n",
		"there is no credential chat: no ");
	put(fixture, "credentials/two-lines", MARKER "\nX: y");
	assert_error(fixture, ENDPOINT "    api_key: ${credential:two-lines}\n",
		"credentials/two-lines: it holds control characters or more than one line");
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_error(fixture, ENDPOINT "    api_key: ${credential:chat-key}\n",
		"CREDENTIALS_DIRECTORY is not set");
}

static void test_secret_file_is_one_clean_line(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *value;   /* NULL = refused */
		const char *problem; /* part of the message */
	} cases[] = {
		{ MARKER, sizeof MARKER - 1, MARKER, NULL },
		{ MARKER "\n", sizeof MARKER, MARKER, NULL },
		{ MARKER "\r\n", sizeof MARKER + 1, MARKER, NULL },
		{ MARKER "\xc3\xa9", sizeof MARKER + 1, MARKER "\xc3\xa9", NULL },
		{ MARKER "\n\n", sizeof MARKER + 1, NULL, "more than one line" },
		{ MARKER "\nX: y", sizeof MARKER + 4, NULL, "more than one line" },
		{ MARKER "\r", sizeof MARKER, NULL, "control characters" },
		{ MARKER "\0", sizeof MARKER, NULL, "control characters" },
		{ MARKER "\t", sizeof MARKER, NULL, "control characters" },
		{ MARKER "\xff", sizeof MARKER, NULL, "not UTF-8" },
		{ "\n", 1, NULL, "is empty" },
		{ "", 0, NULL, "is empty" },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		(void)folder_write_bytes(
			&fixture->folder, "key", cases[i].bytes, cases[i].len, 0644);
		load(fixture, ENDPOINT "    api_key: ${file:key}\n");
		assert_null(strstr(sbuf_str(&fixture->errors), MARKER));
		assert_null(strstr(sbuf_str(&fixture->dump), MARKER));
		assert_int_equal(fixture->config != NULL, cases[i].value != NULL);
		if (cases[i].value) {
			assert_string_equal(
				secret_expose(params(fixture, 0)->api_key), cases[i].value);
			continue;
		}
		assert_non_null(strstr(sbuf_str(&fixture->errors), cases[i].problem));
		assert_non_null(strstr(sbuf_str(&fixture->errors), "/key:"));
	}
}

static void test_large_and_open_secret_files_are_refused(void **state)
{
	static const char text[] = ENDPOINT "    api_key: ${file:key}\n";
	struct fixture *fixture = *state;
	char *large = calloc(1, CONFFILE_MAX_SECRET_BYTES + 2);

	assert_non_null(large);
	memset(large, 'x', CONFFILE_MAX_SECRET_BYTES);
	put(fixture, "key", large);
	assert_loads(fixture, text);
	large[CONFFILE_MAX_SECRET_BYTES] = 'x';
	put(fixture, "key", large);
	assert_error(fixture, text, "it is larger than 64KiB");
	free(large);
	(void)folder_write(&fixture->folder, "key", MARKER, 0622);
	assert_error(fixture, text, "others may write it");
}

static void test_secret_is_never_shown_whatever_key_it_stands_in(void **state)
{
	static const char *const keys[] = { "url", "api_key", "body", "method", "models", "headers",
		"interval", "rise", "max_body", "budget", "version", "reuse", "rate", "group",
		"type", "name", "labels", "expect", "checks", "nonsense", "timeout" };
	static const char *const shapes[] = { "\"${file:key}\"", "\"a${file:key}b\"",
		"[ \"${file:key}\" ]", "{ a: \"${file:key}\" }", "\"http://x/${file:key}\"",
		"{ status: \"${file:key}\", latency: \"${file:key}\" }" };
	struct fixture *fixture = *state;
	char text[512];

	put(fixture, "key", MARKER);
	for (size_t i = 0; i < array_size(keys) * array_size(shapes); i++) {
		const char *key = keys[i % array_size(keys)];

		(void)snprintf(text, sizeof text, "endpoints:\n  - { %s%s%s%s: %s }\n",
			strcmp(key, "name") == 0 ? "" : "name: a, ",
			strcmp(key, "type") == 0 ? "" : "type: fake, ",
			strcmp(key, "url") == 0 ? "" : "url: 'http://a/', ", key,
			shapes[i / array_size(keys)]);
		load(fixture, text);
		if (strstr(sbuf_str(&fixture->errors), MARKER) ||
			strstr(sbuf_str(&fixture->dump), MARKER))
			fail_msg("%s\n%s%s", text, sbuf_str(&fixture->errors),
				sbuf_str(&fixture->dump));
		if (fixture->config && fixture->config->endpoints[0].url)
			assert_null(strstr(fixture->config->endpoints[0].url, MARKER));
	}
}

static void test_secret_that_reads_like_null_is_a_text(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, "key", "null");
	assert_loads(fixture, ENDPOINT "    api_key: ${file:key}\n");
	assert_string_equal(secret_expose(params(fixture, 0)->api_key), "null");
}

static void test_value_cannot_grow_without_bound(void **state)
{
	struct fixture *fixture = *state;
	struct sbuf text = SBUF_INIT;
	char *large = calloc(1, CONFFILE_MAX_SECRET_BYTES + 1);

	assert_non_null(large);
	memset(large, 'x', CONFFILE_MAX_SECRET_BYTES);
	put(fixture, "key", large);
	free(large);
	sbuf_puts(&text, ENDPOINT "    body: \"");
	for (int i = 0; i < 5; i++)
		sbuf_puts(&text, "${file:key}");
	sbuf_puts(&text, "\"\n");
	assert_error(fixture, sbuf_str(&text), "the value is longer than");
	sbuf_fini(&text);
}

/* ---- the whole ---- */

static void test_dump_loads_again_and_is_the_same(void **state)
{
	struct fixture *fixture = *state;
	struct sbuf first = SBUF_INIT;

	assert_loads(fixture,
		"status: { listen: [ '[::1]:1', 'unix:/x y', 127.0.0.1:2 ], allowed_hosts: h }\n"
		"limits: { per_key_rate: 60/1m }\ndeny_addresses: []\n"
		"defaults: { timeout: { total: 1m30s }, labels: { 'on': 'yes', b: '5' } }\n"
		"groups: { g: { init: up, window_latency: { degraded: 1s } } }\n" ENDPOINT
		"    group: g\n    rate: 5/1s\n    jitter: 10ms\n"
		"    headers: { X: \"\\\"q\\\"\", Y: 'null' }\n    body: \"a\\nb: [ c ]\"\n"
		"    models: [ 'true', '~', '- x', '# y' ]\n"
		"    checks: { live: { kind: bare }, canary: { version: '1.1', reuse: true } }\n");
	sbuf_puts(&first, sbuf_str(&fixture->dump));
	assert_loads(fixture, sbuf_str(&first));
	assert_string_equal(sbuf_str(&fixture->dump), sbuf_str(&first));
	sbuf_fini(&first);
}

/* Takes away each # that is not followed by one blank: what the example shows is put in force. */
static void uncomment(struct sbuf *text)
{
	char *into = text->data;

	for (const char *line = text->data; *line;) {
		const char *end = strchrnul(line, '\n') + 1;
		const char *hash = line + strspn(line, " ");
		bool is_setting = *hash == '#' && (hash[1] != ' ' || hash[2] == ' ');

		memmove(into, line, (size_t)(hash - line));
		into += hash - line;
		hash += is_setting;
		memmove(into, hash, (size_t)(end - hash));
		into += end - hash;
		line = end;
	}
	*into = '\0';
}

static void test_example_loads_as_it_is_and_with_everything_in_force(void **state)
{
	struct fixture *fixture = *state;
	struct sbuf example = SBUF_INIT;

	put(fixture, "conf.d/e.yaml",
		"endpoints:\n"
		"  - { name: router, type: bare, url: 'http://a/' }\n"
		"  - { name: dns, type: bare, url: 'http://a/' }\n");
	/* The shipped one is written for kinds that are not known here. */
	put(fixture, "profiles/vllm.yaml",
		"about: a server\n"
		"checks: { live: { kind: bare }, ready: { kind: bare }, canary: { kind: bare } }\n");
	conf_write_example(fake_kinds, &example);
	assert_loads(fixture, sbuf_str(&example));
	assert_int_equal(fixture->config->n_endpoints, 0);
	uncomment(&example);
	load(fixture, sbuf_str(&example));
	if (!fixture->config)
		fail_msg("%s\n%s", sbuf_str(&fixture->errors), sbuf_str(&example));
	assert_int_equal(fixture->config->n_endpoints, 5);
	sbuf_fini(&example);
}

/* Y5: what is taken as a number or a duration is what the grammar says, and reads back. */
static void test_scalars_follow_the_grammar(void **state)
{
	static const char letters[] = "0123456789.smhdwu-+e_x ";
	struct fixture *fixture = *state;
	struct rand rand;
	unsigned n_good = 0;

	rand_seed(&rand, 20260102);
	for (unsigned i = 0; i < 4000; i++) {
		char word[8] = "";
		char text[256];
		size_t len = 1 + rand_below(&rand, 5);
		usec_t usec;

		for (size_t k = 0; k < len; k++)
			word[k] = letters[rand_below(&rand, sizeof letters - 1)];
		(void)snprintf(text, sizeof text, ENDPOINT "    jitter: \"%s\"\n", word);
		load(fixture, text);
		if (!fixture->config) {
			assert_true(duration_parse(word, &usec) < 0 || usec > 3600 * USEC_PER_SEC);
			continue;
		}
		assert_int_equal(duration_parse(word, &usec), 0);
		assert_int_equal(fixture->config->endpoints[0].checks[0].jitter,
			min_of(usec, 5 * USEC_PER_SEC));
		n_good++;
	}
	assert_in_range(n_good, 50, 3000);
}

/* The time for 10,000 endpoints, and the room they take. */
static void test_ten_thousand_endpoints_load_in_a_second(void **state)
{
	struct fixture *fixture = *state;
	struct sbuf text = SBUF_INIT;
	clock_t start;
	usec_t took; /* CPU time, so that a busy machine does not fail the test */

	sbuf_puts(&text, "defaults: { interval: 10s, timeout: { total: 5s }, headers: { A: b } }\n"
			 "groups: { g: { rise: 3, labels: { team: x } } }\nendpoints:\n");
	for (unsigned i = 0; i < 10000; i++)
		sbuf_printf(&text,
			"  - name: endpoint-%u\n    type: fake\n    group: g\n"
			"    url: http://127.%u.%u.1:8000/health\n    labels: { rack: r%u }\n",
			i, i / 256, i % 256, i % 40);
	start = clock();
	assert_loads(fixture, sbuf_str(&text));
	took = (usec_t)(clock() - start) * USEC_PER_SEC / CLOCKS_PER_SEC;
	sbuf_fini(&text);
	assert_int_equal(fixture->config->n_endpoints, 10000);
	/* Ten times what it takes here, so that sanitizers and busy machines pass. */
	assert_in_range(took, 0, 10 * USEC_PER_SEC);
	assert_in_range(fixture->config->arena.used_bytes / 10000, 1, 2048);
	print_message("10,000 endpoints: %llu ms, %zu bytes each\n",
		(unsigned long long)(took / USEC_PER_MSEC),
		fixture->config->arena.used_bytes / 10000);
}

#define with_fixture(fn) cmocka_unit_test_setup_teardown(fn, open_fixture, close_fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(test_included_groups_and_endpoints_are_merged_in_sorted_order),
		with_fixture(test_main_file_may_hold_includes_alone),
		with_fixture(test_included_file_may_be_empty),
		with_fixture(test_errors_of_all_files_come_at_once),
		with_fixture(test_include_loops_and_depth_are_refused),
		with_fixture(test_loop_through_a_link_is_found),
		with_fixture(test_linked_folders_are_followed),
		with_fixture(test_untrusted_and_missing_includes_are_refused),
		with_fixture(test_main_file_is_judged_like_any_other),
		with_fixture(test_references_are_replaced_inside_values),
		with_fixture(test_credentials_come_from_their_directory),
		with_fixture(test_secret_file_is_one_clean_line),
		with_fixture(test_large_and_open_secret_files_are_refused),
		with_fixture(test_secret_is_never_shown_whatever_key_it_stands_in),
		with_fixture(test_secret_that_reads_like_null_is_a_text),
		with_fixture(test_value_cannot_grow_without_bound),
		with_fixture(test_dump_loads_again_and_is_the_same),
		with_fixture(test_example_loads_as_it_is_and_with_everything_in_force),
		with_fixture(test_scalars_follow_the_grammar),
		with_fixture(test_ten_thousand_endpoints_load_in_a_second),
	};

	(void)setenv("MH_TEST_RISE", "6", 1);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

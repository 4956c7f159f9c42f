/* SPDX-License-Identifier: MIT */
/*
 * /metrics and /probe, read back by a parser of the text format, and by promtool where there is
 * one.
 */
#include "modelhealth/text/sanitise.h"
#include "world.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a strict reader ---- */

enum {
	MAX_FAMILIES = 100
};

struct reader {
	char families[MAX_FAMILIES][80]; /* in order of appearance */
	size_t n_families;
	size_t n_samples;
	/* The sample looked for, by its text up to the blank before the value. */
	const char *wanted;
	char found[64]; /* its value */
	size_t n_found;
};

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == ':';
}

/* Past {name="value",…}; fails the test on anything else. */
static const char *skip_labels(const char *at, const char *end)
{
	assert_true(*at == '{');
	do {
		const char *name = ++at;

		while (at < end && is_name_char(*at))
			at++;
		assert_true(at > name && at[0] == '=' && at[1] == '"');
		for (at += 2; at < end && *at != '"'; at++) {
			if (*at != '\\')
				continue;
			at++;
			assert_true(at < end && (*at == '\\' || *at == '"' || *at == 'n'));
		}
		assert_true(at < end);
		at++;
	} while (*at == ',');
	assert_true(*at == '}');
	return at + 1;
}

static void read_sample(struct reader *reader, const char *line, const char *end)
{
	const char *family = reader->families[reader->n_families - 1];
	const char *at = line;
	char *number_end;

	assert_true(reader->n_families > 0);
	while (at < end && is_name_char(*at))
		at++;
	/* Only samples of the family that was announced last, histograms with their suffixes. */
	assert_true((size_t)(at - line) >= strlen(family));
	assert_memory_equal(line, family, strlen(family));
	if (*at == '{')
		at = skip_labels(at, end);
	assert_true(*at == ' ');
	(void)strtod(at + 1, &number_end);
	assert_true(number_end == end);
	reader->n_samples++;
	if (reader->wanted && strlen(reader->wanted) == (size_t)(at - line) &&
		memcmp(reader->wanted, line, strlen(reader->wanted)) == 0) {
		reader->n_found++;
		(void)snprintf(
			reader->found, sizeof reader->found, "%.*s", (int)(end - at - 1), at + 1);
	}
}

static void read_comment(struct reader *reader, const char *line, const char *end)
{
	char name[80];

	if (strncmp(line, "# TYPE ", 7) != 0) {
		assert_int_equal(strncmp(line, "# HELP ", 7), 0);
		return;
	}
	assert_true(end - line < 200);
	assert_int_equal(sscanf(line + 7, "%79s", name), 1);
	for (size_t i = 0; i < reader->n_families; i++)
		assert_string_not_equal(reader->families[i], name);
	assert_true(reader->n_families < MAX_FAMILIES);
	(void)snprintf(reader->families[reader->n_families++], 80, "%s", name);
}

static void read_page(struct reader *reader, const struct sbuf *page)
{
	const char *line = sbuf_str(page);

	assert_true(utf8_is_valid(line, page->len));
	assert_true(page->len > 0 && line[page->len - 1] == '\n');
	while (*line) {
		const char *end = strchr(line, '\n');

		assert_non_null(end);
		if (*line == '#')
			read_comment(reader, line, end);
		else
			read_sample(reader, line, end);
		line = end + 1;
	}
}

static void assert_sample(const struct sbuf *page, const char *sample, const char *value)
{
	struct reader reader = { .wanted = sample };

	read_page(&reader, page);
	if (reader.n_found != 1 || strcmp(reader.found, value) != 0)
		fail_msg("%s: expected %s once, got %s %zu times", sample, value, reader.found,
			reader.n_found);
}

static bool has_text(const struct sbuf *page, const char *text)
{
	return strstr(sbuf_str(page), text) != NULL;
}

/* ---- tests ---- */

static void test_samples_say_what_the_snapshot_says(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct result result = { 0 };
	(void)state;

	world_open(&world, 2);
	result_set(&result, REASON_CONNECT_REFUSED, "x");
	world_set_result(&world, 1, &result);
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_sample(&page,
		"modelhealth_endpoint_state{endpoint=\"ep-00000\",group=\"even\",state=\"up\"}",
		"1");
	assert_sample(&page,
		"modelhealth_endpoint_state{endpoint=\"ep-00000\",group=\"even\",state=\"down\"}",
		"0");
	assert_sample(&page,
		"modelhealth_endpoint_state{endpoint=\"ep-00001\",group=\"\",state=\"down\"}", "1");
	assert_sample(&page, "modelhealth_endpoints{state=\"up\"}", "1");
	assert_sample(&page,
		"modelhealth_endpoint_info{endpoint=\"ep-00000\",group=\"even\",type=\"http\","
		"label_team=\"search\"}",
		"1");
	assert_sample(&page,
		"modelhealth_endpoint_state_change_timestamp_seconds{endpoint=\"ep-00000\","
		"group=\"even\"}",
		"1767319445.678");
	assert_sample(&page,
		"modelhealth_check_results_total{endpoint=\"ep-00000\",check=\"live\",reason=\"ok\"}",
		"3");
	assert_sample(&page,
		"modelhealth_check_results_total{endpoint=\"ep-00001\",check=\"live\","
		"reason=\"connect_refused\"}",
		"1");
	assert_sample(&page,
		"modelhealth_check_duration_seconds_bucket{endpoint=\"ep-00000\",check=\"live\","
		"le=\"0.04\"}",
		"0");
	assert_sample(&page,
		"modelhealth_check_duration_seconds_bucket{endpoint=\"ep-00000\",check=\"live\","
		"le=\"0.08\"}",
		"3");
	assert_sample(&page,
		"modelhealth_check_duration_seconds_bucket{endpoint=\"ep-00000\",check=\"live\","
		"le=\"+Inf\"}",
		"3");
	assert_sample(&page,
		"modelhealth_check_duration_seconds_sum{endpoint=\"ep-00000\",check=\"live\"}",
		"0.15");
	assert_sample(&page,
		"modelhealth_check_duration_seconds_count{endpoint=\"ep-00000\",check=\"live\"}",
		"3");
	assert_sample(&page,
		"modelhealth_check_cert_expiry_timestamp_seconds{endpoint=\"ep-00000\","
		"check=\"live\"}",
		"1767409445.678");
	assert_sample(&page, "modelhealth_config_last_reload_success", "1");
	assert_sample(&page, "modelhealth_check_lateness_seconds_bucket{le=\"0.0002\"}", "0");
	assert_sample(&page, "modelhealth_check_lateness_seconds_bucket{le=\"0.0004\"}", "1");
	/* The certificate of an endpoint that showed none, and reasons that never were. */
	assert_false(has_text(&page, "cert_expiry_timestamp_seconds{endpoint=\"ep-00001\""));
	assert_false(has_text(&page, "reason=\"slow\""));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_a_state_has_its_reason_and_the_check_that_decided_it(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct result result = { 0 };
	(void)state;

	world_open(&world, 3);
	result_set(&result, REASON_STALLED, "x");
	world_set_result(&world, 1, &result);
	world.views[2].decided_by = NULL;
	world.views[2].reason = REASON_NEVER_CHECKED;
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_sample(&page,
		"modelhealth_endpoint_reason{endpoint=\"ep-00000\",group=\"even\",check=\"live\","
		"reason=\"ok\"}",
		"1");
	assert_sample(&page,
		"modelhealth_endpoint_reason{endpoint=\"ep-00001\",group=\"\",check=\"live\","
		"reason=\"stalled\"}",
		"1");
	assert_sample(&page,
		"modelhealth_endpoint_reason{endpoint=\"ep-00002\",group=\"even\",check=\"\","
		"reason=\"never_checked\"}",
		"1");
	sbuf_fini(&page);
	world_close(&world);
}

static void test_slots_that_were_left_out_are_counted_by_why(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	world.check_views[0].suppressed_total[SUPPRESSED_BUDGET] = 4;
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_sample(&page,
		"modelhealth_check_suppressed_total{endpoint=\"ep-00000\",check=\"live\","
		"why=\"budget\"}",
		"4");
	assert_false(has_text(&page, "why=\"full\""));
	assert_false(has_text(&page, "why=\"\""));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_phases_are_those_that_follow_one_another(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_sample(&page,
		"modelhealth_check_phase_seconds{endpoint=\"ep-00000\",check=\"live\","
		"phase=\"first_byte\"}",
		"0.04");
	assert_false(has_text(&page, "phase=\"tls\"")); /* none happened */
	assert_false(has_text(&page, "phase=\"total\""));
	assert_false(has_text(&page, "phase=\"queue\""));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_a_span_that_never_happened_has_no_histogram(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	world.check_views[0].first_byte = (struct histogram){ 0 };
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_false(has_text(&page, "modelhealth_check_first_byte_seconds_count{"));
	assert_true(has_text(&page, "modelhealth_check_duration_seconds_count{"));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_a_model_s_tokens_and_load_are_there_for_who_has_them(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct token_view tokens = { .prompt_total = 7, .completion_total = 21 };
	struct server_load *load;
	(void)state;

	world_open(&world, 2);
	histogram_add(&tokens.first_token, 300 * USEC_PER_MSEC);
	world.check_views[0].tokens = &tokens;
	load = &world.check_views[0].last.load;
	load->seen =
		1u << LOAD_WAITING | 1u << LOAD_KV_USAGE | 1u << LOAD_TTFT | 1u << LOAD_PROGRESS;
	load->value[LOAD_PROGRESS] = 123456789012;
	load->value[LOAD_WAITING] = 3;
	load->value[LOAD_KV_USAGE] = 0.25;
	load->value[LOAD_TTFT] = (double)NAN;
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_sample(&page,
		"modelhealth_check_first_token_seconds_bucket{endpoint=\"ep-00000\","
		"check=\"live\",le=\"0.32\"}",
		"1");
	assert_sample(&page,
		"modelhealth_check_tokens_total{endpoint=\"ep-00000\",check=\"live\","
		"direction=\"completion\"}",
		"21");
	assert_sample(&page,
		"modelhealth_check_server_load{endpoint=\"ep-00000\",check=\"live\","
		"value=\"kv_usage\"}",
		"0.25");
	assert_sample(&page,
		"modelhealth_check_server_load{endpoint=\"ep-00000\",check=\"live\","
		"value=\"progress\"}",
		"123456789012");
	assert_sample(&page,
		"modelhealth_check_server_load{endpoint=\"ep-00000\",check=\"live\","
		"value=\"ttft\"}",
		"NaN");
	/* No gap was measured, nothing is running, and the other one is no model. */
	assert_false(has_text(&page, "modelhealth_check_inter_token_seconds_count{"));
	assert_false(has_text(&page, "value=\"running\""));
	assert_false(has_text(&page, "tokens_total{endpoint=\"ep-00001\""));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_every_family_stands_together_over_slices(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct reader reader = { 0 };
	(void)state;

	world_open(&world, 1500);
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	read_page(&reader, &page); /* a family announced twice, or left early, fails there */
	assert_true(reader.n_samples > 1500 * 45);
	sbuf_fini(&page);
	world_close(&world);
}

static void test_no_endpoints_is_a_valid_page(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	struct reader reader = { 0 };
	(void)state;

	world_open(&world, 0);
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	read_page(&reader, &page);
	assert_true(reader.n_families > 20);
	sbuf_fini(&page);
	world_close(&world);
}

static void test_hostile_labels_stay_inside_their_quotes(void **state)
{
	(void)state;
	for (size_t i = 0; i < world_n_hostile; i++) {
		const struct label label = { "team", world_hostile[i] };
		struct world world;
		struct sbuf plain = SBUF_INIT, page = SBUF_INIT;
		struct reader before = { 0 }, after = { 0 };

		world_open(&world, 1);
		assert_int_equal(world_render(&world, &output_prom, NULL, &plain), OUTPUT_DONE);
		read_page(&before, &plain);
		world.endpoints[0].labels = &label;
		world.endpoints[0].group = world_hostile[i];
		assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
		read_page(&after, &page);
		assert_int_equal(after.n_samples, before.n_samples);
		assert_int_equal(after.n_families, before.n_families);
		sbuf_fini(&plain);
		sbuf_fini(&page);
		world_close(&world);
	}
}

/* Of this thread: what others do on the machine does not count. */
static usec_t cpu_time(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
	return (usec_t)now.tv_sec * USEC_PER_SEC + (usec_t)now.tv_nsec / 1000;
}

static void test_ten_thousand_endpoints_render_in_short_slices(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	static const struct output_query nothing = { 0 };
	enum output_progress progress;
	size_t cursor = 0;
	size_t bytes = 0;
	usec_t longest = 0, total = 0;
	(void)state;

	world_open(&world, 10000);
	do {
		usec_t began = cpu_time();
		usec_t took;

		sbuf_clear(&page); /* as the server does: it takes each slice away */
		progress = output_prom.render(&world.snapshot, &nothing, &page, &cursor);
		took = cpu_time() - began;
		total += took;
		longest = max_of(longest, took);
		bytes += page.len;
		/* Times are for people to read; this is what bounds them. */
		assert_true(page.len <= 512 * 1024);
	} while (progress == OUTPUT_MORE);
	print_message("%zu MiB in %" PRIu64 " us of CPU, longest slice %" PRIu64 " us\n",
		bytes >> 20, total, longest);
	sbuf_fini(&page);
	world_close(&world);
}

/* ---- promtool ---- */

static const char *const promtools[] = { "/usr/bin/promtool", "/usr/local/bin/promtool" };

static const char *find_promtool(void)
{
	for (size_t i = 0; i < array_size(promtools); i++)
		if (access(promtools[i], X_OK) == 0)
			return promtools[i];
	return NULL;
}

/* Runs "promtool check metrics" on a page; 0 = it has nothing to say. */
static int run_promtool(const char *promtool, const struct sbuf *page)
{
	char path[] = "/tmp/test_prom.XXXXXX";
	int fd = mkstemp(path);
	char *const arguments[] = { (char[]){ "promtool" }, (char[]){ "check" },
		(char[]){ "metrics" }, NULL };
	char *const environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, page->data, page->len), (ssize_t)page->len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fd, 0), 0);
	assert_int_equal(posix_spawn(&pid, promtool, &actions, NULL, arguments, environment), 0);
	assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_promtool_finds_nothing_wrong(void **state)
{
	const char *promtool = find_promtool();
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	if (!promtool)
		skip();
	world_open(&world, 20);
	world.endpoints[3].group = "a\"b\\c\nd";
	assert_int_equal(world_render(&world, &output_prom, NULL, &page), OUTPUT_DONE);
	assert_int_equal(run_promtool(promtool, &page), 0);
	sbuf_fini(&page);
	world_close(&world);
}

/* ---- OpenMetrics ---- */

/* The samples of a page, without what announces them. */
static void keep_samples(const struct sbuf *page, struct sbuf *ret_samples)
{
	for (const char *line = sbuf_str(page); *line; line += strcspn(line, "\n") + 1)
		if (*line != '#')
			sbuf_add(ret_samples, line, strcspn(line, "\n") + 1);
}

static void test_openmetrics_has_the_same_samples(void **state)
{
	struct world world;
	struct sbuf pages[] = { SBUF_INIT, SBUF_INIT }, samples[] = { SBUF_INIT, SBUF_INIT };
	(void)state;

	world_open(&world, 200); /* several slices */
	(void)world_render(&world, &output_prom, NULL, &pages[0]);
	(void)world_render(&world, &output_prom_openmetrics, NULL, &pages[1]);
	for (size_t i = 0; i < array_size(pages); i++)
		keep_samples(&pages[i], &samples[i]);
	assert_string_equal(sbuf_str(&samples[0]), sbuf_str(&samples[1]));
	for (size_t i = 0; i < array_size(pages); i++) {
		sbuf_fini(&pages[i]);
		sbuf_fini(&samples[i]);
	}
	world_close(&world);
}

static void test_openmetrics_has_its_own_announcements_and_end(void **state)
{
	static const char eof[] = "# EOF\n";
	struct world world;
	struct sbuf page = SBUF_INIT;
	unsigned counters = 0;
	(void)state;

	world_open(&world, 1);
	assert_int_equal(world_render(&world, &output_prom_openmetrics, NULL, &page), OUTPUT_DONE);
	for (const char *line = sbuf_str(&page); *line; line = strchr(line, '\n') + 1) {
		char name[80], type[16];

		assert_true(*line != '\n');
		/* What would have to be escaped. */
		if (strncmp(line, "# HELP ", 7) == 0)
			assert_true(line[strcspn(line, "\"\\\n")] == '\n');
		if (sscanf(line, "# TYPE %79s %15s", name, type) != 2 ||
			strcmp(type, "counter") != 0)
			continue;
		counters++;
		assert_true(strlen(name) < 6 || strcmp(name + strlen(name) - 6, "_total") != 0);
	}
	assert_true(counters > 0);
	assert_ptr_equal(strstr(sbuf_str(&page), eof), page.data + page.len - strlen(eof));
	sbuf_fini(&page);
	world_close(&world);
}

/* ---- /probe ---- */

static const struct output_query first_check = { .target = "ep-00000", .module = "live" };

static void test_probe_speaks_blackbox_exporters_words(void **state)
{
	struct world world;
	struct sbuf page = SBUF_INIT;
	(void)state;

	world_open(&world, 1);
	assert_int_equal(world_render(&world, &output_probe, &first_check, &page), OUTPUT_DONE);
	assert_sample(&page, "probe_success", "1");
	assert_sample(&page, "probe_duration_seconds", "0.05");
	assert_sample(&page, "probe_http_status_code", "200");
	assert_sample(&page, "probe_http_ssl", "0");
	assert_sample(&page, "probe_http_duration_seconds{phase=\"connect\"}", "0.001");
	assert_sample(&page, "probe_http_duration_seconds{phase=\"processing\"}", "0.04");
	assert_sample(&page, "probe_http_duration_seconds{phase=\"transfer\"}", "0.009");
	assert_sample(&page, "probe_ssl_earliest_cert_expiry", "1767409445.678");
	assert_false(has_text(&page, "phase=\"resolve\""));
	sbuf_fini(&page);
	world_close(&world);
}

static void test_probe_of_what_we_cannot_tell_is_neither_success_nor_failure(void **state)
{
	static const struct {
		enum reason reason;
		const char *wanted; /* NULL = no sample */
	} cases[] = {
		{ REASON_OK, "\nprobe_success 1\n" },
		{ REASON_SLOW, "\nprobe_success 1\n" },
		{ REASON_LOADING, "\nprobe_success 0\n" },
		{ REASON_TIMEOUT_TOTAL, "\nprobe_success 0\n" },
		{ REASON_LOCAL_FDS, NULL },
		{ REASON_AUTH_FAILED, NULL },
	};

	(void)state;

	for (size_t i = 0; i < array_size(cases); i++) {
		struct world world;
		struct sbuf page = SBUF_INIT;
		struct result result = { 0 };

		world_open(&world, 1);
		result_set(&result, cases[i].reason, NULL);
		result_set_timing(&result, TIMING_TOTAL, 1);
		world_set_result(&world, 0, &result);
		assert_int_equal(
			world_render(&world, &output_probe, &first_check, &page), OUTPUT_DONE);
		assert_int_equal(
			has_text(&page, cases[i].wanted ? cases[i].wanted : "\nprobe_success "),
			cases[i].wanted != NULL);
		sbuf_fini(&page);
		world_close(&world);
	}
}

static void test_probe_takes_configured_names_alone(void **state)
{
	static const struct {
		struct output_query query;
		enum output_progress wanted;
	} cases[] = {
		{ { .target = "ep-00000" }, OUTPUT_BAD_QUERY },
		{ { .module = "live" }, OUTPUT_BAD_QUERY },
		{ { .target = "http://169.254.169.254/", .module = "live" }, OUTPUT_NOT_FOUND },
		{ { .target = "127.0.0.1:22", .module = "live" }, OUTPUT_NOT_FOUND },
		{ { .target = "ep-00000", .module = "http_2xx" }, OUTPUT_NOT_FOUND },
		{ { .target = "", .module = "" }, OUTPUT_NOT_FOUND },
	};
	struct world world;
	(void)state;

	world_open(&world, 1);
	for (size_t i = 0; i < array_size(cases); i++) {
		struct sbuf page = SBUF_INIT;

		assert_int_equal(world_render(&world, &output_probe, &cases[i].query, &page),
			cases[i].wanted);
		assert_int_equal(page.len, 0);
		sbuf_fini(&page);
	}
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples_say_what_the_snapshot_says),
		cmocka_unit_test(test_a_state_has_its_reason_and_the_check_that_decided_it),
		cmocka_unit_test(test_slots_that_were_left_out_are_counted_by_why),
		cmocka_unit_test(test_phases_are_those_that_follow_one_another),
		cmocka_unit_test(test_a_span_that_never_happened_has_no_histogram),
		cmocka_unit_test(test_a_model_s_tokens_and_load_are_there_for_who_has_them),
		cmocka_unit_test(test_every_family_stands_together_over_slices),
		cmocka_unit_test(test_no_endpoints_is_a_valid_page),
		cmocka_unit_test(test_hostile_labels_stay_inside_their_quotes),
		cmocka_unit_test(test_ten_thousand_endpoints_render_in_short_slices),
		cmocka_unit_test(test_promtool_finds_nothing_wrong),
		cmocka_unit_test(test_openmetrics_has_the_same_samples),
		cmocka_unit_test(test_openmetrics_has_its_own_announcements_and_end),
		cmocka_unit_test(test_probe_speaks_blackbox_exporters_words),
		cmocka_unit_test(test_probe_of_what_we_cannot_tell_is_neither_success_nor_failure),
		cmocka_unit_test(test_probe_takes_configured_names_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

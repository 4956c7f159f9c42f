/* SPDX-License-Identifier: MIT */
/*
 * The modes that are about the configuration: --check, --dump-config, --list-types, --reload.
 */
#include "modelhealth/app/options.h"
#include "modelhealth/app/services.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/check.h"
#include "modelhealth/io/adminpost.h"
#include "modelhealth/io/conffile.h"
#include "modelhealth/text/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what inferences may cost ---- */

static const usec_t day = 86400 * USEC_PER_SEC;

struct cost_a_day {
	uint64_t requests, tokens;
	bool is_capped; /* by a budget */
};

static uint64_t budget_a_day(struct rate rate)
{
	return rate.count == 0 ? UINT64_MAX
			       : (uint64_t)((double)rate.count * (double)day / (double)rate.per);
}

/* At most: counters of the server, or a model that is not in memory, may spare some. */
static struct cost_a_day cost_of(const struct check_spec *check)
{
	const struct cost *cost = &check->cost;
	uint64_t runs = max_of(day / check->interval, (uint64_t)1);
	uint64_t most = budget_a_day(cost->requests);

	if (cost->tokens_a_run > 0)
		most = min_of(most, budget_a_day(cost->tokens) / cost->tokens_a_run);
	return (struct cost_a_day){
		.requests = min_of(runs, most),
		.tokens = min_of(runs, most) * cost->tokens_a_run,
		.is_capped = most < runs,
	};
}

static void add_cost(const struct check_spec *check, struct cost_a_day *total, struct sbuf *out)
{
	struct cost_a_day cost = cost_of(check);

	if (total->requests == 0)
		sbuf_puts(out, "inferences a day, at most:\n");
	sbuf_printf(out, "  %s/%s: %" PRIu64 " requests, about %" PRIu64 " tokens%s\n",
		check->endpoint->name, check->name, cost.requests, cost.tokens,
		cost.is_capped ? " (its budget)" : "");
	total->requests += cost.requests;
	total->tokens += cost.tokens;
}

static void add_costs(const struct config *config, struct sbuf *out)
{
	struct cost_a_day total = { 0 };

	for (size_t i = 0; i < config->n_endpoints; i++) {
		const struct endpoint_spec *endpoint = &config->endpoints[i];

		for (size_t k = 0; k < endpoint->n_checks; k++) {
			if (endpoint->checks[k].cost.is_inference)
				add_cost(&endpoint->checks[k], &total, out);
		}
	}
	if (total.requests > 0)
		sbuf_printf(out, "  total: %" PRIu64 " requests, about %" PRIu64 " tokens\n",
			total.requests, total.tokens);
}

int run_check(const struct options *options)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	struct config *config;
	size_t checks = 0;

	if (!load_or_complain(options, &config))
		return EXIT_CONFIG;
	for (size_t i = 0; i < config->n_endpoints; i++)
		checks += config->endpoints[i].n_checks;
	/* A pattern that includes nothing is no mistake, but may be one. */
	sbuf_printf(&out, "%s: ok, %zu endpoint%s, %zu check%s in %u file%s\n",
		options->config_path, config->n_endpoints, plural_s(config->n_endpoints), checks,
		plural_s(checks), config->n_files, plural_s(config->n_files));
	add_costs(config, &out);
	config_unref(config);
	return print_answer(&out, EXIT_OK);
}

int run_dump_config(const struct options *options)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	struct config *config;

	if (!load_or_complain(options, &config))
		return EXIT_CONFIG;
	conf_dump(config, &out);
	config_unref(config);
	return print_answer(&out, EXIT_OK);
}

int run_list_types(const struct options *options)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	int r = conffile_list_types(options->profiles_dir, &errors, &out);

	for (const struct check_kind *const *kind = check_kinds; *kind; kind++)
		sbuf_printf(&out, "%s\tchecks of this kind alone\n", (*kind)->name);
	if (r < 0) {
		complain(options->profiles_dir, &errors, r);
		return EXIT_CONFIG;
	}
	return print_answer(&out, EXIT_OK);
}

/* The daemon's own words: the detail of its problem document, else the answer as it is. */
static void print_refusal(const struct sbuf *answer)
{
	_cleanup_(json_freep) struct json *problem = NULL;
	const char *detail = NULL, *text;
	size_t len;

	if (json_parse(sbuf_str(answer), answer->len, &problem) == 0)
		detail = json_string(json_at(problem, "/detail"), &len);
	text = detail ? detail : sbuf_str(answer);
	len = strlen(text);
	fprintf(stderr, "modelhealthd: reload refused, the old configuration stays live:\n%s%s",
		text, len > 0 && text[len - 1] == '\n' ? "" : "\n");
}

static int post_reload(const struct options *options, const char *socket_path)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	_cleanup_(sbuf_fini) struct sbuf answer = { .limit = 1024 * 1024 };
	unsigned status = 0;
	char error[256] = "";

	if (!admin_post(socket_path, "/-/reload", &answer, &status, error, sizeof error)) {
		fprintf(stderr, "modelhealthd: no daemon answers at %s: %s\n", socket_path, error);
		return EXIT_UNREACHABLE;
	}
	if (status != 200) {
		print_refusal(&answer);
		return EXIT_CONFIG;
	}
	sbuf_printf(&out, "%s is live\n", options->config_path);
	return print_answer(&out, EXIT_OK);
}

/* In a unit the daemon listens where it did before, whatever the file says now: one that cannot be
 * read, or names another socket, is for it to judge, to log and to count. */
static void prefer_unit_socket(char **socket_path)
{
	const char *directory = getenv("RUNTIME_DIRECTORY");
	char *path;

	if (!directory || (*socket_path && access(*socket_path, F_OK) == 0) ||
		asprintf(&path, "%s/status.sock", directory) < 0)
		return;
	if (access(path, F_OK) == 0) {
		free(*socket_path);
		*socket_path = path;
	} else {
		free(path);
	}
}

/* The daemon judges the file, not we: it has the credentials, and counts what it refuses. */
int run_reload(const struct options *options)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	_cleanup_(freep) char *socket_path = NULL;
	int r = conffile_admin_socket(options->config_path, &errors, &socket_path);

	prefer_unit_socket(&socket_path);
	if (socket_path)
		return post_reload(options, socket_path);
	if (r == -ENOENT)
		fprintf(stderr,
			"modelhealthd: --reload needs a unix socket in status.listen of %s, such as "
			"unix:/run/modelhealthd/status.sock\n",
			options->config_path);
	else
		complain(options->config_path, &errors, r);
	return EXIT_CONFIG;
}

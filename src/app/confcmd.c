/* SPDX-License-Identifier: MIT */
/*
 * The modes that are about the configuration: --check, --dump-config, --reload.
 */
#include "modelhealth/app/options.h"
#include "modelhealth/app/services.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/adminpost.h"
#include "modelhealth/io/conffile.h"
#include "modelhealth/text/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int run_check(const struct options *options)
{
	struct config *config;
	size_t checks = 0;

	if (!load_or_complain(options->config_path, &config))
		return EXIT_CONFIG;
	for (size_t i = 0; i < config->n_endpoints; i++)
		checks += config->endpoints[i].n_checks;
	printf("%s: ok, %zu endpoints, %zu checks\n", options->config_path, config->n_endpoints,
		checks);
	config_unref(config);
	return EXIT_OK;
}

int run_dump_config(const struct options *options)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	struct config *config;

	if (!load_or_complain(options->config_path, &config))
		return EXIT_CONFIG;
	conf_dump(config, &out);
	config_unref(config);
	if (out.failed) {
		fprintf(stderr, "modelhealthd: out of memory\n");
		return EXIT_SYSTEM;
	}
	(void)fputs(sbuf_str(&out), stdout);
	return EXIT_OK;
}

/* The daemon's own words: the detail of its problem document, else the answer as it is. */
static void print_refusal(const struct sbuf *answer)
{
	_cleanup_(json_freep) struct json *problem = NULL;
	const char *detail = NULL;
	size_t len;

	if (json_parse(sbuf_str(answer), answer->len, &problem) == 0)
		detail = json_string(json_at(problem, "/detail"), &len);
	fprintf(stderr, "modelhealthd: reload refused, the old configuration stays live:\n%s\n",
		detail ? detail : sbuf_str(answer));
}

static int post_reload(const struct options *options, const char *socket_path)
{
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
	printf("%s is live\n", options->config_path);
	return EXIT_OK;
}

/* The daemon judges the file, not we: it has the credentials, and counts what it refuses. */
int run_reload(const struct options *options)
{
	_cleanup_(conf_errors_fini) struct conf_errors errors = { 0 };
	_cleanup_(freep) char *socket_path = NULL;
	int r = conffile_admin_socket(options->config_path, &errors, &socket_path);

	if (r == 0)
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

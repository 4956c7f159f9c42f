/* SPDX-License-Identifier: MIT */
/*
 * The modes that are about the configuration: --check, --dump-config, --reload.
 */
#include "modelhealth/app/options.h"
#include "modelhealth/app/services.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/adminpost.h"

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

static const char *admin_socket(const struct config *config)
{
	static const char prefix[] = "unix:";

	for (size_t i = 0; i < config->n_listen; i++)
		if (strncmp(config->listen[i], prefix, sizeof prefix - 1) == 0)
			return config->listen[i] + sizeof prefix - 1;
	return NULL;
}

/* Checks the file here first: it names the socket, and its errors are best told on the spot. */
int run_reload(const struct options *options)
{
	_cleanup_(sbuf_fini) struct sbuf answer = { .limit = 1024 * 1024 };
	struct config *config;
	const char *path;
	unsigned status = 0;
	char error[256] = "";
	int code = EXIT_OK;

	if (!load_or_complain(options->config_path, &config))
		return EXIT_CONFIG;
	path = admin_socket(config);
	if (!path) {
		fprintf(stderr,
			"modelhealthd: --reload needs a unix socket in status.listen of %s, such as "
			"unix:/run/modelhealthd/status.sock\n",
			options->config_path);
		code = EXIT_CONFIG;
	} else if (!admin_post(path, "/-/reload", &answer, &status, error, sizeof error)) {
		fprintf(stderr, "modelhealthd: no daemon answers at %s: %s\n", path, error);
		code = EXIT_UNREACHABLE;
	} else if (status != 200) {
		fprintf(stderr, "modelhealthd: reload refused (%u): %s\n", status,
			sbuf_str(&answer));
		code = EXIT_CONFIG;
	} else {
		printf("%s is live\n", options->config_path);
	}
	config_unref(config);
	return code;
}

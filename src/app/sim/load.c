/* SPDX-License-Identifier: MIT */
/*
 * Gathers the scripts of all servers from the command line and YAML. Owns them; sim.c runs them.
 */
#include "modelhealth/app/sim/load.h"

#include "modelhealth/base/duration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int load_init(struct load *load)
{
	*load = (struct load){ .seed = 1 };
	load->scripts = calloc(LOAD_MAX_SERVERS, sizeof *load->scripts);
	return load->scripts ? 0 : -ENOMEM;
}

void load_fini(struct load *load)
{
	for (size_t i = 0; i < load->n_scripts; i++)
		script_fini(&load->scripts[i]);
	free(load->scripts);
	arena_fini(&load->arena);
}

static int add_script(
	struct load *load, struct script **ret_script, char *ret_error, size_t error_size)
{
	struct script *script = &load->scripts[load->n_scripts];

	if (load->n_scripts == LOAD_MAX_SERVERS) {
		(void)snprintf(ret_error, error_size, "more than %d servers", LOAD_MAX_SERVERS);
		return -E2BIG;
	}
	load->n_scripts++;
	*ret_script = script;
	return script_init(script, &load->arena);
}

int load_server(struct load *load, const char *text, char *ret_error, size_t error_size)
{
	struct script *script;
	char *rest = arena_strdup(&load->arena, text);
	int r = rest ? add_script(load, &script, ret_error, error_size) : -ENOMEM;

	if (r == 0)
		r = script_set(
			script, &load->arena, "listen", strsep(&rest, ","), ret_error, error_size);
	while (r == 0 && rest) {
		char *value = strsep(&rest, ",");
		const char *key = strsep(&value, "=");

		r = script_set(
			script, &load->arena, key, value ? value : "", ret_error, error_size);
	}
	return r < 0 ? r : script_check(script, ret_error, error_size);
}

int load_control(struct load *load, const char *address, char *ret_error, size_t error_size)
{
	struct script *script;
	int r;

	if (load->control) {
		(void)snprintf(ret_error, error_size, "one control address is enough");
		return -EINVAL;
	}
	r = add_script(load, &script, ret_error, error_size);
	if (r == 0)
		r = script_set(script, &load->arena, "listen", address, ret_error, error_size);
	if (r < 0)
		return r;
	load->control = script;
	return script_check(script, ret_error, error_size);
}

int load_seed(struct load *load, const char *text, char *ret_error, size_t error_size)
{
	int r = u64_parse(text, &load->seed);

	if (r < 0)
		(void)snprintf(ret_error, error_size, "seed: expected a number, got \"%s\"", text);
	return r;
}

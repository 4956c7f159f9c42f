/* SPDX-License-Identifier: MIT */
/*
 * Gathers the scripts of all servers from the command line and YAML. Owns them; sim.c runs them.
 */
#include "modelhealth/app/sim/load.h"

#include "modelhealth/base/duration.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/io/readfile.h"
#include "modelhealth/io/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_FILE_BYTES = 1024 * 1024,
	ERROR_SIZE = 256
};

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

/* ---- YAML ---- */

static int complain(struct conf_errors *errors, const struct node *node, const char *text)
{
	return conf_errors_add(errors, node->file, node->line, node->column, "%s", text);
}

/* One setting: a scalar, or a list of them for settings that add up. */
static int load_setting(struct load *load, struct script *script, const struct node *node,
	struct conf_errors *errors)
{
	bool is_list = node->type == NODE_SEQUENCE;
	char error[ERROR_SIZE] = "out of memory";
	int r = 0;

	for (const struct node *item = is_list ? node->first_child : node; item;
		item = is_list ? item->next : NULL) {
		if (item->type != NODE_SCALAR)
			r = complain(errors, item, "expected a value or a list of values");
		else if (script_set(script, &load->arena, node->key, item->text, error,
				 sizeof error) < 0)
			r = complain(errors, item, error);
	}
	return r;
}

static int load_server_node(struct load *load, const struct node *node, struct conf_errors *errors)
{
	char error[ERROR_SIZE] = "out of memory";
	struct script *script;
	int r = 0;

	if (node->type != NODE_MAPPING)
		return complain(errors, node, "a server is a mapping of settings");
	if (add_script(load, &script, error, sizeof error) < 0)
		return complain(errors, node, error);
	for (const struct node *child = node->first_child; child; child = child->next)
		if (load_setting(load, script, child, errors) < 0)
			r = -EINVAL;
	if (r == 0 && script_check(script, error, sizeof error) < 0)
		r = complain(errors, node, error);
	return r;
}

static int load_root_node(struct load *load, const struct node *node, struct conf_errors *errors)
{
	char error[ERROR_SIZE] = "";
	int r = 0;

	if (strcmp(node->key, "servers") == 0 && node->type == NODE_SEQUENCE) {
		for (const struct node *child = node->first_child; child; child = child->next)
			if (load_server_node(load, child, errors) < 0)
				r = -EINVAL;
		return r;
	}
	if (strcmp(node->key, "control") == 0 && node->type == NODE_SCALAR)
		r = load_control(load, node->text, error, sizeof error);
	else if (strcmp(node->key, "seed") == 0 && node->type == NODE_SCALAR)
		r = load_seed(load, node->text, error, sizeof error);
	else
		return complain(
			errors, node, "expected control: ADDRESS, seed: NUMBER or servers: a list");
	return r < 0 ? complain(errors, node, error) : 0;
}

static void load_text(struct load *load, const char *path, const struct readfile *file,
	struct conf_errors *errors)
{
	struct node *root = NULL;

	if (yaml_parse(&load->arena, path, file->data, file->len, errors, &root) < 0 || !root)
		return;
	if (root->type != NODE_MAPPING) {
		(void)complain(errors, root, "expected a mapping with servers");
		return;
	}
	for (const struct node *child = root->first_child; child; child = child->next)
		(void)load_root_node(load, child, errors); /* each error is in the list */
}

int load_file(struct load *load, const char *path, struct sbuf *errors)
{
	_cleanup_(conf_errors_fini) struct conf_errors list = { 0 };
	_cleanup_(readfile_fini) struct readfile file = READFILE_INIT;
	const char *problem = readfile(path, MAX_FILE_BYTES, &file);

	if (problem) {
		sbuf_printf(errors, "%s: %s\n", path, problem);
		return -EIO;
	}
	load_text(load, path, &file, &list);
	conf_errors_sort(&list);
	conf_errors_print(&list, errors);
	return list.n > 0 ? -EINVAL : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The frame around a configuration in a test.
 */
#include "loaded.h"

void loaded_init(struct loaded *loaded)
{
	*loaded = (struct loaded){ 0 };
	tree_init(&loaded->tree);
	tree_set(&loaded->tree, "endpoints[0].name", "a");
	tree_set(&loaded->tree, "endpoints[0].type", "fake");
	tree_set(&loaded->tree, "endpoints[0].url", "http://a/");
}

void loaded_build(struct loaded *loaded)
{
	struct conf_errors errors = { 0 };
	int rc = conf_build(loaded->tree.root, fake_kinds, NULL, &errors, &loaded->config);

	must((rc == 0) == (errors.n == 0));
	conf_errors_print(&errors, &loaded->errors);
	conf_errors_fini(&errors);
}

void loaded_fini(struct loaded *loaded)
{
	loaded->config = config_unref(loaded->config);
	sbuf_fini(&loaded->errors);
	tree_fini(&loaded->tree);
}

const struct check_spec *loaded_check(const struct loaded *loaded, size_t i)
{
	must(loaded->config && i < loaded->config->n_endpoints);
	return &loaded->config->endpoints[i].checks[0];
}

const struct fake_params *loaded_params(const struct loaded *loaded, size_t i)
{
	return loaded_check(loaded, i)->params;
}

/* SPDX-License-Identifier: MIT */
/*
 * A configuration file, from bytes to the effective configuration. What loads must dump to text
 * that loads again (but for secrets, which the dump hides), and nothing may take long.
 */
#include "fuzz.h"

#include "fake_kind.h"
#include "modelhealth/io/yaml.h"

#include <string.h>

/* Parses and builds; NULL when there were errors. */
static struct config *load(const char *text, size_t len)
{
	struct conf_errors errors = { 0 };
	struct arena arena = ARENA_INIT;
	struct config *config = NULL;
	struct sbuf said = SBUF_INIT;
	struct node *root = NULL;

	if (yaml_parse(&arena, "fuzz", text, len, &errors, &root) == 0 && root)
		(void)conf_build(root, fake_kinds, NULL, &errors, &config);
	conf_errors_sort(&errors);
	conf_errors_print(&errors, &said);
	must(!said.failed && said.len <= (CONF_MAX_ERRORS + 1) * 1024);
	sbuf_fini(&said);
	conf_errors_fini(&errors);
	arena_fini(&arena);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = load((const char *)data, size);
	struct sbuf dump = SBUF_INIT;

	if (config) {
		conf_dump(config, &dump);
		must(!dump.failed && dump.len > 0);
		config = config_unref(config);
		must(memmem(dump.data, dump.len, "***", 3) || (config = load(dump.data, dump.len)));
		config_unref(config);
	}
	sbuf_fini(&dump);
	must(fake_kind_live == 0);
	return 0;
}

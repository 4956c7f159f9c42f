/* SPDX-License-Identifier: MIT */
/*
 * A profile from outside, and an endpoint of its type. What loads must dump to text that loads again
 * to the same (but for secrets, which the dump hides).
 */
#include "fuzz.h"

#include "fake_kind.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/io/yaml.h"

#include <string.h>

static const char usual[] = "endpoints: [ { name: a, type: own, url: 'http://a/', models: [ m ], "
			    "checks: { live: { kind: fake, enabled: true } } } ]\n";

struct source {
	struct profiles profiles;
	struct profile profile;
	struct arena arena;
	struct conf_errors errors;
	const char *text;
	size_t len;
};

static int read_profile(struct profiles *profiles, struct profile *profile)
{
	struct source *source = container_of(profiles, struct source, profiles);
	int rc = yaml_parse(&source->arena, "own.yaml", source->text, source->len, &source->errors,
		&profile->root);

	return rc;
}

static struct config *load(const char *profile, size_t len, const char *text)
{
	struct source source = {
		.profiles = { .items = &source.profile, .n = 1, .read = read_profile },
		.profile = { .name = "own" },
		.text = profile,
		.len = len,
	};
	struct config *config = NULL;
	struct node *root = NULL;
	struct sbuf said = SBUF_INIT;

	if (yaml_parse(&source.arena, "fuzz", text, strlen(text), &source.errors, &root) == 0 &&
		root)
		(void)conf_build(root, fake_kinds, &source.profiles, &source.errors, &config);
	must((config != NULL) == (source.errors.n == 0));
	conf_errors_print(&source.errors, &said);
	must(!said.failed && said.len <= (CONF_MAX_ERRORS + 1) * 1024);
	sbuf_fini(&said);
	conf_errors_fini(&source.errors);
	arena_fini(&source.arena);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *profile = (const char *)data;
	struct config *config = load(profile, size, usual);
	struct sbuf first = SBUF_INIT;
	struct sbuf second = SBUF_INIT;

	if (config) {
		conf_dump(config, &first);
		config = config_unref(config);
		config = strstr(sbuf_str(&first), "***") ? NULL
							 : load(profile, size, sbuf_str(&first));
		must(config || strstr(sbuf_str(&first), "***"));
		if (config) {
			conf_dump(config, &second);
			must(strcmp(sbuf_str(&first), sbuf_str(&second)) == 0);
		}
		config_unref(config);
	}
	sbuf_fini(&first);
	sbuf_fini(&second);
	must(fake_kind_live == 0);
	return 0;
}

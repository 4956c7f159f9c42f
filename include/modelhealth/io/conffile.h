/* SPDX-License-Identifier: MIT */
/*
 * The configuration from its files: includes, ${env:}, ${file:} and ${credential:}.
 */
#pragma once

#include "modelhealth/core/conf.h"

enum {
	CONFFILE_MAX_BYTES = 4 * 1024 * 1024, /* of one file */
	CONFFILE_MAX_FILES = 20000,
	CONFFILE_MAX_DEPTH = 4, /* files that include each other, the main one counted */
	CONFFILE_MAX_PROFILES = 400,
	CONFFILE_MAX_SECRET_BYTES = 64 * 1024,
};

/*
 * Loads path, what it includes, and the operator's profiles: all profiles_dir/NAME.yaml; a missing
 * directory holds none. Reads files and the environment, so it blocks: at start and at
 * reload only. Returns 0 and a configuration with one reference, -EINVAL with all errors that
 * could be found (sorted), or -ENOMEM. `errors` begins empty.
 */
int conffile_load(const char *path, const char *profiles_dir, conf_kinds kinds,
	struct conf_errors *errors, struct config **ret_config);

/* Appends every type that profiles give, one a line: name, a tab, and what it is about. 0, -EINVAL
 * with errors, or -ENOMEM. */
int conffile_list_types(const char *profiles_dir, struct conf_errors *errors, struct sbuf *out);

/*
 * The path of the first unix socket in status.listen, from the main file alone and without judging
 * the rest: --reload has to reach the daemon also when the configuration is bad, or holds secrets
 * that only the daemon may read. 0 and an owned path, -ENOENT (no socket is configured), -EINVAL
 * with errors (no YAML), or -ENOMEM. `errors` begins empty.
 */
int conffile_admin_socket(const char *path, struct conf_errors *errors, char **ret_socket);

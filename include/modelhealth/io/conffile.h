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
	CONFFILE_MAX_SECRET_BYTES = 64 * 1024,
};

/*
 * Loads path and what it includes. Reads files and the environment, so it blocks: at start and at
 * reload only. Returns 0 and a configuration with one reference, -EINVAL with all errors that
 * could be found (sorted), or -ENOMEM. `errors` begins empty.
 */
int conffile_load(
	const char *path, conf_kinds kinds, struct conf_errors *errors, struct config **ret_config);

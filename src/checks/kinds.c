/* SPDX-License-Identifier: MIT */
/*
 * The table of check kinds: what `type:` and `checks.*.kind:` can name. Read by the loader.
 */
#include "modelhealth/checks/kinds.h"

const struct check_kind *const check_kinds[] = {
	&check_canary,
	&check_grpc,
	&check_http,
	&check_load,
	&check_models,
	&check_scenario,
	&check_tcp,
	NULL,
};

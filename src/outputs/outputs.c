/* SPDX-License-Identifier: MIT */
/*
 * A new output is one file and one row here.
 */
#include "modelhealth/outputs/outputs.h"

const struct output *const outputs[] = {
	&output_endpoint,
	&output_endpoints,
	&output_journal,
	&output_probe,
	&output_prom,
	&output_prom_openmetrics,
	&output_status,
	&output_text,
	NULL,
};

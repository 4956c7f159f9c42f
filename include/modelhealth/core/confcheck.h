/* SPDX-License-Identifier: MIT */
/*
 * The checks of one endpoint.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* The section of a check in a layer, NULL without. */
struct node *conf_check_section(const struct node *layer, const char *name);

/*
 * Fills endpoint->checks, those of the profile first, and reports keys of the endpoint that it
 * cannot have. scope->levels hold the layers. 0, -EINVAL or -ENOMEM.
 */
int conf_build_checks(
	struct conf_scope *scope, const struct conf_layers *layers, struct endpoint_spec *endpoint);

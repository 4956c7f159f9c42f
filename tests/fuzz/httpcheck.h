/* SPDX-License-Identifier: MIT */
/*
 * For targets whose input begins with a line of configuration, and what must hold of a judgement.
 */
#pragma once

#include "modelhealth/core/result.h"
#include "modelhealth/core/spec.h"

/* A configuration of one http check, with the first line of the input among its YAML, between
 * before and after; what follows the line goes to ret_rest. One reference, or NULL when it is no
 * configuration, or another one. */
struct config *http_config(const char *before, const uint8_t *data, size_t size, const char *after,
	const char **ret_rest, size_t *ret_len);

const struct http_params *http_params_of(const struct config *config);

/* Two judgements of the same are the same, and their detail can be shown. */
void must_agree(const struct result *first, const struct result *second);

/* SPDX-License-Identifier: MIT */
/*
 * Values of custom keys that many endpoints inherit, parsed once in a load.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* As conf_custom.parse, for a row with shared_size. */
int conf_memo_parse(struct conf_scope *scope, const struct conf_custom *custom,
	const struct node *node, void *field);

/* Hash of the tree below node as it is written. */
uint64_t conf_memo_hash(
	struct conf_scope *scope, const struct conf_custom *custom, const struct node *node);

/* Forgets; the parsed values stay with the configuration. */
void conf_memo_fini(struct conf_memo *memo);

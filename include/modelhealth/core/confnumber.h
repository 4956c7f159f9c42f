/* SPDX-License-Identifier: MIT */
/*
 * CONF_BOOL, CONF_U16, CONF_UINT, CONF_DURATION and CONF_SIZE. The signatures are those of struct
 * conf_value_type.
 */
#pragma once

#include "modelhealth/core/confscope.h"

int conf_number_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field);
void conf_number_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out);
/* A row without a default is unset at zero. */
bool conf_number_is_set(const struct conf_key *key, const void *field);
uint64_t conf_number_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed);

/* Appends "a duration from 1s to 1d". */
void conf_number_describe(const struct conf_key *key, struct sbuf *out);

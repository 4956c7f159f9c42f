/* SPDX-License-Identifier: MIT */
/*
 * What each conf_type is: how a value is read, printed, hashed and described.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* Reads one value of any type that is neither a section nor merged over the levels. */
int conf_value_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field);

/* Reads a CONF_STRING_MAP or CONF_LABELS from all levels that have it. */
int conf_value_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field);

/* Appends a parsed value as flow YAML; secrets as ***. */
void conf_value_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out);

/* Whether there is anything to print. */
bool conf_value_is_set(const struct conf_key *key, const void *field);

/* Mixes a value into seed. Custom values are hashed as they were written. */
uint64_t conf_value_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed);

/* Appends what a value of this row looks like: "a duration from 1s to 1d". */
void conf_value_describe(const struct conf_key *key, struct sbuf *out);

/* Appends text as a YAML scalar that reads back as the same string. */
void conf_print_string(const char *text, struct sbuf *out);

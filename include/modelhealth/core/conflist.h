/* SPDX-License-Identifier: MIT */
/*
 * CONF_STRING_LIST, CONF_STRING_MAP and CONF_LABELS. The signatures are those of struct
 * conf_value_type.
 */
#pragma once

#include "modelhealth/core/confscope.h"

/* A lone scalar is a list of one; nothing is an empty list. */
int conf_list_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field);
void conf_list_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out);
uint64_t conf_list_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed);

/* Names of headers and the like whose values are keys to something. */
bool conf_is_secret_name(const char *name);

/* Names are tokens of RFC 9110 and compare without case; values hold no control characters. */
int conf_map_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field);
void conf_map_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out);
bool conf_map_is_set(const struct conf_key *key, const void *field);
uint64_t conf_map_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed);

/* Names are those of Prometheus labels; secrets are refused. */
int conf_labels_merge(struct conf_scope *scope, const struct conf_key *key,
	const struct conf_levels *levels, void *field);
void conf_labels_print(const struct config *config, const struct conf_key *key, const void *field,
	struct sbuf *out);
bool conf_labels_is_set(const struct conf_key *key, const void *field);
uint64_t conf_labels_hash(
	const struct conf_key *key, const struct node *node, const void *field, uint64_t seed);

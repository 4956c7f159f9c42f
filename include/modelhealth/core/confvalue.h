/* SPDX-License-Identifier: MIT */
/*
 * What each conf_type is: how a value is read, printed, hashed and described.
 */
#pragma once

#include "modelhealth/core/confscope.h"

struct conf_value_type {
	const char *noun;    /* what is expected, for messages */
	bool is_scalar;      /* conf_parse_scalar() takes it */
	bool may_hold_names; /* ${name}, for core/template.h */
	const char *schema;  /* JSON Schema fragment; NULL = made from the row */

	/* Reads the innermost value into field; reports through the scope. 0 or -errno. */
	int (*parse)(struct conf_scope *scope, const struct conf_key *key, const struct node *node,
		void *field);
	/* Instead of parse: puts the values of all levels together. */
	int (*merge)(struct conf_scope *scope, const struct conf_key *key,
		const struct conf_levels *levels, void *field);
	/* Appends the value as flow YAML; secrets as ***. NULL = not a value. */
	void (*print)(const struct config *config, const struct conf_key *key, const void *field,
		struct sbuf *out);
	/* Whether there is anything to print; NULL = always. */
	bool (*is_set)(const struct conf_key *key, const void *field);
	/* Mixes the value into seed; node is what it was read from, NULL when merged. */
	uint64_t (*hash)(const struct conf_key *key, const struct node *node, const void *field,
		uint64_t seed);
	/* Instead of noun, when the row says more. */
	void (*describe)(const struct conf_key *key, struct sbuf *out);
};

const struct conf_value_type *conf_value_type(const struct conf_key *key);

/* Reads one value of any type that is neither a section nor merged. 0 or -errno. */
int conf_value_parse(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field);

bool conf_value_is_set(const struct conf_key *key, const void *field);

/* Appends what a value of this row looks like: "a duration from 1s to 1d". */
void conf_value_describe(const struct conf_key *key, struct sbuf *out);

/* ---- tools for the types ---- */

/* The node's text in the arena. Inherited texts are copied once, not once an endpoint. */
int conf_keep_text(struct conf_scope *scope, const struct node *node, const char **ret_text);

bool conf_has_control(const char *text);

/* A kept text, or what stands for it when a secret is part of it. */
const char *conf_shown_text(const struct config *config, const char *text);

/* Appends text as a YAML scalar that reads back as the same string. */
void conf_print_string(const char *text, struct sbuf *out);

/* The same of a text in which ${ is nothing but these characters. */
void conf_print_text(const char *text, struct sbuf *out);

/* Appends text with $${ for ${, so that it is read as it is. */
void conf_print_escaped(const char *text, struct sbuf *out);

/* Mixes the tree below node into seed, as it is written. */
uint64_t conf_hash_tree(const struct node *node, uint64_t seed);

/* Mixes a text into seed; NULL is not the same as "". */
uint64_t conf_mix_text(const char *text, uint64_t seed);

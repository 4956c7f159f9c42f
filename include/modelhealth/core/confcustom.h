/* SPDX-License-Identifier: MIT */
/*
 * Building blocks of CONF_CUSTOM rows, beside those of core/conf.h.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/text/regex.h"

/* ---- what was written ---- */

/* The node as flow YAML in the arena, with *** for secrets; NULL when memory is out. */
const char *conf_source(struct conf_scope *scope, const struct node *node);

/* The same with *** also for what stands under the name of a credential, and for what a URL
 * hides. */
const char *conf_shown_source(struct conf_scope *scope, const struct node *node);

/* conf_custom.print of every field that begins with its source; nothing when that is NULL. */
void conf_print_source(struct sbuf *out, const void *field);

/* ---- values ---- */

/* The name of every member must be in names, which end with NULL. */
int conf_check_members(
	struct conf_scope *scope, const struct node *mapping, const char *const *names);

/* Keeps a scalar's text in the arena; reports anything else. */
int conf_parse_text(struct conf_scope *scope, const struct node *node, const char **ret_text);

/* Compiles a regex, which the caller frees; reports what is wrong with it. */
int conf_parse_regex(struct conf_scope *scope, const struct node *node, struct regex **ret_regex);

/* `severity: degraded | down`; NULL is down. */
int conf_parse_severity(
	struct conf_scope *scope, const struct node *node, enum verdict *ret_severity);

/* Whether text is a finite decimal number and nothing else; reports nothing. */
bool conf_read_number(const char *text, double *ret_number);

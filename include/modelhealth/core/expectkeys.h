/* SPDX-License-Identifier: MIT */
/*
 * The keys below `expect:`, which fill what core/expect.h judges by.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/core/expect.h"

/* The members of `expect:`, into a struct expect whose regexes are owned: expect_dispose. */
extern const struct conf_key expect_keys[];

/* Reports limits of the check in hand that contradict each other. 0 or -EINVAL. */
int expect_check(struct conf_scope *scope, const struct expect *expect);

/* Frees the regexes, also of what was filled in part; zeros are fine. */
void expect_dispose(const struct expect *expect);

/* ---- those that others have too ---- */

/* Into a struct expect_status; owns nothing. */
extern const struct conf_custom expect_status_custom;

/* Into a struct expect_values: expect_values_dispose. */
extern const struct conf_custom expect_header_custom, expect_json_custom;

void expect_values_dispose(const struct expect_values *values);

/* A text (= contains), or a mapping of contains, matches, not_matches and severity, into a struct
 * expect_text: expect_text_dispose. */
extern const struct conf_custom expect_text_custom;

/* The same where a mapping has other members too: names lists them all and ends with NULL. */
int expect_text_parse(struct conf_scope *scope, const struct node *node, const char *const *names,
	struct expect_text *text);

void expect_text_dispose(const struct expect_text *text);

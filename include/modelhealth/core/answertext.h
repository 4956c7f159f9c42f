/* SPDX-License-Identifier: MIT */
/*
 * `expect.text` of a canary: what a model must have said.
 */
#pragma once

#include "modelhealth/core/expect.h"

/* A CONF_CUSTOM field: a text (= contains), or a mapping of contains, equals, matches,
 * not_matches, json and severity. */
struct answer_text {
	struct expect_text text;   /* its source is that of the whole; NULL = anything goes */
	const char *equals;        /* without surrounding white space; NULL = not asked for */
	struct expect_values json; /* the text is a JSON document */
};

extern const struct conf_custom answer_text_custom;
void answer_text_dispose(const struct answer_text *answer);

/* Sets wrong_answer, with the severity, unless the text is as it must be. */
void answer_text_judge(
	const struct answer_text *wanted, const char *text, size_t len, struct result *result);

/* SPDX-License-Identifier: MIT */
/*
 * `expect.text` of a canary: what a model must have said.
 */
#pragma once

#include "modelhealth/core/expect.h"

/* A CONF_CUSTOM field: a text (= contains), or a mapping of contains, equals, matches,
 * not_matches, json and severity. */
struct answer_text {
	const char *source; /* as configured; NULL = anything goes */
	enum verdict severity;
	const char *contains, *equals; /* equals: without surrounding white space */
	struct regex *matches, *not_matches;
	struct expect_values json; /* the text is a JSON document */
};

extern const struct conf_custom answer_text_custom;
void answer_text_dispose(const struct answer_text *text);

/* Sets wrong_answer, with the severity, unless the text is as it must be. */
void answer_text_judge(
	const struct answer_text *wanted, const char *text, size_t len, struct result *result);

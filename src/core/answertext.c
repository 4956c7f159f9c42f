/* SPDX-License-Identifier: MIT */
/*
 * Judges the assembled answer of a model. Pure; parsed with the canary's parameters, used by the
 * canary at the end of each answer.
 */
#include "modelhealth/core/answertext.h"

#include "modelhealth/core/confcustom.h"
#include "modelhealth/core/expectkeys.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int parse(struct conf_scope *scope, const struct node *node, void *field)
{
	static const char *const names[] = { "contains", "equals", "json", "matches", "not_matches",
		"severity", NULL };
	struct answer_text *answer = field;
	const struct node *equals = node_get(node, "equals");
	const struct node *json = node_get(node, "json");
	int rc = expect_text_parse(scope, node, names, &answer->text);

	if (rc == 0 && equals)
		rc = conf_parse_text(scope, equals, &answer->equals);
	if (rc == 0 && json)
		rc = expect_json_custom.parse(scope, json, &answer->json);
	return rc;
}

const struct conf_custom answer_text_custom = {
	.parse = parse,
	.print = conf_print_source,
	.schema =
		"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"additionalProperties\":false,"
		"\"properties\":{\"contains\":{\"type\":\"string\"},\"equals\":{\"type\":\"string\"},"
		"\"json\":{\"type\":\"object\"},\"matches\":{\"type\":\"string\"},\"not_matches\":{"
		"\"type\":\"string\"},\"severity\":{\"enum\":[\"degraded\",\"down\"]}}}]}",
};

void answer_text_dispose(const struct answer_text *answer)
{
	expect_text_dispose(&answer->text);
	expect_values_dispose(&answer->json);
}

/* ---- judging ---- */

static bool is_equal(const char *text, size_t len, const char *wanted)
{
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

/* A model likes to put JSON into a fence of Markdown; what is between counts. */
static void unfence(const char **text, size_t *len)
{
	const char *fence = memmem(*text, *len, "```", 3);
	const char *begin = fence ? memchr(fence, '\n', *len - (size_t)(fence - *text)) : NULL;
	const char *end;

	if (!begin)
		return;
	begin++;
	end = memmem(begin, *len - (size_t)(begin - *text), "```", 3);
	if (!end)
		return;
	*len = (size_t)(end - begin);
	*text = begin;
}

void answer_text_judge(
	const struct answer_text *wanted, const char *text, size_t len, struct result *result)
{
	struct result failure = { .reason = REASON_OK };

	if (!wanted->text.source)
		return;
	if (!expect_text_holds(&wanted->text, text, len) ||
		(wanted->equals && !is_equal(text, len, wanted->equals))) {
		expect_text_fail(&wanted->text, text, len, &failure);
	} else if (wanted->json.n > 0) {
		unfence(&text, &len);
		expect_json_judge(&wanted->json, text, len, &failure);
	}
	if (failure.reason == REASON_OK)
		return;
	result_set(result, REASON_WRONG_ANSWER, "%s", failure.detail);
	result->verdict = failure.verdict;
}

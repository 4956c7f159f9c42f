/* SPDX-License-Identifier: MIT */
/*
 * Judges the assembled answer of a model. Pure; parsed with the canary's parameters, used by the
 * canary at the end of each answer.
 */
#include "modelhealth/core/answertext.h"

#include "modelhealth/core/confcustom.h"
#include "modelhealth/text/sanitise.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

enum {
	GOT_SIZE = 64 /* of an answer in a message */
};

static int parse_parts(struct conf_scope *scope, const struct node *node, struct answer_text *text)
{
	static const char *const names[] = { "contains", "equals", "json", "matches", "not_matches",
		"severity", NULL };
	const struct node *contains = node_get(node, "contains");
	const struct node *equals = node_get(node, "equals");
	const struct node *matches = node_get(node, "matches");
	const struct node *not_matches = node_get(node, "not_matches");
	const struct node *json = node_get(node, "json");
	int rc = conf_check_members(scope, node, names);

	if (rc == 0)
		rc = conf_parse_severity(scope, node_get(node, "severity"), &text->severity);
	if (rc == 0 && contains)
		rc = conf_parse_text(scope, contains, &text->contains);
	if (rc == 0 && equals)
		rc = conf_parse_text(scope, equals, &text->equals);
	if (rc == 0 && matches)
		rc = conf_parse_regex(scope, matches, &text->matches);
	if (rc == 0 && not_matches)
		rc = conf_parse_regex(scope, not_matches, &text->not_matches);
	if (rc == 0 && json)
		rc = expect_json_custom.parse(scope, json, &text->json);
	return rc;
}

static int parse(struct conf_scope *scope, const struct node *node, void *field)
{
	struct answer_text *text = field;

	text->severity = VERDICT_DOWN;
	text->source = conf_source(scope, node);
	if (!text->source)
		return -ENOMEM;
	if (node->type == NODE_SCALAR)
		return conf_parse_text(scope, node, &text->contains);
	if (node->type == NODE_MAPPING)
		return parse_parts(scope, node, text);
	return conf_error(scope, node,
		"expected a text or a mapping like { matches: ready }, got %s",
		conf_got(scope, node));
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

void answer_text_dispose(const struct answer_text *text)
{
	regex_free(text->matches);
	regex_free(text->not_matches);
	expect_values_dispose(&text->json);
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

static bool holds(const struct answer_text *wanted, const char *text, size_t len)
{
	const struct expect_text parts = {
		.contains = wanted->contains,
		.matches = wanted->matches,
		.not_matches = wanted->not_matches,
	};

	return expect_text_holds(&parts, text, len) &&
	       (!wanted->equals || is_equal(text, len, wanted->equals));
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
	struct result failure = { 0 };
	char start[GOT_SIZE];

	if (!wanted->source)
		return;
	if (!holds(wanted, text, len)) {
		(void)sanitise(start, sizeof start, text, len);
		result_set(result, REASON_WRONG_ANSWER, "got \"%s\", expected %.60s", start,
			wanted->source);
		result->verdict = wanted->severity;
		return;
	}
	if (wanted->json.n == 0)
		return;
	unfence(&text, &len);
	result_set(&failure, REASON_OK, NULL);
	expect_json_judge(&wanted->json, text, len, &failure);
	if (failure.reason == REASON_OK)
		return;
	result_set(result, REASON_WRONG_ANSWER, "%s", failure.detail);
	result->verdict = failure.verdict;
}

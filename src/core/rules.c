/* SPDX-License-Identifier: MIT */
/*
 * `rules:` and `errors:`: from what a server answers to what it means. Check kinds hold the lists
 * in their parameters and judge with them. Parsed lists belong to the configuration, so that all
 * endpoints which inherit one share it.
 */
#include "modelhealth/core/rules.h"

#include "modelhealth/core/confcustom.h"
#include "modelhealth/core/expectkeys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_RULES = 64,
	WORDS_BYTES = 2 * RESULT_DETAIL_SIZE, /* of the server's own words */
};

/* What the body must be; parts that are not set hold. */
struct rule_body {
	const char *source; /* NULL = anything */
	const char *whole, *starts_with, *contains;
	struct regex *matches;
};

struct rule {
	struct expect_status status;
	struct expect_values header, json, all;
	struct rule_body body;
	const char *message;
	enum reason reason;
};

/* ---- parsing ---- */

static int parse_reason(struct conf_scope *scope, const struct node *node, enum reason *ret_reason)
{
	const char *names[REASON_N];
	size_t n = 0;

	for (enum reason reason = 0; reason < REASON_N; reason++) {
		enum phase phase = reason_desc(reason)->phase;

		/* What only we ourselves can tell is no meaning of an answer. */
		if (phase == PHASE_SELF || phase == PHASE_SCHEDULE)
			continue;
		names[n++] = reason_token(reason);
		if (node->type == NODE_SCALAR && strcmp(node->text, reason_token(reason)) == 0) {
			*ret_reason = reason;
			return 0;
		}
	}

	const char *near =
		node->type == NODE_SCALAR ? conf_did_you_mean(names, n, node->text) : NULL;

	return conf_error(scope, node,
		"expected a reason like ok, loading or server_error, got %s%s%s%s",
		conf_got(scope, node), near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
}

static int parse_body(struct conf_scope *scope, const struct node *node, struct rule_body *body)
{
	static const char *const names[] = { "contains", "matches", "starts_with", NULL };
	const struct node *contains = node_get(node, "contains");
	const struct node *matches = node_get(node, "matches");
	const struct node *starts_with = node_get(node, "starts_with");
	int rc;

	body->source = "";
	if (node->type == NODE_SCALAR)
		return conf_parse_text(scope, node, &body->whole);
	if (node->type != NODE_MAPPING || node->n_children == 0)
		return conf_error(scope, node,
			"expected the whole body or a mapping like { contains: ready }, got %s",
			conf_got(scope, node));
	rc = conf_check_members(scope, node, names);
	if (rc == 0 && contains)
		rc = conf_parse_text(scope, contains, &body->contains);
	if (rc == 0 && starts_with)
		rc = conf_parse_text(scope, starts_with, &body->starts_with);
	if (rc == 0 && matches)
		rc = conf_parse_regex(scope, matches, &body->matches);
	return rc;
}

static int parse_message(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return conf_parse_text(scope, node, &rule->message);
}

static int parse_part_body(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return parse_body(scope, node, &rule->body);
}

static int parse_part_reason(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return parse_reason(scope, node, &rule->reason);
}

static int parse_part_all(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return expect_json_custom.parse(scope, node, &rule->all);
}

static int parse_part_header(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return expect_header_custom.parse(scope, node, &rule->header);
}

static int parse_part_json(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return expect_json_custom.parse(scope, node, &rule->json);
}

static int parse_part_status(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	return expect_status_custom.parse(scope, node, &rule->status);
}

static const struct {
	const char *name;
	int (*parse)(struct conf_scope *scope, const struct node *node, struct rule *rule);
} parts[] = {
	{ "all", parse_part_all },
	{ "body", parse_part_body },
	{ "header", parse_part_header },
	{ "json", parse_part_json },
	{ "message", parse_message },
	{ "reason", parse_part_reason },
	{ "status", parse_part_status },
};

static int parse_rule(struct conf_scope *scope, const struct node *node, struct rule *rule)
{
	const char *names[array_size(parts) + 1] = { NULL };
	int rc;

	if (node->type != NODE_MAPPING)
		return conf_error(scope, node,
			"expected a rule like { status: 503, reason: loading }, got %s",
			conf_got(scope, node));
	for (size_t i = 0; i < array_size(parts); i++)
		names[i] = parts[i].name;
	rc = conf_check_members(scope, node, names);
	if (!node_get(node, "reason"))
		rc = conf_error(scope, node, "reason is missing: expected what the answer means");
	for (size_t i = 0; i < array_size(parts) && rc != -ENOMEM; i++) {
		const struct node *member = node_get(node, parts[i].name);
		int r = !member          ? 0
			: member->is_bad ? -EINVAL
					 : parts[i].parse(scope, member, rule);

		rc = r < 0 ? r : rc;
	}
	return rc;
}

static void dispose_values(const struct expect_values *values)
{
	for (size_t i = 0; i < values->n; i++)
		condition_dispose(&values->items[i].condition);
}

static void dispose_rules(void *arg)
{
	const struct rules *rules = arg;

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->items[i];

		dispose_values(&rule->header);
		dispose_values(&rule->json);
		dispose_values(&rule->all);
		regex_free(rule->body.matches);
	}
}

static int parse_rules(struct conf_scope *scope, const struct node *node, void *field)
{
	const struct node *item = node->first_child;
	struct rules *rules = arena_alloc(conf_arena(scope), sizeof *rules);
	struct rule *items;
	int rc;

	if (node->type != NODE_SEQUENCE || node->n_children > MAX_RULES)
		return conf_error(scope, node,
			"expected a list of at most %d rules like { status: 503, reason: loading }, "
			"got %s",
			MAX_RULES, conf_got(scope, node));
	items = arena_calloc(conf_arena(scope), node->n_children + 1, sizeof *items);
	if (!rules || !items)
		return -ENOMEM;
	*rules = (struct rules){ conf_source(scope, node), items, node->n_children };
	rc = rules->source ? conf_at_end(scope, dispose_rules, rules) : -ENOMEM;
	for (size_t i = 0; item && rc != -ENOMEM; i++, item = item->next) {
		int r = item->is_bad ? -EINVAL : parse_rule(scope, item, &items[i]);

		rc = r < 0 ? r : rc;
	}
	*(struct rules *)field = *rules;
	return rc;
}

#define PART_SCHEMA "{\"type\":[\"integer\",\"string\",\"array\",\"object\"]}"

const struct conf_custom rules_custom = {
	.parse = parse_rules,
	.print = conf_print_source,
	.schema = "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"reason\"],"
		  "\"additionalProperties\":false,\"properties\":{\"all\":{\"type\":\"object\"},"
		  "\"body\":" PART_SCHEMA ",\"header\":{\"type\":\"object\"},"
		  "\"json\":{\"type\":\"object\"},\"message\":{\"type\":\"string\"},"
		  "\"reason\":{\"type\":\"string\"},\"status\":" PART_SCHEMA "}}}",
	.shared_size = sizeof(struct rules),
};

/* ---- judging ---- */

/* An answer with its JSON, which is parsed when a rule asks for it. */
struct reading {
	const struct answer *answer;
	struct json *json;
	bool is_parsed;
};

static const struct json *json_of(struct reading *reading)
{
	const struct answer *answer = reading->answer;

	if (!reading->is_parsed)
		(void)json_parse(answer->body, answer->body_len, &reading->json); /* else NULL */
	reading->is_parsed = true;
	return reading->json;
}

static bool status_holds(const struct expect_status *status, uint32_t seen)
{
	return status->n_ranges == 0 || expect_status_lists(status, seen);
}

static bool headers_hold(const struct expect_values *values, const struct answer *answer)
{
	for (size_t i = 0; i < values->n; i++) {
		if (!condition_holds_of_header(&values->items[i].condition, answer->header,
			    answer->ctx, values->items[i].name))
			return false;
	}
	return true;
}

static bool json_holds(
	const struct expect_values *values, struct reading *reading, enum condition_scope scope)
{
	if (values->n > 0 && !json_of(reading))
		return false;
	for (size_t i = 0; i < values->n; i++) {
		if (!condition_holds_at(&values->items[i].condition, json_of(reading),
			    values->items[i].name, scope))
			return false;
	}
	return true;
}

static bool body_holds(const struct rule_body *body, const char *text, size_t len)
{
	size_t whole_len = body->whole ? strlen(body->whole) : 0;

	if (!body->source)
		return true;
	if (body->contains && !memmem(text, len, body->contains, strlen(body->contains)))
		return false;
	if (body->matches && regex_match(body->matches, text, len) != REGEX_MATCH)
		return false;
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char)text[0])) {
		text++;
		len--;
	}
	if (body->starts_with &&
		(len < strlen(body->starts_with) ||
			memcmp(text, body->starts_with, strlen(body->starts_with)) != 0))
		return false;
	return !body->whole || (len == whole_len && memcmp(text, body->whole, len) == 0);
}

/* Cheap parts first. */
static bool rule_holds(const struct rule *rule, struct reading *reading)
{
	const struct answer *answer = reading->answer;

	return status_holds(&rule->status, answer->http_status) &&
	       headers_hold(&rule->header, answer) &&
	       body_holds(&rule->body, answer->body, answer->body_len) &&
	       json_holds(&rule->json, reading, CONDITION_SOME) &&
	       json_holds(&rule->all, reading, CONDITION_EVERY);
}

static const struct rule *find_rule(const struct rules *rules, struct reading *reading)
{
	for (size_t i = 0; rules && i < rules->n; i++) {
		if (rule_holds(&rules->items[i], reading))
			return &rules->items[i];
	}
	return NULL;
}

/* "status 503: what the server says". */
static void set_result(const struct rule *rule, const struct answer *answer, struct result *result)
{
	_cleanup_(sbuf_fini) struct sbuf words = { .limit = WORDS_BYTES };
	char status[32] = "";

	if (rule->reason == REASON_OK) {
		result_set(result, REASON_OK, NULL);
		return;
	}
	if (rule->message)
		sbuf_puts(&words, rule->message);
	else
		rules_error_text(answer->body, answer->body_len, &words);
	if (answer->http_status != 0)
		(void)snprintf(status, sizeof status, "status %u", answer->http_status);
	result_set(result, rule->reason, "%s%s%s", status,
		status[0] != '\0' && words.len > 0 ? ": " : "", sbuf_str(&words));
}

bool rules_judge(const struct rules *rules, const struct rules *errors, const struct answer *answer,
	struct result *result)
{
	struct reading reading = { .answer = answer };
	const struct rule *rule = find_rule(rules, &reading);

	if (!rule)
		rule = find_rule(errors, &reading);
	if (rule)
		set_result(rule, answer, result);
	json_free(reading.json);
	return rule != NULL;
}

bool rules_judge_unnamed(const struct rules *rules, const struct rules *errors,
	const struct answer *answer, struct result *result)
{
	if (rules_judge(rules, NULL, answer, result))
		return true;
	if (!rules_judge(errors, NULL, answer, result))
		return false;
	if (result->reason == REASON_MODEL_MISSING)
		result_set(result, REASON_BAD_PROBE,
			"status %u: there is no such path; is the type that of the server?",
			answer->http_status);
	return true;
}

bool rules_need_body(const struct rules *rules)
{
	return rules->n > 0;
}

/* ---- the server's own words ---- */

/* Where servers put their message, the likelier first. */
static const char *const error_pointers[] = {
	"/error/message",
	"/error",
	"/message",
	"/Message",
	"/detail",
	"/detail/error/message",
	"/detail/message",
	"/detail/0/msg",
	"/errors/0/message",
	"/errors/0",
	"/error_message",
	"/error_msg",
	"/error/0/message",
	"/status/error",
	"/msg",
	"/reason",
	"/title",
};

static bool put_json_error(const struct json *json, struct sbuf *out)
{
	for (size_t i = 0; i < array_size(error_pointers); i++) {
		const struct json *value = json_at(json, error_pointers[i]);
		size_t len;
		const char *text = value ? json_string(value, &len) : NULL;

		if (!text || len == 0)
			continue;
		sbuf_add(out, text, min_of(len, (size_t)WORDS_BYTES));
		return true;
	}
	return false;
}

/* The title of an HTML page: what proxies say. */
static void put_title(const char *body, struct sbuf *out)
{
	const char *title = strcasestr(body, "<title>");
	size_t len = title ? strcspn(title + strlen("<title>"), "<") : 0;

	if (title)
		sbuf_add(out, title + strlen("<title>"), min_of(len, (size_t)WORDS_BYTES));
}

void rules_error_text(const char *body, size_t len, struct sbuf *out)
{
	_cleanup_(json_freep) struct json *json = NULL;
	size_t start = 0;

	while (start < len && isspace((unsigned char)body[start]))
		start++;
	if (start == len)
		return;
	if (body[start] == '<')
		put_title(body + start, out);
	else if (json_parse(body, len, &json) < 0 || !put_json_error(json, out))
		sbuf_add(out, body + start, min_of(len - start, (size_t)WORDS_BYTES));
}

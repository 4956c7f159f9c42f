/* SPDX-License-Identifier: MIT */
/*
 * The `expect:` keys and what they compile to. The kinds of checks that expect something of an
 * answer have them in their tables; rules and the canary borrow single ones. Owns the regexes.
 */
#include "modelhealth/core/expectkeys.h"

#include "modelhealth/core/confcustom.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	MAX_RANGES = 64,
	MAX_CONDITIONS = 64,
	MAX_PINS = 16,
};

/* ---- parsing ---- */

static bool parse_status_range(const char *text, struct status_range *ret_range)
{
	unsigned from, to;
	char extra;
	int n = sscanf(text, "%3u-%3u%c", &from, &to, &extra);

	if (!isdigit((unsigned char)text[0]) || strlen(text) > 7 || n < 1 || n > 2)
		return false;
	if (n == 1 && strlen(text) != 3)
		return false;
	if (n == 1)
		to = from;
	*ret_range = (struct status_range){ (uint16_t)from, (uint16_t)to };
	return from >= 100 && from <= to && to <= 599;
}

/* A mapping { <list_key>: …, severity: … } or its list alone; gives the list. */
static int open_list(struct conf_scope *scope, const struct node *node, const char *list_key,
	enum verdict *severity, const struct node **ret_list)
{
	const char *const names[] = { list_key, "severity", NULL };
	int rc;

	*severity = VERDICT_DOWN;
	*ret_list = node;
	if (node->type != NODE_MAPPING)
		return 0;
	rc = conf_check_members(scope, node, names);
	*ret_list = node_get(node, list_key);
	if (rc == 0 && !*ret_list)
		rc = conf_error(scope, node, "expected the key %s", list_key);
	if (rc == 0)
		rc = conf_parse_severity(scope, node_get(node, "severity"), severity);
	return rc;
}

static int parse_status(struct conf_scope *scope, const struct node *node, void *field)
{
	struct expect_status *status = field;
	const struct node *list, *item;
	struct status_range *ranges;
	int rc = open_list(scope, node, "in", &status->severity, &list);
	size_t n;

	if (rc < 0)
		return rc;
	n = list->type == NODE_SEQUENCE ? list->n_children : 1;
	if (n == 0 || n > MAX_RANGES)
		return conf_error(scope, list, "expected 1 to %d statuses", MAX_RANGES);
	status->source = conf_source(scope, node);
	ranges = arena_calloc(conf_arena(scope), n, sizeof *ranges);
	if (!ranges || !status->source)
		return -ENOMEM;
	item = list->type == NODE_SEQUENCE ? list->first_child : list;
	for (size_t i = 0; i < n; i++, item = item->next) {
		if (item->type != NODE_SCALAR || !parse_status_range(item->text, &ranges[i]))
			rc = conf_error(scope, item,
				"expected a status like 200 or a range like 200-299, got %s",
				conf_got(scope, item));
	}
	status->ranges = ranges;
	status->n_ranges = n;
	return rc;
}

static int parse_values(struct conf_scope *scope, const struct node *node, void *field,
	bool (*is_name)(const char *name), const char *noun)
{
	struct expect_values *values = field;
	struct named_condition *items;
	const struct node *member = node->first_child;
	int rc = 0;

	if (node->type != NODE_MAPPING || node->n_children > MAX_CONDITIONS)
		return conf_error(scope, node, "expected a mapping of at most %d %ss, got %s",
			MAX_CONDITIONS, noun, conf_got(scope, node));
	values->source = conf_source(scope, node);
	items = arena_calloc(conf_arena(scope), node->n_children + 1, sizeof *items);
	if (!items || !values->source)
		return -ENOMEM;
	values->items = items;
	values->n = node->n_children;
	for (size_t i = 0; member && rc != -ENOMEM; i++, member = member->next) {
		int r = is_name(member->key) ? condition_parse(scope, member, &items[i].condition)
					     : conf_error(scope, member, "this is not a %s", noun);

		items[i].name = arena_strdup(conf_arena(scope), member->key);
		rc = r < 0 ? r : rc;
		if (!items[i].name)
			rc = -ENOMEM;
	}
	return rc;
}

static bool is_header_name(const char *name)
{
	return name[0] != '\0' && strcspn(name, " \t\r\n:") == strlen(name);
}

static int parse_header(struct conf_scope *scope, const struct node *node, void *field)
{
	return parse_values(scope, node, field, is_header_name, "header name");
}

static int parse_json(struct conf_scope *scope, const struct node *node, void *field)
{
	return parse_values(scope, node, field, json_pointer_is_valid,
		"JSON pointer (RFC 6901), which begins with /");
}

/* Not the empty text, which every body contains. */
static int parse_contains(
	struct conf_scope *scope, const struct node *node, const char **ret_contains)
{
	if (node->type == NODE_SCALAR && node->text[0] == '\0' && !node->is_bad)
		return conf_error(scope, node, "an empty text is in every answer");
	return conf_parse_text(scope, node, ret_contains);
}

int expect_text_parse(struct conf_scope *scope, const struct node *node, const char *const *names,
	struct expect_text *text)
{
	const struct node *contains = node_get(node, "contains");
	const struct node *matches = node_get(node, "matches");
	const struct node *not_matches = node_get(node, "not_matches");
	int rc;

	text->severity = VERDICT_DOWN;
	text->source = conf_source(scope, node);
	if (!text->source)
		return -ENOMEM;
	if (node->type == NODE_SCALAR && !node_is_null(node))
		return parse_contains(scope, node, &text->contains);
	if (node->type != NODE_MAPPING)
		return conf_error(scope, node,
			"expected a text or a mapping like { matches: ready }, got %s",
			conf_got(scope, node));
	rc = conf_check_members(scope, node, names);
	if (rc == 0)
		rc = conf_parse_severity(scope, node_get(node, "severity"), &text->severity);
	if (rc == 0 && contains)
		rc = parse_contains(scope, contains, &text->contains);
	if (rc == 0 && matches)
		rc = conf_parse_regex(scope, matches, &text->matches);
	if (rc == 0 && not_matches)
		rc = conf_parse_regex(scope, not_matches, &text->not_matches);
	return rc;
}

static int parse_text(struct conf_scope *scope, const struct node *node, void *field)
{
	static const char *const names[] = { "contains", "matches", "not_matches", "severity",
		NULL };

	return expect_text_parse(scope, node, names, field);
}

static int parse_size(struct conf_scope *scope, const struct node *node, void *field)
{
	static const char *const names[] = { "max", "min", "severity", NULL };
	static const struct conf_key bound = { .name = "size", .type = CONF_SIZE };
	struct expect_size *size = field;
	const struct node *min = node_get(node, "min");
	const struct node *max = node_get(node, "max");
	int rc;

	if (node->type != NODE_MAPPING)
		return conf_error(scope, node, "expected a mapping like { min: 1KiB }, got %s",
			conf_got(scope, node));
	size->max = UINT64_MAX;
	size->source = conf_source(scope, node);
	if (!size->source)
		return -ENOMEM;
	rc = conf_check_members(scope, node, names);
	if (rc == 0 && min)
		rc = conf_parse_scalar(scope, &bound, min, &size->min);
	if (rc == 0 && max)
		rc = conf_parse_scalar(scope, &bound, max, &size->max);
	if (rc == 0 && size->min > size->max)
		rc = conf_error(scope, min, "must not be more than max, which no body can meet");
	if (rc == 0)
		rc = conf_parse_severity(scope, node_get(node, "severity"), &size->severity);
	return rc;
}

static int parse_tls_version(struct conf_scope *scope, const struct node *node, void *field)
{
	struct expect_tls_version *expected = field;
	const struct node *min;
	int rc = open_list(scope, node, "min", &expected->severity, &min);

	if (rc < 0)
		return rc;
	expected->source = conf_source(scope, node);
	if (!expected->source)
		return -ENOMEM;
	for (uint16_t version = TLS_1_0; version <= TLS_1_3; version++) {
		if (min->type == NODE_SCALAR &&
			strcmp(min->text, expect_tls_version_text(version)) == 0) {
			expected->min = version;
			return 0;
		}
	}
	return conf_error(
		scope, min, "expected 1.0, 1.1, 1.2 or 1.3, got %s", conf_got(scope, min));
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c == '\0' ? NULL : strchr(digits, tolower((unsigned char)c));

	return found ? (int)(found - digits) : -1;
}

static int base64_value(char c)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = c == '\0' ? NULL : strchr(letters, c);

	return found ? (int)(found - letters) : -1;
}

/* 64 hexadecimal digits (colons are fine), or base64 as curl and HPKP write it, with or without
 * "sha256//". */
static bool parse_pin(const char *text, uint8_t pin[SPKI_BYTES])
{
	bool is_base64 = strncmp(text, "sha256//", 8) == 0 || strlen(text) == 44;
	int (*value_of)(char c) = is_base64 ? base64_value : hex_value;
	unsigned bits_each = is_base64 ? 6 : 4;
	uint32_t bits = 0;
	unsigned n_bits = 0;
	size_t len = 0;

	if (strncmp(text, "sha256//", 8) == 0)
		text += 8;
	for (; *text && *text != '='; text++) {
		int value = value_of(*text);

		if (*text == ':' && !is_base64)
			continue;
		if (value < 0 || len == SPKI_BYTES)
			return false;
		bits = bits << bits_each | (uint32_t)value;
		n_bits += bits_each;
		if (n_bits >= 8) {
			n_bits -= 8;
			pin[len++] = (uint8_t)(bits >> n_bits);
		}
	}
	return len == SPKI_BYTES && (*text == '\0' || strcmp(text, "=") == 0);
}

static int parse_pins(struct conf_scope *scope, const struct node *node, void *field)
{
	struct expect_pins *pins = field;
	const struct node *list, *item;
	int rc = open_list(scope, node, "in", &pins->severity, &list);
	uint8_t(*items)[SPKI_BYTES];
	size_t n;

	if (rc < 0)
		return rc;
	n = list->type == NODE_SEQUENCE ? list->n_children : 1;
	if (n == 0 || n > MAX_PINS)
		return conf_error(scope, list, "expected 1 to %d pins", MAX_PINS);
	pins->source = conf_source(scope, node);
	items = arena_calloc(conf_arena(scope), n, sizeof *items);
	if (!items || !pins->source)
		return -ENOMEM;
	item = list->type == NODE_SEQUENCE ? list->first_child : list;
	for (size_t i = 0; i < n; i++, item = item->next) {
		if (item->type != NODE_SCALAR || !parse_pin(item->text, items[i]))
			rc = conf_error(scope, item,
				"expected a SHA-256 as 64 hexadecimal digits or base64, got %s",
				conf_got(scope, item));
	}
	pins->items = (const uint8_t(*)[SPKI_BYTES])items;
	pins->n = n;
	return rc;
}

/* ---- what values say together ---- */

int expect_check(struct conf_scope *scope, const struct expect *expect)
{
	const struct expect_limits *latency = &expect->latency;
	const struct expect_limits *expiry = &expect->cert_expires_in;
	int rc = 0;

	if (latency->degraded > 0 && latency->down > 0 && latency->degraded >= latency->down)
		rc = conf_error(scope, conf_node(scope, "expect.latency.degraded"),
			"must be less than expect.latency.down");
	if (expiry->degraded > 0 && expiry->down > 0 && expiry->degraded <= expiry->down)
		rc = conf_error(scope, conf_node(scope, "expect.cert_expires_in.degraded"),
			"must be more than expect.cert_expires_in.down");
	return rc;
}

/* ---- the table ---- */

#define STATUS_BOUNDS                                    \
	"\"minimum\":100,\"maximum\":599,\"pattern\":\"" \
	"^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$|[$][{]\""
const struct conf_custom expect_status_custom = {
	.parse = parse_status,
	.print = conf_print_source,
	.schema =
		"{\"type\":[\"integer\",\"string\",\"array\",\"object\"]," STATUS_BOUNDS
		",\"minItems\":1,\"items\":{\"type\":[\"integer\",\"string\"]," STATUS_BOUNDS "}}",
};
const struct conf_custom expect_header_custom = {
	.parse = parse_header,
	.print = conf_print_source,
	.schema = "{\"type\":\"object\"}",
};
const struct conf_custom expect_json_custom = {
	.parse = parse_json,
	.print = conf_print_source,
	.schema = "{\"type\":\"object\"}",
};
const struct conf_custom expect_text_custom = {
	.parse = parse_text,
	.print = conf_print_source,
	.schema =
		"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\",\"additionalProperties\":false,"
		"\"properties\":{\"contains\":{\"type\":\"string\"},\"matches\":{\"type\":\"string\"},"
		"\"not_matches\":{\"type\":\"string\"},\"severity\":{\"enum\":[\"degraded\",\"down\"]}}}]}",
};
static const struct conf_custom size_custom = {
	.parse = parse_size,
	.print = conf_print_source,
	.schema =
		"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"min\":{\"type\":["
		"\"integer\",\"string\"]},\"max\":{\"type\":[\"integer\",\"string\"]},\"severity\":{"
		"\"enum\":[\"degraded\",\"down\"]}}}",
};
static const struct conf_custom tls_version_custom = {
	.parse = parse_tls_version,
	.print = conf_print_source,
	.schema = "{\"type\":[\"number\",\"string\",\"object\"]}",
};
static const struct conf_custom pins_custom = {
	.parse = parse_pins,
	.print = conf_print_source,
	.schema = "{\"type\":[\"string\",\"array\",\"object\"]}",
};

static const struct conf_key latency_keys[] = {
	{ .name = "degraded",
		.type = CONF_DURATION,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect_limits, degraded),
		.example = "1s",
		.help = "A check that takes longer is degraded." },
	{ .name = "down",
		.type = CONF_DURATION,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect_limits, down),
		.example = "5s",
		.help = "A check that takes longer is down." },
	CONF_END,
};

static const struct conf_key expiry_keys[] = {
	{ .name = "degraded",
		.type = CONF_DURATION,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect_limits, degraded),
		.example = "14d",
		.help = "With less time left the result is degraded." },
	{ .name = "down",
		.type = CONF_DURATION,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect_limits, down),
		.example = "1d",
		.help = "With less time left the result is down." },
	CONF_END,
};

const struct conf_key expect_keys[] = {
	{ .name = "body",
		.type = CONF_CUSTOM,
		.custom = &expect_text_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, body),
		.example = "{ contains: ready }",
		.help = "What the body contains, or a mapping of contains, matches and not_matches "
			"(regular expressions) with an optional severity of degraded or down (the "
			"default)." },
	{ .name = "cert_expires_in",
		.type = CONF_SECTION,
		.section = expiry_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, cert_expires_in),
		.help = "Least time that the server's certificate must still be valid." },
	{ .name = "header",
		.type = CONF_CUSTOM,
		.custom = &expect_header_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, header),
		.example = "{ Content-Type: { matches: ^application/json } }",
		.help = "Response headers and what they must be: a value, or a mapping of equals, "
			"not_equals, in, contains, matches, not_matches, min, max, exists and "
			"severity." },
	{ .name = "json",
		.type = CONF_CUSTOM,
		.custom = &expect_json_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, json),
		.example = "{ /status: ok, \"/data/*/id\": llama-3.1-70b }",
		.help = "JSON pointers into the body and what they must be, as for header. The "
			"segment * stands for some element. A quoted value equals strings only." },
	{ .name = "latency",
		.type = CONF_SECTION,
		.section = latency_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, latency),
		.help = "Longest time one check may take, from its start to its end." },
	{ .name = "size",
		.type = CONF_CUSTOM,
		.custom = &size_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, size),
		.example = "{ min: 2 }",
		.help = "Bounds min and max of the decoded body's size, with an optional severity." },
	{ .name = "spki_sha256",
		.type = CONF_CUSTOM,
		.custom = &pins_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, spki_sha256),
		.example = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		.help = "SHA-256 of the public key (SubjectPublicKeyInfo) of the server's "
			"certificate, in hexadecimal or base64; a list allows any of several." },
	{ .name = "status",
		.type = CONF_CUSTOM,
		.custom = &expect_status_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, status),
		.example = "[ 200-299 ]",
		.is_main = true,
		.help = "Statuses and ranges that are fine; unset, 200-299. Another one gives auth_failed (401, 403, "
			"407), rate_limited (429), server_error (5xx) or http_status." },
	{ .name = "tls_version",
		.type = CONF_CUSTOM,
		.custom = &tls_version_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct expect, tls_version),
		.example = "1.3",
		.help = "Lowest TLS version that the server may negotiate." },
	CONF_END,
};

void expect_values_dispose(const struct expect_values *values)
{
	for (size_t i = 0; i < values->n; i++)
		condition_dispose(&values->items[i].condition);
}

void expect_text_dispose(const struct expect_text *text)
{
	regex_free(text->matches);
	regex_free(text->not_matches);
}

void expect_dispose(const struct expect *expect)
{
	expect_values_dispose(&expect->header);
	expect_values_dispose(&expect->json);
	expect_text_dispose(&expect->body);
}

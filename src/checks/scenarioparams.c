/* SPDX-License-Identifier: MIT */
/*
 * The scenario check's configuration: the key tables of the check and of a step, and what the keys
 * compile to. A step with a url of its own takes over nothing from its surroundings, so that no key
 * of one server reaches another.
 */
#include "modelhealth/checks/scenarioparams.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/confcustom.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/expectkeys.h"
#include "modelhealth/text/json.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const unsigned schemes = 1u << URL_HTTP | 1u << URL_HTTPS;

const char scenario_prompt_name[] = "prompt";

static const char *const cost_choices[] = { "none", "inference", NULL };

static const struct conf_key step_keys[] = {
	{ .name = "body",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, body),
		.example = "'{\"inputs\": \"${prompt}\"}'",
		.help = "Request body, JSON when ${name} of a captured value stands in it. Inside a "
			"JSON string the value is escaped, outside it is put in as JSON." },
	{ .name = "capture",
		.type = CONF_STRING_MAP,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, capture_map),
		.example = "{ vector: /data/0/embedding }",
		.help = "Names for values of the answer, each a JSON pointer. Later steps use them "
			"as ${name}; a value that is missing or null is assert_json." },
	CLIENT_KEYS_WITH(struct scenario_step, own, false),
	{ .name = "cost",
		.type = CONF_ENUM,
		.fallback = "none",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct scenario_step, cost),
		.choices = cost_choices,
		.help = "inference says that the step makes a model work: the scenario then counts "
			"as an inference for all limits." },
	{ .name = "endpoint",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, endpoint_name),
		.example = "chat-a",
		.help = "Asks this endpoint: its url, headers, keys and TLS settings." },
	ERRORS_KEY(struct scenario_step, errors),
	{ .name = "expect",
		.type = CONF_SECTION,
		.section = expect_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct scenario_step, expect),
		.help = "What a good answer to this step looks like." },
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "0",
		.max = "16MiB",
		.fallback = "1MiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct scenario_step, max_body_bytes),
		.help = "Most bytes of an answer to read." },
	{ .name = "method",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, method),
		.example = "PUT",
		.help = "Request method; unset, POST with a body and GET without." },
	{ .name = "name",
		.type = CONF_STRING,
		.is_required = true,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, name),
		.example = "embed",
		.help = "What the step is called in results." },
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_step, path),
		.example = "/collections/docs/points/search",
		.help = "Path to ask, with ${name} percent-encoded." },
	RULES_KEY(struct scenario_step, rules),
	{ .name = "timeout",
		.type = CONF_SECTION,
		.section = conf_timeout_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct scenario_step, timeout),
		.help = "Limits of this step, within those of the check." },
	CONF_END,
};

/* The steps are taken apart by scenario_compile; here they are only kept for dumps. */
static int parse_steps(struct conf_scope *scope, const struct node *node, void *field)
{
	const char **source = field;

	if (node->type != NODE_SEQUENCE || node->n_children == 0)
		return conf_error(
			scope, node, "expected a list of steps, got %s", conf_got(scope, node));
	if (node->n_children > SCENARIO_MAX_STEPS)
		return conf_error(scope, node, "expected at most %d steps, got %zu",
			SCENARIO_MAX_STEPS, node->n_children);
	*source = conf_shown_source(scope, node);
	return *source ? 0 : -ENOMEM;
}

static void print_steps(struct sbuf *out, const void *field)
{
	const char *const *source = field;

	if (*source)
		sbuf_puts(out, *source);
}

static const struct conf_custom steps_custom = {
	.parse = parse_steps,
	.print = print_steps,
	.schema = "{\"type\":\"array\",\"minItems\":1,\"maxItems\":16}",
	.items = step_keys,
};

const struct conf_key scenario_keys[] = {
	{ .name = "prompt",
		.type = CONF_STRING,
		.fallback = "What is the capital of France?",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_params, prompt),
		.help = "What ${prompt} stands for in the steps, with a fresh number in front, so "
			"that no cache answers." },
	{ .name = "steps",
		.type = CONF_CUSTOM,
		.custom = &steps_custom,
		.is_required = true,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct scenario_params, steps_source),
		.example =
			"[ { name: embed, url: \"http://tei:3000\", path: /embed, body: "
			"'{\"inputs\":\"${prompt}\"}', capture: { vector: /0 } }, "
			"{ name: search, endpoint: qdrant, path: /collections/docs/points/search, "
			"body: '{\"vector\":${vector},\"limit\":1}' } ]",
		.help = "Requests made in this order, at most 16; the first that fails ends the "
			"check. A step has a name, and either a url of its own, and then takes over "
			"no other key from its surroundings, or endpoint, the name of another "
			"endpoint, or neither, and then asks the url of the check. ${name} in path "
			"and body stands for prompt, model, the variables, and the values captured "
			"by steps before." },
	CONF_END,
};

/* ---- one step ---- */

static int check_step_name(const struct scenario_params *scenario, struct conf_scope *scope,
	const struct scenario_step *step)
{
	for (const struct scenario_step *other = scenario->steps; other < step; other++) {
		if (other->name && step->name && strcmp(other->name, step->name) == 0)
			return conf_error(scope, conf_node(scope, "name"),
				"another step is called %s too", step->name);
	}
	return 0;
}

static int add_capture(
	struct scenario_params *scenario, struct conf_scope *scope, const struct conf_pair *pair)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const char *pointer = secret_expose(pair->value);

	if (pair->name[0] < 'a' || pair->name[0] > 'z' ||
		strspn(pair->name, letters) != strlen(pair->name) ||
		strcmp(pair->name, scenario_prompt_name) == 0 || strcmp(pair->name, "model") == 0)
		return conf_error(scope, conf_node(scope, "capture"),
			"\"%s\" cannot be a name: expected lower case letters, digits and _, "
			"and neither prompt nor model",
			pair->name);
	if (!json_pointer_is_valid(pointer))
		return conf_error(scope, conf_node(scope, "capture"),
			"%s: expected a JSON pointer like /data/0/id, got \"%s\"", pair->name,
			pointer);
	for (size_t i = 0; i < scenario->n_captures; i++) {
		if (strcmp(scenario->captures[i].name, pair->name) == 0)
			return conf_error(scope, conf_node(scope, "capture"),
				"a step before captures %s already", pair->name);
	}
	if (scenario->n_captures == SCENARIO_MAX_CAPTURES)
		return conf_error(scope, conf_node(scope, "capture"),
			"expected at most %d captures in all steps", SCENARIO_MAX_CAPTURES);
	scenario->captures[scenario->n_captures++] =
		(struct scenario_capture){ pair->name, pointer };
	return 0;
}

static int add_captures(
	struct scenario_params *scenario, struct conf_scope *scope, struct scenario_step *step)
{
	int r = 0;

	step->n_known = scenario->n_captures;
	step->captures = scenario->captures + scenario->n_captures;
	for (size_t i = 0; i < step->capture_map.n; i++)
		r = conf_worse(r, add_capture(scenario, scope, &step->capture_map.items[i]));
	step->n_captures = scenario->n_captures - step->n_known;
	return r;
}

static bool uses_captures(
	const struct scenario_params *scenario, const struct scenario_step *step, const char *text)
{
	for (size_t i = 0; i < step->n_known; i++) {
		if (template_uses(text, scenario->captures[i].name))
			return true;
	}
	return false;
}

static bool is_json(const char *text)
{
	text += strspn(text, " \t\r\n");
	return *text == '{' || *text == '[' || *text == '"';
}

/* A captured value comes from a server: only in JSON is there a way to put it in that cannot change
 * what stands around it. */
static int check_body(const struct scenario_params *scenario, struct conf_scope *scope,
	const struct scenario_step *step)
{
	const char *names[SCENARIO_MAX_CAPTURES + 1] = { scenario_prompt_name };
	size_t n = 1;

	if (!step->body)
		return 0;
	for (size_t i = 0; i < step->n_known; i++)
		names[n++] = scenario->captures[i].name;
	if (!is_json(step->body) && uses_captures(scenario, step, step->body))
		return conf_error(scope, conf_node(scope, "body"),
			"captured values can be used in a JSON body only");
	return client_check_names(step->client, scope, "body", step->body, step->model, names, n);
}

/* A path with captures, each standing for its own name, so that the rest is checked now. */
static int fill_dynamic_path(const struct scenario_params *scenario, struct conf_scope *scope,
	struct scenario_step *step, struct sbuf *out)
{
	struct template_value values[SCENARIO_MAX_CAPTURES];
	const char *names[SCENARIO_MAX_CAPTURES];

	for (size_t i = 0; i < step->n_known; i++) {
		names[i] = scenario->captures[i].name;
		values[i] = (struct template_value){ names[i], names[i] };
	}
	if (client_check_names(
		    step->client, scope, "path", step->path, step->model, names, step->n_known) < 0)
		return -EINVAL;
	client_expand(
		step->client, step->path, step->model, values, step->n_known, TEMPLATE_PATH, out);
	return out->failed ? -ENOMEM : 0;
}

static int keep_prefix(struct conf_scope *scope, struct scenario_step *step, const char *path)
{
	size_t whole = strlen(step->url->target);
	size_t len = strlen(path);

	if (len > whole || strcmp(step->url->target + whole - len, path) != 0)
		return conf_error(scope, conf_node(scope, "path"),
			"a path with captured values holds no . or .. segments");
	step->prefix =
		arena_printf(conf_arena(scope), "%.*s", (int)(whole - len), step->url->target);
	return step->prefix ? 0 : -ENOMEM;
}

static int compile_url(const struct scenario_params *scenario, struct conf_scope *scope,
	struct scenario_step *step)
{
	_cleanup_(sbuf_fini) struct sbuf filled = SBUF_INIT;
	const struct client *client = step->client;
	bool is_dynamic = step->path && uses_captures(scenario, step, step->path);
	const char *path = step->path ? step->path : client->target.url->target;
	int (*join)(const struct client *, struct conf_scope *, const char *, const char *,
		const char *, struct url **) = client->is_base ? client_url : client_url_instead;
	int r = 0;

	if (is_dynamic) {
		r = fill_dynamic_path(scenario, scope, step, &filled);
		path = sbuf_str(&filled);
	}
	if (r == 0)
		r = (step->path ? join : client_url_instead)(
			client, scope, "path", path, step->model, &step->url);
	return r < 0 || !is_dynamic ? r : keep_prefix(scope, step, path);
}

/* The client's headers, and what a JSON body is unless they say. */
static int fill_headers(struct conf_scope *scope, struct scenario_step *step)
{
	static char json_type[] = "application/json";
	const struct client *client = step->client;
	bool has_type = false;

	step->sent = arena_calloc(conf_arena(scope), client->n_sent + 1, sizeof *step->sent);
	if (!step->sent)
		return -ENOMEM;
	for (size_t i = 0; i < client->n_sent; i++) {
		step->sent[step->n_sent++] = client->sent[i];
		has_type |= strcasecmp(client->sent[i].name, "Content-Type") == 0;
	}
	if (step->body && is_json(step->body) && !has_type)
		step->sent[step->n_sent++] =
			(struct http_header){ "Content-Type", secret_from(json_type) };
	return 0;
}

/* What can be checked as soon as it is known whom the step asks. */
static int compile_request(const struct scenario_params *scenario, struct conf_scope *scope,
	struct scenario_step *step)
{
	int r = check_body(scenario, scope, step);

	r = conf_worse(r, fill_headers(scope, step));
	if (!step->method)
		step->method = step->body ? "POST" : "GET";
	return step->client->target.url ? conf_worse(r, compile_url(scenario, scope, step)) : r;
}

/* A step that asks for itself. It must not change whom the endpoint's other checks speak for. */
static int compile_own(const struct scenario_params *scenario, struct conf_scope *scope,
	struct endpoint_spec *endpoint, struct scenario_step *step)
{
	struct endpoint_spec scratch = *endpoint;
	int r;

	if (!step->own.target.url_text)
		return conf_is_partial(scope)
			       ? -EINVAL
			       : conf_error(scope, conf_node(scope, "name"),
					 "step %s needs a url or an endpoint", step->name);
	r = client_compile(&step->own, schemes, scope, &scratch);
	if (!scratch.tls_verify)
		endpoint->tls_verify = false;
	if (endpoint->key_hash == 0)
		endpoint->key_hash = scratch.key_hash;
	step->client = &step->own;
	step->model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	return conf_worse(r, compile_request(scenario, scope, step));
}

static int compile_step(struct scenario_params *scenario, struct conf_scope *scope,
	struct endpoint_spec *endpoint, struct node *node, struct scenario_step *step)
{
	bool is_alone = node_get(node, "url") || node_get(node, "endpoint");
	int r;

	if (node->type != NODE_MAPPING || !node_get(node, "name"))
		return conf_error(
			scope, node, "expected a step with a name, got %s", conf_got(scope, node));
	conf_enter(scope, node, is_alone ? CONF_ALONE : CONF_INHERITS);
	r = conf_fill_here(scope, step_keys, step);
	if (r < 0)
		conf_set_partial(scope);
	r = conf_worse(r, expect_check(scope, &step->expect));
	r = conf_worse(r, check_step_name(scenario, scope, step));
	if (step->endpoint_name && step->own.target.url_text)
		r = conf_error(scope, conf_node(scope, "endpoint"),
			"a step has either a url or an endpoint");
	step->is_status_expected = conf_has(scope, "expect.status");
	r = conf_worse(r, add_captures(scenario, scope, step));
	if (!step->endpoint_name)
		r = conf_worse(r, compile_own(scenario, scope, endpoint, step));
	conf_leave(scope);
	return r;
}

/* ---- the whole ---- */

int scenario_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct scenario_params *scenario = params;
	const struct node *list = conf_node(scope, "steps");
	struct arena *arena = conf_arena(scope);
	const char **names = arena_calloc(arena, list->n_children, sizeof *names);
	int r = 0;

	if (!scenario->steps_source)
		return -EINVAL; /* it is no list of steps */
	scenario->steps = arena_calloc(arena, list->n_children, sizeof *scenario->steps);
	scenario->captures = arena_calloc(arena, SCENARIO_MAX_CAPTURES, sizeof *scenario->captures);
	if (!names || !scenario->steps || !scenario->captures)
		return -ENOMEM;
	for (struct node *node = list->first_child; node; node = node->next) {
		struct scenario_step *step = &scenario->steps[scenario->n_steps++];

		r = conf_worse(r, compile_step(scenario, scope, endpoint, node, step));
		if (r < 0)
			conf_set_partial(scope); /* its captures may be missing below */
		names[scenario->n_steps - 1] = step->name;
		if (step->cost == SCENARIO_COST_INFERENCE)
			spec->cost.is_inference = true;
	}
	spec->step_names = names;
	scenario->list = list;
	return r;
}

/* The first check of an endpoint that speaks HTTP. */
static const struct client *client_of(const struct endpoint_spec *endpoint)
{
	for (size_t i = 0; i < endpoint->n_checks; i++) {
		const struct check_spec *check = &endpoint->checks[i];

		if (check->kind->client)
			return check->kind->client(check->params);
	}
	return NULL;
}

static int link_step(const struct scenario_params *scenario, struct conf_scope *scope,
	struct scenario_step *step)
{
	const struct endpoint_spec *other = config_find(conf_config(scope), step->endpoint_name);
	const struct client *client = other ? client_of(other) : NULL;

	if (!other)
		return conf_error(scope, conf_node(scope, "endpoint"), "no endpoint is called %s",
			step->endpoint_name);
	if (!client)
		return conf_error(scope, conf_node(scope, "endpoint"),
			"%s has no check that speaks HTTP", step->endpoint_name);
	step->client = client;
	step->model = other->n_models > 0 ? other->models[0] : NULL;
	return compile_request(scenario, scope, step);
}

static int set_host(
	const struct scenario_step *step, struct conf_scope *scope, struct endpoint_spec *endpoint)
{
	const struct url *url = step->url;
	bool is_ipv6 = strchr(url->host, ':') != NULL;
	const char *open = is_ipv6 ? "[" : "";
	const char *close = is_ipv6 ? "]" : "";

	if (!endpoint->host)
		endpoint->host = arena_printf(
			conf_arena(scope), "%s%s%s:%u", open, url->host, close, url->port);
	if (!endpoint->url)
		endpoint->url = arena_printf(conf_arena(scope), "%s://%s%s%s:%u", url->scheme_text,
			open, url->host, close, url->port);
	return endpoint->host && endpoint->url ? 0 : -ENOMEM;
}

/* Whose limits count: the server of the first inference, else of the first step. */
static const struct scenario_step *main_step(const struct scenario_params *scenario)
{
	for (size_t i = 0; i < scenario->n_steps; i++) {
		if (scenario->steps[i].cost == SCENARIO_COST_INFERENCE)
			return &scenario->steps[i];
	}
	return &scenario->steps[0];
}

int scenario_link(struct conf_scope *scope, struct endpoint_spec *endpoint, struct check_spec *spec,
	void *params)
{
	struct scenario_params *scenario = params;
	struct node *node = scenario->list->first_child;
	int r = 0;

	(void)spec;
	for (size_t i = 0; i < scenario->n_steps && r == 0; i++, node = node->next) {
		struct scenario_step *step = &scenario->steps[i];

		if (!step->endpoint_name)
			continue;
		conf_enter(scope, node, CONF_ALONE);
		r = link_step(scenario, scope, step);
		conf_leave(scope);
	}
	scenario->list = NULL;
	return r < 0 ? r : set_host(main_step(scenario), scope, endpoint);
}

void scenario_dispose(const void *params)
{
	const struct scenario_params *scenario = params;

	for (size_t i = 0; i < scenario->n_steps; i++) {
		const struct scenario_step *step = &scenario->steps[i];

		url_free(step->url);
		expect_dispose(&step->expect);
		client_dispose(&step->own);
	}
}

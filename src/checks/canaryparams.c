/* SPDX-License-Identifier: MIT */
/*
 * The canary's configuration: its key table and what the keys compile to. Which dialect a server
 * speaks is data of its profile; nothing here knows a server. The parameters are part of the
 * configuration and constant after load.
 */
#include "modelhealth/checks/canaryparams.h"

#include "modelhealth/core/confcustom.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
	MAX_DIMENSION = 65536,
	DEFAULT_MAX_TOKENS = 16,
	CHAT_TOKENS = 24,   /* nonce and what a chat template puts around the prompt */
	BYTES_PER_TOKEN = 3 /* of a prompt; four is usual for English */
};

static const char *const when_choices[] = { "always", "idle_or_suspicious", NULL };
static const char *const wake_choices[] = { "never", "allowed", NULL };

/* ---- values of its own ---- */

static int parse_decimal(struct conf_scope *scope, const struct node *node, void *field)
{
	struct decimal *decimal = field;

	if (node->type != NODE_SCALAR || !conf_read_number(node->text, &decimal->value))
		return conf_error(
			scope, node, "expected a number like 0.98, got %s", conf_got(scope, node));
	decimal->source = arena_strdup(conf_arena(scope), node->text);
	return decimal->source ? 0 : -ENOMEM;
}

static const struct conf_custom decimal_custom = {
	.parse = parse_decimal,
	.print = conf_print_source,
	.schema = "{\"type\":[\"number\",\"string\"]}",
	.shared_size = sizeof(struct decimal),
};

static int bad_golden(struct conf_scope *scope, const struct node *node)
{
	return conf_error(scope, node,
		"expected 1 to %d numbers, as a list or, from a file, as a JSON array, got %s",
		MAX_DIMENSION, conf_got(scope, node));
}

/* Numbers with blanks, commas and brackets between: a JSON array, or one number a line. */
static size_t read_numbers(const char *text, double *values, size_t max)
{
	static const char between[] = "[], \t\r\n";
	size_t n = 0;

	for (text += strspn(text, between); *text; text += strspn(text, between)) {
		char word[64];
		size_t len = strcspn(text, between);

		if (n == max || len >= sizeof word)
			return 0;
		memcpy(word, text, len);
		word[len] = '\0';
		if (!conf_read_number(word, &values[n++]))
			return 0;
		text += len;
	}
	return n;
}

static size_t read_items(const struct node *node, double *values, size_t max)
{
	size_t n = 0;

	for (const struct node *item = node->first_child; item; item = item->next) {
		if (item->type != NODE_SCALAR || n == max ||
			!conf_read_number(item->text, &values[n]))
			return 0;
		n++;
	}
	return n;
}

static int parse_golden(struct conf_scope *scope, const struct node *node, void *field)
{
	struct golden *golden = field;
	size_t max =
		min_of(node->type == NODE_SCALAR ? strlen(node->text) / 2 + 1 : node->n_children,
			(size_t)MAX_DIMENSION);
	double *values = arena_calloc(conf_arena(scope), max + 1, sizeof *values);

	if (!values)
		return -ENOMEM;
	golden->source = conf_source(scope, node);
	golden->embedding.values = values;
	golden->embedding.n = node->type == NODE_SCALAR ? read_numbers(node->text, values, max)
							: read_items(node, values, max);
	if (!golden->source)
		return -ENOMEM;
	return golden->embedding.n > 0 ? 0 : bad_golden(scope, node);
}

static const struct conf_custom golden_custom = {
	.parse = parse_golden,
	.print = conf_print_source,
	.schema = "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"type\":\"number\"}},"
		  "{\"type\":\"string\"}]}",
	.shared_size = sizeof(struct golden),
};

/* ---- the tables ---- */

static const struct conf_key budget_keys[] = {
	{ .name = "requests",
		.type = CONF_RATE,
		.fallback = "1440/1d",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, budget.requests),
		.help = "Most requests in a time. When they are used up nothing is asked." },
	{ .name = "tokens",
		.type = CONF_RATE,
		.fallback = "100000/1d",
		.example = "20000/1d",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, budget.tokens),
		.help = "Most tokens in a time, prompts and answers together. The default lasts for "
			"an inference a minute; --check says how many a smaller one allows." },
	CONF_END,
};

static const struct conf_key embedding_keys[] = {
	{ .name = "dimension",
		.type = CONF_UINT,
		.max = "65536",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.embedding.dimension),
		.example = "1024",
		.help = "How many numbers the embedding must have." },
	{ .name = "golden",
		.type = CONF_CUSTOM,
		.custom = &golden_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.embedding.golden),
		.example = "${file:/etc/modelhealthd/golden.json}",
		.help = "The embedding that the prompt must have: numbers, or a text of one line "
			"with a JSON array of them. The first good answer when unset." },
	{ .name = "min_cosine",
		.type = CONF_CUSTOM,
		.custom = &decimal_custom,
		.fallback = "0.98",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.embedding.min_cosine),
		.help = "Least cosine between the embedding and the golden one; below is an "
			"embedding_mismatch. -1 switches the comparison off. While it is on, the "
			"prompt is sent without a nonce." },
	{ .name = "min_norm",
		.type = CONF_CUSTOM,
		.custom = &decimal_custom,
		.fallback = "0.000001",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.embedding.min_norm),
		.help = "Least Euclidean length of an embedding." },
	CONF_END,
};

static const struct conf_key canary_expect_keys[] = {
	{ .name = "embedding",
		.type = CONF_SECTION,
		.section = embedding_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "What an embedding must be." },
	{ .name = "finish",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.finish),
		.example = "[ stop, length ]",
		.help = "Finish reasons that are fine; any when unset." },
	{ .name = "refuse_degenerate",
		.type = CONF_BOOL,
		.fallback = "true",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.is_degenerate_refused),
		.help = "Whether an empty answer, or one token repeated, is degenerate_output." },
	{ .name = "text",
		.type = CONF_CUSTOM,
		.custom = &answer_text_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.text),
		.example = "{ matches: (?i)ready }",
		.help = "What the answer must contain, or a mapping of contains, equals (without "
			"surrounding white space), matches, not_matches (regular expressions), "
			"json (pointers and values, as in expect of http checks) and severity." },
	{ .name = "usage",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, expect.is_usage_wanted),
		.help = "Whether the answer must tell its count of tokens." },
	CONF_END,
};

#define LIMIT_KEYS(member, what)                                               \
	{ .name = "degraded",                                                  \
		.type = CONF_DURATION,                                         \
		.effect = EFFECT_UPDATE,                                       \
		.offset = offsetof(struct canary_params, member.degraded),     \
		.example = "1s",                                               \
		.help = what " is degraded (slow)." },                         \
		{ .name = "down",                                              \
			.type = CONF_DURATION,                                 \
			.effect = EFFECT_UPDATE,                               \
			.offset = offsetof(struct canary_params, member.down), \
			.example = "5s",                                       \
			.help = what " is down (slow)." },                     \
		CONF_END

static const struct conf_key ttft_keys[] = { LIMIT_KEYS(ttft, "A later first token") };

static const struct conf_key inter_token_keys[] = { LIMIT_KEYS(
	inter_token, "A longer gap at the 95th percentile") };

static const struct conf_key speed_keys[] = {
	{ .name = "degraded_below",
		.type = CONF_CUSTOM,
		.custom = &decimal_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, tokens_per_second.degraded_below),
		.example = "10",
		.help = "A slower answer is degraded (slow)." },
	{ .name = "down_below",
		.type = CONF_CUSTOM,
		.custom = &decimal_custom,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, tokens_per_second.down_below),
		.example = "1",
		.help = "A slower answer is down (slow)." },
	CONF_END,
};

static const struct conf_key metadata_keys[] = {
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, metadata_path),
		.example = "/v2/models/${model}",
		.help = "Path of the model's metadata in the Open Inference Protocol." },
	CONF_END,
};

const struct conf_key canary_keys[] = {
	{ .name = "budget",
		.type = CONF_SECTION,
		.section = budget_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "What the check may cost." },
	{ .name = "check_model",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, is_model_checked),
		.help = "Whether an answer that names another model than the one asked is "
			"model_drift. Some servers answer any name with their own." },
	CLIENT_KEYS(struct canary_params),
	ERRORS_KEY(struct canary_params, errors),
	{ .name = "expect",
		.type = CONF_SECTION,
		.section = canary_expect_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "What a good answer looks like." },
	{ .name = "inter_token",
		.type = CONF_SECTION,
		.section = inter_token_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "Limits on the gaps between tokens." },
	{ .name = "loaded",
		.type = CONF_SECTION,
		.section = model_list_keys,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, loaded),
		.help = "Where the server lists the models in its memory. With wake: never it is "
			"looked at first; a model that is not there is cold and not asked." },
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "1KiB",
		.max = "64MiB",
		.fallback = "4MiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, max_body_bytes),
		.help = "Most bytes of an answer to read." },
	{ .name = "max_tokens",
		.type = CONF_U16,
		.min = "1",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, max_tokens),
		.example = "16",
		.help = "Most tokens to ask for: ${max_tokens} of a mode's body. 16 when neither "
			"this nor the mode says more." },
	{ .name = "metadata",
		.type = CONF_SECTION,
		.section = metadata_keys,
		.effect = EFFECT_RESTART,
		.offset = 0,
		.help = "For modes without a body: asks for the model's metadata and sends an "
			"input of zeros that fits." },
	{ .name = "mode",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, mode),
		.example = "chat",
		.help = "Which of modes to ask in. Not needed when there is only one." },
	{ .name = "model",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, model),
		.example = "llama-3.1-70b",
		.help = "Model to ask; the first of models when unset." },
	{ .name = "modes",
		.type = CONF_CUSTOM,
		.custom = &dialects_custom,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, modes),
		.example = "{ completion: { path: /v1/completions, body: "
			   "'{\"prompt\":\"${prompt}\"}', text: [ /choices/0/text ] } }",
		.help = "How the server is asked and answers, by name; profiles set it, and what "
			"stands further in adds modes or replaces whole ones. Keys of a "
			"mode: path, method, body, max_tokens, framing (sse, ndjson or json), text, "
			"reasoning, cumulative, finish, bad_finish, sentinel, end (pointer, equals), "
			"require, error, stream_errors, embedding, model, prompt_tokens and "
			"completion_tokens." },
	{ .name = "prompt",
		.type = CONF_STRING,
		.fallback = "Reply with the word ready.",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, prompt),
		.help = "What to ask: ${prompt} of a mode's body, where eight hexadecimal digits "
			"stand before it so that no cache can answer." },
	RULES_KEY(struct canary_params, rules),
	{ .name = "tokens_per_second",
		.type = CONF_SECTION,
		.section = speed_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "Limits on the speed after the first token." },
	{ .name = "ttft",
		.type = CONF_SECTION,
		.section = ttft_keys,
		.effect = EFFECT_UPDATE,
		.offset = 0,
		.help = "Limits on the time from the request to the first token." },
	{ .name = "wake",
		.type = CONF_ENUM,
		.fallback = "never",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct canary_params, wake),
		.choices = wake_choices,
		.help = "Whether the check may make the server load a model that is not in its "
			"memory." },
	{ .name = "when",
		.type = CONF_ENUM,
		.fallback = "always",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct canary_params, when),
		.choices = when_choices,
		.help = "idle_or_suspicious asks nothing while the server's own counters prove "
			"that it produces tokens." },
	CONF_END,
};

/* ---- compiling ---- */

static int choose_dialect(struct canary_params *canary, struct conf_scope *scope)
{
	const char *names[32];
	size_t n = min_of(canary->modes.n, array_size(names));
	_cleanup_(sbuf_fini) struct sbuf list = SBUF_INIT;

	if (conf_is_partial(scope) && (n == 0 || (n > 1 && !canary->mode)))
		return -EINVAL;
	if (n == 0)
		return conf_error(scope, conf_node(scope, "modes"),
			"modes is missing: set the type of the endpoint to that of its server, or "
			"say how it is asked");
	canary->dialect = canary->mode ? dialects_find(&canary->modes, canary->mode)
			  : n == 1     ? &canary->modes.items[0]
				       : NULL;
	if (canary->dialect)
		return 0;
	for (size_t i = 0; i < n; i++) {
		names[i] = canary->modes.items[i].name;
		sbuf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
	}
	if (!canary->mode)
		return conf_error(scope, conf_node(scope, "modes"),
			"mode is missing: expected one of %s", sbuf_str(&list));

	const char *near = conf_did_you_mean(names, n, canary->mode);

	return conf_error(scope, conf_node(scope, "mode"), "expected one of %s; got \"%s\"%s%s%s",
		sbuf_str(&list), canary->mode, near ? " (did you mean " : "", near ? near : "",
		near ? "?)" : "");
}

static const char *const prompt_names[] = { "prompt", "max_tokens" };

static int compile_question(struct canary_params *canary, struct conf_scope *scope)
{
	const struct dialect *dialect = canary->dialect;
	int r = client_url(
		&canary->client, scope, "modes", dialect->path, canary->model, &canary->url);

	if (r < 0)
		return r;
	if (dialect->body)
		return client_check_names(&canary->client, scope, "modes", dialect->body,
			canary->model, prompt_names, array_size(prompt_names));
	if (strcmp(dialect->method, "GET") == 0)
		return 0;
	if (!canary->metadata_path && conf_is_partial(scope))
		return -EINVAL;
	if (!canary->metadata_path)
		return conf_error(scope, conf_node(scope, "modes"),
			"mode %s has no body: set one, or metadata.path to make one of the "
			"model's metadata",
			dialect->name);
	return client_url(&canary->client, scope, "metadata.path", canary->metadata_path,
		canary->model, &canary->metadata_url);
}

static int compile_loaded(struct canary_params *canary, struct conf_scope *scope)
{
	const struct model_list *loaded = &canary->loaded;
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	int r;

	if (!loaded->path || canary->wake == WAKE_ALLOWED)
		return 0;
	if (!canary->model && conf_is_partial(scope))
		return -EINVAL;
	if (!canary->model)
		return conf_error(scope, conf_node(scope, "loaded"),
			"loaded needs a model to look for: set models: [ NAME ]");
	r = model_list_check(scope, loaded, "loaded");
	if (r == 0)
		r = client_url(&canary->client, scope, "loaded.path", loaded->path, canary->model,
			&canary->loaded_url);
	if (r == 0 && loaded->port != 0)
		canary->loaded_url->port = loaded->port; /* nobody else has it yet */
	if (r == 0 && loaded->body)
		r = client_check_names(&canary->client, scope, "loaded.body", loaded->body,
			canary->model, NULL, 0);
	if (r < 0 || !loaded->body)
		return r;
	client_expand(&canary->client, loaded->body, canary->model, NULL, 0, TEMPLATE_JSON, &body);
	canary->loaded_body = body.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&body));
	return canary->loaded_body ? 0 : -ENOMEM;
}

/* The client's headers, and the type of our bodies unless it is configured. */
static int build_headers(struct canary_params *canary, struct arena *arena)
{
	static char json_type[] = "application/json";
	const struct client *client = &canary->client;
	bool has_type = false;

	canary->sent = arena_calloc(arena, client->n_sent + 1, sizeof *canary->sent);
	if (!canary->sent)
		return -ENOMEM;
	for (size_t i = 0; i < client->n_sent; i++) {
		canary->sent[canary->n_sent++] = client->sent[i];
		has_type |= strcasecmp(client->sent[i].name, "Content-Type") == 0;
	}
	if (!has_type)
		canary->sent[canary->n_sent++] =
			(struct http_header){ "Content-Type", secret_from(json_type) };
	return 0;
}

/* Whether what is called down comes before what is called degraded. */
static bool is_reversed(const struct expect_limits *limits)
{
	return limits->degraded > 0 && limits->down > 0 && limits->degraded >= limits->down;
}

static int check_limits(const struct canary_params *canary, struct conf_scope *scope)
{
	const struct canary_embedding *embedding = &canary->expect.embedding;
	const struct canary_speed *speed = &canary->tokens_per_second;

	const struct {
		bool is_broken;
		const char *key, *rule;
	} rules[] = {
		{ is_reversed(&canary->ttft), "ttft.degraded", "must be less than ttft.down" },
		{ is_reversed(&canary->inter_token), "inter_token.degraded",
			"must be less than inter_token.down" },
		{ speed->degraded_below.source && speed->down_below.source &&
				speed->degraded_below.value <= speed->down_below.value,
			"tokens_per_second.degraded_below",
			"must be more than tokens_per_second.down_below" },
		{ embedding->min_cosine.value > 1 || embedding->min_cosine.value < -1,
			"expect.embedding.min_cosine", "expected a number from -1 to 1" },
	};

	size_t n = embedding->golden.embedding.n;
	int r = 0;

	for (size_t i = 0; i < array_size(rules); i++) {
		if (rules[i].is_broken)
			r = conf_error(scope, conf_node(scope, rules[i].key), "%s", rules[i].rule);
	}
	if (embedding->dimension > 0 && n > 0 && n != embedding->dimension)
		r = conf_error(scope, conf_node(scope, "expect.embedding.golden"),
			"has %zu numbers, but dimension is %u", n, embedding->dimension);
	return r;
}

/* What a run costs about, prompt and answer together. */
static uint32_t estimate_tokens(const struct canary_params *canary, unsigned max_tokens)
{
	const struct dialect *dialect = canary->dialect;
	size_t prompt = 0;

	if (dialect->body && template_uses(dialect->body, "prompt"))
		prompt = CHAT_TOKENS + strlen(canary->prompt) / BYTES_PER_TOKEN;
	if (dialect->body && template_uses(dialect->body, "max_tokens"))
		prompt += max_tokens;
	return (uint32_t)min_of(prompt, (size_t)UINT32_MAX);
}

static int settle(struct canary_params *canary, struct conf_scope *scope, struct check_spec *spec)
{
	unsigned max_tokens = canary->max_tokens            ? canary->max_tokens
			      : canary->dialect->max_tokens ? canary->dialect->max_tokens
							    : DEFAULT_MAX_TOKENS;

	canary->max_tokens_text = arena_printf(conf_arena(scope), "%u", max_tokens);
	if (!canary->max_tokens_text)
		return -ENOMEM;
	canary->embedding = (struct embedding_limits){
		.dimension = canary->expect.embedding.dimension,
		.min_norm = canary->expect.embedding.min_norm.value,
		.min_cosine = canary->expect.embedding.min_cosine.value,
	};
	spec->cost = (struct cost){
		.is_inference = true,
		.when = (enum cost_when)canary->when,
		.tokens_a_run = estimate_tokens(canary, max_tokens),
		.tokens = canary->budget.tokens,
		.requests = canary->budget.requests,
	};
	return 0;
}

int canary_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct canary_params *canary = params;
	int r = choose_dialect(canary, scope);

	if (!canary->model && endpoint->n_models > 0)
		canary->model = endpoint->models[0];
	r = conf_worse(r,
		client_compile(&canary->client, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint));
	if (canary->client.target.url && canary->dialect)
		r = conf_worse(r, compile_question(canary, scope));
	if (canary->client.target.url)
		r = conf_worse(r, compile_loaded(canary, scope));
	r = conf_worse(r, check_limits(canary, scope));
	if (r == 0)
		r = build_headers(canary, conf_arena(scope));
	return r < 0 ? r : settle(canary, scope, spec);
}

void canary_dispose(const void *params)
{
	const struct canary_params *canary = params;

	url_free(canary->url);
	url_free(canary->loaded_url);
	url_free(canary->metadata_url);
	answer_text_dispose(&canary->expect.text);
	client_dispose(&canary->client);
}

bool canary_compares(const struct canary_params *canary)
{
	return canary->dialect->embedding && canary->embedding.min_cosine >= 0;
}

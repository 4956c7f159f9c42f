/* SPDX-License-Identifier: MIT */
/*
 * The models check: asks a server for its list of models, page by page, and says whether every
 * wanted one is there, in which state, and whether it is still the same. The engine starts and
 * cancels it; what the models were like last time hangs on the probe.
 */
#include "modelhealth/checks/client.h"
#include "modelhealth/checks/exchange.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/expect.h"
#include "modelhealth/core/modellist.h"
#include "modelhealth/core/rules.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	MAX_PAGES = 20,
	SHOWN_NAMES = 8,    /* of a list, in messages */
	WATCHED_MODELS = 8, /* of a list that nobody wants anything of */
};

struct models_params {
	struct client client;
	struct model_list list;
	struct rules rules, errors;
	uint64_t max_body_bytes;
	usec_t drift_hold;
	/* filled by models_compile */
	struct url *url;
	const char *body; /* list.body, filled; NULL = none */
};

/* What is remembered of a model to see it change. */
struct known {
	char id[sizeof((struct model_facts *)NULL)->id];
	char version[sizeof((struct model_facts *)NULL)->version];
	char revision[sizeof((struct model_facts *)NULL)->revision];
	char context_length[sizeof((struct model_facts *)NULL)->context_length];
};

struct models_probe {
	struct exchange exchange;
	/* while a check runs */
	struct url *page; /* NULL = the first */
	unsigned pages;
	bool is_cut;   /* there were more pages than MAX_PAGES */
	bool is_list;  /* some page holds a list, be it empty */
	size_t models; /* listed so far */
	struct wanted_model *wanted;
	struct sbuf names;  /* of the first page, for messages */
	struct sbuf cursor; /* of the page in hand */
	/* from check to check */
	struct known *known; /* of each wanted model; NULL = none yet */
	char *known_names;   /* of a short list, when nothing is wanted; NULL = none yet */
	usec_t changed_at;   /* monotonic; 0 = never */
	char change[RESULT_DETAIL_SIZE];
};

static const struct conf_key models_keys[] = {
	CLIENT_KEYS(struct models_params),
	{ .name = "drift_hold",
		.type = CONF_DURATION,
		.min = "0",
		.max = "30d",
		.fallback = "1h",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct models_params, drift_hold),
		.help = "How long a change of a wanted model's id, version, revision or context "
			"length is told as model_drift after it was last seen to change. Without "
			"models, the ids of a list of at most 8 are watched. 0 tells none." },
	ERRORS_KEY(struct models_params, errors),
	{ .name = "list",
		.type = CONF_SECTION,
		.section = model_list_keys,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct models_params, list),
		.help = "Where the server's list of models is and how to read it." },
	{ .name = "max_body_bytes",
		.type = CONF_SIZE,
		.min = "1KiB",
		.max = "16MiB",
		.fallback = "2MiB",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct models_params, max_body_bytes),
		.help = "Most bytes of one page to read; more is body_too_large." },
	RULES_KEY(struct models_params, rules),
	CONF_END,
};

/* ---- configuration ---- */

static int fill_body(struct models_params *models, struct conf_scope *scope, const char *model)
{
	_cleanup_(sbuf_fini) struct sbuf body = SBUF_INIT;
	int r;

	if (!models->list.body)
		return 0;
	r = client_check_names(
		&models->client, scope, "list.body", models->list.body, model, NULL, 0);
	if (r < 0)
		return r;
	client_expand(&models->client, models->list.body, model, NULL, 0, TEMPLATE_JSON, &body);
	models->body = body.failed ? NULL : arena_strdup(conf_arena(scope), sbuf_str(&body));
	return models->body ? 0 : -ENOMEM;
}

static int models_compile(struct conf_scope *scope, struct endpoint_spec *endpoint,
	struct check_spec *spec, void *params)
{
	struct models_params *models = params;
	const char *model = endpoint->n_models > 0 ? endpoint->models[0] : NULL;
	int r;

	(void)spec;
	if (models->list.port != 0)
		models->client.port = models->list.port;
	r = client_compile(&models->client, 1u << URL_HTTP | 1u << URL_HTTPS, scope, endpoint);
	r = conf_worse(r, model_list_check(scope, &models->list, "list"));
	r = conf_worse(r, fill_body(models, scope, model));
	if (models->client.target.url && models->list.path)
		r = conf_worse(r, client_url(&models->client, scope, "list.path", models->list.path,
					  model, &models->url));
	return r;
}

static void models_dispose(const void *params)
{
	const struct models_params *models = params;

	url_free(models->url);
	client_dispose(&models->client);
}

/* ---- short names ---- */

static const struct models_params *params_of(const struct models_probe *state)
{
	return state->exchange.probe->spec->params;
}

static const struct endpoint_spec *endpoint_of(const struct models_probe *state)
{
	return state->exchange.probe->spec->endpoint;
}

static struct result *result_of(const struct models_probe *state)
{
	return &state->exchange.probe->result;
}

static const struct url *page_url(const struct models_probe *state)
{
	return state->page ? state->page : params_of(state)->url;
}

/* Goes back to what an idle probe may hold. */
static void forget(struct models_probe *state)
{
	state->page = url_free(state->page);
	free(take_ptr(state->wanted));
	sbuf_fini(&state->names);
	sbuf_fini(&state->cursor);
	exchange_forget(&state->exchange);
}

static void end(struct models_probe *state)
{
	client_mask(&params_of(state)->client, result_of(state));
	forget(state);
	state->exchange.probe->done(state->exchange.probe);
}

/* ---- drift ---- */

/* Notes a change; what a server stopped telling (a model that is not in memory has no context
 * length, say) is no change, and neither is what it tells for the first time. */
static void compare(char *known, size_t size, const char *seen, const char *model, const char *what,
	struct sbuf *change)
{
	if (seen[0] == '\0')
		return;
	if (known[0] != '\0' && strcmp(known, seen) != 0)
		sbuf_printf(change, "%s%s: %s %s -> %s", change->len > 0 ? "; " : "", model, what,
			known, seen);
	(void)snprintf(known, size, "%s", seen);
}

static void compare_models(struct models_probe *state, struct sbuf *change)
{
	const struct endpoint_spec *endpoint = endpoint_of(state);

	for (size_t i = 0; i < endpoint->n_models; i++) {
		const struct model_facts *facts = &state->wanted[i].facts;
		const char *model = endpoint->models[i];
		struct known *known = &state->known[i];

		if (facts->state == MODEL_ABSENT)
			continue;
		compare(known->id, sizeof known->id, facts->id, model, "id", change);
		compare(known->version, sizeof known->version, facts->version, model, "version",
			change);
		compare(known->revision, sizeof known->revision, facts->revision, model, "revision",
			change);
		compare(known->context_length, sizeof known->context_length, facts->context_length,
			model, "context length", change);
	}
}

/* Where no model is wanted, a short list is one that the operator chose: it should stay. Hosted
 * services list many, and change them all the time. */
static void compare_names(struct models_probe *state, struct sbuf *change)
{
	const char *names = sbuf_str(&state->names);
	char *copy;

	if (state->models > WATCHED_MODELS)
		return;
	if (state->known_names && strcmp(state->known_names, names) != 0)
		sbuf_printf(change, "models %s -> %s", state->known_names, names);
	copy = strdup(names);
	if (!copy)
		return; /* then the next check compares with an older list */
	free(state->known_names);
	state->known_names = copy;
}

/* Whether a change is still to be told; then it stands in state->change. */
static bool has_drifted(struct models_probe *state)
{
	const usec_t now = loop_timers(state->exchange.probe->io->loop)->now;
	_cleanup_(sbuf_fini) struct sbuf change = SBUF_INIT;

	if (state->known)
		compare_models(state, &change);
	else
		compare_names(state, &change);
	if (change.len > 0) {
		(void)snprintf(state->change, sizeof state->change, "%s", sbuf_str(&change));
		state->changed_at = now;
	}
	return state->changed_at != 0 && now - state->changed_at < params_of(state)->drift_hold;
}

/* ---- the verdict of a whole list ---- */

/* The wanted models that are in this state, as "a, b"; why tells the server's words. */
static void list_in_state(const struct models_probe *state, enum model_state in, struct sbuf *out)
{
	const struct endpoint_spec *endpoint = endpoint_of(state);

	for (size_t i = 0; i < endpoint->n_models; i++) {
		const struct model_facts *facts = &state->wanted[i].facts;

		if (facts->state != in)
			continue;
		sbuf_printf(out, "%s%s", out->len > 0 ? ", " : "", endpoint->models[i]);
		if (facts->why[0] != '\0' || facts->state_text[0] != '\0')
			sbuf_printf(out, " (%s%s%s)", facts->state_text,
				facts->state_text[0] != '\0' && facts->why[0] != '\0' ? ": " : "",
				facts->why);
	}
}

static void judge_absent(struct models_probe *state, const char *absent)
{
	struct result *result = result_of(state);

	if (state->is_cut)
		result_set(result, REASON_BAD_PROBE, "not on the first %d pages: %s", MAX_PAGES,
			absent);
	else
		result_set(result, REASON_MODEL_MISSING, "not served: %s; served: %s", absent,
			sbuf_str(&state->names));
}

/* The worst state that any wanted model is in, in the order of the table. */
static void judge_states(struct models_probe *state)
{
	static const struct {
		enum model_state state;
		enum reason reason;
		const char *what;
	} states[] = {
		{ MODEL_FAILED, REASON_MODEL_MISSING, "failed to load" },
		{ MODEL_LOADING, REASON_LOADING, "loading" },
		{ MODEL_COLD, REASON_COLD, "not in memory" },
	};
	_cleanup_(sbuf_fini) struct sbuf models = SBUF_INIT;
	bool is_drifting = has_drifted(state);

	list_in_state(state, MODEL_ABSENT, &models);
	if (models.len > 0) {
		judge_absent(state, sbuf_str(&models));
		return;
	}
	for (size_t i = 0; i < array_size(states); i++) {
		if (is_drifting && states[i].state == MODEL_COLD)
			break; /* degraded is worse than not in memory */
		list_in_state(state, states[i].state, &models);
		if (models.len == 0)
			continue;
		result_set(result_of(state), states[i].reason, "%s: %s", states[i].what,
			sbuf_str(&models));
		return;
	}
	if (is_drifting)
		result_set(result_of(state), REASON_MODEL_DRIFT, "%s", state->change);
}

/* A store without a collection, of which none is wanted. */
static bool is_rightly_empty(const struct models_probe *state)
{
	return state->models == 0 && state->is_list && params_of(state)->list.may_be_empty &&
	       endpoint_of(state)->n_models == 0;
}

static void judge_list(struct models_probe *state)
{
	if (is_rightly_empty(state))
		return;
	if (state->models == 0)
		result_set(
			result_of(state), REASON_MODEL_MISSING, "the server's list holds no model");
	else
		judge_states(state);
}

/* ---- pages ---- */

static bool is_all_found(const struct models_probe *state)
{
	const struct endpoint_spec *endpoint = endpoint_of(state);

	for (size_t i = 0; i < endpoint->n_models; i++) {
		if (state->wanted[i].facts.state != MODEL_READY)
			return false;
	}
	return endpoint->n_models > 0;
}

static void read_page(struct models_probe *state, const struct json *page)
{
	const struct model_list *list = &params_of(state)->list;
	size_t models = model_list_find(list, page, state->wanted, endpoint_of(state)->n_models);

	if (state->models == 0)
		model_list_names(list, page, SHOWN_NAMES, &state->names);
	state->is_list |= model_list_is_there(list, page);
	state->models += models;
	state->pages++;
}

/* The URL of the page that cursor names: that of the first with one parameter more. */
static int make_page_url(struct models_probe *state, const char *cursor)
{
	const struct models_params *models = params_of(state);
	const struct template_value value = { "cursor", cursor };
	_cleanup_(sbuf_fini) struct sbuf target = SBUF_INIT;
	struct url *url = NULL;
	int r;

	sbuf_printf(&target, "%s%c%s=", models->url->target,
		strchr(models->url->target, '?') ? '&' : '?', models->list.next_parameter);
	template_expand("${cursor}", &value, 1, TEMPLATE_PATH, &target);
	r = target.failed ? -ENOMEM : url_retarget(models->url, sbuf_str(&target), &url);
	if (r < 0)
		return r;
	url_free(state->page);
	state->page = url;
	return 0;
}

static int start_page(struct models_probe *state);

/* Asks for the page after this one. 1 when it is under way, 0 when this was the last. */
static int turn_page(struct models_probe *state, const struct json *page)
{
	const struct model_list *list = &params_of(state)->list;
	_cleanup_(sbuf_fini) struct sbuf cursor = SBUF_INIT;
	int r;

	if (is_all_found(state) || !model_list_next(list, page, &cursor))
		return 0;
	/* A server that does not know the parameter gives the same page for ever. */
	if (strcmp(sbuf_str(&cursor), sbuf_str(&state->cursor)) == 0)
		return 0;
	if (state->pages == MAX_PAGES) {
		state->is_cut = true;
		return 0;
	}
	r = make_page_url(state, sbuf_str(&cursor));
	if (r < 0)
		return r;
	sbuf_fini(&state->cursor);
	state->cursor = cursor;
	cursor = (struct sbuf)SBUF_INIT;
	r = start_page(state);
	return r < 0 ? r : 1;
}

/* ---- the answer ---- */

/* Whether the answer is a page of the list; else its reason is set. */
static bool is_page(struct models_probe *state, struct http_transfer *transfer)
{
	const struct models_params *models = params_of(state);
	struct result *result = result_of(state);
	_cleanup_(sbuf_fini) struct sbuf words = SBUF_INIT;
	const struct answer answer = exchange_answer(&state->exchange, transfer);

	result->retry_after = exchange_retry_after(&state->exchange, transfer);
	if (rules_judge_unnamed(&models->rules, &models->errors, &answer, result))
		return result->reason == REASON_OK;
	if (result->http_status >= 200 && result->http_status <= 299)
		return true;
	rules_error_text(answer.body, answer.body_len, &words);
	result_set(result, expect_status_reason(answer.http_status), "status %u%s%s",
		answer.http_status, words.len > 0 ? ": " : "", sbuf_str(&words));
	return false;
}

/* Takes one page. False when another one is under way. */
static bool take_page(struct models_probe *state)
{
	_cleanup_(json_freep) struct json *page = NULL;
	struct result *result = result_of(state);
	const struct sbuf *body = &state->exchange.answer;
	int r = json_parse(sbuf_str(body), body->len, &page);

	if (r == -EFBIG) {
		result_set(result, REASON_BODY_TOO_LARGE,
			"the list of models holds more than %d values", JSON_MAX_VALUES);
		return true;
	}
	if (r == -EINVAL || r == -E2BIG) {
		result_set(result, REASON_JSON_INVALID, "the list of models is no JSON");
		return true;
	}
	if (r == 0) {
		read_page(state, page);
		r = turn_page(state, page);
	}
	if (r == 0)
		judge_list(state);
	else if (r < 0)
		result_set(result, r == -ENOMEM ? REASON_LOCAL_MEMORY : REASON_JSON_INVALID,
			r == -ENOMEM ? NULL : "the list names a next page that is none");
	return r <= 0;
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct models_probe *state = arg;
	struct result *result = result_of(state);

	state->exchange.transfer = NULL;
	*result = outcome->result;
	if (result->reason == REASON_OK && state->exchange.answer.failed)
		result_set(result, REASON_LOCAL_MEMORY, NULL);
	else if (result->reason == REASON_OK && is_page(state, transfer) && !take_page(state))
		return;
	end(state);
}

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct models_probe *state = arg;

	sbuf_add(&state->exchange.answer, data, len);
	return HTTP_MORE;
}

/* ---- start and end ---- */

static int start_page(struct models_probe *state)
{
	const struct models_params *models = params_of(state);
	const struct http_handlers handlers = {
		.on_data = on_data, .on_done = on_done, .arg = state
	};
	struct http_request request = {
		.method = models->list.method,
		.body = models->body,
		.body_len = models->body ? strlen(models->body) : 0,
		.max_body_bytes = models->max_body_bytes,
	};

	sbuf_clear(&state->exchange.answer);
	client_request(&models->client, state->exchange.probe, page_url(state), &request);
	return http_start(state->exchange.probe->io->httpc, state->exchange.lane, &request,
		&handlers, &state->exchange.transfer);
}

/* A changed list of wanted models starts the check afresh, so known always fits them. */
static int begin(struct models_probe *state)
{
	const struct endpoint_spec *endpoint = endpoint_of(state);
	size_t n = endpoint->n_models;

	state->pages = 0;
	state->is_list = false;
	state->models = 0;
	state->is_cut = false;
	state->wanted = calloc(n + 1, sizeof *state->wanted);
	if (!state->known && n > 0)
		state->known = calloc(n, sizeof *state->known);
	if (!state->wanted || (!state->known && n > 0))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		wanted_model_init(&state->wanted[i], endpoint->models[i]);
	return start_page(state);
}

static void models_start(struct probe *probe)
{
	struct models_probe *state = exchange_open(probe, sizeof *state);

	if (state && begin(state) == 0)
		return;
	if (state)
		forget(state);
	exchange_starve(probe);
}

static void models_cancel(struct probe *probe)
{
	exchange_cancel(probe);
	forget(probe->priv);
}

static void models_fini(struct probe *probe)
{
	struct models_probe *state = probe->priv;

	if (!state)
		return;
	free(state->known);
	free(state->known_names);
	exchange_fini(probe);
}

static const struct client *models_client(const void *params)
{
	const struct models_params *models = params;

	return &models->client;
}

const struct check_kind check_models = {
	.name = "models",
	.keys = models_keys,
	.params_size = sizeof(struct models_params),
	.compile = models_compile,
	.client = models_client,
	.dispose = models_dispose,
	.start = models_start,
	.cancel = models_cancel,
	.fini = models_fini,
};

/* SPDX-License-Identifier: MIT */
/*
 * Reading a server's list of models by the pointers of its profile. The models check reads whole
 * lists with it, the canary looks up one model. Pages are borrowed; nothing is kept.
 */
#include "modelhealth/core/modellist.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/core/confvalue.h"
#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <stdio.h>

/* ---- the keys ---- */

static int parse_pointer(struct conf_scope *scope, const struct node *node, void *field)
{
	static const struct conf_key key = { .type = CONF_STRING };
	const char *pointer = NULL;
	size_t stars = 0;
	int r = conf_parse_scalar(scope, &key, node, &pointer);

	if (r < 0)
		return r;
	for (const char *at = strstr(pointer, "/*"); at; at = strstr(at + 1, "/*"))
		stars++;
	if (!json_pointer_is_valid(pointer) || strlen(pointer) > MODEL_LIST_MAX_POINTER ||
		stars > MODEL_LIST_MAX_STARS)
		return conf_error(scope, node,
			"expected a JSON pointer like /data/*/id with at most %d bytes and %d *, "
			"got %s",
			MODEL_LIST_MAX_POINTER, MODEL_LIST_MAX_STARS, conf_got(scope, node));
	*(const char **)field = pointer;
	return 0;
}

static void print_pointer(struct sbuf *out, const void *field)
{
	const char *pointer = *(const char *const *)field;

	if (pointer)
		conf_print_string(pointer, out);
}

static const struct conf_custom pointer_custom = {
	.parse = parse_pointer,
	.print = print_pointer,
	.schema = "{ \"type\": \"string\", \"pattern\": \"^(/.*)?$\" }",
	.shared_size = sizeof(const char *),
};

#define POINTER(member)                                                                            \
	.name = #member, .type = CONF_CUSTOM, .custom = &pointer_custom, .effect = EFFECT_RESTART, \
	.offset = offsetof(struct model_list, member)

#define WORDS(member)                                                       \
	.name = #member, .type = CONF_STRING_LIST, .effect = EFFECT_UPDATE, \
	.offset = offsetof(struct model_list, member)

const struct conf_key model_list_keys[] = {
	{ .name = "aliases",
		.type = CONF_STRING_LIST,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct model_list, aliases),
		.example = "[ \"/data/*/aliases/*\" ]",
		.help = "Pointers to more names of the same model." },
	{ .name = "body",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct model_list, body),
		.example = "'{}'",
		.help = "Request body, for servers that want a POST." },
	{ WORDS(cold), .example = "[ unloaded ]",
		.help = "Values of state that mean not in memory: a request would load it." },
	{ POINTER(context_length), .example = "/data/*/max_model_len",
		.help = "Pointer to the model's context length; a change is model_drift." },
	{ WORDS(failed), .example = "[ error ]",
		.help = "Values of state that mean that the model could not be loaded." },
	{ POINTER(failure), .example = "/data/*/status/failed",
		.help = "Pointer to what is true when the model could not be loaded." },
	{ .name = "id_prefix",
		.type = CONF_STRING,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct model_list, id_prefix),
		.example = "models/",
		.help = "Taken off the ids before they are compared." },
	{ POINTER(ids), .example = "/data/*/id",
		.help = "JSON pointer to the models' names, where * stands for every element. The "
			"other pointers that begin with the same words are of the same element." },
	{ WORDS(loading), .example = "[ loading, downloading ]",
		.help = "Values of state that mean that the model is being loaded." },
	{ .name = "may_be_empty",
		.type = CONF_BOOL,
		.fallback = "false",
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct model_list, may_be_empty),
		.help = "Whether a server without any may be fine, as long as models names none; "
			"for stores that list collections." },
	{ .name = "method",
		.type = CONF_STRING,
		.fallback = "GET",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct model_list, method),
		.help = "Request method." },
	{ POINTER(more), .example = "/has_more",
		.help = "Pointer to what is false or null on the last page." },
	{ POINTER(next), .example = "/nextPageToken",
		.help = "Pointer to what names the next page; needs next_parameter. Absent, null "
			"and empty mean that there is none." },
	{ .name = "next_parameter",
		.type = CONF_STRING,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct model_list, next_parameter),
		.example = "pageToken",
		.help = "Query parameter that asks for the page named by next." },
	{ .name = "path",
		.type = CONF_TEMPLATE,
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct model_list, path),
		.example = "/v1/models",
		.help = "Where the list is, joined to url. ${model} and variables are filled in." },
	{ .name = "port",
		.type = CONF_U16,
		.min = "1",
		.max = "65535",
		.effect = EFFECT_RESTART,
		.offset = offsetof(struct model_list, port),
		.example = "8081",
		.help = "Port of the list, when it is not that of url." },
	{ WORDS(ready), .example = "[ loaded ]",
		.help = "Values of state that mean that the model serves; \"*\" is any but null. "
			"When set, a state that no list names counts as failed, and none at all as "
			"cold." },
	{ POINTER(revision), .example = "/model_sha",
		.help = "Pointer to the revision of the model's files; a change is model_drift." },
	{ POINTER(state), .example = "/data/*/status/value",
		.help = "Pointer to the model's state. Without it a listed model is ready." },
	{ POINTER(version), .example = "/models/*/digest",
		.help = "Pointer to the model's version; a change is model_drift." },
	{ POINTER(why), .example = "/*/reason",
		.help = "Pointer to the server's words on a state, for the detail." },
	CONF_END,
};

int model_list_check(struct conf_scope *scope, const struct model_list *list, const char *key)
{
	char name[64];

	if ((!list->path || !list->ids) && conf_is_partial(scope))
		return -EINVAL;
	if (!list->path || !list->ids)
		return conf_error(scope, conf_node(scope, key), "needs path and ids");
	for (size_t i = 0; i < list->aliases.n; i++) {
		(void)snprintf(name, sizeof name, "%s.aliases", key);
		if (!json_pointer_is_valid(list->aliases.items[i]))
			return conf_error(scope, conf_node(scope, name),
				"expected JSON pointers like /data/*/root");
	}
	(void)snprintf(name, sizeof name, "%s.next", key);
	if (list->next && !list->next_parameter && !conf_is_partial(scope))
		return conf_error(scope, conf_node(scope, name), "needs next_parameter");
	return 0;
}

/* ---- names ---- */

static size_t without_suffix(const char *name, size_t len)
{
	static const char *const suffixes[] = { ":latest", ".gguf" };

	for (size_t i = 0; i < array_size(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && memcmp(name + len - n, suffixes[i], n) == 0)
			return len - n;
	}
	return len;
}

static const char *without_prefix(const char *name, const char *prefix)
{
	size_t n = prefix ? strlen(prefix) : 0;

	return n > 0 && strncmp(name, prefix, n) == 0 && name[n] != '\0' ? name + n : name;
}

bool model_name_matches(const char *wanted, const char *served)
{
	const char *wanted_base, *served_base;
	size_t wanted_len, served_len;

	wanted = without_prefix(wanted, "models/");
	served = without_prefix(served, "models/");
	wanted_base = strrchr(wanted, '/');
	served_base = strrchr(served, '/');
	if (wanted_base && !served_base)
		wanted = wanted_base + 1;
	if (served_base && !wanted_base)
		served = served_base + 1;
	wanted_len = without_suffix(wanted, strlen(wanted));
	served_len = without_suffix(served, strlen(served));
	return wanted_len > 0 && wanted_len == served_len &&
	       memcmp(wanted, served, wanted_len) == 0;
}

/* ---- walking over a page ---- */

struct walk {
	const char *ids;
	size_t after[MODEL_LIST_MAX_STARS + 1];          /* where ids goes on after its k-th * */
	const struct json *at[MODEL_LIST_MAX_STARS + 1]; /* the k-th * now; 0 = the page */
	size_t n_stars, depth;
	/* For each model; at is complete. False ends the walk. */
	bool (*on_model)(struct walk *walk, const struct json *id);
	void *ctx;
	size_t models;
	bool is_ended;
};

/* Notes where a pointer goes on after each segment *; returns how many there are. */
static size_t find_stars(const char *pointer, size_t after[static MODEL_LIST_MAX_STARS + 1])
{
	size_t n = 0;

	after[0] = 0;
	for (size_t i = 0; pointer[i] != '\0' && n < MODEL_LIST_MAX_STARS; i++) {
		if (pointer[i] == '/' && pointer[i + 1] == '*' &&
			(pointer[i + 2] == '/' || pointer[i + 2] == '\0'))
			after[++n] = i + 2;
	}
	return n;
}

/* Calls visit for what a pointer names that belongs to the model in hand. */
static void find_beside(const struct walk *walk, const char *pointer,
	bool (*visit)(void *ctx, const struct json *value), void *ctx)
{
	size_t after[MODEL_LIST_MAX_STARS + 1];
	size_t n_stars = find_stars(pointer, after);
	size_t shared = 0;

	for (size_t k = 1; k <= min_of(n_stars, walk->n_stars); k++) {
		if (after[k] == walk->after[k] && memcmp(pointer, walk->ids, after[k]) == 0)
			shared = k;
	}
	(void)json_find(walk->at[shared], pointer + after[shared], visit, ctx);
}

static bool keep_first(void *ctx, const struct json *value)
{
	*(const struct json **)ctx = value;
	return false;
}

static const struct json *value_beside(const struct walk *walk, const char *pointer)
{
	const struct json *found = NULL;

	if (pointer)
		find_beside(walk, pointer, keep_first, &found);
	return found;
}

/* Goes from one element to those of the next * in it, MODEL_LIST_MAX_STARS deep at most. */
static bool descend(void *ctx, const struct json *value)
{
	struct walk *walk = ctx;
	char part[MODEL_LIST_MAX_POINTER + 1];
	size_t from = walk->after[walk->depth];
	const struct json *id;
	size_t len;

	walk->at[walk->depth] = value;
	if (walk->depth == walk->n_stars) {
		id = json_at(value, walk->ids + from);
		if (!id || json_kind(id) == JSON_NULL)
			return true;
		walk->models++;
		walk->is_ended = !walk->on_model(walk, id);
		return !walk->is_ended;
	}
	len = walk->after[walk->depth + 1] - from;
	memcpy(part, walk->ids + from, len);
	part[len] = '\0';
	walk->depth++;
	(void)json_find(value, part, descend, walk);
	walk->depth--;
	return !walk->is_ended;
}

static size_t walk_models(struct walk *walk, const struct model_list *list, const struct json *page)
{
	walk->ids = list->ids;
	walk->n_stars = find_stars(list->ids, walk->after);
	(void)descend(walk, page);
	return walk->models;
}

/* A scalar as text on one line; "" for a list or mapping. */
static void copy_text(const struct json *value, char *text, size_t size)
{
	size_t len = 0;
	const char *from;

	text[0] = '\0';
	if (!value || json_kind(value) == JSON_ARRAY || json_kind(value) == JSON_OBJECT)
		return;
	from = json_string(value, &len);
	if (!from) {
		from = json_text(value);
		len = strlen(from);
	}
	(void)sanitise(text, size, from, len);
}

/* As copy_text, but what says nothing is "". */
static void copy_fact(const struct json *value, char *text, size_t size)
{
	if (value && json_kind(value) == JSON_NULL)
		text[0] = '\0';
	else
		copy_text(value, text, size);
}

/* ---- the wanted models ---- */

static bool is_listed(const struct conf_strings *words, const char *text, bool is_null)
{
	for (size_t i = 0; i < words->n; i++) {
		if (strcmp(words->items[i], text) == 0 ||
			(strcmp(words->items[i], "*") == 0 && !is_null))
			return true;
	}
	return false;
}

static enum model_state state_of(
	const struct model_list *list, const struct walk *walk, const char *text)
{
	const struct json *state = value_beside(walk, list->state);
	const struct json *failure = value_beside(walk, list->failure);
	bool has_failed = false;

	const struct {
		const struct conf_strings *words;
		enum model_state state;
	} lists[] = {
		{ &list->failed, MODEL_FAILED },
		{ &list->loading, MODEL_LOADING },
		{ &list->cold, MODEL_COLD },
		{ &list->ready, MODEL_READY },
	};

	if (failure && json_boolean(failure, &has_failed) && has_failed)
		return MODEL_FAILED;
	if (!list->state)
		return MODEL_READY;
	if (!state)
		return list->ready.n > 0 ? MODEL_COLD : MODEL_READY;
	for (size_t i = 0; i < array_size(lists); i++) {
		if (is_listed(lists[i].words, text, json_kind(state) == JSON_NULL))
			return lists[i].state;
	}
	return list->ready.n > 0 ? MODEL_FAILED : MODEL_READY;
}

static void read_facts(const struct walk *walk, const struct model_list *list,
	const struct json *id, struct model_facts *facts)
{
	copy_fact(id, facts->id, sizeof facts->id);
	copy_text(value_beside(walk, list->state), facts->state_text, sizeof facts->state_text);
	copy_fact(value_beside(walk, list->why), facts->why, sizeof facts->why);
	copy_fact(value_beside(walk, list->version), facts->version, sizeof facts->version);
	copy_fact(value_beside(walk, list->revision), facts->revision, sizeof facts->revision);
	copy_fact(value_beside(walk, list->context_length), facts->context_length,
		sizeof facts->context_length);
	facts->state = state_of(list, walk, facts->state_text);
}

/* A page may list many thousands, and many may be wanted: only names of equal keys are compared. */
static uint64_t key_of(const char *name)
{
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	return hash_bytes(base, without_suffix(base, strlen(base)), 0);
}

void wanted_model_init(struct wanted_model *wanted, const char *name)
{
	*wanted = (struct wanted_model){
		.name = name,
		.key = key_of(name),
		.facts = { .state = MODEL_ABSENT },
	};
}

struct search {
	const struct model_list *list;
	struct wanted_model *wanted;
	size_t n;
	/* the model in hand */
	const struct walk *walk;
	const struct json *id;
};

static void note_match(const struct search *search, struct model_facts *known)
{
	struct model_facts facts;

	read_facts(search->walk, search->list, search->id, &facts);
	if (known->state == MODEL_ABSENT || facts.state == MODEL_READY)
		*known = facts;
}

/* One of the names of the model in hand. */
static bool match_name(void *ctx, const struct json *value)
{
	const struct search *search = ctx;
	size_t len;
	const char *name = json_string(value, &len);
	uint64_t key;

	if (!name)
		return true;
	name = without_prefix(name, search->list->id_prefix);
	key = key_of(name);
	for (size_t i = 0; i < search->n; i++) {
		struct wanted_model *wanted = &search->wanted[i];

		if (wanted->key == key && wanted->facts.state != MODEL_READY &&
			model_name_matches(wanted->name, name))
			note_match(search, &wanted->facts);
	}
	return true;
}

static bool look_up(struct walk *walk, const struct json *id)
{
	struct search *search = walk->ctx;
	const struct conf_strings *aliases = &search->list->aliases;

	search->walk = walk;
	search->id = id;
	(void)match_name(search, id);
	for (size_t i = 0; i < aliases->n; i++)
		find_beside(walk, aliases->items[i], match_name, search);
	return true;
}

bool model_list_is_there(const struct model_list *list, const struct json *page)
{
	char pointer[MODEL_LIST_MAX_POINTER + 1];
	const char *star = strstr(list->ids, "/*");
	size_t len = star ? (size_t)(star - list->ids) : strlen(list->ids);
	const struct json *value;

	must(len < sizeof pointer);
	memcpy(pointer, list->ids, len);
	pointer[len] = '\0';
	value = json_at(page, pointer);
	return value &&
	       (!star || json_kind(value) == JSON_ARRAY || json_kind(value) == JSON_OBJECT);
}

size_t model_list_find(const struct model_list *list, const struct json *page,
	struct wanted_model *wanted, size_t n)
{
	struct search search = { .list = list, .wanted = wanted, .n = n };
	struct walk walk = { .on_model = look_up, .ctx = &search };

	return walk_models(&walk, list, page);
}

/* ---- all models ---- */

struct naming {
	struct sbuf *out;
	size_t max;
};

static bool add_name(struct walk *walk, const struct json *id)
{
	const struct naming *naming = walk->ctx;
	char name[80];

	if (walk->models > naming->max) {
		sbuf_puts(naming->out, " …");
		return false;
	}
	copy_text(id, name, sizeof name);
	sbuf_printf(naming->out, "%s%s", walk->models > 1 ? ", " : "", name);
	return true;
}

void model_list_names(
	const struct model_list *list, const struct json *page, size_t max, struct sbuf *out)
{
	struct naming naming = { .out = out, .max = max };
	struct walk walk = { .on_model = add_name, .ctx = &naming };

	(void)walk_models(&walk, list, page);
}

bool model_list_next(
	const struct model_list *list, const struct json *page, struct sbuf *ret_cursor)
{
	const struct json *more = list->more ? json_at(page, list->more) : NULL;
	const struct json *next = list->next ? json_at(page, list->next) : NULL;
	bool has_more = true;
	size_t len;
	const char *cursor;

	if (!next || json_kind(next) == JSON_NULL)
		return false;
	if (list->more && (!more || json_kind(more) == JSON_NULL ||
				  (json_boolean(more, &has_more) && !has_more)))
		return false;
	sbuf_clear(ret_cursor);
	cursor = json_string(next, &len);
	if (cursor)
		sbuf_add(ret_cursor, cursor, len);
	else if (json_kind(next) == JSON_NUMBER)
		sbuf_puts(ret_cursor, json_text(next));
	return ret_cursor->len > 0 && !ret_cursor->failed;
}

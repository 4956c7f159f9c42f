/* SPDX-License-Identifier: MIT */
/*
 * From a server's metrics to our words. Pure; the load check feeds it while a scrape comes in.
 *
 * Client libraries disagree on whether a counter's name ends with _total, and change their minds
 * between versions: both forms of a name are the same metric.
 */
#include "modelhealth/core/loadroles.h"

#include "modelhealth/core/confcustom.h"

#include <errno.h>
#include <math.h>

static const char total_suffix[] = "_total";

static bool has_suffix(const char *name, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);

	return len > n && memcmp(name + len - n, suffix, n) == 0;
}

static size_t stem_of(const char *name, size_t len)
{
	return has_suffix(name, len, total_suffix) ? len - strlen(total_suffix) : len;
}

/* ---- the keys ---- */

struct selector {
	struct arena *arena;
	struct metric_name *item;
	bool is_lost; /* memory is out */
};

static void keep_selector(void *ctx, const struct promtext_sample *sample)
{
	struct selector *selector = ctx;
	struct metric_name *item = selector->item;
	struct promtext_label *labels =
		arena_calloc(selector->arena, sample->n_labels + 1, sizeof *labels);

	item->name = arena_strdup(selector->arena, sample->name);
	item->stem = stem_of(sample->name, strlen(sample->name));
	item->n_labels = sample->n_labels;
	item->labels = labels;
	selector->is_lost = !labels || !item->name;
	for (size_t i = 0; i < sample->n_labels && !selector->is_lost; i++) {
		labels[i].name = arena_strdup(selector->arena, sample->labels[i].name);
		labels[i].value = arena_strdup(selector->arena, sample->labels[i].value);
		selector->is_lost = !labels[i].name || !labels[i].value;
	}
}

/* A selector is a sample without its number, so the reader of samples reads it. */
static int parse_name(struct conf_scope *scope, const struct node *node, struct metric_name *item)
{
	struct selector selector = { .arena = conf_arena(scope), .item = item };
	struct promtext reader = { .on_sample = keep_selector, .ctx = &selector };

	if (node->type == NODE_SCALAR && !strpbrk(node->text, "\r\n#")) {
		promtext_push(&reader, node->text, strlen(node->text));
		promtext_push(&reader, " 0\n", 3);
		promtext_end(&reader);
	}
	if (selector.is_lost)
		return -ENOMEM;
	return item->name ? 0
			  : conf_error(scope, node,
				    "expected the name of a metric like vllm:num_requests_running "
				    "or name{label=\"value\"}, got %s",
				    conf_got(scope, node));
}

static int parse_names(struct conf_scope *scope, const struct node *node, void *field)
{
	struct role_names *names = field;
	bool is_list = node->type == NODE_SEQUENCE;
	size_t n = is_list ? node->n_children : 1;
	struct metric_name *items;
	int rc = 0;

	if (n > LOAD_ROLE_MAX_NAMES)
		return conf_error(
			scope, node, "at most %d names are allowed here", LOAD_ROLE_MAX_NAMES);
	items = arena_calloc(conf_arena(scope), n + 1, sizeof *items);
	if (!items)
		return -ENOMEM;
	if (is_list) {
		n = 0;
		for (const struct node *item = node->first_child; item; item = item->next) {
			int r = parse_name(scope, item, &items[n++]);

			if (r < 0)
				rc = r;
		}
	} else {
		rc = parse_name(scope, node, &items[0]);
	}
	*names = (struct role_names){ .source = conf_source(scope, node), .items = items, .n = n };
	return rc == 0 && !names->source ? -ENOMEM : rc;
}

static const struct conf_custom names_custom = {
	.parse = parse_names,
	.print = conf_print_source,
	.schema = "{ \"type\": [ \"string\", \"array\" ], \"items\": { \"type\": \"string\" } }",
	.shared_size = sizeof(struct role_names),
};

#define ROLE(role_name, role_index, role_example, role_help)                     \
	{                                                                        \
		.name = role_name, .type = CONF_CUSTOM, .custom = &names_custom, \
		.effect = EFFECT_RESTART,                                        \
		.offset = offsetof(struct load_roles, role) +                    \
			  (role_index) * sizeof(struct role_names),              \
		.example = role_example, .help = role_help                       \
	}

const struct conf_key load_role_keys[] = {
	ROLE("generation_tokens", ROLE_GENERATION_TOKENS, "[ \"vllm:generation_tokens_total\" ]",
		"Counter of tokens that the models wrote."),
	ROLE("itl", ROLE_ITL, "[ \"vllm:inter_token_latency_seconds\" ]",
		"Histogram of the time between two tokens; its mean between two scrapes is shown. "
		"Seconds, unless the name ends with _ms or _us."),
	ROLE("kv_capacity", ROLE_KV_CAPACITY, "[ tgi_batch_max_total_tokens ]",
		"Size of the cache for keys and values, in the unit of kv_used."),
	ROLE("kv_usage", ROLE_KV_USAGE,
		"[ \"vllm:kv_cache_usage_perc\", \"vllm:gpu_cache_usage_perc\" ]",
		"Share of the cache for keys and values that is in use, 0 to 1; of several series "
		"the largest."),
	ROLE("kv_used", ROLE_KV_USED, "[ tgi_batch_current_max_tokens ]",
		"What is in use of kv_capacity, where no metric tells the share."),
	ROLE("progress", ROLE_PROGRESS,
		"[ \"vllm:generation_tokens_total\", \"vllm:prompt_tokens_total\" ]",
		"Counters that grow whenever work is done, all added up; without them the tokens "
		"are taken. They prove that a busy server works, and that a stalled one does not: "
		"one that grows only when a request ends would call a long request a stall."),
	ROLE("prompt_tokens", ROLE_PROMPT_TOKENS, "[ \"vllm:prompt_tokens_total\" ]",
		"Counter of tokens that the models read."),
	ROLE("running", ROLE_RUNNING, "[ \"vllm:num_requests_running\" ]",
		"Requests being worked on."),
	ROLE("ttft", ROLE_TTFT, "[ \"vllm:time_to_first_token_seconds\" ]",
		"Histogram of the time to the first token, as itl."),
	ROLE("waiting", ROLE_WAITING, "[ \"vllm:num_requests_waiting\" ]",
		"Requests in the queue; of a histogram the mean between two scrapes."),
	CONF_END,
};

/* ---- reading ---- */

/* What a sample's name is to a configured one. */
enum relation {
	RELATION_NONE,
	RELATION_SAME,
	RELATION_VARIANT, /* the same with or without _total */
	RELATION_SUM,
	RELATION_COUNT,
};

static enum relation relate(const struct metric_name *item, const char *name, size_t len)
{
	static const struct {
		const char *suffix;
		enum relation relation;
	} suffixes[] = {
		{ "", RELATION_SAME },
		{ "_sum", RELATION_SUM },
		{ "_count", RELATION_COUNT },
	};

	size_t own = strlen(item->name);

	if (len < item->stem || memcmp(name, item->name, item->stem) != 0)
		return RELATION_NONE;
	for (size_t i = 0; i < array_size(suffixes); i++) {
		if (len == own + strlen(suffixes[i].suffix) && memcmp(name, item->name, own) == 0 &&
			memcmp(name + own, suffixes[i].suffix, len - own) == 0)
			return suffixes[i].relation;
	}
	return stem_of(name, len) == item->stem ? RELATION_VARIANT : RELATION_NONE;
}

bool load_reader_wants(void *reader, const char *name, size_t len)
{
	const struct load_reader *own = reader;

	for (size_t role = 0; role < LOAD_ROLE_N; role++) {
		const struct role_names *names = &own->roles->role[role];

		for (size_t i = 0; i < names->n; i++) {
			if (relate(&names->items[i], name, len) != RELATION_NONE)
				return true;
		}
	}
	return false;
}

static bool has_label(const struct promtext_sample *sample, const struct promtext_label *label)
{
	for (size_t i = 0; i < sample->n_labels; i++) {
		if (strcmp(sample->labels[i].name, label->name) == 0)
			return strcmp(sample->labels[i].value, label->value) == 0;
	}
	return false;
}

static bool is_selected(const struct metric_name *item, const struct promtext_sample *sample)
{
	for (size_t i = 0; i < item->n_labels; i++) {
		if (!has_label(sample, &item->labels[i]))
			return false;
	}
	return true;
}

static void add(enum load_role role, double value, bool *is_seen, double *total)
{
	if (role == ROLE_KV_USAGE)
		*total = *is_seen ? max_of(*total, value) : value;
	else
		*total += value;
	*is_seen = true;
}

static void add_to(
	struct metric_sum *sum, enum load_role role, enum relation relation, double value)
{
	switch (relation) {
	case RELATION_NONE:
		break;
	case RELATION_SAME:
		add(role, value, &sum->is_seen, &sum->value);
		break;
	case RELATION_VARIANT:
		add(role, value, &sum->is_variant_seen, &sum->variant);
		break;
	case RELATION_SUM:
		add(ROLE_TTFT, value, &sum->has_sum, &sum->sum);
		break;
	case RELATION_COUNT:
		add(ROLE_TTFT, value, &sum->has_count, &sum->count);
		break;
	}
}

void load_reader_add(void *reader, const struct promtext_sample *sample)
{
	struct load_reader *own = reader;
	size_t len = strlen(sample->name);

	if (!isfinite(sample->value))
		return;
	for (size_t role = 0; role < LOAD_ROLE_N; role++) {
		const struct role_names *names = &own->roles->role[role];

		for (size_t i = 0; i < names->n; i++) {
			enum relation relation = relate(&names->items[i], sample->name, len);

			if (relation != RELATION_NONE && is_selected(&names->items[i], sample))
				add_to(&own->sums[role][i], (enum load_role)role, relation,
					sample->value);
		}
	}
}

/* ---- what it comes to ---- */

static double unit_of(const char *name)
{
	static const struct {
		const char *suffix;
		double seconds;
	} units[] = {
		{ "_ms", 1e-3 },
		{ "_milliseconds", 1e-3 },
		{ "_us", 1e-6 },
		{ "_microseconds", 1e-6 },
	};

	for (size_t i = 0; i < array_size(units); i++) {
		if (has_suffix(name, strlen(name), units[i].suffix))
			return units[i].seconds;
	}
	return 1;
}

static void settle_role(
	const struct load_reader *reader, enum load_role role, struct load_scrape *scrape)
{
	const struct role_names *names = &reader->roles->role[role];
	uint32_t bit = 1u << role;

	for (size_t i = 0; i < names->n; i++) {
		const struct metric_sum *sum = &reader->sums[role][i];

		if (sum->is_seen || sum->is_variant_seen) {
			scrape->value[role] += sum->is_seen ? sum->value : sum->variant;
			scrape->seen |= bit;
		} else if (sum->has_sum && sum->has_count && !scrape->mean[role].is_seen) {
			scrape->mean[role] = (struct role_mean){
				.is_seen = true,
				.item = i,
				.sum = sum->sum,
				.count = sum->count,
				.seconds = role == ROLE_WAITING ? 1 : unit_of(names->items[i].name),
			};
		} else {
			continue;
		}
		if (role != ROLE_PROGRESS)
			return;
	}
}

void load_reader_end(const struct load_reader *reader, struct load_scrape *ret_scrape)
{
	*ret_scrape = (struct load_scrape){ 0 };
	for (size_t role = 0; role < LOAD_ROLE_N; role++)
		settle_role(reader, (enum load_role)role, ret_scrape);
}

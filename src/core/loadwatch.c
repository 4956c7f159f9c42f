/* SPDX-License-Identifier: MIT */
/*
 * The judgement of the load check. A single scrape proves little: requests come and go between
 * two. So each rule asks for a fact that held in every scrape for its time, and its clock starts
 * at the first scrape that showed it, never before.
 */
#include "modelhealth/core/loadwatch.h"

#include "modelhealth/core/confcustom.h"

#include <errno.h>
#include <math.h>

/* ---- the keys ---- */

static int parse_above(struct conf_scope *scope, const struct node *node, void *field)
{
	double above;

	if (node->type != NODE_SCALAR || !conf_read_number(node->text, &above) || above < 0)
		return conf_error(
			scope, node, "expected a number like 0.95, got %s", conf_got(scope, node));
	*(double *)field = above;
	return 0;
}

static void print_above(struct sbuf *out, const void *field)
{
	sbuf_printf(out, "%g", *(const double *)field);
}

static const struct conf_custom above_custom = {
	.parse = parse_above,
	.print = print_above,
	.schema = "{ \"type\": \"number\", \"minimum\": 0 }",
};

#define LIMIT_KEYS(default_above, above_help)                                                              \
	{                                                                                                  \
		{ .name = "above",                                                                         \
			.type = CONF_CUSTOM,                                                               \
			.custom = &above_custom,                                                           \
			.fallback = default_above,                                                         \
			.effect = EFFECT_UPDATE,                                                           \
			.offset = offsetof(struct load_limit, above),                                      \
			.help = above_help },                                                              \
			{ .name = "for",                                                                   \
				.type = CONF_DURATION,                                                     \
				.fallback = "30s",                                                         \
				.min = "0",                                                                \
				.max = "1d",                                                               \
				.effect = EFFECT_UPDATE,                                                   \
				.offset = offsetof(struct load_limit, lasting),                            \
				.help = "It was so in every scrape for this long; 0 = in a single one." }, \
			CONF_END,                                                                          \
	}

static const struct conf_key waiting_keys[] = LIMIT_KEYS("0", "More requests wait than this.");
static const struct conf_key kv_usage_keys[] =
	LIMIT_KEYS("0.95", "More of the cache is in use than this share of it.");

const struct conf_key load_limit_keys[] = {
	{ .name = "kv_usage",
		.type = CONF_SECTION,
		.section = kv_usage_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct load_limits, kv_usage),
		.help = "The cache for keys and values is nearly full." },
	{ .name = "waiting",
		.type = CONF_SECTION,
		.section = waiting_keys,
		.effect = EFFECT_UPDATE,
		.offset = offsetof(struct load_limits, waiting),
		.help = "Requests wait in the queue." },
	CONF_END,
};

/* ---- values ---- */

static bool has(const struct load_scrape *scrape, enum load_role role)
{
	return (scrape->seen & (1u << role)) != 0;
}

static void tell(struct server_load *load, enum load_value value, double number)
{
	if (!isfinite(number))
		return;
	load->value[value] = number;
	load->seen |= 1u << value;
}

/* The mean of what a histogram took in since the last scrape. */
static void tell_mean(const struct load_watch *watch, const struct load_scrape *scrape,
	enum load_role role, enum load_value value, struct server_load *load)
{
	const struct role_mean *now = &scrape->mean[role];
	const struct role_mean *before = &watch->last.mean[role];

	if (watch->last_at == 0 || !now->is_seen || !before->is_seen || now->item != before->item)
		return;
	if (now->count > before->count && now->sum >= before->sum)
		tell(load, value,
			(now->sum - before->sum) / (now->count - before->count) * now->seconds);
	else if (role == ROLE_WAITING && now->count >= before->count)
		tell(load, value, 0); /* nothing has been queued */
}

/* Servers that tell tokens alone have those for progress. */
static bool find_progress(const struct load_scrape *scrape, double *ret_progress)
{
	bool has_tokens = has(scrape, ROLE_PROMPT_TOKENS) || has(scrape, ROLE_GENERATION_TOKENS);

	if (!has(scrape, ROLE_PROGRESS) && !has_tokens)
		return false;
	*ret_progress = has(scrape, ROLE_PROGRESS) ? scrape->value[ROLE_PROGRESS]
						   : scrape->value[ROLE_PROMPT_TOKENS] +
							     scrape->value[ROLE_GENERATION_TOKENS];
	return true;
}

static void tell_values(
	const struct load_watch *watch, const struct load_scrape *scrape, struct server_load *load)
{
	static const struct {
		enum load_role role;
		enum load_value value;
	} plain[] = {
		{ ROLE_RUNNING, LOAD_RUNNING },
		{ ROLE_WAITING, LOAD_WAITING },
		{ ROLE_KV_USAGE, LOAD_KV_USAGE },
		{ ROLE_PROMPT_TOKENS, LOAD_PROMPT_TOKENS },
		{ ROLE_GENERATION_TOKENS, LOAD_GENERATION_TOKENS },
		{ ROLE_TTFT, LOAD_TTFT },
		{ ROLE_ITL, LOAD_ITL },
	};

	double progress;

	for (size_t i = 0; i < array_size(plain); i++) {
		if (has(scrape, plain[i].role))
			tell(load, plain[i].value, scrape->value[plain[i].role]);
	}
	if (!has(scrape, ROLE_KV_USAGE) && has(scrape, ROLE_KV_USED) &&
		has(scrape, ROLE_KV_CAPACITY) && scrape->value[ROLE_KV_CAPACITY] > 0)
		tell(load, LOAD_KV_USAGE,
			scrape->value[ROLE_KV_USED] / scrape->value[ROLE_KV_CAPACITY]);
	tell_mean(watch, scrape, ROLE_WAITING, LOAD_WAITING, load);
	tell_mean(watch, scrape, ROLE_TTFT, LOAD_TTFT, load);
	tell_mean(watch, scrape, ROLE_ITL, LOAD_ITL, load);
	if (find_progress(scrape, &progress))
		tell(load, LOAD_PROGRESS, progress);
	load->is_full = load_has(load, LOAD_WAITING) && load->value[LOAD_WAITING] >= 1;
}

/* ---- motion ---- */

static bool is_above_zero(const struct server_load *load, enum load_value value)
{
	return load_has(load, value) && load->value[value] > 0;
}

static bool has_work(const struct server_load *load)
{
	return is_above_zero(load, LOAD_RUNNING) || is_above_zero(load, LOAD_WAITING);
}

static enum load_motion motion_of(const struct load_watch *watch, const struct server_load *load)
{
	double before, now = load->value[LOAD_PROGRESS];
	bool is_comparable = watch->last_at != 0 && load_has(load, LOAD_PROGRESS) &&
			     find_progress(&watch->last, &before);

	if (is_comparable && now > before)
		return LOAD_ADVANCING;
	if (is_comparable && now < before)
		return LOAD_UNKNOWN_MOTION;
	if (has_work(load))
		return is_comparable ? LOAD_FLAT : LOAD_UNKNOWN_MOTION;
	return load_has(load, LOAD_RUNNING) ? LOAD_IDLE : LOAD_UNKNOWN_MOTION;
}

/* ---- clocks ---- */

/* Starts at the first scrape where the fact holds, stops where it does not. */
static void run_clock(usec_t *since, bool holds, usec_t now)
{
	if (!holds)
		*since = 0;
	else if (*since == 0)
		*since = now;
}

static void run_clocks(struct load_watch *watch, const struct load_limits *limits,
	const struct server_load *load, usec_t now)
{
	bool waits =
		load_has(load, LOAD_WAITING) && load->value[LOAD_WAITING] > limits->waiting.above;
	bool is_kv_full = load_has(load, LOAD_KV_USAGE) &&
			  load->value[LOAD_KV_USAGE] > limits->kv_usage.above;

	if (load->motion != LOAD_FLAT)
		watch->flat_since = 0;
	run_clock(&watch->flat_since, has_work(load) && load_has(load, LOAD_PROGRESS), now);
	run_clock(&watch->waiting_since, waits, now);
	run_clock(&watch->kv_since, is_kv_full, now);
}

static bool has_lasted(usec_t since, usec_t lasting, usec_t now)
{
	return since != 0 && now - since >= lasting;
}

static void describe_time(usec_t since, usec_t now, struct sbuf *out)
{
	sbuf_put_u64(out, (now - since) / USEC_PER_SEC);
	sbuf_puts(out, " s");
}

static void set_stalled(const struct load_watch *watch, usec_t now, struct result *result)
{
	_cleanup_(sbuf_fini) struct sbuf detail = SBUF_INIT;
	const struct server_load *load = &result->load;

	if (load_has(load, LOAD_RUNNING))
		sbuf_printf(&detail, "%.0f running, ", load->value[LOAD_RUNNING]);
	if (load_has(load, LOAD_WAITING))
		sbuf_printf(&detail, "%.0f waiting, ", load->value[LOAD_WAITING]);
	sbuf_puts(&detail, "no progress for ");
	describe_time(watch->flat_since, now, &detail);
	result_set(result, REASON_STALLED, "%s", sbuf_str(&detail));
}

static void set_overloaded(const struct load_watch *watch, const struct load_limits *limits,
	usec_t now, struct result *result)
{
	_cleanup_(sbuf_fini) struct sbuf detail = SBUF_INIT;
	bool waits = has_lasted(watch->waiting_since, limits->waiting.lasting, now);
	bool is_kv_full = has_lasted(watch->kv_since, limits->kv_usage.lasting, now);

	if (!waits && !is_kv_full)
		return;
	if (waits) {
		sbuf_printf(&detail, "%.0f waiting, more than %g for ",
			result->load.value[LOAD_WAITING], limits->waiting.above);
		describe_time(watch->waiting_since, now, &detail);
	}
	if (is_kv_full) {
		sbuf_printf(&detail, "%sKV cache %.1f %% full, more than %g %% for ",
			waits ? "; " : "", result->load.value[LOAD_KV_USAGE] * 100,
			limits->kv_usage.above * 100);
		describe_time(watch->kv_since, now, &detail);
	}
	result_set(result, REASON_OVERLOADED, "%s", sbuf_str(&detail));
}

/* ---- one scrape ---- */

void load_watch_restart(struct load_watch *watch)
{
	watch->flat_since = 0;
	watch->waiting_since = 0;
	watch->kv_since = 0;
}

static bool is_empty(const struct load_scrape *scrape)
{
	bool has_mean = false;

	for (size_t role = 0; role < LOAD_ROLE_N; role++)
		has_mean = has_mean || scrape->mean[role].is_seen;
	return scrape->seen == 0 && !has_mean;
}

bool load_watch_step(struct load_watch *watch, const struct load_rules *rules,
	const struct load_scrape *scrape, usec_t now, struct result *result)
{
	struct server_load *load = &result->load;

	if (is_empty(scrape))
		return false;
	if (watch->last_at != 0 && now - watch->last_at > rules->gap_max)
		load_watch_restart(watch);
	*load = (struct server_load){ 0 };
	tell_values(watch, scrape, load);
	load->motion = motion_of(watch, load);
	run_clocks(watch, rules->limits, load, now);
	watch->last = *scrape;
	watch->last_at = now;
	if (load->motion == LOAD_FLAT && has_lasted(watch->flat_since, rules->stall_after, now))
		set_stalled(watch, now, result);
	else
		set_overloaded(watch, rules->limits, now, result);
	return true;
}

/* ---- across processes ---- */

enum kept_time {
	KEPT_LAST,
	KEPT_FLAT,
	KEPT_WAITING,
	KEPT_KV,
};

enum kept_value {
	KEPT_HAS_PROGRESS,
	KEPT_PROGRESS,
};

void load_watch_keep(const struct load_watch *watch, struct memory *ret_memory)
{
	struct memory memory = { .at = {
					 [KEPT_LAST] = watch->last_at,
					 [KEPT_FLAT] = watch->flat_since,
					 [KEPT_WAITING] = watch->waiting_since,
					 [KEPT_KV] = watch->kv_since,
				 } };
	double progress;

	if (find_progress(&watch->last, &progress) && isfinite(progress)) {
		memory.value[KEPT_HAS_PROGRESS] = 1;
		memory.value[KEPT_PROGRESS] = progress;
	}
	*ret_memory = memory;
}

void load_watch_recall(struct load_watch *watch, const struct memory *memory)
{
	*watch = (struct load_watch){
		.last_at = memory->at[KEPT_LAST],
		.flat_since = memory->at[KEPT_FLAT],
		.waiting_since = memory->at[KEPT_WAITING],
		.kv_since = memory->at[KEPT_KV],
	};
	if (memory->value[KEPT_HAS_PROGRESS] > 0) {
		watch->last.seen = 1u << ROLE_PROGRESS;
		watch->last.value[ROLE_PROGRESS] = memory->value[KEPT_PROGRESS];
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * The JSON of the status port: totals, the list and one endpoint. Field names are API.
 */
#include "private.h"

#include "modelhealth/core/check.h"
#include "modelhealth/text/write.h"

#include <math.h>
#include <stdio.h>

enum {
	SCHEMA = 1,
	/* An endpoint costs some 10 us; this keeps a slice well under a millisecond. */
	JSON_SLICE = 32
};

static void put_string(struct jw *jw, const char *key, const char *value)
{
	jw_key(jw, key);
	jw_string(jw, value);
}

static void put_u64(struct jw *jw, const char *key, uint64_t value)
{
	jw_key(jw, key);
	jw_u64(jw, value);
}

static void put_bool(struct jw *jw, const char *key, bool value)
{
	jw_key(jw, key);
	jw_bool(jw, value);
}

static void put_time(struct jw *jw, const char *key, usec_t realtime)
{
	jw_key(jw, key);
	jw_time(jw, realtime);
}

static void put_seconds(struct jw *jw, const char *key, usec_t usec)
{
	jw_key(jw, key);
	jw_seconds(jw, usec);
}

/* ---- one check ---- */

static void put_timings(struct jw *jw, const struct result *result)
{
	/* "queue_seconds" and so on: the tokens belong to core, the unit to this format. */
	static const char *const keys[TIMING_N] = {
		[TIMING_QUEUE] = "queue_seconds",
		[TIMING_DNS] = "dns_seconds",
		[TIMING_CONNECT] = "connect_seconds",
		[TIMING_TLS] = "tls_seconds",
		[TIMING_FIRST_BYTE] = "first_byte_seconds",
		[TIMING_FIRST_TOKEN] = "first_token_seconds",
		[TIMING_TRANSFER] = "transfer_seconds",
		[TIMING_TOTAL] = "total_seconds",
	};

	jw_key(jw, "timings");
	jw_object(jw);
	for (unsigned i = 0; i < TIMING_N; i++)
		if (result_has_timing(result, i))
			put_seconds(jw, keys[i], result->timing[i]);
	jw_object_end(jw);
}

static void put_number(struct jw *jw, const char *key, double value)
{
	char text[32];

	/* No JSON number stands for what is not finite. */
	if (!isfinite(value))
		return;
	(void)snprintf(text, sizeof text, "%.15g", value); /* exact for counters; fits */
	jw_key(jw, key);
	jw_raw(jw, text);
}

static void put_tokens(struct jw *jw, const struct tokens *tokens)
{
	if (tokens->source == TOKENS_NONE)
		return;
	jw_key(jw, "tokens");
	jw_object(jw);
	put_string(jw, "source", tokens->source == TOKENS_REPORTED ? "reported" : "counted");
	if (tokens->prompt > 0)
		put_u64(jw, "prompt", tokens->prompt);
	put_u64(jw, "completion", tokens->completion);
	if (tokens->gaps > 0) {
		put_seconds(jw, "inter_token_mean_seconds", tokens->gap_mean);
		put_seconds(jw, "inter_token_p95_seconds", tokens->gap_p95);
		put_seconds(jw, "inter_token_max_seconds", tokens->gap_max);
	}
	if (tokens->per_second > 0)
		put_number(jw, "per_second", tokens->per_second);
	jw_object_end(jw);
}

static void put_load(struct jw *jw, const struct server_load *load)
{
	static const char *const keys[LOAD_VALUE_N] = {
		[LOAD_RUNNING] = "running",
		[LOAD_WAITING] = "waiting",
		[LOAD_KV_USAGE] = "kv_usage",
		[LOAD_PROMPT_TOKENS] = "prompt_tokens_total",
		[LOAD_GENERATION_TOKENS] = "generation_tokens_total",
		[LOAD_PROGRESS] = "progress_total",
		[LOAD_TTFT] = "first_token_seconds",
		[LOAD_ITL] = "inter_token_seconds",
	};

	if (load->seen == 0)
		return;
	jw_key(jw, "load");
	jw_object(jw);
	for (unsigned i = 0; i < LOAD_VALUE_N; i++)
		if (load_has(load, i))
			put_number(jw, keys[i], load->value[i]);
	put_bool(jw, "full", load->is_full);
	jw_object_end(jw);
}

/* The steps of a scenario that were begun. All but the last went well; its status is the result's. */
static void put_steps(struct jw *jw, const struct result *result, const struct check_spec *spec)
{
	if (result->n_steps == 0 || !spec->step_names)
		return;
	jw_key(jw, "steps");
	jw_array(jw);
	for (unsigned i = 0; i < result->n_steps; i++) {
		bool is_last = i + 1u == result->n_steps;

		jw_object(jw);
		put_string(jw, "name", spec->step_names[i]);
		put_seconds(jw, "seconds", result->step_usec[i]);
		put_string(jw, "status", reason_token(is_last ? result->reason : REASON_OK));
		jw_object_end(jw);
	}
	jw_array_end(jw);
}

static void write_result(struct jw *jw, const struct result *result, const struct check_spec *spec)
{
	jw_object(jw);
	put_time(jw, "at", result->at);
	put_string(jw, "verdict", verdict_token(result->verdict));
	put_string(jw, "reason", reason_token(result->reason));
	put_string(jw, "detail", result->detail);
	jw_key(jw, "http_status");
	if (result->http_status != 0)
		jw_u64(jw, result->http_status);
	else
		jw_null(jw);
	put_timings(jw, result);
	put_tokens(jw, &result->tokens);
	put_load(jw, &result->load);
	put_steps(jw, result, spec);
	put_bool(jw, "reused", result->reused);
	put_u64(jw, "attempts", result->attempts);
	put_time(jw, "cert_expires_at", result->cert_expires_at);
	jw_object_end(jw);
}

static void put_percentile(
	struct jw *jw, const char *key, const struct window *window, unsigned percent)
{
	usec_t latency;

	jw_key(jw, key);
	if (window_percentile(window, percent, 0, &latency))
		jw_seconds(jw, latency);
	else
		jw_null(jw);
}

static void put_window(struct jw *jw, const struct window *window)
{
	jw_key(jw, "window");
	jw_object(jw);
	put_u64(jw, "checks", window->n);
	put_u64(jw, "ok", window_ok(window));
	jw_key(jw, "latency_seconds");
	jw_object(jw);
	put_percentile(jw, "p50", window, 50);
	put_percentile(jw, "p95", window, 95);
	put_percentile(jw, "p99", window, 99);
	jw_object_end(jw);
	jw_object_end(jw);
}

static void put_failures(struct jw *jw, const struct window *window, const struct check_spec *spec)
{
	const struct result *failure;

	jw_key(jw, "last_failures");
	jw_array(jw);
	for (unsigned i = 0; (failure = window_failure(window, i)); i++)
		write_result(jw, failure, spec);
	jw_array_end(jw);
}

static void put_streak(struct jw *jw, const struct check_view *check)
{
	jw_key(jw, "streak");
	jw_object(jw);
	put_u64(jw, "good", check->health.good);
	put_u64(jw, "bad", check->health.bad);
	put_u64(jw, "rise", check->spec->health.rise);
	put_u64(jw, "fall", check->spec->health.fall);
	jw_object_end(jw);
}

/* Slots that came to nothing, by why; those that never happened are left out. */
static void put_suppressed(struct jw *jw, const struct check_view *check)
{
	enum suppression now = check->suppressed;

	put_string(jw, "suppressed", now == SUPPRESSED_NOT ? NULL : suppression_token(now));
	jw_key(jw, "suppressed_total");
	jw_object(jw);
	for (enum suppression i = SUPPRESSED_NOT + 1; i < SUPPRESSION_N; i++)
		if (check->suppressed_total[i] > 0)
			put_u64(jw, suppression_token(i), check->suppressed_total[i]);
	jw_object_end(jw);
}

/* What the inferences of a check have cost since this process started. */
static void put_spending(struct jw *jw, const struct spending *spending)
{
	if (!spending)
		return;
	jw_key(jw, "spent");
	jw_object(jw);
	put_u64(jw, "tokens_total", spending->tokens_total);
	put_u64(jw, "requests_total", spending->requests_total);
	jw_object_end(jw);
}

static void write_check(struct jw *jw, const struct check_view *check)
{
	jw_object(jw);
	put_string(jw, "name", check->spec->name);
	put_string(jw, "tier", tier_token(check->spec->tier));
	put_string(jw, "kind", check->spec->kind->name);
	put_string(jw, "state", state_token(check->health.state));
	put_string(jw, "reason", reason_token(check->health.reason));
	put_streak(jw, check);
	put_seconds(jw, "interval_seconds", check->spec->interval);
	put_time(jw, "next_check", check->next_at);
	put_u64(jw, "attempts", check->attempts);
	put_u64(jw, "retries_total", check->retries_total);
	put_u64(jw, "overruns_total", check->overruns_total);
	put_suppressed(jw, check);
	put_spending(jw, check->spending);
	put_bool(jw, "in_flight", check->in_flight);
	jw_key(jw, "last");
	if (check->has_last)
		write_result(jw, &check->last, check->spec);
	else
		jw_null(jw);
	put_window(jw, &check->window);
	put_failures(jw, &check->window, check->spec);
	jw_object_end(jw);
}

/* ---- one endpoint ---- */

static void put_endpoint(struct jw *jw, const struct endpoint_view *endpoint)
{
	const struct endpoint_spec *spec = endpoint->spec;

	put_string(jw, "name", spec->name);
	put_string(jw, "type", spec->type);
	put_string(jw, "group", spec->group);
	jw_key(jw, "labels");
	jw_object(jw);
	for (size_t i = 0; i < spec->n_labels; i++)
		put_string(jw, spec->labels[i].name, spec->labels[i].value);
	jw_object_end(jw);
	put_string(jw, "url", spec->url);
	put_bool(jw, "tls_verify", spec->tls_verify);
	put_string(jw, "state", state_token(endpoint->state));
	put_string(jw, "reason", reason_token(endpoint->reason));
	put_string(jw, "detail", why_text(endpoint));
	put_string(jw, "evidence", endpoint->evidence);
	put_string(
		jw, "decided_by", endpoint->decided_by ? endpoint->decided_by->spec->name : NULL);
	put_time(jw, "since", endpoint->since);
	put_bool(jw, "flapping", endpoint->flapping);
	jw_key(jw, "checks");
	jw_array(jw);
	for (size_t i = 0; i < endpoint->n_checks; i++)
		write_check(jw, endpoint->checks[i]);
	jw_array_end(jw);
}

static enum output_progress render_endpoint(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	const struct endpoint_view *endpoint = find_endpoint(snapshot, query->name);
	struct jw jw = { .out = out };

	(void)cursor;
	if (!endpoint)
		return OUTPUT_NOT_FOUND;
	jw_object(&jw);
	put_u64(&jw, "schema", SCHEMA);
	put_endpoint(&jw, endpoint);
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
	return OUTPUT_DONE;
}

const struct output output_endpoint = {
	.name = "endpoint",
	.path = "/api/v1/endpoints/{name}",
	.mime = "application/json",
	.render = render_endpoint,
};

/* ---- the list ---- */

/* The cursor: which endpoint is next, and whether one has been written. */
static enum output_progress render_endpoints(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	size_t i = *cursor / 2;
	size_t end = min_of(i + JSON_SLICE, snapshot->n_endpoints);
	struct jw jw = { .out = out, .needs_comma = *cursor % 2 == 1 };

	if (!filter_is_valid(query))
		return OUTPUT_BAD_QUERY;
	if (*cursor == 0) {
		jw_object(&jw);
		put_u64(&jw, "schema", SCHEMA);
		put_time(&jw, "generated_at", snapshot->now);
		jw_key(&jw, "endpoints");
		jw_array(&jw);
	}
	for (; i < end; i++) {
		if (!filter_matches(query, snapshot->endpoints[i]))
			continue;
		jw_object(&jw);
		put_endpoint(&jw, snapshot->endpoints[i]);
		jw_object_end(&jw);
	}
	*cursor = i * 2 + (jw.needs_comma ? 1 : 0);
	if (i < snapshot->n_endpoints)
		return OUTPUT_MORE;
	jw_array_end(&jw);
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
	return OUTPUT_DONE;
}

const struct output output_endpoints = {
	.name = "endpoints",
	.path = "/api/v1/endpoints",
	.mime = "application/json",
	.params = filter_params,
	.render = render_endpoints,
};

/* ---- totals ---- */

static void put_totals(struct jw *jw, const struct snapshot *snapshot)
{
	jw_key(jw, "endpoints");
	jw_object(jw);
	put_u64(jw, "total", snapshot->n_endpoints);
	for (unsigned i = 0; i < STATE_N; i++)
		put_u64(jw, state_token(i), snapshot->n_state[i]);
	jw_object_end(jw);
}

static void put_config(struct jw *jw, const struct snapshot *snapshot)
{
	const struct self_view *self = snapshot->self;

	jw_key(jw, "config");
	jw_object(jw);
	put_u64(jw, "generation", snapshot->config->generation);
	put_bool(jw, "last_reload_success", self->reload_ok);
	put_time(jw, "last_reload_at", self->reload_at);
	put_string(jw, "last_reload_error", self->reload_error);
	put_u64(jw, "reloads_total", self->reloads_total);
	put_u64(jw, "reload_failures_total", self->reload_failures_total);
	jw_object_end(jw);
}

static void put_self(struct jw *jw, const struct self_view *self)
{
	jw_key(jw, "self");
	jw_object(jw);
	put_bool(jw, "offline", self->offline);
	put_bool(jw, "first_round_done", self->first_round_done);
	put_u64(jw, "checks_in_flight", self->in_flight);
	put_u64(jw, "checks_queued", self->queued);
	put_u64(jw, "checks_total", self->checks_total);
	put_u64(jw, "checks_lost_total", self->checks_lost_total);
	put_time(jw, "last_check_at", self->last_check_at);
	put_seconds(jw, "lateness_max_seconds", self->lateness_max);
	put_u64(jw, "loop_stalls_total", self->loop_stalls_total);
	put_seconds(jw, "loop_stall_max_seconds", self->loop_stall_max);
	put_u64(jw, "pauses_total", self->pauses_total);
	put_u64(jw, "log_dropped_total", self->log_dropped_total);
	put_u64(jw, "http_requests_total", self->http_requests_total);
	put_u64(jw, "http_rejected_total", self->http_rejected_total);
	put_u64(jw, "http_clients", self->http_clients);
	jw_object_end(jw);
}

static enum output_progress render_status(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	struct jw jw = { .out = out };

	(void)query;
	(void)cursor;
	jw_object(&jw);
	put_u64(&jw, "schema", SCHEMA);
	put_time(&jw, "generated_at", snapshot->now);
	put_string(&jw, "version", MODELHEALTH_VERSION);
	put_time(&jw, "started_at", snapshot->self->started_at);
	put_totals(&jw, snapshot);
	put_config(&jw, snapshot);
	put_self(&jw, snapshot->self);
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
	return OUTPUT_DONE;
}

const struct output output_status = {
	.name = "status",
	.path = "/api/v1/status",
	.mime = "application/json",
	.render = render_status,
};

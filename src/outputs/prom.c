/* SPDX-License-Identifier: MIT */
/*
 * /metrics, in Prometheus' text format 0.0.4 and in OpenMetrics 1.0: a table of families, each
 * written for all endpoints before the next begins, in slices. With 10,000 endpoints this is 400,000
 * lines, so a line is four copies into room that was reserved before, and nothing is formatted. The
 * lines are the same in both formats; families are announced differently.
 */
#include "private.h"

#include "modelhealth/text/write.h"

#include <math.h>
#include <string.h>

enum {
	/* Lines, not endpoints, cost time; this many are some 100 us. */
	PROM_SLICE_LINES = 2000,
	U64_DIGITS = 20
};

/* The unit of the cursor's family part: more endpoints than there can be. */
static const size_t CURSOR_FAMILY = (size_t)1 << 32;

struct family;

/* prom_family or openmetrics_family. */
typedef void announce_fn(struct sbuf *out, const char *name, const char *type, const char *help);

/* A family being written. */
struct writer {
	struct sbuf *out;
	announce_fn *announce;
	const struct family *family;
	struct sbuf prefix; /* name{labels, as far as the lines of one endpoint or check share it */
};

enum scope {
	SCOPE_SELF,     /* one line, or few */
	SCOPE_ENDPOINT, /* for each endpoint */
	SCOPE_CHECK,    /* for each check */
};

struct family {
	const char *name, *type, *help;
	enum scope scope;
	unsigned lines; /* per endpoint or check, about */

	union {
		void (*self)(struct writer *writer, const struct snapshot *snapshot);
		void (*endpoint)(struct writer *writer, const struct endpoint_view *endpoint);
		void (*check)(struct writer *writer, const struct check_view *check);
	};
};

/* ---- lines ---- */

static char *put(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

static char *put_digits(char *to, uint64_t value)
{
	char digits[U64_DIGITS];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return put(to, digits + at, sizeof digits - at);
}

/* prefix, value of the last label, what closes it, number, newline. */
static void line_u64(struct writer *writer, const char *label, const char *close, uint64_t value)
{
	const struct sbuf *prefix = &writer->prefix;
	size_t label_len = strlen(label);
	size_t close_len = strlen(close);
	char *start = sbuf_reserve(
		writer->out, prefix->len + label_len + close_len + U64_DIGITS + strlen("\n"));
	char *end;

	if (!start || prefix->failed)
		return;
	end = put(start, prefix->data, prefix->len);
	end = put(end, label, label_len);
	end = put(end, close, close_len);
	end = put_digits(end, value);
	*end++ = '\n';
	*end = '\0';
	writer->out->len += (size_t)(end - start);
}

static void line_seconds(struct writer *writer, const char *close, usec_t usec)
{
	sbuf_add(writer->out, sbuf_str(&writer->prefix), writer->prefix.len);
	sbuf_puts(writer->out, close);
	sbuf_put_seconds(writer->out, usec);
	sbuf_putc(writer->out, '\n');
}

static void line_double(struct writer *writer, const char *label, double value)
{
	sbuf_add(writer->out, sbuf_str(&writer->prefix), writer->prefix.len);
	sbuf_puts(writer->out, label);
	sbuf_puts(writer->out, "\"} ");
	if (isfinite(value))
		sbuf_printf(writer->out, "%.15g\n", value); /* exact for counters */
	else
		sbuf_puts(writer->out, isnan(value) ? "NaN\n" : (value > 0 ? "+Inf\n" : "-Inf\n"));
}

/* What ends the labels of a line. */
static const char no_labels[] = " ";
static const char close_labels[] = "} ";
static const char close_value[] = "\"} "; /* the value of a label too */

/* ---- prefixes ---- */

static void begin(struct writer *writer, const char *suffix)
{
	sbuf_clear(&writer->prefix);
	sbuf_puts(&writer->prefix, writer->family->name);
	sbuf_puts(&writer->prefix, suffix);
}

static void begin_endpoint(struct writer *writer, const struct endpoint_spec *spec)
{
	begin(writer, "{");
	prom_label(&writer->prefix, "endpoint", spec->name);
	sbuf_putc(&writer->prefix, ',');
	prom_label(&writer->prefix, "group", spec->group ? spec->group : "");
}

static void begin_check(struct writer *writer, const char *suffix, const struct check_spec *spec)
{
	begin(writer, suffix);
	sbuf_putc(&writer->prefix, '{');
	prom_label(&writer->prefix, "endpoint", spec->endpoint->name);
	sbuf_putc(&writer->prefix, ',');
	prom_label(&writer->prefix, "check", spec->name);
}

static uint64_t put_buckets(struct writer *writer, const struct histogram *histogram,
	const char *(*edge)(unsigned bucket))
{
	uint64_t below = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += histogram->bucket[i];
		line_u64(writer, edge(i), close_value, below);
	}
	return below;
}

/* Nothing at all for a span that never happened. */
static void put_check_histogram(
	struct writer *writer, const struct check_spec *spec, const struct histogram *histogram)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += histogram->bucket[i];
	if (count == 0)
		return;
	begin_check(writer, "_bucket", spec);
	sbuf_puts(&writer->prefix, ",le=\"");
	(void)put_buckets(writer, histogram, histogram_edge);
	begin_check(writer, "_sum", spec);
	line_seconds(writer, close_labels, histogram->sum_usec);
	begin_check(writer, "_count", spec);
	line_u64(writer, "", close_labels, count);
}

/* ---- endpoints ---- */

static void write_info(struct writer *writer, const struct endpoint_view *endpoint)
{
	const struct endpoint_spec *spec = endpoint->spec;
	struct sbuf *prefix = &writer->prefix;

	begin_endpoint(writer, spec);
	sbuf_putc(prefix, ',');
	prom_label(prefix, "type", spec->type);
	for (size_t i = 0; i < spec->n_labels; i++) {
		/* Operators' names are apart from ours, whatever they choose. */
		sbuf_puts(prefix, ",label_");
		prom_label(prefix, spec->labels[i].name, spec->labels[i].value);
	}
	line_u64(writer, "", close_labels, 1);
}

static void write_state(struct writer *writer, const struct endpoint_view *endpoint)
{
	begin_endpoint(writer, endpoint->spec);
	sbuf_puts(&writer->prefix, ",state=\"");
	for (unsigned i = 0; i < STATE_N; i++)
		line_u64(writer, state_token(i), close_value, endpoint->state == i ? 1 : 0);
}

/* The reason is a label of one line: a line for each reason would be seventy an endpoint. */
static void write_reason(struct writer *writer, const struct endpoint_view *endpoint)
{
	const struct check_view *check = endpoint->decided_by;

	begin_endpoint(writer, endpoint->spec);
	sbuf_putc(&writer->prefix, ',');
	prom_label(&writer->prefix, "check", check ? check->spec->name : "");
	sbuf_putc(&writer->prefix, ',');
	prom_label(&writer->prefix, "reason", reason_token(endpoint->reason));
	line_u64(writer, "", close_labels, 1);
}

static void write_since(struct writer *writer, const struct endpoint_view *endpoint)
{
	if (endpoint->since == 0)
		return;
	begin_endpoint(writer, endpoint->spec);
	line_seconds(writer, close_labels, endpoint->since);
}

static void write_flapping(struct writer *writer, const struct endpoint_view *endpoint)
{
	begin_endpoint(writer, endpoint->spec);
	line_u64(writer, "", close_labels, endpoint->flapping ? 1 : 0);
}

/* ---- checks ---- */

static void write_results(struct writer *writer, const struct check_view *check)
{
	begin_check(writer, "", check->spec);
	sbuf_puts(&writer->prefix, ",reason=\"");
	for (uint32_t i = 0; i < check->results.n; i++) {
		const struct tally_row *row = &check->results.rows[i];

		line_u64(writer, reason_token(row->reason), close_value, row->count);
	}
}

static void write_suppressed(struct writer *writer, const struct check_view *check)
{
	begin_check(writer, "", check->spec);
	sbuf_puts(&writer->prefix, ",why=\"");
	for (unsigned i = SUPPRESSED_NOT + 1; i < SUPPRESSION_N; i++)
		if (check->suppressed_total[i] > 0)
			line_u64(writer, suppression_token(i), close_value,
				check->suppressed_total[i]);
}

/* What follows one another, so that phases may be stacked: no total, no wait for a slot here, and
 * no first_token, which is part of transfer. */
static void write_phases(struct writer *writer, const struct check_view *check)
{
	static const enum timing shown[] = { TIMING_DNS, TIMING_CONNECT, TIMING_TLS,
		TIMING_FIRST_BYTE, TIMING_TRANSFER };

	if (!check->has_last)
		return;
	for (size_t i = 0; i < array_size(shown); i++) {
		if (!result_has_timing(&check->last, shown[i]))
			continue;
		begin_check(writer, "", check->spec);
		sbuf_puts(&writer->prefix, ",phase=\"");
		sbuf_puts(&writer->prefix, timing_token(shown[i]));
		line_seconds(writer, close_value, check->last.timing[shown[i]]);
	}
}

static void write_total(struct writer *writer, const struct check_view *check)
{
	put_check_histogram(writer, check->spec, &check->total);
}

static void write_first_byte(struct writer *writer, const struct check_view *check)
{
	put_check_histogram(writer, check->spec, &check->first_byte);
}

static void write_first_token(struct writer *writer, const struct check_view *check)
{
	if (check->tokens)
		put_check_histogram(writer, check->spec, &check->tokens->first_token);
}

static void write_inter_token(struct writer *writer, const struct check_view *check)
{
	if (check->tokens)
		put_check_histogram(writer, check->spec, &check->tokens->inter_token);
}

static void write_tokens(struct writer *writer, const struct check_view *check)
{
	if (!check->tokens)
		return;
	begin_check(writer, "", check->spec);
	sbuf_puts(&writer->prefix, ",direction=\"");
	line_u64(writer, "prompt", close_value, check->tokens->prompt_total);
	line_u64(writer, "completion", close_value, check->tokens->completion_total);
}

/* What the server says of itself, and when it said so. */
static void write_load(struct writer *writer, const struct check_view *check)
{
	const struct server_load *load = &check->last.load;

	if (!check->has_last || load->seen == 0)
		return;
	begin_check(writer, "", check->spec);
	sbuf_puts(&writer->prefix, ",value=\"");
	for (unsigned i = 0; i < LOAD_VALUE_N; i++)
		if (load_has(load, i))
			line_double(writer, load_value_token(i), load->value[i]);
}

static void write_load_at(struct writer *writer, const struct check_view *check)
{
	if (!check->has_last || check->last.load.seen == 0)
		return;
	begin_check(writer, "", check->spec);
	line_seconds(writer, close_labels, check->last.at);
}

static void put_check_u64(struct writer *writer, const struct check_view *check, uint64_t value)
{
	begin_check(writer, "", check->spec);
	line_u64(writer, "", close_labels, value);
}

static void write_attempts(struct writer *writer, const struct check_view *check)
{
	put_check_u64(writer, check, check->started_total);
}

static void write_retries(struct writer *writer, const struct check_view *check)
{
	put_check_u64(writer, check, check->retries_total);
}

static void write_overruns(struct writer *writer, const struct check_view *check)
{
	put_check_u64(writer, check, check->overruns_total);
}

static void write_cert_expiry(struct writer *writer, const struct check_view *check)
{
	if (!check->has_last || check->last.cert_expires_at == 0)
		return;
	begin_check(writer, "", check->spec);
	line_seconds(writer, close_labels, check->last.cert_expires_at);
}

/* ---- ourselves ---- */

static void put_self_u64(struct writer *writer, uint64_t value)
{
	begin(writer, "");
	line_u64(writer, "", no_labels, value);
}

static void put_self_seconds(struct writer *writer, usec_t usec)
{
	begin(writer, "");
	line_seconds(writer, no_labels, usec);
}

/* A plain number out of struct self_view or the snapshot: one line each. */
#define SELF_U64(name, expression)                                                \
	static void write_##name(struct writer *writer, const struct snapshot *s) \
	{                                                                         \
		put_self_u64(writer, (expression));                               \
	}
#define SELF_SECONDS(name, expression)                                            \
	static void write_##name(struct writer *writer, const struct snapshot *s) \
	{                                                                         \
		put_self_seconds(writer, (expression));                           \
	}

SELF_SECONDS(started_at, s->self->started_at)
SELF_U64(checks_total, s->self->checks_total)
SELF_U64(checks_lost, s->self->checks_lost_total)
SELF_U64(in_flight, s->self->in_flight)
SELF_U64(queued, s->self->queued)
SELF_SECONDS(last_check, s->self->last_check_at)
SELF_SECONDS(lateness_max, s->self->lateness_max)
SELF_U64(loop_turns, s->self->loop_turns_total)
SELF_U64(loop_stalls, s->self->loop_stalls_total)
SELF_SECONDS(loop_stall, s->self->loop_stall_max)
SELF_U64(pauses, s->self->pauses_total)
SELF_U64(log_dropped, s->self->log_dropped_total)
SELF_U64(offline, s->self->offline ? 1 : 0)
SELF_U64(first_round, s->self->first_round_done ? 1 : 0)
SELF_U64(generation, s->config->generation)
SELF_U64(reload_ok, s->self->reload_ok ? 1 : 0)
SELF_SECONDS(reload_at, s->self->reload_at)
SELF_U64(reloads, s->self->reloads_total)
SELF_U64(reload_failures, s->self->reload_failures_total)
SELF_U64(state_restored, s->self->state_restored)
SELF_U64(state_dropped, s->self->state_dropped)
SELF_U64(state_failures, s->self->state_failures_total)
SELF_U64(http_requests, s->self->http_requests_total)
SELF_U64(http_rejected, s->self->http_rejected_total)
SELF_U64(http_clients, s->self->http_clients)

static void write_build(struct writer *writer, const struct snapshot *s)
{
	(void)s;
	begin(writer, "{");
	prom_label(&writer->prefix, "version", MODELHEALTH_VERSION);
	line_u64(writer, "", close_labels, 1);
}

static void write_endpoints(struct writer *writer, const struct snapshot *s)
{
	begin(writer, "{state=\"");
	for (unsigned i = 0; i < STATE_N; i++)
		line_u64(writer, state_token(i), close_value, s->n_state[i]);
}

static void write_lateness(struct writer *writer, const struct snapshot *s)
{
	const struct histogram *lateness = &s->self->lateness;
	uint64_t count;

	begin(writer, "_bucket{le=\"");
	count = put_buckets(writer, lateness, histogram_edge_fine);
	begin(writer, "_sum");
	line_seconds(writer, no_labels, lateness->sum_usec);
	begin(writer, "_count");
	line_u64(writer, "", no_labels, count);
}

/* ---- the table ---- */

/* clang-format off */
static const struct family families[] = {
	{ "modelhealth_build_info", "gauge", "Version of modelhealthd.", SCOPE_SELF, 1, { .self = write_build } },
	{ "modelhealth_start_time_seconds", "gauge", "When this process started.", SCOPE_SELF, 1, { .self = write_started_at } },
	{ "modelhealth_endpoints", "gauge", "Endpoints by state.", SCOPE_SELF, 1, { .self = write_endpoints } },
	{ "modelhealth_endpoint_info", "gauge", "One per endpoint, with its type and the operator's labels.", SCOPE_ENDPOINT, 1, { .endpoint = write_info } },
	{ "modelhealth_endpoint_state", "gauge", "1 for the state the endpoint is in, 0 for the others.", SCOPE_ENDPOINT, STATE_N, { .endpoint = write_state } },
	{ "modelhealth_endpoint_reason", "gauge", "1, with the reason of the state and the check that decided it.", SCOPE_ENDPOINT, 1, { .endpoint = write_reason } },
	{ "modelhealth_endpoint_state_change_timestamp_seconds", "gauge", "When the endpoint entered its state.", SCOPE_ENDPOINT, 1, { .endpoint = write_since } },
	{ "modelhealth_endpoint_flapping", "gauge", "1 while the endpoint keeps changing its state.", SCOPE_ENDPOINT, 1, { .endpoint = write_flapping } },
	{ "modelhealth_check_results_total", "counter", "Finished checks by reason; reasons that never occurred are left out.", SCOPE_CHECK, 2, { .check = write_results } },
	{ "modelhealth_check_attempts_total", "counter", "Attempts started, retries included.", SCOPE_CHECK, 1, { .check = write_attempts } },
	{ "modelhealth_check_retries_total", "counter", "Attempts that repeated a failed one within the same check.", SCOPE_CHECK, 1, { .check = write_retries } },
	{ "modelhealth_check_overruns_total", "counter", "Planned starts that passed while the check was still running.", SCOPE_CHECK, 1, { .check = write_overruns } },
	{ "modelhealth_check_suppressed_total", "counter", "Planned starts that were left out, by why; what never occurred is left out.", SCOPE_CHECK, 1, { .check = write_suppressed } },
	{ "modelhealth_check_phase_seconds", "gauge", "How long the phases of the last result took.", SCOPE_CHECK, 3, { .check = write_phases } },
	{ "modelhealth_check_duration_seconds", "histogram", "Time of a check from start to end, without waiting for a slot.", SCOPE_CHECK, HISTOGRAM_BUCKETS + 2, { .check = write_total } },
	{ "modelhealth_check_first_byte_seconds", "histogram", "Time from the request sent to the first byte of the answer.", SCOPE_CHECK, HISTOGRAM_BUCKETS + 2, { .check = write_first_byte } },
	{ "modelhealth_check_first_token_seconds", "histogram", "Time from the request sent to the first event with text.", SCOPE_CHECK, 1, { .check = write_first_token } },
	{ "modelhealth_check_inter_token_seconds", "histogram", "Mean time between events with text, one sample an answer.", SCOPE_CHECK, 1, { .check = write_inter_token } },
	{ "modelhealth_check_tokens_total", "counter", "Tokens that checks cost: reported by the server, else counted.", SCOPE_CHECK, 1, { .check = write_tokens } },
	{ "modelhealth_check_server_load", "gauge", "What the server's own counters said at the last scrape.", SCOPE_CHECK, 1, { .check = write_load } },
	{ "modelhealth_check_server_load_timestamp_seconds", "gauge", "When they said so.", SCOPE_CHECK, 1, { .check = write_load_at } },
	{ "modelhealth_check_cert_expiry_timestamp_seconds", "gauge", "When the server's certificate expires.", SCOPE_CHECK, 1, { .check = write_cert_expiry } },
	{ "modelhealth_checks_total", "counter", "Finished checks of all endpoints.", SCOPE_SELF, 1, { .self = write_checks_total } },
	{ "modelhealth_checks_lost_total", "counter", "Checks that did not end by their own deadline: bugs of modelhealthd.", SCOPE_SELF, 1, { .self = write_checks_lost } },
	{ "modelhealth_checks_in_flight", "gauge", "Checks running now.", SCOPE_SELF, 1, { .self = write_in_flight } },
	{ "modelhealth_checks_queued", "gauge", "Due checks that wait for a limit.", SCOPE_SELF, 1, { .self = write_queued } },
	{ "modelhealth_last_check_completed_timestamp_seconds", "gauge", "When the last check finished.", SCOPE_SELF, 1, { .self = write_last_check } },
	{ "modelhealth_check_lateness_seconds", "histogram", "How much later than planned checks start, waiting for limits not counted.", SCOPE_SELF, 1, { .self = write_lateness } },
	{ "modelhealth_check_lateness_max_seconds", "gauge", "The latest start so far.", SCOPE_SELF, 1, { .self = write_lateness_max } },
	{ "modelhealth_loop_turns_total", "counter", "Turns of the event loop.", SCOPE_SELF, 1, { .self = write_loop_turns } },
	{ "modelhealth_loop_stalls_total", "counter", "Turns of the event loop that took longer than 100 ms.", SCOPE_SELF, 1, { .self = write_loop_stalls } },
	{ "modelhealth_loop_stall_max_seconds", "gauge", "The longest turn of the event loop so far.", SCOPE_SELF, 1, { .self = write_loop_stall } },
	{ "modelhealth_pauses_total", "counter", "Times the process stood still for more than a second.", SCOPE_SELF, 1, { .self = write_pauses } },
	{ "modelhealth_log_dropped_total", "counter", "Log records lost because the journal or the terminal did not take them.", SCOPE_SELF, 1, { .self = write_log_dropped } },
	{ "modelhealth_self_offline", "gauge", "1 while our own network is gone and states are frozen.", SCOPE_SELF, 1, { .self = write_offline } },
	{ "modelhealth_first_round_done", "gauge", "1 once every check has a result.", SCOPE_SELF, 1, { .self = write_first_round } },
	{ "modelhealth_config_generation", "gauge", "Configurations that went live since the start.", SCOPE_SELF, 1, { .self = write_generation } },
	{ "modelhealth_config_last_reload_success", "gauge", "1 if the last load of the configuration succeeded.", SCOPE_SELF, 1, { .self = write_reload_ok } },
	{ "modelhealth_config_last_reload_timestamp_seconds", "gauge", "When the configuration was last loaded or refused.", SCOPE_SELF, 1, { .self = write_reload_at } },
	{ "modelhealth_config_reloads_total", "counter", "Loads of the configuration, refused ones included.", SCOPE_SELF, 1, { .self = write_reloads } },
	{ "modelhealth_config_reload_failures_total", "counter", "Loads of the configuration that were refused.", SCOPE_SELF, 1, { .self = write_reload_failures } },
	{ "modelhealth_state_checks_restored", "gauge", "Checks that went on at the start where an earlier process had ended.", SCOPE_SELF, 1, { .self = write_state_restored } },
	{ "modelhealth_state_records_dropped", "gauge", "Records of an earlier process that fitted nothing or were broken.", SCOPE_SELF, 1, { .self = write_state_dropped } },
	{ "modelhealth_state_save_failures_total", "counter", "Times that states found no place in which they survive a restart.", SCOPE_SELF, 1, { .self = write_state_failures } },
	{ "modelhealth_http_requests_total", "counter", "Requests to the status port that were answered.", SCOPE_SELF, 1, { .self = write_http_requests } },
	{ "modelhealth_http_rejected_total", "counter", "Requests to the status port that were malformed, too slow or too many.", SCOPE_SELF, 1, { .self = write_http_rejected } },
	{ "modelhealth_http_clients", "gauge", "Connections to the status port now.", SCOPE_SELF, 1, { .self = write_http_clients } },
};

/* clang-format on */

/* ---- slices ---- */

static void write_one(struct writer *writer, const struct endpoint_view *endpoint)
{
	if (writer->family->scope == SCOPE_ENDPOINT) {
		writer->family->endpoint(writer, endpoint);
		return;
	}
	for (size_t i = 0; i < endpoint->n_checks; i++)
		writer->family->check(writer, endpoint->checks[i]);
}

/* Writes a family from *at on, until it is complete or the slice is full; *budget is in lines. */
static void write_family(
	struct writer *writer, const struct snapshot *snapshot, size_t *at, size_t *budget)
{
	const struct family *family = writer->family;

	if (*at == 0)
		writer->announce(writer->out, family->name, family->type, family->help);
	if (family->scope == SCOPE_SELF) {
		family->self(writer, snapshot);
		*at = snapshot->n_endpoints;
		return;
	}
	for (; *at < snapshot->n_endpoints && *budget != 0; (*at)++) {
		const struct endpoint_view *endpoint = snapshot->endpoints[*at];
		size_t lines =
			family->lines *
			(family->scope == SCOPE_CHECK ? max_of(endpoint->n_checks, (size_t)1) : 1);

		write_one(writer, endpoint);
		*budget -= min_of(*budget, lines);
	}
}

/* The cursor: the family in the upper bits, the next endpoint in the lower. */
static enum output_progress render(
	const struct snapshot *snapshot, announce_fn *announce, struct sbuf *out, size_t *cursor)
{
	size_t family = *cursor / CURSOR_FAMILY;
	size_t at = *cursor % CURSOR_FAMILY;
	size_t budget = PROM_SLICE_LINES;
	struct writer writer = { .out = out, .announce = announce };

	while (family < array_size(families) && budget > 0) {
		writer.family = &families[family];
		write_family(&writer, snapshot, &at, &budget);
		if (at < snapshot->n_endpoints)
			break;
		at = 0;
		family++;
	}
	out->failed |= writer.prefix.failed;
	sbuf_fini(&writer.prefix);
	*cursor = family * CURSOR_FAMILY + at;
	return family < array_size(families) ? OUTPUT_MORE : OUTPUT_DONE;
}

static enum output_progress render_prom(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	(void)query;
	return render(snapshot, prom_family, out, cursor);
}

static enum output_progress render_openmetrics(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	enum output_progress progress = render(snapshot, openmetrics_family, out, cursor);

	(void)query;
	if (progress == OUTPUT_DONE)
		sbuf_puts(out, "# EOF\n");
	return progress;
}

const struct output output_prom = {
	.name = "prom",
	.path = "/metrics",
	.mime = "text/plain; version=0.0.4; charset=utf-8",
	.render = render_prom,
};

const struct output output_prom_openmetrics = {
	.name = "prom_openmetrics",
	.path = "/metrics",
	.mime = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	.render = render_openmetrics,
};

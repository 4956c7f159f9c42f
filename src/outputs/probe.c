/* SPDX-License-Identifier: MIT */
/*
 * /probe?target=NAME&module=CHECK: the latest result of a configured check in the words of
 * blackbox_exporter, so that its dashboards and rules go on working. Nothing is started and no
 * address is taken from the request. Never OpenMetrics: blackbox_exporter does not offer that here.
 */
#include "private.h"

#include "modelhealth/text/write.h"

static void put_u64(struct sbuf *out, const char *name, const char *help, uint64_t value)
{
	prom_family(out, name, "gauge", help);
	sbuf_puts(out, name);
	sbuf_putc(out, ' ');
	sbuf_put_u64(out, value);
	sbuf_putc(out, '\n');
}

static void put_seconds(struct sbuf *out, const char *name, const char *help, usec_t usec)
{
	prom_family(out, name, "gauge", help);
	sbuf_puts(out, name);
	sbuf_putc(out, ' ');
	sbuf_put_seconds(out, usec);
	sbuf_putc(out, '\n');
}

/* blackbox_exporter's names of our spans. */
static void put_phases(struct sbuf *out, const struct result *result)
{
	static const struct {
		enum timing timing;
		const char *phase;
	} phases[] = {
		{ TIMING_DNS, "resolve" },
		{ TIMING_CONNECT, "connect" },
		{ TIMING_TLS, "tls" },
		{ TIMING_FIRST_BYTE, "processing" },
		{ TIMING_TRANSFER, "transfer" },
	};

	static const char name[] = "probe_http_duration_seconds";

	if (result->http_status == 0)
		return;
	prom_family(out, name, "gauge", "Duration of the request by phase.");
	for (size_t i = 0; i < array_size(phases); i++) {
		if (!result_has_timing(result, phases[i].timing))
			continue;
		sbuf_puts(out, name);
		sbuf_putc(out, '{');
		prom_label(out, "phase", phases[i].phase);
		sbuf_puts(out, "} ");
		sbuf_put_seconds(out, result->timing[phases[i].timing]);
		sbuf_putc(out, '\n');
	}
}

/* What we cannot tell is neither success nor failure, and is left out. */
static void put_success(struct sbuf *out, const struct result *result)
{
	bool is_good = result->verdict == VERDICT_UP || result->verdict == VERDICT_DEGRADED;

	if (result->verdict != VERDICT_UNKNOWN)
		put_u64(out, "probe_success", "Whether the last check succeeded.", is_good ? 1 : 0);
	prom_family(out, "probe_reason_info", "gauge", "Why the last check ended as it did.");
	sbuf_puts(out, "probe_reason_info{");
	prom_label(out, "reason", reason_token(result->reason));
	sbuf_puts(out, "} 1\n");
}

static void put_result(struct sbuf *out, const struct result *result)
{
	put_success(out, result);
	put_seconds(out, "probe_duration_seconds", "How long the last check took.",
		result->timing[TIMING_TOTAL]);
	put_seconds(out, "probe_timestamp_seconds", "When the last check ended.", result->at);
	if (result_has_timing(result, TIMING_DNS))
		put_seconds(out, "probe_dns_lookup_time_seconds", "Time to resolve the name.",
			result->timing[TIMING_DNS]);
	if (result->http_status != 0) {
		put_u64(out, "probe_http_status_code", "HTTP status of the answer.",
			result->http_status);
		put_u64(out, "probe_http_ssl", "Whether TLS was used.",
			result_has_timing(result, TIMING_TLS) ? 1 : 0);
	}
	put_phases(out, result);
	if (result->cert_expires_at != 0)
		put_seconds(out, "probe_ssl_earliest_cert_expiry",
			"When the server's certificate expires.", result->cert_expires_at);
}

static enum output_progress render_probe(const struct snapshot *snapshot,
	const struct output_query *query, struct sbuf *out, size_t *cursor)
{
	const struct endpoint_view *endpoint;
	const struct check_view *check;

	(void)cursor;
	if (!query->target || !query->module)
		return OUTPUT_BAD_QUERY;
	endpoint = find_endpoint(snapshot, query->target);
	check = endpoint ? find_check(endpoint, query->module) : NULL;
	if (!check || !check->has_last)
		return OUTPUT_NOT_FOUND;
	put_result(out, &check->last);
	return OUTPUT_DONE;
}

static const char *const probe_params[] = { "module", "target", NULL };

const struct output output_probe = {
	.name = "probe",
	.path = "/probe",
	.mime = "text/plain; version=0.0.4; charset=utf-8",
	.params = probe_params,
	.render = render_probe,
};

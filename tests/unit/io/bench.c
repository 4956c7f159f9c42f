/* SPDX-License-Identifier: MIT */
/*
 * The transfer engine under test, on a real loop.
 */
#include "bench.h"

#include "modelhealth/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void on_stop(struct timer *timer)
{
	loop_stop(container_of(timer, struct bench, stop)->loop);
}

void bench_open(struct bench *bench, const struct dns_options *dns_options)
{
	memset(bench, 0, sizeof *bench);
	bench->stop.fn = on_stop;
	must(loop_new(&bench->loop) == 0);
	must(dns_new(bench->loop, dns_options, &bench->dns) == 0);
	must(httpc_new(bench->loop, bench->dns, &bench->httpc) == 0);
}

void bench_close(struct bench *bench)
{
	http_lane_free(bench->lane);
	httpc_free(bench->httpc);
	dns_free(bench->dns);
	loop_free(bench->loop);
	sbuf_fini(&bench->body);
}

struct http_request bench_request(struct url **url, const char *format, ...)
{
	char text[1024];
	const char *error;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	must(url_parse(text, (1u << URL_SCHEME_N) - 1, url, &error) == 0);
	return (struct http_request){
		.method = "GET",
		.url = *url,
		.timeout = { .connect = 5 * USEC_PER_SEC,
			.first_byte = 5 * USEC_PER_SEC,
			.idle = 5 * USEC_PER_SEC,
			.total = 10 * USEC_PER_SEC },
		.max_header_bytes = HTTP_MAX_HEADER_BYTES,
		.max_body_bytes = HTTP_MAX_BODY_BYTES,
	};
}

static enum http_appetite on_data(void *arg, const char *data, size_t len)
{
	struct bench *bench = arg;

	sbuf_add(&bench->body, data, len);
	return bench->enough > 0 && bench->body.len >= bench->enough ? HTTP_ENOUGH : HTTP_MORE;
}

static void on_done(void *arg, struct http_transfer *transfer, const struct http_outcome *outcome)
{
	struct bench *bench = arg;
	const char *value = NULL;

	must(bench->transfer == transfer);
	bench->transfer = NULL;
	bench->result = outcome->result;
	bench->is_body_cut = outcome->is_body_cut;
	if (outcome->tls)
		bench->tls = *outcome->tls;
	if (bench->wanted_header)
		value = http_answer_header(transfer, bench->wanted_header, 0);
	(void)snprintf(bench->header, sizeof bench->header, "%s", value ? value : "");
	bench->done++;
	loop_stop(bench->loop);
}

void bench_start(struct bench *bench, const struct http_request *request)
{
	struct http_request timed = *request;
	struct http_handlers handlers = { .on_data = on_data, .on_done = on_done, .arg = bench };

	if (bench->is_mute)
		handlers.on_data = NULL;
	loop_wake(bench->loop);
	timed.begun_at = clock_monotonic();
	sbuf_clear(&bench->body);
	bench->done = 0;
	must(http_start(bench->httpc, bench->lane, &timed, &handlers, &bench->transfer) == 0);
	must(bench->done == 0); /* never inside start */
}

void bench_loop(struct bench *bench, usec_t span)
{
	loop_wake(bench->loop);
	must(timer_set(loop_timers(bench->loop), &bench->stop,
		     loop_timers(bench->loop)->now + span) == 0);
	must(loop_run(bench->loop) == 0);
	timer_cancel(loop_timers(bench->loop), &bench->stop);
}

enum reason bench_run(struct bench *bench, const struct http_request *request)
{
	bench_start(bench, request);
	bench_loop(bench, 20 * USEC_PER_SEC);
	must(bench->done == 1);
	return bench->result.reason;
}

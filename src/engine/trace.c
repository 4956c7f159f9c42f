/* SPDX-License-Identifier: MIT */
/*
 * What --log-level debug says of each attempt as it is settled. At any other level nothing is worked
 * out.
 */
#include "private.h"

#include "modelhealth/base/messages.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	NUMBER_SIZE = 24
};

static void write_span(struct sbuf *out, const char *before, usec_t span)
{
	if (span < USEC_PER_SEC)
		sbuf_printf(out, "%s%.1f ms", before, (double)span / USEC_PER_MSEC);
	else
		sbuf_printf(out, "%s%.1f s", before, (double)span / USEC_PER_SEC);
}

/* "check live: down (connect_refused: 10.0.0.5:8000) in 0.3 ms, attempt 1; tried again in 9.8 ms" */
static void write_message(const struct check *check, const struct result *result,
	const char *what_next, usec_t wait, struct sbuf *out)
{
	const struct check_spec *spec = check->view.spec;

	sbuf_printf(out, "endpoint %s: check %s: %s (%s", spec->endpoint->name, spec->name,
		verdict_token(result->verdict), reason_token(result->reason));
	if (result->detail[0] != '\0')
		sbuf_printf(out, ": %s", result->detail);
	sbuf_puts(out, ")");
	if (result_has_timing(result, TIMING_TOTAL))
		write_span(out, " in ", result->timing[TIMING_TOTAL]);
	if (result->attempts > 0)
		sbuf_printf(out, ", attempt %u", result->attempts);
	if (what_next)
		write_span(out, what_next, wait);
}

static void trace(
	const struct check *check, const struct result *result, const char *what_next, usec_t wait)
{
	const struct endpoint_spec *endpoint = check->view.spec->endpoint;
	_cleanup_(sbuf_fini) struct sbuf message = { .limit = 512 };
	char attempts[NUMBER_SIZE], status[NUMBER_SIZE], duration[NUMBER_SIZE];

	write_message(check, result, what_next, wait, &message);
	(void)snprintf(attempts, sizeof attempts, "%u", result->attempts); /* these fit */
	(void)snprintf(status, sizeof status, "%" PRIu32, result->http_status);
	(void)snprintf(duration, sizeof duration, "%" PRIu32, result->timing[TIMING_TOTAL]);
	log_write(&(struct log_record){
		.level = LOG_LEVEL_DEBUG,
		.message_id = MSG_CHECK_DONE,
		.message = sbuf_str(&message),
		.fields =
			(const struct log_field[]){
				{ "ENDPOINT", endpoint->name },
				{ "GROUP", endpoint->group },
				{ "TYPE", endpoint->type },
				{ "CHECK", check->view.spec->name },
				{ "VERDICT", verdict_token(result->verdict) },
				{ "REASON", reason_token(result->reason) },
				{ "PHASE", phase_token(reason_desc(result->reason)->phase) },
				{ "DETAIL", result->detail[0] != '\0' ? result->detail : NULL },
				{ "HTTP_STATUS", result->http_status != 0 ? status : NULL },
				{ "ATTEMPTS", result->attempts > 0 ? attempts : NULL },
				{ "DURATION_USEC",
					result_has_timing(result, TIMING_TOTAL) ? duration : NULL },
			},
		.n_fields = 11,
	});
}

/* How long until a timer fires; it may be due already. */
static usec_t wait_of(const struct engine *engine, const struct timer *timer)
{
	return timer->at > engine->timers->now ? timer->at - engine->timers->now : 0;
}

void trace_retry(
	const struct engine *engine, const struct check *check, const struct result *result)
{
	if (log_is_wanted(LOG_LEVEL_DEBUG))
		trace(check, result, "; tried again in ", wait_of(engine, &check->attempt));
}

void trace_result(const struct engine *engine, const struct check *check)
{
	if (!log_is_wanted(LOG_LEVEL_DEBUG))
		return;
	if (timer_is_set(&check->slot))
		trace(check, &check->view.last, "; next in ", wait_of(engine, &check->slot));
	else
		trace(check, &check->view.last, NULL, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * State changes as log records. Where they go (journal with fields, terminal, JSON lines) is the
 * sink's matter.
 */
#include "modelhealth/base/log.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/outputs/outputs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	NUMBER_SIZE = 24
};

static enum log_level level_of(enum state state)
{
	return state == STATE_DOWN || state == STATE_UNKNOWN ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE;
}

/* What decided, where it is more than the answer of one check. */
static void write_evidence(const struct transition *transition, struct sbuf *out)
{
	static const struct {
		const char *evidence;
		enum state state;
		const char *text;
	} texts[] = {
		{ "canary", STATE_DEGRADED, "but an inference passed since" },
		{ "counters", STATE_DEGRADED, "but its token counters grew since" },
		{ "grace", STATE_NOT_READY, "within startup_grace" },
	};

	const char *evidence = transition->endpoint->evidence;

	for (size_t i = 0; evidence && i < array_size(texts); i++)
		if (transition->to == texts[i].state && strcmp(evidence, texts[i].evidence) == 0)
			sbuf_printf(out, ", %s", texts[i].text);
}

/* "endpoint chat-a: down by canary (timeout_headers: 10.0.0.5:8000), was up for 3h2m"; the check is
 * named where there are several. What we cannot tell is worded as our problem, never as the
 * target's. */
static void write_message(const struct transition *transition, struct sbuf *out)
{
	const struct endpoint_view *endpoint = transition->endpoint;
	char lasted[DURATION_TEXT_SIZE];

	sbuf_printf(out, "endpoint %s: ", endpoint->spec->name);
	if (transition->to == STATE_UNKNOWN)
		sbuf_puts(out, "we cannot tell its state");
	else
		sbuf_puts(out, state_token(transition->to));
	if (transition->check && endpoint->spec->n_checks > 1 && transition->to != STATE_UP)
		sbuf_printf(out, " by %s", transition->check->spec->name);
	sbuf_printf(out, " (%s", reason_token(endpoint->reason));
	write_evidence(transition, out);
	if (transition->why && transition->why->detail[0] != '\0' &&
		transition->why->reason == endpoint->reason)
		sbuf_printf(out, ": %s", transition->why->detail);
	sbuf_puts(out, ")");
	if (!transition->first) {
		usec_t unit = transition->lasted < USEC_PER_SEC ? USEC_PER_MSEC : USEC_PER_SEC;

		duration_format(transition->lasted / unit * unit, lasted);
		sbuf_printf(out, ", was %s for %s", state_token(transition->from), lasted);
	}
	if (endpoint->flapping)
		sbuf_puts(out, "; flapping");
}

/* A start where all is well is one line, not one per endpoint; and an endpoint that a reload made
 * begin anew has nothing to say before its first result. */
static bool is_news(const struct transition *transition)
{
	if (transition->first && transition->to == STATE_UP)
		return false;
	return transition->endpoint->reason != REASON_NEVER_CHECKED;
}

static void on_transition(const struct transition *transition)
{
	const struct endpoint_view *endpoint = transition->endpoint;
	const struct reason_desc *reason = reason_desc(endpoint->reason);
	const struct result *why = transition->why;
	_cleanup_(sbuf_fini) struct sbuf message = { .limit = 512 };
	char lasted[NUMBER_SIZE], status[NUMBER_SIZE], attempts[NUMBER_SIZE];
	bool has_status = why && why->http_status != 0;

	if (!is_news(transition))
		return;
	write_message(transition, &message);
	(void)snprintf(lasted, sizeof lasted, "%" PRIu64, transition->lasted); /* these fit */
	(void)snprintf(status, sizeof status, "%u", has_status ? why->http_status : 0);
	(void)snprintf(attempts, sizeof attempts, "%u", why ? why->attempts : 0u);
	log_write(&(struct log_record){
		.level = level_of(transition->to),
		.message_id = MSG_STATE_CHANGED,
		.message = sbuf_str(&message),
		.fields =
			(const struct log_field[]){
				{ "ENDPOINT", endpoint->spec->name },
				{ "GROUP", endpoint->spec->group },
				{ "TYPE", endpoint->spec->type },
				{ "CHECK",
					transition->check ? transition->check->spec->name : NULL },
				{ "STATE", state_token(transition->to) },
				{ "OLD_STATE", state_token(transition->from) },
				{ "EVIDENCE", endpoint->evidence },
				{ "REASON", reason_token(endpoint->reason) },
				{ "REASON_TEXT", reason->text },
				{ "ADVICE", reason->advice },
				{ "PHASE", phase_token(reason->phase) },
				{ "DETAIL", why && why->detail[0] != '\0' ? why->detail : NULL },
				{ "HTTP_STATUS", has_status ? status : NULL },
				{ "ATTEMPTS", why ? attempts : NULL },
				{ "DURATION_USEC", lasted },
			},
		.n_fields = 15,
	});
}

const struct output output_journal = {
	.name = "journal",
	.on_transition = on_transition,
};

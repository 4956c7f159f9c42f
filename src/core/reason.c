/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/reason.h"

#include <assert.h>
#include <string.h>
static const struct reason_desc reasons[] = {
#define REASON(symbol, token, phase, verdict, transient, text, advice) \
	[REASON_##symbol] = { token, phase, verdict, transient, text, advice },
#include "modelhealth/core/reason.def"
#undef REASON
};
static_assert(array_size(reasons) == REASON_N, "one row per reason");

static const char *const phases[] = {
	[PHASE_SCHEDULE] = "schedule",
	[PHASE_DNS] = "dns",
	[PHASE_CONNECT] = "connect",
	[PHASE_TLS] = "tls",
	[PHASE_REQUEST] = "request",
	[PHASE_HEADERS] = "headers",
	[PHASE_BODY] = "body",
	[PHASE_STREAM] = "stream",
	[PHASE_ASSERT] = "assert",
	[PHASE_SERVER] = "server",
	[PHASE_SELF] = "self",
};
static_assert(array_size(phases) == PHASE_N, "one token per phase");

static const char *const verdicts[] = {
	[VERDICT_UP] = "up",
	[VERDICT_DEGRADED] = "degraded",
	[VERDICT_NOT_READY] = "not_ready",
	[VERDICT_DOWN] = "down",
	[VERDICT_UNKNOWN] = "unknown",
};
static_assert(array_size(verdicts) == VERDICT_N, "one token per verdict");

const struct reason_desc *reason_desc(enum reason reason)
{
	must(reason < REASON_N);
	return &reasons[reason];
}

const char *phase_token(enum phase phase)
{
	must(phase < PHASE_N);
	return phases[phase];
}

const char *verdict_token(enum verdict verdict)
{
	must(verdict < VERDICT_N);
	return verdicts[verdict];
}

enum reason reason_from_token(const char *token)
{
	enum reason reason = 0;

	while (reason < REASON_N && strcmp(reasons[reason].token, token) != 0)
		reason++;
	return reason;
}

/* SPDX-License-Identifier: MIT */
/*
 * From the states of an endpoint's checks to the state of the endpoint: the verdict table.
 *
 * The first row that some check fulfils decides; where several checks fulfil it, the cheapest tier
 * speaks, as it is nearest to the cause. "Past fall" is what the state of a check says already.
 *
 *   evidence                                                  endpoint    reason             by
 *   suspended                                                 suspended   -                  -
 *   a check cannot run for want of something here (local_*)   unknown     its own            self
 *   canary down                                               down        its own            canary
 *   transport, live, ready or models down, and since then
 *     an inference passed                                     degraded    overloaded         canary
 *   the same or the canary down, and since then the counters
 *     grew, not for us alone                                  degraded    overloaded         counters
 *   a check is not_ready (loading, asleep, draining)
 *     within startup_grace                                    not_ready   its own            grace
 *     after it                                                down        loading_too_long   grace
 *   load down (stalled)                                       down        its own            counters
 *   transport, live, ready or models down                     down        its own            tier
 *   any check degraded                                        degraded    its own            tier
 *   a check cannot tell (auth_failed, bad_probe …)            unknown     its own            tier
 *   an inference passed of late                               up          ok                 canary
 *   any check up                                              up          its own            tier
 *
 * What the rows leave open:
 * - "Since" counts from when the check's first failure in a row was known; for a server that could
 *   not be reached `fall` times in a row, from the first of these. A proof grows old (evidence.h).
 * - The canary is excused by counters only for being slow before anything came
 *   (timeout_headers, timeout_first_token, timeout_total): a busy server is not a dead one. There
 *   "since" counts from when the inference was asked for, as others were served meanwhile. What it
 *   says of the answer itself (wrong, truncated, broken off in the middle …) stands.
 * - The same holds since a cheap check was told in words that the server is full (evidence.h): its
 *   canary then does not speak, and that check does.
 * - What models says of its content (model_missing, phase assert) is not disproved by an inference
 *   or by counters: many servers answer for any name.
 * - A check that is coming back (good again, but `rise` is not reached) does not speak once an
 *   inference has passed after its last failure: the dearer tier has proved it.
 * - An unknown check does not speak once an inference has passed since it began.
 * - Unknown results of load, and feature_off of any check, never speak while another check does.
 * - Nor do checks without evidence: never run, or suppressed while bad (health_forget). With no
 *   evidence at all it is what `init` assumes, else unknown (never_checked).
 */
#pragma once

#include "modelhealth/core/view.h"

/* Sets state, reason, evidence, decided_by and flapping of the endpoint, and ends its time of
 * loading when no check speaks of it any more. now: monotonic. */
void verdict_decide(struct endpoint_view *endpoint, usec_t now);

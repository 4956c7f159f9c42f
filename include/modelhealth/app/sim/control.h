/* SPDX-License-Identifier: MIT */
/*
 * The control port of the simulator: what runs, and switching faults by request.
 */
#pragma once

#include "modelhealth/app/sim/server.h"

/* GET /_sim: every server with its faults and counters, as JSON. */
void control_show(struct exchange *exchange);

/* POST /_sim/fault?name=FAULT[&server=NAME][&for=DURATION|&set=off]; name=none ends all. */
void control_fault(struct exchange *exchange);

/* SPDX-License-Identifier: MIT */
/*
 * From the states of an endpoint's checks to the state of the endpoint.
 */
#pragma once

#include "modelhealth/core/view.h"

/*
 * Sets state, reason and decided_by of the endpoint by the first row of the verdict table that
 * applies. Checks without evidence yet do not speak while another one does.
 */
void verdict_decide(struct endpoint_view *endpoint);

/* SPDX-License-Identifier: MIT */
/*
 * What may be spent in a window of time: the budgets of an inference. A window begins with the
 * first spending after the last one ended. All times are monotonic.
 */
#pragma once

#include "modelhealth/base/duration.h"

struct budget {
	usec_t from; /* of the window; 0 = nothing spent yet */
	uint64_t used;
};

/* Whether `amount` more fits. The rate's count 0 = no limit. An amount that passes the whole budget
 * fits into an empty window: better late than never. */
bool budget_allows(const struct budget *budget, struct rate rate, uint64_t amount, usec_t now);

void budget_spend(struct budget *budget, struct rate rate, uint64_t amount, usec_t now);

/* Spent in the window that is now. */
uint64_t budget_used(const struct budget *budget, struct rate rate, usec_t now);

/* What the inferences of one check have cost. */
struct spending {
	struct budget tokens, requests;
	uint64_t tokens_total, requests_total;
	bool is_told;       /* that the budget is used up, in this window */
	unsigned doublings; /* of the interval, while inferences are broken off again and again */
};

/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/budget.h"

uint64_t budget_used(const struct budget *budget, struct rate rate, usec_t now)
{
	return budget->from == 0 || now - budget->from >= rate.per ? 0 : budget->used;
}

bool budget_allows(const struct budget *budget, struct rate rate, uint64_t amount, usec_t now)
{
	uint64_t used = budget_used(budget, rate, now);

	return rate.count == 0 || used == 0 || (used < rate.count && amount <= rate.count - used);
}

void budget_spend(struct budget *budget, struct rate rate, uint64_t amount, usec_t now)
{
	if (budget->from == 0 || now - budget->from >= rate.per)
		*budget = (struct budget){ .from = now };
	budget->used += amount;
}

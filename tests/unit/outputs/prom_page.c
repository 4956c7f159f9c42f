/* SPDX-License-Identifier: MIT */
/*
 * Prints a page of metrics on which every family has samples with all the labels that it can have:
 * what tests/lint/dashboards compares the dashboard and the alert rules with.
 */
#include "world.h"

#include <stdio.h>

static void fill(struct world *world, struct token_view *tokens)
{
	struct check_view *check = &world->check_views[0];

	histogram_add(&tokens->first_token, USEC_PER_SEC);
	histogram_add(&tokens->inter_token, USEC_PER_SEC);
	check->tokens = tokens;
	check->last.load.seen = (1u << LOAD_VALUE_N) - 1;
	for (unsigned i = 0; i < TIMING_N; i++)
		result_set_timing(&check->last, i, USEC_PER_MSEC);
	for (unsigned i = 0; i < REASON_N; i++)
		tally_add(&check->results, (enum reason)i);
	for (unsigned i = 0; i < SUPPRESSION_N; i++)
		check->suppressed_total[i] = 1;
}

int main(void)
{
	struct world world;
	struct token_view tokens = { 0 };
	struct sbuf page = SBUF_INIT;
	size_t written;

	world_open(&world, REASON_N);
	for (unsigned i = 0; i < REASON_N; i++)
		world.views[i].reason = i;
	fill(&world, &tokens);
	(void)world_render(&world, &output_prom, NULL, &page);
	written = fwrite(page.data, 1, page.len, stdout);
	written -= page.len;
	sbuf_fini(&page);
	world_close(&world);
	return written == 0 && fflush(stdout) == 0 ? 0 : 1;
}

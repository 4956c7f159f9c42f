/* SPDX-License-Identifier: MIT */
/*
 * What an earlier process left, as any bytes: reading ends in records that are whole, and what those
 * say becomes a state with which monitoring can go on, or is refused. The first byte of the input
 * says where the bytes come from, and whether their sums are set right first, so that the numbers
 * behind them are reached.
 */
#include "modelhealth/core/ledger.h"
#include "modelhealth/core/verdict.h"

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

enum how {
	HOW_FILE = 1u << 0,
	HOW_SEALED = 1u << 1,
};

static const struct check_kind kind = { .name = "http" };
static const usec_t now = 1000 * 86400 * USEC_PER_SEC;

static struct check_spec check_spec = {
	.name = "live",
	.kind = &kind,
	.tier = TIER_LIVE,
	.interval = 10 * 1000000,
	.health = { .rise = 2, .fall = 3, .degraded_rise = 2, .degraded_fall = 3 },
};
static const struct endpoint_spec endpoint_spec = {
	.name = "a", .host = "h:1", .checks = &check_spec, .n_checks = 1
};

/* The state machine takes it from there. */
static void go_on(struct check_view *check)
{
	const struct health_conf *conf = &check->spec->health;
	struct health *health = &check->health;

	must(health->level < conf->rise + conf->fall);
	must(health->degraded_level < conf->degraded_rise + conf->degraded_fall);
	for (enum reason reason = 0; reason < REASON_N; reason += 7) {
		struct result result = { 0 };

		result_set(&result, reason, NULL);
		(void)health_step(health, conf, &result, now);
		must(health->state < STATE_N && health->level < conf->rise + conf->fall);
	}
}

static void restore(const struct record *record, usec_t at)
{
	struct check_view check = { .spec = &check_spec };
	struct check_view *checks[] = { &check };
	struct endpoint_view endpoint = { .spec = &endpoint_spec, .checks = checks, .n_checks = 1 };
	struct spending spending = { 0 };
	struct memory memory = { 0 };
	struct bucket limit = { 0 };
	struct record_pace pace;
	struct record again;

	if (record_restore_check(record, at, &check, &pace)) {
		must(check.trail.failing_since <= now && check.trail.failed_at <= now);
		record_check(&again, &check, &pace, now);
		go_on(&check);
	}
	if (record_restore_extra(record, at, &spending, &memory)) {
		check.spending = &spending;
		record_extra(&again, &check, &memory, now);
	}
	if (record_restore_endpoint(record, at, at, &endpoint, &limit)) {
		must(endpoint.known.canary_at <= now && endpoint.known.load_at <= now);
		verdict_decide(&endpoint, at);
		must(endpoint.state < STATE_N && endpoint.reason < REASON_N);
		record_endpoint(&again, &endpoint, &limit, now);
	}
}

/* As if the writer had meant it. */
static void seal(struct record *slots, size_t n)
{
	size_t len;
	struct record *packed;

	for (size_t i = 1; i < n; i++) {
		slots[i].type = (uint8_t)(1 + slots[i].type % 3);
		record_seal(&slots[i]);
	}
	ledger_format(slots);
	ledger_commit(slots, LEDGER_FIRST, n - LEDGER_FIRST);
	packed = ledger_pack(slots, now - 1, now - 1, &len);
	must(packed && len <= n * RECORD_SIZE);
	memcpy(slots, packed, len);
	free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned how = size > 0 ? data[0] : 0;
	size_t len = size > 0 ? size - 1 : 0;
	struct ledger_image image;
	const char *problem = NULL;
	void *bytes = malloc(len + 1);

	must(bytes);
	if (len > 0)
		memcpy(bytes, data + 1, len);
	if ((how & HOW_SEALED) && len > LEDGER_FIRST * RECORD_SIZE)
		seal(bytes, len / RECORD_SIZE);
	if (ledger_read(bytes, len, how & HOW_FILE ? LEDGER_FILE : LEDGER_MEMORY, now, now, &image,
		    &problem) == 0) {
		for (size_t i = 0; i < image.n; i++) {
			must(record_is_whole(&image.records[i]));
			must(i == 0 || image.records[i - 1].key < image.records[i].key);
			must(ledger_find(&image, image.records[i].key) == &image.records[i]);
			must(ledger_time(&image, &image.records[i]) <= now);
			restore(&image.records[i], ledger_time(&image, &image.records[i]));
		}
	} else {
		must(problem && image.n == 0);
	}
	ledger_image_fini(&image);
	free(bytes);
	return 0;
}

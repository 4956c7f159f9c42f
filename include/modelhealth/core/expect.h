/* SPDX-License-Identifier: MIT */
/*
 * Assertions: what an answer must look like. Pure functions from what was configured
 * (core/expectkeys.h) and what was observed to a result.
 */
#pragma once

#include "modelhealth/core/condition.h"
#include "modelhealth/core/result.h"

struct expect_status {
	const char *source; /* as configured; NULL = the default, 200-299 */
	enum verdict severity;
	const struct status_range *ranges;
	size_t n_ranges;
};

struct status_range {
	uint16_t from, to;
};

/* Header names or JSON pointers and what they must be. */
struct expect_values {
	const char *source;
	const struct named_condition *items;
	size_t n;
};

struct named_condition {
	const char *name;
	struct condition condition;
};

struct expect_text {
	const char *source;
	enum verdict severity;
	const char *contains;
	struct regex *matches, *not_matches;
};

struct expect_limits {
	usec_t degraded, down; /* 0 = no limit */
};

struct expect_size {
	const char *source;
	enum verdict severity;
	uint64_t min, max;
};

struct expect_tls_version {
	const char *source;
	enum verdict severity;
	uint16_t min; /* TLS_1_0 … TLS_1_3; 0 = any */
};

/* As they stand in a handshake; those between follow each other. */
enum {
	TLS_1_0 = 0x0301,
	TLS_1_3 = 0x0304
};

enum {
	SPKI_BYTES = 32
};

struct expect_pins {
	const char *source;
	enum verdict severity;
	const uint8_t (*items)[SPKI_BYTES];
	size_t n;
};

struct expect {
	struct expect_status status;
	struct expect_values header, json;
	struct expect_text body;
	struct expect_limits latency, cert_expires_in;
	struct expect_size size;
	struct expect_tls_version tls_version;
	struct expect_pins spki_sha256;
};

struct observation {
	uint32_t http_status;
	header_fn header;
	void *ctx;
	const char *body; /* as far as it was read */
	size_t body_len;
	uint64_t size; /* bytes of the body that came */
	usec_t latency;
	usec_t now;             /* wall time */
	usec_t cert_expires_at; /* wall time; 0 = no certificate */
	uint16_t tls_version;
	const uint8_t *spki_sha256; /* SPKI_BYTES; NULL = no certificate */
};

/* What the check must ask for so that expect can be judged. */
bool expect_needs_body(const struct expect *expect);
bool expect_needs_tls(const struct expect *expect);
/* … where a certificate from an earlier handshake will not do. */
bool expect_needs_certificate(const struct expect *expect);

bool expect_has_status(const struct expect *expect, uint32_t status);

/*
 * Judges in the order status, TLS version, pins, expiry, header, body, json, size, latency. The
 * first assertion that fails with severity down decides, else the first that fails at all; with
 * none the result stays as it is (REASON_OK). Only for complete answers.
 */
void expect_judge(
	const struct expect *expect, const struct observation *seen, struct result *result);

/* The same without status, which something else has judged. */
void expect_judge_more(
	const struct expect *expect, const struct observation *seen, struct result *result);

/* ---- a text alone: what a TCP answer must be ---- */

bool expect_text_holds(const struct expect_text *text, const char *data, size_t len);

/* Sets assert_body with what came and what was expected. */
void expect_text_fail(
	const struct expect_text *text, const char *data, size_t len, struct result *result);

/* ---- JSON values alone: what the JSON that a model writes must be ---- */

/* Sets assert_json or json_invalid unless all hold. */
void expect_json_judge(
	const struct expect_values *json, const char *body, size_t len, struct result *result);

/* ---- a time, a status, a TLS version alone ---- */

/* Sets slow and its verdict when a limit was passed; what begins the detail: "took", "first token
 * took". */
void expect_limits_judge(
	const struct expect_limits *limits, usec_t took, const char *what, struct result *result);

/* Whether a range that is configured holds the status; without any, none does. */
bool expect_status_lists(const struct expect_status *expected, uint32_t status);

/* "1.2", or "unknown". */
const char *expect_tls_version_text(uint16_t version);

/* What a status says by itself when it is not an expected one: auth_failed, rate_limited,
 * server_error or http_status. */
enum reason expect_status_reason(uint32_t status);

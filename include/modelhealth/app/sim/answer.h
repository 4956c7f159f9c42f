/* SPDX-License-Identifier: MIT */
/*
 * The answers of a simulated server that come in one piece, and the table of its paths.
 */
#pragma once

#include "modelhealth/app/sim/server.h"

/* Appends a whole answer to exchange->out. headers are complete lines, or NULL. */
void answer_write(struct exchange *exchange, uint64_t status, const char *headers,
	const char *content_type, struct slice body);

/* As answer_write, for JSON text. */
void answer_json(struct exchange *exchange, uint64_t status, const char *body);

/* Answers the request of the exchange by its method and path. */
void answer_request(struct exchange *exchange);

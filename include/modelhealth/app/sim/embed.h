/* SPDX-License-Identifier: MIT */
/*
 * Embeddings of a simulated server: the same text gives the same numbers, and like texts like ones.
 */
#pragma once

#include "modelhealth/app/sim/server.h"

/* Answers POST /v1/embeddings. */
void embed_answer(struct exchange *exchange);

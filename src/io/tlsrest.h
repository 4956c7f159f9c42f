/* SPDX-License-Identifier: MIT */
/*
 * The contexts of TLS connections that are over, kept for connections to come. Private to the
 * transfer engine.
 */
#pragma once

#include "modelhealth/base/defs.h"

#include <openssl/ssl.h>

/* Takes over one reference to a client's context that holds nothing of its connection any more. */
void tlsrest_add(SSL_CTX *ctx);

/* Frees those that rest. */
void tlsrest_clear(void);

/* SPDX-License-Identifier: MIT */
/*
 * The SSL_CTX_new() of this process. libcurl makes a context for each connection, and for each one
 * OpenSSL 3 looks up every algorithm that it knows, which is a fifth of a fresh check. libcurl has no
 * hook to be given a context, but a dynamic linker looks into the program before it looks into a
 * library; so libcurl gets one here whose connection is over, if any rests. Owns those, for the
 * thread that ran their connections.
 */
#include "tlsrest.h"

enum {
	MAX_RESTING = 512 /* as many as are under way by default; some 10 KB each */
};

static _Thread_local struct {
	SSL_CTX *contexts[MAX_RESTING];
	size_t n;
} resting;

void tlsrest_add(SSL_CTX *ctx)
{
	if (resting.n < MAX_RESTING)
		resting.contexts[resting.n++] = ctx;
	else
		SSL_CTX_free(ctx);
}

void tlsrest_clear(void)
{
	while (resting.n > 0)
		SSL_CTX_free(resting.contexts[--resting.n]);
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
	if (resting.n > 0 && method == TLS_client_method())
		return resting.contexts[--resting.n];
	return SSL_CTX_new_ex(NULL, NULL, method);
}

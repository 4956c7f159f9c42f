/* SPDX-License-Identifier: MIT */
/*
 * Certificates made for a test, and a TLS server side for a peer's script.
 */
#pragma once

#include <openssl/ssl.h>

#include "peer.h"

struct pki {
	char directory[32];
	char ca_file[64], cert_file[64], key_file[64]; /* the authority, and a client of it */
	EVP_PKEY *ca_key, *key;                        /* one key serves all leaves */
	X509 *ca;
};

void pki_open(struct pki *pki);
void pki_close(struct pki *pki);

/* A server certificate for the DNS name or IP address, valid between now + from and now + to
 * seconds; signed by the authority, or by itself. */
X509 *pki_leaf(struct pki *pki, const char *san, long from, long to, bool is_self_signed);

/* A server context with that certificate, which it takes. */
SSL_CTX *pki_server(struct pki *pki, X509 *leaf);

/* Shakes hands on fd, answers requests with text, each with its SNI in the header X-SNI and the
 * cipher suite in X-Cipher, and closes properly. */
void pki_serve(struct peer *peer, SSL_CTX *ctx, int fd, const char *text);

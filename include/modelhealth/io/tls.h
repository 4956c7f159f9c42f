/* SPDX-License-Identifier: MIT */
/*
 * The TLS side of a transfer: whom we trust, who we are, what we saw, and sessions kept so that
 * the next fresh connection is cheap. Only io/tls.c speaks to OpenSSL; libcurl does the handshake.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	TLS_SPKI_BYTES = 32
};

struct tls_trust;    /* a set of certificate authorities, shared by all that name the same file */
struct tls_identity; /* our certificate and its key */
struct tls_peer;     /* what is kept of one server between checks; shared with its connections */

/*
 * Loads the authorities of a PEM file; NULL = the system's. A file is parsed once for all who use
 * it and again only after it changed. Reads files: for load time only. 0, -errno of the file,
 * -EBADMSG (no certificate in it) or -ENOMEM.
 */
int tls_trust_new(const char *ca_file, struct tls_trust **ret_trust);
struct tls_trust *tls_trust_unref(struct tls_trust *trust);

/* The PEM chain and key. 0, -errno of a file, -EBADMSG (not PEM, or they do not match), -ENOMEM. */
int tls_identity_new(
	const char *cert_file, const char *key_file, struct tls_identity **ret_identity);
struct tls_identity *tls_identity_free(struct tls_identity *identity);

/* How to shake hands; everything is borrowed. */
struct tls_setup {
	bool is_verified; /* false accepts any certificate */
	const struct tls_trust *trust;
	const struct tls_identity *identity; /* NULL = none */
};

struct tls_facts {
	bool is_seen;           /* a handshake got as far as the certificate */
	bool is_resumed;        /* … and took it from an earlier session */
	usec_t cert_expires_at; /* wall time of the leaf's notAfter */
	uint16_t version;       /* 0x0303 = TLS 1.2, 0x0304 = TLS 1.3 */
	uint8_t spki_sha256[TLS_SPKI_BYTES];
	int verify_error; /* X509_V_ERR_*, 0 = none */
};

struct tls_peer *tls_peer_new(void);
struct tls_peer *tls_peer_ref(struct tls_peer *peer); /* NULL is fine */
struct tls_peer *tls_peer_unref(struct tls_peer *peer);

/*
 * Prepares an SSL_CTX that libcurl made for one connection (CURLOPT_SSL_CTX_FUNCTION). With
 * may_resume the session is kept for the next time (some 6 KB), and a kept one is offered while it
 * is younger than TLS_RESUME_MAX_SECONDS, its certificate has not expired, and trust and identity
 * are those it was made with. now is monotonic, real wall time. 0, -ENOMEM or -EINVAL.
 */
int tls_prepare(void *ssl_ctx, const struct tls_setup *setup, struct tls_peer *peer,
	bool may_resume, usec_t now, usec_t real);

/*
 * A resumed session shows the certificate of its full handshake. When that is replaced most servers
 * start anew with their tickets, so that the next check sees it; one that swaps it under old tickets
 * hides it for this long at most. A check that asserts something of the certificate shakes hands in
 * full each time. Full handshakes cost almost twice as much: with checks each 10 s this makes one of
 * some 23 full, a minute would make it one of five.
 */
enum {
	TLS_RESUME_MAX_SECONDS = 300
};

/* Reads the facts of an established connection (CURLINFO_TLS_SSL_PTR). now is monotonic. */
void tls_observe(void *ssl, struct tls_peer *peer, usec_t now);

const struct tls_facts *tls_peer_facts(const struct tls_peer *peer);

/* Whether a verify error is about the validity period. */
bool tls_error_is_expiry(int verify_error);

const char *tls_error_text(int verify_error);

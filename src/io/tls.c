/* SPDX-License-Identifier: MIT */
/*
 * Everything we say to OpenSSL. libcurl asks for one SSL_CTX per connection and hands it to
 * tls_prepare before the handshake; here it gets the shared store of authorities, our certificate
 * and the kept session. When the connection is over, the context is cleared and rests until libcurl
 * asks for the next (io/tlsrest.c). Owns the stores (one per file, by reference count). Called by
 * the transfer engine, and at load by the checks that name files.
 */
#include "modelhealth/io/tls.h"

#include "tlsrest.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct tls_trust {
	unsigned refs;
	uint64_t serial;
	char *path;
	struct stat file; /* as it was read */
	X509_STORE *store;
	struct tls_trust *next;
};

struct tls_identity {
	uint64_t serial;
	SSL_CTX *holder; /* of certificate, chain and key */
};

struct tls_peer {
	unsigned refs; /* ours and one per SSL_CTX that may still call back */
	SSL_SESSION *session;
	usec_t renew_at;          /* monotonic: the session's end */
	usec_t expires_at;        /* wall time: the end of its certificate */
	uint64_t trust, identity; /* serials of what the session was made with, 0 = none */
	const SSL_CTX *latest;    /* of this handshake; only compared */
	bool is_verified;         /* this handshake is */
	bool may_keep;            /* the session of this handshake; an older one may be resumed */
	bool is_shaking;          /* prepared, not yet observed */
	struct tls_facts facts;   /* of the last handshake */
};

static struct tls_trust *trusts; /* those in use */
static uint64_t last_serial;     /* tells what was loaded later at an address from what was there */

/* ---- authorities ---- */

static int stat_file(const char *path, struct stat *ret_file)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, ret_file) < 0)
		return -errno;
	return S_ISREG(ret_file->st_mode) ? 0 : -EINVAL;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static struct tls_trust *find_trust(const char *path, const struct stat *file)
{
	struct tls_trust *trust = trusts;

	while (trust && (strcmp(trust->path, path) != 0 || !is_same_file(&trust->file, file)))
		trust = trust->next;
	return trust;
}

static X509_STORE *load_store(const char *path, int *ret_error)
{
	X509_STORE *store = X509_STORE_new();

	*ret_error = -ENOMEM;
	if (!store)
		return NULL;
	/* As libcurl sets its own: an intermediate in the file is an anchor too. */
	(void)X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	if (X509_STORE_load_file(store, path) == 1)
		return store;
	*ret_error = -EBADMSG;
	ERR_clear_error();
	X509_STORE_free(store);
	return NULL;
}

int tls_trust_new(const char *ca_file, struct tls_trust **ret_trust)
{
	const char *path = ca_file ? ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
	struct tls_trust *trust;
	struct stat file;
	int r;

	if (!path)
		return -ENOENT;
	r = stat_file(path, &file);
	if (r < 0)
		return r;
	trust = find_trust(path, &file);
	if (trust) {
		trust->refs++;
		*ret_trust = trust;
		return 0;
	}
	trust = calloc(1, sizeof *trust);
	if (!trust)
		return -ENOMEM;
	trust->refs = 1;
	trust->serial = ++last_serial;
	trust->file = file;
	trust->path = strdup(path);
	trust->store = load_store(path, &r);
	trust->next = trusts;
	trusts = trust;
	if (!trust->path || !trust->store) {
		tls_trust_unref(trust);
		return r < 0 ? r : -ENOMEM;
	}
	*ret_trust = trust;
	return 0;
}

struct tls_trust *tls_trust_unref(struct tls_trust *trust)
{
	struct tls_trust **link = &trusts;

	if (!trust || --trust->refs > 0)
		return NULL;
	while (*link != trust)
		link = &(*link)->next;
	*link = trust->next;
	X509_STORE_free(trust->store);
	free(trust->path);
	free(trust);
	return NULL;
}

/* ---- our certificate ---- */

/* OpenSSL's own would ask on the terminal. */
static int no_passphrase(char *text, int size, int is_writing, void *arg)
{
	(void)text;
	(void)size;
	(void)is_writing;
	(void)arg;
	return -1;
}

int tls_identity_new(
	const char *cert_file, const char *key_file, struct tls_identity **ret_identity)
{
	struct tls_identity *identity;
	struct stat file;
	int r = stat_file(cert_file, &file);

	if (r == 0)
		r = stat_file(key_file, &file);
	if (r < 0)
		return r;
	identity = calloc(1, sizeof *identity);
	if (!identity)
		return -ENOMEM;
	identity->serial = ++last_serial;
	identity->holder = SSL_CTX_new_ex(NULL, NULL, TLS_client_method()); /* one of its own */
	if (!identity->holder) {
		free(identity);
		return -ENOMEM;
	}
	SSL_CTX_set_default_passwd_cb(identity->holder, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(identity->holder, cert_file) != 1 ||
		SSL_CTX_use_PrivateKey_file(identity->holder, key_file, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(identity->holder) != 1) {
		ERR_clear_error();
		tls_identity_free(identity);
		return -EBADMSG;
	}
	*ret_identity = identity;
	return 0;
}

struct tls_identity *tls_identity_free(struct tls_identity *identity)
{
	if (!identity)
		return NULL;
	SSL_CTX_free(identity->holder);
	free(identity);
	return NULL;
}

static bool use_identity(SSL_CTX *ctx, const struct tls_identity *identity)
{
	STACK_OF(X509) *chain = NULL;

	if (!identity)
		return true;
	(void)SSL_CTX_get0_chain_certs(identity->holder, &chain);
	return SSL_CTX_use_certificate(ctx, SSL_CTX_get0_certificate(identity->holder)) == 1 &&
	       SSL_CTX_set1_chain(ctx, chain) == 1 &&
	       SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(identity->holder)) == 1;
}

/* ---- peers ---- */

struct tls_peer *tls_peer_new(void)
{
	struct tls_peer *peer = calloc(1, sizeof *peer);

	if (peer)
		peer->refs = 1;
	return peer;
}

struct tls_peer *tls_peer_ref(struct tls_peer *peer)
{
	if (peer)
		peer->refs++;
	return peer;
}

struct tls_peer *tls_peer_unref(struct tls_peer *peer)
{
	if (!peer || --peer->refs > 0)
		return NULL;
	SSL_SESSION_free(peer->session);
	free(peer);
	return NULL;
}

const struct tls_facts *tls_peer_facts(const struct tls_peer *peer)
{
	return &peer->facts;
}

static void forget_session(struct tls_peer *peer)
{
	SSL_SESSION_free(peer->session);
	peer->session = NULL;
}

/* A session proves the server only as far as its full handshake did: to those authorities, with
 * that certificate of ours, and until its certificate ends. With one that ended, the server may have
 * a new one to show. */
static bool is_session_good(
	const struct tls_peer *peer, const struct tls_setup *setup, usec_t now, usec_t real)
{
	return peer->trust == (setup->trust ? setup->trust->serial : 0) &&
	       peer->identity == (setup->identity ? setup->identity->serial : 0) &&
	       now < peer->renew_at && (!setup->is_verified || real < peer->expires_at);
}

/* In the second half of the time that a session may live: endpoints that began together must not
 * all pay for a full handshake at once. */
static usec_t renewal_time(usec_t now)
{
	static const usec_t longest = TLS_RESUME_MAX_SECONDS * USEC_PER_SEC;
	uint32_t random = 0;

	(void)RAND_bytes((unsigned char *)&random, sizeof random); /* 0 is as good */
	return now + longest / 2 + random % (longest / 2);
}

static usec_t usec_of_asn1(const ASN1_TIME *time)
{
	struct tm parts = { 0 };
	time_t seconds;

	if (!time || ASN1_TIME_to_tm(time, &parts) != 1)
		return 0;
	seconds = timegm(&parts);
	return seconds > 0 ? (usec_t)seconds * USEC_PER_SEC : 0;
}

static void note_certificate(struct tls_peer *peer, X509 *certificate)
{
	unsigned char *der = NULL;
	int len;

	peer->facts.is_seen = true;
	peer->facts.cert_expires_at = usec_of_asn1(X509_get0_notAfter(certificate));
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	if (len > 0)
		(void)EVP_Digest(
			der, (size_t)len, peer->facts.spki_sha256, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
}

/* ---- callbacks of OpenSSL; the peer hangs on the SSL_CTX ---- */

static void on_ctx_freed(
	void *parent, void *peer, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	tls_peer_unref(peer);
}

static int peer_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_freed);
	return index;
}

static struct tls_peer *peer_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), peer_index());
}

/* Changes no verdict; remembers why and whose certificate it was. */
static int on_verify(int is_ok, X509_STORE_CTX *store_ctx)
{
	const SSL *ssl =
		X509_STORE_CTX_get_ex_data(store_ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_peer *peer = peer_of(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(store_ctx);

	if (is_ok || !peer->is_verified)
		return is_ok;
	peer->facts.verify_error = X509_STORE_CTX_get_error(store_ctx);
	if (leaf)
		note_certificate(peer, leaf);
	return is_ok;
}

/* Takes the reference when it returns 1. An older connection may still get tickets, but was perhaps
 * made with other authorities. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_peer *peer = peer_of(ssl);

	if (!peer->may_keep || SSL_get_SSL_CTX(ssl) != peer->latest)
		return 0;
	forget_session(peer);
	peer->session = session;
	return 1;
}

/* A context that shows a certificate cannot be told to forget it. */
static bool clear_context(SSL_CTX *ctx)
{
	struct tls_peer *peer = SSL_CTX_get_ex_data(ctx, peer_index());
	X509_STORE *nobody = SSL_CTX_get0_certificate(ctx) ? NULL : X509_STORE_new();

	if (!nobody)
		return false;
	SSL_CTX_set_cert_store(ctx, nobody);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_sess_set_new_cb(ctx, NULL);
	SSL_CTX_set_info_callback(ctx, NULL);
	SSL_CTX_set_msg_callback(ctx, NULL); /* libcurl's, for a request with a log */
	SSL_CTX_set_msg_callback_arg(ctx, NULL);
	(void)SSL_CTX_set_alpn_protos(ctx, NULL, 0);
	(void)SSL_CTX_set_ex_data(ctx, peer_index(), NULL); /* cannot fail: it was set before */
	tls_peer_unref(peer);
	return true;
}

/* The connection is over. Takes the reference that on_info hung on it. */
static void on_ssl_freed(
	void *parent, void *ctx, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	if (ctx && clear_context(ctx))
		tlsrest_add(ctx);
	else
		SSL_CTX_free(ctx);
}

static int context_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_freed);
	return index;
}

/* Without memory for that, the context goes with libcurl's reference. */
static void keep_context(SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	if (SSL_get_ex_data(ssl, context_index()) || SSL_CTX_up_ref(ctx) != 1)
		return;
	if (SSL_set_ex_data(ssl, context_index(), ctx) != 1)
		SSL_CTX_free(ctx);
}

/* libcurl makes the SSL after tls_prepare, so this is the first place where it can be given the
 * session: the handshake has not begun yet. */
static void on_info(const SSL *ssl, int where, int value)
{
	SSL *mine = (SSL *)(uintptr_t)ssl; /* OpenSSL hands out what it lets us change */
	const struct tls_peer *peer;

	(void)value;
	if ((where & SSL_CB_HANDSHAKE_START) == 0)
		return;
	keep_context(mine);
	peer = peer_of(ssl);
	if (peer->session && !SSL_get_session(ssl))
		(void)SSL_set_session(mine, peer->session); /* a failure: a full handshake */
}

/* Asks for the hash that processors have instructions for: the key schedule hashes some hundred
 * blocks, and SHA-384 costs 5 % of a check. Only in place of OpenSSL's own choice: what the
 * administrator set in openssl.cnf stands. */
static void prefer_sha256(SSL_CTX *ctx)
{
	static const char preferred[] = TLS1_3_RFC_AES_128_GCM_SHA256
		":" TLS1_3_RFC_AES_256_GCM_SHA384 ":" TLS1_3_RFC_CHACHA20_POLY1305_SHA256;
	static const uint32_t defaults[] = { TLS1_3_CK_AES_256_GCM_SHA384,
		TLS1_3_CK_CHACHA20_POLY1305_SHA256, TLS1_3_CK_AES_128_GCM_SHA256 };
	STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);

	if (sk_SSL_CIPHER_num(ciphers) < (int)array_size(defaults))
		return;
	for (int i = 0; i < (int)array_size(defaults); i++) {
		if (SSL_CIPHER_get_id(sk_SSL_CIPHER_value(ciphers, i)) != defaults[i])
			return;
	}
	(void)SSL_CTX_set_ciphersuites(ctx, preferred); /* a refusal leaves the default */
}

int tls_prepare(void *ssl_ctx, const struct tls_setup *setup, struct tls_peer *peer,
	bool may_resume, usec_t now, usec_t real)
{
	SSL_CTX *ctx = ssl_ctx;

	if (peer_index() < 0 || SSL_CTX_set_ex_data(ctx, peer_index(), peer) != 1)
		return -ENOMEM;
	tls_peer_ref(peer);
	peer->facts = (struct tls_facts){ 0 };
	peer->is_shaking = true;
	peer->latest = ctx;
	peer->is_verified = setup->is_verified;
	peer->may_keep = may_resume;
	if (!may_resume || !is_session_good(peer, setup, now, real))
		forget_session(peer);
	peer->trust = setup->trust ? setup->trust->serial : 0;
	peer->identity = setup->identity ? setup->identity->serial : 0;
	if (setup->trust)
		SSL_CTX_set1_cert_store(ctx, setup->trust->store);
	if (!use_identity(ctx, setup->identity)) {
		ERR_clear_error();
		return -EINVAL;
	}
	prefer_sha256(ctx);
	SSL_CTX_set_verify(ctx, SSL_CTX_get_verify_mode(ctx), on_verify);
	SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET); /* set by libcurl; needed for TLS 1.2 */
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_info_callback(ctx, on_info);
	return 0;
}

void tls_observe(void *ssl_pointer, struct tls_peer *peer, usec_t now)
{
	SSL *ssl = ssl_pointer;
	X509 *certificate = SSL_get0_peer_certificate(ssl);

	peer->facts.version = (uint16_t)SSL_version(ssl);
	peer->facts.is_resumed = SSL_session_reused(ssl) == 1;
	if (certificate)
		note_certificate(peer, certificate);
	if (peer->is_shaking && !peer->facts.is_resumed) {
		peer->renew_at = renewal_time(now);
		peer->expires_at = peer->facts.cert_expires_at;
	}
	peer->is_shaking = false; /* later requests come over the same connection */
}

/* ---- verify errors ---- */

bool tls_error_is_expiry(int verify_error)
{
	return verify_error == X509_V_ERR_CERT_HAS_EXPIRED ||
	       verify_error == X509_V_ERR_CERT_NOT_YET_VALID;
}

const char *tls_error_text(int verify_error)
{
	return X509_verify_cert_error_string(verify_error);
}

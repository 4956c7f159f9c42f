/* SPDX-License-Identifier: MIT */
/*
 * A small certificate authority in memory; only what libcurl must find in files is written.
 */
#include "pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static X509 *make(struct pki *pki, EVP_PKEY *key, const char *name, long from, long to,
	X509 *issuer, EVP_PKEY *issuer_key, const char *basic, const char *san)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);

	(void)pki;
	must(X509_set_version(certificate, 2) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1);
	must(X509_gmtime_adj(X509_getm_notBefore(certificate), from));
	must(X509_gmtime_adj(X509_getm_notAfter(certificate), to));
	must(X509_set_pubkey(certificate, key) == 1);
	must(X509_NAME_add_entry_by_txt(
		     subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
	must(X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer) : subject) ==
		1);
	add_extension(certificate, issuer ? issuer : certificate, NID_basic_constraints, basic);
	if (san)
		add_extension(
			certificate, issuer ? issuer : certificate, NID_subject_alt_name, san);
	must(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
	return certificate;
}

static void write_file(const char *path, X509 *certificate, EVP_PKEY *key)
{
	FILE *file = fopen(path, "we");

	must(file);
	if (certificate)
		must(PEM_write_X509(file, certificate) == 1);
	if (key)
		must(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
	must(fclose(file) == 0);
}

void pki_open(struct pki *pki)
{
	X509 *client;

	*pki = (struct pki){ .directory = "/tmp/mh-pki-XXXXXX" };
	must(mkdtemp(pki->directory));
	(void)snprintf(pki->ca_file, sizeof pki->ca_file, "%s/ca.pem", pki->directory);
	(void)snprintf(pki->cert_file, sizeof pki->cert_file, "%s/client.pem", pki->directory);
	(void)snprintf(pki->key_file, sizeof pki->key_file, "%s/client.key", pki->directory);
	pki->ca_key = EVP_EC_gen("P-256");
	pki->key = EVP_EC_gen("P-256");
	pki->ca = make(pki, pki->ca_key, "test authority", -3600, 86400, NULL, pki->ca_key,
		"critical,CA:TRUE", NULL);
	client =
		make(pki, pki->key, "client", -3600, 86400, pki->ca, pki->ca_key, "CA:FALSE", NULL);
	write_file(pki->ca_file, pki->ca, NULL);
	write_file(pki->cert_file, client, NULL);
	write_file(pki->key_file, NULL, pki->key);
	X509_free(client);
}

void pki_close(struct pki *pki)
{
	must(unlink(pki->ca_file) == 0 && unlink(pki->cert_file) == 0 &&
		unlink(pki->key_file) == 0 && rmdir(pki->directory) == 0);
	X509_free(pki->ca);
	EVP_PKEY_free(pki->ca_key);
	EVP_PKEY_free(pki->key);
}

X509 *pki_leaf(struct pki *pki, const char *san, long from, long to, bool is_self_signed)
{
	return make(pki, pki->key, "leaf", from, to, is_self_signed ? NULL : pki->ca,
		is_self_signed ? pki->key : pki->ca_key, "CA:FALSE", san);
}

SSL_CTX *pki_server(struct pki *pki, X509 *leaf)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	must(SSL_CTX_use_certificate(ctx, leaf) == 1);
	must(SSL_CTX_use_PrivateKey(ctx, pki->key) == 1);
	must(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"t", 1) == 1);
	X509_free(leaf);
	return ctx;
}

static bool read_request(SSL *ssl)
{
	char request[4096];
	size_t len = 0;

	while (len < sizeof request - 1) {
		int got = SSL_read(ssl, request + len, 1);

		if (got <= 0)
			return false;
		request[++len] = '\0';
		if (len >= 4 && strcmp(request + len - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

void pki_serve(struct peer *peer, SSL_CTX *ctx, int fd, const char *text)
{
	SSL *ssl = SSL_new(ctx);
	const char *sni;
	char answer[512];

	must(SSL_set_fd(ssl, fd) == 1);
	if (SSL_accept(ssl) == 1) {
		sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
		while (read_request(ssl)) {
			(void)snprintf(answer, sizeof answer,
				"HTTP/1.1 200 OK\r\nX-SNI: %s\r\nX-Cipher: %s\r\nContent-Length: "
				"%zu\r\n\r\n%s",
				sni ? sni : "", SSL_get_cipher_name(ssl), strlen(text), text);
			if (SSL_write(ssl, answer, (int)strlen(answer)) <= 0)
				break;
		}
		(void)SSL_shutdown(ssl);
	} else {
		/* lets the alert arrive: closing with unread bytes would reset */
		(void)shutdown(fd, SHUT_WR);
		peer_hang(peer, fd);
	}
	SSL_free(ssl);
}

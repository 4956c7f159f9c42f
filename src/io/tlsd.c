/* SPDX-License-Identifier: MIT */
/*
 * TLS sessions of the simulator over OpenSSL. Owns the contexts and sessions, never the sockets.
 */
#include "modelhealth/io/tlsd.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct tlsd {
	SSL_CTX *context;
};

struct tlsd_stream {
	SSL *ssl;
	bool wants_write;
};

/* OpenSSL keeps a queue of errors; the first says what went wrong, the rest would confuse later. */
static void take_error(const char *what, char *ret_error, size_t error_size)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	(void)snprintf(ret_error, error_size, "%s: %s", what, reason ? reason : "unknown error");
	ERR_clear_error();
}

int tlsd_new(const char *certificate_file, const char *key_file, struct tlsd **ret_tlsd,
	char *ret_error, size_t error_size)
{
	struct tlsd *tlsd = calloc(1, sizeof *tlsd);
	const char *bad = NULL;

	if (!tlsd)
		return -ENOMEM;
	tlsd->context = SSL_CTX_new(TLS_server_method());
	if (!tlsd->context) {
		(void)tlsd_free(tlsd);
		return -ENOMEM;
	}
	if (SSL_CTX_use_certificate_chain_file(tlsd->context, certificate_file) != 1)
		bad = certificate_file;
	else if (SSL_CTX_use_PrivateKey_file(tlsd->context, key_file, SSL_FILETYPE_PEM) != 1)
		bad = key_file;
	if (bad) {
		take_error(bad, ret_error, error_size);
		(void)tlsd_free(tlsd);
		return -EINVAL;
	}
	(void)SSL_CTX_set_mode(tlsd->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
						      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
						      SSL_MODE_RELEASE_BUFFERS);
	*ret_tlsd = tlsd;
	return 0;
}

struct tlsd *tlsd_free(struct tlsd *tlsd)
{
	if (!tlsd)
		return NULL;
	SSL_CTX_free(tlsd->context);
	free(tlsd);
	return NULL;
}

struct tlsd_stream *tlsd_stream_new(struct tlsd *tlsd, int fd)
{
	struct tlsd_stream *stream = calloc(1, sizeof *stream);

	if (!stream)
		return NULL;
	stream->ssl = SSL_new(tlsd->context);
	if (!stream->ssl || SSL_set_fd(stream->ssl, fd) != 1)
		return tlsd_stream_free(stream);
	SSL_set_accept_state(stream->ssl);
	return stream;
}

struct tlsd_stream *tlsd_stream_free(struct tlsd_stream *stream)
{
	if (!stream)
		return NULL;
	if (stream->ssl && SSL_is_init_finished(stream->ssl))
		(void)SSL_shutdown(stream->ssl); /* a courtesy; nobody waits for the answer */
	ERR_clear_error();
	SSL_free(stream->ssl);
	free(stream);
	return NULL;
}

static ssize_t take_result(struct tlsd_stream *stream, int n)
{
	int error;

	if (n > 0)
		return n;
	error = SSL_get_error(stream->ssl, n);
	ERR_clear_error();
	stream->wants_write = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	return error == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

ssize_t tlsd_read(struct tlsd_stream *stream, char *data, size_t size)
{
	return take_result(stream, SSL_read(stream->ssl, data, (int)min_of(size, (size_t)INT_MAX)));
}

ssize_t tlsd_write(struct tlsd_stream *stream, const char *data, size_t len)
{
	return take_result(stream, SSL_write(stream->ssl, data, (int)min_of(len, (size_t)INT_MAX)));
}

bool tlsd_wants_write(const struct tlsd_stream *stream)
{
	return stream->wants_write;
}

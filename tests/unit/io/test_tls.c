/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/tls.h"

#include "bench.h"
#include "modelhealth/base/clock.h"
#include "peer.h"
#include "pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const long hour = 3600, day = 86400;
static const long libcurl_cache_mode = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL;

struct fixture {
	struct pki pki;
	struct bench bench;
	struct peer peer;
	struct url *url;
	struct http_request request;
	struct tls_setup setup;
	struct tls_trust *trust;
	SSL_CTX *ctx;
};

static void serve_tls(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	pki_serve(peer, (SSL_CTX *)(uintptr_t)peer->arg, fd, "hello");
}

/* A server with the leaf (NULL = one that is fine), or with another script than TLS. */
static void open_fixture(struct fixture *f, X509 *(*leaf)(struct pki *), peer_script script)
{
	*f = (struct fixture){ 0 };
	pki_open(&f->pki);
	bench_open(&f->bench, NULL);
	f->bench.lane = http_lane_new(f->bench.httpc);
	f->ctx = pki_server(&f->pki,
		leaf ? leaf(&f->pki) : pki_leaf(&f->pki, "IP:127.0.0.1", -hour, day, false));
	peer_start(&f->peer, script ? script : serve_tls, f->ctx);
	must(tls_trust_new(f->pki.ca_file, &f->trust) == 0);
	f->setup = (struct tls_setup){ .is_verified = true, .trust = f->trust };
	f->request = bench_request(&f->url, "https://127.0.0.1:%u/", f->peer.port);
	f->request.tls = &f->setup;
}

static void close_fixture(struct fixture *f)
{
	peer_stop(&f->peer);
	url_free(f->url);
	bench_close(&f->bench);
	tls_trust_unref(f->trust);
	SSL_CTX_free(f->ctx);
	pki_close(&f->pki);
}

#define assert_reason(f, expected) \
	assert_string_equal(reason_token(bench_run(&(f)->bench, &(f)->request)), expected)

static void test_tls_verified_answer_has_facts_and_timing(void **state)
{
	struct fixture f;
	usec_t expires;

	(void)state;
	open_fixture(&f, NULL, NULL);
	assert_reason(&f, "ok");
	expires = clock_realtime() + (usec_t)day * USEC_PER_SEC;
	assert_in_range(f.bench.result.cert_expires_at, expires - 60 * USEC_PER_SEC, expires);
	assert_true(f.bench.tls.is_seen);
	assert_false(f.bench.tls.is_resumed);
	assert_int_equal(f.bench.tls.version, 0x0304);
	assert_true(result_has_timing(&f.bench.result, TIMING_TLS));
	close_fixture(&f);
}

static X509 *leaf_expired(struct pki *pki)
{
	return pki_leaf(pki, "IP:127.0.0.1", -day, -hour, false);
}

static X509 *leaf_of_the_future(struct pki *pki)
{
	return pki_leaf(pki, "IP:127.0.0.1", hour, day, false);
}

static X509 *leaf_self_signed(struct pki *pki)
{
	return pki_leaf(pki, "IP:127.0.0.1", -hour, day, true);
}

static X509 *leaf_of_another_host(struct pki *pki)
{
	return pki_leaf(pki, "DNS:other.example", -hour, day, false);
}

static void test_tls_bad_certificates_have_their_reason(void **state)
{
	static const struct {
		X509 *(*leaf)(struct pki *);
		const char *reason;
		bool has_expiry;
	} leaves[] = {
		{ leaf_expired, "tls_expired", true },
		{ leaf_of_the_future, "tls_expired", true },
		{ leaf_self_signed, "tls_verify_failed", true },
		{ leaf_of_another_host, "tls_verify_failed", false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(leaves); i++) {
		struct fixture f;

		open_fixture(&f, leaves[i].leaf, NULL);
		assert_reason(&f, leaves[i].reason);
		assert_true(f.bench.result.cert_expires_at != 0 || !leaves[i].has_expiry);
		assert_true(f.bench.result.detail[0] != '\0');
		f.setup.is_verified = false;
		assert_reason(&f, "ok");
		close_fixture(&f);
	}
}

static void test_tls_server_name_is_sent_and_verified(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, leaf_of_another_host, NULL);
	f.request.server_name = "other.example";
	f.bench.wanted_header = "X-SNI";
	assert_reason(&f, "ok");
	assert_string_equal(f.bench.header, "other.example");
	f.request.server_name = "third.example";
	f.request.is_full_handshake_wanted = true;
	assert_reason(&f, "tls_verify_failed");
	close_fixture(&f);
}

static void talk_plain(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_send(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	peer_hang(peer, fd);
}

static void say_nothing(struct peer *peer, int fd, unsigned number)
{
	(void)number;
	peer_hang(peer, fd);
}

static void reset_at_hello(struct peer *peer, int fd, unsigned number)
{
	char hello[64];

	(void)peer;
	(void)number;
	(void)!read(fd, hello, sizeof hello);
	peer_reset(fd);
}

static void test_tls_broken_handshakes_have_their_reason(void **state)
{
	static const struct {
		peer_script script;
		const char *reason;
	} servers[] = {
		{ talk_plain, "tls_failed" },
		{ say_nothing, "connect_timeout" },
		{ reset_at_hello, "conn_reset" },
	};

	(void)state;
	for (size_t i = 0; i < array_size(servers); i++) {
		struct fixture f;

		open_fixture(&f, NULL, servers[i].script);
		f.request.timeout.connect = 300 * USEC_PER_MSEC;
		assert_reason(&f, servers[i].reason);
		close_fixture(&f);
	}
}

static void test_tls_client_certificate_is_shown(void **state)
{
	struct tls_identity *identity;
	struct fixture f;

	(void)state;
	open_fixture(&f, NULL, NULL);
	must(SSL_CTX_load_verify_file(f.ctx, f.pki.ca_file) == 1);
	SSL_CTX_set_verify(f.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	assert_reason(&f, "tls_failed");
	must(tls_identity_new(f.pki.cert_file, f.pki.key_file, &identity) == 0);
	f.setup.identity = identity;
	assert_reason(&f, "ok");
	tls_identity_free(identity);
	close_fixture(&f);
}

static void test_tls_fresh_connections_resume_within_a_lane(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, NULL, NULL);
	assert_reason(&f, "ok");
	assert_false(f.bench.tls.is_resumed);
	assert_reason(&f, "ok");
	assert_true(f.bench.tls.is_resumed);
	assert_true(f.bench.tls.is_seen); /* the certificate is known all the same */
	assert_false(f.bench.result.reused);
	f.request.is_full_handshake_wanted = true;
	assert_reason(&f, "ok");
	assert_false(f.bench.tls.is_resumed);
	f.request.is_full_handshake_wanted = false;
	http_lane_free(f.bench.lane);
	f.bench.lane = http_lane_new(f.bench.httpc);
	assert_reason(&f, "ok");
	assert_false(f.bench.tls.is_resumed); /* lanes share nothing */
	close_fixture(&f);
}

static void test_tls_1_2_resumes_too(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, NULL, NULL);
	must(SSL_CTX_set_max_proto_version(f.ctx, TLS1_2_VERSION) == 1);
	assert_reason(&f, "ok");
	assert_int_equal(f.bench.tls.version, 0x0303);
	assert_reason(&f, "ok");
	assert_true(f.bench.tls.is_resumed);
	close_fixture(&f);
}

static X509 *leaf_for_two_seconds(struct pki *pki)
{
	return pki_leaf(pki, "IP:127.0.0.1", -hour, 2, false);
}

static void test_tls_resumption_does_not_hide_expiry(void **state)
{
	struct fixture f;
	usec_t expires_at;

	(void)state;
	open_fixture(&f, leaf_for_two_seconds, NULL);
	assert_reason(&f, "ok");
	expires_at = f.bench.result.cert_expires_at;
	while (clock_realtime() <= expires_at)
		(void)poll(NULL, 0, 20);
	assert_reason(&f, "tls_expired");
	close_fixture(&f);
}

/* Otherwise a server that renewed in time would be called expired. */
static void test_tls_resumption_ends_with_the_certificate(void **state)
{
	struct fixture f;
	usec_t expires_at;
	X509 *renewed;

	(void)state;
	open_fixture(&f, leaf_for_two_seconds, NULL);
	assert_reason(&f, "ok");
	expires_at = f.bench.result.cert_expires_at;
	renewed = pki_leaf(&f.pki, "IP:127.0.0.1", -hour, day, false);
	must(SSL_CTX_use_certificate(f.ctx, renewed) == 1);
	X509_free(renewed);
	while (clock_realtime() <= expires_at)
		(void)poll(NULL, 0, 20);
	assert_reason(&f, "ok");
	assert_false(f.bench.tls.is_resumed);
	assert_true(f.bench.result.cert_expires_at > expires_at);
	close_fixture(&f);
}

static void test_tls_other_authorities_count_at_once(void **state)
{
	struct tls_trust *others;
	struct fixture f;
	struct pki pki;

	(void)state;
	pki_open(&pki);
	must(tls_trust_new(pki.ca_file, &others) == 0);
	open_fixture(&f, NULL, NULL);
	assert_reason(&f, "ok");
	f.setup.trust = others;
	assert_reason(&f, "tls_verify_failed");
	close_fixture(&f);
	tls_trust_unref(others);
	pki_close(&pki);
}

static void test_tls_another_certificate_of_ours_is_shown_at_once(void **state)
{
	struct tls_identity *identity;
	struct fixture f;

	(void)state;
	open_fixture(&f, NULL, NULL);
	must(tls_identity_new(f.pki.cert_file, f.pki.key_file, &identity) == 0);
	f.setup.identity = identity;
	assert_reason(&f, "ok");
	tls_identity_free(identity);
	must(tls_identity_new(f.pki.cert_file, f.pki.key_file, &identity) == 0);
	f.setup.identity = identity;
	assert_reason(&f, "ok");
	assert_false(f.bench.tls.is_resumed);
	assert_reason(&f, "ok");
	assert_true(f.bench.tls.is_resumed);
	tls_identity_free(identity);
	close_fixture(&f);
}

static void shake(SSL *client, SSL *server)
{
	char byte;

	for (int i = 0; i < 10 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
		i++) {
		(void)SSL_connect(client);
		(void)SSL_accept(server);
	}
	must(SSL_is_init_finished(client) && SSL_is_init_finished(server));
	(void)SSL_read(client, &byte, 1); /* the tickets */
}

/* A whole connection in memory at that time, with the client's context as libcurl sets it. */
static void connect_in_memory(struct fixture *f, SSL_CTX *ctx, struct tls_peer *peer, usec_t now)
{
	BIO *near, *far;
	SSL *client, *server = SSL_new(f->ctx);

	SSL_CTX_set_session_cache_mode(ctx, libcurl_cache_mode);
	must(tls_prepare(ctx, &f->setup, peer, true, now, clock_realtime()) == 0);
	client = SSL_new(ctx);
	must(BIO_new_bio_pair(&near, 0, &far, 0) == 1);
	SSL_set_bio(client, near, near);
	SSL_set_bio(server, far, far);
	shake(client, server);
	tls_observe(client, peer, now);
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN); /* else the session counts as broken */
	SSL_free(client);
	SSL_free(server);
}

static bool is_resumed_at(struct fixture *f, struct tls_peer *peer, usec_t now)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	connect_in_memory(f, ctx, peer, now);
	SSL_CTX_free(ctx);
	return tls_peer_facts(peer)->is_resumed;
}

static void test_tls_sessions_are_renewed_in_the_second_half_of_their_time(void **state)
{
	static const usec_t longest = TLS_RESUME_MAX_SECONDS * USEC_PER_SEC;
	struct tls_peer *peer = tls_peer_new();
	struct fixture f;
	usec_t now = USEC_PER_SEC;

	(void)state;
	open_fixture(&f, NULL, say_nothing);
	assert_false(is_resumed_at(&f, peer, now));
	assert_true(is_resumed_at(&f, peer, now + longest / 2 - 1));
	assert_false(is_resumed_at(&f, peer, now + longest)); /* resuming prolongs nothing */
	assert_true(is_resumed_at(&f, peer, now + longest + 1));
	tls_peer_unref(peer);
	close_fixture(&f);
}

/* One that was used for a connection, with a mark. The caller has a reference, as libcurl had. */
static SSL_CTX *used_context(struct fixture *f, void *mark)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct tls_peer *peer = tls_peer_new();

	SSL_CTX_set_app_data(ctx, mark);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	must(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\2h2", 3) == 0);
	connect_in_memory(f, ctx, peer, USEC_PER_SEC);
	tls_peer_unref(peer);
	return ctx;
}

static void test_tls_libcurl_takes_the_context_of_an_ended_connection(void **state)
{
	char mark;
	struct fixture f;
	SSL_CTX *ctx;

	(void)state;
	open_fixture(&f, NULL, NULL);
	ctx = used_context(&f, &mark);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_free(ctx);
	assert_reason(&f, "ok");
	ctx = SSL_CTX_new(TLS_client_method());
	assert_ptr_equal(SSL_CTX_get_app_data(ctx), &mark);
	assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), libcurl_cache_mode);
	SSL_CTX_free(ctx);
	close_fixture(&f);
}

static int note_alpn(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len,
	const unsigned char *offered, unsigned len, void *is_offered)
{
	(void)ssl;
	(void)ret_chosen;
	(void)ret_len;
	(void)offered;
	(void)len;
	*(bool *)is_offered = true;
	return SSL_TLSEXT_ERR_NOACK;
}

static void test_tls_context_forgets_its_connection(void **state)
{
	char mark;
	bool is_alpn_offered = false;
	struct fixture f;
	struct tls_peer *peer = tls_peer_new();
	X509_STORE *store;
	SSL_CTX *ctx;

	(void)state;
	open_fixture(&f, NULL, say_nothing);
	SSL_CTX_set_alpn_select_cb(f.ctx, note_alpn, &is_alpn_offered);
	SSL_CTX_free(used_context(&f, &mark));
	assert_true(is_alpn_offered);
	ctx = SSL_CTX_new(TLS_client_method());
	assert_ptr_equal(SSL_CTX_get_app_data(ctx), &mark);
	store = SSL_CTX_get_cert_store(ctx);
	assert_int_equal(sk_X509_OBJECT_num(X509_STORE_get0_objects(store)), 0);
	assert_int_equal(SSL_CTX_get_verify_mode(ctx), SSL_VERIFY_NONE);
	assert_null(SSL_CTX_get_verify_callback(ctx));
	assert_null(SSL_CTX_get_info_callback(ctx));
	assert_null(SSL_CTX_sess_get_new_cb(ctx));
	is_alpn_offered = false;
	connect_in_memory(&f, ctx, peer, USEC_PER_SEC);
	assert_false(is_alpn_offered);
	SSL_CTX_free(ctx);
	tls_peer_unref(peer);
	close_fixture(&f);
}

static void test_tls_context_with_our_certificate_is_not_used_again(void **state)
{
	char mark;
	struct tls_identity *identity;
	struct fixture f;
	SSL_CTX *ctx;

	(void)state;
	open_fixture(&f, NULL, say_nothing);
	must(tls_identity_new(f.pki.cert_file, f.pki.key_file, &identity) == 0);
	f.setup.identity = identity;
	SSL_CTX_free(used_context(&f, &mark));
	ctx = SSL_CTX_new(TLS_client_method());
	assert_null(SSL_CTX_get_app_data(ctx));
	SSL_CTX_free(ctx);
	tls_identity_free(identity);
	close_fixture(&f);
}

static void test_tls_the_cheaper_hash_is_preferred(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, NULL, NULL);
	f.bench.wanted_header = "X-Cipher";
	assert_reason(&f, "ok");
	assert_string_equal(f.bench.header, "TLS_AES_128_GCM_SHA256");
	close_fixture(&f);
}

static void test_tls_trust_is_loaded_once_and_says_what_is_wrong(void **state)
{
	struct tls_trust *first, *second;
	struct tls_identity *identity;
	struct pki pki;

	(void)state;
	pki_open(&pki);
	assert_int_equal(tls_trust_new(pki.ca_file, &first), 0);
	assert_int_equal(tls_trust_new(pki.ca_file, &second), 0);
	assert_ptr_equal(first, second);
	tls_trust_unref(first);
	tls_trust_unref(second);
	assert_int_equal(tls_trust_new("/nonexistent", &first), -ENOENT);
	assert_int_equal(tls_trust_new(pki.key_file, &first), -EBADMSG);
	assert_int_equal(tls_identity_new(pki.ca_file, pki.key_file, &identity), -EBADMSG);
	assert_int_equal(tls_identity_new("/nonexistent", pki.key_file, &identity), -ENOENT);
	pki_close(&pki);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_verified_answer_has_facts_and_timing),
		cmocka_unit_test(test_tls_bad_certificates_have_their_reason),
		cmocka_unit_test(test_tls_server_name_is_sent_and_verified),
		cmocka_unit_test(test_tls_broken_handshakes_have_their_reason),
		cmocka_unit_test(test_tls_client_certificate_is_shown),
		cmocka_unit_test(test_tls_fresh_connections_resume_within_a_lane),
		cmocka_unit_test(test_tls_1_2_resumes_too),
		cmocka_unit_test(test_tls_resumption_does_not_hide_expiry),
		cmocka_unit_test(test_tls_resumption_ends_with_the_certificate),
		cmocka_unit_test(test_tls_other_authorities_count_at_once),
		cmocka_unit_test(test_tls_another_certificate_of_ours_is_shown_at_once),
		cmocka_unit_test(test_tls_sessions_are_renewed_in_the_second_half_of_their_time),
		cmocka_unit_test(test_tls_libcurl_takes_the_context_of_an_ended_connection),
		cmocka_unit_test(test_tls_context_forgets_its_connection),
		cmocka_unit_test(test_tls_context_with_our_certificate_is_not_used_again),
		cmocka_unit_test(test_tls_the_cheaper_hash_is_preferred),
		cmocka_unit_test(test_tls_trust_is_loaded_once_and_says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

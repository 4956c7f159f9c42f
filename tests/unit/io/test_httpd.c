/* SPDX-License-Identifier: MIT */
/*
 * The guarded HTTP server against raw sockets: each test sends bytes and looks at what comes back
 * until the server closes.
 */
#include "modelhealth/io/httpd.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/io/listen.h"
#include "modelhealth/io/loop.h"
#include "rawclient.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const char address[] = "127.0.0.1:0";

struct fixture {
	struct loop *loop;
	struct httpd *server;
	uint16_t port;
	unsigned n_asked; /* requests that got through the gate */
	int most_unasked; /* clients that were in but whose request was not yet seen */
	enum http_method method;
	char path[256];
	bool is_local;
	size_t body_size;  /* of the answer */
	unsigned n_slices; /* > 0: the answer is rendered in so many */
	size_t slice_size; /* at least; 0 = a few bytes */
	size_t n_rendered; /* bytes of all slices */
	size_t pause_at;   /* > 0: from so many bytes on no slice brings any */
	unsigned n_ended;
	unsigned n_exhausted;
};

/* ---- the server's side ---- */

struct slices {
	struct httpd_job job;
	struct fixture *fixture;
	unsigned left;
};

static void on_slice(struct httpd_job *job, struct httpd_request *request, struct sbuf *out)
{
	struct slices *slices = container_of(job, struct slices, job);
	static const char block[4096] = { [0 ... 4095] = '-' };

	if (slices->fixture->pause_at > 0 &&
		slices->fixture->n_rendered >= slices->fixture->pause_at)
		return;
	sbuf_puts(out, "slice ");
	while (out->len < slices->fixture->slice_size)
		sbuf_add(out, block, sizeof block);
	slices->fixture->n_rendered += out->len;
	if (--slices->left == 0)
		httpd_reply(
			request, &(struct httpd_reply){ .status = 200, .mime = "text/plain" }, out);
}

static void on_slices_end(struct httpd_job *job)
{
	struct slices *slices = container_of(job, struct slices, job);

	slices->fixture->n_ended++;
	free(slices);
}

static void on_request(void *ctx, struct httpd_request *request)
{
	struct fixture *fixture = ctx;
	const struct httpreq *head = httpd_request_head(request);
	struct sbuf body = SBUF_INIT;
	int unasked = (int)httpd_stats(fixture->server)->clients - (int)fixture->n_asked;

	fixture->most_unasked = max_of(fixture->most_unasked, unasked);
	fixture->n_asked++;
	fixture->method = head->method;
	fixture->is_local = httpd_request_is_local(request);
	(void)snprintf(fixture->path, sizeof fixture->path, "%s", head->path);
	if (fixture->n_slices > 0) {
		struct slices *slices = calloc(1, sizeof *slices);

		assert_non_null(slices);
		*slices =
			(struct slices){ { on_slice, on_slices_end }, fixture, fixture->n_slices };
		httpd_defer(request, &slices->job);
		return;
	}
	for (size_t i = 0; i < fixture->body_size; i++)
		sbuf_putc(&body, 'x');
	httpd_reply(request, &(struct httpd_reply){ .status = 200, .mime = "text/plain" }, &body);
}

static void on_exhausted(void *ctx, int error)
{
	struct fixture *fixture = ctx;

	assert_int_equal(error, EMFILE);
	fixture->n_exhausted++;
}

static int open_fixture(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	const char *addresses[] = { address };
	const char *failed;

	(void)signal(SIGPIPE, SIG_IGN);
	assert_non_null(fixture);
	fixture->body_size = 2;
	assert_int_equal(loop_new(&fixture->loop), 0);
	assert_int_equal(httpd_new(&(struct httpd_setup){ .loop = fixture->loop,
					   .on_request = on_request,
					   .on_exhausted = on_exhausted,
					   .ctx = fixture },
				 &fixture->server),
		0);
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), 0);
	fixture->port = httpd_port(fixture->server, address);
	assert_int_not_equal(fixture->port, 0);
	*state = fixture;
	return 0;
}

static int close_fixture(void **state)
{
	struct fixture *fixture = *state;

	httpd_free(fixture->server);
	loop_free(fixture->loop);
	free(fixture);
	return 0;
}

/* ---- the client's side ---- */

/* Sends a request, awaits the end and returns the status, 0 = closed without an answer. */
static unsigned exchange_bytes(struct fixture *fixture, const char *request, size_t len)
{
	struct raw_client client;
	unsigned status;

	raw_open(&client, fixture->loop, fixture->port, 1, request, len);
	raw_finish(&client, 3 * USEC_PER_SEC);
	if (!client.closed)
		print_error("still open after 3 s: \"%.60s\"\n", request);
	assert_true(client.closed);
	status = raw_status(&client);
	raw_close(&client);
	return status;
}

static unsigned exchange(struct fixture *fixture, const char *request)
{
	return exchange_bytes(fixture, request, strlen(request));
}

/* ---- tests ---- */

static void test_a_plain_request_is_answered_with_every_guard_header(void **state)
{
	struct fixture *fixture = *state;
	static const char *const wanted[] = { "HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 2\r\n",
		"\r\nContent-Type: text/plain\r\n", "\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nContent-Security-Policy: default-src 'none'\r\n",
		"\r\nCache-Control: no-store\r\n", "\r\nConnection: close\r\n" };
	static const char request[] = "GET /a/b?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;

	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_true(client.closed);
	for (size_t i = 0; i < array_size(wanted); i++)
		if (!strstr(sbuf_str(&client.answer), wanted[i]))
			fail_msg("\"%s\" is not in \"%s\"", wanted[i], sbuf_str(&client.answer));
	assert_string_equal(raw_body(&client), "xx");
	assert_string_equal(fixture->path, "/a/b");
	raw_close(&client);
}

static void test_head_has_the_length_but_no_body(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;

	fixture->body_size = 12345;
	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	assert_non_null(strstr(sbuf_str(&client.answer), "\r\nContent-Length: 12345\r\n"));
	assert_string_equal(raw_body(&client), "");
	assert_int_equal(fixture->method, HTTP_HEAD);
	raw_close(&client);
}

/* What could be read in two ways, and what is no HTTP at all. */
static const struct {
	const char *request;
	unsigned status;
} attacks[] = {
	/* H4: smuggling */
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "0\r\n\r\n",
		400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
	  "0\r\n\r\n",
		400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
		501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nabcde", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nabcde", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nB@d: x\r\n\r\n", 400 },
	{ "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
	{ "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n", 417 },
	/* H3: escapes and sizes */
	{ "GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /%4 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /?a=%0d%0a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /?a=1&a=2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n", 413 },
	{ "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		413 },
	{ "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", 413 },
	/* H5: paths */
	{ "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET //etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /..%2fetc HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /%2e%2e/etc HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a/./b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a/.. HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a// HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a/../ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a%5c..%5cb HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a\\b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
	/* H9: Host */
	{ "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421 },
	{ "GET / HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421 },
	{ "GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example:9877\r\n\r\n", 421 },
	{ "GET / HTTP/1.1\r\nHost: localhost:9877:1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: 127.0.0.1:9877\r\n\r\n", 200 },
	{ "GET / HTTP/1.1\r\nHost: [::1]:9877\r\n\r\n", 200 },
	{ "GET / HTTP/1.1\r\nHost: LocalHost:80\r\n\r\n", 200 },
	{ "GET / HTTP/1.0\r\n\r\n", 200 },
	/* H13: methods and other protocols */
	{ "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
	{ "DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
	{ "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
	{ "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
	{ "get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501 },
	{ "BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501 },
	{ "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505 },
	{ "GET / HTTP/0.9\r\nHost: localhost\r\n\r\n", 505 },
	{ "GET / HTTP/1.11\r\nHost: localhost\r\n\r\n", 400 },
	{ "GET /\r\n\r\n", 400 },
	{ "\x16\x03\x01\x02", 400 },
	{ "*1\r\n$4\r\nPING\r\n", 400 },
	{ "EHLO mail.example\r\n", 400 },
};

static void test_attacks_get_their_status_and_never_reach_a_handler(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(attacks); i++) {
		unsigned before = fixture->n_asked;
		unsigned status = exchange(fixture, attacks[i].request);

		if (status != attacks[i].status)
			print_error("input %zu \"%.80s\": expected %u, got %u\n", i,
				attacks[i].request, attacks[i].status, status);
		assert_int_equal(status, attacks[i].status);
		assert_int_equal(fixture->n_asked - before, status == 200 ? 1 : 0);
	}
	assert_true(httpd_stats(fixture->server)->rejected_total >= array_size(attacks) - 4);
}

static void test_a_refusal_is_a_problem_document(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;

	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 405);
	assert_non_null(
		strstr(sbuf_str(&client.answer), "\r\nContent-Type: application/problem+json\r\n"));
	assert_non_null(strstr(sbuf_str(&client.answer), "\r\nAllow: GET, HEAD, POST\r\n"));
	assert_non_null(strstr(raw_body(&client), "\"status\":405"));
	raw_close(&client);
}

/* Fills a buffer with a head of that size that is never complete. */
static char *endless(const char *start, const char *fill, size_t size)
{
	char *text = malloc(size + 1);
	size_t len = strlen(start);

	assert_non_null(text);
	memcpy(text, start, len);
	while (len < size) {
		size_t part = min_of(strlen(fill), size - len);

		memcpy(text + len, fill, part);
		len += part;
	}
	text[size] = '\0';
	return text;
}

static void test_endless_heads_are_cut_at_eight_kibibytes(void **state)
{
	struct fixture *fixture = *state;

	static const struct {
		const char *start, *fill;
		unsigned status;
	} heads[] = {
		{ "GET /", "a", 414 },
		{ "GET /?a", "&a", 414 },
		{ "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", "a", 431 },
		{ "GET / HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", 431 },
	};

	for (size_t i = 0; i < array_size(heads); i++) {
		char *request = endless(heads[i].start, heads[i].fill, 1024 * 1024);

		assert_int_equal(exchange_bytes(fixture, request, 1024 * 1024), heads[i].status);
		free(request);
	}
	assert_int_equal(fixture->n_asked, 0);
}

static void test_sixty_five_fields_are_too_many(void **state)
{
	struct sbuf request = SBUF_INIT;

	sbuf_puts(&request, "GET / HTTP/1.1\r\nHost: localhost\r\n");
	for (unsigned i = 0; i < HTTPREQ_MAX_FIELDS; i++)
		sbuf_puts(&request, "A: b\r\n");
	sbuf_puts(&request, "\r\n");
	assert_int_equal(exchange(*state, sbuf_str(&request)), 431);
	sbuf_fini(&request);
}

static void test_a_small_body_of_a_post_is_awaited_and_ignored(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		exchange(fixture,
			"POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabcde"),
		200);
	assert_int_equal(fixture->method, HTTP_POST);
	assert_string_equal(fixture->path, "/p");
}

static void test_a_request_may_arrive_byte_by_byte(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;

	raw_open(&client, fixture->loop, fixture->port, 1, request, 0);
	for (size_t i = 1; i <= strlen(request); i++) {
		client.len = i;
		raw_resume(&client);
		raw_run(fixture->loop, USEC_PER_MSEC);
	}
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	assert_string_equal(fixture->path, "/slow");
	raw_close(&client);
}

static void test_a_client_that_only_stops_sending_gets_its_answer(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct raw_client client;

	fixture->body_size = 8 * 1024 * 1024;
	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	while (client.sent < client.len)
		raw_run(fixture->loop, USEC_PER_MSEC);
	assert_int_equal(shutdown(client.fd, SHUT_WR), 0);
	raw_finish(&client, 5 * USEC_PER_SEC);
	assert_true(client.closed);
	assert_int_equal(strlen(raw_body(&client)), fixture->body_size);
	raw_close(&client);
}

static void test_pipelined_requests_are_not_answered_nor_kept(void **state)
{
	struct fixture *fixture = *state;
	static const char one[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char *request = endless("", one, 1000 * strlen(one));
	struct raw_client client;

	raw_open(&client, fixture->loop, fixture->port, 1, request, 1000 * strlen(one));
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_true(client.closed);
	assert_int_equal(fixture->n_asked, 1);
	raw_close(&client);
	free(request);
}

/* As much as a client must take of its answer to be given more time. */
static void read_a_little(struct fixture *fixture, struct raw_client *client)
{
	static char data[1024 * 1024];
	size_t n = 0;
	ssize_t got;

	while (n < 2 * sizeof data) {
		raw_run(fixture->loop, USEC_PER_MSEC);
		got = recv(client->fd, data, sizeof data, 0);
		n += got > 0 ? (size_t)got : 0;
	}
}

/* But not one that reads, however large its answer is, when nobody waits for the memory. */
static void test_slow_clients_of_every_kind_are_cut_after_ten_seconds(void **state)
{
	struct fixture *fixture = *state;
	struct raw_client silent, half, reader, large;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	usec_t began = clock_monotonic();

	fixture->body_size = 16 * 1024 * 1024;
	raw_open(&silent, fixture->loop, fixture->port, 1, "", 0);
	raw_open(&half, fixture->loop, fixture->port, 1, request, 10);
	raw_open(&reader, fixture->loop, fixture->port, 1, request, strlen(request));
	reader.never_reads = true;
	while (httpd_stats(fixture->server)->clients < 3 || fixture->n_asked < 1)
		raw_run(fixture->loop, USEC_PER_MSEC);
	fixture->n_slices = 80;
	fixture->slice_size = 1024 * 1024;
	raw_open(&large, fixture->loop, fixture->port, 2, request, strlen(request));
	large.never_reads = true;
	read_a_little(fixture, &large);
	while (httpd_stats(fixture->server)->clients > 1 &&
		clock_monotonic() < began + 13 * USEC_PER_SEC)
		raw_run(fixture->loop, 20 * USEC_PER_MSEC);
	assert_int_equal(httpd_stats(fixture->server)->clients, 1);
	assert_in_range(clock_monotonic() - began, 9 * USEC_PER_SEC, 12 * USEC_PER_SEC);
	assert_int_equal(raw_status(&silent), 0);
	assert_int_equal(raw_status(&half), 408);
	while (clock_monotonic() < began + 12 * USEC_PER_SEC)
		raw_run(fixture->loop, 20 * USEC_PER_MSEC);
	large.never_reads = false;
	raw_resume(&large);
	raw_finish(&large, 10 * USEC_PER_SEC);
	assert_true(large.answer.len > 70ul * 1024 * 1024); /* after what was read before */
	raw_close(&large);
	raw_close(&silent);
	raw_close(&half);
	raw_close(&reader);
}

static void test_one_source_has_its_share_and_no_more(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client idle[4], late, other;

	assert_int_equal(httpd_set_limits(fixture->server,
				 &(struct httpd_limits){ .clients = 100, .clients_per_source = 4 }),
		0);
	for (size_t i = 0; i < array_size(idle); i++)
		raw_open(&idle[i], fixture->loop, fixture->port, 1, "", 0);
	while (httpd_stats(fixture->server)->clients < array_size(idle))
		raw_run(fixture->loop, USEC_PER_MSEC);
	raw_open(&late, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(&late, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&late), 503);
	raw_open(&other, fixture->loop, fixture->port, 2, request, strlen(request));
	raw_finish(&other, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&other), 200);
	raw_close(&late);
	raw_close(&other);
	for (size_t i = 0; i < array_size(idle); i++)
		raw_close(&idle[i]);
	/* Their places are free again. */
	while (httpd_stats(fixture->server)->clients > 0)
		raw_run(fixture->loop, USEC_PER_MSEC);
	assert_int_equal(exchange(fixture, request), 200);
}

/* Those that were refused stay for a second if they like, but not in place of others. */
static void test_a_crowd_of_one_source_keeps_no_place_from_others(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client crowd[40], other;

	assert_int_equal(httpd_set_limits(fixture->server,
				 &(struct httpd_limits){ .clients = 8, .clients_per_source = 2 }),
		0);
	for (size_t i = 0; i < array_size(crowd); i++)
		raw_open(&crowd[i], fixture->loop, fixture->port, 1, "", 0);
	raw_open(&other, fixture->loop, fixture->port, 2, request, strlen(request));
	raw_finish(&other, USEC_PER_SEC / 2);
	assert_int_equal(raw_status(&other), 200);
	assert_int_equal(httpd_stats(fixture->server)->clients, 8);
	raw_close(&other);
	for (size_t i = 0; i < array_size(crowd); i++)
		raw_close(&crowd[i]);
}

static void test_accepting_pauses_at_the_limit_and_goes_on_below_it(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client idle[10], late;

	assert_int_equal(httpd_set_limits(fixture->server,
				 &(struct httpd_limits){ .clients = 8, .clients_per_source = 8 }),
		0);
	for (size_t i = 0; i < array_size(idle); i++)
		raw_open(&idle[i], fixture->loop, fixture->port, (unsigned)i + 1, "", 0);
	raw_run(fixture->loop, 50 * USEC_PER_MSEC);
	assert_int_equal(httpd_stats(fixture->server)->clients, 8);
	raw_open(&late, fixture->loop, fixture->port, 99, request, strlen(request));
	for (size_t i = 0; i < array_size(idle); i++)
		raw_close(&idle[i]);
	raw_finish(&late, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&late), 200);
	raw_close(&late);
}

/* Who still waits in the kernel's queue is not lost should we crash. */
static void test_a_crowd_is_let_in_a_few_at_a_time(void **state)
{
	enum {
		CROWD = 200
	};
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct raw_client *crowd = calloc(CROWD, sizeof *crowd);

	assert_non_null(crowd);
	for (unsigned i = 0; i < CROWD; i++)
		raw_open(&crowd[i], fixture->loop, fixture->port, 1 + i / 20, request,
			strlen(request));
	for (unsigned i = 0; i < CROWD; i++) {
		raw_finish(&crowd[i], 3 * USEC_PER_SEC);
		assert_int_equal(raw_status(&crowd[i]), 200);
		raw_close(&crowd[i]);
	}
	assert_int_equal(fixture->n_asked, CROWD);
	if (fixture->most_unasked > 32)
		fail_msg("%d clients were in and not yet heard", fixture->most_unasked);
	free(crowd);
}

static void test_sliced_answers_are_whole_and_end_their_job_once(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;

	fixture->n_slices = 1000;
	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	assert_int_equal(strlen(raw_body(&client)), 1000 * strlen("slice "));
	assert_int_equal(fixture->n_ended, 1);
	raw_close(&client);
}

/* What is due in more than so long is due now. */
static void let_pass(struct fixture *fixture, usec_t usec)
{
	struct timers *timers = loop_timers(fixture->loop);
	struct timer *late[64];
	size_t n = 0;

	for (size_t i = 0; i < timers->n; i++) {
		assert_true(n < array_size(late));
		if (timers->heap[i].at > timers->now + usec)
			late[n++] = timers->heap[i].timer;
	}
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(timer_set(timers, late[i], timers->now), 0);
}

static void test_an_answer_has_time_as_long_as_more_of_it_is_made(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const usec_t deadline = 10 * USEC_PER_SEC;
	struct fixture *fixture = *state;
	struct raw_client client;

	fixture->n_slices = UINT32_MAX; /* never done */
	fixture->slice_size = 64 * 1024;
	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	for (unsigned mebibytes = 2; mebibytes <= 4; mebibytes++) {
		fixture->pause_at = mebibytes * 1024 * 1024;
		while (fixture->n_rendered < fixture->pause_at)
			raw_run(fixture->loop, USEC_PER_MSEC);
		let_pass(fixture, deadline / 2);
		raw_run(fixture->loop, 20 * USEC_PER_MSEC);
		assert_false(client.closed);
	}
	let_pass(fixture, deadline / 2);
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 503);
	raw_close(&client);
}

/* Beside busy checks a turn takes 12 ms, and a client gives up after some seconds. */
static void test_a_large_answer_leaves_in_few_turns(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client client;
	uint64_t turns;

	fixture->body_size = 8 * 1024 * 1024;
	raw_open(&client, fixture->loop, fixture->port, 1, request, strlen(request));
	turns = loop_stats(fixture->loop)->turns_total;
	raw_finish(&client, 3 * USEC_PER_SEC);
	turns = loop_stats(fixture->loop)->turns_total - turns;
	assert_int_equal(strlen(raw_body(&client)), fixture->body_size);
	assert_in_range(turns, 1, 48);
	raw_close(&client);
}

static void test_too_many_renders_are_shed_with_503(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct raw_client clients[HTTPD_MAX_JOBS + 4];
	unsigned n_shed = 0;

	fixture->n_slices = UINT32_MAX; /* never done */
	for (size_t i = 0; i < array_size(clients); i++)
		raw_open(&clients[i], fixture->loop, fixture->port, (unsigned)i % 4 + 1, request,
			strlen(request));
	while (fixture->n_asked < array_size(clients))
		raw_run(fixture->loop, 5 * USEC_PER_MSEC);
	raw_run(fixture->loop, 50 * USEC_PER_MSEC);
	for (size_t i = 0; i < array_size(clients); i++) {
		n_shed += raw_status(&clients[i]) == 503 ? 1 : 0;
		raw_close(&clients[i]);
	}
	assert_int_equal(n_shed, 4);
	/* Closing the server ends the others; close_fixture and the leak check see to it. */
}

/* Runs until no more is rendered. */
static void await_standstill(struct fixture *fixture)
{
	size_t before;

	do {
		before = fixture->n_rendered;
		raw_run(fixture->loop, 100 * USEC_PER_MSEC);
	} while (fixture->n_rendered != before);
}

/* 32 clients of 16 MiB each that do not read: as many MiB as a small service may have at all. */
static void test_large_answers_at_once_do_not_take_all_memory(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const size_t mebibyte = 1024 * 1024;
	struct raw_client large[32], small;
	struct raw_client *last = &large[array_size(large) - 1];

	fixture->n_slices = 64;
	fixture->slice_size = mebibyte / 4;
	for (size_t i = 0; i < array_size(large); i++) {
		raw_open(&large[i], fixture->loop, fixture->port, 1, request, strlen(request));
		large[i].never_reads = true;
	}
	while (fixture->n_asked < array_size(large))
		raw_run(fixture->loop, USEC_PER_MSEC);
	await_standstill(fixture);
	assert_in_range(fixture->n_rendered, 64 * mebibyte, 160 * mebibyte);

	/* Small answers go on. */
	fixture->n_slices = 2;
	fixture->slice_size = 0;
	raw_open(&small, fixture->loop, fixture->port, 2, request, strlen(request));
	raw_finish(&small, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&small), 200);
	raw_close(&small);

	/* So do large ones, once the others are out of the way. */
	fixture->slice_size = mebibyte / 4;
	for (struct raw_client *client = large; client < last; client++)
		raw_close(client);
	last->never_reads = false;
	raw_resume(last);
	raw_finish(last, 10 * USEC_PER_SEC);
	assert_int_equal(raw_status(last), 200);
	assert_true(strlen(raw_body(last)) >= 16 * mebibyte);
	raw_close(last);
}

static void test_out_of_descriptors_pauses_instead_of_spinning(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct rlimit before, low;
	struct raw_client first, second;
	uint64_t turns;

	raw_open(&first, fixture->loop, fixture->port, 1, request, strlen(request));
	raw_open(&second, fixture->loop, fixture->port, 1, request, strlen(request));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 3; /* below what is open: the next one fails */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	turns = loop_stats(fixture->loop)->turns_total;
	raw_run(fixture->loop, 300 * USEC_PER_MSEC);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(fixture->n_exhausted, 1);
	assert_in_range(loop_stats(fixture->loop)->turns_total - turns, 1, 50);
	raw_finish(&second, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&second), 200);
	raw_close(&first);
	raw_close(&second);
}

/* ---- listeners ---- */

static void make_path(char *path, size_t size)
{
	char directory[] = "/tmp/test_httpd.XXXXXX";

	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, size, "unix:%s/s", directory);
}

static void remove_path(const char *address_text)
{
	char directory[64];

	(void)snprintf(directory, sizeof directory, "%s", address_text + strlen("unix:"));
	*strrchr(directory, '/') = '\0';
	assert_int_equal(rmdir(directory), 0); /* the socket itself is gone */
}

static void test_a_unix_socket_is_local_guarded_by_its_mode_and_removed(void **state)
{
	struct fixture *fixture = *state;
	char path[64];
	const char *addresses[] = { path };
	const char *failed;
	struct raw_client client;
	struct stat st;

	make_path(path, sizeof path);
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), 0);
	assert_int_equal(stat(path + 5, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0660);
	/* No page in a browser reaches it, so any Host will do. */
	raw_open_unix(
		&client, fixture->loop, path + 5, "GET / HTTP/1.1\r\nHost: any.where\r\n\r\n");
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	assert_true(fixture->is_local);
	raw_close(&client);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	remove_path(path);
}

static void test_a_stale_unix_socket_is_replaced_but_no_other_file(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un stale = { .sun_family = AF_UNIX };
	char path[64];
	const char *addresses[] = { path };
	const char *failed;
	struct listen_socket other;
	int fd;

	make_path(path, sizeof path);
	(void)snprintf(stale.sun_path, sizeof stale.sun_path, "%s", path + 5);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof stale), 0);
	(void)close(fd);
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), 0);
	assert_int_equal(listen_open(path, &other), -EADDRINUSE);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	fd = open(path + 5, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(listen_open(path, &other), -EEXIST);
	assert_int_equal(unlink(path + 5), 0);
	remove_path(path);
}

static void test_a_listener_that_stays_is_not_touched_and_a_failure_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	const char *with_bad[] = { address, "127.0.0.1:99999" };
	const char *with_new[] = { address, "[::1]:0" };
	const char *failed = NULL;
	uint16_t port = fixture->port;

	assert_int_equal(httpd_listen(fixture->server, with_bad, 2, &failed), -EINVAL);
	assert_string_equal(failed, with_bad[1]);
	assert_int_equal(httpd_port(fixture->server, address), port);
	if (httpd_listen(fixture->server, with_new, 2, &failed) == 0)
		assert_int_not_equal(httpd_port(fixture->server, with_new[1]), 0);
	assert_int_equal(httpd_port(fixture->server, address), port);
	assert_int_equal(exchange(fixture, "GET / HTTP/1.0\r\n\r\n"), 200);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	assert_false(httpd_is_listening(fixture->server, address));
}

static void test_a_closed_listener_still_answers_those_it_has(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	const char *failed;
	struct raw_client client;

	raw_open(&client, fixture->loop, fixture->port, 1, request, 10);
	while (httpd_stats(fixture->server)->clients == 0)
		raw_run(fixture->loop, USEC_PER_MSEC);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	client.len = strlen(request);
	raw_resume(&client);
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	raw_close(&client);
}

static void test_an_open_socket_can_be_adopted(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_in bound;
	socklen_t len = sizeof bound;
	struct listen_socket socket;
	const char *failed;

	assert_int_equal(listen_open(address, &socket), 0);
	assert_int_equal(getsockname(socket.fd, (struct sockaddr *)&bound, &len), 0);
	assert_int_equal(httpd_adopt(fixture->server, socket.fd), 0);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	fixture->port = ntohs(bound.sin_port);
	assert_int_equal(exchange(fixture, "GET / HTTP/1.0\r\n\r\n"), 200);
}

/* Opens a socket as a service manager would, and gives it to the server. */
static struct listen_socket adopt(struct fixture *fixture, const char *where)
{
	struct listen_socket socket;
	int ours;

	assert_int_equal(listen_open(where, &socket), 0);
	ours = dup(socket.fd);
	assert_true(ours >= 0);
	assert_int_equal(httpd_adopt(fixture->server, ours), 0);
	return socket;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_in bound = { 0 };
	socklen_t len = sizeof bound;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
	return ntohs(bound.sin_port);
}

static void test_an_address_that_an_adopted_socket_has_is_not_bound_again(void **state)
{
	struct fixture *fixture = *state;
	struct listen_socket socket = adopt(fixture, address);
	char own[LISTEN_TEXT_SIZE], wider[LISTEN_TEXT_SIZE];
	const char *addresses[] = { own };
	const char *failed;

	listen_describe(socket.fd, own);
	assert_true(httpd_is_listening(fixture->server, own));
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), 0);
	assert_int_equal(httpd_port(fixture->server, own), bound_port(socket.fd));
	(void)snprintf(wider, sizeof wider, "0.0.0.0:%u", bound_port(socket.fd));
	addresses[0] = wider;
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), -EADDRINUSE);
	assert_true(httpd_adopted_at_port(fixture->server, failed) >= 0);
	assert_int_equal(httpd_adopted_at_port(fixture->server, address), -1);
	fixture->port = bound_port(socket.fd);
	assert_int_equal(exchange(fixture, "GET / HTTP/1.0\r\n\r\n"), 200);
	/* Neither an address that leaves the configuration nor a reload that fails closes it. */
	addresses[0] = "nonsense";
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), -EINVAL);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	assert_int_equal(exchange(fixture, "GET / HTTP/1.0\r\n\r\n"), 200);
	(void)close(socket.fd);
}

static void test_a_wildcard_covers_the_addresses_of_its_port(void **state)
{
	enum {
		SAME = -1
	};

	static const struct {
		const char *bound, *host;
		int port;
		bool covers;
	} cases[] = {
		{ "0.0.0.0:0", "127.0.0.1", SAME, true },
		{ "0.0.0.0:0", "0.0.0.0", SAME, true },
		{ "0.0.0.0:0", "[::1]", SAME, false },
		{ "127.0.0.1:0", "127.0.0.1", SAME, true },
		{ "127.0.0.1:0", "127.0.0.2", SAME, false },
		{ "127.0.0.1:0", "0.0.0.0", SAME, false },
		{ "127.0.0.1:0", "127.0.0.1", 1, false },
		{ "127.0.0.1:0", "127.0.0.1", 0, false },
		{ "127.0.0.1:0", "unix:/127.0.0.1", SAME, false },
		{ "127.0.0.1:0", "nonsense", SAME, false },
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		struct listen_socket socket;
		char wanted[64];
		int port = cases[i].port;

		assert_int_equal(listen_open(cases[i].bound, &socket), 0);
		(void)snprintf(wanted, sizeof wanted, "%s:%d", cases[i].host,
			port == SAME ? bound_port(socket.fd) : port);
		if (listen_covers(socket.fd, wanted) != cases[i].covers)
			fail_msg("%s and %s", cases[i].bound, wanted);
		(void)close(socket.fd);
	}
}

static void test_ipv6_is_covered_by_its_own_and_ipv4_by_a_socket_of_both(void **state)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	_cleanup_(closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof any;
	const int off = 0;
	char own[LISTEN_TEXT_SIZE], wanted[64];

	(void)state;
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
		skip(); /* a kernel without IPv6 */
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
	listen_describe(fd, own);
	(void)snprintf(wanted, sizeof wanted, "[::]:%u", ntohs(any.sin6_port));
	assert_string_equal(own, wanted);
	assert_true(listen_covers(fd, wanted));
	(void)snprintf(wanted, sizeof wanted, "[::1]:%u", ntohs(any.sin6_port));
	assert_true(listen_covers(fd, wanted));
	(void)snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(any.sin6_port));
	assert_true(listen_covers(fd, wanted));
}

static void test_an_adopted_unix_socket_is_local_and_its_file_stays(void **state)
{
	struct fixture *fixture = *state;
	struct sockaddr_un bound = { .sun_family = AF_UNIX };
	char path[64], own[LISTEN_TEXT_SIZE];
	const char *addresses[] = { path };
	const char *failed;
	struct raw_client client;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	make_path(path, sizeof path);
	(void)snprintf(bound.sun_path, sizeof bound.sun_path, "%s", path + 5);
	assert_int_equal(bind(fd, (struct sockaddr *)&bound, sizeof bound), 0);
	assert_int_equal(listen(fd, 1), 0);
	listen_describe(fd, own);
	assert_string_equal(own, path);
	assert_int_equal(httpd_adopt(fixture->server, fd), 0);
	assert_int_equal(httpd_listen(fixture->server, addresses, 1, &failed), 0);
	raw_open_unix(&client, fixture->loop, path + 5, "GET / HTTP/1.0\r\n\r\n");
	raw_finish(&client, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&client), 200);
	assert_true(fixture->is_local);
	raw_close(&client);
	assert_int_equal(httpd_listen(fixture->server, NULL, 0, &failed), 0);
	fixture->server = httpd_free(fixture->server);
	assert_int_equal(unlink(path + 5), 0); /* the owner's to remove */
	remove_path(path);
}

static void test_draining_serves_who_is_in_and_leaves_others_to_the_successor(void **state)
{
	struct fixture *fixture = *state;
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct listen_socket socket = adopt(fixture, address);
	struct raw_client in, late;

	raw_open(&in, fixture->loop, bound_port(socket.fd), 1, request, 10);
	while (httpd_stats(fixture->server)->clients == 0)
		raw_run(fixture->loop, USEC_PER_MSEC);
	httpd_drain(fixture->server);
	raw_open(&late, fixture->loop, bound_port(socket.fd), 1, request, strlen(request));
	in.len = strlen(request);
	raw_resume(&in);
	raw_finish(&in, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&in), 200);
	raw_close(&in);
	while (httpd_stats(fixture->server)->clients > 0)
		raw_run(fixture->loop, USEC_PER_MSEC);
	assert_false(late.closed);
	assert_false(httpd_is_listening(fixture->server, address));

	/* The successor, on the same socket. */
	httpd_free(fixture->server);
	assert_int_equal(httpd_new(&(struct httpd_setup){ .loop = fixture->loop,
					   .on_request = on_request,
					   .ctx = fixture },
				 &fixture->server),
		0);
	assert_int_equal(httpd_adopt(fixture->server, socket.fd), 0);
	raw_finish(&late, 3 * USEC_PER_SEC);
	assert_int_equal(raw_status(&late), 200);
	raw_close(&late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_plain_request_is_answered_with_every_guard_header),
		TEST(test_head_has_the_length_but_no_body),
		TEST(test_attacks_get_their_status_and_never_reach_a_handler),
		TEST(test_a_refusal_is_a_problem_document),
		TEST(test_endless_heads_are_cut_at_eight_kibibytes),
		TEST(test_sixty_five_fields_are_too_many),
		TEST(test_a_small_body_of_a_post_is_awaited_and_ignored),
		TEST(test_a_request_may_arrive_byte_by_byte),
		TEST(test_a_client_that_only_stops_sending_gets_its_answer),
		TEST(test_pipelined_requests_are_not_answered_nor_kept),
		TEST(test_slow_clients_of_every_kind_are_cut_after_ten_seconds),
		TEST(test_one_source_has_its_share_and_no_more),
		TEST(test_a_crowd_of_one_source_keeps_no_place_from_others),
		TEST(test_accepting_pauses_at_the_limit_and_goes_on_below_it),
		TEST(test_a_crowd_is_let_in_a_few_at_a_time),
		TEST(test_sliced_answers_are_whole_and_end_their_job_once),
		TEST(test_an_answer_has_time_as_long_as_more_of_it_is_made),
		TEST(test_a_large_answer_leaves_in_few_turns),
		TEST(test_too_many_renders_are_shed_with_503),
		TEST(test_large_answers_at_once_do_not_take_all_memory),
		TEST(test_out_of_descriptors_pauses_instead_of_spinning),
		TEST(test_a_unix_socket_is_local_guarded_by_its_mode_and_removed),
		TEST(test_a_stale_unix_socket_is_replaced_but_no_other_file),
		TEST(test_a_listener_that_stays_is_not_touched_and_a_failure_changes_nothing),
		TEST(test_a_closed_listener_still_answers_those_it_has),
		TEST(test_an_open_socket_can_be_adopted),
		TEST(test_an_address_that_an_adopted_socket_has_is_not_bound_again),
		cmocka_unit_test(test_a_wildcard_covers_the_addresses_of_its_port),
		cmocka_unit_test(test_ipv6_is_covered_by_its_own_and_ipv4_by_a_socket_of_both),
		TEST(test_an_adopted_unix_socket_is_local_and_its_file_stays),
		TEST(test_draining_serves_who_is_in_and_leaves_others_to_the_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

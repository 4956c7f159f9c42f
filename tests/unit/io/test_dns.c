/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/dns.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/log.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TYPE_A = 1,
	TYPE_AAAA = 28,
	MANY = 30
};

/* What the name server says to a name. */
struct zone_entry {
	const char *name;
	uint8_t rcode;
	bool is_mute;
	unsigned a, aaaa; /* addresses: 127.0.1.n, fd00::n */
	uint32_t ttl;
};

static const struct zone_entry zone[] = {
	{ .name = "one.test", .a = 1, .ttl = 60 },
	{ .name = "brief.test", .a = 1, .ttl = 0 },
	{ .name = "both.test", .a = 3, .aaaa = 2, .ttl = 60 },
	{ .name = "many.test", .a = MANY, .ttl = 60 },
	{ .name = "missing.test", .rcode = 3 },
	{ .name = "broken.test", .rcode = 2 },
	{ .name = "empty.test" },
	{ .name = "mute.test", .is_mute = true },
};

struct fixture {
	int fd, wake[2];
	pthread_t thread;
	atomic_uint asked; /* datagrams */
	char servers[32];
	struct loop *loop;
	struct dns *dns;
	struct dns_query query;
	struct dns_answer answer;
	unsigned done;
	struct timer stop;
};

/* ---- the name server ---- */

static size_t put(uint8_t *message, size_t len, const void *data, size_t n)
{
	memcpy(message + len, data, n);
	return len + n;
}

static size_t put_record(
	uint8_t *message, size_t len, uint16_t type, uint32_t ttl, const void *data, uint16_t size)
{
	const uint8_t head[] = { 0xc0, 0x0c, (uint8_t)(type >> 8), (uint8_t)type, 0, 1,
		(uint8_t)(ttl >> 24), (uint8_t)(ttl >> 16), (uint8_t)(ttl >> 8), (uint8_t)ttl,
		(uint8_t)(size >> 8), (uint8_t)size };

	len = put(message, len, head, sizeof head);
	return put(message, len, data, size);
}

static const struct zone_entry *find_entry(const uint8_t *question, char *name)
{
	size_t len = 0;

	while (*question) {
		memcpy(name + len, question + 1, *question);
		len += *question;
		name[len++] = '.';
		question += *question + 1;
	}
	name[len - 1] = '\0';
	for (size_t i = 0; i < array_size(zone); i++) {
		if (strcmp(zone[i].name, name) == 0)
			return &zone[i];
	}
	return NULL;
}

/* Turns the question into its answer; 0 = none. */
static size_t answer(uint8_t *message, size_t len)
{
	char name[256];
	const struct zone_entry *entry = find_entry(message + 12, name);
	uint16_t type = message[12 + strlen(name) + 3];
	unsigned n = 0;

	len = 12 + strlen(name) + 2 + 4; /* drops what follows the question */
	message[2] |= 0x84;
	message[3] = entry ? entry->rcode : 3;
	memset(message + 6, 0, 6);
	if (!entry)
		return len;
	if (entry->is_mute)
		return 0;
	for (; type == TYPE_A && n < entry->a; n++) {
		const uint8_t address[4] = { 127, 0, 1, (uint8_t)(n + 1) };

		len = put_record(message, len, TYPE_A, entry->ttl, address, sizeof address);
	}
	for (; type == TYPE_AAAA && n < entry->aaaa; n++) {
		const uint8_t address[16] = { 0xfd, [15] = (uint8_t)(n + 1) };

		len = put_record(message, len, TYPE_AAAA, entry->ttl, address, sizeof address);
	}
	message[7] = (uint8_t)n;
	return len;
}

static void *serve(void *arg)
{
	struct fixture *f = arg;
	struct sockaddr_in from;
	uint8_t message[2048];

	while (true) {
		struct pollfd fds[2] = { { f->wake[0], POLLIN, 0 }, { f->fd, POLLIN, 0 } };
		socklen_t from_len = sizeof from;
		ssize_t got;
		size_t len;

		if (poll(fds, 2, -1) < 0 || fds[0].revents)
			return NULL;
		got = recvfrom(
			f->fd, message, sizeof message, 0, (struct sockaddr *)&from, &from_len);
		if (got < 12)
			continue;
		atomic_fetch_add(&f->asked, 1);
		len = answer(message, (size_t)got);
		if (len > 0)
			(void)sendto(f->fd, message, len, 0, (struct sockaddr *)&from, from_len);
	}
}

/* ---- the fixture ---- */

static void on_stop(struct timer *timer)
{
	loop_stop(container_of(timer, struct fixture, stop)->loop);
}

static void on_answer(struct dns_query *query, const struct dns_answer *answer_seen)
{
	struct fixture *f = container_of(query, struct fixture, query);

	f->answer = *answer_seen;
	f->done++;
	loop_stop(f->loop);
}

static void open_fixture(struct fixture *f, struct dns_options options)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof address;

	memset(f, 0, sizeof *f);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(bind(f->fd, (struct sockaddr *)&address, len) == 0);
	must(getsockname(f->fd, (struct sockaddr *)&address, &len) == 0);
	(void)snprintf(f->servers, sizeof f->servers, "127.0.0.1:%u", ntohs(address.sin_port));
	must(pipe(f->wake) == 0);
	must(pthread_create(&f->thread, NULL, serve, f) == 0);
	f->query.fn = on_answer;
	f->stop.fn = on_stop;
	must(loop_new(&f->loop) == 0);
	if (!options.servers)
		options.servers = f->servers;
	must(dns_new(f->loop, &options, &f->dns) == 0);
}

static void close_fixture(struct fixture *f)
{
	dns_cancel(f->dns, &f->query);
	dns_free(f->dns);
	loop_free(f->loop);
	must(write(f->wake[1], "x", 1) == 1);
	must(pthread_join(f->thread, NULL) == 0);
	(void)close(f->fd);
	(void)close(f->wake[0]);
	(void)close(f->wake[1]);
}

static void run_for(struct fixture *f, usec_t span)
{
	loop_wake(f->loop);
	must(timer_set(loop_timers(f->loop), &f->stop, loop_timers(f->loop)->now + span) == 0);
	must(loop_run(f->loop) == 0);
	timer_cancel(loop_timers(f->loop), &f->stop);
}

/* The reason, and whether it was known at once. */
static const char *resolve(struct fixture *f, const char *host, bool *ret_at_once)
{
	const struct dns_answer *known;

	loop_wake(f->loop);
	f->done = 0;
	*ret_at_once = dns_resolve(f->dns, host, &f->query, &known);
	if (*ret_at_once)
		f->answer = *known;
	else
		run_for(f, 5 * USEC_PER_SEC);
	must(*ret_at_once || f->done == 1);
	return reason_token(f->answer.reason);
}

static const char *text_of(const struct fixture *f, size_t i)
{
	static char text[ADDRESS_TEXT_SIZE];

	must(i < f->answer.n);
	address_format(&f->answer.addresses[i], text);
	return text;
}

static void test_dns_literals_and_localhost_need_no_server(void **state)
{
	static const struct {
		const char *host, *first;
		size_t n;
	} hosts[] = {
		{ "127.0.0.1", "127.0.0.1", 1 },
		{ "::1", "::1", 1 },
		{ "localhost", "::1", 2 },
		{ "a.LocalHost", "::1", 2 },
	};
	struct fixture f;
	bool at_once;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	for (size_t i = 0; i < array_size(hosts); i++) {
		assert_string_equal(resolve(&f, hosts[i].host, &at_once), "ok");
		assert_true(at_once);
		assert_int_equal(f.answer.n, hosts[i].n);
		assert_string_equal(text_of(&f, 0), hosts[i].first);
	}
	assert_int_equal(atomic_load(&f.asked), 0);
	close_fixture(&f);
}

static void test_dns_answers_are_cached_for_their_time_to_live(void **state)
{
	struct fixture f;
	bool at_once;
	unsigned asked;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	assert_string_equal(resolve(&f, "one.test", &at_once), "ok");
	assert_false(at_once);
	assert_string_equal(text_of(&f, 0), "127.0.1.1");
	asked = atomic_load(&f.asked);
	assert_string_equal(resolve(&f, "one.test", &at_once), "ok");
	assert_true(at_once);
	assert_int_equal(atomic_load(&f.asked), asked);
	close_fixture(&f);
}

static void keep_message(void *ctx, const struct log_record *record)
{
	sbuf_printf(ctx, "%s\n", record->message);
}

static void test_dns_debug_tells_what_a_server_said_and_no_cache(void **state)
{
	_cleanup_(sbuf_fini) struct sbuf said = SBUF_INIT;
	struct fixture f;
	bool at_once;

	(void)state;
	log_set_sink(keep_message, &said, LOG_LEVEL_DEBUG);
	open_fixture(&f, (struct dns_options){ 0 });
	(void)resolve(&f, "both.test", &at_once);
	(void)resolve(&f, "both.test", &at_once);
	(void)resolve(&f, "missing.test", &at_once);
	log_set_sink(NULL, NULL, LOG_LEVEL_INFO);
	assert_string_equal(sbuf_str(&said),
		"name both.test: ok fd00::1 127.0.1.1 fd00::2 127.0.1.2 127.0.1.3, kept for 60.0 s\n"
		"name missing.test: dns_not_found, kept for 2.0 s\n");
	close_fixture(&f);
}

static void test_dns_a_ttl_of_zero_counts_as_one_second(void **state)
{
	struct fixture f;
	bool at_once;
	usec_t begun = clock_monotonic();

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	assert_string_equal(resolve(&f, "brief.test", &at_once), "ok");
	assert_string_equal(resolve(&f, "brief.test", &at_once), "ok");
	assert_true(at_once || clock_monotonic() > begun + USEC_PER_SEC);
	while (clock_monotonic() < begun + 1200 * USEC_PER_MSEC)
		run_for(&f, 50 * USEC_PER_MSEC);
	assert_string_equal(resolve(&f, "brief.test", &at_once), "ok");
	assert_false(at_once);
	close_fixture(&f);
}

static void test_dns_families_take_turns_and_the_list_is_cut(void **state)
{
	static const char *const both[] = { "fd00::1", "127.0.1.1", "fd00::2", "127.0.1.2",
		"127.0.1.3" };
	struct fixture f;
	bool at_once;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	assert_string_equal(resolve(&f, "both.test", &at_once), "ok");
	assert_int_equal(f.answer.n, array_size(both));
	for (size_t i = 0; i < array_size(both); i++)
		assert_string_equal(text_of(&f, i), both[i]);
	assert_string_equal(resolve(&f, "many.test", &at_once), "ok");
	assert_int_equal(f.answer.n, DNS_MAX_ADDRESSES);
	close_fixture(&f);
}

static void test_dns_failures_have_their_reason(void **state)
{
	static const struct {
		const char *host, *reason;
	} hosts[] = {
		{ "missing.test", "dns_not_found" },
		{ "empty.test", "dns_not_found" },
		{ "broken.test", "dns_failed" },
		{ "mute.test", "dns_timeout" },
	};
	struct fixture f;
	bool at_once;

	(void)state;
	open_fixture(&f, (struct dns_options){ .timeout = 200 * USEC_PER_MSEC });
	for (size_t i = 0; i < array_size(hosts); i++)
		assert_string_equal(resolve(&f, hosts[i].host, &at_once), hosts[i].reason);
	close_fixture(&f);
}

static void test_dns_no_reachable_server_is_our_network(void **state)
{
	struct fixture f;
	bool at_once;
	char closed[32];

	(void)state;
	/* nobody listens on the discard port of this address */
	(void)snprintf(closed, sizeof closed, "127.0.0.99:9");
	open_fixture(&f, (struct dns_options){ .servers = closed, .timeout = 200 * USEC_PER_MSEC });
	assert_string_equal(resolve(&f, "one.test", &at_once), "local_network");
	close_fixture(&f);
}

/* A name server that is dead without anybody saying so; "127.0.0.1:port" in text. */
static int bind_mute(char text[32])
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(fd, (struct sockaddr *)&address, len) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	(void)snprintf(text, 32, "127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

/* As with a resolv.conf whose first lines are out of date: the default timeout.connect is two
 * seconds, and no check may fail for it. */
static void test_dns_dead_servers_leave_time_for_the_last_one(void **state)
{
	char dead[2][32], servers[128];
	int fds[2] = { bind_mute(dead[0]), bind_mute(dead[1]) };
	usec_t begun = clock_monotonic();
	struct fixture f;
	bool at_once;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	dns_free(f.dns);
	(void)snprintf(servers, sizeof servers, "%s,%s,%s", dead[0], dead[1], f.servers);
	must(dns_new(f.loop, &(struct dns_options){ .servers = servers }, &f.dns) == 0);
	assert_string_equal(resolve(&f, "one.test", &at_once), "ok");
	assert_in_range(clock_monotonic() - begun, 0, 1950 * USEC_PER_MSEC);
	close_fixture(&f);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_dns_waiters_of_one_name_share_one_question(void **state)
{
	const struct dns_answer *known;
	struct dns_query more[10] = { 0 };
	struct fixture f;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	loop_wake(f.loop);
	assert_false(dns_resolve(f.dns, "one.test", &f.query, &known));
	for (size_t i = 0; i < array_size(more); i++) {
		more[i].fn = on_answer; /* never called: all are cancelled */
		assert_false(dns_resolve(f.dns, "one.test", &more[i], &known));
	}
	for (size_t i = 0; i < array_size(more); i++)
		dns_cancel(f.dns, &more[i]);
	run_for(&f, 5 * USEC_PER_SEC);
	assert_int_equal(f.done, 1);
	assert_int_equal(dns_stats(f.dns)->queries_total, 1);
	assert_in_range(atomic_load(&f.asked), 1, 2); /* A and AAAA */
	close_fixture(&f);
}

static void test_dns_a_cancelled_query_is_never_answered(void **state)
{
	const struct dns_answer *known;
	struct fixture f;

	(void)state;
	open_fixture(&f, (struct dns_options){ 0 });
	loop_wake(f.loop);
	assert_false(dns_resolve(f.dns, "one.test", &f.query, &known));
	dns_cancel(f.dns, &f.query);
	run_for(&f, 100 * USEC_PER_MSEC);
	assert_int_equal(f.done, 0);
	close_fixture(&f);
}

static void test_dns_the_cache_is_bounded(void **state)
{
	struct fixture f;
	char host[32];
	bool at_once;

	(void)state;
	open_fixture(&f, (struct dns_options){ .max_names = 8 });
	for (unsigned i = 0; i < 50; i++) {
		(void)snprintf(host, sizeof host, "nobody%u.test", i);
		assert_string_equal(resolve(&f, host, &at_once), "dns_not_found");
	}
	assert_in_range(dns_stats(f.dns)->names, 1, 8);
	close_fixture(&f);
}

static void write_resolv_conf(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	must(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* c-ares takes no port from resolv.conf, so the new server is one that nobody reaches. */
static void test_dns_a_changed_resolv_conf_is_read_again(void **state)
{
	char path[] = "/tmp/mh-resolv-XXXXXX";
	usec_t begun = clock_monotonic();
	struct fixture f;
	bool at_once;

	(void)state;
	must(close(mkstemp(path)) == 0);
	write_resolv_conf(path, "nameserver 127.0.0.98\n");
	open_fixture(&f, (struct dns_options){ 0 });
	dns_free(f.dns);
	must(dns_new(f.loop,
		     &(struct dns_options){ .resolv_conf = path, .timeout = 100 * USEC_PER_MSEC },
		     &f.dns) == 0);
	assert_string_equal(resolve(&f, "one.test", &at_once), "local_network");
	write_resolv_conf(path, "nameserver 127.0.0.98\noptions ndots:2\n");
	while (dns_stats(f.dns)->rebuilds_total == 0 &&
		clock_monotonic() < begun + 10 * USEC_PER_SEC) {
		run_for(&f, 50 * USEC_PER_MSEC);
		assert_string_equal(resolve(&f, "one.test", &at_once), "local_network");
	}
	assert_int_equal(dns_stats(f.dns)->rebuilds_total, 1);
	must(unlink(path) == 0);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dns_literals_and_localhost_need_no_server),
		cmocka_unit_test(test_dns_answers_are_cached_for_their_time_to_live),
		cmocka_unit_test(test_dns_debug_tells_what_a_server_said_and_no_cache),
		cmocka_unit_test(test_dns_a_ttl_of_zero_counts_as_one_second),
		cmocka_unit_test(test_dns_families_take_turns_and_the_list_is_cut),
		cmocka_unit_test(test_dns_failures_have_their_reason),
		cmocka_unit_test(test_dns_no_reachable_server_is_our_network),
		cmocka_unit_test(test_dns_dead_servers_leave_time_for_the_last_one),
		cmocka_unit_test(test_dns_waiters_of_one_name_share_one_question),
		cmocka_unit_test(test_dns_a_cancelled_query_is_never_answered),
		cmocka_unit_test(test_dns_the_cache_is_bounded),
		cmocka_unit_test(test_dns_a_changed_resolv_conf_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "rawclient.h"

#include "modelhealth/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct stop {
	struct timer timer;
	struct loop *loop;
};

static void on_stop(struct timer *timer)
{
	loop_stop(container_of(timer, struct stop, timer)->loop);
}

void raw_run(struct loop *loop, usec_t span)
{
	struct stop stop = { .timer = { .fn = on_stop }, .loop = loop };
	struct timers *timers = loop_timers(loop);

	assert_int_equal(timer_set(timers, &stop.timer, clock_monotonic() + span), 0);
	assert_int_equal(loop_run(loop), 0);
	timer_cancel(timers, &stop.timer);
}

static void on_ready(void *arg, int fd, unsigned ready)
{
	struct raw_client *client = arg;
	char data[4096];
	ssize_t n;

	if ((ready & LOOP_WRITE) && client->sent < client->len) {
		n = send(fd, client->request + client->sent, client->len - client->sent,
			MSG_NOSIGNAL);
		if (n > 0)
			client->sent += (size_t)n;
		if (n < 0 && errno != EAGAIN)
			client->sent = client->len;
	}
	if (client->sent == client->len)
		assert_int_equal(
			loop_fd_set(client->watch, client->never_reads ? 0 : LOOP_READ), 0);
	if (!(ready & LOOP_READ) || client->never_reads)
		return;
	while ((n = recv(fd, data, sizeof data, 0)) > 0)
		sbuf_add(&client->answer, data, (size_t)n);
	if (n < 0 && errno == EAGAIN)
		return;
	client->closed = true;
	client->watch = loop_fd_free(client->watch);
	loop_stop(client->loop);
}

static void watch(struct raw_client *client, const char *request, size_t len)
{
	client->request = request;
	client->len = len;
	client->watch =
		loop_fd_new(client->loop, client->fd, LOOP_READ | LOOP_WRITE, on_ready, client);
	assert_non_null(client->watch);
}

void raw_open(struct raw_client *client, struct loop *loop, uint16_t port, unsigned source,
	const char *request, size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in from = { .sin_family = AF_INET };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl((127u << 24) + source);
	*client = (struct raw_client){ .loop = loop };
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(client->fd >= 0);
	assert_int_equal(bind(client->fd, (struct sockaddr *)&from, sizeof from), 0);
	assert_true(connect(client->fd, (struct sockaddr *)&to, sizeof to) == 0 ||
		    errno == EINPROGRESS);
	watch(client, request, len);
}

void raw_open_unix(
	struct raw_client *client, struct loop *loop, const char *path, const char *request)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	assert_true(strlen(path) < sizeof to.sun_path);
	memcpy(to.sun_path, path, strlen(path));
	*client = (struct raw_client){ .loop = loop };
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(client->fd >= 0);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&to, sizeof to), 0);
	watch(client, request, strlen(request));
}

void raw_resume(struct raw_client *client)
{
	assert_int_equal(loop_fd_set(client->watch, LOOP_READ | LOOP_WRITE), 0);
}

void raw_finish(struct raw_client *client, usec_t at_most)
{
	usec_t end = clock_monotonic() + at_most;

	while (!client->closed && clock_monotonic() < end)
		raw_run(client->loop, end - clock_monotonic());
}

void raw_close(struct raw_client *client)
{
	loop_fd_free(client->watch);
	(void)close(client->fd);
	sbuf_fini(&client->answer);
}

unsigned raw_status(const struct raw_client *client)
{
	unsigned status = 0;

	if (sscanf(sbuf_str(&client->answer), "HTTP/1.1 %3u ", &status) != 1)
		return 0;
	return status;
}

const char *raw_body(const struct raw_client *client)
{
	const char *end = strstr(sbuf_str(&client->answer), "\r\n\r\n");

	return end ? end + 4 : "";
}

/* SPDX-License-Identifier: MIT */
/*
 * The least that a check can cost on this machine: one epoll loop that connects, sends a prepared
 * request, reads to the end of the answer and closes; or, with --reuse, asks again on a kept
 * connection. It parses nothing, judges nothing and reports nothing but its own cost, as one JSON
 * object on stdout. tests/bench/run compares the daemon with it.
 */
#include "modelhealth/base/clock.h"
#include "modelhealth/base/duration.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	EVENTS_PER_WAIT = 256,
	MAX_ENDPOINTS = 1 << 17,
	READ_SIZE = 16 * 1024
};

struct options {
	uint64_t endpoints, port;
	usec_t interval, duration, warm_up;
	usec_t grid; /* starts are rounded up to this; 1 = a wake for each check */
	bool reuse;
};

struct endpoint {
	int fd; /* -1 without a connection */
	bool is_busy;
};

struct run {
	struct options options;
	struct endpoint *endpoints;
	int epoll_fd, timer_fd;
	usec_t began;
	uint64_t started; /* slots that have passed: slot k belongs to endpoint k % n */
	uint64_t done, failed, skipped;
	uint32_t *late; /* microseconds, one for each check that counts */
	size_t n_late, max_late;
};

static const char fresh_request[] =
	"GET /health HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
static const char reuse_request[] = "GET /health HTTP/1.1\r\nHost: bench\r\n\r\n";

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "raw: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void watch(struct run *run, size_t index, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = index };

	if (epoll_ctl(run->epoll_fd, operation, run->endpoints[index].fd, &event) < 0)
		die("epoll_ctl");
}

static void end_check(struct run *run, size_t index, bool ok, bool keep)
{
	struct endpoint *endpoint = &run->endpoints[index];

	if (!keep) {
		(void)close(endpoint->fd);
		endpoint->fd = -1;
	}
	endpoint->is_busy = false;
	if (ok)
		run->done++;
	else
		run->failed++;
}

static void send_request(struct run *run, size_t index)
{
	const char *request = run->options.reuse ? reuse_request : fresh_request;
	ssize_t n = send(run->endpoints[index].fd, request, strlen(request), MSG_NOSIGNAL);

	if (n < 0)
		end_check(run, index, false, false);
}

/* Each endpoint has its own address: 127.1.0.0 and up. */
static void connect_endpoint(struct run *run, size_t index)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)run->options.port),
		.sin_addr.s_addr = htonl((127u << 24) + (1u << 16) + (uint32_t)index),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	run->endpoints[index].fd = fd;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
		die("connect");
	watch(run, index, EPOLL_CTL_ADD, EPOLLOUT);
}

static void start_check(struct run *run, size_t index, usec_t planned, usec_t now)
{
	struct endpoint *endpoint = &run->endpoints[index];

	if (endpoint->is_busy) {
		run->skipped++;
		return;
	}
	if (planned >= run->began + run->options.warm_up && run->n_late < run->max_late)
		run->late[run->n_late++] = (uint32_t)(now - planned);
	endpoint->is_busy = true;
	if (endpoint->fd < 0)
		connect_endpoint(run, index);
	else
		send_request(run, index);
}

static usec_t planned_at(const struct run *run, uint64_t slot)
{
	return run->began + slot * run->options.interval / run->options.endpoints;
}

static void start_due(struct run *run)
{
	usec_t now = clock_monotonic();
	usec_t grid = run->options.grid;
	struct itimerspec spec = { 0 };
	usec_t next;

	while ((next = planned_at(run, run->started)) <= now) {
		start_check(run, run->started % run->options.endpoints, next, now);
		run->started++;
	}
	next = clock_kernel((next + grid - 1) / grid * grid);
	spec.it_value.tv_sec = (time_t)(next / USEC_PER_SEC);
	spec.it_value.tv_nsec = (long)(next % USEC_PER_SEC * 1000);
	if (timerfd_settime(run->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		die("timerfd_settime");
}

static void receive_answer(struct run *run, size_t index)
{
	char data[READ_SIZE];
	ssize_t n = recv(run->endpoints[index].fd, data, sizeof data, 0);

	if (n < 0)
		end_check(run, index, false, false);
	else if (run->options.reuse)
		end_check(run, index, n > 0, n > 0); /* the answer is small: one segment */
	else if (n == 0)
		end_check(run, index, true, false);
}

static void on_event(struct run *run, const struct epoll_event *event)
{
	size_t index = (size_t)event->data.u64;
	uint64_t expirations;

	if (index == run->options.endpoints) {
		(void)!read(run->timer_fd, &expirations, sizeof expirations);
		start_due(run);
		return;
	}
	if (event->events & EPOLLOUT) {
		watch(run, index, EPOLL_CTL_MOD, EPOLLIN);
		send_request(run, index);
		return;
	}
	receive_answer(run, index);
}

static usec_t cpu_used(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		die("getrusage");
	return ((usec_t)usage.ru_utime.tv_sec + (usec_t)usage.ru_stime.tv_sec) * USEC_PER_SEC +
	       (usec_t)usage.ru_utime.tv_usec + (usec_t)usage.ru_stime.tv_usec;
}

static void loop_until(struct run *run, usec_t end)
{
	struct epoll_event events[EVENTS_PER_WAIT];

	while (clock_monotonic() < end) {
		int n = epoll_wait(run->epoll_fd, events, EVENTS_PER_WAIT, 1000);

		for (int i = 0; i < n; i++)
			on_event(run, &events[i]);
	}
}

static int compare(const void *a, const void *b)
{
	const uint32_t *left = a;
	const uint32_t *right = b;

	return (*left > *right) - (*left < *right);
}

static double late_ms(const struct run *run, double quantile)
{
	size_t index = (size_t)(quantile * (double)run->n_late);

	if (run->n_late == 0)
		return 0;
	return (double)run->late[min_of(index, run->n_late - 1)] / 1000;
}

static void measure(struct run *run)
{
	usec_t cpu;
	uint64_t done;

	run->began = clock_monotonic();
	start_due(run);
	loop_until(run, run->began + run->options.warm_up);
	cpu = cpu_used();
	done = run->done;
	loop_until(run, run->began + run->options.warm_up + run->options.duration);
	cpu = cpu_used() - cpu;
	done = run->done - done;
	qsort(run->late, run->n_late, sizeof *run->late, compare);
	printf("{\"checks\": %lu, \"failed\": %lu, \"skipped\": %lu, \"cpu_us_per_check\": %.1f, "
	       "\"late_p50_ms\": %.3f, \"late_p99_ms\": %.3f, \"late_max_ms\": %.3f}\n",
		done, run->failed, run->skipped, done > 0 ? (double)cpu / (double)done : 0,
		late_ms(run, 0.5), late_ms(run, 0.99), late_ms(run, 1));
}

static void set_up(struct run *run)
{
	const struct options *options = &run->options;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = options->endpoints };
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* socket() says when it was too low */
	}
	run->max_late = (size_t)(options->duration * options->endpoints / options->interval) +
			options->endpoints;
	run->late = calloc(run->max_late, sizeof *run->late);
	run->endpoints = calloc(options->endpoints, sizeof *run->endpoints);
	if (!run->late || !run->endpoints)
		die("calloc");
	for (size_t i = 0; i < options->endpoints; i++)
		run->endpoints[i].fd = -1;
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (run->epoll_fd < 0 || run->timer_fd < 0 ||
		epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, run->timer_fd, &event) < 0)
		die("epoll");
}

static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option long_options[] = {
		{ "endpoints", required_argument, NULL, 'n' },
		{ "grid", required_argument, NULL, 'g' },
		{ "interval", required_argument, NULL, 'i' },
		{ "port", required_argument, NULL, 'p' },
		{ "reuse", no_argument, NULL, 'r' },
		{ "time", required_argument, NULL, 't' },
		{ "warm-up", required_argument, NULL, 'w' },
		{ 0 },
	};
	int r = 0;
	int option;

	while (r == 0 && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'n')
			r = u64_parse(optarg, &options->endpoints);
		else if (option == 'g')
			r = duration_parse(optarg, &options->grid);
		else if (option == 'i')
			r = duration_parse(optarg, &options->interval);
		else if (option == 'p')
			r = u64_parse(optarg, &options->port);
		else if (option == 'r')
			options->reuse = true;
		else if (option == 't')
			r = duration_parse(optarg, &options->duration);
		else if (option == 'w')
			r = duration_parse(optarg, &options->warm_up);
		else
			return -EINVAL;
	}
	if (r < 0 || optind < argc || options->endpoints == 0 ||
		options->endpoints > MAX_ENDPOINTS || options->interval == 0 ||
		options->grid == 0 || options->port == 0 || options->port > UINT16_MAX)
		return -EINVAL;
	return 0;
}

int main(int argc, char **argv)
{
	struct run run = {
		.options = {
			.endpoints = 1000,
			.interval = USEC_PER_SEC,
			.duration = 5 * USEC_PER_SEC,
			.warm_up = USEC_PER_SEC,
			.grid = 1,
		},
	};

	if (read_options(argc, argv, &run.options) < 0) {
		fprintf(stderr, "raw --port PORT [--endpoints N] [--interval D] [--time D] "
				"[--warm-up D] [--grid D] [--reuse]\n");
		return EXIT_FAILURE;
	}
	set_up(&run);
	measure(&run);
	free(run.late);
	free(run.endpoints);
	return EXIT_SUCCESS;
}

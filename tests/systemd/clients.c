/* SPDX-License-Identifier: MIT */
/*
 * Clients of a status port, so many a second however it answers: each connects from one of 200
 * addresses, asks for /healthz, reads to the end and leaves. At SIGTERM no more come; when the last
 * has left, or has waited 20 s in vain, one line says how it went:
 *
 *   asked=9000 ok=8998 refused=0 reset=2 cut=0 late=0 other=0 slowest_ms=1204
 *
 * usage: clients PORT RATE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_AT_ONCE = 16384,
	SOURCES = 200,
	PATIENCE_MSEC = 20000
};

enum outcome {
	OK,
	REFUSED,
	RESET, /* after the connection was made */
	CUT,   /* closed without a whole answer */
	LATE,  /* no answer in time */
	OTHER, /* another status or error */
	OUTCOME_N
};

static const char *const outcome_names[OUTCOME_N] = { "ok", "refused", "reset", "cut", "late",
	"other" };

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct client {
	int fd; /* -1 = free */
	bool has_asked;
	int64_t began; /* msec */
	char answer[16];
	size_t len;
};

static struct client clients[MAX_AT_ONCE];
static unsigned n_active, n_asked, outcomes[OUTCOME_N];
static int64_t slowest;
static int epoll;
static volatile sig_atomic_t is_ending;

static int64_t now_msec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end(struct client *client, enum outcome outcome)
{
	int64_t took = now_msec() - client->began;

	if (outcome == OK && took > slowest)
		slowest = took;
	outcomes[outcome]++;
	n_active--;
	(void)close(client->fd);
	client->fd = -1;
}

static void fail(struct client *client, int error)
{
	if (error == ECONNREFUSED)
		end(client, REFUSED);
	else if (error == ECONNRESET || error == EPIPE)
		end(client, RESET);
	else
		end(client, OTHER);
}

static void begin(struct client *client, uint16_t port)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.ptr = client };
	const int on = 1;

	*client = (struct client){ .began = now_msec() };
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (client->fd < 0) {
		perror("clients: socket");
		exit(1);
	}
	n_active++;
	from.sin_addr.s_addr = htonl(0x7f000101 + n_asked++ % SOURCES);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (bind(client->fd, (struct sockaddr *)&from, sizeof from) < 0 ||
		(connect(client->fd, (struct sockaddr *)&to, sizeof to) < 0 &&
			errno != EINPROGRESS) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event) < 0)
		fail(client, errno);
}

static void ask(struct client *client)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	client->has_asked = true;
	if (send(client->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		fail(client, errno);
	else
		(void)epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
}

static void listen_to(struct client *client)
{
	char buffer[4096];
	ssize_t n = recv(client->fd, buffer, sizeof buffer, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		fail(client, errno);
		return;
	}
	for (ssize_t i = 0; i < n && client->len < sizeof client->answer - 1; i++)
		client->answer[client->len++] = buffer[i];
	if (n > 0)
		return;
	if (strncmp(client->answer, "HTTP/1.1 200", 12) == 0)
		end(client, OK);
	else
		end(client, client->len == 0 ? CUT : OTHER);
}

static void go_on(struct client *client, uint32_t ready)
{
	int error = 0;
	socklen_t len = sizeof error;

	if ((ready & EPOLLERR) != 0 &&
		getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
		fail(client, error);
	else if (!client->has_asked && (ready & EPOLLOUT) != 0)
		ask(client);
	else if ((ready & (EPOLLIN | EPOLLHUP)) != 0)
		listen_to(client);
}

static struct client *find_free(void)
{
	static size_t next;

	for (size_t i = 0; i < MAX_AT_ONCE; i++) {
		struct client *client = &clients[next++ % MAX_AT_ONCE];

		if (client->fd < 0)
			return client;
	}
	(void)fprintf(stderr, "clients: more than %d at once\n", MAX_AT_ONCE);
	exit(1);
}

static void give_up_waiting(int64_t now)
{
	for (size_t i = 0; i < MAX_AT_ONCE; i++)
		if (clients[i].fd >= 0 && now - clients[i].began > PATIENCE_MSEC)
			end(&clients[i], LATE);
}

static void turn(void)
{
	struct epoll_event events[256];
	int n = epoll_wait(epoll, events, 256, 1);

	for (int i = 0; i < n; i++)
		go_on(events[i].data.ptr, events[i].events);
}

static void run(uint16_t port, int64_t rate)
{
	int64_t began = now_msec(), looked = began;

	while (!is_ending || n_active > 0) {
		int64_t now = now_msec();
		int64_t due = (now - began) * rate / 1000;

		/* Never more at once than in a twentieth of a second, also when this program was
		 * held up. */
		if (due - n_asked > rate / 20)
			began = now - (n_asked + rate / 20) * 1000 / rate;
		while (!is_ending && n_asked < (now - began) * rate / 1000)
			begin(find_free(), port);
		turn();
		if (now - looked > 1000) {
			give_up_waiting(now);
			looked = now;
		}
	}
}

static void on_terminate(int number)
{
	(void)number;
	is_ending = 1;
}

int main(int argc, char **argv)
{
	const struct rlimit files = { MAX_AT_ONCE + 64, MAX_AT_ONCE + 64 };

	if (argc != 3) {
		(void)fprintf(stderr, "usage: clients PORT RATE\n");
		return 2;
	}
	if (setrlimit(RLIMIT_NOFILE, &files) < 0) {
		perror("clients: RLIMIT_NOFILE");
		return 1;
	}
	(void)sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_terminate }, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < MAX_AT_ONCE; i++)
		clients[i].fd = -1;
	run((uint16_t)strtoul(argv[1], NULL, 10), (int64_t)strtoul(argv[2], NULL, 10));
	printf("asked=%u", n_asked);
	for (enum outcome i = 0; i < OUTCOME_N; i++)
		printf(" %s=%u", outcome_names[i], outcomes[i]);
	printf(" slowest_ms=%" PRId64 "\n", slowest);
	return 0;
}

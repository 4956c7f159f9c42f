/* SPDX-License-Identifier: MIT */
/*
 * Where records go: the journal, the console; and what the service manager hears.
 */
#include "modelhealth/base/sbuf.h"
#include "modelhealth/io/console.h"
#include "modelhealth/io/journal.h"
#include "modelhealth/io/notify.h"
#include "modelhealth/text/json.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A datagram socket in a folder of its own, as journald and the service manager have. */
struct fake {
	char folder[32], path[64];
	int fd;
};

static int set_up(void **state)
{
	static struct fake fake;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(fake.folder, sizeof fake.folder, "/tmp/mh-sinks.XXXXXX");
	assert_non_null(mkdtemp(fake.folder));
	(void)snprintf(fake.path, sizeof fake.path, "%s/socket", fake.folder);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", fake.path);
	fake.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_true(fake.fd >= 0);
	assert_int_equal(
		bind(fake.fd, (const struct sockaddr *)&address, (socklen_t)sizeof address), 0);
	*state = &fake;
	return 0;
}

static int tear_down(void **state)
{
	struct fake *fake = *state;

	close(fake->fd);
	unlink(fake->path);
	return rmdir(fake->folder);
}

/* The next datagram, "" when there is none. */
static const char *receive(const struct fake *fake)
{
	static char datagram[65536];
	ssize_t len = recv(fake->fd, datagram, sizeof datagram - 1, 0);

	datagram[len < 0 ? 0 : len] = '\0';
	return datagram;
}

static const struct log_field fields[] = {
	{ "ENDPOINT", "chat-a" },
	{ "GROUP", NULL },
	{ "DETAIL", "two\nlines\x1b[31m and \"quotes\"" },
};
static const struct log_record record = { .level = LOG_LEVEL_WARNING,
	.message_id = "5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d03",
	.message = "endpoint chat-a: down\nPRIORITY=0",
	.fields = fields,
	.n_fields = 3 };
static const struct log_record plain = { .level = LOG_LEVEL_INFO, .message = "stopping" };

static void test_journal_gets_one_field_a_line_and_no_injected_ones(void **state)
{
	struct fake *fake = *state;
	struct journal *journal;

	assert_int_equal(journal_open(fake->path, &journal), 0);
	journal_sink(journal, &record);
	assert_string_equal(receive(fake),
		"PRIORITY=4\nSYSLOG_IDENTIFIER=modelhealthd\n"
		"MESSAGE=endpoint chat-a: down PRIORITY=0\n"
		"MESSAGE_ID=5b1e6a0c2f5d4a1f9d5c0e7a4b6c1d03\nENDPOINT=chat-a\n"
		"DETAIL=two lines [31m and \"quotes\"\n");
	journal_close(journal);
}

static void test_stopped_journal_loses_records_but_never_waits(void **state)
{
	struct fake *fake = *state;
	struct journal *journal;
	uint64_t dropped;
	unsigned received = 0;
	const char *told;
	char expected[40];

	assert_int_equal(journal_open(fake->path, &journal), 0);
	for (unsigned i = 0; i < 2000; i++)
		journal_sink(journal, &record);
	dropped = journal_dropped_total(journal);
	assert_true(dropped > 0);
	while (receive(fake)[0] != '\0')
		received++;
	assert_int_equal(received + dropped, 2000);
	/* When it reads again, it hears how many are missing, once and without another record. */
	(void)snprintf(expected, sizeof expected, "DROPPED=%" PRIu64 "\n", dropped);
	journal_tell_loss(journal, "2 up");
	assert_non_null(strstr(told = receive(fake), expected));
	assert_non_null(strstr(told, "checks went on; now 2 up\n"));
	journal_tell_loss(journal, "2 up");
	journal_sink(journal, &record);
	assert_non_null(strstr(receive(fake), "ENDPOINT=chat-a"));
	assert_string_equal(receive(fake), "");
	assert_int_equal(journal_dropped_total(journal), dropped);
	journal_close(journal);
}

static void test_loss_is_told_when_the_journal_takes_it(void **state)
{
	struct fake *fake = *state;
	struct journal *journal;
	unsigned received = 0;

	assert_int_equal(journal_open(fake->path, &journal), 0);
	do
		journal_sink(journal, &plain);
	while (journal_dropped_total(journal) == 0);
	journal_tell_loss(journal, "2 up"); /* its queue is full still */
	journal_tell_loss(journal, "2 up");
	while (strstr(receive(fake), plain.message))
		received++;
	assert_true(received > 0);
	journal_tell_loss(journal, "2 up");
	assert_non_null(strstr(receive(fake), "DROPPED=1\n"));
	journal_close(journal);
}

/* journald would forget all records alike, the important ones too. */
static void test_a_crowd_of_endpoints_leaves_room_for_the_rest(void **state)
{
	struct fake *fake = *state;
	struct journal *journal;
	unsigned received = 0;

	assert_int_equal(journal_open(fake->path, &journal), 0);
	for (unsigned i = 0; i < 5000; i++) {
		journal_sink(journal, &record);
		received += strstr(receive(fake), "ENDPOINT=chat-a") ? 1 : 0;
	}
	assert_in_range(received, 4000, 4900); /* a token every 7.5 ms comes after */
	assert_int_equal(journal_dropped_total(journal), 5000 - received);
	for (unsigned i = 0; i < 100; i++) {
		journal_sink(journal, &plain);
		assert_non_null(strstr(receive(fake), plain.message));
	}
	journal_tell_loss(journal, "5000 down");
	assert_non_null(strstr(receive(fake), "0 that the journal did not take"));
	/* A loss that goes on is not told each time. */
	while (journal_dropped_total(journal) == 5000 - received) {
		journal_sink(journal, &record);
		(void)receive(fake);
	}
	journal_tell_loss(journal, "5000 down");
	assert_string_equal(receive(fake), "");
	journal_tell_loss(journal, "5000 down");
	assert_non_null(strstr(receive(fake), "DROPPED="));
	journal_close(journal);
}

/* journald counts them apart as well. */
static void test_debug_records_take_no_place_of_a_change_of_state(void **state)
{
	static const struct log_record attempt = { .level = LOG_LEVEL_DEBUG,
		.message = "endpoint chat-a: check live: up (ok)",
		.fields = fields,
		.n_fields = 3 };
	static const struct log_record name = { .level = LOG_LEVEL_DEBUG,
		.message = "name chat.example: ok" };
	struct fake *fake = *state;
	struct journal *journal;
	unsigned received = 0;

	assert_int_equal(journal_open(fake->path, &journal), 0);
	for (unsigned i = 0; i < 5000; i++) {
		journal_sink(journal, i % 2 ? &attempt : &name);
		received += strstr(receive(fake), "PRIORITY=7") ? 1 : 0;
	}
	assert_in_range(received, 4000, 4900);
	assert_int_equal(journal_dropped_total(journal), 5000 - received);
	for (unsigned i = 0; i < 3000; i++) {
		journal_sink(journal, &record);
		assert_non_null(strstr(receive(fake), "PRIORITY=4"));
	}
	journal_close(journal);
}

static void test_missing_journal_is_counted(void **state)
{
	struct journal *journal;

	(void)state;
	assert_int_equal(journal_open("/nonexistent/socket", &journal), 0);
	journal_sink(journal, &record);
	assert_int_equal(journal_dropped_total(journal), 1);
	journal_close(journal);
}

static void test_console_text_is_one_clean_line(void **state)
{
	struct console console = { .format = CONSOLE_TEXT };
	char line[1000] = { 0 };
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	console.fd = pipes[1];
	console_sink(&console, &record);
	assert_true(read(pipes[0], line, sizeof line - 1) > 0);
	assert_non_null(strstr(line, "Z warning: endpoint chat-a: down PRIORITY=0\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_console_json_is_json_with_all_fields(void **state)
{
	struct console console = { .format = CONSOLE_JSON };
	_cleanup_(json_freep) struct json *json = NULL;
	char line[1000] = { 0 };
	int pipes[2];
	ssize_t n;
	size_t len;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	console.fd = pipes[1];
	console_sink(&console, &record);
	n = read(pipes[0], line, sizeof line - 1);
	assert_true(n > 0);
	assert_int_equal(json_parse(line, (size_t)n, &json), 0);
	assert_string_equal(json_string(json_at(json, "/endpoint"), &len), "chat-a");
	assert_string_equal(json_string(json_at(json, "/detail"), &len), fields[2].value);
	assert_string_equal(json_string(json_at(json, "/level"), &len), "warning");
	assert_null(json_at(json, "/group"));
	close(pipes[0]);
	close(pipes[1]);
}

static void test_full_pipe_drops_lines_and_tells_later(void **state)
{
	struct console console = { .format = CONSOLE_TEXT };
	char piece[4096];
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	console.fd = pipes[1];
	for (unsigned i = 0; i < 5000; i++)
		console_sink(&console, &record);
	assert_true(console.dropped_total > 0);
	while (console.untold > 0) {
		assert_true(read(pipes[0], piece, sizeof piece) > 0);
		console_sink(&console, &record);
	}
	close(pipes[0]);
	close(pipes[1]);
}

static void test_terminal_that_nobody_reads_does_not_stop_us(void **state)
{
	struct console console = { .format = CONSOLE_TEXT };
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int ours;

	(void)state;
	assert_true(terminal >= 0);
	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	ours = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(ours >= 0);
	console.fd = console_own_fd(ours);
	assert_int_not_equal(console.fd, ours);
	for (unsigned i = 0; i < 5000; i++)
		console_sink(&console, &record);
	assert_true(console.dropped_total > 0);
	assert_false(fcntl(ours, F_GETFL) & O_NONBLOCK); /* the shell's own is as it was */
	close(console.fd);
	close(ours);
	close(terminal);
}

static void test_notify_reaches_the_service_manager_and_never_waits(void **state)
{
	struct fake *fake = *state;
	struct notify notify;

	assert_int_equal(setenv("NOTIFY_SOCKET", fake->path, 1), 0);
	notify_open(&notify);
	notify_send(&notify, "READY=1\nSTATUS=%u up", 12u);
	assert_string_equal(receive(fake), "READY=1\nSTATUS=12 up");
	for (unsigned i = 0; i < 2000; i++)
		notify_send(&notify, "WATCHDOG=1");
	notify_close(&notify);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void test_a_change_of_state_that_was_not_taken_is_sent_again(void **state)
{
	struct fake *fake = *state;
	struct notify notify;

	assert_int_equal(setenv("NOTIFY_SOCKET", fake->path, 1), 0);
	notify_open(&notify);
	for (unsigned i = 0; i < 2000; i++)
		notify_send(&notify, "WATCHDOG=1");
	notify_send(&notify, "RELOADING=1");
	notify_send(&notify, "READY=1"); /* the reload is over before anybody heard of it */
	notify_retry(&notify);
	while (*receive(fake))
		;
	notify_retry(&notify);
	assert_string_equal(receive(fake), "READY=1");
	notify_retry(&notify);
	assert_string_equal(receive(fake), "");
	notify_close(&notify);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

/* The descriptor that came with a datagram, -1 without one. */
static int receive_fd(const struct fake *fake, char *text, size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { .iov_base = text, .iov_len = size - 1 };
	struct msghdr packet = { .msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };
	ssize_t len = recvmsg(fake->fd, &packet, MSG_CMSG_CLOEXEC);
	int fd = -1;

	text[len < 0 ? 0 : len] = '\0';
	if (len >= 0 && CMSG_FIRSTHDR(&packet))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&packet)), sizeof fd);
	return fd;
}

static void test_a_descriptor_to_keep_arrives_even_when_nobody_listened_at_first(void **state)
{
	struct fake *fake = *state;
	struct notify notify;
	char text[NOTIFY_MESSAGE_SIZE];
	int memory = memfd_create("test", MFD_CLOEXEC), fd;
	struct stat sent, came;

	assert_int_equal(setenv("NOTIFY_SOCKET", fake->path, 1), 0);
	notify_open(&notify);
	for (unsigned i = 0; i < 2000; i++)
		notify_send(&notify, "WATCHDOG=1");
	notify_store(&notify, memory, "state");
	while (*receive(fake))
		;
	notify_retry(&notify);
	fd = receive_fd(fake, text, sizeof text);
	assert_string_equal(text, "FDSTORE=1\nFDNAME=state");
	assert_int_equal(fstat(memory, &sent), 0);
	assert_int_equal(fstat(fd, &came), 0);
	assert_int_equal(came.st_ino, sent.st_ino);
	notify_retry(&notify);
	assert_string_equal(receive(fake), ""); /* once */
	close(fd);
	close(memory);
	notify_close(&notify);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void test_no_service_manager_is_fine(void **state)
{
	struct notify notify;

	(void)state;
	assert_int_equal(unsetenv("WATCHDOG_USEC"), 0); /* of a service that runs this test */
	notify_open(&notify);
	assert_int_equal(notify.fd, -1);
	notify_send(&notify, "READY=1");
	notify_close(&notify);
	assert_int_equal(notify_watchdog_interval(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal_gets_one_field_a_line_and_no_injected_ones),
		cmocka_unit_test(test_stopped_journal_loses_records_but_never_waits),
		cmocka_unit_test(test_loss_is_told_when_the_journal_takes_it),
		cmocka_unit_test(test_a_crowd_of_endpoints_leaves_room_for_the_rest),
		cmocka_unit_test(test_debug_records_take_no_place_of_a_change_of_state),
		cmocka_unit_test(test_missing_journal_is_counted),
		cmocka_unit_test(test_console_text_is_one_clean_line),
		cmocka_unit_test(test_console_json_is_json_with_all_fields),
		cmocka_unit_test(test_full_pipe_drops_lines_and_tells_later),
		cmocka_unit_test(test_terminal_that_nobody_reads_does_not_stop_us),
		cmocka_unit_test(test_notify_reaches_the_service_manager_and_never_waits),
		cmocka_unit_test(test_a_change_of_state_that_was_not_taken_is_sent_again),
		cmocka_unit_test(
			test_a_descriptor_to_keep_arrives_even_when_nobody_listened_at_first),
		cmocka_unit_test(test_no_service_manager_is_fine),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

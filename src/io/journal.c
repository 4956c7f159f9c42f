/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/journal.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/core/bucket.h"
#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of one field's value; a datagram with all fields stays far below the socket buffer. */
enum {
	VALUE_SIZE = 1024
};

/* How long the end of the process waits for journald, at most: 100 ms. */
enum {
	CLOSING_STEPS = 20,
	CLOSING_STEP_MS = 5,
};

/*
 * journald forgets what a service says beyond 10000 records in 30 s, be it important or not. When
 * ten thousand endpoints fail at once we choose: records of single endpoints use at most 8000 of
 * these (the bucket, and what refills it meanwhile), so that the rest always finds room. journald
 * counts debug records apart, and so do we: they never take the place of a change of state.
 */
static const struct rate crowd_rate = { .count = 4000, .per = 30 * USEC_PER_SEC };

/* A loss that goes on is told at this pace, one that is over at once. */
static const usec_t telling_distance = 10 * USEC_PER_SEC;

/* As sd_journal_send(3) asks for; the kernel gives what it allows. */
static const int send_buffer_bytes = 8 * 1024 * 1024;

struct journal {
	int fd;
	struct sockaddr_un address;
	struct sbuf datagram; /* reused */
	struct bucket crowd, debug;
	uint64_t refused_total, held_back_total;
	uint64_t told_refused, told_held_back; /* what of these was told */
	uint64_t lost_before;                  /* their sum when we last thought of telling */
	usec_t told_at;
};

bool journal_is_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat status;
	char ours[64];

	if (!stream || fstat(STDERR_FILENO, &status) < 0)
		return false;
	(void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)status.st_dev,
		(uintmax_t)status.st_ino); /* fits */
	return strcmp(stream, ours) == 0;
}

int journal_open(const char *path, struct journal **ret_journal)
{
	struct journal *journal;
	int r;

	if (strlen(path) >= sizeof journal->address.sun_path)
		return -ENAMETOOLONG;
	journal = calloc(1, sizeof *journal);
	if (!journal)
		return -ENOMEM;
	journal->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (journal->fd < 0) {
		r = -errno;
		free(journal);
		return r;
	}
	(void)setsockopt(journal->fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes,
		sizeof send_buffer_bytes); /* with less, more is dropped and counted */
	journal->crowd.rate = crowd_rate;
	journal->debug.rate = crowd_rate;
	journal->address.sun_family = AF_UNIX;
	(void)snprintf(journal->address.sun_path, sizeof journal->address.sun_path, "%s",
		path); /* its length was checked */
	*ret_journal = journal;
	return 0;
}

/* journald looks in /proc for the unit that a record belongs to: of a process that has ended by then
 * "journalctl -u" finds nothing, least of all why it ended. So the last record is waited for. */
static void wait_until_read(const struct journal *journal)
{
	int unread;

	for (unsigned i = 0; i < CLOSING_STEPS; i++) {
		(void)poll(NULL, 0, CLOSING_STEP_MS);
		if (ioctl(journal->fd, SIOCOUTQ, &unread) < 0 || unread == 0)
			return;
	}
}

struct journal *journal_close(struct journal *journal)
{
	if (!journal)
		return NULL;
	wait_until_read(journal);
	(void)close(journal->fd); /* nothing is buffered */
	sbuf_fini(&journal->datagram);
	free(journal);
	return NULL;
}

/* Sanitised values hold no newline, so the simple form of the protocol is enough. */
static void put_field(struct sbuf *out, const char *name, const char *value)
{
	char clean[VALUE_SIZE];

	if (!value)
		return;
	sbuf_puts(out, name);
	sbuf_putc(out, '=');
	sbuf_add(out, clean, sanitise(clean, sizeof clean, value, strlen(value)));
	sbuf_putc(out, '\n');
}

static bool send_record(struct journal *journal, const struct log_record *record)
{
	struct sbuf *out = &journal->datagram;
	char priority[2] = { (char)('0' + (int)record->level), '\0' };

	sbuf_clear(out);
	put_field(out, "PRIORITY", priority);
	put_field(out, "SYSLOG_IDENTIFIER", "modelhealthd");
	put_field(out, "MESSAGE", record->message);
	put_field(out, "MESSAGE_ID", record->message_id);
	for (size_t i = 0; i < record->n_fields; i++)
		put_field(out, record->fields[i].name, record->fields[i].value);
	if (out->failed)
		return false;
	/* Addressed each time: journald may have been restarted in between. */
	return sendto(journal->fd, out->data, out->len, MSG_DONTWAIT | MSG_NOSIGNAL,
		       (const struct sockaddr *)&journal->address,
		       sizeof journal->address) == (ssize_t)out->len;
}

/* Only what is said of single endpoints or checks can come in a crowd. NULL = is none of these. */
static struct bucket *bucket_of(struct journal *journal, const struct log_record *record)
{
	if (record->level == LOG_LEVEL_DEBUG)
		return &journal->debug;
	if (record->n_fields > 0 && strcmp(record->fields[0].name, "ENDPOINT") == 0)
		return &journal->crowd;
	return NULL;
}

void journal_sink(void *ctx, const struct log_record *record)
{
	struct journal *journal = ctx;
	struct bucket *bucket = bucket_of(journal, record);

	if (bucket && !bucket_take(bucket, clock_monotonic()))
		journal->held_back_total++;
	else if (!send_record(journal, record))
		journal->refused_total++;
}

static bool send_loss(struct journal *journal, const char *state)
{
	uint64_t refused = journal->refused_total - journal->told_refused;
	uint64_t held_back = journal->held_back_total - journal->told_held_back;
	char message[256], count[24];
	struct log_field field = { "DROPPED", count };
	struct log_record record = {
		.level = LOG_LEVEL_WARNING,
		.message_id = MSG_LOG_DROPPED,
		.message = message,
		.fields = &field,
		.n_fields = 1,
	};

	(void)snprintf(count, sizeof count, "%" PRIu64, refused + held_back); /* fits */
	(void)snprintf(message, sizeof message,
		"%s log records were dropped: %" PRIu64 " that the journal did not take, %" PRIu64
		" beyond %u in %u s; checks went on; now %s",
		count, refused, held_back, crowd_rate.count,
		(unsigned)(crowd_rate.per / USEC_PER_SEC), state); /* a long state may be cut */
	return send_record(journal, &record);
}

void journal_tell_loss(struct journal *journal, const char *state)
{
	uint64_t lost = journal_dropped_total(journal);
	bool goes_on = lost != journal->lost_before;
	usec_t now = clock_monotonic();

	journal->lost_before = lost;
	if (lost == journal->told_refused + journal->told_held_back)
		return;
	if ((goes_on && now < journal->told_at + telling_distance) || !send_loss(journal, state))
		return;
	journal->told_refused = journal->refused_total;
	journal->told_held_back = journal->held_back_total;
	journal->told_at = now;
}

uint64_t journal_dropped_total(const struct journal *journal)
{
	return journal->refused_total + journal->held_back_total;
}

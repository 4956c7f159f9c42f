/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/journal.h"

#include "modelhealth/base/messages.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/text/sanitise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of one field's value; a datagram with all fields stays far below the socket buffer. */
enum {
	VALUE_SIZE = 1024
};

struct journal {
	int fd;
	struct sockaddr_un address;
	struct sbuf datagram; /* reused */
	uint64_t dropped_total;
	uint64_t untold; /* dropped since the last record that got through */
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
	journal->address.sun_family = AF_UNIX;
	(void)snprintf(journal->address.sun_path, sizeof journal->address.sun_path, "%s",
		path); /* its length was checked */
	*ret_journal = journal;
	return 0;
}

struct journal *journal_close(struct journal *journal)
{
	if (!journal)
		return NULL;
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

static void tell_dropped(struct journal *journal)
{
	char message[160], count[24];
	struct log_field field = { "DROPPED", count };
	struct log_record record = {
		.level = LOG_LEVEL_WARNING,
		.message_id = MSG_LOG_DROPPED,
		.message = message,
		.fields = &field,
		.n_fields = 1,
	};

	(void)snprintf(count, sizeof count, "%ju", (uintmax_t)journal->untold); /* fits */
	(void)snprintf(message, sizeof message,
		"%s log records were dropped because the journal did not take them; checks went on",
		count); /* fits */
	if (send_record(journal, &record))
		journal->untold = 0;
}

void journal_sink(void *ctx, const struct log_record *record)
{
	struct journal *journal = ctx;

	if (journal->untold > 0)
		tell_dropped(journal);
	if (send_record(journal, record))
		return;
	journal->dropped_total++;
	journal->untold++;
}

uint64_t journal_dropped_total(const struct journal *journal)
{
	return journal->dropped_total;
}

/* SPDX-License-Identifier: MIT */
#include "modelhealth/io/console.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/text/write.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char *level_text(enum log_level level)
{
	static const char *const texts[] = {
		[LOG_LEVEL_ERR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_NOTICE] = "notice",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	return texts[level];
}

static void put_text(struct sbuf *out, const struct log_record *record)
{
	char now[CLOCK_TEXT_SIZE];

	clock_format(clock_realtime(), now);
	sbuf_printf(out, "%s %s: ", now, level_text(record->level));
	plain_text(out, record->message, 1000);
	sbuf_putc(out, '\n');
}

/* Journal fields are upper case, JSON keys are ours: lower case. */
static void put_member(struct jw *jw, const char *name, const char *value)
{
	char lower[64] = { 0 };

	for (size_t i = 0; name[i] != '\0' && i + 1 < sizeof lower; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	jw_key(jw, lower);
	jw_string(jw, value);
}

static void put_json(struct sbuf *out, const struct log_record *record)
{
	struct jw jw = { .out = out };

	jw_object(&jw);
	jw_key(&jw, "time");
	jw_time(&jw, clock_realtime());
	put_member(&jw, "level", level_text(record->level));
	put_member(&jw, "message", record->message);
	if (record->message_id)
		put_member(&jw, "message_id", record->message_id);
	for (size_t i = 0; i < record->n_fields; i++)
		if (record->fields[i].value)
			put_member(&jw, record->fields[i].name, record->fields[i].value);
	jw_object_end(&jw);
	sbuf_putc(out, '\n');
}

/* A line of at most PIPE_BUF bytes to something that is ready is taken whole and at once. */
static bool put_line(const struct console *console, const struct log_record *record)
{
	_cleanup_(sbuf_fini) struct sbuf line = { .limit = PIPE_BUF };
	struct pollfd ready = { .fd = console->fd, .events = POLLOUT };

	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return false;
	if (console->format == CONSOLE_JSON)
		put_json(&line, record);
	else
		put_text(&line, record);
	return !line.failed && write(console->fd, line.data, line.len) == (ssize_t)line.len;
}

void console_sink(void *ctx, const struct log_record *record)
{
	struct console *console = ctx;

	if (console->untold > 0) {
		char message[100];
		struct log_record dropped = { .level = LOG_LEVEL_WARNING,
			.message_id = MSG_LOG_DROPPED,
			.message = message };

		(void)snprintf(message, sizeof message,
			"%ju log lines were dropped because nobody read them; checks went on",
			(uintmax_t)console->untold); /* fits */
		if (put_line(console, &dropped))
			console->untold = 0;
	}
	if (put_line(console, record))
		return;
	console->dropped_total++;
	console->untold++;
}

int console_own_fd(int fd)
{
	char path[32];
	int own;

	if (!isatty(fd))
		return fd;
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* fits */
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own >= 0 ? own : fd;
}

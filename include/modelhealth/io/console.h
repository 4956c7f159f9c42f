/* SPDX-License-Identifier: MIT */
/*
 * A terminal, a pipe or a file as a log sink: one line per record, readable or JSON. Never waits:
 * when the reader does not keep up, lines are dropped and counted.
 */
#pragma once

#include "modelhealth/base/log.h"

enum console_format {
	CONSOLE_TEXT,
	CONSOLE_JSON
};

struct console {
	int fd; /* borrowed */
	enum console_format format;
	uint64_t dropped_total;
	uint64_t untold; /* dropped since the last line that got through */
};

/* A log_sink_fn; ctx is a struct console. */
void console_sink(void *ctx, const struct log_record *record);

/*
 * What to log to in place of fd. A terminal that has stopped takes part of a line and then blocks,
 * so it is opened once more, without blocking and without changing the descriptor that we share
 * with the shell. Anything else, and a terminal that cannot be opened, is fd itself.
 */
int console_own_fd(int fd);

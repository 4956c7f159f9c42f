/* SPDX-License-Identifier: MIT */
/*
 * Telling the service manager how we are (sd_notify(3)), without ever waiting for it.
 */
#pragma once

#include "modelhealth/base/defs.h"

enum {
	NOTIFY_MESSAGE_SIZE = 512
};

struct notify {
	int fd;                         /* -1: nobody wants to know */
	char owed[NOTIFY_MESSAGE_SIZE]; /* the last change of state that was not taken; "" = none */
	int owed_fd;                    /* borrowed: was not taken either; -1 = none */
	const char *owed_name;
};

/* Takes $NOTIFY_SOCKET; without one, or when it cannot be used, every message goes nowhere. */
void notify_open(struct notify *notify);
/* What is still owed is tried once more. */
void notify_close(struct notify *notify);

/* Sends assignments as sd_notify does, e.g. "READY=1\nSTATUS=12 up". */
void notify_send(struct notify *notify, const char *format, ...) _printf_(2, 3);

/* Asks to keep a copy of a descriptor for the next process, which finds it under its name (io/
 * inherited.h). Borrows both until notify_close. */
void notify_store(struct notify *notify, int fd, const char *name);

/* Sends what is owed, if anything; to be called now and then. */
void notify_retry(struct notify *notify);

/* How often WATCHDOG=1 is expected, 0 = not at all. */
usec_t notify_watchdog_interval(void);

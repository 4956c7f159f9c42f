/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) itself may wait for a service manager that is busy; a datagram with MSG_DONTWAIT
 * does not. A status or watchdog message that is lost that way is followed by the next one; of the
 * others, the last is kept and sent again, for without READY=1 a start or a reload never ends.
 */
#include "modelhealth/io/notify.h"

#include <systemd/sd-daemon.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_open(struct notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	*notify = (struct notify){ .fd = -1 };
	if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* an abstract socket */
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (notify->fd < 0)
		return;
	if (connect(notify->fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		closep(&notify->fd);
}

void notify_close(struct notify *notify)
{
	notify_retry(notify);
	closep(&notify->fd);
}

static bool put(const struct notify *notify, const char *message)
{
	return send(notify->fd, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void notify_retry(struct notify *notify)
{
	if (notify->fd >= 0 && notify->owed[0] != '\0' && put(notify, notify->owed))
		notify->owed[0] = '\0';
}

/* Whether another message of the same kind will follow by itself. */
static bool is_repeated(const char *message)
{
	return strncmp(message, "STATUS=", 7) == 0 || strncmp(message, "WATCHDOG=", 9) == 0;
}

void notify_send(struct notify *notify, const char *format, ...)
{
	char message[NOTIFY_MESSAGE_SIZE];
	va_list args;

	if (notify->fd < 0)
		return;
	va_start(args, format);
	(void)vsnprintf(message, sizeof message, format, args); /* a long status line may be cut */
	va_end(args);
	if (is_repeated(message))
		notify_retry(notify);
	else
		notify->owed[0] = '\0'; /* this one says what we are now */
	if (!put(notify, message) && !is_repeated(message))
		memcpy(notify->owed, message, sizeof message);
}

usec_t notify_watchdog_interval(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

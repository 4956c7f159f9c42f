/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) itself may wait for a service manager that is busy; a datagram with MSG_DONTWAIT
 * does not. What is lost that way is sent again with the next status or watchdog message.
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

enum {
	MESSAGE_SIZE = 2048
};

void notify_open(struct notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;

	notify->fd = -1;
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
	closep(&notify->fd);
}

void notify_send(const struct notify *notify, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list args;
	int len;

	if (notify->fd < 0)
		return;
	va_start(args, format);
	len = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (len > 0)
		(void)send(notify->fd, message, min_of((size_t)len, sizeof message - 1),
			MSG_DONTWAIT | MSG_NOSIGNAL); /* best effort by design */
}

usec_t notify_watchdog_interval(void)
{
	uint64_t usec;

	return sd_watchdog_enabled(0, &usec) > 0 ? usec : 0;
}

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

	*notify = (struct notify){ .fd = -1, .owed_fd = -1 };
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

static bool put_fd(const struct notify *notify, int fd, const char *name)
{
	char message[NOTIFY_MESSAGE_SIZE];
	int len = snprintf(message, sizeof message, "FDSTORE=1\nFDNAME=%s", name);

	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec text = { .iov_base = message, .iov_len = (size_t)len };
	struct msghdr packet = { .msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };

	control.head = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
	};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	return sendmsg(notify->fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void notify_retry(struct notify *notify)
{
	if (notify->fd >= 0 && notify->owed[0] != '\0' && put(notify, notify->owed))
		notify->owed[0] = '\0';
	if (notify->fd >= 0 && notify->owed_fd >= 0 &&
		put_fd(notify, notify->owed_fd, notify->owed_name))
		notify->owed_fd = -1;
}

void notify_store(struct notify *notify, int fd, const char *name)
{
	notify->owed_fd = fd;
	notify->owed_name = name;
	notify_retry(notify);
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

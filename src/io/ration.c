/* SPDX-License-Identifier: MIT */
/*
 * The recv() of this process. libcurl has no hook to read through, but it calls recv(), also for the
 * records of TLS, and a dynamic linker looks into the program before it looks into the C library.
 * Owns the ration of the call that is running; the transfer engine begins and ends it. For everyone
 * else, and outside of a ration, this is the plain system call.
 *
 * A timer whose signal handler cuts off a call that takes too long was the alternative: it can
 * punish an honest server for a busy machine, and cannot tell which of several sockets it was.
 */
#include "modelhealth/io/ration.h"

#include <errno.h>
#include <sys/socket.h>

static _Thread_local struct {
	bool is_given;
	size_t eaten;
} ration;

/* Under another name here, because the C library's headers may define recv() inline. */
ssize_t ration_recv(int fd, void *data, size_t len, int flags) __asm__("recv");

ssize_t ration_recv(int fd, void *data, size_t len, int flags)
{
	ssize_t n;

	if (!ration.is_given)
		return recvfrom(fd, data, len, flags, NULL, NULL);
	if (ration.eaten == RATION_BYTES) {
		errno = EAGAIN;
		return -1;
	}
	n = recvfrom(fd, data, min_of(len, RATION_BYTES - ration.eaten), flags, NULL, NULL);
	if (n > 0 && (flags & MSG_PEEK) == 0)
		ration.eaten += (size_t)n; /* positive */
	return n;
}

void ration_begin(void)
{
	ration.is_given = true;
	ration.eaten = 0;
}

size_t ration_end(void)
{
	ration.is_given = false;
	return ration.eaten;
}

/* SPDX-License-Identifier: MIT */
/*
 * One POST to the daemon's unix socket, for the command line. Blocks up to a minute.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

/* Appends the answer's body to out (within its limit) and yields the HTTP status. False with a
 * one-line error when nobody answers. */
bool admin_post(const char *socket_path, const char *path, struct sbuf *out, unsigned *ret_status,
	char *ret_error, size_t error_size);

/* SPDX-License-Identifier: MIT */
/*
 * The clients of a simulated server.
 */
#pragma once

#include "modelhealth/app/sim/server.h"

/* Serves a client that was accepted, until one of the two ends it; takes fd, also on failure. */
void connection_new(struct server *server, int fd);

/* Closes all that a server has. */
void connections_close(struct server *server);

/* Calls ->next of an exchange whose wait was USEC_NEVER, this turn. */
void exchange_go(struct exchange *exchange);

/* SPDX-License-Identifier: MIT */
/*
 * The status port: which path gives what. Routes requests of io/httpd to the outputs, and the few
 * that change something, on unix sockets only, to the engine and the app.
 */
#pragma once

#include "modelhealth/core/spec.h"
#include "modelhealth/engine/engine.h"

struct loop;
struct status;

struct status_setup {
	struct loop *loop;     /* borrowed */
	struct engine *engine; /* borrowed */
	/* Begins to load the configuration anew; status_reloaded tells how it ended, perhaps before
	 * this returns. false: another load is under way and may not have seen the file as it is
	 * now; the next one follows at its end. */
	bool (*reload)(void *ctx);
	void *ctx;
};

/* 0 or -errno. */
int status_new(const struct status_setup *setup, struct status **ret_status);
struct status *status_free(struct status *status);

/*
 * Binds the listeners of a configuration and takes its limits; an address that is bound already
 * stays bound, one that is no longer wanted is closed. Each newly bound one is logged as
 * "listening on 127.0.0.1:9877". Returns 0, or -errno with a one-line error naming the first
 * address that cannot be bound; all that could be bound before then stays as it was.
 */
int status_listen(
	struct status *status, const struct config *config, char *ret_error, size_t error_size);

/* Answers all who asked before this load began. errors NULL = it is live; else all errors as text. */
void status_reloaded(struct status *status, const char *errors);

/* Serves a socket of the service manager that already listens, to the end; an address of a
 * configuration that it covers is not bound again. Logged. Takes fd. 0 or -errno. */
int status_adopt(struct status *status, int fd);

/* Accepts no more clients, so that a successor on an adopted socket finds them waiting. */
void status_drain(struct status *status);

/* Whether a client is still being served. */
bool status_is_serving(const struct status *status);

/* The TCP port behind a configured address, for ":0"; 0 for none. */
uint16_t status_port(const struct status *status, const char *address);

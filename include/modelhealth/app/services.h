/* SPDX-License-Identifier: MIT */
/*
 * What the daemon and --once both need: a configuration, the io services, a log.
 */
#pragma once

#include "modelhealth/app/options.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/io/io.h"
#include "modelhealth/io/journal.h"

/* Writes what a mode has to say to standard output. Returns code; EXIT_SYSTEM when it cannot be
 * written, which is told. */
int print_answer(const struct sbuf *answer, int code);

/* Prints all errors of a load that returned error. */
void complain(const char *path, const struct conf_errors *errors, int error);

/* Loads a configuration, or prints every error to stderr and returns false. */
bool load_or_complain(const struct options *options, struct config **ret_config);

struct services {
	struct io io;
	struct journal *journal; /* NULL when records go to the console */
	struct console console;
};

/* Sets the log sink, ignores SIGPIPE, raises the limit on open files. */
void services_start_log(struct services *services, const struct options *options);

/* Loads the configuration to start with; false after every mistake was told, in the journal or on
 * stderr. */
bool services_load(
	const struct services *services, const struct options *options, struct config **ret_config);

/* Opens loop, resolver and transfer engine. 0 or -errno. */
int services_open(struct services *services);
void services_close(struct services *services);

uint64_t services_log_dropped(const struct services *services);

/* Says in the log what it lost; state: how things stand now. To be called about once a second. */
void services_tell_log_loss(const struct services *services, const char *state);

/* Lowers limits of config to what the limit on open files allows, and says so. */
void services_fit_limits(const struct services *services, struct config *config);

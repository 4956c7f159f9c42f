/* SPDX-License-Identifier: MIT */
/*
 * What the simulator shall run, gathered from the command line and YAML files.
 */
#pragma once

#include "modelhealth/app/sim/script.h"

struct load {
	struct arena arena;
	struct script *scripts; /* owned, room for LOAD_MAX_SERVERS */
	size_t n_scripts;
	struct script *control; /* one of scripts, or NULL */
	uint64_t seed;
};

enum {
	LOAD_MAX_SERVERS = 1024
};

/* 0 or -ENOMEM; load_fini is fine after either. */
int load_init(struct load *load);
void load_fini(struct load *load);

/* All return 0, or -errno with a sentence for the user in ret_error. */

/* ADDRESS[,KEY=VALUE]... as --listen takes it. */
int load_server(struct load *load, const char *text, char *ret_error, size_t error_size);

int load_control(struct load *load, const char *address, char *ret_error, size_t error_size);
int load_seed(struct load *load, const char *text, char *ret_error, size_t error_size);

/* A YAML file with control, seed and servers. Every error is added to errors as a line
 * "file:line:column: what". 0 or -errno. */
int load_file(struct load *load, const char *path, struct sbuf *errors);

/* SPDX-License-Identifier: MIT */
/*
 * The command line of modelhealthd.
 */
#pragma once

#include "modelhealth/base/log.h"
#include "modelhealth/io/console.h"

enum run_mode {
	RUN_DAEMON,
	RUN_CHECK,       /* --check */
	RUN_DUMP_CONFIG, /* --dump-config */
	RUN_ONCE,        /* --once */
	RUN_RELOAD,      /* --reload */
	RUN_LIST_TYPES,  /* --list-types */
};

/* Exit codes of all modes; API. */
enum {
	EXIT_OK = 0,
	EXIT_NOT_UP = 1,      /* --once: some endpoint is not up */
	EXIT_CONFIG = 2,      /* bad usage or bad configuration */
	EXIT_UNREACHABLE = 3, /* --reload: no daemon answers */
	EXIT_SYSTEM = 71,     /* the host lacks something (EX_OSERR) */
};

struct options {
	enum run_mode mode;
	const char *config_path;
	const char *profiles_dir; /* the operator's own */
	bool as_json;             /* --output json */
	bool log_format_is_set;   /* else the journal when stderr is the journal */
	enum console_format log_format;
	enum log_level log_level;
	char **names; /* --once NAME…; ended by NULL */
};

/* The modes; each returns an exit code. */
int run_daemon(const struct options *options);
int run_check(const struct options *options);
int run_list_types(const struct options *options);
int run_dump_config(const struct options *options);
int run_once(const struct options *options);
int run_reload(const struct options *options);

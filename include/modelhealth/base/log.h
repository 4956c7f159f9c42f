/* SPDX-License-Identifier: MIT */
/*
 * Log records with fields. Who decides logs, once; where records go (journal, terminal, JSON
 * lines) is a sink that the app sets. Without a sink they are dropped, so tests stay quiet.
 */
#pragma once

#include "modelhealth/base/defs.h"

/* The numbers are syslog's. err = operator acts; warning = will need to; notice = a state changed;
 * info = lifecycle; debug = per check. */
enum log_level {
	LOG_LEVEL_ERR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

struct log_field {
	const char *name;  /* upper case, no leading underscore: a journal field */
	const char *value; /* any text; the sink escapes. NULL = leave the field out */
};

struct log_record {
	enum log_level level;
	const char *message_id; /* 32 hex digits from base/messages.h, NULL for none */
	const char *message;    /* what, which, why, and what happens next */
	const struct log_field *fields;
	size_t n_fields;
};

typedef void (*log_sink_fn)(void *ctx, const struct log_record *record);

/* Records less urgent than level do not reach the sink. sink may be NULL. */
void log_set_sink(log_sink_fn sink, void *ctx, enum log_level level);

/* Whether a record of this level goes anywhere; for those who would have to work it out. */
bool log_is_wanted(enum log_level level);

void log_write(const struct log_record *record);

/* A record with no fields of its own. */
void log_printf(enum log_level level, const char *message_id, const char *format, ...)
	_printf_(3, 4);

#define log_err(...)     log_printf(LOG_LEVEL_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_printf(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_info(...)    log_printf(LOG_LEVEL_INFO, NULL, __VA_ARGS__)

/* "err" … "debug"; false for anything else. */
bool log_level_from_text(const char *text, enum log_level *ret_level);

/* SPDX-License-Identifier: MIT */
/*
 * The one process-wide sink. Set once by the app before anything else runs.
 */
#include "modelhealth/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message is one line that people read; what is longer belongs into fields. */
enum {
	MESSAGE_SIZE = 1024
};

static log_sink_fn the_sink;
static void *the_ctx;
static enum log_level the_level = LOG_LEVEL_INFO;

void log_set_sink(log_sink_fn sink, void *ctx, enum log_level level)
{
	the_sink = sink;
	the_ctx = ctx;
	the_level = level;
}

bool log_is_wanted(enum log_level level)
{
	return the_sink && level <= the_level;
}

void log_write(const struct log_record *record)
{
	if (log_is_wanted(record->level))
		the_sink(the_ctx, record);
}

void log_printf(enum log_level level, const char *message_id, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list args;

	if (!log_is_wanted(level))
		return;
	va_start(args, format);
	(void)vsnprintf(message, sizeof message, format, args); /* cut is fine: see MESSAGE_SIZE */
	va_end(args);
	log_write(&(struct log_record){
		.level = level, .message_id = message_id, .message = message });
}

bool log_level_from_text(const char *text, enum log_level *ret_level)
{
	static const struct {
		const char *text;
		enum log_level level;
	} levels[] = {
		{ "debug", LOG_LEVEL_DEBUG },
		{ "err", LOG_LEVEL_ERR },
		{ "info", LOG_LEVEL_INFO },
		{ "notice", LOG_LEVEL_NOTICE },
		{ "warning", LOG_LEVEL_WARNING },
	};

	for (size_t i = 0; i < array_size(levels); i++) {
		if (strcmp(levels[i].text, text) == 0) {
			*ret_level = levels[i].level;
			return true;
		}
	}
	return false;
}

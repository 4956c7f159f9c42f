/* SPDX-License-Identifier: MIT */
/*
 * The only ways in which text reaches an output. Each writer escapes what its format needs.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

/* ---- JSON. Keeps track of commas; the caller of key functions must be inside an object. ---- */

struct jw {
	struct sbuf *out;
	bool needs_comma;
};

void jw_object(struct jw *jw); /* { */
void jw_object_end(struct jw *jw);
void jw_array(struct jw *jw); /* [ */
void jw_array_end(struct jw *jw);
void jw_key(struct jw *jw, const char *key);

/* NULL prints null. Text that is not UTF-8 passes sanitise() and is cut at half a KiB. */
void jw_string(struct jw *jw, const char *text);
void jw_string_len(struct jw *jw, const char *text, size_t len);
void jw_u64(struct jw *jw, uint64_t value);
void jw_bool(struct jw *jw, bool value);
void jw_null(struct jw *jw);
void jw_seconds(struct jw *jw, usec_t usec);       /* 0.25 */
void jw_time(struct jw *jw, usec_t realtime);      /* "2026-01-02T03:04:05.678Z"; 0 prints null */
void jw_raw(struct jw *jw, const char *json_text); /* already JSON */

/* ---- Prometheus text format 0.0.4 ---- */

/* Appends name="value" with \ " and newline escaped; text that is not UTF-8 passes sanitise(). */
void prom_label(struct sbuf *out, const char *name, const char *value);
void prom_family(struct sbuf *out, const char *name, const char *type, const char *help);

/* The same for OpenMetrics 1.0, which names a counter without the "_total" of its samples; name has
 * it. Samples are written alike, and "# EOF" ends the page. */
void openmetrics_family(struct sbuf *out, const char *name, const char *type, const char *help);

/* ---- manual pages, mdoc(7) ---- */

/* A line a sentence; no line begins a macro, no backslash an escape. Words in `backticks`, which
 * may not begin the text, come out as .Cm does. */
void mdoc_text(struct sbuf *out, const char *text);

/* One macro argument, whatever it holds. */
void mdoc_argument(struct sbuf *out, const char *text);

/* ---- a terminal or curl: one line, sanitised ---- */
void plain_text(struct sbuf *out, const char *text, size_t max_bytes);

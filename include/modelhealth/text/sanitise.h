/* SPDX-License-Identifier: MIT */
/*
 * Makes text from outside (bodies, headers, error strings, URLs) safe to hold and show.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

/*
 * Copies src to dst as valid UTF-8 on one line: broken sequences become U+FFFD, control characters
 * (C0, DEL, C1), line separators and bidirectional overrides become a space, runs of blanks
 * become one. Cuts between code points and marks the cut with "…". Always terminates dst.
 * Returns the length written. The result still needs the escaping of its output (JSON, HTML …).
 */
size_t sanitise(char *dst, size_t dst_size, const char *src, size_t src_len);

/* Whether bytes are well-formed UTF-8 without NUL (RFC 3629). */
bool utf8_is_valid(const char *text, size_t len);

/* Appends text with U+FFFD for each byte that is not part of well-formed UTF-8, and for NUL. */
void utf8_repair(const char *text, size_t len, struct sbuf *out);

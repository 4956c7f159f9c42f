/* SPDX-License-Identifier: MIT */
/*
 * Texts with ${name} in them (paths, bodies), checked at load and filled for each request. The
 * loader leaves ${name} alone when name is lower case and holds no colon.
 */
#pragma once

#include "modelhealth/base/sbuf.h"

struct template_value {
	const char *name; /* "model" */
	const char *text;
};

enum template_escape {
	TEMPLATE_PLAIN,
	TEMPLATE_PATH, /* percent-encoded, as one segment of a path or one value of a query */
	TEMPLATE_JSON, /* as the inside of a JSON string */
};

/* The length of the reference ${name} that text begins with, 0 when it does not. */
size_t template_reference(const char *text);

/* The first name in text that is not among the n names; NULL when all are. Its length comes in
 * *ret_len. */
const char *template_unknown(const char *text, const char *const *names, size_t n, size_t *ret_len);

bool template_uses(const char *text, const char *name);

/* Appends text with every ${name} replaced by its escaped value; $${ stands for ${. A name without
 * a value stays as it is: template_unknown found it at load. */
void template_expand(const char *text, const struct template_value *values, size_t n,
	enum template_escape escape, struct sbuf *out);

/* SPDX-License-Identifier: MIT */
/*
 * The list of models that a server gives: a section of a profile (`list:`), and reading an answer
 * by it.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/text/json.h"

/* Pointers with * name one value per model; those of one model stand at the same place. */
struct model_list {
	const char *method, *path, *body; /* path is a template */
	uint16_t port;                    /* instead of that of url; 0 = that of url */
	const char *ids;                  /* /data/STAR/id (STAR = *) */
	struct conf_strings aliases;      /* more pointers to names of the same model */
	const char *id_prefix;            /* taken off before comparing ("models/") */
	const char *state;                /* pointer; NULL = a listed model is there */
	struct conf_strings ready, loading, cold, failed; /* values of state */
	const char *version, *context_length, *revision;  /* pointers, for drift */
	const char *next;           /* pointer to the cursor of the next page */
	const char *next_parameter; /* its query parameter */
	const char *more;           /* pointer: false or null = this was the last page */
};

extern const struct conf_key model_list_keys[]; /* into struct model_list */

enum model_state {
	MODEL_ABSENT,
	MODEL_READY,
	MODEL_LOADING,
	MODEL_COLD,
	MODEL_FAILED,
};

struct model_facts {
	enum model_state state;
	char version[64], revision[80], context_length[24]; /* sanitised, "" = not told */
};

/* Whether two names mean one model: equal without case of a known prefix, ":latest" or an
 * organisation before a slash that only one of them has. */
bool model_name_matches(const char *wanted, const char *served);

/* Looks a wanted model up in one page. Returns how many models the page lists. */
size_t model_list_find(const struct model_list *list, const struct json *page, const char *wanted,
	struct model_facts *ret_facts);

/* Appends at most max names of the page, sanitised, as "a, b, c …", for messages. */
void model_list_names(
	const struct model_list *list, const struct json *page, size_t max, struct sbuf *out);

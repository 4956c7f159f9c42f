/* SPDX-License-Identifier: MIT */
/*
 * The list of models that a server gives: a section of a profile (`list:`), and reading an answer
 * by it.
 */
#pragma once

#include "modelhealth/core/conf.h"
#include "modelhealth/text/json.h"

enum {
	MODEL_LIST_MAX_STARS = 3,    /* in one pointer */
	MODEL_LIST_MAX_POINTER = 200 /* bytes of one pointer */
};

/*
 * `ids` names one value per model. Every other pointer belongs to the model whose id stands beside
 * it: as far as it begins with the same words as ids, its * is the same element, and the rest is
 * looked for in there. Of /models/STAR/loaded_instances/STAR/id (STAR = *), then,
 * /models/STAR/max_context_length is of the outer element, and
 * /models/STAR/loaded_instances/STAR/config of the inner one. A pointer that shares no * with ids
 * is of the page as a whole.
 */
struct model_list {
	const char *method, *path, *body; /* path is a template */
	uint16_t port;                    /* instead of that of url; 0 = that of url */
	const char *ids;                  /* /data/STAR/id */
	struct conf_strings aliases;      /* more pointers to names of the same model */
	const char *id_prefix;            /* taken off before comparing ("models/") */
	const char *state;                /* pointer; NULL = a listed model is there */
	struct conf_strings ready, loading, cold, failed; /* values of state */
	const char *failure;                              /* pointer: true = failed to load */
	const char *why; /* pointer to the server's words on a state */
	const char *version, *context_length, *revision; /* pointers, for drift */
	const char *next;           /* pointer to the cursor of the next page */
	const char *next_parameter; /* its query parameter */
	const char *more;           /* pointer: false or null = this was the last page */
	bool may_be_empty;          /* no model at all is fine when none is wanted */
};

extern const struct conf_key model_list_keys[]; /* into struct model_list */

/* What one key alone cannot show: that `next` has its parameter. key is where the section stands,
 * for messages ("list"). 0 or -EINVAL after reporting. */
int model_list_check(struct conf_scope *scope, const struct model_list *list, const char *key);

enum model_state {
	MODEL_ABSENT,
	MODEL_READY,
	MODEL_LOADING,
	MODEL_COLD, /* not in memory */
	MODEL_FAILED,
};

/* All texts are sanitised; "" = not told. */
struct model_facts {
	enum model_state state;
	char id[80]; /* as the server calls it */
	char state_text[24], why[64];
	char version[64], revision[80], context_length[24];
};

/*
 * Whether two names mean one model: they are equal, apart from "models/" before them, ":latest" or
 * ".gguf" behind them, and an organisation or folder up to the last slash that only one of them
 * has.
 */
bool model_name_matches(const char *wanted, const char *served);

/* A model that is looked for, in one page or from page to page. */
struct wanted_model {
	const char *name;
	uint64_t key; /* the same for all names that can match */
	struct model_facts facts;
};

/* Borrows the name. Nothing is known of the model yet: MODEL_ABSENT. */
void wanted_model_init(struct wanted_model *wanted, const char *name);

/* Looks the wanted models up in one page; facts are of the first that matches, and one that is ready
 * comes before one that is not. Returns how many models the page lists. */
size_t model_list_find(const struct model_list *list, const struct json *page,
	struct wanted_model *wanted, size_t n);

/* Whether the page has what ids looks into, be it empty. */
bool model_list_is_there(const struct model_list *list, const struct json *page);

/* Appends at most max names of the page, sanitised, as "a, b, c …", for messages. */
void model_list_names(
	const struct model_list *list, const struct json *page, size_t max, struct sbuf *out);

/* The cursor of the page after this one, in ret_cursor; false when this is the last. */
bool model_list_next(
	const struct model_list *list, const struct json *page, struct sbuf *ret_cursor);

/* SPDX-License-Identifier: MIT */
/*
 * The key table: every configuration key is one row that drives parsing, inheritance,
 * --dump-config, the example file, the manual page and the JSON Schema.
 *
 * A table describes the members of one mapping. Values are written into a struct at `offset`.
 * Levels are mappings laid over each other (from the innermost: what endpoint, group, defaults and
 * profile say under checks of the check in hand, then what they say themselves): for each key the
 * innermost level that has it wins; sections merge key by key; lists are replaced; labels and
 * maps of strings merge.
 *
 * A kind's table holds every key of its own, `url` too. They may stand at every level.
 */
#pragma once

#include "modelhealth/base/duration.h"
#include "modelhealth/base/sbuf.h"
#include "modelhealth/base/secret.h"
#include "modelhealth/core/node.h"
#include "modelhealth/core/spec.h"

#include <errno.h>

enum conf_type {
	CONF_BOOL,        /* bool */
	CONF_U16,         /* uint16_t */
	CONF_UINT,        /* unsigned */
	CONF_DURATION,    /* usec_t */
	CONF_SIZE,        /* uint64_t bytes */
	CONF_RATE,        /* struct rate */
	CONF_STRING,      /* const char *, arena; ${name} in it is an error */
	CONF_TEMPLATE,    /* const char *, arena: for core/template.h, with ${name} in it */
	CONF_URL,         /* the same; user, password and query print as *** */
	CONF_KIND,        /* const char *: the name of a check kind */
	CONF_SERVER_TYPE, /* const char *: the name of a check kind or of a profile */
	CONF_SECRET,      /* struct secret, arena */
	CONF_ENUM,        /* int: index into choices */
	CONF_STRING_LIST, /* struct conf_strings */
	CONF_STRING_MAP,  /* struct conf_map; merges over the levels, names without case */
	CONF_LABELS,      /* struct label * followed by its size_t count; merges over the levels */
	CONF_SECTION,     /* the struct at offset, described by `section` */
	CONF_CUSTOM,      /* whatever `custom` parses and prints */
	CONF_BLOCK, /* nothing: the loader takes it apart itself; here for its name and help */
};

/* What a changed value does to a running check at reload. */
enum conf_effect {
	EFFECT_UPDATE,  /* takes effect at the next start; state and schedule stay */
	EFFECT_RESTART, /* the check starts afresh: it asks something else now */
};

struct conf_strings {
	const char *const *items;
	size_t n;
};

struct conf_pair {
	const char *name;
	struct secret value;
	bool is_secret; /* from a secret, or the name says so (Authorization): prints as *** */
};

struct conf_map {
	const struct conf_pair *items;
	size_t n;
};

struct conf_scope;

struct conf_custom {
	/* Parses node into field; reports through the scope. 0 or -errno. The row's fallback
	 * comes as a scalar, or as a sequence of scalars when it is written "[ a, b ]". */
	int (*parse)(struct conf_scope *scope, const struct node *node, void *field);
	/* Appends the effective value as flow YAML ("{ status: [ 200-299 ] }"), nothing when it is
	 * unset. */
	void (*print)(struct sbuf *out, const void *field);
	/* A fixed JSON Schema fragment for editors. */
	const char *schema;
	/* For documents: the value is a list of mappings with these keys. NULL = it is not. */
	const struct conf_key *items;
	/* Size of the field when it owns nothing by itself (conf_at_end() does): then it is parsed
	 * once and copied to all that inherit it. 0 = parsed for each; so in rows with a
	 * fallback, which has no place in the tree to be known by. */
	size_t shared_size;
	/* For what is shared, when an outer level has the key too: adds to inner what outer alone
	 * has. NULL = the innermost level stands alone. 0 or -ENOMEM. */
	int (*inherit)(struct conf_scope *scope, void *inner, const void *outer);
};

struct conf_key {
	const char *name;
	enum conf_type type;
	const char *min, *max; /* as the operator would write them; NULL = no bound */
	const char *fallback;  /* the default, as written in YAML; NULL = unset */
	bool is_required;      /* of every check of the kind; never with a fallback */
	enum conf_effect effect;
	size_t offset;
	const char *const *choices;       /* CONF_ENUM: NULL-terminated */
	const struct conf_key *section;   /* CONF_SECTION: its table, ended by a row without name */
	const struct conf_custom *custom; /* CONF_CUSTOM */
	const char *example; /* a value worth showing in the example file; NULL = the default */
	bool is_shown;       /* the example file sets it, instead of showing it as a comment */
	bool is_main;        /* what somebody means who gives its section one value */
	const char *help;    /* one or two sentences for the manual page */
};

/* Ends every table. */
#define CONF_END             \
	{                    \
		.name = NULL \
	}

/* ---- errors: all of them, then one verdict ---- */

struct conf_error {
	char *file;
	unsigned line, column; /* 0 = the file as a whole */
	char *text; /* "endpoints[3].timeout.connect: expected a duration like 500ms, got …" */
};

struct conf_errors {
	struct conf_error *items;
	size_t n, cap;
	bool truncated; /* more than CONF_MAX_ERRORS were found */
};

enum {
	CONF_MAX_ERRORS = 200
};

void conf_errors_fini(struct conf_errors *errors);

/* Adds one unless the same is already there. Always returns -EINVAL. */
int conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, unsigned column,
	const char *format, ...) _printf_(5, 6);

/* By file, line and column. */
void conf_errors_sort(struct conf_errors *errors);

/* One "file:line:column: text" per line. */
void conf_errors_print(const struct conf_errors *errors, struct sbuf *out);

/* ---- the scope: where in the tree we are, and where errors go ---- */

/* Reports an error about node as "<path>: <message>", once, however many endpoints inherit the
 * node. Secrets in node->text are masked. Always returns -EINVAL. */
int conf_error(struct conf_scope *scope, const struct node *node, const char *format, ...)
	_printf_(3, 4);

/* The result of two steps that both run: out of memory before bad value before good. */
static inline int conf_worse(int a, int b)
{
	return a == -ENOMEM || b == 0 ? a : b;
}

/* The arena of the configuration being loaded. */
struct arena *conf_arena(struct conf_scope *scope);

/* Has dispose called with value when the configuration goes, for what a custom parser makes that
 * does not live in the arena. 0, or -ENOMEM after calling it at once. */
int conf_at_end(struct conf_scope *scope, void (*dispose)(void *value), void *value);

/* The node that set a key of the check or endpoint in hand, for errors from compile(); falls back
 * to the endpoint's own node. `key` is dotted: "expect.json". */
const struct node *conf_node(struct conf_scope *scope, const char *key);

/* The same for a value that a profile leaves to the operator: never a node of the profile. */
const struct node *conf_blame(struct conf_scope *scope, const char *key);

/* Whether any level sets the key, so that its value is not the table's default. */
bool conf_has(struct conf_scope *scope, const char *key);

/* A path that the key holds is meant from where it stands: makes *path, unless NULL or absolute, one
 * from the directory of the file that sets the key. 0 or -ENOMEM. */
int conf_resolve_path(struct conf_scope *scope, const char *key, const char **path);

/* Whether values of the check in hand are bad, which has been said: then one that is missing may
 * stand there, and compile() reports only what is wrong whatever it would be. */
bool conf_is_partial(const struct conf_scope *scope);

/* For compile(): what it looks at from here on may rest on a value that it found to be bad. */
void conf_set_partial(struct conf_scope *scope);

/* ---- building blocks for kinds that hold a list of mappings ---- */

enum conf_reach {
	CONF_ALONE,    /* nothing but the item counts */
	CONF_INHERITS, /* laid over the levels in hand */
};

/* Makes an item of a list the innermost level: conf_node() finds its members, conf_fill_here()
 * fills by them. Ended by conf_leave(); not nested. */
void conf_enter(struct conf_scope *scope, struct node *item, enum conf_reach reach);
void conf_leave(struct conf_scope *scope);

/* Fills base by a table from the levels that conf_enter() made and reports members of the item that
 * the table does not name. 0 or -errno. */
int conf_fill_here(struct conf_scope *scope, const struct conf_key *table, void *base);

/* The configuration being loaded; endpoints are there for check_kind.link alone. */
const struct config *conf_config(const struct conf_scope *scope);

/* ---- building blocks for custom parsers; more are in core/confcustom.h ---- */

/* A node's value for a message, in quotes, short and on one line: "5"; "nothing", "a list" or "a
 * mapping" when it is one of those. Borrowed until the next call with the same scope. */
const char *conf_got(struct conf_scope *scope, const struct node *node);

/* Reads one scalar of a simple type into field, with the row's bounds and error texts. */
int conf_parse_scalar(
	struct conf_scope *scope, const struct conf_key *key, const struct node *node, void *field);

/* Fills target from one mapping by a table (no levels). */
int conf_parse_section(struct conf_scope *scope, const struct conf_key *table,
	const struct node *mapping, void *target);

/* Reports a ${name} in a scalar whose value nobody fills. 0 or -EINVAL. */
int conf_refuse_pattern(struct conf_scope *scope, const struct node *node);

/* The nearest of the table's names to a misspelt one; NULL when none is near. */
const char *conf_did_you_mean(const char *const *names, size_t n, const char *word);

/* ---- loading ---- */

/* Kinds that `type:` and `checks.*.kind:` can name; ended by NULL. */
typedef const struct check_kind *const *conf_kinds;

struct profiles;

/*
 * Builds a configuration from the parsed root files (the main file first; includes are already
 * replaced by their endpoints and groups; root->is_bad says that a file is missing, so that what it
 * may have defined is not reported). profiles may be NULL; those of the operator are all checked.
 * Returns 0 and a config with one reference, or -EINVAL
 * with at least one error (sorted), or -ENOMEM.
 */
int conf_build(struct node *root, conf_kinds kinds, struct profiles *profiles,
	struct conf_errors *errors, struct config **ret_config);

/* Copies url with *** for user, password and query. */
void conf_redact_url(const char *url, struct sbuf *out);

/* The effective configuration as YAML, secrets as ***. */
void conf_dump(const struct config *config, struct sbuf *out);

/* Documents from the tables alone. */
void conf_write_example(conf_kinds kinds, struct sbuf *out);
void conf_write_manual(conf_kinds kinds, struct sbuf *out); /* mdoc(7) item lists */
void conf_write_schema(conf_kinds kinds, struct sbuf *out); /* JSON Schema 2020-12 */

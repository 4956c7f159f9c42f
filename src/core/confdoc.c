/* SPDX-License-Identifier: MIT */
/*
 * The commented example file and the item lists of modelhealthd.yaml(5), from the key tables. Run
 * when the documents are refreshed; a test compares them with what is checked in.
 */
#include "modelhealth/core/conf.h"

#include "modelhealth/core/check.h"
#include "modelhealth/core/confkeys.h"
#include "modelhealth/core/confvalue.h"
#include "modelhealth/core/profile.h"
#include "modelhealth/text/write.h"

#include <stdarg.h>
#include <string.h>

enum {
	TEXT_COLUMNS = 96
};

/* ---- the example ---- */

/* Where a setting goes: blanks, a # unless it is in force, and more blanks. */
struct place {
	unsigned hash, depth;
	bool is_comment;
	const char *mark; /* "- " for the first key of a list's item, in place of blanks */
};

static const char *sample_of(const struct conf_key *key)
{
	return key->example ? key->example : key->fallback;
}

/*
 * Help stands in lines "# text". A setting that is not in force stands in lines "#key: value", or
 * with two or more blanks after the # when it is deeper; its own help then is deeper too. So taking
 * away a # that is not followed by one blank puts settings in force.
 */
static void begin_line(struct sbuf *out, struct place place)
{
	bool has_hash = place.is_comment && place.depth > 0;

	sbuf_printf(
		out, "%*s%s%*s#", (int)place.hash, "", has_hash ? "#" : "", (int)place.depth, "");
}

static void put_help(struct sbuf *out, struct place place, const char *text)
{
	size_t column = TEXT_COLUMNS;

	for (const char *word = text; *word;) {
		size_t len = strcspn(word, " ");

		if (column + 1 + len > TEXT_COLUMNS) {
			sbuf_puts(out, word == text ? "" : "\n");
			begin_line(out, place);
			column = place.hash + place.depth + 1;
		}
		sbuf_putc(out, ' ');
		sbuf_add(out, word, len);
		column += 1 + len;
		word += len + strspn(word + len, " ");
	}
	sbuf_putc(out, '\n');
}

static void begin_setting(struct sbuf *out, const struct conf_key *key, struct place place)
{
	unsigned blanks = place.depth - (place.mark ? 2 : 0);

	sbuf_printf(out, "%*s%s%*s%s%s:", (int)place.hash, "", place.is_comment ? "#" : "",
		(int)blanks, "", place.mark ? place.mark : "", key->name);
}

static void example_key(struct sbuf *out, const struct conf_key *key, struct place place)
{
	put_help(out, place, key->help);
	place.is_comment = place.is_comment && !key->is_shown;
	begin_setting(out, key, place);
	if (key->type != CONF_SECTION) {
		sbuf_printf(out, " %s\n", sample_of(key));
		return;
	}
	sbuf_putc(out, '\n');
	place.depth += 2;
	place.mark = NULL;
	for (const struct conf_key *inner = key->section; inner->name; inner++)
		example_key(out, inner, place);
}

static void example_table(struct sbuf *out, const struct conf_key *table, struct place place)
{
	for (; table->name; table++) {
		if (table->type == CONF_SERVER_TYPE ||
			(table->type == CONF_BLOCK && !table->example))
			continue;
		example_key(out, table, place);
		place.mark = NULL;
	}
}

static void example_section(struct sbuf *out, const struct conf_key *key)
{
	put_help(out, (struct place){ 0 }, key->help);
	sbuf_printf(out, "%s:\n", key->name);
	example_table(out, key->section, (struct place){ .hash = 2, .is_comment = true });
	sbuf_putc(out, '\n');
}

/* An endpoint of a kind, with every key of that kind. */
static void example_endpoint(struct sbuf *out, const struct check_kind *kind)
{
	sbuf_printf(out, "\n  # An endpoint of type %s, with every key of that kind of check.\n",
		kind->name);
	sbuf_printf(out, "  #- name: example-%s\n  #  type: %s\n", kind->name, kind->name);
	example_table(out, kind->keys, (struct place){ .hash = 2, .depth = 2, .is_comment = true });
}

static const char *top_help(const char *name)
{
	const struct conf_key *key = conf_top_keys;

	while (strcmp(key->name, name) != 0)
		key++;
	return key->help;
}

void conf_write_example(conf_kinds kinds, struct sbuf *out)
{
	sbuf_puts(out,
		"# Configuration of modelhealthd, see modelhealthd.yaml(5). Lines that begin "
		"with # and a key show\n# defaults or samples; take the # away to set "
		"them. Check with: modelhealthd --check\n\n");
	for (const struct conf_key *key = conf_top_keys; key->name; key++) {
		if (key->type == CONF_SECTION) {
			example_section(out, key);
		} else if (key->type != CONF_BLOCK || key->example) {
			example_key(out, key, (struct place){ .is_comment = true });
			sbuf_putc(out, '\n');
		}
	}
	put_help(out, (struct place){ 0 }, top_help("defaults"));
	sbuf_puts(out, "defaults:\n");
	example_table(out, conf_pace_keys, (struct place){ .hash = 2, .is_comment = true });
	sbuf_putc(out, '\n');
	put_help(out, (struct place){ 0 }, top_help("groups"));
	sbuf_puts(out, "groups:\n  #chat:\n  #  labels: { team: search }\n\n");
	put_help(out, (struct place){ 0 }, top_help("endpoints"));
	sbuf_puts(out, "endpoints:\n");
	sbuf_puts(out,
		"  # An endpoint with the keys that all have. Those of defaults may stand here "
		"too.\n");
	example_table(out, conf_endpoint_keys,
		(struct place){ .hash = 2, .depth = 2, .is_comment = true, .mark = "- " });
	example_table(
		out, conf_level_keys, (struct place){ .hash = 2, .depth = 2, .is_comment = true });
	example_table(
		out, conf_shared_keys, (struct place){ .hash = 2, .depth = 2, .is_comment = true });
	sbuf_puts(out, "  #  type: vllm\n  #  url: http://10.0.0.5:8000\n");
	for (; *kinds; kinds++)
		example_endpoint(out, *kinds);
}

/* ---- the manual ---- */

static void manual_sample(struct sbuf *out, const char *word, const char *sample)
{
	sbuf_printf(out, "%s:\n.Ql ", word);
	mdoc_argument(out, sample);
	sbuf_puts(out, " .\n");
}

static void manual_item(struct sbuf *out, const char *prefix, const struct conf_key *key)
{
	_cleanup_(sbuf_fini) struct sbuf value = SBUF_INIT;

	sbuf_printf(out, ".It Cm %s%s", prefix, key->name);
	if (conf_value_type(key)->print && key->type != CONF_CUSTOM) {
		conf_value_describe(key, &value);
		sbuf_puts(out, " : ");
		mdoc_text(out, sbuf_str(&value));
	}
	sbuf_putc(out, '\n');
	mdoc_text(out, key->help);
	sbuf_putc(out, '\n');
	if (key->is_required)
		sbuf_puts(out, "Required.\n");
	if (key->fallback)
		manual_sample(out, "Default", key->fallback);
	else if (key->example)
		manual_sample(out, "Example", key->example);
}

/* The table of what a value is made of; NULL when it is one value. */
static const struct conf_key *members_of(const struct conf_key *key)
{
	return key->type == CONF_CUSTOM ? key->custom->items : key->section;
}

static void manual_table(struct sbuf *out, const char *prefix, const struct conf_key *table)
{
	for (; table->name; table++) {
		_cleanup_(sbuf_fini) struct sbuf inner = SBUF_INIT;

		const struct conf_key *members = members_of(table);

		manual_item(out, prefix, table);
		if (!members)
			continue;
		/* Recursion over our tables, which are a few levels deep. */
		sbuf_printf(&inner, table->type == CONF_CUSTOM ? "%s%s[]." : "%s%s.", prefix,
			table->name);
		manual_table(out, sbuf_str(&inner), members);
	}
}

/* The tables follow, ended by NULL. */
static void manual_list(struct sbuf *out, const char *title, const char *text, ...)
{
	const struct conf_key *table;
	va_list tables;

	sbuf_printf(out, ".Ss %s\n%s.Bl -tag -width 4n\n", title, text);
	va_start(tables, text);
	while ((table = va_arg(tables, const struct conf_key *)) != NULL)
		manual_table(out, "", table);
	va_end(tables);
	sbuf_puts(out, ".El\n");
}

static void manual_types(struct sbuf *out)
{
	sbuf_puts(out, ".Ss Types of servers\n.Bl -tag -width 4n -compact\n");
	for (const struct profile_text *profile = profile_texts; profile->name; profile++) {
		_cleanup_(sbuf_fini) struct sbuf about = SBUF_INIT;
		size_t len;
		const char *text = profile_about(profile->text, &len);

		sbuf_add(&about, text, len);
		sbuf_printf(out, ".It Cm %s\n", profile->name);
		mdoc_text(out, sbuf_str(&about));
		sbuf_putc(out, '\n');
	}
	sbuf_puts(out, ".El\n");
}

void conf_write_manual(conf_kinds kinds, struct sbuf *out)
{
	manual_list(out, "Top level", "", conf_top_keys, NULL);
	manual_list(out, "Endpoints",
		"All keys of checks may stand in an endpoint too.\n"
		"All but\n.Cm name\nand\n.Cm group\nmay stand in a group and in\n"
		".Cm defaults .\n",
		conf_endpoint_keys, conf_level_keys, conf_shared_keys, NULL);
	manual_types(out);
	manual_list(out, "Checks of every kind",
		"All but\n.Cm kind , enabled\nand\n.Cm tier\nmay stand in an endpoint, a group "
		"and in\n.Cm defaults .\n",
		conf_check_keys, conf_pace_keys, NULL);
	for (; *kinds; kinds++) {
		_cleanup_(sbuf_fini) struct sbuf title = SBUF_INIT;

		sbuf_printf(&title, "Checks of kind %s", (*kinds)->name);
		manual_list(out, sbuf_str(&title),
			"They may stand in a check, an endpoint, a group and in\n.Cm defaults .\n",
			(*kinds)->keys, NULL);
	}
}

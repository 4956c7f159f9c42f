/* SPDX-License-Identifier: MIT */
/*
 * The reasons for people: the lists of modelhealthd(8) and the tables of the operator's page. Run
 * when the documents are refreshed; a lint compares them with what is checked in.
 */
#include "modelhealth/core/reason.h"

#include "modelhealth/text/write.h"

#include <assert.h>
#include <ctype.h>

static const struct {
	const char *title, *about;
} sections[] = {
	[VERDICT_UP] = { "Up", "Nothing is wrong." },
	[VERDICT_DEGRADED] = { "Degraded", "It works, but not as well as it should." },
	[VERDICT_NOT_READY] = { "Not ready",
		"It says itself that it does not serve yet, or no more." },
	[VERDICT_DOWN] = { "Down", "It does not do its work." },
	[VERDICT_UNKNOWN] = { "Unknown",
		"We cannot tell, by a fault of our own. These never count against the endpoint." },
};

static_assert(array_size(sections) == VERDICT_N, "one section per verdict");

/* As a sentence. */
static void put_text(struct sbuf *out, const struct reason_desc *reason)
{
	bool is_name = isupper((unsigned char)reason->text[1]); /* gRPC */

	sbuf_putc(out, is_name ? reason->text[0] : (char)toupper((unsigned char)reason->text[0]));
	sbuf_printf(out, "%s%s.", reason->text + 1, reason->transient ? " (transient)" : "");
}

void reason_write_manual(struct sbuf *out)
{
	for (enum verdict verdict = 0; verdict < VERDICT_N; verdict++) {
		sbuf_printf(out, ".Ss %s\n", sections[verdict].title);
		mdoc_text(out, sections[verdict].about);
		sbuf_puts(out, "\n.Bl -tag -width Ds\n");
		for (enum reason i = 0; i < REASON_N; i++) {
			if (reason_verdict(i) != verdict)
				continue;
			sbuf_printf(out, ".It Sy %s\n", reason_token(i));
			put_text(out, reason_desc(i));
			sbuf_putc(out, '\n');
			mdoc_text(out, reason_desc(i)->advice);
			sbuf_putc(out, '\n');
		}
		sbuf_puts(out, ".El\n");
	}
}

void reason_write_markdown(struct sbuf *out)
{
	for (enum verdict verdict = 0; verdict < VERDICT_N; verdict++) {
		sbuf_printf(out,
			"### %s\n\n%s\n\n| reason | what it means | what to do |\n|---|---|---|\n",
			sections[verdict].title, sections[verdict].about);
		for (enum reason i = 0; i < REASON_N; i++) {
			if (reason_verdict(i) != verdict)
				continue;
			sbuf_printf(out, "| `%s` | ", reason_token(i));
			put_text(out, reason_desc(i));
			sbuf_printf(out, " | %s |\n", reason_desc(i)->advice);
		}
		sbuf_putc(out, '\n');
	}
}

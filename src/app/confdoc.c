/* SPDX-License-Identifier: MIT */
/*
 * Prints one of the documents, or parts of them, that come from the tables of keys and reasons. Not
 * installed: `ninja docs` refreshes the checked-in documents with it, and a lint compares them.
 */
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/conf.h"
#include "modelhealth/core/reason.h"

#include <stdio.h>
#include <string.h>

static void write_reasons_manual(conf_kinds kinds, struct sbuf *out)
{
	(void)kinds;
	reason_write_manual(out);
}

static void write_reasons_page(conf_kinds kinds, struct sbuf *out)
{
	(void)kinds;
	reason_write_markdown(out);
}

static const struct {
	const char *name;
	void (*write)(conf_kinds kinds, struct sbuf *out);
} documents[] = {
	{ "example", conf_write_example },
	{ "manual", conf_write_manual },
	{ "reasons-manual", write_reasons_manual },
	{ "reasons-page", write_reasons_page },
	{ "schema", conf_write_schema },
};

int main(int argc, char **argv)
{
	_cleanup_(sbuf_fini) struct sbuf text = SBUF_INIT;

	for (size_t i = 0; argc == 2 && i < array_size(documents); i++) {
		if (strcmp(argv[1], documents[i].name) == 0)
			documents[i].write(check_kinds, &text);
	}
	if (text.len == 0) {
		(void)fprintf(stderr,
			"usage: confdoc example|manual|reasons-manual|reasons-page|schema\n");
		return 2;
	}
	if (text.failed || fwrite(text.data, 1, text.len, stdout) != text.len ||
		fflush(stdout) != 0) {
		perror("confdoc");
		return 1;
	}
	return 0;
}

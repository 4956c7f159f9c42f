/* SPDX-License-Identifier: MIT */
/*
 * Prints one of the documents that come from the key tables. Not installed: `ninja docs` refreshes
 * the checked-in documents with it, and a lint compares them.
 */
#include "modelhealth/checks/kinds.h"
#include "modelhealth/core/conf.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	void (*write)(conf_kinds kinds, struct sbuf *out);
} documents[] = {
	{ "example", conf_write_example },
	{ "manual", conf_write_manual },
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
		(void)fprintf(stderr, "usage: confdoc example|manual|schema\n");
		return 2;
	}
	if (text.failed || fwrite(text.data, 1, text.len, stdout) != text.len ||
		fflush(stdout) != 0) {
		perror("confdoc");
		return 1;
	}
	return 0;
}

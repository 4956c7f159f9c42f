/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target over the files of its corpus, without libFuzzer: so each past finding stays an
 * ordinary test under every compiler. Linked to each target when -Dfuzz=true is not set.
 */
#include "modelhealth/base/sbuf.h"

#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int replay(const char *path)
{
	struct sbuf input = SBUF_INIT;
	FILE *file = fopen(path, "rbe");
	char piece[4096];
	uint8_t *copy;
	size_t n;

	if (!file) {
		perror(path);
		return -1;
	}
	while ((n = fread(piece, 1, sizeof piece, file)) > 0)
		sbuf_add(&input, piece, n);
	(void)fclose(file); /* only read */
	/* Exactly as long as the input, so that a sanitizer sees any read beyond. */
	copy = malloc(input.len > 0 ? input.len : 1);
	must(copy && !input.failed);
	if (input.len > 0)
		memcpy(copy, input.data, input.len);
	printf("%s: %zu bytes\n", path, input.len);
	(void)LLVMFuzzerTestOneInput(copy, input.len); /* always 0 */
	free(copy);
	sbuf_fini(&input);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int n = argc == 2 ? scandir(argv[1], &names, NULL, alphasort) : -1;
	int replayed = 0, status = 0;

	if (n < 0) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		struct sbuf path = SBUF_INIT;

		if (names[i]->d_name[0] != '.') {
			sbuf_printf(&path, "%s/%s", argv[1], names[i]->d_name);
			status |= replay(sbuf_str(&path));
			replayed++;
		}
		sbuf_fini(&path);
		free(names[i]);
	}
	free(names);
	return status == 0 && replayed > 0 ? 0 : 1;
}

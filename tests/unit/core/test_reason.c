/* SPDX-License-Identifier: MIT */
/*
 * The table of reasons: what documents and tokens rely on.
 */
#include "modelhealth/core/reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_every_token_leads_back_to_its_reason(void **state)
{
	(void)state;

	for (enum reason i = 0; i < REASON_N; i++)
		assert_int_equal(reason_from_token(reason_token(i)), i);
	assert_int_equal(reason_from_token("no such reason"), REASON_N);
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

/* A cell of a table in Markdown, and a paragraph of a manual page. */
static void test_every_advice_is_whole_sentences_of_plain_text(void **state)
{
	(void)state;

	for (enum reason i = 0; i < REASON_N; i++) {
		const char *advice = reason_desc(i)->advice;

		if (strlen(advice) < 2 || advice[strlen(advice) - 1] != '.' || advice[0] == '`' ||
			strpbrk(advice, "|\n") || count(advice, '`') % 2 != 0)
			fail_msg("%s: \"%s\"", reason_token(i), advice);
	}
}

static void test_documents_have_every_reason_once(void **state)
{
	struct sbuf manual = SBUF_INIT, page = SBUF_INIT;
	(void)state;

	reason_write_manual(&manual);
	reason_write_markdown(&page);
	for (enum reason i = 0; i < REASON_N; i++) {
		struct sbuf item = SBUF_INIT, row = SBUF_INIT;
		const char *first;

		sbuf_printf(&item, ".It Sy %s\n", reason_token(i));
		first = strstr(sbuf_str(&manual), sbuf_str(&item));
		assert_non_null(first);
		assert_null(strstr(first + 1, sbuf_str(&item)));
		sbuf_printf(&row, "| `%s` | ", reason_token(i));
		first = strstr(sbuf_str(&page), sbuf_str(&row));
		assert_non_null(first);
		assert_non_null(strstr(first, reason_desc(i)->advice));
		assert_null(strstr(first + 1, sbuf_str(&row)));
		sbuf_fini(&item);
		sbuf_fini(&row);
	}
	sbuf_fini(&manual);
	sbuf_fini(&page);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_token_leads_back_to_its_reason),
		cmocka_unit_test(test_every_advice_is_whole_sentences_of_plain_text),
		cmocka_unit_test(test_documents_have_every_reason_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rules of the writers: whatever the text, the output keeps its format. */
#include "modelhealth/text/write.h"

#include "modelhealth/base/rand.h"
#include "modelhealth/text/json.h"
#include "modelhealth/text/sanitise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int set_up(void **state)
{
	struct sbuf *out = calloc(1, sizeof *out);

	*state = out;
	return out ? 0 : -1;
}

static int tear_down(void **state)
{
	struct sbuf *out = *state;

	sbuf_fini(out);
	free(out);
	return 0;
}

static void test_commas_stand_where_they_belong(void **state)
{
	struct sbuf *out = *state;
	struct jw jw = { .out = out };

	jw_object(&jw);
	jw_key(&jw, "a");
	jw_array(&jw);
	jw_array_end(&jw);
	jw_key(&jw, "b");
	jw_array(&jw);
	jw_u64(&jw, UINT64_MAX);
	jw_bool(&jw, true);
	jw_bool(&jw, false);
	jw_null(&jw);
	jw_object(&jw);
	jw_object_end(&jw);
	jw_object(&jw);
	jw_key(&jw, "x");
	jw_string(&jw, NULL);
	jw_object_end(&jw);
	jw_array_end(&jw);
	jw_key(&jw, "c");
	jw_raw(&jw, "[1,2]");
	jw_key(&jw, "d");
	jw_seconds(&jw, 250000);
	jw_object_end(&jw);
	assert_string_equal(sbuf_str(out), "{\"a\":[],\"b\":[18446744073709551615,true,false,null,"
					   "{},{\"x\":null}],\"c\":[1,2],\"d\":0.25}");
}

static void test_times_are_rfc_3339_or_null(void **state)
{
	struct sbuf *out = *state;
	struct jw jw = { .out = out };

	jw_array(&jw);
	jw_time(&jw, 0);
	jw_time(&jw, 1767323045678999ull);
	jw_array_end(&jw);
	assert_string_equal(sbuf_str(out), "[null,\"2026-01-02T03:04:05.678Z\"]");
}

static void test_json_text_is_escaped(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
		{ "</script>&", "\"\\u003c/script\\u003e\\u0026\"" },
		{ "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
		{ "a\xff"
		  "b",
			"\"a\xef\xbf\xbd"
			"b\"" },
	};
	struct sbuf *out = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		struct jw jw = { .out = out };

		sbuf_clear(out);
		jw_string(&jw, cases[i].text);
		assert_string_equal(sbuf_str(out), cases[i].json);
	}
}

/* Random text of all bytes; half of it valid UTF-8. */
static size_t random_text(struct rand *rand, char *text, size_t max)
{
	static const char *const parts[] = { "\"", "\\", "/", "<", "a", "\n", "\x01", "\x7f",
		"\xc3\xbc", "\xe2\x80\xa8", "\xf0\x9f\x98\x80", "{", "]", ",", "\\u0000", "\xff" };
	size_t n_parts = array_size(parts) - rand_below(rand, 2);
	size_t len = 0;

	while (len + 8 < max && rand_below(rand, 30) > 0) {
		const char *part = parts[rand_below(rand, n_parts)];

		memcpy(text + len, part, strlen(part));
		len += strlen(part);
	}
	text[len] = '\0';
	return len;
}

static void test_any_text_reads_back_from_json(void **state)
{
	struct sbuf *out = *state;
	struct rand rand;

	rand_seed(&rand, 51);
	for (unsigned i = 0; i < 20000; i++) {
		struct jw jw = { .out = out };
		struct json *json = NULL;
		const char *value;
		char text[200], clean[700];
		size_t len = random_text(&rand, text, sizeof text), value_len = 0;

		sbuf_clear(out);
		jw_object(&jw);
		jw_key(&jw, text);
		jw_string_len(&jw, text, len);
		jw_object_end(&jw);
		if (json_parse(out->data, out->len, &json) != 0)
			fail_msg("no JSON: %s", out->data);
		value = json_string(json_at(json, "/*"), &value_len);
		assert_non_null(value);
		if (utf8_is_valid(text, len)) {
			assert_int_equal(value_len, len);
			assert_memory_equal(value, text, len);
		} else {
			assert_int_equal(sanitise(clean, 512, text, len), value_len);
			assert_string_equal(value, clean);
		}
		json_free(json);
	}
}

static void write_random(struct jw *jw, struct rand *rand, unsigned depth)
{
	uint64_t members = rand_below(rand, 4);
	char text[40];

	switch (rand_below(rand, depth > 0 ? 8 : 6)) {
	case 0:
		jw_u64(jw, rand_next(rand));
		break;
	case 1:
		jw_null(jw);
		break;
	case 2:
		jw_bool(jw, rand_below(rand, 2) == 0);
		break;
	case 3:
		jw_seconds(jw, rand_next(rand) >> rand_below(rand, 64));
		break;
	case 4:
		jw_time(jw, rand_below(rand, 2) * (rand_next(rand) >> 12));
		break;
	case 5:
		jw_string_len(jw, text, random_text(rand, text, sizeof text));
		break;
	case 6:
		jw_array(jw);
		for (uint64_t i = 0; i < members; i++)
			write_random(jw, rand, depth - 1);
		jw_array_end(jw);
		break;
	default:
		jw_object(jw);
		for (uint64_t i = 0; i < members; i++) {
			(void)random_text(rand, text, sizeof text);
			jw_key(jw, text);
			write_random(jw, rand, depth - 1);
		}
		jw_object_end(jw);
	}
}

static void test_any_document_is_json(void **state)
{
	struct sbuf *out = *state;
	struct rand rand;

	rand_seed(&rand, 52);
	for (unsigned i = 0; i < 5000; i++) {
		struct jw jw = { .out = out };
		struct json *json = NULL;

		sbuf_clear(out);
		write_random(&jw, &rand, 6);
		if (json_parse(out->data, out->len, &json) != 0)
			fail_msg("no JSON: %s", out->data);
		json_free(json);
	}
}

static void test_labels_are_escaped(void **state)
{
	static const struct {
		const char *value, *label;
	} cases[] = {
		{ "", "n=\"\"" },
		{ "plain", "n=\"plain\"" },
		{ "a\"b\\c\nd", "n=\"a\\\"b\\\\c\\nd\"" },
		{ "\\n", "n=\"\\\\n\"" },
		{ "gr\xc3\xbc\xc3\x9f", "n=\"gr\xc3\xbc\xc3\x9f\"" },
		{ "a\xff\"b", "n=\"a\xef\xbf\xbd\\\"b\"" },
	};
	struct sbuf *out = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		sbuf_clear(out);
		prom_label(out, "n", cases[i].value);
		assert_string_equal(sbuf_str(out), cases[i].label);
	}
}

static void test_any_label_is_one_closed_string(void **state)
{
	struct sbuf *out = *state;
	struct rand rand;

	rand_seed(&rand, 53);
	for (unsigned i = 0; i < 20000; i++) {
		char value[200];
		const char *at;

		(void)random_text(&rand, value, sizeof value);
		sbuf_clear(out);
		prom_label(out, "n", value);
		assert_true(utf8_is_valid(out->data, out->len));
		assert_null(strchr(out->data, '\n'));
		assert_memory_equal(out->data, "n=\"", 3);
		for (at = out->data + 3; *at != '"'; at++) {
			assert_true(*at != '\0');
			if (*at == '\\')
				assert_non_null(memchr("\\\"n", *++at, 3));
		}
		assert_ptr_equal(at + 1, out->data + out->len);
	}
}

static void test_family_has_help_and_type(void **state)
{
	struct sbuf *out = *state;

	prom_family(out, "modelhealth_up", "gauge", "Whether.");
	assert_string_equal(
		sbuf_str(out), "# HELP modelhealth_up Whether.\n# TYPE modelhealth_up gauge\n");
}

static void test_openmetrics_names_a_counter_without_its_suffix(void **state)
{
	struct sbuf *out = *state;

	openmetrics_family(out, "modelhealth_total_total", "counter", "How many.");
	openmetrics_family(out, "modelhealth_total", "gauge", "How much.");
	assert_string_equal(sbuf_str(out),
		"# HELP modelhealth_total How many.\n# TYPE modelhealth_total counter\n"
		"# HELP modelhealth_total How much.\n# TYPE modelhealth_total gauge\n");
}

static void test_manual_text_has_no_macro_but_ours(void **state)
{
	static const struct {
		const char *text, *mdoc;
	} cases[] = {
		{ "plain", "plain" },
		{ ".Sh forged", "\\&.Sh forged" },
		{ "'x", "\\&'x" },
		{ "a \\ b", "a \\e b" },
		{ "One. Two. three", "One.\nTwo. three" },
		{ "raise `a`.", "raise\n.Cm \"a\" ." },
		{ "raise `a` now", "raise\n.Cm \"a\"\nnow" },
		{ "raise `a b`, or not", "raise\n.Cm \"a b\" ,\nor not" },
		{ "often (`a`, `b`). Then", "often\n.Cm ( \"a\" ,\n.Cm \"b\" ) .\nThen" },
		{ "a `b\\\"c`", "a\n.Cm \"b\\e\\(dqc\"" },
		{ "one ` alone", "one ` alone" },
	};
	struct sbuf *out = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		sbuf_clear(out);
		mdoc_text(out, cases[i].text);
		assert_string_equal(sbuf_str(out), cases[i].mdoc);
	}
}

static void test_plain_text_is_one_short_line(void **state)
{
	struct sbuf *out = *state;

	plain_text(out, "a\nb\x1b[31m", 100);
	plain_text(out, "0123456789", 8);
	plain_text(out, "", 100);
	plain_text(out, "x", 0);
	plain_text(out, "y", SIZE_MAX);
	assert_string_equal(sbuf_str(out), "a b [31m01234\xe2\x80\xa6y");
}

static void test_an_output_past_its_limit_says_so(void **state)
{
	struct sbuf *out = *state;
	struct jw jw = { .out = out };

	out->limit = 100;
	jw_array(&jw);
	for (unsigned i = 0; i < 100; i++)
		jw_string(&jw, "text");
	jw_array_end(&jw);
	assert_true(out->failed);
	assert_true(out->len <= 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_commas_stand_where_they_belong),
		TEST(test_times_are_rfc_3339_or_null),
		TEST(test_json_text_is_escaped),
		TEST(test_any_text_reads_back_from_json),
		TEST(test_any_document_is_json),
		TEST(test_labels_are_escaped),
		TEST(test_any_label_is_one_closed_string),
		TEST(test_family_has_help_and_type),
		TEST(test_openmetrics_names_a_counter_without_its_suffix),
		TEST(test_manual_text_has_no_macro_but_ours),
		TEST(test_plain_text_is_one_short_line),
		TEST(test_an_output_past_its_limit_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

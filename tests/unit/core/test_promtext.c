/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/promtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void add_sample(void *ctx, const struct promtext_sample *sample)
{
	struct sbuf *text = ctx;

	sbuf_puts(text, sample->name);
	for (size_t i = 0; i < sample->n_labels; i++) {
		sbuf_printf(text, "|%s", sample->labels[i].name);
		sbuf_printf(text, "=%s", sample->labels[i].value);
	}
	sbuf_printf(text, " %.17g;", sample->value);
}

/* What a text holds, one "name|label=value number;" a sample, and "bad" for each bad line. */
static void assert_reads(const char *text, const char *expected)
{
	struct sbuf seen = SBUF_INIT;
	struct promtext reader = { .on_sample = add_sample, .ctx = &seen };

	promtext_push(&reader, text, strlen(text));
	promtext_end(&reader);
	for (uint64_t i = 0; i < reader.bad_lines; i++)
		sbuf_puts(&seen, "bad");
	assert_string_equal(sbuf_str(&seen), expected);
	sbuf_fini(&seen);
}

static void test_promtext_reads_what_servers_write(void **state)
{
	(void)state;
	assert_reads("a 1\n", "a 1;");
	assert_reads("a 1", "a 1;");
	assert_reads("a\t 1 \r\nb 2\r\n", "a 1;b 2;");
	assert_reads(":tensorflow:serving:request_count{model_name=\"m\",status=\"OK\"} 9\n",
		":tensorflow:serving:request_count|model_name=m|status=OK 9;");
	assert_reads("vllm:num_requests_running{engine=\"0\"} 2.0\n",
		"vllm:num_requests_running|engine=0 2;");
	assert_reads("a{b=\"c\",} 3.0\n", "a|b=c 3;");
	assert_reads("a{} 1\n", "a 1;");
	assert_reads("a { b = \"c\" , d = \"\" } 1\n", "a|b=c|d= 1;");
	assert_reads("# HELP a text\n# TYPE a gauge\n\n  # a 5\na 1\n# EOF\n", "a 1;");
	assert_reads(
		"{\"my.metric\",\"l.l\"=\"v\"} 1\n{\"only\"} 2\n", "my.metric|l.l=v 1;only 2;");
}

static void test_promtext_unescapes_label_values(void **state)
{
	(void)state;
	assert_reads("a{b=\"x,y}z\",c=\"q\\\"q\",d=\"\\\\\",e=\"1\\n2\",f=\"\\t\"} 1\n",
		"a|b=x,y}z|c=q\"q|d=\\|e=1\n2|f=\\t 1;");
}

static void test_promtext_reads_every_form_of_number(void **state)
{
	(void)state;
	assert_reads("a 1e3\na 1.5E-2\na -4\na +5\na .5\na 7.557572e+06\n",
		"a 1000;a 0.014999999999999999;a -4;a 5;a 0.5;a 7557572;");
	assert_reads("a +Inf\na -Inf\na Inf\na inf\na NaN\na nan\n",
		"a inf;a -inf;a inf;a inf;a nan;a nan;");
	assert_reads("a 1e999\n", "a inf;");
	assert_reads(
		"a 0x10\na 1_0\na one\na 1.2.3\na e\na -\na\na \n", "badbadbadbadbadbadbadbad");
}

static void test_promtext_passes_over_what_follows_the_value(void **state)
{
	(void)state;
	assert_reads("a 1 1700000000000\na 2 1.7e9\na 3 -5\n", "a 1;a 2;a 3;");
	assert_reads("a_total 5 # {trace_id=\"x\"} 0.67\na_total{b=\"c\"} 6 1700 # {} 1 2\n",
		"a_total 5;a_total|b=c 6;");
	assert_reads("a 1 x\n", "bad");
}

static void test_promtext_counts_bad_lines_and_reads_on(void **state)
{
	(void)state;
	assert_reads("<html>\na{b} 1\na{b=c} 1\na{b=\"c\na{b=\"c\"\n9a 1\na-b 1\n{} 1\n"
		     "a{\"x\"} 1\n{b=\"c\"} 1\n{\"\"} 1\na{\"\"=\"x\"} 1\nok 1\n",
		"ok 1;badbadbadbadbadbadbadbadbadbadbadbad");
}

static void test_promtext_refuses_more_labels_than_it_can_hold(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	sbuf_puts(&text, "a{");
	for (int i = 0; i < PROMTEXT_MAX_LABELS; i++)
		sbuf_printf(&text, "l%d=\"\",", i);
	sbuf_puts(&text, "z=\"\"} 1\nb 1\n");
	assert_reads(sbuf_str(&text), "b 1;bad");
	sbuf_fini(&text);
}

static void test_promtext_skips_a_line_that_is_too_long(void **state)
{
	struct sbuf text = SBUF_INIT;

	(void)state;
	sbuf_puts(&text, "a{b=\"");
	for (int i = 0; i < PROMTEXT_MAX_LINE; i++)
		sbuf_putc(&text, 'x');
	sbuf_puts(&text, "\"} 1\nb 1\n");
	assert_reads(sbuf_str(&text), "b 1;bad");
	sbuf_fini(&text);
}

static void test_promtext_gives_the_same_wherever_the_text_is_cut(void **state)
{
	static const char text[] = "# TYPE a gauge\r\n:a{b=\"\\\"\\\\,\\n\",} 1.5e3 170\r\n\r\n<\n"
				   "  b 2 # {x=\"y\"} 1\n# EOF";
	struct sbuf expected = SBUF_INIT;
	struct promtext whole = { .on_sample = add_sample, .ctx = &expected };

	(void)state;
	promtext_push(&whole, text, sizeof text - 1);
	promtext_end(&whole);
	assert_int_equal(whole.samples, 2);
	assert_int_equal(whole.bad_lines, 1);
	for (size_t i = 0; i < sizeof text; i++) {
		for (size_t j = i; j < sizeof text; j++) {
			struct sbuf seen = SBUF_INIT;
			struct promtext reader = { .on_sample = add_sample, .ctx = &seen };

			promtext_push(&reader, text, i);
			promtext_push(&reader, text + i, j - i);
			promtext_push(&reader, text + j, sizeof text - 1 - j);
			promtext_end(&reader);
			assert_string_equal(sbuf_str(&seen), sbuf_str(&expected));
			assert_int_equal(reader.samples, whole.samples);
			assert_int_equal(reader.bad_lines, whole.bad_lines);
			sbuf_fini(&seen);
		}
	}
	sbuf_fini(&expected);
}

static bool is_b(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	return len == 1 && name[0] == 'b';
}

static void test_promtext_hands_out_wanted_names_only(void **state)
{
	static const char text[] = "a 1\nb 2\nbb 3\n{\"b\",x=\"y\"} 4\n{\"a\"} 5\n";
	struct sbuf seen = SBUF_INIT;
	struct promtext reader = { .on_sample = add_sample, .is_wanted = is_b, .ctx = &seen };

	(void)state;
	promtext_push(&reader, text, sizeof text - 1);
	promtext_end(&reader);
	assert_string_equal(sbuf_str(&seen), "b 2;b|x=y 4;");
	assert_int_equal(reader.samples, 5);
	assert_int_equal(reader.bad_lines, 0);
	sbuf_fini(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_promtext_reads_what_servers_write),
		cmocka_unit_test(test_promtext_unescapes_label_values),
		cmocka_unit_test(test_promtext_reads_every_form_of_number),
		cmocka_unit_test(test_promtext_passes_over_what_follows_the_value),
		cmocka_unit_test(test_promtext_counts_bad_lines_and_reads_on),
		cmocka_unit_test(test_promtext_refuses_more_labels_than_it_can_hold),
		cmocka_unit_test(test_promtext_skips_a_line_that_is_too_long),
		cmocka_unit_test(test_promtext_gives_the_same_wherever_the_text_is_cut),
		cmocka_unit_test(test_promtext_hands_out_wanted_names_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

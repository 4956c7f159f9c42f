/* SPDX-License-Identifier: MIT */
#include "modelhealth/core/infer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

static int make(const char *metadata, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	int r = infer_zero_input(metadata, strlen(metadata), &out);

	if (r == 0)
		assert_string_equal(sbuf_str(&out), expected);
	return r;
}

static void test_zero_input_follows_the_metadata(void **state)
{
	(void)state;
	assert_int_equal(
		make("{\"name\":\"m\",\"inputs\":[{\"name\":\"INPUT0\",\"datatype\":\"FP32\","
		     "\"shape\":[-1,4]},{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[-1]},"
		     "{\"name\":\"flag\",\"datatype\":\"BOOL\",\"shape\":[2]},"
		     "{\"name\":\"scalar\",\"datatype\":\"INT64\",\"shape\":[]}],\"outputs\":[]}",
			"{\"inputs\":[{\"name\":\"INPUT0\",\"datatype\":\"FP32\",\"shape\":[1,4],"
			"\"data\":[0,0,0,0]},{\"name\":\"text\",\"datatype\":\"BYTES\",\"shape\":[1],"
			"\"data\":[\"\"]},{\"name\":\"flag\",\"datatype\":\"BOOL\",\"shape\":[2],"
			"\"data\":[false,false]},{\"name\":\"scalar\",\"datatype\":\"INT64\","
			"\"shape\":[],\"data\":[0]}]}"),
		0);
}

static void test_zero_input_refuses_what_it_cannot_use(void **state)
{
	(void)state;
	assert_int_equal(make("<html>", NULL), -EINVAL);
	assert_int_equal(make("{}", NULL), -ENODATA);
	assert_int_equal(make("{\"inputs\":[]}", NULL), -ENODATA);
	assert_int_equal(make("{\"inputs\":[{\"name\":\"a\",\"shape\":[1]}]}", NULL), -EINVAL);
	assert_int_equal(
		make("{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\"}]}", NULL), -EINVAL);
	assert_int_equal(make("{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":["
			      "\"x\"]}]}",
				 NULL),
		-EINVAL);
}

static void test_zero_input_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(make("{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":["
			      "1024,1025]}]}",
				 NULL),
		-E2BIG);
	assert_int_equal(make("{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":["
			      "99999999999999]}]}",
				 NULL),
		-E2BIG);
	assert_int_equal(
		make("{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":["
		     "1000000]},{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1000000]}]}",
			NULL),
		-E2BIG);
}

static void drops(const char *body, const char *expected)
{
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;

	infer_drop_member(body, "opt", &out);
	assert_string_equal(sbuf_str(&out), expected);
}

static void test_drop_member_keeps_the_rest_as_it_is(void **state)
{
	(void)state;
	drops("{\"a\":1,\"opt\":{\"b\":[1,\"}\"]},\"c\":2}", "{\"a\":1,\"c\":2}");
	drops("{\"opt\":{\"b\":true}, \"c\":2}", "{\"c\":2}");
	drops("{\"a\":\"x,\\\"y\" , \"opt\" : {\"b\":true} }", "{\"a\":\"x,\\\"y\"}");
	drops("{\"opt\":1}", "{}");
	drops("{\"a\":{\"opt\":1},\"b\":\"opt\"}", "{\"a\":{\"opt\":1},\"b\":\"opt\"}");
	drops("{\"a\":1", "{\"a\":1");
	drops("{\"opt", "{\"opt");
	drops("[1]", "[1]");
	drops("", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_input_follows_the_metadata),
		cmocka_unit_test(test_zero_input_refuses_what_it_cannot_use),
		cmocka_unit_test(test_zero_input_is_bounded),
		cmocka_unit_test(test_drop_member_keeps_the_rest_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

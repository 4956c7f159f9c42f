/* SPDX-License-Identifier: MIT */
/*
 * From YAML to compiled checks, without files.
 */
#include "checked.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/io/yaml.h"

#include <string.h>

void checked_load(struct checked *checked, const char *yaml)
{
	struct conf_errors errors = { 0 };
	struct node *root = NULL;

	*checked = (struct checked){ 0 };
	if (yaml_parse(&checked->arena, "test.yaml", yaml, strlen(yaml), &errors, &root) == 0)
		(void)conf_build(root, check_kinds, NULL, &errors, &checked->config);
	conf_errors_print(&errors, &checked->errors);
	conf_errors_fini(&errors);
}

void checked_fini(struct checked *checked)
{
	checked->config = config_unref(checked->config);
	sbuf_fini(&checked->errors);
	arena_fini(&checked->arena);
}

void checked_http(struct checked *checked, const char *url, const char *lines)
{
	struct sbuf yaml = SBUF_INIT;

	sbuf_printf(&yaml, "endpoints:\n  - name: a\n    type: http\n    url: %s\n%s", url, lines);
	must(!yaml.failed);
	checked_load(checked, yaml.data);
	sbuf_fini(&yaml);
}

const struct check_spec *checked_spec(const struct checked *checked)
{
	must(checked->config && checked->config->n_endpoints > 0);
	return &checked->config->endpoints[0].checks[0];
}

const struct http_params *checked_params(const struct checked *checked)
{
	return checked_spec(checked)->params;
}

static void on_done(struct probe *probe)
{
	struct runner *runner = container_of(probe, struct runner, probe);

	runner->done++;
	loop_stop(runner->bench.loop);
}

void runner_open(struct runner *runner, const struct checked *checked)
{
	*runner = (struct runner){ 0 };
	bench_open(&runner->bench, NULL);
	runner->io = (struct io){
		.loop = runner->bench.loop,
		.dns = runner->bench.dns,
		.httpc = runner->bench.httpc,
	};
	runner->probe = (struct probe){
		.spec = checked_spec(checked),
		.io = &runner->io,
		.done = on_done,
	};
}

void runner_close(struct runner *runner)
{
	runner->probe.spec->kind->fini(&runner->probe);
	bench_close(&runner->bench);
}

void runner_start(struct runner *runner)
{
	loop_wake(runner->bench.loop);
	runner->done = 0;
	runner->probe.t0 = clock_monotonic();
	runner->probe.spec->kind->start(&runner->probe);
}

const char *runner_run(struct runner *runner)
{
	runner_start(runner);
	if (runner->done == 0)
		bench_loop(&runner->bench, 20 * USEC_PER_SEC);
	must(runner->done == 1);
	return reason_token(runner->probe.result.reason);
}

/* SPDX-License-Identifier: MIT */
/*
 * --once: every check one time, as the daemon would do it, then a table or JSON; with one name also
 * the phases of its inferences.
 */
#include "modelhealth/app/phasebar.h"
#include "modelhealth/app/services.h"
#include "modelhealth/base/clock.h"
#include "modelhealth/engine/engine.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/outputs/outputs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct once {
	struct services services;
	struct engine *engine;
	size_t wanted, got;
	bool interrupted;
	bool shows_progress;
};

static bool is_named(const char *name, char *const *names)
{
	if (!names[0])
		return true;
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static void show_progress(const struct once *once)
{
	if (once->shows_progress)
		fprintf(stderr, "\r%zu of %zu checks", once->got, once->wanted);
}

static void on_result(
	void *ctx, const struct endpoint_view *endpoint, const struct check_view *check)
{
	struct once *once = ctx;

	(void)endpoint;
	(void)check;
	once->got++;
	show_progress(once);
	if (once->got == once->wanted)
		loop_stop(once->services.io.loop);
}

static void on_interrupt(void *arg, int signal_number)
{
	struct once *once = arg;

	(void)signal_number;
	once->interrupted = true;
	loop_stop(once->services.io.loop);
}

static bool names_exist(const struct config *config, char *const *names)
{
	for (; *names; names++) {
		if (config_find(config, *names))
			continue;
		fprintf(stderr, "modelhealthd: no endpoint named '%s' in %s\n", *names,
			config->path);
		return false;
	}
	return true;
}

static void ask(struct once *once, const struct config *config, char *const *names)
{
	for (size_t i = 0; i < config->n_endpoints; i++)
		if (is_named(config->endpoints[i].name, names))
			once->wanted += config->endpoints[i].n_checks;
	for (size_t i = 0; i < config->n_endpoints; i++)
		if (is_named(config->endpoints[i].name, names))
			must(engine_check_now(once->engine, config->endpoints[i].name) == 0);
}

/* Where we print; 80 columns when it is no terminal. */
static struct phasebar_style style_of_stdout(void)
{
	struct phasebar_style style = { .columns = 80 };
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return style;
	style.is_coloured = !getenv("NO_COLOR");
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		style.columns = size.ws_col;
	return style;
}

/* One endpoint by name is looked at closely: the phases of its inferences. */
static void render_phases(
	const struct endpoint_view *endpoint, const struct options *options, struct sbuf *out)
{
	bool is_alone = options->names[0] && !options->names[1];

	for (size_t i = 0; is_alone && !options->as_json && i < endpoint->n_checks; i++) {
		if (endpoint->checks[i]->spec->cost.is_inference)
			phasebar_render(endpoint->checks[i], style_of_stdout(), out);
	}
}

/* Prints what was asked for, or what is known of it when we are to end early; returns the exit code. */
static int report(const struct once *once, const struct options *options)
{
	const struct output *output = options->as_json ? &output_endpoints : &output_text;
	struct snapshot shown = *engine_snapshot(once->engine);
	_cleanup_(freep) struct endpoint_view **named =
		calloc(shown.n_endpoints + 1, sizeof *named);
	_cleanup_(sbuf_fini) struct sbuf out = SBUF_INIT;
	size_t n = 0, cursor = 0;
	int code = once->interrupted ? EXIT_NOT_UP : EXIT_OK;

	if (once->interrupted)
		fprintf(stderr, "modelhealthd: interrupted after %zu of %zu checks\n", once->got,
			once->wanted);
	memset(shown.n_state, 0, sizeof shown.n_state); /* of those that were asked for */
	for (size_t i = 0; named && i < shown.n_endpoints; i++) {
		if (!is_named(shown.endpoints[i]->spec->name, options->names))
			continue;
		named[n++] = shown.endpoints[i];
		shown.n_state[shown.endpoints[i]->state]++;
		if (shown.endpoints[i]->state != STATE_UP)
			code = EXIT_NOT_UP;
	}
	shown.endpoints = named;
	shown.n_endpoints = n;
	while (output->render(&shown, &(struct output_query){ 0 }, &out, &cursor) == OUTPUT_MORE)
		;
	if (n > 0)
		render_phases(named[0], options, &out);
	out.failed |= !named;
	return print_answer(&out, code);
}

static int check_all(struct once *once, struct config *config, const struct options *options)
{
	const struct engine_setup setup = {
		.timers = loop_timers(once->services.io.loop),
		.io = &once->services.io,
		.seed = clock_realtime(),
		.on_demand_only = true,
		.on_result = on_result,
		.ctx = once,
	};
	int r = engine_new(&setup, &once->engine);

	if (r == 0)
		r = engine_apply(once->engine, config);
	if (r == 0)
		r = loop_signal(once->services.io.loop, SIGINT, on_interrupt, once);
	if (r == 0)
		r = loop_signal(once->services.io.loop, SIGTERM, on_interrupt, once);
	if (r == 0) {
		ask(once, config, options->names);
		if (once->wanted > 0)
			r = loop_run(once->services.io.loop);
	}
	if (once->shows_progress)
		fprintf(stderr, "\r\033[K");
	if (r < 0) {
		fprintf(stderr, "modelhealthd: %s\n", strerror(-r));
		return EXIT_SYSTEM;
	}
	return report(once, options);
}

int run_once(const struct options *options)
{
	struct once once = { .shows_progress = isatty(STDERR_FILENO) &&
					       options->log_level < LOG_LEVEL_DEBUG };
	struct config *config;
	int code = EXIT_SYSTEM;

	if (!load_or_complain(options, &config))
		return EXIT_CONFIG;
	if (!names_exist(config, options->names)) {
		config_unref(config);
		return EXIT_CONFIG;
	}
	services_start_log(&once.services, options);
	if (services_open(&once.services) == 0) {
		services_fit_limits(&once.services, config);
		code = check_all(&once, config, options);
	}
	once.engine = engine_free(once.engine);
	config_unref(config);
	services_close(&once.services);
	return code;
}

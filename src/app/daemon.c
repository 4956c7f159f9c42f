/* SPDX-License-Identifier: MIT */
/*
 * The daemon: builds the parts bottom up, tells the service manager, runs the loop, takes
 * everything down in reverse. What moves between the parts (signals, reloads, the pulse) is here.
 */
#include "modelhealth/app/services.h"
#include "modelhealth/app/testhook.h"
#include "modelhealth/base/clock.h"
#include "modelhealth/base/messages.h"
#include "modelhealth/checks/kinds.h"
#include "modelhealth/engine/engine.h"
#include "modelhealth/engine/status.h"
#include "modelhealth/io/inherited.h"
#include "modelhealth/io/keeper.h"
#include "modelhealth/io/loader.h"
#include "modelhealth/io/loop.h"
#include "modelhealth/io/notify.h"
#include "modelhealth/outputs/outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* SIGHUPs that come closer together than this become one reload. */
static const usec_t reload_distance = USEC_PER_SEC / 2;

/* A host that is short of CPU is told so at this pace, not with each turn. */
static const usec_t complaint_distance = 60 * USEC_PER_SEC;

/* At the end, clients that are being served may finish: so long, looked at so often. */
static const usec_t drain_deadline = USEC_PER_SEC;
static const usec_t drain_interval = 5 * USEC_PER_MSEC;

/* Housekeeping that needs no more precision: status line, counters of others. */
static const usec_t pulse_interval = USEC_PER_SEC;

struct daemon {
	const struct options *options;
	struct services services;
	struct engine *engine;
	struct status *status;
	struct loader *loader;
	struct notify notify;
	struct inherited inherited; /* during the start */
	struct keeper *keeper;      /* NULL = states end with this process */
	struct keeper_found found;
	struct timer pulse, watchdog, reload, drain;
	usec_t watchdog_interval;
	usec_t reloaded_at;                  /* monotonic */
	usec_t drained_by;                   /* monotonic */
	usec_t paused_until;                 /* the last pause that was told */
	usec_t stall_told_at, pause_told_at; /* monotonic, 0 = never */
	unsigned generation;
	char status_line[160];
	bool wants_reload; /* once more, after the one under way */
	bool is_loading;
	bool is_stopping;
};

static struct timers *timers_of(struct daemon *daemon)
{
	return loop_timers(daemon->services.io.loop);
}

/* ---- what the service manager hears ---- */

static void write_status_line(struct daemon *daemon, char *line, size_t size)
{
	const struct snapshot *snapshot = engine_snapshot(daemon->engine);
	size_t len = (size_t)snprintf(line, size, "%zu endpoint%s:", snapshot->n_endpoints,
		plural_s(snapshot->n_endpoints));

	for (enum state state = 0; state < STATE_N; state++)
		if (snapshot->n_state[state] > 0 && len < size)
			len += (size_t)snprintf(line + len, size - len, " %zu %s",
				snapshot->n_state[state], state_token(state));
}

static void tell_status(struct daemon *daemon)
{
	char line[sizeof daemon->status_line];

	write_status_line(daemon, line, sizeof line);
	if (strcmp(line, daemon->status_line) == 0)
		return;
	memcpy(daemon->status_line, line, sizeof line);
	notify_send(&daemon->notify, "STATUS=%s", line);
}

/* The ping says that monitoring moves, not merely that the loop turns. */
static void on_watchdog(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, watchdog);

	if (engine_is_progressing(daemon->engine))
		notify_send(&daemon->notify, "WATCHDOG=1");
	(void)timer_set(timers_of(daemon), timer,
		timers_of(daemon)->now + daemon->watchdog_interval / 2); /* has its place */
}

/* ---- the pulse ---- */

/* Whether it is time to say again what was said at *told_at. */
static bool may_complain(struct daemon *daemon, usec_t *told_at)
{
	usec_t now = timers_of(daemon)->now;

	if (*told_at != 0 && now < *told_at + complaint_distance)
		return false;
	*told_at = now;
	return true;
}

static void tell_pause(struct daemon *daemon)
{
	usec_t paused_until = timers_of(daemon)->paused_until;

	if (paused_until == daemon->paused_until)
		return;
	daemon->paused_until = paused_until;
	engine_self(daemon->engine)->pauses_total++;
	if (!may_complain(daemon, &daemon->pause_told_at))
		return;
	log_printf(LOG_LEVEL_WARNING, MSG_CLOCK_JUMPED,
		"this process stood still for more than a second (suspended, stopped or without "
		"CPU); checks under way are stale, what is due is spread");
}

static void on_pulse(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, pulse);
	struct self_view *self = engine_self(daemon->engine);
	const struct loop_stats *stats = loop_stats(daemon->services.io.loop);

	self->loop_turns_total = stats->turns_total;
	self->loop_stalls_total = stats->stalls_total;
	self->loop_stall_max = stats->turn_max;
	self->log_dropped_total = services_log_dropped(&daemon->services);
	tell_pause(daemon);
	notify_retry(&daemon->notify);
	tell_status(daemon);
	services_tell_log_loss(&daemon->services, daemon->status_line);
	(void)timer_set(timers_of(daemon), timer,
		timers_of(daemon)->now + pulse_interval); /* has its place */
}

static void on_stall(void *arg, usec_t turn)
{
	struct daemon *daemon = arg;

	if (!may_complain(daemon, &daemon->stall_told_at))
		return;
	log_printf(LOG_LEVEL_WARNING, MSG_LOOP_STALLED,
		"one turn of the event loop took %" PRIu64 " ms; checks due meanwhile began late",
		turn / USEC_PER_MSEC);
}

static void on_clock_step(void *arg, int64_t by)
{
	struct daemon *daemon = arg;
	char length[DURATION_TEXT_SIZE];

	duration_format((usec_t)(by < 0 ? -by : by) / USEC_PER_SEC * USEC_PER_SEC, length);
	log_printf(LOG_LEVEL_NOTICE, MSG_CLOCK_SET,
		"the clock of this host was set %s by %s; all times that are shown move with it, "
		"checks keep their pace",
		by < 0 ? "back" : "forward", length);
	engine_shift_times(daemon->engine, by);
}

/* ---- configuration ---- */

static void log_loaded(struct daemon *daemon, const struct config *config)
{
	const struct engine_diff *diff = engine_last_diff(daemon->engine);

	log_printf(LOG_LEVEL_INFO, MSG_CONFIG_LOADED,
		"configuration %u is live: %zu endpoint%s; checks: %zu kept, %zu updated, %zu "
		"restarted, %zu added, %zu removed",
		config->generation, config->n_endpoints, plural_s(config->n_endpoints), diff->kept,
		diff->updated, diff->restarted, diff->added, diff->removed);
}

/* Goes back to the listeners of the configuration that stays live. */
static void keep_listening(struct daemon *daemon)
{
	const struct config *live = engine_snapshot(daemon->engine)->config;
	char error[256];

	if (live && status_listen(daemon->status, live, error, sizeof error) < 0)
		log_err("%s", error);
}

/* Makes a loaded configuration live; on any error the old one stays. */
static int apply(struct daemon *daemon, struct config *config, struct sbuf *errors)
{
	char error[256];
	int r;

	services_fit_limits(&daemon->services, config);
	config->generation = daemon->generation + 1;
	r = status_listen(daemon->status, config, error, sizeof error);
	if (r < 0) {
		sbuf_printf(errors, "%s\n", error);
		return r;
	}
	loop_wake(daemon->services.io.loop); /* loading took time */
	r = engine_apply(daemon->engine, config);
	if (r < 0) {
		sbuf_printf(errors, "%s\n", strerror(-r));
		keep_listening(daemon);
		return r;
	}
	daemon->generation = config->generation;
	log_loaded(daemon, config);
	return 0;
}

/* The first error in one line, and how many more there are. Cut is fine. */
static void sum_up(const struct sbuf *text, char *line, size_t size)
{
	const char *from = sbuf_str(text);
	int first = (int)strcspn(from, "\n");
	size_t more = 0;

	for (const char *p = from + first; (p = strchr(p, '\n')) && p[1] != '\0'; p++)
		more++;
	if (more == 0)
		(void)snprintf(line, size, "%.*s", first, from);
	else
		(void)snprintf(line, size, "%.*s (and %zu more: modelhealthd --check shows all)",
			first, from, more);
}

/* Notes and tells how a reload ended. errors is empty when the configuration is live. */
static void end_reload(struct daemon *daemon, const struct sbuf *errors)
{
	bool failed = errors->len > 0;
	char error[512];

	sum_up(errors, error, sizeof error);
	engine_note_reload(daemon->engine, failed ? error : NULL);
	if (failed)
		log_printf(LOG_LEVEL_ERR, MSG_CONFIG_REJECTED,
			"configuration refused, the old one stays live: %s", error);
	daemon->reloaded_at = timers_of(daemon)->now;
	notify_send(&daemon->notify, "READY=1");
	status_reloaded(daemon->status, failed ? sbuf_str(errors) : NULL);
}

/* false: one is under way, and the file may have changed since it began; once more after it. */
static bool begin_reload(struct daemon *daemon)
{
	int r;

	if (daemon->is_stopping) {
		status_reloaded(daemon->status, "modelhealthd is stopping\n");
		return true;
	}
	r = loader_start(daemon->loader);
	daemon->wants_reload = r == -EBUSY;
	if (daemon->wants_reload)
		return false;
	daemon->is_loading = r == 0;
	notify_send(&daemon->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		clock_kernel(clock_monotonic()));
	if (r < 0) {
		_cleanup_(sbuf_fini) struct sbuf errors = SBUF_INIT;

		sbuf_printf(&errors, "cannot load a configuration now: %s\n", strerror(-r));
		end_reload(daemon, &errors);
	}
	return true;
}

/* Asked on the status port. */
static bool on_reload_request(void *ctx)
{
	return begin_reload(ctx);
}

static void on_loaded(void *ctx, int error, const struct conf_errors *found, struct config *config)
{
	struct daemon *daemon = ctx;
	_cleanup_(sbuf_fini) struct sbuf errors = { .limit = 1024 * 1024 };

	daemon->is_loading = false;
	if (daemon->is_stopping) {
		config_unref(config);
		return;
	}
	if (error == 0) {
		(void)apply(daemon, config, &errors); /* its errors are in the text */
		config_unref(config);
	} else {
		conf_errors_print(found, &errors);
		if (found->n == 0)
			sbuf_printf(&errors, "%s: %s\n", daemon->options->config_path,
				strerror(-error));
	}
	end_reload(daemon, &errors);
	if (daemon->wants_reload)
		(void)begin_reload(daemon); /* nothing is under way */
}

/* Nobody waits for the answer to a signal: a storm of them is a load now and then. */
static void on_reload_timer(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, reload);

	if (daemon->is_loading)
		(void)timer_set(timers_of(daemon), timer,
			timers_of(daemon)->now + reload_distance); /* has its place */
	else
		(void)begin_reload(daemon); /* nothing is under way */
}

/* ---- signals ---- */

static void on_hangup(void *arg, int signal_number)
{
	struct daemon *daemon = arg;
	struct timers *timers = timers_of(daemon);

	(void)signal_number;
	if (!timer_is_set(&daemon->reload))
		(void)timer_set(timers, &daemon->reload,
			max_of(timers->now, daemon->reloaded_at + reload_distance));
}

static void on_second_terminate(int signal_number)
{
	(void)signal_number;
	_exit(EXIT_OK); /* asked twice: someone is in a hurry */
}

/* Whoever has been accepted gets his answer, unless he takes too long. */
static void on_drain(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, drain);
	struct timers *timers = timers_of(daemon);

	if (!status_is_serving(daemon->status) || timers->now >= daemon->drained_by)
		loop_stop(daemon->services.io.loop);
	else
		(void)timer_set(timers, timer, timers->now + drain_interval); /* has its place */
}

/* The loop soon ends and hears no more signals; a load under way may still keep us. */
static void on_terminate(void *arg, int signal_number)
{
	const struct sigaction at_once = { .sa_handler = on_second_terminate };
	struct daemon *daemon = arg;

	(void)signal_number;
	(void)sigaction(SIGTERM, &at_once, NULL); /* cannot fail for valid signals */
	(void)sigaction(SIGINT, &at_once, NULL);
	daemon->is_stopping = true;
	notify_send(&daemon->notify, "STOPPING=1\nSTATUS=stopping");
	log_printf(LOG_LEVEL_INFO, MSG_STOPPING, "stopping; checks under way are abandoned");
	engine_stop(daemon->engine);
	status_drain(daemon->status);
	daemon->drained_by = timers_of(daemon)->now + drain_deadline;
	on_drain(&daemon->drain);
}

/* Until somebody listens, a SIGHUP would end us, and systemd calls that a clean end. Held back it
 * becomes a reload in time; the file may have changed since we read it. */
static void hold_hangups(int how)
{
	sigset_t hangups;

	(void)sigemptyset(&hangups); /* these cannot fail */
	(void)sigaddset(&hangups, SIGHUP);
	must(pthread_sigmask(how, &hangups, NULL) == 0);
}

static int watch_signals(struct daemon *daemon)
{
	struct loop *loop = daemon->services.io.loop;
	int r = loop_signal(loop, SIGHUP, on_hangup, daemon);

	if (r == 0)
		hold_hangups(SIG_UNBLOCK);
	if (r == 0)
		r = loop_signal(loop, SIGTERM, on_terminate, daemon);
	if (r == 0)
		r = loop_signal(loop, SIGINT, on_terminate, daemon);
	if (r == 0)
		r = testhook_watch(loop, daemon->engine);
	return r;
}

/* ---- what outlives us ---- */

/* The first of the directories that the service manager made for us; NULL without. */
static const char *state_directory(char *path, size_t size)
{
	const char *paths = getenv("STATE_DIRECTORY");
	int len = paths ? (int)strcspn(paths, ":") : 0;

	if (len == 0 || (size_t)snprintf(path, size, "%.*s", len, paths) >= size)
		return NULL;
	return path;
}

/* Without it monitoring does its work all the same. */
static void open_keeper(struct daemon *daemon)
{
	char path[256];
	const struct keeper_setup setup = {
		.inherited = &daemon->inherited,
		.notify = &daemon->notify,
		.directory = state_directory(path, sizeof path),
		.now = clock_monotonic(),
		.real = clock_realtime(),
	};
	int r;

	inherited_open(&daemon->inherited);
	if (daemon->notify.fd < 0 && !setup.directory)
		return;
	r = keeper_new(&setup, &daemon->keeper, &daemon->found);
	if (daemon->found.problem[0] != '\0')
		log_printf(LOG_LEVEL_ERR, MSG_STATE_BROKEN, "%s; monitoring begins afresh",
			daemon->found.problem);
	if (r < 0)
		log_printf(LOG_LEVEL_WARNING, MSG_STATE_NOT_KEPT,
			"no memory for states (%s); the next start begins afresh", strerror(-r));
}

static struct engine_keeper engine_keeper(struct daemon *daemon)
{
	return daemon->keeper ? (struct engine_keeper){ .layout = keeper_layout,
		.commit = keeper_commit,
		.ctx = daemon->keeper }
			      : (struct engine_keeper){ 0 };
}

/* After the first configuration: what was found is live now, in the ledger of this process. */
static void end_recall(struct daemon *daemon)
{
	struct self_view *self = engine_self(daemon->engine);
	const struct ledger_image *image = daemon->found.image;
	int r;

	/* A process that ended before its first result left nothing to tell of. */
	if (image && image->n + image->n_broken > 0)
		log_printf(LOG_LEVEL_INFO, MSG_STATE_RESTORED,
			"%zu checks go on where they were %" PRIu64
			" s ago (kept by %s); %zu records fit no check of today or were broken",
			self->state_restored,
			ledger_age(image, timers_of(daemon)->now) / USEC_PER_SEC,
			daemon->found.source, self->state_dropped);
	daemon->found.image = NULL;
	r = daemon->keeper ? keeper_forget(daemon->keeper) : 0;
	if (r == 0)
		return;
	self->state_failures_total++;
	log_printf(LOG_LEVEL_WARNING, MSG_STATE_NOT_KEPT,
		"the state directory cannot be written (%s); states survive a restart but no stop",
		strerror(-r));
}

static void save_states(const struct daemon *daemon)
{
	int r = daemon->keeper ? keeper_save(daemon->keeper, clock_monotonic(), clock_realtime())
			       : 0;

	if (r < 0)
		log_printf(LOG_LEVEL_ERR, MSG_STATE_NOT_KEPT,
			"states cannot be saved (%s); unless this is a restart by the service "
			"manager, all checks begin afresh",
			strerror(-r));
}

/* ---- life ---- */

static uint64_t make_seed(void)
{
	uint64_t seed;

	/* Only spreads load; the clock will do where there is no randomness yet. */
	return getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed ? seed
									   : clock_realtime();
}

static int adopt_listeners(struct daemon *daemon)
{
	int fd, r = 0;

	while (r == 0 && (fd = inherited_take_listener(&daemon->inherited)) >= 0)
		r = status_adopt(daemon->status, fd);
	return r;
}

static int build(struct daemon *daemon)
{
	struct loop *loop;
	int r = services_open(&daemon->services);

	if (r < 0)
		return r;
	loop = daemon->services.io.loop;
	loop_on_stall(loop, on_stall, daemon);
	loop_on_step(loop, on_clock_step, daemon);
	r = engine_new(
		&(struct engine_setup){
			.timers = loop_timers(loop),
			.keeper = engine_keeper(daemon),
			.io = &daemon->services.io,
			.seed = make_seed(),
			.outputs = outputs,
		},
		&daemon->engine);
	if (r == 0)
		r = status_new(
			&(struct status_setup){
				.loop = loop,
				.engine = daemon->engine,
				.reload = on_reload_request,
				.ctx = daemon,
			},
			&daemon->status);
	if (r == 0)
		r = adopt_listeners(daemon);
	if (r == 0)
		r = loader_new(loop, daemon->options->config_path, daemon->options->profiles_dir,
			check_kinds, on_loaded, daemon, &daemon->loader);
	if (r == 0)
		r = watch_signals(daemon);
	if (r < 0)
		log_printf(LOG_LEVEL_ERR, MSG_START_FAILED, "cannot start: %s", strerror(-r));
	return r;
}

static int start(struct daemon *daemon, struct config *config)
{
	_cleanup_(sbuf_fini) struct sbuf errors = { .limit = 4096 };
	struct timers *timers = timers_of(daemon);
	int r;

	if (daemon->found.image)
		engine_recall(daemon->engine, daemon->found.image);
	r = apply(daemon, config, &errors);
	if (r < 0) {
		log_printf(LOG_LEVEL_ERR, MSG_START_FAILED, "cannot start: %s", sbuf_str(&errors));
		return r;
	}
	end_recall(daemon);
	daemon->pulse.fn = on_pulse;
	daemon->watchdog.fn = on_watchdog;
	daemon->reload.fn = on_reload_timer;
	daemon->drain.fn = on_drain;
	daemon->watchdog_interval = notify_watchdog_interval();
	on_pulse(&daemon->pulse);
	if (daemon->watchdog_interval > 0)
		on_watchdog(&daemon->watchdog);
	/* Room for the four timers of this file came with engine_apply's reservation. */
	must(timers_next(timers) != USEC_NEVER);
	log_printf(LOG_LEVEL_INFO, MSG_STARTED,
		"modelhealthd " MODELHEALTH_VERSION " is monitoring %zu endpoint%s from %s",
		config->n_endpoints, plural_s(config->n_endpoints), daemon->options->config_path);
	notify_send(&daemon->notify, "READY=1\nSTATUS=%s", daemon->status_line);
	return 0;
}

static void take_down(struct daemon *daemon)
{
	if (daemon->engine)
		engine_stop(daemon->engine);
	save_states(daemon);
	daemon->loader = loader_free(daemon->loader); /* waits for a load under way */
	daemon->status = daemon->status ? status_free(daemon->status) : NULL;
	daemon->engine = engine_free(daemon->engine);
	notify_close(&daemon->notify);
	daemon->keeper = keeper_free(daemon->keeper);
	services_close(&daemon->services);
}

int run_daemon(const struct options *options)
{
	struct daemon daemon = { .options = options };
	struct config *config;
	int r;

	hold_hangups(SIG_BLOCK);
	services_start_log(&daemon.services, options);
	notify_open(&daemon.notify);
	open_keeper(&daemon);
	if (!services_load(&daemon.services, options, &config)) {
		inherited_close(&daemon.inherited);
		take_down(&daemon);
		return EXIT_CONFIG;
	}
	r = build(&daemon);
	if (r == 0)
		r = start(&daemon, config);
	config_unref(config);
	inherited_close(&daemon.inherited);
	if (r == 0)
		r = loop_run(daemon.services.io.loop);
	take_down(&daemon);
	return r < 0 ? EXIT_SYSTEM : EXIT_OK;
}

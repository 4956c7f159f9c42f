/* SPDX-License-Identifier: MIT */
/*
 * One turn of the loop: wait for events, run their callbacks, fire due timers, run deferred tasks.
 *
 * Why not libevent's own timers: they round to a coarse clock (4 ms late) or, with precise timers,
 * wake once for each. One timerfd on a 2 ms grid is punctual enough and shared by neighbours.
 *
 * The app owns the loop; everything on the io floor watches descriptors through it.
 */
#include "modelhealth/io/loop.h"

#include "modelhealth/base/clock.h"
#include "modelhealth/base/log.h"

#include <event2/event.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sysexits.h>
#include <unistd.h>

/*
 * A turn has three parts: callbacks of descriptors, timers, deferred tasks. Each ends after this
 * time, so that a crowd in one cannot hold up the others; what is left waits for the next turn.
 * The clock is looked at after each callback, and after so many timers or tasks.
 */
static const usec_t part_limit = 4 * USEC_PER_MSEC;

enum {
	STEP = 16
};

static const usec_t stall_limit = 100 * USEC_PER_MSEC;

/* Waking this much later than asked, or than the machine's own clock, is a pause of the process:
 * stopped, starved or suspended. */
static const usec_t pause_limit = USEC_PER_SEC;

/* A wall clock that moves so much more or less than the machine's own was set, not slewed. */
static const int64_t step_limit = USEC_PER_SEC;

static const usec_t warning_interval = 60 * USEC_PER_SEC;

struct signal_watch {
	struct event *event;
	struct loop *loop;
	void (*fn)(void *arg, int signal_number);
	void *arg;
	struct signal_watch *next;
};

struct loop {
	struct event_base *base;
	struct timers timers;
	struct event *timer_event;
	int timer_fd;
	usec_t armed_at;  /* what timer_fd is set to, USEC_NEVER = disarmed */
	usec_t suspended; /* boot time ahead of monotonic time */
	int64_t ahead;    /* of the wall clock, before monotonic time */
	struct signal_watch *signals;
	struct loop_stats stats;
	void (*on_stall)(void *arg, usec_t turn);
	void *on_stall_arg;
	void (*on_step)(void *arg, int64_t by);
	void *on_step_arg;
	usec_t turn_began; /* when the last wait ended; 0 = still waiting */
	bool stopping;
};

struct loop_fd {
	struct event *event;
	struct loop *loop;
	loop_fd_fn fn;
	void *arg;
	unsigned events;
};

static void note_pause(struct loop *loop, usec_t length)
{
	loop->timers.paused_until = loop->timers.now;
	loop->timers.paused_for = length;
}

/* The wall clock runs on while the machine is suspended, too: that is no step. */
static void look_for_step(struct loop *loop, int64_t ahead)
{
	usec_t asleep = clock_boottime() - loop->timers.now - loop->suspended;
	int64_t by = ahead - loop->ahead - (int64_t)asleep;

	if ((by > step_limit || by < -step_limit) && loop->on_step)
		loop->on_step(loop->on_step_arg, by);
}

/* A turn that takes so long is a pause as well: most likely the process was stopped in it. */
static void read_clocks(struct loop *loop)
{
	int64_t ahead;

	loop->timers.now = clock_monotonic();
	loop->timers.real = clock_realtime();
	ahead = (int64_t)(loop->timers.real - loop->timers.now);
	if (ahead - loop->ahead > step_limit || ahead - loop->ahead < -step_limit)
		look_for_step(loop, ahead);
	loop->ahead = ahead;
	if (loop->turn_began != 0 && loop->timers.now - loop->turn_began > pause_limit)
		note_pause(loop, loop->timers.now - loop->turn_began);
}

/* The monotonic clock stands still while the machine is suspended, the boot clock does not. */
static void look_for_pause(struct loop *loop)
{
	usec_t now = loop->timers.now;
	usec_t suspended = clock_boottime() - now;

	if (loop->armed_at != USEC_NEVER && now > loop->armed_at + pause_limit)
		note_pause(loop, now - loop->armed_at);
	else if (suspended > loop->suspended + pause_limit)
		note_pause(loop, suspended - loop->suspended);
	loop->suspended = suspended;
}

void loop_wake(struct loop *loop)
{
	read_clocks(loop);
	if (loop->turn_began == 0) {
		loop->turn_began = loop->timers.now;
		look_for_pause(loop);
	} else if (loop->timers.now - loop->turn_began > part_limit) {
		(void)event_base_loopbreak(loop->base); /* after this callback; none is lost */
	}
}

static void on_timer_fd(evutil_socket_t fd, short events, void *arg)
{
	struct loop *loop = arg;
	uint64_t expirations;

	(void)events;
	loop_wake(loop);
	(void)!read(fd, &expirations, sizeof expirations); /* only to make it unreadable */
	loop->armed_at = USEC_NEVER;
}

static void on_fd(evutil_socket_t fd, short events, void *arg)
{
	struct loop_fd *watch = arg;
	unsigned ready =
		((events & EV_READ) ? LOOP_READ : 0u) | ((events & EV_WRITE) ? LOOP_WRITE : 0u);

	loop_wake(watch->loop);
	watch->fn(watch->arg, fd, ready);
}

static void on_signal(evutil_socket_t signal_number, short events, void *arg)
{
	struct signal_watch *watch = arg;

	(void)events;
	loop_wake(watch->loop);
	watch->fn(watch->arg, signal_number);
}

/* libevent says fatal things rarely (a broken kernel); they belong in our log, not on stdout. What
 * it warns of happens to each descriptor, so that once tells enough. */
static void on_libevent_log(int severity, const char *message)
{
	static usec_t quiet_until;
	usec_t now = clock_monotonic();
	int error = errno; /* for whoever called libevent */

	if (severity >= EVENT_LOG_WARN && now >= quiet_until) {
		quiet_until = now + warning_interval;
		log_warning("libevent: %s", message);
	}
	errno = error;
}

static void on_libevent_fatal(int error)
{
	log_err("libevent gives up (error %d); the service manager restarts us", error);
	_exit(EX_OSERR);
}

static int open_base(struct loop *loop)
{
	struct event_config *config = event_config_new();

	if (!config)
		return -ENOMEM;
	event_set_log_callback(on_libevent_log);
	event_set_fatal_callback(on_libevent_fatal);
	/* No EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: it saves a system call when a watch turns from
	 * writing to reading, but then nobody is told that the kernel refused one. */
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	return loop->base ? 0 : -ENOMEM;
}

int loop_new(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof *loop);
	int r;

	if (!loop)
		return -ENOMEM;
	timers_init(&loop->timers);
	read_clocks(loop);
	loop->suspended = clock_boottime() - loop->timers.now;
	loop->armed_at = USEC_NEVER;
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0) {
		r = -errno;
		goto fail;
	}
	r = open_base(loop);
	if (r < 0)
		goto fail;
	loop->timer_event =
		event_new(loop->base, loop->timer_fd, EV_READ | EV_PERSIST, on_timer_fd, loop);
	if (!loop->timer_event || event_add(loop->timer_event, NULL) < 0) {
		r = -ENOMEM;
		goto fail;
	}
	*ret_loop = loop;
	return 0;
fail:
	loop_free(loop);
	return r;
}

struct loop *loop_free(struct loop *loop)
{
	struct signal_watch *next;

	if (!loop)
		return NULL;
	for (struct signal_watch *watch = loop->signals; watch; watch = next) {
		next = watch->next;
		event_free(watch->event);
		free(watch);
	}
	if (loop->timer_event)
		event_free(loop->timer_event);
	if (loop->timer_fd >= 0)
		(void)close(loop->timer_fd);
	if (loop->base)
		event_base_free(loop->base);
	timers_fini(&loop->timers);
	free(loop);
	return NULL;
}

/* Sets the timerfd to the next deadline, rounded up to the grid; spares the call when it already
 * stands there. */
static void arm_timer_fd(struct loop *loop)
{
	usec_t at = timers_next(&loop->timers);
	struct itimerspec spec = { 0 };

	if (at != USEC_NEVER)
		at = (at + LOOP_GRID_USEC - 1) / LOOP_GRID_USEC * LOOP_GRID_USEC;
	if (at == loop->armed_at)
		return;
	if (at != USEC_NEVER) {
		/* What is long past is due now; 0 would mean never. */
		usec_t kernel = max_of(clock_kernel(at), (usec_t)1);

		spec.it_value.tv_sec = (time_t)(kernel / USEC_PER_SEC);
		spec.it_value.tv_nsec = (long)(kernel % USEC_PER_SEC * 1000);
	}
	must(timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
	loop->armed_at = at;
}

static void end_turn(struct loop *loop)
{
	usec_t turn;

	read_clocks(loop);
	turn = loop->timers.now - loop->turn_began;
	loop->turn_began = 0;
	loop->stats.turns_total++;
	if (turn > loop->stats.turn_max)
		loop->stats.turn_max = turn;
	if (turn <= stall_limit)
		return;
	loop->stats.stalls_total++;
	if (loop->on_stall)
		loop->on_stall(loop->on_stall_arg, turn);
}

/* Runs timers or tasks until none is left or their part of the turn is over. */
static void run_part(struct loop *loop, unsigned (*run)(struct timers *timers, unsigned max))
{
	usec_t began = loop->timers.now;

	while (run(&loop->timers, STEP) == STEP) {
		read_clocks(loop);
		if (loop->timers.now - began > part_limit)
			return;
	}
}

int loop_run(struct loop *loop)
{
	loop->stopping = false;
	loop->turn_began = 0; /* what came before was no turn */
	while (true) {
		bool busy;

		loop_wake(loop);
		run_part(loop, timers_run);
		run_part(loop, tasks_run);
		end_turn(loop);
		if (loop->stopping)
			return 0;
		busy = tasks_pending(&loop->timers) ||
		       timers_next(&loop->timers) <= loop->timers.now;
		arm_timer_fd(loop);
		if (event_base_loop(loop->base, EVLOOP_ONCE | (busy ? EVLOOP_NONBLOCK : 0)) < 0)
			return -EIO;
	}
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}

struct timers *loop_timers(struct loop *loop)
{
	return &loop->timers;
}

struct event_base *loop_event_base(struct loop *loop)
{
	return loop->base;
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
	return &loop->stats;
}

void loop_on_stall(struct loop *loop, void (*fn)(void *arg, usec_t turn), void *arg)
{
	loop->on_stall = fn;
	loop->on_stall_arg = arg;
}

void loop_on_step(struct loop *loop, void (*fn)(void *arg, int64_t by), void *arg)
{
	loop->on_step = fn;
	loop->on_step_arg = arg;
}

static short to_libevent(unsigned events)
{
	return (short)(EV_PERSIST | ((events & LOOP_READ) ? EV_READ : 0) |
		       ((events & LOOP_WRITE) ? EV_WRITE : 0));
}

/* NULL with errno. */
static struct event *open_event(struct loop_fd *watch, int fd, unsigned events)
{
	struct event *event = event_new(watch->loop->base, fd, to_libevent(events), on_fd, watch);

	errno = ENOMEM; /* unless it is the kernel that fails */
	if (event && events != 0 && event_add(event, NULL) < 0) {
		event_free(event);
		return NULL;
	}
	return event;
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, unsigned events, loop_fd_fn fn, void *arg)
{
	struct loop_fd *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	*watch = (struct loop_fd){ .loop = loop, .fn = fn, .arg = arg, .events = events };
	watch->event = open_event(watch, fd, events);
	return watch->event ? watch : loop_fd_free(watch);
}

/* The new event before the old one goes: epoll then only changes what it watches already, which
 * needs no memory of the kernel's. */
int loop_fd_set(struct loop_fd *watch, unsigned events)
{
	struct event *event;

	if (events == watch->events)
		return 0;
	event = open_event(watch, event_get_fd(watch->event), events);
	if (!event)
		return -errno;
	event_free(watch->event);
	watch->event = event;
	watch->events = events;
	return 0;
}

struct loop_fd *loop_fd_free(struct loop_fd *watch)
{
	if (!watch)
		return NULL;
	if (watch->event)
		event_free(watch->event);
	free(watch);
	return NULL;
}

int loop_signal(
	struct loop *loop, int signal_number, void (*fn)(void *arg, int signal_number), void *arg)
{
	struct signal_watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return -ENOMEM;
	*watch = (struct signal_watch){ .loop = loop, .fn = fn, .arg = arg };
	watch->event = evsignal_new(loop->base, signal_number, on_signal, watch);
	if (!watch->event || event_add(watch->event, NULL) < 0) {
		if (watch->event)
			event_free(watch->event);
		free(watch);
		return -ENOMEM;
	}
	watch->next = loop->signals;
	loop->signals = watch;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * How the daemon would look if a bug of ours stopped it: the tests of the watchdog need that on
 * demand. Called by daemon.c; not compiled into a build for use.
 */
#include "modelhealth/app/testhook.h"

#include "modelhealth/base/log.h"

#include <signal.h>
#include <unistd.h>

static void on_freeze(void *arg, int signal_number)
{
	(void)signal_number;
	log_warning("test hook: no check is started any more");
	engine_stop(arg);
}

static _Noreturn void on_hang(void *arg, int signal_number)
{
	(void)arg;
	(void)signal_number;
	log_warning("test hook: the loop hangs");
	for (;;)
		(void)pause(); /* returns for signals that are watched */
}

int testhook_watch(struct loop *loop, struct engine *engine)
{
	int r = loop_signal(loop, SIGUSR1, on_freeze, engine);

	return r == 0 ? loop_signal(loop, SIGUSR2, on_hang, NULL) : r;
}

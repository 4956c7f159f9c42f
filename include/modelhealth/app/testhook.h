/* SPDX-License-Identifier: MIT */
/*
 * Faults that only a test asks for; -Dtest_hooks=true compiles them in. Every other build has no
 * trace of them, which a lint verifies.
 *
 *   SIGUSR1  the engine starts no check any more, while the loop turns
 *   SIGUSR2  the loop hangs for ever
 */
#pragma once

#include "modelhealth/engine/engine.h"
#include "modelhealth/io/loop.h"

#ifdef MODELHEALTH_TEST_HOOKS
/* 0 or -ENOMEM. The engine must live as long as the loop runs. */
int testhook_watch(struct loop *loop, struct engine *engine);
#else
static inline int testhook_watch(struct loop *loop, struct engine *engine)
{
	(void)loop;
	(void)engine;
	return 0;
}
#endif

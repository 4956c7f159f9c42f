/* SPDX-License-Identifier: MIT */
/*
 * The few words every other file speaks: units, ownership helpers and the assertion.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Microseconds. Monotonic for intervals, since the Unix epoch for display; names say which. */
typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_NEVER    UINT64_MAX

#define array_size(a) (sizeof(a) / sizeof((a)[0]))
/* For messages: "%zu endpoint%s". */
#define plural_s(n)   ((n) == 1 ? "" : "s")

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define max_of(a, b) ((a) > (b) ? (a) : (b))
#define min_of(a, b) ((a) < (b) ? (a) : (b))

#define _cleanup_(fn)       __attribute__((cleanup(fn)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_            __attribute__((unused))

/* Hands over what a _cleanup_ variable owns: yields the pointer and leaves NULL behind. */
#define take_ptr(p)                     \
	({                              \
		typeof(p) taken_ = (p); \
		(p) = NULL;             \
		taken_;                 \
	})

/*
 * States a fact that only a bug of ours can break, never input, a peer or the system. It stays on
 * in release builds: a monitor that runs on with a broken invariant reports lies.
 */
#define must(cond)                                              \
	do {                                                    \
		if (__builtin_expect(!(cond), 0))               \
			must_failed(#cond, __FILE__, __LINE__); \
	} while (0)

_Noreturn void must_failed(const char *cond, const char *file, int line);

/* Cleanup for memory from malloc: _cleanup_(freep) char *text = NULL. */
void freep(void *pointer_to_pointer);

/* Cleanup for file descriptors: closes unless negative. */
void closep(int *fd);

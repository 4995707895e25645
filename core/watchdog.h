/*
 * watchdog.h - a thread that tells when a loop of this process does not turn: a callback that hangs.
 *
 * It can only be said: a module in this process cannot be ended without the process. Isolated ones are asked
 * by isolate_question.c, and restarted.
 */
#ifndef CORE_WATCHDOG_H
#define CORE_WATCHDOG_H

#include "core.h"

struct core_watchdog;

/* Looks once in hang_timeout_s; a hang is told after twice that at most, and its end. 0 or -errno. */
int core_watchdog_start(struct core *c, struct core_watchdog **ret);
/* No more is told. Both accept NULL. */
void core_watchdog_stop(struct core_watchdog *w);
/* Stopped, and the core is freed: its loops may still have had a post of ours. */
void core_watchdog_free(struct core_watchdog *w);

#endif

/*
 * crash.h - the last words of a process that dies by a fault.
 */
#ifndef CORE_CRASH_H
#define CORE_CRASH_H

#include "core.h"

/* Installs the handlers. Nothing happens under a sanitizer, which has its own. */
void core_crash_start(struct core *c);
/* Version and modules as they are now: after each load and unload. Main loop. */
void core_crash_update(struct core *c);
void core_crash_stop(void);

#endif

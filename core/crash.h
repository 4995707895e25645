/*
 * crash.h - the last words of a process that dies by a fault: on stderr, and as a file in DATA/crash.
 *
 * For every process that runs a core: orlopd, and the child of an isolated module.
 */
#ifndef CORE_CRASH_H
#define CORE_CRASH_H

#include "core.h"

/*
 * core_crash_start - installs the handlers and makes DATA/crash
 *
 * Nothing happens under a sanitizer, which has its own. @c may be NULL: then only the memory is
 * taken, so that threads started before the core is whole have a stack for their handler; call it
 * again with the core.
 */
void core_crash_start(struct core *c);
/*
 * core_crash_report_to - the report goes to @fd, not to a file of DATA/crash
 *
 * For a process that may not write there; who gave it the descriptor looks into it. After core_crash_start().
 */
void core_crash_report_to(int fd);
/* Version and modules as they are now: after each load and unload. Main loop. */
void core_crash_update(struct core *c);
void core_crash_stop(void);

/* Around the life of a thread: a stack of its own for the handler. Returns what _end() takes. */
int core_crash_thread_begin(void);
void core_crash_thread_end(int slot);

/*
 * core_crash_tell - one line in the log for each report that was not told yet; how many
 *
 * At the start; and by whoever sees a child end by a signal.
 */
int core_crash_tell(struct core *c);
/* The report of the process of the isolated module @name: kept with the last messages of that, and told. Main loop. */
void core_crash_keep(struct core *c, const char *name, int pid, const char *text, size_t len);

#endif

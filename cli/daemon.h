/*
 * daemon.h - the orlopd of a data directory: is there one, starting it, its end.
 */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "place.h"
#include "setup.h"

#include <sys/types.h>

/* pid of the daemon that holds DIR's lock, 0: none, or -errno. */
pid_t daemon_pid(const struct setup *s);
/* Takes the lock as the daemon does. *ret_fd -1 if there is no such directory. -EBUSY: one runs. */
int daemon_lock(const struct setup *s, int *ret_fd, struct orlop_error *err);
/*
 * Starts it in the background, in a session of its own with its words in DIR/log/orlopd.log, and
 * waits until all its modules are ready. If they do not become so it is ended again.
 */
int daemon_start(const struct setup *s, const struct place *p, int64_t timeout_s, pid_t *ret_pid,
		 struct orlop_error *err);
/* Becomes the daemon; returns only on failure. */
int daemon_exec(const struct setup *s, const struct place *p, struct orlop_error *err);
/* Where the configuration is; the caller frees. */
char *daemon_config(const struct setup *s);

#endif

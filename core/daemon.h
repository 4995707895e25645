/*
 * daemon.h - being a daemon: one per data directory, background, readiness, telling systemd.
 */
#ifndef CORE_DAEMON_H
#define CORE_DAEMON_H

#include <orlop/types.h>

/*
 * core_daemon_lock - this process's claim to a data directory, which is made if it is not there
 *
 * The pid is written to DIR/lock and DIR/orlopd.pid. @ret_fd holds the lock until it is closed.
 * 0, -EBUSY ("another orlopd (pid N) uses DIR"), -errno.
 */
int core_daemon_lock(const char *dir, int *ret_fd, struct orlop_error *err);
void core_daemon_unlock(const char *dir, int fd);

/*
 * core_daemon_background - go on in a child process; the parent waits for core_daemon_ready() or the
 * child's end and exits accordingly
 *
 * Called before any thread exists. @ret_fd is for core_daemon_ready(). 0 in the child, or -errno.
 */
int core_daemon_background(int *ret_fd);

/*
 * core_daemon_first - the first process of a container stays that alone, and the daemon goes on in its child
 *
 * It reaps what others leave behind, the monitors of containers for example, which nobody else does there; it hands signals on, and
 * ends as its child does. Called before any thread exists; does nothing in any other process. 0 in the child, or -errno.
 */
int core_daemon_first(void);

/* Writes "READY\n" to @fd and closes it (-1: nothing); tells @notify ($NOTIFY_SOCKET, may be NULL). */
void core_daemon_ready(int fd, const char *notify);
void core_daemon_notify(const char *notify, const char *text);

#endif

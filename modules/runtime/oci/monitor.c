/*
 * monitor.c - is a container's conmon still there? It alone sees how the container ends and holds its
 * output; a container whose monitor was killed is ended, as CRI engines do with one that lost its shim.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <orlop/inline/log.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

void monitor_forget(struct oci *o, struct container *c)
{
	o->h->fd_unwatch(c->mon_watch);
	c->mon_watch = NULL;
	if (c->mon_fd > 0)
		close(c->mon_fd);
	c->mon_fd = 0;
}

static void lost(struct oci *o, struct container *c)
{
	OLOG(o->h, WARN, "monitor_lost", "container=%s pid=%d ending=1", c->id, c->pid);
	if (c->pid_start && pid_start_time(c->pid) == c->pid_start)
		(void)kill(c->pid, SIGKILL);
	c->exit_code = 137;
	container_ended(o, c);
}

/* Its pidfd became readable: it has ended, normally because the container has. */
static void monitor_ended(void *arg, int32_t fd, uint32_t events)
{
	struct container *c = arg;
	struct oci *o = c->o;

	(void)fd;
	(void)events;
	monitor_forget(o, c);
	if (c->busy)
		return;		/* being started: who starts it looks then, and tells the start before the end */
	container_check_exit(o, c);
	if (c->state != OCI_EXITED)
		lost(o, c);
}

/* 0: not there. Its command line has the container's id: a number alone may be somebody else's by now. */
static int monitor_pid(struct oci *o, const struct container *c)
{
	cleanup_free char *path = path_of(o, "containers/%s/conmon.pid", c->id);
	char proc[64];
	struct obuf b = OBUF_INIT;
	int pid = 0;

	if (path && !ofile_read(AT_FDCWD, path, 32, &b))
		pid = atoi(obuf_cstr(&b));
	obuf_reset(&b);
	snprintf(proc, sizeof(proc), "/proc/%d/cmdline", pid);
	if (pid <= 1 || ofile_read(AT_FDCWD, proc, 65536, &b) || !b.len || !memmem(b.data, b.len, c->id, OCI_ID_LEN))
		pid = 0;
	obuf_done(&b);
	return pid;
}

bool monitor_dead(struct oci *o, const struct container *c)
{
	cleanup_free char *path = path_of(o, "containers/%s/conmon.pid", c->id);

	return path && !access(path, F_OK) && !monitor_pid(o, c);
}

/* Field 6 of its stat; 0: it is gone. */
static int session_of(int pid)
{
	char path[48];
	struct obuf b = OBUF_INIT;
	int session = 0;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	/* state, parent, group, session */
	if (!ofile_read(AT_FDCWD, path, 4096, &b) && (p = strrchr(b.data, ')')) && sscanf(p + 1, " %*c %*d %*d %d", &session) != 1)
		session = 0;
	obuf_done(&b);
	return session;
}

/* Of its children `create` is in its session; a container's first process begins one of its own. */
static bool makes(int pid)
{
	char path[64];
	struct obuf b = OBUF_INIT;
	bool does = true;
	char *p;
	char *end;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	if (!ofile_read(AT_FDCWD, path, 65536, &b)) {
		int child;

		does = false;
		for (p = b.len ? b.data : NULL; p && (child = (int)strtol(p, &end, 10)) > 0; p = end)
			does |= session_of(child) == session_of(pid);
	}
	obuf_done(&b);
	return does;
}

/* How often it has slept, if it sleeps; 0: it does not. */
static uint64_t slept(int pid)
{
	char path[48];
	struct obuf b = OBUF_INIT;
	const char *state;
	const char *p;
	uint64_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (!ofile_read(AT_FDCWD, path, 65536, &b) && (state = strstr(b.data, "\nState:\tS")) && (p = strstr(state, "\nvoluntary_ctxt_switches:")))
		n = strtoull(p + 25, NULL, 10) + 1;
	obuf_done(&b);
	return n;
}

bool monitor_stuck(struct oci *o, const struct container *c, uint64_t *seen)
{
	int pid = monitor_pid(o, c);
	uint64_t was = *seen;

	*seen = pid && !makes(pid) ? slept(pid) : 0;
	return *seen && *seen == was;
}

void monitor_watch(struct oci *o, struct container *c)
{
	int pid = monitor_pid(o, c);
	int fd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	c->o = o;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			return;		/* then its end is seen by the exit file alone */
		container_check_exit(o, c);
		if (c->state != OCI_EXITED)
			lost(o, c);
		return;
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	c->mon_fd = fd;
	if (o->h->fd_watch(o->h, fd, ORLOP_FD_READ, monitor_ended, c, &c->mon_watch))
		c->mon_watch = NULL;
}

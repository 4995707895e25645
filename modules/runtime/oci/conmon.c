/*
 * conmon.c - conmon is started for a container that is being made, and says on its sync pipe what became of it.
 */
#include "create.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define LOOK_NS		1000000000ull

/* conmon makes the container, and itself a daemon; what was started is its first process. */
int conmon_start(struct create_job *j)
{
	struct oci *o = j->o;
	cleanup_free char *pidfile = omem_printf("%s/pid", j->dir);
	cleanup_free char *conmon_pid = omem_printf("%s/conmon.pid", j->dir);
	cleanup_free char *exits = path_of(o, "exits");
	cleanup_free char *run = path_of(o, "run");
	cleanup_free char *log = omem_printf("k8s-file:%s", *j->log ? j->log : "/dev/null");
	const char *argv[40];
	const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "_OCI_SYNCPIPE=3",
		j->sealed && j->shelter >= 0 ? RUNTIME_SEALED : NULL, NULL,
	};
	int sync[2];
	int fd;
	int n = 0;
	int e;

	if (!pidfile || !conmon_pid || !exits || !run || !log)
		return orlop_fail(&j->err, ENOMEM, 0, "", "no memory");
	argv[n++] = o->conmon;
	argv[n++] = "--api-version";
	argv[n++] = "1";
	argv[n++] = "-c";
	argv[n++] = j->id;
	argv[n++] = "-u";
	argv[n++] = j->id;
	argv[n++] = "-r";
	argv[n++] = j->rt->program;
	argv[n++] = "-b";
	argv[n++] = j->dir;
	argv[n++] = "-p";
	argv[n++] = pidfile;
	argv[n++] = "-P";
	argv[n++] = conmon_pid;
	argv[n++] = "-l";
	argv[n++] = log;
	argv[n++] = "--exit-dir";
	argv[n++] = exits;
	argv[n++] = "--persist-dir";
	argv[n++] = j->rw;	/* there it notes that memory was short: the machine's restart forgets what is in the bundle */
	argv[n++] = "--runtime-arg";
	argv[n++] = "--root";
	argv[n++] = "--runtime-arg";
	argv[n++] = run;
	argv[n++] = "--full-attach";
	argv[n++] = "--no-sync-log";
	argv[n++] = "--no-new-keyring";
	argv[n++] = "--log-level";
	argv[n++] = "error";
	if (j->tty)
		argv[n++] = "-t";
	if (j->in) {
		argv[n++] = "-i";
		if (j->leave_in)
			argv[n++] = "--leave-stdin-open";
	}
	argv[n] = NULL;
	if (pipe2(sync, O_CLOEXEC))
		return orlop_fail(&j->err, errno, 0, "", "pipe for conmon");
	(void)fcntl(sync[0], F_SETFL, O_NONBLOCK);
	j->sync_fd = sync[0];
	/* not 3 already: then it would stay close-on-exec */
	fd = fcntl(sync[1], F_DUPFD_CLOEXEC, 4);
	j->started = fd >= 0;
	/* in the bundle: it leaves a file where it stands when memory was short */
	e = fd < 0 ? orlop_fail(&j->err, errno, 0, "", "pipe for conmon") : proc_here(o, j->rt, j->shelter, j->dir, argv, env, &fd, 1, NULL, &j->err);
	close(sync[1]);
	if (fd >= 0)
		close(fd);
	return e == -EIO ? 0 : e;	/* it ended badly: what it has said, or not, tells */
}

/* runc's line without its logger's frame and its own preface: what was wrong. */
static const char *runtime_words(const char *said, char *buf, size_t size)
{
	static const char *const prefaces[] = { "runc create failed: ", "unable to start container process: " };
	const char *p = strstr(said, " msg=\"");
	size_t n = 0;
	size_t i;

	if (strncmp(said, "time=", 5) != 0 || !p)
		return said;
	for (p += 6; *p && *p != '"' && n + 1 < size; p++) {
		if (*p == '\\' && p[1])
			p++;
		buf[n++] = *p;
	}
	buf[n] = '\0';
	said = buf;
	for (i = 0; i < sizeof(prefaces) / sizeof(prefaces[0]); i++)
		if (!strncmp(said, prefaces[i], strlen(prefaces[i])))
			said += strlen(prefaces[i]);
	return said;
}

/*
 * The OCI runtime does not want it. To CRI's users that is no failed creation: engines call it when
 * a container is started, so it is kept and says so then.
 */
static void refused(struct create_job *j, const char *said)
{
	char plain[600];
	const char *msg = runtime_words(said, plain, sizeof(plain));
	const char *end = strchr(msg, '\n');
	int len = (int)(end ? end - msg : (ssize_t)strlen(msg));
	const char *at = strstr(msg, "executable file `");
	char why[300];

	/* crun's words for what everybody knows in runc's */
	if (at && strchr(at + 17, '`')) {
		char name[128];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 17, "`"), at + 17);
		exec_words(name, strstr(at, "ermission") ? -EACCES : -ENOENT, why, sizeof(why));
	} else {
		snprintf(why, sizeof(why), "%.*s", len > 280 ? 280 : len, msg);
	}
	j->c->start_error = omem_printf("failed to create containerd task: failed to create shim task: OCI runtime create failed: "
					"%s create failed: unable to start container process: %s: unknown",
					j->c->rt->is_crun ? "crun" : "runc", why);
	if (j->c->start_error) {
		create_finish(j);
	} else {
		orlop_fail(&j->err, ENOMEM, 0, "", "no memory");
		create_fail(j);
	}
}

/* conmon says {"data": PID} or {"data": -1, "message": …}, then closes. */
static void sync_readable(void *arg, int32_t fd, uint32_t events)
{
	struct create_job *j = arg;
	cleanup_ojson struct ojson *said = NULL;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));
	int64_t pid;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		obuf_append(&j->sync, buf, (size_t)n);
		if (j->sync.len < 65536 && !memchr(j->sync.data, '\n', j->sync.len))
			return;
	}
	j->o->h->fd_unwatch(j->sync_watch);
	j->sync_watch = NULL;
	if (!j->sync.len || ojson_parse(j->sync.data, j->sync.len, &said, NULL)) {
		orlop_fail(&j->err, EIO, 0, "", "conmon ended without telling a container");
		create_fail(j);
		return;
	}
	pid = ojson_get_i64(said, "data", ojson_get_i64(said, "pid", -1));
	if (pid <= 0) {
		refused(j, ojson_get_cstr(said, "message", "no reason given"));
		return;
	}
	j->c->pid = (int)pid;
	create_finish(j);
}

/*
 * What conmon starts inherits its end of the pipe: that conmon was killed does not show there. Nor that `create` was, when
 * it had made a first process: conmon reads what was said to stderr, and that process has it open and waits for its start.
 */
static void conmon_look(void *arg)
{
	struct create_job *j = arg;

	if (!j->sync_watch)
		return;
	if (monitor_dead(j->o, j->c))
		orlop_fail(&j->err, EIO, 0, "", "conmon ended without telling a container");
	else if (monitor_stuck(j->o, j->c, &j->slept))
		orlop_fail(&j->err, EIO, 0, "", "%s was killed while it made the container", j->rt->is_crun ? "crun" : "runc");
	else
		return;
	create_fail(j);
}

int conmon_watch(struct create_job *j)
{
	struct oci *o = j->o;
	int e = o->h->fd_watch(o->h, j->sync_fd, ORLOP_FD_READ, sync_readable, j, &j->sync_watch);

	if (e)
		return orlop_fail(&j->err, -e, 0, "", "conmon cannot be watched");
	if (!o->h->timer_new(o->h, conmon_look, j, &j->timer))
		o->h->timer_set(j->timer, LOOK_NS, LOOK_NS);
	return 0;
}

/*
 * daemon.c - the orlopd of a data directory: its lock, its start.
 */
#include "daemon.h"

#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/ofile.h"

extern char **environ;

char *daemon_config(const struct setup *s)
{
	return s->config ? omem_strdup(s->config) : setup_path(s, "orlop.conf");
}

int daemon_lock(const struct setup *s, int *ret_fd, struct orlop_error *err)
{
	cleanup_free char *path = setup_path(s, "lock");
	cleanup_close int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;

	*ret_fd = -1;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "%s: %s", path ? path : "lock", strerrordesc_np(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return orlop_fail(err, EBUSY, 0, "", "orlopd runs on %s", s->dir);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

pid_t daemon_pid(const struct setup *s)
{
	cleanup_free char *path = setup_path(s, "lock");
	char buf[32];
	ssize_t n;
	int fd;
	int r = daemon_lock(s, &fd, NULL);

	if (r == 0 && fd >= 0)
		(void)close(fd);
	if (r != -EBUSY)
		return r == -EACCES ? 0 : r;
	fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return -EBUSY;
	buf[n] = '\0';
	return (pid_t)strtol(buf, NULL, 10);
}

/* ---- starting --------------------------------------------------------------------------------- */

/* The last "orlopd: …" that the log got since @from: why it did not start. */
static void last_words(int log_fd, off_t from, char *buf, size_t size)
{
	char text[16384];
	off_t end = lseek(log_fd, 0, SEEK_END);
	ssize_t n;
	char *at;
	char *found = NULL;

	if (end - from > (off_t)sizeof(text) - 1)
		from = end - (off_t)sizeof(text) + 1;
	n = pread(log_fd, text, sizeof(text) - 1, from);
	text[n > 0 ? n : 0] = '\0';
	for (at = text; (at = strstr(at, "orlopd: ")); at += 8)
		if (at == text || at[-1] == '\n')
			found = at + 8;
	if (found) {
		found[strcspn(found, "\n")] = '\0';
		snprintf(buf, size, "%s", found);
	}
}

/* Did uplink log a connection since @from? */
static bool connected(int log_fd, off_t from)
{
	char text[16384];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, from);

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "module=uplink event=connected") != NULL;
}

/* The last reason that uplink logged since @from: why the API server to join is not reached. */
static void last_uplink(int log_fd, off_t from, char *buf, size_t size)
{
	char text[16384];
	off_t end = lseek(log_fd, 0, SEEK_END);
	ssize_t n;
	char *found = NULL;

	if (end - from > (off_t)sizeof(text) - 1)
		from = end - (off_t)sizeof(text) + 1;
	n = pread(log_fd, text, sizeof(text) - 1, from);
	text[n > 0 ? n : 0] = '\0';
	for (char *at = text; (at = strstr(at, "module=uplink event=")); at++) {
		char *eol = at + strcspn(at, "\n");
		char *why = strstr(at, "why=\"");

		if (why && why < eol)
			found = why + 5;
	}
	if (found) {
		found[strcspn(found, "\"\n")] = '\0';
		snprintf(buf, size, "%s", found);
	}
}

/* What we were started with (somebody's pipe, a lock) is not for a daemon to hold. */
static void keep_to_ourselves(void)
{
	cleanup_dir DIR *dp = opendir("/proc/self/fd");
	struct dirent *d;

	while (dp && (d = readdir(dp))) {
		int fd = atoi(d->d_name);

		if (fd > 2)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
}

static int spawn(const struct setup *s, const struct place *p, int log_fd, int ready_fd, pid_t *ret_pid)
{
	cleanup_free char *config = daemon_config(s);
	char *argv[] = { p->orlopd, (char[]){ "--foreground" }, (char[]){ "--config" }, config,
			 (char[]){ "--ready-fd" }, (char[]){ "3" }, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	sigset_t all;
	int high = fcntl(ready_fd, F_DUPFD_CLOEXEC, 10);
	int high_log = fcntl(log_fd, F_DUPFD_CLOEXEC, 10);
	int r = config && high >= 0 && high_log >= 0 ? 0 : ENOMEM;

	keep_to_ourselves();
	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&attr);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, high_log, 1);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, high_log, 2);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, high, 3);
	/* Whatever directory we stand in, the daemon should not hold it. */
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(&fa, "/");
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	if (r == 0)
		r = posix_spawn(ret_pid, p->orlopd, &fa, &attr, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&attr);
	if (high >= 0)
		(void)close(high);
	if (high_log >= 0)
		(void)close(high_log);
	return -r;
}

/* 0: READY came; -EPIPE: it ended; -ETIMEDOUT. */
static int await_ready(int fd, int64_t timeout_ms)
{
	int64_t until = mono_ms() + timeout_ms;
	char buf[16];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - mono_ms();
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;
		ssize_t n;

		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno == EINTR)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n > 0)
			return 0;
		if (n == 0 || errno != EINTR)
			return -EPIPE;
	}
}

static void end_child(pid_t pid, bool ask)
{
	int64_t until = mono_ms() + 10000;

	if (ask)
		(void)kill(pid, SIGTERM);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		struct timespec ts = { 0, 10000000 };

		if (mono_ms() > until)
			(void)kill(pid, SIGKILL);
		(void)nanosleep(&ts, NULL);
	}
}

int daemon_start(const struct setup *s, const struct place *p, int64_t timeout_s, pid_t *ret_pid,
		 struct orlop_error *err)
{
	cleanup_free char *dir = setup_path(s, "log");
	cleanup_free char *path = setup_path(s, "log/orlopd.log");
	cleanup_close int log_fd = -1;
	cleanup_close int ready = -1;
	int fds[2];
	char why[300] = "it says nothing";
	off_t from;
	pid_t pid;
	int r = dir && path ? ofile_mkdir_p(dir, 0700) : -ENOMEM;

	if (r == 0) {
		log_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		r = log_fd < 0 || pipe2(fds, O_CLOEXEC) < 0 ? -errno : 0;
	}
	if (r)
		return orlop_fail(err, -r, 0, "", "%s/log/orlopd.log: %s", s->dir, strerrordesc_np(-r));
	ready = fds[0];
	from = lseek(log_fd, 0, SEEK_END);
	r = spawn(s, p, log_fd, fds[1], &pid);
	(void)close(fds[1]);
	if (r)
		return orlop_fail(err, -r, 0, "", "cannot start %s: %s", p->orlopd, strerrordesc_np(-r));
	r = await_ready(ready, timeout_s * 1000);
	if (r == 0) {
		*ret_pid = pid;
		if (s->join && !s->config && !connected(log_fd, from)) {
			last_uplink(log_fd, from, why, sizeof(why));
			fprintf(stderr, "orlop: the API server of %s is not reached yet (%s); orlopd goes on trying\n", s->join, why);
		}
		return 0;
	}
	end_child(pid, r == -ETIMEDOUT);
	last_words(log_fd, from, why, sizeof(why));
	if (r == -ETIMEDOUT && s->join) {
		last_uplink(log_fd, from, why, sizeof(why));
		return orlop_fail(err, ETIMEDOUT, 0, "", "the API server of %s was not reached within %lld s: %s", s->join,
				  (long long)timeout_s, why);
	}
	if (r == -ETIMEDOUT)
		return orlop_fail(err, ETIMEDOUT, 0, "", "orlopd was not ready after %lld s and was ended; see %s",
				  (long long)timeout_s, path);
	return orlop_fail(err, EIO, 0, "", "orlopd does not start: %s", why);
}

int daemon_exec(const struct setup *s, const struct place *p, struct orlop_error *err)
{
	cleanup_free char *config = daemon_config(s);
	char *argv[] = { p->orlopd, (char[]){ "--foreground" }, (char[]){ "--config" }, config, NULL };

	if (!config)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	(void)execv(p->orlopd, argv);
	return orlop_fail(err, errno, 0, "", "cannot start %s: %s", p->orlopd, strerrordesc_np(errno));
}

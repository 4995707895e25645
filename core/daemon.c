/*
 * daemon.c - lock, background, readiness.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

static long lock_owner(int fd)
{
	char buf[32];
	long pid = 0;
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	if (n > 0) {
		buf[n] = '\0';
		pid = strtol(buf, NULL, 10);
	}
	return pid;
}

/* Has it ended, but for what the kernel still takes from it? One whose first thread is a zombie may have others. */
static bool has_ended(long pid)
{
	cleanup_close int fd = -1;
	char path[32];
	char buf[256];
	const char *end;
	ssize_t n;

	if (pid <= 0)
		return false;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	end = strrchr(buf, ')');
	return end && end[1] && (end[2] == 'Z' || end[2] == 'X');
}

int core_daemon_lock(const char *dir, int *ret_fd, struct orlop_error *err)
{
	cleanup_free char *path = omem_printf("%s/lock", dir);
	cleanup_free char *pid_path = omem_printf("%s/orlopd.pid", dir);
	cleanup_close int fd = -1;
	char buf[32];
	int n;
	int r;

	if (!path || !pid_path)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	r = ofile_mkdir_p(dir, 0700);
	if (r)
		return orlop_fail(err, -r, 0, "", "data directory %s: %s", dir, strerrordesc_np(-r));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	/* One that was killed a moment ago: a thread of it, or a child it forked and that calls exec yet, has the lock. */
	for (n = 0; (r = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && n < 200 && has_ended(lock_owner(fd)); n++)
		(void)poll(NULL, 0, 10);
	if (r < 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return orlop_fail(err, errno, 0, "", "lock %s: %s", path, strerrordesc_np(errno));
		return orlop_fail(err, EBUSY, 0, "", "another orlopd (pid %ld) uses %s", lock_owner(fd), dir);
	}
	n = snprintf(buf, sizeof(buf), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, buf, (size_t)n, 0) != n)
		return orlop_fail(err, errno, 0, "", "%s: %s", path, strerrordesc_np(errno));
	r = ofile_write(AT_FDCWD, pid_path, buf, (size_t)n, 0644);
	if (r)
		return orlop_fail(err, -r, 0, "", "%s: %s", pid_path, strerrordesc_np(-r));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void core_daemon_unlock(const char *dir, int fd)
{
	cleanup_free char *pid_path = omem_printf("%s/orlopd.pid", dir);

	if (fd < 0)
		return;
	if (pid_path)
		(void)unlink(pid_path);
	/* The lock file stays: removing it would let two daemons lock two files of one name. */
	(void)close(fd);
}

static void first_process(const sigset_t *all, pid_t child) __attribute__((noreturn));

static void first_process(const sigset_t *all, pid_t child)
{
	for (;;) {
		int sig = sigwaitinfo(all, NULL);
		int status;
		pid_t pid;

		if (sig > 0 && sig != SIGCHLD)
			(void)kill(child, sig);
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == child)
				_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
}

int core_daemon_first(void)
{
	sigset_t all;
	sigset_t was;
	pid_t pid;
	int e;

	if (getpid() != 1)
		return 0;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &was);
	pid = fork();
	e = errno;
	if (pid > 0) {
		(void)close_range(3, ~0u, 0);	/* who waits for the daemon at the other end of one sees its end */
		first_process(&all, pid);
	}
	/* What a terminal or timeout(1) sends to our group comes once, handed on: the second SIGINT ends without order. */
	if (pid == 0)
		(void)setpgid(0, 0);
	(void)sigprocmask(SIG_SETMASK, &was, NULL);
	return pid < 0 ? -e : 0;
}

int core_daemon_background(int *ret_fd)
{
	int fds[2];
	char buf[16];
	pid_t pid;
	int status;
	int fd;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid > 0) {
		ssize_t n;

		(void)close(fds[1]);
		do {
			n = read(fds[0], buf, sizeof(buf));
		} while (n < 0 && errno == EINTR);
		if (n > 0)
			_exit(0);
		/* It ended without a word of readiness; its own words are on stderr. */
		if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status))
			_exit(WEXITSTATUS(status));
		_exit(1);
	}
	(void)close(fds[0]);
	(void)setsid();
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		(void)dup2(fd, 0);
		(void)dup2(fd, 1);
		if (fd > 2)
			(void)close(fd);
	}
	*ret_fd = fds[1];
	return 0;
}

void core_daemon_notify(const char *notify, const char *text)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n;
	int fd;

	if (!notify || (notify[0] != '/' && notify[0] != '@'))
		return;
	n = strlen(notify);
	if (n >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, notify, n);
	if (notify[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody waits for it but systemd; if that is gone nobody does. */
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&un,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)close(fd);
}

void core_daemon_ready(int fd, const char *notify)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld\n", (long)getpid());
	core_daemon_notify(notify, text);
	if (fd < 0)
		return;
	(void)!write(fd, "READY\n", 6);
	(void)close(fd);
}

/*
 * proc.c - processes of this machine, by /proc and pidfds.
 */
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

int64_t mono_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int read_of(pid_t pid, const char *file, struct obuf *b)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
	return ofile_read(AT_FDCWD, path, 65536, b);
}

/* The text before field @n (from 3 on) of stat; NULL if there is none. */
static const char *stat_field(const struct obuf *b, int n)
{
	const char *p = b->data ? strrchr(b->data, ')') : NULL;

	for (int i = 2; p && i < n; i++)
		p = strchr(p + 1, ' ');
	return p && *p ? p + 1 : NULL;
}

uint64_t proc_start_time(pid_t pid)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *state;
	const char *start;

	if (pid <= 0 || read_of(pid, "stat", &b))
		return 0;
	state = stat_field(&b, 3);
	start = stat_field(&b, 22);
	if (!state || !start || *state == 'Z' || *state == 'X')
		return 0;
	return strtoull(start, NULL, 10);
}

pid_t proc_parent(pid_t pid)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *p;

	if (read_of(pid, "stat", &b))
		return 0;
	p = stat_field(&b, 4);
	return p ? (pid_t)strtol(p, NULL, 10) : 0;
}

int proc_each(proc_fn fn, void *arg)
{
	cleanup_dir DIR *dp = opendir("/proc");
	struct dirent *d;
	int r = 0;

	if (!dp)
		return -errno;
	while (r == 0 && (d = readdir(dp)))
		if (isdigit((unsigned char)d->d_name[0]))
			r = fn(arg, (pid_t)strtol(d->d_name, NULL, 10));
	return r;
}

int proc_cmdline(pid_t pid, char *buf, size_t size, size_t *ret_len)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = read_of(pid, "cmdline", &b);

	if (r)
		return r;
	*ret_len = b.len < size - 1 ? b.len : size - 1;
	if (*ret_len)
		memcpy(buf, b.data, *ret_len);
	buf[*ret_len] = '\0';
	return 0;
}

int proc_comm(pid_t pid, char *buf, size_t size)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = read_of(pid, "comm", &b);

	if (r)
		return r;
	snprintf(buf, size, "%s", obuf_cstr(&b));
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

uint64_t proc_rss_kb(pid_t pid)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	const char *p;

	if (read_of(pid, "status", &b))
		return 0;
	p = strstr(obuf_cstr(&b), "\nVmRSS:");
	return p ? strtoull(p + 7, NULL, 10) : 0;
}

struct tree {
	pid_t		root;
	uint64_t	kb;
};

static int tree_add(void *arg, pid_t pid)
{
	struct tree *t = arg;
	char comm[32] = "";

	(void)proc_comm(pid, comm, sizeof(comm));
	if (strcmp(comm, "conmon") == 0)
		return 0;
	for (pid_t p = pid; p > 1; p = proc_parent(p)) {
		if (p != t->root)
			continue;
		t->kb += proc_rss_kb(pid);
		break;
	}
	return 0;
}

uint64_t proc_tree_rss_kb(pid_t pid)
{
	struct tree t = { pid, 0 };

	(void)proc_each(tree_add, &t);
	return t.kb;
}

int proc_open(pid_t pid, uint64_t start)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	if (start && proc_start_time(pid) != start) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd;
}

int proc_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int proc_wait(int pidfd, int64_t timeout_ms)
{
	int64_t until = mono_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int64_t left = until - mono_ms();
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

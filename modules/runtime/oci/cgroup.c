/*
 * cgroup.c - which cgroups this machine has, and removing those that are left empty.
 *
 * v2: one hierarchy. v1 and hybrid: the controllers are v1; crun before 1.9 refuses when it sees
 * the v2 mount beside them, so oci-pause hides it in a mount namespace of its own
 * (libraries.md measured it; `crun --version` is not trusted, hiding never hurts).
 *
 * Moving a process takes a lock that is free for readers (fork, exit); when nobody moved one for a
 * while, its first writer waits for an RCU grace period, 12 of the 30 ms that a container took to be
 * made. cgroup_warm() is such a writer, which moves nothing, while the rest is being prepared.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/ocleanup.h"
#include "base/ofile.h"

#define CGROUP_ROOT	"/sys/fs/cgroup"
#define KILL_ROUNDS	100
#define KILL_WAITED	256	/* for so many at once; the next round finds the others, if they are still there */
#define KILL_WAIT_MS	1000	/* what does not end of SIGKILL by then waits for a disk: nobody waits for it */

static bool is_cgroup2(const char *path)
{
	struct statfs st;

	return !statfs(path, &st) && (unsigned long)st.f_type == CGROUP2_SUPER_MAGIC;
}

static bool hugetlb_found(const struct oci *o)
{
	struct obuf b = OBUF_INIT;
	bool found = !access(CGROUP_ROOT "/hugetlb", F_OK);

	if (o->cgroups == OCI_CGROUPS_V2 && !ofile_read(AT_FDCWD, CGROUP_ROOT "/cgroup.controllers", 4096, &b))
		found = strstr(obuf_cstr(&b), "hugetlb") != NULL;
	obuf_done(&b);
	return found;
}

void cgroup_detect(struct oci *o)
{
	o->cgroups = is_cgroup2(CGROUP_ROOT) ? OCI_CGROUPS_V2 : OCI_CGROUPS_V1;
	o->hybrid = o->cgroups == OCI_CGROUPS_V1 && is_cgroup2(CGROUP_ROOT "/unified");
	o->hugetlb = hugetlb_found(o);
}

void cgroup_file(const struct oci *o, const char *controller, const char *cgroup, const char *file, char *buf, size_t size)
{
	if (o->cgroups == OCI_CGROUPS_V2)
		snprintf(buf, size, CGROUP_ROOT "%.3000s/%.100s", cgroup, file);
	else
		snprintf(buf, size, CGROUP_ROOT "/%.100s%.3000s/%.100s", controller, cgroup, file);
}

int cgroup_read(const struct oci *o, const char *controller, const char *cgroup, const char *file, struct obuf *out)
{
	char path[4096];

	cgroup_file(o, controller, cgroup, file, path, sizeof(path));
	obuf_reset(out);
	return ofile_read(AT_FDCWD, path, 65536, out);
}

int cgroup_write(const struct oci *o, const char *controller, const char *cgroup, const char *file, const char *text)
{
	char path[4096];

	cgroup_file(o, controller, cgroup, file, path, sizeof(path));
	return ofile_poke(AT_FDCWD, path, text, strlen(text));
}

static void warm_work(void *arg)
{
	struct oci *o = arg;
	struct obuf b = OBUF_INIT;
	char text[24];
	char path[4096];
	char *p;

	/* "9:name=systemd:/path" of the first hierarchy, or "0::/path": where we are already */
	if (!ofile_read(AT_FDCWD, "/proc/thread-self/cgroup", 65536, &b) && (p = strchr(b.data, ':'))) {
		char *name = p + 1;
		char *at = strchr(name, ':');

		if (at && o->cgroups == OCI_CGROUPS_V1 && at > name) {
			*at++ = '\0';
			at[strcspn(at, "\n")] = '\0';
			snprintf(path, sizeof(path), CGROUP_ROOT "/%.100s%.3000s/tasks",
				 !strncmp(name, "name=", 5) ? name + 5 : name, at);
			snprintf(text, sizeof(text), "%d", (int)gettid());
			(void)ofile_poke(AT_FDCWD, path, text, strlen(text));
		}
	}
	obuf_done(&b);
}

static void warm_done(void *arg)
{
	struct oci *o = arg;

	o->warming = false;
}

void cgroup_warm(struct oci *o)
{
	if (!o->warming && o->cgroups == OCI_CGROUPS_V1 && !o->h->work(o->h, 0, warm_work, warm_done, o))
		o->warming = true;
}

/* rmdir of a cgroup and what is below it; cgroups have no other files to remove. */
static int remove_tree(const char *path)
{
	cleanup_dir DIR *dp = opendir(path);
	struct dirent *d;
	char sub[4096];

	while (dp && (d = readdir(dp)))
		if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
		    (size_t)snprintf(sub, sizeof(sub), "%s/%s", path, d->d_name) < sizeof(sub))
			(void)remove_tree(sub);
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(const struct oci *o, const char *cgroup)
{
	cleanup_dir DIR *dp = NULL;
	struct dirent *d;
	char path[4096];
	int busy = 0;

	if (!*cgroup || strstr(cgroup, ".."))
		return 0;
	if (o->cgroups == OCI_CGROUPS_V2) {
		snprintf(path, sizeof(path), CGROUP_ROOT "/%s", cgroup);
		return remove_tree(path);
	}
	dp = opendir(CGROUP_ROOT);
	while (dp && (d = readdir(dp))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;	/* links like cpu → cpu,cpuacct are seen once */
		snprintf(path, sizeof(path), CGROUP_ROOT "/%.255s/%.3000s", d->d_name, cgroup);
		busy = remove_tree(path) ? -EBUSY : busy;
	}
	return busy;
}

/* Kills those in @list (numbers, one a line) and waits for their end. False: none of them ended. */
static bool kill_listed(const char *list)
{
	struct pollfd fds[KILL_WAITED];
	nfds_t n = 0;
	nfds_t left;
	bool ended = false;

	for (const char *p = list; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		int pid = atoi(p);
		int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

		if (fd < 0) {
			/* it was quicker, or there is no descriptor left to wait with */
			ended |= pid > 1 && (errno == ESRCH || !kill(pid, SIGKILL));
			continue;
		}
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		if (n < KILL_WAITED)
			fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		else
			(void)close(fd);
	}
	for (left = n; left && poll(fds, n, KILL_WAIT_MS) > 0;)
		for (nfds_t i = 0; i < n; i++)
			if (fds[i].fd >= 0 && fds[i].revents) {
				(void)close(fds[i].fd);
				fds[i].fd = -1;
				left--;
				ended = true;
			}
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd >= 0)
			(void)close(fds[i].fd);
	return ended;
}

/* Everything in a cgroup: what a container leaves behind in a PID namespace that it shares. */
void cgroup_kill(const struct oci *o, const char *cgroup)
{
	struct obuf b = OBUF_INIT;
	int round;

	/* who forks faster than we read is caught in a later round; v2 ends all at once */
	for (round = 0; round < KILL_ROUNDS; round++) {
		if (o->cgroups == OCI_CGROUPS_V2)
			(void)cgroup_write(o, "pids", cgroup, "cgroup.kill", "1");
		if (cgroup_read(o, "pids", cgroup, "cgroup.procs", &b) || !b.len || !kill_listed(obuf_cstr(&b)))
			break;
	}
	obuf_done(&b);
}

/*
 * cgset.c - cgroups made and limited, on either version. For workers.
 *
 * Which controllers a limit needs: the one that keeps the value. Where a hierarchy is missing on this
 * machine its limits are passed over, as container runtimes do.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/obuf.h"
#include "base/ocleanup.h"

#define ROOT	"/sys/fs/cgroup"

static const char *const hierarchies[] = {
	"cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "systemd",
};
#define N_HIERARCHIES (sizeof(hierarchies) / sizeof(hierarchies[0]))

static int fail(struct obuf *err, int e, const char *path)
{
	obuf_printf(err, "%s: %s", path, strerrordesc_np(e));
	return -e;
}

/* One value into a file of a cgroup. */
static int put(struct obuf *err, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int put(struct obuf *err, const char *path, const char *fmt, ...)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(err, errno, path);
	if (write(fd, text, (size_t)n) != n) {
		n = errno;
		obuf_printf(err, "%s to ", text);
		return fail(err, n, path);
	}
	return 0;
}

/* A new cpuset has neither CPUs nor memory nodes: those of its parent. */
static void cpuset_inherit(const char *dir)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char path[4200];
	char text[1024];
	size_t i;

	for (i = 0; i < 2; i++) {
		cleanup_close int from = -1;
		cleanup_close int to = -1;
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		to = open(path, O_RDWR | O_CLOEXEC);
		if (to < 0 || read(to, text, sizeof(text)) > 1)
			continue;
		snprintf(path, sizeof(path), "%s/../%s", dir, files[i]);
		from = open(path, O_RDONLY | O_CLOEXEC);
		n = from >= 0 ? read(from, text, sizeof(text)) : 0;
		if (n > 0)
			(void)!write(to, text, (size_t)n);
	}
}

/* Each directory of @cgroup below @base. */
static int make_below(const char *base, const char *cgroup, bool v2, struct obuf *err)
{
	char path[4096];
	size_t at = strlen(base);
	size_t i;

	if (snprintf(path, sizeof(path), "%s%s", base, cgroup) >= (int)sizeof(path))
		return fail(err, ENAMETOOLONG, cgroup);
	for (i = at + 1;; i++) {
		char c = path[i];

		if (c && c != '/')
			continue;
		path[i] = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return fail(err, errno, path);
		if (!v2 && strstr(base, "/cpuset"))
			cpuset_inherit(path);
		if (v2 && c) {
			char sub[4200];

			/* what is given to children: only where processes are none, so failures are not ours */
			snprintf(sub, sizeof(sub), "%s/cgroup.subtree_control", path);
			for (size_t k = 0; k < 5; k++) {
				static const char *const on[] = { "+cpu", "+cpuset", "+memory", "+pids", "+io" };
				cleanup_close int fd = open(sub, O_WRONLY | O_CLOEXEC);

				if (fd >= 0)
					(void)!write(fd, on[k], strlen(on[k]));
			}
		}
		if (!c)
			return 0;
		path[i] = c;
	}
}

int cgroup_make(const char *cgroup, struct obuf *err)
{
	struct stat st;
	size_t i;
	int e = 0;

	if (cgroup_is_v2())
		return make_below(ROOT, cgroup, true, err);
	for (i = 0; i < N_HIERARCHIES && !e; i++) {
		char base[64];

		snprintf(base, sizeof(base), ROOT "/%s", hierarchies[i]);
		if (!stat(base, &st))
			e = make_below(base, cgroup, false, err);
	}
	return e;
}

uint64_t cgroup_weight(uint64_t shares)
{
	return shares < 2 ? 1 : 1 + (shares - 2) * 9999 / 262142;
}

static int set_v1(const char *cg, const struct cg_limits *l, struct obuf *err)
{
	char path[4096];
	char swap[4096];
	int e = 0;

	if (l->cpu_shares) {
		snprintf(path, sizeof(path), ROOT "/cpu%s/cpu.shares", cg);
		e = put(err, path, "%lld", (long long)l->cpu_shares);
	}
	if (!e && l->cpu_quota) {
		snprintf(path, sizeof(path), ROOT "/cpu%s/cpu.cfs_quota_us", cg);
		e = put(err, path, "%lld", (long long)l->cpu_quota);
	}
	if (!e && l->memory) {
		/* the one with swap may never be below the other: on the way up first that one */
		snprintf(path, sizeof(path), ROOT "/memory%s/memory.limit_in_bytes", cg);
		snprintf(swap, sizeof(swap), ROOT "/memory%s/memory.memsw.limit_in_bytes", cg);
		if (l->memory_swap) {
			struct obuf no = OBUF_INIT;

			e = put(&no, path, "%lld", (long long)l->memory);
			e = put(e ? &no : err, swap, "%lld", (long long)l->memory_swap);
			if (!e)
				e = put(err, path, "%lld", (long long)l->memory);
			obuf_done(&no);
		} else {
			e = put(err, path, "%lld", (long long)l->memory);
		}
	}
	if (!e && l->pids) {
		snprintf(path, sizeof(path), ROOT "/pids%s/pids.max", cg);
		e = l->pids < 0 ? put(err, path, "max") : put(err, path, "%lld", (long long)l->pids);
	}
	return e;
}

static int put_max(struct obuf *err, const char *path, int64_t v)
{
	return v < 0 ? put(err, path, "max") : put(err, path, "%lld", (long long)v);
}

static int set_v2(const char *cg, const struct cg_limits *l, struct obuf *err)
{
	char path[4096];
	int e = 0;

	if (l->cpu_shares) {
		snprintf(path, sizeof(path), ROOT "%s/cpu.weight", cg);
		e = put(err, path, "%llu", (unsigned long long)cgroup_weight((uint64_t)l->cpu_shares));
	}
	if (!e && l->cpu_quota) {
		snprintf(path, sizeof(path), ROOT "%s/cpu.max", cg);
		e = l->cpu_quota < 0 ? put(err, path, "max 100000") : put(err, path, "%lld 100000", (long long)l->cpu_quota);
	}
	if (!e && l->memory) {
		snprintf(path, sizeof(path), ROOT "%s/memory.max", cg);
		e = put_max(err, path, l->memory);
	}
	if (!e && l->memory_min) {
		snprintf(path, sizeof(path), ROOT "%s/memory.min", cg);
		e = put(err, path, "%lld", (long long)(l->memory_min < 0 ? 0 : l->memory_min));
	}
	if (!e && l->pids) {
		snprintf(path, sizeof(path), ROOT "%s/pids.max", cg);
		e = put_max(err, path, l->pids);
	}
	return e;
}

int cgroup_set(const char *cgroup, const struct cg_limits *l, struct obuf *err)
{
	return cgroup_is_v2() ? set_v2(cgroup, l, err) : set_v1(cgroup, l, err);
}

void cgroup_prune(const char *cgroup)
{
	cleanup_dir DIR *d = NULL;
	struct dirent *e;
	char path[4096];

	snprintf(path, sizeof(path), ROOT "/cpu%s", cgroup);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
}

void cgroup_remove(const char *cgroup)
{
	char path[4096];
	size_t i;

	if (cgroup_is_v2()) {
		snprintf(path, sizeof(path), ROOT "%s", cgroup);
		(void)rmdir(path);
		return;
	}
	for (i = 0; i < N_HIERARCHIES; i++) {
		snprintf(path, sizeof(path), ROOT "/%s%s", hierarchies[i], cgroup);
		(void)rmdir(path);
	}
}

/*
 * cgstat.c - how much a cgroup uses, read from its files. For workers: a look is a dozen small reads.
 *
 * Source: cadvisor container/libcontainer/handler.go (working set: usage without inactive file pages).
 */
#include "cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/ocleanup.h"

#define ROOT	"/sys/fs/cgroup"
#define TEXT	8192

bool cgroup_is_v2(void)
{
	struct statfs st;

	return !statfs(ROOT, &st) && (unsigned long)st.f_type == CGROUP2_SUPER_MAGIC;
}

/* A small file into @buf, NUL-terminated. False: cannot be read. */
static bool slurp(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool slurp(char *buf, size_t size, const char *fmt, ...)
{
	cleanup_close int fd = -1;
	char path[4096];
	size_t len = 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	buf[0] = '\0';
	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < size - 1) {
		ssize_t got = read(fd, buf + len, size - 1 - len);

		if (got < 0)
			return false;
		if (!got)
			break;
		len += (size_t)got;
	}
	buf[len] = '\0';
	return fd >= 0;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

/* The number behind "KEY " at the beginning of a line. */
static uint64_t line_of(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (*text) {
		const char *end = strchr(text, '\n');

		if (!strncmp(text, key, n) && (text[n] == ' ' || text[n] == ':'))
			return number(text + n + 1);
		if (!end)
			break;
		text = end + 1;
	}
	return 0;
}

static uint64_t pids_in(const char *text, int32_t *ret_pid)
{
	uint64_t n = 0;

	for (const char *p = text; *p; p++)
		n += *p == '\n';
	*ret_pid = (int32_t)strtol(text, NULL, 10);
	return n;
}

/* "max" and what v1 writes when there is none. */
static int64_t limit_of(const char *text)
{
	uint64_t v = strncmp(text, "max", 3) ? number(text) : UINT64_MAX;

	return v >= (UINT64_C(1) << 62) ? INT64_MAX : (int64_t)v;
}

static void machine_memory(struct cg_stat *s)
{
	char text[TEXT];

	if (!slurp(text, sizeof(text), "/proc/meminfo"))
		return;
	s->mem_limit = (int64_t)(line_of(text, "MemTotal") * 1024);
	s->mem_swap = (line_of(text, "SwapTotal") - line_of(text, "SwapFree")) * 1024;
	if (!s->mem_usage) {
		uint64_t inactive = line_of(text, "Inactive(file)") * 1024;

		s->mem_usage = (uint64_t)s->mem_limit - line_of(text, "MemFree") * 1024;
		s->mem_working_set = s->mem_usage > inactive ? s->mem_usage - inactive : 0;
		s->mem_rss = line_of(text, "AnonPages") * 1024;
		s->mem_cache = line_of(text, "Cached") * 1024;
		s->mem_mapped = line_of(text, "Mapped") * 1024;
	}
}

static void memory_v1(const char *cg, struct cg_stat *s)
{
	char text[TEXT];
	uint64_t inactive;

	if (!slurp(text, sizeof(text), ROOT "/memory%s/memory.usage_in_bytes", cg))
		return;
	s->mem_usage = number(text);
	(void)slurp(text, sizeof(text), ROOT "/memory%s/memory.stat", cg);
	inactive = line_of(text, "total_inactive_file");
	s->mem_working_set = s->mem_usage > inactive ? s->mem_usage - inactive : 0;
	s->mem_rss = line_of(text, "total_rss");
	s->mem_cache = line_of(text, "total_cache");
	s->mem_mapped = line_of(text, "total_mapped_file");
	s->mem_swap = line_of(text, "total_swap");
	s->pgfault = line_of(text, "total_pgfault");
	s->pgmajfault = line_of(text, "total_pgmajfault");
	if (slurp(text, sizeof(text), ROOT "/memory%s/memory.max_usage_in_bytes", cg))
		s->mem_max = number(text);
	if (slurp(text, sizeof(text), ROOT "/memory%s/memory.failcnt", cg))
		s->mem_failcnt = number(text);
	if (slurp(text, sizeof(text), ROOT "/memory%s/memory.limit_in_bytes", cg))
		s->mem_limit = limit_of(text);
	if (slurp(text, sizeof(text), ROOT "/memory%s/memory.oom_control", cg))
		s->oom_kills = line_of(text, "oom_kill");
}

static bool look_v1(const char *cg, struct cg_stat *s)
{
	char text[65536];

	if (!slurp(text, sizeof(text), ROOT "/cpuacct%s/cpuacct.usage", cg))
		return false;
	s->cpu_ns = number(text);
	if (slurp(text, sizeof(text), ROOT "/cpuacct%s/cpuacct.usage_user", cg))
		s->cpu_user_ns = number(text);
	if (slurp(text, sizeof(text), ROOT "/cpuacct%s/cpuacct.usage_sys", cg))
		s->cpu_system_ns = number(text);
	if (slurp(text, sizeof(text), ROOT "/cpu%s/cpu.stat", cg)) {
		s->cfs_periods = line_of(text, "nr_periods");
		s->cfs_throttled = line_of(text, "nr_throttled");
		s->cfs_throttled_ns = line_of(text, "throttled_time");
	}
	memory_v1(cg, s);
	if (*cg && slurp(text, sizeof(text), ROOT "/pids%s/pids.current", cg))
		s->pids = number(text);
	if (*cg && slurp(text, sizeof(text), ROOT "/cpuacct%s/cgroup.procs", cg))
		s->processes = pids_in(text, &s->pid);
	return true;
}

static bool look_v2(const char *cg, struct cg_stat *s)
{
	char text[65536];
	uint64_t inactive;

	if (!slurp(text, sizeof(text), ROOT "%s/cpu.stat", cg))
		return false;
	s->cpu_ns = line_of(text, "usage_usec") * 1000;
	s->cpu_user_ns = line_of(text, "user_usec") * 1000;
	s->cpu_system_ns = line_of(text, "system_usec") * 1000;
	s->cfs_periods = line_of(text, "nr_periods");
	s->cfs_throttled = line_of(text, "nr_throttled");
	s->cfs_throttled_ns = line_of(text, "throttled_usec") * 1000;
	if (slurp(text, sizeof(text), ROOT "%s/memory.current", cg))
		s->mem_usage = number(text);
	if (slurp(text, sizeof(text), ROOT "%s/memory.stat", cg)) {
		inactive = line_of(text, "inactive_file");
		s->mem_rss = line_of(text, "anon");
		s->mem_cache = line_of(text, "file");
		s->mem_mapped = line_of(text, "file_mapped");
		s->pgfault = line_of(text, "pgfault");
		s->pgmajfault = line_of(text, "pgmajfault");
		if (!*cg)
			s->mem_usage = s->mem_rss + s->mem_cache;
		s->mem_working_set = s->mem_usage > inactive ? s->mem_usage - inactive : 0;
	}
	if (slurp(text, sizeof(text), ROOT "%s/memory.swap.current", cg))
		s->mem_swap = number(text);
	if (slurp(text, sizeof(text), ROOT "%s/memory.peak", cg))
		s->mem_max = number(text);
	if (slurp(text, sizeof(text), ROOT "%s/memory.max", cg))
		s->mem_limit = limit_of(text);
	if (slurp(text, sizeof(text), ROOT "%s/memory.events", cg)) {
		s->mem_failcnt = line_of(text, "max");
		s->oom_kills = line_of(text, "oom_kill");
	}
	if (*cg && slurp(text, sizeof(text), ROOT "%s/pids.current", cg))
		s->pids = number(text);
	if (*cg && slurp(text, sizeof(text), ROOT "%s/cgroup.procs", cg))
		s->processes = pids_in(text, &s->pid);
	return true;
}

void cgroup_stat(const char *cgroup, struct cg_stat *s)
{
	const char *cg = strcmp(cgroup, "/") ? cgroup : "";
	struct timespec ts;

	memset(s, 0, sizeof(*s));
	s->mem_limit = INT64_MAX;
	clock_gettime(CLOCK_REALTIME, &ts);
	s->time_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	s->ok = cgroup_is_v2() ? look_v2(cg, s) : look_v1(cg, s);
	if (!*cg) {
		s->pid = 1;
		machine_memory(s);
	}
}

uint32_t cgroup_net(int32_t pid, const char *without, struct cg_net_if *v, uint32_t max)
{
	char text[TEXT];
	char *line;
	char *save = NULL;
	uint32_t n = 0;

	if (pid <= 0 || !slurp(text, sizeof(text), "/proc/%d/net/dev", pid))
		return 0;
	for (line = strtok_r(text, "\n", &save); line && n < max; line = strtok_r(NULL, "\n", &save)) {
		struct cg_net_if *i = &v[n];
		unsigned long long f[12];
		char name[32];

		if (sscanf(line, " %31[^:]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", name, &f[0], &f[1],
			   &f[2], &f[3], &f[4], &f[5], &f[6], &f[7]) != 9 || !strcmp(name, "lo") ||
		    (*without && !strncmp(name, without, strlen(without))))
			continue;
		memset(i, 0, sizeof(*i));
		snprintf(i->name, sizeof(i->name), "%.15s", name);
		i->rx_bytes = f[0];
		i->rx_packets = f[1];
		i->rx_errors = f[2];
		i->rx_dropped = f[3];
		i->tx_bytes = f[4];
		i->tx_packets = f[5];
		i->tx_errors = f[6];
		i->tx_dropped = f[7];
		n++;
	}
	return n;
}

void fs_stat(const char *path, struct cg_fs *ret)
{
	struct statvfs fs;

	memset(ret, 0, sizeof(*ret));
	if (statvfs(path, &fs))
		return;
	ret->ok = true;
	ret->capacity = (uint64_t)fs.f_blocks * fs.f_frsize;
	ret->available = (uint64_t)fs.f_bavail * fs.f_frsize;
	ret->used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	ret->inodes = fs.f_files;
	ret->inodes_free = fs.f_ffree;
	ret->inodes_used = fs.f_files - fs.f_ffree;
}

static void usage_at(int dirfd, dev_t dev, uint64_t *bytes, uint64_t *inodes, int depth)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;
	struct stat st;

	if (!d) {
		close(dirfd);
		return;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != dev)
			continue;
		/* a file with several names counts once, like du, but without its table: a part for each name */
		*bytes += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || st.st_nlink < 1 ? 1 : st.st_nlink);
		(*inodes)++;
		if (S_ISDIR(st.st_mode) && depth < 200) {
			int fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (fd >= 0)
				usage_at(fd, dev, bytes, inodes, depth + 1);
		}
	}
	closedir(d);
}

void fs_usage(const char *path, uint64_t *bytes, uint64_t *inodes)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st)) {
		close(fd);
		return;
	}
	*bytes += (uint64_t)st.st_blocks * 512;
	(*inodes)++;
	usage_at(fd, st.st_dev, bytes, inodes, 0);
}

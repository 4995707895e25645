/*
 * statread.c - a taking's reading: cgroups, interfaces, disks. On a worker.
 */
#include "stats.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/ofile.h"

static uint64_t file_number(const char *path)
{
	struct obuf b = OBUF_INIT;
	uint64_t v = 0;

	if (!ofile_read(AT_FDCWD, path, 256, &b))
		v = strtoull(obuf_cstr(&b), NULL, 10);
	obuf_done(&b);
	return v;
}

/* This process has no cgroup of its own. */
static void read_self(struct stats *s)
{
	struct cg_stat *c = &s->self;
	struct timespec ts;
	struct rusage ru;
	struct obuf b = OBUF_INIT;
	unsigned long long size = 0;
	unsigned long long rss = 0;

	clock_gettime(CLOCK_REALTIME, &ts);
	c->time_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	c->ok = !getrusage(RUSAGE_SELF, &ru);
	c->cpu_ns = (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000ull +
		    (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000ull;
	c->pgfault = (uint64_t)ru.ru_minflt;
	c->pgmajfault = (uint64_t)ru.ru_majflt;
	c->mem_limit = INT64_MAX;
	c->pid = 0;
	if (!ofile_read(AT_FDCWD, "/proc/self/statm", 256, &b) && sscanf(obuf_cstr(&b), "%llu %llu", &size, &rss) == 2) {
		c->mem_rss = rss * (uint64_t)sysconf(_SC_PAGESIZE);
		c->mem_usage = c->mem_rss;
		c->mem_working_set = c->mem_rss;
	}
	obuf_done(&b);
}

/* "R/T" threads in /proc/loadavg: runnable and all. */
static void read_pids(struct stats *s)
{
	struct obuf b = OBUF_INIT;
	const char *slash;
	uint64_t threads_max = file_number("/proc/sys/kernel/threads-max");

	s->max_pid = file_number("/proc/sys/kernel/pid_max");
	if (threads_max && threads_max < s->max_pid)
		s->max_pid = threads_max;
	if (!ofile_read(AT_FDCWD, "/proc/loadavg", 256, &b) && (slash = strchr(obuf_cstr(&b), '/')))
		s->cur_pid = strtoull(slash + 1, NULL, 10);
	obuf_done(&b);
}

static void read_node_net(struct stats *s)
{
	struct obuf b = OBUF_INIT;
	char *save = NULL;
	char *line;
	char *text;

	s->n_net = cgroup_net((int32_t)getpid(), "veth", s->net, CG_NET_MAX);
	if (!ofile_read(AT_FDCWD, "/proc/net/route", 65536, &b)) {
		text = obuf_steal(&b, NULL);
		for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
			char name[16];
			unsigned long dest;

			if (sscanf(line, "%15s %lx", name, &dest) == 2 && !dest && strcmp(name, "Iface")) {
				snprintf(s->net_default, sizeof(s->net_default), "%.15s", name);
				break;
			}
		}
		omem_free(text);
	}
	obuf_done(&b);
	if (!*s->net_default && s->n_net)
		snprintf(s->net_default, sizeof(s->net_default), "%.15s", s->net[0].name);
}

static void read_disks(struct stats_pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		fs_usage(p->ctrs[i].log_dir, &p->ctrs[i].logs.bytes, &p->ctrs[i].logs.inodes);
	for (i = 0; i < p->n_vols; i++) {
		struct stats_vol *v = &p->vols[i];

		fs_stat(v->dir, &v->fs);
		if (!v->fs.ok)
			continue;
		fs_usage(v->dir, &v->use.bytes, &v->use.inodes);
	}
}

static void read_pod(struct stats *s, struct stats_pod *p)
{
	uint32_t i;

	cgroup_stat(p->cgroup, &p->cg);
	for (i = 0; i < p->n_ctrs; i++) {
		cgroup_stat(p->ctrs[i].cgroup, &p->ctrs[i].cg);
		if (s->what & STATS_NET && !p->n_net && !p->host_network)
			p->n_net = cgroup_net(p->ctrs[i].cg.pid, "", p->net, CG_NET_MAX);
	}
	if (s->what & STATS_FS)
		read_disks(p);
}

void stats_read(struct stats *s)
{
	struct timespec wall;
	struct timespec up;
	uint32_t i;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &up);
	s->boot_ns = (int64_t)(wall.tv_sec - up.tv_sec) * 1000000000;
	cgroup_stat("/", &s->node);
	cgroup_stat(s->pods_cgroup, &s->all_pods);
	read_self(s);
	for (i = 0; i < s->n_pods; i++)
		read_pod(s, &s->pods[i]);
	if (s->what & STATS_NET)
		read_node_net(s);
	if (s->what & STATS_FS) {
		fs_stat(s->root, &s->fs);
		fs_stat(*s->image_dir ? s->image_dir : s->root, &s->image_fs);
		read_pids(s);
	}
}

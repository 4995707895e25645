/*
 * stats.c - what containers and pods use: cgroups (v1, v2, hybrid), writable layers, network counters.
 *
 * Asked on the loop, read on a worker from copies, answered on the loop. Walking a writable layer is
 * dear: its sum is kept for a while, as CRI engines do.
 */
#include "oci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

#define LAYER_KEEP_NS	10000000000ull
#define RATE_MIN_NS	1000000000ull	/* two readings nearer to each other make no rate */
#define DU_DEPTH	64

struct usage {
	bool		have_cpu, have_mem;
	uint64_t	at;		/* wall */
	uint64_t	cpu_ns;
	uint64_t	mem, working_set, rss, limit, faults, major_faults, swap;
	uint64_t	pids;
};

/* One thing to be measured: a container (dir set), or a pod (pid maybe set). */
struct target {
	char		id[OCI_ID_LEN + 1];
	char		*cgroup;
	char		*dir;		/* of the container; NULL: no walk */
	int		pid;		/* of a process in the pod's network; 0: the host's, or nobody is there */
	bool		walk;
	struct usage	use;
	uint64_t	layer_bytes, layer_inodes;
	struct obuf	net;		/* /proc/net/dev in there */
};

struct stats_job {
	struct oci	*o;
	struct orlop_call *call;
	bool		pods;
	uint32_t	n, n_pods;	/* pods first, then containers */
	struct target	*t;
};

/* ---- reading (worker) ------------------------------------------------------------------------- */

static uint64_t number_in(const struct obuf *b, const char *key)
{
	const char *p = b->data;
	size_t len = strlen(key);

	while (p && *p) {
		if (!strncmp(p, key, len) && p[len] == ' ')
			return strtoull(p + len + 1, NULL, 10);
		p = strchr(p, '\n');
		if (p)
			p++;
	}
	return 0;
}

static bool number_of(const struct oci *o, const char *controller, const char *cgroup, const char *file, uint64_t *ret)
{
	struct obuf b = OBUF_INIT;
	bool ok = !cgroup_read(o, controller, cgroup, file, &b) && b.len;

	if (ok)
		*ret = b.data[0] == 'm' ? UINT64_MAX : strtoull(b.data, NULL, 10);	/* "max" */
	obuf_done(&b);
	return ok;
}

static void usage_read(const struct oci *o, const char *cgroup, struct usage *u)
{
	bool v2 = o->cgroups == OCI_CGROUPS_V2;
	struct obuf b = OBUF_INIT;
	uint64_t inactive;

	u->at = o->h->now_wall(o->h);
	u->limit = UINT64_MAX;
	if (v2) {
		u->have_cpu = !cgroup_read(o, "cpu", cgroup, "cpu.stat", &b);
		u->cpu_ns = number_in(&b, "usage_usec") * 1000;
	} else {
		u->have_cpu = number_of(o, "cpuacct", cgroup, "cpuacct.usage", &u->cpu_ns);
	}
	u->have_mem = number_of(o, "memory", cgroup, v2 ? "memory.current" : "memory.usage_in_bytes", &u->mem);
	(void)number_of(o, "memory", cgroup, v2 ? "memory.max" : "memory.limit_in_bytes", &u->limit);
	if (!cgroup_read(o, "memory", cgroup, "memory.stat", &b)) {
		inactive = number_in(&b, v2 ? "inactive_file" : "total_inactive_file");
		u->working_set = u->mem > inactive ? u->mem - inactive : 0;
		u->rss = number_in(&b, v2 ? "anon" : "total_rss");
		u->faults = number_in(&b, v2 ? "pgfault" : "total_pgfault");
		u->major_faults = number_in(&b, v2 ? "pgmajfault" : "total_pgmajfault");
		u->swap = v2 ? 0 : number_in(&b, "total_swap");
	}
	if (v2)
		(void)number_of(o, "memory", cgroup, "memory.swap.current", &u->swap);
	(void)number_of(o, "pids", cgroup, "pids.current", &u->pids);
	obuf_done(&b);
}

static void walk(int fd, struct target *t, int depth)
{
	DIR *dp = fdopendir(fd);
	struct dirent *d;
	struct stat st;

	if (!dp) {
		close(fd);
		return;
	}
	while ((d = readdir(dp))) {
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
		    fstatat(dirfd(dp), d->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		t->layer_inodes++;
		t->layer_bytes += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth < DU_DEPTH) {
			int sub = openat(dirfd(dp), d->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				walk(sub, t, depth + 1);
		}
	}
	closedir(dp);
}

static void net_read(struct target *t)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/net/dev", t->pid);
	(void)ofile_read(AT_FDCWD, path, 65536, &t->net);
}

static void stats_work(void *arg)
{
	struct stats_job *j = arg;
	uint32_t i;

	for (i = 0; i < j->n; i++) {
		struct target *t = &j->t[i];

		usage_read(j->o, t->cgroup, &t->use);
		if (t->pid)
			net_read(t);
		if (t->walk) {
			char upper[4096];
			int fd;

			snprintf(upper, sizeof(upper), "%s/upper", t->dir);
			fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (fd >= 0)
				walk(fd, t, 0);
		}
	}
}

/* ---- telling (loop) --------------------------------------------------------------------------- */

static void put_value(struct ojson *to, const char *key, uint64_t v)
{
	(void)ojson_set_i64(ojson_ensure_object(to, key), "value", v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

static void put_usage(struct ojson *to, const struct usage *u, struct rate *r)
{
	struct ojson *cpu = ojson_ensure_object(to, "cpu");
	struct ojson *mem = ojson_ensure_object(to, "memory");

	if (u->have_cpu) {
		if (r->at && u->at >= r->at + RATE_MIN_NS && u->cpu_ns >= r->cpu_ns)
			r->nano_cores = (uint64_t)((double)(u->cpu_ns - r->cpu_ns) * 1e9 / (double)(u->at - r->at));
		if (!r->at || u->at >= r->at + RATE_MIN_NS || u->at < r->at) {
			r->at = u->at;
			r->cpu_ns = u->cpu_ns;
		}
		(void)ojson_set_i64(cpu, "timestamp", (int64_t)u->at);
		put_value(cpu, "usageCoreNanoSeconds", u->cpu_ns);
		put_value(cpu, "usageNanoCores", r->nano_cores);
	}
	if (u->have_mem) {
		(void)ojson_set_i64(mem, "timestamp", (int64_t)u->at);
		put_value(mem, "workingSetBytes", u->working_set);
		if (u->limit < (1ull << 60))	/* v1 says "no limit" by a huge number */
			put_value(mem, "availableBytes", u->limit > u->working_set ? u->limit - u->working_set : 0);
		put_value(mem, "usageBytes", u->mem);
		put_value(mem, "rssBytes", u->rss);
		put_value(mem, "pageFaults", u->faults);
		put_value(mem, "majorPageFaults", u->major_faults);
		(void)ojson_set_i64(ojson_ensure_object(to, "swap"), "timestamp", (int64_t)u->at);
		put_value(ojson_ensure_object(to, "swap"), "swapUsageBytes", u->swap);
	}
}

static void put_attributes(struct ojson *to, const char *id, const struct ojson *config)
{
	static const char *const keys[] = { "metadata", "labels", "annotations" };
	struct ojson *a = ojson_ensure_object(to, "attributes");
	size_t i;

	(void)ojson_set_cstr(a, "id", id);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (ojson_get(config, keys[i]))
			(void)ojson_set(a, keys[i], ojson_ref(ojson_get(config, keys[i])));
}

static struct ojson *container_json(struct oci *o, const struct target *t)
{
	struct container *c = omap_get_cstr(&o->containers, t->id);
	struct ojson *j = c ? ojson_new_object() : NULL;
	struct ojson *layer;

	if (!j)
		return NULL;	/* gone meanwhile */
	if (t->walk) {
		c->layer_at = t->use.at;
		c->layer_bytes = t->layer_bytes;
		c->layer_inodes = t->layer_inodes;
	}
	put_attributes(j, c->id, c->config);
	put_usage(j, &t->use, &c->rate);
	layer = ojson_ensure_object(j, "writableLayer");
	(void)ojson_set_i64(layer, "timestamp", (int64_t)c->layer_at);
	(void)ojson_set_cstr(ojson_ensure_object(layer, "fsId"), "mountpoint", o->root);
	put_value(layer, "usedBytes", c->layer_bytes);
	put_value(layer, "inodesUsed", c->layer_inodes);
	return j;
}

/* "  eth0: RXBYTES packets errs drop fifo frame compressed multicast TXBYTES packets errs …" */
static struct ojson *interface_json(const char *line, const char *name, size_t len)
{
	struct ojson *i = ojson_new_object();
	unsigned long long v[11] = { 0 };

	if (!i || sscanf(line, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
			 &v[5], &v[6], &v[7], &v[8], &v[9], &v[10]) != 11) {
		ojson_unref(i);
		return NULL;
	}
	(void)ojson_set_string(i, "name", name, len);
	put_value(i, "rxBytes", v[0]);
	put_value(i, "rxErrors", v[2]);
	put_value(i, "txBytes", v[8]);
	put_value(i, "txErrors", v[10]);
	return i;
}

static void put_network(struct ojson *to, const struct target *t)
{
	struct ojson *net = ojson_ensure_object(to, "network");
	const char *p = t->net.data;

	(void)ojson_set_i64(net, "timestamp", (int64_t)t->use.at);
	while (p && *p) {
		const char *name = p + strspn(p, " ");
		size_t len = strcspn(name, ":\n");
		struct ojson *i = name[len] == ':' ? interface_json(name + len + 1, name, len) : NULL;

		if (i && len == 2 && !memcmp(name, "lo", 2))
			ojson_unref(i);
		else if (i && !ojson_get(net, "defaultInterface"))
			(void)ojson_set(net, "defaultInterface", i);
		else if (i)
			(void)ojson_append(ojson_ensure_array(net, "interfaces"), i);
		p = strchr(name, '\n');
		if (p)
			p++;
	}
}

static struct ojson *pod_json(struct stats_job *j, const struct target *t)
{
	struct sandbox *s = omap_get_cstr(&j->o->sandboxes, t->id);
	struct ojson *out = s ? ojson_new_object() : NULL;
	struct ojson *l;
	struct ojson *list;
	uint32_t i;

	if (!out)
		return NULL;
	put_attributes(out, s->id, s->config);
	l = ojson_ensure_object(out, "linux");
	put_usage(l, &t->use, &s->rate);
	if (t->pid)
		put_network(l, t);
	(void)ojson_set_i64(ojson_ensure_object(l, "process"), "timestamp", (int64_t)t->use.at);
	put_value(ojson_ensure_object(l, "process"), "processCount", t->use.pids);
	list = ojson_ensure_array(l, "containers");
	for (i = j->n_pods; i < j->n; i++) {
		const struct container *c = omap_get_cstr(&j->o->containers, j->t[i].id);

		if (c && !strcmp(c->sandbox, s->id))
			(void)ojson_append(list, container_json(j->o, &j->t[i]));
	}
	return out;
}

static void stats_free(struct stats_job *j)
{
	uint32_t i;

	for (i = 0; i < j->n; i++) {
		omem_free(j->t[i].cgroup);
		omem_free(j->t[i].dir);
		obuf_done(&j->t[i].net);
	}
	omem_free(j->t);
	omem_free(j);
}

static void stats_done(void *arg)
{
	struct stats_job *j = arg;
	struct ojson *out = ojson_new_object();
	struct ojson *list = out ? ojson_ensure_array(out, "stats") : NULL;
	uint32_t i;

	for (i = 0; list && i < (j->pods ? j->n_pods : j->n); i++) {
		struct ojson *one = j->pods ? pod_json(j, &j->t[i]) : container_json(j->o, &j->t[i]);

		if (one)
			(void)ojson_append(list, one);
	}
	reply_json(j->o, j->call, out, NULL);
	stats_free(j);
}

static int add_container(struct stats_job *j, struct container *c)
{
	struct target *t = &j->t[j->n];
	uint64_t now = j->o->h->now_wall(j->o->h);

	obuf_init(&t->net);
	memcpy(t->id, c->id, sizeof(t->id));
	t->cgroup = container_cgroup(j->o, c);
	t->dir = path_of(j->o, "rw/%s", c->id);
	t->walk = now < c->layer_at || now - c->layer_at > LAYER_KEEP_NS;
	j->n++;
	return t->cgroup && t->dir ? 0 : -ENOMEM;
}

static int add_pod(struct stats_job *j, struct sandbox *s)
{
	struct target *t = &j->t[j->n];

	obuf_init(&t->net);
	memcpy(t->id, s->id, sizeof(t->id));
	t->cgroup = omem_strdup(ojson_cstr(OJSON_AT(s->config, "linux", "cgroupParent"), ""));
	OMAP_FOREACH(&j->o->containers, at) {
		const struct container *c = at->value;

		if (!s->host_net && c->state == OCI_RUNNING && !strcmp(c->sandbox, s->id))
			t->pid = c->pid;
	}
	j->n++;
	return t->cgroup ? 0 : -ENOMEM;
}

static struct stats_job *stats_new(struct oci *o, struct orlop_call *call, bool pods)
{
	struct stats_job *j = OMEM_NEW(struct stats_job);

	if (!j)
		return NULL;
	j->o = o;
	j->call = call;
	j->pods = pods;
	j->t = omem_zalloc((omap_count(&o->sandboxes) + omap_count(&o->containers) + 1) * sizeof(*j->t));
	if (!j->t) {
		omem_free(j);
		return NULL;
	}
	return j;
}

static int stats_start(struct stats_job *j, int e, struct orlop_error *err)
{
	if (!e)
		e = j->o->h->work(j->o->h, 0, stats_work, stats_done, j);
	if (!e)
		return 0;
	stats_free(j);
	return orlop_fail(err, -e, 0, "", "statistics cannot be read");
}

OCI_OP(op_container_stats)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct stats_job *j;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	j = stats_new(o, call, false);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	OMAP_FOREACH(&o->containers, at) {
		struct container *c = at->value;
		cleanup_ojson struct ojson *sum = NULL;

		if (e || c->busy || c->state != OCI_RUNNING)
			continue;
		sum = container_summary(c);
		if (sum && filter_takes(r, sum))
			e = add_container(j, c);
	}
	return stats_start(j, e, err);
}

OCI_OP(op_sandbox_stats)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct stats_job *j;
	uint32_t i;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	j = stats_new(o, call, true);
	if (!j)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	OMAP_FOREACH(&o->sandboxes, at) {
		struct sandbox *s = at->value;
		cleanup_ojson struct ojson *sum = NULL;

		if (e || s->busy || !s->ready)
			continue;
		sum = sandbox_summary(s);
		if (sum && filter_takes(r, sum))
			e = add_pod(j, s);
	}
	j->n_pods = j->n;
	OMAP_FOREACH(&o->containers, at) {
		struct container *c = at->value;
		bool in = false;

		for (i = 0; i < j->n_pods && !in; i++)
			in = !strcmp(j->t[i].id, c->sandbox);
		if (!e && in && !c->busy && c->state == OCI_RUNNING)
			e = add_container(j, c);
	}
	return stats_start(j, e, err);
}

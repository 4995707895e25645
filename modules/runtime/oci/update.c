/*
 * update.c - limits of a running container changed: straight into its cgroups, and remembered.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/ofile.h"
#include "base/omem.h"

struct update {
	struct oci	*o;
	struct orlop_call *call;
	char		id[OCI_ID_LEN + 1];
	char		*cgroup;
	int		pid;
	struct ojson	*want;		/* LinuxContainerResources; the worker's until it is done */
	struct orlop_error err;
	int		result;
};

static int put_text(struct update *u, const char *controller, const char *file, const char *text)
{
	int e = u->result ? 0 : cgroup_write(u->o, controller, u->cgroup, file, text);

	if (e)
		u->result = orlop_fail(&u->err, -e, 0, "", "container %.12s: cannot set %s to %s: %s", u->id, file, text,
				       strerrordesc_np(-e));
	return e;
}

static void put_number(struct update *u, const char *controller, const char *file, int64_t v)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	(void)put_text(u, controller, file, text);
}

/* Weight 1 … 10000 of v2 from shares 2 … 262144 of v1, as the OCI runtimes do. */
static int64_t weight_of(int64_t shares)
{
	return shares < 2 ? 1 : shares > 262144 ? 10000 : 1 + ((shares - 2) * 9999) / 262142;
}

static void memory_v1(struct update *u, int64_t limit, int64_t swap)
{
	struct obuf b = OBUF_INIT;
	long long now = 0;
	bool have_swap = !cgroup_read(u->o, "memory", u->cgroup, "memory.memsw.limit_in_bytes", &b);

	/* memory+swap may never be below memory: which of the two goes first depends */
	if (have_swap && sscanf(obuf_cstr(&b), "%lld", &now) == 1 && swap && (swap < 0 || swap > now))
		put_number(u, "memory", "memory.memsw.limit_in_bytes", swap);
	if (limit)
		put_number(u, "memory", "memory.limit_in_bytes", limit);
	if (have_swap && swap > 0 && swap <= now)
		put_number(u, "memory", "memory.memsw.limit_in_bytes", swap);
	obuf_done(&b);
}

static void put_v1(struct update *u)
{
	int64_t quota = cri_i64(u->want, "cpuQuota", 0);
	int64_t period = cri_i64(u->want, "cpuPeriod", 0);
	int64_t shares = cri_i64(u->want, "cpuShares", 0);

	if (shares)
		put_number(u, "cpu", "cpu.shares", shares);
	if (period)
		put_number(u, "cpu", "cpu.cfs_period_us", period);
	if (quota)
		put_number(u, "cpu", "cpu.cfs_quota_us", quota);
	memory_v1(u, cri_i64(u->want, "memoryLimitInBytes", 0), cri_i64(u->want, "memorySwapLimitInBytes", 0));
}

static void put_v2(struct update *u)
{
	int64_t quota = cri_i64(u->want, "cpuQuota", 0);
	int64_t period = cri_i64(u->want, "cpuPeriod", 100000);
	int64_t shares = cri_i64(u->want, "cpuShares", 0);
	int64_t limit = cri_i64(u->want, "memoryLimitInBytes", 0);
	int64_t swap = cri_i64(u->want, "memorySwapLimitInBytes", 0);
	char text[64];

	if (shares)
		put_number(u, "cpu", "cpu.weight", weight_of(shares));
	if (quota < 0)
		snprintf(text, sizeof(text), "max %lld", (long long)period);
	else
		snprintf(text, sizeof(text), "%lld %lld", (long long)quota, (long long)period);
	if (quota)
		(void)put_text(u, "cpu", "cpu.max", text);
	if (limit < 0)
		(void)put_text(u, "memory", "memory.max", "max");
	else if (limit)
		put_number(u, "memory", "memory.max", limit);
	if (swap < 0)
		(void)put_text(u, "memory", "memory.swap.max", "max");
	else if (swap && limit > 0 && swap >= limit)
		put_number(u, "memory", "memory.swap.max", swap - limit);
	OJSON_FOREACH(it, ojson_get_object(u->want, "unified")) {
		char file[100];

		snprintf(file, sizeof(file), "%.99s", it.key);
		if (strchr(file, '/') || strchr(file, '\n'))
			u->result = orlop_fail(&u->err, EINVAL, 0, "", "unified: \"%s\" is no cgroup file", file);
		else
			(void)put_text(u, "", file, ojson_cstr(it.value, ""));
	}
}

static void update_work(void *arg)
{
	struct update *u = arg;
	const char *cpus = ojson_get_cstr(u->want, "cpusetCpus", "");
	const char *mems = ojson_get_cstr(u->want, "cpusetMems", "");

	if (u->o->cgroups == OCI_CGROUPS_V2)
		put_v2(u);
	else
		put_v1(u);
	if (*cpus)
		(void)put_text(u, "cpuset", "cpuset.cpus", cpus);
	if (*mems)
		(void)put_text(u, "cpuset", "cpuset.mems", mems);
	OJSON_FOREACH_ELEM(i, h, ojson_get(u->want, "hugepageLimits")) {
		char file[80];

		snprintf(file, sizeof(file), "hugetlb.%.40s.%s", ojson_get_cstr(h, "pageSize", ""),
			 u->o->cgroups == OCI_CGROUPS_V2 ? "max" : "limit_in_bytes");
		put_number(u, "hugetlb", file, cri_i64(h, "limit", 0));
	}
	if (!u->result && ojson_get(u->want, "oomScoreAdj")) {
		char path[64], text[32];

		snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", u->pid);
		snprintf(text, sizeof(text), "%lld", (long long)cri_i64(u->want, "oomScoreAdj", 0));
		(void)ofile_poke(AT_FDCWD, path, text, strlen(text));
	}
}

static void update_free(struct update *u)
{
	ojson_unref(u->want);
	omem_free(u->cgroup);
	omem_free(u);
}

static void update_done(void *arg)
{
	struct update *u = arg;
	struct container *c = omap_get_cstr(&u->o->containers, u->id);

	if (u->result) {
		reply_error(u->o, u->call, &u->err);
	} else {
		if (c) {
			struct ojson *to = ojson_ensure_object(ojson_ensure_object(c->config, "linux"), "resources");

			OJSON_FOREACH(it, u->want)
				(void)ojson_set(to, it.key, ojson_ref(it.value));
			container_note(u->o, c);
		}
		reply_json(u->o, u->call, NULL, NULL);
	}
	update_free(u);
}

OCI_OP(op_update_resources)
{
	struct oci *o = ctx;
	cleanup_ojson struct ojson *r = NULL;
	struct container *c;
	struct update *u;
	int e = req_parse(o, req, &r, err);

	if (e)
		return e;
	c = container_get(o, r, err);
	if (!c)
		return -ENOENT;
	if (c->state == OCI_EXITED || c->busy)
		return orlop_fail(err, EINVAL, 0, "", "container %s is not running", c->id);
	u = OMEM_NEW(struct update);
	if (!u)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	u->o = o;
	u->call = call;
	u->err.size = sizeof(u->err);
	u->pid = c->pid;
	memcpy(u->id, c->id, sizeof(u->id));
	u->cgroup = container_cgroup(o, c);
	e = u->cgroup ? 0 : -ENOMEM;
	if (!e && ojson_get_object(r, "linux"))
		e = ojson_copy(ojson_get_object(r, "linux"), &u->want);
	else if (!e)
		u->want = ojson_new_object();
	if (!e)
		e = o->h->work(o->h, 0, update_work, update_done, u);
	if (e) {
		update_free(u);
		return orlop_fail(err, -e, 0, "", "container %s: no worker", c->id);
	}
	return 0;
}

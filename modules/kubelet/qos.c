/*
 * qos.c - the cgroups above containers: all pods, the classes, each pod.
 *
 *	/kubepods                 memory and CPU that are for pods at all
 *	/kubepods/podUID          Guaranteed
 *	/kubepods/burstable/podUID
 *	/kubepods/besteffort/podUID
 *
 * A pod's cgroup has the sum of its containers' limits if all have one. The runtime makes containers' cgroups below.
 * Source: pkg/kubelet/cm (helpers_linux.go, qos_container_manager_linux.go, node_container_manager_linux.go).
 */
#include "limits.h"
#include "qos.h"
#include "cgroup.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

/* ---- logic ---------------------------------------------------------------------------------------------- */

static int64_t shares_of(int64_t milli)
{
	int64_t v = milli * 1024 / 1000;

	return milli <= 0 || v < 2 ? 2 : v > 262144 ? 262144 : v;
}

static int64_t quota_of(int64_t milli)
{
	int64_t v = milli * 100;

	return v < 1000 ? 1000 : v;
}

void qos_pod_limits(const struct ojson *pod, int64_t pids, struct cg_limits *l)
{
	enum qos q = qos_class(pod);
	bool all_cpu;
	bool all_memory;
	bool any;
	int64_t cpu = pod_sum(pod, "limits", "cpu", true, &all_cpu);
	int64_t memory = pod_sum(pod, "limits", "memory", false, &all_memory);
	int64_t request = pod_sum(pod, "requests", "cpu", true, &any);

	memset(l, 0, sizeof(*l));
	l->pids = pids;
	l->cpu_shares = 2;
	if (q == QOS_BESTEFFORT)
		return;
	l->cpu_shares = shares_of(request ? request : q == QOS_GUARANTEED ? cpu : 0);
	l->cpu_quota = all_cpu && cpu > 0 ? quota_of(cpu) : -1;
	l->memory = all_memory && memory > 0 ? memory : -1;
}

/* ---- doing ------------------------------------------------------------------------------------------------ */

struct qos_job {
	struct kubelet	*k;
	struct pod	*p;		/* NULL: the classes */
	char		*path;
	struct cg_limits l;
	char		*root;		/* classes: "/kubepods" */
	struct cg_limits all;
	bool		first;
	struct obuf	err;
	int		result;
};

static void job_free(struct qos_job *j)
{
	obuf_done(&j->err);
	omem_free(j->path);
	omem_free(j->root);
	omem_free(j);
}

static void pod_work(void *arg)
{
	struct qos_job *j = arg;

	j->result = cgroup_make(j->path, &j->err);
	if (!j->result)
		j->result = cgroup_set(j->path, &j->l, &j->err);
	if (j->result == -EINVAL && !cgroup_is_v2()) {
		/* that of a container that has ended may not have more than its pod either */
		cgroup_prune(j->path);
		obuf_reset(&j->err);
		j->result = cgroup_set(j->path, &j->l, &j->err);
	}
}

static void pod_done(void *arg)
{
	struct qos_job *j = arg;
	struct pod *p = j->p;

	p->cg_busy = false;
	if (j->result && !p->k->stopping) {
		/* once may be a cgroup on its way out */
		if (p->cg_failed) {
			OLOG(p->k->h, WARN, "pod_cgroup", "pod=%s/%s why=\"%s\" retrying=1", p->ns, p->name,
			     obuf_cstr(&j->err));
			pod_event(p, NULL, "Warning", "FailedCreatePodContainer",
				  "unable to ensure pod container exists: failed to create container for %s : %s", j->path,
				  obuf_cstr(&j->err));
		}
		p->cg_failed = true;
		p->cg_retry_ns = kubelet_now(p->k) + (int64_t)NS_PER_S;
	} else if (!p->k->stopping) {
		p->cg_ready = true;
		p->cg_failed = false;
	}
	job_free(j);
	pod_kick(p);
	pod_unref(p);
}

bool qos_pod_ready(struct pod *p)
{
	struct kubelet *k = p->k;
	struct obuf b = OBUF_INIT;
	struct qos_job *j;

	if (p->cg_ready || p->cg_busy || !k->cgroups_per_qos)
		return p->cg_ready || !k->cgroups_per_qos;
	if (p->cg_retry_ns > kubelet_now(k)) {
		pod_wake_at(p, p->cg_retry_ns);
		return false;
	}
	j = OMEM_NEW(struct qos_job);
	if (!j)
		return false;
	j->k = k;
	j->p = p;
	cgroup_parent(k->cgroup_root, p->obj, p->uid, &b);
	j->path = obuf_steal(&b, NULL);
	qos_pod_limits(p->obj, k->limits->pod_max_pids, &j->l);
	if (p->cg_wide) {
		j->l.cpu_quota = -1;
		j->l.memory = -1;
	}
	p->cg_busy = true;
	pod_ref(p);
	if (!j->path || k->h->work(k->h, 0, pod_work, pod_done, j)) {
		j->result = -ENOMEM;
		pod_done(j);
		return false;
	}
	qos_changed(k);
	return false;
}

/* ---- the classes --------------------------------------------------------------------------------------------- */

static void classes_work(void *arg)
{
	struct qos_job *j = arg;
	struct cg_limits few = { .cpu_shares = 2 };
	char path[300];

	if (j->first) {
		j->result = cgroup_make(j->root, &j->err);
		if (!j->result)
			j->result = cgroup_set(j->root, &j->all, &j->err);
		snprintf(path, sizeof(path), "%s/besteffort", j->root);
		if (!j->result)
			j->result = cgroup_make(path, &j->err);
		if (!j->result)
			j->result = cgroup_set(path, &few, &j->err);
	}
	snprintf(path, sizeof(path), "%s/burstable", j->root);
	if (!j->result)
		j->result = cgroup_make(path, &j->err);
	if (!j->result)
		j->result = cgroup_set(path, &j->l, &j->err);
}

static void classes_done(void *arg)
{
	struct qos_job *j = arg;
	struct kubelet *k = j->k;

	k->qos_busy = false;
	if (j->result && !k->stopping)
		OLOG(k->h, WARN, "qos_cgroups", "why=\"%s\" ignoring=1", obuf_cstr(&j->err));
	k->qos_made |= !j->result;
	job_free(j);
	if (k->qos_again && !k->stopping) {
		k->qos_again = false;
		qos_changed(k);
	}
}

/* What the burstable pods together request. */
static int64_t burstable_milli(const struct kubelet *k)
{
	int64_t sum = 0;
	bool any;

	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		if (!p->orphan && p->obj && !p->finished && !p->done && qos_class(p->obj) == QOS_BURSTABLE)
			sum += pod_sum(p->obj, "requests", "cpu", true, &any);
	}
	return sum;
}

void qos_changed(struct kubelet *k)
{
	const struct machine *m = node_machine(k);
	const char *root = k->cgroup_root;
	int64_t shares = shares_of(burstable_milli(k));
	struct qos_job *j;

	if (k->qos_busy) {
		k->qos_again = true;
		return;
	}
	if (!k->cgroups_per_qos || (k->qos_made && shares == k->qos_shares))
		return;
	j = OMEM_NEW(struct qos_job);
	if (!j)
		return;
	j->k = k;
	j->first = !k->qos_made;
	j->root = omem_printf("/%s", *root == '/' ? root + 1 : root);
	j->l.cpu_shares = shares;
	j->all.cpu_shares = shares_of(m->cpus * 1000 - k->limits->reserved.cpu_milli);
	/* the kernel may use what is kept back for evictions: those begin before the limit is reached */
	if (k->limits->reserved.memory)
		j->all.memory = m->memory - k->limits->reserved.memory;
	k->qos_shares = shares;
	k->qos_busy = true;
	if (!j->root || k->h->work(k->h, 0, classes_work, classes_done, j)) {
		k->qos_busy = false;
		job_free(j);
	}
}

/*
 * term.c - how a pod ends: containers stopped in parallel within the grace, last status, network,
 * sandbox, files, and then the object itself.
 *
 * Each task is idempotent, so that a daemon that died in between begins again with all of them. Containers stay until
 * the API has their last status: it is made of them.
 * Source: pkg/kubelet/pod_workers.go and kubelet.go (SyncTerminatingPod, SyncTerminatedPod).
 */
#include "kubelet.h"
#include "qos.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ofile.h"

#define TD_ALL		(TD_NET | TD_CTRS | TD_SANDBOX | TD_FILES | TD_API)
#define RETRY_NS	(int64_t)(2 * NS_PER_S)

static int64_t grace_of(const struct pod *p)
{
	const struct ojson *spec = ojson_get(p->obj, "spec");
	int64_t g = ojson_get_i64(spec, "terminationGracePeriodSeconds", p->orphan ? 2 : 30);
	const struct ojson *meta = ojson_get(p->obj, "metadata");

	if (ojson_get(meta, "deletionGracePeriodSeconds"))
		g = ojson_get_i64(meta, "deletionGracePeriodSeconds", g);
	/* removed by force, or behind our back */
	if (p->gone && !p->orphan && !p->is_static && !ojson_get(meta, "deletionGracePeriodSeconds"))
		g = g < 2 ? g : 2;
	if (p->fail_grace && p->fail_grace < g)
		g = p->fail_grace;
	return g < 1 ? 1 : g;
}

/* False: some container lives or is still on its way. */
static bool stop_all(struct pod *p, int64_t grace)
{
	bool all = true;
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->busy) {
			all = false;
		} else if (c->state == C_RUNNING) {
			all = false;
			ctr_stop(c, grace, "Stopping container %s", c->name);
			ctr_stop_turn(c);
			if (!c->stop_sent)	/* the last try failed */
				pod_wake_at(p, kubelet_now(p->k) + RETRY_NS);
		}
	}
	return all;
}

static void td_answer(struct pod *p, int status, const char *what, const char *why, uint8_t task)
{
	if (p->k->stopping) {
		pod_unref(p);
		return;
	}
	p->td_busy &= (uint8_t)~task;
	if (status < 0 && status != -ENOENT) {
		OLOG(p->k->h, WARN, "pod_teardown", "pod=%s/%s step=%s why=\"%s\" retrying=1", p->ns, p->name, what, why);
		if (status != -EHOSTUNREACH)
			pod_event(p, NULL, "Warning", "FailedKillPod", "error killing pod: %s: %s", what, why);
		p->td_retry_ns = kubelet_now(p->k) + RETRY_NS;
	} else {
		p->td_done |= task;
	}
	pod_kick(p);
	pod_unref(p);
}

static void detached(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	(void)res;
	(void)msg;
	td_answer(arg, status, "detach", why, TD_NET);
}

static void sb_stopped(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	(void)res;
	(void)msg;
	td_answer(arg, status, "stop sandbox", why, TD_STOP);
}

static void sb_removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	(void)res;
	(void)msg;
	td_answer(arg, status, "remove sandbox", why, TD_SANDBOX);
}

static void ctr_removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct pod *p = arg;

	(void)res;
	(void)msg;
	if (status < 0 && status != -ENOENT && !p->k->stopping)
		OLOG(p->k->h, WARN, "container_not_removed", "pod=%s/%s why=\"%s\"", p->ns, p->name, why);
	/* one that is left goes with its sandbox */
	if (--p->td_left == 0)
		td_answer(p, 0, "", "", TD_CTRS);
	else
		pod_unref(p);
}

static void ctrs_remove(struct pod *p)
{
	uint32_t i;

	p->td_left = 1;
	for (i = 0; i < p->n_ctrs; i++) {
		const char *ids[2] = { p->ctrs[i]->id, p->ctrs[i]->prev_id };
		size_t n;

		for (n = 0; n < 2; n++) {
			if (!ids[n])
				continue;
			p->td_left++;
			pod_ref(p);
			rt_call(p->k, ORLOP_RUNTIME_REMOVE_CONTAINER, 0, rt_id("containerId", ids[n]), 0, ctr_removed, p);
		}
	}
	pod_ref(p);
	ctr_removed(p, 0, NULL, NULL, "");
}

struct files_job {
	struct pod	*p;
	char		*dir;
	char		*logs;
	char		*cgroup;	/* NULL: not known */
	int		result;
};

static void files_work(void *arg)
{
	struct files_job *j = arg;

	if (j->cgroup)
		cgroup_remove(j->cgroup);
	j->result = volumes_remove(j->dir);
	if (!j->result)
		j->result = ofile_remove_tree(AT_FDCWD, j->logs);
}

static void files_done(void *arg)
{
	struct files_job *j = arg;
	struct pod *p = j->p;
	int e = j->result;

	omem_free(j->dir);
	omem_free(j->logs);
	omem_free(j->cgroup);
	omem_free(j);
	if (!p->k->stopping)
		qos_changed(p->k);
	td_answer(p, e, "remove files", e ? strerrordesc_np(-e) : "", TD_FILES);
}

static void files_remove(struct pod *p)
{
	struct files_job *j = OMEM_NEW(struct files_job);
	struct obuf b = OBUF_INIT;

	if (!j) {
		pod_ref(p);
		td_answer(p, -ENOMEM, "remove files", "no memory", TD_FILES);
		return;
	}
	j->p = p;
	j->dir = pod_dir(p);
	j->logs = pod_log_dir(p);
	if (!p->orphan && p->k->cgroups_per_qos) {
		cgroup_parent(p->k->cgroup_root, p->obj, p->uid, &b);
		j->cgroup = obuf_steal(&b, NULL);
	}
	pod_ref(p);
	if (!j->dir || !j->logs || p->k->h->work(p->k->h, p->key, files_work, files_done, j)) {
		j->result = -ENOMEM;
		files_done(j);
	}
}

static void api_deleted(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct pod *p = arg;

	(void)rev;
	/* gone, or another one of the same name: both are what was wanted */
	if (!status && (code == 404 || code == 409))
		p->gone = true;
	if (!status && (code < 300 || p->gone))
		td_answer(p, 0, "", "", TD_API);
	else
		td_answer(p, status ? status : -EIO, "delete", ojson_get_cstr(body, "message", "no answer"), TD_API);
}

static void api_delete(struct pod *p)
{
	struct orlop_bytes ns = { p->ns, strlen(p->ns) };
	struct orlop_bytes name = { p->name, strlen(p->name) };
	struct orlop_bytes uid = { p->uid, strlen(p->uid) };

	pod_ref(p);
	if (okube_delete(p->k->h, "pods", ns, name, uid, NULL, 0, api_deleted, p))
		td_answer(p, -ENOMEM, "delete", "no memory", TD_API);
}

static bool on_host_network(const struct pod *p)
{
	return !p->orphan && ojson_get_bool(ojson_get(p->obj, "spec"), "hostNetwork", false);
}

/* What there is not need not go. */
static uint8_t td_done(const struct pod *p)
{
	uint8_t done = p->td_done;

	if (!p->sb_id)
		done |= TD_NET | TD_STOP | TD_SANDBOX;
	if (on_host_network(p))
		done |= TD_NET;
	if (p->gone)
		done |= TD_API;
	return done;
}

static bool td_over(const struct pod *p, uint8_t tasks)
{
	return !p->td_busy && (td_done(p) & tasks) == tasks;
}

static void td_begin(struct pod *p, uint8_t task)
{
	p->td_busy |= task;
	switch (task) {
	case TD_NET:
		pod_ref(p);
		cni_call(p->k, ORLOP_CNI_DEL, p->key, p->sb_id, p->netns, NULL, detached, p);
		break;
	case TD_STOP:
		pod_ref(p);
		rt_call(p->k, ORLOP_RUNTIME_STOP_SANDBOX, p->key, rt_id("podSandboxId", p->sb_id), 0, sb_stopped, p);
		break;
	case TD_CTRS:
		ctrs_remove(p);
		break;
	case TD_SANDBOX:
		pod_ref(p);
		rt_call(p->k, ORLOP_RUNTIME_REMOVE_SANDBOX, p->key, rt_id("podSandboxId", p->sb_id), 0, sb_removed, p);
		break;
	case TD_FILES:
		files_remove(p);
		break;
	default:
		api_delete(p);
		break;
	}
}

/*
 * Each of @tasks as soon as what it needs is over. The link goes while the last status is written and the containers
 * are removed, which all wait for something else; a sandbox that is removed need not be stopped before.
 */
static void teardown(struct pod *p, uint8_t tasks)
{
	static const struct { uint8_t task, after; } order[] = {
		{ TD_NET, 0 },
		{ TD_STOP, TD_NET },
		{ TD_CTRS, 0 },
		{ TD_SANDBOX, TD_NET | TD_CTRS },
		{ TD_FILES, TD_CTRS },
		{ TD_API, TD_NET | TD_CTRS | TD_SANDBOX | TD_FILES },
	};
	int64_t now = kubelet_now(p->k);
	size_t i;

	if (p->sb == SB_MAKING || p->sb == SB_ATTACHING || p->vol == VOL_WRITING || p->cg_busy)
		return;		/* its answer kicks */
	if (p->td_retry_ns > now && p->td_retry_ns <= now + RETRY_NS) {
		pod_wake_at(p, p->td_retry_ns);
		return;
	}
	p->td_retry_ns = 0;
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		uint8_t task = order[i].task;
		uint8_t done = td_done(p);

		if (!(tasks & task) || ((done | p->td_busy) & task) || (done & order[i].after) != order[i].after)
			continue;
		if (task == TD_SANDBOX && (p->td_busy & TD_STOP))
			continue;
		td_begin(p, task);
	}
}

/* Before the object goes, everybody may see how its containers ended. */
static bool final_status(struct pod *p)
{
	if (p->gone || p->final_sent)
		return true;
	report_sync(p);
	if (p->sending)
		return false;
	p->final_sent = true;
	return true;
}

void term_sync(struct pod *p)
{
	bool deleting = p->gone || p->orphan || okube_deleting(p->obj);
	int64_t grace = grace_of(p);

	if (!stop_all(p, grace))
		return;
	if (!deleting) {
		/* failed by our own decision: like a pod that has finished */
		teardown(p, TD_NET | TD_STOP);
		if (td_over(p, TD_NET | TD_STOP))
			p->finished = true;
		return;
	}
	if (!final_status(p)) {
		teardown(p, TD_NET);
		return;
	}
	teardown(p, TD_ALL);
	/* an object that finalizers keep is remembered until it goes */
	if (td_over(p, TD_ALL)) {
		p->sb = SB_GONE;
		if (p->gone)
			pod_forget(p);
	}
}

void finished_sync(struct pod *p)
{
	if (!stop_all(p, grace_of(p)))
		return;
	if (p->sb_id)
		teardown(p, TD_NET | TD_STOP);
}

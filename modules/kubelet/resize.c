/*
 * resize.c - other requests and limits for containers that run: allowed, put off or impossible; then done in place, or by a
 * restart where the container wants one.
 *
 * What a container was given last is kept with it (`given`) and shown in its status, from where it is known again after a
 * restart of the kubelet. The pod's cgroup grows before its containers and shrinks after them.
 * Source: pkg/kubelet/allocation, pkg/kubelet/kuberuntime/kuberuntime_manager.go (doPodResizeAction), KEP-1287.
 */
#include "qos.h"
#include "resize.h"
#include "limits.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

/* ---- what is given, what is wanted --------------------------------------------------------------------- */

static bool differs(const struct ojson *a, const struct ojson *b, const char *name)
{
	static const char *const lists[] = { "limits", "requests" };
	bool cpu = !strcmp(name, "cpu");
	size_t l;

	for (l = 0; l < 2; l++) {
		const struct ojson *x = ojson_get(a, lists[l]);
		const struct ojson *y = ojson_get(b, lists[l]);

		if (cpu ? quantity_milli(x, name, 0) != quantity_milli(y, name, 0)
			: quantity_i64(x, name, 0) != quantity_i64(y, name, 0))
			return true;
	}
	return false;
}

void resize_given(struct ctr *c, const struct ojson *resources)
{
	ojson_unref(c->given);
	c->given = NULL;
	if (resources)
		(void)ojson_copy(resources, &c->given);
	else
		c->given = ojson_new_object();
}

/* Taken over from an earlier life: as the API was told. */
static void recall(struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);

	OJSON_FOREACH_ELEM(i, s, OJSON_AT(c->pod->obj, "status", ctr_status_list(c))) {
		if (!strcmp(ojson_get_cstr(s, "name", ""), c->name) && ojson_get(s, "resources")) {
			resize_given(c, ojson_get(s, "resources"));
			return;
		}
	}
	resize_given(c, ojson_get(spec, "resources"));
}

static bool wants(const struct ctr *c)
{
	const struct ojson *want = ojson_get(ctr_spec(c), "resources");

	return differs(c->given, want, "cpu") || differs(c->given, want, "memory");
}

/* Does this change mean a restart? */
static bool wants_restart(const struct ctr *c)
{
	const struct ojson *spec = ctr_spec(c);
	const struct ojson *want = ojson_get(spec, "resources");

	OJSON_FOREACH_ELEM(i, r, ojson_get(spec, "resizePolicy")) {
		if (!strcmp(ojson_get_cstr(r, "restartPolicy", ""), "RestartContainer") &&
		    differs(c->given, want, ojson_get_cstr(r, "resourceName", "")))
			return true;
	}
	return false;
}

/* ---- may it be ------------------------------------------------------------------------------------------- */

static int64_t need(const struct ojson *pod, const char *name, bool milli)
{
	bool all;

	return pod_sum(pod, "requests", name, milli, &all);
}

static void say(struct pod *p, enum resize_state state, const char *message)
{
	static const char *const reasons[] = { "", "ResizeDeferred", "ResizeInfeasible", "ResizeStarted", "ResizeError" };
	bool same = p->resize == state && p->resize_why && !strcmp(p->resize_why, message);

	p->resize = state;
	text_set(&p->resize_why, message);
	if (!same && state != RESIZE_NONE)
		pod_event(p, NULL, state == RESIZE_GOING ? "Normal" : "Warning", reasons[state], "Pod resize %s%s%s",
			  state == RESIZE_DEFERRED ? "deferred" : state == RESIZE_INFEASIBLE ? "infeasible"
			  : state == RESIZE_GOING ? "started" : "error", *message ? ": " : "", message);
}

/* False: not now, or never. */
static bool allowed(struct pod *p)
{
	struct reserve free = limits_allocatable(p->k->limits, node_machine(p->k));
	int64_t cpu = need(p->obj, "cpu", true);
	int64_t memory = need(p->obj, "memory", false);
	int64_t used_cpu = 0;
	int64_t used_memory = 0;
	char text[300];

	if (cpu > free.cpu_milli || memory > free.memory) {
		snprintf(text, sizeof(text), "Node didn't have enough capacity: %s, requested: %lld, capacity: %lld",
			 cpu > free.cpu_milli ? "cpu" : "memory", (long long)(cpu > free.cpu_milli ? cpu : memory),
			 (long long)(cpu > free.cpu_milli ? free.cpu_milli : free.memory));
		say(p, RESIZE_INFEASIBLE, text);
		return false;
	}
	OMAP_FOREACH(&p->k->pods, e) {
		const struct pod *o = e->value;

		if (o == p || !o->obj || o->orphan || o->finished || o->fail_reason || !o->admitted)
			continue;
		used_cpu += need(o->obj, "cpu", true);
		used_memory += need(o->obj, "memory", false);
	}
	if (used_cpu + cpu > free.cpu_milli || used_memory + memory > free.memory) {
		bool is_cpu = used_cpu + cpu > free.cpu_milli;

		snprintf(text, sizeof(text), "Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld",
			 is_cpu ? "cpu" : "memory", (long long)(is_cpu ? cpu : memory),
			 (long long)(is_cpu ? used_cpu : used_memory), (long long)(is_cpu ? free.cpu_milli : free.memory));
		say(p, RESIZE_DEFERRED, text);
		return false;
	}
	return true;
}

/* ---- doing it -------------------------------------------------------------------------------------------- */

struct change {
	struct ctr	*c;
	struct ojson	*want;
};

static void failed(struct pod *p, const char *why)
{
	say(p, RESIZE_ERROR, why);
	p->resize_retry_ns = kubelet_now(p->k) + (int64_t)(10 * NS_PER_S);
}

static void changed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct change *ch = arg;
	struct ctr *c = ch->c;
	struct pod *p = c->pod;

	(void)res;
	(void)msg;
	p->resize_busy--;
	if (status >= 0 && c->given) {
		ojson_unref(c->given);
		c->given = ch->want;
		ch->want = NULL;
	} else if (status < 0 && !p->k->stopping) {
		failed(p, why);
	}
	ojson_unref(ch->want);
	omem_free(ch);
	pod_kick(p);
	pod_unref(p);
}

static void change(struct ctr *c)
{
	struct pod *p = c->pod;
	const struct ojson *spec = ctr_spec(c);
	struct change *ch = OMEM_NEW(struct change);
	struct ojson *body = rt_id("containerId", c->id);
	struct ojson *linux_part = resources_linux(p->obj, spec, node_machine(p->k)->memory);

	if (!ch || !body || !linux_part || ojson_copy(ojson_get(spec, "resources"), &ch->want)) {
		omem_free(ch);
		ojson_unref(body);
		ojson_unref(linux_part);
		return;
	}
	ch->c = c;
	/* a limit that is gone must be said; what a process is worth to the kernel stays as it was */
	ojson_del(linux_part, "oomScoreAdj");
	if (!ojson_get(linux_part, "cpuQuota")) {
		(void)ojson_set_i64(linux_part, "cpuPeriod", 100000);
		(void)ojson_set_i64(linux_part, "cpuQuota", -1);
	}
	if (!ojson_get(linux_part, "memoryLimitInBytes") && quantity_i64(ojson_get(c->given, "limits"), "memory", 0))
		(void)ojson_set_i64(linux_part, "memoryLimitInBytes", -1);
	(void)ojson_set(body, "linux", linux_part);
	p->resize_busy++;
	pod_ref(p);
	rt_call(p->k, ORLOP_RUNTIME_UPDATE_RESOURCES, p->key, body, 0, changed, ch);
}

static void completed(struct pod *p)
{
	char text[300];

	snprintf(text, sizeof(text), "Pod resize completed: {\"generation\":%lld}",
		 (long long)ojson_get_i64(ojson_get(p->obj, "metadata"), "generation", 0));
	pod_event(p, NULL, "Normal", "ResizeCompleted", "%s", text);
	p->resize = RESIZE_NONE;
	text_set(&p->resize_why, NULL);
	p->cg_wide = false;
	p->cg_ready = false;	/* shrinks now, if it must */
	(void)qos_pod_ready(p);
	qos_changed(p->k);
}

void resize_sync(struct pod *p)
{
	int64_t generation = ojson_get_i64(ojson_get(p->obj, "metadata"), "generation", 0);
	int64_t now = kubelet_now(p->k);
	bool any = false;
	uint32_t i;

	if (p->resize_busy || p->cg_busy)
		return;
	for (i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_EPHEMERAL || !c->id || c->state != C_RUNNING)
			continue;
		if (!c->given)
			recall(c);
		any |= c->given && wants(c);
	}
	if (!any) {
		if (p->resize == RESIZE_GOING || p->resize == RESIZE_ERROR)
			completed(p);
		else if (p->resize)
			say(p, RESIZE_NONE, "");
		else
			(void)qos_pod_ready(p);	/* taken over, or not made smaller yet */
		return;
	}
	if (p->resize_generation != generation) {
		p->resize_generation = generation;
		p->resize_retry_ns = 0;
	}
	if (p->resize_retry_ns > now) {
		pod_wake_at(p, p->resize_retry_ns);
		return;
	}
	if (p->resize != RESIZE_GOING && p->resize != RESIZE_ERROR) {
		p->resize_retry_ns = 0;
		if (!allowed(p)) {
			p->resize_retry_ns = now + (int64_t)(10 * NS_PER_S);
			pod_wake_at(p, p->resize_retry_ns);
			return;
		}
		say(p, RESIZE_GOING, "");
		p->cg_wide = true;	/* room for both until it is done */
		p->cg_ready = false;
	}
	if (!qos_pod_ready(p))
		return;		/* its answer kicks */
	for (i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_EPHEMERAL || !c->id || c->state != C_RUNNING || !c->given || !wants(c) || c->busy)
			continue;
		if (!wants_restart(c)) {
			change(c);
		} else if (!c->stop_sent) {
			c->kill_why_spec = true;
			ctr_stop(c, ojson_get_i64(ojson_get(p->obj, "spec"), "terminationGracePeriodSeconds", 30),
				 "Container %s resize requires restart", c->name);
		}
	}
}

struct ojson *resize_spec(const struct ctr *c, const struct ojson *spec)
{
	struct ojson *copy = NULL;
	struct ojson *given = NULL;

	if (ojson_copy(spec, &copy))
		return NULL;
	/* what is put off or impossible is not given to a new one either */
	if (c->given && (c->pod->resize == RESIZE_DEFERRED || c->pod->resize == RESIZE_INFEASIBLE) &&
	    !ojson_copy(c->given, &given))
		(void)ojson_set(copy, "resources", given);
	return copy;
}

/* ---- the status -------------------------------------------------------------------------------------------- */

void resize_status(const struct ctr *c, struct ojson *status)
{
	struct ojson *copy = NULL;

	if (!c->given || !c->id || ojson_copy(c->given, &copy))
		return;
	if (ojson_get(copy, "requests"))
		(void)ojson_set(status, "allocatedResources", ojson_ref(ojson_get(copy, "requests")));
	(void)ojson_set(status, "resources", copy);
}

static void condition(const struct pod *p, struct ojson *list, const char *type, bool on, const char *reason,
		      const char *message, const char *now)
{
	const struct ojson *old = okube_condition(p->obj, type);
	struct ojson *c;

	if (!on && !old)
		return;
	c = ojson_new_object();
	(void)ojson_set_cstr(c, "type", type);
	if (!on) {
		(void)ojson_set_cstr(c, "$patch", "delete");
	} else {
		(void)ojson_set_i64(c, "observedGeneration", ojson_get_i64(ojson_get(p->obj, "metadata"), "generation", 0));
		(void)ojson_set_cstr(c, "status", "True");
		(void)ojson_put(c, "lastProbeTime", NULL);
		(void)ojson_set_cstr(c, "lastTransitionTime", ojson_get_cstr(old, "lastTransitionTime", now));
		if (*reason)
			(void)ojson_set_cstr(c, "reason", reason);
		if (*message)
			(void)ojson_set_cstr(c, "message", message);
	}
	(void)ojson_append(list, c);
}

void resize_conditions(const struct pod *p, struct ojson *list, const char *now)
{
	const char *why = p->resize_why ? p->resize_why : "";

	condition(p, list, "PodResizePending", p->resize == RESIZE_DEFERRED || p->resize == RESIZE_INFEASIBLE,
		  p->resize == RESIZE_DEFERRED ? "Deferred" : "Infeasible", why, now);
	condition(p, list, "PodResizeInProgress", p->resize == RESIZE_GOING || p->resize == RESIZE_ERROR,
		  p->resize == RESIZE_ERROR ? "Error" : "", p->resize == RESIZE_ERROR ? why : "", now);
}

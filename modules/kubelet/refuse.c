/*
 * refuse.c - asks once whether a pod may begin here, and fails it if not.
 */
#include "admit.h"

#include <string.h>
#include <unistd.h>

#include <orlop/inline/log.h>

static void reject(struct pod *p, const char *reason, const char *message)
{
	char text[1000];

	OLOG(p->k->h, WARN, "pod_rejected", "pod=%s/%s reason=%s why=\"%s\"", p->ns, p->name, reason, message);
	pod_event(p, NULL, "Warning", reason, "%s", message);
	snprintf(text, sizeof(text), "Pod was rejected: %s", message);
	p->rejected = true;
	pod_fail(p, reason, text, 0, false);
}

/* Does the API, and so the scheduler, count what it asked for as taken? */
static bool holds(const struct pod *p)
{
	const char *phase = p->obj ? ojson_get_cstr(ojson_get(p->obj, "status"), "phase", "") : "";

	return p->obj && !p->gone && !p->orphan && !p->finished && !p->fail_reason && !p->done && strcmp(phase, "Failed") &&
		strcmp(phase, "Succeeded");
}

/* ---- in the place of others --------------------------------------------------------------------- */

static bool is_victim(const struct pod *p)
{
	return p->fail_reason && !strcmp(p->fail_reason, PREEMPTED);
}

static bool runs(const struct pod *p)
{
	for (uint32_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == C_RUNNING)
			return true;
	return false;
}

/* As upstream it begins when they have ended. */
static bool waits_for_victims(struct pod *p)
{
	if (!p->preempting)
		return false;
	OMAP_FOREACH(&p->k->pods, e)
		if (is_victim(e->value) && runs(e->value))
			return true;
	p->preempting = false;
	return false;
}

void preempt_step(struct pod *p)
{
	if (!is_victim(p))
		return;
	OMAP_FOREACH(&p->k->pods, e) {
		struct pod *o = e->value;

		if (o->preempting)
			pod_kick(o);
	}
}

/* Room is made for a critical pod, or @a says why that cannot be. @pods: as a->others. */
static bool preempt(struct pod *p, struct admission *a, struct pod *const *pods)
{
	uint8_t *chosen = omem_alloc(a->n_others + 1);
	struct obuf why = OBUF_INIT;
	bool ok = chosen && !preempt_choose(a, chosen, &why);

	for (size_t i = 0; ok && i < a->n_others; i++) {
		struct pod *o = pods[i];

		if (!chosen[i])
			continue;
		OLOG(p->k->h, WARN, "preempting", "pod=%s/%s for=%s/%s", o->ns, o->name, p->ns, p->name);
		pod_event(o, NULL, "Warning", PREEMPTED, "%s", PREEMPTED_MESSAGE);
		pod_fail(o, PREEMPTED, PREEMPTED_MESSAGE, ojson_get_i64(ojson_get(o->obj, "spec"), "terminationGracePeriodSeconds", 30),
			 true);
		p->preempting = true;
	}
	if (!ok) {
		snprintf(a->reason, sizeof(a->reason), "UnexpectedAdmissionError");
		obuf_printf(a->message, "Unexpected error while attempting to recover from admission failure: preemption: error finding "
			    "a set of pods to preempt: %s", why.len ? obuf_cstr(&why) : "no memory");
	}
	obuf_done(&why);
	omem_free(chosen);
	return ok;
}

bool pod_admitted(struct pod *p)
{
	struct kubelet *k = p->k;
	const struct ojson **others;
	struct pod **pods;
	struct obuf message = OBUF_INIT;
	struct ojson *node;
	struct admission a;
	bool ok;
	int i;

	if (p->admitted)
		return !waits_for_victims(p);
	/* what has begun once has been admitted */
	if (p->sb != SB_NONE || p->sb_attempt || *ojson_get_cstr(ojson_get(p->obj, "status"), "startTime", "")) {
		p->admitted = true;
		return true;
	}
	others = omem_zalloc_array(omap_count(&k->pods) + 1, sizeof(*others));
	pods = omem_zalloc_array(omap_count(&k->pods) + 1, sizeof(struct pod *));
	if (!others || !pods) {
		omem_free(others);
		omem_free(pods);
		return false;
	}
	memset(&a, 0, sizeof(a));
	OMAP_FOREACH(&k->pods, e) {
		struct pod *o = e->value;

		if (o == p || !o->admitted || !holds(o))
			continue;
		pods[a.n_others] = o;
		others[a.n_others++] = o->obj;
	}
	node = kubelet_get(k, k->in_nodes, "", k->node_name);
	a.pod = p->obj;
	a.node = node;
	a.others = others;
	a.free = limits_allocatable(k->limits, node_machine(k));
	a.max_pods = k->limits->max_pods;
	a.message = &message;
	a.allowed_sysctls = k->h->param(k->h, "allowed_unsafe_sysctls");
	a.apparmor = !access("/sys/kernel/security/apparmor", F_OK);
	a.shutdown = k->shutting_down;
	for (i = 0; i < N_PRESSURES; i++)
		a.pressure[i] = evict_pressure(k, (enum pressure)i);
	ok = admit_pod(&a) && (!a.lacking || preempt(p, &a, pods));
	if (ok)
		p->admitted = true;
	else
		reject(p, a.reason, obuf_cstr(&message));
	ojson_unref(node);
	obuf_done(&message);
	omem_free(others);
	omem_free(pods);
	return ok && !waits_for_victims(p);
}

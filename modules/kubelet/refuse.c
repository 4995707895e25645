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

bool pod_admitted(struct pod *p)
{
	struct kubelet *k = p->k;
	const struct ojson **others;
	struct obuf message = OBUF_INIT;
	struct ojson *node;
	struct admission a;
	bool ok;
	int i;

	if (p->admitted)
		return true;
	/* what has begun once has been admitted */
	if (p->sb != SB_NONE || p->sb_attempt || *ojson_get_cstr(ojson_get(p->obj, "status"), "startTime", "")) {
		p->admitted = true;
		return true;
	}
	others = omem_zalloc_array(omap_count(&k->pods) + 1, sizeof(*others));
	if (!others)
		return false;
	memset(&a, 0, sizeof(a));
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *o = e->value;

		if (o != p && o->admitted && holds(o))
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
	ok = admit_pod(&a);
	if (ok)
		p->admitted = true;
	else
		reject(p, a.reason, obuf_cstr(&message));
	ojson_unref(node);
	obuf_done(&message);
	omem_free(others);
	return ok;
}

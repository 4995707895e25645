/*
 * ctrstop.c - a container is to end: its preStop hook, its turn, the runtime's stop.
 *
 * All of it happens within one grace, which begins when the stop is decided; the last step has at least two seconds.
 * In a pod that is ended sidecars wait for the main containers and for the sidecars that were started after them.
 * Source: pkg/kubelet/kuberuntime (killContainer, kuberuntime_termination_order.go).
 */
#include "ctr.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <orlop/inline/log.h>

#define GRACE_MIN_S	2

static int64_t left_s(const struct ctr *c)
{
	int64_t left = c->stop_until_ns - kubelet_now(c->pod->k);

	left = left > 0 ? (left + (int64_t)NS_PER_S - 1) / (int64_t)NS_PER_S : 0;
	return left < GRACE_MIN_S ? GRACE_MIN_S : left;
}

static void stopped(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct ctr *c = arg;

	(void)res;
	(void)msg;
	if (status < 0 && !c->pod->k->stopping) {
		OLOG(c->pod->k->h, WARN, "container_not_stopped", "pod=%s/%s container=%s why=\"%s\" retrying=1",
		     c->pod->ns, c->pod->name, c->name, why);
		c->stop_sent = false;
		c->stop_step = STOP_NONE;
	}
	ctr_check(c);
	pod_unref(c->pod);
}

static void stop_send(struct ctr *c)
{
	struct pod *p = c->pod;
	struct ojson *body = rt_id("containerId", c->id);
	/* the whole grace is what was asked for, however little of it is left */
	int64_t grace = c->stop_short ? c->stop_grace_s : left_s(c);

	c->stop_step = STOP_SENT;
	(void)ojson_set_i64(body, "timeout", grace);
	pod_ref(p);
	/* no order key: it may take as long as the grace, and others must not wait for it */
	rt_call(p->k, ORLOP_RUNTIME_STOP_CONTAINER, 0, body, (uint64_t)(grace + 60) * NS_PER_S, stopped, c);
}

/* Has everybody ended who goes before it? */
static bool is_its_turn(const struct ctr *c)
{
	const struct pod *p = c->pod;
	bool behind = false;
	uint32_t i;

	if (c->kind != CTR_SIDECAR || !(p->term || p->finished))
		return true;
	for (i = 0; i < p->n_ctrs; i++) {
		const struct ctr *o = p->ctrs[i];

		if (o == c)
			behind = true;
		else if ((o->state == C_RUNNING || o->busy) && (o->kind == CTR_MAIN || (behind && o->kind == CTR_SIDECAR)))
			return false;
	}
	return true;
}

void ctr_stop_turn(struct ctr *c)
{
	if (c->stop_step != STOP_TURN || c->state != C_RUNNING || c->pod->k->stopping)
		return;
	if (is_its_turn(c) || kubelet_now(c->pod->k) >= c->stop_until_ns)
		stop_send(c);
	else
		pod_wake_at(c->pod, c->stop_until_ns);
}

/* The hook is over, or its time. */
static void go_on(struct ctr *c)
{
	hook_cancel(c->hook);
	c->hook = NULL;
	c->pod->k->h->timer_free(c->hook_timer);
	c->hook_timer = NULL;
	c->stop_step = STOP_TURN;
	ctr_stop_turn(c);
	pod_kick(c->pod);
}

static void hook_done(struct ctr *c, const char *why)
{
	c->hook = NULL;
	/* what the hook said stays here: it may be a secret */
	if (why && !c->pod->k->stopping)
		pod_event(c->pod, c, "Warning", "FailedPreStopHook", "PreStopHook failed");
	go_on(c);
}

static void hook_late(void *arg)
{
	struct ctr *c = arg;

	go_on(c);
}

static bool prestop(struct ctr *c)
{
	struct kubelet *k = c->pod->k;
	int64_t left = c->stop_until_ns - kubelet_now(k);

	if (left <= 0 || !OJSON_AT(ctr_spec(c), "lifecycle", "preStop"))
		return false;
	c->stop_step = STOP_HOOK;
	c->hook = hook_start(c, "preStop", (left + (int64_t)NS_PER_S - 1) / (int64_t)NS_PER_S, hook_done);
	if (!c->hook)
		return false;
	if (!k->h->timer_new(k->h, hook_late, c, &c->hook_timer))
		k->h->timer_set(c->hook_timer, (uint64_t)left, 0);
	return true;
}

/* It has ended: nothing of this matters any more. */
void ctr_stop_forget(struct ctr *c)
{
	hook_cancel(c->hook);
	c->hook = NULL;
	c->pod->k->h->timer_free(c->hook_timer);
	c->hook_timer = NULL;
	c->starting = false;
	c->stop_step = STOP_NONE;
}

void ctr_stop(struct ctr *c, int64_t grace_s, const char *fmt, ...)
{
	bool again = c->stop_sent;
	char text[300];
	va_list ap;

	if (!c->id || c->state != C_RUNNING || (again && grace_s >= c->stop_grace_s))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->stop_sent = true;
	c->stop_grace_s = grace_s;
	c->stop_short = again;
	if (!again || kubelet_now(c->pod->k) + grace_s * (int64_t)NS_PER_S < c->stop_until_ns)
		c->stop_until_ns = kubelet_now(c->pod->k) + grace_s * (int64_t)NS_PER_S;
	probes_spare(c);
	if (again) {
		/* less time than was said: the hook may use it, too */
		if (c->stop_step == STOP_HOOK && c->hook_timer && c->stop_until_ns > kubelet_now(c->pod->k))
			c->pod->k->h->timer_set(c->hook_timer, (uint64_t)(c->stop_until_ns - kubelet_now(c->pod->k)), 0);
		else if (c->stop_step == STOP_SENT)
			stop_send(c);
		else
			go_on(c);
		return;
	}
	pod_event(c->pod, c, "Normal", "Killing", "%s", text);
	hook_cancel(c->hook);	/* postStart */
	c->hook = NULL;
	if (!prestop(c))
		go_on(c);
}

/*
 * shutdown.c - the machine is going down: pods end in order, the critical ones last, and none begins any more.
 *
 * `orlop module set kubelet shutdown=true` begins it (`orlop down --shutdown`, which the unit runs, does so); the health line says
 * how many are left, and ends with "0 pods left" when the API knows of all. shutdown_grace_period is for all, of it shutdown_grace_period_critical_pods for the critical ones; with
 * 0 each pod has its own grace. `shutdown=false` takes it back.
 * Source: pkg/kubelet/nodeshutdown (KEP-2000).
 */
#include "admit.h"
#include "shutdown.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"

#define REASON	"Terminated"
#define MESSAGE	"Pod was terminated in response to imminent node shutdown."

static bool is_left(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == C_RUNNING)
			return true;
	return false;
}

/* It has ended, and the API has not heard of it. Where nobody listens the machine does not wait. */
static bool is_untold(const struct pod *p)
{
	const char *phase = ojson_cstr(OJSON_AT(p->obj, "status", "phase"), "");
	uint32_t i;

	/* an image may take an hour, and nothing is told before: only who is just being started is waited for */
	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->busy && !(p->ctrs[i]->state == C_WAITING && p->ctrs[i]->id))
			return false;
	return p->fail_reason && !p->orphan && !p->gone && !p->is_static && !p->send_failures && !okube_deleting(p->obj) &&
	       strcmp(phase, "Failed") != 0 && strcmp(phase, "Succeeded") != 0;
}

uint32_t shutdown_left(const struct kubelet *k)
{
	uint32_t n = 0;

	OMAP_FOREACH(&k->pods, e)
		n += is_left(e->value) || is_untold(e->value);
	return n;
}

/* Waits for the end of all. */
struct waiter {
	struct olist	node;
	struct kubelet	*k;
	struct orlop_call *call;
};

static void waiter_answer(struct waiter *w, int32_t status)
{
	struct kubelet *k = w->k;
	struct orlop_call *call = w->call;

	olist_del(&w->node);
	omem_free(w);
	k->h->call_on_cancel(call, NULL, NULL);
	k->h->call_done(call, status, NULL, NULL);
}

static void waiter_gone(void *arg)
{
	waiter_answer(arg, -ECANCELED);
}

static void waiters_answer(struct kubelet *k, int32_t status)
{
	while (!olist_empty(&k->end_waits))
		waiter_answer(OLIST_ENTRY(olist_first(&k->end_waits), struct waiter, node), status);
}

void shutdown_look(struct kubelet *k)
{
	if (!olist_empty(&k->end_waits) && !shutdown_left(k))
		waiters_answer(k, 0);
}

void shutdown_stop(struct kubelet *k)
{
	waiters_answer(k, -ECANCELED);
}

static int op_ended(void *ctx, const struct orlop_req *req, struct orlop_call *call, struct orlop_error *err)
{
	struct kubelet *k = ctx;
	struct waiter *w;

	(void)req;
	if (!k->shutting_down)
		return orlop_fail(err, EINVAL, 0, "", "the machine is not shutting down: shutdown=false");
	w = OMEM_NEW(struct waiter);
	if (!w)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	w->k = k;
	w->call = call;
	olist_append(&k->end_waits, &w->node);
	k->h->call_on_cancel(call, waiter_gone, w);
	shutdown_look(k);
	return 0;
}

const struct orlop_kubelet_ops kubelet_ops = {
	.size = sizeof(kubelet_ops),
	.ended = op_ended,
};

static int64_t priority(const struct pod *p)
{
	return ojson_i64(OJSON_AT(p->obj, "spec", "priority"), 0);
}

/* The lowest priority that still runs ends now; one after the other when the time is for each pod itself. */
void shutdown_step(struct kubelet *k)
{
	int64_t critical_s = k->limits->shutdown_critical_ns / (int64_t)NS_PER_S;
	int64_t others_s = k->limits->shutdown_ns / (int64_t)NS_PER_S - critical_s;
	bool ordinary = false;

	if (!k->shutting_down)
		return;
	shutdown_look(k);
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		ordinary |= !p->orphan && p->obj && is_left(p) && !pod_is_critical(p->obj);
	}
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		int64_t own;
		int64_t grace;

		if (p->orphan || !p->obj || p->term || p->finished || p->fail_reason || (ordinary && pod_is_critical(p->obj)))
			continue;
		own = ojson_get_i64(ojson_get(p->obj, "spec"), "terminationGracePeriodSeconds", 30);
		grace = pod_is_critical(p->obj) ? critical_s : others_s;
		if (!k->limits->shutdown_ns || own < grace)
			grace = own;
		OLOG(k->h, INFO, "shutdown_pod", "pod=%s/%s priority=%lld grace_s=%lld", p->ns, p->name, (long long)priority(p),
		     (long long)grace);
		pod_event(p, NULL, "Normal", "TerminatingNodeShutdown", "%s", MESSAGE);
		pod_fail(p, REASON, MESSAGE, grace, true);
	}
}

/* Its end had begun, by eviction or shutdown, when the kubelet before us went. */
void pod_disrupted(struct pod *p)
{
	const struct ojson *c = okube_condition(p->obj, "DisruptionTarget");
	const char *message = ojson_get_cstr(c, "message", "");

	if (strcmp(ojson_get_cstr(c, "reason", ""), "TerminationByKubelet") || strcmp(ojson_get_cstr(c, "status", ""), "True"))
		return;
	if (!strcmp(message, PREEMPTED_CONDITION)) {
		text_set(&p->fail_reason, PREEMPTED);
		text_set(&p->fail_message, PREEMPTED_MESSAGE);
	} else {
		text_set(&p->fail_reason, strcmp(message, MESSAGE) ? "Evicted" : REASON);
		text_set(&p->fail_message, message);
	}
	p->fail_grace = 1;
	p->disruption = true;
}

void shutdown_begin(struct kubelet *k, bool on)
{
	if (k->shutting_down == on)
		return;
	k->shutting_down = on;
	if (!on)
		waiters_answer(k, -ECANCELED);
	OLOG(k->h, WARN, on ? "node_shutdown" : "node_shutdown_cancelled", "pods=%u", shutdown_left(k));
	if (on)
		node_event(k, "Normal", "Shutdown", "Shutdown manager detected shutdown event");
	node_tell(k);
	shutdown_step(k);
}

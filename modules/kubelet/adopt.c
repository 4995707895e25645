/*
 * adopt.c - what the runtime has against what is known: at start everything that runs is taken over,
 * later (after lost events) what has changed is noticed; what nobody wants is ended.
 *
 * Nothing is restarted here: a container is its pod's by the labels that it was created with.
 */
#include "kubelet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/log.h>

#define AGAIN_NS	(5 * NS_PER_S)

static void sandboxes_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			  const char *why);

static void retry(void *arg)
{
	struct kubelet *k = arg;

	if (k->relisting && !k->stopping)
		rt_call(k, ORLOP_RUNTIME_LIST_SANDBOXES, 0, NULL, 0, sandboxes_got, k);
}

static void relist_end(struct kubelet *k)
{
	bool again = k->relist_again;

	k->relisting = false;
	k->relist_again = false;
	if (k->running)
		adopt_cleanup(k);
	if (!k->adopted) {
		k->adopted = true;
		kubelet_maybe_run(k);	/* cleans up when the cache is complete */
	}
	OMAP_FOREACH(&k->pods, e)
		pod_kick(e->value);
	if (again)
		adopt_start(k);
}

/* ---- containers ------------------------------------------------------------------------------------------- */

static const char *label(const struct ojson *item, const char *key)
{
	return ojson_get_cstr(ojson_get(item, "labels"), key, "");
}

struct status_ask {
	struct kubelet	*k;
	struct ctr	*c;
	bool		previous;
};

static void status_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct status_ask *a = arg;
	struct kubelet *k = a->k;
	struct ctr *c = a->c;
	struct pod *p = c->pod;
	const struct ojson *st = ojson_get(res, "status");

	(void)msg;
	if (status < 0 || !st) {
		if (!k->stopping)
			OLOG(k->h, WARN, "container_status", "pod=%s/%s container=%s why=\"%s\"", p->ns, p->name, c->name,
			     why);
	} else if (a->previous) {
		struct ctr tmp = { .pod = p, .name = c->name, .id = c->prev_id };

		tmp.started_ns = ojson_get_i64(st, "startedAt", 0);
		tmp.finished_ns = ojson_get_i64(st, "finishedAt", 0);
		tmp.exit_code = (int32_t)ojson_get_i64(st, "exitCode", 0);
		tmp.exit_reason = (char *)(uintptr_t)ojson_get_cstr(st, "reason", "");
		ojson_unref(c->last);
		c->last = ctr_terminated(&tmp);
	} else if (!strcmp(ojson_get_cstr(st, "state", ""), "CONTAINER_CREATED") && !c->stale && p->sb != SB_NONE &&
		   !k->stopping) {
		ctr_start_created(c);
	} else {
		ctr_apply_status(c, st);
		if (c->state == C_RUNNING)
			probes_start(c);
	}
	omem_free(a);
	if (--k->adopt_left == 0 && !k->stopping)
		relist_end(k);
	pod_unref(p);
}

static void ask_status(struct kubelet *k, struct ctr *c, const char *id, bool previous)
{
	struct status_ask *a = OMEM_NEW(struct status_ask);

	if (!a)
		return;
	a->k = k;
	a->c = c;
	a->previous = previous;
	k->adopt_left++;
	pod_ref(c->pod);
	rt_call(k, ORLOP_RUNTIME_CONTAINER_STATUS, 0, rt_id("containerId", id), 0, status_got, a);
}

static void later(void *arg)
{
	adopt_start(arg);
}

void adopt_later(struct kubelet *k)
{
	if (k->stopping || (!k->adopt_timer && k->h->timer_new(k->h, later, k, &k->adopt_timer)))
		return;
	k->h->timer_set(k->adopt_timer, AGAIN_NS, 0);
}

static void removed(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct kubelet *k = arg;

	(void)res;
	(void)msg;
	if (status < 0 && !k->stopping) {
		OLOG(k->h, WARN, "leftover_not_removed", "why=\"%s\" retrying_in=5s", why);
		adopt_later(k);
	}
}

static uint32_t attempt_of(const struct ojson *item)
{
	const char *text = ojson_cstr(OJSON_AT(item, "annotations", "io.kubernetes.container.restartCount"), NULL);

	return text ? (uint32_t)strtoul(text, NULL, 10)
		    : (uint32_t)ojson_i64(OJSON_AT(item, "metadata", "attempt"), 0);
}

static void remove_one(struct kubelet *k, const char *id)
{
	OLOG(k->h, INFO, "leftover_container", "container=%s removing=1", id);
	rt_call(k, ORLOP_RUNTIME_REMOVE_CONTAINER, 0, rt_id("containerId", id), 0, removed, k);
}

/* A container of a pod that we know, in the first pass. */
static void adopt_container(struct kubelet *k, struct pod *p, const struct ojson *item)
{
	struct ctr *c = pod_ctr(p, label(item, "io.kubernetes.container.name"));
	const char *id = ojson_get_cstr(item, "id", "");
	const char *hash = ojson_cstr(OJSON_AT(item, "annotations", "io.kubernetes.container.hash"), "");
	uint32_t attempt = attempt_of(item);

	if (!c) {
		remove_one(k, id);
		return;
	}
	if ((c->id && !strcmp(c->id, id)) || (c->prev_id && !strcmp(c->prev_id, id)))
		return;		/* the pass was begun once more */
	if (c->id && attempt > c->attempt) {
		if (c->prev_id)
			remove_one(k, c->prev_id);
		omem_free(c->prev_id);
		c->prev_id = c->id;
		c->id = NULL;
	} else if (c->id) {
		if (!c->prev_id && attempt < c->attempt)
			text_set(&c->prev_id, id);
		else
			remove_one(k, id);
		return;
	}
	text_set(&c->id, id);
	c->attempt = attempt;
	c->restarts = attempt;
	if (*hash)
		c->hash = (uint32_t)strtoul(hash, NULL, 16);
	text_set(&c->image_ref, ojson_get_cstr(item, "imageRef", ""));
	text_set(&c->image_id, ojson_get_cstr(item, "imageId", ""));
	if (strcmp(ojson_get_cstr(item, "podSandboxId", ""), p->sb_id ? p->sb_id : ""))
		c->stale = true;
}

/* Later passes: has what we know changed? */
static void compare_container(struct kubelet *k, struct pod *p, const struct ojson *item)
{
	const char *id = ojson_get_cstr(item, "id", "");
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->busy)
			return;		/* it may be this one's: its answer is on its way */
		if ((c->id && !strcmp(c->id, id)) || (c->prev_id && !strcmp(c->prev_id, id))) {
			if (c->id && !strcmp(c->id, id) && c->state == C_RUNNING)
				ctr_check(c);
			return;
		}
	}
	remove_one(k, id);
}

/* A container of a pod that nobody knows. A later pass lists those of the first again. */
static void orphan_container(struct pod *p, const struct ojson *item)
{
	const char *id = ojson_get_cstr(item, "id", "");
	struct ctr *c;
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->id && !strcmp(p->ctrs[i]->id, id))
			return;
	c = ctr_add(p, label(item, "io.kubernetes.container.name"), CTR_MAIN);
	if (!c)
		return;
	/* one that was never started has nothing to be stopped, and would never end */
	c->state = !strcmp(ojson_get_cstr(item, "state", ""), "CONTAINER_RUNNING") ? C_RUNNING : C_EXITED;
	c->id = omem_strdup(id);
}

static void containers_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			   const char *why)
{
	struct kubelet *k = arg;

	(void)msg;
	if (k->stopping)
		return;
	if (status < 0) {
		OLOG(k->h, WARN, "runtime_list", "why=\"%s\" retrying=1", why);
		k->relisting = false;
		if (!k->adopted)
			adopt_start(k);
		else
			adopt_later(k);
		return;
	}
	k->adopt_left = 1;
	OJSON_FOREACH_ELEM(i, item, ojson_get(res, "containers")) {
		const char *uid = label(item, "io.kubernetes.pod.uid");
		struct pod *p = *uid ? pod_get(k, uid) : NULL;

		if (p && !p->orphan && k->adopted) {
			compare_container(k, p, item);
		} else if (p && !p->orphan) {
			adopt_container(k, p, item);
		} else if (*uid) {
			/* of nobody: ended with its sandbox */
			if (!p)
				p = pod_orphan(k, uid, label(item, "io.kubernetes.pod.namespace"),
					       label(item, "io.kubernetes.pod.name"));
			if (p) {
				orphan_container(p, item);
				pod_kick(p);
			}
		}
	}
	if (!k->adopted) {
		OMAP_FOREACH(&k->pods, e) {
			struct pod *p = e->value;
			uint32_t i;

			for (i = 0; i < p->n_ctrs && !p->orphan; i++) {
				if (p->ctrs[i]->id)
					ask_status(k, p->ctrs[i], p->ctrs[i]->id, false);
				if (p->ctrs[i]->prev_id)
					ask_status(k, p->ctrs[i], p->ctrs[i]->prev_id, true);
			}
		}
	}
	if (--k->adopt_left == 0)
		relist_end(k);
}

/* ---- sandboxes --------------------------------------------------------------------------------------------- */

/* First pass: the newest ready one is the pod's, in whatever order they are listed. */
static void adopt_sandbox(struct kubelet *k, struct pod *p, const struct ojson *item)
{
	const char *id = ojson_get_cstr(item, "id", "");
	bool ready = !strcmp(ojson_get_cstr(item, "state", ""), "SANDBOX_READY");
	uint32_t attempt = (uint32_t)ojson_i64(OJSON_AT(item, "metadata", "attempt"), 0);
	bool newest = attempt >= p->sb_attempt;

	if (p->sb_id && !strcmp(p->sb_id, id))
		return;		/* the pass was begun once more */
	if (newest)
		p->sb_attempt = attempt + 1;
	if (p->sb_id && (!ready || (!newest && p->sb == SB_ATTACHING))) {
		(void)omap_put_cstr(&k->unknown, id, NULL);
		return;
	}
	if (p->sb_id)
		(void)omap_put_cstr(&k->unknown, p->sb_id, NULL);
	text_set(&p->sb_id, id);
	p->sb = ready ? SB_ATTACHING : SB_NONE;
}

static void sandboxes_got(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			  const char *why)
{
	struct kubelet *k = arg;

	(void)msg;
	if (k->stopping)
		return;
	if (status < 0) {
		OLOG(k->h, WARN, "runtime_list", "why=\"%s\" retrying=1", why);
		if (!k->poll_timer || status == -ECANCELED)
			return;
		/* the request itself waits for the runtime to come */
		k->h->post(k->h, retry, k);
		return;
	}
	OJSON_FOREACH_ELEM(i, item, ojson_get(res, "items")) {
		const char *uid = label(item, "io.kubernetes.pod.uid");
		const char *id = ojson_get_cstr(item, "id", "");
		struct pod *p = *uid ? pod_get(k, uid) : NULL;

		if (!*uid)
			continue;	/* not made for a pod of Kubernetes */
		if (!p)
			p = pod_orphan(k, uid, label(item, "io.kubernetes.pod.namespace"),
				       label(item, "io.kubernetes.pod.name"));
		if (!p)
			continue;
		if (!k->adopted || (p->orphan && !p->sb_id))
			adopt_sandbox(k, p, item);
		else if (p->sb == SB_MAKING)
			adopt_later(k);	/* it may be the one that is being made, or one before */
		else if (!p->sb_id || strcmp(p->sb_id, id))
			(void)omap_put_cstr(&k->unknown, id, NULL);
		if (p->orphan && p->sb == SB_ATTACHING)
			p->sb = SB_READY;
	}
	rt_call(k, ORLOP_RUNTIME_LIST_CONTAINERS, 0, NULL, 0, containers_got, k);
}

void adopt_start(struct kubelet *k)
{
	if (k->stopping)
		return;
	if (k->relisting) {
		k->relist_again = true;
		return;
	}
	k->relisting = true;
	rt_call(k, ORLOP_RUNTIME_LIST_SANDBOXES, 0, NULL, 0, sandboxes_got, k);
}

/* ---- what nobody wants ----------------------------------------------------------------------------------------- */

static void leftover_stopped(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg,
			     const char *why)
{
	removed(arg, status, res, msg, why);
}

void adopt_cleanup(struct kubelet *k)
{
	OMAP_FOREACH(&k->unknown, u) {
		OLOG(k->h, INFO, "leftover_sandbox", "sandbox=%s removing=1", u->key);
		cni_call(k, ORLOP_CNI_DEL, 1, u->key, NULL, NULL, leftover_stopped, k);
		rt_call(k, ORLOP_RUNTIME_STOP_SANDBOX, 1, rt_id("podSandboxId", u->key), 0, leftover_stopped, k);
		rt_call(k, ORLOP_RUNTIME_REMOVE_SANDBOX, 1, rt_id("podSandboxId", u->key), 0, removed, k);
	}
	omap_clear(&k->unknown);
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;

		/* found running: its address is asked of cni; a finished or ending pod needs none */
		if (p->sb == SB_ATTACHING && p->sb_id && !p->netns && !p->ip && !p->orphan) {
			if (p->finished || p->term)
				p->sb = SB_READY;
			else
				sandbox_attach(p);
		}
	}
	cni_gc(k);
}

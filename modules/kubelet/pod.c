/*
 * pod.c - pods by uid, and the one function that decides what each needs next.
 */
#include "admit.h"
#include "qos.h"
#include "resize.h"
#include "shutdown.h"
#include "statics.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ohash.h"
#include "base/ostr.h"
#include "base/otime.h"

void text_set(char **p, const char *value)
{
	char *n;

	if (*p && value && !strcmp(*p, value))
		return;
	n = value ? omem_strdup(value) : NULL;
	omem_free(*p);
	*p = n;
}

struct pod *pod_get(struct kubelet *k, const char *uid)
{
	return omap_get_cstr(&k->pods, uid);
}

struct pod *pod_by_name(struct kubelet *k, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct pod *found = NULL;

	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;

		if (ostr_is(ns.p, ns.len, p->ns) && ostr_is(name.p, name.len, p->name) && (!found || found->term))
			found = p;
	}
	return found;
}

struct ctr *pod_ctr(struct pod *p, const char *name)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (!strcmp(p->ctrs[i]->name, name))
			return p->ctrs[i];
	return NULL;
}

const char *ctr_list(const struct ctr *c)
{
	return c->kind == CTR_MAIN ? "containers" : c->kind == CTR_EPHEMERAL ? "ephemeralContainers" : "initContainers";
}

const char *ctr_status_list(const struct ctr *c)
{
	return c->kind == CTR_MAIN ? "containerStatuses"
		: c->kind == CTR_EPHEMERAL ? "ephemeralContainerStatuses" : "initContainerStatuses";
}

struct ojson *ctr_spec(const struct ctr *c)
{
	OJSON_FOREACH_ELEM(i, s, OJSON_AT(c->pod->obj, "spec", ctr_list(c))) {
		if (!strcmp(ojson_get_cstr(s, "name", ""), c->name))
			return s;
	}
	return NULL;
}

void pod_ref(struct pod *p)
{
	p->refs++;
}

void pod_free(struct pod *p)
{
	uint32_t i;

	turn_forget(p);
	for (i = 0; i < p->n_ctrs; i++)
		ctr_free(p->ctrs[i]);
	tokens_free(p);
	omap_done(&p->refs_map);
	p->k->h->timer_free(p->timer);
	ojson_unref(p->obj);
	ojson_unref(p->sent);
	omem_free(p->ctrs);
	omem_free(p->uid);
	omem_free(p->ns);
	omem_free(p->name);
	omem_free(p->sb_id);
	omem_free(p->netns);
	omem_free(p->ip);
	omem_free(p->ip2);
	omem_free(p->vol_error);
	omem_free(p->fail_reason);
	omem_free(p->fail_message);
	omem_free(p->resize_why);
	omem_free(p->mirror_uid);
	omem_free(p);
}

void pod_unref(struct pod *p)
{
	if (--p->refs == 0)
		pod_free(p);
}

void pod_forget(struct pod *p)
{
	if (p->done)
		return;
	p->done = true;
	if (omap_get_cstr(&p->k->pods, p->uid) == p)
		omap_del(&p->k->pods, p->uid, strlen(p->uid));
	p->k->h->timer_clear(p->timer);
	turn_forget(p);
	if (p->is_static)
		mirror_forget(p);
	pod_unref(p);
}

void pod_event(struct pod *p, const struct ctr *c, const char *type, const char *reason, const char *fmt, ...)
{
	char path[320];
	char msg[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (c)
		snprintf(path, sizeof(path), "spec.%s{%s}", ctr_list(c), c->name);
	if (p->orphan || !p->k->events)
		return;
	okube_event(p->k->events, "v1", "Pod", p->obj, c ? path : NULL, type, reason, "%s", msg);
}

static void timer_fired(void *arg)
{
	pod_kick(arg);
}

static struct pod *pod_new(struct kubelet *k, const char *uid, const char *ns, const char *name)
{
	struct pod *p = OMEM_NEW(struct pod);

	if (!p)
		return NULL;
	p->k = k;
	p->refs = 1;
	olist_init(&p->tokens);
	olist_init(&p->turn);
	omap_init(&p->refs_map);
	p->uid = omem_strdup(uid);
	p->ns = omem_strdup(ns);
	p->name = omem_strdup(name);
	p->key = ohash_fnv1a64(OHASH_FNV64_INIT, uid, strlen(uid)) | 1;
	if (!p->uid || !p->ns || !p->name || k->h->timer_new(k->h, timer_fired, p, &p->timer) ||
	    omap_put_cstr(&k->pods, uid, p)) {
		pod_free(p);
		return NULL;
	}
	return p;
}

struct pod *pod_orphan(struct kubelet *k, const char *uid, const char *ns, const char *name)
{
	struct pod *p = pod_get(k, uid);

	if (p)
		return p;
	p = pod_new(k, uid, ns, name);
	if (p) {
		p->orphan = true;
		p->gone = true;
	}
	return p;
}

struct ctr *ctr_add(struct pod *p, const char *name, enum ctr_kind kind)
{
	struct ctr **list = omem_realloc_array(p->ctrs, p->n_ctrs + 1, sizeof(*list));
	struct ctr *c;

	if (!list)
		return NULL;
	p->ctrs = list;
	c = OMEM_NEW(struct ctr);
	if (!c)
		return NULL;
	c->pod = p;
	c->kind = kind;
	c->image_uid = -1;
	c->name = omem_strdup(name);
	if (!c->name) {
		omem_free(c);
		return NULL;
	}
	list[p->n_ctrs++] = c;
	return c;
}

/* Those of the spec that are not there yet; later only ephemeral ones come. */
static int ctrs_make(struct pod *p)
{
	static const struct { const char *list; enum ctr_kind kind; } lists[] = {
		{ "initContainers", CTR_INIT }, { "containers", CTR_MAIN }, { "ephemeralContainers", CTR_EPHEMERAL },
	};
	const struct ojson *spec = ojson_get(p->obj, "spec");
	size_t l;

	for (l = 0; l < 3; l++) {
		OJSON_FOREACH_ELEM(i, s, ojson_get(spec, lists[l].list)) {
			const char *name = ojson_get_cstr(s, "name", "");
			enum ctr_kind kind = lists[l].kind;
			struct ctr *c;

			if (kind == CTR_INIT && !strcmp(ojson_get_cstr(s, "restartPolicy", ""), "Always"))
				kind = CTR_SIDECAR;
			if (pod_ctr(p, name))
				continue;
			c = ctr_add(p, name, kind);
			if (!c)
				return -ENOMEM;
			c->hash = ctr_spec_hash(s);
		}
	}
	return 0;
}

static void ref_add(void *arg, char kind, const char *name)
{
	struct pod *p = arg;
	char key[300];

	snprintf(key, sizeof(key), "%c/%s", kind, name);
	(void)omap_put_cstr(&p->refs_map, key, p);
}

/* What the API last heard, so that nothing is said twice after a restart; and what only it remembers. */
static void status_recall(struct pod *p)
{
	const struct ojson *st = ojson_get(p->obj, "status");
	const char *phase = ojson_get_cstr(st, "phase", "");

	p->finished = !strcmp(phase, "Succeeded") || !strcmp(phase, "Failed");
	if (p->finished && *ojson_get_cstr(st, "reason", "")) {
		text_set(&p->fail_reason, ojson_get_cstr(st, "reason", ""));
		text_set(&p->fail_message, ojson_get_cstr(st, "message", ""));
		/* it was refused: nothing of it ever was */
		p->rejected = !strcmp(phase, "Failed") && !ojson_count(ojson_get(st, "containerStatuses"));
	}
	if (!p->finished)
		pod_disrupted(p);
}

void pod_static(struct kubelet *k, struct ojson *take_obj)
{
	const char *uid = okube_meta(take_obj, "uid");
	struct pod *p = pod_get(k, uid);

	if (p) {
		/* its manifest has come back while it ends: it is begun anew when that is over */
		p->again |= p->gone;
		ojson_unref(take_obj);
		return;
	}
	p = pod_new(k, uid, okube_meta(take_obj, "namespace"), okube_meta(take_obj, "name"));
	if (!p) {
		ojson_unref(take_obj);
		return;
	}
	p->is_static = true;
	p->obj = take_obj;
	if (ctrs_make(p))
		OLOG(k->h, WARN, "pod_not_kept", "pod=%s/%s why=\"no memory\"", p->ns, p->name);
	if (k->in_pods)
		okube_informer_relist(k->in_pods);	/* its mirror may be there already */
	pod_kick(p);
}

void pod_update(struct kubelet *k, const struct orlop_object *o)
{
	struct ojson *obj = okube_parse(o);
	const char *uid = okube_meta(obj, "uid");
	struct pod *p = pod_get(k, uid);
	bool first = !p || p->orphan;
	bool meta;

	if (obj && mirror_is(obj)) {
		mirror_seen(k, obj);
		ojson_unref(obj);
		return;
	}
	if (obj && !p)
		p = pod_new(k, uid, okube_meta(obj, "namespace"), okube_meta(obj, "name"));
	if (!obj || !p) {
		ojson_unref(obj);
		kubelet_missed(k);
		return;
	}
	meta = p->obj && (!ojson_equal(OJSON_AT(p->obj, "metadata", "labels"), OJSON_AT(obj, "metadata", "labels")) ||
			  !ojson_equal(OJSON_AT(p->obj, "metadata", "annotations"),
				       OJSON_AT(obj, "metadata", "annotations")));
	report_seen(p, obj);
	ojson_unref(p->obj);
	p->obj = obj;
	if (first) {
		p->orphan = false;
		p->gone = false;
		status_recall(p);
		pod_refs_each(obj, ref_add, p);
	}
	if (ctrs_make(p)) {
		OLOG(k->h, WARN, "pod_not_kept", "pod=%s/%s why=\"no memory\" retrying=1", p->ns, p->name);
		kubelet_missed(k);
		return;
	}
	if (meta)
		p->vol_again = true;
	pod_kick(p);
}

/* ---- deciding ------------------------------------------------------------------------------------------- */

void pod_wake_at(struct pod *p, int64_t at_ns)
{
	if (at_ns && (!p->wake_ns || at_ns < p->wake_ns))
		p->wake_ns = at_ns;
}

/* Init containers in their order; true: all that must have run has. */
static bool init_sync(struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs && p->ctrs[i]->kind != CTR_MAIN; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_INIT && c->state == C_EXITED && !c->exit_code && !c->stale)
			continue;
		ctr_step(c);
		if (c->kind == CTR_SIDECAR && c->state == C_RUNNING && c->started)
			continue;
		return false;
	}
	return true;
}

/* Main containers have begun once: init containers are history, whatever became of them. */
static bool mains_begun(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_MAIN && p->ctrs[i]->id && !p->ctrs[i]->stale)
			return true;
	return false;
}

static bool any_stale(const struct pod *p)
{
	uint32_t i;

	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->stale)
			return true;
	return false;
}

static void deadline_sync(struct pod *p)
{
	int64_t limit = ojson_get_i64(ojson_get(p->obj, "spec"), "activeDeadlineSeconds", 0);
	int64_t at = p->start_ns + limit * (int64_t)NS_PER_S;

	if (limit <= 0 || !p->start_ns || p->fail_reason)
		return;
	if (kubelet_now(p->k) < at) {
		pod_wake_at(p, at);
		return;
	}
	text_set(&p->fail_reason, "DeadlineExceeded");
	text_set(&p->fail_message, "Pod was active on the node longer than the specified deadline");
	pod_event(p, NULL, "Normal", "DeadlineExceeded", "%s", p->fail_message);
}

static void run_sync(struct pod *p)
{
	uint32_t i;

	if (p->is_static && static_waits(p))
		return;
	if (!pod_admitted(p))
		return;
	if (p->sb == SB_NONE)
		(void)qos_pod_ready(p);		/* beside the volumes */
	volumes_sync(p);
	if (p->vol == VOL_READY || p->vol == VOL_WRITING || p->vol == VOL_TOKENS)
		sandbox_sync(p);
	if (p->vol != VOL_READY || p->sb != SB_READY)
		return;
	/* whoever looks into a pod may do so while it is being initialized */
	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_EPHEMERAL)
			ctr_step(p->ctrs[i]);
	if (!init_sync(p) && (!mains_begun(p) || any_stale(p)))
		return;
	for (i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_MAIN)
			ctr_step(p->ctrs[i]);
	resize_sync(p);
}

static void pod_sync(struct pod *p)
{
	int64_t now = kubelet_now(p->k);
	const char *phase;

	p->wake_ns = 0;
	if (!p->orphan && !p->start_ns) {
		struct orlop_bytes b = ojson_get_bytes(ojson_get(p->obj, "status"), "startTime");

		if (!b.p || otime_parse(b.p, b.len, &p->start_ns))
			p->start_ns = now;
	}
	if (!p->term && !p->orphan && !p->finished)
		deadline_sync(p);
	if (p->gone || p->orphan || okube_deleting(p->obj) || (p->fail_reason && !p->finished))
		p->term = true;
	if (p->term && !p->finished && !p->gone && !okube_deleting(p->obj) && (p->td_done & TD_API))
		p->finished = true;
	if (p->term) {
		term_sync(p);
	} else if (p->finished) {
		finished_sync(p);
	} else {
		run_sync(p);
		phase = status_phase(p, false);
		if (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed")) {
			p->finished = true;
			finished_sync(p);
		}
	}
	preempt_step(p);
	if (p->done) {
		shutdown_look(p->k);
		return;
	}
	if (p->is_static)
		mirror_sync(p);
	report_sync(p);
	shutdown_step(p->k);
	if (p->wake_ns)
		p->k->h->timer_set(p->timer, p->wake_ns > now ? (uint64_t)(p->wake_ns - now) : 1, 0);
	else
		p->k->h->timer_clear(p->timer);
}

static void sync_posted(void *arg)
{
	struct pod *p = arg;

	p->kicked = false;
	if (!p->done && !p->k->stopping)
		pod_sync(p);
	turn_next(p->k);
	pod_unref(p);
}

void pod_kick(struct pod *p)
{
	if (p->kicked || p->done || !p->k->running || p->k->stopping)
		return;
	p->kicked = true;
	pod_ref(p);
	if (p->k->h->post(p->k->h, sync_posted, p)) {
		p->kicked = false;
		pod_unref(p);
	}
}

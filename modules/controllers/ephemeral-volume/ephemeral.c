/*
 * ephemeral.c - the claims that pods ask for in their own specs (generic ephemeral volumes): each is made from its template, is
 * called POD-VOLUME and belongs to the pod, with which it goes.
 *
 * Source: upstream's pkg/controller/volume/ephemeral, behaviour only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#include "base/omem.h"
#include "ctl/octl.h"

#define CLAIMS		"persistentvolumeclaims"
#define NAME_MAX_LEN	600

struct ephemeral {
	struct octl	c;
	struct orlop_resource *claims;
	struct orlop_resource *pods;
};

/* Most pods have none; those need not be parsed. */
static bool may_want(const struct orlop_object *pod)
{
	return memmem(pod->json.p, pod->json.len, "\"ephemeral\":", 12);
}

static bool is_owner(const struct ojson *pod, const struct ojson *claim)
{
	const struct ojson *owner = okube_controller_of(claim);

	return owner && ojson_string_is(ojson_get(owner, "uid"), okube_meta(pod, "uid"));
}

/* A claim on its way. */
struct made {
	struct octl_task *t;
	struct ojson	*pod;
	const char	*vol;	/* in @pod */
	char		name[NAME_MAX_LEN];
};

static void made_free(struct made *m, bool failed)
{
	octl_release(m->t, failed);
	ojson_unref(m->pod);
	omem_free(m);
}

/* What the server does not want the pod's people have to know: their pod waits for it. */
static void made_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct made *m = arg;
	struct octl *c = octl_of(m->t);
	bool failed = status < 0 || code >= 300;

	(void)rev;
	if (failed && status >= 0) {
		const char *why = ojson_get_cstr(body, "message", "unknown");

		okube_event(c->events, "v1", "Pod", m->pod, NULL, "Warning", "FailedBinding", "ephemeral volume %s: create PVC %s: %s",
			    m->vol, m->name, why);
		OLOG(c->h, WARN, "claim_refused", "pod=%s/%s volume=%s claim=%s code=%u message=\"%s\" retrying=1", okube_meta(m->pod, "namespace"),
		     okube_meta(m->pod, "name"), m->vol, m->name, code, why);
	}
	made_free(m, failed);
}

static int claim_send(struct octl_task *t, const struct ojson *pod, const char *vol, const char *name, const struct okube_req *req)
{
	struct made *m = OMEM_NEW(struct made);

	if (!m)
		return -ENOMEM;
	m->t = t;
	m->pod = ojson_ref((struct ojson *)(uintptr_t)pod);
	m->vol = vol;
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	octl_hold(t);
	if (okube_call(octl_of(t)->h, req, made_answer, m))
		made_free(m, true);
	return 0;
}

static int claim_make(struct octl_task *t, const struct ojson *pod, const struct ojson *volume, const char *name)
{
	const struct ojson *template = OJSON_AT(volume, "ephemeral", "volumeClaimTemplate");
	static const char *const kept[] = { "annotations", "labels" };
	const char *ns = okube_meta(pod, "namespace");
	struct okube_req req = { .verb = "create", .resource = CLAIMS, .ns = { ns, strlen(ns) } };
	struct ojson *claim = ojson_new_object();
	struct ojson *meta = claim ? ojson_ensure_object(claim, "metadata") : NULL;
	int e = meta ? 0 : -ENOMEM;

	if (!e && (ojson_set_cstr(claim, "apiVersion", "v1") || ojson_set_cstr(claim, "kind", "PersistentVolumeClaim") ||
		   ojson_set_cstr(meta, "name", name) || ojson_set_cstr(meta, "namespace", ns)))
		e = -ENOMEM;
	for (size_t i = 0; !e && i < sizeof(kept) / sizeof(kept[0]); i++)
		if (OJSON_AT(template, "metadata", kept[i]))
			e = ojson_set(meta, kept[i], ojson_ref(OJSON_AT(template, "metadata", kept[i])));
	if (!e)
		e = okube_owner_add(claim, "v1", "Pod", pod);
	if (!e && ojson_get(template, "spec"))
		e = ojson_set(claim, "spec", ojson_ref(ojson_get(template, "spec")));
	if (!e) {
		req.body = claim;
		e = claim_send(t, pod, ojson_get_cstr(volume, "name", ""), name, &req);
	}
	ojson_unref(claim);
	return e;
}

/* A claim of that name that is not the pod's is nobody's to take: the pod waits, and says for what. */
static int volume_sync(struct ephemeral *v, struct octl_task *t, const struct ojson *pod, const struct ojson *volume)
{
	const char *ns = okube_meta(pod, "namespace");
	const char *vol = ojson_get_cstr(volume, "name", "");
	struct ojson *claim = NULL;
	char name[NAME_MAX_LEN];
	int e;

	(void)snprintf(name, sizeof(name), "%s-%s", okube_meta(pod, "name"), vol);
	e = okube_find(v->c.h, v->claims, (struct orlop_bytes){ ns, strlen(ns) }, (struct orlop_bytes){ name, strlen(name) }, &claim);
	if (e == -ENOENT)
		return claim_make(t, pod, volume, name);
	if (!e && !is_owner(pod, claim)) {
		okube_event(v->c.events, "v1", "Pod", pod, NULL, "Warning", "FailedBinding",
			    "ephemeral volume %s: PVC %s/%s was not created for pod %s/%s (pod is not owner)", vol, ns, name, ns,
			    okube_meta(pod, "name"));
		e = -EEXIST;
	}
	ojson_unref(claim);
	return e;
}

static int ephemeral_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct ephemeral *v = (struct ephemeral *)(void *)c;
	struct ojson *pod = NULL;
	int e = okube_find(c->h, v->pods, ns, name, &pod);

	if (e)
		return e == -ENOENT ? 0 : e;
	if (!okube_deleting(pod)) {
		OJSON_FOREACH_ELEM(i, volume, OJSON_AT(pod, "spec", "volumes")) {
			e = ojson_has(volume, "ephemeral") ? volume_sync(v, t, pod, volume) : 0;
			if (e)
				break;
		}
	}
	ojson_unref(pod);
	return e;
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type != ORLOP_CHANGE_DELETED && may_want(o))
		octl_add(arg, o->ns, o->name);
}

/* Somebody took one away: its pod, if it is still there, wants another. */
static void claim_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type == ORLOP_CHANGE_DELETED)
		octl_add_controller_of(arg, o, "Pod");
}

static int ephemeral_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct ephemeral *v = OMEM_NEW(struct ephemeral);
	int e;

	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&v->c, h, "ephemeral-volume", "ephemeral_volume", ephemeral_sync, 4, err);
	if (!e)
		e = octl_follow(&v->c, CLAIMS, claim_changed, &v->claims, err);
	if (!e)
		e = octl_follow(&v->c, "pods", pod_changed, &v->pods, err);
	if (e) {
		octl_fini(v);
		return e;
	}
	*ret_ctx = v;
	return 0;
}

ORLOP_MODULE("ephemeral-volume", "controllers", "0.1",
	"needs=api\0reads=persistentvolumeclaims,pods\0"
	"asks=persistentvolumeclaims;create,events;create;patch\0"
	"user=system:serviceaccount:kube-system:ephemeral-volume-controller",
	.license = "Apache-2.0",
	.summary = "makes the PersistentVolumeClaims that pods have in their specs",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = ephemeral_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);

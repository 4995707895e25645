/*
 * protection.c - a PersistentVolumeClaim that a pod uses does not go: the finalizer that admission gave it is taken away
 * when it is being deleted and no pod with a node names it. Claims without it, from before, get it.
 *
 * A pod without a node does not count: no kubelet starts one whose claim is being deleted.
 * Source: upstream's pkg/controller/volume/pvcprotection, behaviour only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "ctl/octl.h"
#include "walk/owalk.h"

#define CLAIMS		"persistentvolumeclaims"
#define FINALIZER	"kubernetes.io/pvc-protection"
#define NAME_MAX_LEN	600
#define LOOK_NS		(UINT64_C(60) * 1000000000)	/* a pod whose end was not seen */

struct protection {
	struct octl	c;
	struct orlop_resource *claims;
	struct orlop_resource *pods;
};

/* Most pods have neither; those need not be parsed. */
static bool may_use(const struct orlop_object *pod)
{
	return memmem(pod->json.p, pod->json.len, "\"persistentVolumeClaim\":", 24) ||
	       memmem(pod->json.p, pod->json.len, "\"ephemeral\":", 12);
}

/* The claim of one volume of @pod; "" if it has none. *ret_own: it is one that was made for the pod. */
static const char *claim_of(const struct ojson *pod, const struct ojson *volume, char *buf, bool *ret_own)
{
	*ret_own = ojson_has(volume, "ephemeral");
	if (!*ret_own)
		return ojson_get_cstr(ojson_get(volume, "persistentVolumeClaim"), "claimName", "");
	(void)snprintf(buf, NAME_MAX_LEN, "%s-%s", okube_meta(pod, "name"), ojson_get_cstr(volume, "name", ""));
	return buf;
}

static bool is_owner(const struct ojson *pod, const struct ojson *claim)
{
	const struct ojson *owner = okube_controller_of(claim);

	return owner && ojson_string_is(ojson_get(owner, "uid"), okube_meta(pod, "uid"));
}

static bool pod_uses(const struct ojson *pod, const struct ojson *claim)
{
	const char *name = okube_meta(claim, "name");
	char buf[NAME_MAX_LEN];
	bool own;

	if (!*ojson_cstr(OJSON_AT(pod, "spec", "nodeName"), ""))
		return false;
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(pod, "spec", "volumes"))
		if (!strcmp(claim_of(pod, v, buf, &own), name) && (!own || is_owner(pod, claim)))
			return true;
	return false;
}

/* 1, 0, or -errno. */
static int is_used(struct protection *p, struct orlop_bytes ns, const struct ojson *claim)
{
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = ns };
	struct orlop_object *o;
	struct owalk w;
	int used = owalk_open(&w, p->c.h, p->pods, &q);

	if (used)
		return used;
	while (used == 0 && (o = owalk_next(&w)) != NULL) {
		struct ojson *pod = may_use(o) ? okube_parse(o) : NULL;

		if (pod)
			used = pod_uses(pod, claim);
		else if (may_use(o))
			used = -ENOMEM;
		ojson_unref(pod);
	}
	owalk_close(&w);
	return used;
}

static int protection_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct protection *p = (struct protection *)(void *)c;
	struct ojson *claim = NULL;
	bool has, goes;
	int e = okube_find(c->h, p->claims, ns, name, &claim);

	if (e)
		return e == -ENOENT ? 0 : e;
	has = octl_finalizer_has(claim, FINALIZER);
	goes = okube_deleting(claim);
	if (has && goes) {
		e = is_used(p, ns, claim);
		if (e == 0)
			e = octl_finalizer_set(t, CLAIMS, "PersistentVolumeClaim", claim, FINALIZER, false);
		else if (e > 0)
			octl_again(t, LOOK_NS);
		e = e > 0 ? 0 : e;
	} else if (!has && !goes) {
		e = octl_finalizer_set(t, CLAIMS, "PersistentVolumeClaim", claim, FINALIZER, true);
	}
	ojson_unref(claim);
	return e;
}

static void claim_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type != ORLOP_CHANGE_DELETED)
		octl_add(arg, o->ns, o->name);
}

/* Only a pod that is gone lets a claim go, or one that got another life under its name. */
static void pod_gone(struct protection *p, struct orlop_object *o)
{
	struct ojson *pod = may_use(o) ? okube_parse(o) : NULL;
	char buf[NAME_MAX_LEN];
	bool own;

	if (!pod) {
		if (may_use(o))
			octl_missed(&p->c);
		return;
	}
	OJSON_FOREACH_ELEM(i, v, OJSON_AT(pod, "spec", "volumes")) {
		const char *name = claim_of(pod, v, buf, &own);

		if (*name)
			octl_add(&p->c, o->ns, (struct orlop_bytes){ name, strlen(name) });
	}
	ojson_unref(pod);
}

static void pod_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct orlop_bytes is = okube_uid(o), was = prev ? okube_uid(prev) : is;

	if (type == ORLOP_CHANGE_DELETED)
		pod_gone(arg, o);
	else if (prev && (is.len != was.len || memcmp(is.p, was.p, is.len)))
		pod_gone(arg, prev);
}

static int protection_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct protection *p = OMEM_NEW(struct protection);
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&p->c, h, "pvc-protection", "pvc-protection-controller", protection_sync, 4, err);
	if (!e)
		e = octl_follow(&p->c, CLAIMS, claim_changed, &p->claims, err);
	if (!e)
		e = octl_follow(&p->c, "pods", pod_changed, &p->pods, err);
	if (e) {
		octl_fini(p);
		return e;
	}
	*ret_ctx = p;
	return 0;
}

ORLOP_MODULE("pvc-protection", "controllers", "0.1",
	"needs=api\0reads=persistentvolumeclaims,pods\0"
	"asks=persistentvolumeclaims;update\0"
	"user=system:serviceaccount:kube-system:pvc-protection-controller",
	.license = "Apache-2.0",
	.summary = "PersistentVolumeClaims that a pod uses do not go",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = protection_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);

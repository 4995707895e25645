/*
 * protection.c - a PersistentVolume that is bound to a claim does not go: the finalizer that admission gave it is taken
 * away when it is being deleted and not bound. Volumes without it, from before, get it.
 * Source: upstream's pkg/controller/volume/pvprotection, behaviour only.
 */
#include <errno.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "ctl/octl.h"

#define VOLUMES		"persistentvolumes"
#define FINALIZER	"kubernetes.io/pv-protection"

struct protection {
	struct octl	c;
	struct orlop_resource *volumes;
};

static int protection_sync(struct octl *c, struct octl_task *t, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct protection *p = (struct protection *)(void *)c;
	struct ojson *pv = NULL;
	bool has, goes;
	int e = okube_find(c->h, p->volumes, ns, name, &pv);

	if (e)
		return e == -ENOENT ? 0 : e;
	has = octl_finalizer_has(pv, FINALIZER);
	goes = okube_deleting(pv);
	if (has && goes && !ojson_string_is(OJSON_AT(pv, "status", "phase"), "Bound"))
		e = octl_finalizer_set(t, VOLUMES, "PersistentVolume", pv, FINALIZER, false);
	else if (!has && !goes)
		e = octl_finalizer_set(t, VOLUMES, "PersistentVolume", pv, FINALIZER, true);
	ojson_unref(pv);
	return e;
}

static void volume_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	(void)prev;
	if (type != ORLOP_CHANGE_DELETED)
		octl_add(arg, o->ns, o->name);
}

static int protection_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct protection *p = OMEM_NEW(struct protection);
	int e;

	if (!p)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	e = octl_init(&p->c, h, "pv-protection", "pv-protection-controller", protection_sync, 4, err);
	if (!e)
		e = octl_follow(&p->c, VOLUMES, volume_changed, &p->volumes, err);
	if (e) {
		octl_fini(p);
		return e;
	}
	*ret_ctx = p;
	return 0;
}

ORLOP_MODULE("pv-protection", "controllers", "0.1",
	"needs=api\0reads=persistentvolumes\0"
	"asks=persistentvolumes;update\0"
	"user=system:serviceaccount:kube-system:pv-protection-controller",
	.license = "Apache-2.0",
	.summary = "PersistentVolumes that are bound do not go",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = protection_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = octl_fini,
	.health = octl_health);

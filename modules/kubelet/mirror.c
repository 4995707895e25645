/*
 * mirror.c - a static pod's picture in the API, so that people and controllers see it.
 *
 * It carries the static pod's status and nothing else happens by it: deleted, it is made again; of another manifest, it
 * is replaced; of none, it is taken away.
 * Source: pkg/kubelet/pod/mirror_client.go, kubelet.go (tryReconcileMirrorPods, deleteOrphanedMirrorPods).
 */
#include "statics.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>

#include "base/ostr.h"

#define MIRROR		"kubernetes.io/config.mirror"
#define RETRY_NS	(int64_t)(2 * NS_PER_S)

static const char *hash_of(const struct ojson *obj)
{
	return ojson_cstr(OJSON_AT(obj, "metadata", "annotations", MIRROR), NULL);
}

bool mirror_is(const struct ojson *obj)
{
	return hash_of(obj) != NULL;
}

bool static_waits(const struct pod *p)
{
	OMAP_FOREACH(&p->k->pods, e) {
		const struct pod *o = e->value;

		if (o != p && o->is_static && o->gone && !strcmp(o->name, p->name) && !strcmp(o->ns, p->ns))
			return true;
	}
	return false;
}

/* The one that is, or will be, what a mirror of this name shows. */
static struct pod *static_by_name(struct kubelet *k, const char *ns, const char *name)
{
	struct pod *found = NULL;

	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;

		if (p->is_static && !strcmp(p->ns, ns) && !strcmp(p->name, name) && (!found || found->gone))
			found = p;
	}
	return found;
}

static void deleted(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct kubelet *k = arg;

	(void)rev;
	if (!k->stopping && (status < 0 || (code >= 300 && code != 404 && code != 409)))
		OLOG(k->h, WARN, "mirror_not_deleted", "why=\"%s\"", status < 0 ? strerrordesc_np(-status) :
		     ojson_get_cstr(body, "message", ""));
}

static void delete(struct kubelet *k, const char *ns, const char *name, const char *uid)
{
	(void)okube_delete(k->h, "pods", (struct orlop_bytes){ ns, strlen(ns) }, (struct orlop_bytes){ name, strlen(name) },
			   (struct orlop_bytes){ uid, strlen(uid) }, NULL, 0, deleted, k);
}

void mirror_seen(struct kubelet *k, const struct ojson *obj)
{
	const char *uid = okube_meta(obj, "uid");
	const char *ns = okube_meta(obj, "namespace");
	const char *name = okube_meta(obj, "name");
	struct pod *p = pod_get(k, hash_of(obj));
	struct ojson *st = ojson_get(obj, "status");

	if (p && p->is_static && !strcmp(p->ns, ns) && !strcmp(p->name, name) && !okube_deleting(obj)) {
		bool fresh = !p->mirror_uid || strcmp(p->mirror_uid, uid);

		text_set(&p->mirror_uid, uid);
		if (fresh) {
			ojson_unref(p->sent);
			p->sent = NULL;
		}
		if (st && p->obj)
			(void)ojson_set(p->obj, "status", ojson_ref(st));
		pod_kick(p);
		return;
	}
	/* deleted by somebody, of an older manifest, or of one that is no more */
	p = static_by_name(k, ns, name);
	if (p && p->gone && !okube_deleting(obj) && p->mirror_uid && !strcmp(p->mirror_uid, uid))
		return;		/* it still ends */
	if (static_ready(k))
		delete(k, ns, name, uid);
}

void mirror_gone(struct kubelet *k, struct orlop_bytes uid)
{
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;

		if (!p->is_static)
			continue;
		if (p->mirror_uid && ostr_is(uid.p, uid.len, p->mirror_uid)) {
			text_set(&p->mirror_uid, NULL);
			ojson_unref(p->sent);
			p->sent = NULL;
			p->mirror_retry_ns = 0;
			if (p->obj)
				ojson_del(p->obj, "status");
		}
		pod_kick(p);
	}
}

void mirror_resync(struct kubelet *k, const struct orlop_snapshot *s)
{
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		struct orlop_object *o;

		if (!p->is_static || !p->mirror_uid)
			continue;
		o = k->h->snapshot_get(s, (struct orlop_bytes){ p->ns, strlen(p->ns) },
				       (struct orlop_bytes){ p->name, strlen(p->name) });
		if (!o || !ostr_is(okube_uid(o).p, okube_uid(o).len, p->mirror_uid))
			mirror_gone(k, (struct orlop_bytes){ p->mirror_uid, strlen(p->mirror_uid) });
	}
}

static void created(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct pod *p = arg;

	(void)rev;
	p->mirror_busy = false;
	if (!p->k->stopping && !p->done) {
		if (status < 0 || (code >= 300 && code != 409)) {
			OLOG(p->k->h, WARN, "mirror_not_created", "pod=%s/%s why=\"%s\" retrying=1", p->ns, p->name,
			     status < 0 ? strerrordesc_np(-status) : ojson_get_cstr(body, "message", ""));
			p->mirror_retry_ns = kubelet_now(p->k) + 5 * RETRY_NS;
		} else if (code == 409) {
			p->mirror_retry_ns = kubelet_now(p->k) + RETRY_NS;	/* the one before is on its way out */
		}
		pod_kick(p);
	}
	pod_unref(p);
}

static struct ojson *picture(const struct pod *p)
{
	struct kubelet *k = p->k;
	struct ojson *node = kubelet_get(k, k->in_nodes, "", k->node_name);
	struct ojson *j = NULL;
	struct ojson *meta;

	if (!node || ojson_copy(p->obj, &j)) {
		ojson_unref(node);
		return NULL;
	}
	ojson_del(j, "status");
	meta = ojson_ensure_object(j, "metadata");
	ojson_del(meta, "uid");
	(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"), MIRROR, p->uid);
	ojson_del(meta, "ownerReferences");
	(void)okube_owner_add(j, "v1", "Node", node);
	(void)ojson_del(ojson_index(ojson_get(meta, "ownerReferences"), 0), "blockOwnerDeletion");
	(void)ojson_set_cstr(j, "kind", "Pod");
	(void)ojson_set_cstr(j, "apiVersion", "v1");
	ojson_unref(node);
	return j;
}

void mirror_sync(struct pod *p)
{
	struct kubelet *k = p->k;
	struct ojson *j;

	if (p->mirror_uid || p->mirror_busy || p->gone || static_waits(p))
		return;
	if (p->mirror_retry_ns > kubelet_now(k)) {
		pod_wake_at(p, p->mirror_retry_ns);
		return;
	}
	j = picture(p);
	if (!j) {
		p->mirror_retry_ns = kubelet_now(k) + RETRY_NS;	/* the node is not there yet */
		pod_wake_at(p, p->mirror_retry_ns);
		return;
	}
	p->mirror_busy = true;
	pod_ref(p);
	if (okube_create(k->h, "pods", (struct orlop_bytes){ p->ns, strlen(p->ns) }, j, created, p)) {
		p->mirror_busy = false;
		pod_unref(p);
	}
	ojson_unref(j);
}

void mirror_forget(struct pod *p)
{
	if (p->mirror_uid)
		delete(p->k, p->ns, p->name, p->mirror_uid);
	OMAP_FOREACH(&p->k->pods, e) {
		struct pod *o = e->value;

		if (o != p && o->is_static)
			pod_kick(o);
	}
	if (p->again)
		static_again(p->k);
}

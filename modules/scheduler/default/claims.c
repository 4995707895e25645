/*
 * claims.c - the claims of a pod, looked up when it is tried: what they are bound to, or could be.
 *
 * A claim whose class waits for its first consumer is given a node (or a volume that is there) when one is
 * chosen; the pod keeps room there and waits until the volume controllers have bound it.
 */
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"
#include "volume.h"

static const char *const resources[SD_VOLUME_RESOURCES] = {
	[SD_V_CLAIMS] = "persistentvolumeclaims",
	[SD_V_VOLUMES] = "persistentvolumes",
	[SD_V_CLASSES] = "storageclasses.storage.k8s.io",
};

/* Something about volumes changed: pods that waited for that look again. */
static void on_change(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct sd *s = arg;

	(void)res;
	(void)rev;
	sd_queue_wake_rejected(&s->queue, SD_BIT(SD_P_VOLUMES), s->h->now_mono(s->h));
	sd_kick(s);
}

int sd_claims_open(struct sd *s, struct orlop_error *err)
{
	for (uint32_t i = 0; i < SD_VOLUME_RESOURCES; i++) {
		int r = s->h->resource_open(s->h, resources[i], &s->volumes[i], err);

		if (r)
			return r;
		s->h->resource_watch(s->volumes[i], on_change, s);
	}
	return 0;
}

void sd_claims_close(struct sd *s)
{
	for (uint32_t i = 0; i < SD_VOLUME_RESOURCES; i++) {
		s->h->resource_close(s->volumes[i]);
		s->volumes[i] = NULL;
	}
}

struct looking {
	struct sd	*s;
	const struct sd_pod *p;
	struct orlop_snapshot *snap[SD_VOLUME_RESOURCES];
	struct sd_claims *c;
	char		*why;
	size_t		size;
};

static struct orlop_bytes plain_at(struct orlop_bytes members, const char *a, const char *b)
{
	struct orlop_bytes v = { "", 0 };

	if (OSCAN_FIND_MEMBERS(members, &v, a, b) && oscan_plain(v, &v))
		return v;
	return (struct orlop_bytes){ "", 0 };
}

static bool said(struct looking *l, const char *text, struct orlop_bytes name, const char *more)
{
	(void)snprintf(l->why, l->size, "%s%.*s%s", text, (int)name.len, name.p, more);
	return false;
}

static bool volume_bound(struct looking *l, struct sd_claim *k, struct orlop_bytes volume)
{
	struct orlop_bytes none = { "", 0 };
	struct orlop_object *pv = l->s->h->snapshot_get(l->snap[SD_V_VOLUMES], none, volume);

	if (!pv)
		return said(l, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", none, "");
	k->bound = true;
	k->n = 1;
	k->v = oarena_zalloc(&l->c->mem, sizeof(*k->v));
	return k->v && !sd_volume_read(&l->c->mem, volume, pv->json, k->v) ? true : said(l, "no memory", none, "");
}

static int64_t capacity(struct orlop_bytes members, const char *const *path)
{
	struct orlop_bytes v;

	return oscan_find_members(members, path, &v) ? sd_quantity(v) : 0;
}

/* Would the volume do for the claim? As upstream's FindMatchingVolume, but for selectors. */
static bool would_do(const struct orlop_object *pv, const struct orlop_object *pvc, struct orlop_bytes class)
{
	static const char *const has[] = { "spec", "capacity", "storage", NULL };
	static const char *const asks[] = { "spec", "resources", "requests", "storage", NULL };
	struct orlop_bytes v = plain_at(pv->json, "spec", "storageClassName"), want = { "[]", 2 }, modes = want, ref;
	struct oscan_iter it, jt;

	if (!ostr_eq(v.p, v.len, class.p, class.len) || capacity(pv->json, has) < capacity(pvc->json, asks))
		return false;
	v = plain_at(pv->json, "status", "phase");
	if (!ostr_is(v.p, v.len, "Available"))
		return false;
	if (OSCAN_FIND_MEMBERS(pv->json, &ref, "spec", "claimRef", "name"))
		return false;
	(void)OSCAN_FIND_MEMBERS(pvc->json, &want, "spec", "accessModes");
	(void)OSCAN_FIND_MEMBERS(pv->json, &modes, "spec", "accessModes");
	for (oscan_begin(&it, want); oscan_next(&it) > 0;) {
		bool there = false;

		for (oscan_begin(&jt, modes); oscan_next(&jt) > 0;)
			there |= ostr_eq(it.value.p, it.value.len, jt.value.p, jt.value.len);
		if (!there)
			return false;
	}
	return true;
}

static bool volumes_collect(struct looking *l, struct sd_claim *k, const struct orlop_object *pvc, struct orlop_bytes class)
{
	uint64_t n = l->s->h->snapshot_count(l->snap[SD_V_VOLUMES]);
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_object *pv;
	struct orlop_iter *it;
	int err = 0;

	k->v = sd_array(&l->c->mem, n, sizeof(*k->v), &err);
	if (!n)
		return true;
	if (!k->v || l->s->h->iter_open(l->snap[SD_V_VOLUMES], &q, &it))
		return said(l, "no memory", (struct orlop_bytes){ "", 0 }, "");
	while (!err && k->n < n && (pv = l->s->h->iter_next(it)))
		if (would_do(pv, pvc, class))
			err = sd_volume_read(&l->c->mem, pv->name, pv->json, &k->v[k->n++]);
	l->s->h->iter_close(it);
	return err ? said(l, "no memory", (struct orlop_bytes){ "", 0 }, "") : true;
}

static bool volume_unbound(struct looking *l, struct sd_claim *k, const struct orlop_object *pvc)
{
	struct orlop_bytes none = { "", 0 }, v, class = plain_at(pvc->json, "spec", "storageClassName");
	struct orlop_object *sc = class.len ? l->s->h->snapshot_get(l->snap[SD_V_CLASSES], none, class) : NULL;

	if (class.len && !sc)
		return said(l, "storageclass.storage.k8s.io \"", class, "\" not found");
	if (!sc || !OSCAN_FIND_MEMBERS(sc->json, &v, "volumeBindingMode") ||
	    !oscan_string_is_cstr(v, "WaitForFirstConsumer"))
		return said(l, "pod has unbound immediate PersistentVolumeClaims", none, "");
	l->c->delayed = true;
	k->provision = !(OSCAN_FIND_MEMBERS(sc->json, &v, "provisioner") &&
			 oscan_string_is_cstr(v, "kubernetes.io/no-provisioner"));
	if (OSCAN_FIND_MEMBERS(sc->json, &v, "allowedTopologies") && sd_topologies_read(&l->c->mem, v, k))
		return said(l, "no memory", none, "");
	return volumes_collect(l, k, pvc, class);
}

static bool claim_look(struct looking *l, struct orlop_bytes name)
{
	struct sd_claim *k = &l->c->v[l->c->n++];
	struct orlop_object *pvc = l->s->h->snapshot_get(l->snap[SD_V_CLAIMS], l->p->ns, name);
	struct orlop_bytes volume, phase, v;

	k->name = name;
	if (!pvc)
		return said(l, "persistentvolumeclaim \"", name, "\" not found");
	if (OSCAN_FIND_MEMBERS(pvc->json, &v, "metadata", "deletionTimestamp"))
		return said(l, "persistentvolumeclaim \"", name, "\" is being deleted");
	volume = plain_at(pvc->json, "spec", "volumeName");
	phase = plain_at(pvc->json, "status", "phase");
	if (ostr_is(phase.p, phase.len, "Lost")) {
		(void)snprintf(l->why, l->size, "persistentvolumeclaim \"%.*s\" bound to non-existent persistentvolume \"%.*s\"",
			       (int)name.len, name.p, (int)volume.len, volume.p);
		return false;
	}
	if (!volume.len)
		return volume_unbound(l, k, pvc);
	if (!OSCAN_FIND_MEMBERS(pvc->json, &v, "metadata", "annotations", "pv.kubernetes.io/bind-completed"))
		return said(l, "pod has unbound immediate PersistentVolumeClaims", (struct orlop_bytes){ "", 0 }, "");
	return volume_bound(l, k, volume);
}

bool sd_claims_look(struct sd *s, struct sd_pod *p, char *why, size_t size)
{
	struct looking l = { .s = s, .p = p, .why = why, .size = size };
	bool ready = true;

	sd_claims_free(p->claims);
	p->claims = NULL;
	if (!p->spec->n_claims || p->profile->no_filter & SD_BIT(SD_P_VOLUMES))
		return true;
	l.c = omem_zalloc(sizeof(*l.c) + p->spec->n_claims * sizeof(l.c->v[0]));
	if (!l.c)
		return said(&l, "no memory", (struct orlop_bytes){ "", 0 }, "");
	oarena_init(&l.c->mem, 0);
	for (uint32_t i = 0; ready && i < SD_VOLUME_RESOURCES; i++)
		if (s->h->snapshot_open(s->volumes[i], &l.snap[i]))
			ready = said(&l, resources[i], (struct orlop_bytes){ "", 0 }, " cannot be read");
	for (uint32_t i = 0; ready && i < p->spec->n_claims; i++)
		ready = claim_look(&l, p->spec->claims[i]);
	for (uint32_t i = 0; i < SD_VOLUME_RESOURCES; i++)
		s->h->snapshot_close(l.snap[i]);
	p->claims = l.c;
	return ready;
}

/* ---- binding --------------------------------------------------------------------------------- */

static void volume_claim(struct sd *s, const struct sd_pod *p, const struct sd_claim *k, const struct sd_volume *v)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"spec\":{\"claimRef\":{\"kind\":\"PersistentVolumeClaim\",\"apiVersion\":\"v1\",\"namespace\":");
	obuf_put_json_string(&b, p->ns.p, p->ns.len);
	obuf_puts(&b, ",\"name\":");
	obuf_put_json_string(&b, k->name.p, k->name.len);
	obuf_puts(&b, "}}}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_VOLUME, p, v->name, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

static void node_select(struct sd *s, const struct sd_pod *p, const struct sd_claim *k, struct orlop_bytes node)
{
	struct obuf b = OBUF_INIT;

	obuf_puts(&b, "{\"metadata\":{\"annotations\":{\"volume.kubernetes.io/selected-node\":");
	obuf_put_json_string(&b, node.p, node.len);
	obuf_puts(&b, "}}}");
	if (!obuf_err(&b))
		(void)sd_write_other(s, SD_W_CLAIM, p, k->name, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

bool sd_claims_bind(struct sd *s, struct sd_pod *p, struct sd_node *n, uint64_t now)
{
	if (!p->claims || !p->claims->delayed)
		return false;
	for (uint32_t i = 0; i < p->claims->n; i++) {
		const struct sd_claim *k = &p->claims->v[i];
		const struct sd_volume *v = k->bound ? NULL : sd_claim_volume(k, n);

		if (v)
			volume_claim(s, p, k, v);
		else if (!k->bound)
			node_select(s, p, k, n->name);
	}
	sd_pod_nominate(&s->cluster, p, n->name);
	p->rejected = SD_BIT(SD_P_VOLUMES);
	sd_queue_unschedulable(&s->queue, p, now);
	return true;
}

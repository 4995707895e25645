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

#include <orlop/inline/log.h>

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
	s->cluster.volumes_gen++;
	sd_queue_wake_rejected(&s->queue, SD_WAKE_VOLUMES, s->h->now_mono(s->h));
	sd_kick(s);
}

/* ---- what a driver attaches ------------------------------------------------------------------ */

static void on_csinode(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct sd *s = arg;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED)
		sd_limits_gone(&s->cluster, o->name);
	else if (sd_limits_set(&s->cluster, o->name, o->json))
		OLOG(s->h, ERR, "no_memory", "csinode=%.*s, its limits are as they were", (int)o->name.len, o->name.p);
	sd_queue_wake_rejected(&s->queue, SD_BIT(SD_P_LIMITS), s->h->now_mono(s->h));
	sd_kick(s);
}

/* After a pass over all: limits of those that vanished meanwhile are forgotten. */
static void on_csinodes_listed(void *arg)
{
	struct orlop_bytes none = { "", 0 };
	struct orlop_snapshot *snap;
	struct sd *s = arg;
	struct omap_entry *e;
	uint32_t at = 0;

	sd_kick(s);
	if (s->h->snapshot_open(okube_informer_resource(s->in_csinodes), &snap))
		return;
	while ((e = omap_next(&s->cluster.limits, &at))) {
		struct orlop_bytes name = { e->key, e->key_len };

		if (!s->h->snapshot_get(snap, none, name))
			sd_limits_gone(&s->cluster, name);
	}
	s->h->snapshot_close(snap);
}

static struct orlop_bytes plain_at(struct orlop_bytes members, const char *a, const char *b)
{
	struct orlop_bytes v = { "", 0 };

	if (OSCAN_FIND_MEMBERS(members, &v, a, b) && oscan_plain(v, &v))
		return v;
	return (struct orlop_bytes){ "", 0 };
}

/*
 * "driver/handle" of a claim's volume; of one that is still to be made what its class names, and a handle that no
 * volume has.
 */
static char *source_of(struct sd *s, struct orlop_snapshot *const *snap, const struct orlop_object *pvc,
		       uint32_t *ret_driver_len)
{
	struct orlop_bytes none = { "", 0 }, name = plain_at(pvc->json, "spec", "volumeName"), driver, handle, v;
	struct orlop_object *pv = name.len ? s->h->snapshot_get(snap[SD_V_VOLUMES], none, name) : NULL, *sc;

	if (pv) {
		if (!OSCAN_FIND_MEMBERS(pv->json, &v, "spec", "csi", "driver") || !oscan_plain(v, &driver) ||
		    !OSCAN_FIND_MEMBERS(pv->json, &v, "spec", "csi", "volumeHandle") || !oscan_plain(v, &handle))
			return NULL;
		*ret_driver_len = (uint32_t)driver.len;
		return omem_printf("%.*s/%.*s", (int)driver.len, driver.p, (int)handle.len, handle.p);
	}
	name = plain_at(pvc->json, "spec", "storageClassName");
	sc = name.len ? s->h->snapshot_get(snap[SD_V_CLASSES], none, name) : NULL;
	if (!sc || !OSCAN_FIND_MEMBERS(sc->json, &v, "provisioner") || !oscan_plain(v, &driver))
		return NULL;
	*ret_driver_len = (uint32_t)driver.len;
	return omem_printf("%.*s/\n%.*s/%.*s", (int)driver.len, driver.p, (int)pvc->ns.len, pvc->ns.p, (int)pvc->name.len,
			   pvc->name.p);
}

/* For claims of pods that are placed; asked when a limit makes it matter. */
static char *claim_source(void *arg, struct orlop_bytes ns, struct orlop_bytes claim, uint32_t *ret_driver_len)
{
	struct orlop_snapshot *snap[SD_VOLUME_RESOURCES] = { NULL };
	struct orlop_object *pvc = NULL;
	struct sd *s = arg;
	char *source = NULL;
	uint32_t n = 0;

	while (n < SD_VOLUME_RESOURCES && s->h->snapshot_open(s->volumes[n], &snap[n]) == 0)
		n++;
	if (n == SD_VOLUME_RESOURCES)
		pvc = s->h->snapshot_get(snap[SD_V_CLAIMS], ns, claim);
	if (pvc)
		source = source_of(s, snap, pvc, ret_driver_len);
	while (n)
		s->h->snapshot_close(snap[--n]);
	return source;
}

bool sd_claims_synced(const struct sd *s)
{
	return okube_informer_synced(s->in_csinodes);
}

int sd_claims_open(struct sd *s, struct orlop_error *err)
{
	for (uint32_t i = 0; i < SD_VOLUME_RESOURCES; i++) {
		int r = s->h->resource_open(s->h, resources[i], &s->volumes[i], err);

		if (r)
			return r;
		s->h->resource_watch(s->volumes[i], on_change, s);
	}
	s->cluster.source = claim_source;
	s->cluster.source_arg = s;
	return okube_informer_new(s->h, "csinodes.storage.k8s.io", on_csinode, on_csinodes_listed, s, &s->in_csinodes,
				  err);
}

void sd_claims_close(struct sd *s)
{
	s->cluster.source = NULL;
	okube_informer_free(s->in_csinodes);
	s->in_csinodes = NULL;
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

/* What VolumeRestrictions and NodeVolumeLimits need to know of a claim. */
static bool claim_restrict(struct looking *l, struct sd_claim *k, const struct orlop_object *pvc)
{
	struct orlop_bytes modes = { "[]", 2 }, none = { "", 0 };
	struct oscan_iter it;
	int err = 0;
	char *source;

	(void)OSCAN_FIND_MEMBERS(pvc->json, &modes, "spec", "accessModes");
	for (oscan_begin(&it, modes); oscan_next(&it) > 0;)
		k->alone |= oscan_string_is_cstr(it.value, "ReadWriteOncePod");
	if (!omap_count(&l->s->cluster.limits))
		return true; /* a limit that comes wakes only whom one refused: those look again */
	source = source_of(l->s, l->snap, pvc, &k->driver_len);
	if (!source)
		return true;
	k->source = sd_copy(&l->c->mem, (struct orlop_bytes){ source, strlen(source) }, &err);
	omem_free(source);
	l->c->attached = true;
	return err ? said(l, "no memory", none, "") : true;
}

/* Was it made for this very pod? */
static bool is_owned(const struct orlop_object *pvc, const struct sd_pod *p)
{
	struct orlop_bytes owners = { "[]", 2 }, uid, v;
	struct oscan_iter it;

	(void)OSCAN_FIND_MEMBERS(pvc->json, &owners, "metadata", "ownerReferences");
	for (oscan_begin(&it, owners); oscan_next(&it) > 0;)
		if (oscan_get(it.value, "controller", &v) && ostr_is(v.p, v.len, "true"))
			return p->uid && oscan_get(it.value, "uid", &uid) && oscan_string_is_cstr(uid, p->uid);
	return false;
}

static bool claim_look(struct looking *l, const struct sd_use *use)
{
	struct orlop_bytes name = use->name;
	struct sd_claim *k = &l->c->v[l->c->n++];
	struct orlop_object *pvc = l->s->h->snapshot_get(l->snap[SD_V_CLAIMS], l->p->ns, name);
	struct orlop_bytes volume, phase, v;

	k->name = name;
	if (!pvc && use->ephemeral)
		return said(l, "waiting for ephemeral volume controller to create the persistentvolumeclaim \"", name, "\"");
	if (!pvc)
		return said(l, "persistentvolumeclaim \"", name, "\" not found");
	if (OSCAN_FIND_MEMBERS(pvc->json, &v, "metadata", "deletionTimestamp"))
		return said(l, "persistentvolumeclaim \"", name, "\" is being deleted");
	if (use->ephemeral && !is_owned(pvc, l->p)) {
		(void)snprintf(l->why, l->size, "PVC %.*s/%.*s was not created for pod %.*s/%.*s (pod is not owner)", (int)l->p->ns.len, l->p->ns.p,
			       (int)name.len, name.p, (int)l->p->ns.len, l->p->ns.p, (int)l->p->name.len, l->p->name.p);
		return false;
	}
	if (!claim_restrict(l, k, pvc))
		return false;
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
	if (!p->load->n_claims || p->profile->no_filter & SD_BIT(SD_P_VOLUMES))
		return true;
	l.c = omem_zalloc(sizeof(*l.c) + p->load->n_claims * sizeof(l.c->v[0]));
	if (!l.c)
		return said(&l, "no memory", (struct orlop_bytes){ "", 0 }, "");
	oarena_init(&l.c->mem, 0);
	for (uint32_t i = 0; ready && i < SD_VOLUME_RESOURCES; i++)
		if (s->h->snapshot_open(s->volumes[i], &l.snap[i]))
			ready = said(&l, resources[i], (struct orlop_bytes){ "", 0 }, " cannot be read");
	for (uint32_t i = 0; ready && i < p->load->n_claims; i++)
		ready = claim_look(&l, &p->load->claims[i]);
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

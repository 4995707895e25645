/*
 * restrict.c - VolumeRestrictions and NodeVolumeLimits: claims that one pod has alone, and how many volumes of
 * a driver a node can have attached. Disks that pods name themselves: disk.c.
 *
 * Which pods use which claim is counted where pods are counted; what a claim stands for is looked up when a limit
 * makes it matter, and again after something about volumes changed.
 * Source: pkg/scheduler/framework/plugins/volumerestrictions and nodevolumelimits/csi.go.
 */
#include "cycle.h"

#include <errno.h>
#include <string.h>

#include "base/ohash.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "volume.h"

/* A claim that placed pods use. */
struct used {
	uint32_t	pods;
	uint32_t	driver_len;
	uint64_t	known;		/* sd_cluster.volumes_gen when the rest was looked up; 0: never */
	char		*source;	/* "driver/handle"; NULL: no volume that is attached by a driver */
};

struct limit {
	struct orlop_bytes driver;
	int64_t		count;
};

struct limits {
	uint32_t	n;
	uint32_t	reserved0;
	struct limit	v[];		/* text of the drivers behind it */
};

/* ---- claims in use --------------------------------------------------------------------------- */

struct key {
	size_t		len;
	char		text[400];
};

/* Names are at most 253 bytes and namespaces 63: what is longer is no claim. */
static bool key_of(struct key *k, struct orlop_bytes ns, struct orlop_bytes name)
{
	k->len = ns.len + 1 + name.len;
	if (k->len > sizeof(k->text))
		return false;
	memcpy(k->text, ns.p ? ns.p : "", ns.len);
	k->text[ns.len] = '/';
	memcpy(k->text + ns.len + 1, name.p ? name.p : "", name.len);
	return true;
}

static void used_free(void *value)
{
	struct used *u = value;

	omem_free(u->source);
	omem_free(u);
}

static void used_drop(struct sd_cluster *c, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct used *u;
	struct key k;

	if (!key_of(&k, ns, name) || !(u = omap_get(&c->used, k.text, k.len)) || --u->pods)
		return;
	(void)omap_del(&c->used, k.text, k.len);
	used_free(u);
	c->claim_freed = true;
}

static int used_add(struct sd_cluster *c, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct used *u;
	struct key k;

	if (!key_of(&k, ns, name))
		return 0;
	u = omap_get(&c->used, k.text, k.len);
	if (!u) {
		u = OMEM_NEW(struct used);
		if (!u || omap_add(&c->used, k.text, k.len, u)) {
			omem_free(u);
			return -ENOMEM;
		}
	}
	u->pods++;
	return 0;
}

int sd_used_count(struct sd_cluster *c, const struct sd_pod *p, int by)
{
	const struct sd_load *l = p->load;

	if (by < 0 && l->n_disks)
		c->claim_freed = true;
	for (uint32_t i = 0; i < l->n_claims; i++) {
		if (by < 0) {
			used_drop(c, p->ns, l->claims[i].name);
			continue;
		}
		if (used_add(c, p->ns, l->claims[i].name) == 0)
			continue;
		while (i--)
			used_drop(c, p->ns, l->claims[i].name);
		return -ENOMEM;
	}
	return 0;
}

void sd_restrict_done(struct sd_cluster *c)
{
	omap_done_with(&c->used, used_free);
	omap_done_with(&c->limits, omem_free);
	omem_free(c->attached);
	c->attached = NULL;
	c->cap_attached = 0;
}

bool sd_claims_taken(const struct sd_cluster *c, const struct sd_pod *p)
{
	struct key k;

	for (uint32_t i = 0; p->claims && i < p->claims->n; i++)
		if (p->claims->v[i].alone && key_of(&k, p->ns, p->claims->v[i].name) &&
		    omap_has(&c->used, k.text, k.len))
			return true;
	return false;
}

/* ---- limits ---------------------------------------------------------------------------------- */

int sd_limits_set(struct sd_cluster *c, struct orlop_bytes node, struct orlop_bytes members)
{
	struct orlop_bytes drivers = { "[]", 2 }, v, name;
	struct limits *l, *old;
	struct oscan_iter it;
	uint32_t n = 0;
	size_t size = 0;
	char *text;

	(void)OSCAN_FIND_MEMBERS(members, &drivers, "spec", "drivers");
	for (oscan_begin(&it, drivers); oscan_next(&it) > 0;)
		if (OSCAN_FIND(it.value, &v, "allocatable", "count") && oscan_get(it.value, "name", &v) &&
		    oscan_plain(v, &name)) {
			size += name.len;
			n++;
		}
	if (!n) {
		sd_limits_gone(c, node);
		return 0;
	}
	l = omem_zalloc(sizeof(*l) + n * sizeof(l->v[0]) + size);
	if (!l)
		return -ENOMEM;
	text = (char *)&l->v[n];
	for (oscan_begin(&it, drivers); l->n < n && oscan_next(&it) > 0;) {
		struct limit *d = &l->v[l->n];

		if (!OSCAN_FIND(it.value, &v, "allocatable", "count"))
			continue;
		d->count = oscan_i64(v, 0);
		if (!oscan_get(it.value, "name", &v) || !oscan_plain(v, &name))
			continue;
		memcpy(text, name.p, name.len);
		d->driver = (struct orlop_bytes){ text, name.len };
		text += name.len;
		l->n++;
	}
	if (omap_put(&c->limits, node.p, node.len, l, (void **)&old)) {
		omem_free(l);
		return -ENOMEM;
	}
	omem_free(old);
	return 0;
}

void sd_limits_gone(struct sd_cluster *c, struct orlop_bytes node)
{
	omem_free(omap_del(&c->limits, node.p, node.len));
}

static struct used *used_known(struct sd_cluster *c, struct orlop_bytes ns, struct orlop_bytes name)
{
	struct used *u;
	struct key k;

	if (!key_of(&k, ns, name) || !(u = omap_get(&c->used, k.text, k.len)))
		return NULL;
	if (u->known != c->volumes_gen + 1) {
		omem_free(u->source);
		u->source = c->source ? c->source(c->source_arg, ns, name, &u->driver_len) : NULL;
		u->known = c->volumes_gen + 1;
	}
	return u;
}

static int attached_add(struct sd_cluster *c, uint32_t *n, uint64_t id)
{
	for (uint32_t i = 0; i < *n; i++)
		if (c->attached[i] == id)
			return 0;
	if (*n == c->cap_attached) {
		uint32_t cap = c->cap_attached ? c->cap_attached * 2 : 64;
		uint64_t *v = omem_realloc_array(c->attached, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		c->attached = v;
		c->cap_attached = cap;
	}
	c->attached[(*n)++] = id;
	return 0;
}

/* A volume that several pods use is attached once: volumes are told apart by "driver/handle". */
static uint64_t id_of(const char *source, size_t len)
{
	return ohash_fnv1a64(OHASH_FNV64_INIT, source, len);
}

static bool over(struct sd_cluster *c, const struct sd_pod *p, const struct sd_node *n, const struct limit *l)
{
	uint32_t there = 0, more;

	OLIST_FOREACH(at, &n->pods)
	{
		const struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_node);

		for (uint32_t i = 0; q != p && i < q->load->n_claims; i++) {
			const struct used *u = used_known(c, q->ns, q->load->claims[i].name);

			if (u && u->source && ostr_eq(u->source, u->driver_len, l->driver.p, l->driver.len) &&
			    attached_add(c, &there, id_of(u->source, strlen(u->source))))
				return true;
		}
	}
	more = there;
	for (uint32_t i = 0; i < p->claims->n; i++) {
		const struct sd_claim *k = &p->claims->v[i];

		if (k->source.len && ostr_eq(k->source.p, k->driver_len, l->driver.p, l->driver.len) &&
		    attached_add(c, &more, id_of(k->source.p, k->source.len)))
			return true;
	}
	return more > there && more > l->count;
}

bool sd_over_limit(struct sd_cluster *c, const struct sd_pod *p, const struct sd_node *n)
{
	const struct limits *l;

	if (!p->claims || !p->claims->attached || !omap_count(&c->limits))
		return false;
	l = omap_get(&c->limits, n->name.p, n->name.len);
	for (uint32_t i = 0; l && i < l->n; i++)
		if (over(c, p, n, &l->v[i]))
			return true;
	return false;
}

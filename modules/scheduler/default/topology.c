/* topology.c - labels of nodes as numbers, and what is counted per number. */
#include "topology.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"

#define TOPOS_KEEP 16u /* unused ones are only reused beyond so many: pods come and go */

int sd_tally_init(struct sd_tally *t, struct sd_topo *topo)
{
	olist_init(&t->of_topo);
	olist_init(&t->list);
	t->total = 0;
	t->topo = topo;
	t->v = omem_zalloc_array(topo->cap ? topo->cap : 1, sizeof(*t->v));
	if (!t->v) {
		t->topo = NULL;
		return -ENOMEM;
	}
	topo->refs++;
	olist_append(&topo->tallies, &t->of_topo);
	return 0;
}

void sd_tally_done(struct sd_tally *t)
{
	if (!t->topo)
		return;
	olist_del(&t->of_topo);
	sd_topo_put(t->topo);
	omem_free(t->v);
	t->topo = NULL;
	t->v = NULL;
}

/* ---- domains --------------------------------------------------------------------------------- */

/* Room for more domains, in the topology and all that is counted by it. What was made stays on failure. */
static int topo_grow(struct sd_topo *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : 8;
	uint32_t *v;

	v = omem_realloc_array(t->nodes_in, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->nodes_in = v;
	v = omem_realloc_array(t->free, cap, sizeof(*v));
	if (!v)
		return -ENOMEM;
	t->free = v;
	OLIST_FOREACH(at, &t->tallies)
	{
		struct sd_tally *y = OLIST_ENTRY(at, struct sd_tally, of_topo);
		int32_t *w = omem_realloc_array(y->v, cap, sizeof(*w));

		if (!w)
			return -ENOMEM;
		memset(w + t->n_domains, 0, (cap - t->n_domains) * sizeof(*w));
		y->v = w;
	}
	t->cap = cap;
	return 0;
}

static const struct orlop_bytes *node_value(const struct sd_topo *t, const struct sd_node *n)
{
	const struct sd_label *l;

	if (t->node)
		return &n->name;
	l = sd_label_find(n->labels, n->n_labels, t->key);
	return l ? &l->value : NULL;
}

static int domain_on(struct sd_topo *t, struct sd_node *n)
{
	const struct orlop_bytes *value = node_value(t, n);
	uintptr_t d;

	n->domain[t->slot] = SD_NO_DOMAIN;
	if (!value)
		return 0;
	d = (uintptr_t)omap_get(&t->values, value->p, value->len);
	if (!d) {
		if (!t->n_free && t->n_domains == t->cap && topo_grow(t))
			return -ENOMEM;
		d = t->n_free ? t->free[t->n_free - 1] : t->n_domains;
		if (omap_add(&t->values, value->p, value->len, (void *)(d + 1)))
			return -ENOMEM;
		if (t->n_free)
			t->n_free--;
		else
			t->n_domains++;
		t->nodes_in[d] = 0;
		t->n_live++;
		d++;
	}
	n->domain[t->slot] = (uint32_t)(d - 1);
	t->nodes_in[d - 1]++;
	t->n_labeled++;
	return 0;
}

/* Its pods are counted no longer, so nothing is left in a domain that vanishes. */
static void domain_off(struct sd_topo *t, struct sd_node *n)
{
	uint32_t d = n->domain[t->slot];
	const struct orlop_bytes *value = node_value(t, n);

	if (d == SD_NO_DOMAIN)
		return;
	n->domain[t->slot] = SD_NO_DOMAIN;
	t->n_labeled--;
	if (--t->nodes_in[d] == 0 && value) {
		(void)omap_del(&t->values, value->p, value->len);
		t->free[t->n_free++] = d;
		t->n_live--;
	}
}

int sd_topo_node_on(struct sd_cluster *c, struct sd_node *n)
{
	int err = 0;

	if (!n->domain) {
		n->domain = omem_alloc_array(c->cap_topos ? c->cap_topos : 1, sizeof(*n->domain));
		if (!n->domain)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < c->cap_topos; i++)
		n->domain[i] = SD_NO_DOMAIN;
	for (uint32_t i = 0; i < c->n_topos; i++)
		if (domain_on(c->topos[i], n))
			err = -ENOMEM;
	OLIST_FOREACH(at, &n->pods)
	sd_tallies_add(c, OLIST_ENTRY(at, struct sd_pod, on_node), n, 1);
	return err;
}

void sd_topo_node_off(struct sd_cluster *c, struct sd_node *n)
{
	if (!n->domain)
		return;
	OLIST_FOREACH(at, &n->pods)
	sd_tallies_add(c, OLIST_ENTRY(at, struct sd_pod, on_node), n, -1);
	for (uint32_t i = 0; i < c->n_topos; i++)
		domain_off(c->topos[i], n);
	omem_free(n->domain);
	n->domain = NULL;
}

/* ---- topologies ------------------------------------------------------------------------------ */

static int slots_grow(struct sd_cluster *c)
{
	uint32_t cap = c->cap_topos ? c->cap_topos * 2 : 4;
	struct sd_topo **v = omem_realloc_array(c->topos, cap, sizeof(struct sd_topo *));

	if (!v)
		return -ENOMEM;
	c->topos = v;
	for (uint32_t i = 0; i < c->n; i++) {
		struct sd_node *n = c->v[i];
		uint32_t *d = omem_realloc_array(n->domain, cap, sizeof(*d));

		if (!d)
			return -ENOMEM;
		for (uint32_t k = c->cap_topos; k < cap; k++)
			d[k] = SD_NO_DOMAIN;
		n->domain = d;
	}
	c->cap_topos = cap;
	return 0;
}

static void topo_empty(struct sd_topo *t)
{
	omap_done(&t->values);
	omem_free(t->nodes_in);
	omem_free(t->free);
	omem_free(t->own);
	memset(t, 0, sizeof(*t));
}

/* A place for another one: new, or that of one that nobody uses. */
static struct sd_topo *topo_place(struct sd_cluster *c)
{
	struct sd_topo *t;

	for (uint32_t i = 0; c->n_topos >= TOPOS_KEEP && i < c->n_topos; i++) {
		if (c->topos[i]->refs)
			continue;
		for (uint32_t k = 0; k < c->n; k++)
			c->v[k]->domain[i] = SD_NO_DOMAIN;
		topo_empty(c->topos[i]);
		c->topos[i]->slot = i;
		return c->topos[i];
	}
	if (c->n_topos == c->cap_topos && slots_grow(c))
		return NULL;
	t = OMEM_NEW(struct sd_topo);
	if (!t)
		return NULL;
	t->slot = c->n_topos;
	c->topos[c->n_topos++] = t;
	return t;
}

struct sd_topo *sd_topo_get(struct sd_cluster *c, struct orlop_bytes key)
{
	struct sd_topo *t;

	for (uint32_t i = 0; i < c->n_topos; i++) {
		t = c->topos[i];
		if (t->own && ostr_eq(t->key.p, t->key.len, key.p, key.len)) {
			t->refs++;
			return t;
		}
	}
	t = topo_place(c);
	if (!t)
		return NULL;
	omap_init(&t->values);
	olist_init(&t->tallies);
	t->own = omem_strndup(key.len ? key.p : "", key.len);
	if (!t->own)
		return NULL; /* its place stays, unused */
	t->key = (struct orlop_bytes){ t->own, key.len };
	t->node = !key.len;
	t->hostname = ostr_is(key.p, key.len, "kubernetes.io/hostname");
	for (uint32_t i = 0; i < c->n; i++)
		if (domain_on(t, c->v[i])) {
			for (uint32_t k = 0; k <= i; k++)
				domain_off(t, c->v[k]);
			uint32_t slot = t->slot;

			topo_empty(t);
			t->slot = slot;
			return NULL;
		}
	t->refs = 1;
	return t;
}

void sd_topo_put(struct sd_topo *t)
{
	t->refs--;
}

void sd_topo_done(struct sd_cluster *c)
{
	for (uint32_t i = 0; i < c->n_topos; i++) {
		topo_empty(c->topos[i]);
		omem_free(c->topos[i]);
	}
	omem_free(c->topos);
	c->topos = NULL;
	c->n_topos = c->cap_topos = 0;
}

/* node.c - the table of nodes: what each offers, what is taken, which pods are counted on it. */
#include "cycle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ohash.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"

void sd_cluster_init(struct sd_cluster *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	omap_init(&c->nodes);
	omap_init(&c->images);
	olist_init(&c->dirty);
	olist_init(&c->anywhere);
	olist_init(&c->idle);
	omap_init(&c->matches);
	omap_init(&c->by_label);
	omap_init(&c->namespaces);
	omap_init(&c->used);
	omap_init(&c->limits);
	c->rng = seed | 1;
}

static void images_drop(struct sd_cluster *c, struct sd_image **v, const struct orlop_bytes *names,
			uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct sd_image *im = omap_get(&c->images, names[i].p, names[i].len);

		if (im && --im->n_nodes == 0) {
			omap_del(&c->images, names[i].p, names[i].len);
			omem_free(im);
		}
	}
	omem_free(v);
}

static void node_free(struct sd_cluster *c, struct sd_node *n)
{
	images_drop(c, n->images, n->image_names, n->n_images);
	for (uint32_t i = 0; i < n->n_ext; i++)
		omem_free(n->ext[i].own);
	omem_free(n->ext);
	omem_free(n->domain);
	oarena_done(&n->mem);
	if (!olist_empty(&n->dirty)) {
		olist_del(&n->dirty);
		c->n_dirty--;
	}
	omem_free(n);
}

void sd_cluster_done(struct sd_cluster *c)
{
	OMAP_FOREACH(&c->nodes, e)
	node_free(c, e->value);
	omap_done(&c->nodes);
	sd_match_done(c);
	sd_topo_done(c);
	sd_cycle_done(c);
	sd_restrict_done(c);
	omap_done_with(&c->images, omem_free);
	omem_free(c->v);
	omem_free(c->cand);
	memset(c, 0, sizeof(*c));
}

struct sd_node *sd_node_ensure(struct sd_cluster *c, struct orlop_bytes name)
{
	struct omap_entry *e = omap_find(&c->nodes, name.p, name.len);
	struct sd_node *n;

	if (e)
		return e->value;
	n = OMEM_NEW(struct sd_node);
	if (!n)
		return NULL;
	olist_init(&n->pods);
	olist_init(&n->nominated);
	olist_init(&n->dirty);
	oarena_init(&n->mem, 0);
	if (omap_add(&c->nodes, name.p, name.len, n)) {
		omem_free(n);
		return NULL;
	}
	e = omap_find(&c->nodes, name.p, name.len);
	n->name = (struct orlop_bytes){ e->key, e->key_len };
	return n;
}

/* Nobody names it any more: forget it. */
void sd_node_drop_if_unused(struct sd_cluster *c, struct sd_node *n)
{
	if (n->present || n->n_pods || !olist_empty(&n->nominated))
		return;
	omap_del(&c->nodes, n->name.p, n->name.len);
	node_free(c, n);
}

void sd_node_dirty(struct sd_cluster *c, struct sd_node *n)
{
	if (n->present && olist_empty(&n->dirty)) {
		olist_append(&c->dirty, &n->dirty);
		c->n_dirty++;
	}
}

void sd_clean(struct sd_cluster *c)
{
	while (olist_shift(&c->dirty))
		;
	c->n_dirty = 0;
}

/* ---- a node's JSON --------------------------------------------------------------------------- */

static struct orlop_bytes text(struct oarena *mem, struct orlop_bytes v, int *err)
{
	struct orlop_bytes t = { "", 0 };
	struct obuf b = OBUF_INIT;
	char *p;

	if (oscan_type(v) == OSCAN_STRING && !oscan_plain(v, &t)) {
		if (oscan_unquote(v, &b) == -ENOMEM)
			*err = -ENOMEM;
		t = (struct orlop_bytes){ obuf_cstr(&b), b.len };
	}
	p = oarena_strndup(mem, t.p ? t.p : "", t.len);
	obuf_done(&b);
	if (!p)
		*err = -ENOMEM;
	return (struct orlop_bytes){ p ? p : "", p ? t.len : 0 };
}

static int label_cmp(const void *a, const void *b)
{
	const struct sd_label *x = a, *y = b;

	return ostr_cmp(x->key.p, x->key.len, y->key.p, y->key.len);
}

static void labels_read(struct sd_node *n, struct orlop_bytes map, int *err)
{
	size_t count = oscan_count(map);
	struct oscan_iter it;

	if (!count)
		return;
	n->labels = oarena_zalloc(&n->mem, count * sizeof(*n->labels));
	if (!n->labels) {
		*err = -ENOMEM;
		return;
	}
	for (oscan_begin(&it, map); oscan_next(&it) > 0;)
		n->labels[n->n_labels++] = (struct sd_label){ text(&n->mem, it.key, err),
							      text(&n->mem, it.value, err) };
	qsort(n->labels, n->n_labels, sizeof(*n->labels), label_cmp);
}

static void taints_read(struct sd_node *n, struct orlop_bytes list, int *err)
{
	size_t count = oscan_count(list);
	struct oscan_iter it;

	if (!count)
		return;
	n->taints = oarena_zalloc(&n->mem, count * sizeof(*n->taints));
	if (!n->taints) {
		*err = -ENOMEM;
		return;
	}
	for (oscan_begin(&it, list); oscan_next(&it) > 0;) {
		struct sd_taint *t = &n->taints[n->n_taints];
		struct orlop_bytes v;

		if (!oscan_get(it.value, "effect", &v))
			continue;
		t->effect = oscan_string_is_cstr(v, "NoSchedule")  ? SD_NO_SCHEDULE
			    : oscan_string_is_cstr(v, "NoExecute") ? SD_NO_EXECUTE
								   : SD_PREFER_NO_SCHEDULE;
		if (oscan_get(it.value, "key", &v))
			t->key = text(&n->mem, v, err);
		if (oscan_get(it.value, "value", &v))
			t->value = text(&n->mem, v, err);
		*(t->effect == SD_PREFER_NO_SCHEDULE ? &n->n_prefer : &n->n_hard) += 1;
		n->n_taints++;
	}
}

struct sd_ext *sd_ext_ensure(struct sd_node *n, struct orlop_bytes name, int *err)
{
	struct sd_ext *v;
	char *own;

	for (uint32_t i = 0; i < n->n_ext; i++)
		if (ostr_eq(n->ext[i].name.p, n->ext[i].name.len, name.p, name.len))
			return &n->ext[i];
	own = omem_strndup(name.p, name.len);
	v = own ? omem_realloc_array(n->ext, n->n_ext + 1, sizeof(*v)) : NULL;
	if (!v) {
		omem_free(own);
		*err = -ENOMEM;
		return NULL;
	}
	n->ext = v;
	v[n->n_ext] = (struct sd_ext){ { own, name.len }, own, 0, 0 };
	return &v[n->n_ext++];
}

static void allocatable_read(struct sd_node *n, struct orlop_bytes map, int *err)
{
	struct oscan_iter it;

	for (uint32_t i = 0; i < n->n_ext; i++)
		n->ext[i].alloc = 0;
	n->alloc_cpu_milli = n->alloc_memory = n->alloc_ephemeral = n->alloc_pods = 0;
	for (oscan_begin(&it, map); map.p && oscan_next(&it) > 0;) {
		struct orlop_bytes name;
		struct sd_ext *e;

		if (!oscan_plain(it.key, &name))
			continue;
		if (ostr_is(name.p, name.len, "cpu"))
			n->alloc_cpu_milli = sd_quantity_milli(it.value);
		else if (ostr_is(name.p, name.len, "memory"))
			n->alloc_memory = sd_quantity(it.value);
		else if (ostr_is(name.p, name.len, "ephemeral-storage"))
			n->alloc_ephemeral = sd_quantity(it.value);
		else if (ostr_is(name.p, name.len, "pods"))
			n->alloc_pods = sd_quantity(it.value);
		else if ((e = sd_ext_ensure(n, name, err)))
			e->alloc = sd_quantity(it.value);
	}
}

static int image_cmp(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (struct sd_image *const *)a,
		  y = (uintptr_t) * (struct sd_image *const *)b;

	return x < y ? -1 : x > y;
}

static int image_add(struct sd_cluster *c, struct sd_node *n, struct orlop_bytes name, int64_t size)
{
	struct sd_image *im = omap_get(&c->images, name.p, name.len);

	if (!im) {
		im = OMEM_NEW(struct sd_image);
		if (!im || omap_add(&c->images, name.p, name.len, im)) {
			omem_free(im);
			return -ENOMEM;
		}
	}
	im->size = size < 0 ? 0 : size > SD_AMOUNT_MAX ? SD_AMOUNT_MAX : size;
	im->n_nodes++;
	n->images[n->n_images] = im;
	n->image_names[n->n_images++] = name;
	return 0;
}

static void images_read(struct sd_cluster *c, struct sd_node *n, struct orlop_bytes list, int *err)
{
	struct oscan_iter it, jt;
	struct orlop_bytes names, v;
	size_t count = 0;

	for (oscan_begin(&it, list); list.p && oscan_next(&it) > 0;)
		if (oscan_get(it.value, "names", &names))
			count += oscan_count(names);
	if (!count)
		return;
	n->images = omem_alloc_array(count, sizeof(*n->images));
	n->image_names = oarena_alloc(&n->mem, count * sizeof(*n->image_names));
	if (!n->images || !n->image_names) {
		*err = -ENOMEM;
		return;
	}
	for (oscan_begin(&it, list); oscan_next(&it) > 0 && !*err;) {
		int64_t size = oscan_get(it.value, "sizeBytes", &v) ? oscan_i64(v, 0) : 0;

		if (!oscan_get(it.value, "names", &names))
			continue;
		for (oscan_begin(&jt, names); oscan_next(&jt) > 0 && !*err;) {
			struct orlop_bytes name = text(&n->mem, jt.value, err);

			if (!*err)
				*err = image_add(c, n, name, size);
		}
	}
	/* names stay in their own order: they are only walked */
	qsort(n->images, n->n_images, sizeof(struct sd_image *), image_cmp);
}

static int node_list(struct sd_cluster *c, struct sd_node *n)
{
	if (n->present)
		return 0;
	if (c->n == c->cap) {
		uint32_t cap = c->cap ? c->cap * 2 : 16;
		struct sd_node **v = omem_realloc_array(c->v, cap, sizeof(struct sd_node *));
		struct sd_cand *cand = v ? omem_alloc_array(cap, sizeof(*cand)) : NULL;

		if (v)
			c->v = v;
		if (!cand)
			return -ENOMEM;
		omem_free(c->cand);
		c->cand = cand;
		c->cap = cap;
	}
	n->domain = omem_alloc_array(c->cap_topos ? c->cap_topos : 1, sizeof(*n->domain));
	if (!n->domain)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->cap_topos; i++)
		n->domain[i] = SD_NO_DOMAIN;
	n->slot = c->n;
	n->present = true;
	n->fresh = true;
	c->v[c->n++] = n;
	return 0;
}

int sd_node_set(struct sd_cluster *c, struct orlop_bytes name, struct orlop_bytes members)
{
	struct orlop_bytes labels = { NULL, 0 }, taints = { NULL, 0 }, alloc = { NULL, 0 },
			   images = { NULL, 0 }, v;
	struct sd_node *n = sd_node_ensure(c, name);
	struct oscan_iter it;
	bool moved;
	int err;

	if (!n)
		return -ENOMEM;
	err = node_list(c, n);
	if (err) {
		sd_node_drop_if_unused(c, n);
		return err;
	}
	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;)
		if (oscan_string_is_cstr(it.key, "metadata"))
			(void)oscan_get(it.value, "labels", &labels);
	moved = n->fresh ||
		n->labels_hash != ohash_fnv1a64(OHASH_FNV64_INIT, labels.p ? labels.p : "", labels.len);
	if (moved && !n->fresh)
		sd_topo_node_off(c, n);
	images_drop(c, n->images, n->image_names, n->n_images);
	oarena_done(&n->mem);
	oarena_init(&n->mem, 0);
	n->n_taints = n->n_prefer = n->n_hard = n->n_labels = n->n_images = 0;
	n->taints = NULL;
	n->labels = NULL;
	n->images = NULL;
	n->image_names = NULL;
	n->unschedulable = false;
	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;) {
		if (oscan_string_is_cstr(it.key, "spec")) {
			(void)oscan_get(it.value, "taints", &taints);
			n->unschedulable = oscan_get(it.value, "unschedulable", &v) &&
					   oscan_bool(v, false);
		} else if (oscan_string_is_cstr(it.key, "status")) {
			(void)oscan_get(it.value, "allocatable", &alloc);
			(void)oscan_get(it.value, "images", &images);
			if (!alloc.p)
				(void)oscan_get(it.value, "capacity", &alloc);
		}
	}
	if (labels.p)
		labels_read(n, labels, &err);
	if (taints.p)
		taints_read(n, taints, &err);
	allocatable_read(n, alloc, &err);
	images_read(c, n, images, &err);
	if (moved) {
		n->fresh = false;
		c->topology_moved = true;
		n->labels_hash = ohash_fnv1a64(OHASH_FNV64_INIT, labels.p ? labels.p : "", labels.len);
		if (sd_topo_node_on(c, n))
			err = -ENOMEM;
	}
	if (err)
		n->labels_hash ^= 1; /* read again, all of it is done again */
	sd_node_dirty(c, n);
	if (err)
		n->unschedulable = true; /* half known: better not used until it is read again */
	return err;
}

void sd_node_gone(struct sd_cluster *c, struct orlop_bytes name)
{
	struct sd_node *n = omap_get(&c->nodes, name.p, name.len);

	if (!n || !n->present)
		return;
	sd_topo_node_off(c, n);
	c->topology_moved = true;
	n->present = false;
	c->v[n->slot] = c->v[--c->n];
	c->v[n->slot]->slot = n->slot;
	if (!olist_empty(&n->dirty)) {
		olist_del(&n->dirty);
		c->n_dirty--;
	}
	sd_node_drop_if_unused(c, n);
}

struct sd_node *sd_node_get(struct sd_cluster *c, struct orlop_bytes name)
{
	struct sd_node *n = omap_get(&c->nodes, name.p, name.len);

	return n && n->present ? n : NULL;
}

static bool same(struct orlop_bytes a, struct orlop_bytes b, const char *x, const char *y)
{
	struct orlop_bytes u = { NULL, 0 }, v = { NULL, 0 };

	(void)oscan_find_members(a, (const char *const[]){ x, y, NULL }, &u);
	(void)oscan_find_members(b, (const char *const[]){ x, y, NULL }, &v);
	return ostr_eq(u.p, u.len, v.p, v.len);
}

bool sd_node_differs(struct orlop_bytes a, struct orlop_bytes b)
{
	return !same(a, b, "spec", NULL) || !same(a, b, "metadata", "labels") ||
	       !same(a, b, "status", "allocatable") || !same(a, b, "status", "images");
}

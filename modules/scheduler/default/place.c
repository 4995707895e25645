/* place.c - pods on nodes: what they take there, for real, as a trial, or kept for later. */
#include "cycle.h"

#include <errno.h>

#include "base/omem.h"
#include "base/ostr.h"

/* Thousands of absurd pods on one node may wrap it round; that is no undefined behaviour. */
static void add(int64_t *to, int64_t v, int sign)
{
	*to = (int64_t)((uint64_t)*to + (sign > 0 ? (uint64_t)v : -(uint64_t)v));
}

static int count_pod(struct sd_node *n, const struct sd_load *l, int sign)
{
	int err = 0;

	for (uint32_t i = 0; i < l->n_ext; i++) {
		struct sd_ext *e = sd_ext_ensure(n, l->ext[i].name, &err);

		if (!e) {
			while (i--)
				add(&sd_ext_ensure(n, l->ext[i].name, &err)->used, l->ext[i].v, -sign);
			return err;
		}
		add(&e->used, l->ext[i].v, sign);
	}
	add(&n->used_cpu_milli, l->cpu_milli, sign);
	add(&n->used_memory, l->memory, sign);
	add(&n->used_ephemeral, l->ephemeral, sign);
	add(&n->nz_cpu_milli, l->nz_cpu_milli, sign);
	add(&n->nz_memory, l->nz_memory, sign);
	n->n_ports += (uint32_t)sign * l->n_ports;
	n->n_pods += (uint32_t)sign;
	return 0;
}

/* How many pods are placed of each priority: who has nobody below needs not look for victims. */
static void priority_add(struct sd_cluster *c, int32_t priority, int by)
{
	uint32_t i = 0;

	while (i < c->n_priorities && c->priorities[i].priority != priority)
		i++;
	if (i == c->n_priorities) {
		if (by < 0)
			return;
		if (i == SD_PRIORITIES) {
			c->priorities_lost = true;
			return;
		}
		c->priorities[c->n_priorities++].priority = priority;
		c->priorities[i].n = 0;
	}
	c->priorities[i].n += (uint32_t)by;
	if (!c->priorities[i].n)
		c->priorities[i] = c->priorities[--c->n_priorities];
}

bool sd_has_below(const struct sd_cluster *c, int32_t priority)
{
	for (uint32_t i = 0; i < c->n_priorities; i++)
		if (c->priorities[i].priority < priority)
			return true;
	return c->priorities_lost;
}

int sd_pod_place(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes node)
{
	struct sd_node *n = sd_node_ensure(c, node);
	int r;

	if (!n)
		return -ENOMEM;
	r = sd_used_count(c, p, 1);
	if (!r) {
		r = count_pod(n, p->load, 1);
		if (r)
			(void)sd_used_count(c, p, -1);
	}
	if (r) {
		sd_node_drop_if_unused(c, n);
		return r;
	}
	olist_append(&n->pods, &p->on_node);
	p->node = n;
	p->counted_priority = p->priority;
	priority_add(c, p->priority, 1);
	sd_tallies_add(c, p, n, 1);
	return 0;
}

void sd_pod_unplace(struct sd_cluster *c, struct sd_pod *p)
{
	struct sd_node *n = p->node;

	if (!n)
		return;
	sd_tallies_add(c, p, n, -1);
	(void)count_pod(n, p->load, -1);
	(void)sd_used_count(c, p, -1);
	priority_add(c, p->counted_priority, -1);
	olist_del(&p->on_node);
	p->node = NULL;
	sd_node_dirty(c, n);
	sd_node_drop_if_unused(c, n);
}

int sd_try(struct sd_cluster *c, struct sd_pod *p, struct sd_node *n, int by)
{
	bool freed = c->claim_freed;
	int r = sd_used_count(c, p, by);

	if (r)
		return r;
	c->claim_freed = freed; /* only tried */
	r = count_pod(n, p->load, by);
	if (r) {
		(void)sd_used_count(c, p, -by);
		return r;
	}
	if (by > 0)
		olist_append(&n->pods, &p->on_node);
	else
		olist_del(&p->on_node);
	sd_tallies_add(c, p, n, by);
	return 0;
}

void sd_pod_nominate(struct sd_cluster *c, struct sd_pod *p, struct orlop_bytes node)
{
	struct sd_node *was = p->nominated, *n;

	if (was && ostr_eq(was->name.p, was->name.len, node.p, node.len))
		return;
	n = node.len ? sd_node_ensure(c, node) : NULL;
	if (was) {
		olist_del(&p->on_nominated);
		p->nominated = NULL;
		sd_node_dirty(c, was); /* its room is anybody's again */
		sd_node_drop_if_unused(c, was);
	}
	if (n) {
		olist_append(&n->nominated, &p->on_nominated);
		p->nominated = n;
	}
}

/* cycle.c - all filters on one node for one pod; room that is kept for others. */
#include "cycle.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "volume.h"

int sd_counts_add(struct sd_counts *v, const struct sd_tally *t, int64_t weight)
{
	if (!t)
		return -ENOMEM;
	if (v->n == v->cap) {
		uint32_t cap = v->cap ? v->cap * 2 : 8;
		struct sd_count *more = omem_realloc_array(v->v, cap, sizeof(*more));

		if (!more)
			return -ENOMEM;
		v->v = more;
		v->cap = cap;
	}
	v->v[v->n++] = (struct sd_count){ t, weight };
	return 0;
}

int32_t *sd_scratch(struct sd_scratch *s, uint32_t n)
{
	if (n > s->cap) {
		int32_t *v = omem_alloc_array(n, sizeof(*v));

		if (!v)
			return NULL;
		omem_free(s->v);
		s->v = v;
		s->cap = n;
	}
	return s->v;
}

struct sd_cycle *sd_cycle_begin(struct sd_cluster *c, const struct sd_pod *p)
{
	struct sd_cycle *cy = c->cycle;

	if (!cy)
		cy = c->cycle = OMEM_NEW(struct sd_cycle);
	if (!cy)
		return NULL;
	cy->c = c;
	cy->p = p;
	cy->profile = sd_profile_of(p);
	cy->err = 0;
	cy->scored = false;
	cy->need.n = cy->avoid.n = cy->avoided.n = cy->like.n = 0;
	cy->n_hard = cy->n_soft = 0;
	if (!(cy->profile->no_filter & SD_BIT(SD_P_POD_AFFINITY)))
		sd_affinity_begin(cy);
	if (!(cy->profile->no_filter & SD_BIT(SD_P_SPREAD)))
		sd_spread_begin(cy);
	cy->topology = cy->need.n || cy->avoid.n || cy->avoided.n || cy->n_hard;
	return cy->err ? NULL : cy;
}

void sd_cycle_again(struct sd_cycle *cy)
{
	if (cy->need.n)
		sd_affinity_again(cy);
	if (cy->n_hard)
		sd_spread_again(cy);
}

void sd_cycle_done(struct sd_cluster *c)
{
	struct sd_cycle *cy = c->cycle;

	if (!cy)
		return;
	omem_free(cy->need.v);
	omem_free(cy->avoid.v);
	omem_free(cy->avoided.v);
	omem_free(cy->like.v);
	for (uint32_t i = 0; i < 2 * SD_SKEWS; i++)
		omem_free(cy->scratch[i].v);
	omem_free(cy->seen.v);
	omem_free(cy);
	c->cycle = NULL;
}

static enum sd_plugin filter_as_is(struct sd_cycle *cy, const struct sd_node *n, struct sd_why *why)
{
	enum sd_plugin r = sd_filter(cy->p, n, why);

	if (r != SD_FEASIBLE)
		return r;
	if (!(cy->profile->no_filter & SD_BIT(SD_P_RESTRICTIONS)) && sd_disk_taken(cy->p, n)) {
		why->unresolvable = false;
		why->text = "node(s) had no available disk";
		return why->plugin = SD_P_RESTRICTIONS;
	}
	if (cy->p->claims && !(cy->profile->no_filter & SD_BIT(SD_P_RESTRICTIONS)) &&
	    sd_claims_taken(cy->c, cy->p)) {
		why->unresolvable = false;
		why->text = NULL;
		return why->plugin = SD_P_RESTRICTIONS;
	}
	if (cy->p->claims && !(cy->profile->no_filter & SD_BIT(SD_P_LIMITS)) && sd_over_limit(cy->c, cy->p, n)) {
		why->unresolvable = false;
		return why->plugin = SD_P_LIMITS;
	}
	if (cy->p->claims && !(cy->profile->no_filter & SD_BIT(SD_P_VOLUMES))) {
		why->text = sd_claims_refuse(cy->p->claims, n);
		if (why->text) {
			why->unresolvable = true;
			return why->plugin = SD_P_VOLUMES;
		}
	}
	if (!cy->topology)
		return r;
	why->unresolvable = false;
	r = cy->n_hard ? sd_spread_filter(cy, n, why) : SD_FEASIBLE;
	return why->plugin = r != SD_FEASIBLE ? r : sd_affinity_filter(cy, n, why);
}

static bool counts_first(const struct sd_pod *q, const struct sd_pod *p)
{
	return q != p && q->priority >= p->priority && !q->node;
}

/* With the pods that are to come here before this one: what they take, and what they need to be there. */
static enum sd_plugin filter_nominated(struct sd_cycle *cy, struct sd_node *n, struct sd_why *why)
{
	enum sd_plugin r;
	uint32_t there = 0;

	OLIST_FOREACH(at, &n->nominated)
	{
		struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_nominated);

		if (counts_first(q, cy->p) && sd_try(cy->c, q, n, 1) == 0)
			there++;
	}
	if (!there)
		return filter_as_is(cy, n, why);
	sd_cycle_again(cy);
	r = filter_as_is(cy, n, why);
	OLIST_FOREACH(at, &n->nominated)
	{
		struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_nominated);

		if (there && counts_first(q, cy->p)) {
			(void)sd_try(cy->c, q, n, -1);
			there--;
		}
	}
	sd_cycle_again(cy);
	return r != SD_FEASIBLE ? r : filter_as_is(cy, n, why);
}

enum sd_plugin sd_cycle_filter(struct sd_cycle *cy, struct sd_node *n, struct sd_why *why)
{
	struct sd_why none;

	if (!why)
		why = &none;
	return olist_empty(&n->nominated) ? filter_as_is(cy, n, why) : filter_nominated(cy, n, why);
}

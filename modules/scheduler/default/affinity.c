/*
 * affinity.c - InterPodAffinity: pods that want to be near others, or far from them, or are avoided.
 *
 * Source: pkg/scheduler/framework/plugins/interpodaffinity; counted by topology.h instead of looking at
 * all pods.
 */
#include "cycle.h"

#include <errno.h>

struct finding {
	struct sd_cycle	*cy;
	bool		hard;
};

/* Terms of pods that are there about pods like this one. */
static void holds_of(void *arg, struct sd_match *m)
{
	struct finding *f = arg;
	struct sd_cycle *cy = f->cy;
	int r = 0;

	OLIST_FOREACH(at, &m->holds)
	{
		struct sd_hold *h = OLIST_ENTRY(at, struct sd_hold, list);

		if (!h->tally.total)
			continue;
		if (f->hard && h->kind == SD_AVOID)
			r = sd_counts_add(&cy->avoided, &h->tally, 0);
		else if (!f->hard && h->kind == SD_NEED && cy->profile->hard_pod_affinity)
			r = sd_counts_add(&cy->like, &h->tally, cy->profile->hard_pod_affinity);
		else if (!f->hard && !cy->profile->ignore_preferred && h->kind == SD_LIKE)
			r = sd_counts_add(&cy->like, &h->tally, h->weight);
		else if (!f->hard && !cy->profile->ignore_preferred && h->kind == SD_DISLIKE)
			r = sd_counts_add(&cy->like, &h->tally, -h->weight);
		if (r)
			cy->err = r;
	}
}

static void own_terms(struct sd_cycle *cy, enum sd_term_kind kind, struct sd_counts *to, int sign)
{
	const struct sd_terms *t = cy->p->terms;

	for (uint32_t i = 0; t && t->n_kind[kind] && i < t->n; i++) {
		if (t->v[i].kind != kind)
			continue;
		if (sd_counts_add(to,
				  sd_match_tally(cy->c, kind == SD_NEED ? t->all : t->v[i].match,
						 t->v[i].topo),
				  sign * t->v[i].weight))
			cy->err = -ENOMEM;
	}
}

void sd_affinity_again(struct sd_cycle *cy)
{
	cy->alone_ok = sd_match_has(cy->c, cy->p->terms->all, cy->p);
	for (uint32_t i = 0; i < cy->need.n; i++)
		if (cy->need.v[i].tally->total)
			cy->alone_ok = false;
}

void sd_affinity_begin(struct sd_cycle *cy)
{
	struct finding f = { cy, true };

	if (cy->c->n_holds)
		sd_match_each(cy->c, cy->p, holds_of, &f);
	if (!cy->p->terms)
		return;
	own_terms(cy, SD_NEED, &cy->need, 1);
	own_terms(cy, SD_AVOID, &cy->avoid, 1);
	if (cy->need.n && !cy->err)
		sd_affinity_again(cy);
}

static int32_t count_at(const struct sd_count *k, const struct sd_node *n)
{
	uint32_t d = sd_domain(n, k->tally->topo);

	return d == SD_NO_DOMAIN ? -1 : k->tally->v[d];
}

/* All wanted pods are near; or none are anywhere and the pod itself is one of them. */
static bool needs_met(const struct sd_cycle *cy, const struct sd_node *n)
{
	bool met = true;

	for (uint32_t i = 0; i < cy->need.n; i++) {
		int32_t v = count_at(&cy->need.v[i], n);

		if (v < 0)
			return false;
		met = met && v > 0;
	}
	return met || cy->alone_ok;
}

enum sd_plugin sd_affinity_filter(const struct sd_cycle *cy, const struct sd_node *n, struct sd_why *why)
{
	if (!needs_met(cy, n)) {
		why->how = SD_HOW_NEED;
		why->unresolvable = true;
		return SD_P_POD_AFFINITY;
	}
	for (uint32_t i = 0; i < cy->avoid.n; i++)
		if (count_at(&cy->avoid.v[i], n) > 0) {
			why->how = SD_HOW_AVOID;
			return SD_P_POD_AFFINITY;
		}
	for (uint32_t i = 0; i < cy->avoided.n; i++)
		if (count_at(&cy->avoided.v[i], n) > 0) {
			why->how = SD_HOW_AVOIDED;
			return SD_P_POD_AFFINITY;
		}
	return SD_FEASIBLE;
}

void sd_affinity_score_begin(struct sd_cycle *cy)
{
	struct finding f = { cy, false };

	cy->like.n = 0;
	if (cy->c->n_holds)
		sd_match_each(cy->c, cy->p, holds_of, &f);
	own_terms(cy, SD_LIKE, &cy->like, 1);
	own_terms(cy, SD_DISLIKE, &cy->like, -1);
}

int64_t sd_affinity_score(const struct sd_cycle *cy, const struct sd_node *n)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < cy->like.n; i++) {
		int32_t v = count_at(&cy->like.v[i], n);

		if (v > 0)
			sum += v * cy->like.v[i].weight;
	}
	return sum;
}

/*
 * spread.c - PodTopologySpread: pods of a kind evenly over domains, as a must or as a wish.
 *
 * A pod that may use all nodes is counted by tallies that are kept up to date; one whose node selector
 * or taints leave some out has them counted anew, per node and not per pod.
 * Source: pkg/scheduler/framework/plugins/podtopologyspread.
 */
#include "cycle.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define MAX_SCORE 100

/* ---- counting -------------------------------------------------------------------------------- */

/* Do all nodes count for this constraint? */
static bool everywhere(const struct sd_cycle *cy, const struct sd_spread *s)
{
	const struct sd_spec *spec = cy->p->spec;

	return !(s->honor_affinity && spec && (spec->n_selector || spec->has_required)) && !s->honor_taints;
}

static bool node_counts(const struct sd_cycle *cy, const struct sd_spread *s, const struct sd_node *n)
{
	const struct sd_spec *spec = cy->p->spec;

	if (s->honor_affinity && spec && !sd_node_wanted(spec, n))
		return false;
	return !(s->honor_taints && spec && n->n_hard && !sd_node_tolerated(spec, n));
}

static bool has_all_labels(const struct sd_spreads *v, bool hard, const struct sd_node *n)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->v[i].hard == hard && sd_domain(n, v->v[i].topo) == SD_NO_DOMAIN)
			return false;
	return true;
}

static bool all_labeled(const struct sd_cycle *cy, const struct sd_spreads *v, bool hard)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->v[i].hard == hard && v->v[i].topo->n_labeled != cy->c->n)
			return false;
	return true;
}

/* @all: only nodes that have the labels of all constraints count. 0 or -ENOMEM. */
static int count_own(struct sd_cycle *cy, struct sd_skew *k, struct sd_scratch *room, bool all)
{
	const struct sd_spread *s = k->spread;
	struct sd_cluster *c = cy->c;
	struct sd_topo *node = sd_topo_get(c, (struct orlop_bytes){ "", 0 });
	struct sd_tally *t = node ? sd_match_tally(c, s->match, node) : NULL;
	int32_t *own = sd_scratch(room, s->topo->cap ? s->topo->cap : 1);

	if (node)
		sd_topo_put(node);
	if (!t || !own)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->topo->n_domains; i++)
		own[i] = -1;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct sd_node *n = c->v[i];
		uint32_t d = sd_domain(n, s->topo), at = sd_domain(n, t->topo);

		if (d == SD_NO_DOMAIN || (all && !has_all_labels(cy->p->spreads, s->hard, n)) ||
		    !node_counts(cy, s, n))
			continue;
		if (own[d] < 0)
			own[d] = 0;
		if (at != SD_NO_DOMAIN)
			own[d] += t->v[at];
	}
	k->own = own;
	return 0;
}

static int skew_count(struct sd_cycle *cy, struct sd_skew *k, struct sd_scratch *room)
{
	const struct sd_spreads *v = cy->p->spreads;
	bool all = k->spread->hard || !v->by_default;

	k->own = NULL;
	k->tally = sd_match_tally(cy->c, k->spread->match, k->spread->topo);
	if (!k->tally)
		return -ENOMEM;
	if (everywhere(cy, k->spread) && (!all || all_labeled(cy, v, k->spread->hard)))
		return 0;
	return count_own(cy, k, room, all);
}

static int64_t count_in(const struct sd_skew *k, uint32_t d)
{
	if (!k->own)
		return k->tally->v[d];
	return k->own[d] < 0 ? 0 : k->own[d];
}

/* ---- must ------------------------------------------------------------------------------------ */

static void min_find(struct sd_skew *k)
{
	const struct sd_topo *t = k->spread->topo;
	int64_t min = INT32_MAX;
	int64_t domains = 0;

	for (uint32_t d = 0; d < t->n_domains; d++) {
		if (k->own ? k->own[d] < 0 : !t->nodes_in[d])
			continue;
		domains++;
		if (count_in(k, d) < min)
			min = count_in(k, d);
	}
	k->min = domains < k->spread->min_domains ? 0 : min;
}

void sd_spread_again(struct sd_cycle *cy)
{
	for (uint32_t i = 0; i < cy->n_hard; i++) {
		if (skew_count(cy, &cy->hard[i], &cy->scratch[i]))
			cy->err = -ENOMEM;
		else
			min_find(&cy->hard[i]);
	}
}

void sd_spread_begin(struct sd_cycle *cy)
{
	const struct sd_spreads *v = cy->p->spreads;

	for (uint32_t i = 0; v && v->n_hard && i < v->n && cy->n_hard < SD_SKEWS; i++)
		if (v->v[i].hard)
			cy->hard[cy->n_hard++] = (struct sd_skew){
				.spread = &v->v[i],
				.self = sd_match_has(cy->c, v->v[i].match, cy->p),
			};
	sd_spread_again(cy);
}

enum sd_plugin sd_spread_filter(const struct sd_cycle *cy, const struct sd_node *n, struct sd_why *why)
{
	for (uint32_t i = 0; i < cy->n_hard; i++) {
		const struct sd_skew *k = &cy->hard[i];
		uint32_t d = sd_domain(n, k->spread->topo);

		if (d == SD_NO_DOMAIN) {
			why->how = SD_HOW_NO_LABEL;
			why->unresolvable = true;
			return SD_P_SPREAD;
		}
		if (count_in(k, d) + k->self - k->min > k->spread->max_skew) {
			why->how = SD_HOW_SKEW;
			return SD_P_SPREAD;
		}
	}
	return SD_FEASIBLE;
}

/* ---- wish ------------------------------------------------------------------------------------ */

/* In how many domains are the candidates? */
static int64_t domains_of(struct sd_cycle *cy, const struct sd_topo *t, const struct sd_cand *v, uint32_t n)
{
	int32_t *seen = sd_scratch(&cy->seen, t->cap ? t->cap : 1);
	int64_t count = 0;

	if (!seen)
		return 1;
	memset(seen, 0, t->n_domains * sizeof(*seen));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t d = sd_domain(v[i].node, t);

		if (v[i].spread < 0 || d == SD_NO_DOMAIN || seen[d])
			continue;
		seen[d] = 1;
		count++;
	}
	return count;
}

static void soft_begin(struct sd_cycle *cy, struct sd_cand *v, uint32_t n)
{
	const struct sd_spreads *s = cy->p->spreads;
	int64_t left = 0;

	cy->n_soft = 0;
	for (uint32_t i = 0; i < n; i++) {
		v[i].spread = s->by_default || has_all_labels(s, false, v[i].node) ? 0 : -1;
		left += v[i].spread == 0;
	}
	for (uint32_t i = 0; i < s->n && cy->n_soft < SD_SKEWS; i++) {
		struct sd_skew *k = &cy->soft[cy->n_soft];

		if (s->v[i].hard)
			continue;
		*k = (struct sd_skew){ .spread = &s->v[i] };
		if (skew_count(cy, k, &cy->scratch[SD_SKEWS + cy->n_soft])) {
			cy->err = -ENOMEM;
			continue;
		}
		k->weight = log((double)(s->v[i].topo->hostname ? left
							       : domains_of(cy, s->v[i].topo, v, n)) + 2);
		cy->n_soft++;
	}
}

bool sd_spread_score(struct sd_cycle *cy, struct sd_cand *v, uint32_t n)
{
	const struct sd_spreads *s = cy->p->spreads;
	int64_t least = INT64_MAX, most = 0;

	if (!s || s->n_hard == s->n)
		return false;
	soft_begin(cy, v, n);
	for (uint32_t i = 0; i < n; i++) {
		double sum = 0;

		if (v[i].spread < 0)
			continue;
		for (uint32_t j = 0; j < cy->n_soft; j++) {
			const struct sd_skew *k = &cy->soft[j];
			uint32_t d = sd_domain(v[i].node, k->spread->topo);

			if (d != SD_NO_DOMAIN)
				sum += (double)count_in(k, d) * k->weight + (double)(k->spread->max_skew - 1);
		}
		v[i].spread = (int64_t)(sum + 0.5);
		if (v[i].spread < least)
			least = v[i].spread;
		if (v[i].spread > most)
			most = v[i].spread;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (v[i].spread < 0)
			v[i].spread = 0;
		else
			v[i].spread = most ? MAX_SCORE * (most + least - v[i].spread) / most : MAX_SCORE;
	}
	return true;
}

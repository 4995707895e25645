/*
 * score.c - which of the feasible nodes is best: upstream's plugins, weighed as the profile says.
 *
 * Each plugin gives 0 to 100. Default weights: TaintToleration 3, NodeAffinity 2, PodTopologySpread 2,
 * InterPodAffinity 2, NodeResourcesFit (LeastAllocated), NodeResourcesBalancedAllocation, ImageLocality 1.
 * Source: pkg/scheduler/apis/config/v1/default_plugins.go and the plugins' own files.
 */
#include "cycle.h"

#include <errno.h>
#include <math.h>

#include "base/ostr.h"

#define MAX_SCORE  100

#define MB         (INT64_C(1) << 20)
#define IMAGES_MIN (23 * MB)
#define IMAGES_MAX (1000 * MB) /* a container */

static int64_t least(int64_t used, int64_t alloc)
{
	return used > alloc ? 0 : (alloc - used) * MAX_SCORE / alloc;
}

int64_t sd_least_allocated(const struct sd_load *l, const struct sd_node *n)
{
	int64_t sum = 0;
	int64_t weight = 0;

	if (n->alloc_cpu_milli) {
		sum += least(n->nz_cpu_milli + l->nz_cpu_milli, n->alloc_cpu_milli);
		weight++;
	}
	if (n->alloc_memory) {
		/* in KiB, so that a hundred times it stays in range */
		sum += least((n->nz_memory + l->nz_memory) >> 10,
			     n->alloc_memory >> 10 ? n->alloc_memory >> 10 : 1);
		weight++;
	}
	return weight ? sum / weight : 0;
}

static double fraction(int64_t used, int64_t alloc)
{
	double f = (double)used / (double)alloc;

	return f > 1 ? 1 : f;
}

static double balance(int64_t cpu, int64_t memory, const struct sd_node *n)
{
	double d;

	if (!n->alloc_cpu_milli || !n->alloc_memory)
		return MAX_SCORE;
	d = (fraction(cpu, n->alloc_cpu_milli) - fraction(memory, n->alloc_memory)) / 2;
	return (1 - (d < 0 ? -d : d)) * MAX_SCORE;
}

/*
 * How much the pod betters the balance of CPU and memory: 75 as it was, 50 … 100. Unlike upstream the two
 * are not cut to whole numbers before they are compared: that makes an empty node one worse than one that
 * is used a little, and small pods would be packed.
 */
int64_t sd_balanced(const struct sd_load *l, const struct sd_node *n)
{
	double with = balance(n->used_cpu_milli + l->cpu_milli, n->used_memory + l->memory, n);
	double without = balance(n->used_cpu_milli, n->used_memory, n);

	return (int64_t)(MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2);
}

/* Taints PreferNoSchedule that the pod does not tolerate. */
static int64_t intolerable(const struct sd_spec *s, const struct sd_node *n)
{
	int64_t count = 0;

	for (uint32_t i = 0; n->n_prefer && i < n->n_taints; i++)
		count += n->taints[i].effect == SD_PREFER_NO_SCHEDULE &&
			 !sd_tolerates(s->tolerations, s->n_tolerations, &n->taints[i]);
	return count;
}

static int64_t preferred(const struct sd_spec *s, const struct sd_node *n)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < s->n_preferred; i++)
		if (s->preferred[i].weight && sd_term_matches(&s->preferred[i], n))
			sum += s->preferred[i].weight;
	return sum;
}

static bool has_image(const struct sd_node *n, const struct sd_image *im)
{
	uint32_t lo = 0, hi = n->n_images;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (n->images[mid] == im)
			return true;
		if ((uintptr_t)n->images[mid] < (uintptr_t)im)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

#define IMAGES_LOOKED_AT 16

/* Images of the pod that any node has; a pod of more containers is judged by its first ones. */
static uint32_t images_known(const struct sd_cluster *c, const struct sd_spec *s,
			     struct sd_image **ret)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_images && n < IMAGES_LOOKED_AT; i++) {
		struct sd_image *im = omap_get(&c->images, s->images[i].p, s->images[i].len);

		if (im)
			ret[n++] = im;
	}
	return n;
}

/* An image on few nodes counts for less, or all pods would go to the node that pulled it first. */
static int64_t locality(const struct sd_node *n, struct sd_image *const *im, uint32_t n_im,
			uint32_t n_containers, uint32_t n_nodes)
{
	int64_t most = IMAGES_MAX * (n_containers ? n_containers : 1);
	int64_t sum = 0;

	for (uint32_t i = 0; i < n_im; i++)
		if (has_image(n, im[i]))
			sum += (int64_t)((double)im[i]->size *
					 ((double)im[i]->n_nodes / (double)n_nodes));
	if (sum < IMAGES_MIN)
		sum = IMAGES_MIN;
	else if (sum > most)
		sum = most;
	return MAX_SCORE * (sum - IMAGES_MIN) / (most - IMAGES_MIN);
}

/* ---- other ways to fill nodes ---------------------------------------------------------------- */

struct share {
	int64_t		asked;		/* what would be taken with the pod */
	int64_t		alloc;		/* 0: does not count */
};

/* NodeResourcesFit counts at least 100m and 200Mi a container of cpu and memory; @exact: what is asked for. */
static struct share share_of(const struct sd_load *l, const struct sd_node *n, struct orlop_bytes name,
			     bool exact)
{
	if (ostr_is(name.p, name.len, "cpu"))
		return (struct share){ exact ? n->used_cpu_milli + l->cpu_milli
					     : n->nz_cpu_milli + l->nz_cpu_milli,
				       n->alloc_cpu_milli };
	if (ostr_is(name.p, name.len, "memory"))
		return (struct share){ (exact ? n->used_memory + l->memory : n->nz_memory + l->nz_memory) >> 10,
				       n->alloc_memory >> 10 };
	if (ostr_is(name.p, name.len, "ephemeral-storage"))
		return (struct share){ (n->used_ephemeral + l->ephemeral) >> 10, n->alloc_ephemeral >> 10 };
	for (uint32_t i = 0; i < l->n_ext; i++) {
		if (!ostr_eq(l->ext[i].name.p, l->ext[i].name.len, name.p, name.len))
			continue;
		for (uint32_t k = 0; k < n->n_ext; k++)
			if (ostr_eq(n->ext[k].name.p, n->ext[k].name.len, name.p, name.len))
				return (struct share){ n->ext[k].used + l->ext[i].v, n->ext[k].alloc };
	}
	return (struct share){ 0, 0 }; /* a kind that the pod does not ask for does not count */
}

/* The profile's line of utilization → score, between its points. */
static int64_t on_line(const struct sd_profile *f, int64_t at)
{
	for (uint32_t i = 0; i < f->n_points; i++) {
		if (at > f->points[i].at)
			continue;
		if (i == 0)
			return f->points[0].score;
		return f->points[i - 1].score + (f->points[i].score - f->points[i - 1].score) *
							(at - f->points[i - 1].at) /
							(f->points[i].at - f->points[i - 1].at);
	}
	return f->n_points ? f->points[f->n_points - 1].score : 0;
}

static int64_t share_score(const struct sd_profile *f, const struct share *s)
{
	bool over = s->asked > s->alloc;

	switch (f->strategy) {
	case SD_LEAST:
		return least(s->asked, s->alloc);
	case SD_MOST:
		return (over ? s->alloc : s->asked) * MAX_SCORE / s->alloc;
	case SD_RATIO:
		break;
	}
	return on_line(f, over ? MAX_SCORE : s->asked * MAX_SCORE / s->alloc);
}

static int64_t fit_score(const struct sd_profile *f, const struct sd_load *l, const struct sd_node *n)
{
	int64_t sum = 0, weights = 0;

	for (uint32_t i = 0; i < f->n_resources; i++) {
		struct share s = share_of(l, n, f->resources[i].name, false);
		int64_t one;

		if (s.alloc <= 0)
			continue;
		one = share_score(f, &s);
		if (f->strategy == SD_RATIO && one <= 0)
			continue;
		sum += one * f->resources[i].weight;
		weights += f->resources[i].weight;
	}
	if (!weights)
		return 0;
	return f->strategy == SD_RATIO ? (2 * sum + weights) / (2 * weights) : sum / weights;
}

/* ---- all ------------------------------------------------------------------------------------- */

/* What each node gets by itself, and what is to be seen beside the others. */
static void score_each(struct sd_cycle *cy, struct sd_cand *v, uint32_t n)
{
	const struct sd_profile *f = cy->profile;
	const struct sd_pod *p = cy->p;
	bool plain = f->strategy == SD_LEAST && !f->n_resources;
	bool balanced = f->weight[SD_P_BALANCED] && (p->load->cpu_milli || p->load->memory);
	struct sd_image *images[IMAGES_LOOKED_AT];
	uint32_t n_images = f->weight[SD_P_IMAGES] ? images_known(cy->c, p->spec, images) : 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct sd_node *node = v[i].node;

		v[i].score = f->weight[SD_P_FIT] *
			     (plain ? sd_least_allocated(p->load, node) : fit_score(f, p->load, node));
		if (balanced)
			v[i].score += f->weight[SD_P_BALANCED] * sd_balanced(p->load, node);
		if (n_images)
			v[i].score += f->weight[SD_P_IMAGES] *
				      locality(node, images, n_images, p->spec->n_images, cy->c->n);
		v[i].prefer = node->n_prefer && f->weight[SD_P_TAINTS] ? intolerable(p->spec, node) : 0;
		v[i].affinity = p->spec->n_preferred ? preferred(p->spec, node) : 0;
		v[i].pods = cy->like.n ? sd_affinity_score(cy, node) : 0;
	}
}

static void score_taints(const struct sd_profile *f, struct sd_cand *v, uint32_t n)
{
	int64_t most = 0;

	for (uint32_t i = 0; i < n; i++)
		most = v[i].prefer > most ? v[i].prefer : most;
	for (uint32_t i = 0; most && i < n; i++)
		v[i].score += f->weight[SD_P_TAINTS] * (MAX_SCORE - MAX_SCORE * v[i].prefer / most);
}

static void score_affinity(const struct sd_profile *f, struct sd_cand *v, uint32_t n)
{
	int64_t most = 0;

	for (uint32_t i = 0; i < n; i++)
		most = v[i].affinity > most ? v[i].affinity : most;
	for (uint32_t i = 0; most && i < n; i++)
		v[i].score += f->weight[SD_P_AFFINITY] * (MAX_SCORE * v[i].affinity / most);
}

static void score_pods(const struct sd_profile *f, struct sd_cand *v, uint32_t n)
{
	int64_t least_pods = INT64_MAX, most = INT64_MIN;

	for (uint32_t i = 0; i < n; i++) {
		most = v[i].pods > most ? v[i].pods : most;
		least_pods = v[i].pods < least_pods ? v[i].pods : least_pods;
	}
	for (uint32_t i = 0; most > least_pods && i < n; i++)
		v[i].score += f->weight[SD_P_POD_AFFINITY] *
			      (int64_t)(MAX_SCORE * ((double)(v[i].pods - least_pods) /
						     (double)(most - least_pods)));
}

void sd_cycle_score(struct sd_cycle *cy, struct sd_cand *v, uint32_t n)
{
	const struct sd_profile *f = cy->profile;
	const struct sd_pod *p = cy->p;

	cy->like.n = 0;
	if (f->weight[SD_P_POD_AFFINITY])
		sd_affinity_score_begin(cy);
	score_each(cy, v, n);
	score_taints(f, v, n);
	if (p->spec->n_preferred && f->weight[SD_P_AFFINITY])
		score_affinity(f, v, n);
	if (cy->like.n)
		score_pods(f, v, n);
	if (f->weight[SD_P_SPREAD] && sd_spread_score(cy, v, n))
		for (uint32_t i = 0; i < n; i++)
			v[i].score += f->weight[SD_P_SPREAD] * v[i].spread;
}

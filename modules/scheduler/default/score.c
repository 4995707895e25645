/*
 * score.c - which of the feasible nodes is best: upstream's default plugins with their weights.
 *
 *	TaintToleration 3, NodeAffinity 2, NodeResourcesFit (LeastAllocated) 1,
 *	NodeResourcesBalancedAllocation 1, ImageLocality 1
 *
 * Source: pkg/scheduler/apis/config/v1/default_plugins.go and the plugins' own files.
 */
#include "sched.h"

#define W_TAINTS   3
#define W_AFFINITY 2
#define W_LEAST    1
#define W_BALANCED 1
#define W_IMAGES   1
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

static int64_t balance(int64_t cpu, int64_t memory, const struct sd_node *n)
{
	double d;

	if (!n->alloc_cpu_milli || !n->alloc_memory)
		return MAX_SCORE;
	d = (fraction(cpu, n->alloc_cpu_milli) - fraction(memory, n->alloc_memory)) / 2;
	return (int64_t)((1 - (d < 0 ? -d : d)) * MAX_SCORE);
}

/* How much the pod betters the balance of CPU and memory: 75 as it was, 50 … 100. */
int64_t sd_balanced(const struct sd_load *l, const struct sd_node *n)
{
	int64_t with = balance(n->used_cpu_milli + l->cpu_milli, n->used_memory + l->memory, n);
	int64_t without = balance(n->used_cpu_milli, n->used_memory, n);

	return MAX_SCORE / 2 + (MAX_SCORE / 2 + with - without) / 2;
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

void sd_score(struct sd_cluster *c, const struct sd_pod *p, struct sd_cand *v, uint32_t n)
{
	struct sd_image *images[IMAGES_LOOKED_AT];
	uint32_t n_images = images_known(c, p->spec, images);
	bool best_effort = !p->load->cpu_milli && !p->load->memory;
	int64_t most_taints = 0, most_affinity = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct sd_node *node = v[i].node;

		v[i].score = W_LEAST * sd_least_allocated(p->load, node);
		if (!best_effort)
			v[i].score += W_BALANCED * sd_balanced(p->load, node);
		if (n_images)
			v[i].score += W_IMAGES *
				      locality(node, images, n_images, p->spec->n_images, c->n);
		v[i].prefer = node->n_prefer ? intolerable(p->spec, node) : 0;
		if (v[i].prefer > most_taints)
			most_taints = v[i].prefer;
		v[i].affinity = p->spec->n_preferred ? preferred(p->spec, node) : 0;
		if (v[i].affinity > most_affinity)
			most_affinity = v[i].affinity;
	}
	for (uint32_t i = 0; i < n && (most_taints || most_affinity); i++) {
		if (most_taints)
			v[i].score += W_TAINTS *
				      (MAX_SCORE - MAX_SCORE * v[i].prefer / most_taints);
		if (most_affinity)
			v[i].score += W_AFFINITY * (MAX_SCORE * v[i].affinity / most_affinity);
	}
}

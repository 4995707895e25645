/*
 * decide.c - one pod, one node: filter until enough nodes are feasible, score them, take the best.
 *
 * In a large cluster not all nodes are looked at; the search goes on where the last one ended, so
 * that all get their turn. Among equals chance decides.
 * Source: pkg/scheduler/schedule_one.go, numFeasibleNodesToFind, selectHost.
 */
#include "cycle.h"

#include <errno.h>
#include <string.h>

#define ALWAYS_ENOUGH 100u
#define PERCENT_MIN   5u

uint32_t sd_enough(uint32_t percent, uint32_t n)
{
	uint32_t enough;

	if (n < ALWAYS_ENOUGH || percent >= 100)
		return n;
	if (!percent) {
		percent = n / 125 >= 50 - PERCENT_MIN ? PERCENT_MIN : 50 - n / 125;
	}
	enough = (uint32_t)((uint64_t)n * percent / 100);
	return enough < ALWAYS_ENOUGH ? ALWAYS_ENOUGH : enough;
}

/* xorshift64*: good enough to choose among equals, and repeatable. */
static uint64_t chance(struct sd_cluster *c)
{
	c->rng ^= c->rng >> 12;
	c->rng ^= c->rng << 25;
	c->rng ^= c->rng >> 27;
	return c->rng * UINT64_C(2685821657736338717);
}

static bool try_node(struct sd_cycle *cy, struct sd_node *node, struct sd_diag *d, uint32_t *n)
{
	struct sd_why why;

	if (sd_cycle_filter(cy, node, &why) != SD_FEASIBLE) {
		sd_diag_add(d, &why);
		return false;
	}
	cy->c->cand[*n].node = node;
	cy->c->cand[(*n)++].score = 0;
	return true;
}

static uint32_t find_named(struct sd_cycle *cy, struct sd_diag *d)
{
	struct sd_cluster *c = cy->c;
	const struct sd_spec *s = cy->p->spec;
	uint32_t there = 0, n = 0;

	for (uint32_t i = 0; i < s->n_only && n < c->cap; i++) {
		struct sd_node *node = sd_node_get(c, s->only_names[i]);

		if (!node)
			continue;
		there++;
		(void)try_node(cy, node, d, &n);
	}
	d->elsewhere = c->n - there;
	return n;
}

uint32_t sd_enough_for(const struct sd_cluster *c, const struct sd_pod *p)
{
	const struct sd_profile *f = sd_profile_of(p);

	return sd_enough(p->ask_all ? 100 : f->percent ? f->percent : c->percent, c->n);
}

static uint32_t find(struct sd_cycle *cy, struct sd_diag *d)
{
	struct sd_cluster *c = cy->c;
	uint32_t enough = sd_enough_for(c, cy->p);
	uint32_t at = c->next < c->n ? c->next : 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n && n < enough; i++) {
		struct sd_node *node = c->v[at];

		if (++at == c->n)
			at = 0;
		(void)try_node(cy, node, d, &n);
	}
	c->next = at;
	return n;
}

static int cand_cmp(const struct sd_cand *a, const struct sd_cand *b)
{
	if (a->score != b->score)
		return a->score > b->score ? 1 : -1;
	return a->node->n_pods < b->node->n_pods ? 1 : a->node->n_pods > b->node->n_pods ? -1 : 0;
}

uint32_t sd_candidates(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *ret_diag)
{
	struct sd_cycle *cy;
	uint32_t n = 0;

	memset(ret_diag, 0, sizeof(*ret_diag));
	ret_diag->n_nodes = c->n;
	cy = c->n ? sd_cycle_begin(c, p) : NULL;
	if (!cy) {
		ret_diag->err = c->n ? -ENOMEM : 0;
		return 0;
	}
	/* where room was made for it, no other node is looked at */
	if (p->nominated && p->nominated->present && try_node(cy, p->nominated, ret_diag, &n))
		return n;
	memset(ret_diag, 0, sizeof(*ret_diag));
	ret_diag->n_nodes = c->n;
	n = p->spec->only ? find_named(cy, ret_diag) : find(cy, ret_diag);
	if (n > 1)
		sd_cycle_score(cy, c->cand, n);
	ret_diag->err = cy->err;
	return cy->err ? 0 : n;
}

struct sd_node *sd_choose(struct sd_cluster *c, const struct sd_cand *v, uint32_t n)
{
	const struct sd_cand *best = v;
	uint64_t equals = 1;

	for (uint32_t i = 1; i < n; i++) {
		int d = cand_cmp(&v[i], best);

		if (d > 0) {
			best = &v[i];
			equals = 1;
		} else if (d == 0 && chance(c) % ++equals == 0) {
			best = &v[i];
		}
	}
	return n ? best->node : NULL;
}

struct sd_node *sd_decide(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *ret_diag)
{
	uint32_t n = sd_candidates(c, p, ret_diag);

	return sd_choose(c, c->cand, n);
}

void sd_explain(struct sd_cluster *c, const struct sd_pod *p, struct obuf *b)
{
	struct obuf text = OBUF_INIT;
	const char *sep = "";
	struct sd_why why;
	struct sd_cycle *cy = sd_cycle_begin(c, p);

	if (!cy) {
		b->err = -ENOMEM;
		return;
	}
	obuf_puts(b, "{\"feasible\":[");
	for (uint32_t i = 0; i < c->n; i++) {
		if (sd_cycle_filter(cy, c->v[i], NULL) != SD_FEASIBLE)
			continue;
		obuf_puts(b, sep);
		obuf_put_json_string(b, c->v[i]->name.p, c->v[i]->name.len);
		sep = ",";
	}
	obuf_puts(b, "],\"rejected\":{");
	sep = "";
	for (uint32_t i = 0; i < c->n; i++) {
		if (sd_cycle_filter(cy, c->v[i], &why) == SD_FEASIBLE)
			continue;
		obuf_reset(&text);
		sd_why_write(&why, p, &text);
		obuf_puts(b, sep);
		obuf_put_json_string(b, c->v[i]->name.p, c->v[i]->name.len);
		obuf_putc(b, ':');
		obuf_put_json_string(b, obuf_cstr(&text), text.len);
		sep = ",";
	}
	obuf_puts(b, "}}");
	obuf_done(&text);
}

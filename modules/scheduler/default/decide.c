/*
 * decide.c - one pod, one node: filter until enough nodes are feasible, score them, take the best.
 *
 * In a large cluster not all nodes are looked at; the search goes on where the last one ended, so
 * that all get their turn. Among equals chance decides.
 * Source: pkg/scheduler/schedule_one.go, numFeasibleNodesToFind, selectHost.
 */
#include "sched.h"

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

static uint32_t find_named(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *d)
{
	uint32_t n = 0;
	uint32_t there = 0;
	struct sd_why why;

	for (uint32_t i = 0; i < p->spec->n_only && n < c->cap; i++) {
		struct sd_node *node = sd_node_get(c, p->spec->only_names[i]);

		if (!node)
			continue;
		there++;
		if (sd_filter(p, node, &why) == SD_FEASIBLE)
			c->cand[n++].node = node;
		else
			sd_diag_add(d, &why);
	}
	d->elsewhere = c->n - there;
	return n;
}

static uint32_t find(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *d)
{
	uint32_t enough = sd_enough(c->percent, c->n);
	uint32_t at = c->next < c->n ? c->next : 0;
	struct sd_why why;
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n && n < enough; i++) {
		struct sd_node *node = c->v[at];

		if (++at == c->n)
			at = 0;
		if (sd_filter(p, node, &why) == SD_FEASIBLE)
			c->cand[n++].node = node;
		else
			sd_diag_add(d, &why);
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

struct sd_node *sd_decide(struct sd_cluster *c, const struct sd_pod *p, struct sd_diag *ret_diag)
{
	struct sd_cand *best;
	uint64_t equals = 1;
	uint32_t n;

	memset(ret_diag, 0, sizeof(*ret_diag));
	ret_diag->n_nodes = c->n;
	n = p->spec->only ? find_named(c, p, ret_diag) : find(c, p, ret_diag);
	if (n < 2)
		return n ? c->cand[0].node : NULL;
	sd_score(c, p, c->cand, n);
	best = &c->cand[0];
	for (uint32_t i = 1; i < n; i++) {
		int d = cand_cmp(&c->cand[i], best);

		if (d > 0) {
			best = &c->cand[i];
			equals = 1;
		} else if (d == 0 && chance(c) % ++equals == 0) {
			best = &c->cand[i];
		}
	}
	return best->node;
}

void sd_explain(struct sd_cluster *c, const struct sd_pod *p, struct obuf *b)
{
	struct obuf text = OBUF_INIT;
	const char *sep = "";
	struct sd_why why;

	obuf_puts(b, "{\"feasible\":[");
	for (uint32_t i = 0; i < c->n; i++) {
		if (sd_filter(p, c->v[i], NULL) != SD_FEASIBLE)
			continue;
		obuf_puts(b, sep);
		obuf_put_json_string(b, c->v[i]->name.p, c->v[i]->name.len);
		sep = ",";
	}
	obuf_puts(b, "],\"rejected\":{");
	sep = "";
	for (uint32_t i = 0; i < c->n; i++) {
		if (sd_filter(p, c->v[i], &why) == SD_FEASIBLE)
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

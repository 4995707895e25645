/*
 * preempt.c - DefaultPreemption: on each node where it could help, take away all that is less important,
 * and give back what need not go; then choose the node where least is lost.
 *
 * Source: pkg/scheduler/framework/preemption and plugins/defaultpreemption.
 */
#include "preempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

#define CANDIDATES_MIN     100u
#define CANDIDATES_PERCENT 10u

/* ---- budgets --------------------------------------------------------------------------------- */

int sd_budget_read(struct oarena *mem, struct orlop_bytes ns, struct orlop_bytes members, struct sd_budget *ret)
{
	struct orlop_bytes v;
	struct oscan_iter it;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	ret->ns = sd_copy(mem, ns, &err);
	if (OSCAN_FIND_MEMBERS(members, &v, "spec", "selector"))
		ret->exprs = sd_selector_read(mem, v, &ret->n_exprs, &err);
	if (OSCAN_FIND_MEMBERS(members, &v, "status", "disruptionsAllowed"))
		ret->allowed = oscan_i64(v, 0);
	if (OSCAN_FIND_MEMBERS(members, &v, "status", "disruptedPods")) {
		ret->disrupted = sd_array(mem, oscan_count(v), sizeof(*ret->disrupted), &err);
		for (oscan_begin(&it, v); ret->disrupted && oscan_next(&it) > 0;)
			ret->disrupted[ret->n_disrupted++] = sd_text(mem, it.key, &err);
	}
	return err;
}

static bool budget_has(const struct sd_budget *b, const struct sd_pod *p)
{
	if (!p->labels || !b->n_exprs || !ostr_eq(b->ns.p, b->ns.len, p->ns.p, p->ns.len))
		return false;
	for (uint32_t i = 0; i < b->n_exprs; i++) {
		const struct sd_label *l = sd_label_find(p->labels->v, p->labels->n, b->exprs[i].key);

		if (!sd_expr_matches(&b->exprs[i], l ? &l->value : NULL))
			return false;
	}
	for (uint32_t i = 0; i < b->n_disrupted; i++)
		if (ostr_eq(b->disrupted[i].p, b->disrupted[i].len, p->name.p, p->name.len))
			return false;
	return true;
}

/* Is there a budget that does not allow this one as well? */
static bool budgets_broken(struct sd_budget *v, uint32_t n, const struct sd_pod *p)
{
	bool broken = false;

	for (uint32_t i = 0; i < n; i++)
		if (budget_has(&v[i], p) && --v[i].left < 0)
			broken = true;
	return broken;
}

/* ---- one node -------------------------------------------------------------------------------- */

struct work {
	struct sd_cluster *c;
	struct sd_cycle	*cy;
	struct sd_pod	*p;
	struct sd_budget *budgets;
	uint32_t	n_budgets;
	struct sd_victims here;		/* of the node that is tried */
	uint8_t		*broken;	/* of here.v */
};

/* The more important first: by priority, then who has run for longer. */
static int importance_cmp(const void *a, const void *b)
{
	const struct sd_pod *x = *(struct sd_pod *const *)a, *y = *(struct sd_pod *const *)b;
	uint64_t xs = x->start_ns ? x->start_ns : UINT64_MAX, ys = y->start_ns ? y->start_ns : UINT64_MAX;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return xs < ys ? -1 : xs > ys;
}

static int lower_collect(struct work *w, struct sd_node *n)
{
	struct sd_victims *h = &w->here;

	h->n = 0;
	h->violations = 0;
	h->node = n;
	if (n->n_pods > h->cap) {
		struct sd_pod **v = omem_realloc_array(h->v, n->n_pods, sizeof(struct sd_pod *));
		uint8_t *b = v ? omem_realloc_array(w->broken, n->n_pods, 1) : NULL;

		if (v)
			h->v = v;
		if (!b)
			return -ENOMEM;
		w->broken = b;
		h->cap = n->n_pods;
	}
	OLIST_FOREACH(at, &n->pods)
	{
		struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_node);

		if (q->priority < w->p->priority && h->n < h->cap)
			h->v[h->n++] = q;
	}
	return 0;
}

static bool fits_now(struct work *w, struct sd_node *n, struct sd_why *why)
{
	sd_cycle_again(w->cy);
	return sd_cycle_filter(w->cy, n, why) == SD_FEASIBLE;
}

/* Gives back, in order, whoever does not stand in the way; the others stay in @out. */
static uint32_t reprieve(struct work *w, struct sd_node *n, bool broken, struct sd_pod **out, uint32_t n_out)
{
	struct sd_victims *h = &w->here;

	for (uint32_t i = 0; i < h->n; i++) {
		if (w->broken[i] != broken)
			continue;
		if (sd_try(w->c, h->v[i], n, 1))
			continue; /* no memory: counted when it is put back, below */
		if (fits_now(w, n, NULL)) {
			w->broken[i] = 2;
			continue;
		}
		(void)sd_try(w->c, h->v[i], n, -1);
		out[n_out++] = h->v[i];
		h->violations += broken;
	}
	return n_out;
}

/* 0: victims in w->here. -ENOENT: @why if even without all of them it would not fit; else nobody is below. */
static int victims_on(struct work *w, struct sd_node *n, struct sd_why *why, bool *ret_why)
{
	struct sd_victims *h = &w->here;
	struct sd_pod **out;
	uint32_t n_out = 0;
	int r = lower_collect(w, n);

	*ret_why = false;
	if (r || !h->n)
		return r ? r : -ENOENT;
	out = omem_alloc_array(h->n, sizeof(struct sd_pod *));
	if (!out)
		return -ENOMEM;
	qsort(h->v, h->n, sizeof(h->v[0]), importance_cmp);
	for (uint32_t i = 0; i < w->n_budgets; i++)
		w->budgets[i].left = w->budgets[i].allowed;
	for (uint32_t i = 0; i < h->n; i++) {
		w->broken[i] = w->n_budgets && budgets_broken(w->budgets, w->n_budgets, h->v[i]);
		(void)sd_try(w->c, h->v[i], n, -1);
	}
	if (fits_now(w, n, why)) {
		n_out = reprieve(w, n, true, out, n_out);
		n_out = reprieve(w, n, false, out, n_out);
		for (uint32_t i = 0; i < n_out; i++)
			(void)sd_try(w->c, out[i], n, 1);
		memcpy(h->v, out, n_out * sizeof(out[0]));
		h->n = n_out;
		r = n_out ? 0 : -ENOENT;
	} else {
		for (uint32_t i = 0; i < h->n; i++)
			(void)sd_try(w->c, h->v[i], n, 1);
		*ret_why = true;
		r = -ENOENT;
	}
	sd_cycle_again(w->cy);
	omem_free(out);
	return r;
}

/* ---- the least loss -------------------------------------------------------------------------- */

static int32_t highest(const struct sd_victims *v)
{
	int32_t most = INT32_MIN;

	for (uint32_t i = 0; i < v->n; i++)
		most = v->v[i]->priority > most ? v->v[i]->priority : most;
	return most;
}

static int64_t sum_of(const struct sd_victims *v)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < v->n; i++)
		sum += (int64_t)v->v[i]->priority + INT32_MAX + 1;
	return sum;
}

/* When the first of the most important victims began. */
static uint64_t since(const struct sd_victims *v)
{
	int32_t most = highest(v);
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < v->n; i++)
		if (v->v[i]->priority == most && v->v[i]->start_ns && v->v[i]->start_ns < first)
			first = v->v[i]->start_ns;
	return first;
}

static bool better(const struct sd_victims *a, const struct sd_victims *b)
{
	if (a->violations != b->violations)
		return a->violations < b->violations;
	if (highest(a) != highest(b))
		return highest(a) < highest(b);
	if (sum_of(a) != sum_of(b))
		return sum_of(a) < sum_of(b);
	if (a->n != b->n)
		return a->n < b->n;
	return since(a) > since(b);
}

static int keep_best(struct sd_victims *best, const struct sd_victims *v)
{
	struct sd_pod **copy;

	if (best->node && !better(v, best))
		return 0;
	copy = omem_alloc_array(v->n, sizeof(struct sd_pod *));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, v->v, v->n * sizeof(copy[0]));
	omem_free(best->v);
	*best = *v;
	best->v = copy;
	best->cap = v->n;
	return 0;
}

void sd_victims_done(struct sd_victims *v)
{
	omem_free(v->v);
	memset(v, 0, sizeof(*v));
}

/* Somebody is leaving already where room was made for it: that is waited for. */
static bool waits_for_victims(const struct sd_pod *p)
{
	if (!p->nominated || !p->nominated->present)
		return false;
	OLIST_FOREACH(at, &p->nominated->pods)
	{
		const struct sd_pod *q = OLIST_ENTRY(at, struct sd_pod, on_node);

		if (q->deleting && q->priority < p->priority)
			return true;
	}
	return false;
}

int sd_preempt(struct sd_cluster *c, struct sd_pod *p, struct sd_budget *budgets, uint32_t n_budgets,
	       struct sd_diag *d, struct sd_diag *dry, struct sd_victims *ret)
{
	uint32_t enough = (uint32_t)((uint64_t)c->n * CANDIDATES_PERCENT / 100), found = 0;
	struct work w = { .c = c, .p = p, .budgets = budgets, .n_budgets = n_budgets };
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	memset(dry, 0, sizeof(*dry));
	if (p->spec->preempt_never)
		return -ENOENT;
	if (waits_for_victims(p)) {
		d->not_eligible = "not eligible due to a terminating pod on the nominated node.";
		return -ENOENT;
	}
	if (!sd_has_below(c, p->priority) || d->unresolvable + d->elsewhere >= c->n)
		return -ENOENT;
	w.cy = sd_cycle_begin(c, p);
	if (!w.cy)
		return -ENOMEM;
	if (enough < CANDIDATES_MIN)
		enough = CANDIDATES_MIN;
	for (uint32_t i = 0; !r && i < c->n && found < enough; i++) {
		struct sd_node *n = c->v[(c->next + i) % c->n];
		struct sd_why why;
		bool dry_why;

		if (p->spec->only) {
			bool named = false;

			for (uint32_t k = 0; k < p->spec->n_only; k++)
				named |= ostr_eq(p->spec->only_names[k].p, p->spec->only_names[k].len, n->name.p,
						 n->name.len);
			if (!named)
				continue;
		}
		if (sd_cycle_filter(w.cy, n, &why) == SD_FEASIBLE || why.unresolvable)
			continue;
		r = victims_on(&w, n, &why, &dry_why);
		if (r == 0) {
			found++;
			r = keep_best(ret, &w.here);
		} else if (r == -ENOENT) {
			if (dry_why) {
				sd_diag_add(dry, &why);
				dry->n_nodes++;
			}
			r = 0;
		}
	}
	omem_free(w.here.v);
	omem_free(w.broken);
	d->dry = dry;
	if (r)
		sd_victims_done(ret);
	return r ? r : ret->node ? 0 : -ENOENT;
}

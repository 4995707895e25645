/* terms.c - what a pod says about other pods: affinity, anti-affinity, spread over topologies. */
#include "topology.h"

#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

#define TERMS_MAX  64u /* of one pod; validation allows more, nobody has them */
#define WEIGHT_MAX 100

/* ---- affinity -------------------------------------------------------------------------------- */

static struct sd_hold *hold_get(struct sd_cluster *c, struct sd_match *m, struct sd_topo *topo,
				enum sd_term_kind kind, int64_t weight)
{
	struct sd_hold *h;

	OLIST_FOREACH(at, &m->holds)
	{
		h = OLIST_ENTRY(at, struct sd_hold, list);
		if (h->tally.topo == topo && h->kind == kind && h->weight == weight) {
			h->refs++;
			return h;
		}
	}
	h = OMEM_NEW(struct sd_hold);
	if (!h || sd_tally_init(&h->tally, topo)) {
		omem_free(h);
		return NULL;
	}
	h->match = m;
	h->kind = kind;
	h->weight = weight;
	h->refs = 1;
	olist_append(&m->holds, &h->list);
	c->n_holds++;
	return h;
}

static void hold_put(struct sd_cluster *c, struct sd_hold *h)
{
	if (!h || --h->refs)
		return;
	olist_del(&h->list);
	sd_tally_done(&h->tally);
	omem_free(h);
	c->n_holds--;
}

static struct orlop_bytes at(struct orlop_bytes obj, const char *key)
{
	struct orlop_bytes v = { NULL, 0 };

	if (!oscan_get(obj, key, &v) || oscan_type(v) == OSCAN_NULL)
		return (struct orlop_bytes){ NULL, 0 };
	return v;
}

static struct sd_clause_text clause_text(struct orlop_bytes term, const struct sd_pod *p)
{
	return (struct sd_clause_text){
		.own_ns = p->ns,
		.namespaces = at(term, "namespaces"),
		.ns_selector = at(term, "namespaceSelector"),
		.selector = at(term, "labelSelector"),
		.match_keys = at(term, "matchLabelKeys"),
		.mismatch_keys = at(term, "mismatchLabelKeys"),
	};
}

struct reading {
	struct sd_cluster *c;
	const struct sd_pod *p;
	struct sd_terms *t;
	uint32_t	n_need;
	struct sd_clause_text need[TERMS_MAX];
	int		err;
};

static void term_add(struct reading *r, enum sd_term_kind kind, struct orlop_bytes term,
		     int64_t weight)
{
	struct sd_pod_term *t = &r->t->v[r->t->n];
	struct sd_clause_text text = clause_text(term, r->p);
	struct orlop_bytes key = at(term, "topologyKey");

	if (r->t->n == TERMS_MAX || r->err || !oscan_plain(key, &key) || !key.len)
		return;
	*t = (struct sd_pod_term){ .kind = kind, .weight = weight };
	r->err = sd_match_get(r->c, &text, 1, false, r->p, &t->match);
	if (r->err)
		return;
	t->topo = sd_topo_get(r->c, key);
	t->hold = t->topo ? hold_get(r->c, t->match, t->topo, kind, weight) : NULL;
	r->t->n++;
	r->t->n_kind[kind]++;
	if (!t->hold)
		r->err = -ENOMEM;
	if (kind == SD_NEED)
		r->need[r->n_need++] = text;
}

static void terms_read(struct reading *r, struct orlop_bytes affinity, const char *which,
		       enum sd_term_kind hard, enum sd_term_kind soft)
{
	struct orlop_bytes list, v;
	struct oscan_iter it;

	if (OSCAN_FIND(affinity, &list, which, "requiredDuringSchedulingIgnoredDuringExecution"))
		for (oscan_begin(&it, list); oscan_next(&it) > 0;)
			term_add(r, hard, it.value, 0);
	if (!OSCAN_FIND(affinity, &list, which, "preferredDuringSchedulingIgnoredDuringExecution"))
		return;
	for (oscan_begin(&it, list); oscan_next(&it) > 0;) {
		int64_t w = oscan_get(it.value, "weight", &v) ? oscan_i64(v, 0) : 0;

		if (w > 0 && oscan_get(it.value, "podAffinityTerm", &v))
			term_add(r, soft, v, w < WEIGHT_MAX ? w : WEIGHT_MAX);
	}
}

int sd_terms_new(struct sd_cluster *c, const struct sd_pod *p, struct orlop_bytes spec,
		 struct sd_terms **ret)
{
	struct orlop_bytes affinity, v;
	struct reading *r;
	int err;

	*ret = NULL;
	if (!oscan_get(spec, "affinity", &affinity) ||
	    (!oscan_get(affinity, "podAffinity", &v) && !oscan_get(affinity, "podAntiAffinity", &v)))
		return 0;
	r = OMEM_NEW(struct reading);
	if (!r)
		return -ENOMEM;
	r->c = c;
	r->p = p;
	r->t = omem_zalloc(sizeof(*r->t) + (TERMS_MAX + 1) * sizeof(r->t->v[0]));
	r->err = r->t ? 0 : -ENOMEM;
	if (r->t) {
		terms_read(r, affinity, "podAffinity", SD_NEED, SD_LIKE);
		terms_read(r, affinity, "podAntiAffinity", SD_AVOID, SD_DISLIKE);
	}
	if (!r->err && r->n_need)
		r->err = sd_match_get(c, r->need, r->n_need, false, p, &r->t->all);
	err = r->err;
	if (err || !r->t->n) {
		sd_terms_free(c, r->t);
	} else {
		struct sd_terms *fit = omem_realloc(r->t, sizeof(*fit) + r->t->n * sizeof(fit->v[0]));

		*ret = fit ? fit : r->t;
	}
	omem_free(r);
	return err;
}

void sd_terms_free(struct sd_cluster *c, struct sd_terms *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->n; i++) {
		hold_put(c, t->v[i].hold);
		if (t->v[i].topo)
			sd_topo_put(t->v[i].topo);
		sd_match_put(c, t->v[i].match);
	}
	sd_match_put(c, t->all);
	omem_free(t);
}

/* ---- spread ---------------------------------------------------------------------------------- */

static int spread_read(struct sd_cluster *c, const struct sd_pod *p, struct orlop_bytes v,
		       struct orlop_bytes selector, struct sd_spread *s)
{
	struct sd_clause_text text = {
		.own_ns = p->ns,
		.selector = selector.len ? selector : at(v, "labelSelector"),
		.match_keys = at(v, "matchLabelKeys"),
	};
	struct orlop_bytes key = at(v, "topologyKey");
	int r;

	s->max_skew = oscan_i64(at(v, "maxSkew"), 1);
	s->min_domains = oscan_i64(at(v, "minDomains"), 1);
	s->hard = !oscan_string_is_cstr(at(v, "whenUnsatisfiable"), "ScheduleAnyway");
	s->honor_affinity = !oscan_string_is_cstr(at(v, "nodeAffinityPolicy"), "Ignore");
	s->honor_taints = oscan_string_is_cstr(at(v, "nodeTaintsPolicy"), "Honor");
	if (!oscan_plain(key, &key))
		key = (struct orlop_bytes){ "", 0 };
	r = sd_match_get(c, &text, 1, true, p, &s->match);
	if (r)
		return r;
	s->topo = sd_topo_get(c, key);
	return s->topo ? 0 : -ENOMEM;
}

int sd_spreads_new(struct sd_cluster *c, const struct sd_pod *p, struct orlop_bytes list,
		   struct orlop_bytes selector, bool by_default, struct sd_spreads **ret)
{
	size_t n = oscan_type(list) == OSCAN_ARRAY ? oscan_count(list) : 0;
	struct oscan_iter it;
	struct sd_spreads *s;
	int r = 0;

	*ret = NULL;
	if (!n)
		return 0;
	if (n > TERMS_MAX)
		n = TERMS_MAX;
	s = omem_zalloc(sizeof(*s) + n * sizeof(s->v[0]));
	if (!s)
		return -ENOMEM;
	s->by_default = by_default;
	for (oscan_begin(&it, list); !r && s->n < n && oscan_next(&it) > 0;) {
		struct sd_spread *v = &s->v[s->n++];

		r = spread_read(c, p, it.value, selector, v);
		s->n_hard += v->hard;
	}
	if (r) {
		sd_spreads_free(c, s);
		return r;
	}
	*ret = s;
	return 0;
}

void sd_spreads_free(struct sd_cluster *c, struct sd_spreads *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->v[i].topo)
			sd_topo_put(s->v[i].topo);
		sd_match_put(c, s->v[i].match);
	}
	omem_free(s);
}

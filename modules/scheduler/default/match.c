/*
 * match.c - sets of pods by namespace and labels: found for a pod by one of its labels, counted as pods
 * come and go.
 *
 * Replicas of one workload say the same, so what they say is kept once, under its own text. What nobody
 * refers to any more stays a while: the next replica will ask for it.
 */
#include "topology.h"

#include <errno.h>
#include <string.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "base/ostr.h"
#include "json/oscan.h"
#include "parse.h"

#define IDLE_MAX 256u

struct sd_bucket {
	struct olist	matches;
	struct omap_entry *entry;
};

/* ---- making one ------------------------------------------------------------------------------ */

static void key_put(struct obuf *b, struct orlop_bytes v)
{
	obuf_append(b, v.p, v.p ? v.len : 0);
	obuf_putc(b, '\1');
}

/* Label @key of the pod as an expression "key op value"; nothing if the pod has no such label. */
static void keys_put(struct obuf *b, struct orlop_bytes keys, const struct sd_pod *pod)
{
	struct oscan_iter it;
	struct orlop_bytes k;

	for (oscan_begin(&it, keys); keys.p && oscan_next(&it) > 0;) {
		const struct sd_label *l =
			pod->labels && oscan_plain(it.value, &k)
				? sd_label_find(pod->labels->v, pod->labels->n, k)
				: NULL;

		if (l) {
			key_put(b, l->key);
			key_put(b, l->value);
		}
	}
	obuf_putc(b, '\2');
}

static void match_key(struct obuf *b, const struct sd_clause_text *v, uint32_t n, bool live_only,
		      const struct sd_pod *pod)
{
	obuf_putc(b, live_only ? 'l' : 'a');
	for (uint32_t i = 0; i < n; i++) {
		bool own = oscan_count(v[i].namespaces) == 0 && !v[i].ns_selector.p;

		key_put(b, own ? v[i].own_ns : v[i].namespaces);
		key_put(b, v[i].ns_selector);
		key_put(b, v[i].selector);
		keys_put(b, v[i].match_keys, pod);
		keys_put(b, v[i].mismatch_keys, pod);
	}
}

/* matchLabelKeys behind the selector's own expressions. */
static void keys_read(struct oarena *mem, struct orlop_bytes keys, enum sd_op op,
		      const struct sd_pod *pod, struct sd_clause *c, int *err)
{
	struct oscan_iter it;
	struct orlop_bytes k;

	for (oscan_begin(&it, keys); keys.p && oscan_next(&it) > 0 && !*err;) {
		const struct sd_label *l =
			pod->labels && oscan_plain(it.value, &k)
				? sd_label_find(pod->labels->v, pod->labels->n, k)
				: NULL;
		struct sd_expr *v;

		if (!l)
			continue;
		v = sd_array(mem, c->n_exprs + 1, sizeof(*v), err);
		if (!v)
			return;
		if (c->n_exprs)
			memcpy(v, c->exprs, c->n_exprs * sizeof(*v));
		c->exprs = v;
		v += c->n_exprs;
		v->op = op;
		v->key = sd_copy(mem, l->key, err);
		v->values = sd_array(mem, 1, sizeof(*v->values), err);
		if (!v->values)
			return;
		v->values[0] = sd_copy(mem, l->value, err);
		v->n = 1;
		c->n_exprs++;
	}
}

static int clause_read(struct oarena *mem, const struct sd_clause_text *t, const struct sd_pod *pod,
		       struct sd_clause *c)
{
	size_t n_ns = oscan_count(t->namespaces);
	struct oscan_iter it;
	int err = 0;

	c->nothing = oscan_type(t->selector) != OSCAN_OBJECT;
	c->ns_select = oscan_type(t->ns_selector) == OSCAN_OBJECT;
	c->exprs = sd_selector_read(mem, t->selector, &c->n_exprs, &err);
	if (c->ns_select)
		c->ns_exprs = sd_selector_read(mem, t->ns_selector, &c->n_ns_exprs, &err);
	keys_read(mem, t->match_keys, SD_IN, pod, c, &err);
	keys_read(mem, t->mismatch_keys, SD_NOT_IN, pod, c, &err);
	c->ns = sd_array(mem, n_ns ? n_ns : 1, sizeof(*c->ns), &err);
	if (!c->ns)
		return err;
	for (oscan_begin(&it, t->namespaces); n_ns && oscan_next(&it) > 0;)
		c->ns[c->n_ns++] = sd_text(mem, it.value, &err);
	if (!c->n_ns && !c->ns_select)
		c->ns[c->n_ns++] = sd_copy(mem, t->own_ns, &err);
	return err;
}

/* A label that every pod of the match has, to find the match by. */
static const struct sd_expr *telling(const struct sd_match *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		for (uint32_t k = 0; k < m->clauses[i].n_exprs; k++)
			if (m->clauses[i].exprs[k].op == SD_IN && m->clauses[i].exprs[k].n == 1)
				return &m->clauses[i].exprs[k];
	return NULL;
}

struct pair {
	size_t		len;
	char		text[512];
};

/* Longer than any label may be: then it is not found by that. */
static bool pair_of(struct pair *b, struct orlop_bytes key, struct orlop_bytes value)
{
	b->len = key.len + 1 + value.len;
	if (b->len > sizeof(b->text))
		return false;
	memcpy(b->text, key.len ? key.p : "", key.len);
	b->text[key.len] = '\0';
	memcpy(b->text + key.len + 1, value.len ? value.p : "", value.len);
	return true;
}

static int match_list(struct sd_cluster *c, struct sd_match *m)
{
	const struct sd_expr *e = telling(m);
	struct sd_bucket *b;
	struct pair pair;

	if (!e || !pair_of(&pair, e->key, e->values[0])) {
		olist_append(&c->anywhere, &m->bucket);
		return 0;
	}
	b = omap_get(&c->by_label, pair.text, pair.len);
	if (!b) {
		b = OMEM_NEW(struct sd_bucket);
		if (!b || omap_add(&c->by_label, pair.text, pair.len, b)) {
			omem_free(b);
			return -ENOMEM;
		}
		olist_init(&b->matches);
	}
	m->in = b;
	olist_append(&b->matches, &m->bucket);
	return 0;
}

static void match_unlist(struct sd_cluster *c, struct sd_match *m)
{
	const struct sd_expr *e = telling(m);
	struct pair pair;

	olist_del(&m->bucket);
	if (m->in && olist_empty(&m->in->matches) && e && pair_of(&pair, e->key, e->values[0]))
		omem_free(omap_del(&c->by_label, pair.text, pair.len));
}

static bool looks_at_ns(const struct sd_match *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->clauses[i].n_ns_exprs)
			return true;
	return false;
}

static void match_free(struct sd_cluster *c, struct sd_match *m, bool listed)
{
	if (listed) {
		match_unlist(c, m);
		c->n_ns_select -= looks_at_ns(m);
		(void)omap_del(&c->matches, m->key.p, m->key.len);
	}
	OLIST_FOREACH_SAFE(at, next, &m->tallies)
	{
		struct sd_tally *t = OLIST_ENTRY(at, struct sd_tally, list);

		olist_del(&t->list);
		sd_tally_done(t);
		omem_free(t);
	}
	oarena_done(&m->mem);
	omem_free(m);
}

static int match_new(struct sd_cluster *c, const struct sd_clause_text *v, uint32_t n,
		     const struct sd_pod *pod, const struct obuf *key, struct sd_match **ret)
{
	struct sd_match *m = OMEM_NEW(struct sd_match);
	int err = 0;

	if (!m)
		return -ENOMEM;
	oarena_init(&m->mem, 0);
	olist_init(&m->idle);
	olist_init(&m->bucket);
	olist_init(&m->tallies);
	olist_init(&m->holds);
	m->clauses = sd_array(&m->mem, n, sizeof(*m->clauses), &err);
	for (uint32_t i = 0; m->clauses && i < n && !err; i++) {
		err = clause_read(&m->mem, &v[i], pod, &m->clauses[i]);
		m->n++;
	}
	m->live_only = key->data[0] == 'l';
	if (!err)
		err = omap_add(&c->matches, key->data, key->len, m);
	if (err) {
		match_free(c, m, false);
		return err;
	}
	m->key = (struct orlop_bytes){ omap_find(&c->matches, key->data, key->len)->key, key->len };
	if (match_list(c, m)) {
		(void)omap_del(&c->matches, m->key.p, m->key.len);
		match_free(c, m, false);
		return -ENOMEM;
	}
	c->n_ns_select += looks_at_ns(m);
	*ret = m;
	return 0;
}

int sd_match_get(struct sd_cluster *c, const struct sd_clause_text *v, uint32_t n, bool live_only,
		 const struct sd_pod *pod, struct sd_match **ret)
{
	struct obuf key = OBUF_INIT;
	struct sd_match *m = NULL;
	int r;

	match_key(&key, v, n, live_only, pod);
	r = obuf_err(&key);
	if (!r) {
		m = omap_get(&c->matches, key.data, key.len);
		if (!m)
			r = match_new(c, v, n, pod, &key, &m);
	}
	obuf_done(&key);
	if (r)
		return r;
	if (!olist_empty(&m->idle)) {
		olist_del(&m->idle);
		c->n_idle--;
	}
	m->refs++;
	*ret = m;
	return 0;
}

void sd_match_put(struct sd_cluster *c, struct sd_match *m)
{
	if (!m || --m->refs)
		return;
	olist_append(&c->idle, &m->idle);
	if (++c->n_idle <= IDLE_MAX)
		return;
	m = OLIST_ENTRY(olist_shift(&c->idle), struct sd_match, idle);
	c->n_idle--;
	match_free(c, m, true);
}

void sd_match_done(struct sd_cluster *c)
{
	struct olist *at;

	while ((at = olist_shift(&c->idle)))
		match_free(c, OLIST_ENTRY(at, struct sd_match, idle), true);
	omap_done(&c->matches);
	omap_done(&c->by_label);
	omap_done_with(&c->namespaces, omem_free);
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool exprs_match(const struct sd_expr *v, uint32_t n, const struct sd_labels *labels)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct sd_label *l =
			labels ? sd_label_find(labels->v, labels->n, v[i].key) : NULL;

		if (!sd_expr_matches(&v[i], l ? &l->value : NULL))
			return false;
	}
	return true;
}

static bool ns_matches(struct sd_cluster *c, const struct sd_clause *k, struct orlop_bytes ns)
{
	for (uint32_t i = 0; i < k->n_ns; i++)
		if (ostr_eq(k->ns[i].p, k->ns[i].len, ns.p, ns.len))
			return true;
	if (!k->ns_select)
		return false;
	return !k->n_ns_exprs ||
	       exprs_match(k->ns_exprs, k->n_ns_exprs, omap_get(&c->namespaces, ns.p, ns.len));
}

bool sd_match_has(struct sd_cluster *c, const struct sd_match *m, const struct sd_pod *p)
{
	if (m->live_only && p->deleting)
		return false;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct sd_clause *k = &m->clauses[i];

		if (k->nothing || !ns_matches(c, k, p->ns) ||
		    !exprs_match(k->exprs, k->n_exprs, p->labels))
			return false;
	}
	return true;
}

void sd_match_each(struct sd_cluster *c, const struct sd_pod *p,
		   void (*fn)(void *arg, struct sd_match *m), void *arg)
{
	struct pair pair;

	for (uint32_t i = 0; p->labels && omap_count(&c->by_label) && i < p->labels->n; i++) {
		struct sd_bucket *b;

		if (!pair_of(&pair, p->labels->v[i].key, p->labels->v[i].value))
			continue;
		b = omap_get(&c->by_label, pair.text, pair.len);
		if (!b)
			continue;
		OLIST_FOREACH(at, &b->matches)
		{
			struct sd_match *m = OLIST_ENTRY(at, struct sd_match, bucket);

			if (sd_match_has(c, m, p))
				fn(arg, m);
		}
	}
	OLIST_FOREACH(at, &c->anywhere)
	{
		struct sd_match *m = OLIST_ENTRY(at, struct sd_match, bucket);

		if (sd_match_has(c, m, p))
			fn(arg, m);
	}
}

/* ---- counting -------------------------------------------------------------------------------- */

static void tally_fill(struct sd_cluster *c, const struct sd_match *m, struct sd_tally *t)
{
	for (uint32_t i = 0; i < c->n; i++)
		OLIST_FOREACH(at, &c->v[i]->pods)
		{
			struct sd_pod *p = OLIST_ENTRY(at, struct sd_pod, on_node);

			if (sd_match_has(c, m, p))
				sd_tally_add(t, c->v[i], 1);
		}
}

struct sd_tally *sd_match_tally(struct sd_cluster *c, struct sd_match *m, struct sd_topo *topo)
{
	struct sd_tally *t;

	OLIST_FOREACH(at, &m->tallies)
	{
		t = OLIST_ENTRY(at, struct sd_tally, list);
		if (t->topo == topo)
			return t;
	}
	t = OMEM_NEW(struct sd_tally);
	if (!t || sd_tally_init(t, topo)) {
		omem_free(t);
		return NULL;
	}
	tally_fill(c, m, t);
	olist_append(&m->tallies, &t->list);
	return t;
}

struct change {
	const struct sd_node *n;
	int		by;
};

static void match_add(void *arg, struct sd_match *m)
{
	const struct change *ch = arg;

	OLIST_FOREACH(at, &m->tallies)
	sd_tally_add(OLIST_ENTRY(at, struct sd_tally, list), ch->n, ch->by);
}

void sd_tallies_add(struct sd_cluster *c, const struct sd_pod *p, const struct sd_node *n, int by)
{
	struct change ch = { n, by };

	if (!n->domain)
		return;
	if (omap_count(&c->matches))
		sd_match_each(c, p, match_add, &ch);
	for (uint32_t i = 0; p->terms && i < p->terms->n; i++)
		sd_tally_add(&p->terms->v[i].hold->tally, n, by);
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static bool labels_same(const struct sd_labels *a, const struct sd_labels *b)
{
	if (!a || !b || a->n != b->n)
		return a == b;
	for (uint32_t i = 0; i < a->n; i++)
		if (!ostr_eq(a->v[i].key.p, a->v[i].key.len, b->v[i].key.p, b->v[i].key.len) ||
		    !ostr_eq(a->v[i].value.p, a->v[i].value.len, b->v[i].value.p,
			     b->v[i].value.len))
			return false;
	return true;
}

int sd_namespace_set(struct sd_cluster *c, struct orlop_bytes name, struct orlop_bytes labels,
		     bool gone)
{
	struct sd_labels *was = omap_get(&c->namespaces, name.p, name.len), *now = NULL;
	int r = gone ? 0 : sd_labels_new(labels, &now);

	if (r)
		return r;
	if (labels_same(was, now)) {
		omem_free(now);
		return 0;
	}
	if (!now)
		(void)omap_del(&c->namespaces, name.p, name.len);
	else if (omap_put(&c->namespaces, name.p, name.len, now, NULL)) {
		omem_free(now);
		return -ENOMEM;
	}
	omem_free(was);
	if (!c->n_ns_select)
		return 0;
	c->topology_moved = true;
	/* rare: all that looks at labels of namespaces is counted anew */
	OMAP_FOREACH(&c->matches, e)
	{
		struct sd_match *m = e->value;

		if (!looks_at_ns(m))
			continue;
		OLIST_FOREACH(at, &m->tallies)
		{
			struct sd_tally *t = OLIST_ENTRY(at, struct sd_tally, list);

			memset(t->v, 0, t->topo->cap * sizeof(*t->v));
			t->total = 0;
			tally_fill(c, m, t);
		}
	}
	return 0;
}

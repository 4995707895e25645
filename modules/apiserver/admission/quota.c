/*
 * quota.c - admission ResourceQuota: what an object costs is charged in the transaction that stores it.
 *
 * Each quota that the object falls under is compared and put together with the object, so usage is never charged for
 * what was not stored, nor the other way round. Writes of one namespace go one after the other (struct quota_gate),
 * each on the quotas that the one before left; other API servers' writes make the compare fail and this one try again.
 *
 * Source: upstream's plugin resourcequota, behaviour and words.
 */
#include "admission.h"

#include "../registry/render.h"
#include "../registry/write.h"
#include "json/ojson.h"
#include "quota/oquota.h"
#include "record/orecord.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define QUOTAS_MAX 32u	/* of one namespace that one object falls under */

/* A quota as the last write left it; the cache may be behind. */
struct quota_known {
	struct olist	link;
	char		*name;
	uint64_t	rev;
	struct obuf	json;	/* from "metadata" on; empty: it is gone */
};

struct quota_gate {
	struct olist	link;
	char		*ns;
	bool		busy;		/* a transaction is under way */
	struct olist	waiting;	/* of struct write, by quota_link */
	struct olist	known;
};

/* One quota that is charged by the write in hand; in the arena. */
struct quota_charge {
	struct ojson	*quota;
	const char	*name;
	uint64_t	rev;
	struct ojson	*names;		/* what of its hard limits such objects count for */
	struct obuf	record;
	struct reg_stored stored;
};

static const struct reg_kind *quotas_kind(const struct reg_op *op)
{
	return op->sh->rg->resourcequotas;
}

/* Is this a write that may cost something? */
static bool may_cost(const struct reg_op *op)
{
	const struct write *w = op->w;
	bool resize = w->k == op->sh->rg->pods && rb_is(op->rq.sub, "resize");

	if (!(w->k->res->flags & OSCHEMA_S_NAMESPACED) || w->action != WRITE_PUT || !w->obj ||
	    op->rq.verb == REG_DELETE || op->rq.verb == REG_DELETECOLLECTION)
		return false;
	if (op->rq.sub.len && !resize)
		return false;
	return !w->old || resize || w->k == op->sh->rg->services || !strcmp(w->k->name, "persistentvolumeclaims");
}

/* ---- the gate ------------------------------------------------------------------------------------------------- */

static struct quota_gate *gate_of(struct reg_shard *sh, struct orlop_bytes ns)
{
	OLIST_FOREACH(pos, &sh->quota_gates) {
		struct quota_gate *g = OLIST_ENTRY(pos, struct quota_gate, link);

		if (rb_is(ns, g->ns))
			return g;
	}
	return NULL;
}

static struct quota_gate *gate_new(struct reg_shard *sh, struct orlop_bytes ns)
{
	struct quota_gate *g = OMEM_NEW(struct quota_gate);

	if (!g)
		return NULL;
	olist_init(&g->waiting);
	olist_init(&g->known);
	g->ns = omem_strndup(ns.p, ns.len);
	if (!g->ns) {
		omem_free(g);
		return NULL;
	}
	olist_append(&sh->quota_gates, &g->link);
	return g;
}

static void gate_free(struct quota_gate *g)
{
	struct olist *l;

	while ((l = olist_first(&g->known)) != NULL) {
		struct quota_known *k = OLIST_ENTRY(l, struct quota_known, link);

		olist_del(&k->link);
		obuf_done(&k->json);
		omem_free(k->name);
		omem_free(k);
	}
	olist_del(&g->link);
	omem_free(g->ns);
	omem_free(g);
}

static struct quota_known *known_find(struct quota_gate *g, const char *name)
{
	OLIST_FOREACH(pos, &g->known) {
		struct quota_known *k = OLIST_ENTRY(pos, struct quota_known, link);

		if (!strcmp(k->name, name))
			return k;
	}
	return NULL;
}

/* Remember; without memory the cache has to do, and the compare decides. */
static void known_put(struct quota_gate *g, const char *name, uint64_t rev, const struct reg_stored *st)
{
	struct quota_known *k = known_find(g, name);

	if (!k) {
		k = OMEM_NEW(struct quota_known);
		if (!k)
			return;
		k->name = omem_strdup(name);
		if (!k->name) {
			omem_free(k);
			return;
		}
		olist_append(&g->known, &k->link);
	}
	k->rev = rev;
	obuf_reset(&k->json);
	if (st)
		reg_stored_put(st, &k->json);
	if (obuf_err(&k->json)) {
		obuf_reset(&k->json);
		k->rev = 0;
	}
}

bool admission_quota_waits(struct reg_op *op)
{
	struct quota_gate *g = may_cost(op) ? gate_of(op->sh, op->w->ns) : NULL;

	if (!g || !g->busy)
		return false;
	olist_append(&g->waiting, &op->w->quota_link);
	op->w->quota_op = op;
	return true;
}

/* ---- charging --------------------------------------------------------------------------------------------------- */

static int charge_add(struct reg_op *op, struct quota_gate *g, const struct orlop_object *o)
{
	struct write *w = op->w;
	const struct reg_kind *k = quotas_kind(op);
	const char *name = rb_dup(&op->arena, o->name);
	struct quota_known *known = g ? known_find(g, name) : NULL;
	struct orlop_bytes json = o->json;
	struct quota_charge *c;
	struct ojson *names = ojson_new_object();
	int r = names ? 0 : -ENOMEM;

	if (w->n_charges == QUOTAS_MAX) {
		ojson_unref(names);
		return -E2BIG;
	}
	c = &w->charges[w->n_charges];
	memset(c, 0, sizeof(*c));
	c->name = name;
	c->rev = o->rev;
	if (known && known->rev > o->rev) {
		json = (struct orlop_bytes){ known->json.data, known->json.len };
		c->rev = known->rev;
	}
	if (r == 0 && json.len)
		r = render_parse(k, json, &c->quota);
	OJSON_FOREACH(it, OJSON_AT(c->quota, "status", "hard"))
		if (r == 0 && oquota_counts(w->k->name, (struct orlop_bytes){ it.key, it.key_len }))
			r = ojson_set(names, it.key, ojson_ref(it.value));
	if (r || ojson_count(names) == 0 || !oquota_in_scope(ojson_get(c->quota, "spec"), w->k->name, w->obj)) {
		ojson_unref(names);
		ojson_unref(c->quota);
		return r;
	}
	c->names = names;
	w->n_charges++;
	return 0;
}

static int charges_find(struct reg_op *op, const struct reg_kind *k)
{
	const struct orlop_host *h = op->sh->h;
	struct orlop_query q = { .size = sizeof(q), .has_ns = 1, .ns = op->w->ns };
	struct orlop_resource *res = reg_open(op->sh, k);
	struct quota_gate *g = gate_of(op->sh, op->w->ns);
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;
	int r = res ? h->snapshot_open(res, &snap) : -ENOMEM;

	if (r)
		return r;
	if (h->snapshot_count(snap)) {
		if (!op->w->charges)
			op->w->charges = oarena_zalloc(&op->arena, QUOTAS_MAX * sizeof(*op->w->charges));
		r = op->w->charges ? h->iter_open(snap, &q, &it) : -ENOMEM;
		if (r == 0) {
			while (r == 0 && (o = h->iter_next(it)) != NULL)
				r = charge_add(op, g, o);
			h->iter_close(it);
		}
	}
	h->snapshot_close(snap);
	return r;
}

/* Does the object say what the quota wants said, and is the quota's use known? */
static int charge_check(struct reg_op *op, const struct quota_charge *c)
{
	const struct ojson *used = OJSON_AT(c->quota, "status", "used");
	struct obuf why = OBUF_INIT;
	bool known = true;
	int r = 0;

	oquota_missing(op->w->k->name, c->names, op->w->obj, &why);
	if (why.len) {
		r = reg_forbidden(op, op->w->name, "failed quota: %s: %.800s", c->name, obuf_cstr(&why));
	} else {
		OJSON_FOREACH(it, c->names)
			known = known && ojson_has(used, it.key);
		if (!known) {
			oquota_print_names(c->names, &why);
			r = reg_forbidden(op, op->w->name, "status unknown for quota: %s, resources: %.800s", c->name, obuf_cstr(&why));
		}
	}
	obuf_done(&why);
	return r;
}

/* What this write costs more than what was there. */
static int delta_make(struct reg_op *op, struct ojson **ret)
{
	int64_t now = (int64_t)op->sh->h->now_wall(op->sh->h);
	struct ojson *delta = NULL, *was = NULL;
	int r = oquota_usage(op->w->k->name, op->w->obj, now, &delta);

	if (r == 0 && op->w->old) {
		r = oquota_usage(op->w->k->name, op->w->old, now, &was);
		if (r == 0)
			r = oquota_sub(delta, was);
		ojson_unref(was);
	}
	if (r == 0)
		oquota_drop_zeros(delta);
	*ret = delta;
	return r;
}

static int refuse(struct reg_op *op, const struct quota_charge *c, const struct ojson *requested, const struct ojson *beyond)
{
	struct obuf a = OBUF_INIT, b = OBUF_INIT, d = OBUF_INIT;
	int r;

	oquota_print(requested, beyond, &a);
	oquota_print(OJSON_AT(c->quota, "status", "used"), beyond, &b);
	oquota_print(OJSON_AT(c->quota, "status", "hard"), beyond, &d);
	r = reg_forbidden(op, op->w->name, "exceeded quota: %s, requested: %.250s, used: %.250s, limited: %.250s", c->name,
			  obuf_cstr(&a), obuf_cstr(&b), obuf_cstr(&d));
	obuf_done(&a);
	obuf_done(&b);
	obuf_done(&d);
	return r;
}

/* The record of the quota with its new use. */
static int charge_encode(struct reg_op *op, struct quota_charge *c, struct ojson *take_used)
{
	const struct reg_kind *k = quotas_kind(op);
	struct ojson *meta = ojson_get(c->quota, "metadata");
	struct obuf text = OBUF_INIT, mf = OBUF_INIT;
	size_t at;
	int r = ojson_set(ojson_get(c->quota, "status"), "used", take_used);

	if (r == 0 && ojson_has(meta, "managedFields"))
		r = ojson_write(ojson_get(meta, "managedFields"), 0, &mf);
	ojson_del(c->quota, "kind");
	ojson_del(c->quota, "apiVersion");
	ojson_del(meta, "managedFields");
	ojson_del(meta, "resourceVersion");
	if (r == 0)
		r = ojson_write(c->quota, 0, &text);
	if (r == 0)
		r = orecord_put(op->sh->rg->schema, k->res, c->quota, (struct orlop_bytes){ text.data, text.len },
				(struct orlop_bytes){ mf.data, mf.len }, &c->record, &at, &c->stored.rv_off);
	if (r == 0)
		c->stored.json = (struct orlop_bytes){ c->record.data + at, c->record.len - at };
	obuf_done(&text);
	obuf_done(&mf);
	return r;
}

static int charge_do(struct reg_op *op, struct reg_txn *t, struct quota_charge *c, const struct ojson *delta)
{
	const struct reg_kind *k = quotas_kind(op);
	const struct ojson *status = ojson_get(c->quota, "status");
	struct ojson *asked = oquota_mask(delta, c->names), *used = NULL, *now = NULL, *beyond = NULL;
	struct orlop_bytes key;
	int r = asked ? ojson_copy(ojson_get(status, "used"), &used) : -ENOMEM;

	if (r == 0 && ojson_count(asked)) {
		r = oquota_add(used, asked);
		now = r ? NULL : oquota_mask(used, asked);
		beyond = now ? oquota_beyond(now, ojson_get(status, "hard")) : NULL;
		if (r == 0 && !beyond)
			r = -ENOMEM;
		if (r == 0 && ojson_count(beyond))
			r = refuse(op, c, asked, beyond);
		if (r == 0)
			r = charge_encode(op, c, TAKE(used));
		if (r == 0) {
			key = reg_key(&op->arena, k, op->w->ns, RB(c->name));
			reg_txn_compare(t, key, c->rev);
			reg_txn_put(t, key, (struct orlop_bytes){ c->record.data, c->record.len });
		}
	}
	ojson_unref(asked);
	ojson_unref(used);
	ojson_unref(now);
	ojson_unref(beyond);
	return r;
}

static void charges_drop(struct write *w)
{
	for (uint32_t i = 0; i < w->n_charges; i++) {
		ojson_unref(w->charges[i].quota);
		ojson_unref(w->charges[i].names);
		obuf_done(&w->charges[i].record);
	}
	w->n_charges = 0;
}

int admission_quota_charge(struct reg_op *op, struct reg_txn *t)
{
	const struct reg_kind *k = may_cost(op) ? quotas_kind(op) : NULL;
	struct write *w = op->w;
	struct ojson *delta = NULL;
	struct quota_gate *g;
	int r;

	if (!k)
		return 0;
	w->quota_first = t->n_cmp;
	r = charges_find(op, k);
	for (uint32_t i = 0; r == 0 && i < w->n_charges; i++)
		r = charge_check(op, &w->charges[i]);
	if (r == 0 && w->n_charges)
		r = delta_make(op, &delta);
	for (uint32_t i = 0; r == 0 && i < w->n_charges; i++)
		r = charge_do(op, t, &w->charges[i], delta);
	ojson_unref(delta);
	if (r == 0 && t->n_cmp > w->quota_first) {
		g = gate_of(op->sh, w->ns);
		if (!g)
			g = gate_new(op->sh, w->ns);
		if (g) {
			g->busy = true;
			w->quota_gate = g;
			return 0;
		}
		r = -ENOMEM;
	}
	charges_drop(w);
	return r == 0 || op->err.err ? r : reg_failed(op, r, NULL);
}

/* ---- after the transaction ---------------------------------------------------------------------------------------- */

bool admission_quota_done(struct reg_op *op, const struct reg_txn_result *res)
{
	struct write *w = op->w;
	struct quota_gate *g = w->quota_gate;
	uint32_t at = w->quota_first;
	bool ours = false;

	if (!g)
		return false;
	w->quota_gate = NULL;
	g->busy = false;
	for (uint32_t i = 0; res && i < w->n_charges; i++) {
		struct quota_charge *c = &w->charges[i];
		struct reg_stored st;

		if (!c->record.len)
			continue;	/* nothing of it was asked for */
		if (res->ok && !op->opt.dry_run) {
			c->stored.rev = res->rev;
			known_put(g, c->name, res->rev, &c->stored);
		} else if (!res->ok && res->failed == at) {
			ours = true;
			if (res->item_rev == 0)
				known_put(g, c->name, UINT64_MAX, NULL);
			else if (reg_record_parse(res->item, res->item_rev, &st) == 0)
				known_put(g, c->name, res->item_rev, &st);
		}
		at++;
	}
	charges_drop(w);
	return ours;
}

void admission_quota_next(struct reg_shard *sh, struct orlop_bytes ns)
{
	struct quota_gate *g = gate_of(sh, ns);

	while (g && !g->busy) {
		struct olist *l = olist_first(&g->waiting);
		struct write *w;

		if (!l) {
			gate_free(g);
			return;
		}
		w = OLIST_ENTRY(l, struct write, quota_link);
		olist_del(&w->quota_link);
		write_commit(w->quota_op);
		g = gate_of(sh, ns);	/* whoever failed at once may have freed it */
	}
}

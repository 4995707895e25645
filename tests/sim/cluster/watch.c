/*
 * watch.c - every cache against the truth: each change once, in order, whole; nothing missed, nothing made up.
 *
 * A watcher sits in each process and reads the journals as modules do. What it sees is held against the
 * history of the storage as soon as that is known so far. Once in a while the whole snapshot is compared.
 */
#include "cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const followed[] = {
	"pods", "nodes", "replicasets.apps", "deployments.apps", "namespaces", "configmaps",
};

#define N_FOLLOWED	(sizeof(followed) / sizeof(followed[0]))
#define BATCH		64u

struct seen {
	uint64_t	rev;
	uint32_t	type;
	struct orlop_object *o;
	struct orlop_object *prev;
};

struct follow {
	struct orlop_resource *r;
	bool		listed;
	uint64_t	cursor;		/* of the journal */
	uint64_t	told;		/* revision the cache says it has */
	uint64_t	checked;	/* history is compared up to this revision */
	uint32_t	at;		/* index in history */
	struct seen	*q;		/* not compared yet */
	uint32_t	n;
	uint32_t	cap;
	uint64_t	looked;		/* sim_now() of the last whole comparison */
};

struct watch {
	uint32_t	life;
	uint64_t	next;		/* not before */
	struct follow	f[N_FOLLOWED];
};

static void forget(struct member *m, bool alive)
{
	const struct orlop_host *h = alive ? sim_host(m->p) : NULL;
	struct watch *wt = m->watch;
	size_t i;
	uint32_t k;

	for (i = 0; i < N_FOLLOWED; i++) {
		struct follow *f = &wt->f[i];

		for (k = 0; h && k < f->n; k++) {
			h->object_unref(f->q[k].o);
			h->object_unref(f->q[k].prev);
		}
		if (h && f->r)
			h->resource_close(f->r);
		free(f->q);
		memset(f, 0, sizeof(*f));
	}
}

/* ---- comparing ------------------------------------------------------------------------------------------- */

static bool same_key(const struct orlop_object *o, const struct version *v)
{
	return o->ns.len == strlen(v->ns) && !memcmp(o->ns.p, v->ns, o->ns.len) && o->name.len == strlen(v->name) &&
	       !memcmp(o->name.p, v->name, o->name.len);
}

static bool same_content(struct cluster *c, const struct orlop_object *o, const struct version *v)
{
	struct ojson *j = NULL;
	char rv[24];
	bool same;

	if (ojson_parse_members(o->json, &j, NULL))
		return false;
	ojson_del(ojson_get(j, "metadata"), "managedFields");
	snprintf(rv, sizeof(rv), "%llu", (unsigned long long)o->rev);
	same = !strcmp(cj_text(j, "metadata.resourceVersion"), rv);
	ojson_del(ojson_get(j, "metadata"), "resourceVersion");
	same = same && ojson_equal(j, v->obj);
	ojson_unref(j);
	(void)c;
	return same;
}

static void bad(struct member *m, const char *resource, const char *what, uint64_t rev, const struct version *v)
{
	sim_fail(m->c->w, "watch", "%s: %s: %s at %llu (history: %s at %llu)", m->name, resource, what,
		 (unsigned long long)rev, v ? v->key : "nothing", v ? (unsigned long long)v->rev : 0);
}

/* The next entry of history of this resource, at or after index @*at; NULL: none so far. */
static const struct version *history_next(struct cluster *c, const char *resource, uint32_t *at)
{
	for (; *at < truth_count(c); ++*at)
		if (!strcmp(truth_at(c, *at)->resource, resource))
			return truth_at(c, *at);
	return NULL;
}

static void compare_one(struct member *m, const char *resource, struct follow *f, const struct seen *s)
{
	struct cluster *c = m->c;
	const struct version *v = history_next(c, resource, &f->at);
	uint32_t want;

	if (!v || v->rev != s->rev) {
		bad(m, resource, v && v->rev < s->rev ? "a change was missed before" : "a change that never was", s->rev, v);
		return;
	}
	/* several keys at one revision come in any order: find ours */
	if (!same_key(s->o, v)) {
		uint32_t i = f->at;

		while (++i < truth_count(c) && truth_at(c, i)->rev == s->rev)
			if (!strcmp(truth_at(c, i)->resource, resource) && same_key(s->o, truth_at(c, i)))
				break;
		if (i == truth_count(c) || truth_at(c, i)->rev != s->rev) {
			bad(m, resource, "a change of another object", s->rev, v);
			return;
		}
		v = truth_at(c, i);
	}
	f->at++;
	want = !v->obj ? ORLOP_CHANGE_DELETED : v->prev ? ORLOP_CHANGE_MODIFIED : ORLOP_CHANGE_ADDED;
	if (s->type != want)
		bad(m, resource, "a change of the wrong type", s->rev, v);
	else if (s->o->rev != s->rev)
		bad(m, resource, "an object whose revision is not that of its change", s->rev, v);
	else if (v->prev && (!s->prev || s->prev->rev != v->prev->rev))
		bad(m, resource, "a change whose state before is another", s->rev, v);
	else if (v->obj && !same_content(c, s->o, v))
		bad(m, resource, "an object that is not what is stored", s->rev, v);
}

/* Whatever history has reached. */
static void compare(struct member *m, const char *resource, struct follow *f)
{
	const struct orlop_host *h = sim_host(m->p);
	uint64_t known = truth_rev(m->c);
	uint32_t i = 0;

	while (i < f->n && f->q[i].rev <= known) {
		compare_one(m, resource, f, &f->q[i]);
		h->object_unref(f->q[i].o);
		h->object_unref(f->q[i].prev);
		f->checked = f->q[i].rev;
		i++;
	}
	if (i && i < f->n)
		memmove(f->q, f->q + i, (f->n - i) * sizeof(*f->q));
	f->n -= i;
	/* and nothing was left out: the cache says that it has everything up to there */
	if (!f->n && f->told <= known) {
		const struct version *v = history_next(m->c, resource, &f->at);

		if (v && v->rev <= f->told)
			bad(m, resource, "the cache says that it has come so far, and has not seen a change", f->told, v);
		if (f->told > f->checked)
			f->checked = f->told;
	}
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static void keep(struct follow *f, const struct orlop_change *ch)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->q = realloc(f->q, f->cap * sizeof(*f->q));
		if (!f->q)
			abort();
	}
	f->q[f->n++] = (struct seen){ ch->rev, ch->type, ch->object, ch->prev };
}

struct count {
	uint64_t	rev;
	uint64_t	n;
};

/* Objects of the snapshot are those of history at its revision; history must have come so far. */
static bool snapshot_compare(struct member *m, const char *resource, struct follow *f)
{
	const struct orlop_host *h = sim_host(m->p);
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_snapshot *s;
	struct orlop_object *o;
	struct orlop_iter *it;
	struct omap then;
	uint64_t n = 0;
	uint64_t left = 0;
	uint64_t rev;
	uint32_t i;

	if (h->snapshot_open(f->r, &s))
		return false;
	rev = h->snapshot_rev(s);
	if (rev > truth_rev(m->c) || h->iter_open(s, &q, &it)) {
		h->snapshot_close(s);
		return false;
	}
	omap_init(&then);
	for (i = 0; i < truth_count(m->c) && truth_at(m->c, i)->rev <= rev; i++) {
		const struct version *v = truth_at(m->c, i);

		if (!strcmp(v->resource, resource))
			(void)omap_put_cstr(&then, v->key, v->obj ? (void *)(uintptr_t)v : NULL);
	}
	while ((o = h->iter_next(it))) {
		char key[600];
		const struct version *v;

		snprintf(key, sizeof(key), "%s/%.*s/%.*s", resource, (int)o->ns.len, o->ns.p, (int)o->name.len, o->name.p);
		v = omap_get_cstr(&then, key);
		n++;
		if (!v || v->rev != o->rev)
			bad(m, resource, "the snapshot has an object that is not so", o->rev, v);
		else if (!same_content(m->c, o, v))
			bad(m, resource, "the snapshot has an object with other content", o->rev, v);
	}
	OMAP_FOREACH(&then, e)
		left += e->value != NULL;
	if (left != n)
		sim_fail(m->c->w, "snapshot", "%s: %s at %llu: %llu objects, history has %llu", m->name, resource,
			 (unsigned long long)rev, (unsigned long long)n, (unsigned long long)left);
	omap_done(&then);
	h->iter_close(it);
	h->snapshot_close(s);
	return true;
}

/* The first list is in: from here on every change counts. */
static void begin(struct member *m, struct follow *f)
{
	const struct orlop_host *h = sim_host(m->p);
	struct orlop_snapshot *s;
	int32_t synced = 0;

	(void)h->resource_rev(f->r, &synced);
	if (!synced || h->snapshot_open(f->r, &s))
		return;
	f->cursor = h->snapshot_rev(s);
	f->told = f->cursor;
	f->checked = f->cursor;
	h->snapshot_close(s);
	f->listed = true;
	f->at = UINT32_MAX;	/* found when history has come so far */
}

static void catch_up(struct member *m, const char *resource, struct follow *f)
{
	const struct orlop_host *h = sim_host(m->p);
	struct orlop_change ch[BATCH];
	int32_t n;
	int32_t i;
	uint64_t rev;

	if (!f->listed) {
		begin(m, f);
		return;
	}
	rev = h->resource_rev(f->r, NULL);
	if (rev < f->told)
		sim_fail(m->c->w, "cache-went-back", "%s: %s from %llu to %llu", m->name, resource,
			 (unsigned long long)f->told, (unsigned long long)rev);
	if (rev == f->told && !f->n)
		return;
	while (rev != f->told && (n = h->journal_read(f->r, &f->cursor, ch, BATCH)) != 0) {
		if (n == -ESTALE) {	/* fell out: begin anew */
			f->listed = false;
			f->n = 0;
			return;
		}
		if (n < 0) {
			sim_fail(m->c->w, "journal", "%s: %s: %s", m->name, resource, strerror(-n));
			return;
		}
		for (i = 0; i < n; i++) {
			uint64_t last = f->n ? f->q[f->n - 1].rev : f->checked;

			if (ch[i].rev < last || (!f->n && ch[i].rev <= f->checked))
				sim_fail(m->c->w, "watch-order", "%s: %s: %llu after %llu", m->name, resource,
					 (unsigned long long)ch[i].rev, (unsigned long long)last);
			keep(f, &ch[i]);
			m->c->n_changes++;
		}
	}
	f->told = rev;
	if (f->at == UINT32_MAX) {
		if (truth_rev(m->c) < f->checked)
			return;
		f->at = truth_find(m->c, f->checked + 1);
	}
	compare(m, resource, f);
}

void watch_step(struct member *m)
{
	const struct orlop_host *h;
	struct watch *wt = m->watch;
	size_t i;

	if (!wt) {
		wt = m->watch = calloc(1, sizeof(*wt));
		if (!wt)
			abort();
	}
	if (!sim_running(m->p) || wt->life != sim_life(m->p)) {
		if (wt->life)
			forget(m, false);
		wt->life = sim_running(m->p) ? sim_life(m->p) : 0;
		if (!wt->life)
			return;
	}
	h = sim_host(m->p);
	if (!h)
		return;
	for (i = 0; i < N_FOLLOWED; i++) {
		struct follow *f = &wt->f[i];
		struct orlop_error err = { .size = sizeof(err) };

		if (!f->r && h->resource_open(h, followed[i], &f->r, &err)) {
			f->r = NULL;
			continue;
		}
		catch_up(m, followed[i], f);
		if (f->listed && sim_now(m->c->w) > f->looked + 20 * SIM_S && sim_ready(m->p) &&
		    snapshot_compare(m, followed[i], f))
			f->looked = sim_now(m->c->w);
	}
}

bool watch_complete(struct member *m)
{
	struct watch *wt = m->watch;
	size_t i;

	if (!wt || !wt->life || !sim_running(m->p))
		return false;
	for (i = 0; i < N_FOLLOWED; i++) {
		if (!wt->f[i].listed || wt->f[i].n)
			return false;
		if (!snapshot_compare(m, followed[i], &wt->f[i]))
			return false;
	}
	return true;
}

void watch_free(struct member *m)
{
	if (!m->watch)
		return;
	forget(m, sim_running(m->p) && m->watch->life == sim_life(m->p));
	free(m->watch);
	m->watch = NULL;
}

/*
 * flow-set.c - flow schemas and priority levels out of the cache: in order, with what each level has of this shard's room.
 *
 * Made anew when one has changed. Source: upstream's apf_controller.go and conc_alloc.go.
 */
#include "flow.h"

#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP		"flowcontrol.apiserver.k8s.io"

void flow_set_unref(struct flow_set *s)
{
	if (!s || --s->refs)
		return;
	for (uint32_t i = 0; i < s->n_levels; i++)
		if (--s->levels[i]->refs == 0)
			omem_free(s->levels[i]);
	oarena_done(&s->arena);
	omem_free(s);
}

static struct orlop_bytes keep(struct flow_set *s, struct orlop_bytes b)
{
	const char *p = oarena_strndup(&s->arena, b.len ? b.p : "", b.len);

	s->torn |= !p;
	return (struct orlop_bytes){ p ? p : "", p ? b.len : 0 };
}

static struct flow_list read_list(struct flow_set *s, const struct ojson *j)
{
	struct orlop_bytes *v = oarena_alloc(&s->arena, (ojson_count(j) + 1) * sizeof(*v));
	struct flow_list l = { .v = v };

	s->torn |= !v;
	OJSON_FOREACH_ELEM(i, e, j) {
		if (v)
			v[l.n++] = keep(s, ojson_bytes(e));
	}
	l.all = l.n == 1 && bytes_is(v[0], "*");
	return l;
}

static struct flow_subject read_subject(struct flow_set *s, const struct ojson *j)
{
	const struct ojson *account = ojson_get(j, "serviceAccount");
	struct orlop_bytes name = ojson_get_bytes(account, "name"), ns = ojson_get_bytes(account, "namespace");
	struct flow_subject r = { .kind = FLOW_USER };
	const char *text;

	if (!account) {
		r.kind = ojson_has(j, "group") ? FLOW_GROUP : FLOW_USER;
		r.text = keep(s, ojson_get_bytes(ojson_get(j, r.kind == FLOW_GROUP ? "group" : "user"), "name"));
		r.all = bytes_is(r.text, "*");
		return r;
	}
	if (bytes_is(name, "*"))
		r.kind = FLOW_ACCOUNTS;
	text = oarena_printf(&s->arena, FLOW_ACCOUNT "%.*s:%.*s", OB(ns), r.kind == FLOW_USER ? (int)name.len : 0, name.p ? name.p : "");
	s->torn |= !text;
	r.text = bytes_cstr(text ? text : "");
	return r;
}

static struct flow_rule read_rule(struct flow_set *s, const struct ojson *j, bool path)
{
	return (struct flow_rule){
		.path = path,
		.cluster = ojson_get_bool(j, "clusterScope", false),
		.verbs = read_list(s, ojson_get(j, "verbs")),
		.groups = read_list(s, ojson_get(j, "apiGroups")),
		.things = read_list(s, ojson_get(j, path ? "nonResourceURLs" : "resources")),
		.namespaces = read_list(s, ojson_get(j, "namespaces")),
	};
}

static void read_rules(struct flow_set *s, const struct ojson *j, struct flow_rules *ret)
{
	const struct ojson *subjects = ojson_get(j, "subjects"), *resources = ojson_get(j, "resourceRules"), *paths = ojson_get(j, "nonResourceRules");
	struct flow_subject *v = oarena_alloc(&s->arena, (ojson_count(subjects) + 1) * sizeof(*v));
	struct flow_rule *r = oarena_alloc(&s->arena, (ojson_count(resources) + ojson_count(paths) + 1) * sizeof(*r));

	*ret = (struct flow_rules){ .subjects = v, .rules = r };
	s->torn |= !v || !r;
	if (s->torn)
		return;
	OJSON_FOREACH_ELEM(i, e, subjects)
		v[ret->n_subjects++] = read_subject(s, e);
	OJSON_FOREACH_ELEM(k, e, resources)
		r[ret->n_rules++] = read_rule(s, e, false);
	OJSON_FOREACH_ELEM(m, e, paths)
		r[ret->n_rules++] = read_rule(s, e, true);
}

static void read_uid(const struct ojson *obj, char uid[FLOW_UID_MAX])
{
	snprintf(uid, FLOW_UID_MAX, "%s", ojson_get_cstr(ojson_get(obj, "metadata"), "uid", ""));
}

static struct flow_level *level_named(const struct flow_set *s, struct orlop_bytes name)
{
	for (uint32_t i = 0; s && i < s->n_levels; i++)
		if (bytes_is(name, s->levels[i]->name))
			return s->levels[i];
	return NULL;
}

/* What a share is in places; a level with any share has one. */
static uint32_t part(uint64_t places, uint64_t share, uint64_t sum)
{
	return sum ? (uint32_t)((places * share + sum - 1) / sum) : 0;
}

struct reading {
	struct ashard	*sh;
	struct flow_set	*set;
	uint64_t	shares;		/* of all levels together */
	uint32_t	room;		/* in the array */
	bool		counting;	/* first the sum is made */
};

static uint64_t shares_of(const struct ojson *obj, const struct ojson **ret_part)
{
	const struct ojson *exempt = OJSON_AT(obj, "spec", "exempt");
	int64_t n;

	*ret_part = exempt ? exempt : OJSON_AT(obj, "spec", "limited");
	n = ojson_get_i64(*ret_part, "nominalConcurrencyShares", 0);
	return n > 0 ? (uint64_t)n : 0;
}

static void read_level(struct reading *r, struct orlop_bytes name, const struct ojson *obj)
{
	const struct ojson *p;
	uint64_t shares = shares_of(obj, &p), lent = (uint64_t)ojson_get_i64(p, "lendablePercent", 0);
	uint64_t borrows = (uint64_t)ojson_get_i64(p, "borrowingLimitPercent", -1);	/* without: no limit to speak of */
	struct flow_level *l;

	r->shares += r->counting ? shares : 0;
	if (r->counting) {
		r->room++;
		return;
	}
	if (r->set->n_levels == r->room)
		return;
	l = level_named(r->sh->flows->set, name);
	if (!l) {
		l = omem_zalloc(sizeof(*l) + name.len + 1);
		r->set->torn |= !l;
		if (!l)
			return;
		memcpy(l->name, name.p, name.len);
	}
	l->refs++;
	r->set->levels[r->set->n_levels++] = l;
	read_uid(obj, l->uid);
	l->exempt = ojson_string_is(OJSON_AT(obj, "spec", "type"), "Exempt");
	l->nominal = part(r->sh->a->places, shares, r->shares);
	for (int w = 0; w < 2; w++) {
		uint64_t n = part(r->set->places[w], shares, r->shares);

		/* rounded down: what is kept for all of them is never more than there is */
		l->promised[w] = r->shares ? (uint32_t)(r->set->places[w] * shares * (100 - lent) / (100 * r->shares)) : 0;
		n = borrows < UINT32_MAX ? (n * (100 + borrows) + 50) / 100 : UINT32_MAX;
		l->most[w] = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
	}
}

static void read_schema(struct reading *r, struct orlop_bytes name, const struct ojson *obj)
{
	const struct ojson *spec = ojson_get(obj, "spec"), *rules = ojson_get(spec, "rules");
	struct flow_level *level = level_named(r->set, ojson_get_bytes(ojson_get(spec, "priorityLevelConfiguration"), "name"));
	struct flow_schema *s;
	struct flow_rules *v;

	if (r->counting) {
		r->room++;
		return;
	}
	if (!level || r->set->n_schemas == r->room)	/* it dangles */
		return;
	s = &r->set->schemas[r->set->n_schemas++];
	v = oarena_zalloc(&r->set->arena, (ojson_count(rules) + 1) * sizeof(*v));
	r->set->torn |= !v;
	*s = (struct flow_schema){ .name = keep(r->set, name), .precedence = ojson_get_i64(spec, "matchingPrecedence", 0), .level = level, .rules = v };
	read_uid(obj, s->uid);
	OJSON_FOREACH_ELEM(i, e, rules) {
		if (v)
			read_rules(r->set, e, &v[s->n_rules++]);
	}
}

static void each(struct reading *r, bool levels, void (*fn)(struct reading *r, struct orlop_bytes name, const struct ojson *obj))
{
	const struct orlop_host *h = r->sh->h;
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_resource *res = r->sh->flows->res[!levels];
	struct orlop_snapshot *snap;
	struct orlop_object *o;
	struct orlop_iter *it;
	int e = res ? h->snapshot_open(res, &snap) : 0;

	r->set->torn |= e == -ENOMEM;
	if (!res || e < 0)
		return;
	if (r->counting)	/* what changes from now on is looked at again */
		r->sh->flows->cursor[!levels] = h->snapshot_rev(snap);
	if (h->iter_open(snap, &q, &it) == 0) {
		while (!r->set->torn && (o = h->iter_next(it)) != NULL) {
			struct ojson *obj = NULL;

			e = ojson_parse_members(o->json, &obj, NULL);
			r->set->torn |= e == -ENOMEM;
			if (e == 0)
				fn(r, o->name, obj);
			ojson_unref(obj);
		}
		h->iter_close(it);
	} else {
		r->set->torn = true;
	}
	h->snapshot_close(snap);
}

static int by_precedence(const void *a, const void *b)
{
	const struct flow_schema *x = a, *y = b;
	size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
	int r;

	if (x->precedence != y->precedence)
		return x->precedence < y->precedence ? -1 : 1;
	r = memcmp(x->name.p, y->name.p, n);
	return r ? r : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* All of it or NULL: without memory for one schema or level its requests would go to another, and maybe have no limit. */
static struct flow_set *set_new(struct ashard *sh)
{
	struct flow_set *s = OMEM_NEW(struct flow_set);
	struct reading r = { .sh = sh, .set = s, .counting = true };

	if (!s)
		return NULL;
	s->refs = 1;
	s->places[0] = sh->a->max_reads;
	s->places[1] = sh->a->max_writes;
	oarena_init(&s->arena, 0);
	each(&r, true, read_level);
	s->levels = oarena_alloc(&s->arena, (r.room + 1) * sizeof(*s->levels));
	r.counting = false;
	s->torn |= !s->levels;
	if (!s->torn)
		each(&r, true, read_level);
	r.counting = true;
	r.room = 0;
	each(&r, false, read_schema);
	s->schemas = oarena_alloc(&s->arena, (r.room + 1) * sizeof(*s->schemas));
	r.counting = false;
	s->torn |= !s->schemas;
	if (!s->torn)
		each(&r, false, read_schema);
	if (s->torn) {
		flow_set_unref(s);
		return NULL;
	}
	if (s->n_schemas)
		qsort(s->schemas, s->n_schemas, sizeof(*s->schemas), by_precedence);
	return s;
}

/* Has one changed since it was read? The cache moves with all that is written; mostly that is something else. */
static bool has_changed(struct ashard *sh, int i)
{
	struct flows *x = sh->flows;
	uint64_t rev = x->res[i] ? sh->h->resource_rev(x->res[i], NULL) : 0;
	struct orlop_change c[16];
	bool changed = false;
	int32_t n;

	if (rev == x->seen[i])
		return false;
	x->seen[i] = rev;
	if (!x->set)
		return true;
	while ((n = sh->h->journal_read(x->res[i], &x->cursor[i], c, 16)) > 0) {
		changed = true;
		for (int32_t k = 0; k < n; k++) {
			sh->h->object_unref(c[k].object);
			sh->h->object_unref(c[k].prev);
		}
	}
	return changed || n < 0;
}

struct flow_set *flow_set_now(struct ashard *sh)
{
	struct flows *x = sh->flows;
	bool same = x->set && !x->late && x->set->places[0] == sh->a->max_reads && x->set->places[1] == sh->a->max_writes;
	struct flow_set *s;

	for (int i = 0; i < 2; i++)
		same = !has_changed(sh, i) && same;
	s = same ? NULL : set_new(sh);
	x->late = !same && !s;
	if (s) {
		flow_set_unref(x->set);
		x->set = s;
	}
	return x->set;
}

int flow_shard_init(struct ashard *sh)
{
	sh->flows = OMEM_NEW(struct flows);
	if (!sh->flows)
		return -ENOMEM;
	/* what cannot be opened stays empty: requests belong nowhere then, and only the limits of all of them hold */
	(void)sh->h->resource_open(sh->h, "prioritylevelconfigurations." GROUP, &sh->flows->res[0], NULL);
	(void)sh->h->resource_open(sh->h, "flowschemas." GROUP, &sh->flows->res[1], NULL);
	return 0;
}

void flow_shard_free(struct ashard *sh)
{
	if (!sh->flows)
		return;
	flow_set_unref(sh->flows->set);
	for (int i = 0; i < 2; i++)
		if (sh->flows->res[i])
			sh->h->resource_close(sh->flows->res[i]);
	omem_free(sh->flows);
	sh->flows = NULL;
}


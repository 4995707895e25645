/*
 * flow.c - priority and fairness: to which flow schema and priority level a request belongs, and whether the level has room.
 *
 * A request keeps the schemas that it was matched against. Of the places that the shard has for reads, and of those for
 * writes, each level has its share. What of it is not lent to others is kept for it; the rest is for whoever comes, within
 * the level's limit of borrowing. Beyond that a request is refused with 429. Nobody waits in a queue: what upstream would
 * queue is refused as well. Requests that stay open (exec, logs, port-forward, proxies) are not matched, and watches take no
 * place, since their beginning does not wait.
 * Source: upstream's rule.go and apf_filter.go; test: tests/api/flow.py
 */
#include "flow.h"

#include <stdio.h>

/* ---- to which a request belongs ---- */

struct asked {
	const struct orlop_identity *who;
	const struct route *rt;
	struct orlop_bytes verb;
	struct orlop_bytes ns;
};

static bool equal(struct orlop_bytes a, struct orlop_bytes b)
{
	return ostr_eq(a.p, a.len, b.p, b.len);
}

static bool among(const struct flow_list *l, struct orlop_bytes what)
{
	if (l->all)
		return true;
	for (uint32_t i = 0; i < l->n; i++)
		if (equal(l->v[i], what))
			return true;
	return false;
}

static bool resource_among(const struct flow_list *l, struct orlop_bytes res, struct orlop_bytes sub)
{
	size_t len = res.len + (sub.len ? sub.len + 1 : 0);

	if (l->all)
		return true;
	for (uint32_t i = 0; i < l->n; i++) {
		struct orlop_bytes b = l->v[i];

		if (b.len == len && memcmp(b.p, res.p, res.len) == 0 &&
		    (!sub.len || (b.p[res.len] == '/' && memcmp(b.p + res.len + 1, sub.p, sub.len) == 0)))
			return true;
	}
	return false;
}

/* "/a/" with or without a star behind it is what begins so; "/a" is that and itself. */
static bool path_among(const struct flow_list *l, struct orlop_bytes path)
{
	if (l->all)
		return true;
	for (uint32_t i = 0; i < l->n; i++) {
		struct orlop_bytes b = l->v[i];

		if (equal(b, path) || bytes_is(b, "*"))
			return true;
		b.len -= b.len && b.p[b.len - 1] == '*';
		b.len -= b.len && b.p[b.len - 1] == '/';
		if (path.len > b.len && memcmp(path.p, b.p, b.len) == 0 && path.p[b.len] == '/')
			return true;
	}
	return false;
}

static bool is_subject(const struct flow_subject *s, const struct orlop_identity *who)
{
	if (s->all)
		return true;
	if (s->kind == FLOW_USER)
		return equal(s->text, who->user);
	if (s->kind == FLOW_ACCOUNTS)
		return who->user.len >= s->text.len && memcmp(who->user.p, s->text.p, s->text.len) == 0;
	for (uint32_t i = 0; i < who->n_groups; i++)
		if (equal(s->text, who->groups[i]))
			return true;
	return false;
}

static bool rule_matches(const struct flow_rule *r, const struct asked *q)
{
	const struct route *rt = q->rt;

	if (r->path == rt->is_resource || !among(&r->verbs, q->verb))
		return false;
	if (r->path)
		return path_among(&r->things, rt->path);
	return resource_among(&r->things, rt->resource, rt->sub) && among(&r->groups, rt->group) &&
	       (q->ns.len ? among(&r->namespaces, q->ns) : r->cluster);
}

static bool schema_matches(const struct flow_schema *s, const struct asked *q)
{
	for (uint32_t i = 0; i < s->n_rules; i++) {
		const struct flow_rules *v = &s->rules[i];
		bool who = false, what = false;

		for (uint32_t k = 0; k < v->n_subjects && !who; k++)
			who = is_subject(&v->subjects[k], q->who);
		for (uint32_t k = 0; who && k < v->n_rules && !what; k++)
			what = rule_matches(&v->rules[k], q);
		if (what)
			return true;
	}
	return false;
}

/* It stays open for as long as somebody likes. Watches do so too, but are matched. */
static bool lasts(const struct front *f)
{
	static const char *const subs[] = { "attach", "exec", "proxy", "log", "portforward" };

	for (size_t i = 0; f->rt.is_resource && f->rt.sub.len && i < sizeof(subs) / sizeof(*subs); i++)
		if (bytes_is(f->rt.sub, subs[i]))
			return true;
	return false;
}

void flow_match(struct front *f)
{
	struct flow_set *s;
	struct asked q = { .who = &f->who, .rt = &f->rt };
	struct orlop_bytes method = ohttp_method(f->req);
	char verb[16];
	size_t n = method.len < sizeof(verb) ? method.len : sizeof(verb);

	if (!f->sh->flows || lasts(f))
		return;
	s = flow_set_now(f->sh);
	for (size_t i = 0; i < n; i++)
		verb[i] = (char)(method.p[i] >= 'A' && method.p[i] <= 'Z' ? method.p[i] + 32 : method.p[i]);
	/* a namespace is in itself */
	q.ns = f->rt.name.len && !f->rt.group.len && bytes_is(f->rt.resource, "namespaces") ? f->rt.name : f->rt.ns;
	q.verb = f->rt.is_resource && f->verb ? bytes_cstr(f->verb) : (struct orlop_bytes){ verb, n };
	for (uint32_t i = 0; s && i < s->n_schemas; i++)
		if (schema_matches(&s->schemas[i], &q)) {
			f->flow = &s->schemas[i];
			f->flow_set = s;
			s->refs++;
			return;
		}
}

void flow_leave(struct front *f)
{
	flow_set_unref(f->flow_set);
	f->flow_set = NULL;
	f->flow = NULL;
}

bool flow_uids(const struct front *f, const char **ret_schema, const char **ret_level)
{
	if (!f->flow)
		return false;
	*ret_schema = f->flow->uid;
	*ret_level = f->flow->level->uid;
	return true;
}

/* ---- room ---- */

bool flow_is_exempt(const struct front *f)
{
	return (f->flow && f->flow->level->exempt) || in_group(&f->who, "system:masters");
}

bool flow_has_room(const struct front *f, bool write)
{
	const struct flow_set *s = f->flow_set;
	const struct flow_level *l = f->flow->level;
	uint64_t taken = 0;

	if (l->exempt || l->used[write] < l->promised[write])
		return true;
	if (l->used[write] >= l->most[write])
		return false;
	for (uint32_t i = 0; i < s->n_levels; i++) {
		const struct flow_level *o = s->levels[i];

		/* who is exempt takes nothing from others but what was kept for him */
		taken += (o != l && o->used[write] < o->promised[write]) || o->exempt ? o->promised[write] : o->used[write];
	}
	return taken < s->places[write];
}

static struct orlop_metric *metric(struct front *f, bool gauge, const char *name, const char *more, const char *help)
{
	struct orlop_metric *m = NULL;
	char labels[700];

	snprintf(labels, sizeof(labels), "flow_schema=\"%.*s\",priority_level=\"%s\"%s", OB(f->flow->name), f->flow->level->name, more);
	if (f->sh->h->metric_new)
		(void)f->sh->h->metric_new(f->sh->h, gauge ? ORLOP_METRIC_GAUGE : ORLOP_METRIC_COUNTER, name, labels, help, NULL, 0, &m);
	return m;
}

void flow_take(struct front *f, bool write)
{
	struct flow_schema *s = f->flow;

	if (!s)
		return;
	s->level->used[write]++;
	if (!s->dispatched) {
		s->executing = metric(f, true, "apiserver_flowcontrol_current_executing_requests", "", "Requests being answered.");
		s->dispatched = metric(f, false, "apiserver_flowcontrol_dispatched_requests_total", "", "Requests that there was room for.");
	}
	if (s->executing)
		f->sh->h->metric_add(s->executing, 1);
	if (s->dispatched)
		f->sh->h->metric_add(s->dispatched, 1);
}

void flow_give(struct front *f, bool write)
{
	if (!f->flow)
		return;
	f->flow->level->used[write]--;
	if (f->flow->executing)
		f->sh->h->metric_add(f->flow->executing, -1);
}

void flow_refused(struct front *f)
{
	struct flow_schema *s = f->flow;

	if (s && !s->rejected)
		s->rejected = metric(f, false, "apiserver_flowcontrol_rejected_requests_total", ",reason=\"concurrency-limit\"",
				     "Requests refused with 429.");
	if (s && s->rejected)
		f->sh->h->metric_add(s->rejected, 1);
}

void flow_metrics(struct ashard *sh, struct obuf *out)
{
	const struct flow_set *s = sh->flows ? flow_set_now(sh) : NULL;

	obuf_puts(out, "# HELP apiserver_flowcontrol_nominal_limit_seats Requests of a level that there is room for, with nothing lent or borrowed.\n"
		       "# TYPE apiserver_flowcontrol_nominal_limit_seats gauge\n");
	for (uint32_t i = 0; s && i < s->n_levels; i++)
		obuf_printf(out, "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"%s\"} %u\n", s->levels[i]->name, s->levels[i]->nominal);
}

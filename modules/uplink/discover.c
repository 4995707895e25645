/*
 * discover.c - what the server has: groups, versions, resources.
 *
 * /api and /apis tell the versions, each version its resources. Of a resource with several versions
 * the one of our own schema is taken if it is served, since modules write that; else the server's choice.
 * Everything is asked again every ten minutes, and when somebody asks for what is not known.
 */
#include "up.h"

#include "json/ojson.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AGAIN_NS	(600 * UP_NS_PER_S)
#define SOON_NS		(10 * UP_NS_PER_S)
#define PARALLEL	4u
#define VERSIONS_MAX	400u
#define KINDS_MAX	4000u

/* A version whose resources are to be asked for. */
struct version {
	struct olist	node;
	char		*group;
	char		*version;
	uint32_t	rank;		/* within its group */
};

struct up_disco {
	struct up	*u;
	struct omap	*kinds;
	struct olist	todo;		/* of struct version */
	struct olist	asks;		/* under way */
	uint32_t	n_versions;
	uint32_t	busy;
	uint32_t	broken;		/* versions that did not answer: an aggregated API that is away */
	int		failed;
	bool		core_asked;
};

/* One request under way. */
struct ask {
	struct olist	node;
	struct up_disco	*d;
	struct version	*v;		/* NULL: /apis */
	struct up_call	*call;
};

static void go(struct up_disco *d);

static void version_free(struct version *v)
{
	if (!v)
		return;
	olist_del(&v->node);
	omem_free(v->group);
	omem_free(v->version);
	omem_free(v);
}

static void kind_free(void *p)
{
	struct up_kind *k = p;

	if (!k)
		return;
	omem_free(k->name);
	omem_free(k->group);
	omem_free(k->version);
	omem_free(k->plural);
	omem_free(k->kind);
	omem_free(k->prefix);
	omem_free(k);
}

static void kinds_free(struct omap *m)
{
	if (!m)
		return;
	omap_done_with(m, kind_free);
	omem_free(m);
}

static void ask_free(struct ask *q)
{
	olist_del(&q->node);
	version_free(q->v);
	omem_free(q);
}

static void disco_free(struct up_disco *d)
{
	struct olist *l;

	while ((l = olist_first(&d->asks)) != NULL)
		ask_free(OLIST_ENTRY(l, struct ask, node));

	kinds_free(d->kinds);
	while ((l = olist_first(&d->todo)) != NULL)
		version_free(OLIST_ENTRY(l, struct version, node));
	d->u->disco = NULL;
	omem_free(d);
}

/* ---- what was said -------------------------------------------------------------------------------------- */

/* A name that can stand in a path and a key. */
static bool is_name(const char *p)
{
	size_t n = strlen(p);

	return n > 0 && n < 254 && strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n;
}

static bool has_verb(const struct ojson *list, const char *verb)
{
	OJSON_FOREACH_ELEM(i, v, list)
		if (ojson_string_is(v, verb))
			return true;
	return false;
}

/* Our own description by group and plural, whatever the version; *ret_same: and this version. */
static const struct oschema_resource *known(const struct oschema *s, const char *group, const char *version,
					    const char *plural, bool *ret_same)
{
	const struct oschema_resource *found = NULL;

	*ret_same = false;
	for (uint16_t i = 0; i < s->n_resources; i++) {
		const struct oschema_resource *r = &s->resources[i];

		if (strcmp(oschema_str(s, r->plural), plural) || strcmp(oschema_str(s, r->group), group))
			continue;
		if (!found)
			found = r;
		if (!strcmp(oschema_str(s, r->version), version)) {
			*ret_same = true;
			return r;
		}
	}
	return found;
}

static int add_kind(struct up_disco *d, const struct version *v, const struct ojson *r)
{
	const char *plural = ojson_get_cstr(r, "name", ""), *kind = ojson_get_cstr(r, "kind", "");
	const struct ojson *verbs = ojson_get_array(r, "verbs");
	struct up_kind *k, *old;
	bool same;

	if (strchr(plural, '/'))
		return 0;		/* a subresource */
	if (!is_name(plural) || !kind[0] || omap_count(d->kinds) >= KINDS_MAX)
		return 0;
	k = OMEM_NEW(struct up_kind);
	if (!k)
		return -ENOMEM;
	k->group = omem_strdup(v->group);
	k->version = omem_strdup(v->version);
	k->plural = omem_strdup(plural);
	k->kind = omem_strdup(kind);
	k->name = v->group[0] ? omem_printf("%s.%s", plural, v->group) : omem_strdup(plural);
	k->prefix = v->group[0] ? omem_printf("\"kind\":\"%s\",\"apiVersion\":\"%s/%s\",", kind, v->group, v->version) :
		    omem_printf("\"kind\":\"%s\",\"apiVersion\":\"%s\",", kind, v->version);
	k->namespaced = ojson_get_bool(r, "namespaced", false);
	k->listable = has_verb(verbs, "list") && has_verb(verbs, "watch");
	if (!k->group || !k->version || !k->plural || !k->kind || !k->name || !k->prefix) {
		kind_free(k);
		return -ENOMEM;
	}
	k->res = known(d->u->schema, k->group, k->version, k->plural, &same);
	k->rank = same ? 0 : v->rank + 1;
	/* the second name of an object that another resource has: events.k8s.io/events are events; old groups */
	if (k->res && strcmp(oschema_str(d->u->schema, d->u->schema->resources[k->res->stored].group), v->group))
		k->listable = false;
	if (!strcmp(v->group, "extensions"))
		k->listable = false;
	old = omap_get_cstr(d->kinds, k->name);
	if (old && old->rank <= k->rank) {
		kind_free(k);
		return 0;
	}
	if (omap_put_cstr(d->kinds, k->name, k)) {
		kind_free(k);
		return -ENOMEM;
	}
	kind_free(old);
	return 0;
}

static int add_version(struct up_disco *d, const char *group, const char *version, uint32_t rank)
{
	struct version *v;

	if ((group[0] && !is_name(group)) || !is_name(version) || d->n_versions >= VERSIONS_MAX)
		return 0;
	v = OMEM_NEW(struct version);
	if (!v)
		return -ENOMEM;
	olist_append(&d->todo, &v->node);
	v->group = omem_strdup(group);
	v->version = omem_strdup(version);
	v->rank = rank;
	d->n_versions++;
	if (v->group && v->version)
		return 0;
	version_free(v);
	return -ENOMEM;
}

/* APIGroupList */
static int add_groups(struct up_disco *d, const struct ojson *doc)
{
	int r = 0;

	OJSON_FOREACH_ELEM(i, g, ojson_get_array(doc, "groups")) {
		const char *name = ojson_get_cstr(g, "name", "");
		const char *best = ojson_get_cstr(ojson_get(g, "preferredVersion"), "version", "");
		uint32_t rank = 1;

		OJSON_FOREACH_ELEM(k, v, ojson_get_array(g, "versions")) {
			const char *version = ojson_get_cstr(v, "version", "");

			if (r == 0)
				r = add_version(d, name, version, strcmp(version, best) ? rank : 0);
			rank++;
		}
	}
	return r;
}

static int take(struct up_disco *d, const struct version *v, struct orlop_bytes body)
{
	struct ojson *doc = NULL;
	int r = ojson_parse_bytes(body, &doc, NULL);

	if (r == 0 && !ojson_is(doc, OJSON_OBJECT))
		r = -EPROTO;
	if (r == 0 && !v) {
		r = ojson_get_array(doc, "groups") ? add_groups(d, doc) : -EPROTO;
	} else if (r == 0) {
		OJSON_FOREACH_ELEM(i, e, ojson_get_array(doc, "resources"))
			if (r == 0)
				r = add_kind(d, v, e);
	}
	ojson_unref(doc);
	return r;
}

/* ---- asking --------------------------------------------------------------------------------------------- */

static void finish(struct up_disco *d)
{
	struct up *u = d->u;
	int failed = d->failed;

	if (failed == 0 && omap_count(d->kinds) == 0)
		failed = -EPROTO;
	if (failed == 0) {
		struct omap *old = u->kinds;

		u->kinds = d->kinds;
		d->kinds = old;
		u->disco_at = u->h->now_mono(u->h);
		u->disco_fails = 0;
	}
	if (failed == 0 && d->broken)
		OLOG(u->h, WARN, "discovery_partial", "versions=%u broken=%u: going on without them", d->n_versions, d->broken);
	disco_free(d);
	if (failed) {
		u->h->timer_set(u->disco_timer, up_backoff(u->h, u->disco_fails++), 0);
		return;
	}
	u->h->timer_set(u->disco_timer, AGAIN_NS, 0);
	up_discovered(u);
}

static void on_answer(void *arg, const struct up_answer *a)
{
	struct ask *q = arg;
	struct up_disco *d = q->d;
	struct up *u = d->u;
	char text[400];
	int r = 0;

	d->busy--;
	if (a->err || a->status != 200) {
		/* One group may be away (an aggregated API); core and the list of groups may not. */
		if (!q->v || !q->v->group[0] || a->err || a->status == 401)
			r = a->err ? a->err : -EACCES;
		else
			d->broken++;
	} else {
		r = take(d, q->v, a->body);
	}
	if (r && !d->failed) {
		d->failed = r;
		if (!a->err && u->disco_fails % 8 == 0)
			OLOG(u->h, WARN, "discovery_failed", "server=%s what=%s/%s why=\"%s\"", up_remote_addr(u->remote),
			     q->v ? q->v->group : "/apis", q->v ? q->v->version : "", a->status == 200 ?
			     "not an answer of a Kubernetes API server; is the address right?" : up_explain(u->remote, a, text, sizeof(text)));
	}
	ask_free(q);
	go(d);
}

static int ask(struct up_disco *d, struct version *v)
{
	struct ask *q = OMEM_NEW(struct ask);
	struct obuf path = OBUF_INIT;
	struct up_request rq = { .method = "GET", .timeout_ns = 30 * UP_NS_PER_S, .max_body = 8u << 20 };
	int r;

	if (!q) {
		version_free(v);
		return -ENOMEM;
	}
	if (!v)
		obuf_puts(&path, "/apis");
	else if (v->group[0])
		obuf_printf(&path, "/apis/%s/%s", v->group, v->version);
	else
		obuf_printf(&path, "/api/%s", v->version);
	olist_append(&d->asks, &q->node);
	q->d = d;
	q->v = v;
	rq.target = obuf_cstr(&path);
	r = obuf_err(&path) ? -ENOMEM : up_remote_send(d->u->remote, &rq, on_answer, q, &q->call);
	obuf_done(&path);
	if (r) {
		ask_free(q);
		return r;
	}
	d->busy++;
	return 0;
}

static void go(struct up_disco *d)
{
	while (!d->failed && d->busy < PARALLEL && !olist_empty(&d->todo)) {
		struct version *v = OLIST_ENTRY(olist_first(&d->todo), struct version, node);

		olist_del(&v->node);
		d->failed = ask(d, v);
	}
	if (d->busy == 0 && (d->failed || olist_empty(&d->todo)))
		finish(d);
}

void up_discover(struct up *u)
{
	struct up_disco *d;

	if (u->disco || u->stopping)
		return;
	d = OMEM_NEW(struct up_disco);
	if (d)
		d->kinds = OMEM_NEW(struct omap);
	if (!d || !d->kinds) {
		omem_free(d);
		u->h->timer_set(u->disco_timer, UP_NS_PER_S, 0);
		return;
	}
	d->u = u;
	u->disco = d;
	omap_init(d->kinds);
	olist_init(&d->todo);
	olist_init(&d->asks);
	d->failed = add_version(d, "", "v1", 0);
	if (!d->failed)
		d->failed = ask(d, NULL);
	go(d);
}

void up_discover_done(struct up *u)
{
	/* requests under way have been dropped by the remote's end without a word */
	if (u->disco)
		disco_free(u->disco);
	kinds_free(u->kinds);
	u->kinds = NULL;
}

/* ---- looking up ----------------------------------------------------------------------------------------- */

struct up_kind *up_kind_find(struct up *u, struct orlop_bytes name)
{
	return u->kinds ? omap_get(u->kinds, name.p, name.len) : NULL;
}

struct up_kind *up_kind_want(struct up *u, struct orlop_bytes name)
{
	struct up_kind *k = up_kind_find(u, name);

	if (!k && u->disco_at && u->h->now_mono(u->h) - u->disco_at > SOON_NS)
		up_discover(u);
	return k;
}

void up_path(struct obuf *b, const struct up_kind *k, struct orlop_bytes version, struct orlop_bytes ns)
{
	if (k->group[0])
		obuf_printf(b, "/apis/%s/", k->group);
	else
		obuf_puts(b, "/api/");
	if (version.len)
		up_put_escaped(b, version.p, version.len);
	else
		obuf_puts(b, k->version);
	if (ns.len && k->namespaced) {
		obuf_puts(b, "/namespaces/");
		up_put_escaped(b, ns.p, ns.len);
	}
	obuf_printf(b, "/%s", k->plural);
}

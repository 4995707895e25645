/*
 * ledger.c - what clients asked for, what they were told, and what became of it.
 *
 * Each write carries a number of its own in an annotation. So its effect is found in the history: once at
 * most whatever the client was told, and at the very revision that was acknowledged. What was refused must
 * have had none.
 */
#include "cluster.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP	"sim/op"

enum fate {
	FATE_OPEN,
	FATE_DONE,	/* acknowledged */
	FATE_REFUSED,
	FATE_UNKNOWN,
};

struct entry {
	struct ledger	*l;
	uint64_t	n;
	enum fate	fate;
	char		verb[20];
	char		resource[64];
	char		ns[64];
	char		name[80];	/* may be the beginning of one */
	char		sub[24];
	bool		marked;		/* carries its number */
	bool		generated;	/* generateName */
	uint64_t	rev;		/* acknowledged */
	uint64_t	seen_rev;	/* in history, 0: not */
	char		*seen_key;
	char		uid[48];	/* deletes: of what was acknowledged to go */
	ledger_fn	fn;
	void		*arg;
};

struct ledger {
	struct cluster	*c;
	struct entry	**v;
	uint32_t	n;
	uint32_t	cap;
	struct omap	gone;		/* uids that were acknowledged to go → entry */
	uint32_t	open_from;	/* entries before have been checked */
};

static struct ledger *of(struct cluster *c)
{
	return c->ledger;
}

static const char *what(const struct entry *e, char *buf, size_t size)
{
	static const char *const fates[] = { "open", "acknowledged", "refused", "of unknown outcome" };

	snprintf(buf, size, "request %llu (%s %s%s%s %s/%s, %s)", (unsigned long long)e->n, e->verb, e->resource,
		 *e->sub ? "/" : "", e->sub, e->ns, e->name, fates[e->fate]);
	return buf;
}

/* ---- sending ---------------------------------------------------------------------------------------------- */

static void told(struct entry *e, const struct ojson *body)
{
	struct cluster *c = e->l->c;
	const char *uid = cj_text(body, "metadata.uid");

	if (!*uid)
		uid = cj_text(body, "details.uid");
	if (!strcmp(e->verb, "delete") && *uid) {
		snprintf(e->uid, sizeof(e->uid), "%s", uid);
		(void)omap_put_cstr(&e->l->gone, e->uid, e);
	}
	(void)c;
}

static void answered(void *arg, int32_t status, uint32_t code, struct orlop_bytes body, uint64_t rev)
{
	struct entry *e = arg;
	struct ojson *j = NULL;
	char buf[300];

	if (body.len)
		(void)ojson_parse(body.p, body.len, &j, NULL);
	if (status < 0) {
		e->fate = FATE_UNKNOWN;
		sim_trace(e->l->c->w, "%s: %s", what(e, buf, sizeof(buf)), strerror(-status));
	} else if (code < 300) {
		e->fate = FATE_DONE;
		e->rev = rev;
		told(e, j);
		if (rev)
			faults_acknowledged(e->l->c);
		sim_trace(e->l->c->w, "%s: %u at %llu", what(e, buf, sizeof(buf)), code, (unsigned long long)rev);
	} else {
		/* the server may have written and then failed to say so */
		e->fate = code >= 500 || code == 408 || code == 429 ? FATE_UNKNOWN : FATE_REFUSED;
		sim_trace(e->l->c->w, "%s: %u %s", what(e, buf, sizeof(buf)), code, cj_text(j, "message"));
	}
	if ((status < 0 || code >= 500) && !e->l->c->n_hard && e->l->c->storm)
		sim_fail(e->l->c->w, "request-failed", "%s: %s: nothing was wrong that could be a reason", what(e, buf, sizeof(buf)),
			 status < 0 ? strerror(-status) : cj_text(j, "message"));
	if (e->fate == FATE_REFUSED && e->seen_rev)
		sim_fail(e->l->c->w, "refused-but-done", "%s: code %u, but in history at %llu", what(e, buf, sizeof(buf)),
			 code, (unsigned long long)e->seen_rev);
	if (e->fn)
		e->fn(e->arg, status, code, j, rev);
	ojson_unref(j);
}

void ledger_send(struct cluster *c, struct member *m, const char *verb, const char *resource, const char *ns,
		 const char *name, const char *sub, const char *type, struct ojson *take_body, ledger_fn fn, void *arg)
{
	struct ledger *l = of(c);
	struct entry *e = calloc(1, sizeof(*e));
	struct sim_request r = { .verb = verb, .resource = resource, .ns = ns, .name = name, .subresource = sub,
				 .content_type = type };
	bool reads = !strcmp(verb, "get") || !strcmp(verb, "list");
	char *text = NULL;
	char num[24];
	char buf[300];

	if (!e)
		abort();
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 256;
		l->v = realloc(l->v, l->cap * sizeof(struct entry *));
		if (!l->v)
			abort();
	}
	l->v[l->n++] = e;
	e->l = l;
	e->n = l->n;
	e->fn = fn;
	e->arg = arg;
	snprintf(e->verb, sizeof(e->verb), "%s", verb);
	snprintf(e->resource, sizeof(e->resource), "%s", resource);
	snprintf(e->ns, sizeof(e->ns), "%s", ns ? ns : "");
	snprintf(e->name, sizeof(e->name), "%s", name ? name : cj_text(take_body, "metadata.name"));
	snprintf(e->sub, sizeof(e->sub), "%s", sub ? sub : "");
	if (take_body && !sub && (!strcmp(verb, "create") || !strcmp(verb, "update") || !strcmp(verb, "patch")) &&
	    ojson_is(take_body, OJSON_OBJECT)) {
		struct ojson *meta = ojson_ensure_object(take_body, "metadata");

		if (!*e->name) {
			e->generated = true;
			snprintf(e->name, sizeof(e->name), "%s", cj_text(take_body, "metadata.generateName"));
		}
		snprintf(num, sizeof(num), "%llu", (unsigned long long)e->n);
		(void)ojson_set_cstr(ojson_ensure_object(meta, "annotations"), OP, num);
		e->marked = true;
	}
	if (take_body)
		text = ojson_text(take_body, 0, NULL);
	r.body = text;
	if (!m)
		m = cluster_api(c);
	if (!reads)
		sim_trace(c->w, "%s to %s", what(e, buf, sizeof(buf)), m->name);
	c->n_requests++;
	sim_api(c->w, m->p, &r, answered, e);
	free(text);
	ojson_unref(take_body);
}

/* ---- what history says ---------------------------------------------------------------------------------------- */

static uint64_t number_of(const struct version *v)
{
	const struct ojson *a = v && v->obj ? OJSON_AT(v->obj, "metadata", "annotations") : NULL;

	return strtoull(ojson_get_cstr(a, OP, "0"), NULL, 10);
}

static bool is_its(const struct entry *e, const struct version *v)
{
	if (strcmp(e->resource, v->resource) || strcmp(e->ns, v->ns))
		return false;
	return e->generated ? !strncmp(e->name, v->name, strlen(e->name)) : !strcmp(e->name, v->name);
}

void ledger_version(struct cluster *c, const struct version *v)
{
	struct ledger *l = of(c);
	uint64_t n = number_of(v);
	struct entry *e;
	char buf[300];

	if (v->obj && version_alive(v)) {
		e = omap_get_cstr(&l->gone, version_uid(v));
		if (e && e->rev && v->rev > e->rev)
			sim_fail(c->w, "deleted-object-lives", "%s, but at %llu %s is there as ever", what(e, buf, sizeof(buf)),
				 (unsigned long long)v->rev, v->key);
	}
	if (!n || n == number_of(v->prev) || n > l->n)
		return;
	e = l->v[n - 1];
	if (!is_its(e, v))
		return;		/* a controller copied it */
	if (e->seen_rev)
		sim_fail(c->w, "applied-twice", "%s: at %llu (%s) and %llu (%s)", what(e, buf, sizeof(buf)),
			 (unsigned long long)e->seen_rev, e->seen_key, (unsigned long long)v->rev, v->key);
	if (e->fate == FATE_REFUSED)
		sim_fail(c->w, "refused-but-done", "%s: in history at %llu", what(e, buf, sizeof(buf)),
			 (unsigned long long)v->rev);
	e->seen_rev = v->rev;
	e->seen_key = strdup(v->key);
}

static bool is_lazy(const struct entry *e)
{
	return !strcmp(e->resource, "events");
}

/* Has its revision gone to others only? */
static bool is_reused(struct cluster *c, const struct entry *e)
{
	uint32_t i = truth_find(c, e->rev);
	bool any = false;

	for (; i < truth_count(c) && truth_at(c, i)->rev == e->rev; i++) {
		any = true;
		if (is_its(e, truth_at(c, i)))
			return false;
	}
	return any;
}

/* A write that took the last finalizer away: what history has of it is that the object went. */
static bool is_removal(struct cluster *c, const struct entry *e)
{
	uint32_t i = truth_find(c, e->rev);

	for (; i < truth_count(c) && truth_at(c, i)->rev == e->rev; i++)
		if (is_its(e, truth_at(c, i)) && !truth_at(c, i)->obj)
			return true;
	return false;
}

/* Everything that was acknowledged is there; called when history has come to the end of what was said. */
void ledger_end(struct cluster *c)
{
	struct ledger *l = of(c);
	uint32_t i;
	char buf[300];

	for (i = 0; i < l->n; i++) {
		const struct entry *e = l->v[i];

		if (e->fate != FATE_DONE)
			continue;
		if (e->rev > truth_rev(c)) {
			/* what is lazy is told when it is on the disk, a moment later */
			if (!is_lazy(e))
				sim_fail(c->w, "acknowledged-lost", "%s at %llu, but history ends at %llu", what(e, buf, sizeof(buf)),
					 (unsigned long long)e->rev, (unsigned long long)truth_rev(c));
			continue;
		}
		if (e->rev && is_reused(c, e))
			sim_fail(c->w, "revision-twice", "%s at %llu, where history has something else", what(e, buf, sizeof(buf)),
				 (unsigned long long)e->rev);
		if (is_lazy(e) && c->n_hard && !e->seen_rev)
			continue;	/* it went with the power */
		if (e->marked && e->rev && e->seen_rev != e->rev && !is_removal(c, e))
			sim_fail(c->w, "acknowledged-lost", "%s at %llu, in history at %llu", what(e, buf, sizeof(buf)),
				 (unsigned long long)e->rev, (unsigned long long)e->seen_rev);
		if (e->uid[0]) {
			const struct version *v = truth_uid(c, e->uid);

			if (v && version_alive(v))
				sim_fail(c->w, "acknowledged-lost", "%s, but %s lives", what(e, buf, sizeof(buf)), v->key);
		}
	}
}

void ledger_start(struct cluster *c)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->c = c;
	omap_init(&l->gone);
	c->ledger = l;
}

void ledger_free(struct cluster *c)
{
	struct ledger *l = c->ledger;
	uint32_t i;

	if (!l)
		return;
	for (i = 0; i < l->n; i++) {
		free(l->v[i]->seen_key);
		free(l->v[i]);
	}
	free(l->v);
	omap_done(&l->gone);
	free(l);
	c->ledger = NULL;
}

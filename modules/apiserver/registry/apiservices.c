/*
 * apiservices.c - one APIService for each group version that is served here.
 *
 * Those of the built-in groups are made or put right at each start; those of custom resources follow their definitions. An
 * APIService that somebody has taken over (without our label, or with a service) is left alone.
 * Source: upstream's kube-aggregator, autoregister controller and crd registration; test: tests/api/discovery.py
 */
#include "custom.h"
#include "kinds.h"
#include "render.h"
#include "verbs.h"

#include "json/ojson.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define API_SERVICES	"apiservices.apiregistration.k8s.io"
#define LABEL		"kube-aggregator.kubernetes.io/automanaged"
#define RETRY_NS	(UINT64_C(1000) * 1000000)
#define SOON_NS		UINT64_C(1000000)
#define GATHER_NS	(UINT64_C(100) * 1000000)	/* many definitions at once are one look: each walks over them all */

struct reg_apiservices {
	struct reg_shard *sh;
	const struct reg_kind *k;
	struct orlop_resource *res;
	struct orlop_resource *crds;
	struct orlop_timer *timer;
	struct omap	wanted;		/* name → struct want */
	struct omap	defined;	/* name of a definition → struct defined */
	struct omap	right;		/* names of APIServices that were as they should be → struct right */
	uint32_t	open;		/* requests under way */
	bool		started;	/* the built-in ones were looked at */
	bool		failed;		/* it is not known what there should be */
	bool		due;		/* look() is coming */
};

struct want {
	char		*group;
	char		*version;
	uint16_t	group_priority;
	uint16_t	version_priority;
	bool		custom;
};

/* What of a definition counts here, as of a revision: what is parsed once is not parsed again for others that change. */
struct defined {
	uint64_t	rev;
	bool		seen;
	uint32_t	n;		/* versions that are served; 0 as long as it is not established */
	char		text[];		/* its group, then they, each with a NUL */
};

struct right {
	uint64_t	rev;
	bool		wanted;
	bool		seen;
};

static void want_free(void *p)
{
	struct want *w = p;

	if (!w)
		return;
	omem_free(w->group);
	omem_free(w->version);
	omem_free(w);
}

static void forget(struct reg_apiservices *a)
{
	OMAP_FOREACH(&a->wanted, e)
		want_free(e->value);
	omap_done(&a->wanted);
	omap_init(&a->wanted);
}

static void add(struct reg_apiservices *a, const char *group, const char *version, uint16_t gp, uint16_t vp, bool custom)
{
	struct want *w = OMEM_NEW(struct want);
	char name[600];
	int n = snprintf(name, sizeof(name), "%s.%s", version, group);
	void *old = NULL;

	if (!w) {
		a->failed = true;
		return;
	}
	*w = (struct want){ .group = omem_strdup(group), .version = omem_strdup(version), .group_priority = gp,
			    .version_priority = vp, .custom = custom };
	if (n < 0 || (size_t)n >= sizeof(name) || omap_get(&a->wanted, name, (size_t)n)) {
		want_free(w);
	} else if (!w->group || !w->version || omap_put(&a->wanted, name, (size_t)n, w, &old)) {
		a->failed = true;
		want_free(w);
	}
}

/* ---- what there should be --------------------------------------------------------------------------------------- */

static void want_builtin(struct reg_apiservices *a)
{
	const struct oschema *s = a->sh->rg->schema;

	for (uint16_t i = 0; i < s->n_groups; i++) {
		const struct oschema_group *g = &s->groups[i];

		if (g->served && strcmp(oschema_str(s, g->name), "apiregistration.k8s.io"))	/* what registers is not registered */
			add(a, oschema_str(s, g->name), oschema_str(s, g->version), g->priority, g->version_priority, false);
	}
}

/* NULL: no memory. */
static struct defined *defined_new(const struct ojson *crd)
{
	const struct ojson *spec = ojson_get(crd, "spec");
	cleanup_obuf struct obuf b = OBUF_INIT;
	struct defined *d;
	uint32_t n = 0;

	obuf_puts(&b, ojson_get_cstr(spec, "group", ""));
	obuf_putc(&b, '\0');
	if (crd && custom_established(crd))
		OJSON_FOREACH_ELEM(i, v, ojson_get_array(spec, "versions"))
			if (ojson_get_bool(v, "served", false)) {
				obuf_puts(&b, ojson_get_cstr(v, "name", ""));
				obuf_putc(&b, '\0');
				n++;
			}
	d = obuf_err(&b) ? NULL : omem_zalloc(sizeof(*d) + b.len);
	if (d) {
		memcpy(d->text, b.data, b.len);
		d->n = n;
	}
	return d;
}

static struct defined *defined_of(struct reg_apiservices *a, struct orlop_object *o)
{
	struct defined *d = omap_get(&a->defined, o->name.p, o->name.len);
	cleanup_ojson struct ojson *crd = NULL;
	void *old = NULL;

	if (d && d->rev == o->rev)
		return d;
	d = render_parse(a->sh->rg->crds, o->json, &crd) == -ENOMEM ? NULL : defined_new(crd);
	if (!d)
		return NULL;
	d->rev = o->rev;
	if (omap_put(&a->defined, o->name.p, o->name.len, d, &old) < 0) {
		omem_free(d);
		return NULL;
	}
	omem_free(old);
	return d;
}

static void want_custom(struct reg_apiservices *a)
{
	struct orlop_object *o;
	struct owalk w;

	if (!a->crds)
		return;
	if (owalk_open(&w, a->sh->h, a->crds, NULL)) {
		a->failed = true;
		return;
	}
	while ((o = owalk_next(&w))) {
		struct defined *d = defined_of(a, o);
		const char *version = d ? d->text : "";

		a->failed = a->failed || !d;
		for (uint32_t i = 0; d && i < d->n; i++) {
			version += strlen(version) + 1;
			add(a, d->text, version, 1000, 100, true);
		}
		if (d)
			d->seen = true;
	}
	owalk_close(&w);
	OMAP_FOREACH(&a->defined, e) {
		struct defined *d = e->value;

		if (d->seen)
			d->seen = false;
		else if (!a->failed)
			omem_free(omap_del(&a->defined, e->key, e->key_len));
	}
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void on_written(void *arg, struct reg_answer *ans)
{
	struct reg_apiservices *a = arg;

	a->open--;
	/* somebody was faster: what there is now will be looked at, or it is as it should be */
	if (!ans || (ans->code >= 400 && ans->code != 409 && ans->code != 404)) {
		OLOG(a->sh->h, WARN, "api_service", "code=%u retrying_in_s=1", ans ? ans->code : 500);
		a->started = false;
		a->sh->h->timer_set(a->timer, RETRY_NS, 0);
	}
	reg_answer_free(ans);
}

static void request(struct reg_apiservices *a, enum reg_verb verb, struct orlop_bytes name, struct orlop_bytes body)
{
	struct reg_req rq = { .verb = verb, .res = a->k->res, .name = name, .body = body, .judged = true };

	a->open++;
	reg_internal_call(a->sh, &rq, on_written, a);
}

static void make(struct reg_apiservices *a, const char *name, const struct want *w)
{
	struct obuf b = OBUF_INIT;

	obuf_printf(&b, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"" LABEL "\":\"%s\"}},\"spec\":{\"group\":\"%s\",\"version\":\"%s\","
		    "\"groupPriorityMinimum\":%u,\"versionPriority\":%u}}", name, w->custom ? "true" : "onstart", w->group, w->version,
		    w->group_priority, w->version_priority);
	request(a, REG_CREATE, RB0, (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

/* Ours, but not as it should be. */
static void mend(struct reg_apiservices *a, struct ojson *obj, const struct want *w)
{
	struct ojson *spec = ojson_new_object();
	struct obuf b = OBUF_INIT;
	int r = spec ? ojson_set_cstr(spec, "group", w->group) : -1;

	if (r == 0)
		r = ojson_set_cstr(spec, "version", w->version);
	if (r == 0)
		r = ojson_set_i64(spec, "groupPriorityMinimum", w->group_priority);
	if (r == 0)
		r = ojson_set_i64(spec, "versionPriority", w->version_priority);
	if (r == 0 && *w->group == '\0')
		ojson_del(spec, "group");
	if (r || ojson_equal(ojson_get(obj, "spec"), spec)) {
		a->failed = a->failed || r;
		ojson_unref(spec);
		return;
	}
	if (ojson_set(obj, "spec", spec) || ojson_write(obj, 0, &b))
		a->failed = true;
	else
		request(a, REG_UPDATE, ojson_get_bytes(ojson_get(obj, "metadata"), "name"), (struct orlop_bytes){ b.data, b.len });
	obuf_done(&b);
}

/* This one needs nothing until it changes, or whether there should be one. What is not remembered is looked at again. */
static void remember(struct reg_apiservices *a, const struct orlop_object *o, bool wanted)
{
	struct right *x = omap_get(&a->right, o->name.p, o->name.len);

	if (!x && (x = OMEM_NEW(struct right)) && omap_put(&a->right, o->name.p, o->name.len, x, NULL) < 0) {
		omem_free(x);
		return;
	}
	if (x)
		*x = (struct right){ .rev = o->rev, .wanted = wanted, .seen = true };
}

static void look_at(struct reg_apiservices *a, struct orlop_object *o, bool at_start)
{
	struct want *w = omap_get(&a->wanted, o->name.p, o->name.len);
	struct right *x = omap_get(&a->right, o->name.p, o->name.len);
	cleanup_ojson struct ojson *obj = NULL;
	uint32_t open = a->open;
	struct orlop_bytes how;

	if (x)
		x->seen = true;
	if (x && !at_start && x->rev == o->rev && x->wanted == (w != NULL))
		return;
	if (render_parse(a->k, o->json, &obj))
		return;
	how = ojson_bytes(OJSON_AT(obj, "metadata", "labels", LABEL));
	if ((rb_is(how, "onstart") && at_start) || rb_is(how, "true")) {
		if (w)
			mend(a, obj, w);
		else
			request(a, REG_DELETE, o->name, RB0);
	}
	if (a->open == open && !a->failed)
		remember(a, o, w != NULL);
}

static void forget_gone(struct reg_apiservices *a)
{
	OMAP_FOREACH(&a->right, e) {
		struct right *x = e->value;

		if (x->seen)
			x->seen = false;
		else
			omem_free(omap_del(&a->right, e->key, e->key_len));
	}
}

/* What there is and what there should be; each name is in one of the two or in both. */
static void compare(struct reg_apiservices *a, bool at_start)
{
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_snapshot *snap = NULL;
	struct orlop_iter *it = NULL;
	struct orlop_object *o;

	if (a->sh->h->snapshot_open(a->res, &snap)) {
		a->failed = true;
		return;
	}
	OMAP_FOREACH(&a->wanted, e) {
		struct want *w = e->value;

		if ((w->custom || at_start) && !a->sh->h->snapshot_get(snap, RB0, (struct orlop_bytes){ e->key, e->key_len }))
			make(a, e->key, w);
	}
	if (a->sh->h->iter_open(snap, &q, &it) == 0) {
		while ((o = a->sh->h->iter_next(it)))
			look_at(a, o, at_start);
		a->sh->h->iter_close(it);
		forget_gone(a);
	}
	a->sh->h->snapshot_close(snap);
}

static void look(void *arg)
{
	struct reg_apiservices *a = arg;
	bool at_start = !a->started;

	if (a->open) {		/* their answers first: they are in the cache then */
		a->sh->h->timer_set(a->timer, SOON_NS, 0);
		return;
	}
	a->due = false;
	a->started = true;
	a->failed = false;
	want_builtin(a);
	want_custom(a);
	if (!a->failed)
		compare(a, at_start);
	if (a->failed) {
		a->started = !at_start;
		a->sh->h->timer_set(a->timer, RETRY_NS, 0);
	}
	forget(a);
}

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_apiservices *a = arg;

	(void)res;
	(void)rev;
	if (!a->due)
		a->sh->h->timer_set(a->timer, GATHER_NS, 0);
	a->due = true;
}

int reg_apiservices_start(struct reg_shard *sh)
{
	const struct reg_kind *k = reg_kind_named(sh->rg, API_SERVICES);
	struct reg_apiservices *a;

	if (sh->apiservices || !k)
		return 0;
	a = OMEM_NEW(struct reg_apiservices);
	if (!a)
		return -1;
	a->sh = sh;
	a->k = k;
	omap_init(&a->wanted);
	omap_init(&a->defined);
	omap_init(&a->right);
	if (sh->h->timer_new(sh->h, look, a, &a->timer) || sh->h->resource_open(sh->h, API_SERVICES, &a->res, NULL) ||
	    (sh->rg->crds && sh->h->resource_open(sh->h, CRDS, &a->crds, NULL))) {
		reg_apiservices_free(a);
		return -1;
	}
	sh->apiservices = a;
	sh->h->resource_watch(a->res, on_note, a);
	if (a->crds)
		sh->h->resource_watch(a->crds, on_note, a);
	sh->h->timer_set(a->timer, SOON_NS, 0);
	return 0;
}

void reg_apiservices_free(struct reg_apiservices *a)
{
	if (!a)
		return;
	if (a->timer)
		a->sh->h->timer_free(a->timer);
	if (a->res)
		a->sh->h->resource_close(a->res);
	if (a->crds)
		a->sh->h->resource_close(a->crds);
	forget(a);
	omap_done(&a->wanted);
	omap_done_with(&a->defined, omem_free);
	omap_done_with(&a->right, omem_free);
	omem_free(a);
}

/*
 * crd.c - what follows a CustomResourceDefinition: accepted names, conditions, its resource in the
 * cache, and the end of its objects before its own. Shard 0 does it, one definition at a time.
 */
#include "custom.h"
#include "render.h"

#include "base/otime.h"
#include "json/ojson.h"
#include "record/orecord.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

#define FINALIZER	"customresourcecleanup.apiextensions.k8s.io"
#define RETRY_NS	(UINT64_C(200) * 1000000)

struct reg_crds {
	struct reg_shard *sh;
	struct orlop_resource *res;
	struct orlop_timer *timer;
	uint64_t	cursor;
	struct omap	pending;	/* names to look at */
	struct omap	registered;	/* names that the cache has as resources */
	struct omap	names;		/* of definitions: their accepted names */
	bool		listed;
	bool		busy;		/* a request is under way */
	bool		refused;	/* one of the deletions was */
	char		name[512];	/* of the definition at hand */
	uint32_t	left;		/* deletions under way */
};

static void work(void *arg);

static void want(struct reg_crds *c, struct orlop_bytes name)
{
	if (name.len < sizeof(c->name))
		(void)omap_put(&c->pending, name.p, name.len, c, NULL);
}

static void again(struct reg_crds *c, uint64_t after_ns)
{
	c->sh->h->timer_set(c->timer, after_ns ? after_ns : 1, 0);
}

static bool same_group(struct orlop_bytes name, struct orlop_bytes group)
{
	return name.len > group.len + 1 && name.p[name.len - group.len - 1] == '.' &&
	       !memcmp(name.p + name.len - group.len, group.p, group.len);
}

/* What is accepted for the definition at hand; NULL: nothing any more. */
static void remember(struct reg_crds *c, struct orlop_bytes name, const struct ojson *accepted)
{
	struct ojson *copy = NULL;
	void *old = NULL;

	if (accepted && ojson_copy(accepted, &copy))
		return;
	if (!copy)
		old = omap_del(&c->names, name.p, name.len);
	else if (omap_put(&c->names, name.p, name.len, copy, &old) < 0)
		old = copy;
	ojson_unref(old);
}

/* ---- what changed ---- */

static void want_all(struct reg_crds *c)
{
	struct orlop_object *o;
	struct owalk w;

	if (owalk_open(&w, c->sh->h, c->res, NULL))
		return;
	while ((o = owalk_next(&w))) {
		cleanup_ojson struct ojson *crd = NULL;

		want(c, o->name);
		if (render_parse(c->sh->rg->crds, o->json, &crd) == 0)
			remember(c, o->name, OJSON_AT(crd, "status", "acceptedNames"));
	}
	c->cursor = c->sh->h->snapshot_rev(w.snap);
	c->listed = true;
	owalk_close(&w);
}

static void read_changes(struct reg_crds *c)
{
	struct orlop_change v[32];
	int32_t n;

	if (!c->listed)
		want_all(c);
	while ((n = c->sh->h->journal_read(c->res, &c->cursor, v, 32)) > 0)
		for (int32_t i = 0; i < n; i++) {
			want(c, v[i].object->name);
			c->sh->h->object_unref(v[i].object);
			c->sh->h->object_unref(v[i].prev);
		}
	if (n < 0)
		c->listed = false;
	if (!c->listed)
		want_all(c);
}

static void on_note(void *arg, struct orlop_resource *res, uint64_t rev)
{
	struct reg_crds *c = arg;

	(void)res;
	(void)rev;
	if (!c->busy)
		again(c, 0);
}

/* ---- names ---- */

static bool in_list(const struct ojson *list, struct orlop_bytes t)
{
	OJSON_FOREACH_ELEM(i, e, list)
		if (rb_eq(ojson_bytes(e), t))
			return true;
	return false;
}

/* Is @t a resource name (plural, singular, short) that another definition of the group has accepted? */
static bool taken(const struct ojson *others, struct orlop_bytes t, bool kind)
{
	OJSON_FOREACH_ELEM(i, n, others) {
		if (kind ? rb_eq(ojson_get_bytes(n, "kind"), t) || rb_eq(ojson_get_bytes(n, "listKind"), t) :
			   rb_eq(ojson_get_bytes(n, "plural"), t) || rb_eq(ojson_get_bytes(n, "singular"), t) ||
			   in_list(ojson_get_array(n, "shortNames"), t))
			return true;
	}
	return false;
}

/* acceptedNames of the other definitions of the group, as a list. */
static struct ojson *other_names(struct reg_crds *c, struct orlop_bytes group)
{
	struct ojson *list = ojson_new_array();

	OMAP_FOREACH(&c->names, e)
		if (list && same_group((struct orlop_bytes){ e->key, e->key_len }, group) && strcmp(e->key, c->name))
			(void)ojson_append(list, ojson_ref(e->value));
	return list;
}

struct verdict {
	const char	*reason;	/* NULL: all accepted */
	char		message[400];
};

static void refuse(struct verdict *v, const char *reason, struct orlop_bytes name)
{
	v->reason = reason;	/* as upstream, the last one stays */
	snprintf(v->message, sizeof(v->message), "\"%.*s\" is already in use", OB(name));
}

static int accept_text(const struct ojson *want_names, struct ojson *accepted, const struct ojson *others, const char *key,
		       bool kind, const char *reason, struct verdict *v)
{
	struct orlop_bytes t = ojson_get_bytes(want_names, key);

	if (taken(others, t, kind)) {
		refuse(v, reason, t);
		return 0;
	}
	return t.len ? ojson_set_string(accepted, key, t.p, t.len) : 0;
}

static int accept_names(struct reg_crds *c, const struct ojson *spec, struct ojson *status, struct verdict *v)
{
	cleanup_ojson struct ojson *others = other_names(c, ojson_get_bytes(spec, "group"));
	const struct ojson *names = ojson_get(spec, "names");
	struct ojson *accepted = ojson_ensure_object(status, "acceptedNames"), *shorts = ojson_get_array(names, "shortNames");
	bool free_shorts = true;
	int r = others && accepted ? 0 : -ENOMEM;

	if (r == 0)
		r = accept_text(names, accepted, others, "plural", false, "PluralConflict", v);
	if (r == 0)
		r = accept_text(names, accepted, others, "singular", false, "SingularConflict", v);
	OJSON_FOREACH_ELEM(i, e, shorts)
		if (taken(others, ojson_bytes(e), false)) {
			refuse(v, "ShortNamesConflict", ojson_bytes(e));
			free_shorts = false;
		}
	if (r == 0 && free_shorts && shorts)
		r = ojson_set(accepted, "shortNames", ojson_ref(shorts));
	else if (free_shorts)
		ojson_del(accepted, "shortNames");
	if (r == 0)
		r = accept_text(names, accepted, others, "kind", true, "KindConflict", v);
	if (r == 0)
		r = accept_text(names, accepted, others, "listKind", true, "ListKindConflict", v);
	if (r == 0 && ojson_get(names, "categories"))
		r = ojson_set(accepted, "categories", ojson_ref(ojson_get(names, "categories")));
	else
		ojson_del(accepted, "categories");
	return r;
}

/* ---- the resource in the cache ---- */

/* Before anybody sees that @crd is established: who then makes an object of it wants to find it. 0 or -ENOMEM. */
static int register_it(struct reg_crds *c, const struct ojson *crd)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	const char *fields[ORECORD_FIELDS_MAX];
	struct orlop_resource_info info;
	const struct reg_kind *k;
	int r;

	if (!custom_established(crd) || omap_has(&c->registered, c->name, strlen(c->name)))
		return 0;
	r = custom_kind_new(c->sh, RB(c->name), crd, &k);
	if (r)
		return r == -ENOMEM ? r : 0;	/* none of ours, as it seems: not served */
	orecord_describe(k->schema, k->res, k->name, fields, &info);
	info.prefix = k->prefix.p + 1;
	r = c->sh->h->resource_register(c->sh->h, &info, &err);
	if (r)
		OLOG(c->sh->h, ERR, "custom_resource", "resource=%s error=\"%s\"", k->name, err.msg);
	else if (omap_put(&c->registered, c->name, strlen(c->name), c, NULL) < 0)
		r = -ENOMEM;	/* it is said again: who does not know that it is there would not empty it */
	orlop_error_done(&err);
	reg_kind_release(k);
	return r == -ENOMEM ? r : 0;
}

static void retire(struct reg_crds *c)
{
	const char *dot = strchr(c->name, '.');
	struct orlop_object *o;
	struct owalk w;

	remember(c, RB(c->name), NULL);
	if (omap_del(&c->registered, c->name, strlen(c->name)))
		(void)c->sh->h->resource_retire(c->sh->h, c->name);
	/* names that it had are free: whoever waits for them is looked at again */
	if (dot && owalk_open(&w, c->sh->h, c->res, NULL) == 0) {
		while ((o = owalk_next(&w)))
			if (same_group(o->name, RB(dot + 1)))
				want(c, o->name);
		owalk_close(&w);
	}
}

/* ---- writing ---- */

static void on_written(void *arg, struct reg_answer *a)
{
	struct reg_crds *c = arg;

	c->busy = false;
	if (a && a->code >= 400 && a->code != 404)
		want(c, RB(c->name));	/* somebody was faster: what there is now is looked at */
	if (a && a->code >= 400 && a->code != 404 && a->code != 409)
		OLOG(c->sh->h, WARN, "crd_status", "name=%s code=%u body=\"%.*s\"", c->name, a->code,
		     a->n_pieces ? (int)a->pieces[0].len : 0, a->n_pieces ? a->pieces[0].p : "");
	again(c, a && a->code < 400 ? 0 : RETRY_NS);
	reg_answer_free(a);
}

static void write_it(struct reg_crds *c, struct ojson *crd, const char *sub)
{
	struct reg_req rq = { .verb = REG_UPDATE, .res = c->sh->rg->crds->res, .name = RB(c->name), .sub = RB(sub) };
	struct obuf b = OBUF_INIT;

	if (ojson_write(crd, 0, &b)) {
		obuf_done(&b);
		want(c, RB(c->name));
		again(c, RETRY_NS);
		return;
	}
	rq.body = (struct orlop_bytes){ b.data, b.len };
	c->busy = true;
	reg_internal_call(c->sh, &rq, on_written, c);
	obuf_done(&b);
}

/* ---- the end ---- */

static void on_deleted(void *arg, struct reg_answer *a)
{
	struct reg_crds *c = arg;

	c->refused |= !a || (a->code >= 400 && a->code != 404);
	reg_answer_free(a);
	if (--c->left)
		return;
	c->busy = false;
	want(c, RB(c->name));
	again(c, c->refused ? RETRY_NS : 0);
}

/* Deletes what is not yet being deleted, a hundred at a time. How many objects there are, or -ENOMEM. */
static int empty(struct reg_crds *c, uint64_t *ret)
{
	const struct reg_kind *k = custom_find(c->sh, RB(c->name), RB0);
	struct orlop_resource *res = k ? reg_open(c->sh, k) : NULL;
	struct orlop_query q = { .size = sizeof(q) };
	struct orlop_snapshot *snap = NULL;
	struct orlop_iter *it = NULL;
	struct orlop_object *v[100];
	unsigned int n = 0;

	if (!res || c->sh->h->snapshot_open(res, &snap))
		return -ENOMEM;
	*ret = c->sh->h->snapshot_count(snap);
	if (c->sh->h->iter_open(snap, &q, &it) == 0) {
		while (n < 100 && (v[n] = c->sh->h->iter_next(it)))
			if (!memmem(v[n]->json.p, v[n]->json.len, "\"deletionTimestamp\":", 20)) {
				v[n] = c->sh->h->object_ref(v[n]);
				n++;
			}
		c->sh->h->iter_close(it);
	}
	c->sh->h->snapshot_close(snap);
	c->left = n + 1;
	c->busy = n > 0;
	c->refused = false;
	for (unsigned int i = 0; i < n; i++) {
		struct reg_req rq = { .verb = REG_DELETE, .res = k->res, .kind = k, .ns = v[i]->ns, .name = v[i]->name };

		reg_internal_call(c->sh, &rq, on_deleted, c);
		c->sh->h->object_unref(v[i]);
	}
	c->left--;
	if (n && c->left == 0)
		c->busy = false;
	return 0;
}

static bool drop_finalizer(struct ojson *meta)
{
	struct ojson *list = ojson_get_array(meta, "finalizers");

	for (size_t i = 0; i < ojson_count(list); i++)
		if (ojson_string_is(ojson_index(list, i), FINALIZER))
			return ojson_remove(list, i) == 0;
	return false;
}

static void finish_it(struct reg_crds *c, struct ojson *crd, const char *now)
{
	uint64_t n = 0;

	if (omap_has(&c->registered, c->name, strlen(c->name)) && empty(c, &n))
		n = 1;		/* nobody knows */
	if (n) {
		want(c, RB(c->name));
		if (!c->busy)
			again(c, RETRY_NS);
		return;
	}
	if (!drop_finalizer(ojson_get(crd, "metadata")))
		return;
	(void)custom_condition(ojson_get(crd, "status"), "Terminating", false, "InstanceDeletionCompleted",
			       "removed all instances", now);
	write_it(c, crd, "");
}

/* ---- one definition ---- */

static void look_later(struct reg_crds *c)
{
	want(c, RB(c->name));
	again(c, RETRY_NS);
}

static void look(struct reg_crds *c)
{
	cleanup_ojson struct ojson *crd = NULL;
	struct orlop_object *o = NULL;
	struct verdict v = { NULL, "" };
	struct ojson *status, *before = NULL;
	char now[OTIME_BUF];
	int r;

	if (reg_find(c->sh, c->sh->rg->crds, RB0, RB(c->name), &o))
		return;
	if (!o) {
		retire(c);
		return;
	}
	r = render_parse(c->sh->rg->crds, o->json, &crd);
	c->sh->h->object_unref(o);
	if (r)
		return;
	otime_format((int64_t)c->sh->h->now_wall(c->sh->h), now);
	if (ojson_get(ojson_get(crd, "metadata"), "deletionTimestamp")) {
		if (register_it(c, crd) == 0)
			finish_it(c, crd, now);
		else
			look_later(c);
		return;
	}
	status = ojson_ensure_object(crd, "status");
	if (!status || ojson_copy(status, &before))
		return;
	r = accept_names(c, ojson_get(crd, "spec"), status, &v);
	if (r == 0)
		r = custom_condition(status, "NamesAccepted", !v.reason, v.reason ? v.reason : "NoConflicts",
				     v.reason ? v.message : "no conflicts found", now);
	if (r >= 0 && !custom_established(crd))
		r = custom_condition(status, "Established", !v.reason, v.reason ? "NotAccepted" : "InitialNamesAccepted",
				     v.reason ? "not all names are accepted" : "the initial names have been accepted", now);
	remember(c, RB(c->name), ojson_get(status, "acceptedNames"));
	if (register_it(c, crd) < 0)
		look_later(c);
	else if (r >= 0 && !ojson_equal(before, status))
		write_it(c, crd, "status");
	ojson_unref(before);
}

static void work(void *arg)
{
	struct reg_crds *c = arg;
	unsigned int n = 0;

	if (c->busy)
		return;
	read_changes(c);
	while (!c->busy && omap_count(&c->pending) && n++ < 20) {
		uint32_t at = 0;
		struct omap_entry *e = omap_next(&c->pending, &at);

		snprintf(c->name, sizeof(c->name), "%.*s", (int)e->key_len, (const char *)e->key);
		(void)omap_del(&c->pending, c->name, strlen(c->name));
		look(c);
		if (omap_has(&c->pending, c->name, strlen(c->name)))
			return;		/* not now: the timer is set */
	}
	if (!c->busy && omap_count(&c->pending))
		again(c, 0);
}

int reg_crds_start(struct reg_shard *sh)
{
	struct reg_crds *c;
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!sh->rg->crds || sh->crds)
		return 0;
	c = OMEM_NEW(struct reg_crds);
	if (!c)
		return -ENOMEM;
	c->sh = sh;
	omap_init(&c->pending);
	omap_init(&c->registered);
	omap_init(&c->names);
	if (sh->h->timer_new(sh->h, work, c, &c->timer) < 0 || sh->h->resource_open(sh->h, CRDS, &c->res, &err)) {
		orlop_error_done(&err);
		reg_crds_free(c);
		return -ENOMEM;
	}
	sh->crds = c;
	sh->h->resource_watch(c->res, on_note, c);
	work(c);
	return 0;
}

static bool is_fed(struct reg_crds *c, struct orlop_object *o)
{
	cleanup_ojson struct ojson *crd = NULL;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct orlop_resource *res = NULL;
	int32_t synced = 0;
	char name[512];

	if (o->name.len >= sizeof(name) || render_parse(c->sh->rg->crds, o->json, &crd) || !custom_established(crd) ||
	    ojson_get(ojson_get(crd, "metadata"), "deletionTimestamp"))
		return true;
	snprintf(name, sizeof(name), "%.*s", OB(o->name));
	if (c->sh->h->resource_open(c->sh->h, name, &res, &err) == 0) {
		c->sh->h->resource_rev(res, &synced);
		c->sh->h->resource_close(res);
	}
	orlop_error_done(&err);
	return synced;
}

bool reg_crds_fed(struct reg_shard *sh)
{
	struct reg_crds *c = sh->crds;
	struct orlop_object *o;
	struct owalk w;
	bool fed = true;

	if (c && owalk_open(&w, sh->h, c->res, NULL) == 0) {
		while (fed && (o = owalk_next(&w)))
			fed = is_fed(c, o);
		owalk_close(&w);
	}
	return fed;
}

void reg_crds_free(struct reg_crds *c)
{
	if (!c)
		return;
	if (c->timer)
		c->sh->h->timer_free(c->timer);
	if (c->res)
		c->sh->h->resource_close(c->res);
	omap_done(&c->pending);
	omap_done(&c->registered);
	OMAP_FOREACH(&c->names, e)
		ojson_unref(e->value);
	omap_done(&c->names);
	omem_free(c);
}

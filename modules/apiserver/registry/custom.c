/* custom.c - finding and making the tables of custom resources, and what they do differently. */
#include "custom.h"
#include "convert.h"
#include "remotes.h"
#include "render.h"
#include "watch.h"
#include "write.h"

#include "json/ojson.h"
#include "schema/decode.h"
#include "walk/owalk.h"

#include <errno.h>
#include <string.h>

static struct reg_custom *custom_of(struct reg_shard *sh, struct orlop_bytes name, bool make)
{
	struct reg_custom *c = omap_get(&sh->customs, name.p, name.len);

	if (c || !make)
		return c;
	c = OMEM_NEW(struct reg_custom);
	if (c)
		c->name = omem_strndup(name.p, name.len);
	if (!c || !c->name || omap_put(&sh->customs, name.p, name.len, c, NULL) < 0) {
		if (c)
			omem_free(c->name);
		omem_free(c);
		return NULL;
	}
	olist_init(&c->open.watches);
	olist_append(&sh->custom_list, &c->link);
	return c;
}

static void set_unref(struct reg_set *s)
{
	if (!s || --s->refs)
		return;
	convert_share_forget(s);
	ojson_unref(s->webhook);
	ocrd_free(s->o);
	oarena_done(&s->arena);
	omem_free(s);
}

void reg_kind_hold(const struct reg_kind *k)
{
	if (k && k->set)
		k->set->refs++;
}

void reg_kind_release(const struct reg_kind *k)
{
	if (k)
		set_unref(k->set);
}

void custom_shard_free(struct reg_shard *sh)
{
	OLIST_FOREACH_SAFE(l, tmp, &sh->custom_list) {
		struct reg_custom *c = OLIST_ENTRY(l, struct reg_custom, link);

		if (c->open.res)
			sh->h->resource_close(c->open.res);
		set_unref(c->set);
		omem_free(c->name);
		omem_free(c);
	}
	omap_done(&sh->customs);
}

bool custom_note(struct reg_shard *sh, struct orlop_resource *res)
{
	OLIST_FOREACH(l, &sh->custom_list) {
		struct reg_custom *c = OLIST_ENTRY(l, struct reg_custom, link);

		if (c->open.res == res) {
			reg_open_note(sh, &c->open);
			return true;
		}
	}
	return false;
}

void custom_ended(struct reg_shard *sh)
{
	OLIST_FOREACH(l, &sh->custom_list) {
		struct reg_custom *c = OLIST_ENTRY(l, struct reg_custom, link);
		struct orlop_object *o = NULL;

		if (olist_empty(&c->open.watches) || reg_find(sh, sh->rg->crds, RB0, RB(c->name), &o))
			continue;
		if (!o)
			OLIST_FOREACH_SAFE(n, tmp, &c->open.watches)
				reg_watch_drain(OLIST_ENTRY(n, struct reg_watch, link));
		sh->h->object_unref(o);
	}
}

static bool condition_is(const struct ojson *crd, const char *type)
{
	OJSON_FOREACH_ELEM(i, e, ojson_get_array(ojson_get(crd, "status"), "conditions"))
		if (ojson_string_is(ojson_get(e, "type"), type))
			return ojson_string_is(ojson_get(e, "status"), "True");
	return false;
}

bool custom_established(const struct ojson *crd)
{
	return condition_is(crd, "Established");
}

/*
 * With a conversion webhook each version is a stored one for the engine; convert.c is between it and what is stored.
 */
static int make_kinds(struct reg_set *s)
{
	uint16_t n = s->o->schema.n_resources;
	int r = 0;

	s->kinds = oarena_zalloc(&s->arena, n * sizeof(*s->kinds));
	if (!s->kinds)
		return -ENOMEM;
	for (uint16_t i = 0; r == 0 && i < n; i++) {
		r = reg_kind_init(&s->arena, &s->o->schema, s->kinds, i);
		s->kinds[i].set = s;
		if (s->o->versions[i].storage)
			s->storage = &s->kinds[i];
		if (s->webhook)
			s->kinds[i].stored = &s->kinds[i];
		else
			s->kinds[i].reread = s->changed;
	}
	return r ? r : s->storage ? 0 : -EINVAL;
}

/* Tables of a definition; -ENOMEM, or it cannot be read. */
static int set_new(struct reg_custom *c, struct reg_shard *sh, const struct ojson *crd, uint64_t rev, struct reg_set **ret)
{
	struct reg_set *s = OMEM_NEW(struct reg_set);
	int r;

	if (!s)
		return -ENOMEM;
	oarena_init(&s->arena, 0);
	s->refs = 1;
	s->of = c;
	s->sh = sh;
	s->rev = rev;
	s->terminating = condition_is(crd, "Terminating");
	s->changed = ojson_get_i64(ojson_get(crd, "metadata"), "generation", 1) > 1;
	r = ocrd_new(sh->rg->schema, crd, false, &s->o);
	if (r == 0 && s->o->webhook)
		r = ojson_parse(s->o->webhook, strlen(s->o->webhook), &s->webhook, NULL);
	if (r == 0)
		r = make_kinds(s);
	if (r)
		set_unref(s);
	else
		*ret = s;
	return r;
}

int custom_kind_new(struct reg_shard *sh, struct orlop_bytes name, const struct ojson *crd, const struct reg_kind **ret)
{
	struct reg_custom *c = custom_of(sh, name, true);
	struct reg_set *s;
	int r = c ? set_new(c, sh, crd, 0, &s) : -ENOMEM;

	if (r == 0)
		*ret = s->storage;
	return r;
}

/* Does the cache take its objects in? What is written before that would not be read. */
static bool registered(struct reg_shard *sh, struct reg_custom *c)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (!c->open.res && sh->h->resource_open(sh->h, c->name, &c->open.res, &err))
		c->open.res = NULL;
	orlop_error_done(&err);
	return c->open.res && sh->h->resource_info(c->open.res);
}

/* The tables of what is served; a definition is from when it is established and the cache knows it. */
static struct reg_set *set_served(struct reg_custom *c, struct reg_shard *sh, const struct reg_kind *k, const struct orlop_object *o)
{
	cleanup_ojson struct ojson *crd = NULL;
	struct reg_set *s;

	if (!registered(sh, c) || render_parse(k, o->json, &crd) || !custom_established(crd))
		return NULL;
	return set_new(c, sh, crd, o->rev, &s) ? NULL : s;
}

static struct reg_set *set_of(struct reg_shard *sh, struct orlop_bytes name)
{
	const struct reg_kind *k = sh->rg->crds;
	struct orlop_object *o = NULL;
	struct reg_custom *c;

	if (!k || reg_find(sh, k, RB0, name, &o))
		return NULL;
	c = custom_of(sh, name, o != NULL);
	if (c && c->set && (!o || c->set->rev != o->rev)) {
		set_unref(c->set);
		c->set = NULL;
	}
	if (c && o && !c->set)
		c->set = set_served(c, sh, k, o);
	sh->h->object_unref(o);
	return c ? c->set : NULL;
}

const struct reg_kind *custom_find(struct reg_shard *sh, struct orlop_bytes name, struct orlop_bytes version)
{
	struct reg_set *s = set_of(sh, name);

	for (uint16_t i = 0; s && i < s->o->schema.n_resources; i++)
		if (version.len ? rb_is(version, s->kinds[i].version) && s->o->versions[i].served :
				  s->storage == &s->kinds[i])
			return &s->kinds[i];
	return NULL;
}

const struct reg_kind *reg_resolve(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version,
				   struct orlop_bytes plural, const struct oschema **ret_schema,
				   const struct oschema_resource **ret_res)
{
	const struct reg_kind *k;
	char name[512];
	int n;

	if (!group.len || !memchr(group.p, '.', group.len) || group.len + plural.len > 500)
		return NULL;
	n = snprintf(name, sizeof(name), "%.*s.%.*s", OB(plural), OB(group));
	k = custom_find(sh, (struct orlop_bytes){ name, (size_t)n }, version);
	if (!k)
		return NULL;
	reg_kind_hold(k);
	*ret_schema = k->schema;
	*ret_res = k->res;
	return k;
}

/* ---- what custom objects do differently ---- */

static int decode_meta(const struct reg_kind *k, struct ojson *meta, unsigned int flags,
		       struct oschema_texts *unknown, struct ojson **ret, struct orlop_error *err)
{
	const struct oschema_type *t = oschema_type_at(k->schema, k->res->type);
	const struct oschema_field *f = oschema_field_find(k->schema, t, "metadata", 8);
	struct oschema_texts own = { 0 };
	int r;

	r = oschema_decode(k->schema, oschema_field_type(k->schema, f), meta, flags, unknown ? &own : NULL, ret, err);
	for (uint32_t i = 0; unknown && i < own.n; i++) {
		const char *q = strchr(own.v[i], '"');

		(void)oschema_texts_add(unknown, "unknown field \"metadata.%s", q ? q + 1 : own.v[i]);
	}
	oschema_texts_done(&own);
	return r;
}

/* @take_tree is @in as the schema has it: its metadata is decoded, and kind and apiVersion are @k's. */
static int decoded(const struct reg_kind *k, const struct ojson *in, struct ojson *take_tree, unsigned int flags,
		   struct oschema_texts *unknown, struct ojson **ret, struct orlop_error *err)
{
	cleanup_ojson struct ojson *tree = take_tree, *out = ojson_new_object(), *empty = NULL, *meta = NULL;
	struct ojson *in_meta = ojson_get(in, "metadata");
	int r = out ? 0 : -ENOMEM;

	if (r == 0 && !in_meta)
		r = (in_meta = empty = ojson_new_object()) ? 0 : -ENOMEM;
	if (r == 0)
		r = decode_meta(k, in_meta, flags, unknown, &meta, err);
	if (r == 0)
		r = ojson_set_cstr(out, "kind", k->kind);
	if (r == 0)
		r = ojson_set_cstr(out, "apiVersion", k->api_version);
	if (r == 0)
		r = ojson_set(out, "metadata", TAKE(meta));
	OJSON_FOREACH(it, tree)
		if (r == 0 && strcmp(it.key, "kind") && strcmp(it.key, "apiVersion") && strcmp(it.key, "metadata"))
			r = ojson_put_n(out, it.key, it.key_len, ojson_ref(it.value));
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

int custom_decode(const struct reg_kind *k, struct ojson *in, unsigned int flags, struct oschema_texts *unknown,
		  struct ojson **ret, struct orlop_error *err)
{
	struct ojson *tree = NULL;
	int r = ocrd_take(custom_version(k)->root, in, true, "", unknown, &tree);

	return r ? r : decoded(k, in, tree, flags, unknown, ret, err);
}

int custom_prune(const struct reg_kind *k, const struct ojson *in, struct ojson **ret)
{
	struct ojson *tree = NULL;
	int r = ocrd_prune(custom_version(k)->root, in, &tree);

	return r ? r : decoded(k, in, tree, 0, NULL, ret, NULL);
}

int custom_admit(struct reg_op *op)
{
	const struct reg_set *s = op->k->set;
	const struct ocrd_version *v = custom_version(op->k);

	if (v->warning)
		reg_warn(op, "%s", v->warning);
	if (s->terminating && op->rq.verb == REG_CREATE)
		return orlop_fail(&op->err, EPERM, 405, "MethodNotAllowed",
				  "create not allowed while custom resource definition is terminating");
	return 0;
}

static void on_finding(void *arg, const char *reason, const char *field, const char *message)
{
	reg_cause(arg, reason, field, "%s", message);
}

void custom_check(struct reg_op *op, struct ojson *obj, const struct ojson *old)
{
	const struct reg_kind *k = op->k->set == op->w->k->set ? op->k : op->w->k;

	(void)ocrd_check(custom_version(k)->root, obj, old, on_finding, op);
}

/* ---- what is served ---- */

struct reg_served *reg_served_new(struct reg_shard *sh, const struct oschema **ret)
{
	struct ocrd_merge *m = ocrd_merge_new(sh->rg->schema);
	struct orlop_object *o;
	struct owalk w;

	if (!m)
		return NULL;
	if (sh->rg->crds && reg_open(sh, sh->rg->crds) && owalk_open(&w, sh->h, reg_open(sh, sh->rg->crds), NULL) == 0) {
		while ((o = owalk_next(&w))) {
			cleanup_ojson struct ojson *crd = NULL;

			if (render_parse(sh->rg->crds, o->json, &crd) == 0 && custom_established(crd))
				ocrd_merge_add(m, crd);
		}
		owalk_close(&w);
	}
	reg_remotes_merge(sh, m);
	*ret = ocrd_merge_end(m);
	if (!*ret) {
		ocrd_merge_free(m);
		return NULL;
	}
	return (struct reg_served *)m;
}

void reg_served_free(struct reg_served *s)
{
	if (s)
		ocrd_merge_free((struct ocrd_merge *)s);
}

bool reg_served_changed(struct reg_shard *sh)
{
	struct orlop_resource *res = sh->rg->crds ? reg_open(sh, sh->rg->crds) : NULL;
	struct orlop_change v[16];
	bool changed = sh->remote_known != sh->remote_generation;
	int32_t n = 0;

	sh->remote_known = sh->remote_generation;
	if (!res)
		return changed;
	while ((n = sh->h->journal_read(res, &sh->crd_cursor, v, 16)) > 0) {
		changed = true;
		for (int32_t i = 0; i < n; i++) {
			sh->h->object_unref(v[i].object);
			sh->h->object_unref(v[i].prev);
		}
	}
	if (n < 0) {
		sh->crd_cursor = sh->h->resource_rev(res, NULL);
		changed = true;
	}
	return changed;
}

/* Into @doc what @crd serves; @version NULL: in all its versions. */
static int doc_add(struct reg_shard *sh, struct ocrd_doc *doc, const struct ojson *crd, const char *version, const char *server)
{
	int r = version ? ocrd_doc_add(doc, sh->rg->schema, crd, version, server) : 0;

	if (!version)
		OJSON_FOREACH_ELEM(i, v, ojson_get_array(ojson_get(crd, "spec"), "versions"))
			if ((r == 0 || r == -ENOENT) && ojson_get_bool(v, "served", false))
				r = ocrd_doc_add(doc, sh->rg->schema, crd, ojson_get_cstr(v, "name", ""), server);
	return r == -ENOENT ? 0 : r;
}

/* The definitions of @group (empty: of all groups). */
static int docs_add(struct reg_shard *sh, struct ocrd_doc *doc, struct orlop_bytes group, const char *version, const char *server)
{
	struct orlop_object *o;
	struct owalk w;
	int r = 0;

	if (owalk_open(&w, sh->h, reg_open(sh, sh->rg->crds), NULL) == 0) {
		while (r == 0 && (o = owalk_next(&w))) {
			cleanup_ojson struct ojson *crd = NULL;

			if (group.len && (o->name.len <= group.len ||
					  memcmp(o->name.p + o->name.len - group.len, group.p, group.len) ||
					  o->name.p[o->name.len - group.len - 1] != '.'))
				continue;
			if (render_parse(sh->rg->crds, o->json, &crd) == 0 && custom_established(crd))
				r = doc_add(sh, doc, crd, version, server);
		}
		owalk_close(&w);
	}
	return r;
}

int reg_custom_openapi(struct reg_shard *sh, struct orlop_bytes group, struct orlop_bytes version, const char *server,
		       struct obuf *out)
{
	struct ocrd_doc doc = { .seen = OMAP_INIT };
	size_t was = out->len;
	char name[64];
	int r;

	if (!sh->rg->crds || !reg_open(sh, sh->rg->crds) || !group.len || version.len >= sizeof(name))
		return -ENOENT;
	snprintf(name, sizeof(name), "%.*s", OB(version));
	r = docs_add(sh, &doc, group, name, server);
	ocrd_doc_end(&doc, server, out);
	if (r == 0)
		r = obuf_err(out) ? -ENOMEM : out->len > was ? 0 : -ENOENT;
	return r;
}

int reg_custom_openapi_v2(struct reg_shard *sh, const char *server, struct obuf *paths, struct obuf *definitions)
{
	struct ocrd_doc doc = { .v2 = true, .seen = OMAP_INIT };
	int r = 0;

	if (sh->rg->crds && reg_open(sh, sh->rg->crds))
		r = docs_add(sh, &doc, (struct orlop_bytes){ NULL, 0 }, NULL, server);
	obuf_append(paths, doc.paths.data, doc.paths.len);
	obuf_append(definitions, doc.schemas.data, doc.schemas.len);
	ocrd_doc_end(&doc, server, NULL);
	return r ? r : obuf_err(paths) || obuf_err(definitions) ? -ENOMEM : 0;
}

/*
 * namespace.c - empties namespaces that are to go, then lets them go.
 *
 * Pods first, so that what they need outlives them; then everything else that is registered. What is
 * left is known from the cache; while something is, we look again every moment (nothing tells us of
 * all resources, and namespaces seldom end). At last spec.finalizers loses "kubernetes".
 * Source: upstream's pkg/controller/namespace/deletion, behaviour only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "base/otime.h"
#include "ctl/octl.h"
#include "survey.h"

#define LOOK_AGAIN	(200 * OTIME_MS)
#define LOOK_LATER	(2 * OTIME_SECOND)	/* once everything is marked and only finalizers hold it */

struct namespace {
	struct octl	c;
	struct orlop_resource *namespaces;
	struct content	content;
	struct omap	failing;	/* namespace → what the last deletes answered, text */
};

/* A deletecollection under way. */
struct sent {
	struct octl_task *t;
	char		*ns;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

/* ---- deleting ------------------------------------------------------------------------------------------ */

static void failure_add(struct namespace *n, const char *ns, const char *message)
{
	const char *have = omap_get_cstr(&n->failing, ns);
	void *old = NULL;
	char *all;

	if (have && strstr(have, message))
		return;
	all = have ? omem_printf("%.1500s, %.400s", have, message) : omem_strdup(message);
	if (!all || omap_put(&n->failing, ns, strlen(ns), all, &old))
		omem_free(all);
	omem_free(old);
}

static void emptied(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct sent *s = arg;
	struct octl *c = octl_of(s->t);
	bool failed = status < 0 || code >= 300;

	(void)rev;
	if (failed && status >= 0)
		failure_add((struct namespace *)(void *)c, s->ns, ojson_get_cstr(body, "message", "unknown"));
	octl_release(s->t, failed);
	omem_free(s->ns);
	omem_free(s);
}

static int empty(struct octl_task *t, struct orlop_bytes ns, const char *resource, const struct ojson *options)
{
	struct okube_req req = { .verb = "deletecollection", .resource = resource, .ns = ns, .body = options };
	struct sent *s = OMEM_NEW(struct sent);
	int e;

	if (!s)
		return -ENOMEM;
	s->t = t;
	s->ns = omem_strndup(ns.p, ns.len);
	if (!s->ns) {
		omem_free(s);
		return -ENOMEM;
	}
	octl_hold(t);
	e = okube_call(octl_of(t)->h, &req, emptied, s);
	if (e) {
		octl_release(t, true);
		omem_free(s->ns);
		omem_free(s);
	}
	return e;
}

/* Whatever nobody has marked yet. Pods alone, as long as there are some. */
static int contents_delete(struct octl_task *t, struct orlop_bytes ns, const struct survey *s)
{
	struct ojson *options = ojson_new_object();
	size_t i;
	int e = ojson_set_cstr(options, "kind", "DeleteOptions");

	if (!e)
		e = ojson_set_cstr(options, "apiVersion", "v1");
	if (!e)
		e = ojson_set_cstr(options, "propagationPolicy", "Background");
	for (i = 0; i < s->n && !e; i++) {
		const struct leftover *l = &s->v[i];

		if (l->alive && (!s->pods || !strcmp(l->resource, "pods")))
			e = empty(t, ns, l->resource, options);
	}
	ojson_unref(options);
	return e;
}

/* ---- status ---------------------------------------------------------------------------------------------- */

/* "pods. has 1 resource instances", as upstream's group-resource is written. */
static void remaining_text(const struct survey *s, struct obuf *b)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		obuf_printf(b, "%s%s%s has %llu resource instances", i ? ", " : "", s->v[i].resource,
			    strchr(s->v[i].resource, '.') ? "" : ".", (unsigned long long)s->v[i].n);
}

/* In the order of their names, so that the same state gives the same text. */
static void finalizers_text(const struct survey *s, struct obuf *b)
{
	const char *last = "";
	uint32_t i;

	for (i = 0; i < omap_count(&s->finalizers); i++) {
		const struct omap_entry *next = NULL;

		OMAP_FOREACH(&s->finalizers, e)
			if (strcmp(e->key, last) > 0 && (!next || strcmp(e->key, next->key) < 0))
				next = e;
		if (!next)
			break;
		obuf_printf(b, "%s%s in %llu resource instances", i ? ", " : "", next->key,
			    (unsigned long long)(uintptr_t)next->value);
		last = next->key;
	}
}

/* Conditions as upstream words them; true if one changed. */
static bool conditions_set(struct namespace *n, struct ojson *ns, const struct survey *s, const char *failure)
{
	struct ojson *list = ojson_ensure_array(ojson_ensure_object(ns, "status"), "conditions");
	int64_t now = (int64_t)n->c.h->now_wall(n->c.h);
	struct obuf left = OBUF_INIT;
	struct obuf held = OBUF_INIT;
	struct obuf message = OBUF_INIT;
	bool changed;

	changed = okube_condition_set(list, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
				      "All resources successfully discovered", now, false);
	changed |= okube_condition_set(list, "NamespaceDeletionGroupVersionParsingFailure", "False",
				       "ParsedGroupVersions", "All legacy kube types successfully parsed", now, false);
	if (failure)
		changed |= okube_condition_set(list, "NamespaceDeletionContentFailure", "True",
					       "ContentDeletionFailed", failure, now, false);
	else
		changed |= okube_condition_set(list, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
					       "All content successfully deleted, may be waiting on finalization",
					       now, false);
	remaining_text(s, &left);
	obuf_printf(&message, "Some resources are remaining: %s", obuf_cstr(&left));
	changed |= s->total ? okube_condition_set(list, "NamespaceContentRemaining", "True", "SomeResourcesRemain",
						  obuf_cstr(&message), now, false)
			    : okube_condition_set(list, "NamespaceContentRemaining", "False", "ContentRemoved",
						  "All content successfully removed", now, false);
	finalizers_text(s, &held);
	obuf_reset(&message);
	obuf_printf(&message, "Some content in the namespace has finalizers remaining: %s", obuf_cstr(&held));
	changed |= held.len ? okube_condition_set(list, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
						  obuf_cstr(&message), now, false)
			    : okube_condition_set(list, "NamespaceFinalizersRemaining", "False",
						  "ContentHasNoFinalizers",
						  "All content-preserving finalizers finished", now, false);
	obuf_done(&left);
	obuf_done(&held);
	obuf_done(&message);
	return changed;
}

static int namespace_put(struct octl_task *t, const struct ojson *ns, const char *sub)
{
	struct ojson *body = NULL;
	struct okube_req req = { .verb = "update", .resource = "namespaces", .sub = sub,
				 .name = text(okube_meta(ns, "name")) };
	int e = ojson_copy(ns, &body);

	if (!e)
		e = ojson_set_cstr(body, "kind", "Namespace");
	if (!e)
		e = ojson_set_cstr(body, "apiVersion", "v1");
	if (!e) {
		ojson_del(ojson_get(body, "metadata"), "managedFields");
		req.body = body;
		octl_send(t, &req);
	}
	ojson_unref(body);
	return e;
}

/* ---- one look ---------------------------------------------------------------------------------------------- */

static size_t ours_at(const struct ojson *finalizers)
{
	size_t i;

	for (i = 0; i < ojson_count(finalizers); i++)
		if (ojson_string_is(ojson_index(finalizers, i), "kubernetes"))
			break;
	return i;
}

static int finalize(struct octl_task *t, struct ojson *ns)
{
	struct ojson *list = ojson_get_array(ojson_get(ns, "spec"), "finalizers");

	(void)ojson_remove(list, ours_at(list));
	return namespace_put(t, ns, "finalize");
}

static int look(struct namespace *n, struct octl_task *t, struct ojson *ns, const struct survey *s)
{
	struct orlop_bytes name = ojson_get_bytes(ojson_get(ns, "metadata"), "name");
	char *failure = omap_del(&n->failing, name.p, name.len);
	bool others = ojson_count(ojson_get(ojson_get(ns, "metadata"), "finalizers")) ||
		      ojson_count(OJSON_AT(ns, "spec", "finalizers")) > 1;
	uint64_t alive = 0;
	size_t i;
	int e = 0;

	for (i = 0; i < s->n; i++)
		alive += s->v[i].alive;
	/* Nobody will see what a namespace that goes now says about itself. */
	if ((s->total || others) && conditions_set(n, ns, s, failure)) {
		e = namespace_put(t, ns, "status");
		if (!s->total)
			octl_again(t, 0);
	} else if (!s->total) {
		e = finalize(t, ns);
	}
	omem_free(failure);
	if (!e && s->total) {
		e = contents_delete(t, name, s);
		octl_again(t, alive || s->pods ? LOOK_AGAIN : LOOK_LATER);
	}
	return e;
}

static int namespace_sync(struct octl *c, struct octl_task *t, struct orlop_bytes none,
			  struct orlop_bytes name)
{
	struct namespace *n = (struct namespace *)(void *)c;
	struct ojson *ns = NULL;
	const struct ojson *finalizers;
	struct survey s;
	int e = okube_find(c->h, n->namespaces, none, name, &ns);

	if (e)
		return e == -ENOENT ? 0 : e;
	finalizers = OJSON_AT(ns, "spec", "finalizers");
	if (okube_deleting(ns) && ours_at(finalizers) < ojson_count(finalizers)) {
		if (content_synced(&n->content)) {
			e = survey_make(&n->content, name, &s);
			if (!e)
				e = look(n, t, ns, &s);
			survey_done(&s);
		} else {
			octl_again(t, LOOK_AGAIN);
		}
	}
	ojson_unref(ns);
	return e;
}

static void namespace_changed(void *arg, uint32_t type, struct orlop_object *o, struct orlop_object *prev)
{
	struct namespace *n = arg;

	(void)prev;
	if (type == ORLOP_CHANGE_DELETED)
		omem_free(omap_del(&n->failing, o->name.p, o->name.len));
	else
		octl_add(&n->c, o->ns, o->name);
}

static void namespace_fini(void *ctx)
{
	struct namespace *n = ctx;

	octl_done(&n->c);
	content_done(&n->content);
	omap_done_with(&n->failing, omem_free);
	omem_free(n);
}

static int namespace_init(const struct orlop_host *h, void **ret_ctx, struct orlop_error *err)
{
	struct namespace *n = OMEM_NEW(struct namespace);
	int e;

	if (!n)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	content_init(&n->content, h);
	omap_init(&n->failing);
	e = octl_init(&n->c, h, "namespace", NULL, namespace_sync, 4, err);
	if (!e)
		e = octl_follow(&n->c, "namespaces", namespace_changed, &n->namespaces, err);
	if (e) {
		namespace_fini(n);
		return e;
	}
	*ret_ctx = n;
	return 0;
}

ORLOP_MODULE("namespace", "controllers", "0.1",
	"needs=api\0reads=*;metadata,namespaces\0"
	"asks=*;deletecollection,namespaces/finalize;update,namespaces/status;update\0"
	"user=system:serviceaccount:kube-system:namespace-controller",
	.license = "Apache-2.0",
	.summary = "empties namespaces that are to go, then lets them go",
	.flags = ORLOP_MOD_UNLOADABLE,
	.ops = &octl_ops,
	.init = namespace_init,
	.start = octl_start,
	.stop = octl_stop,
	.fini = namespace_fini,
	.health = octl_health);

/* write.c - the requests of a sync: new sets, sizes, old sets, status; and the Events about them. */
#include "deploy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/omem.h"
#include "kube/okube.h"

/* A request under way and what its answer needs. */
struct sent {
	struct octl_task *t;
	struct orlop_resource *sets;
	struct ojson	*d;		/* a copy of ours */
	struct ojson	*rs;
	int64_t		from;
	int64_t		to;
	bool		deadline;
};

static struct orlop_bytes text(const char *cstr)
{
	return (struct orlop_bytes){ cstr, strlen(cstr) };
}

static struct sent *sent_new(struct octl_task *t, const struct rollout *r, const struct ojson *rs)
{
	struct sent *s = OMEM_NEW(struct sent);

	if (!s)
		return NULL;
	if (ojson_copy(r->d, &s->d) || ojson_copy(rs, &s->rs)) {
		ojson_unref(s->d);
		omem_free(s);
		return NULL;
	}
	s->t = t;
	s->deadline = r->spec.deadline_s < NO_LIMIT;
	octl_hold(t);
	return s;
}

/* The task goes on when all its requests have been answered. */
static void sent_free(struct sent *s, bool failed)
{
	octl_release(s->t, failed);
	ojson_unref(s->d);
	ojson_unref(s->rs);
	omem_free(s);
}

static void event(const struct sent *s, const char *type, const char *reason, const char *message)
{
	okube_event(octl_of(s->t)->events, "apps/v1", "Deployment", s->d, NULL, type, reason, "%s", message);
}

static void scaled_event(const struct sent *s)
{
	char message[400];

	snprintf(message, sizeof(message), "Scaled %s replica set %s from %lld to %lld",
		 s->to > s->from ? "up" : "down", okube_meta(s->rs, "name"), (long long)s->from,
		 (long long)s->to);
	event(s, "Normal", "ScalingReplicaSet", message);
}

/* Kind and version in front; what the server keeps itself stays out. A new tree. */
static struct ojson *whole(const struct ojson *obj, const char *kind)
{
	struct ojson *copy = NULL;

	if (ojson_copy(obj, &copy))
		return NULL;
	ojson_del(ojson_get(copy, "metadata"), "managedFields");
	if (ojson_set_cstr(copy, "kind", kind) || ojson_set_cstr(copy, "apiVersion", "apps/v1")) {
		ojson_unref(copy);
		return NULL;
	}
	return copy;
}

static int status_put(struct octl_task *t, const struct ojson *d)
{
	struct ojson *body = whole(d, "Deployment");
	struct okube_req req = { .verb = "update", .resource = "deployments.apps", .sub = "status",
				 .ns = text(okube_meta(d, "namespace")), .name = text(okube_meta(d, "name")),
				 .body = body };

	if (!body)
		return -ENOMEM;
	octl_send(t, &req);
	ojson_unref(body);
	return 0;
}

int write_status(struct octl_task *t, const struct rollout *r)
{
	if (ojson_equal(ojson_get(r->d, "status"), ojson_get(r->was, "status")) &&
	    ojson_equal(OJSON_AT(r->d, "metadata", "annotations"),
			OJSON_AT(r->was, "metadata", "annotations")))
		return 0;
	return status_put(t, r->d);
}

/* ---- the new set -------------------------------------------------------------------------------------- */

static bool has_cause(const struct ojson *status, const char *reason)
{
	OJSON_FOREACH_ELEM(i, c, OJSON_AT(status, "details", "causes")) {
		if (ojson_string_is(ojson_get(c, "reason"), reason))
			return true;
	}
	return false;
}

/*
 * The name is taken. By the set that we wanted (the cache was behind), or by another: then the
 * collision count goes into the hash of the next try.
 */
static bool name_taken(struct sent *s)
{
	const struct orlop_host *h = octl_of(s->t)->h;
	struct ojson *there = okube_get(h, s->sets, text(okube_meta(s->rs, "namespace")),
					text(okube_meta(s->rs, "name")));
	const struct ojson *owner = okube_controller_of(there);
	struct ojson *plain = template_plain(s->d);
	bool ours = owner && ojson_string_is(ojson_get(owner, "uid"), okube_meta(s->d, "uid")) && plain &&
		    template_is(plain, there);
	bool failed = !there;	/* not known yet: later */

	if (there && !ours) {
		struct ojson *st = ojson_ensure_object(s->d, "status");

		failed = ojson_set_i64(st, "collisionCount", ojson_get_i64(st, "collisionCount", 0) + 1) ||
			 status_put(s->t, s->d);
	}
	ojson_unref(plain);
	ojson_unref(there);
	octl_again(s->t, 0);
	return failed;
}

static void new_set_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body,
			   uint64_t rev)
{
	struct sent *s = arg;
	struct rollout r = { .d = s->d, .now_ns = (int64_t)octl_of(s->t)->h->now_wall(octl_of(s->t)->h) };
	char message[700];
	bool failed = false;

	(void)rev;
	if (status < 0) {
		failed = true;
	} else if (code < 300) {
		if (s->to)
			scaled_event(s);
		(void)annotation_set(s->d, REVISION, ojson_cstr(OJSON_AT(s->rs, "metadata", "annotations",
									 REVISION), "1"));
		snprintf(message, sizeof(message), "Created new replica set \"%s\"", okube_meta(s->rs, "name"));
		if (s->deadline)
			(void)condition_set(&r, "Progressing", "True", "NewReplicaSetCreated", message);
		failed = status_put(s->t, s->d) != 0;
		octl_again(s->t, 0);
	} else if (code == 409) {
		failed = name_taken(s);
	} else if (!has_cause(body, "NamespaceTerminating")) {
		snprintf(message, sizeof(message), "Failed to create new replica set \"%s\": %s",
			 okube_meta(s->rs, "name"), ojson_get_cstr(body, "message", "unknown"));
		/* Said once: a write each time would wake us each time, and make the back-off void. */
		if (s->deadline && condition_set(&r, "Progressing", "False", "ReplicaSetCreateError", message))
			(void)status_put(s->t, s->d);
		event(s, "Warning", "ReplicaSetCreateError", message);
		failed = true;
	}
	sent_free(s, failed);
}

int write_new_set(struct octl_task *t, struct orlop_resource *sets, const struct rollout *r)
{
	int64_t replicas = rollout_new_replicas(r, 0);
	struct ojson *rs = replicaset_new(r->d, &r->spec, replicas, revision_next(r));
	struct sent *s = rs ? sent_new(t, r, rs) : NULL;
	int e = s ? 0 : -ENOMEM;

	if (s) {
		s->sets = sets;
		s->to = replicas;
		e = okube_create(octl_of(t)->h, "replicasets.apps", text(okube_meta(rs, "namespace")), rs,
				 new_set_answer, s);
		if (e)
			sent_free(s, true);
	}
	ojson_unref(rs);
	return e;
}

/* ---- sets that exist ------------------------------------------------------------------------------------ */

int write_newest(struct octl_task *t, const struct rollout *r)
{
	struct ojson *rs = whole(r->newest->obj, "ReplicaSet");
	struct ojson *spec = ojson_get(rs, "spec");
	bool changed;

	if (!rs)
		return -ENOMEM;
	changed = annotations_renew(r->was, rs, revision_next(r));
	if (ojson_get_i64(spec, "minReadySeconds", 0) != r->spec.min_ready_s) {
		(void)ojson_set_i64(spec, "minReadySeconds", r->spec.min_ready_s);
		changed = true;
	}
	if (changed) {
		struct okube_req req = { .verb = "update", .resource = "replicasets.apps", .body = rs,
					 .ns = text(okube_meta(rs, "namespace")),
					 .name = text(okube_meta(rs, "name")) };

		octl_send(t, &req);
	}
	ojson_unref(rs);
	return changed;
}

static void size_answer(void *arg, int32_t status, uint32_t code, const struct ojson *body, uint64_t rev)
{
	struct sent *s = arg;
	bool good = status >= 0 && code < 300;

	(void)body;
	(void)rev;
	if (good && s->to != s->from)
		scaled_event(s);
	sent_free(s, !good);
}

static int size_send(struct octl_task *t, const struct rollout *r, const struct rset *set,
		     const struct ojson *rs)
{
	struct sent *s = sent_new(t, r, rs);
	int e;

	if (!s)
		return -ENOMEM;
	s->from = set->had;
	s->to = set->want;
	e = okube_update(octl_of(t)->h, "replicasets.apps", NULL, rs, size_answer, s);
	if (e)
		sent_free(s, true);
	return e;
}

int write_sizes(struct octl_task *t, const struct rollout *r)
{
	size_t i;
	int e = 0;

	for (i = 0; i < r->n && !e; i++) {
		const struct rset *set = &r->v[i];
		struct ojson *rs;
		bool changed;

		if (set->want == set->had && !set->annotate)
			continue;
		rs = whole(set->obj, "ReplicaSet");
		if (!rs)
			return -ENOMEM;
		changed = annotations_size(rs, &r->spec) || set->want != set->had;
		(void)ojson_set_i64(ojson_get(rs, "spec"), "replicas", set->want);
		if (changed)
			e = size_send(t, r, set, rs);
		ojson_unref(rs);
	}
	return e;
}

/* ---- history ---------------------------------------------------------------------------------------------- */

static int by_revision(const void *a, const void *b)
{
	const struct rset *x = *(const struct rset *const *)a;
	const struct rset *y = *(const struct rset *const *)b;
	int64_t p = revision_of(x->obj);
	int64_t q = revision_of(y->obj);

	return p != q ? (p < q ? -1 : 1) : (x < y ? -1 : x > y);
}

/* Empty, and its controller knows. */
static bool is_idle(const struct rset *s)
{
	return !s->actual && !s->had &&
	       ojson_get_i64(ojson_get(s->obj, "metadata"), "generation", 0) <=
		       ojson_get_i64(ojson_get(s->obj, "status"), "observedGeneration", 0);
}

int write_history(struct octl_task *t, const struct rollout *r)
{
	const struct rset **old;
	size_t n = 0;
	size_t i;
	int e = 0;

	if (r->spec.history >= NO_LIMIT || (int64_t)r->n <= r->spec.history)
		return 0;
	old = omem_zalloc_array(r->n, sizeof(*old));
	if (!old)
		return -ENOMEM;
	for (i = 0; i < r->n; i++)
		if (&r->v[i] != r->newest && !okube_deleting(r->v[i].obj))
			old[n++] = &r->v[i];
	qsort(old, n, sizeof(*old), by_revision);
	for (i = 0; (int64_t)i < (int64_t)n - r->spec.history && !e; i++) {
		const struct ojson *rs = old[i]->obj;

		if (!is_idle(old[i]))
			continue;
		octl_hold(t);
		e = okube_delete(octl_of(t)->h, "replicasets.apps", text(okube_meta(rs, "namespace")),
				 text(okube_meta(rs, "name")), text(okube_meta(rs, "uid")), NULL, -1,
				 octl_answer, t);
		if (e)
			octl_release(t, true);
	}
	omem_free(old);
	return e;
}

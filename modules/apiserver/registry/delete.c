/*
 * delete.c - DELETE: grace, finalizers, propagation; at once or step by step.
 *
 * The object goes at once if nothing asks for time; else it is marked (deletionTimestamp) and stays
 * until the kubelet, its finalizers' owners or the garbage collector are done.
 * Source: apiserver's registry/rest/delete.go and registry/generic/registry/store.go.
 */
#include "render.h"
#include "verbs.h"
#include "write.h"

#include "base/otime.h"
#include "json/ojson.h"

#include <errno.h>
#include <string.h>

static int check_preconditions(struct reg_op *op, const struct ojson *meta)
{
	const struct reg_opts *o = &op->opt;
	struct orlop_bytes uid = ojson_get_bytes(meta, "uid");
	char rv[24];

	if (o->pre_uid.len && !rb_eq(o->pre_uid, uid))
		return reg_conflict_sub(op, op->k->kind, op->w->name, "the UID in the precondition (%.*s) does not match the UID in record (%.*s). The object might have been deleted and then recreated",
				    OB(o->pre_uid), OB(uid));
	snprintf(rv, sizeof(rv), "%llu", (unsigned long long)op->w->base_rev);
	if (o->pre_rv.len && !rb_is(o->pre_rv, rv))
		return reg_conflict_sub(op, op->k->kind, op->w->name, "the ResourceVersion in the precondition (%.*s) does not match the ResourceVersion in record (%s). The object might have been modified",
				    OB(o->pre_rv), rv);
	return 0;
}

static bool has_finalizer(const struct ojson *list, const char *name)
{
	OJSON_FOREACH_ELEM(i, f, list)
		if (ojson_string_is(f, name))
			return true;
	return false;
}

/* Add or take away orphan and foregroundDeletion as the propagation asks; 1 if that is a change. */
static int set_propagation(struct reg_op *op, struct ojson *meta)
{
	const struct oschema_resource *res = op->w->k->res;
	struct ojson *old = ojson_get_array(meta, "finalizers"), *list;
	bool orphan = false, foreground = false, was_o, was_f;
	int r = 0;

	if (res->flags & OSCHEMA_S_NO_GC)
		return 0;
	was_o = has_finalizer(old, "orphan");
	was_f = has_finalizer(old, "foregroundDeletion");
	switch (op->opt.propagation) {
	case REG_PROPAGATE_ORPHAN:
		orphan = true;
		break;
	case REG_PROPAGATE_FOREGROUND:
		foreground = true;
		break;
	case REG_PROPAGATE_BACKGROUND:
		break;
	case REG_PROPAGATE_DEFAULT:
		foreground = was_f;
		orphan = was_o || (!was_f && (res->flags & OSCHEMA_S_ORPHAN));
		break;
	}
	if (orphan == was_o && foreground == was_f)
		return 0;
	list = ojson_new_array();
	if (!list)
		return -ENOMEM;
	OJSON_FOREACH_ELEM(i, f, old)
		if (r == 0 && !ojson_string_is(f, "orphan") && !ojson_string_is(f, "foregroundDeletion"))
			r = ojson_append(list, ojson_ref(f));
	if (r == 0 && orphan)
		r = ojson_append_cstr(list, "orphan");
	if (r == 0 && foreground)
		r = ojson_append_cstr(list, "foregroundDeletion");
	if (r || ojson_count(list) == 0) {
		ojson_del(meta, "finalizers");
		ojson_unref(list);
		return r ? r : 1;
	}
	r = ojson_set(meta, "finalizers", list);
	reg_dirty(op);
	return r ? r : 1;
}

/* Set deletionTimestamp to now + @grace_s; counts for the generation once. */
static int mark(struct reg_op *op, struct ojson *meta, int64_t at_ns, int64_t grace_s, bool first)
{
	bool own_way = op->w->k == op->sh->rg->crds;	/* upstream writes their time of deletion elsewhere */
	char when[OTIME_BUF];
	int64_t gen = ojson_get_i64(meta, "generation", 0);
	int r;

	otime_format(at_ns, when);
	r = ojson_set_cstr(meta, "deletionTimestamp", when);
	if (r == 0 && !own_way)
		r = ojson_set_i64(meta, "deletionGracePeriodSeconds", grace_s);
	if (r == 0 && first && gen > 0 && !own_way)
		r = ojson_set_i64(meta, "generation", gen + 1);
	reg_dirty(op);
	return r;
}

/* How long a pod is given; nothing to wait for gives 0. */
static int64_t pod_grace(const struct reg_op *op, const struct ojson *pod)
{
	const struct ojson *spec = ojson_get(pod, "spec");
	struct orlop_bytes phase = ojson_get_bytes(ojson_get(pod, "status"), "phase");
	int64_t grace = op->opt.has_grace ? op->opt.grace_s :
			ojson_get_i64(spec, "terminationGracePeriodSeconds", 0);

	if (ojson_get_bytes(spec, "nodeName").len == 0 || rb_is(phase, "Succeeded") ||
	    rb_is(phase, "Failed"))
		return 0;
	return grace < 0 ? 1 : grace;
}

/*
 * Graceful kinds: 1 the object was marked anew, 0 not graceful, -EALREADY nothing to do: it is on
 * its way and may only be hurried up.
 */
static int graceful(struct reg_op *op, struct ojson *meta, int64_t *ret_grace)
{
	struct write *w = op->w;
	struct orlop_bytes ts = ojson_get_bytes(meta, "deletionTimestamp");
	int64_t now = (int64_t)op->sh->h->now_wall(op->sh->h), old, at;
	int r;

	*ret_grace = 0;
	if (w->k != op->sh->rg->pods)
		return 0;
	if (ts.len) {
		if (!ojson_get(meta, "deletionGracePeriodSeconds"))
			return 0;
		old = ojson_get_i64(meta, "deletionGracePeriodSeconds", 0);
		if (!op->opt.has_grace || op->opt.grace_s >= old) {
			*ret_grace = old;
			return -EALREADY;
		}
		if (otime_parse(ts.p, ts.len, &at))
			at = now;
		*ret_grace = op->opt.grace_s;
		r = mark(op, meta, at - old * OTIME_SECOND + op->opt.grace_s * OTIME_SECOND,
			 op->opt.grace_s, false);
		return r ? r : 1;
	}
	*ret_grace = pod_grace(op, w->obj);
	r = mark(op, meta, now + *ret_grace * OTIME_SECOND, *ret_grace, true);
	return r ? r : 1;
}

/* The namespace is asked to empty itself first. */
static int make_namespace(struct reg_op *op, struct ojson *meta)
{
	struct write *w = op->w;
	struct ojson *status;
	int r;

	if (!ojson_get(meta, "deletionTimestamp")) {
		char when[OTIME_BUF];

		r = set_propagation(op, meta);
		if (r < 0)
			return r;
		otime_format((int64_t)op->sh->h->now_wall(op->sh->h), when);
		r = ojson_set_cstr(meta, "deletionTimestamp", when);
		status = ojson_ensure_object(w->obj, "status");
		if (r == 0)
			r = status ? ojson_set_cstr(status, "phase", "Terminating") : -ENOMEM;
		reg_dirty(op);
		if (r)
			return r;
	}
	if (ojson_count(ojson_get_array(ojson_get(w->obj, "spec"), "finalizers")) == 0 &&
	    ojson_count(ojson_get_array(meta, "finalizers")) == 0)
		w->action = WRITE_REMOVE;
	return 0;
}

static int make_delete(struct reg_op *op)
{
	const struct reg_behaviour *bh = op->w->k->behaviour;
	struct write *w = op->w;
	struct ojson *meta;
	int64_t grace;
	bool pending;
	int r, g;

	r = ojson_copy(w->old, &w->obj);
	if (r)
		return reg_failed(op, r, NULL);
	meta = ojson_get(w->obj, "metadata");
	r = check_preconditions(op, meta);
	if (r == 0 && bh && bh->deleting)
		r = bh->deleting(op, w->old);
	if (r)
		return r;
	w->no_managed = true;
	w->answer = WRITE_ANSWER_OBJECT;
	if (w->k == op->sh->rg->namespaces) {
		r = make_namespace(op, meta);
		return r ? reg_failed(op, r, NULL) : 0;
	}
	g = graceful(op, meta, &grace);
	if (g == -EALREADY) {
		w->action = WRITE_NOTHING;
		return 0;
	}
	if (g < 0)
		return reg_failed(op, g, NULL);
	r = set_propagation(op, meta);
	if (r < 0)
		return reg_failed(op, r, NULL);
	pending = ojson_count(ojson_get_array(meta, "finalizers")) > 0;
	if (!pending && grace == 0) {
		w->action = WRITE_REMOVE;
		if (!(w->k->res->flags & OSCHEMA_S_DELETED_BODY))
			w->answer = WRITE_ANSWER_STATUS;
		return 0;
	}
	if (!g) {	/* only finalizers keep it */
		if (!ojson_get(meta, "deletionTimestamp"))
			r = mark(op, meta, (int64_t)op->sh->h->now_wall(op->sh->h), 0, true);
		else if (!ojson_get(meta, "deletionGracePeriodSeconds"))
			r = mark(op, meta, (int64_t)op->sh->h->now_wall(op->sh->h), 0, false);
		if (r < 0)
			return reg_failed(op, r, NULL);
	}
	return 0;
}

void reg_do_delete(struct reg_op *op)
{
	int r = reg_opts_delete_body(op);

	if (r == 0)
		r = write_new(op, op->k, op->rq.ns, op->rq.name, make_delete);
	if (r)
		reg_finish(op, r);
	else
		write_run(op);
}

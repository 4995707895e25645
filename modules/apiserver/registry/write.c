/* write.c - the way of every write: base, decision, transaction, cache, answer. */
#include "convert.h"
#include "custom.h"
#include "write.h"
#include "render.h"
#include "verbs.h"
#include "../admission/admission.h"

#include "base/otime.h"
#include "json/ojson.h"
#include "patch/omanaged.h"
#include "record/orecord.h"
#include "schema/decode.h"
#include "schema/validate.h"

#include <errno.h>
#include <string.h>

#define CACHE_WAIT_NS	(UINT64_C(10) * 1000000000)

const char *reg_now(struct reg_op *op)
{
	char *buf = oarena_alloc(&op->arena, OTIME_BUF);

	if (!buf)
		return "1970-01-01T00:00:00Z";
	otime_format((int64_t)op->sh->h->now_wall(op->sh->h), buf);
	return buf;
}

int write_new(struct reg_op *op, const struct reg_kind *k, struct orlop_bytes ns,
	      struct orlop_bytes name, int (*make)(struct reg_op *op))
{
	struct write *w = oarena_zalloc(&op->arena, sizeof(*w));

	if (!w)
		return reg_failed(op, -ENOMEM, NULL);
	w->k = k->stored;
	w->ns = ns;
	w->name = name;
	w->make = make;
	w->max_tries = 6;
	w->code = 200;
	op->w = w;
	return 0;
}

static void drop_attempt(struct write *w)
{
	ojson_unref(w->obj);
	w->obj = NULL;
	ojson_unref(w->out);
	w->out = NULL;
	ojson_unref(w->mf_requested);
	w->mf_requested = NULL;
	obuf_reset(&w->record);
	obuf_reset(&w->managed);
	w->dirty = false;
	w->managed_done = false;
	w->action = WRITE_PUT;
}

void write_free(struct reg_op *op)
{
	struct write *w = op->w;

	if (!w)
		return;
	drop_attempt(w);
	ojson_unref(w->old);
	ojson_unref(w->hook_obj);
	obuf_done(&w->record);
	obuf_done(&w->managed);
	obuf_done(&w->base_buf);
	op->sh->h->object_unref(w->base_obj);
	op->w = NULL;
}

/* ---- the base ---- */

static int base_parse(struct reg_op *op)
{
	struct write *w = op->w;
	int r;

	ojson_unref(w->old);
	w->old = NULL;
	w->converted = false;
	if (w->base_rev == 0)
		return 0;
	r = render_parse(w->k, w->base_json, &w->old);
	if (r == 0 && !ojson_is(w->old, OJSON_OBJECT))
		r = -EINVAL;
	if (r)
		return reg_internal(op, "stored %s \"%.*s\" cannot be read (%d)", w->k->name,
				    OB(w->name), -r);
	return 0;
}

/* The object as the storage has it, after a lost race or a look past the cache. */
static int base_from_item(struct reg_op *op, uint64_t rev, struct orlop_bytes item)
{
	struct write *w = op->w;
	struct reg_stored st;

	op->sh->h->object_unref(w->base_obj);
	w->base_obj = NULL;
	obuf_reset(&w->base_buf);
	w->base_rev = 0;
	w->base_json = RB0;
	if (rev == 0)
		return base_parse(op);
	if (reg_record_parse(item, rev, &st))
		return reg_internal(op, "stored %s \"%.*s\" is no record", w->k->name, OB(w->name));
	reg_stored_put(&st, &w->base_buf);
	if (obuf_err(&w->base_buf))
		return reg_failed(op, -ENOMEM, NULL);
	w->base_rev = rev;
	w->base_json = (struct orlop_bytes){ w->base_buf.data, w->base_buf.len };
	w->base_version = RB(rb_dup(&op->arena, convert_version_stored(&st)));
	return base_parse(op);
}

static int base_from_cache(struct reg_op *op)
{
	struct write *w = op->w;
	int r = reg_find(op->sh, w->k, w->ns, w->name, &w->base_obj);

	if (r)
		return reg_failed(op, r, NULL);
	if (w->base_obj) {
		w->base_rev = w->base_obj->rev;
		w->base_json = w->base_obj->json;
		w->base_version = convert_version(w->base_obj);
	}
	return 0;
}

/* ---- commit ---- */

static void attempt(struct reg_op *op);
static void commit(struct reg_op *op);

static void finish(struct reg_op *op)
{
	struct write *w = op->w;

	switch (w->answer) {
	case WRITE_ANSWER_CUSTOM:
		w->finish(op);
		return;
	case WRITE_ANSWER_STATUS:
		op->ans.rev = w->stored.rev;
		reg_finish_deleted(op, w->name, ojson_get_bytes(ojson_get(w->old, "metadata"), "uid"));
		return;
	case WRITE_ANSWER_OBJECT:
		break;
	}
	op->version = w->action == WRITE_NOTHING ? w->base_version : RB((w->out ? w->k->set->storage : w->k)->version);
	if (w->action == WRITE_NOTHING) {
		op->ans.rev = w->base_rev;
		reg_finish_object(op, w->code, op->k, w->base_json, w->base_rev);
	} else {
		reg_finish_stored(op, w->code, op->k, &w->stored);
	}
}

static void on_waited(void *arg, int32_t status)
{
	struct reg_op *op = arg;

	/* durable in any case; a feeder that is late by seconds has its own alarm; who reads waits for it */
	if (status < 0) {
		OLOG(op->sh->h, WARN, "cache_late", "resource=%s rev=%llu", op->w->k->name,
		     (unsigned long long)op->w->stored.rev);
		reg_lazy_wrote(op->sh, op->w->k, op->w->stored.rev);
	}
	finish(op);
}

static bool is_lazy(const struct reg_op *op)
{
	const struct write *w = op->w;

	if (!(w->k->res->flags & OSCHEMA_S_LAZY))
		return false;
	return w->k != op->sh->rg->leases || rb_is(w->ns, "kube-node-lease");
}

static void committed(struct reg_op *op, int r, const struct reg_txn_result *res, bool quota)
{
	struct write *w = op->w;
	struct orlop_resource *rs;

	if (r == 0 && quota) {
		/* each time somebody else was charged, so this ends */
		if (++w->private_tries > 1000)
			reg_finish(op, reg_conflict(op, w->name, "the quotas of namespace %.*s change too fast; please try again", OB(w->ns)));
		else
			attempt(op);
		return;
	}
	if (r) {
		reg_finish(op, r);
		return;
	}
	if (res->ok && op->opt.dry_run) {
		finish(op);
		return;
	}
	if (res->ok) {
		w->stored.rev = res->rev;
		rs = reg_open(op->sh, w->k);
		if (is_lazy(op) && w->action == WRITE_PUT) {
			reg_lazy_wrote(op->sh, w->k, res->rev);
			finish(op);
			return;
		}
		if (!rs || op->sh->h->cache_wait(rs, res->rev, CACHE_WAIT_NS, on_waited, op)) {
			reg_lazy_wrote(op->sh, w->k, res->rev);
			finish(op);
		}
		return;
	}
	/* The object's own key is compared first; another one is private: an address, a port. */
	w->last_failed = res->failed;
	if (res->failed > 0) {
		if (++w->private_tries > 100) {
			reg_finish(op, reg_internal(op, "no free address or port was found in 100 tries"));
			return;
		}
		attempt(op);
		return;
	}
	if (++w->tries >= (w->generated ? 8 : w->max_tries)) {
		if (w->base_rev == 0)
			r = reg_exists(op, w->name);
		else
			r = reg_conflict(op, w->name, "the object has been modified; please apply your changes to the latest version and try again");
		reg_finish(op, r);
		return;
	}
	if (w->generated) {
		w->name = RB0;		/* taken: another name */
	} else {
		if (op->rq.verb == REG_CREATE && w->create_only) {
			reg_finish(op, reg_exists(op, w->name));
			return;
		}
		r = base_from_item(op, res->item_rev, res->item);
		if (r) {
			reg_finish(op, r);
			return;
		}
	}
	attempt(op);
}

static void on_committed(struct reg_op *op, int r, const struct reg_txn_result *res)
{
	struct reg_shard *sh = op->sh;
	bool held = op->w->quota_gate != NULL, quota;
	char ns[256];

	if (!held) {
		committed(op, r, res, false);
		return;
	}
	snprintf(ns, sizeof(ns), "%.*s", OB(op->w->ns));	/* the op may end here */
	quota = admission_quota_done(op, r ? NULL : res);
	committed(op, r, res, quota);
	admission_quota_next(sh, RB(ns));
}

/* Does the new object differ from the base in nothing but the times of its entries? That is no change. */
static bool only_times(const struct write *w)
{
	struct ojson *was = NULL, *is = NULL, *meta = ojson_get(w->old, "metadata");
	struct ojson *entries = ojson_ref(ojson_get(meta, "managedFields"));
	bool same = w->managed.len && ojson_parse(w->managed.data, w->managed.len, &is, NULL) == 0 &&
		    omanaged_same_but_time(entries, is) && ojson_copy(w->old, &was) == 0;

	if (same) {
		meta = ojson_get(was, "metadata");
		ojson_del(was, "kind");
		ojson_del(was, "apiVersion");
		ojson_del(meta, "resourceVersion");
		ojson_del(meta, "managedFields");
		same = ojson_equal(was, w->obj);
	}
	ojson_unref(was);
	ojson_unref(is);
	ojson_unref(entries);
	return same;
}

/* Text of w->obj as stored, and whether that is a change at all. */
static int encode(struct reg_op *op)
{
	struct write *w = op->w;
	struct ojson *obj = w->out ? w->out : w->obj, *meta = ojson_get(obj, "metadata");
	const struct reg_kind *k = w->out ? w->k->set->storage : w->k;
	struct obuf text = OBUF_INIT;
	char rv[48];
	size_t json_at, n;
	uint32_t rv_off;
	int r;

	ojson_del(obj, "kind");
	ojson_del(obj, "apiVersion");
	ojson_del(meta, "resourceVersion");
	ojson_del(meta, "managedFields");
	r = ojson_write(obj, 0, &text);
	if (r == 0)
		r = orecord_put(op->k->schema, k->res, obj, (struct orlop_bytes){ text.data, text.len },
				   (struct orlop_bytes){ w->managed.data, w->managed.len }, &w->record,
				   &json_at, &rv_off);
	obuf_done(&text);
	if (r)
		return reg_failed(op, r, NULL);
	if (w->record.len > (3u << 20))
		return reg_failed(op, -E2BIG, NULL);
	w->stored.json = (struct orlop_bytes){ w->record.data + json_at, w->record.len - json_at };
	w->stored.rv_off = rv_off;
	w->stored.rev = w->base_rev;
	if (w->base_rev == 0 || w->action != WRITE_PUT)
		return 0;
	if (w->base_version.len && !rb_is(w->base_version, k->version))
		return 0;	/* written anew in another version */
	n = (size_t)snprintf(rv, sizeof(rv), "\"resourceVersion\":\"%llu\",", (unsigned long long)w->base_rev);
	if (w->base_json.len == w->stored.json.len + n &&
	    !memcmp(w->base_json.p, w->stored.json.p, rv_off) &&
	    !memcmp(w->base_json.p + rv_off, rv, n) &&
	    !memcmp(w->base_json.p + rv_off + n, w->stored.json.p + rv_off, w->stored.json.len - rv_off))
		w->action = WRITE_NOTHING;
	else if (op->rq.patch == REG_PATCH_APPLY && only_times(w))
		w->action = WRITE_NOTHING;
	return 0;
}

static int build_txn(struct reg_op *op, struct reg_txn *t)
{
	const struct reg_behaviour *bh = op->w->k->behaviour;
	struct write *w = op->w;
	int r = 0;

	w->key = reg_key(&op->arena, w->k, w->ns, w->name);
	if (!w->key.p)
		return reg_failed(op, -ENOMEM, NULL);
	if (w->key.len > ORLOP_STORAGE_KEY_MAX)
		return reg_failed(op, -E2BIG, NULL);
	t->n_cmp = t->n_put = t->flags = 0;
	t->err = 0;
	reg_txn_compare(t, w->key, w->base_rev);
	if (is_lazy(op) && w->action == WRITE_PUT)
		t->flags |= ORLOP_TXN_LAZY;
	if (bh && bh->commit)
		r = bh->commit(op, t, w->action == WRITE_REMOVE ? NULL : w->obj, w->old);
	return r;
}

/* The webhooks have answered. */
static void hooked(struct reg_op *op, int r)
{
	if (r)
		reg_finish(op, r);
	else
		attempt(op);
}

static void judged(struct reg_op *op, int r)
{
	if (r)
		reg_finish(op, r);
	else
		commit(op);
}

/* The object as it shall be stored. */
static void on_out(struct reg_op *op, struct ojson *obj)
{
	op->w->out = ojson_ref(obj);
	write_commit(op);
}

/* It is decided: on to the storage, in its version. */
static void commit(struct reg_op *op)
{
	struct write *w = op->w;

	if (convert_hooked(w->k) && w->k != w->k->set->storage && w->action == WRITE_PUT)
		convert_one_tree(op, w->k->set->storage, w->obj, on_out);
	else
		write_commit(op);
}

static void on_base(struct reg_op *op, struct ojson *obj)
{
	struct write *w = op->w;

	ojson_unref(w->old);
	w->old = ojson_ref(obj);
	w->converted = true;
	attempt(op);
}

/* Decide, encode, send: one try. */
static void attempt(struct reg_op *op)
{
	struct write *w = op->w;
	int r;

	drop_attempt(w);
	if (w->old && !w->converted && convert_hooked(w->k) && !convert_plain(w->k, w->base_version)) {
		convert_one(op, w->k, w->base_json, w->base_version, on_base);
		return;
	}
	if (w->base_rev == 0 && !w->may_create) {
		reg_finish(op, reg_not_found(op, w->name));
		return;
	}
	r = w->make(op);
	if (r == 0 && scale_asks(op)) {
		scale_ask(op, attempt);
		return;
	}
	if (r == -EINPROGRESS) {
		admission_hooks_run(op, hooked);
		return;
	}
	if (r) {
		reg_finish(op, r);
		return;
	}
	if (w->action == WRITE_NOTHING) {
		finish(op);
		return;
	}
	r = admission_hooks_validate(op);
	if (r == -EINPROGRESS)
		admission_hooks_run(op, judged);
	else if (r)
		reg_finish(op, r);
	else
		commit(op);
}

void write_commit(struct reg_op *op)
{
	struct write *w = op->w;
	struct reg_txn t;
	int r;

	if (admission_quota_waits(op))
		return;
	r = build_txn(op, &t);	/* may fill allocated fields of w->obj */
	if (r == 0 && w->dirty)
		r = write_canonical(op);
	if (r == 0 && !w->managed_done)
		r = managed_update(op);
	if (r == 0)
		r = encode(op);
	if (r) {
		reg_finish(op, r);
		return;
	}
	if (w->action == WRITE_NOTHING) {
		finish(op);
		return;
	}
	r = admission_quota_charge(op, &t);
	if (r) {
		reg_finish(op, r);
		return;
	}
	if (op->opt.dry_run)
		t.n_put = 0;	/* the compares alone: a name or an address that is taken is an error here too */
	else if (w->action == WRITE_REMOVE)
		reg_txn_delete(&t, w->key);
	else
		reg_txn_put(&t, w->key, (struct orlop_bytes){ w->record.data, w->record.len });
	store_commit(op, &t, on_committed);
}

static void on_fresh(void *arg, int32_t status)
{
	struct reg_op *op = arg;
	int r = base_from_cache(op);

	(void)status;	/* late or not: the compare decides */
	if (r == 0)
		r = base_parse(op);
	if (r)
		reg_finish(op, r);
	else
		attempt(op);
}

static void on_looked(struct reg_op *op, int r, const struct reg_txn_result *res)
{
	struct write *w = op->w;
	uint64_t rev = r == 0 && res->item_rev == 0 && !w->may_create ? reg_lazy_pending(op->sh, w->k) : 0;

	/* acknowledged, but not committed: what is not there may come with the next commit */
	if (rev && op->sh->h->cache_wait(reg_open(op->sh, w->k), rev, CACHE_WAIT_NS, on_fresh, op) == 0)
		return;
	if (r == 0)
		r = base_from_item(op, res->item_rev, res->item);
	if (r)
		reg_finish(op, r);
	else
		attempt(op);
}

/* The write made in bytes; false: by trees then. */
static bool attempt_text(struct reg_op *op)
{
	struct write *w = op->w;
	struct reg_txn t;

	if (!w->make_text || !w->base_obj || op->opt.dry_run || !w->make_text(op))
		return false;
	w->key = reg_key(&op->arena, w->k, w->ns, w->name);
	t.n_cmp = t.n_put = t.flags = 0;
	t.err = 0;
	reg_txn_compare(&t, w->key, w->base_rev);
	reg_txn_put(&t, w->key, (struct orlop_bytes){ w->record.data, w->record.len });
	store_commit(op, &t, on_committed);
	return true;
}

void write_run(struct reg_op *op)
{
	struct write *w = op->w;
	int r = 0;

	/* What was written lazily may not be in the cache yet. */
	if (w->name.len && reg_lazy_pending(op->sh, w->k)) {
		w->key = reg_key(&op->arena, w->k, w->ns, w->name);
		store_get(op, w->key, on_looked);
		return;
	}
	if (w->name.len)
		r = base_from_cache(op);
	if (r == 0 && attempt_text(op))
		return;
	if (r == 0)
		r = base_parse(op);
	if (r) {
		reg_finish(op, r);
		return;
	}
	attempt(op);
}

void reg_do_write(struct reg_op *op)
{
	bool scale = op->sub && rb_is(op->rq.sub, "scale");
	int r;

	switch (op->rq.verb) {
	case REG_CREATE:
		r = write_new(op, op->k, op->rq.ns, RB0, write_make_create);
		break;
	case REG_UPDATE:
		r = write_new(op, op->k, op->rq.ns, op->rq.name, scale ? scale_make : write_make_update);
		break;
	default:
		if (op->rq.patch == REG_PATCH_NONE) {
			orlop_fail(&op->err, EINVAL, 415, "UnsupportedMediaType",
				   "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml");
			reg_finish(op, -EINVAL);
			return;
		}
		r = write_new(op, op->k, op->rq.ns, op->rq.name, op->rq.patch == REG_PATCH_APPLY ? write_make_apply :
							     scale ? scale_make : write_make_patch);
		break;
	}
	if (r) {
		reg_finish(op, r);
		return;
	}
	if (op->rq.verb == REG_CREATE) {
		op->w->may_create = op->w->create_only = true;
		op->w->code = 201;
	} else if (op->rq.verb == REG_UPDATE && !op->sub) {
		op->w->may_create = (op->k->res->flags & OSCHEMA_S_PUT_CREATES) != 0;
	} else if (op->rq.patch == REG_PATCH_APPLY && !op->sub) {
		op->w->may_create = true;
	}
	if (scale) {
		op->w->answer = WRITE_ANSWER_CUSTOM;
		op->w->finish = scale_finish;
	}
	write_run(op);
}

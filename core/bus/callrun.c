/*
 * callrun.c - giving calls to their handler: at once, or on workers with a limit and in order per key.
 */
#include "call.h"

#include <errno.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"

static orlop_op_fn op_of(const struct core_link *link, uint32_t op)
{
	size_t n;

	if (!link->ops || link->ops->size < offsetof(struct orlop_ops, op))
		return NULL;
	n = (link->ops->size - offsetof(struct orlop_ops, op)) / sizeof(orlop_op_fn);
	return op > 0 && op < n ? link->ops->op[op] : NULL;
}

/* On a worker. After call_done() of the handler only we still use @c: it is freed when this returned. */
static void call_work(void *arg)
{
	struct orlop_call *c = arg;
	struct core_link *link = c->link;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_parcel *p = NULL;
	int r = op_of(link, c->req.op)(link->ctx, &c->req, c, &err);

	if (r < 0 && err.err)
		(void)core_parcel_new(NULL, NULL, &err, &p);
	orlop_error_done(&err);
	pthread_mutex_lock(&link->lock);
	if (r < 0 && !c->done) {
		c->done = true;
		c->status = r;
		c->answer = TAKE(p);
	}
	c->returned = true;
	core_call_tell(c);
	pthread_mutex_unlock(&link->lock);
	core_parcel_unref(p);
}

static void call_start(struct orlop_call *c)
{
	struct core_link *link = c->link;
	orlop_op_fn fn = op_of(link, c->req.op);
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r;

	c->queued = false;
	if (!fn) {
		core_call_fail(c, -ENOTSUP, NULL);
		return;
	}
	if (c->req.deadline_ns && core_now_mono() >= c->req.deadline_ns) {
		core_call_fail(c, -ETIMEDOUT, NULL);
		return;
	}
	if (link->flags & CORE_LINK_BLOCKING) {
		c->running = true;
		link->n_running++;
		link->refs++;
		r = link->work(link->work_arg, call_work, c);
		if (r) {
			c->running = false;
			link->n_running--;
			link->refs--;
			core_call_fail(c, r, NULL);
		}
		return;
	}
	r = fn(link->ctx, &c->req, c, &err);
	if (r < 0)
		core_call_fail(c, r, &err);
	orlop_error_done(&err);
}

/* A call that fails at once makes room for the next: comes here again, and is seen by the loop below. */
static void ready_run(struct core_link *link)
{
	struct olist *node;

	if (link->starting)
		return;
	link->starting = true;
	while (!link->closed && link->n_running < link->concurrency &&
	       (node = olist_shift(&link->ready)) != NULL)
		call_start(OLIST_ENTRY(node, struct orlop_call, node));
	link->starting = false;
}

void core_call_admit(struct orlop_call *c)
{
	struct core_link *link = c->link;
	struct core_idnode *n;

	c->queued = true;
	if (!(link->flags & CORE_LINK_BLOCKING)) {
		call_start(c);
		return;
	}
	if (c->req.key) {
		n = core_idtab_get(&link->keys, c->req.key);
		if (n) {
			c->key = OLIST_ENTRY(n, struct core_callkey, id);
			olist_append(&c->key->waiting, &c->node);
			return;
		}
		c->key = OMEM_NEW(struct core_callkey);
		if (!c->key) {
			core_call_fail(c, -ENOMEM, NULL);
			return;
		}
		olist_init(&c->key->waiting);
		core_idtab_add(&link->keys, &c->key->id, c->req.key);
	}
	olist_append(&link->ready, &c->node);
	ready_run(link);
}

void core_call_unqueue(struct orlop_call *c)
{
	struct core_callkey *key = c->key;

	/* One that waits for its key does not hold it. */
	if (key)
		OLIST_FOREACH(node, &key->waiting)
			if (node == &c->node) {
				c->key = NULL;
				break;
			}
	olist_del(&c->node);
	c->queued = false;
}

/* The next call with this key is ready. */
void core_call_key_release(struct orlop_call *c)
{
	struct core_callkey *key = c->key;
	struct core_link *link = c->link;
	struct olist *node;

	if (!key)
		return;
	c->key = NULL;
	node = olist_shift(&key->waiting);
	if (!node) {
		core_idtab_del(&link->keys, &key->id);
		omem_free(key);
		return;
	}
	olist_append(&link->ready, node);
	ready_run(link);
}

void core_call_returned(struct orlop_call *c)
{
	struct core_link *link = c->link;

	c->running = false;
	link->n_running--;
	ready_run(link);
	core_link_unref(link);
}

/*
 * call.c - requests that we were sent: receiving them once, parts, answers, cancellation.
 *
 * On the loop everything happens at once. Other threads leave what they say in the call, put the call
 * into the link's inbox and post; the loop then does it in the order it was said.
 */
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#include "base/ocleanup.h"
#include "base/omem.h"

/* A stale pointer becomes a sentence instead of a riddle. */
static void call_check(const struct orlop_call *c, const char *what)
{
	if (c->magic == CORE_CALL_MAGIC)
		return;
	(void)dprintf(STDERR_FILENO, "bug: %s of a call that is done already (%p)\n", what,
		      (const void *)c);
	abort();
}

int core_calls_init(struct core_link *link)
{
	olist_init(&link->ready);
	olist_init(&link->inbox);
	return core_idtab_init(&link->calls) || core_idtab_init(&link->keys) ? -ENOMEM : 0;
}

static void parts_free(struct olist *parts)
{
	struct olist *node;

	while ((node = olist_shift(parts)) != NULL)
		core_frame_free(OLIST_ENTRY(node, struct core_frame, node));
}

/* Out of the tables: from here on the switch and the caller have nothing to do with it. */
static void call_forget(struct orlop_call *c)
{
	struct core_link *link = c->link;

	if (c->queued)
		core_call_unqueue(c);
	core_call_key_release(c);
	core_idtab_del(&link->calls, &c->id);
	c->over = true;
	c->magic = 0;
	pthread_mutex_lock(&link->lock);
	c->done = true;
	if (!c->running)		/* else the return of its op is, or will be, in the inbox */
		olist_del(&c->inbox);
	pthread_mutex_unlock(&link->lock);
	parts_free(&c->parts);
	core_parcel_unref(c->answer);
	c->answer = NULL;
}

void core_call_free(struct orlop_call *c)
{
	/* Without an answer the request is still here: a closed link leaves it to the op that reads it. */
	if (c->frame)
		core_parcel_close_fds(c->frame->parcel);
	core_frame_free(c->frame);
	c->link->n_calls--;
	core_owner_dec(c->link->owner, CORE_HELD_CALL);
	omem_free(c);
}

void core_calls_done(struct core_link *link)
{
	for (uint32_t i = 0; link->calls.buckets && i < link->calls.n_buckets; i++)
		while (link->calls.buckets[i]) {
			struct orlop_call *c = OLIST_ENTRY(link->calls.buckets[i], struct orlop_call, id);

			call_forget(c);
			/* One that is on a worker is freed when it returns: link->refs waits for it. */
			if (!c->running)
				core_call_free(c);
		}
	core_idtab_done(&link->calls);
	core_idtab_done(&link->keys);
}

/* ---- receiving ---------------------------------------------------------------------------------------- */

void core_call_input(struct core_link *link, struct core_frame *take_f)
{
	struct orlop_call *c;

	/* The switch lets a number pass once; should it come again while it is open, it is that one. */
	if (core_idtab_get(&link->calls, take_f->h.corr)) {
		core_frame_free(take_f);
		return;
	}
	c = OMEM_NEW(struct orlop_call);
	if (!c) {
		core_parcel_unref(take_f->parcel);
		take_f->parcel = NULL;
		take_f->h.kind = CORE_W_REPLY;
		take_f->h.status = -ENOMEM;
		core_link_send(link, take_f);
		return;
	}
	c->magic = CORE_CALL_MAGIC;
	c->link = link;
	c->src = take_f->h.src;
	c->frame = take_f;
	olist_init(&c->node);
	olist_init(&c->inbox);
	olist_init(&c->parts);
	c->req.size = sizeof(c->req);
	c->req.op = take_f->h.op;
	c->req.trace = take_f->h.trace;
	c->req.deadline_ns = take_f->h.deadline;
	c->req.key = take_f->h.value;
	/* The sender always names somebody, so there is a parcel; see request_new(). */
	c->req.who = take_f->parcel ? &take_f->parcel->who : NULL;
	c->req.msg = core_parcel_msg(take_f->parcel);
	core_idtab_add(&link->calls, &c->id, take_f->h.corr);
	link->n_calls++;
	core_owner_inc(link->owner, CORE_HELD_CALL);
	if (c->req.who)
		core_call_admit(c);
	else
		core_call_fail(c, -EINVAL, NULL);
}

void core_call_cancel_input(struct core_link *link, const struct core_frame *f)
{
	struct core_idnode *n = core_idtab_get(&link->calls, f->h.corr);
	struct orlop_call *c = n ? OLIST_ENTRY(n, struct orlop_call, id) : NULL;
	orlop_cb cb;
	void *arg;

	if (!c)
		return;
	if (c->queued) {
		core_call_fail(c, -ECANCELED, NULL);	/* never started: nobody to tell */
		return;
	}
	pthread_mutex_lock(&link->lock);
	cb = c->done || c->cancelled ? NULL : c->on_cancel;
	arg = c->on_cancel_arg;
	if (!cb && c->full && !c->done && c->on_writable) {
		/* Who only waits for room shall try again, and see that it is over. */
		c->full = false;
		cb = c->on_writable;
		arg = c->on_writable_arg;
	}
	c->cancelled = true;
	pthread_mutex_unlock(&link->lock);
	if (cb)
		cb(arg);
}

/* With link->lock held: who is to hear that there is room again; once for each refusal. */
static orlop_cb writable_take(struct orlop_call *c, void **ret_arg)
{
	*ret_arg = c->on_writable_arg;
	if (!c->full || c->done || !c->on_writable || c->n_out > CORE_CALL_EMITS_MAX / 2 ||
	    c->bytes_out > CORE_CALL_BYTES_MAX / 2)
		return NULL;
	c->full = false;
	return c->on_writable;
}

void core_call_credit_input(struct core_link *link, const struct core_frame *f)
{
	struct core_idnode *n = core_idtab_get(&link->calls, f->h.corr);
	struct orlop_call *c = n ? OLIST_ENTRY(n, struct orlop_call, id) : NULL;
	orlop_cb cb;
	void *arg;

	if (!c)
		return;
	pthread_mutex_lock(&link->lock);
	c->n_out -= f->h.value < c->n_out ? (uint32_t)f->h.value : c->n_out;
	c->bytes_out -= f->h.len < c->bytes_out ? f->h.len : c->bytes_out;
	cb = writable_take(c, &arg);
	pthread_mutex_unlock(&link->lock);
	if (cb)
		cb(arg);
}

/* ---- parts and the answer ----------------------------------------------------------------------------- */

static void frame_answer(struct orlop_call *c, struct core_frame *f, uint32_t kind)
{
	f->h.kind = (uint16_t)kind;
	f->h.flags = 0;
	f->h.dst = c->src;
	f->h.op = c->req.op;
	f->h.corr = c->id.id;
	f->h.trace = c->req.trace;
	f->h.deadline = 0;
	f->h.value = 0;
}

/* What other threads emitted goes first. */
static void parts_send(struct orlop_call *c)
{
	struct core_link *link = c->link;
	struct olist parts;
	struct olist *node;

	olist_init(&parts);
	pthread_mutex_lock(&link->lock);
	olist_splice(&parts, &c->parts);
	pthread_mutex_unlock(&link->lock);
	while ((node = olist_shift(&parts)) != NULL)
		core_link_send(link, OLIST_ENTRY(node, struct core_frame, node));
}

void core_call_finish(struct orlop_call *c, int32_t status, struct core_parcel *take_answer)
{
	struct core_link *link = c->link;
	struct core_frame *f = c->frame;

	parts_send(c);
	core_parcel_close_fds(f->parcel);
	core_parcel_unref(f->parcel);
	f->parcel = take_answer;
	frame_answer(c, f, CORE_W_REPLY);
	f->h.status = status;
	f->h.len = take_answer ? (uint32_t)take_answer->body.len : 0;
	c->frame = NULL;
	core_link_send(link, f);
	call_forget(c);
	if (!c->running)
		core_call_free(c);
}

void core_call_fail(struct orlop_call *c, int32_t status, const struct orlop_error *err)
{
	struct core_parcel *p = NULL;

	if (err && err->err)
		(void)core_parcel_new(NULL, NULL, err, &p);	/* without memory: the number alone */
	core_call_finish(c, status, p);
}

void core_call_done(struct orlop_call *c, int32_t status, const struct orlop_msg *msg,
		    const struct orlop_error *err)
{
	struct core_link *link = c->link;
	struct core_parcel *p = NULL;
	int r;

	call_check(c, "call_done");
	if (status < 0) {
		core_msg_close_fds(msg);
		msg = NULL;
		r = err && err->err ? core_parcel_new(NULL, NULL, err, &p) : 0;
	} else {
		r = core_parcel_new(msg, NULL, NULL, &p);
		if (r)
			status = r;
	}
	if (core_link_here(link)) {
		core_call_finish(c, status, p);
		return;
	}
	pthread_mutex_lock(&link->lock);
	if (c->done) {
		pthread_mutex_unlock(&link->lock);
		c->magic = 0;
		call_check(c, "call_done");
	}
	c->done = true;
	c->status = status;
	c->answer = p;
	core_call_tell(c);
	pthread_mutex_unlock(&link->lock);
}

uint32_t core_msg_part_bytes(const struct orlop_msg *msg)
{
	size_t n = msg ? msg->body.len : 0;

	for (uint32_t i = 0; msg && i < msg->n_blobs; i++)
		n += core_blob_bytes(msg->blobs[i]).len;
	return n < CORE_CALL_PART_BYTES_MAX ? (uint32_t)n : CORE_CALL_PART_BYTES_MAX;
}

int core_call_emit(struct orlop_call *c, const struct orlop_msg *msg)
{
	struct core_link *link = c->link;
	struct core_frame *f = core_frame_new(CORE_W_EMIT);
	bool here = core_link_here(link);
	int r;

	call_check(c, "call_emit");
	if (!f)
		core_msg_close_fds(msg);
	r = f ? core_parcel_new(msg, NULL, NULL, &f->parcel) : -ENOMEM;
	if (r) {
		core_frame_free(f);
		return r;
	}
	frame_answer(c, f, CORE_W_EMIT);
	f->h.len = core_msg_part_bytes(msg);
	pthread_mutex_lock(&link->lock);
	if (c->cancelled || c->done) {
		r = -ECANCELED;
	} else if (c->n_out >= CORE_CALL_EMITS_MAX ||
		   (c->n_out > 0 && c->bytes_out + f->h.len > CORE_CALL_BYTES_MAX)) {
		c->full = true;
		r = -EAGAIN;
	} else {
		c->n_out++;
		c->bytes_out += f->h.len;
		olist_append(&c->parts, &f->node);
		if (!here)
			core_call_tell(c);
	}
	pthread_mutex_unlock(&link->lock);
	if (r)
		core_frame_free(f);
	else if (here)
		parts_send(c);
	return r;
}

void core_call_on_cancel(struct orlop_call *c, orlop_cb cb, void *arg)
{
	call_check(c, "call_on_cancel");
	pthread_mutex_lock(&c->link->lock);
	c->on_cancel = cb;
	c->on_cancel_arg = arg;
	if (c->cancelled) {
		c->tell_cancel = true;
		core_call_tell(c);
	}
	pthread_mutex_unlock(&c->link->lock);
}

void core_call_on_writable(struct orlop_call *c, orlop_cb cb, void *arg)
{
	call_check(c, "call_on_writable");
	pthread_mutex_lock(&c->link->lock);
	c->on_writable = cb;
	c->on_writable_arg = arg;
	if (c->full)
		core_call_tell(c);
	pthread_mutex_unlock(&c->link->lock);
}

/* ---- the inbox ---------------------------------------------------------------------------------------- */

/* One call of the inbox, taken out of it. @c may be freed by any step. */
static void call_look(struct orlop_call *c)
{
	struct core_link *link = c->link;
	struct core_parcel *answer = NULL;
	orlop_cb cancel = NULL;
	orlop_cb writable;
	void *cancel_arg;
	void *writable_arg;
	bool done;
	bool returned;
	int32_t status;

	pthread_mutex_lock(&link->lock);
	done = c->done;
	status = c->status;
	returned = c->returned;
	c->returned = false;
	if (c->tell_cancel && !done)
		cancel = c->on_cancel;
	cancel_arg = c->on_cancel_arg;
	c->tell_cancel = false;
	writable = writable_take(c, &writable_arg);
	if (done)
		answer = TAKE(c->answer);
	pthread_mutex_unlock(&link->lock);
	if (returned)
		core_call_returned(c);		/* calls nobody back, does not free */
	if (c->over) {
		core_parcel_unref(answer);
		if (!c->running)
			core_call_free(c);
		return;
	}
	if (done) {
		core_call_finish(c, status, answer);
		return;
	}
	parts_send(c);
	if (cancel)
		cancel(cancel_arg);
	else if (writable)
		writable(writable_arg);
}

static void inbox_run(void *arg)
{
	struct core_link *link = arg;
	struct olist calls;
	struct olist *node;

	olist_init(&calls);
	link->refs++;			/* the last call may be what a closed link waits for */
	pthread_mutex_lock(&link->lock);
	olist_splice(&calls, &link->inbox);
	/* Under the lock, because finishing one call may take another out of this list. */
	while ((node = olist_shift(&calls)) != NULL) {
		pthread_mutex_unlock(&link->lock);
		call_look(OLIST_ENTRY(node, struct orlop_call, inbox));
		pthread_mutex_lock(&link->lock);
	}
	pthread_mutex_unlock(&link->lock);
	core_link_flush(link);
	core_link_unref(link);
}

void core_call_tell(struct orlop_call *c)
{
	if (olist_empty(&c->inbox))
		olist_append(&c->link->inbox, &c->inbox);
	(void)core_loop_post_node(c->link->loop, &c->link->inbox_post, inbox_run, c->link);
}

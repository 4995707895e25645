/*
 * request.c - requests that we send: numbers, deadlines, answers.
 *
 * Deadlines of all requests of a link share one timer. When one passes we only ask the switch to end
 * the request: it knows whether somebody had it, answers once, and tells the answerer.
 */
#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "link.h"

#define REQUEST_MAGIC		0x71657271u
#define TIMEOUT_DEFAULT_NS	UINT64_C(60000000000)
#define RETRY_NS		UINT64_C(10000000)	/* without memory to say "cancel" */

struct orlop_request {
	uint32_t	magic;
	uint32_t	at;		/* in the heap; UINT32_MAX: not there */
	struct core_link *link;
	struct core_idnode id;		/* by corr */
	struct olist	node;		/* in link->failed */
	orlop_reply_fn	cb;
	void		*arg;
	uint64_t	deadline;
	uint32_t	consumed;	/* parts, since the last credit */
	uint32_t	consumed_bytes;
	uint64_t	owed;		/* parts and their bytes that are not consumed yet, with @relay */
	uint64_t	owed_bytes;
	int32_t		status;		/* of a failed one */
	bool		relay;
	bool		cancelled;	/* the answer becomes -ECANCELED */
	bool		ending;		/* the switch was asked to end it */
};

/* ---- the heap of deadlines ---------------------------------------------------------------------------- */

static void heap_set(struct core_link *l, uint32_t i, struct orlop_request *r)
{
	l->heap[i] = r;
	r->at = i;
}

static void heap_up(struct core_link *l, uint32_t i)
{
	struct orlop_request *r = l->heap[i];

	for (; i > 0 && l->heap[(i - 1) / 2]->deadline > r->deadline; i = (i - 1) / 2)
		heap_set(l, i, l->heap[(i - 1) / 2]);
	heap_set(l, i, r);
}

static void heap_down(struct core_link *l, uint32_t i)
{
	struct orlop_request *r = l->heap[i];
	uint32_t c;

	for (; (c = 2 * i + 1) < l->n_heap; i = c) {
		if (c + 1 < l->n_heap && l->heap[c + 1]->deadline < l->heap[c]->deadline)
			c++;
		if (l->heap[c]->deadline >= r->deadline)
			break;
		heap_set(l, i, l->heap[c]);
	}
	heap_set(l, i, r);
}

static int heap_add(struct core_link *l, struct orlop_request *r)
{
	if (l->n_heap == l->cap_heap) {
		uint32_t cap = l->cap_heap ? l->cap_heap * 2 : 64;
		struct orlop_request **heap = omem_realloc_array(l->heap, cap, sizeof(struct orlop_request *));

		if (!heap)
			return -ENOMEM;
		l->heap = heap;
		l->cap_heap = cap;
	}
	heap_set(l, l->n_heap++, r);
	heap_up(l, r->at);
	return 0;
}

static void heap_del(struct core_link *l, struct orlop_request *r)
{
	uint32_t i = r->at;
	struct orlop_request *last;

	if (i == UINT32_MAX)
		return;
	r->at = UINT32_MAX;
	last = l->heap[--l->n_heap];
	if (last == r)
		return;
	heap_set(l, i, last);
	heap_up(l, i);
	heap_down(l, last->at);
}

/* ---- life --------------------------------------------------------------------------------------------- */

int core_requests_init(struct core_link *link)
{
	omap_init(&link->addresses);
	olist_init(&link->failed);
	return core_idtab_init(&link->requests);
}

static void request_free(struct orlop_request *r)
{
	heap_del(r->link, r);
	olist_del(&r->node);
	core_idtab_del(&r->link->requests, &r->id);
	core_owner_dec(r->link->owner, CORE_HELD_REQUEST);
	r->magic = 0;
	omem_free(r);
}

void core_requests_done(struct core_link *link)
{
	for (uint32_t i = 0; link->requests.buckets && i < link->requests.n_buckets; i++)
		while (link->requests.buckets[i])
			request_free(OLIST_ENTRY(link->requests.buckets[i], struct orlop_request, id));
	core_idtab_done(&link->requests);
	omap_done(&link->addresses);
	omap_init(&link->addresses);
	omem_free(link->heap);
	link->heap = NULL;
	link->n_heap = link->cap_heap = 0;
}

static int32_t address_number(struct core_link *link, const char *to)
{
	uintptr_t id = (uintptr_t)omap_get_cstr(&link->addresses, to);

	if (!id) {
		int32_t n = core_bus_topic(link->bus, to);

		if (n < 0)
			return n;
		id = (uintptr_t)n;
		if (omap_put_cstr(&link->addresses, to, (void *)id))
			return -ENOMEM;
	}
	return (int32_t)id;
}

/* splitmix64 of a random start: unique enough to find a request's traces again. */
static uint64_t trace_new(struct core_link *link)
{
	uint64_t z = link->trace += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) | 1;
}

static uint64_t deadline_of(uint64_t timeout_ns, uint64_t now)
{
	if (timeout_ns == UINT64_MAX)
		return 0;
	if (timeout_ns == 0)
		timeout_ns = TIMEOUT_DEFAULT_NS;
	return timeout_ns < UINT64_MAX - 1 - now ? now + timeout_ns : UINT64_MAX - 1;
}

/* ---- answers of our own ------------------------------------------------------------------------------- */

static void failed_run(void *arg)
{
	struct core_link *link = arg;
	struct olist *node;

	while (!link->closed && (node = olist_shift(&link->failed)) != NULL) {
		struct orlop_request *r = OLIST_ENTRY(node, struct orlop_request, node);
		orlop_reply_fn cb = r->cb;
		void *cb_arg = r->arg;
		int32_t status = r->cancelled ? -ECANCELED : r->status;

		request_free(r);
		cb(cb_arg, status, NULL, NULL, 0);
	}
	core_link_flush(link);
}

static void request_fail(struct orlop_request *r, int32_t status)
{
	r->status = status;
	r->ending = true;
	olist_append(&r->link->failed, &r->node);
	(void)core_loop_post_node(r->link->loop, &r->link->failed_post, failed_run, r->link);
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static int request_new(struct core_link *link, const struct orlop_send *send, uint32_t to,
		       struct orlop_request **ret, struct core_frame **ret_f)
{
	struct orlop_request *r = OMEM_NEW(struct orlop_request);
	struct core_frame *f = core_frame_new(CORE_W_REQUEST);
	int err = r && f ? 0 : -ENOMEM;

	if (err)
		core_msg_close_fds(&send->msg);
	else
		err = core_parcel_new(&send->msg, send->who ? send->who : &link->who->who, NULL, &f->parcel);
	if (err) {
		core_frame_free(f);
		omem_free(r);
		return err;
	}
	r->magic = REQUEST_MAGIC;
	r->link = link;
	r->at = UINT32_MAX;
	olist_init(&r->node);
	r->deadline = deadline_of(send->timeout_ns, core_now_mono());
	if (r->deadline && heap_add(link, r)) {
		core_frame_free(f);
		omem_free(r);
		return -ENOMEM;
	}
	f->h.dst = to;
	f->h.op = send->op;
	f->h.len = (uint32_t)send->msg.body.len;
	f->h.trace = send->trace ? send->trace : trace_new(link);
	f->h.deadline = r->deadline;
	f->h.value = send->key;
	*ret = r;
	*ret_f = f;
	return 0;
}

int core_link_request(struct core_link *link, const struct orlop_send *send, orlop_reply_fn cb,
		      void *arg, struct orlop_request **ret)
{
	struct orlop_request *r;
	struct core_frame *f;
	int32_t to;
	int err;

	if (link->stopped) {
		core_msg_close_fds(&send->msg);
		return -ECANCELED;
	}
	to = send->to ? address_number(link, send->to) : -EINVAL;
	if (to < 0) {
		core_msg_close_fds(&send->msg);
		return to;
	}
	err = request_new(link, send, (uint32_t)to, &r, &f);
	if (err)
		return err;
	r->cb = cb;
	r->arg = arg;
	f->h.corr = (uint64_t)link->id << CORE_WIRE_CORR_BITS | ++link->corr;
	core_idtab_add(&link->requests, &r->id, f->h.corr);
	core_owner_inc(link->owner, CORE_HELD_REQUEST);
	if (ret)
		*ret = r;
	if (link->requests.count > CORE_LINK_REQUESTS_MAX) {
		core_frame_free(f);
		request_fail(r, -EBUSY);
		return 0;
	}
	core_link_send(link, f);
	return 0;
}

/* Asks the switch to answer with @status. Without memory we ask again a little later. */
static void request_end(struct orlop_request *r, int32_t status)
{
	struct core_frame *f;

	if (r->ending)
		return;
	f = core_frame_new(CORE_W_CANCEL);
	if (!f) {
		uint64_t again = core_now_mono() + RETRY_NS;

		if (r->at == UINT32_MAX) {
			r->deadline = again;
			(void)heap_add(r->link, r);	/* else it ends when it is answered */
		} else if (r->deadline > again) {
			r->deadline = again;
			heap_up(r->link, r->at);
		} else {
			r->deadline = again;
			heap_down(r->link, r->at);
		}
		r->link->dirty = true;
		return;
	}
	heap_del(r->link, r);
	r->ending = true;
	f->h.corr = r->id.id;
	f->h.status = status;
	core_link_send(r->link, f);
}

void core_request_cancel(struct orlop_request *r)
{
	if (!r || r->magic != REQUEST_MAGIC)
		return;
	r->cancelled = true;
	request_end(r, -ECANCELED);
}

void core_link_stop(struct core_link *link)
{
	link->stopped = true;
	for (uint32_t i = 0; !link->closed && i < link->requests.n_buckets; i++)
		for (struct core_idnode *n = link->requests.buckets[i]; n; n = n->next)
			core_request_cancel(OLIST_ENTRY(n, struct orlop_request, id));
}

uint64_t core_requests_due(const struct core_link *link)
{
	return link->n_heap > 0 ? link->heap[0]->deadline : 0;
}

void core_requests_tick(struct core_link *link, uint64_t now_ns)
{
	while (link->n_heap > 0 && link->heap[0]->deadline <= now_ns) {
		struct orlop_request *r = link->heap[0];

		request_end(r, r->cancelled ? -ECANCELED : -ETIMEDOUT);
	}
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void credit_send(struct core_link *link, struct orlop_request *r)
{
	struct core_frame *f = core_frame_new(CORE_W_CREDIT);

	if (!f)
		return;			/* with the next part */
	f->h.corr = r->id.id;
	f->h.value = r->consumed;
	f->h.len = r->consumed_bytes;
	r->consumed = 0;
	r->consumed_bytes = 0;
	core_link_send(link, f);
}

static void part_input(struct core_link *link, struct orlop_request *r, struct core_frame *f)
{
	struct orlop_msg msg = core_parcel_msg(f->parcel);

	if (r->cancelled)
		return;
	if (r->relay) {
		/* Before the callback, which may consume it already. */
		r->owed++;
		r->owed_bytes += f->h.len;
		r->cb(r->arg, 0, &msg, NULL, ORLOP_REPLY_MORE);
		return;
	}
	r->cb(r->arg, 0, &msg, NULL, ORLOP_REPLY_MORE);
	if (link->closed)
		return;			/* and @r is gone */
	r->consumed++;
	r->consumed_bytes += f->h.len;
	if (r->consumed >= CORE_CREDIT_PARTS || r->consumed_bytes >= CORE_CREDIT_BYTES)
		credit_send(link, r);
}

void core_request_relay(struct orlop_request *r)
{
	r->relay = true;
}

void core_request_consumed(struct orlop_request *r, uint64_t parts, uint64_t bytes)
{
	if (!r || r->magic != REQUEST_MAGIC || parts == 0)
		return;
	parts = parts < r->owed ? parts : r->owed;
	bytes = bytes < r->owed_bytes && parts < r->owed ? bytes : r->owed_bytes;
	r->owed -= parts;
	r->owed_bytes -= bytes;
	r->consumed += (uint32_t)parts;
	r->consumed_bytes += (uint32_t)bytes;
	if (r->consumed > 0)
		credit_send(r->link, r);
}

void core_request_input(struct core_link *link, struct core_frame *take_f)
{
	struct core_idnode *n = core_idtab_get(&link->requests, take_f->h.corr);
	struct orlop_request *r = n ? OLIST_ENTRY(n, struct orlop_request, id) : NULL;

	if (r && take_f->h.kind == CORE_W_EMIT) {
		part_input(link, r, take_f);
	} else if (r && olist_empty(&r->node)) {
		struct orlop_msg msg = core_parcel_msg(take_f->parcel);
		int32_t status = r->cancelled ? -ECANCELED : take_f->h.status;
		orlop_reply_fn cb = r->cb;
		void *arg = r->arg;

		request_free(r);
		cb(arg, status, status >= 0 ? &msg : NULL,
		   status < 0 && status != -ECANCELED && take_f->parcel ? take_f->parcel->err : NULL, 0);
	}
	core_parcel_close_fds(take_f->parcel);
	core_frame_free(take_f);
}

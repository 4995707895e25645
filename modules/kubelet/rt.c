/*
 * rt.c - requests to the runtime and to cni; the runtime's events.
 */
#include "kubelet.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/log.h>
#include <orlop/inline/msg.h>

#define POLL_NS		(600 * NS_PER_S)
#define POLL_RETRY_NS	(NS_PER_S / 2)

struct rt_req {
	struct kubelet	*k;
	rt_fn		fn;
	void		*arg;
	int		status;		/* it could not be sent */
	bool		changes;	/* who comes after us must not find it half done */
	bool		crowds;		/* pods wait for their turn while there are many of these */
};

static bool op_changes(const char *to, uint32_t op)
{
	return strcmp(to, "cni") == 0 || op == ORLOP_RUNTIME_RUN_SANDBOX || op == ORLOP_RUNTIME_STOP_SANDBOX ||
		op == ORLOP_RUNTIME_REMOVE_SANDBOX || op == ORLOP_RUNTIME_CREATE_CONTAINER ||
		op == ORLOP_RUNTIME_START_CONTAINER || op == ORLOP_RUNTIME_REMOVE_CONTAINER;
}

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		     uint32_t flags)
{
	struct rt_req *r = arg;
	cleanup_ojson struct ojson *res = NULL;
	struct orlop_bytes text;
	char why[560];

	if (flags & ORLOP_REPLY_MORE)
		return;
	r->k->n_changing -= r->changes;
	r->k->n_crowding -= r->crowds;
	if (r->crowds)
		r->k->answered_ns = kubelet_now(r->k);
	snprintf(why, sizeof(why), "%s", err && err->msg[0] ? err->msg : status == -ECONNRESET ?
		 "the runtime went away" : status < 0 ? strerrordesc_np(-status) : "");
	if (status >= 0) {
		text = orlop_msg_bytes(r->k->h, msg, ORLOP_RUNTIME_T_RESPONSE);
		if (text.len)
			(void)ojson_parse(text.p, text.len, &res, NULL);
	}
	r->fn(r->arg, status, res, msg, why);
	turn_next(r->k);
	omem_free(r);
}

static void not_sent(void *arg)
{
	struct rt_req *r = arg;

	r->k->n_changing -= r->changes;
	r->k->n_crowding -= r->crowds;
	r->fn(r->arg, r->status, NULL, NULL, "the request could not be sent");
	turn_next(r->k);
	omem_free(r);
}

static void send_it(struct kubelet *k, const char *to, uint32_t op, uint64_t key, struct orlop_msgw *w,
		    uint64_t timeout_ns, rt_fn fn, void *arg)
{
	struct orlop_send s = { .size = sizeof(s), .op = op, .to = to, .key = key, .trace = key,
				.timeout_ns = timeout_ns ? timeout_ns : 120 * NS_PER_S };
	struct rt_req *r = OMEM_NEW(struct rt_req);

	if (!r) {
		fn(arg, -ENOMEM, NULL, NULL, "no memory");
		return;
	}
	r->k = k;
	r->fn = fn;
	r->arg = arg;
	r->status = w->err;
	r->changes = op_changes(to, op);
	/* links that go together go at once, however many they are */
	r->crowds = r->changes && (strcmp(to, "cni") != 0 || op == ORLOP_CNI_ADD);
	k->n_changing += r->changes;
	k->n_crowding += r->crowds;
	if (!r->status) {
		s.msg = orlop_msgw_msg(w);
		r->status = k->h->request(k->h, &s, answered, r, NULL);
	}
	if (r->status && k->h->post(k->h, not_sent, r))
		not_sent(r);
}

void rt_call(struct kubelet *k, uint32_t op, uint64_t key, struct ojson *take_body, uint64_t timeout_ns,
	     rt_fn fn, void *arg)
{
	struct obuf text = OBUF_INIT;
	struct orlop_msgw w;

	orlop_msgw_init(&w, k->h);
	if (take_body) {
		(void)ojson_write(take_body, 0, &text);
		ojson_unref(take_body);
		orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_REQUEST, obuf_cstr(&text), text.len);
		if (obuf_err(&text))
			w.err = obuf_err(&text);
	}
	send_it(k, "runtime", op, key, &w, timeout_ns, fn, arg);
	orlop_msgw_done(&w);
	obuf_done(&text);
}

void cni_call(struct kubelet *k, uint32_t op, uint64_t key, const char *id, const char *netns,
	      struct ojson *take_args, rt_fn fn, void *arg)
{
	struct obuf text = OBUF_INIT;
	struct orlop_msgw w;

	orlop_msgw_init(&w, k->h);
	if (id)
		orlop_msgw_str(&w, ORLOP_CNI_T_CONTAINER_ID, id);
	if (netns)
		orlop_msgw_str(&w, ORLOP_CNI_T_NETNS, netns);
	if (take_args) {
		(void)ojson_write(take_args, 0, &text);
		ojson_unref(take_args);
		orlop_msgw_bytes(&w, ORLOP_CNI_T_ARGS, obuf_cstr(&text), text.len);
	}
	send_it(k, "cni", op, key, &w, 0, fn, arg);
	orlop_msgw_done(&w);
	obuf_done(&text);
}

static void gc_done(void *arg, int status, const struct ojson *res, const struct orlop_msg *msg, const char *why)
{
	struct kubelet *k = arg;

	(void)res;
	(void)msg;
	if (status < 0 && status != -ECANCELED)
		OLOG(k->h, WARN, "cni_gc", "why=\"%s\" ignoring=1", why);
}

void cni_gc(struct kubelet *k)
{
	struct orlop_msgw w;

	orlop_msgw_init(&w, k->h);
	OMAP_FOREACH(&k->pods, e) {
		const struct pod *p = e->value;

		if (p->sb_id && !(p->td_done & TD_NET))
			orlop_msgw_str(&w, ORLOP_CNI_T_KEEP, p->sb_id);
	}
	OMAP_FOREACH(&k->unknown, u)
		orlop_msgw_str(&w, ORLOP_CNI_T_KEEP, u->key);
	send_it(k, "cni", ORLOP_CNI_GC, 0, &w, 0, gc_done, k);
	orlop_msgw_done(&w);
}

struct ojson *rt_id(const char *key, const char *value)
{
	struct ojson *j = ojson_new_object();

	(void)ojson_set_cstr(j, key, value);
	return j;
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void poll_again(void *arg);

static void event_handle(struct kubelet *k, const struct ojson *ev)
{
	const char *type = ojson_get_cstr(ev, "type", "");
	const char *id = ojson_get_cstr(ev, "containerId", "");

	if (strcmp(type, "CONTAINER_STOPPED_EVENT") && strcmp(type, "CONTAINER_DELETED_EVENT"))
		return;
	OMAP_FOREACH(&k->pods, e) {
		struct pod *p = e->value;
		uint32_t i;

		for (i = 0; i < p->n_ctrs; i++)
			if (p->ctrs[i]->id && !strcmp(p->ctrs[i]->id, id) && p->ctrs[i]->state != C_EXITED)
				ctr_check(p->ctrs[i]);
	}
}

static void polled(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err,
		   uint32_t flags)
{
	struct kubelet *k = arg;
	cleanup_ojson struct ojson *list = NULL;
	struct orlop_bytes text;

	(void)err;
	if (flags & ORLOP_REPLY_MORE)
		return;
	k->poll = NULL;
	if (k->stopping)
		return;
	if (status == -ETIMEDOUT) {
		poll_again(k);
		return;
	}
	if (status < 0) {
		/* a runtime that went away starts its count anew */
		k->cursor = 0;
		adopt_start(k);
		k->h->timer_set(k->poll_timer, POLL_RETRY_NS, 0);
		return;
	}
	k->cursor = orlop_msg_u64(msg, ORLOP_RUNTIME_T_CURSOR, 0);
	text = orlop_msg_bytes(k->h, msg, ORLOP_RUNTIME_T_EVENTS);
	if (text.len && !ojson_parse(text.p, text.len, &list, NULL)) {
		OJSON_FOREACH_ELEM(i, ev, list)
			event_handle(k, ev);
	}
	if (orlop_msg_u64(msg, ORLOP_RUNTIME_T_RELIST, 0))
		adopt_start(k);
	poll_again(k);
}

static void poll_again(void *arg)
{
	struct kubelet *k = arg;
	struct orlop_send s = { .size = sizeof(s), .op = ORLOP_RUNTIME_EVENTS, .to = "runtime",
				.timeout_ns = POLL_NS + 30 * NS_PER_S };
	struct orlop_msgw w;

	if (k->stopping || k->poll)
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_CURSOR, k->cursor);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_WAIT_NS, POLL_NS);
	s.msg = orlop_msgw_msg(&w);
	if (k->h->request(k->h, &s, polled, k, &k->poll))
		k->h->timer_set(k->poll_timer, POLL_RETRY_NS, 0);
	orlop_msgw_done(&w);
}

void rt_events_start(struct kubelet *k)
{
	if (!k->poll_timer && k->h->timer_new(k->h, poll_again, k, &k->poll_timer))
		return;
	poll_again(k);
}

void rt_events_stop(struct kubelet *k)
{
	if (k->poll)
		k->h->request_cancel(k->poll);
	k->h->timer_free(k->poll_timer);
	k->poll_timer = NULL;
	k->h->timer_free(k->adopt_timer);
	k->adopt_timer = NULL;
}

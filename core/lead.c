/*
 * lead.c - leadership by name. In one process whoever asks first has it; others wait in line. The
 * process of an isolated module asks its parent; where a module answers at the address "lead" (api.h),
 * that one is asked, since others may compete elsewhere.
 *
 * The fencing token only grows, also over restarts: it is the wall clock at the gain, or one more than
 * the last token if the clock did not advance.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <orlop/api.h>
#include <orlop/inline/msg.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "isolate.h"
#include "loader.h"

#define LEAD_AGAIN_NS	(UINT64_C(200) * 1000000)

struct orlop_lead {
	struct olist	node;		/* core->leads, in order of asking; core->lead_lock */
	struct olist	held;		/* owner's list; on the shard's loop */
	struct core_shard *shard;
	char		*name;
	orlop_lead_fn	cb;
	void		*arg;
	uint64_t	id;		/* of this process */
	uint64_t	token;		/* 0: waits; core->lead_lock */
	_Atomic uint32_t refs;		/* the module's, and one for a post under way */
	bool		dropped;	/* on the shard's loop */
	uint64_t	told;		/* the token that the module knows of; there, too */
	struct core_post post;		/* lead_tell() */
	bool		telling;	/* it is queued; core->lead_lock */
	/* asked at the address "lead"; all on the main loop */
	bool		asking;
	struct orlop_request *req;	/* NULL: none is under way */
	struct orlop_timer *again;
};

static void lead_unref(struct orlop_lead *l)
{
	if (atomic_fetch_sub(&l->refs, 1) != 1)
		return;
	omem_free(l->name);
	omem_free(l);
}

/* On the shard's loop: what holds now, if that is not what was told last. */
static void lead_tell(void *arg)
{
	struct orlop_lead *l = arg;
	struct core *c = l->shard->inst->core;
	uint64_t token;

	pthread_mutex_lock(&c->lead_lock);
	l->telling = false;
	token = l->token;
	pthread_mutex_unlock(&c->lead_lock);
	if (!l->dropped && l->told && token != l->told) {
		l->told = 0;
		l->cb(l->arg, 0, 0);
	}
	if (!l->dropped && token && token != l->told) {
		l->told = token;
		l->cb(l->arg, 1, token);
	}
	lead_unref(l);
}

/* Takes no memory: who is not told that he lost would lead on, and who is not told that he leads keeps others from it. Lock held. */
static void lead_tell_later(struct orlop_lead *l)
{
	if (l->telling)
		return;
	l->telling = true;
	atomic_fetch_add(&l->refs, 1);
	core_owner_inc(&l->shard->held, CORE_HELD_POST);
	l->post.owner = &l->shard->held;
	if (core_loop_post_node(l->shard->loop, &l->post, lead_tell, l)) {
		core_owner_dec(&l->shard->held, CORE_HELD_POST);
		l->telling = false;
		atomic_fetch_sub(&l->refs, 1);
	}
}

void core_lead_told(struct core *c, uint64_t id, uint64_t token)
{
	pthread_mutex_lock(&c->lead_lock);
	OLIST_FOREACH(n, &c->leads) {
		struct orlop_lead *l = OLIST_ENTRY(n, struct orlop_lead, node);

		if (l->id != id)
			continue;
		l->token = token;
		lead_tell_later(l);
		break;
	}
	pthread_mutex_unlock(&c->lead_lock);
}

/* Gives the name to the first in line. Lock held. */
static void lead_grant(struct core *c, const char *name)
{
	uint64_t now = core_now_wall();

	if (c->up)
		return;		/* not ours to give */
	OLIST_FOREACH(n, &c->leads) {
		struct orlop_lead *l = OLIST_ENTRY(n, struct orlop_lead, node);

		if (strcmp(l->name, name) != 0)
			continue;
		if (l->token)
			return;
		c->last_token = now > c->last_token ? now : c->last_token + 1;
		l->token = c->last_token;
		lead_tell_later(l);
		return;
	}
}

/* ---- asked of a module ---------------------------------------------------------------------------- */

static void lead_ask(void *arg);

static void lead_answered(void *arg, int32_t status, const struct orlop_msg *msg,
			  const struct orlop_error *err, uint32_t flags)
{
	struct orlop_lead *l = arg;

	(void)status;
	(void)err;
	if (flags & ORLOP_REPLY_MORE) {
		l->token = orlop_msg_u64(msg, ORLOP_API_T_TOKEN, 0);
		if (!l->dropped && l->token)
			l->cb(l->arg, 1, l->token);
		return;
	}
	l->req = NULL;
	if (!l->dropped) {
		bool led = l->token != 0;

		l->token = 0;
		core_timer_set(l->again, LEAD_AGAIN_NS, 0);
		if (led)
			l->cb(l->arg, 0, 0);
	}
	lead_unref(l);
}

static void lead_ask(void *arg)
{
	struct orlop_lead *l = arg;
	struct orlop_send send = { .size = sizeof(send), .op = ORLOP_API_LEAD, .to = "lead",
				   .timeout_ns = UINT64_MAX };
	struct orlop_msgw w;
	int r;

	if (l->dropped || atomic_load(&l->shard->closing))
		return;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_str(&w, ORLOP_API_T_NAME, l->name);
	send.msg = orlop_msgw_msg(&w);
	atomic_fetch_add(&l->refs, 1);
	r = core_link_request(l->shard->link, &send, lead_answered, l, &l->req);
	orlop_msgw_done(&w);
	if (r) {
		atomic_fetch_sub(&l->refs, 1);
		core_timer_set(l->again, LEAD_AGAIN_NS, 0);
	}
}

/* ---- the table ------------------------------------------------------------------------------------ */

static int host_lead(const struct orlop_host *h, const char *name, orlop_lead_fn cb, void *arg,
		     struct orlop_lead **ret)
{
	struct core_shard *s = core_shard_of(h);
	struct core *c = s->inst->core;
	struct orlop_lead *l;

	if (atomic_load(&s->closing))
		return -ECANCELED;
	l = OMEM_NEW(struct orlop_lead);
	if (!l || !(l->name = omem_strdup(name))) {
		omem_free(l);
		return -ENOMEM;
	}
	l->shard = s;
	l->cb = cb;
	l->arg = arg;
	atomic_init(&l->refs, 1);
	olist_init(&l->node);
	/* Addresses are known to the main loop, where shard 0 of every module runs. */
	l->asking = !c->up && s->loop == c->main && core_loader_answerer(c, "lead");
	if (l->asking && core_timer_new(c->main, NULL, lead_ask, l, &l->again)) {
		lead_unref(l);
		return -ENOMEM;
	}
	olist_append(&s->held.list[CORE_HELD_LEAD], &l->held);
	core_owner_inc(&s->held, CORE_HELD_LEAD);
	*ret = l;
	if (l->asking) {
		lead_ask(l);
		return 0;
	}
	pthread_mutex_lock(&c->lead_lock);
	olist_append(&c->leads, &l->node);
	l->id = ++c->last_lead;
	lead_grant(c, name);
	pthread_mutex_unlock(&c->lead_lock);
	if (c->up)
		core_up_lead(c->up, l->id, name);
	return 0;
}

static void host_lead_drop(struct orlop_lead *l)
{
	struct core *c;

	if (!l)
		return;
	c = l->shard->inst->core;
	l->dropped = true;
	olist_del(&l->held);
	core_owner_dec(&l->shard->held, CORE_HELD_LEAD);
	if (l->asking) {
		core_timer_free(l->again);
		if (l->req)
			core_request_cancel(l->req);	/* answered once more, then it dies */
		lead_unref(l);
		return;
	}
	pthread_mutex_lock(&c->lead_lock);
	olist_del(&l->node);
	lead_grant(c, l->name);
	pthread_mutex_unlock(&c->lead_lock);
	if (c->up)
		core_up_lead_drop(c->up, l->id);
	lead_unref(l);
}

uint32_t core_host_lead_reclaim(struct core_shard *s)
{
	struct olist *n;
	uint32_t count = 0;

	while ((n = olist_first(&s->held.list[CORE_HELD_LEAD]))) {
		host_lead_drop(OLIST_ENTRY(n, struct orlop_lead, held));
		count++;
	}
	return count;
}

void core_host_fill_lead(struct orlop_host *h)
{
	h->lead = host_lead;
	h->lead_drop = host_lead_drop;
}

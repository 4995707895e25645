/*
 * topic.c - topics and notes that a link listens to; publishing.
 *
 * The switch knows one subscription per link and topic; here it fans out to those who asked.
 */
#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "link.h"

struct link_topic {
	struct core_idnode id;		/* by number, in link->topics */
	struct olist	subs;
	bool		calling;	/* subs are being walked: the dead stay until it is over */
};

struct core_note_sub {
	struct olist	node;
	struct core_link *link;
	struct link_topic *topic;
	core_note_fn	note;		/* one of the two */
	orlop_topic_fn	message;
	void		*arg;
	bool		dead;
};

int core_topics_init(struct core_link *link)
{
	return core_idtab_init(&link->topics);
}

static void topic_free(struct link_topic *t)
{
	struct olist *node;

	while ((node = olist_shift(&t->subs)) != NULL)
		omem_free(OLIST_ENTRY(node, struct core_note_sub, node));
	omem_free(t);
}

void core_topics_done(struct core_link *link)
{
	struct core_idnode *n;

	for (uint32_t i = 0; link->topics.buckets && i < link->topics.n_buckets; i++)
		while ((n = link->topics.buckets[i]) != NULL) {
			struct link_topic *t = OLIST_ENTRY(n, struct link_topic, id);

			core_idtab_del(&link->topics, n);
			/* Closed by one of its own callbacks: the walk frees it. */
			if (!t->calling)
				topic_free(t);
		}
	core_idtab_done(&link->topics);
}

static int control_send(struct core_link *link, uint32_t kind, uint32_t topic)
{
	struct core_frame *f = core_frame_new(kind);

	if (!f)
		return -ENOMEM;
	f->h.op = topic;
	core_link_send(link, f);
	return 0;
}

static int sub_new(struct core_link *link, uint32_t topic, core_note_fn note, orlop_topic_fn message,
		   void *arg, struct core_note_sub **ret)
{
	struct core_idnode *n;
	struct link_topic *t;
	struct core_note_sub *s;

	if (link->closed)
		return -ECANCELED;
	n = core_idtab_get(&link->topics, topic);
	t = n ? OLIST_ENTRY(n, struct link_topic, id) : NULL;
	s = OMEM_NEW(struct core_note_sub);
	if (!s)
		return -ENOMEM;
	if (!t) {
		t = OMEM_NEW(struct link_topic);
		if (!t) {
			omem_free(s);
			return -ENOMEM;
		}
		olist_init(&t->subs);
		core_idtab_add(&link->topics, &t->id, topic);
	}
	/* Also if the link listens already: the switch then repeats the present value for the new one. */
	if (control_send(link, CORE_W_SUBSCRIBE, topic)) {
		omem_free(s);
		return -ENOMEM;		/* an empty topic may stay: it costs nothing and goes with the link */
	}
	s->link = link;
	s->topic = t;
	s->note = note;
	s->message = message;
	s->arg = arg;
	olist_append(&t->subs, &s->node);
	*ret = s;
	return 0;
}

int core_link_note_subscribe(struct core_link *link, int32_t topic, core_note_fn cb, void *arg,
			     struct core_note_sub **ret)
{
	if (topic <= 0)
		return topic < 0 ? topic : -EINVAL;	/* what core_bus_topic() said */
	return sub_new(link, (uint32_t)topic, cb, NULL, arg, ret);
}

int core_link_subscribe(struct core_link *link, const char *topic, orlop_topic_fn cb, void *arg)
{
	int32_t n = core_bus_topic(link->bus, topic);
	struct core_note_sub *s;

	return n < 0 ? n : sub_new(link, (uint32_t)n, NULL, cb, arg, &s);
}

static void sub_end(struct core_note_sub *s)
{
	struct core_link *link = s->link;
	struct link_topic *t = s->topic;

	olist_del(&s->node);
	omem_free(s);
	if (!olist_empty(&t->subs))
		return;
	/* Without memory to say so we go on hearing and ignore it. */
	(void)control_send(link, CORE_W_UNSUBSCRIBE, (uint32_t)t->id.id);
	core_idtab_del(&link->topics, &t->id);
	omem_free(t);
}

void core_note_unsubscribe(struct core_note_sub *sub)
{
	if (!sub)
		return;
	if (sub->topic->calling)
		sub->dead = true;
	else
		sub_end(sub);
}

void core_topic_input(struct core_link *link, struct core_frame *f)
{
	struct core_idnode *n = core_idtab_get(&link->topics, f->h.op);
	struct link_topic *t = n ? OLIST_ENTRY(n, struct link_topic, id) : NULL;
	struct orlop_msg msg = core_parcel_msg(f->parcel);
	struct olist *last;

	if (!t || olist_empty(&t->subs))
		return;
	t->calling = true;
	last = olist_last(&t->subs);	/* who joins now hears of the next */
	OLIST_FOREACH(node, &t->subs) {
		struct core_note_sub *s = OLIST_ENTRY(node, struct core_note_sub, node);

		if (s->dead)
			;
		else if (f->h.kind == CORE_W_NOTE && s->note)
			s->note(s->arg, f->h.value);
		else if (f->h.kind == CORE_W_EVENT && s->message)
			s->message(s->arg, &msg);
		if (link->closed || node == last)
			break;
	}
	t->calling = false;
	if (link->closed) {
		topic_free(t);
		return;
	}
	OLIST_FOREACH_SAFE(node, tmp, &t->subs) {
		struct core_note_sub *s = OLIST_ENTRY(node, struct core_note_sub, node);
		bool only = t->subs.next == t->subs.prev;

		if (s->dead)
			sub_end(s);
		else
			only = false;
		if (only)
			break;		/* @t is gone */
	}
}

int core_link_publish(struct core_link *link, const char *topic, const struct orlop_msg *msg)
{
	int32_t n = core_bus_topic(link->bus, topic);
	struct core_frame *f;
	int r;

	if (link->closed || n < 0 || (msg && msg->n_fds > 0)) {
		core_msg_close_fds(msg);
		return n < 0 ? n : link->closed ? -ECANCELED : -EINVAL;
	}
	f = core_frame_new(CORE_W_PUBLISH);
	if (!f)
		return -ENOMEM;
	r = core_parcel_new(msg, NULL, NULL, &f->parcel);
	if (r) {
		core_frame_free(f);
		return r;
	}
	f->h.op = (uint32_t)n;
	f->h.len = f->parcel ? (uint32_t)f->parcel->body.len : 0;
	core_link_send(link, f);
	return 0;
}

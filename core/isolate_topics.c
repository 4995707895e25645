/*
 * isolate_topics.c - topics across processes: hints, as on the bus. A module in a child publishes on its
 * parent's bus; what is published there comes to the child if a shard of it listens, and from its core to
 * all that do. Who is slow, or down, misses some.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "host.h"
#include "isolate_proxy.h"
#include "isolate_up.h"

#define TOPICS_MAX	256u
#define TOPIC_LEN	255u

/* ---- the parent's side -------------------------------------------------------------------------------- */

/* What some child of the instance listens to; for good, as there is no end to listening. */
struct iso_topic {
	struct core_isolate *iso;
	char		name[];
};

static void heard(void *arg, const struct orlop_msg *msg)
{
	struct iso_topic *t = arg;
	struct core_iso_mail m = { .to = t->name, .msg = msg, .hint = true };

	if (t->iso->chan && t->iso->state == ISO_UP)
		(void)core_iso_mail_send(t->iso->chan, CORE_ISO_PUBLISH, 0, &m);
}

static bool topic_ok(struct core_isolate *iso, const char *name)
{
	return strlen(name) <= TOPIC_LEN && (omap_has(&iso->topics, name, strlen(name)) ||
					     omap_count(&iso->topics) < TOPICS_MAX);
}

void iso_topic_subscribe(struct core_isolate *iso, const struct core_iso_got *g)
{
	struct iso_topic *t;
	size_t len;

	if (!g->to || !topic_ok(iso, g->to))
		return;
	len = strlen(g->to);
	t = omap_get(&iso->topics, g->to, len);
	if (t && t->iso)
		return;
	if (!t) {
		t = omem_zalloc(sizeof(*t) + len + 1);
		if (!t)
			return;
		memcpy(t->name, g->to, len);
		if (omap_add(&iso->topics, g->to, len, t)) {
			omem_free(t);
			return;
		}
	}
	if (core_link_subscribe(iso->inst->shards[0].link, t->name, heard, t) == 0)
		t->iso = iso;
}

void iso_topic_publish(struct core_isolate *iso, struct core_iso_got *g)
{
	struct iso_topic *t;
	size_t len;

	if (!g->to || !topic_ok(iso, g->to))
		return;
	/* The name is counted too: the bus keeps it. */
	len = strlen(g->to);
	if (!omap_has(&iso->topics, g->to, len)) {
		t = omem_zalloc(sizeof(*t) + len + 1);
		if (!t)
			return;
		memcpy(t->name, g->to, len);
		if (omap_add(&iso->topics, g->to, len, t)) {
			omem_free(t);
			return;
		}
	}
	(void)core_link_publish(iso->inst->shards[0].link, g->to, g->mail.msg);
	g->msg.n_fds = 0;	/* refused, and closed */
}

/* The link is closed already: nobody calls heard(). */
void iso_topics_free(struct core_isolate *iso)
{
	OMAP_FOREACH(&iso->topics, e)
		omem_free(e->value);
	omap_done(&iso->topics);
}

/* ---- the child's side --------------------------------------------------------------------------------- */

static int host_publish(const struct orlop_host *h, const char *topic, const struct orlop_msg *msg)
{
	struct core_up *up = core_shard_of(h)->inst->core->up;
	struct core_iso_mail m = { .to = topic, .msg = msg, .hint = true };
	int r;

	for (uint32_t i = 0; msg && i < msg->n_fds; i++)
		if (msg->fds[i] >= 0)
			(void)close(msg->fds[i]);
	if (msg && msg->n_fds)
		return -EINVAL;
	r = up->chan ? core_iso_mail_send(up->chan, CORE_ISO_PUBLISH, 0, &m) : -ECANCELED;
	return r == -EAGAIN ? 0 : r;	/* a hint that is lost */
}

static int host_subscribe(const struct orlop_host *h, const char *topic, orlop_topic_fn cb, void *arg)
{
	struct core_shard *s = core_shard_of(h);
	struct core_up *up = s->inst->core->up;
	struct core_iso_mail m = { .to = topic };
	int r = core_link_subscribe(s->link, topic, cb, arg);

	if (r == 0)
		r = up->chan ? core_iso_mail_send(up->chan, CORE_ISO_SUBSCRIBE, 0, &m) : -ECANCELED;
	return r;
}

void core_up_fill_topics(struct orlop_host *h)
{
	h->publish = host_publish;
	h->subscribe = host_subscribe;
}

void core_up_heard(struct core_up *up, struct core_iso_got *g)
{
	if (!g->to)
		return;
	(void)core_link_publish(up->core->self->shards[0].link, g->to, g->mail.msg);
	g->msg.n_fds = 0;
}

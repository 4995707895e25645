/*
 * mend.c - what somebody removes is made again: the bridge, a pod's link, the table of rules. The kernel tells of links
 * that go; a moment later, on a worker, everything is looked at. Nothing runs while nothing goes.
 */
#include "bridge.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/inline/log.h>

#define SOON_NS	UINT64_C(50000000)	/* every pod is cut off */
#define LATER_NS UINT64_C(500000000)	/* one is, or, most often, has ended: many at once are looked at once */

/* On a worker. */
static void look(void *arg)
{
	struct bridge *b = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;

	pthread_mutex_lock(&b->lock);
	if (!b->torn_down && bridge_ensure(b, &err))
		OLOG(b->h, ERR, "mend_failed", "bridge=%s why=\"%s\"", b->name, err.msg);
	for (struct lease *l = b->leases.first; l; l = l->next) {
		char veth[16];

		veth_name(l->id, veth);
		if (onl_link_index(b->nl, veth) != -ENODEV || !l->want.netns || !netns_lives(l->want.netns))
			continue;
		orlop_error_done(&err);
		if (pod_attach(b, l, &err))
			OLOG(b->h, ERR, "mend_failed", "pod=%s link=%s why=\"%s\"", l->want.pod ? l->want.pod : l->id, veth, err.msg);
		else
			OLOG(b->h, WARN, "pod_mended", "pod=%s link=%s text=\"somebody had removed it\"",
			     l->want.pod ? l->want.pod : l->id, veth);
	}
	pthread_mutex_unlock(&b->lock);
	orlop_error_done(&err);
}

static void looked(void *arg)
{
	struct bridge *b = arg;

	b->mending = false;
	if (b->mend_again && b->soon)
		b->h->timer_set(b->soon, SOON_NS, 0);
	b->mend_again = false;
}

static void due(void *arg)
{
	struct bridge *b = arg;

	b->waiting = false;
	if (b->mending) {
		b->mend_again = true;
		return;
	}
	b->mending = b->h->work(b->h, 0, look, looked, b) == 0;
}

struct heard {
	const struct bridge *b;
	bool		bridge;
	bool		veth;
};

static void gone(void *arg, const char *name)
{
	struct heard *h = arg;

	/* whose it was the worker finds out, with the lock */
	h->bridge = h->bridge || !strcmp(name, h->b->name);
	h->veth = h->veth || !strncmp(name, "veth", 4);
}

static void told(void *arg, int32_t fd, uint32_t events)
{
	struct bridge *b = arg;
	struct heard h = { .b = b };

	(void)fd;
	(void)events;
	if (onl_watch_read(b->links, gone, &h) || h.bridge) {
		b->h->timer_set(b->soon, SOON_NS, 0);
		b->waiting = true;
	} else if (h.veth && !b->waiting) {
		b->h->timer_set(b->soon, LATER_NS, 0);
		b->waiting = true;
	}
}

int mend_start(struct bridge *b, struct orlop_error *err)
{
	int e = onl_watch_links(&b->links);

	if (!e)
		e = b->h->timer_new(b->h, due, b, &b->soon);
	if (!e)
		e = b->h->fd_watch(b->h, onl_fd(b->links), ORLOP_FD_READ, told, b, &b->watch);
	if (e)
		return orlop_fail(err, -e, 0, "", "cannot listen for links: %s", strerrordesc_np(-e));
	/* and whatever went while nobody listened */
	b->h->timer_set(b->soon, SOON_NS, 0);
	return 0;
}

void mend_stop(struct bridge *b)
{
	b->h->fd_unwatch(b->watch);
	b->h->timer_free(b->soon);
	onl_close(b->links);
	b->watch = NULL;
	b->soon = NULL;
	b->links = NULL;
}

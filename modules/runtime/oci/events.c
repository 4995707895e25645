/*
 * events.c - telling of containers' lives: the exit directory watched, a ring of events, long polls.
 */
#include "oci.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <orlop/inline/error.h>
#include <orlop/inline/msg.h>

#include "base/ocleanup.h"
#include "base/omem.h"

#define RING		1024u

struct event {
	const char	*type;
	uint64_t	at;
	char		container[OCI_ID_LEN + 1];
	char		sandbox[OCI_ID_LEN + 1];
};

struct poller {
	struct olist	node;
	struct oci	*o;
	struct orlop_call *call;
	struct orlop_timer *timer;
	uint64_t	cursor;
};

static void poll_answer(struct oci *o, struct orlop_call *call, uint64_t cursor)
{
	uint64_t oldest = o->next_event > o->first_event + RING ? o->next_event - RING : o->first_event;
	struct ojson *list = ojson_new_array();
	struct orlop_msgw w;
	struct orlop_msg msg;
	struct obuf text = OBUF_INIT;
	bool lost = cursor < oldest;
	uint64_t i;

	for (i = lost ? oldest : cursor; list && i < o->next_event; i++) {
		const struct event *ev = &o->events[i % RING];
		struct ojson *j = ojson_new_object();

		if (!j)
			break;
		(void)ojson_set_cstr(j, "containerId", ev->container);
		(void)ojson_set_cstr(j, "podSandboxId", ev->sandbox);
		(void)ojson_set_cstr(j, "type", ev->type);
		(void)ojson_set_i64(j, "createdAt", (int64_t)ev->at);
		(void)ojson_append(list, j);
	}
	(void)ojson_write(list, 0, &text);
	ojson_unref(list);
	orlop_msgw_init(&w, o->h);
	orlop_msgw_u64(&w, ORLOP_RUNTIME_T_CURSOR, i);
	orlop_msgw_bytes(&w, ORLOP_RUNTIME_T_EVENTS, text.data, text.len);
	if (lost)
		orlop_msgw_u64(&w, ORLOP_RUNTIME_T_RELIST, 1);
	msg = orlop_msgw_msg(&w);
	o->h->call_done(call, w.err, w.err ? NULL : &msg, NULL);
	orlop_msgw_done(&w);
	obuf_done(&text);
}

static void poller_end(struct poller *p)
{
	struct oci *o = p->o;
	struct orlop_call *call = p->call;
	uint64_t cursor = p->cursor;

	o->h->call_on_cancel(call, NULL, NULL);
	o->h->timer_free(p->timer);
	olist_del(&p->node);
	omem_free(p);
	poll_answer(o, call, cursor);
}

static void poller_due(void *arg)
{
	poller_end(arg);
}

void pollers_wake(void *arg)
{
	struct oci *o = arg;

	while (!olist_empty(&o->pollers))
		poller_end(OLIST_ENTRY(olist_first(&o->pollers), struct poller, node));
}

void event_add(struct oci *o, const char *type, const char *container, const char *sandbox)
{
	struct event *ev = &o->events[o->next_event % RING];

	ev->type = type;
	ev->at = o->h->now_wall(o->h);
	memcpy(ev->container, container, sizeof(ev->container));
	memcpy(ev->sandbox, sandbox, sizeof(ev->sandbox));
	o->next_event++;
	pollers_wake(o);
}

OCI_OP(op_events)
{
	struct oci *o = ctx;
	uint64_t cursor = orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_CURSOR, 0);
	uint64_t wait = orlop_msg_u64(&req->msg, ORLOP_RUNTIME_T_WAIT_NS, 0);
	struct poller *p;

	/* A number of our predecessor is below our first one: answered at once, with "list anew". */
	if (!cursor || cursor > o->next_event)
		cursor = o->next_event;
	if (cursor < o->next_event || !wait) {
		poll_answer(o, call, cursor);
		return 0;
	}
	p = OMEM_NEW(struct poller);
	if (!p || o->h->timer_new(o->h, poller_due, p, &p->timer)) {
		omem_free(p);
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	}
	p->o = o;
	p->call = call;
	p->cursor = cursor;
	olist_append(&o->pollers, &p->node);
	if (wait < 86400ull * 1000000000ull)
		o->h->timer_set(p->timer, wait, 0);
	o->h->call_on_cancel(call, poller_due, p);
	return 0;
}

/* A file appeared in exits/: its name is the container's id. */
static void exits_readable(void *arg, int32_t fd, uint32_t events)
{
	struct oci *o = arg;
	char buf[4096] __attribute__((aligned(8)));
	ssize_t n;
	char *p;

	(void)events;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)(void *)p;
			struct container *c = ev->len ? omap_get_cstr(&o->containers, ev->name) : NULL;

			if (c && !c->busy)
				container_check_exit(o, c);
			if (ev->mask & IN_Q_OVERFLOW)
				OMAP_FOREACH(&o->containers, e)
					container_check_exit(o, e->value);
			p += sizeof(*ev) + ev->len;
		}
	}
}

int events_init(struct oci *o, struct orlop_error *err)
{
	cleanup_free char *dir = path_of(o, "exits");

	olist_init(&o->pollers);
	/* Above all numbers that our predecessor has given: it had less than one event a millisecond. */
	o->first_event = o->h->now_wall(o->h) / 1000000;
	o->next_event = o->first_event;
	o->events = omem_zalloc(RING * sizeof(*o->events));
	if (!o->events || !dir)
		return orlop_fail(err, ENOMEM, 0, "", "no memory");
	o->exit_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (o->exit_fd < 0 || inotify_add_watch(o->exit_fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
		return orlop_fail(err, errno, 0, "", "cannot watch %s: %s", dir, strerrordesc_np(errno));
	return o->h->fd_watch(o->h, o->exit_fd, ORLOP_FD_READ, exits_readable, o, &o->exit_watch);
}

void events_done(struct oci *o)
{
	if (o->events)
		pollers_wake(o);
	o->h->fd_unwatch(o->exit_watch);
	o->exit_watch = NULL;
	if (o->exit_fd >= 0)
		close(o->exit_fd);
	o->exit_fd = -1;
	omem_free(o->events);
	o->events = NULL;
}

/*
 * link.c - a link's end on its loop: opening, what comes and goes, quiescing, closing.
 *
 * What callbacks send is collected and leaves in one packet at the end of the turn: after what came
 * in has been handled, or, for what timers and others send, before the loop sleeps.
 */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/omem.h"
#include "hub.h"

/* Packets handled in one go, so that other descriptors of the loop get their turn. */
#define LINK_BUDGET 64

bool core_link_here(const struct core_link *link)
{
	return pthread_equal(link->thread, pthread_self());
}

struct core_port *core_link_port(struct core_link *link)
{
	return link->port;
}

/* ---- what comes and goes ---------------------------------------------------------------------------- */

void core_link_send(struct core_link *link, struct core_frame *take_f)
{
	core_arq_send(&link->arq, take_f);
	link->dirty = true;
}

static void arq_out(void *arg, const void *packet, size_t len)
{
	struct core_link *link = arg;

	core_sock_send(&link->sock, packet, len);
}

static void arq_deliver(void *arg, struct core_frame *f)
{
	struct core_link *link = arg;

	switch (f->h.kind) {
	case CORE_W_REQUEST:
		core_call_input(link, f);
		return;
	case CORE_W_REPLY:
	case CORE_W_EMIT:
		core_request_input(link, f);
		return;
	case CORE_W_CANCEL:
		core_call_cancel_input(link, f);
		break;
	case CORE_W_CREDIT:
		core_call_credit_input(link, f);
		break;
	case CORE_W_EVENT:
	case CORE_W_NOTE:
		core_topic_input(link, f);
		break;
	case CORE_W_QUIESCED:
		link->quiesced = link->quiet != NULL;
		break;
	default:
		link->arq.stats.rejected++;
		break;
	}
	core_frame_free(f);
}

static void quiet_run(void *arg)
{
	struct core_link *link = arg;
	orlop_cb fn = link->quiet;

	/* Things may have changed between the post and now. */
	if (link->closed || !link->quiesced || link->n_calls > 0)
		return;
	link->quiet = NULL;
	link->quiesced = false;
	fn(link->quiet_arg);
}

static void link_timer(uv_timer_t *t);

static void timer_update(struct core_link *link, uint64_t now)
{
	uint64_t due = core_arq_due(&link->arq);
	uint64_t deadline = core_requests_due(link);

	if (deadline && (!due || deadline < due))
		due = deadline;
	if (due == link->timer_ns)
		return;
	link->timer_ns = due;
	if (!due)
		(void)uv_timer_stop(&link->timer);
	else
		(void)uv_timer_start(&link->timer, link_timer,
				     due <= now ? 0 : (due - now + 999999) / 1000000, 0);
}

void core_link_flush(struct core_link *link)
{
	uint64_t now;

	if (link->closed)
		return;
	now = core_now_mono();
	link->dirty = false;
	core_arq_flush(&link->arq, now);
	timer_update(link, now);
	if (link->quiesced && link->n_calls == 0)
		(void)core_loop_post_node(link->loop, &link->quiet_post, quiet_run, link);
}

static void link_timer(uv_timer_t *t)
{
	struct core_link *link = t->data;

	link->timer_ns = 0;
	core_requests_tick(link, core_now_mono());
	core_link_flush(link);
}

static void link_prepare(uv_prepare_t *p)
{
	struct core_link *link = p->data;

	if (link->dirty)
		core_link_flush(link);
}

static void link_poll(uv_poll_t *p, int status, int events)
{
	struct core_link *link = p->data;
	struct core_owner *o = link->timed;
	uint64_t t0 = core_owner_enter(o);

	(void)status;
	(void)events;
	for (int i = 0; i < LINK_BUDGET && !link->closed; i++) {
		size_t len;
		void *packet = core_sock_recv(&link->sock, &len);

		if (!packet)
			break;
		core_arq_input(&link->arq, packet, len);
		core_sock_free(packet);
	}
	core_link_flush(link);
	core_owner_leave(o, t0);
}

/* ---- open ------------------------------------------------------------------------------------------- */

struct cmd_port {
	struct core_cmd	cmd;
	struct core_port *port;
	int		r;
};

static void port_attach(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_port *c = (struct cmd_port *)(void *)cmd;

	(void)bus;
	c->r = core_port_attach(c->port);
}

static void port_free(struct core_bus *bus, struct core_cmd *cmd)
{
	(void)bus;
	core_port_free(((struct cmd_port *)(void *)cmd)->port);
}

/* The sockets and the switch's end. */
static int link_connect(struct core_link *link)
{
	struct cmd_port c = { .cmd.fn = port_attach };
	struct core_sock there;
	uint64_t epoch;
	char url[64];
	int r;

	link->id = 1 + atomic_fetch_add_explicit(&link->bus->next_link, 1, memory_order_relaxed);
	/* Never the same twice, in this process or the next. */
	core_random(&epoch, sizeof(epoch));
	epoch = (epoch << 24) | link->id;
	(void)snprintf(url, sizeof(url), "inproc://orlop-%p-%u", (void *)link->bus, link->id);
	r = core_sock_pair(url, &there, &link->sock);
	if (r)
		return r;
	core_arq_init(&link->arq, epoch);
	link->arq.arg = link;
	link->arq.deliver = arq_deliver;
	link->arq.out = arq_out;
	if (link->bus->cfg.loss_percent | link->bus->cfg.dup_percent | link->bus->cfg.reorder_percent)
		link->arq.batch_max = 1;
	r = core_port_new(link->bus, link->id, epoch, link->name, &there, &c.port);
	if (r) {
		core_sock_close(&there);
		return r;
	}
	core_hub_run(link->bus, &c.cmd);
	if (c.r) {
		c.cmd.fn = port_free;
		core_hub_run(link->bus, &c.cmd);
		return c.r;
	}
	link->port = c.port;
	return 0;
}

/* Everything but handles: of a link that failed to open, or whose handles are closed. */
static void link_free(void *arg)
{
	struct core_link *link = arg;

	core_requests_done(link);
	core_calls_done(link);
	core_topics_done(link);
	core_arq_stop(&link->arq);
	core_sock_close(&link->sock);
	core_parcel_unref(link->who);
	pthread_mutex_destroy(&link->lock);
	link->magic = 0;
	omem_free(link->name);
	omem_free(link);
}

int core_link_open(struct core_bus *bus, const struct core_link_spec *spec, struct core_link **ret)
{
	struct core_link *link = OMEM_NEW(struct core_link);
	struct orlop_identity self = { .size = sizeof(self) };
	int r;

	if (!link)
		return -ENOMEM;
	link->magic = CORE_LINK_MAGIC;
	link->bus = bus;
	link->loop = spec->loop;
	link->owner = spec->owner;
	link->timed = spec->timed;
	link->thread = pthread_self();
	link->sock = (struct core_sock)CORE_SOCK_NONE;
	link->flags = spec->flags;
	link->concurrency = spec->concurrency ? spec->concurrency : 64;
	link->ops = spec->ops;
	link->ctx = spec->ctx;
	link->work = spec->work;
	link->work_arg = spec->work_arg;
	core_arq_init(&link->arq, 0);
	(void)pthread_mutex_init(&link->lock, NULL);
	link->name = omem_strdup(spec->name);
	self.user.p = spec->name;
	self.user.len = strlen(spec->name);
	if (!link->name || core_requests_init(link) || core_calls_init(link) || core_topics_init(link))
		r = -ENOMEM;
	else
		r = core_parcel_new(NULL, spec->who ? spec->who : &self, NULL, &link->who);
	if (r == 0)
		r = link_connect(link);
	if (r) {
		link_free(link);
		return r;
	}
	link->trace = link->arq.epoch;
	/* These cannot fail, but for uv_poll_init with a descriptor that epoll refuses: ours is an eventfd. */
	(void)uv_poll_init(&spec->loop->uv, &link->poll, link->sock.fd);
	(void)uv_timer_init(&spec->loop->uv, &link->timer);
	(void)uv_prepare_init(&spec->loop->uv, &link->prepare);
	link->poll.data = link->timer.data = link->prepare.data = link;
	link->refs = 3;
	(void)uv_poll_start(&link->poll, UV_READABLE, link_poll);
	(void)uv_prepare_start(&link->prepare, link_prepare);
	*ret = link;
	return 0;
}

void core_link_serve(struct core_link *link, const struct orlop_ops *ops, void *ctx)
{
	link->ops = ops;
	link->ctx = ctx;
}

/* ---- quiesce, stop, close --------------------------------------------------------------------------- */

struct cmd_mute {
	struct core_cmd	cmd;
	struct core_port *port;
	bool		muted;
};

static void port_mute(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_mute *c = (struct cmd_mute *)(void *)cmd;

	c->port->muted = c->muted;
	c->port->quiescing = false;
	core_names_ready(bus, c->port);
}

static void link_mute(struct core_link *link, bool muted)
{
	struct cmd_mute c = { .cmd.fn = port_mute, .port = link->port, .muted = muted };

	core_hub_run(link->bus, &c.cmd);
}

int core_link_quiesce(struct core_link *link, orlop_cb fn, void *arg)
{
	struct core_frame *f = NULL;

	if (link->closed)
		return -ECANCELED;
	if (fn) {
		f = core_frame_new(CORE_W_QUIESCE);
		if (!f)
			return -ENOMEM;
	}
	link->quiet = fn;
	link->quiet_arg = arg;
	link->quiesced = false;
	link_mute(link, true);
	/* A frame, because its answer comes behind all requests that are on their way to us. */
	if (f)
		core_link_send(link, f);
	return 0;
}

void core_link_resume(struct core_link *link)
{
	link->quiet = NULL;
	link->quiesced = false;
	if (!link->closed)
		link_mute(link, false);
}

struct cmd_counts {
	struct core_cmd	cmd;
	struct core_port *port;
	uint32_t	calls;
};

/* Open there, or (given up by the caller already) still on its way here. */
static void port_counts(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_counts *c = (struct cmd_counts *)(void *)cmd;

	(void)bus;
	c->calls = core_arq_pending(&c->port->arq, CORE_W_REQUEST);
	if (c->calls < c->port->n_open)
		c->calls = c->port->n_open;
}

void core_link_counts(struct core_link *link, struct core_link_open_counts *ret)
{
	struct cmd_counts c = { .cmd.fn = port_counts, .port = link->port };

	if (!link->closed)
		core_hub_run(link->bus, &c.cmd);
	ret->calls = c.calls > link->n_calls ? c.calls : link->n_calls;
	ret->requests = link->requests.count;
}

void core_link_unref(struct core_link *link)
{
	if (--link->refs > 0)
		return;
	/* A post of ours may still be queued: behind it nothing touches the link. */
	if (core_loop_post_node(link->loop, &link->free_post, link_free, link))
		link_free(link);
}

static void handle_closed(uv_handle_t *h)
{
	core_link_unref(h->data);
}

void core_link_close(struct core_link *link)
{
	struct cmd_port c = { .cmd.fn = port_free };

	if (!link || link->closed)
		return;
	link->closed = true;
	link->stopped = true;
	uv_close((uv_handle_t *)&link->poll, handle_closed);
	uv_close((uv_handle_t *)&link->timer, handle_closed);
	uv_close((uv_handle_t *)&link->prepare, handle_closed);
	/* The switch first: until it has let go it may follow references that our frames hold. */
	c.port = link->port;
	core_hub_run(link->bus, &c.cmd);
	link->port = NULL;
	core_arq_stop(&link->arq);
	core_sock_close(&link->sock);
	core_requests_done(link);
	core_calls_done(link);
	core_topics_done(link);
}

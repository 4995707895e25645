/*
 * route.c - where messages go, and the requests that are open.
 *
 * The switch sees every request and every answer, so it is the one that decides how a request ends:
 * whoever gives up, is closed or is full, exactly one answer leaves for the caller, after which all
 * that belongs to the request is thrown away here.
 */
#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "hub.h"

/* ---- the record of the last messages -------------------------------------------------------------- */

static void recent_add(struct core_port *p, const struct core_bus_head *h)
{
	if (p) {
		p->recent[p->n_recent % CORE_HUB_RECENT] = *h;
		p->n_recent++;
	}
}

void core_route_record(struct core_bus *bus, struct core_port *src, struct core_port *dst,
		       const struct core_name *n, uint64_t latency_ns, const struct core_frame *f)
{
	struct core_bus_head h = {
		.at_ns = bus->now, .corr = f->h.corr, .trace = f->h.trace,
		.src = src ? src->id : 0, .dst = dst ? dst->id : 0, .op = f->h.op,
		.status = f->h.status, .len_bytes = f->h.len, .kind = f->h.kind,
		.name = n ? n->id : 0, .latency_ns = latency_ns,
	};

	recent_add(src, &h);
	if (dst != src)
		recent_add(dst, &h);
	if (bus->tap)
		bus->tap(bus->tap_arg, &h, src ? src->name : "", dst ? dst->name : "",
			 core_parcel_msg(f->parcel).body);
}

/* ---- open requests ---------------------------------------------------------------------------------- */

static struct core_open *open_get(struct core_bus *bus, uint64_t corr)
{
	struct core_idnode *n = core_idtab_get(&bus->open, corr);

	return n ? OLIST_ENTRY(n, struct core_open, id) : NULL;
}

static void quiesce_check(struct core_port *p)
{
	struct core_frame *f;

	if (!p->quiescing || p->n_open > 0)
		return;
	f = core_frame_new(CORE_W_QUIESCED);
	if (!f)
		return;		/* again at the next answer, or the next QUIESCE */
	p->quiescing = false;
	core_port_send(p, f);
}

/* Out of all lists; the memory stays. */
static void open_end(struct core_bus *bus, struct core_open *o)
{
	core_idtab_del(&bus->open, &o->id);
	olist_del(&o->of_src);
	o->src->n_asked--;
	if (o->parked) {
		olist_del(&o->parked->node);
		o->name->n_parked--;
		core_frame_free(o->parked);
		o->parked = NULL;
	}
	if (o->dst) {
		olist_del(&o->of_dst);
		o->dst->n_open--;
		quiesce_check(o->dst);
	}
}

/* How long somebody has had it; 0: nobody. */
static uint64_t open_ns(const struct core_bus *bus, const struct core_open *o)
{
	return o->dst && bus->now > o->start_ns ? bus->now - o->start_ns : 0;
}

/* The switch's own answer. */
static void open_answer(struct core_bus *bus, struct core_open *o, int32_t status)
{
	struct core_frame *f = &o->answer;
	struct core_port *src = o->src;

	f->h.kind = CORE_W_REPLY;
	f->h.corr = o->id.id;
	f->h.trace = o->trace;
	f->h.dst = src->id;
	f->h.status = status;
	core_route_record(bus, o->dst, src, o->name, open_ns(bus, o), f);
	open_end(bus, o);
	core_port_send(src, f);
}

static void latency_add(struct core_port *p, uint64_t ns)
{
	p->latency[ns ? 63 - __builtin_clzll(ns) : 0]++;
}

/* ---- requests ----------------------------------------------------------------------------------------- */

/* Who has so much open that others would find no room is refused a little earlier than they. */
static uint32_t reserve(const struct core_bus *bus, const struct core_port *src)
{
	return bus->cfg.open_max >= 1024 && src->n_asked > bus->cfg.open_max / 2 ? bus->cfg.open_max / 8 : 0;
}

static void request_forward(struct core_bus *bus, struct core_open *o, struct core_frame *f,
			    struct core_port *dst)
{
	if (dst->n_open >= bus->cfg.open_max - reserve(bus, o->src)) {
		dst->refused++;
		core_frame_free(f);
		open_answer(bus, o, -EBUSY);
		return;
	}
	o->dst = dst;
	o->start_ns = bus->now;
	olist_append(&dst->open, &o->of_dst);
	dst->requests_in++;
	if (++dst->n_open > dst->open_peak)
		dst->open_peak = dst->n_open;
	core_route_record(bus, o->src, dst, o->name, 0, f);
	core_port_send(dst, f);
}

static void request_park(struct core_bus *bus, struct core_open *o, struct core_frame *f)
{
	struct core_name *n = o->name;

	if (n->n_parked >= bus->cfg.park_max) {
		core_frame_free(f);
		open_answer(bus, o, -EBUSY);
		return;
	}
	core_route_record(bus, o->src, NULL, n, 0, f);
	o->parked = f;
	olist_append(&n->parked, &f->node);
	n->n_parked++;
}

void core_route_release(struct core_name *n)
{
	struct olist *node;

	while (n->port && !n->port->muted && (node = olist_shift(&n->parked)) != NULL) {
		struct core_frame *f = OLIST_ENTRY(node, struct core_frame, node);
		struct core_bus *bus = n->port->bus;
		struct core_open *o = open_get(bus, f->h.corr);

		n->n_parked--;
		o->parked = NULL;
		request_forward(bus, o, f, n->port);
	}
}

/* A request whose frame becomes its own answer, before there is a struct core_open. */
static void request_refuse(struct core_port *p, struct core_frame *f, int32_t status)
{
	core_parcel_unref(f->parcel);
	f->parcel = NULL;
	f->h.kind = CORE_W_REPLY;
	f->h.dst = p->id;
	f->h.src = 0;
	f->h.status = status;
	f->h.len = 0;
	core_port_send(p, f);
}

static void request_in(struct core_port *p, struct core_frame *f)
{
	struct core_bus *bus = p->bus;
	struct core_name *n = core_name_get(bus, f->h.dst);
	struct core_open *o;

	/* Numbers of a link only grow: one that does not is a repeat and has been taken. */
	if (f->h.corr >> CORE_WIRE_CORR_BITS != p->id || f->h.corr <= p->last_corr) {
		p->arq.stats.rejected++;
		core_frame_free(f);
		return;
	}
	p->last_corr = f->h.corr;
	p->requests_out++;
	if (!n) {
		request_refuse(p, f, -EINVAL);
		return;
	}
	o = OMEM_NEW(struct core_open);
	if (!o) {
		request_refuse(p, f, -ENOMEM);
		return;
	}
	olist_init(&o->answer.node);
	olist_init(&o->of_dst);
	o->src = p;
	o->name = n;
	o->trace = f->h.trace;
	o->answer.h.op = f->h.op;
	olist_append(&p->asked, &o->of_src);
	p->n_asked++;
	core_idtab_add(&bus->open, &o->id, f->h.corr);
	if (n->port && !n->port->muted)
		request_forward(bus, o, f, n->port);
	else
		request_park(bus, o, f);
}

/* From the answerer, to the caller: an answer or a part of one. */
static void reply_in(struct core_port *p, struct core_frame *f)
{
	struct core_bus *bus = p->bus;
	struct core_open *o = open_get(bus, f->h.corr);
	struct core_port *src;

	if (!o || o->dst != p) {
		core_frame_free(f);	/* the caller has given up */
		return;
	}
	src = o->src;
	f->h.dst = src->id;
	core_route_record(bus, p, src, o->name, open_ns(bus, o), f);
	if (f->h.kind == CORE_W_REPLY) {
		latency_add(p, bus->now - o->start_ns);
		open_end(bus, o);
		omem_free(o);
	}
	core_port_send(src, f);
}

static void credit_in(struct core_port *p, struct core_frame *f)
{
	struct core_open *o = open_get(p->bus, f->h.corr);

	if (o && o->src == p && o->dst)
		core_port_send(o->dst, f);
	else
		core_frame_free(f);
}

/* The caller gives up: it gets its answer from here, the answerer hears of it. */
static void cancel_in(struct core_port *p, struct core_frame *f)
{
	struct core_bus *bus = p->bus;
	struct core_open *o = open_get(bus, f->h.corr);
	int32_t status = f->h.status < 0 ? f->h.status : -ECANCELED;

	if (!o || o->src != p) {
		core_frame_free(f);	/* the answer is on its way */
		return;
	}
	if (!o->dst && status == -ETIMEDOUT)
		status = -EHOSTUNREACH;
	if (o->dst) {
		core_route_record(bus, p, o->dst, o->name, 0, f);
		core_port_send(o->dst, f);
	} else {
		core_frame_free(f);
	}
	open_answer(bus, o, status);
}

void core_route_port_gone(struct core_port *p)
{
	struct core_bus *bus = p->bus;

	p->quiescing = false;
	while (!olist_empty(&p->asked)) {
		struct core_open *o = OLIST_ENTRY(olist_first(&p->asked), struct core_open, of_src);
		struct core_frame *f = o->dst && o->dst != p ? core_frame_new(CORE_W_CANCEL) : NULL;

		if (f) {
			f->h.src = p->id;
			f->h.corr = o->id.id;
			f->h.status = -ECONNRESET;
			core_port_send(o->dst, f);
		}
		open_end(bus, o);
		omem_free(o);
	}
	while (!olist_empty(&p->open)) {
		p->resets++;
		open_answer(bus, OLIST_ENTRY(olist_first(&p->open), struct core_open, of_dst),
			    -ECONNRESET);
	}
}

/* ---- topics and the rest ----------------------------------------------------------------------------- */

static void publish_in(struct core_port *p, struct core_frame *f)
{
	struct core_name *n = core_name_get(p->bus, f->h.op);

	core_route_record(p->bus, p, NULL, n, 0, f);
	if (n)
		OLIST_FOREACH(node, &n->subs) {
			struct core_port *dst = OLIST_ENTRY(node, struct core_sub, of_name)->port;
			struct core_frame *e = NULL;

			if (dst->arq.n_queue < p->bus->cfg.hint_max)
				e = core_frame_new(CORE_W_EVENT);
			if (!e) {
				dst->hints_dropped++;
				continue;
			}
			e->h = f->h;
			e->h.kind = CORE_W_EVENT;
			e->parcel = core_parcel_ref(f->parcel);
			core_port_send(dst, e);
		}
	core_frame_free(f);
}

static void control_in(struct core_port *p, struct core_frame *f)
{
	struct core_name *n;

	switch (f->h.kind) {
	case CORE_W_SUBSCRIBE:
	case CORE_W_UNSUBSCRIBE:
		n = core_name_get(p->bus, f->h.op);
		if (n && f->h.kind == CORE_W_UNSUBSCRIBE)
			core_sub_del(p, n);
		else if (!n || core_sub_add(p, n))
			core_hub_log(p->bus, ORLOP_LOG_ERR, "bus_subscribe",
				     "link=%s topic=%s not subscribed: no memory", p->name,
				     n ? n->name : "?");
		break;
	case CORE_W_QUIESCE:
		p->quiescing = p->muted;	/* not if it has been resumed since */
		quiesce_check(p);
		break;
	default:
		p->arq.stats.rejected++;
		break;
	}
	core_frame_free(f);
}

void core_route(struct core_port *p, struct core_frame *f)
{
	f->h.src = p->id;
	switch (f->h.kind) {
	case CORE_W_REQUEST:
		request_in(p, f);
		break;
	case CORE_W_REPLY:
	case CORE_W_EMIT:
		reply_in(p, f);
		break;
	case CORE_W_CREDIT:
		credit_in(p, f);
		break;
	case CORE_W_CANCEL:
		cancel_in(p, f);
		break;
	case CORE_W_PUBLISH:
		publish_in(p, f);
		break;
	default:
		control_in(p, f);
		break;
	}
}

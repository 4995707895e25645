/*
 * port.c - the switch's end of a link: socket in, loss injector, repeat, socket out.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/omem.h"
#include "hub.h"

/* Packets that a port may bring in one turn, so that a loud link does not starve the others. */
#define PORT_BUDGET 64

static void packet_in(void *arg, const void *packet, size_t len)
{
	struct core_port *p = arg;

	core_arq_input(&p->arq, packet, len);
}

static void packet_out(void *arg, const void *packet, size_t len)
{
	struct core_port *p = arg;

	core_sock_send(&p->sock, packet, len);
}

static void arq_out(void *arg, const void *packet, size_t len)
{
	struct core_port *p = arg;

	core_loss_pass(&p->loss_out, packet, len, packet_out, p);
}

static void arq_deliver(void *arg, struct core_frame *f)
{
	core_route(arg, f);
}

static void port_dirty(struct core_port *p)
{
	if (olist_empty(&p->dirty))
		olist_append(&p->bus->dirty, &p->dirty);
}

void core_port_input(struct core_port *p)
{
	for (int i = 0; i < PORT_BUDGET; i++) {
		size_t len;
		void *packet = core_sock_recv(&p->sock, &len);

		if (!packet)
			break;
		core_loss_pass(&p->loss_in, packet, len, packet_in, p);
		core_sock_free(packet);
	}
	port_dirty(p);
}

void core_port_flush(struct core_port *p)
{
	core_arq_flush(&p->arq, p->bus->now);
	olist_del(&p->timed);
	if (core_arq_due(&p->arq))
		olist_append(&p->bus->timed, &p->timed);
}

void core_port_send(struct core_port *p, struct core_frame *take_f)
{
	core_arq_send(&p->arq, take_f);
	port_dirty(p);
}

static void loss_init(struct core_loss *l, struct core_bus *bus, uint64_t salt)
{
	l->loss_percent = bus->cfg.loss_percent;
	l->dup_percent = bus->cfg.dup_percent;
	l->reorder_percent = bus->cfg.reorder_percent;
	l->random = bus->random + salt * UINT64_C(0x632be59bd9b4e019);
}

int core_port_new(struct core_bus *bus, uint32_t id, uint64_t epoch, const char *name,
		  const struct core_sock *take_sock, struct core_port **ret)
{
	struct core_port *p = OMEM_NEW(struct core_port);

	if (!p)
		return -ENOMEM;
	p->name = omem_strdup(name);
	if (!p->name) {
		omem_free(p);
		return -ENOMEM;
	}
	p->bus = bus;
	p->id = id;
	p->epoch = epoch;
	p->sock = *take_sock;
	olist_init(&p->node);
	olist_init(&p->dirty);
	olist_init(&p->timed);
	olist_init(&p->asked);
	olist_init(&p->open);
	olist_init(&p->subs);
	core_arq_init(&p->arq, epoch);
	p->arq.arg = p;
	p->arq.deliver = arq_deliver;
	p->arq.out = arq_out;
	loss_init(&p->loss_in, bus, (uint64_t)id * 2);
	loss_init(&p->loss_out, bus, (uint64_t)id * 2 + 1);
	/* The injector works on packets: then each is one frame, or its victims come in heaps. */
	if (bus->cfg.loss_percent | bus->cfg.dup_percent | bus->cfg.reorder_percent)
		p->arq.batch_max = 1;
	*ret = p;
	return 0;
}

int core_port_attach(struct core_port *p)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = p };

	if (epoll_ctl(p->bus->epoll, EPOLL_CTL_ADD, p->sock.fd, &ev) < 0)
		return -errno;
	olist_append(&p->bus->ports, &p->node);
	for (uint32_t i = 0; i < CORE_HUB_PORTS_SHOWN; i++)
		if (!atomic_load_explicit(&p->bus->shown[i], memory_order_relaxed)) {
			atomic_store_explicit(&p->bus->shown[i], p, memory_order_release);
			break;
		}
	return 0;
}

void core_port_free(struct core_port *p)
{
	for (uint32_t i = 0; i < CORE_HUB_PORTS_SHOWN; i++)
		if (atomic_load_explicit(&p->bus->shown[i], memory_order_relaxed) == p)
			atomic_store_explicit(&p->bus->shown[i], NULL, memory_order_release);
	if (!olist_empty(&p->node))
		(void)epoll_ctl(p->bus->epoll, EPOLL_CTL_DEL, p->sock.fd, NULL);
	core_names_port_gone(p->bus, p);
	core_route_port_gone(p);
	olist_del(&p->node);
	olist_del(&p->dirty);
	olist_del(&p->timed);
	/* Frames first: a queued note points back to its subscription. */
	core_arq_stop(&p->arq);
	while (!olist_empty(&p->subs))
		core_sub_free(OLIST_ENTRY(olist_first(&p->subs), struct core_sub, of_port));
	core_loss_done(&p->loss_in);
	core_loss_done(&p->loss_out);
	core_sock_close(&p->sock);
	omem_free(p->name);
	omem_free(p);
}

/*
 * name.c - addresses and topics: names to numbers, who answers where, who wants to hear what.
 */
#include <errno.h>
#include <string.h>

#include "base/omem.h"
#include "hub.h"

#define NAMES_ROW (1u << CORE_HUB_NAMES_BITS)

struct core_name *core_name_get(struct core_bus *bus, uint32_t id)
{
	_Atomic(struct core_name *) *row;

	if (id == 0 || id >= CORE_HUB_NAMES_MAX)
		return NULL;
	row = atomic_load_explicit(&bus->names[id / NAMES_ROW], memory_order_acquire);
	return row ? atomic_load_explicit(&row[id % NAMES_ROW], memory_order_acquire) : NULL;
}

/* With bus->lock held. */
static struct core_name *name_add(struct core_bus *bus, const char *name)
{
	uint32_t id = atomic_load_explicit(&bus->n_names, memory_order_relaxed) + 1;
	_Atomic(struct core_name *) *row;
	struct core_name *n;

	if (id >= CORE_HUB_NAMES_MAX)
		return NULL;
	row = atomic_load_explicit(&bus->names[id / NAMES_ROW], memory_order_relaxed);
	if (!row) {
		row = omem_zalloc(NAMES_ROW * sizeof(*row));
		if (!row)
			return NULL;
		atomic_store_explicit(&bus->names[id / NAMES_ROW], row, memory_order_release);
	}
	n = OMEM_NEW(struct core_name);
	if (!n || !(n->name = omem_strdup(name)) ||
	    omap_add(&bus->names_by_name, name, strlen(name), n)) {
		if (n)
			omem_free(n->name);
		omem_free(n);
		return NULL;
	}
	n->id = id;
	olist_init(&n->parked);
	olist_init(&n->subs);
	atomic_store_explicit(&row[id % NAMES_ROW], n, memory_order_release);
	atomic_store_explicit(&bus->n_names, id, memory_order_release);
	return n;
}

int32_t core_bus_topic(struct core_bus *bus, const char *name)
{
	struct core_name *n;

	pthread_mutex_lock(&bus->lock);
	n = omap_get_cstr(&bus->names_by_name, name);
	if (!n)
		n = name_add(bus, name);
	pthread_mutex_unlock(&bus->lock);
	return n ? (int32_t)n->id : -ENOMEM;
}

void core_names_done(struct core_bus *bus)
{
	uint32_t count = atomic_load(&bus->n_names);

	for (uint32_t id = 1; id <= count; id++) {
		struct core_name *n = core_name_get(bus, id);

		omem_free(n->name);
		omem_free(n);
	}
	for (uint32_t i = 0; i < NAMES_ROW; i++)
		omem_free((void *)atomic_load(&bus->names[i]));
	omap_done(&bus->names_by_name);
}

/* ---- addresses ------------------------------------------------------------------------------------- */

static void name_ready(struct core_name *n)
{
	atomic_store_explicit(&n->ready, n->port && !n->port->muted, memory_order_release);
	core_route_release(n);
}

void core_names_ready(struct core_bus *bus, struct core_port *p)
{
	uint32_t count = atomic_load_explicit(&bus->n_names, memory_order_acquire);

	for (uint32_t id = 1; id <= count; id++) {
		struct core_name *n = core_name_get(bus, id);

		if (n->port == p)
			name_ready(n);
	}
}

void core_names_port_gone(struct core_bus *bus, struct core_port *p)
{
	uint32_t count = atomic_load_explicit(&bus->n_names, memory_order_acquire);

	for (uint32_t id = 1; id <= count; id++) {
		struct core_name *n = core_name_get(bus, id);

		if (n->port == p) {
			n->port = NULL;
			name_ready(n);
		}
	}
}

struct cmd_address {
	struct core_cmd	cmd;
	struct core_name *name;
	struct core_port *port;
};

static void address_set(struct core_bus *bus, struct core_cmd *cmd)
{
	struct cmd_address *c = (struct cmd_address *)(void *)cmd;

	(void)bus;
	c->name->port = c->port;
	name_ready(c->name);
}

int core_bus_address_set(struct core_bus *bus, const char *name, struct core_link *link)
{
	int32_t id = core_bus_topic(bus, name);
	struct cmd_address c = { .cmd.fn = address_set };

	if (id < 0)
		return id;
	c.name = core_name_get(bus, (uint32_t)id);
	c.port = link ? core_link_port(link) : NULL;
	core_hub_run(bus, &c.cmd);
	return 0;
}

bool core_bus_address_ready(struct core_bus *bus, const char *name)
{
	struct core_name *n;

	pthread_mutex_lock(&bus->lock);
	n = omap_get_cstr(&bus->names_by_name, name);
	pthread_mutex_unlock(&bus->lock);
	return n && atomic_load_explicit(&n->ready, memory_order_acquire);
}

/* ---- subscriptions and notes ------------------------------------------------------------------------- */

static struct core_sub *sub_find(struct core_port *p, struct core_name *n)
{
	OLIST_FOREACH(node, &n->subs) {
		struct core_sub *s = OLIST_ENTRY(node, struct core_sub, of_name);

		if (s->port == p)
			return s;
	}
	return NULL;
}

static void note_send(struct core_sub *s, uint64_t value)
{
	struct core_frame *f;

	if (s->queued) {
		s->queued->h.value = value;
		s->port->notes_merged++;
		return;
	}
	f = core_frame_new(CORE_W_NOTE);
	if (!f) {
		s->port->hints_dropped++;
		return;
	}
	f->h.op = s->name->id;
	f->h.value = value;
	f->back = &s->queued;
	s->queued = f;
	core_port_send(s->port, f);
}

int core_sub_add(struct core_port *p, struct core_name *n)
{
	struct core_sub *s = sub_find(p, n);
	uint64_t value;

	if (!s) {
		s = OMEM_NEW(struct core_sub);
		if (!s)
			return -ENOMEM;
		s->name = n;
		s->port = p;
		olist_append(&n->subs, &s->of_name);
		olist_append(&p->subs, &s->of_port);
	}
	value = atomic_load_explicit(&n->value, memory_order_acquire);
	if (value > 0)
		note_send(s, value);
	return 0;
}

void core_sub_free(struct core_sub *s)
{
	if (s->queued)
		s->queued->back = NULL;
	olist_del(&s->of_name);
	olist_del(&s->of_port);
	omem_free(s);
}

void core_sub_del(struct core_port *p, struct core_name *n)
{
	struct core_sub *s = sub_find(p, n);

	if (s)
		core_sub_free(s);
}

void core_bus_note(struct core_bus *bus, int32_t topic, uint64_t value)
{
	struct core_name *n = topic > 0 ? core_name_get(bus, (uint32_t)topic) : NULL;
	uint64_t old;

	if (!n)
		return;
	old = atomic_load_explicit(&n->value, memory_order_relaxed);
	do {
		if (value <= old)
			return;
	} while (!atomic_compare_exchange_weak_explicit(&n->value, &old, value, memory_order_acq_rel,
							memory_order_relaxed));
	/* Either we find it queued, and who takes it from the queue then sees our value, or we queue it. */
	if (atomic_exchange_explicit(&n->noted, true, memory_order_acq_rel))
		return;
	n->noted_next = atomic_load_explicit(&bus->noted, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&bus->noted, &n->noted_next, n,
						      memory_order_acq_rel, memory_order_relaxed))
		;
	core_hub_wake(bus);
}

void core_names_noted(struct core_bus *bus)
{
	struct core_name *n = atomic_exchange_explicit(&bus->noted, NULL, memory_order_acq_rel);
	struct core_name *next;

	for (; n; n = next) {
		uint64_t value;

		next = n->noted_next;
		/* An exchange, so that it pairs with that of whoever found @noted set and left it to us. */
		(void)atomic_exchange_explicit(&n->noted, false, memory_order_acq_rel);
		value = atomic_load_explicit(&n->value, memory_order_acquire);
		OLIST_FOREACH(node, &n->subs)
			note_send(OLIST_ENTRY(node, struct core_sub, of_name), value);
	}
}

/*
 * hub.c - the switch: its thread, its turns, commands from other threads.
 */
#include "hub.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/omem.h"
#include "loop.h"

#define EVENTS_MAX 64

void core_hub_log(struct core_bus *bus, int32_t level, const char *event, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!bus->cfg.log)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bus->cfg.log(bus->cfg.log_arg, level, event, text);
}

void core_hub_wake(struct core_bus *bus)
{
	uint64_t one = 1;

	if (!atomic_exchange_explicit(&bus->woken, true, memory_order_acq_rel))
		/* EAGAIN: it is awake. Anything else would be lost for ever: once more, then. */
		if (write(bus->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
			(void)!write(bus->wake, &one, sizeof(one));
}

void core_hub_run(struct core_bus *bus, struct core_cmd *cmd)
{
	cmd->next = NULL;
	cmd->done = false;
	pthread_mutex_lock(&bus->lock);
	*bus->cmds_tail = cmd;
	bus->cmds_tail = &cmd->next;
	core_hub_wake(bus);
	while (!cmd->done)
		pthread_cond_wait(&bus->cond, &bus->lock);
	pthread_mutex_unlock(&bus->lock);
}

static void cmds_run(struct core_bus *bus)
{
	struct core_cmd *c;
	struct core_cmd *next;

	pthread_mutex_lock(&bus->lock);
	c = bus->cmds;
	bus->cmds = NULL;
	bus->cmds_tail = &bus->cmds;
	pthread_mutex_unlock(&bus->lock);
	for (; c; c = next) {
		next = c->next;
		c->fn(bus, c);
		pthread_mutex_lock(&bus->lock);
		c->done = true;		/* from here on it may be gone */
		pthread_cond_broadcast(&bus->cond);
		pthread_mutex_unlock(&bus->lock);
	}
}

static void woken(struct core_bus *bus)
{
	uint64_t n;

	(void)!read(bus->wake, &n, sizeof(n));
	/* Before looking: who comes later writes again. */
	atomic_store_explicit(&bus->woken, false, memory_order_seq_cst);
	core_names_noted(bus);
	cmds_run(bus);
}

/* Milliseconds until the first timer, rounded up; -1: none, so an idle switch sleeps. */
static int turn_timeout(struct core_bus *bus)
{
	uint64_t first = 0;

	OLIST_FOREACH(n, &bus->timed) {
		uint64_t due = core_arq_due(&OLIST_ENTRY(n, struct core_port, timed)->arq);

		if (due && (!first || due < first))
			first = due;
	}
	if (!first)
		return -1;
	bus->now = core_now_mono();
	return first <= bus->now ? 0 : (int)((first - bus->now + 999999) / 1000000);
}

static void bus_main(void *arg)
{
	struct core_bus *bus = arg;
	struct epoll_event ev[EVENTS_MAX];
	struct olist *node;

	while (!bus->stop) {
		bool cmd = false;
		int n = epoll_wait(bus->epoll, ev, EVENTS_MAX, turn_timeout(bus));

		bus->now = core_now_mono();
		for (int i = 0; i < n; i++)
			if (ev[i].data.ptr)
				core_port_input(ev[i].data.ptr);
			else
				cmd = true;
		/* After the ports, because a command may free one. */
		if (cmd)
			woken(bus);
		OLIST_FOREACH_SAFE(t, tmp, &bus->timed) {
			struct core_port *p = OLIST_ENTRY(t, struct core_port, timed);

			if (core_arq_due(&p->arq) <= bus->now && olist_empty(&p->dirty))
				olist_append(&bus->dirty, &p->dirty);
		}
		while ((node = olist_shift(&bus->dirty)) != NULL)
			core_port_flush(OLIST_ENTRY(node, struct core_port, dirty));
	}
}

static void cmd_stop(struct core_bus *bus, struct core_cmd *cmd)
{
	(void)cmd;
	bus->stop = true;
}

static void bus_done(struct core_bus *bus)
{
	core_names_done(bus);
	core_idtab_done(&bus->open);
	if (bus->wake >= 0)
		(void)close(bus->wake);
	if (bus->epoll >= 0)
		(void)close(bus->epoll);
	pthread_cond_destroy(&bus->cond);
	pthread_mutex_destroy(&bus->lock);
	omem_free(bus);
}

int core_bus_new(const struct core_bus_config *cfg, struct core_bus **ret)
{
	struct core_bus *bus = OMEM_NEW(struct core_bus);
	struct epoll_event ev = { .events = EPOLLIN };
	int r;

	if (!bus)
		return -ENOMEM;
	if (cfg)
		bus->cfg = *cfg;
	if (!bus->cfg.open_max)
		bus->cfg.open_max = 8192;
	if (!bus->cfg.park_max)
		bus->cfg.park_max = 4096;
	if (!bus->cfg.hint_max)
		bus->cfg.hint_max = 1024;
	bus->random = bus->cfg.seed ? bus->cfg.seed : 1;
	olist_init(&bus->ports);
	olist_init(&bus->dirty);
	olist_init(&bus->timed);
	bus->cmds_tail = &bus->cmds;
	omap_init(&bus->names_by_name);
	(void)pthread_mutex_init(&bus->lock, NULL);
	(void)pthread_cond_init(&bus->cond, NULL);
	bus->epoll = epoll_create1(EPOLL_CLOEXEC);
	bus->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bus->epoll < 0 || bus->wake < 0 ||
	    epoll_ctl(bus->epoll, EPOLL_CTL_ADD, bus->wake, &ev) < 0)
		r = -errno;
	else
		r = core_idtab_init(&bus->open);
	if (r == 0)
		r = core_thread_start("bus", 0, bus_main, bus, &bus->thread);
	if (r) {
		bus_done(bus);
		return r;
	}
	*ret = bus;
	return 0;
}

void core_bus_free(struct core_bus *bus)
{
	struct core_cmd cmd = { .fn = cmd_stop };

	if (!bus)
		return;
	core_hub_run(bus, &cmd);
	(void)pthread_join(bus->thread, NULL);
	bus_done(bus);
}

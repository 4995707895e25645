/*
 * hub.h - the inside of the switch: ports, names, open requests. Only core/bus includes it.
 *
 * Everything here belongs to the switch's thread unless it says otherwise. Other threads reach it by
 * commands (core_hub_run), which wait, and by notes, which do not.
 */
#ifndef CORE_BUS_HUB_H
#define CORE_BUS_HUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "arq.h"
#include "base/olist.h"
#include "base/omap.h"
#include "bus.h"
#include "idtab.h"
#include "loss.h"
#include "sock.h"

#define CORE_HUB_RECENT		64u	/* heads kept per port */
#define CORE_HUB_PORTS_SHOWN	256u	/* ports that core_bus_dump() can show */
#define CORE_HUB_NAMES_BITS	8u
#define CORE_HUB_NAMES_MAX	(1u << (2 * CORE_HUB_NAMES_BITS))

/* The switch's end of a link. */
struct core_port {
	struct core_bus	*bus;
	struct olist	node;		/* in bus->ports */
	struct olist	dirty;		/* in bus->dirty: to be flushed in this turn */
	struct olist	timed;		/* in bus->timed: core_arq_due() is not 0 */
	uint32_t	id;
	uint64_t	epoch;
	char		*name;
	struct core_sock sock;
	struct core_arq	arq;
	struct core_loss loss_in;
	struct core_loss loss_out;
	bool		muted;		/* requests to its addresses are parked */
	bool		quiescing;	/* owes a QUIESCED when n_open is 0 */
	struct olist	asked;		/* core_open: sent by it */
	struct olist	open;		/* core_open: to be answered by it */
	uint32_t	n_open;
	uint32_t	n_asked;	/* in asked */
	uint32_t	open_peak;
	uint64_t	last_corr;	/* of its requests: each is taken once */
	struct olist	subs;		/* core_sub */
	uint64_t	requests_in;
	uint64_t	requests_out;
	uint64_t	refused;
	uint64_t	resets;
	uint64_t	hints_dropped;
	uint64_t	notes_merged;
	uint32_t	latency[64];	/* answers by log2 of their ns */
	struct core_bus_head recent[CORE_HUB_RECENT];
	uint32_t	n_recent;	/* ever */
};

/* A name: an address, a topic, or both. Made by any thread, never freed before the bus. */
struct core_name {
	uint32_t	id;
	char		*name;
	struct core_port *port;		/* who answers here */
	atomic_bool	ready;		/* there is one, not muted: for other threads */
	struct olist	parked;		/* request frames that wait for one */
	uint32_t	n_parked;
	struct olist	subs;		/* core_sub */
	_Atomic uint64_t value;		/* of notes */
	atomic_bool	noted;		/* is in bus->noted */
	struct core_name *noted_next;
};

struct core_sub {
	struct olist	of_name;
	struct olist	of_port;
	struct core_name *name;
	struct core_port *port;
	struct core_frame *queued;	/* a note that has not left yet: the newest value goes there */
};

/*
 * A request that is not answered. Begins with the frame of the answer that the switch gives if the
 * answerer cannot: there is always memory for it.
 */
struct core_open {
	struct core_frame answer;
	struct core_idnode id;		/* by corr, in bus->open */
	struct olist	of_src;
	struct olist	of_dst;
	struct core_port *src;
	struct core_port *dst;		/* NULL: parked */
	struct core_name *name;
	struct core_frame *parked;
	uint64_t	start_ns;
	uint64_t	trace;
};

struct core_cmd {
	struct core_cmd	*next;
	void		(*fn)(struct core_bus *bus, struct core_cmd *cmd);
	bool		done;
};

struct core_bus {
	struct core_bus_config cfg;
	pthread_t	thread;
	int		epoll;
	int		wake;		/* eventfd */
	bool		stop;
	uint64_t	now;		/* of this turn */
	struct olist	ports;
	struct olist	dirty;
	struct olist	timed;
	struct core_idtab open;
	uint64_t	random;
	core_bus_tap_fn	tap;
	void		*tap_arg;

	/* other threads */
	pthread_mutex_t	lock;		/* guards the next four */
	pthread_cond_t	cond;		/* a command is done */
	struct core_cmd	*cmds;
	struct core_cmd	**cmds_tail;
	struct omap	names_by_name;
	atomic_bool	woken;		/* wake is written and not read yet */
	_Atomic(struct core_name *) noted;	/* stack of names with a new value */
	_Atomic uint32_t n_names;
	_Atomic uint32_t next_link;
	/* By number, in two steps, so that looking up takes no lock. */
	_Atomic(struct core_name *) *_Atomic names[1u << CORE_HUB_NAMES_BITS];
	_Atomic(struct core_port *) shown[CORE_HUB_PORTS_SHOWN];	/* for core_bus_dump() */
};

/* hub.c: runs @cmd->fn on the switch's thread and waits for it. Any other thread. */
void core_hub_run(struct core_bus *bus, struct core_cmd *cmd);
void core_hub_wake(struct core_bus *bus);		/* any thread */
void core_hub_log(struct core_bus *bus, int32_t level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* port.c */
int core_port_new(struct core_bus *bus, uint32_t id, uint64_t epoch, const char *name,
		  const struct core_sock *take_sock, struct core_port **ret);	/* any thread */
int core_port_attach(struct core_port *p);
void core_port_free(struct core_port *p);	/* detaches: its requests are answered */
void core_port_input(struct core_port *p);
void core_port_flush(struct core_port *p);
void core_port_send(struct core_port *p, struct core_frame *take_f);

/* route.c: what a port received. Takes @f. */
void core_route(struct core_port *p, struct core_frame *f);
void core_route_release(struct core_name *n);	/* what is parked goes, if there is somebody */
void core_route_port_gone(struct core_port *p);
void core_route_record(struct core_bus *bus, struct core_port *src, struct core_port *dst,
		       const struct core_name *n, uint64_t latency_ns, const struct core_frame *f);

/* name.c */
struct core_name *core_name_get(struct core_bus *bus, uint32_t id);		/* any thread */
void core_names_ready(struct core_bus *bus, struct core_port *p);	/* p's muting changed */
void core_names_port_gone(struct core_bus *bus, struct core_port *p);
void core_names_noted(struct core_bus *bus);	/* pass on what core_bus_note() left */
void core_names_done(struct core_bus *bus);
int core_sub_add(struct core_port *p, struct core_name *n);
void core_sub_del(struct core_port *p, struct core_name *n);
void core_sub_free(struct core_sub *s);

/* link.c: the port of a link; for commands */
struct core_port *core_link_port(struct core_link *link);

#endif

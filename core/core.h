/*
 * core.h - the whole: what one daemon is, and what one instance of a module is to the core.
 *
 * struct core owns everything; there is one per process and no static points to it. A module instance
 * is struct core_instance with one struct core_shard per loop it runs on; the shard carries the host
 * table that the module sees and what the module holds through it. The core itself is an instance too
 * ("core", built in): the address "core" is its ops table (admin.c), its requests are its shard's.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <orlop/host.h>
#include <orlop/inline/error.h>

#include "base/olist.h"
#include "loop.h"

struct core_log;
struct core_metrics;
struct core_config;
struct core_workers;
struct core_workq;
struct core_net;
struct core_bus;		/* core/bus/bus.h */
struct core_link;		/* one end of the bus */
struct core_cache;		/* core/cache/cache.h */
struct core_host_cache;
struct core_feeder;
struct core_image;		/* a mapped .so: loader.h */
struct core_life;		/* life.h */
struct core_loader;
struct core_replacement;	/* replacing.c */
struct core_param_old;
struct core_admin;
struct core_up;
struct core_isolate;
struct core_isolates;
struct core_taps;

enum core_state {
	CORE_LOADED,		/* mapped and checked, waits for what it needs */
	CORE_STARTING,		/* init … start; not ready yet */
	CORE_READY,
	CORE_STOPPING,		/* address is away; finishing */
	CORE_FAILED,		/* undone; reason in inst->why */
	CORE_GONE,
};

struct core_shard;

/* What the host table's priv points to. */
struct orlop_host_priv {
	struct core_shard *shard;
};

/* One shard of one instance: lives on one loop. */
struct core_shard {
	struct orlop_host host;		/* what the module sees; host.priv = &priv */
	struct orlop_host_priv priv;
	struct core_instance *inst;
	struct core_loop *loop;
	uint32_t	n;
	void		*mod_shard;	/* from shard_init */
	bool		inited;		/* shard_init was successful (or there is none) */
	struct core_owner held;		/* counts of all it has open */
	atomic_bool	closing;	/* post, request … answer -ECANCELED */
	struct core_link *link;		/* opened on the loop before init/shard_init */
	bool		linked;		/* the main loop knows that it is open, and that nobody closes it now */
	/*
	 * The one step of loading or unloading that is posted for this shard, to its loop or back;
	 * here so that it needs no memory when there is none.
	 */
	struct core_post step;
	struct orlop_error err;		/* why it could not begin; err.err 0: it could */
	/* of unload.c, while the shard drains; on its loop */
	struct orlop_timer *drain;
	uint64_t	drain_t0;
	bool		quiet;		/* no call is open */
	bool		link_stopped;
	bool		stuck;
	_Atomic uint32_t up_requests;	/* in the process of an isolated module: sent to the parent, open */
};

/*
 * A parameter's value as text, with its number. Changed only on the main loop, read by any thread:
 * a text that was replaced is kept as long as the instance.
 */
struct core_param {
	const struct orlop_param *def;	/* borrowed from the module */
	char		*_Atomic value;	/* NULL: unset without default */
	_Atomic int64_t	num;
	bool		given;		/* by the configuration or an administrator, not the default */
};

/* One loaded module. Members are written on the main loop only. */
struct core_instance {
	struct olist	node;		/* core->instances */
	struct core	*core;
	struct core_image *image;	/* NULL: built in */
	char		*name;		/* "storage/lmdb" or as configured */
	char		*class_name;	/* "storage" */
	char		*class_slash;	/* "storage/lmdb" */
	struct orlop_module mod;	/* the descriptor, as far as its size says; the rest is zero */
	const struct orlop_ops *ops;	/* NULL: serves nothing */
	uint32_t	n_ops;		/* members of ops->op[] that exist, by ops->size */
	void		*ctx;
	_Atomic int	state;		/* enum core_state */
	char		why[512];	/* of CORE_FAILED */
	char		*user;		/* the API user it acts as */
	char		**provides;	/* NULL-terminated, or NULL */
	char		**needs;
	char		**reads;	/* "pods", "deployments.apps;metadata", "*" */
	struct core_asks *asks;		/* of the API: asks.h; NULL: whatever its user may */
	struct core_param *params;	/* n = mod.n_params */
	struct core_param_old *old_values; /* texts that somebody may still read: param.c */
	struct core_workq *work;	/* host->work() */
	struct core_workq *ops_work;	/* blocking ops: concurrency of the module, order per key */
	struct orlop_identity who;	/* of the module's own requests; points into user */
	uint32_t	n_shards;
	struct core_shard *shards;	/* n_shards */
	uint32_t	number;		/* unique in this process, never reused; > 0 */
	uint64_t	since_ns;	/* mono: entered this state */
	struct core_loader_job *job;	/* loading or unloading under way */
	const struct core_life *life;	/* how its steps are done: life.h */
	struct core_replacement *rep;	/* it replaces another, or is replaced; both are one of these: */
	_Atomic int32_t	stop_reason;	/* ORLOP_STOP_*; 0: it goes on */
	bool		arriving;	/* its predecessor still serves */
	bool		retired;	/* its successor serves already */
	uint64_t	stall_ns;	/* requests waited so long when it took over; 0: it did not */
	bool		stuck;		/* CORE_FAILED: unloading it did not end; may be tried again */
	struct core_post ready;		/* ready() on its way to the main loop */
	struct core_post fail;		/* fail(), too, with its reason while failing */
	atomic_bool	failing;
	char		fail_reason[256];
	struct orlop_health health;	/* as last seen; core->lock */
	atomic_bool	health_asked;	/* a refresh is under way */
	struct core_isolate *iso;	/* isolate.h: it lives in a process of its own; else NULL */
};

struct core {
	atomic_bool	ending;		/* the daemon has been told to end */
	struct core_config *config;
	struct core_log	*log;
	struct core_metrics *metrics;
	struct core_workers *workers;
	struct core_net	*net;
	struct core_bus	*bus;
	struct core_cache *cache;
	struct core_host_cache *hc;	/* what it needs from here: host_cache.h */
	struct core_loader *loader;
	struct core_admin *admin;

	struct core_loop *main;		/* = loops[0] */
	struct core_loop **loops;	/* started when the first shard needs them */
	uint32_t	n_loops;	/* running */
	uint32_t	max_loops;	/* processors, or as configured */

	pthread_mutex_t	lock;		/* guards the list below for other threads' reading */
	struct olist	instances;	/* struct core_instance.node; changed on the main loop */
	uint32_t	next_number;
	struct core_instance *self;	/* the instance "core" */

	bool		crash;		/* the crash handler has its page: crash.c */
	uint64_t	epoch;		/* of this process: random, > 0 */
	uint64_t	start_mono;
	uint64_t	start_wall;
	/* Asked to end: by the control socket, or because a module cannot go on (@reason). Main loop. */
	void		(*end)(void *arg, const char *reason);
	void		*end_arg;
	struct core_post end_post;	/* asked by the control socket */
	pthread_mutex_t	lead_lock;	/* guards leads */
	struct olist	leads;
	uint64_t	last_token;
	struct core_taps *taps;		/* NULL: nobody looks at the bus; main loop, others: core->lock */
	_Atomic bool	tapped;		/* it is not NULL */
	uint64_t	last_lead;
	struct core_up	*up;		/* isolate.h: this is the process of one isolated module; else NULL */
	struct core_isolates *isolates;	/* those with processes of their own; NULL: none yet */
};

/* Shard of a host table. */
static inline struct core_shard *core_shard_of(const struct orlop_host *h)
{
	return h->priv->shard;
}

/*
 * core_new - everything but modules: loops, log, bus, cache, the instance "core"
 *
 * @take_config is the core's from here on, also on failure. The calling thread is the main loop's.
 */
int core_new(struct core_config *take_config, struct core **ret, struct orlop_error *err);
/* All modules are unloaded (core_loader_stop_all). Accepts NULL. */
void core_free(struct core *c);

/* Refreshes inst->health. Main loop. */
void core_instance_health(struct core_instance *inst, struct orlop_health *ret);

/* The instance by its name, class or class/name (first in load order), NULL if none. Main loop. */
struct core_instance *core_instance_find(struct core *c, const char *name);

/* Loop number @n, started if need be. Main loop. */
int core_loop_get(struct core *c, uint32_t n, struct core_loop **ret);

#endif

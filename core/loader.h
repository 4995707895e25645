/*
 * loader.h - modules come and go: files, addresses, the order of their calls.
 */
#ifndef CORE_LOADER_H
#define CORE_LOADER_H

#include "base/omap.h"
#include "core.h"
#include "image.h"

struct core_config_module;

/*
 * The end of a load or unload. @status 0: @inst is ready (load) or gone (unload: NULL); otherwise
 * -errno and @err says why; everything is as before.
 */
typedef void (*core_loaded_fn)(void *arg, int status, struct core_instance *inst,
			const struct orlop_error *err);

struct core_loader {
	struct core	*core;
	struct core_images images;
	struct omap	addresses;	/* name → instance that answers there */
	struct core_post kick;		/* look for instances whose needs are now there */
	uint32_t	n_jobs;		/* loads and unloads under way */
	bool		stopping;
	struct core_post stop;		/* the end of core_loader_stop_all() is on its way */
	orlop_cb	stopped;	/* of core_loader_stop_all() */
	void		*stopped_arg;
};

/* All on the main loop. */
int core_loader_new(struct core *c);
void core_loader_free(struct core *c);		/* all instances are gone */

/*
 * core_loader_load - load one module; @fn is called later, once
 *
 * 0, or -errno with @err if it does not even begin: then @fn is not called.
 */
int core_loader_load(struct core *c, const struct core_config_module *cm, core_loaded_fn fn,
		     void *arg, struct orlop_error *err);

/*
 * core_loader_plan - check a list of modules before anything is loaded
 *
 * Reads every file's modinfo: ABI, names given twice, needs that nobody provides, cycles.
 */
int core_loader_plan(struct core *c, const struct core_config_module *list, uint32_t n,
		     struct orlop_error *err);

/* Refused with -ENOENT, or -EBUSY if others need it, or it is already on its way. @fn as above. */
int core_loader_unload(struct core *c, const char *name, core_loaded_fn fn, void *arg,
		       struct orlop_error *err);

/* Unloads everything, users before what they use; then calls @fn. */
void core_loader_stop_all(struct core *c, orlop_cb fn, void *arg);

/* The file of "class/name", "class" or a path. The caller frees. */
int core_loader_path(struct core *c, const char *module, char **ret, struct orlop_error *err);

/*
 * core_loader_set - live parameters of an instance that is ready, all of @cm's or none
 *
 * 0, or -errno with @err. @ret_changed: how many have another value now; may be NULL.
 */
int core_loader_set(struct core *c, const char *name, const struct core_config_module *cm,
		    uint32_t *ret_changed, struct orlop_error *err);
/* Would core_loader_set() do it? Changes nothing. */
int core_loader_set_check(struct core *c, const char *name, const struct core_config_module *cm,
			  struct orlop_error *err);

/* param.c: values and what they were before. */
void core_params_free(struct core_instance *inst);

/* From the host table, any thread. */
void core_loader_ready(struct core_instance *inst);
void core_loader_failed(struct core_instance *inst, const char *reason);

const char *core_state_name(int state);

/* The address's instance, NULL: nobody. */
struct core_instance *core_loader_answerer(struct core *c, const char *address);

/* instance.c */
int core_instance_new(struct core *c, struct core_image *img, const struct core_config_module *cm,
		      struct core_instance **ret, struct orlop_error *err);
void core_instance_free(struct core_instance *inst);	/* its links are closed; accepts NULL */
/* Opens the shard's link, on its loop. */
int core_shard_open(struct core_shard *s);

/* address.c: addresses */
int core_address_take(struct core_instance *inst);	/* those that are free, or wait for it */
void core_address_drop(struct core_instance *inst);	/* to others that provide them, or nobody */

/* Why an instance is being stopped: what happens once it is. */
enum core_stop_reason {
	CORE_STOP_UNDO,		/* its start has failed: it ends in any case */
	CORE_STOP_UNLOAD,
	CORE_STOP_REPLACE,	/* its successor waits: replacing.c */
};

/* unload.c: from an instance with or without ctx to nothing. */
void core_unload_begin(struct core_instance *inst, bool started);
/* A job to stop @inst, which is ready; the caller then calls life->stop(). 0, -ENOMEM with @err. */
int core_unload_job(struct core_instance *inst, enum core_stop_reason reason, core_loaded_fn fn,
		    void *arg, struct orlop_error *err);
/* An instance that serves, or an end that stuck, goes; @forced: whether it wants to or not. 0 or -errno. */
int core_unload_start(struct core_instance *inst, bool forced, core_loaded_fn fn, void *arg,
		      struct orlop_error *err);
/* Stopped: what it still serves may end (until the time for that is over), then life->close(). */
void core_unload_retire(struct core_instance *inst);
/* life->close(), once. */
void core_unload_close(struct core_instance *inst);

/* loader.c: what replacing.c needs. */
/* An instance of the file that @cm names, not in the list yet. */
int core_loader_make(struct core *c, const struct core_config_module *cm, struct core_instance **ret,
		     struct orlop_error *err);
/* Into the list, behind @after (NULL: at the end); begins when its needs are there. */
int core_loader_begin(struct core_instance *inst, struct core_instance *after, core_loaded_fn fn,
		      void *arg, struct orlop_error *err);
/* It serves from now on: its job ends well. */
void core_loader_serves(struct core_instance *inst);
/* Who asked with @fn and @arg, for a load or a replacement, waits no longer: what is not ready yet is taken back out. */
void core_loader_give_up(struct core *c, core_loaded_fn fn, void *arg);
/* What an instance that is not ready waits for, for people; "" if it is. */
void core_loader_waits(const struct core_instance *inst, char *buf, size_t size);
/* Frees what core_loader_make() made. */
void core_loader_unmake(struct core_instance *inst);
/* Does it want that address? */
bool core_address_wanted(const struct core_instance *inst, const char *address);
/* All that @from answers is @to's, or, if it does not want that, another's. On the bus only with @serve. */
void core_address_move(struct core_instance *from, struct core_instance *to, bool serve);
/* Somebody who could not do without @inst, NULL: nobody. @ret_need: for what, may be NULL. */
struct core_instance *core_unload_dependent(struct core_instance *inst, struct core_instance *heir,
					    const char **ret_need);
/* replacing.c: loader's news of an instance that is part of a replacement. */
void core_replacing_ready(struct core_instance *inst);
void core_replacing_leaves(struct core_instance *inst);	/* about to be freed */
/* Is @inst the new one, not ready yet, of a replacement that was asked for so? */
bool core_replacing_for(const struct core_instance *inst, core_loaded_fn fn, const void *arg);
/* How far the data of the old one has got when nothing more can be written. */
void core_replacing_revision(struct core_instance *inst, uint64_t rev);
void core_replacing_stopped(struct core_instance *inst, int r, struct orlop_error *err);

/* What is under way with an instance. */
struct core_loader_job {
	core_loaded_fn	fn;
	void		*arg;
	bool		unload;		/* asked for; otherwise a load */
	bool		forced;		/* stop() may not refuse */
	enum core_stop_reason reason;
	bool		closing;	/* life->close() has been called */
	bool		keep_sockets;	/* those without listener are for the successor */
	uint64_t	drain_until;	/* mono: streams of a retired one, requests of one that ends may go on until then */
	bool		finishing;	/* stopped without successor: its requests are being answered */
	bool		started;	/* start() was called with success */
	bool		has_ctx;	/* init() was successful */
	int		status;
	struct orlop_error err;
	uint32_t	pending;	/* shards that have not reported */
	struct orlop_timer *deadline;
	uint64_t	limit_ns;	/* it has so long from t0 */
	uint64_t	t0;
};

/* The job is done: tells, and frees it. For load failures the instance is freed before. */
void core_job_end(struct core *c, struct core_loader_job *job, struct core_instance *inst);

#endif

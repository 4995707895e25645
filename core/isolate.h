/*
 * isolate.h - a module in a process of its own: `isolation = "process";`.
 *
 * The child is orlopd again (`orlopd --isolated N`): loops, log, cache, workers, one module, and a
 * control channel (isolate_wire.h) to its parent; requests go over it (isolate_relay.c), its cache is
 * fed by the parent, its rights are those that the module declares (rights.h). In the parent an
 * instance stands for it: it has the addresses, is listed, needed, unloaded and replaced like any
 * other; its steps are core_life_isolated (life.h). When the child dies the instance stays and gets
 * another child.
 */
#ifndef CORE_ISOLATE_H
#define CORE_ISOLATE_H

#include "base/obuf.h"
#include "core.h"
#include "life.h"

struct core_config_module;
struct core_isolate;

/* ---- the parent's side; all on the main loop unless it says otherwise -------------------------------- */

extern const struct core_life core_life_isolated;

/*
 * core_isolate_new - an instance for the module file at @path, and the child that maps it
 *
 * What only the file's code knows (parameters, flags) comes later: what is wrong with it is told by
 * core_life_failed(). 0, or -errno with @err.
 */
int core_isolate_new(struct core *c, const char *path, const struct core_config_module *cm,
		     struct core_instance **ret, struct orlop_error *err);
/* Another one of the code that the isolated @inst runs, whatever has become of the file. */
int core_isolate_again(const struct core_instance *inst, const struct core_config_module *cm,
		       struct core_instance **ret, struct orlop_error *err);
/* Kills what is left of it. Accepts NULL. */
void core_isolate_free(struct core_isolate *iso);
void core_isolates_free(struct core *c);	/* with the core */

/* Of an isolated instance, for people: is its child up; "pid", "restarts", "lastExit", "rights" as JSON. */
bool core_isolate_up(const struct core_instance *inst);
void core_isolate_put(const struct core_instance *inst, struct obuf *b);

/* Calls @fn when every child has told its health anew, or has not within a moment. */
int core_isolate_refresh(struct core *c, orlop_cb fn, void *arg);

/* An answer of the child: @status 0 or -errno with @err; @text of the answer. Once, later. */
typedef void (*core_isolate_fn)(void *arg, int status, const char *text, const struct orlop_error *err);
int core_isolate_stats(struct core_instance *inst, core_isolate_fn fn, void *arg);
/*
 * As core_loader_set(): live parameters, all or none; the child's module has its say. @fn (may be NULL) gets
 * the number of those that have another value now as text.
 */
int core_isolate_set(struct core_instance *inst, const struct core_config_module *cm, core_isolate_fn fn,
		     void *arg, struct orlop_error *err);
/* The cache has moved: children hear of it. In a child: its parent does. */
void core_isolate_moved(struct core *c);
/* What the modules of this process read has changed: one that feeds hears of it. */
void core_isolate_wants(struct core *c);
/* The level of its log has changed. */
void core_isolate_level(struct core_instance *inst, int32_t level);
/* The daemon has been told to end: host->ending() says so from now on, there as well. */
void core_isolate_ending(struct core *c);

/* ---- the child's side ------------------------------------------------------------------------------------ */

/* orlopd --isolated FD: never returns but to exit with what it returns. */
int core_isolate_main(int fd);

/* From the parts of the child's core. @up is core->up. Requests of the module go to the parent: */
void core_up_fill_bus(struct orlop_host *h);
int core_up_request(struct core_up *up, struct core_loop *loop, struct core_shard *s, const struct orlop_send *send,
		    orlop_reply_fn cb, void *arg, struct orlop_request **ret);
void core_up_request_cancel(struct orlop_request *r);
/* Those of @s that are open call back with -ECANCELED, soon. On its loop. */
void core_up_stop(struct core_up *up, struct core_shard *s);
/* The parent has the say over what resources there are. Any thread, waits. */
int core_up_register(struct core_up *up, const struct orlop_resource_info *info, struct orlop_error *err);
int core_up_retire(struct core_up *up, const char *name);
void core_up_lead(struct core_up *up, uint64_t id, const char *name);		/* any thread */
void core_up_lead_drop(struct core_up *up, uint64_t id);				/* any thread */
/* The whole process family's metrics; health of all modules. Any thread, waits. */
int core_up_metrics(struct core_up *up, struct obuf *out);
void core_up_health(struct core_up *up, void (*fn)(void *arg, const char *instance,
		    const struct orlop_health *health), void *arg);
/* Number of shards there is a link for. */
uint32_t core_up_shards(const struct core_up *up);
/* @fd is watched by @w from now on, perhaps for files. Any thread. */
void core_up_keep(struct core_up *up, struct orlop_fdwatch *w, int32_t fd);
/* The module's file, mapped already; a use of it. */
int core_up_image(struct core_up *up, struct core_image **ret);
/* Somebody waits for what happened before this cache was fed. Main loop. */
void core_up_feed_past(struct core_up *up);
/* stop() was well; true: what comes next is for the parent to say. Main loop. */
bool core_up_stopped(struct core_up *up);
/* All that was asked of it is done, and @rev is how far its data has come. Main loop. */
void core_up_last(struct core_up *up, uint64_t rev);

#endif

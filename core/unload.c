/*
 * unload.c - from an instance that serves, or has failed to start, to nothing.
 *
 * Addresses away and mute → stop (may refuse: then all is as before) → each shard waits on its own
 * loop until the calls it answers are done, then its own requests are cancelled, then its posts and
 * jobs have run → shard_fini on each loop, shard 0 last and with it fini → what is left is counted,
 * logged, freed → the file is unmapped if that is safe.
 */
#include "loader.h"

#include <errno.h>
#include <string.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "host.h"
#include "log.h"
#include "net.h"
#include "spawn.h"
#include "work.h"

#define DRAIN_LOOK_NS	2000000u			/* how often a draining shard looks */
#define CALLS_NS	UINT64_C(10000000000)		/* for calls to be answered */
#define DRAIN_NS	UINT64_C(30000000000)		/* for all of it */

/* ---- the end, on the main loop ----------------------------------------------------------------------- */

/* Counts what a shard left, frees it, and says so. On the shard's loop. */
static void shard_reclaim(struct core_shard *s)
{
	struct obuf text = OBUF_INIT;

	for (int i = 0; i < CORE_HELD_MAX; i++) {
		uint32_t n = core_owner_count(&s->held, i);

		if (n && i != CORE_HELD_POST)
			obuf_printf(&text, " %s=%u", core_held_name(i), n);
	}
	if (text.len)
		CLOG(s->inst->core, WARN, "module_left", "name=%s shard=%u%s", s->inst->name, s->n,
		     obuf_cstr(&text));
	obuf_done(&text);
	(void)core_loop_reclaim(&s->held);
	(void)core_spawn_reclaim(&s->held);
	(void)core_net_reclaim(&s->held);
	(void)core_net_cancel_connects(&s->held);
	(void)core_host_cache_reclaim(s);
	(void)core_host_lead_reclaim(s);
	core_link_close(s->link);
	s->link = NULL;
}

static void shard_fini(struct core_shard *s)
{
	if (s->inited && s->inst->mod.shard_fini)
		s->inst->mod.shard_fini(s->inst->ctx, s->mod_shard);
	s->inited = false;
}

static void unload_end(struct core_instance *inst)
{
	struct core *c = inst->core;
	struct core_loader_job *job = inst->job;
	uint32_t threads = 0;

	pthread_mutex_lock(&c->lock);
	olist_del(&inst->node);
	pthread_mutex_unlock(&c->lock);
	atomic_store(&inst->state, CORE_GONE);
	core_net_release(c->net, inst->name);
	for (uint32_t i = 0; i < inst->n_shards; i++)
		threads += core_owner_count(&inst->shards[i].held, CORE_HELD_THREAD);
	if (threads) {
		/* They run in its code and know its host table: neither may go. */
		CLOG(c, ERR, "module_threads", "name=%s threads=%u text=\"not joined; the module stays in "
		     "memory\"", inst->name, threads);
		inst->image->pinned = true;
	}
	core_image_close(&c->loader->images, inst->image);
	if (job->unload)
		CLOG(c, INFO, "module_unloaded", "name=%s", inst->name);
	if (!threads)
		core_instance_free(inst);
	core_job_end(c, job, NULL);
	if (c->loader->stopping)
		core_loader_stop_all(c, c->loader->stopped, c->loader->stopped_arg);
}

static void last_down(struct core_instance *inst)
{
	shard_fini(&inst->shards[0]);
	if (inst->job->has_ctx && inst->mod.fini)
		inst->mod.fini(inst->ctx);
	shard_reclaim(&inst->shards[0]);
	unload_end(inst);
}

static void shard_downed(void *arg)
{
	struct core_shard *s = arg;

	if (--s->inst->job->pending == 0)
		last_down(s->inst);
}

static void shard_down(void *arg)
{
	struct core_shard *s = arg;

	shard_fini(s);
	shard_reclaim(s);
	(void)core_loop_post_node(s->inst->core->main, &s->step, shard_downed, s);
}

/* ---- draining, on each shard's loop -------------------------------------------------------------------- */

/* Main loop: all shards are quiet, or one is stuck. */
static void shard_drained(void *arg)
{
	struct core_instance *inst = ((struct core_shard *)arg)->inst;
	struct core_loader_job *job = inst->job;

	if (--job->pending)
		return;
	for (uint32_t i = 0; i < inst->n_shards; i++)
		if (inst->shards[i].stuck) {
			struct core *c = inst->core;

			/* Jobs still run in its code: it can neither go nor come back. */
			job->status = orlop_fail(&job->err, ETIMEDOUT, 0, "", "module %s does not finish: "
						 "jobs=%u posts=%u after %u s", inst->name,
						 core_owner_count(&inst->shards[i].held, CORE_HELD_WORK),
						 core_owner_count(&inst->shards[i].held, CORE_HELD_POST),
						 (unsigned)(DRAIN_NS / 1000000000));
			CLOG(c, ERR, "module_stuck", "name=%s", inst->name);
			(void)snprintf(inst->why, sizeof(inst->why), "%s", job->err.msg);
			atomic_store(&inst->state, CORE_FAILED);
			inst->job = NULL;
			core_job_end(c, job, inst);
			return;
		}
	job->pending = inst->n_shards - 1;
	for (uint32_t i = 1; i < inst->n_shards; i++)
		(void)core_loop_post_node(inst->shards[i].loop, &inst->shards[i].step, shard_down,
					  &inst->shards[i]);
	if (job->pending == 0)
		last_down(inst);
}

static void drain_look(void *arg)
{
	struct core_shard *s = arg;
	struct core_link_open_counts open = { 0, 0 };
	uint64_t waited = core_now_mono() - s->drain_t0;
	bool busy;

	if (s->link)
		core_link_counts(s->link, &open);
	if (!s->link_stopped && (s->quiet || waited > CALLS_NS)) {
		if (!s->quiet)
			CLOG(s->inst->core, WARN, "module_calls", "name=%s calls=%u text=\"not answered; their "
			     "callers get outcome unknown\"", s->inst->name, open.calls);
		s->link_stopped = true;
		if (s->link)
			core_link_stop(s->link);
		(void)core_net_cancel_connects(&s->held);
		atomic_store(&s->closing, true);
	}
	busy = core_owner_count(&s->held, CORE_HELD_POST) || core_owner_count(&s->held, CORE_HELD_WORK);
	if (!s->link_stopped || ((busy || open.requests) && waited < DRAIN_NS)) {
		core_timer_set(s->drain, DRAIN_LOOK_NS, 0);
		return;
	}
	s->stuck = busy;
	core_timer_free(s->drain);
	s->drain = NULL;
	(void)core_loop_post_node(s->inst->core->main, &s->step, shard_drained, s);
}

/* Every call that was on its way here is done. */
static void drain_quiet(void *arg)
{
	struct core_shard *s = arg;

	s->quiet = true;
	if (s->drain)
		core_timer_set(s->drain, 0, 0);
}

static void drain_begin(void *arg)
{
	struct core_shard *s = arg;

	s->drain_t0 = core_now_mono();
	/* No link (a start that failed early) or no memory to ask: then nothing is waited for. */
	if (!s->link || core_link_quiesce(s->link, drain_quiet, s))
		s->quiet = true;
	if (core_timer_new(s->loop, NULL, drain_look, s, &s->drain)) {
		/* No memory for a timer: look again as often as the loop turns. */
		(void)core_loop_post_node(s->loop, &s->step, drain_begin, s);
		return;
	}
	drain_look(s);
}

/* ---- the beginning, on the main loop ------------------------------------------------------------------- */

void core_unload_begin(struct core_instance *inst, bool started)
{
	struct core_loader_job *job = inst->job;
	struct orlop_error err = ORLOP_ERROR_INIT;

	/* Of a load that failed: it may not refuse. */
	if (started && !job->unload && inst->mod.stop)
		(void)inst->mod.stop(inst->ctx, &err);
	orlop_error_done(&err);
	atomic_store(&inst->state, CORE_STOPPING);
	core_timer_clear(job->deadline);
	job->pending = inst->n_shards;
	for (uint32_t i = 0; i < inst->n_shards; i++)
		(void)core_loop_post_node(inst->shards[i].loop, &inst->shards[i].step, drain_begin,
					  &inst->shards[i]);
}

/* Somebody who could not do without @inst, NULL: nobody. */
static struct core_instance *dependent(struct core_instance *inst)
{
	struct core *c = inst->core;

	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *other = OLIST_ENTRY(n, struct core_instance, node);

		if (other == inst || other->state == CORE_LOADED || other->state == CORE_FAILED)
			continue;
		for (char **p = other->needs; p && *p; p++)
			if (core_loader_answerer(c, *p) == inst)
				return other;
	}
	return NULL;
}

static int unload(struct core_instance *inst, bool forced, core_loaded_fn fn, void *arg,
		  struct orlop_error *err)
{
	struct core *c = inst->core;
	struct core_loader_job *job = OMEM_NEW(struct core_loader_job);
	int r = 0;

	if (!job || core_timer_new(c->main, NULL, NULL, NULL, &job->deadline)) {
		omem_free(job);
		return orlop_fail(err, ENOMEM, 0, "", "unload %s: out of memory", inst->name);
	}
	job->err.size = sizeof(job->err);
	job->unload = true;
	job->forced = forced;
	job->started = true;
	job->has_ctx = true;
	job->fn = fn;
	job->arg = arg;
	job->t0 = core_now_mono();
	atomic_store(&inst->state, CORE_STOPPING);
	core_address_drop(inst);
	(void)core_link_quiesce(inst->shards[0].link, NULL, NULL);
	if (inst->mod.stop)
		r = inst->mod.stop(inst->ctx, &job->err);
	if (r && !forced) {
		core_link_resume(inst->shards[0].link);
		atomic_store(&inst->state, CORE_READY);
		(void)core_address_take(inst);
		if (err) {
			*err = job->err;
			job->err.causes = NULL;
			if (!err->err)
				(void)orlop_fail(err, -r, 0, "", "it gives no reason");
		}
		core_timer_free(job->deadline);
		orlop_error_done(&job->err);
		omem_free(job);
		return orlop_wrap(err, r, "module %s refuses to stop", inst->name);
	}
	if (r)
		core_log_text(c->log, inst->name, ORLOP_LOG_WARN, "stop_overruled", job->err.msg);
	orlop_error_done(&job->err);
	inst->job = job;
	c->loader->n_jobs++;
	core_unload_begin(inst, true);
	return 0;
}

int core_loader_unload(struct core *c, const char *name, core_loaded_fn fn, void *arg,
		       struct orlop_error *err)
{
	struct core_instance *inst = core_instance_find(c, name);
	struct core_instance *user;

	if (!inst)
		return orlop_fail(err, ENOENT, 404, "NotFound", "no module %s is loaded", name);
	if (!inst->image)
		return orlop_fail(err, EINVAL, 0, "", "%s is the core itself", name);
	if (inst->state != CORE_READY)
		return orlop_fail(err, EBUSY, 0, "", "module %s is %s", inst->name,
				  core_state_name(inst->state));
	user = dependent(inst);
	if (user)
		return orlop_fail(err, EBUSY, 0, "", "module %s is needed by %s; unload that first",
				  inst->name, user->name);
	return unload(inst, false, fn, arg, err);
}

static void stop_again(void *arg)
{
	struct core *c = arg;

	core_loader_stop_all(c, c->loader->stopped, c->loader->stopped_arg);
}

void core_loader_stop_all(struct core *c, orlop_cb fn, void *arg)
{
	struct core_loader *l = c->loader;
	bool any;

	l->stopping = true;
	l->stopped = fn;
	l->stopped_arg = arg;
	do {
		any = false;
		OLIST_FOREACH(n, &c->instances) {
			struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

			if (!inst->image || inst->state == CORE_STOPPING || inst->state == CORE_FAILED ||
			    dependent(inst))
				continue;
			if (inst->state == CORE_READY) {
				if (unload(inst, true, NULL, NULL, NULL)) {
					(void)core_loop_post_node(c->main, &l->stop, stop_again, c);
					return;
				}
				any = true;
				break;
			}
			/* Loading: undone as soon as its shards have reported. */
			if (inst->job && inst->job->pending == 0 && !inst->job->status) {
				inst->job->status = orlop_fail(&inst->job->err, ECANCELED, 0, "",
							       "module %s: the daemon is stopping",
							       inst->name);
				core_unload_begin(inst, inst->job->started);
				any = true;
				break;
			}
		}
	} while (any);
	if (l->n_jobs == 0 && l->stopped) {
		l->stopped = NULL;
		(void)core_loop_post_node(c->main, &l->stop, fn, arg);
	}
}

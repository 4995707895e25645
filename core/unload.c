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
#include "config.h"
#include "host.h"
#include "isolate.h"
#include "life.h"
#include "log.h"
#include "net.h"
#include "spawn.h"
#include "work.h"

#define DRAIN_LOOK_NS	2000000u			/* how often a draining shard looks */
#define OWN_NS		UINT64_C(1000000000)		/* for requests of its own, which others may answer late */
#define STREAMS_LOOK_NS	UINT64_C(50000000)		/* how often we look whether streams have ended */
#define FINISH_LOOK_NS	UINT64_C(5000000)		/* or whether all requests are answered */

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

void core_life_gone(struct core_instance *inst)
{
	struct core *c = inst->core;
	struct core_loader_job *job = inst->job;
	uint32_t threads = 0;

	if (inst->rep)
		core_replacing_leaves(inst);
	pthread_mutex_lock(&c->lock);
	olist_del(&inst->node);
	pthread_mutex_unlock(&c->lock);
	atomic_store(&inst->state, CORE_GONE);
	if (!job->keep_sockets)
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

void core_life_stuck(struct core_instance *inst, const char *why)
{
	struct core *c = inst->core;
	struct core_loader_job *job = inst->job;

	/* It still runs in its code: it can neither go nor come back. */
	job->status = orlop_fail(&job->err, ETIMEDOUT, 0, "", "module %s does not finish: %s after %u s; it stays "
				 "until it has: then unload it once more", inst->name, why,
				 (unsigned)(c->config->stop_timeout_ns / 1000000000));
	CLOG(c, ERR, "module_stuck", "name=%s text=\"%s\"", inst->name, why);
	(void)snprintf(inst->why, sizeof(inst->why), "%s", job->err.msg);
	atomic_store(&inst->state, CORE_FAILED);
	inst->stuck = true;
	inst->job = NULL;
	core_job_end(c, job, inst);
	if (c->loader->stopping)
		core_loader_stop_all(c, c->loader->stopped, c->loader->stopped_arg);
}

static uint64_t local_revision(struct core_instance *inst)
{
	return inst->mod.revision ? inst->mod.revision(inst->ctx) : 0;
}

static void last_down(struct core_instance *inst)
{
	shard_fini(&inst->shards[0]);
	if (inst->rep && inst->job->has_ctx)
		core_replacing_revision(inst, local_revision(inst));
	if (inst->core->up && inst->job->has_ctx)
		core_up_last(inst->core->up, local_revision(inst));
	if (inst->job->has_ctx && inst->mod.fini)
		inst->mod.fini(inst->ctx);
	shard_reclaim(&inst->shards[0]);
	core_life_gone(inst);
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

/* What still runs, in words. */
static bool shards_stuck(const struct core_instance *inst, char *why, size_t size)
{
	uint32_t jobs = 0;
	uint32_t posts = 0;
	bool stuck = false;

	for (uint32_t i = 0; i < inst->n_shards; i++) {
		stuck = stuck || inst->shards[i].stuck;
		jobs += core_owner_count(&inst->shards[i].held, CORE_HELD_WORK);
		posts += core_owner_count(&inst->shards[i].held, CORE_HELD_POST);
	}
	(void)snprintf(why, size, "%u job%s and %u post%s still run", jobs, jobs == 1 ? "" : "s", posts,
		       posts == 1 ? "" : "s");
	return stuck;
}

/* Main loop: all shards are quiet, or one is stuck. */
static void shard_drained(void *arg)
{
	struct core_instance *inst = ((struct core_shard *)arg)->inst;
	struct core_loader_job *job = inst->job;
	char why[80];

	if (--job->pending)
		return;
	if (shards_stuck(inst, why, sizeof(why))) {
		core_life_stuck(inst, why);
		return;
	}
	job->pending = inst->n_shards - 1;
	for (uint32_t i = 1; i < inst->n_shards; i++) {
		inst->shards[i].linked = false;
		(void)core_loop_post_node(inst->shards[i].loop, &inst->shards[i].step, shard_down,
					  &inst->shards[i]);
	}
	if (job->pending == 0)
		last_down(inst);
}

static void drain_look(void *arg)
{
	struct core_shard *s = arg;
	struct core_link_open_counts open = { 0, 0 };
	struct core *c = s->inst->core;
	uint64_t waited = core_now_mono() - s->drain_t0;
	uint64_t calls_ns = c->config->stop_timeout_ns / 3;
	uint64_t own_ns = s->inst->job->reason == CORE_STOP_REPLACE && !c->loader->stopping ? OWN_NS : 0;
	bool busy;

	if (s->link)
		core_link_counts(s->link, &open);
	open.requests += atomic_load(&s->up_requests);
	/*
	 * A successor reads what this one has written: its writes shall have ended. Everybody else does not
	 * wait for those who may answer late; the requests are cancelled then.
	 */
	if (!s->link_stopped && ((s->quiet && (!open.requests || waited >= own_ns)) || waited > calls_ns)) {
		if (!s->quiet)
			CLOG(s->inst->core, WARN, "module_calls", "name=%s calls=%u text=\"not answered; their "
			     "callers get outcome unknown\"", s->inst->name, open.calls);
		s->link_stopped = true;
		if (s->link)
			core_link_stop(s->link);
		if (c->up)
			core_up_stop(c->up, s);
		(void)core_net_cancel_connects(&s->held);
		atomic_store(&s->closing, true);
	}
	busy = core_owner_count(&s->held, CORE_HELD_POST) || core_owner_count(&s->held, CORE_HELD_WORK);
	if (!s->link_stopped || ((busy || open.requests) && waited < c->config->stop_timeout_ns)) {
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

/* ---- the steps of an instance in this process ----------------------------------------------------------- */

/* life->close of an instance in this process. */
void core_life_local_close(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;

	job->pending = inst->n_shards;
	for (uint32_t i = 0; i < inst->n_shards; i++)
		(void)core_loop_post_node(inst->shards[i].loop, &inst->shards[i].step, drain_begin,
					  &inst->shards[i]);
}

void core_life_local_stop(struct core_instance *inst, bool forced)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = 0;

	(void)forced;
	if (inst->mod.stop)
		r = inst->mod.stop(inst->ctx, &err);
	core_life_stopped(inst, r < 0 ? r : 0, &err);
	orlop_error_done(&err);
}

static uint32_t local_draining(struct core_instance *inst)
{
	return inst->mod.draining ? inst->mod.draining(inst->ctx) : 0;
}

static uint32_t local_changing(struct core_instance *inst)
{
	struct core_link_open_counts open = { 0, 0 };

	if (inst->mod.changing)
		return inst->mod.changing(inst->ctx);
	core_link_counts(inst->shards[0].link, &open);
	return open.calls;
}

static uint32_t local_finishing(struct core_instance *inst)
{
	return inst->mod.finishing ? inst->mod.finishing(inst->ctx) : 0;
}

const struct core_life core_life_local = {
	.start = core_life_local_start,
	.stop = core_life_local_stop,
	.draining = local_draining,
	.finishing = local_finishing,
	.changing = local_changing,
	.revision = local_revision,
	.close = core_life_local_close,
};

void core_unload_close(struct core_instance *inst)
{
	if (inst->job->closing)
		return;
	inst->job->closing = true;
	core_timer_clear(inst->job->deadline);
	inst->life->close(inst);
}

/*
 * Nobody takes over from it: new connections are refused from now on, not left to wait in a backlog, and what came
 * before is answered.
 */
static void finish_look(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;
	uint32_t n = inst->life->finishing ? inst->life->finishing(inst) : 0;

	core_net_release(inst->core->net, inst->name);
	if (n && core_now_mono() < job->drain_until) {
		core_timer_set(job->deadline, FINISH_LOOK_NS, 0);
		return;
	}
	if (n)
		CLOG(inst->core, WARN, "module_requests", "name=%s requests=%u text=\"not answered: the time for them is "
		     "over\"", inst->name, n);
	core_unload_close(inst);
}

/* The deadline's timer once the start is over: do its streams still run? */
static void streams_look(void *arg)
{
	struct core_instance *inst = arg;
	struct core_loader_job *job = inst->job;
	struct core_link_open_counts open = { 0, 0 };
	uint32_t n = inst->life->draining ? inst->life->draining(inst) : 0;
	bool late = core_now_mono() >= job->drain_until || inst->core->loader->stopping;

	if (job->finishing) {
		finish_look(inst);
		return;
	}
	/* Calls that it still answers, like exec_wait, count as well. */
	if (inst->shards[0].link)
		core_link_counts(inst->shards[0].link, &open);
	n = open.calls > n ? open.calls : n;
	if (n && !late) {
		(void)snprintf(inst->why, sizeof(inst->why), "%u stream%s still served", n, n == 1 ? " is" : "s are");
		core_timer_set(job->deadline, STREAMS_LOOK_NS, 0);
		return;
	}
	if (n)
		CLOG(inst->core, WARN, "module_streams", "name=%s streams=%u text=\"cut: the time for them is "
		     "over\"", inst->name, n);
	core_unload_close(inst);
}

void core_unload_retire(struct core_instance *inst)
{
	inst->job->drain_until = core_now_mono() + inst->core->config->drain_timeout_ns;
	streams_look(inst);
}

/* ---- the beginning, on the main loop ------------------------------------------------------------------- */

void core_unload_begin(struct core_instance *inst, bool started)
{
	struct core_loader_job *job = inst->job;

	atomic_store(&inst->state, CORE_STOPPING);
	core_timer_clear(job->deadline);
	/* Of a load that failed: it may not refuse. */
	atomic_store(&inst->stop_reason, ORLOP_STOP_END);
	if (started)
		inst->life->stop(inst, true);
	else
		core_unload_close(inst);
}

/* stop() refused: everything is as before. */
static void stop_refused(struct core_instance *inst, int r, struct orlop_error *err)
{
	struct core *c = inst->core;
	struct core_loader_job *job = inst->job;

	job->status = r;
	if (err && err->err) {
		job->err = *err;
		err->causes = NULL;
	} else {
		(void)orlop_fail(&job->err, -r, 0, "", "it gives no reason");
	}
	(void)orlop_wrap(&job->err, r, "module %s refuses to stop", inst->name);
	core_link_resume(inst->shards[0].link);
	atomic_store(&inst->stop_reason, 0);
	atomic_store(&inst->state, CORE_READY);
	(void)core_address_take(inst);
	inst->job = NULL;
	core_job_end(c, job, inst);
}

void core_life_stopped(struct core_instance *inst, int r, struct orlop_error *err)
{
	struct core_loader_job *job = inst->job;

	/* A process that does not answer has refused nothing: it is ended. */
	if (r == -ETIMEDOUT && inst->iso) {
		core_log_text(inst->core->log, inst->name, ORLOP_LOG_WARN, "stop_unanswered", err && err->err ? err->msg : "");
		r = 0;
	}
	if (job->reason == CORE_STOP_REPLACE && !job->forced && !inst->core->up) {
		core_replacing_stopped(inst, r, err);
		return;
	}
	if (r && job->unload && !job->forced) {
		stop_refused(inst, r, err);
		return;
	}
	if (r && job->unload)
		core_log_text(inst->core->log, inst->name, ORLOP_LOG_WARN, "stop_overruled",
			      err && err->err ? err->msg : "");
	if (inst->core->up && core_up_stopped(inst->core->up))
		return;		/* the parent says when to close */
	if (!job->unload || job->reason == CORE_STOP_REPLACE) {
		core_unload_close(inst);
		return;
	}
	job->finishing = true;
	job->drain_until = core_now_mono() + inst->core->config->end_timeout_ns;
	finish_look(inst);
}

struct core_instance *core_unload_dependent(struct core_instance *inst, struct core_instance *heir,
					    const char **ret_need)
{
	struct core *c = inst->core;

	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *other = OLIST_ENTRY(n, struct core_instance, node);

		if (other == inst || other == heir || other->state == CORE_LOADED ||
		    other->state == CORE_FAILED || other->retired)
			continue;
		for (char **p = other->needs; p && *p; p++)
			if (core_loader_answerer(c, *p) == inst && !(heir && core_address_wanted(heir, *p))) {
				if (ret_need)
					*ret_need = *p;
				return other;
			}
	}
	return NULL;
}

int core_unload_job(struct core_instance *inst, enum core_stop_reason reason, core_loaded_fn fn,
		    void *arg, struct orlop_error *err)
{
	struct core *c = inst->core;
	struct core_loader_job *job;

	/* Two ends at once would drain each shard twice, the second one after it has been freed. */
	if (inst->job)
		return orlop_fail(err, EBUSY, 0, "", "module %s: something else is being done to it", inst->name);
	job = OMEM_NEW(struct core_loader_job);
	if (!job || core_timer_new(c->main, NULL, streams_look, inst, &job->deadline)) {
		omem_free(job);
		return orlop_fail(err, ENOMEM, 0, "", "unload %s: out of memory", inst->name);
	}
	job->err.size = sizeof(job->err);
	job->unload = true;
	job->reason = reason;
	job->started = true;
	job->has_ctx = true;
	job->fn = fn;
	job->arg = arg;
	job->t0 = core_now_mono();
	inst->job = job;
	c->loader->n_jobs++;
	return 0;
}

int core_unload_start(struct core_instance *inst, bool forced, core_loaded_fn fn, void *arg,
		      struct orlop_error *err)
{
	bool again = inst->state == CORE_FAILED;
	int r = core_unload_job(inst, CORE_STOP_UNLOAD, fn, arg, err);

	if (r)
		return r;
	inst->job->forced = forced || again;
	inst->stuck = false;
	atomic_store(&inst->state, CORE_STOPPING);
	core_address_drop(inst);
	if (again) {
		core_unload_close(inst);
		return 0;
	}
	(void)core_link_quiesce(inst->shards[0].link, NULL, NULL);
	atomic_store(&inst->stop_reason, forced ? ORLOP_STOP_END : ORLOP_STOP_UNLOAD);
	inst->life->stop(inst, forced);
	return 0;
}

int core_loader_unload(struct core *c, const char *name, core_loaded_fn fn, void *arg,
		       struct orlop_error *err)
{
	struct core_instance *inst = core_instance_find(c, name);
	struct core_instance *user;
	const char *need = "";

	if (!inst)
		return orlop_fail(err, ENOENT, 404, "NotFound", "no module %s is loaded; `orlop module list` shows "
				  "those that are", name);
	if (!inst->image)
		return orlop_fail(err, EINVAL, 0, "", "%s is the core itself", name);
	if (inst->rep)
		return orlop_fail(err, EBUSY, 0, "", "module %s is being replaced; unload it after that", inst->name);
	if (inst->state != CORE_READY && !inst->stuck)
		return orlop_fail(err, EBUSY, 0, "", "module %s is %s; wait until that is over", inst->name,
				  core_state_name(inst->state));
	user = core_unload_dependent(inst, NULL, &need);
	if (user)
		return orlop_fail(err, EBUSY, 0, "", "module %s is needed by %s; unload that first",
				  inst->name, user->name);
	return core_unload_start(inst, false, fn, arg, err);
}

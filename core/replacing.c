/*
 * replacing.c - the steps of a replacement, done with two instances. What comes when: replace.c.
 */
#include "replace.h"

#include <errno.h>
#include <string.h>

#include "base/ocleanup.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "isolate.h"
#include "life.h"
#include "log.h"
#include "net.h"

#define SETTLE_NS	UINT64_C(20000000)	/* held requests wait so long for the old one's calls */
#define OPEN_NS		UINT64_C(5000000000)	/* for one that starts while requests wait for it */
#define LOOK_NS		UINT64_C(1000000)	/* how often we ask the old one whether it changes something */
#define AWAIT_NS	UINT64_C(1000000000)	/* for a good moment to hold requests */

struct core_replacement {
	struct core_replace m;
	struct core	*core;
	char		*name;
	struct core_instance *old;	/* NULL: gone */
	struct core_instance *new;	/* NULL: gone; then the reopened one */
	struct core_instance *again;	/* exclusive: the old one anew, if it must be */
	core_loaded_fn	fn;
	void		*arg;
	struct orlop_timer *settle;
	bool		settling;
	bool		awaiting;	/* handover: for a moment in which it changes nothing */
	uint64_t	look_until;	/* mono */
	uint64_t	old_rev;
	uint64_t	held_ns;	/* mono: since when */
};

static void event(struct core_replacement *rp, enum core_replace_event ev, int status,
		  const struct orlop_error *err)
{
	struct orlop_error copy = ORLOP_ERROR_INIT;

	if (err && err->err) {
		copy = *err;
		copy.causes = NULL;	/* the owner's */
	}
	core_replace_event(&rp->m, ev, status, err ? &copy : NULL);
	orlop_error_done(&copy);
}

static void hold_one(struct core_instance *inst, bool on)
{
	for (uint32_t i = 0; i < inst->n_shards; i++)
		core_net_hold(inst->core->net, &inst->shards[i].held, on);
	if (inst->life->hold)
		inst->life->hold(inst, on);
}

/* ---- the new one ------------------------------------------------------------------------------------- */

/* Its start has failed, and it is undone. */
static void new_gone(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct core_replacement *rp = arg;

	(void)inst;
	if (status == 0)
		return;		/* core_loader_serves() says so at the end */
	event(rp, CORE_REPLACE_FAILED, status, err);
}

/* Before it is freed: the addresses that wait for it wait for the other one, or nobody has them. */
static void new_leaves(struct core_replacement *rp, struct core_instance *inst)
{
	if (rp->again && rp->again != inst)
		core_address_move(inst, rp->again, false);
	else
		core_address_drop(inst);
	rp->new = NULL;
}

void core_replacing_leaves(struct core_instance *inst)
{
	struct core_replacement *rp = inst->rep;

	if (rp->old == inst)
		rp->old = NULL;
	if (rp->new == inst)
		new_leaves(rp, inst);
}

static void begin_one(struct core_replacement *rp, struct core_instance *inst, struct core_instance *after)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = -ECANCELED;

	inst->rep = rp;
	inst->arriving = true;
	hold_one(inst, true);
	if (rp->core->loader->stopping)
		(void)orlop_fail(&err, ECANCELED, 0, "", "the daemon is stopping");
	else
		r = core_loader_begin(inst, after, new_gone, rp, &err);
	if (r) {
		new_leaves(rp, inst);
		core_loader_unmake(inst);
		event(rp, CORE_REPLACE_FAILED, r, &err);
	} else if ((rp->m.exclusive || rp->m.handover) && rp->core->config->start_timeout_ns > OPEN_NS) {
		inst->job->limit_ns = OPEN_NS;
		core_timer_set(inst->job->deadline, OPEN_NS, 0);
	}
	orlop_error_done(&err);
}

static void do_start(void *arg)
{
	struct core_replacement *rp = arg;

	begin_one(rp, rp->new, rp->old);
}

void core_replacing_ready(struct core_instance *inst)
{
	event(inst->rep, CORE_REPLACE_READY, 0, NULL);
}

bool core_replacing_for(const struct core_instance *inst, core_loaded_fn fn, const void *arg)
{
	const struct core_replacement *rp = inst->rep;

	return rp && inst == rp->new && rp->fn == fn && rp->arg == arg &&
		(rp->m.state == CORE_REPLACE_S_STARTING || rp->m.state == CORE_REPLACE_S_OPENING);
}

static int do_fit(void *arg, struct orlop_error *err)
{
	struct core_replacement *rp = arg;
	uint64_t old = rp->old_rev;
	uint64_t rev;

	if (rp->old && rp->old->life->revision)
		old = rp->old->life->revision(rp->old);
	rev = rp->new->life->revision ? rp->new->life->revision(rp->new) : 0;
	if (rev >= old)
		return 0;
	return orlop_fail(err, ESTALE, 409, "Conflict", "module %s: the data of the new one is at revision %llu, that "
			  "of the running one at %llu; give it the same data, or unload the running one first",
			  rp->name, (unsigned long long)rev, (unsigned long long)old);
}

static void do_undo(void *arg)
{
	struct core_replacement *rp = arg;
	struct core_instance *inst = rp->new;

	/* Failed by itself in the meantime: its end is on its way. */
	if (!inst || inst->job->status)
		return;
	inst->job->status = -ECANCELED;
	core_unload_begin(inst, inst->job->started);
}

/* ---- the old one ---------------------------------------------------------------------------------------- */

static void do_hold(void *arg, bool on)
{
	struct core_replacement *rp = arg;

	if (on) {
		rp->held_ns = core_now_mono();
		(void)core_link_quiesce(rp->old->shards[0].link, NULL, NULL);
	} else {
		core_link_resume(rp->old->shards[0].link);
	}
	hold_one(rp->old, on);
}

void core_replacing_revision(struct core_instance *inst, uint64_t rev)
{
	if (inst->rep->old == inst)
		inst->rep->old_rev = rev;
}

static void old_gone(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct core_replacement *rp = arg;

	if (inst)
		inst->rep = NULL;
	rp->old = NULL;
	if (status)
		event(rp, CORE_REPLACE_FAILED, status, err);	/* it does not end */
	else
		event(rp, CORE_REPLACE_GONE, 0, NULL);
}

static void do_stop(void *arg)
{
	struct core_replacement *rp = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = core_unload_job(rp->old, CORE_STOP_REPLACE, NULL, NULL, &err);

	atomic_store(&rp->old->stop_reason, ORLOP_STOP_REPLACE);
	if (r)
		event(rp, CORE_REPLACE_REFUSED, r, &err);
	else
		rp->old->life->stop(rp->old, false);
	orlop_error_done(&err);
}

void core_replacing_stopped(struct core_instance *inst, int r, struct orlop_error *err)
{
	struct core_replacement *rp = inst->rep;
	struct core_loader_job *job = inst->job;
	struct orlop_error own = ORLOP_ERROR_INIT;

	if (r == 0) {
		event(rp, CORE_REPLACE_STOPPED, 0, NULL);
		return;
	}
	if (!err || !err->err) {
		(void)orlop_fail(&own, -r, 0, "", "it gives no reason");
		err = &own;
	}
	(void)orlop_wrap(err, r, "module %s refuses to stop", inst->name);
	atomic_store(&inst->stop_reason, 0);
	inst->job = NULL;
	core_job_end(inst->core, job, inst);
	event(rp, CORE_REPLACE_REFUSED, r, err);
	orlop_error_done(&own);
}

static void settle_end(struct core_replacement *rp)
{
	rp->settling = false;
	core_timer_clear(rp->settle);
	/* The link forgets whom to tell. */
	(void)core_link_quiesce(rp->old->shards[0].link, NULL, NULL);
}

static void settled(void *arg)
{
	struct core_replacement *rp = arg;

	if (!rp->settling)
		return;
	settle_end(rp);
	/* The new one may have failed in between: its end is on its way, and decides. */
	if (rp->new && (!rp->new->job || !rp->new->job->status))
		event(rp, CORE_REPLACE_QUIET, 0, NULL);
}

/* Does the old one change something that the new one would find half done? */
static bool look(struct core_replacement *rp)
{
	if (rp->old && rp->old->life->changing && rp->old->life->changing(rp->old) &&
	    core_now_mono() < rp->look_until && !rp->core->loader->stopping) {
		core_timer_set(rp->settle, LOOK_NS, 0);
		return true;
	}
	return false;
}

static void tick(void *arg)
{
	struct core_replacement *rp = arg;

	if ((rp->awaiting || rp->m.handover) && look(rp))
		return;
	if (rp->awaiting) {
		rp->awaiting = false;
		event(rp, CORE_REPLACE_IDLE, 0, NULL);
	} else {
		settled(rp);
	}
}

static void do_await(void *arg)
{
	struct core_replacement *rp = arg;

	rp->awaiting = true;
	rp->look_until = core_now_mono() + AWAIT_NS;
	core_timer_set(rp->settle, 0, 0);
}

static void do_settle(void *arg)
{
	struct core_replacement *rp = arg;

	rp->settling = true;
	if (rp->m.handover) {
		rp->look_until = core_now_mono() + rp->core->config->stop_timeout_ns / 3;
		core_timer_set(rp->settle, 0, 0);
		return;
	}
	core_timer_set(rp->settle, SETTLE_NS, 0);
	(void)core_link_quiesce(rp->old->shards[0].link, settled, rp);
}

static void do_close(void *arg)
{
	struct core_replacement *rp = arg;
	struct core_instance *old = rp->old;

	if (rp->settling)
		settle_end(rp);
	if (old->life->revision)
		rp->old_rev = old->life->revision(old);
	/* Whoever needs its addresses finds them taken all the time. */
	core_address_move(old, rp->new ? rp->new : rp->again, false);
	old->retired = true;
	old->job->fn = old_gone;
	old->job->arg = rp;
	old->job->keep_sockets = true;
	atomic_store(&old->state, CORE_STOPPING);
	core_unload_close(old);
}

static void do_reopen(void *arg)
{
	struct core_replacement *rp = arg;

	rp->new = TAKE(rp->again);
	begin_one(rp, rp->new, NULL);
}

/* From here on the new one serves. */
static void do_move(void *arg, bool back)
{
	struct core_replacement *rp = arg;
	struct core_instance *inst = rp->new;

	(void)back;
	inst->arriving = false;
	if (rp->old) {
		rp->old->retired = true;
		core_address_move(rp->old, inst, true);
	}
	(void)core_address_take(inst);
	inst->stall_ns = core_now_mono() - rp->held_ns;
	hold_one(inst, false);
}

static void do_retire(void *arg)
{
	struct core_replacement *rp = arg;
	struct core_instance *old = rp->old;

	if (!old)
		return;		/* the daemon ends */
	rp->old = NULL;
	old->rep = NULL;
	atomic_store(&old->state, CORE_STOPPING);
	old->since_ns = core_now_mono();
	core_unload_retire(old);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void rep_free(struct core_replacement *rp)
{
	if (rp->old)
		rp->old->rep = NULL;
	if (rp->again)
		core_address_drop(rp->again);
	core_loader_unmake(rp->again);
	core_timer_free(rp->settle);
	orlop_error_done(&rp->m.err);
	omem_free(rp->name);
	omem_free(rp);
}

static void do_end(void *arg, int status, bool lost, struct orlop_error *err)
{
	struct core_replacement *rp = arg;
	struct core *c = rp->core;
	struct core_instance *inst = rp->new;
	core_loaded_fn fn = rp->fn;
	void *fn_arg = rp->arg;
	struct orlop_error why = *err;

	err->causes = NULL;
	if (inst && inst->job) {
		/* Also the reopened one. */
		inst->rep = NULL;
		core_loader_serves(inst);
	} else if (inst) {
		/* It was never begun. */
		core_address_drop(inst);
		core_loader_unmake(inst);
		inst = NULL;
	}
	if (c->loader->stopping)
		;	/* neither news nor loss */
	else if (status == 0)
		CLOG(c, INFO, "module_replaced", "name=%s stall_us=%llu", inst->name,
		     (unsigned long long)(inst->stall_ns / 1000));
	else if (lost)
		CLOG(c, ERR, "module_lost", "name=%s text=\"neither the new nor the old one runs: %s\"", rp->name,
		     why.msg);
	else
		CLOG(c, WARN, "module_not_replaced", "name=%s text=\"%s\"", rp->name, why.msg);
	if (status && lost)
		(void)orlop_wrap(&why, status, "module %s is lost, load it again", rp->name);
	rep_free(rp);
	c->loader->n_jobs--;
	if (fn)
		fn(fn_arg, status, status ? NULL : inst, status ? &why : NULL);
	orlop_error_done(&why);
	if (c->loader->stopping)
		core_loader_stop_all(c, c->loader->stopped, c->loader->stopped_arg);
}

static const struct core_replace_ops rep_ops = {
	.await = do_await,
	.start = do_start,
	.fit = do_fit,
	.hold = do_hold,
	.stop = do_stop,
	.settle = do_settle,
	.close = do_close,
	.undo = do_undo,
	.reopen = do_reopen,
	.move = do_move,
	.retire = do_retire,
	.end = do_end,
};

/* ---- the beginning ---------------------------------------------------------------------------------------- */

/* The same once more: file, name and parameters of @old. */
static int remake(struct core_instance *old, struct core_instance **ret, struct orlop_error *err)
{
	struct core_config_module cm = { .line = 0 };
	int r = core_replace_config(old, NULL, &cm);

	if (r)
		r = orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", old->name);
	else if (old->iso)
		r = core_isolate_again(old, &cm, ret, err);
	else
		r = core_instance_new(old->core, old->image, &cm, ret, err);
	if (r == 0 && !old->iso)
		old->image->users++;
	core_config_module_done(&cm);
	return r;
}

static int rep_new(struct core_instance *old, struct core_instance *take_new, core_loaded_fn fn, void *arg,
		   struct core_replacement **ret, struct orlop_error *err)
{
	struct core_replacement *rp = OMEM_NEW(struct core_replacement);

	if (rp)
		rp->name = omem_strdup(old->name);
	if (!rp || !rp->name || core_timer_new(old->core->main, NULL, tick, rp, &rp->settle)) {
		if (rp)
			omem_free(rp->name);
		omem_free(rp);
		core_loader_unmake(take_new);
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", old->name);
	}
	rp->core = old->core;
	rp->old = old;
	rp->new = take_new;
	rp->fn = fn;
	rp->arg = arg;
	rp->m.ops = &rep_ops;
	rp->m.arg = rp;
	rp->m.err.size = sizeof(rp->m.err);
	rp->m.exclusive = (old->mod.flags | take_new->mod.flags) & ORLOP_MOD_EXCLUSIVE;
	rp->m.handover = (old->mod.flags | take_new->mod.flags) & ORLOP_MOD_HANDOVER;
	*ret = rp;
	return 0;
}

int core_loader_replace(struct core *c, const char *name, const struct core_config_module *cm,
			core_loaded_fn fn, void *arg, struct orlop_error *err)
{
	struct core_config_module made = { .line = 0 };
	struct core_instance *old = NULL;
	struct core_instance *new = NULL;
	struct core_replacement *rp = NULL;
	int r;

	r = core_replace_may(c, name, &old, err);
	if (r)
		return r;
	if (core_replace_config(old, cm, &made))
		r = orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", name);
	else
		r = core_replace_check_file(old, made.module, err);
	if (r == 0)
		r = core_loader_make(c, &made, &new, err);
	core_config_module_done(&made);
	if (r)
		return r;
	r = core_replace_check_pair(old, new, err);
	if (r) {
		core_loader_unmake(new);
		return r;
	}
	r = rep_new(old, new, fn, arg, &rp, err);
	if (r)
		return r;
	/* What to go back to is made before anything is given up: no memory is needed then, nor the file. */
	r = remake(old, &rp->again, err);
	if (r) {
		core_loader_unmake(new);
		rp->old = NULL;
		rep_free(rp);
		return r;
	}
	old->rep = rp;
	c->loader->n_jobs++;
	core_replace_begin(&rp->m);
	return 0;
}

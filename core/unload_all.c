/*
 * unload_all.c - the end of the daemon's modules: each goes once nobody needs it any more.
 */
#include "loader.h"

#include <errno.h>

#include "isolate.h"

static void stop_again(void *arg)
{
	struct core *c = arg;

	core_loader_stop_all(c, c->loader->stopped, c->loader->stopped_arg);
}

/* Ends what it can of @inst. */
static bool stop_one(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;

	if (inst->state == CORE_STOPPING && inst->retired && job && !job->closing) {
		core_unload_close(inst);		/* its streams are cut */
		return true;
	}
	/* One that is being replaced goes when that has ended, one way or the other. */
	if (inst->state == CORE_READY && !job && !inst->rep && !core_unload_dependent(inst, NULL, NULL))
		return core_unload_start(inst, true, NULL, NULL, NULL) == 0;
	/* Loading: undone as soon as its shards have reported. */
	if ((inst->state == CORE_LOADED || inst->state == CORE_STARTING) && job && job->pending == 0 &&
	    !job->status) {
		job->status = orlop_fail(&job->err, ECANCELED, 0, "", "module %s: the daemon is stopping",
					 inst->name);
		core_unload_begin(inst, job->started);
		return true;
	}
	return false;
}

void core_loader_stop_all(struct core *c, orlop_cb fn, void *arg)
{
	struct core_loader *l = c->loader;
	bool any;

	if (!atomic_exchange(&c->ending, true))
		core_isolate_ending(c);
	l->stopping = true;
	l->stopped = fn;
	l->stopped_arg = arg;
	do {
		any = false;
		OLIST_FOREACH(n, &c->instances) {
			struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

			/* The list may have changed: from the beginning again. */
			any = inst->image && stop_one(inst);
			if (any)
				break;
		}
	} while (any);
	if (l->n_jobs == 0 && l->stopped) {
		bool left = false;

		OLIST_FOREACH(n, &c->instances) {
			struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

			left = left || (inst->image && inst->state == CORE_READY);
		}
		if (left) {
			/* No memory for a job: again when the loop has turned. */
			(void)core_loop_post_node(c->main, &l->stop, stop_again, c);
			return;
		}
		l->stopped = NULL;
		(void)core_loop_post_node(c->main, &l->stop, fn, arg);
	}
}

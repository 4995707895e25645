/*
 * core.c - making and ending the core, its loops, and the instance "core" that stands for it.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "host.h"
#include "isolate.h"
#include "life.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "net.h"
#include "work.h"

#define WORKERS_MAX	256u

int core_loop_get(struct core *c, uint32_t n, struct core_loop **ret)
{
	while (c->n_loops <= n) {
		struct core_loop *l;
		char name[16];
		int r;

		(void)snprintf(name, sizeof(name), "orlop-%u", c->n_loops);
		r = core_loop_new(c->n_loops, name, &l);
		if (r)
			return r;
		r = core_loop_start(l);
		if (r) {
			core_loop_free(l);
			return r;
		}
		c->loops[c->n_loops++] = l;
	}
	*ret = c->loops[n];
	return 0;
}

struct core_instance *core_instance_find(struct core *c, const char *name)
{
	struct core_instance *by_class = NULL;
	struct core_instance *arriving = NULL;

	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);
		bool named = strcmp(inst->name, name) == 0;

		/* Of several with one name, the one that serves. */
		if (inst->arriving && named)
			arriving = inst;
		if (inst->retired || inst->arriving)
			continue;
		if (named)
			return inst;
		if (!by_class &&
		    (strcmp(inst->class_slash, name) == 0 || strcmp(inst->class_name, name) == 0))
			by_class = inst;
	}
	return arriving ? arriving : by_class;
}

void core_instance_health(struct core_instance *inst, struct orlop_health *ret)
{
	struct orlop_health h = { .size = sizeof(h), .ok = 1 };

	if (inst->mod.health)
		inst->mod.health(inst->ctx, &h);
	h.text[sizeof(h.text) - 1] = '\0';
	pthread_mutex_lock(&inst->core->lock);
	inst->health = h;
	pthread_mutex_unlock(&inst->core->lock);
	*ret = h;
}

static void instance_failed(void *arg)
{
	struct core_instance *inst = arg;
	struct core *c = inst->core;
	char reason[sizeof(inst->fail_reason)];
	char why[400];

	memcpy(reason, inst->fail_reason, sizeof(reason));
	atomic_store(&inst->failing, false);
	if (inst->state == CORE_STARTING && inst->job && inst->job->pending == 0 && !inst->job->status) {
		(void)orlop_fail(&inst->job->err, EIO, 0, "", "%s", reason);
		core_life_failed(inst, -EIO, NULL);
	} else if (inst->state == CORE_READY) {
		(void)snprintf(why, sizeof(why), "module %s failed: %s", inst->name, reason);
		core_log_text(c->log, "core", ORLOP_LOG_ERR, "module_failed", why);
		if (c->end)
			c->end(c->end_arg, why);
	}
}

/* Takes no memory: what a module cannot go on for may be the want of it. */
void core_loader_failed(struct core_instance *inst, const char *reason)
{
	struct core_owner *o = &inst->shards[0].held;

	if (atomic_exchange(&inst->failing, true))
		return;		/* the first reason is on its way */
	(void)snprintf(inst->fail_reason, sizeof(inst->fail_reason), "%s", reason ? reason : "no reason given");
	core_owner_inc(o, CORE_HELD_POST);
	inst->fail.owner = o;
	if (core_loop_post_node(inst->core->main, &inst->fail, instance_failed, inst))
		core_owner_dec(o, CORE_HELD_POST);
}

static void bus_log(void *arg, int32_t level, const char *event, const char *text)
{
	core_log_write(arg, "core/bus", level, event, text);
}

/* The instance "core": built in, ready from the start, answers by the admin ops. */
static int self_new(struct core *c)
{
	struct core_instance *inst = OMEM_NEW(struct core_instance);
	int r;

	if (!inst)
		return -ENOMEM;
	c->self = inst;
	olist_init(&inst->node);
	inst->core = c;
	inst->number = ++c->next_number;
	inst->name = omem_strdup("core");
	inst->class_name = omem_strdup("core");
	inst->class_slash = omem_strdup("core");
	inst->user = omem_strdup("orlop:core");
	inst->shards = OMEM_NEW(struct core_shard);
	if (!inst->name || !inst->class_name || !inst->class_slash || !inst->user || !inst->shards)
		return -ENOMEM;
	inst->who.size = sizeof(inst->who);
	inst->who.user.p = inst->user;
	inst->who.user.len = strlen(inst->user);
	inst->mod.name = "core";
	inst->mod.class_name = "core";
	inst->n_shards = 1;
	inst->shards[0].inst = inst;
	inst->shards[0].loop = c->main;
	inst->shards[0].priv.shard = &inst->shards[0];
	core_owner_init(&inst->shards[0].held);
	r = core_workq_new(c->workers, 4, &inst->work);
	if (r)
		return r;
	core_host_fill(&inst->shards[0]);
	r = core_shard_open(&inst->shards[0]);
	if (r)
		return r;
	inst->ctx = c;
	inst->ops = core_admin_ops();
	core_link_serve(inst->shards[0].link, inst->ops, c);
	atomic_store(&inst->state, CORE_READY);
	inst->since_ns = core_now_mono();
	olist_append(&c->instances, &inst->node);
	return core_address_take(inst);
}

static int make(struct core *c, struct orlop_error *err)
{
	struct core_bus_config bus = {
		.loss_percent = c->config->loss_percent,
		.dup_percent = c->config->dup_percent,
		.reorder_percent = c->config->reorder_percent,
		.log = bus_log,
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const char *what = "log";
	int r;

	c->max_loops = c->config->loops ? c->config->loops : cpus > 0 ? (uint32_t)cpus : 1;
	r = core_log_new(c->config->log_level, &c->log);
	for (uint32_t i = 0; r == 0 && i < c->config->n_levels; i++)
		r = core_log_set_module(c->log, c->config->levels[i].module, c->config->levels[i].level);
	if (r)
		goto fail;
	what = "metrics";
	r = core_metrics_new(&c->metrics);
	if (r)
		goto fail;
	what = "main loop";
	c->loops = omem_zalloc_array(c->max_loops, sizeof(*c->loops));
	r = c->loops ? core_loop_new(0, "orlopd", &c->main) : -ENOMEM;
	if (r)
		goto fail;
	c->loops[c->n_loops++] = c->main;
	what = "workers";
	r = core_workers_new(WORKERS_MAX, &c->workers);
	if (r == 0)
		r = core_net_new(c->main, c->workers, &c->net);
	if (r)
		goto fail;
	what = "bus";
	bus.log_arg = c->log;
	r = core_bus_new(&bus, &c->bus);
	if (r)
		goto fail;
	what = "loader";
	r = core_loader_new(c);
	if (r == 0)
		r = self_new(c);
	if (r)
		goto fail;
	what = "cache";
	r = core_host_cache_new(c);
	if (r == 0)
		return 0;
fail:
	return orlop_fail(err, -r, 0, "", "cannot start the %s: %s", what, strerrordesc_np(-r));
}

int core_new(struct core_config *take_config, struct core **ret, struct orlop_error *err)
{
	struct core *c = OMEM_NEW(struct core);
	int r;

	if (!c) {
		core_config_free(take_config);
		return orlop_fail(err, ENOMEM, 0, "", "out of memory");
	}
	c->config = take_config;
	c->up = take_config->up;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_mutex_init(&c->lead_lock, NULL);
	olist_init(&c->instances);
	olist_init(&c->leads);
	c->start_mono = core_now_mono();
	c->start_wall = core_now_wall();
	core_random(&c->epoch, sizeof(c->epoch));
	c->epoch |= 1;
	r = make(c, err);
	if (r) {
		core_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* The feeder's last answer is on its way: the link must live until it is there. */
static void self_settle(struct core *c)
{
	uint64_t end = core_now_mono() + UINT64_C(1000000000);
	struct core_link_open_counts open;

	core_link_stop(c->self->shards[0].link);
	do {
		core_loop_turn(c->main, false);
		core_link_counts(c->self->shards[0].link, &open);
		if (open.requests)
			(void)usleep(200);
	} while (open.requests && core_now_mono() < end);
}

void core_free(struct core *c)
{
	if (!c)
		return;
	core_host_cache_stop(c);
	if (c->self) {
		if (c->self->shards && c->self->shards[0].link) {
			self_settle(c);
			(void)core_bus_address_set(c->bus, "core", NULL);
			core_link_close(c->self->shards[0].link);
		}
		core_instance_free(c->self);
	}
	core_isolates_free(c);
	core_net_free(c->net);
	core_host_cache_free(c);
	if (c->main)
		core_loop_turn(c->main, false);
	/* Workers first: what they post still finds its loop. Then loops, which close the bus's handles. */
	core_workers_free(c->workers);
	while (c->n_loops > 0)
		core_loop_free(c->loops[--c->n_loops]);
	core_bus_free(c->bus);
	core_loader_free(c);
	core_metrics_free(c->metrics);
	core_log_free(c->log);
	omem_free(c->loops);
	core_config_free(c->config);
	pthread_mutex_destroy(&c->lock);
	pthread_mutex_destroy(&c->lead_lock);
	omem_free(c);
}

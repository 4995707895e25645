/*
 * host.c - the host table: what is the loop's, the log's, the clock's, the parameters', the life's.
 *
 * Every function finds its shard through the table it is called with; a shard that is closing
 * refuses to begin anything new.
 */
#include "host.h"

#include <errno.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "base/obuf.h"
#include "base/omem.h"
#include "bus/bus.h"
#include "isolate.h"
#include "loader.h"
#include "log.h"
#include "metrics.h"
#include "net.h"
#include "spawn.h"
#include "work.h"

static bool closing(struct core_shard *s)
{
	return atomic_load_explicit(&s->closing, memory_order_acquire);
}

/* ---- log, time, chance ------------------------------------------------------------------------- */

static void host_log(const struct orlop_host *h, int32_t level, const char *event, const char *text)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	core_log_write(inst->core->log, inst->name, level, event, text);
}

static int host_log_enabled(const struct orlop_host *h, int32_t level)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	return core_log_enabled(inst->core->log, inst->name, level);
}

static uint64_t host_now_mono(const struct orlop_host *h)
{
	(void)h;
	return core_now_mono();
}

static uint64_t host_now_boot(const struct orlop_host *h)
{
	(void)h;
	return core_now_boot();
}

static uint64_t host_now_wall(const struct orlop_host *h)
{
	(void)h;
	return core_now_wall();
}

static void host_random(const struct orlop_host *h, void *buf, size_t len)
{
	(void)h;
	core_random(buf, len);
}

/* ---- loop ----------------------------------------------------------------------------------------- */

static int host_timer_new(const struct orlop_host *h, orlop_cb cb, void *arg, struct orlop_timer **ret)
{
	struct core_shard *s = core_shard_of(h);

	return core_timer_new(s->loop, &s->held, cb, arg, ret);
}

static int host_post(const struct orlop_host *h, orlop_cb fn, void *arg)
{
	struct core_shard *s = core_shard_of(h);

	return closing(s) ? -ECANCELED : core_loop_post_owned(s->loop, &s->held, fn, arg);
}

static int host_work(const struct orlop_host *h, uint64_t key, orlop_cb fn, orlop_cb done, void *arg)
{
	struct core_shard *s = core_shard_of(h);

	return closing(s) ? -ECANCELED : core_work(s->inst->work, s->loop, &s->held, key, fn, done, arg);
}

struct host_thread {
	pthread_t	thread;
	struct core_shard *shard;
	orlop_cb	fn;
	void		*arg;
};

static void host_thread_main(void *arg)
{
	struct host_thread *t = arg;

	t->fn(t->arg);
}

static int host_thread_start(const struct orlop_host *h, const char *name, orlop_cb fn, void *arg,
			     void **ret_thread)
{
	struct core_shard *s = core_shard_of(h);
	struct host_thread *t = OMEM_NEW(struct host_thread);
	int r;

	if (!t)
		return -ENOMEM;
	t->shard = s;
	t->fn = fn;
	t->arg = arg;
	core_owner_inc(&s->held, CORE_HELD_THREAD);
	/* The caller gets its handle before the thread can need it. */
	*ret_thread = t;
	r = core_thread_start(name && name[0] ? name : s->inst->mod.name, 0, host_thread_main, t,
			      &t->thread);
	if (r) {
		*ret_thread = NULL;
		core_owner_dec(&s->held, CORE_HELD_THREAD);
		omem_free(t);
	}
	return r;
}

static void host_thread_join(const struct orlop_host *h, void *thread)
{
	struct host_thread *t = thread;

	(void)h;
	if (!t)
		return;
	pthread_join(t->thread, NULL);
	core_owner_dec(&t->shard->held, CORE_HELD_THREAD);
	omem_free(t);
}

static const struct orlop_host *host_shard_host(const struct orlop_host *h, uint32_t shard)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	return shard < inst->n_shards ? &inst->shards[shard].host : NULL;
}

/* ---- descriptors, sockets, processes ----------------------------------------------------------------- */

static int host_fd_watch(const struct orlop_host *h, int32_t fd, uint32_t events, orlop_fd_fn cb,
			 void *arg, struct orlop_fdwatch **ret)
{
	struct core_shard *s = core_shard_of(h);
	int r = core_fd_watch(s->loop, &s->held, fd, events, cb, arg, ret);

	if (r == 0 && s->inst->core->up)
		core_up_keep(s->inst->core->up, *ret, fd);
	return r;
}

static int host_listen(const struct orlop_host *h, const char *addr, orlop_accept_fn cb, void *arg,
		       struct orlop_listener **ret, struct orlop_error *err)
{
	struct core_shard *s = core_shard_of(h);

	return core_net_listen(s->inst->core->net, s->loop, &s->held, s->inst->name, addr, cb, arg, ret,
			       err);
}

static int host_connect(const struct orlop_host *h, const char *addr, uint64_t timeout_ns,
			orlop_connect_fn cb, void *arg)
{
	struct core_shard *s = core_shard_of(h);

	return closing(s) ? -ECANCELED :
		core_net_connect(s->inst->core->net, s->loop, &s->held, addr, timeout_ns, cb, arg);
}

static int host_spawn(const struct orlop_host *h, const struct orlop_spawn *spec, orlop_exit_fn exit_fn,
		      void *arg, struct orlop_child **ret, struct orlop_error *err)
{
	struct core_shard *s = core_shard_of(h);

	if (closing(s))
		return orlop_fail(err, ECANCELED, 0, "", "spawn: module %s is stopping", s->inst->name);
	return core_spawn(s->loop, &s->held, spec, exit_fn, arg, ret, err);
}

/* ---- parameters, metrics ------------------------------------------------------------------------------ */

static const struct core_param *param_find(const struct orlop_host *h, const char *name)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	for (uint32_t i = 0; i < inst->mod.n_params && inst->params; i++)
		if (strcmp(inst->params[i].def->name, name) == 0)
			return &inst->params[i];
	return NULL;
}

static const char *host_param(const struct orlop_host *h, const char *name)
{
	const struct core_param *p = param_find(h, name);

	return p && p->value ? p->value : "";
}

static int64_t host_param_int(const struct orlop_host *h, const char *name)
{
	const struct core_param *p = param_find(h, name);

	return p ? p->num : 0;
}

static int host_param_bool(const struct orlop_host *h, const char *name)
{
	const struct core_param *p = param_find(h, name);

	return p ? p->num != 0 : 0;
}

static int host_metric_new(const struct orlop_host *h, uint32_t type, const char *name,
			   const char *labels, const char *help, const double *buckets,
			   uint32_t n_buckets, struct orlop_metric **ret)
{
	struct core_instance *inst = core_shard_of(h)->inst;

	return core_metric_new_of(inst->core->metrics, inst->class_slash, type, name, labels, help, buckets,
				  n_buckets, ret);
}

static int host_metrics_text(const struct orlop_host *h, struct orlop_blob **ret)
{
	struct core *c = core_shard_of(h)->inst->core;
	struct obuf b = OBUF_INIT;
	size_t len;
	char *p;
	int r;

	if (!c->up)
		core_metrics_all(c, &b);
	else if (core_up_metrics(c->up, &b))
		obuf_reset(&b);
	p = obuf_steal(&b, &len);
	obuf_done(&b);
	if (!p)
		return -ENOMEM;
	r = core_blob_take(p, len, ret);
	if (r)
		omem_free(p);
	return r;
}

/* ---- life ------------------------------------------------------------------------------------------------ */

static void host_ready(const struct orlop_host *h)
{
	core_loader_ready(core_shard_of(h)->inst);
}

static void host_fail(const struct orlop_host *h, const char *reason)
{
	core_loader_failed(core_shard_of(h)->inst, reason);
}

static int32_t host_stop_reason(const struct orlop_host *h)
{
	return atomic_load(&core_shard_of(h)->inst->stop_reason);
}

static int32_t host_ending(const struct orlop_host *h)
{
	return atomic_load(&core_shard_of(h)->inst->core->ending);
}

static void health_refresh(void *arg)
{
	struct core_instance *inst = arg;
	struct orlop_health health;

	core_instance_health(inst, &health);
	atomic_store(&inst->health_asked, false);
}

static void host_health_list(const struct orlop_host *h,
			     void (*fn)(void *arg, const char *instance,
					const struct orlop_health *health), void *arg)
{
	struct core *c = core_shard_of(h)->inst->core;
	bool here = core_loop_here(c->main);
	uint32_t n = 0;
	uint32_t cap = 0;
	struct seen {
		char	name[128];
		struct orlop_health health;
	} *v = NULL;

	if (c->up) {
		core_up_health(c->up, fn, arg);
		return;
	}
	/* No lock is held across a callback: what there is is copied first. */
	pthread_mutex_lock(&c->lock);
	OLIST_FOREACH(node, &c->instances)
		cap++;
	v = omem_alloc_array(cap ? cap : 1, sizeof(*v));
	if (v)
		OLIST_FOREACH(node, &c->instances) {
			struct core_instance *inst = OLIST_ENTRY(node, struct core_instance, node);

			/* Of two with one name, the one that serves. */
			if (!inst->image || inst->arriving || inst->retired)
				continue;
			(void)snprintf(v[n].name, sizeof(v[n].name), "%s", inst->name);
			v[n].health = inst->health;
			v[n].health.size = sizeof(v[n].health);
			if (inst->state != CORE_READY) {
				v[n].health.ok = 0;
				(void)snprintf(v[n].health.text, sizeof(v[n].health.text), "%s",
					       core_state_name(inst->state));
			} else if (!here && inst->mod.health && !atomic_exchange(&inst->health_asked, true)) {
				/* The module is asked on its own loop; this answer is the one before. */
				if (core_loop_post_owned(c->main, &inst->shards[0].held, health_refresh, inst))
					atomic_store(&inst->health_asked, false);
			}
			n++;
		}
	pthread_mutex_unlock(&c->lock);
	for (uint32_t i = 0; i < n; i++) {
		if (here) {
			struct core_instance *inst = core_instance_find(c, v[i].name);

			if (inst && inst->state == CORE_READY)
				core_instance_health(inst, &v[i].health);
		}
		fn(arg, v[i].name, &v[i].health);
	}
	omem_free(v);
}

/* ---- the table -------------------------------------------------------------------------------------------- */

void core_host_fill(struct core_shard *s)
{
	struct orlop_host *h = &s->host;

	h->size = sizeof(*h);
	h->abi_major = ORLOP_ABI_MAJOR;
	h->abi_minor = ORLOP_ABI_MINOR;
	h->priv = &s->priv;
	h->instance = s->inst->name;
	h->shard = s->n;
	h->n_shards = s->inst->n_shards;

	h->log = host_log;
	h->log_enabled = host_log_enabled;
	h->now_mono = host_now_mono;
	h->now_boot = host_now_boot;
	h->now_wall = host_now_wall;
	h->random = host_random;

	h->timer_new = host_timer_new;
	h->timer_set = core_timer_set;
	h->timer_clear = core_timer_clear;
	h->timer_free = core_timer_free;
	h->post = host_post;
	h->work = host_work;
	h->thread_start = host_thread_start;
	h->thread_join = host_thread_join;
	h->shard_host = host_shard_host;

	h->fd_watch = host_fd_watch;
	h->fd_update = core_fd_update;
	h->fd_unwatch = core_fd_unwatch;
	h->listen = host_listen;
	h->listener_addr = core_net_listener_addr;
	h->listener_close = core_net_listener_close;
	h->connect = host_connect;
	h->spawn = host_spawn;
	h->child_pid = core_child_pid;
	h->child_kill = core_child_kill;
	h->child_free = core_child_free;

	core_host_fill_bus(h);
	core_host_fill_cache(h);

	h->param = host_param;
	h->param_int = host_param_int;
	h->param_bool = host_param_bool;
	h->metric_new = host_metric_new;
	h->metric_add = core_metric_add;
	h->metric_set = core_metric_set;
	h->metric_observe = core_metric_observe;
	h->metrics_text = host_metrics_text;
	core_host_fill_lead(h);

	h->ready = host_ready;
	h->fail = host_fail;
	h->health_list = host_health_list;
	h->stop_reason = host_stop_reason;
	h->ending = host_ending;
}

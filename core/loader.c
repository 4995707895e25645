/*
 * loader.c - loading: from a file to an instance that serves.
 *
 * All decisions are made on the main loop, one step per event, so that modules which wait (for a
 * database to open, for others) start side by side: mapped → (needs are there) → links → init →
 * shard_init on each loop → start → ready → addresses. What fails goes to unload.c, which undoes it.
 */
#include "loader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/omem.h"
#include "bus/bus.h"
#include "config.h"
#include "isolate.h"
#include "life.h"
#include "log.h"

const char *core_state_name(int state)
{
	static const char *const names[] = { "loaded", "starting", "ready", "stopping", "failed", "gone" };

	return state >= 0 && state <= CORE_GONE ? names[state] : "unknown";
}

int core_loader_new(struct core *c)
{
	struct core_loader *l = OMEM_NEW(struct core_loader);

	if (!l)
		return -ENOMEM;
	l->core = c;
	core_images_init(&l->images);
	omap_init(&l->addresses);
	c->loader = l;
	return 0;
}

void core_loader_free(struct core *c)
{
	if (!c->loader)
		return;
	core_images_done(&c->loader->images);
	omap_done(&c->loader->addresses);
	omem_free(c->loader);
	c->loader = NULL;
}

int core_loader_path(struct core *c, const char *module, char **ret, struct orlop_error *err)
{
	const char *dir = c->config && c->config->module_dir ? c->config->module_dir : ".";
	size_t n = strlen(module);
	char *path;

	if (module[0] == '/' || module[0] == '.' || (n > 3 && strcmp(module + n - 3, ".so") == 0))
		path = omem_strdup(module);
	else
		path = omem_printf("%s/%s.so", dir, module);
	if (path && !strchr(module, '/') && access(path, F_OK) < 0) {
		/* A class of one implementation: apiserver/apiserver.so */
		omem_free(path);
		path = omem_printf("%s/%s/%s.so", dir, module, module);
	}
	if (!path)
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", module);
	*ret = path;
	return 0;
}

/* ---- plan ------------------------------------------------------------------------------------------ */

/* What the plan knows of one entry. */
struct entry {
	const struct core_config_module *cm;
	struct core_modinfo info;
	char		full[272];	/* class/name, or class */
	int		mark;		/* 0 unseen, 1 on the path, 2 done */
};

static const char *entry_name(const struct entry *e)
{
	return e->cm->name ? e->cm->name : e->full;
}

static bool entry_wants(const struct entry *e, const char *address)
{
	if (strcmp(address, entry_name(e)) == 0 || strcmp(address, e->full) == 0 ||
	    strcmp(address, e->info.class_name) == 0)
		return true;
	for (char **p = e->info.provides; *p; p++)
		if (strcmp(*p, address) == 0)
			return true;
	return false;
}

static struct entry *entry_for(struct entry *v, uint32_t n, const char *address)
{
	for (uint32_t i = 0; i < n; i++)
		if (entry_wants(&v[i], address))
			return &v[i];
	return NULL;
}

/* Depth first along needs; a cycle is told with its members. */
static int plan_visit(struct core *c, struct entry *v, uint32_t n, struct entry *e,
		      struct orlop_error *err)
{
	e->mark = 1;
	for (char **p = e->info.needs; *p; p++) {
		struct entry *to = entry_for(v, n, *p);
		int r;

		if (strcmp(*p, "core") == 0 || (!to && core_loader_answerer(c, *p)))
			continue;
		if (!to)
			return orlop_fail(err, ENOENT, 0, "", "module %s needs \"%s\", and no module of the "
					  "list provides it", entry_name(e), *p);
		if (to->mark == 1)
			return orlop_fail(err, ELOOP, 0, "", "modules need each other: %s needs %s (\"%s\")",
					  entry_name(e), entry_name(to), *p);
		if (to->mark)
			continue;
		r = plan_visit(c, v, n, to, err);
		if (r == -ELOOP && err)
			return orlop_wrap(err, r, "%s needs %s", entry_name(e), entry_name(to));
		if (r)
			return r;
	}
	e->mark = 2;
	return 0;
}

static int plan_read(struct core *c, const struct core_config_module *cm, struct entry *e,
		     struct orlop_error *err)
{
	char *path;
	int r;

	e->cm = cm;
	r = core_loader_path(c, cm->module, &path, err);
	if (r)
		return r;
	r = core_image_info(path, &e->info, err);
	omem_free(path);
	if (r)
		return r;
	(void)snprintf(e->full, sizeof(e->full), "%s%s%s", e->info.class_name,
		       strcmp(e->info.class_name, e->info.name) == 0 ? "" : "/",
		       strcmp(e->info.class_name, e->info.name) == 0 ? "" : e->info.name);
	return 0;
}

int core_loader_plan(struct core *c, const struct core_config_module *list, uint32_t n,
		     struct orlop_error *err)
{
	const char *file = c->config && c->config->path ? c->config->path : "configuration";
	struct entry *v = omem_zalloc_array(n, sizeof(*v));
	uint32_t got = 0;
	int r = 0;

	if (!v)
		return orlop_fail(err, ENOMEM, 0, "", "out of memory while planning modules");
	for (uint32_t i = 0; i < n && r == 0; i++) {
		r = plan_read(c, &list[i], &v[i], err);
		if (r) {
			if (list[i].line)	/* 0: asked for by an administrator */
				(void)orlop_wrap(err, r, "%s:%u", file, list[i].line);
			break;
		}
		got++;
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(entry_name(&v[k]), entry_name(&v[i])) == 0)
				r = orlop_fail(err, EEXIST, 0, "", "%s:%u: module %s is listed already in line %u; "
					       "give one of them another name = \"…\"", file, list[i].line,
					       entry_name(&v[i]), list[k].line);
	}
	for (uint32_t i = 0; i < n && r == 0; i++)
		if (!v[i].mark)
			r = plan_visit(c, v, n, &v[i], err);
	for (uint32_t i = 0; i < got; i++)
		core_modinfo_done(&v[i].info);
	omem_free(v);
	return r;
}

/* ---- loading ------------------------------------------------------------------------------------------ */

void core_job_end(struct core *c, struct core_loader_job *job, struct core_instance *inst)
{
	core_timer_free(job->deadline);
	c->loader->n_jobs--;
	if (job->fn)
		job->fn(job->arg, job->status, inst, job->status ? &job->err : NULL);
	orlop_error_done(&job->err);
	omem_free(job);
}

static void instance_state(struct core_instance *inst, int state)
{
	atomic_store(&inst->state, state);
	inst->since_ns = core_now_mono();
}

static void load_fail(struct core_instance *inst, int r);

void core_life_failed(struct core_instance *inst, int r, struct orlop_error *err)
{
	struct core_loader_job *job = inst->job;

	if (!job || job->status || inst->state != CORE_STARTING)
		return;		/* it ends already */
	if (err && err->err && !job->err.err) {
		job->err = *err;
		err->causes = NULL;
	}
	load_fail(inst, r);
}

/* The load has failed with job->err: undo. */
static void load_fail(struct core_instance *inst, int r)
{
	struct core_loader_job *job = inst->job;

	job->status = r;
	if (!job->err.err)
		(void)orlop_fail(&job->err, -r, 0, "", "%s", strerrordesc_np(-r));
	/* In a process of its own: its parent says whose words these are. */
	if (!inst->core->up)
		(void)orlop_wrap(&job->err, r, "module %s", inst->name);
	(void)snprintf(inst->why, sizeof(inst->why), "%s", job->err.msg);
	core_unload_begin(inst, job->started);
}

static void load_start(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;
	int r = 0;

	if (job->err.err) {
		load_fail(inst, -job->err.err);
		return;
	}
	if (inst->core->loader->stopping) {
		load_fail(inst, orlop_fail(&job->err, ECANCELED, 0, "", "the daemon is stopping"));
		return;
	}
	if (inst->mod.start)
		r = inst->mod.start(inst->ctx, &job->err);
	if (r) {
		load_fail(inst, r);
		return;
	}
	job->started = true;
	/* A module without start has nothing more to do. */
	if (!inst->mod.start)
		core_loader_ready(inst);
}

/* One shard has reported; it may have left an error. Main loop. */
static void shard_reported(void *arg)
{
	struct core_shard *s = arg;
	struct core_loader_job *job = s->inst->job;

	s->linked = s->link != NULL;
	if (s->err.err && !job->err.err)
		job->err = s->err;
	else
		orlop_error_done(&s->err);
	if (--job->pending == 0)
		load_start(s->inst);
}

/* On the shard's loop: its link, its shard_init. */
static void shard_begin(void *arg)
{
	struct core_shard *s = arg;
	struct core_instance *inst = s->inst;
	int r = 0;

	s->err = (struct orlop_error)ORLOP_ERROR_INIT;
	if (s->n > 0)
		r = core_shard_open(s);
	if (r == 0 && inst->mod.shard_init)
		r = inst->mod.shard_init(inst->ctx, s->n, &s->host, &s->mod_shard, &s->err);
	s->inited = r == 0;
	if (r && !s->err.err)
		(void)orlop_fail(&s->err, -r, 0, "", "shard %u: %s", s->n, strerrordesc_np(-r));
	(void)core_loop_post_node(inst->core->main, &s->step, shard_reported, s);
}

/* life->start of an instance in this process. */
void core_life_local_start(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;
	int r;

	r = core_shard_open(&inst->shards[0]);
	if (r)
		(void)orlop_fail(&job->err, -r, 0, "", "cannot open a link to the bus: %s",
				 strerrordesc_np(-r));
	else
		r = inst->mod.init(&inst->shards[0].host, &inst->ctx, &job->err);
	if (r) {
		load_fail(inst, r);
		return;
	}
	job->has_ctx = true;
	core_link_serve(inst->shards[0].link, inst->ops, inst->ctx);
	job->pending = inst->n_shards;
	for (uint32_t i = 1; i < inst->n_shards; i++)
		(void)core_loop_post_node(inst->shards[i].loop, &inst->shards[i].step, shard_begin,
					  &inst->shards[i]);
	shard_begin(&inst->shards[0]);
}

/* The first need that is not there, NULL if all are. */
static const char *missing_need(const struct core_instance *inst)
{
	if (inst->core->up)
		return NULL;	/* the parent core has seen to them */
	for (char **p = inst->needs; p && *p; p++)
		if (strcmp(*p, "core") != 0 && !core_loader_answerer(inst->core, *p))
			return *p;
	return NULL;
}

/* Starts those whose needs are there. */
static void loader_look(void *arg)
{
	struct core *c = arg;

	OLIST_FOREACH_SAFE(n, tmp, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);

		if (inst->state == CORE_LOADED && inst->job && !inst->job->status && !missing_need(inst)) {
			instance_state(inst, CORE_STARTING);
			inst->life->start(inst);
		}
	}
}

static void loader_kick(struct core *c)
{
	(void)core_loop_post_node(c->main, &c->loader->kick, loader_look, c);
}

static void load_late(void *arg)
{
	struct core_instance *inst = arg;
	struct core_loader_job *job = inst->job;
	uint64_t s = job->limit_ns / UINT64_C(1000000000);
	const char *need = missing_need(inst);
	int r;

	if (inst->state == CORE_LOADED && need)
		r = orlop_fail(&job->err, ETIMEDOUT, 0, "", "waits for \"%s\", which is not ready after "
			       "%llu s", need, (unsigned long long)s);
	else
		r = orlop_fail(&job->err, ETIMEDOUT, 0, "", "is not ready after %llu s: it has not called ready(); see its "
			       "log", (unsigned long long)s);
	/* A shard that hangs in shard_init: it will report, or never; then nothing can be undone. */
	if (job->pending == 0)
		load_fail(inst, r);
}

void core_loader_give_up(struct core *c, core_loaded_fn fn, void *arg)
{
	OLIST_FOREACH(n, &c->instances) {
		struct core_instance *inst = OLIST_ENTRY(n, struct core_instance, node);
		struct core_loader_job *job = inst->job;

		if (!job || job->status || job->err.err || (inst->state != CORE_LOADED && inst->state != CORE_STARTING))
			continue;
		if ((job->fn == fn && job->arg == arg) || core_replacing_for(inst, fn, arg)) {
			(void)orlop_fail(&job->err, ECANCELED, 0, "", "given up before it was ready");
			CLOG(c, INFO, "module_given_up", "name=%s", inst->name);
			if (job->pending == 0)
				load_fail(inst, -ECANCELED);
			return;
		}
	}
}

void core_loader_waits(const struct core_instance *inst, char *buf, size_t size)
{
	const char *need = missing_need(inst);
	unsigned long long since, most;

	buf[0] = '\0';
	if (!inst->job || (inst->state != CORE_LOADED && inst->state != CORE_STARTING))
		return;
	since = (core_now_mono() - inst->job->t0) / UINT64_C(1000000000);
	most = inst->job->limit_ns / UINT64_C(1000000000);
	if (inst->state == CORE_LOADED && need)
		(void)snprintf(buf, size, "waits for \"%s\", %llu s of at most %llu", need, since, most);
	else
		(void)snprintf(buf, size, "has not called ready(), %llu s of at most %llu", since, most);
}

void core_loader_serves(struct core_instance *inst)
{
	struct core_loader_job *job = inst->job;
	struct orlop_health health;

	instance_state(inst, CORE_READY);
	core_instance_health(inst, &health);
	inst->job = NULL;
	CLOG(inst->core, INFO, "module_ready", "name=%s version=%s abi=%u.%u ms=%llu", inst->name,
	     inst->image->info.version, inst->image->info.abi_major, inst->image->info.abi_minor,
	     (unsigned long long)((core_now_mono() - job->t0) / 1000000));
	loader_kick(inst->core);
	core_job_end(inst->core, job, inst);
}

static void load_ready(void *arg)
{
	struct core_instance *inst = arg;
	struct core_loader_job *job = inst->job;
	int r;

	if (inst->state != CORE_STARTING || !job || !job->started || job->status)
		return;		/* twice, or too late */
	if (inst->arriving) {
		core_timer_clear(job->deadline);
		core_replacing_ready(inst);
		return;
	}
	r = core_address_take(inst);
	if (r) {
		core_address_drop(inst);
		load_fail(inst, r);
		return;
	}
	core_loader_serves(inst);
}

void core_loader_ready(struct core_instance *inst)
{
	(void)core_loop_post_node(inst->core->main, &inst->ready, load_ready, inst);
}

int core_loader_make(struct core *c, const struct core_config_module *cm, struct core_instance **ret,
		     struct orlop_error *err)
{
	struct core_image *img = NULL;
	char *path;
	int r;

	r = core_loader_path(c, cm->module, &path, err);
	if (r)
		return r;
	if (cm->isolate && !c->up) {
		r = core_isolate_new(c, path, cm, ret, err);
		omem_free(path);
		return r;
	}
	r = c->up ? core_up_image(c->up, &img) : core_image_open(&c->loader->images, path, &img, err);
	omem_free(path);
	if (r)
		return r;
	r = core_instance_new(c, img, cm, ret, err);
	if (r)
		core_image_close(&c->loader->images, img);
	return r;
}

void core_loader_unmake(struct core_instance *inst)
{
	if (!inst)
		return;
	core_image_close(&inst->core->loader->images, inst->image);
	core_instance_free(inst);
}

int core_loader_begin(struct core_instance *inst, struct core_instance *after, core_loaded_fn fn,
		      void *arg, struct orlop_error *err)
{
	struct core *c = inst->core;
	struct core_loader_job *job = OMEM_NEW(struct core_loader_job);

	if (!job || core_timer_new(c->main, NULL, load_late, inst, &job->deadline)) {
		omem_free(job);
		return orlop_fail(err, ENOMEM, 0, "", "module %s: out of memory", inst->name);
	}
	job->fn = fn;
	job->arg = arg;
	job->err.size = sizeof(job->err);
	job->t0 = core_now_mono();
	inst->job = job;
	job->limit_ns = c->config->start_timeout_ns;
	core_timer_set(job->deadline, job->limit_ns, 0);
	pthread_mutex_lock(&c->lock);
	olist_push(after ? &after->node : c->instances.prev, &inst->node);
	pthread_mutex_unlock(&c->lock);
	c->loader->n_jobs++;
	loader_kick(c);
	return 0;
}

int core_loader_load(struct core *c, const struct core_config_module *cm, core_loaded_fn fn,
		     void *arg, struct orlop_error *err)
{
	struct core_instance *inst = NULL;
	struct core_instance *other;
	int r;

	if (c->loader->stopping)
		return orlop_fail(err, ECANCELED, 0, "", "module %s: the daemon is stopping", cm->module);
	r = core_loader_make(c, cm, &inst, err);
	if (r)
		return r;
	other = core_instance_find(c, inst->name);
	if (other && strcmp(other->name, inst->name) == 0)
		r = orlop_fail(err, EEXIST, 409, "AlreadyExists", "module %s is loaded already; give this one "
			       "another name", inst->name);
	else
		r = core_loader_begin(inst, NULL, fn, arg, err);
	if (r)
		core_loader_unmake(inst);
	return r;
}

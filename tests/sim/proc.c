/*
 * proc.c - simulated processes: each a core of its own, from core_new() to core_free() or to a crash.
 *
 * What main.c is to orlopd: load what the list says, run the main loop, end in order. A crash takes all
 * threads and descriptors away; its memory is not given back before the run ends.
 */
#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <orlop/inline/error.h>

#include "base/omem.h"
#include "config.h"
#include "core.h"
#include "loader.h"
#include "replace.h"

/* What is asked of a process' main loop by the driver. */
struct ask {
	struct sim_proc	*p;
	uint32_t	life;
	void		(*run)(struct ask *a);
	struct core_config_module cm;
	char		*name;
	sim_done_fn	fn;
	void		*arg;
	int32_t		status;
	char		msg[512];
};

static const char *const reads_all[] = { "*", NULL };

/* ---- parameters ------------------------------------------------------------------------------------ */

char *sim_module_path(struct sim *w, const char *module)
{
	if (strncmp(module, "sim:", 4) == 0)
		return omem_printf("%s/%s.so", w->sim_dir, module + 4);
	return omem_strdup(module);
}

/* "$dir" and "$pki" put in. */
static char *expand(struct sim_proc *p, const char *s, size_t len)
{
	char buf[1024];
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(buf) - 200;) {
		const char *with = NULL;

		if (len - i >= 4 && memcmp(s + i, "$dir", 4) == 0)
			with = p->dir;
		else if (len - i >= 4 && memcmp(s + i, "$pki", 4) == 0)
			with = p->w->pki;
		if (with) {
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s", with);
			i += 4;
		} else {
			buf[n++] = s[i++];
		}
	}
	return omem_strndup(buf, n);
}

static void module_config(struct sim_proc *p, const struct sim_module *m, struct core_config_module *cm)
{
	const char *s = m->params ? m->params : "";

	memset(cm, 0, sizeof(*cm));
	cm->module = m->module ? sim_module_path(p->w, m->module) : NULL;
	cm->name = m->name ? omem_strdup(m->name) : NULL;
	while (*s) {
		const char *end = strchrnul(s, ';');
		const char *eq = memchr(s, '=', (size_t)(end - s));

		if (eq) {
			char *name = omem_strndup(s, (size_t)(eq - s));
			char *value = expand(p, eq + 1, (size_t)(end - eq - 1));

			if (core_config_param_add(cm, name, value, 0, 0))
				sim_die("out of memory");
			omem_free(name);
			omem_free(value);
		}
		s = *end ? end + 1 : end;
	}
}

/* ---- the process' own threads --------------------------------------------------------------------------- */

static void stopped(void *arg)
{
	struct sim_proc *p = arg;

	core_loop_stop(p->core->main);
}

static void ends(void *arg, const char *reason)
{
	struct sim_proc *p = arg;

	p->loaded = false;
	sim_say(p, "ends: %s", reason ? reason : "as asked");
	if (!p->core->loader->stopping)
		core_loader_stop_all(p->core, stopped, p);
}

static void loaded(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct sim_proc *p = arg;

	(void)inst;
	if (status) {
		if (!p->core->loader->stopping)
			ends(p, err ? err->msg : "a module did not load");
		return;
	}
	if (--p->loading == 0) {
		p->loaded = true;
		sim_say(p, "ready");
	}
}

static void load_all(void *arg)
{
	struct sim_proc *p = arg;
	struct core_config *cfg = p->core->config;
	struct orlop_error err = ORLOP_ERROR_INIT;

	p->loading = cfg->n_modules;
	for (uint32_t i = 0; i < cfg->n_modules; i++)
		if (core_loader_load(p->core, &cfg->modules[i], loaded, p, &err)) {
			ends(p, err.msg);
			return;
		}
	if (!cfg->n_modules)
		p->loaded = true;
}

static struct core_config *config_new(struct sim_proc *p)
{
	struct core_config *cfg;
	uint32_t n = 0;

	if (core_config_new(&cfg))
		sim_die("out of memory");
	cfg->path = omem_strdup("sim.conf");
	cfg->data_dir = omem_strdup(p->dir);
	cfg->module_dir = omem_strdup(p->w->module_dir);
	cfg->loops = p->loops;
	cfg->modules = omem_zalloc_array(p->n_modules + 2, sizeof(*cfg->modules));
	for (uint32_t i = 0; i < p->n_modules; i++)
		module_config(p, &p->modules[i], &cfg->modules[n++]);
	if (p->storage_at)
		module_config(p, &(struct sim_module){ "sim:far-storage", NULL, NULL }, &cfg->modules[n++]);
	if (p->api_at)
		module_config(p, &(struct sim_module){ "sim:far-api", NULL, NULL }, &cfg->modules[n++]);
	cfg->n_modules = n;
	return cfg;
}

/* After its last thread has returned: the driver takes the rest away. */
static void exited(void *arg)
{
	struct sim_proc *p = arg;

	if (p->running && p->core == NULL) {
		sim_say(p, "exited");
		sim_proc_gone(p);
		sim_net_dead(p, false);
	}
}

static void *proc_main(void *arg)
{
	struct sim_proc *p = arg;
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core *c;

	if (core_new(config_new(p), &c, &err)) {
		sim_say(p, "does not start: %s", err.msg);
	} else {
		c->end = ends;
		c->end_arg = p;
		/* The instance "core" is ours to look with. */
		c->self->reads = (char **)(uintptr_t)reads_all;
		p->core = c;
		(void)core_loop_post(c->main, load_all, p);
		core_loop_run(c->main);
		p->core = NULL;
		p->loaded = false;
		c->self->reads = NULL;
		core_free(c);
	}
	sim_at(p->w, p->w->now, exited, p);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------------------------- */

void sim_start(struct sim_proc *p)
{
	if (p->running)
		return;
	p->running = true;
	p->loaded = false;
	p->life++;
	p->paused_until = 0;
	p->rnd = sim_next(&p->w->rnd_host);
	sim_say(p, "starts, life %u", p->life);
	if (!sim_thread_new(p, "main", proc_main, p))
		sim_die("out of memory");
}

void sim_proc_gone(struct sim_proc *p)
{
	/* Before the stacks: what is ready may be in a list on one. */
	while (!olist_empty(&p->fds))
		sim_fd_free(OLIST_ENTRY(olist_first(&p->fds), struct sim_fd, node));
	sim_threads_drop(p);
	sim_disk_dead(p);
	p->running = false;
	p->loaded = false;
	p->core = NULL;
	p->paused_until = 0;
}

void sim_crash(struct sim_proc *p)
{
	if (!p->running)
		return;
	sim_say(p, "crashes");
	sim_proc_gone(p);
	sim_net_dead(p, false);
}

void sim_power_off(struct sim_proc *p)
{
	bool ran = p->running;

	sim_say(p, "power off");
	if (ran)
		sim_proc_gone(p);
	sim_disk_power(p);
	if (ran)
		sim_net_dead(p, true);
	p->boot = p->w->now;
}

static void goes_on(void *arg)
{
	struct sim_proc *p = arg;
	struct olist *n;

	if (p->paused_until > p->w->now)
		return;
	while ((n = olist_shift(&p->held)) != NULL) {
		olist_append(&p->w->ready, n);
		p->w->n_ready++;
	}
}

void sim_pause(struct sim_proc *p, uint64_t ns)
{
	if (!p->running || p->w->now + ns <= p->paused_until)
		return;
	if (p->paused_until <= p->w->now)
		OLIST_FOREACH(n, &p->threads) {
			struct sim_thread *t = OLIST_ENTRY(n, struct sim_thread, node);

			if (olist_empty(&t->ready))
				continue;
			olist_del(&t->ready);
			olist_append(&p->held, &t->ready);
			p->w->n_ready--;
		}
	p->paused_until = p->w->now + ns;
	if (ns >= SIM_S)
		sim_say(p, "pauses for %llu ms", (unsigned long long)(ns / SIM_MS));
	sim_at(p->w, p->paused_until, goes_on, p);
}

void sim_wall_jump(struct sim_proc *p, int64_t ns)
{
	sim_say(p, "wall clock jumps by %lld ms", (long long)(ns / (int64_t)SIM_MS));
	p->wall_off += ns;
}

void sim_slow(struct sim_proc *p, uint64_t ns)
{
	p->slow_ns = ns;
}

/* ---- asking its main loop --------------------------------------------------------------------------------------- */

static void ask_free(struct ask *a)
{
	core_config_module_done(&a->cm);
	omem_free(a->name);
	omem_free(a);
}

static void ask_told(void *arg)
{
	struct ask *a = arg;

	if (a->p->life == a->life && a->p->running && a->fn)
		a->fn(a->arg, a->status, a->msg);
	ask_free(a);
}

/* In the process; the driver hears of it as an event. */
static void ask_done(void *arg, int status, struct core_instance *inst, const struct orlop_error *err)
{
	struct ask *a = arg;

	(void)inst;
	a->status = status;
	(void)snprintf(a->msg, sizeof(a->msg), "%s", status && err ? err->msg : "");
	sim_say(a->p, "asked of %s: %d %s", a->name, status, a->msg);
	sim_at(a->p->w, a->p->w->now, ask_told, a);
}

static void ask_run(void *arg)
{
	struct ask *a = arg;

	a->run(a);
}

static void run_load(struct ask *a)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = core_loader_load(a->p->core, &a->cm, ask_done, a, &err);

	if (r)
		ask_done(a, r, NULL, &err);
}

static void run_unload(struct ask *a)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = core_loader_unload(a->p->core, a->name, ask_done, a, &err);

	if (r)
		ask_done(a, r, NULL, &err);
}

static void run_replace(struct ask *a)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	int r = core_loader_replace(a->p->core, a->name, &a->cm, ask_done, a, &err);

	if (r)
		ask_done(a, r, NULL, &err);
}

static void run_stop(struct ask *a)
{
	ends(a->p, NULL);
	ask_free(a);
}

static int ask(struct sim_proc *p, void (*run)(struct ask *), const struct sim_module *m, const char *name,
	       sim_done_fn fn, void *arg)
{
	struct ask *a;

	if (!p->running || !p->core)
		return -ESRCH;
	a = OMEM_NEW(struct ask);
	if (!a)
		sim_die("out of memory");
	a->p = p;
	a->life = p->life;
	a->run = run;
	a->fn = fn;
	a->arg = arg;
	a->name = omem_strdup(name);
	if (m)
		module_config(p, m, &a->cm);
	if (core_loop_post(p->core->main, ask_run, a)) {
		ask_free(a);
		return -ECANCELED;
	}
	return 0;
}

int sim_load(struct sim_proc *p, const struct sim_module *m, sim_done_fn fn, void *arg)
{
	return ask(p, run_load, m, m->name ? m->name : m->module, fn, arg);
}

int sim_unload(struct sim_proc *p, const char *name, sim_done_fn fn, void *arg)
{
	return ask(p, run_unload, NULL, name, fn, arg);
}

int sim_replace(struct sim_proc *p, const char *name, sim_done_fn fn, void *arg)
{
	return ask(p, run_replace, NULL, name, fn, arg);
}

void sim_stop(struct sim_proc *p)
{
	if (p->running)
		(void)ask(p, run_stop, NULL, "stop", NULL, NULL);
}

/* ---- making, looking ------------------------------------------------------------------------------------------------ */

struct sim_proc *sim_proc_add(struct sim *w, const struct sim_proc_spec *s)
{
	struct sim_proc *p = OMEM_NEW(struct sim_proc);

	if (!p)
		return NULL;
	p->w = w;
	olist_init(&p->threads);
	olist_init(&p->held);
	olist_init(&p->fds);
	OLIST_FOREACH(n, &w->procs)
		p->n++;
	olist_append(&w->procs, &p->node);
	p->name = omem_strdup(s->name);
	(void)snprintf(p->dir, sizeof(p->dir), "%s/%s", w->dir, s->name);
	if (mkdir(p->dir, 0700) < 0)
		sim_die("cannot make %s", p->dir);
	p->n_modules = s->n_modules;
	p->modules = omem_zalloc_array(s->n_modules + 1, sizeof(*p->modules));
	for (uint32_t i = 0; i < s->n_modules; i++) {
		p->modules[i].module = omem_strdup(s->modules[i].module);
		p->modules[i].name = s->modules[i].name ? omem_strdup(s->modules[i].name) : NULL;
		p->modules[i].params = s->modules[i].params ? omem_strdup(s->modules[i].params) : NULL;
	}
	p->loops = s->loops ? s->loops : 1;
	p->loss_percent = s->loss_percent;
	p->dup_percent = s->dup_percent;
	p->reorder_percent = s->reorder_percent;
	p->cpus = s->cpus ? s->cpus : 4;
	p->memory_bytes = s->memory_bytes ? s->memory_bytes : UINT64_C(8) << 30;
	p->storage_at = s->storage_at ? omem_strdup(s->storage_at) : NULL;
	p->api_at = s->api_at ? omem_strdup(s->api_at) : NULL;
	p->disk.sync_us_min = 100;
	p->disk.sync_us_max = 3000;
	p->boot = w->now;
	sim_start(p);
	return p;
}

void sim_proc_free(struct sim_proc *p)
{
	if (p->running)
		sim_proc_gone(p);
	sim_disk_free(p);
	olist_del(&p->node);
	for (uint32_t i = 0; i < p->n_modules; i++) {
		omem_free((char *)(uintptr_t)p->modules[i].module);
		omem_free((char *)(uintptr_t)p->modules[i].name);
		omem_free((char *)(uintptr_t)p->modules[i].params);
	}
	omem_free(p->modules);
	omem_free(p->storage_at);
	omem_free(p->api_at);
	omem_free(p->name);
	omem_free(p);
}

struct sim_proc *sim_proc_find(struct sim *w, const char *name)
{
	OLIST_FOREACH(n, &w->procs)
		if (strcmp(OLIST_ENTRY(n, struct sim_proc, node)->name, name) == 0)
			return OLIST_ENTRY(n, struct sim_proc, node);
	return NULL;
}

struct sim_proc *sim_proc_next(struct sim *w, struct sim_proc *prev)
{
	struct olist *n = prev ? prev->node.next : w->procs.next;

	return n == &w->procs ? NULL : OLIST_ENTRY(n, struct sim_proc, node);
}

const char *sim_proc_name(const struct sim_proc *p)
{
	return p->name;
}

bool sim_running(const struct sim_proc *p)
{
	return p->running;
}

bool sim_ready(const struct sim_proc *p)
{
	return p->running && p->loaded;
}

uint32_t sim_life(const struct sim_proc *p)
{
	return p->life;
}

void sim_proc_set(struct sim_proc *p, uint32_t slot, void *ptr)
{
	p->user[slot] = ptr;
}

void *sim_proc_get(const struct sim_proc *p, uint32_t slot)
{
	return p->user[slot];
}

struct core *sim_core(const struct sim_proc *p)
{
	return p->running ? p->core : NULL;
}

const struct orlop_host *sim_host(const struct sim_proc *p)
{
	return p->running && p->core ? &p->core->self->shards[0].host : NULL;
}

const char *sim_dir(const struct sim_proc *p)
{
	return p->dir;
}

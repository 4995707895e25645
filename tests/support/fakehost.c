/*
 * fakehost.c - the fake host: modules in it, from load to unload.
 */
#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

/* ---- memory -------------------------------------------------------------------------------------- */

void fake_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("Bail out! fakehost: ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	(void)fflush(stdout);
	abort();
}

void *fake_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		fake_die("out of memory");
	return p;
}

char *fake_strdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		fake_die("out of memory");
	return p;
}

char *fake_printf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		fake_die("out of memory");
	va_end(ap);
	return p;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void h_ready(const struct orlop_host *h)
{
	fake_priv(h)->m->ready = true;
	fake_bus_arrived(fake_priv(h)->fh);
}

static void h_fail(const struct orlop_host *h, const char *reason)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct fakehost_module *m = fake_priv(h)->m;

	(void)pthread_mutex_lock(&fh->lock);
	if (!m->failed)
		m->failed = fake_strdup(reason);
	(void)pthread_mutex_unlock(&fh->lock);
}

static int32_t h_stop_reason(const struct orlop_host *h)
{
	(void)h;
	return ORLOP_STOP_UNLOAD;
}

static int32_t h_ending(const struct orlop_host *h)
{
	(void)h;
	return 0;
}

static void h_health_list(const struct orlop_host *h,
			  void (*fn)(void *arg, const char *instance,
				     const struct orlop_health *health), void *arg)
{
	OLIST_FOREACH(at, &fake_priv(h)->fh->modules) {
		struct fakehost_module *m = OLIST_ENTRY(at, struct fakehost_module, node);
		struct orlop_health health = { .size = sizeof(health), .ok = m->ready };

		if (m->mod->health)
			m->mod->health(m->ctx, &health);
		fn(arg, m->name, &health);
	}
}

static void host_fill(struct orlop_host_priv *p, uint32_t shard)
{
	struct orlop_host *h = &p->host;

	h->size = sizeof(*h);
	h->abi_major = ORLOP_ABI_MAJOR;
	h->abi_minor = ORLOP_ABI_MINOR;
	h->priv = p;
	h->instance = p->m->name;
	h->shard = shard;
	h->n_shards = p->m->n_shards;
	fake_loop_fill(h);
	fake_log_fill(h);
	h->ready = h_ready;
	h->fail = h_fail;
	h->health_list = h_health_list;
	h->stop_reason = h_stop_reason;
	h->ending = h_ending;
	fake_net_fill(h);
	fake_spawn_fill(h);
	fake_bus_fill(h);
	fake_cache_fill(h);
}

static struct fakehost_module *module_new(struct fakehost *fh, const struct orlop_module *mod,
					  const char *name, uint32_t n_shards)
{
	struct fakehost_module *m = fake_alloc(sizeof(*m));

	m->fh = fh;
	m->mod = mod;
	m->name = fake_strdup(name);
	m->user = fake_printf("system:orlop:%s", name);
	m->who = (struct orlop_identity){ .size = sizeof(m->who), .user = { m->user, strlen(m->user) } };
	m->n_shards = n_shards;
	m->shards = fake_alloc(n_shards * sizeof(*m->shards));
	for (uint32_t i = 0; i < n_shards; i++) {
		m->shards[i].fh = fh;
		m->shards[i].m = m;
		host_fill(&m->shards[i], i);
	}
	olist_init(&m->node);
	return m;
}

/* Frees what it left open; returns how many things, said in comments. */
static uint32_t module_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t timers, leads, bus, net, cache;

	timers = fake_timers_drop(fh, m);
	leads = fake_leads_drop(fh, m);
	bus = fake_bus_drop(fh, m);
	net = fake_net_drop(fh, m);
	net += fake_spawn_drop(fh, m);
	cache = fake_cache_drop(fh, m);
	fake_posts_drop(fh, m);
	if (timers + leads + bus + net + cache)
		printf("# fakehost: %s left open: %u timers, %u leads, %u requests and calls, "
		       "%u descriptors and children, %u resources\n", m->name, timers, leads, bus, net,
		       cache);
	return timers + leads + bus + net + cache;
}

static void module_free(struct fakehost_module *m)
{
	olist_del(&m->node);
	fake_feed_changed(m->fh);
	free(m->name);
	free(m->user);
	free(m->class_name);
	free(m->class_slash);
	free(m->failed);
	free(m->shards);
	free(m);
}

/* Returns how many things it left. */
static uint32_t module_fini(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t left;

	for (uint32_t i = m->n_shards; i-- > 0;)
		if (m->shards[i].inited && m->mod->shard_fini)
			m->mod->shard_fini(m->ctx, m->shards[i].mod_shard);
	if (m->ctx && m->mod->fini)
		m->mod->fini(m->ctx);
	left = module_drop(fh, m);
	module_free(m);
	return left;
}

static int module_start(struct fakehost *fh, struct fakehost_module *m, struct orlop_error *err)
{
	const struct orlop_module *mod = m->mod;
	int r;

	r = mod->init(&m->shards[0].host, &m->ctx, err);
	for (uint32_t i = 0; r == 0 && i < m->n_shards; i++) {
		if (mod->shard_init)
			r = mod->shard_init(m->ctx, i, &m->shards[i].host, &m->shards[i].mod_shard, err);
		m->shards[i].inited = r == 0;
	}
	if (r == 0 && mod->start)
		r = mod->start(m->ctx, err);
	else if (r == 0)
		h_ready(&m->shards[0].host);
	if (r)
		return r;
	(void)fakehost_run(fh);
	return 0;
}

int fakehost_load_as(struct fakehost *fh, const struct orlop_module *mod, const char *instance,
		     struct fakehost_module **ret, struct orlop_error *err)
{
	uint32_t n = mod->shards == ORLOP_SHARDS_AUTO ? fh->auto_shards : mod->shards ? mod->shards : 1;
	char *slash = strcmp(mod->class_name, mod->name) == 0 ? fake_strdup(mod->name) :
		fake_printf("%s/%s", mod->class_name, mod->name);
	struct fakehost_module *m;
	int r;

	if (mod->magic != ORLOP_MODULE_MAGIC)
		fake_die("%s is not a module", slash);
	m = module_new(fh, mod, instance ? instance : slash, n);
	m->class_slash = slash;
	m->class_name = fake_strdup(mod->class_name);
	m->ops = mod->ops;
	if (m->ops)
		m->n_ops = (uint32_t)((m->ops->size - sizeof(struct orlop_ops)) / sizeof(orlop_op_fn));
	olist_append(&fh->modules, &m->node);
	fake_feed_changed(fh);
	r = module_start(fh, m, err);
	if (r) {
		(void)module_fini(fh, m);
		return r;
	}
	if (ret)
		*ret = m;
	return 0;
}

int fakehost_load(struct fakehost *fh, const struct orlop_module *mod, struct orlop_error *err)
{
	return fakehost_load_as(fh, mod, NULL, NULL, err);
}

static int module_idle(void *arg)
{
	struct fakehost_module *m = arg;

	return fake_bus_held(m->fh, m) == 0;
}

int fakehost_unload(struct fakehost *fh, struct fakehost_module *m, struct orlop_error *err)
{
	int r = 0;

	m->stopping = true;
	if (m->mod->stop)
		r = m->mod->stop(m->ctx, err);
	if (r) {
		m->stopping = false;
		fake_bus_arrived(fh);
		return r;
	}
	(void)fakehost_run_until(fh, module_idle, m, 60 * FAKEHOST_S);
	(void)fakehost_run(fh);
	fh->left += module_fini(fh, m);
	return 0;
}

void fakehost_crash(struct fakehost *fh, struct fakehost_module *m)
{
	m->stopping = true;
	(void)module_fini(fh, m);
}

void *fakehost_ctx(struct fakehost_module *m)
{
	return m->ctx;
}

const struct orlop_host *fakehost_module_host(struct fakehost_module *m, uint32_t shard)
{
	return shard < m->n_shards ? &m->shards[shard].host : NULL;
}

static struct fakehost_module *module_or_first(struct fakehost *fh, struct fakehost_module *m)
{
	struct olist *at = olist_first(&fh->modules);

	return m ? m : at ? OLIST_ENTRY(at, struct fakehost_module, node) : fh->test;
}

int fakehost_is_ready(struct fakehost *fh, struct fakehost_module *m)
{
	return module_or_first(fh, m)->ready;
}

const char *fakehost_failed(struct fakehost *fh, struct fakehost_module *m)
{
	return module_or_first(fh, m)->failed;
}

void fakehost_shards(struct fakehost *fh, uint32_t n)
{
	fh->auto_shards = n;
}

const struct orlop_host *fakehost_host(struct fakehost *fh)
{
	return &fh->test->shards[0].host;
}

uint32_t fakehost_held(struct fakehost *fh)
{
	uint32_t n = fh->left;

	OLIST_FOREACH(at, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		n += t->priv && t->priv->m != fh->test;
	}
	OLIST_FOREACH(at, &fh->modules) {
		struct fakehost_module *m = OLIST_ENTRY(at, struct fakehost_module, node);

		n += fake_bus_held(fh, m) + fake_net_held(fh, m) + fake_spawn_held(fh, m) + fake_cache_held(fh, m);
	}
	return n;
}

struct fakehost *fakehost_new(void)
{
	struct fakehost *fh = fake_alloc(sizeof(*fh));

	fake_loop_init(fh);
	olist_init(&fh->modules);
	olist_init(&fh->params);
	olist_init(&fh->lines);
	olist_init(&fh->metrics);
	olist_init(&fh->leads);
	olist_init(&fh->watches);
	olist_init(&fh->listeners);
	olist_init(&fh->children);
	olist_init(&fh->servers);
	olist_init(&fh->requests);
	olist_init(&fh->calls);
	olist_init(&fh->subs);
	olist_init(&fh->handles);
	olist_init(&fh->api_log);
	fh->auto_shards = 1;
	fh->leading = true;
	fh->next_pid = 1000000;
	fake_cache_init(fh);
	fh->test = module_new(fh, NULL, "test", 1);
	return fh;
}

void fakehost_free(struct fakehost *fh)
{
	struct olist *at;

	if (!fh)
		return;
	while ((at = olist_last(&fh->modules))) {
		struct fakehost_module *m = OLIST_ENTRY(at, struct fakehost_module, node);

		if (fakehost_unload(fh, m, NULL))
			fakehost_crash(fh, m);
	}
	(void)fakehost_run(fh);
	(void)module_drop(fh, fh->test);
	module_free(fh->test);
	fake_cache_done(fh);
	fake_bus_done(fh);
	fake_api_done(fh);
	fake_log_done(fh);
	fake_loop_done(fh);
	free(fh);
}

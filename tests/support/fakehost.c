/*
 * fakehost.c - the fake host's world: queue, clock, timers, modules, parameters, log, metrics.
 */
#include "fake.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <orlop/inline/error.h>

#define WALL_START	(UINT64_C(1767225600) * FAKEHOST_S)	/* 2026-01-01T00:00:00Z */
#define MONO_START	(UINT64_C(1000) * FAKEHOST_S)
#define QUIET_MS	20	/* of real time without news, then the clock may move on */
#define REAL_MAX_NS	(10 * FAKEHOST_S)

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

static void pairs_free(struct olist *head)
{
	struct olist *at;

	while ((at = olist_shift(head))) {
		struct fake_pair *p = OLIST_ENTRY(at, struct fake_pair, node);

		free(p->name);
		free(p->value);
		free(p);
	}
}

/* ---- clocks ---------------------------------------------------------------------------------------- */

static uint64_t real_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * FAKEHOST_S + (uint64_t)ts.tv_nsec;
}

uint64_t fakehost_now(struct fakehost *fh)
{
	return fh->real ? real_now() : __atomic_load_n(&fh->now, __ATOMIC_RELAXED);
}

static void clock_to(struct fakehost *fh, uint64_t now)
{
	__atomic_store_n(&fh->now, now, __ATOMIC_RELAXED);
}

void fakehost_real_clock(struct fakehost *fh)
{
	uint64_t now = real_now();

	OLIST_FOREACH(at, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		t->due = t->due - fh->now + now;
	}
	fh->wall_off += fh->now - now;
	fh->real = true;
}

void fakehost_set_wall(struct fakehost *fh, uint64_t ns)
{
	fh->wall_off = ns - fakehost_now(fh);
}

static uint64_t h_now_mono(const struct orlop_host *h)
{
	return fakehost_now(fake_priv(h)->fh);
}

static uint64_t h_now_wall(const struct orlop_host *h)
{
	struct fakehost *fh = fake_priv(h)->fh;

	return fakehost_now(fh) + fh->wall_off;
}

void fakehost_seed(struct fakehost *fh, uint64_t seed)
{
	fh->random = seed;
}

/* splitmix64: good enough to look random, the same everywhere. */
static void h_random(const struct orlop_host *h, void *buf, size_t len)
{
	struct fakehost *fh = fake_priv(h)->fh;
	unsigned char *p = buf;

	while (len) {
		uint64_t z = __atomic_add_fetch(&fh->random, UINT64_C(0x9e3779b97f4a7c15), __ATOMIC_RELAXED);
		size_t n = len < 8 ? len : 8;

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		z ^= z >> 31;
		memcpy(p, &z, n);
		p += n;
		len -= n;
	}
}

/* ---- posts ------------------------------------------------------------------------------------------- */

void fake_post(struct fakehost *fh, struct fakehost_module *m, void (*fn)(void *), void *arg)
{
	struct fake_post *p = fake_alloc(sizeof(*p));
	uint64_t one = 1;

	p->m = m;
	p->fn = fn;
	p->arg = arg;
	(void)pthread_mutex_lock(&fh->lock);
	olist_append(&fh->posts, &p->node);
	(void)pthread_mutex_unlock(&fh->lock);
	if (!pthread_equal(fh->self, pthread_self()))
		if (write(fh->wake_fd, &one, sizeof(one)) < 0)
			return;	/* full: it is awake */
}

static int h_post(const struct orlop_host *h, orlop_cb fn, void *arg)
{
	fake_post(fake_priv(h)->fh, fake_priv(h)->m, fn, arg);
	return 0;
}

struct fake_work {
	orlop_cb	fn;
	orlop_cb	done;
	void		*arg;
};

static void work_run(void *arg)
{
	struct fake_work w = *(struct fake_work *)arg;

	free(arg);
	w.fn(w.arg);
	if (w.done)
		w.done(w.arg);
}

static int h_work(const struct orlop_host *h, uint64_t key, orlop_cb fn, orlop_cb done, void *arg)
{
	struct fake_work *w = fake_alloc(sizeof(*w));

	(void)key;	/* one after the other in any case */
	*w = (struct fake_work){ fn, done, arg };
	fake_post(fake_priv(h)->fh, fake_priv(h)->m, work_run, w);
	return 0;
}

struct fake_thread {
	pthread_t	id;
	orlop_cb	fn;
	void		*arg;
};

static void *thread_main(void *arg)
{
	struct fake_thread *t = arg;

	t->fn(t->arg);
	return NULL;
}

static int h_thread_start(const struct orlop_host *h, const char *name, orlop_cb fn, void *arg,
			  void **ret_thread)
{
	struct fake_thread *t = fake_alloc(sizeof(*t));
	int r;

	(void)name;
	t->fn = fn;
	t->arg = arg;
	r = pthread_create(&t->id, NULL, thread_main, t);
	if (r) {
		free(t);
		return -r;
	}
	fake_priv(h)->fh->n_threads++;
	*ret_thread = t;
	return 0;
}

static void h_thread_join(const struct orlop_host *h, void *thread)
{
	struct fake_thread *t = thread;

	(void)pthread_join(t->id, NULL);
	fake_priv(h)->fh->n_threads--;
	free(t);
}

static const struct orlop_host *h_shard_host(const struct orlop_host *h, uint32_t shard)
{
	struct fakehost_module *m = fake_priv(h)->m;

	return shard < m->n_shards ? &m->shards[shard].host : NULL;
}

/* ---- timers --------------------------------------------------------------------------------------------- */

struct orlop_timer *fake_timer(struct fakehost *fh, struct orlop_host_priv *priv, orlop_cb cb,
			       void *arg)
{
	struct orlop_timer *t = fake_alloc(sizeof(*t));

	t->fh = fh;
	t->priv = priv;
	t->cb = cb;
	t->arg = arg;
	olist_append(&fh->timers, &t->node);
	return t;
}

static int h_timer_new(const struct orlop_host *h, orlop_cb cb, void *arg, struct orlop_timer **ret)
{
	*ret = fake_timer(fake_priv(h)->fh, fake_priv(h), cb, arg);
	return 0;
}

static void h_timer_set(struct orlop_timer *t, uint64_t delay_ns, uint64_t repeat_ns)
{
	uint64_t now = fakehost_now(t->fh);

	t->armed = true;
	t->due = delay_ns > UINT64_MAX - now ? UINT64_MAX : now + delay_ns;
	t->repeat = repeat_ns;
	t->seq = ++t->fh->seq;
}

static void h_timer_clear(struct orlop_timer *t)
{
	t->armed = false;
}

static void h_timer_free(struct orlop_timer *t)
{
	if (!t)
		return;
	olist_del(&t->node);
	free(t);
}

/* The timer that is due first, of those due by @until; @once: not repeating ones. */
static struct orlop_timer *timer_next(struct fakehost *fh, uint64_t until, bool once)
{
	struct orlop_timer *first = NULL;

	OLIST_FOREACH(at, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		if (!t->armed || t->due > until || (once && t->repeat))
			continue;
		if (!first || t->due < first->due || (t->due == first->due && t->seq < first->seq))
			first = t;
	}
	return first;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

static struct fake_post *post_take(struct fakehost *fh)
{
	struct olist *at;

	(void)pthread_mutex_lock(&fh->lock);
	at = olist_shift(&fh->posts);
	(void)pthread_mutex_unlock(&fh->lock);
	return at ? OLIST_ENTRY(at, struct fake_post, node) : NULL;
}

/* One callback; false: nothing can run without time passing. */
static bool step(struct fakehost *fh)
{
	struct fake_post *p = post_take(fh);
	struct orlop_timer *t;

	if (p) {
		void (*fn)(void *) = p->fn;
		void *arg = p->arg;

		free(p);
		fn(arg);
		return true;
	}
	t = timer_next(fh, fakehost_now(fh), false);
	if (t) {
		t->seq = ++fh->seq;
		if (t->repeat)
			t->due += t->repeat;
		else
			t->armed = false;
		t->cb(t->arg);
		return true;
	}
	return fake_net_busy(fh) && fake_net_poll(fh, 0) > 0;
}

uint32_t fakehost_run(struct fakehost *fh)
{
	uint32_t n = 0;

	while (step(fh))
		if (++n == 10000000)
			fake_die("ten million callbacks without time passing: a loop?");
	return n;
}

static bool outside(struct fakehost *fh)
{
	return fh->n_threads || fake_net_busy(fh);
}

void fakehost_advance(struct fakehost *fh, uint64_t ns)
{
	uint64_t until = fakehost_now(fh) + ns;

	for (;;) {
		struct orlop_timer *t;

		(void)fakehost_run(fh);
		if (fh->real) {
			uint64_t now = real_now();

			if (now >= until)
				return;
			t = timer_next(fh, until, false);
			(void)fake_net_poll(fh, (int)(((t ? t->due : until) - now) / FAKEHOST_MS) + 1);
			continue;
		}
		t = timer_next(fh, until, false);
		if (!t)
			break;
		if (t->due > fh->now)
			clock_to(fh, t->due);
	}
	clock_to(fh, until);
	(void)fakehost_run(fh);
}

/* Waits a little for the outside. True: something may have happened. */
static bool outside_wait(struct fakehost *fh, int ms)
{
	bool any;

	if (!outside(fh))
		return false;
	any = fake_net_poll(fh, ms) > 0;
	(void)pthread_mutex_lock(&fh->lock);
	any |= !olist_empty(&fh->posts);
	(void)pthread_mutex_unlock(&fh->lock);
	return any;
}

void fakehost_run_until_idle(struct fakehost *fh)
{
	uint64_t until = fakehost_now(fh) + 60 * FAKEHOST_S;
	uint64_t give_up = real_now() + REAL_MAX_NS;

	for (;;) {
		struct orlop_timer *t;

		(void)fakehost_run(fh);
		if (outside_wait(fh, QUIET_MS) && real_now() < give_up)
			continue;
		if (!timer_next(fh, until, true))
			return;
		t = timer_next(fh, until, false);
		if (fh->real)
			fakehost_advance(fh, t->due > real_now() ? t->due - real_now() : 0);
		else if (t->due > fh->now)
			clock_to(fh, t->due);
	}
}

int fakehost_run_until(struct fakehost *fh, int (*cond)(void *arg), void *arg, uint64_t max_ns)
{
	uint64_t now = fakehost_now(fh);
	uint64_t until = max_ns > UINT64_MAX - now ? UINT64_MAX : now + max_ns;
	uint64_t give_up = real_now() + REAL_MAX_NS;

	for (;;) {
		struct orlop_timer *t;

		if (cond(arg))
			return 1;
		if (step(fh))
			continue;
		if (fh->real) {
			now = real_now();
			if (now >= until)
				return 0;
			t = timer_next(fh, until, false);
			if (t)
				now = t->due > now ? t->due - now : 0;
			else
				now = until - now;
			(void)fake_net_poll(fh, now > FAKEHOST_S ? 1000 : (int)(now / FAKEHOST_MS) + 1);
			continue;
		}
		if (outside_wait(fh, QUIET_MS))
			continue;
		t = timer_next(fh, until, false);
		if (t && t->due > fh->now)
			clock_to(fh, t->due);
		if (!t && (!outside(fh) || real_now() > give_up))
			return cond(arg) ? 1 : 0;
	}
}

/* ---- log, metrics, leadership ------------------------------------------------------------------------------- */

static void h_log(const struct orlop_host *h, int32_t level, const char *event, const char *text)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct fake_pair *line = fake_alloc(sizeof(*line));
	static const char *const names[] = { "", "", "", "ERR", "WARN", "", "INFO", "DEBUG" };

	line->name = fake_printf("%s %s %s %s", level >= 0 && level < 8 ? names[level] : "?",
				 h->instance, event, text);
	(void)pthread_mutex_lock(&fh->lock);
	olist_append(&fh->lines, &line->node);
	(void)pthread_mutex_unlock(&fh->lock);
	if (getenv("FAKEHOST_LOG"))
		printf("# %s\n", line->name);
}

static int h_log_enabled(const struct orlop_host *h, int32_t level)
{
	(void)h;
	(void)level;
	return 1;
}

uint32_t fakehost_logged(struct fakehost *fh, const char *text)
{
	uint32_t n = 0;

	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH(at, &fh->lines)
		n += !text || strstr(OLIST_ENTRY(at, struct fake_pair, node)->name, text);
	(void)pthread_mutex_unlock(&fh->lock);
	return n;
}

struct orlop_metric {
	struct olist	node;
	uint32_t	type;
	char		*name;
	char		*labels;
	double		value;
	uint64_t	n;
	pthread_mutex_t	*lock;
};

static struct orlop_metric *metric_find(struct fakehost *fh, const char *name, const char *labels)
{
	OLIST_FOREACH(at, &fh->metrics) {
		struct orlop_metric *m = OLIST_ENTRY(at, struct orlop_metric, node);

		if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels ? labels : "") == 0)
			return m;
	}
	return NULL;
}

static int h_metric_new(const struct orlop_host *h, uint32_t type, const char *name,
			const char *labels, const char *help, const double *buckets,
			uint32_t n_buckets, struct orlop_metric **ret)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct orlop_metric *m;

	(void)help;
	(void)buckets;
	(void)n_buckets;
	(void)pthread_mutex_lock(&fh->lock);
	m = metric_find(fh, name, labels);
	if (!m) {
		m = fake_alloc(sizeof(*m));
		m->type = type;
		m->name = fake_strdup(name);
		m->labels = fake_strdup(labels ? labels : "");
		m->lock = &fh->lock;
		olist_append(&fh->metrics, &m->node);
	}
	(void)pthread_mutex_unlock(&fh->lock);
	*ret = m;
	return 0;
}

static void h_metric_add(struct orlop_metric *m, double v)
{
	(void)pthread_mutex_lock(m->lock);
	m->value += v;
	m->n++;
	(void)pthread_mutex_unlock(m->lock);
}

static void h_metric_set(struct orlop_metric *m, double v)
{
	(void)pthread_mutex_lock(m->lock);
	m->value = v;
	(void)pthread_mutex_unlock(m->lock);
}

double fakehost_metric(struct fakehost *fh, const char *name, const char *labels)
{
	struct orlop_metric *m;
	double v;

	(void)pthread_mutex_lock(&fh->lock);
	m = metric_find(fh, name, labels);
	v = m ? m->value : 0;
	(void)pthread_mutex_unlock(&fh->lock);
	return v;
}

static int h_metrics_text(const struct orlop_host *h, struct orlop_blob **ret)
{
	struct fakehost *fh = fake_priv(h)->fh;
	char *text = fake_strdup("");
	int r;

	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH(at, &fh->metrics) {
		struct orlop_metric *m = OLIST_ENTRY(at, struct orlop_metric, node);
		char *more = fake_printf("%s%s{%s} %.17g\n", text, m->name, m->labels, m->value);

		free(text);
		text = more;
	}
	(void)pthread_mutex_unlock(&fh->lock);
	r = h->blob_new(h, text, strlen(text), ret);
	free(text);
	return r;
}

struct orlop_lead {
	struct olist	node;
	struct fakehost	*fh;
	struct fakehost_module *m;
	orlop_lead_fn	cb;
	void		*arg;
	bool		told;
	uint64_t	token;
};

/* Tells each candidate what it does not know yet. */
static void leads_tell(void *arg)
{
	struct fakehost *fh = arg;

	OLIST_FOREACH_SAFE(at, next, &fh->leads) {
		struct orlop_lead *l = OLIST_ENTRY(at, struct orlop_lead, node);

		if (l->told == fh->leading)
			continue;
		l->told = fh->leading;
		if (l->told)
			l->token = ++fh->seq;
		l->cb(l->arg, l->told, l->told ? l->token : 0);
	}
}

static int h_lead(const struct orlop_host *h, const char *name, orlop_lead_fn cb, void *arg,
		  struct orlop_lead **ret)
{
	struct orlop_lead *l = fake_alloc(sizeof(*l));

	(void)name;
	l->fh = fake_priv(h)->fh;
	l->m = fake_priv(h)->m;
	l->cb = cb;
	l->arg = arg;
	olist_append(&l->fh->leads, &l->node);
	*ret = l;
	fake_post(l->fh, NULL, leads_tell, l->fh);
	return 0;
}

static void h_lead_drop(struct orlop_lead *l)
{
	if (!l)
		return;
	olist_del(&l->node);
	free(l);
}

void fakehost_leading(struct fakehost *fh, int leading)
{
	fh->leading = leading != 0;
	fake_post(fh, NULL, leads_tell, fh);
}

/* ---- parameters ------------------------------------------------------------------------------------------------ */

void fakehost_param(struct fakehost *fh, const char *name, const char *value)
{
	struct fake_pair *p = fake_alloc(sizeof(*p));

	p->name = fake_strdup(name);
	p->value = fake_strdup(value);
	olist_push(&fh->params, &p->node);	/* the newest is found first; older text stays valid */
}

static const char *h_param(const struct orlop_host *h, const char *name)
{
	const struct orlop_module *mod = fake_priv(h)->m->mod;

	OLIST_FOREACH(at, &fake_priv(h)->fh->params) {
		struct fake_pair *p = OLIST_ENTRY(at, struct fake_pair, node);

		if (strcmp(p->name, name) == 0)
			return p->value;
	}
	for (uint32_t i = 0; mod && i < mod->n_params; i++)
		if (strcmp(mod->params[i].name, name) == 0)
			return mod->params[i].def ? mod->params[i].def : "";
	return "";
}

static int64_t h_param_int(const struct orlop_host *h, const char *name)
{
	return strtoll(h_param(h, name), NULL, 0);
}

static int h_param_bool(const struct orlop_host *h, const char *name)
{
	const char *v = h_param(h, name);

	return strcmp(v, "true") == 0 || strcmp(v, "1") == 0 || strcmp(v, "yes") == 0;
}

int fakehost_param_change(struct fakehost *fh, struct fakehost_module *m, const char *name,
			  const char *value, struct orlop_error *err)
{
	int r;

	if (m->mod->param_validate) {
		r = m->mod->param_validate(m->ctx, name, value, err);
		if (r)
			return r;
	}
	fakehost_param(fh, name, value);
	if (m->mod->param_apply)
		m->mod->param_apply(m->ctx, name, value);
	return 0;
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
	h->log = h_log;
	h->log_enabled = h_log_enabled;
	h->now_mono = h_now_mono;
	h->now_boot = h_now_mono;
	h->now_wall = h_now_wall;
	h->random = h_random;
	h->timer_new = h_timer_new;
	h->timer_set = h_timer_set;
	h->timer_clear = h_timer_clear;
	h->timer_free = h_timer_free;
	h->post = h_post;
	h->work = h_work;
	h->thread_start = h_thread_start;
	h->thread_join = h_thread_join;
	h->shard_host = h_shard_host;
	h->param = h_param;
	h->param_int = h_param_int;
	h->param_bool = h_param_bool;
	h->metric_new = h_metric_new;
	h->metric_add = h_metric_add;
	h->metric_set = h_metric_set;
	h->metric_observe = h_metric_add;
	h->metrics_text = h_metrics_text;
	h->lead = h_lead;
	h->lead_drop = h_lead_drop;
	h->ready = h_ready;
	h->fail = h_fail;
	h->health_list = h_health_list;
	h->stop_reason = h_stop_reason;
	fake_net_fill(h);
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
	uint32_t timers = 0, leads = 0, bus, net, cache;

	OLIST_FOREACH_SAFE(at, next, &fh->timers) {
		struct orlop_timer *t = OLIST_ENTRY(at, struct orlop_timer, node);

		if (t->priv && t->priv->m == m) {
			h_timer_free(t);
			timers++;
		}
	}
	OLIST_FOREACH_SAFE(at, next, &fh->leads) {
		struct orlop_lead *l = OLIST_ENTRY(at, struct orlop_lead, node);

		if (l->m == m) {
			h_lead_drop(l);
			leads++;
		}
	}
	bus = fake_bus_drop(fh, m);
	net = fake_net_drop(fh, m);
	cache = fake_cache_drop(fh, m);
	(void)pthread_mutex_lock(&fh->lock);
	OLIST_FOREACH_SAFE(at, next, &fh->posts) {
		struct fake_post *p = OLIST_ENTRY(at, struct fake_post, node);

		if (p->m == m) {
			olist_del(&p->node);
			if (p->fn == work_run)
				free(p->arg);
			free(p);
		}
	}
	(void)pthread_mutex_unlock(&fh->lock);
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

		n += fake_bus_held(fh, m) + fake_net_held(fh, m) + fake_cache_held(fh, m);
	}
	return n;
}

struct fakehost *fakehost_new(void)
{
	struct fakehost *fh = fake_alloc(sizeof(*fh));

	(void)pthread_mutex_init(&fh->lock, NULL);
	fh->self = pthread_self();
	fh->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fh->wake_fd < 0)
		fake_die("eventfd: errno %d", errno);
	olist_init(&fh->posts);
	olist_init(&fh->timers);
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
	fh->now = MONO_START;
	fh->wall_off = WALL_START - MONO_START;
	fh->random = 1;
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
	while ((at = olist_shift(&fh->posts)))
		free(OLIST_ENTRY(at, struct fake_post, node));
	while ((at = olist_first(&fh->timers)))
		h_timer_free(OLIST_ENTRY(at, struct orlop_timer, node));
	while ((at = olist_shift(&fh->metrics))) {
		struct orlop_metric *m = OLIST_ENTRY(at, struct orlop_metric, node);

		free(m->name);
		free(m->labels);
		free(m);
	}
	pairs_free(&fh->params);
	pairs_free(&fh->lines);
	(void)close(fh->wake_fd);
	(void)pthread_mutex_destroy(&fh->lock);
	free(fh);
}

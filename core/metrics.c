/*
 * metrics.c - the registry of metrics and the Prometheus text format 0.0.4.
 */
#include "metrics.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/olist.h"
#include "base/omem.h"

/*
 * One set of labels of a family. Doubles as bits: C has no atomic addition of them. The words are its
 * value (histogram: sum), its observations, its buckets (not cumulated); they stand behind it, or in
 * memory that another process sees, or are those of another process.
 */
#define W_VALUE		0u
#define W_COUNT		1u
#define W_BUCKETS	2u
struct orlop_metric {
	struct olist	node;
	struct family	*family;
	char		*labels;	/* "" if none */
	struct olist	sources;	/* values that another process writes; the metric is the sum */
	_Atomic uint64_t *w;
	_Atomic uint64_t own[];		/* W_BUCKETS + family->n_buckets */
};

struct source {
	struct olist	node;
	const void	*owner;
	const _Atomic uint64_t *w;
};

struct family {
	struct olist	node;
	char		*name;
	char		*help;
	char		*who;		/* the module that registered it, NULL: nobody in particular */
	bool		old;		/* that module's successor has another of the name */
	uint32_t	type;
	uint32_t	n_buckets;
	double		*bounds;
	struct olist	metrics;
};

struct core_metrics {
	pthread_mutex_t	lock;
	struct olist	families;
	/* of core_metrics_export() */
	core_metric_export_fn export;
	void		*export_arg;
	_Atomic uint64_t *shared;
	uint32_t	n_shared;
	uint32_t	shared_used;
};

int core_metrics_new(struct core_metrics **ret)
{
	struct core_metrics *m = OMEM_NEW(struct core_metrics);

	if (!m)
		return -ENOMEM;
	(void)pthread_mutex_init(&m->lock, NULL);
	olist_init(&m->families);
	*ret = m;
	return 0;
}

static void family_free(struct family *f)
{
	struct olist *n;

	while ((n = olist_shift(&f->metrics))) {
		struct orlop_metric *x = OLIST_ENTRY(n, struct orlop_metric, node);

		struct olist *k;

		while ((k = olist_shift(&x->sources)))
			omem_free(OLIST_ENTRY(k, struct source, node));
		omem_free(x->labels);
		omem_free(x);
	}
	omem_free(f->name);
	omem_free(f->help);
	omem_free(f->who);
	omem_free(f->bounds);
	omem_free(f);
}

void core_metrics_free(struct core_metrics *m)
{
	struct olist *n;

	if (!m)
		return;
	while ((n = olist_shift(&m->families)))
		family_free(OLIST_ENTRY(n, struct family, node));
	pthread_mutex_destroy(&m->lock);
	omem_free(m);
}

static bool name_ok(const char *s)
{
	if (!isalpha((unsigned char)*s) && *s != '_' && *s != ':')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != ':')
			return false;
	return true;
}

/* a="b",c="d" : enough of the grammar that a module cannot break the page of others. */
static bool labels_ok(const char *s)
{
	while (*s) {
		if (!isalpha((unsigned char)*s) && *s != '_')
			return false;
		while (isalnum((unsigned char)*s) || *s == '_')
			s++;
		if (*s++ != '=' || *s++ != '"')
			return false;
		for (; *s && *s != '"'; s++) {
			if (*s == '\n')
				return false;
			if (*s == '\\' && *++s != '\\' && *s != '"' && *s != 'n')
				return false;
		}
		if (*s++ != '"')
			return false;
		if (*s && (*s != ',' || !*++s))
			return false;
	}
	return true;
}

static struct family *family_new(uint32_t type, const char *name, const char *help,
				 const double *buckets, uint32_t n_buckets)
{
	struct family *f = OMEM_NEW(struct family);

	if (!f)
		return NULL;
	olist_init(&f->metrics);
	f->type = type;
	f->n_buckets = n_buckets;
	f->name = omem_strdup(name);
	f->help = omem_strdup(help ? help : "");
	f->bounds = omem_alloc_array(n_buckets, sizeof(double));
	if (!f->name || !f->help || !f->bounds) {
		family_free(f);
		return NULL;
	}
	if (n_buckets)
		memcpy(f->bounds, buckets, n_buckets * sizeof(double));
	for (char *p = f->help; *p; p++)
		if (*p == '\n' || *p == '\\')
			*p = ' ';
	return f;
}

int core_metric_new(struct core_metrics *m, uint32_t type, const char *name, const char *labels,
		    const char *help, const double *buckets, uint32_t n_buckets,
		    struct orlop_metric **ret)
{
	return core_metric_new_of(m, NULL, type, name, labels, help, buckets, n_buckets, ret);
}

static bool same_shape(const struct family *f, uint32_t type, const double *buckets, uint32_t n_buckets)
{
	return f->type == type && f->n_buckets == n_buckets &&
		(!n_buckets || memcmp(f->bounds, buckets, n_buckets * sizeof(double)) == 0);
}

int core_metric_new_of(struct core_metrics *m, const char *who, uint32_t type, const char *name, const char *labels,
		       const char *help, const double *buckets, uint32_t n_buckets, struct orlop_metric **ret)
{
	struct orlop_metric *x = NULL;
	struct family *before = NULL;
	struct family *f = NULL;
	int r = 0;

	if (!labels)
		labels = "";
	if (type != ORLOP_METRIC_HISTOGRAM)
		n_buckets = 0;
	if (type < ORLOP_METRIC_COUNTER || type > ORLOP_METRIC_HISTOGRAM || !name_ok(name) ||
	    !labels_ok(labels) || n_buckets > 256)
		return -EINVAL;
	for (uint32_t i = 1; i < n_buckets; i++)
		if (!(buckets[i] > buckets[i - 1]))
			return -EINVAL;
	pthread_mutex_lock(&m->lock);
	OLIST_FOREACH(n, &m->families)
		if (!OLIST_ENTRY(n, struct family, node)->old &&
		    strcmp(OLIST_ENTRY(n, struct family, node)->name, name) == 0) {
			f = OLIST_ENTRY(n, struct family, node);
			break;
		}
	if (f && !same_shape(f, type, buckets, n_buckets)) {
		/* The same module, another version of it: who was replaced counts on, and nobody sees it. */
		if (!who || !f->who || strcmp(f->who, who) != 0) {
			r = -EINVAL;
			goto out;
		}
		before = f;
		f = NULL;
	}
	if (!f) {
		f = family_new(type, name, help, buckets, n_buckets);
		if (f && who && !(f->who = omem_strdup(who))) {
			family_free(f);
			f = NULL;
		}
		if (!f) {
			r = -ENOMEM;
			goto out;
		}
		if (before)
			before->old = true;
		olist_append(&m->families, &f->node);
	}
	OLIST_FOREACH(n, &f->metrics)
		if (strcmp(OLIST_ENTRY(n, struct orlop_metric, node)->labels, labels) == 0) {
			*ret = OLIST_ENTRY(n, struct orlop_metric, node);
			goto out;
		}
	x = omem_zalloc(sizeof(*x) + (W_BUCKETS + n_buckets) * sizeof(x->own[0]));
	if (!x || !(x->labels = omem_strdup(labels))) {
		omem_free(x);
		r = -ENOMEM;
		goto out;
	}
	x->family = f;
	x->w = x->own;
	olist_init(&x->sources);
	olist_append(&f->metrics, &x->node);
	/* Full: it counts on, and nobody outside sees it. */
	if (m->export && m->shared_used + W_BUCKETS + n_buckets <= m->n_shared) {
		x->w = m->shared + m->shared_used;
		m->export(m->export_arg, m->shared_used, type, name, labels, f->help, f->bounds, n_buckets);
		m->shared_used += W_BUCKETS + n_buckets;
	}
	*ret = x;
out:
	pthread_mutex_unlock(&m->lock);
	return r;
}

void core_metrics_export(struct core_metrics *m, void *shared, uint32_t n_words, core_metric_export_fn fn,
			 void *arg)
{
	pthread_mutex_lock(&m->lock);
	m->shared = shared;
	m->n_shared = n_words;
	m->export_arg = arg;
	m->export = fn;
	pthread_mutex_unlock(&m->lock);
}

static double bits_to_double(uint64_t b)
{
	double v;

	memcpy(&v, &b, sizeof(v));
	return v;
}

static uint64_t double_to_bits(double v)
{
	uint64_t b;

	memcpy(&b, &v, sizeof(b));
	return b;
}

void core_metric_add(struct orlop_metric *m, double v)
{
	uint64_t old;

	if (!m)
		return;
	old = atomic_load_explicit(&m->w[W_VALUE], memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&m->w[W_VALUE], &old,
						      double_to_bits(bits_to_double(old) + v),
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void core_metric_set(struct orlop_metric *m, double v)
{
	if (m)
		atomic_store_explicit(&m->w[W_VALUE], double_to_bits(v), memory_order_relaxed);
}

void core_metric_observe(struct orlop_metric *m, double v)
{
	uint32_t i;

	if (!m || m->family->type != ORLOP_METRIC_HISTOGRAM)
		return;
	for (i = 0; i < m->family->n_buckets; i++)
		if (v <= m->family->bounds[i]) {
			atomic_fetch_add_explicit(&m->w[W_BUCKETS + i], 1, memory_order_relaxed);
			break;
		}
	atomic_fetch_add_explicit(&m->w[W_COUNT], 1, memory_order_relaxed);
	core_metric_add(m, v);
}

/* ---- values of another process ------------------------------------------------------------------ */

int core_metric_import(struct core_metrics *m, struct orlop_metric *x, const void *words, const void *owner)
{
	struct source *s = OMEM_NEW(struct source);

	if (!s)
		return -ENOMEM;
	s->owner = owner;
	s->w = words;
	pthread_mutex_lock(&m->lock);
	/* A gauge is what was said last, a counter never goes back. */
	if (x->family->type == ORLOP_METRIC_GAUGE && olist_empty(&x->sources))
		atomic_store(&x->w[W_VALUE], 0);
	olist_append(&x->sources, &s->node);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static void source_fold(struct orlop_metric *x, struct source *s)
{
	core_metric_add(x, bits_to_double(atomic_load(&s->w[W_VALUE])));
	for (uint32_t i = W_COUNT; i < W_BUCKETS + x->family->n_buckets; i++)
		atomic_fetch_add(&x->w[i], atomic_load(&s->w[i]));
	olist_del(&s->node);
	omem_free(s);
}

void core_metrics_forget(struct core_metrics *m, const void *owner)
{
	pthread_mutex_lock(&m->lock);
	OLIST_FOREACH(n, &m->families) {
		struct family *f = OLIST_ENTRY(n, struct family, node);

		OLIST_FOREACH(k, &f->metrics) {
			struct orlop_metric *x = OLIST_ENTRY(k, struct orlop_metric, node);

			OLIST_FOREACH_SAFE(e, tmp, &x->sources) {
				struct source *s = OLIST_ENTRY(e, struct source, node);

				if (s->owner == owner)
					source_fold(x, s);
			}
		}
	}
	pthread_mutex_unlock(&m->lock);
}

/* A word of a metric with what other processes add to it. Lock held. */
static uint64_t word(struct orlop_metric *x, uint32_t i)
{
	uint64_t v = atomic_load_explicit(&x->w[i], memory_order_relaxed);

	OLIST_FOREACH(n, &x->sources)
		v += atomic_load_explicit(&OLIST_ENTRY(n, struct source, node)->w[i], memory_order_relaxed);
	return v;
}

static double value(struct orlop_metric *x)
{
	double v = bits_to_double(atomic_load(&x->w[W_VALUE]));

	OLIST_FOREACH(n, &x->sources)
		v += bits_to_double(atomic_load(&OLIST_ENTRY(n, struct source, node)->w[W_VALUE]));
	return v;
}

/* ---- text ------------------------------------------------------------------------------------------ */

static void put_double(struct obuf *b, double v)
{
	if (isnan(v))
		obuf_puts(b, "NaN");
	else if (isinf(v))
		obuf_puts(b, v > 0 ? "+Inf" : "-Inf");
	else if (v == floor(v) && fabs(v) < 1e15)
		obuf_put_i64(b, (int64_t)v);
	else
		obuf_printf(b, "%.15g", v);
}

static void put_sample(struct obuf *b, const struct orlop_metric *x, const char *suffix,
		       const double *le, double v)
{
	obuf_puts(b, x->family->name);
	obuf_puts(b, suffix);
	if (x->labels[0] || le) {
		obuf_putc(b, '{');
		obuf_puts(b, x->labels);
		if (le) {
			if (x->labels[0])
				obuf_putc(b, ',');
			obuf_puts(b, "le=\"");
			put_double(b, *le);
			obuf_putc(b, '"');
		}
		obuf_putc(b, '}');
	}
	obuf_putc(b, ' ');
	put_double(b, v);
	obuf_putc(b, '\n');
}

static void put_histogram(struct obuf *b, struct orlop_metric *x)
{
	double inf = INFINITY;
	uint64_t total = word(x, W_COUNT);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < x->family->n_buckets; i++) {
		sum += word(x, W_BUCKETS + i);
		put_sample(b, x, "_bucket", &x->family->bounds[i], (double)sum);
	}
	/* Read while others write: the total must not be below its parts. */
	if (total < sum)
		total = sum;
	put_sample(b, x, "_bucket", &inf, (double)total);
	put_sample(b, x, "_sum", NULL, value(x));
	put_sample(b, x, "_count", NULL, (double)total);
}

static void put_head(struct obuf *out, const char *name, const char *type, const char *help)
{
	obuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", name, help, name, type, name);
}

/* What every exporter says of its process, under the names that dashboards know. */
static void put_process(struct obuf *out)
{
	unsigned long long started = 0, booted = 0;
	unsigned long pages = 0, virtual_pages = 0;
	struct rlimit files = { 0, 0 };
	struct rusage ru;
	char line[256];
	FILE *f = fopen("/proc/self/statm", "re");
	DIR *d = opendir("/proc/self/fd");
	long fds = -3;		/* ".", "..", and the directory itself */

	if (f) {
		if (fscanf(f, "%lu %lu", &virtual_pages, &pages) != 2)
			pages = 0;
		(void)fclose(f);
	}
	f = fopen("/proc/self/stat", "re");
	if (f) {
		/* the name in brackets may hold anything; 22 is the start, in ticks since boot */
		if (fscanf(f, "%*d %*[^)]%*[^ ] %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			   &started) != 1)
			started = 0;
		(void)fclose(f);
	}
	f = fopen("/proc/stat", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "btime %llu", &booted) == 1)
			break;
	if (f)
		(void)fclose(f);
	for (; d && readdir(d); fds++)
		;
	if (d)
		(void)closedir(d);
	(void)getrusage(RUSAGE_SELF, &ru);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	put_head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
	obuf_printf(out, "%llu\n", (unsigned long long)pages * (unsigned long long)sysconf(_SC_PAGESIZE));
	put_head(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
	obuf_printf(out, "%llu\n", (unsigned long long)virtual_pages * (unsigned long long)sysconf(_SC_PAGESIZE));
	put_head(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.");
	obuf_printf(out, "%llu\n", (unsigned long long)files.rlim_cur);
	if (started && booted) {
		put_head(out, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
		obuf_printf(out, "%.2f\n", (double)booted + (double)started / (double)sysconf(_SC_CLK_TCK));
	}
	put_head(out, "process_open_fds", "gauge", "Number of open file descriptors.");
	obuf_printf(out, "%ld\n", fds > 0 ? fds : 0);
	put_head(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
	obuf_printf(out, "%.2f\n", (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
}

void core_metrics_text(struct core_metrics *m, struct obuf *out)
{
	static const char *const types[] = { "", "counter", "gauge", "histogram" };

	pthread_mutex_lock(&m->lock);
	OLIST_FOREACH(n, &m->families) {
		struct family *f = OLIST_ENTRY(n, struct family, node);

		if (f->old)
			continue;
		if (f->help[0])
			obuf_printf(out, "# HELP %s %s\n", f->name, f->help);
		obuf_printf(out, "# TYPE %s %s\n", f->name, types[f->type]);
		OLIST_FOREACH(k, &f->metrics) {
			struct orlop_metric *x = OLIST_ENTRY(k, struct orlop_metric, node);

			if (f->type == ORLOP_METRIC_HISTOGRAM)
				put_histogram(out, x);
			else
				put_sample(out, x, "", NULL, value(x));
		}
	}
	pthread_mutex_unlock(&m->lock);
	put_process(out);
}

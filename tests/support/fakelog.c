/*
 * fakelog.c - of the fake host: log, metrics, leadership, parameters.
 */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- their part of a host ----------------------------------------------------------------------------------- */

void fake_log_fill(struct orlop_host *h)
{
	h->log = h_log;
	h->log_enabled = h_log_enabled;
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
}

uint32_t fake_leads_drop(struct fakehost *fh, const struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH_SAFE(at, next, &fh->leads) {
		struct orlop_lead *l = OLIST_ENTRY(at, struct orlop_lead, node);

		if (l->m == m) {
			h_lead_drop(l);
			n++;
		}
	}
	return n;
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

void fake_log_done(struct fakehost *fh)
{
	struct olist *at;

	while ((at = olist_shift(&fh->metrics))) {
		struct orlop_metric *m = OLIST_ENTRY(at, struct orlop_metric, node);

		free(m->name);
		free(m->labels);
		free(m);
	}
	pairs_free(&fh->params);
	pairs_free(&fh->lines);
}

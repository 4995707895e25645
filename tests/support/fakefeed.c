/*
 * fakefeed.c - the fake host's feeds: modules that feed its cache, and what the others want.
 */
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>

#include "../../core/cache/feed.h"
#include "../../core/wants.h"

struct orlop_feed {
	struct olist	node;
	struct fakehost_module *m;
	struct core_feed *feed;
};

struct fake_watch {
	struct olist	node;
	struct fakehost_module *m;
	orlop_cb	changed;
	void		*arg;
};

/* Value of @key in a module's modinfo, NULL: it has none. */
static const char *modinfo_get(const struct fakehost_module *m, const char *key)
{
	const char *p = m->mod && m->mod->modinfo ? m->mod->modinfo : "";
	size_t n = strlen(key);

	for (; *p; p += strlen(p) + 1)
		if (strncmp(p, key, n) == 0 && p[n] == '=')
			return p + n + 1;
	return NULL;
}

static bool word_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, word, n) == 0 && (p[n] == '\0' || p[n] == ','))
			return true;
	}
	return false;
}

static int h_feed_open(const struct orlop_host *h, const char *resource, struct orlop_feed **ret,
		       struct orlop_error *err)
{
	struct fakehost_module *m = fake_priv(h)->m;
	struct orlop_feed *f;
	int r;

	if (m->mod && !word_in(modinfo_get(m, "provides"), "feed"))
		return orlop_fail(err, EACCES, 403, "Forbidden", "module %s may not feed %s: its modinfo "
				  "does not say provides=feed", m->name, resource);
	f = fake_alloc(sizeof(*f));
	r = core_feed_open(fake_priv(h)->fh->cache, resource, m->name ? m->name : "test", &f->feed, err);
	if (r) {
		free(f);
		return r;
	}
	f->m = m;
	olist_append(&fake_priv(h)->fh->feeds, &f->node);
	*ret = f;
	return 0;
}

static void h_feed_close(struct orlop_feed *f)
{
	if (!f)
		return;
	core_feed_close(f->feed);
	olist_del(&f->node);
	free(f);
}

static uint64_t h_feed_rev(const struct orlop_feed *f)
{
	return core_feed_rev(f->feed);
}

static int h_feed_put(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name,
		      struct orlop_bytes record, uint64_t rev)
{
	return core_feed_put(f->feed, ns, name, record, rev);
}

static int h_feed_del(struct orlop_feed *f, struct orlop_bytes ns, struct orlop_bytes name, uint64_t rev)
{
	return core_feed_del(f->feed, ns, name, rev);
}

static int h_feed_commit(struct orlop_feed *f, uint64_t rev)
{
	return core_feed_commit(f->feed, rev);
}

static int h_feed_list_begin(struct orlop_feed *f, uint32_t flags)
{
	return core_feed_list_begin(f->feed, flags);
}

static int h_feed_list_end(struct orlop_feed *f, uint64_t rev)
{
	return core_feed_list_end(f->feed, rev);
}

static void h_feed_fail(struct orlop_feed *f, int32_t err)
{
	core_feed_fail(f->feed, err);
}

/* ---- wants -------------------------------------------------------------------------------------------- */

static void watch_run(void *arg)
{
	struct fakehost_module *m = arg;

	OLIST_FOREACH(at, &m->fh->feed_watches) {
		struct fake_watch *w = OLIST_ENTRY(at, struct fake_watch, node);

		if (w->m == m) {
			w->changed(w->arg);
			return;
		}
	}
}

void fake_feed_changed(struct fakehost *fh)
{
	OLIST_FOREACH(at, &fh->feed_watches) {
		struct fake_watch *w = OLIST_ENTRY(at, struct fake_watch, node);

		fake_post(fh, w->m, watch_run, w->m);
	}
}

static void watch_drop(struct fakehost *fh, struct fakehost_module *m)
{
	OLIST_FOREACH_SAFE(at, next, &fh->feed_watches) {
		struct fake_watch *w = OLIST_ENTRY(at, struct fake_watch, node);

		if (w->m == m) {
			olist_del(&w->node);
			free(w);
		}
	}
}

static int h_feed_wants(const struct orlop_host *h, orlop_cb changed, void *arg)
{
	struct fakehost_module *m = fake_priv(h)->m;
	struct fake_watch *w;

	watch_drop(m->fh, m);
	if (!changed)
		return 0;
	w = fake_alloc(sizeof(*w));
	w->m = m;
	w->changed = changed;
	w->arg = arg;
	olist_append(&m->fh->feed_watches, &w->node);
	fake_post(m->fh, m, watch_run, m);
	return 0;
}

static const char *param_text(void *arg, const char *name)
{
	struct fakehost_module *m = arg;

	return m->shards ? m->shards[0].host.param(&m->shards[0].host, name) : NULL;
}

static void want_add(struct core_wants *l, struct fakehost_module *m, const char *text)
{
	struct orlop_error err = ORLOP_ERROR_INIT;
	struct core_want *w;
	int r = core_want_parse(text, m ? param_text : NULL, m, &w, &err);

	if (r == -ENOMEM)	/* an allocation that a test lets fail is to be the module's: once more */
		r = core_want_parse(text, m ? param_text : NULL, m, &w, &err);
	if (r)
		fake_die("%s", err.msg);
	core_wants_add(l, w);
}

static void h_feed_want_list(const struct orlop_host *h,
			     void (*fn)(void *arg, const struct orlop_feed_want *want), void *arg)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct core_wants l = { NULL };

	OLIST_FOREACH(at, &fh->want_texts)
		want_add(&l, NULL, OLIST_ENTRY(at, struct fake_pair, node)->name);
	OLIST_FOREACH(at, &fh->modules) {
		struct fakehost_module *m = OLIST_ENTRY(at, struct fakehost_module, node);
		const char *reads = m == fake_priv(h)->m ? NULL : modinfo_get(m, "reads");

		while (reads && *reads) {
			size_t n = strcspn(reads, ",");
			char *text = fake_printf("%.*s", (int)n, reads);

			want_add(&l, m, text);
			free(text);
			reads += n + (reads[n] == ',');
		}
	}
	for (struct core_want *w = l.first; w; w = w->next)
		fn(arg, &w->pub);
	core_wants_done(&l);
}

void fakehost_want(struct fakehost *fh, const char *reads)
{
	OLIST_FOREACH_SAFE(at, next, &fh->want_texts) {
		struct fake_pair *p = OLIST_ENTRY(at, struct fake_pair, node);

		if (!reads) {
			olist_del(&p->node);
			free(p->name);
			free(p);
		}
	}
	if (reads) {
		struct fake_pair *p = fake_alloc(sizeof(*p));

		p->name = fake_strdup(reads);
		olist_append(&fh->want_texts, &p->node);
	}
	fake_feed_changed(fh);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

uint32_t fake_feed_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	OLIST_FOREACH(at, &fh->feeds)
		n += OLIST_ENTRY(at, struct orlop_feed, node)->m == m;
	return n;
}

uint32_t fake_feed_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = 0;

	watch_drop(fh, m);
	OLIST_FOREACH_SAFE(at, next, &fh->feeds) {
		struct orlop_feed *f = OLIST_ENTRY(at, struct orlop_feed, node);

		if (f->m == m) {
			h_feed_close(f);
			n++;
		}
	}
	return n;
}

void fake_feed_init(struct fakehost *fh)
{
	olist_init(&fh->feeds);
	olist_init(&fh->feed_watches);
	olist_init(&fh->want_texts);
}

void fake_feed_done(struct fakehost *fh)
{
	OLIST_FOREACH_SAFE(at, next, &fh->feeds)
		h_feed_close(OLIST_ENTRY(at, struct orlop_feed, node));
	OLIST_FOREACH_SAFE(at, next, &fh->feed_watches)
		free(OLIST_ENTRY(at, struct fake_watch, node));
	olist_init(&fh->feed_watches);
	fakehost_want(fh, NULL);
}

void fake_feed_fill(struct orlop_host *h)
{
	h->feed_open = h_feed_open;
	h->feed_close = h_feed_close;
	h->feed_rev = h_feed_rev;
	h->feed_put = h_feed_put;
	h->feed_del = h_feed_del;
	h->feed_commit = h_feed_commit;
	h->feed_list_begin = h_feed_list_begin;
	h->feed_list_end = h_feed_list_end;
	h->feed_fail = h_feed_fail;
	h->feed_wants = h_feed_wants;
	h->feed_want_list = h_feed_want_list;
}

/* support.h - what the tests of the cache share: records, and a cache whose loop is the test. */
#ifndef CORE_CACHE_TEST_SUPPORT_H
#define CORE_CACHE_TEST_SUPPORT_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/record.h>

#include "cache/cache.h"

#define T_UNUSED __attribute__((unused))

/* ---- records ----------------------------------------------------------------------------------- */

struct t_entry {
	uint16_t	index;
	const char	*key;
	const char	*value;
};

/* A record with sorted entries; the caller frees. JSON: "metadata":{"name":…},"v":N */
static T_UNUSED struct orlop_bytes t_record(const char *name, int v, const struct t_entry *e,
					    uint32_t n)
{
	char json[600];
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1 };
	size_t index_len = 0;
	char *buf, *p;

	snprintf(json, sizeof(json), "\"metadata\":{\"name\":\"%s\"},\"v\":%d", name, v);
	for (uint32_t i = 0; i < n; i++)
		index_len += 8 + strlen(e[i].key) + strlen(e[i].value);
	rec.n_index = (uint16_t)n;
	rec.index_len = (uint32_t)index_len;
	rec.json_len = (uint32_t)strlen(json);
	rec.rv_off = 12;
	buf = malloc(sizeof(rec) + index_len + rec.json_len);
	memcpy(buf, &rec, sizeof(rec));
	p = buf + sizeof(rec);
	for (uint32_t i = 0; i < n; i++) {
		uint16_t key_len = (uint16_t)strlen(e[i].key);
		uint32_t value_len = (uint32_t)strlen(e[i].value);

		memcpy(p, &e[i].index, 2);
		memcpy(p + 2, &key_len, 2);
		memcpy(p + 4, &value_len, 4);
		memcpy(p + 8, e[i].key, key_len);
		memcpy(p + 8 + key_len, e[i].value, value_len);
		p += 8 + key_len + value_len;
	}
	memcpy(p, json, rec.json_len);
	return (struct orlop_bytes){ buf, (size_t)(p + rec.json_len - buf) };
}

static T_UNUSED struct orlop_bytes t_bytes(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static T_UNUSED int t_put_entries(struct core_cache *c, const char *key, int v, uint64_t rev,
				  const struct t_entry *e, uint32_t n)
{
	struct orlop_bytes rec = t_record(strrchr(key, '/') + 1, v, e, n);
	int r = core_cache_put(c, t_bytes(key), rec, rev);

	free((void *)(uintptr_t)rec.p);
	return r;
}

static T_UNUSED int t_put(struct core_cache *c, const char *key, int v, uint64_t rev)
{
	return t_put_entries(c, key, v, rev, NULL, 0);
}

/* ---- a loop --------------------------------------------------------------------------------------- */

struct t_post {
	struct t_post	*next;
	void		(*fn)(void *);
	void		*arg;
};

/* Posts run when the test says so; the clock is a number. */
struct t_loop {
	pthread_mutex_t	lock;
	struct t_post	*first;
	struct t_post	**tail;
	uint64_t	now;
	uint64_t	kick_at;	/* UINT64_MAX: none */
	int		lose_notes;	/* so many hints get lost */
	uint64_t	noted[64];
	int		n_noted;
	int		refuse;		/* post fails */
	int		past;		/* somebody asked for what happened before */
	struct core_cache *c;
};

static T_UNUSED uint64_t t_now(void *ctx)
{
	return __atomic_load_n(&((struct t_loop *)ctx)->now, __ATOMIC_RELAXED);
}

static T_UNUSED int t_post(void *ctx, void *loop, void (*fn)(void *), void *arg)
{
	struct t_loop *l = loop;
	struct t_post *p;

	(void)ctx;
	if (l->refuse)
		return -ECANCELED;
	p = malloc(sizeof(*p));
	*p = (struct t_post){ NULL, fn, arg };
	pthread_mutex_lock(&l->lock);
	*l->tail = p;
	l->tail = &p->next;
	pthread_mutex_unlock(&l->lock);
	return 0;
}

static T_UNUSED void t_kick(void *ctx, uint64_t delay_ns)
{
	struct t_loop *l = ctx;

	pthread_mutex_lock(&l->lock);
	if (delay_ns < UINT64_MAX - t_now(l) && t_now(l) + delay_ns < l->kick_at)
		l->kick_at = t_now(l) + delay_ns;
	pthread_mutex_unlock(&l->lock);
}

static T_UNUSED void t_note(void *ctx, void *loop, uint64_t id)
{
	struct t_loop *l = ctx;

	(void)loop;
	if (l->lose_notes > 0)
		l->lose_notes--;
	else if (l->n_noted < 64)
		l->noted[l->n_noted++] = id;
}

/* Runs what is posted; returns how many. */
static T_UNUSED int t_run(struct t_loop *l)
{
	int n = 0;

	for (;;) {
		struct t_post *p;
		uint64_t id = 0;

		pthread_mutex_lock(&l->lock);
		p = l->first;
		if (p) {
			l->first = p->next;
			if (!l->first)
				l->tail = &l->first;
		} else if (l->n_noted) {
			id = l->noted[--l->n_noted];
		}
		pthread_mutex_unlock(&l->lock);
		if (!p && !id)
			return n;
		n++;
		if (id) {
			core_cache_note(l->c, id);
			continue;
		}
		p->fn(p->arg);
		free(p);
	}
}

/* Goes to the next kick if it is due by @until, and so on; ends there. */
static T_UNUSED void t_advance(struct t_loop *l, uint64_t until)
{
	(void)t_run(l);
	for (;;) {
		uint64_t at;

		pthread_mutex_lock(&l->lock);
		at = l->kick_at;
		if (at <= until)
			l->kick_at = UINT64_MAX;
		pthread_mutex_unlock(&l->lock);
		if (at > until)
			break;
		if (at > l->now)
			__atomic_store_n(&l->now, at, __ATOMIC_RELAXED);
		core_cache_tick(l->c);
		(void)t_run(l);
	}
	__atomic_store_n(&l->now, until, __ATOMIC_RELAXED);
}

static T_UNUSED void t_past(void *ctx)
{
	__atomic_add_fetch(&((struct t_loop *)ctx)->past, 1, __ATOMIC_RELAXED);
}

static T_UNUSED struct core_cache *t_cache(struct t_loop *l, int lossy)
{
	struct core_cache_hooks hooks = {
		.ctx = l, .now = t_now, .post = t_post, .kick = t_kick,
		.note = lossy ? t_note : NULL, .past = t_past,
	};

	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	l->tail = &l->first;
	l->now = 1000000000;
	l->kick_at = UINT64_MAX;
	if (core_cache_new(&hooks, &l->c))
		abort();
	return l->c;
}

static T_UNUSED int t_register(struct core_cache *c, const char *name, const char *const *fields,
			       const char *const *indexed)
{
	struct orlop_resource_info info = {
		.size = sizeof(info), .name = name, .plural = name, .version = "v1", .kind = "Thing",
		.namespaced = 1, .fields = fields, .indexed = indexed,
	};

	while (fields && fields[info.n_fields])
		info.n_fields++;
	return core_cache_register(c, &info, NULL);
}

static T_UNUSED struct orlop_resource *t_open(struct core_cache *c, struct t_loop *l,
					      const char *name)
{
	struct orlop_resource *r = NULL;

	if (core_cache_open(c, name, l, "test", &r, NULL))
		abort();
	return r;
}

/* An empty list at @rev: the cache is fed from here on. */
static T_UNUSED void t_fed(struct core_cache *c, uint64_t rev)
{
	core_cache_begin(c);
	core_cache_list_begin(c);
	(void)core_cache_list_end(c);
	(void)core_cache_commit(c, rev);
}

/* One change in one commit. @v < 0: delete. */
static T_UNUSED int t_change(struct core_cache *c, const char *key, int v, uint64_t rev)
{
	int r;

	core_cache_begin(c);
	r = v < 0 ? core_cache_del(c, t_bytes(key), rev) : t_put(c, key, v, rev);
	if (r) {
		core_cache_pause(c);
		return r;
	}
	return core_cache_commit(c, rev);
}

/* ---- waiting for a revision --------------------------------------------------------------------- */

struct t_waited {
	int		n;
	int32_t		status;
};

static T_UNUSED void t_on_wait(void *arg, int32_t status)
{
	struct t_waited *w = arg;

	w->n++;
	w->status = status;
}

#endif

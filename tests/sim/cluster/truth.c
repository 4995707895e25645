/*
 * truth.c - the history of the storage, read over and over by "changes": what everything is measured against.
 *
 * The reader asks the storage itself, over the network like any other client, and goes on where it was after
 * every restart. So it notices when a revision that somebody saw is gone, comes twice, or was split.
 */
#include "cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/msg.h>
#include <orlop/record.h>
#include <orlop/storage.h>

#define POLL_NS		(10 * SIM_S)

struct truth {
	struct cluster	*c;
	struct version	**v;
	uint32_t	n;
	uint32_t	cap;
	struct omap	keys;		/* key → newest struct version */
	struct omap	words;		/* resource names, shared */
	struct omap	uids;		/* uid → newest version of that object */
	uint64_t	rev;
	bool		asking;
	bool		doubt;
	uint64_t	doubt_rev;
	uint32_t	doubt_seen;
	char		*doubt_from;
	bool		ending;
};

static void ask(void *arg);
static void doubt_ask(struct truth *t);

uint64_t truth_rev(const struct cluster *c)
{
	return c->truth->rev;
}

uint32_t truth_count(const struct cluster *c)
{
	return c->truth->n;
}

const struct version *truth_at(const struct cluster *c, uint32_t i)
{
	return c->truth->v[i];
}

uint32_t truth_find(const struct cluster *c, uint64_t rev)
{
	uint32_t lo = 0;
	uint32_t hi = c->truth->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->truth->v[mid]->rev < rev)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct version *truth_get(const struct cluster *c, const char *resource, const char *ns, const char *name)
{
	char key[600];

	snprintf(key, sizeof(key), "%s/%s/%s", resource, ns ? ns : "", name);
	return omap_get_cstr(&c->truth->keys, key);
}

void truth_each(const struct cluster *c, const char *resource, void (*fn)(void *arg, const struct version *v), void *arg)
{
	OMAP_FOREACH(&c->truth->keys, e) {
		const struct version *v = e->value;

		if (v->obj && !strcmp(v->resource, resource))
			fn(arg, v);
	}
}

void truth_each_ever(const struct cluster *c, const char *resource, void (*fn)(void *arg, const struct version *v), void *arg)
{
	OMAP_FOREACH(&c->truth->keys, e) {
		const struct version *v = e->value;

		if (!strcmp(v->resource, resource))
			fn(arg, v);
	}
}

const struct version *truth_uid(const struct cluster *c, const char *uid)
{
	const struct version *v = omap_get_cstr(&c->truth->uids, uid);

	/* the newest of its key, if that is still the same object */
	return v && v->obj && omap_get_cstr(&c->truth->keys, v->key) == v ? v : NULL;
}

bool truth_knew_uid(const struct cluster *c, const char *uid)
{
	return omap_get_cstr(&c->truth->uids, uid) != NULL;
}

/* ---- taking it in ---------------------------------------------------------------------------------------- */

static struct ojson *record_tree(struct orlop_bytes value)
{
	struct orlop_record r;
	struct ojson *j = NULL;

	if (value.len < sizeof(r))
		return NULL;
	memcpy(&r, value.p, sizeof(r));
	if (r.magic != ORLOP_RECORD_MAGIC || (uint64_t)r.header_len + r.index_len + r.json_len > value.len)
		return NULL;
	(void)ojson_parse_members((struct orlop_bytes){ value.p + r.header_len + r.index_len, r.json_len }, &j, NULL);
	ojson_del(ojson_get(j, "metadata"), "managedFields");
	return j;
}

static const char *word(struct truth *t, const char *p, size_t len)
{
	struct omap_entry *e = omap_find(&t->words, p, len);

	if (!e) {
		(void)omap_put(&t->words, p, len, t, NULL);
		e = omap_find(&t->words, p, len);
	}
	return strndup(e->key, len);	/* entries move; a few bytes a key are no matter */
}

static struct version *version_new(struct truth *t, const char *key, size_t len, struct version *prev)
{
	struct version *v = calloc(1, sizeof(*v));
	const char *a = memchr(key, '/', len);
	const char *b = a ? memchr(a + 1, '/', len - (size_t)(a + 1 - key)) : NULL;

	if (!v)
		abort();
	v->prev = prev && prev->obj ? prev : NULL;
	if (prev) {
		v->key = prev->key;
		v->resource = prev->resource;
		v->ns = prev->ns;
		v->name = prev->name;
	} else if (b) {
		v->key = strndup(key, len);
		v->resource = word(t, key, (size_t)(a - key));
		v->ns = strndup(a + 1, (size_t)(b - a - 1));
		v->name = strndup(b + 1, len - (size_t)(b + 1 - key));
	} else {
		free(v);
		return NULL;
	}
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->v = realloc(t->v, t->cap * sizeof(struct version *));
		if (!t->v)
			abort();
	}
	t->v[t->n++] = v;
	v->at = sim_now(t->c->w);
	return v;
}

static void take(struct truth *t, const struct orlop_storage_item *it, const char *key, struct orlop_bytes value)
{
	struct cluster *c = t->c;
	struct version *prev;
	struct version *v;
	const char *uid;

	if (!it->key_len || key[0] == '!' || key[0] == '\0')
		return;
	prev = omap_get(&t->keys, key, it->key_len);
	if (prev && prev->rev >= it->mod_rev) {
		sim_fail(c->w, "revision-order", "%.*s changes at %llu after %llu", (int)it->key_len, key,
			 (unsigned long long)it->mod_rev, (unsigned long long)prev->rev);
		return;
	}
	v = version_new(t, key, it->key_len, prev);
	if (!v)
		return;
	v->rev = it->mod_rev;
	c->n_versions++;
	if (!(it->flags & ORLOP_ITEM_DELETED)) {
		v->obj = record_tree(value);
		if (!strcmp(v->resource, "configmaps")) {
			v->raw = malloc(value.len);
			if (!v->raw)
				abort();
			memcpy(v->raw, value.p, value.len);
			v->raw_len = value.len;
		}
		if (!v->obj)
			sim_fail(c->w, "record", "%s at %llu cannot be read", v->key, (unsigned long long)v->rev);
	} else if (!v->prev) {
		sim_fail(c->w, "delete-of-nothing", "%s at %llu", v->key, (unsigned long long)v->rev);
	}
	(void)omap_put(&t->keys, key, it->key_len, v, NULL);
	uid = version_uid(v->obj ? v : v->prev ? v->prev : v);
	if (*uid)
		(void)omap_put_cstr(&t->uids, uid, v);
	if (v->prev && v->obj && strcmp(version_uid(v), version_uid(v->prev)))
		sim_fail(c->w, "uid", "%s became another object at %llu without having been deleted", v->key,
			 (unsigned long long)v->rev);
	ledger_version(c, v);
	objects_version(c, v);
	pods_version(c, v);
	rollout_version(c, v);
}

/* Entries of an answer, each handed to @fn. */
static void items_each(struct orlop_bytes b, void (*fn)(struct truth *t, const struct orlop_storage_item *it,
							const char *key, struct orlop_bytes value), struct truth *t)
{
	while (b.len >= sizeof(struct orlop_storage_item)) {
		struct orlop_storage_item it;
		size_t len;

		memcpy(&it, b.p, sizeof(it));
		len = sizeof(it) + it.key_len + it.value_len;
		len = (len + 7) & ~(size_t)7;
		if (len > b.len)
			break;
		fn(t, &it, b.p + sizeof(it), (struct orlop_bytes){ b.p + sizeof(it) + it.key_len, it.value_len });
		b.p += len;
		b.len -= len;
	}
}

static void answered(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	struct truth *t = arg;
	struct cluster *c = t->c;
	const struct orlop_host *h = cluster_reader(c);
	uint64_t rev;

	t->asking = false;
	if (t->ending)
		return;
	if (status < 0 || !h) {
		if (status == -EOVERFLOW)
			sim_fail(c->w, "revisions-went-back", "revision %llu was seen and is gone: %s",
				 (unsigned long long)t->rev, err ? err->msg : "");
		else if (status == -ESTALE)
			sim_fail(c->w, "history", "revision %llu is no longer readable: %s", (unsigned long long)t->rev,
				 err ? err->msg : "");
		(void)sim_after(c->w, 200 * SIM_MS, ask, t);
		return;
	}
	rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	if (rev < t->rev)
		sim_fail(c->w, "revisions-went-back", "from %llu to %llu", (unsigned long long)t->rev,
			 (unsigned long long)rev);
	items_each(orlop_msg_bytes(h, msg, ORLOP_STORAGE_T_ITEMS), take, t);
	t->rev = rev;
	ask(t);
	if (t->doubt)
		doubt_ask(t);
}

static void ask(void *arg)
{
	struct truth *t = arg;
	struct orlop_msgw w;
	struct orlop_msg m;

	if (t->asking || t->ending)
		return;
	t->asking = true;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_REV, t->rev);
	orlop_msgw_u64(&w, ORLOP_STORAGE_T_WAIT_NS, POLL_NS);
	m = orlop_msgw_msg(&w);
	sim_call(t->c->w, NULL, t->c->store->p, "storage", ORLOP_STORAGE_CHANGES, &m, NULL, POLL_NS + 5 * SIM_S, answered,
		 t);
	orlop_msgw_done(&w);
}

/* ---- is everything still there? ----------------------------------------------------------------------------- */

/* The version of a key at @rev. */
static const struct version *version_then(const struct version *v, uint64_t rev, struct truth *t)
{
	uint32_t i;

	if (!v || v->rev <= rev)
		return v;
	for (i = t->n; i-- > 0;)
		if (t->v[i]->key == v->key && t->v[i]->rev <= rev)
			return t->v[i];
	return NULL;
}

static void compare(struct truth *t, const struct orlop_storage_item *it, const char *key, struct orlop_bytes value)
{
	const struct version *v;

	(void)value;
	if (!it->key_len || key[0] == '!' || key[0] == '\0')
		return;
	v = version_then(omap_get(&t->keys, key, it->key_len), t->doubt_rev, t);
	t->doubt_seen++;
	if (!v || !v->obj || v->rev != it->mod_rev)
		sim_fail(t->c->w, "state", "after a restart %.*s is of revision %llu, history says %llu", (int)it->key_len, key,
			 (unsigned long long)it->mod_rev, v && v->obj ? (unsigned long long)v->rev : 0);
}

static void compared(void *arg, int32_t status, const struct orlop_msg *msg, const struct orlop_error *err)
{
	struct truth *t = arg;
	uint32_t n = 0;
	uint32_t i;
	uint64_t rev;

	(void)err;
	if (t->ending)
		return;
	if (status < 0 || !cluster_reader(t->c)) {
		t->doubt = true;	/* with the next answer */
		return;
	}
	rev = orlop_msg_u64(msg, ORLOP_STORAGE_T_REV, 0);
	if (rev > t->rev || orlop_msg_u64(msg, ORLOP_STORAGE_T_MORE, 0)) {
		t->doubt = true;	/* history has not come so far, or there is too much of it: another time */
		return;
	}
	t->doubt_rev = rev;
	t->doubt_seen = 0;
	items_each(orlop_msg_bytes(cluster_reader(t->c), msg, ORLOP_STORAGE_T_ITEMS), compare, t);
	OMAP_FOREACH(&t->keys, e) {
		const struct version *v = version_then(e->value, rev, t);

		n += v && v->obj;
	}
	for (i = 0; n != t->doubt_seen && i < 1; i++)
		sim_fail(t->c->w, "state", "after a restart there are %u objects at %llu, history says %u", t->doubt_seen,
			 (unsigned long long)rev, n);
}

static void doubt_ask(struct truth *t)
{
	struct orlop_msgw w;
	struct orlop_msg m;

	t->doubt = false;
	orlop_msgw_init(&w, NULL);
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_START, "\"", 1);	/* behind the private keys */
	orlop_msgw_bytes(&w, ORLOP_STORAGE_T_END, "", 0);
	m = orlop_msgw_msg(&w);
	sim_call(t->c->w, NULL, t->c->store->p, "storage", ORLOP_STORAGE_RANGE, &m, NULL, 10 * SIM_S, compared, t);
	orlop_msgw_done(&w);
}

void truth_doubt(struct cluster *c)
{
	c->truth->doubt = true;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void truth_start(struct cluster *c)
{
	struct truth *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->c = c;
	c->truth = t;
	t->rev = 1;	/* of an empty storage */
	omap_init(&t->keys);
	omap_init(&t->words);
	omap_init(&t->uids);
	ask(t);
}

void truth_free(struct cluster *c)
{
	struct truth *t = c->truth;
	uint32_t i;

	if (!t)
		return;
	t->ending = true;
	for (i = 0; i < t->n; i++) {
		ojson_unref(t->v[i]->obj);
		free(t->v[i]->raw);
	}
	omap_done(&t->keys);
	omap_done(&t->words);
	omap_done(&t->uids);
}

/*
 * fakecache.c - the fake host's cache: the real one (core/cache), fed by the test's hand.
 */
#include "fake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orlop/inline/error.h>
#include <orlop/record.h>

#include "../../core/cache/internal.h"
#include "base/obuf.h"
#include "json/oscan.h"

/* A handle that somebody opened; the cache knows no owners. */
struct fake_handle {
	struct olist	node;
	struct fakehost_module *m;
	struct orlop_resource *res;
};

/* ---- hooks ----------------------------------------------------------------------------------------- */

static uint64_t hook_now(void *ctx)
{
	return fakehost_now(ctx);
}

static int hook_post(void *ctx, void *loop, void (*fn)(void *arg), void *arg)
{
	(void)loop;
	fake_post(ctx, NULL, fn, arg);
	return 0;
}

struct fake_note {
	struct core_cache *c;
	uint64_t	id;
};

static void note_run(void *arg)
{
	struct fake_note n = *(struct fake_note *)arg;

	free(arg);
	core_cache_note(n.c, n.id);
}

static void hook_note(void *ctx, void *loop, uint64_t id)
{
	struct fakehost *fh = ctx;
	struct fake_note *n;

	(void)loop;
	if (fh->lose_notes) {
		fh->lose_notes--;
		return;
	}
	n = fake_alloc(sizeof(*n));
	n->c = fh->cache;
	n->id = id;
	fake_post(fh, NULL, note_run, n);
}

static void hook_kick(void *ctx, uint64_t delay_ns);

static void tick_run(void *arg)
{
	struct fakehost *fh = arg;

	/* a test may let time pass within a batch: the writer is at work, its turn comes later */
	if (fh->batch)
		hook_kick(fh, FAKEHOST_MS);
	else
		core_cache_tick(fh->cache);
}

static void hook_kick(void *ctx, uint64_t delay_ns)
{
	struct fakehost *fh = ctx;
	uint64_t due = fakehost_now(fh) + delay_ns;

	if (!fh->tick)
		fh->tick = fake_timer(fh, NULL, tick_run, fh);
	if (!fh->tick->armed || fh->tick->due > due) {
		fh->tick->armed = true;
		fh->tick->due = due;
		fh->tick->seq = ++fh->seq;
	}
}

/* ---- records ------------------------------------------------------------------------------------------ */

struct fake_entry {
	uint16_t	index;
	char		*key;
	char		*value;
};

struct fake_entries {
	struct fake_entry v[256];
	uint32_t	n;
};

static void entry_add(struct fake_entries *e, uint16_t index, char *take_key, char *take_value)
{
	if (e->n == 256)
		fake_die("an object with more than 256 index entries");
	e->v[e->n++] = (struct fake_entry){ index, take_key, take_value };
}

static int entry_order(const void *a, const void *b)
{
	const struct fake_entry *x = a, *y = b;
	int r = (x->index > y->index) - (x->index < y->index);

	if (r == 0)
		r = strcmp(x->key, y->key);
	return r ? r : strcmp(x->value, y->value);
}

/* The text of a scalar; "" for anything else. */
static char *scalar_text(struct orlop_bytes v)
{
	struct obuf b = OBUF_INIT;
	char *s;

	if (oscan_type(v) == OSCAN_STRING)
		(void)oscan_unquote(v, &b);
	else if (oscan_type(v) == OSCAN_NUMBER || oscan_type(v) == OSCAN_BOOL)
		obuf_append(&b, v.p, v.len);
	s = fake_strdup(obuf_cstr(&b));
	obuf_done(&b);
	return s;
}

static void entries_collect(struct fake_entries *e, struct orlop_bytes obj,
			    const struct orlop_resource_info *info)
{
	struct orlop_bytes v, uid;
	struct oscan_iter it;

	if (OSCAN_FIND(obj, &v, "metadata", "labels"))
		for (oscan_begin(&it, v); oscan_next(&it) > 0;)
			entry_add(e, ORLOP_INDEX_LABELS, scalar_text(it.key), scalar_text(it.value));
	if (OSCAN_FIND(obj, &v, "metadata", "ownerReferences"))
		for (oscan_begin(&it, v); oscan_next(&it) > 0;)
			if (oscan_get(it.value, "uid", &uid))
				entry_add(e, ORLOP_INDEX_OWNER, fake_strdup(""), scalar_text(uid));
	if (OSCAN_FIND(obj, &v, "metadata", "uid"))
		entry_add(e, ORLOP_INDEX_UID, fake_strdup(""), scalar_text(v));
	for (uint32_t i = 0; info && i < info->n_fields; i++) {
		const char *path = info->fields[i];

		if (!oscan_find_dotted(obj, path, strlen(path), &v))
			v = (struct orlop_bytes){ "", 0 };
		entry_add(e, (uint16_t)(ORLOP_INDEX_FIRST_FIELD + i), fake_strdup(""),
			  v.len ? scalar_text(v) : fake_strdup(""));
	}
	qsort(e->v, e->n, sizeof(e->v[0]), entry_order);
}

static void entries_write(struct fake_entries *e, struct obuf *b)
{
	for (uint32_t i = 0; i < e->n; i++) {
		uint16_t key_len = (uint16_t)strlen(e->v[i].key);
		uint32_t value_len = (uint32_t)strlen(e->v[i].value);

		obuf_append(b, &e->v[i].index, 2);
		obuf_append(b, &key_len, 2);
		obuf_append(b, &value_len, 4);
		obuf_append(b, e->v[i].key, key_len);
		obuf_append(b, e->v[i].value, value_len);
		free(e->v[i].key);
		free(e->v[i].value);
	}
}

static void member_put(struct obuf *b, const char *sep, struct orlop_bytes key,
		       struct orlop_bytes value)
{
	obuf_puts(b, sep);
	obuf_append(b, key.p, key.len);
	obuf_putc(b, ':');
	oscan_compact(value, b);
}

/* The object as it is stored (@before: its members until now, or NULL): complete metadata first, then the rest; with braces. */
static void object_complete(struct fakehost *fh, const char *ns, const char *name,
			    struct orlop_bytes in, const char *before, struct obuf *b)
{
	struct orlop_bytes meta = { "{}", 2 }, v, uid;
	struct oscan_iter it;

	if (oscan_get(in, "metadata", &meta) && oscan_type(meta) != OSCAN_OBJECT)
		fake_die("%s: metadata is no object", name);
	obuf_puts(b, "{\"metadata\":{\"name\":");
	obuf_put_json_cstr(b, name);
	if (*ns) {
		obuf_puts(b, ",\"namespace\":");
		obuf_put_json_cstr(b, ns);
	}
	if (oscan_get(meta, "uid", &v))
		;
	else if (before && OSCAN_FIND_MEMBERS(((struct orlop_bytes){ before, strlen(before) }), &uid,
					      "metadata", "uid"))
		obuf_printf(b, ",\"uid\":%.*s", (int)uid.len, uid.p);
	else
		obuf_printf(b, ",\"uid\":\"00000000-0000-4000-8000-%012llu\"",
			    (unsigned long long)++fh->uids);
	if (!oscan_get(meta, "creationTimestamp", &v))
		obuf_puts(b, ",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"");
	for (oscan_begin(&it, meta); oscan_next(&it) > 0;)
		if (!oscan_string_is_cstr(it.key, "name") && !oscan_string_is_cstr(it.key, "namespace") &&
		    !oscan_string_is_cstr(it.key, "generateName") &&
		    !oscan_string_is_cstr(it.key, "resourceVersion"))
			member_put(b, ",", it.key, it.value);
	obuf_putc(b, '}');
	for (oscan_begin(&it, in); oscan_next(&it) > 0;)
		if (!oscan_string_is_cstr(it.key, "metadata") && !oscan_string_is_cstr(it.key, "kind") &&
		    !oscan_string_is_cstr(it.key, "apiVersion"))
			member_put(b, ",", it.key, it.value);
	obuf_putc(b, '}');
}

static void record_write(struct orlop_bytes obj, const struct orlop_resource_info *info,
			 struct obuf *b)
{
	static const char head[] = "\"metadata\":{";
	struct orlop_record rec = { .magic = ORLOP_RECORD_MAGIC, .header_len = sizeof(rec), .format = 1,
				    .rv_off = sizeof(head) - 1 };
	struct fake_entries *e = fake_alloc(sizeof(*e));

	entries_collect(e, obj, info);
	obuf_append(b, &rec, sizeof(rec));
	rec.n_index = (uint16_t)e->n;
	entries_write(e, b);
	free(e);
	rec.index_len = (uint32_t)(b->len - sizeof(rec));
	rec.json_len = (uint32_t)(obj.len - 2);
	obuf_append(b, obj.p + 1, obj.len - 2);
	if (obuf_err(b))
		fake_die("out of memory");
	memcpy(b->data, &rec, sizeof(rec));
}

/* ---- the test's side ---------------------------------------------------------------------------------- */

/* Our own handle of a resource, made at first use. */
static struct orlop_resource *resource_of(struct fakehost *fh, const char *name)
{
	struct fake_handle *hd;

	OLIST_FOREACH(at, &fh->handles) {
		hd = OLIST_ENTRY(at, struct fake_handle, node);
		/* info names it once it is registered, which we see to */
		if (!hd->m && core_cache_info(hd->res) &&
		    strcmp(core_cache_info(hd->res)->name, name) == 0)
			return hd->res;
	}
	hd = fake_alloc(sizeof(*hd));
	if (core_cache_open(fh->cache, name, NULL, "fakehost", &hd->res, NULL))
		fake_die("resource \"%s\" cannot be opened", name);
	olist_append(&fh->handles, &hd->node);
	if (!core_cache_info(hd->res))
		fakehost_resource(fh, name, 1, NULL);
	return hd->res;
}

void fakehost_resource_info(struct fakehost *fh, const struct orlop_resource_info *info)
{
	struct orlop_error err = ORLOP_ERROR_INIT;

	if (fh->batch)
		fake_die("a resource is registered within a batch");
	if (core_cache_register(fh->cache, info, &err))
		fake_die("%s", err.msg);
}

void fakehost_resource_retire(struct fakehost *fh, const char *name)
{
	if (core_cache_retire(fh->cache, name))
		fake_die("%s is no resource", name);
}

void fakehost_resource(struct fakehost *fh, const char *name, int namespaced, ...)
{
	struct orlop_resource_info info = {
		.size = sizeof(info), .namespaced = namespaced != 0, .name = name, .version = "v1",
	};
	const char *dot = strchr(name, '.');
	const char *fields[61], *indexed[64] = { "labels", "owner", "uid" };
	char *plural = fake_printf("%.*s", dot ? (int)(dot - name) : (int)strlen(name), name);
	va_list ap;

	va_start(ap, namespaced);
	while (info.n_fields < 60 && (fields[info.n_fields] = va_arg(ap, const char *))) {
		indexed[3 + info.n_fields] = fields[info.n_fields];
		info.n_fields++;
	}
	va_end(ap);
	indexed[3 + info.n_fields] = NULL;
	info.fields = fields;
	info.indexed = indexed;
	info.plural = plural;
	info.kind = plural;
	info.group = dot ? dot + 1 : "";
	fakehost_resource_info(fh, &info);
	free(plural);
}

static struct orlop_bytes bytes_of(const char *s)
{
	return (struct orlop_bytes){ s, strlen(s) };
}

static void change_begin(struct fakehost *fh)
{
	if (!fh->batch)
		core_cache_begin(fh->cache);
	fh->rev++;
}

static void change_end(struct fakehost *fh)
{
	if (!fh->batch && core_cache_commit(fh->cache, fh->rev))
		fake_die("commit: out of memory");
}

uint64_t fakehost_put(struct fakehost *fh, const char *resource, const char *ns, const char *name,
		      const char *json)
{
	struct orlop_resource *res = resource_of(fh, resource);
	struct obuf obj = OBUF_INIT, rec = OBUF_INIT;
	struct oscan_error oerr;
	struct orlop_bytes in;
	char *key = fake_printf("%s/%s/%s", resource, ns ? ns : "", name);
	int r;

	if (!json)
		json = "{}";
	if (oscan_check(json, strlen(json), OSCAN_DEPTH_MAX, &in, &oerr) || oscan_type(in) != OSCAN_OBJECT)
		fake_die("%s: not a JSON object: %s", key, json);
	object_complete(fh, ns ? ns : "", name, in, fakehost_get(fh, resource, ns, name), &obj);
	record_write((struct orlop_bytes){ obj.data, obj.len }, core_cache_info(res), &rec);
	change_begin(fh);
	r = core_cache_put(fh->cache, bytes_of(key), (struct orlop_bytes){ rec.data, rec.len }, fh->rev);
	if (r)
		fake_die("%s: put: error %d", key, -r);
	change_end(fh);
	obuf_done(&obj);
	obuf_done(&rec);
	free(key);
	return fh->rev;
}

uint64_t fakehost_putf(struct fakehost *fh, const char *resource, const char *ns, const char *name,
		       const char *json_fmt, ...)
{
	uint64_t rev;
	va_list ap;
	char *json;

	va_start(ap, json_fmt);
	if (vasprintf(&json, json_fmt, ap) < 0)
		fake_die("out of memory");
	va_end(ap);
	rev = fakehost_put(fh, resource, ns, name, json);
	free(json);
	return rev;
}

const char *fakehost_get(struct fakehost *fh, const char *resource, const char *ns,
			 const char *name)
{
	struct orlop_resource *res = resource_of(fh, resource);
	struct orlop_snapshot *s;
	struct orlop_object *o;

	if (core_cache_snapshot_open(res, &s))
		fake_die("out of memory");
	o = core_cache_snapshot_get(s, bytes_of(ns ? ns : ""), bytes_of(name));
	free(fh->got);
	fh->got = o ? fake_printf("%.*s", (int)o->json.len, o->json.p) : NULL;
	core_cache_snapshot_close(s);
	return fh->got;
}

uint64_t fakehost_delete(struct fakehost *fh, const char *resource, const char *ns,
			 const char *name)
{
	char *key = fake_printf("%s/%s/%s", resource, ns ? ns : "", name);
	uint64_t rev = 0;

	(void)resource_of(fh, resource);
	if (fh->batch || fakehost_get(fh, resource, ns, name)) {
		change_begin(fh);
		rev = fh->rev;
		if (core_cache_del(fh->cache, bytes_of(key), rev))
			fake_die("out of memory");
		change_end(fh);
	}
	free(key);
	return rev;
}

uint64_t fakehost_put_record(struct fakehost *fh, struct orlop_bytes key, struct orlop_bytes record)
{
	change_begin(fh);
	if (record.p ? core_cache_put(fh->cache, key, record, fh->rev) : core_cache_del(fh->cache, key, fh->rev))
		fake_die("%.*s: not a record of a registered resource", (int)key.len, key.p);
	change_end(fh);
	return fh->rev;
}

uint64_t fakehost_count(struct fakehost *fh, const char *resource)
{
	struct orlop_snapshot *s;
	uint64_t n;

	if (core_cache_snapshot_open(resource_of(fh, resource), &s))
		fake_die("out of memory");
	n = core_cache_snapshot_count(s);
	core_cache_snapshot_close(s);
	return n;
}

uint64_t fakehost_rev(struct fakehost *fh)
{
	return fh->rev;
}

void fakehost_batch_begin(struct fakehost *fh)
{
	if (fh->batch++ == 0)
		core_cache_begin(fh->cache);
}

void fakehost_batch_end(struct fakehost *fh)
{
	if (--fh->batch == 0 && core_cache_commit(fh->cache, fh->rev))
		fake_die("commit: out of memory");
}

void fakehost_lose_notes(struct fakehost *fh, uint32_t n)
{
	fh->lose_notes = n;
}

/* Put one object again as it is: what a list does with those that did not change. */
static void relist_resource(void *arg, const struct orlop_resource_info *info)
{
	struct fakehost *fh = arg;
	struct orlop_snapshot *s;
	struct orlop_iter *it;
	struct orlop_object *o;

	if (core_cache_snapshot_open(resource_of(fh, info->name), &s) || core_cache_iter_open(s, NULL, &it))
		fake_die("out of memory");
	while ((o = core_cache_iter_next(it))) {
		char *key = fake_printf("%s/%.*s/%.*s", info->name, (int)o->ns.len, o->ns.p,
					(int)o->name.len, o->name.p);

		/* The revision is known: the value is not looked at. */
		if (core_cache_put(fh->cache, bytes_of(key), (struct orlop_bytes){ "", 0 }, o->rev))
			fake_die("%s: relist", key);
		free(key);
	}
	core_cache_iter_close(it);
	core_cache_snapshot_close(s);
}

void fakehost_relist(struct fakehost *fh)
{
	fh->rev++;
	core_cache_begin(fh->cache);
	core_cache_list_begin(fh->cache);
	core_cache_list(fh->cache, relist_resource, fh);
	if (core_cache_list_end(fh->cache) || core_cache_commit(fh->cache, fh->rev))
		fake_die("out of memory");
}

/* ---- the module's side ------------------------------------------------------------------------------------ */

static int h_resource_open(const struct orlop_host *h, const char *name,
			   struct orlop_resource **ret, struct orlop_error *err)
{
	struct fakehost *fh = fake_priv(h)->fh;
	struct fake_handle *hd;
	struct orlop_resource *res;
	int r;

	r = core_cache_open(fh->cache, name, fake_priv(h)->m, h->instance, &res, err);
	if (r)
		return r;
	hd = fake_alloc(sizeof(*hd));
	hd->m = fake_priv(h)->m;
	hd->res = res;
	olist_append(&fh->handles, &hd->node);
	*ret = res;
	return 0;
}

static void h_resource_close(struct orlop_resource *r)
{
	struct fakehost *fh;

	if (!r)
		return;
	fh = r->c->hooks.ctx;
	OLIST_FOREACH_SAFE(at, next, &fh->handles) {
		struct fake_handle *hd = OLIST_ENTRY(at, struct fake_handle, node);

		if (hd->res == r) {
			olist_del(&hd->node);
			free(hd);
		}
	}
	core_cache_close(r);
}

static int h_resource_register(const struct orlop_host *h, const struct orlop_resource_info *info,
			       struct orlop_error *err)
{
	return core_cache_register(fake_priv(h)->fh->cache, info, err);
}

static int h_resource_retire(const struct orlop_host *h, const char *name)
{
	return core_cache_retire(fake_priv(h)->fh->cache, name);
}

static void h_resource_list(const struct orlop_host *h,
			    void (*fn)(void *arg, const struct orlop_resource_info *info), void *arg)
{
	core_cache_list(fake_priv(h)->fh->cache, fn, arg);
}

/* ---- life -------------------------------------------------------------------------------------------------- */

void fake_cache_init(struct fakehost *fh)
{
	struct core_cache_hooks hooks = {
		.ctx = fh, .now = hook_now, .post = hook_post, .note = hook_note, .kick = hook_kick,
	};

	if (core_cache_new(&hooks, &fh->cache))
		fake_die("out of memory");
	fake_feed_init(fh);
	fh->rev = 100;
	core_cache_begin(fh->cache);
	core_cache_list_begin(fh->cache);
	if (core_cache_list_end(fh->cache) || core_cache_commit(fh->cache, fh->rev))
		fake_die("out of memory");
}

uint32_t fake_cache_held(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = fake_feed_held(fh, m);

	OLIST_FOREACH(at, &fh->handles)
		n += OLIST_ENTRY(at, struct fake_handle, node)->m == m;
	return n;
}

uint32_t fake_cache_drop(struct fakehost *fh, struct fakehost_module *m)
{
	uint32_t n = fake_feed_drop(fh, m);

	OLIST_FOREACH_SAFE(at, next, &fh->handles) {
		struct fake_handle *hd = OLIST_ENTRY(at, struct fake_handle, node);

		if (hd->m == m) {
			core_cache_close(hd->res);
			olist_del(&hd->node);
			free(hd);
			n++;
		}
	}
	return n;
}

void fake_cache_done(struct fakehost *fh)
{
	(void)fake_cache_drop(fh, NULL);
	fake_feed_done(fh);
	(void)fakehost_run(fh);
	core_cache_free(fh->cache);
	fh->cache = NULL;
	free(fh->got);
}

void fake_cache_fill(struct orlop_host *h)
{
	h->resource_open = h_resource_open;
	h->resource_close = h_resource_close;
	h->resource_watch = core_cache_watch;
	h->resource_rev = core_cache_rev;
	h->resource_index = core_cache_index;
	h->resource_info = core_cache_info;
	h->journal_read = core_cache_journal_read;
	h->journal_oldest = core_cache_journal_oldest;
	h->snapshot_open = core_cache_snapshot_open;
	h->snapshot_close = core_cache_snapshot_close;
	h->snapshot_rev = core_cache_snapshot_rev;
	h->snapshot_count = core_cache_snapshot_count;
	h->snapshot_get = core_cache_snapshot_get;
	h->iter_open = core_cache_iter_open;
	h->iter_next = core_cache_iter_next;
	h->iter_close = core_cache_iter_close;
	h->object_ref = core_cache_object_ref;
	h->object_unref = core_cache_object_unref;
	h->cache_wait = core_cache_wait;
	h->resource_register = h_resource_register;
	h->resource_retire = h_resource_retire;
	h->resource_list = h_resource_list;
	fake_feed_fill(h);
}

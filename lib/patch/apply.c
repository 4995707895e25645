/* Server-side apply: merge, prune, conflicts, the migration from kubectl's annotation; see oapply.h. */
#include "patch/oapply.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "patch/entries.h"
#include "patch/typed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define ANNOTATIONS_MAX (256u << 10)

struct job {
	const struct oapply_info	*in;
	struct oapply_result		*out;
	struct oarena			*mem;
	struct walk			walk;
	struct versions			vs;		/* live and merged */
	struct omanaged			managed;
	size_t				self;		/* the applying manager's entry */
	const struct ojson		*config;
	struct ojson			*live;		/* without managedFields; {} if there is none */
	struct ojson			*merged;
	bool				moved;		/* the manager's set is another than before */
	const char			*manager;
	const char			*subresource;
};

static int failed(struct job *j, const char *fmt, const char *detail)
{
	size_t n = strlen(fmt) + strlen(detail) + 1;
	char *m = oarena_alloc(j->mem, n);

	if (m == NULL)
		return -ENOMEM;
	(void)stpcpy(stpcpy(m, fmt), detail);
	j->out->message = m;
	return -EINVAL;
}

static bool is_self(const struct job *j, const struct omanaged_entry *e)
{
	return e->apply && strcmp(e->manager, j->manager) == 0 && strcmp(e->subresource, j->subresource) == 0;
}

/* ---- what is there ------------------------------------------------------------------------------- */

/* The live object without its entries; an empty one as Go would write it. */
static int live_object(struct job *j)
{
	struct ojson *meta;
	int r;

	if (j->in->live == NULL)
		return ofields_zero(j->in->schema, j->in->type, &j->live);
	r = ojson_copy(j->in->live, &j->live);
	meta = ojson_get_object(j->live, "metadata");
	if (r == 0 && meta != NULL)
		ojson_del(meta, "managedFields");
	return r;
}

/*
 * An object that was never tracked belongs to "before-first-apply" as it is, so that what others
 * did shows up as conflicts.
 */
static int adopt(struct job *j)
{
	struct omanaged_write_info w = {
		.schema = j->in->schema, .type = j->in->type, .object = j->live,
		.manager = { "before-first-apply", 18 }, .api_version = j->in->api_version,
		.subresource = j->in->subresource, .now_ns = j->in->now_ns, .reset = j->in->reset,
	};
	struct ojson *meta;
	int r = omanaged_update(&w);

	meta = ojson_get_object(j->live, "metadata");
	if (r == 0)
		r = omanaged_read(j->mem, ojson_get(meta, "managedFields"), &j->managed, NULL);
	if (meta != NULL)
		ojson_del(meta, "managedFields");
	return r;
}

static int entries(struct job *j)
{
	struct orlop_error e = { .size = sizeof(e) };
	int r = omanaged_read(j->mem, OJSON_AT(j->in->live, "metadata", "managedFields"), &j->managed, &e);

	if (r == -EINVAL)
		return failed(j, "failed to decode managed fields: ", e.msg);
	if (r == 0 && j->managed.n == 0 && j->in->live != NULL)
		r = adopt(j);
	return r;
}

/* ---- prune --------------------------------------------------------------------------------------- */

/* What @object sets, with struct fields named. */
static int names_of(const struct job *j, const struct oschema_type *type, const struct ojson *object,
		    const struct ofields **ret)
{
	const struct ofields *s;
	int r = ofields_from_object(j->mem, j->in->schema, type, object, &s);

	return r == 0 ? typed_named(&j->walk, type, s, ret) : r;
}

/*
 * Takes from the merged object what @last, the manager's former set in version @name, has and
 * nobody else: neither his new set nor anybody's entry.
 */
static int prune_version(struct job *j, const char *name, const struct ofields *last)
{
	cleanup_ojson struct ojson *merged = NULL;
	cleanup_ojson struct ojson *pruned = NULL;
	const struct oschema_type *type;
	const struct ofields *owned = NULL;
	const struct ofields *before;
	const struct ofields *after;
	const struct ofields *gone;
	struct ojson *out = NULL;
	int r = versions_convert(&j->vs, j->merged, name, &merged, &type);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = typed_named(&j->walk, type, last, &last);
	if (r == 0)
		r = typed_remove(&j->walk, type, merged, last, &pruned);
	if (r == 0)
		r = names_of(j, type, merged, &before);
	for (size_t i = 0; r == 0 && i < j->managed.n; i++)
		if (strcmp(j->managed.v[i].api_version, name) == 0)
			r = ofields_union(j->mem, owned, j->managed.v[i].fields, &owned);
	if (r == 0)
		r = typed_named(&j->walk, type, owned, &owned);
	/* back comes what somebody owns */
	if (r == 0)
		r = names_of(j, type, pruned, &after);
	if (r == 0)
		r = ofields_union(j->mem, after, owned, &after);
	if (r == 0)
		r = ofields_difference(j->mem, before, after, &gone);
	if (r == 0) {
		ojson_unref(pruned);
		pruned = NULL;
		r = typed_remove(&j->walk, type, merged, gone, &pruned);
	}
	/* and what was not his: it only stood below something that was */
	if (r == 0)
		r = names_of(j, type, pruned, &after);
	if (r == 0)
		r = ofields_difference(j->mem, before, after, &gone);
	if (r == 0)
		r = ofields_intersection(j->mem, gone, last, &gone);
	if (r == 0)
		r = typed_remove(&j->walk, type, merged, gone, &out);
	if (r == 0 && strcmp(name, j->vs.name) != 0) {
		cleanup_ojson struct ojson *other = TAKE(out);

		r = j->in->convert(j->in->convert_arg, other, j->vs.name, &out, &type);
	}
	if (r < 0) {
		ojson_unref(out);
		return r;
	}
	ojson_unref(j->merged);
	j->merged = out;
	return 0;
}

/* The manager's set becomes what his configuration sets; what he gave up leaves the object. */
static int take(struct job *j)
{
	struct omanaged_entry *e = NULL;
	const struct ofields *last = NULL;
	const struct ofields *set = NULL;
	const char *version = j->vs.name;
	int r = typed_merge(&j->walk, j->in->type, j->live, j->config, &j->merged);

	if (r == 0)
		r = ofields_from_object(j->mem, j->in->schema, j->in->type, j->config, &set);
	if (r == 0)
		r = ofields_difference_recursive(j->mem, set, j->vs.reset, &set);
	if (r < 0)
		return r;
	for (j->self = 0; j->self < j->managed.n && !is_self(j, &j->managed.v[j->self]);)
		j->self++;
	if (j->self < j->managed.n) {
		e = &j->managed.v[j->self];
		last = e->fields;
		version = e->api_version;
	} else {
		e = entry_add(j->mem, &j->managed);
		if (e == NULL)
			return -ENOMEM;
		e->apply = true;
		e->manager = j->manager;
		e->subresource = j->subresource;
	}
	e->api_version = j->vs.name;
	e->fields = set;
	r = last != NULL ? prune_version(j, version, last) : 0;
	if (r == 0)
		r = entry_strip(j->mem, &e->fields);
	j->moved = !ofields_equal(last, e->fields);
	return r;
}

/* ---- conflicts ------------------------------------------------------------------------------------ */

/* Entries as their identifiers sort: texts of JSON with manager, operation and version in a row. */
static int by_identifier(const void *a, const void *b)
{
	const struct omanaged_entry *x = *(const struct omanaged_entry *const *)a;
	const struct omanaged_entry *y = *(const struct omanaged_entry *const *)b;
	int c = strcmp(x->manager, y->manager);

	if (c == 0)
		c = (int)y->apply - (int)x->apply;
	if (c == 0)
		c = strcmp(x->apply ? "" : x->api_version, y->apply ? "" : y->api_version);
	return c != 0 ? c : strcmp(x->subresource, y->subresource);
}

/* `"kubectl" with subresource "scale" using apps/v1` */
static const char *print_manager(struct oarena *a, const struct omanaged_entry *e)
{
	cleanup_obuf struct obuf b = OBUF_INIT;

	obuf_put_json_cstr(&b, e->manager);
	if (e->subresource[0] != '\0') {
		obuf_puts(&b, " with subresource ");
		obuf_put_json_cstr(&b, e->subresource);
	}
	if (!e->apply)
		obuf_printf(&b, " using %s", e->api_version);
	return obuf_err(&b) == 0 ? oarena_strndup(a, b.data, b.len) : NULL;
}

struct gather {
	struct job		*j;
	const char		*manager;	/* printed */
	size_t			cap;
	size_t			of_this;
	struct obuf		lines;
};

static int add_conflict(void *arg, const char *path, size_t len)
{
	struct gather *g = arg;
	struct oapply_result *out = g->j->out;
	struct oapply_conflict *c;

	if (out->n_conflicts == g->cap) {
		size_t cap = g->cap == 0 ? 8 : g->cap * 2;

		c = oarena_alloc(g->j->mem, cap * sizeof(*c));
		if (c == NULL)
			return -ENOMEM;
		if (out->n_conflicts > 0)
			memcpy(c, out->conflicts, out->n_conflicts * sizeof(*c));
		out->conflicts = c;
		g->cap = cap;
	}
	c = &out->conflicts[out->n_conflicts++];
	c->message = oarena_printf(g->j->mem, "conflict with %s", g->manager);
	c->field = oarena_strndup(g->j->mem, path, len);
	if (g->of_this++ == 0)
		obuf_printf(&g->lines, "%sconflicts with %s:", g->lines.len > 0 ? "\n" : "", g->manager);
	obuf_printf(&g->lines, "\n- %s", path);
	return c->message != NULL && c->field != NULL ? 0 : -ENOMEM;
}

/* @sets: of each entry, what of it is in conflict. -EEXIST, or -ENOMEM. */
static int report(struct job *j, const struct ofields *const *sets)
{
	struct gather g = { .j = j, .lines = OBUF_INIT };
	const struct omanaged_entry **order = oarena_alloc(j->mem, j->managed.n * sizeof(*order));
	struct oapply_result *out = j->out;
	int r = order != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < j->managed.n; i++)
		order[i] = &j->managed.v[i];
	if (r == 0)
		qsort(order, j->managed.n, sizeof(*order), by_identifier);
	for (size_t i = 0; r == 0 && i < j->managed.n; i++) {
		const struct ofields *set = sets[order[i] - j->managed.v];

		if (ofields_is_empty(set))
			continue;
		g.manager = print_manager(j->mem, order[i]);
		g.of_this = 0;
		r = g.manager != NULL ? ofields_each(set, add_conflict, &g) : -ENOMEM;
	}
	if (r == 0)
		r = obuf_err(&g.lines);
	if (r == 0 && out->n_conflicts == 1)
		out->message = oarena_printf(j->mem, "Apply failed with 1 conflict: %s: %s",
					     out->conflicts[0].message, out->conflicts[0].field);
	else if (r == 0)
		out->message = oarena_printf(j->mem, "Apply failed with %zu conflicts: %s", out->n_conflicts,
					     obuf_cstr(&g.lines));
	obuf_done(&g.lines);
	if (r < 0)
		return r;
	return out->message != NULL ? -EEXIST : -ENOMEM;
}

/*
 * What kubectl's annotation says that this user had set by client-side apply, and is still so: his
 * to change without a conflict when he comes by server-side apply.
 */
static int allowed(struct job *j, const struct ofields **ret)
{
	struct orlop_bytes text = ojson_bytes(OJSON_AT(j->live, "metadata", "annotations", LAST_APPLIED));
	cleanup_ojson struct ojson *last = NULL;
	cleanup_obuf struct obuf lines = OBUF_INIT;
	struct ofields_diff d;
	const struct ofields *s = NULL;
	size_t n = 0;
	int r;

	*ret = NULL;
	if (text.len == 0 || ojson_parse(text.p, text.len, &last, NULL) < 0 || !ojson_is(last, OJSON_OBJECT) ||
	    !ojson_string_is(ojson_get(last, "apiVersion"), j->vs.name))
		return 0;
	r = typed_check(&j->walk, j->in->type, last, &lines, &n);
	if (r < 0 || n > 0)
		return r;
	r = ofields_from_object(j->mem, j->in->schema, j->in->type, last, &s);
	if (r == 0)
		r = ofields_compare(j->mem, j->in->schema, j->in->type, last, j->live, &d);
	if (r == 0)
		r = ofields_difference(j->mem, s, d.modified, &s);
	if (r == 0)
		r = ofields_difference(j->mem, s, d.added, &s);
	if (r == 0)
		r = ofields_difference(j->mem, s, d.removed, &s);
	*ret = s;
	return r;
}

/* Takes from others what changed; if that is not to be, says who minds. */
static int settle(struct job *j)
{
	const struct ofields **sets = oarena_zalloc(j->mem, j->managed.n * sizeof(*sets));
	const struct ofields *may = NULL;
	bool conflict = false;
	bool forced = j->in->force;
	int r = sets != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < j->managed.n; i++) {
		const struct ofields_diff *d;
		const struct ofields *changed;

		if (i == j->self)
			continue;
		r = versions_diff(&j->vs, j->managed.v[i].api_version, &d);
		if (r == -ENOENT) {
			j->managed.v[i].fields = NULL;
			r = 0;
			continue;
		}
		if (r == 0)
			r = ofields_union(j->mem, d->modified, d->added, &changed);
		if (r == 0)
			r = ofields_intersection(j->mem, j->managed.v[i].fields, changed, &sets[i]);
		conflict = conflict || !ofields_is_empty(sets[i]);
	}
	if (r == 0 && conflict && !forced && strcmp(j->manager, "kubectl") == 0) {
		bool left = false;

		r = allowed(j, &may);
		for (size_t i = 0; r == 0 && i < j->managed.n; i++) {
			r = ofields_difference(j->mem, sets[i], may, &sets[i]);
			left = left || !ofields_is_empty(sets[i]);
		}
		forced = !left;
	}
	if (r == 0 && conflict && !forced)
		return report(j, sets);
	for (size_t i = 0; r == 0 && i < j->managed.n; i++) {
		struct omanaged_entry *e = &j->managed.v[i];
		const struct ofields_diff *d;
		const struct ofields *changed;

		if (i == j->self || ofields_is_empty(e->fields))
			continue;
		r = versions_diff(&j->vs, e->api_version, &d);
		if (r == 0)
			r = ofields_union(j->mem, d->modified, d->added, &changed);
		if (r == 0)
			r = ofields_union(j->mem, changed, d->removed, &changed);
		if (r == 0)
			r = ofields_difference(j->mem, e->fields, changed, &e->fields);
	}
	return r;
}

/* ---- the end -------------------------------------------------------------------------------------- */

/* kubectl's annotation follows kubectl's server-side apply, so that going back finds it right. */
static int sync_annotation(struct job *j)
{
	cleanup_ojson struct ojson *config = NULL;
	cleanup_obuf struct obuf text = OBUF_INIT;
	struct ojson *meta = ojson_get_object(j->merged, "metadata");
	struct ojson *notes;
	size_t total = 0;
	int r;

	if (strcmp(j->manager, "kubectl") != 0 ||
	    ojson_bytes(OJSON_AT(meta, "annotations", LAST_APPLIED)).len == 0)
		return 0;
	r = ojson_copy(j->config, &config);
	if (r == 0) {
		notes = OJSON_AT(config, "metadata", "annotations");
		ojson_del(notes, LAST_APPLIED);
		if (ojson_is(notes, OJSON_OBJECT) && ojson_count(notes) == 0)
			ojson_del(ojson_get(config, "metadata"), "annotations");
		r = ojson_write(config, OJSON_SORTED, &text);
		obuf_putc(&text, '\n');
	}
	if (r == 0)
		r = obuf_err(&text);
	/* the object is ours, its metadata may be the live object's or the configuration's */
	if (r == 0)
		r = ojson_copy(meta, &meta);
	if (r < 0)
		return r;
	notes = ojson_get_object(meta, "annotations");
	r = ojson_set_string(notes, LAST_APPLIED, text.data, text.len);
	OJSON_FOREACH(it, notes)
		total += it.key_len + ojson_bytes(it.value).len;
	if (total > ANNOTATIONS_MAX)
		ojson_del(notes, LAST_APPLIED);
	if (r < 0) {
		ojson_unref(meta);
		return r;
	}
	return ojson_set(j->merged, "metadata", meta);
}

static int finish(struct job *j)
{
	int r = 0;

	j->out->unchanged = j->in->live != NULL && ojson_equal(j->live, j->merged);
	if (j->moved || !j->out->unchanged)
		r = entry_stamp(j->mem, &j->managed.v[j->self], j->in->now_ns);
	for (size_t i = j->managed.n; r == 0 && i-- > 0;)
		if (ofields_is_empty(j->managed.v[i].fields))
			entry_remove(&j->managed, i);
	if (r == 0)
		r = sync_annotation(j);
	if (r == 0)
		r = omanaged_write(&j->managed, &j->out->managed);
	if (r == 0)
		j->out->object = TAKE(j->merged);
	return r;
}

static int check(struct job *j)
{
	cleanup_obuf struct obuf lines = OBUF_INIT;
	size_t n = 0;
	int r = typed_check(&j->walk, j->in->type, j->config, &lines, &n);

	if (r < 0 || n == 0)
		return r;
	return n == 1 ? failed(j, "", obuf_cstr(&lines) + strlen("\n  ")) : failed(j, "errors:", obuf_cstr(&lines));
}

int oapply(struct oarena *a, const struct oapply_info *in, struct oapply_result *ret)
{
	struct job j = {
		.in = in, .out = ret, .mem = a, .walk = { a, in->schema }, .config = in->config,
		.manager = oarena_strndup(a, in->manager.len > 0 ? in->manager.p : "", in->manager.len),
		.subresource = oarena_strndup(a, in->subresource.len > 0 ? in->subresource.p : "",
					      in->subresource.len),
	};
	int r;

	*ret = (struct oapply_result){ .object = NULL };
	j.vs = (struct versions){
		.w = &j.walk, .type = in->type, .convert = in->convert, .convert_arg = in->convert_arg,
		.name = oarena_strndup(a, in->api_version.len > 0 ? in->api_version.p : "", in->api_version.len),
	};
	r = j.manager != NULL && j.subresource != NULL && j.vs.name != NULL ? 0 : -ENOMEM;
	if (r == 0)
		r = ofields_from_paths(a, in->reset, &j.vs.reset);
	if (r == 0)
		r = check(&j);
	if (r == 0)
		r = live_object(&j);
	if (r == 0)
		r = entries(&j);
	if (r == 0)
		r = take(&j);
	j.vs.old = j.live;
	j.vs.new = j.merged;
	if (r == 0)
		r = settle(&j);
	versions_done(&j.vs);
	if (r == 0)
		r = finish(&j);
	ojson_unref(j.merged);
	ojson_unref(j.live);
	return r;
}

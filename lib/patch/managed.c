/* The entries of managedFields and what a write does to them; see omanaged.h. */
#include "patch/omanaged.h"
#include "patch/entries.h"

#include "base/ocleanup.h"
#include "base/ostr.h"
#include "base/otime.h"

#include <errno.h>
#include <orlop/inline/error.h>
#include <stdlib.h>
#include <string.h>

#define MANAGER_MAX 128
#define ANCIENT "ancient-changes"

/* ---- from and to JSON -------------------------------------------------------------------------- */

static int copy_text(struct oarena *a, const struct ojson *j, const char *key, const char **ret)
{
	struct orlop_bytes b = ojson_get_bytes(j, key);

	*ret = "";
	if (b.p == NULL)
		return 0;
	*ret = oarena_strndup(a, b.p, b.len);
	return *ret != NULL ? 0 : -ENOMEM;
}

static int entry_read(struct oarena *a, const struct ojson *j, struct omanaged_entry *e,
		      struct orlop_error *err)
{
	const char *operation = ojson_get_cstr(j, "operation", "");
	const char *fields_type = ojson_get_cstr(j, "fieldsType", "");
	int64_t ns;
	int r;

	e->apply = strcmp(operation, "Apply") == 0;
	if (!e->apply && strcmp(operation, "Update") != 0)
		return orlop_fail(err, EINVAL, 422, "Invalid", "operation must be `Apply` or `Update`");
	if (copy_text(a, j, "manager", &e->manager) < 0 ||
	    copy_text(a, j, "apiVersion", &e->api_version) < 0 ||
	    copy_text(a, j, "subresource", &e->subresource) < 0 || copy_text(a, j, "time", &e->time) < 0)
		return -ENOMEM;
	if (e->api_version[0] == '\0')
		return orlop_fail(err, EINVAL, 422, "Invalid", "apiVersion must not be empty");
	if (fields_type[0] != '\0' && strcmp(fields_type, "FieldsV1") != 0)
		return orlop_fail(err, EINVAL, 422, "Invalid", "must be `FieldsV1`");
	if (otime_parse(e->time, strlen(e->time), &ns) == 0)
		e->time_s = ns / OTIME_SECOND;
	r = ofields_parse(a, ojson_get(j, "fieldsV1"), &e->fields);
	if (r == -EINVAL)
		return orlop_fail(err, EINVAL, 422, "Invalid", "fieldsV1 of manager \"%.60s\" cannot be read",
				  e->manager);
	return r;
}

int omanaged_read(struct oarena *a, const struct ojson *array, struct omanaged *ret,
		  struct orlop_error *err)
{
	struct omanaged m = { NULL, 0, 0 };

	if (array != NULL && !ojson_is(array, OJSON_ARRAY))
		return orlop_fail(err, EINVAL, 422, "Invalid", "managedFields must be a list");
	OJSON_FOREACH_ELEM(i, j, array) {
		struct omanaged_entry *e = entry_add(a, &m);
		int r = e != NULL ? entry_read(a, j, e, err) : -ENOMEM;

		if (r < 0)
			return r;
	}
	*ret = m;
	return 0;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct omanaged_entry *x = *(const struct omanaged_entry *const *)a;
	const struct omanaged_entry *y = *(const struct omanaged_entry *const *)b;
	int c;

	if (x->apply != y->apply)
		return x->apply ? -1 : 1;
	if (x->time_s != y->time_s)
		return x->time_s < y->time_s ? -1 : 1;
	c = strcmp(x->manager, y->manager);
	if (c == 0)
		c = strcmp(x->api_version, y->api_version);
	return c != 0 ? c : strcmp(x->subresource, y->subresource);
}

static int entry_write(const struct omanaged_entry *e, struct ojson *array)
{
	cleanup_ojson struct ojson *j = ojson_new_object();
	cleanup_ojson struct ojson *fields = NULL;
	cleanup_obuf struct obuf text = OBUF_INIT;
	int r;

	/* a detour by text, but the one place that knows how sets are spelled */
	ofields_write(e->fields, &text);
	r = obuf_err(&text);
	if (r == 0)
		r = ojson_parse(text.data, text.len, &fields, NULL);
	if (r < 0)
		return -ENOMEM;
	if (j == NULL || ojson_set_cstr(j, "manager", e->manager) < 0 ||
	    ojson_set_cstr(j, "operation", e->apply ? "Apply" : "Update") < 0 ||
	    ojson_set_cstr(j, "apiVersion", e->api_version) < 0 ||
	    (e->time[0] != '\0' && ojson_set_cstr(j, "time", e->time) < 0) ||
	    ojson_set_cstr(j, "fieldsType", "FieldsV1") < 0 ||
	    ojson_set(j, "fieldsV1", TAKE(fields)) < 0 ||
	    (e->subresource[0] != '\0' && ojson_set_cstr(j, "subresource", e->subresource) < 0))
		return -ENOMEM;
	return ojson_append(array, TAKE(j));
}

int omanaged_write(const struct omanaged *m, struct ojson **ret)
{
	cleanup_ojson struct ojson *array = NULL;
	cleanup_free const struct omanaged_entry **order = NULL;
	int r = 0;

	*ret = NULL;
	if (m->n == 0)
		return 0;
	order = omem_alloc_array(m->n, sizeof(*order));
	array = ojson_new_array();
	if (order == NULL || array == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		order[i] = &m->v[i];
	qsort(order, m->n, sizeof(*order), entry_cmp);
	for (size_t i = 0; r == 0 && i < m->n; i++)
		r = entry_write(order[i], array);
	if (r == 0)
		*ret = TAKE(array);
	return r;
}

bool omanaged_is_reset(const struct ojson *array, bool present)
{
	const struct ojson *only = ojson_index(array, 0);

	if (!present || !ojson_is(array, OJSON_ARRAY))
		return false;
	return ojson_count(array) == 0 ||
	       (ojson_count(array) == 1 && ojson_is(only, OJSON_OBJECT) && ojson_count(only) == 0);
}

/* ---- a write ------------------------------------------------------------------------------------ */

/* Entries to start from: what the client sent if it makes sense, else those of the stored object. */
static int entries_before(const struct omanaged_write_info *w, struct oarena *a,
			  const struct ojson *sent, bool present, struct omanaged *ret)
{
	struct omanaged none = { NULL, 0, 0 };
	int r = -EINVAL;

	*ret = none;
	if (w->subresource.len == 0) {
		if (omanaged_is_reset(sent, present))
			return 0;
		r = omanaged_read(a, sent, ret, NULL);
	}
	if (r == -ENOMEM || (r == 0 && ret->n > 0))
		return r;
	r = omanaged_read(a, OJSON_AT(w->live, "metadata", "managedFields"), ret, NULL);
	if (r == -EINVAL)
		*ret = none;
	return r == -EINVAL ? 0 : r;
}

/*
 * Takes what changed away from everybody, each in the version of his entry; entries that become
 * empty go, and those whose version nobody knows any more.
 */
static int take_away(struct oarena *a, struct omanaged *m, struct versions *vs)
{
	for (size_t i = m->n; i-- > 0;) {
		const struct ofields_diff *d;
		const struct ofields *changed = NULL;
		int r = versions_diff(vs, m->v[i].api_version, &d);

		if (r == -ENOENT) {
			entry_remove(m, i);
			continue;
		}
		if (r == 0)
			r = ofields_union(a, d->added, d->modified, &changed);
		if (r == 0)
			r = ofields_union(a, changed, d->removed, &changed);
		if (r == 0)
			r = ofields_difference(a, m->v[i].fields, changed, &m->v[i].fields);
		if (r < 0)
			return r;
		if (ofields_is_empty(m->v[i].fields))
			entry_remove(m, i);
	}
	return 0;
}

static struct omanaged_entry *entry_find(struct omanaged *m, const char *manager,
					 const char *api_version, const char *subresource)
{
	for (size_t i = 0; i < m->n; i++) {
		struct omanaged_entry *e = &m->v[i];

		if (!e->apply && strcmp(e->manager, manager) == 0 &&
		    strcmp(e->api_version, api_version) == 0 && strcmp(e->subresource, subresource) == 0)
			return e;
	}
	return NULL;
}

/* Gives the writer what it changed. */
static int give(const struct omanaged_write_info *w, struct oarena *a, struct omanaged *m,
		const struct ofields *taken)
{
	struct orlop_bytes name = w->manager;
	struct omanaged_entry *e;
	const char *manager;
	const char *version;
	const char *sub;

	if (name.len == 0)
		name = (struct orlop_bytes){ "unknown", 7 };
	manager = oarena_strndup(a, name.p, name.len);
	version = oarena_strndup(a, w->api_version.p, w->api_version.len);
	sub = oarena_strndup(a, w->subresource.p, w->subresource.len);
	if (manager == NULL || version == NULL || sub == NULL)
		return -ENOMEM;
	e = entry_find(m, manager, version, sub);
	if (e == NULL) {
		e = entry_add(a, m);
		if (e == NULL)
			return -ENOMEM;
		e->manager = manager;
		e->api_version = version;
		e->subresource = sub;
	}
	if (entry_stamp(a, e, w->now_ns) < 0)
		return -ENOMEM;
	return ofields_union(a, e->fields, taken, &e->fields);
}

/* Oldest first, as upstream sorts them before summing up. */
static int updater_cmp(const void *a, const void *b)
{
	const struct omanaged_entry *x = a;
	const struct omanaged_entry *y = b;
	int c;

	if (x->time_s != y->time_s)
		return x->time_s < y->time_s ? -1 : 1;
	c = strcmp(x->manager, y->manager);
	if (c == 0)
		c = strcmp(x->api_version, y->api_version);
	return c != 0 ? c : strcmp(x->subresource, y->subresource);
}

/*
 * Too many updaters: the oldest are merged, version by version, into one that is called
 * ancient-changes. The first of a version only becomes that when a second is merged into it.
 */
static int cap_updaters(struct oarena *a, struct omanaged *m)
{
	size_t updaters = 0;

	for (size_t i = 0; i < m->n; i++)
		updaters += !m->v[i].apply;
	if (updaters <= OMANAGED_UPDATERS_MAX)
		return 0;
	qsort(m->v, m->n, sizeof(m->v[0]), updater_cmp);
	for (size_t i = 0; i < m->n && updaters > OMANAGED_UPDATERS_MAX; i++) {
		struct omanaged_entry *e = &m->v[i];
		size_t first = 0;
		int r;

		if (e->apply)
			continue;
		while (first < i && (m->v[first].apply || strcmp(m->v[first].api_version, e->api_version) != 0))
			first++;
		if (first == i)
			continue;
		m->v[first].manager = ANCIENT;
		m->v[first].subresource = "";
		m->v[first].time = e->time;
		m->v[first].time_s = e->time_s;
		r = ofields_union(a, m->v[first].fields, e->fields, &m->v[first].fields);
		if (r < 0)
			return r;
		entry_remove(m, i--);
		updaters--;
	}
	return 0;
}

static int update(const struct omanaged_write_info *w, struct oarena *a, struct omanaged *m)
{
	cleanup_ojson struct ojson *zero = NULL;
	const struct ofields *taken = NULL;
	const struct ofields_diff *d;
	struct walk walk = { a, w->schema };
	struct versions vs = {
		.w = &walk, .type = w->type, .new = w->object,
		.convert = w->convert, .convert_arg = w->convert_arg,
		.name = oarena_strndup(a, w->api_version.len > 0 ? w->api_version.p : "", w->api_version.len),
	};
	int r = vs.name != NULL ? ofields_from_paths(a, w->reset, &vs.reset) : -ENOMEM;

	if (r == 0 && w->live == NULL)
		r = ofields_zero(w->schema, w->type, &zero);
	vs.old = w->live != NULL ? w->live : zero;
	if (r == 0)
		r = take_away(a, m, &vs);
	if (r == 0)
		r = versions_diff(&vs, vs.name, &d);
	if (r == 0)
		r = ofields_union(a, d->added, d->modified, &taken);
	if (r == 0)
		r = entry_strip(a, &taken);
	if (r == 0 && !ofields_is_empty(taken))
		r = give(w, a, m, taken);
	versions_done(&vs);
	return r == 0 ? cap_updaters(a, m) : r;
}

int omanaged_update(const struct omanaged_write_info *w)
{
	cleanup_oarena struct oarena a = OARENA_INIT;
	cleanup_ojson struct ojson *sent = NULL;
	cleanup_ojson struct ojson *after = NULL;
	struct ojson *meta = ojson_get_object(w->object, "metadata");
	bool present = w->requested != NULL || ojson_has(meta, "managedFields");
	struct omanaged m;
	int r;

	sent = w->requested != NULL ? ojson_ref((struct ojson *)(uintptr_t)w->requested) :
				      ojson_ref(ojson_get(meta, "managedFields"));
	r = entries_before(w, &a, sent, present, &m);
	if (r < 0)
		return r;
	ojson_del(meta, "managedFields");
	/* an object without entries is not tracked, unless this is its creation */
	if (m.n == 0 && w->live != NULL)
		return 0;
	r = update(w, &a, &m);
	if (r == 0)
		r = omanaged_write(&m, &after);
	if (r < 0 || after == NULL)
		return r;
	meta = ojson_ensure_object(w->object, "metadata");
	return meta != NULL ? ojson_set(meta, "managedFields", TAKE(after)) : -ENOMEM;
}

bool omanaged_same_but_time(const struct ojson *a, const struct ojson *b)
{
	if (ojson_count(a) != ojson_count(b))
		return false;
	OJSON_FOREACH_ELEM(i, x, a) {
		const struct ojson *y = ojson_index(b, i);

		if (ojson_count(x) - ojson_has(x, "time") != ojson_count(y) - ojson_has(y, "time"))
			return false;
		OJSON_FOREACH(it, x)
			if (strcmp(it.key, "time") != 0 && !ojson_equal(it.value, ojson_get(y, it.key)))
				return false;
	}
	return true;
}

struct orlop_bytes omanaged_manager(struct orlop_bytes field_manager, struct orlop_bytes user_agent)
{
	const char *slash;

	if (field_manager.len > 0)
		return field_manager;
	slash = user_agent.len > 0 ? memchr(user_agent.p, '/', user_agent.len) : NULL;
	if (slash != NULL)
		user_agent.len = (size_t)(slash - user_agent.p);
	if (user_agent.len > MANAGER_MAX)
		user_agent.len = MANAGER_MAX;
	return user_agent;
}

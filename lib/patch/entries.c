/* Entries of managedFields, and comparisons of two objects in the versions they speak of; see entries.h. */
#include "patch/entries.h"

#include "base/ocleanup.h"
#include "base/otime.h"

#include <errno.h>
#include <string.h>

/* Fields that say what an object is, not what somebody wants: nobody owns them. */
static const char *const never_owned[] = {
	"apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace",
	"metadata.creationTimestamp", "metadata.selfLink", "metadata.uid", "metadata.clusterName",
	"metadata.generation", "metadata.managedFields", "metadata.resourceVersion", NULL,
};

struct omanaged_entry *entry_add(struct oarena *a, struct omanaged *m)
{
	struct omanaged_entry *v;

	if (m->n == m->cap) {
		size_t cap = m->cap == 0 ? 8 : m->cap * 2;

		v = oarena_alloc(a, cap * sizeof(*v));
		if (v == NULL)
			return NULL;
		if (m->n > 0)
			memcpy(v, m->v, m->n * sizeof(*v));
		m->v = v;
		m->cap = cap;
	}
	v = &m->v[m->n++];
	*v = (struct omanaged_entry){ .manager = "", .api_version = "", .time = "", .subresource = "" };
	return v;
}

void entry_remove(struct omanaged *m, size_t i)
{
	m->n--;
	memmove(&m->v[i], &m->v[i + 1], (m->n - i) * sizeof(m->v[0]));
}

int entry_strip(struct oarena *a, const struct ofields **set)
{
	const struct ofields *never = NULL;
	int r = ofields_from_paths(a, never_owned, &never);

	return r == 0 ? ofields_difference(a, *set, never, set) : r;
}

int entry_stamp(struct oarena *a, struct omanaged_entry *e, int64_t now_ns)
{
	char time[OTIME_BUF];

	otime_format(now_ns, time);
	e->time = oarena_strdup(a, time);
	e->time_s = now_ns / OTIME_SECOND;
	return e->time != NULL ? 0 : -ENOMEM;
}

/* ---- versions ------------------------------------------------------------------------------------ */

int versions_convert(const struct versions *vs, const struct ojson *object, const char *name,
		     struct ojson **ret, const struct oschema_type **ret_type)
{
	if (strcmp(name, vs->name) == 0) {
		*ret = ojson_ref((struct ojson *)(uintptr_t)object);
		*ret_type = vs->type;
		return 0;
	}
	if (vs->convert == NULL)
		return -ENOENT;
	return vs->convert(vs->convert_arg, object, name, ret, ret_type);
}

static int without(const struct versions *vs, const struct ofields **set)
{
	return ofields_difference_recursive(vs->w->mem, *set, vs->reset, set);
}

static int make(const struct versions *vs, struct version *v)
{
	int r = versions_convert(vs, vs->old, v->name, &v->old, &v->type);

	if (r == 0)
		r = versions_convert(vs, vs->new, v->name, &v->new, &v->type);
	if (r == 0)
		r = ofields_compare(vs->w->mem, vs->w->schema, v->type, v->old, v->new, &v->diff);
	if (r == 0)
		r = without(vs, &v->diff.added);
	if (r == 0)
		r = without(vs, &v->diff.removed);
	if (r == 0)
		r = without(vs, &v->diff.modified);
	return r;
}

int versions_diff(struct versions *vs, const char *name, const struct ofields_diff **ret)
{
	struct version *v;

	for (size_t i = 0; i < vs->n; i++) {
		v = &vs->v[i];
		if (strcmp(v->name, name) != 0)
			continue;
		*ret = &v->diff;
		return v->state;
	}
	v = oarena_alloc(vs->w->mem, (vs->n + 1) * sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	if (vs->n > 0)
		memcpy(v, vs->v, vs->n * sizeof(*v));
	vs->v = v;
	v = &v[vs->n++];
	*v = (struct version){ .name = name };
	v->state = make(vs, v);
	*ret = &v->diff;
	return v->state;
}

void versions_done(struct versions *vs)
{
	for (size_t i = 0; i < vs->n; i++) {
		ojson_unref(vs->v[i].old);
		ojson_unref(vs->v[i].new);
	}
	vs->n = 0;
}

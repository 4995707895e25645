/* take.c - an object as its schema has it: pruned, without nulls that may not be, with defaults, sorted. */
#include "crd/ocrd.h"

#include "base/obuf.h"
#include "base/ocleanup.h"
#include "base/omem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct take {
	struct oschema_texts *unknown;
	bool		bare;		/* no defaults */
};

/* One member of the object that comes out. */
struct member {
	const char	*key;
	size_t		len;
	const struct ojson *v;
	const struct ocrd_node *node;	/* NULL: everything in it is kept, or nothing (see @keep) */
	const char	*def;		/* this default instead of @v */
	bool		keep;		/* without a node: as it is */
};

static int take(const struct take *t, const struct ocrd_node *n, bool keep, const struct ojson *in, bool root,
		const char *path, struct ojson **ret);

static int member_cmp(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->key, y->key, n);

	return d ? d : (x->len > y->len) - (x->len < y->len);
}

static bool is_meta(const char *key, size_t len)
{
	return (len == 10 && !memcmp(key, "apiVersion", 10)) || (len == 4 && !memcmp(key, "kind", 4)) ||
	       (len == 8 && !memcmp(key, "metadata", 8));
}

/* Is this member kept, and by which node? */
static bool place(const struct ocrd_node *n, bool keep, bool root, struct member *m)
{
	if (!n) {
		m->keep = keep;
		return keep;
	}
	if ((root || n->flags & OCRD_EMBEDDED) && is_meta(m->key, m->len)) {
		m->keep = true;
		return true;
	}
	m->node = ocrd_prop(n, m->key, m->len);
	if (!m->node)
		m->node = n->extra;
	m->keep = n->flags & (OCRD_PRESERVE | OCRD_ANY_EXTRA);
	return m->node || m->keep;
}

static int put(const struct take *t, const struct member *m, const char *path, struct ojson *out)
{
	cleanup_obuf struct obuf b = OBUF_INIT;
	cleanup_ojson struct ojson *def = NULL;
	const struct ojson *v = m->v;
	struct ojson *child = NULL;
	int r;

	if (t->unknown || m->node) {
		obuf_puts(&b, path);
		if (path[0])
			obuf_putc(&b, '.');
		obuf_append(&b, m->key, m->len);
	}
	if (m->def) {
		r = ojson_parse(m->def, strlen(m->def), &def, NULL);
		if (r)
			return r;
		v = def;
	}
	r = take(t, m->node, m->keep, v, false, obuf_cstr(&b), &child);
	return r ? r : ojson_put_n(out, m->key, m->len, child);
}

static int take_object(const struct take *t, const struct ocrd_node *n, bool keep, const struct ojson *in, bool root,
		       const char *path, struct ojson **ret)
{
	size_t max = ojson_count(in) + (n ? n->n_props : 0), k = 0;
	cleanup_ojson struct ojson *out = ojson_new_object();
	struct member *v = omem_zalloc_array(max + 1, sizeof(*v));
	int r = out && v ? 0 : -ENOMEM;

	OJSON_FOREACH(it, in) {
		struct member m = { .key = it.key, .len = it.key_len, .v = it.value };

		if (r)
			break;
		if (!place(n, keep, root, &m)) {
			if (t->unknown)
				r = oschema_texts_add(t->unknown, "unknown field \"%s%s%.*s\"", path, path[0] ? "." : "",
						      (int)it.key_len, it.key);
			continue;
		}
		if (!it.value && m.node && !(m.node->flags & OCRD_NULLABLE)) {
			if (!m.node->def || m.node == n->extra || t->bare)
				continue;
			m.def = m.node->def;
		}
		v[k++] = m;
	}
	for (uint32_t i = 0; r == 0 && n && !t->bare && i < n->n_props; i++) {
		const struct ocrd_prop *p = &n->props[i];

		if (p->node->def && !ojson_has(in, p->name))
			v[k++] = (struct member){ .key = p->name, .len = strlen(p->name), .node = p->node,
						  .def = p->node->def };
	}
	if (r == 0)
		qsort(v, k, sizeof(*v), member_cmp);
	for (size_t i = 0; r == 0 && i < k; i++)
		r = put(t, &v[i], path, out);
	omem_free(v);
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

static int take_array(const struct take *t, const struct ocrd_node *n, bool keep, const struct ojson *in,
		      const char *path, struct ojson **ret)
{
	cleanup_ojson struct ojson *out = ojson_new_array();
	const struct ocrd_node *items = n ? n->items : NULL;
	cleanup_obuf struct obuf b = OBUF_INIT;
	int r = out ? 0 : -ENOMEM;

	OJSON_FOREACH_ELEM(i, e, in) {
		struct ojson *child = NULL;

		if (r)
			break;
		obuf_truncate(&b, 0);
		if (t->unknown)
			obuf_printf(&b, "%s[%zu]", path, (size_t)i);
		r = take(t, items, keep || (n && n->flags & OCRD_PRESERVE) || !items, e, false, obuf_cstr(&b), &child);
		if (r == 0)
			r = child ? ojson_append(out, child) : ojson_append_null(out);
	}
	if (r == 0)
		*ret = TAKE(out);
	return r;
}

static int take(const struct take *t, const struct ocrd_node *n, bool keep, const struct ojson *in, bool root,
		const char *path, struct ojson **ret)
{
	*ret = NULL;
	if (ojson_is(in, OJSON_OBJECT))
		return take_object(t, n, keep, in, root, path, ret);
	if (ojson_is(in, OJSON_ARRAY))
		return take_array(t, n, keep, in, path, ret);
	*ret = ojson_ref((struct ojson *)(uintptr_t)in);
	return 0;
}

int ocrd_take(const struct ocrd_node *n, const struct ojson *in, bool root, const char *path,
	      struct oschema_texts *unknown, struct ojson **ret)
{
	struct take t = { .unknown = unknown };

	return take(&t, n, false, in, root, path, ret);
}

int ocrd_prune(const struct ocrd_node *n, const struct ojson *in, struct ojson **ret)
{
	struct take t = { .bare = true };

	return take(&t, n, false, in, true, "", ret);
}

/* select.c - label and field selectors over index entries; fields of custom resources over what is served. */
#include "select.h"
#include "convert.h"
#include "render.h"

#include "json/ojson.h"
#include "schema/oschema.h"
#include "selector/ofield.h"
#include "selector/oselector.h"

#include <errno.h>
#include <string.h>

enum { FIELD_NAME = -1, FIELD_NS = -2, FIELD_CUSTOM = -3 };

/* Index number of selectable field @name: they are numbered in the order of the stored schema. */
static int field_index(const struct oschema *s, const struct reg_kind *k, struct orlop_bytes name,
		       int32_t *ret)
{
	const char *path = oschema_select_find(s, k->res, name);
	int32_t n = ORLOP_INDEX_FIRST_FIELD;

	if (!path)
		return -EINVAL;
	if (!strcmp(path, "metadata.name")) {
		*ret = FIELD_NAME;
		return 0;
	}
	if (!strcmp(path, "metadata.namespace")) {
		*ret = FIELD_NS;
		return 0;
	}
	if (k->set) {
		*ret = FIELD_CUSTOM;
		return 0;
	}
	/* events.k8s.io names fields differently; position in the list is the same */
	for (unsigned int i = 0; i < k->res->n_selects; i++) {
		const struct oschema_select *sel = &s->selects[k->res->selects + i];

		if (!strncmp(oschema_str(s, sel->path), "metadata.", 9))
			continue;
		if (rb_is(name, oschema_str(s, sel->name))) {
			const char *want = oschema_str(s, sel->path);
			int32_t m = ORLOP_INDEX_FIRST_FIELD;

			if (k->stored == k) {
				*ret = n;
				return 0;
			}
			/* find it in the stored resource by position of equal meaning */
			for (unsigned int j = 0; j < k->stored->res->n_selects; j++) {
				const struct oschema_select *o = &s->selects[k->stored->res->selects + j];
				const char *have = oschema_str(s, o->path);
				const char *wdot = strrchr(want, '.'), *hdot = strrchr(have, '.');

				if (!strncmp(have, "metadata.", 9))
					continue;
				if (!strcmp(have, want) ||
				    (!strncmp(want, "regarding.", 10) &&
				     !strncmp(have, "involvedObject.", 15) && !strcmp(wdot, hdot)) ||
				    (!strcmp(want, "reportingController") && !strcmp(have, "reportingComponent"))) {
					*ret = m;
					return 0;
				}
				m++;
			}
			return -EINVAL;
		}
		n++;
	}
	return -EINVAL;
}

static unsigned int own_fields(const struct reg_kind *k)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < k->res->n_selects; i++)
		n += strncmp(oschema_str(k->schema, k->schema->selects[k->res->selects + i].path), "metadata.", 9) != 0;
	return n;
}

int reg_select_init(struct reg_op *op, struct reg_select *s)
{
	struct orlop_error e = ORLOP_ERROR_INIT;
	int r = 0;

	memset(s, 0, sizeof(*s));
	s->k = op->k;
	s->ns = op->rq.ns;
	s->name = op->rq.name;
	if (op->opt.labels.len) {
		r = oselector_parse(op->opt.labels.p, op->opt.labels.len, &s->labels, &e);
		if (r == -EINVAL)
			r = reg_bad_request(op, "%s", e.msg);
	}
	if (r == 0 && op->opt.fields.len) {
		r = ofield_parse(op->opt.fields.p, op->opt.fields.len, &s->fields, &e);
		if (r == -EINVAL)
			r = reg_bad_request(op, "%s", e.msg);
	}
	if (r == 0 && s->fields) {
		s->index = omem_zalloc_array(s->fields->n_terms + 1, sizeof(*s->index));
		if (!s->index)
			r = -ENOMEM;
	}
	for (size_t i = 0; r == 0 && s->fields && i < s->fields->n_terms; i++) {
		const struct ofield_term *t = &s->fields->terms[i];

		if (field_index(op->k->schema, op->k, t->field, &s->index[i])) {
			/* kinds without fields of their own have other words for it */
			if (!op->k->set && own_fields(op->k) == 0)
				r = reg_bad_request(op, "\"%.*s\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
						    OB(t->field));
			else
				r = reg_bad_request(op, "field label not supported: %.*s", OB(t->field));
			break;
		}
		s->custom = s->custom || s->index[i] == FIELD_CUSTOM;
		if (t->not)
			continue;
		if (s->index[i] == FIELD_NAME) {
			if (s->name.len && !rb_eq(s->name, t->value))
				s->never = true;
			else
				s->name = t->value;
		} else if (s->index[i] == FIELD_NS) {
			if (s->ns.len && !rb_eq(s->ns, t->value))
				s->never = true;
			else
				s->ns = t->value;
		}
	}
	orlop_error_done(&e);
	if (r) {
		reg_select_done(s);
		return op->err.err ? r : reg_failed(op, r, NULL);
	}
	return 0;
}

void reg_select_done(struct reg_select *s)
{
	oselector_free(s->labels);
	ofield_free(s->fields);
	omem_free(s->index);
	memset(s, 0, sizeof(*s));
}

bool reg_select_all(const struct reg_select *s)
{
	return !s->labels && !s->fields && !s->name.len && !s->never;
}

static bool field_value(const struct orlop_object *o, int32_t index, struct orlop_bytes *ret)
{
	if (index == FIELD_NAME) {
		*ret = o->name;
		return true;
	}
	if (index == FIELD_NS) {
		*ret = o->ns;
		return true;
	}
	for (uint32_t i = 0; i < o->n_index; i++)
		if (o->index[i].index == (uint32_t)index) {
			*ret = o->index[i].value;
			return true;
		}
	return false;
}

/* All but the fields of a custom resource. */
static bool match_indexed(const struct reg_select *s, const struct orlop_object *o)
{
	if (s->never || (s->ns.len && !rb_eq(s->ns, o->ns)) || (s->name.len && !rb_eq(s->name, o->name)))
		return false;
	if (s->labels && !oselector_match_object(s->labels, o))
		return false;
	for (size_t i = 0; s->fields && i < s->fields->n_terms; i++) {
		const struct ofield_term *t = &s->fields->terms[i];
		struct orlop_bytes v = { "", 0 };

		if (s->index[i] == FIELD_CUSTOM)
			continue;
		(void)field_value(o, s->index[i], &v);
		if (rb_eq(v, t->value) == t->not)
			return false;
	}
	return true;
}

/* ---- fields of custom resources ---- */

/* JSON @v; p NULL: it is not there, which compares as nothing at all. */
static bool is_value(struct orlop_bytes v, struct orlop_bytes want)
{
	switch (oscan_type(v)) {
	case OSCAN_STRING:
		return oscan_string_is(v, want.p, want.len);
	case OSCAN_NUMBER:
		if (v.len > 2 && !memcmp(v.p + v.len - 2, ".0", 2))
			v.len -= 2;	/* an integer may have been written so */
		return rb_eq(v, want);
	case OSCAN_BOOL:
		return rb_eq(v, want);
	default:
		return want.len == 0;
	}
}

static struct orlop_bytes member_at(struct orlop_bytes members, struct orlop_bytes path)
{
	const char *dot = memchr(path.p, '.', path.len);
	size_t n = dot ? (size_t)(dot - path.p) : path.len;
	struct oscan_iter it;

	for (oscan_begin_members(&it, members); oscan_next(&it) > 0;)
		if (oscan_string_is(it.key, path.p, n)) {
			struct orlop_bytes v = it.value;

			return !dot || oscan_find_dotted(v, dot + 1, path.len - n - 1, &v) ? v : RB0;
		}
	return RB0;
}

bool reg_select_served(const struct reg_select *s, struct orlop_bytes json)
{
	for (size_t i = 0; s->custom && i < s->fields->n_terms; i++) {
		const struct ofield_term *t = &s->fields->terms[i];

		if (s->index[i] == FIELD_CUSTOM && is_value(member_at(json, t->field), t->value) == t->not)
			return false;
	}
	return true;
}

static int match_tree(const struct reg_select *s, const struct ojson *obj)
{
	struct obuf b = OBUF_INIT, path = OBUF_INIT;
	int r = 1;

	for (size_t i = 0; r > 0 && i < s->fields->n_terms; i++) {
		const struct ofield_term *t = &s->fields->terms[i];
		const struct ojson *v;

		if (s->index[i] != FIELD_CUSTOM)
			continue;
		obuf_reset(&b);
		obuf_reset(&path);
		obuf_append(&path, t->field.p, t->field.len);
		v = obuf_err(&path) ? NULL : ojson_at_dotted(obj, obuf_cstr(&path));
		if (v)
			(void)ojson_write(v, 0, &b);
		if (obuf_err(&path) || obuf_err(&b))
			r = -ENOMEM;
		else if (is_value((struct orlop_bytes){ b.data, b.len }, t->value) == t->not)
			r = 0;
	}
	obuf_done(&path);
	obuf_done(&b);
	return r;
}

/*
 * The entries of a record are those of the definition as it was then, in the version in which it is stored; upstream
 * compares what is served, with its defaults.
 */
static int match_custom(const struct reg_select *s, struct orlop_bytes json, struct orlop_bytes version)
{
	cleanup_ojson struct ojson *obj = NULL;
	int r;

	if (convert_hooked(s->k))
		return convert_plain(s->k, version) ? reg_select_served(s, json) : REG_SELECT_CONVERTED;
	if (render_plain(s->k, REG_FORM_OBJECT))
		return reg_select_served(s, json);
	r = render_tree(s->k->schema, s->k, json, &obj);
	return r ? r : match_tree(s, obj);
}

int reg_select_match(const struct reg_select *s, const struct orlop_object *o)
{
	if (!match_indexed(s, o))
		return 0;
	return s->custom ? match_custom(s, o->json, convert_version(o)) : 1;
}

int reg_select_stored(const struct reg_select *s, struct orlop_bytes ns, struct orlop_bytes name,
		      const struct reg_stored *st)
{
	struct orlop_index_entry small[32], *v = small;
	struct orlop_object o = { .size = sizeof(o), .rev = st->rev, .ns = ns, .name = name, .json = st->json };
	const char *p = st->index.p, *end = p + st->index.len;
	int r;

	if (st->n_index > 32 && !(v = omem_alloc_array(st->n_index, sizeof(*v))))
		return -ENOMEM;
	while (end - p >= 8 && o.n_index < st->n_index) {
		uint16_t h[2];
		uint32_t len;

		memcpy(h, p, 4);
		memcpy(&len, p + 4, 4);
		if ((size_t)(end - p) - 8 < (size_t)h[1] + len)
			break;
		v[o.n_index].index = h[0];
		v[o.n_index].key = (struct orlop_bytes){ p + 8, h[1] };
		v[o.n_index++].value = (struct orlop_bytes){ p + 8 + h[1], len };
		p += 8 + h[1] + len;
	}
	o.index = v;
	r = reg_select_match(s, &o);
	if (v != small)
		omem_free(v);
	return r;
}

void reg_select_query(const struct reg_select *s, struct reg_shard *sh, struct orlop_query *q)
{
	struct orlop_resource *res = reg_open(sh, s->k);
	const struct orlop_resource_info *info = res ? sh->h->resource_info(res) : NULL;

	q->has_ns = s->ns.len > 0;
	q->ns = s->ns;
	if (!info || !info->indexed)
		return;
	for (const char *const *ix = info->indexed; *ix; ix++) {
		if (!strcmp(*ix, "labels")) {
			for (size_t i = 0; s->labels && i < s->labels->n_reqs; i++) {
				const struct oselector_requirement *r = &s->labels->reqs[i];

				if ((r->op == OSELECTOR_EQUALS || r->op == OSELECTOR_DOUBLE_EQUALS ||
				     r->op == OSELECTOR_IN) && r->n_values == 1) {
					q->has_index = 1;
					q->index = ORLOP_INDEX_LABELS;
					q->index_key = r->key;
					q->index_value = r->values[0];
					return;
				}
			}
			continue;
		}
		for (size_t i = 0; s->fields && i < s->fields->n_terms; i++) {
			const struct ofield_term *t = &s->fields->terms[i];
			int32_t n = sh->h->resource_index(res, *ix);

			if (!t->not && n >= 0 && s->index[i] == n) {
				q->has_index = 1;
				q->index = (uint32_t)n;
				q->index_value = t->value;
				return;
			}
		}
	}
}
